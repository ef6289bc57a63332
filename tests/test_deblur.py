"""`reblur deblur`: files in, files out, and one sentence for each that cannot be done."""

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import nn

from reblur.cli import main
from reblur.datasets.images.files import (
    read_image,
    read_image_16,
    read_photograph,
    write_image,
)
from reblur.errors import ReblurError
from reblur.evaluation.deblurring import plan_outputs, restore_file, write_restored
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
    assert len(lines) == 7
    assert lines[0] == f"{folder}: passed over 1 .txt"
    for name, line in zip(("b.png", "c.jpg", "missing.png"), lines[3:], strict=False):
        assert name in line
    assert lines[6].startswith("restored 2 of 5 photographs (3 failed), 0.0 megapixels in ")
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
    assert len(error.strip().splitlines()) == 1, error
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


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_sixteen_bits_in_and_out(name, tmp_path, network, weights):
    deep = PHOTOGRAPH.astype(np.uint16) * 257 + 40
    write_image(tmp_path / "in.png", deep)
    arguments = ("-o", tmp_path / name, "--bits", "16", "--weights", weights)
    assert deblur(tmp_path / "in.png", *arguments) == 0
    expected = restore_image(network, deep, bits=16).astype(int)
    assert np.abs(read_image_16(tmp_path / name) - expected).max() <= 3
    assert len(np.unique(read_image_16(tmp_path / name) % 257)) > 100
    assert deblur(tmp_path / "in.png", "-o", tmp_path / "x.jpg", *arguments[2:]) == 2
    jpeg = save(tmp_path / "a.jpg")
    assert plan_outputs([jpeg], tmp_path / "out", 16) == [(jpeg, tmp_path / "out" / "a.png")]


class Same(nn.Module):
    def forward(self, x: torch.Tensor, finest: bool = False):
        return x


@pytest.mark.parametrize("bits", [8, 16])
def test_transparency_is_restored_with_the_colours_or_its_loss_is_told(bits, tmp_path):
    """A network that changes nothing gives what was there, as it looks on white."""
    alpha = np.linspace(0, 255, PHOTOGRAPH.shape[1]).astype(np.uint8)
    alpha = np.broadcast_to(alpha, PHOTOGRAPH.shape[:2])
    source = save(tmp_path / "in.png", np.dstack([PHOTOGRAPH, alpha]))
    seen: list[tuple[int, int]] = []
    restored = restore_file(
        source, Same(), tile=64, bits=bits, progress=lambda done, of: seen.append((done, of))
    )
    assert write_restored(restored, tmp_path / "x.png", source) == ()
    assert np.array_equal(
        read_photograph(tmp_path / "x.png").alpha // (257 if bits == 16 else 1), alpha
    )
    assert np.abs(read_image(tmp_path / "x.png").astype(int) - read_image(source)).max() <= 1
    assert seen == [(i + 1, len(seen)) for i in range(len(seen))]
    if bits == 8:
        (note,) = write_restored(restored, tmp_path / "x.jpg", source)
        assert "transparency was put on white" in note


def test_of_several_frames_the_first_is_taken_and_that_is_told(tmp_path, weights, capsys):
    pictures = [Image.new("RGB", (70, 66), colour) for colour in ("red", "blue")]
    pictures[0].save(tmp_path / "x.gif", save_all=True, append_images=pictures[1:])
    assert deblur(tmp_path / "x.gif", "-o", tmp_path / "out", "--weights", weights) == 0
    assert "of its 2 pictures the first was taken" in capsys.readouterr().out


def test_a_folder_of_every_kind(tmp_path, weights, capsys):
    folder = tmp_path / "in"
    for name in ("a.avif", "b.webp", "c.jfif", "d.png"):
        save(folder / name, format="JPEG" if name == "c.jfif" else None)
    for name in ("e.nef", "f.heic", "g.txt", ".hidden.png", "Thumbs.db", "README"):
        (folder / name).write_text("x")
    (folder / "inner").mkdir()
    assert deblur(folder, "-o", tmp_path / "out", "--weights", weights) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a.png", "b.webp", "c.jfif", "d.png"]
    line = capsys.readouterr().err.splitlines()[0]
    for part in ("1 .nef (camera raw", "1 .txt", "1 hidden", "1 .db", "1 without a suffix",
                 "1 folder"):  # fmt: skip
        assert part in line
    (tmp_path / "raws").mkdir()
    (tmp_path / "raws" / "a.cr3").write_text("x")
    assert deblur(tmp_path / "raws", "-o", tmp_path / "out", "--weights", weights) == 2
    assert "no images in this folder (1 .cr3" in capsys.readouterr().err


