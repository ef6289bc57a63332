"""`reblur evaluate`: folders against folders, by the library's own metrics and protocols."""

import numpy as np
import pandas as pd
import pytest
from skimage import data

from reblur.cli import main
from reblur.datasets.images.files import read_image, write_image
from reblur.evaluation.alignment import compare_aligned
from reblur.evaluation.folders import PROTOCOLS
from reblur.evaluation.tiling import restore_image
from reblur.measures.full_reference import CONVENTIONS, psnr, ssim, ssim_matlab
from reblur.networks import build_network
from reblur.networks.weights import save_network

CAT = np.ascontiguousarray(data.chelsea()[40:180, 100:260])


@pytest.fixture
def folders(tmp_path):
    for n, name in enumerate(("a", "b", "clip/c")):
        sharp = np.roll(CAT, 9 * n, axis=1)
        blurred = ((sharp.astype(float) + np.roll(sharp, 4, axis=1)) / 2).astype(np.uint8)
        restored = ((sharp.astype(float) * 3 + blurred) / 4).round().astype(np.uint8)
        for side, image in (("target", sharp), ("input", blurred), ("restored", restored)):
            write_image(tmp_path / side / f"{name}.png", image)
    return tmp_path


@pytest.fixture
def weights(tmp_path):
    save_network(build_network("ss", width=4, blocks=1, seed=3), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def evaluate(folder, *arguments) -> int:
    return main(["evaluate", "--device", "cpu", "-o", str(folder / "out"), *map(str, arguments)])


def restored(folder) -> tuple:
    return "--restored", folder / "restored", "--target", folder / "target"


def scores(folder, table: str = "scores") -> pd.DataFrame:
    return pd.read_csv(folder / "out" / f"{table}.csv").set_index(
        "image" if table == "scores" else "metric"
    )


def test_images_restored_elsewhere(folders, capsys):
    assert evaluate(folders, *restored(folders)) == 0
    rows = scores(folders)
    assert list(rows.index) == ["a", "b", "clip/c"]
    for name, row in rows.iterrows():
        pair = [read_image(folders / side / f"{name}.png") for side in ("target", "restored")]
        assert row.psnr == pytest.approx(psnr(*pair), abs=1e-4)
        assert row.ssim == pytest.approx(ssim(*pair), abs=1e-6)
        assert row.ssim_matlab == pytest.approx(ssim_matlab(*pair), abs=1e-6)
    summary = scores(folders, "summary")
    assert summary.loc["psnr", "mean"] == pytest.approx(rows.psnr.mean(), abs=1e-3)
    assert summary.loc["ssim", "convention"] == CONVENTIONS["ssim"]
    assert summary.input_mean.isna().all()
    assert CONVENTIONS["psnr"] in capsys.readouterr().out


def test_a_network_and_its_gain_over_the_input(folders, weights):
    given = ("--input", folders / "input", "--target", folders / "target")
    assert evaluate(folders, "--weights", weights, *given) == 0
    rows, network = scores(folders), build_network("ss", width=4, blocks=1, seed=3)
    for name, row in rows.iterrows():
        sharp, blurred = (read_image(folders / s / f"{name}.png") for s in ("target", "input"))
        assert row.input_psnr == pytest.approx(psnr(sharp, blurred), abs=1e-4)
        expected = psnr(sharp, restore_image(network.eval(), blurred))
        assert row.psnr == pytest.approx(expected, abs=0.02)
        assert row.seconds > 0
    gain = (rows.psnr - rows.input_psnr).mean()
    assert scores(folders, "summary").loc["psnr", "gain"] == pytest.approx(gain, abs=1e-3)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol(folders, protocol):
    given = ("--restored", folders / "restored", "--target", folders / "target")
    given += ("--input", folders / "input", "--protocol", protocol)
    assert evaluate(folders, *given) == 0
    rows = scores(folders)
    if protocol == "homography":
        pair = [read_image(folders / side / "a.png") for side in ("target", "restored")]
        assert rows.psnr["a"] == pytest.approx(compare_aligned(*pair)["psnr"], abs=1e-4)
    assert ("ssim_matlab" in rows) == (protocol == "raw")
    assert rows.psnr.gt(20).all()


def test_names_in_another_case_and_form_and_suffix_match(folders):
    (folders / "restored" / "a.png").rename(folders / "restored" / "A.PNG")
    write_image(folders / "restored" / "b.tiff", read_image(folders / "restored" / "b.png"))
    (folders / "restored" / "b.png").unlink()
    assert evaluate(folders, *restored(folders)) == 0


def test_one_bad_file_is_told_and_the_others_are_scored(folders, capsys):
    write_image(folders / "restored" / "b.png", CAT[:50])
    (folders / "restored" / "clip/c.png").write_bytes(b"")
    assert evaluate(folders, *restored(folders)) == 1
    assert list(scores(folders).index) == ["a"]
    told = capsys.readouterr()
    assert "b: the sizes differ (160×50 and 160×140 pixels)" in told.err
    assert "c.png: is empty" in told.err
    assert "1 of 3 images" in told.out


@pytest.mark.parametrize(
    ("error", "words"),
    [(MemoryError(), "the memory does not hold it"), (RuntimeError("odd"), "cannot be scored")],
)
def test_no_single_image_ends_an_evaluation(folders, capsys, monkeypatch, error, words):
    from reblur.evaluation import folders as module

    right = module.read_image

    def fail(path):
        if path == folders / "restored" / "b.png":
            raise error
        return right(path)

    monkeypatch.setattr(module, "read_image", fail)
    assert evaluate(folders, *restored(folders)) == 1
    assert list(scores(folders).index) == ["a", "clip/c"]
    told = capsys.readouterr()
    assert f"reblur: b: {words}" in told.err
    assert "2 of 3 images" in told.out


def test_equal_and_small_images(folders, capsys):
    for side in ("target", "restored"):
        write_image(folders / side / "a.png", CAT)
        write_image(folders / side / "b.png", np.clip(CAT[:9, :9] + (side == "target"), 0, 255))
    assert evaluate(folders, *restored(folders)) == 0
    rows, summary = scores(folders), scores(folders, "summary")
    assert np.isinf(rows.psnr["a"])
    assert np.isnan(rows.ssim["b"])
    assert (summary.infinite["psnr"], summary.images["psnr"], summary.images["ssim"]) == (1, 3, 2)
    assert "1 equal their target" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--restored", "{}/restored"], "--target"),
        (["--weights", "{}/w", "--target", "{}/target"], "--input"),
        (["--restored", "{}/none", "--target", "{}/target"], "no such folder"),
        (["--restored", "{}/target", "--target", "{}/target"], "sharp images too"),
        (["--restored", "{}/restored/clip", "--target", "{}/target"], "no partner"),
        (
            ["--restored", "{}/restored", "--target", "{}/target", "--protocol", "to_input"],
            "--input",
        ),
        (["--restored", "{}/restored", "--pairs", "mine"], "leave the others out"),
        (
            ["--restored", "{}/restored", "--target", "{}/target", "-o", "{}/a.csv"],
            "no name of a folder",
        ),
    ],
)
def test_what_cannot_be_done_is_told(folders, capsys, arguments, words):
    assert evaluate(folders, *(text.format(folders) for text in arguments)) == 2
    assert words in capsys.readouterr().err


def test_the_test_part_of_a_folder_of_pairs(folders, weights):
    both = folders / "pairs"
    both.mkdir()
    for side in ("input", "target"):
        (folders / side).rename(both / side)
    assert evaluate(folders, "--weights", weights, "--pairs", both) == 0
    assert 1 <= len(scores(folders)) < 3
