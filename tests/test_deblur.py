"""`reblur deblur`: files in, files out, and one sentence for each that cannot be done."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from reblur.cli import main
from reblur.datasets.images.files import read_image
from reblur.errors import ReblurError
from reblur.evaluation.deblurring import best_weights, plan_outputs
from reblur.evaluation.tiling import restore_image
from reblur.networks import build_network
from reblur.networks.weights import save_network

PHOTOGRAPH = np.ascontiguousarray(data.chelsea()[50:170, 100:280])
ORIENTATION, MAKE = 0x0112, 0x010F


@pytest.fixture(scope="module")
def network():
    return build_network("sr_edrb1", width=4, seed=1)


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_network(network, path)
    return path


def deblur(*arguments: object) -> int:
    return main(["deblur", "--device", "cpu", *map(str, arguments)])


def save(path: Path, image: np.ndarray = PHOTOGRAPH, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def test_a_photograph_is_restored_as_the_library_does_it(tmp_path, network, weights):
    source = save(tmp_path / "cat.png")
    assert deblur(source, "-o", tmp_path / "out.png", "--weights", weights) == 0
    assert deblur(source, "-o", tmp_path / "tiled.png", "--weights", weights, "--tile", 64) == 0
    for name, tile in (("out", None), ("tiled", 64)):
        expected = restore_image(network, PHOTOGRAPH, tile=tile)
        restored = read_image(tmp_path / f"{name}.png").astype(int)
        assert np.abs(restored - expected).max() <= 1  # another memory layout, another rounding
    assert not np.array_equal(restored, read_image(tmp_path / "out.png"))


def test_exif_and_colour_profile_are_kept_and_the_pixels_stand_upright(tmp_path, weights):
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = 6, "Leica"
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = save(tmp_path / "cat.jpg", exif=exif, icc_profile=profile, quality=95)
    assert deblur(source, "-o", tmp_path / "out", "--weights", weights) == 0
    with Image.open(tmp_path / "out" / "cat.jpg") as result:
        assert result.size == (PHOTOGRAPH.shape[0], PHOTOGRAPH.shape[1])  # turned by a quarter
        assert result.getexif().get(ORIENTATION, 1) == 1
        assert result.getexif()[MAKE] == "Leica"
        assert result.info["icc_profile"] == profile


def test_a_bad_file_among_many_is_told_and_the_others_go_on(tmp_path, weights, capsys):
    folder = tmp_path / "in"
    save(folder / "a.png")
    whole = (folder / "a.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    (folder / "c.jpg").write_text("no image")
    save(folder / "d.bmp", PHOTOGRAPH[:33, :21])
    (folder / "notes.txt").write_text("not looked at")
    missing = tmp_path / "missing.png"
    assert deblur(folder, missing, "-o", tmp_path / "out", "--weights", weights) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.png"]
    told = capsys.readouterr()
    lines = told.err.strip().splitlines()
    assert len(lines) == 4
    for name, line in zip(("b.png", "c.jpg", "missing.png"), lines, strict=False):
        assert name in line
    assert lines[3] == "reblur: 3 of 5 photographs failed."
    assert "Traceback" not in told.err
    assert len(told.out.strip().splitlines()) == 2


def test_results_are_overwritten_only_when_asked(tmp_path, weights, capsys):
    source = save(tmp_path / "cat.png")
    target = tmp_path / "out" / "cat.png"
    save(target, np.zeros((5, 5, 3), np.uint8))
    before = target.read_bytes()
    assert deblur(source, "-o", target.parent, "--weights", weights) == 0
    assert target.read_bytes() == before
    assert "left alone" in capsys.readouterr().out
    assert deblur(source, "-o", target.parent, "--weights", weights, "--overwrite") == 0
    assert read_image(target).shape == PHOTOGRAPH.shape


def test_the_photograph_itself_is_never_overwritten(tmp_path, weights, capsys):
    source = save(tmp_path / "cat.png")
    before = source.read_bytes()
    assert deblur(source, "-o", tmp_path, "--weights", weights, "--overwrite") == 1
    assert source.read_bytes() == before
    assert "would overwrite it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tile", "8"], "too small"),
        (["--device", "tpu9"], "--device cpu"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_faults_of_the_command_line_are_one_sentence(tmp_path, weights, capsys, arguments, said):
    source = save(tmp_path / "cat.png")
    given = ["deblur", str(source), "-o", str(tmp_path / "out"), "--weights", str(weights)]
    assert main([*given, *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_plan_refuses_what_would_collide(tmp_path):
    one, two = save(tmp_path / "1" / "cat.png"), save(tmp_path / "2" / "cat.png")
    with pytest.raises(ReblurError, match="would both become"):
        plan_outputs([one, two], tmp_path / "out")
    with pytest.raises(ReblurError, match="one file for 2 photographs"):
        plan_outputs([one, two], tmp_path / "out.png")
    assert plan_outputs([one, one], tmp_path / "out") == [(one, tmp_path / "out" / "cat.png")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReblurError, match="no images in this folder"):
        plan_outputs([tmp_path / "empty"], tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ReblurError, match="name a folder"):
        plan_outputs([one], tmp_path / "file")


def test_a_diffusion_model_is_no_restorer(tmp_path, capsys):
    save_network(build_network("ddpm_small", channels=[8, 8]), tmp_path / "model.safetensors")
    source = save(tmp_path / "cat.png")
    assert deblur(source, "-o", tmp_path / "out", "--weights", tmp_path / "model.safetensors") == 2
    assert "is a diffusion model, which restores nothing" in capsys.readouterr().err


def run_of(results: Path, name: str, metrics: object, weights: Path | None) -> Path:
    folder = results / name
    folder.mkdir(parents=True)
    if metrics is not None:
        (folder / "metrics.json").write_text(
            metrics if isinstance(metrics, str) else json.dumps(metrics)
        )
    if weights is not None:
        (folder / "weights.safetensors").write_bytes(weights.read_bytes())
    return folder / "weights.safetensors"


def test_the_best_weights_are_those_of_the_best_profile_with_the_highest_gain(tmp_path, weights):
    with pytest.raises(ReblurError, match=r"make study.*--weights"):
        best_weights(tmp_path)
    run_of(tmp_path, "test-tiny/runs/a-0", {"psnr_gain": 9.0}, weights)
    demo = run_of(tmp_path, "demo/runs/a-0", {"psnr_gain": 5.0}, weights)
    run_of(tmp_path, "demo/runs/a-1", {"psnr_gain": 4.0}, weights)
    assert best_weights(tmp_path).path == demo
    ours = run_of(tmp_path, "cpu-long/runs/a-0", {"psnr_gain": 1.0}, weights)
    assert best_weights(tmp_path).path == ours
    run_of(tmp_path, "gpu/runs/a-0", {"psnr_gain": 2}, weights)
    gpu = run_of(tmp_path, "gpu/runs/b-0", {"psnr_gain": 3.0}, weights)
    run_of(tmp_path, "gpu/runs/unfinished", None, weights)
    run_of(tmp_path, "gpu/runs/damaged", "{", weights)
    run_of(tmp_path, "gpu/runs/no-number", '{"psnr_gain": NaN}', weights)
    run_of(tmp_path, "gpu/runs/no-weights", {"psnr_gain": 7.0}, None)
    assert best_weights(tmp_path).path == gpu
    assert best_weights(tmp_path).psnr_gain == 3.0


@pytest.mark.parametrize(("gain", "warned"), [(0.7, False), (-0.3, True)])
def test_without_weights_the_best_of_the_project_are_taken(
    tmp_path, weights, monkeypatch, capsys, gain, warned
):
    (tmp_path / "params.yaml").write_text("")
    (tmp_path / "data_manifests").mkdir()
    run_of(tmp_path / "results", "demo/runs/a-0", {"psnr_gain": gain}, weights)
    save(tmp_path / "cat.png")
    monkeypatch.chdir(tmp_path)
    assert deblur("cat.png", "-o", "out") == 0
    assert (tmp_path / "out" / "cat.png").is_file()
    told = capsys.readouterr().err
    assert f"({gain:+.2f} dB over doing nothing)" in told
    assert ("no better than doing nothing" in told) == warned
