"""The image loader: every kind of file in, upright 8-bit RGB out; bad files named with a remedy."""

import contextlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from reblur.datasets.images.files import (
    is_image,
    read_image,
    read_image_16,
    to_tensor,
    to_uint8,
    to_uint16,
    write_image,
)
from reblur.errors import ReblurError

WHITE = (255, 255, 255)


def picture(height: int = 12, width: int = 17) -> np.ndarray:
    """A picture without symmetry: every pixel differs from its neighbours."""
    rows, columns = np.mgrid[:height, :width]
    channels = [rows * 13 + columns * 5, rows * 3 + columns * 11, 255 - rows * 7 - columns * 4]
    return np.stack([c % 256 for c in channels], axis=2).astype(np.uint8)


def of_mode(mode: str) -> tuple[Image.Image, np.ndarray]:
    """An image in a Pillow mode and the RGB values that it stands for."""
    rgb = picture()
    grey = np.repeat(rgb[..., :1], 3, axis=2)
    alpha = np.zeros(rgb.shape[:2], np.uint8)
    alpha[:, ::2] = 255
    seen = alpha[..., None] == 255
    if mode == "1":
        dots = rgb[..., 0] > 127
        return Image.fromarray(dots), np.repeat(dots[..., None] * np.uint8(255), 3, axis=2)
    if mode == "L":
        return Image.fromarray(grey[..., 0]), grey
    if mode == "LA":
        pixels = np.dstack([grey[..., 0], alpha])
        return Image.fromarray(pixels, "LA"), np.where(seen, grey, 255)
    if mode == "RGBA":
        return Image.fromarray(np.dstack([rgb, alpha]), "RGBA"), np.where(seen, rgb, 255)
    if mode == "P":
        image = Image.fromarray(rgb // 128 * 255).quantize(8)
        return image, rgb // 128 * 255
    if mode == "CMYK":
        image = Image.fromarray(rgb).convert("CMYK")
        return image, rgb
    return Image.fromarray(rgb), rgb


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "P", "RGB"])
def test_modes_of_a_png(mode, tmp_path):
    image, expected = of_mode(mode)
    image.save(tmp_path / "x.png")
    assert np.array_equal(read_image(tmp_path / "x.png"), expected)


def test_palette_with_a_transparent_entry(tmp_path):
    image = Image.new("P", (4, 2))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 1)
    for name in ("x.png", "x.gif"):
        image.save(tmp_path / name, transparency=1)
        pixels = read_image(tmp_path / name)
        assert tuple(pixels[0, 0]) == WHITE
        assert tuple(pixels[1, 3]) == (10, 20, 30)


def test_grey_with_a_transparent_value(tmp_path):
    image = Image.new("L", (4, 2), 90)
    image.putpixel((0, 0), 7)
    image.save(tmp_path / "x.png", transparency=7)
    assert tuple(read_image(tmp_path / "x.png")[0, 0]) == WHITE
    assert tuple(read_image(tmp_path / "x.png")[1, 1]) == (90, 90, 90)


def test_cmyk(tmp_path):
    image, expected = of_mode("CMYK")
    image.save(tmp_path / "x.tif")
    assert np.array_equal(read_image(tmp_path / "x.tif"), expected)
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "x.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "x.jpg").astype(int) - (255, 0, 0)).max() <= 3


def test_damaged_profile_of_a_cmyk_file_is_passed_over(tmp_path):
    image, expected = of_mode("CMYK")
    image.save(tmp_path / "x.tif", icc_profile=b"not a profile")
    assert np.array_equal(read_image(tmp_path / "x.tif"), expected)


def test_eight_bits_scaled_to_sixteen(tmp_path):
    write_image(tmp_path / "x.png", picture())
    deep = read_image_16(tmp_path / "x.png")
    assert deep.dtype == np.uint16
    assert np.array_equal(deep, picture().astype(np.uint32) * 257)


@pytest.mark.parametrize("orientation", [0, 9, 4711])
def test_senseless_orientation_is_passed_over(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "x.png"), picture())


def test_one_pixel(tmp_path):
    write_image(tmp_path / "x.png", picture(1, 1))
    assert read_image(tmp_path / "x.png").shape == (1, 1, 3)


def test_result_is_writeable_and_contiguous(tmp_path):
    write_image(tmp_path / "x.png", picture())
    pixels = read_image(tmp_path / "x.png")
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous


def encoded(kind: str) -> bytes:
    large = np.kron(picture(), np.ones((8, 8, 1), np.uint8))
    if kind == "deep.png":
        deep = np.random.default_rng(0).integers(0, 65536, (64, 64, 3), np.uint16)
        return cv2.imencode(".png", deep)[1].tobytes()
    stream = io.BytesIO()
    Image.fromarray(large).save(stream, format=kind.upper())
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "bmp", "deep.png"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_files_are_refused(kind, share, tmp_path):
    whole = encoded(kind)
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ReblurError, match=r"cut\.\w+.*(again|convert)"):
        read_image(path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(["png", "jpeg", "webp", "tiff", "bmp", "deep.png"]), st.data())
def test_damaged_bytes_raise_nothing_else(tmp_path, kind, data):
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 400) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path = tmp_path / "damaged"
    path.write_bytes(bytes(content))
    with contextlib.suppress(ReblurError):  # anything else fails the test
        assert read_image(path).ndim == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"no image at all", "is not an image"), (b"\x89PNG\r\n\x1a\n", "")],
)
def test_no_image(content, said, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(ReblurError, match=f"x.png: {said}"):
        read_image(path)


def test_missing_and_folder(tmp_path):
    with pytest.raises(ReblurError, match="no such file"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(ReblurError, match="cannot be read"):
        read_image(tmp_path)


def test_too_many_pixels(tmp_path, monkeypatch):
    write_image(tmp_path / "x.png", picture(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ReblurError, match="megapixels"):
        read_image(tmp_path / "x.png")


def test_tensors(tmp_path):
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor(values)
    assert tensor.shape == (3, 16, 16)
    assert tensor.dtype == torch.float32
    assert (tensor.min(), tensor.max()) == (0, 1)
    assert np.array_equal(to_uint8(tensor), values)
    outside = torch.tensor([-0.5, 1.7, 100.6 / 255, 100.4 / 255]).expand(3, 1, 4)
    assert to_uint8(outside)[0, :, 0].tolist() == [0, 255, 101, 100]
    assert to_uint8(tensor.bfloat16().requires_grad_()).shape == values.shape


def test_paths_may_be_texts(tmp_path):
    write_image(str(tmp_path / "x.png"), picture())
    assert np.array_equal(read_image(str(tmp_path / "x.png")), picture())
    assert isinstance(tmp_path, Path)


def test_sixteen_bits_and_tensors():
    values = np.arange(65536, dtype=np.uint16).repeat(3).reshape(256, 256, 3)
    assert np.array_equal(to_uint16(to_tensor(values)), values)
    assert float(to_tensor(values).max()) == 1


def test_memory_that_runs_out_is_no_damaged_file(tmp_path, monkeypatch):
    def fail(self):
        raise MemoryError

    write_image(tmp_path / "x.png", picture())
    monkeypatch.setattr(Image.Image, "load", fail)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(ReblurError, match="memory does not hold it"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("name", ["x.pdf", "x.txt", "Thumbs.db", "x.mpg", ".x.png", "x.nef"])
def test_what_is_no_image(name):
    assert not is_image(Path(name))