def test_one_name_in_two_formats_is_no_collision(tmp_path):
    for name in ("a.bmp", "a.png", "b.bmp"):
        save(tmp_path / "in" / name)
    targets = [target.name for _, target in plan_outputs([tmp_path / "in"], tmp_path / "out")]
    assert targets == ["a.bmp.png", "a.png", "b.png"]


@pytest.mark.parametrize("name", ["x.heic", "x.bmp", "x.gif", "x.dng", "x.avif", "x.exr", "x.PDF"])
def test_formats_that_are_not_written_make_no_folder(name, tmp_path, weights, capsys):
    source = save(tmp_path / "cat.png")
    assert deblur(source, "-o", tmp_path / name, "--weights", weights) == 2
    assert "not written to" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]


def test_names_that_the_system_refuses_are_one_sentence(tmp_path, weights, capsys, monkeypatch):
    source = save(tmp_path / "cat.png")
    long = tmp_path / ("n" * 300)
    assert deblur(source, "-o", long, "--weights", weights) == 2
    assert "File name too long" in capsys.readouterr().err
    assert deblur(source, "-o", f"{long}.png", "--weights", weights) == 2
    assert "File name too long" in capsys.readouterr().err
    assert deblur(f"{long}.png", "-o", tmp_path / "out", "--weights", weights) in (1, 2)
    assert "File name too long" in capsys.readouterr().err

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read every folder
    assert deblur(tmp_path, "-o", tmp_path / "out", "--weights", weights) == 2
    assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("odd"), AttributeError("round")])
def test_no_single_file_ends_a_batch(error, tmp_path, weights, capsys, monkeypatch):
    from reblur.evaluation import deblurring

    sources = [save(tmp_path / "in" / f"{name}.png") for name in "abc"]
    right = deblurring.read_photograph

    def fail(path):
        if path == sources[1]:
            raise error
        return right(path)

    monkeypatch.setattr(deblurring, "read_photograph", fail)
    assert deblur(tmp_path / "in", "-o", tmp_path / "out", "--weights", weights) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    told = capsys.readouterr().err
    assert f"reblur: {sources[1]}: " in told
    assert "restored 2 of 3 photographs (1 failed)" in told


def run(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "reblur.cli",
        "deblur",
        "--device",
        "cpu",
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, timeout=120, **options)


def test_a_terminal_that_is_not_utf_8_and_one_that_is_gone(tmp_path, weights):
    source = save(tmp_path / "Fotos für Änne.png")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    made = run(source, "-o", tmp_path / "out", "--weights", weights, env=environment)
    assert made.returncode == 0, made.stderr
    assert rb"f\xfcr" in made.stdout
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "reblur.cli", "deblur", str(source), "--overwrite", "-o",
               str(tmp_path / "out"), "--weights", str(weights)]  # fmt: skip
    gone = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=120)
    os.close(writing)
    assert gone.returncode == 0, gone.stderr
    assert b"restored 1 of 1 photographs, " in gone.stderr
    assert b"BrokenPipe" not in gone.stderr


def test_a_page_with_a_slider_for_each_photograph(tmp_path, weights):
    save(tmp_path / "in" / "<a>.png")
    save(tmp_path / "in" / "wide.png", np.tile(PHOTOGRAPH[:64], (1, 10, 1)))
    page = tmp_path / "page.html"
    arguments = ("-o", tmp_path / "out", "--weights", weights, "--compare", page)
    assert deblur(tmp_path / "in", *arguments) == 0
    text = page.read_text()
    assert text.count('type="range"') == 3  # the wide one whole and its middle
    assert "&lt;a&gt;.png: 180×120" in text
    assert "wide.png: 1800×64, shown at 89 %" in text
    assert "http" not in text.replace("data:image", "")
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    sizes = [Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in pictures]
    assert sorted(sizes) == sorted(2 * [(180, 120), (1600, 57), (640, 64)])
