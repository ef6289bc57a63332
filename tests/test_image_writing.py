"""What is written: every format, depth and transparency, with the metadata of the source."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from reblur.datasets.images.files import read_image, read_image_16, read_photograph, write_image
from reblur.errors import ReblurError
from test_image_kinds import BANDS, RGB, H, W, on_white
from test_images import picture


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "jpg", "jpeg", "webp", "PNG"])
def test_written_files_read_back(suffix, tmp_path):
    smooth = np.kron(picture(3, 4), np.ones((16, 16, 1), np.uint8))
    write_image(tmp_path / f"x.{suffix}", smooth)
    error = np.abs(read_image(tmp_path / f"x.{suffix}").astype(int) - smooth)
    lossless = suffix.lower() in ("png", "tif", "tiff")
    assert error.max() == 0 if lossless else error.mean() < 4


def test_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(ReblurError, match=r"cannot write \.xyz; name it with one of \.png"):
        write_image(tmp_path / "x.xyz", picture())
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_image(tmp_path / "x.png", picture())

    def fail(self, path, **options):
        path.write_bytes(b"half")
        raise RuntimeError("stopped")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(RuntimeError):
        write_image(tmp_path / "x.png", 255 - picture())
    monkeypatch.undo()
    assert np.array_equal(read_image(tmp_path / "x.png"), picture())
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_a_profile_of_other_colours_is_not_handed_on(tmp_path):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"CMYK"
    Image.fromarray(picture()).save(tmp_path / "original.png", icc_profile=bytes(profile))
    write_image(tmp_path / "x.png", picture(), like=tmp_path / "original.png")
    with Image.open(tmp_path / "x.png") as image:
        assert "icc_profile" not in image.info
        assert not image.getexif()


@pytest.mark.parametrize(("name", "dtype"), [("x.png", "u1"), ("x.png", "u2"), ("x.tif", "u1"),
                                             ("x.tif", "u2"), ("x.webp", "u1")])  # fmt: skip
def test_transparency_and_depth_are_written_and_read(name, dtype, tmp_path):
    values = BANDS[..., :4].astype(dtype) * np.array(257 if dtype == "u2" else 1, dtype)
    assert write_image(tmp_path / name, values) == []
    photograph = read_photograph(tmp_path / name)
    assert photograph.pixels.dtype == dtype
    assert np.array_equal(photograph.alpha, values[..., 3])
    error = np.abs(read_image(tmp_path / name) - on_white(RGB, BANDS[..., 3]))
    assert error.mean() < 25 if "webp" in name else error.max() <= 1
    write_image(tmp_path / name, values[..., :3])
    assert read_photograph(tmp_path / name).alpha is None


@pytest.mark.parametrize(
    ("name", "image", "said"),
    [
        ("x.jpg", BANDS[..., :3].astype(np.uint16), "holds 8 bits"),
        ("x.webp", BANDS[..., :3].astype(np.uint16), "holds 8 bits"),
        ("x.jpg", BANDS[..., :4], "no transparency"),
    ],
)
def test_what_a_format_cannot_hold_is_said(name, image, said, tmp_path):
    with pytest.raises(ReblurError, match=said):
        write_image(tmp_path / name, image)
    assert not list(tmp_path.iterdir())


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6" xmp:Rating="5"/></x:xmpmeta>'


def photograph_with_everything(path: Path) -> None:
    exif = Image.Exif()
    exif.load(b"")
    exif[0x010F], exif[0x0112], exif[0x9C9B], exif[0x013C] = "A camera", 6, b"T\0\0\0", "host"
    exif[0x8298] = "Änne".encode() if path.suffix != ".avif" else "Anne"  # Pillow would spoil it
    exif.get_ifd(0x8769).update({0x829D: IFDRational(28, 10), 0xA002: W, 0xA003: H})
    exif.get_ifd(0x8825)[1] = "N"
    options: dict[str, object] = {"exif": exif.tobytes(), "xmp": XMP, "icc_profile": PROFILE}
    if path.suffix == ".png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    if path.suffix == ".tif":
        whole = Image.Exif()
        whole.load(exif.tobytes())
        whole[0x8298], whole[700] = exif[0x8298], XMP
        options = {"exif": whole, "icc_profile": PROFILE}
    Image.fromarray(BANDS[..., :3]).save(path, **options)


@pytest.mark.parametrize("target", ["jpg", "png", "tif", "webp", "png 16", "tif 16"])
@pytest.mark.parametrize("source", ["jpg", "png", "tif", "webp", "avif"])
def test_exif_and_xmp_are_handed_on_whole(source, target, tmp_path):
    photograph_with_everything(tmp_path / f"in.{source}")
    name, _, depth = target.partition(" ")
    upright = (read_image_16 if depth else read_image)(tmp_path / f"in.{source}")
    assert upright.shape == (W, H, 3)
    assert write_image(tmp_path / f"x.{name}", upright, like=tmp_path / f"in.{source}") == []
    with Image.open(tmp_path / f"x.{name}") as image:
        exif = image.getexif()
        assert (exif[0x010F], exif[0x0112], exif[0x9C9B], exif[0x013C]) == (
            "A camera", 1, b"T\0\0\0", "host")  # fmt: skip
        assert exif[0x8298].encode("latin-1").decode().removeprefix("Ä").removeprefix("A") == "nne"
        inner = exif.get_ifd(0x8769)
        assert (float(inner[0x829D]), inner[0xA002], inner[0xA003]) == (2.8, H, W)
        assert exif.get_ifd(0x8825)[1] == "N"
        assert image.info["icc_profile"] == PROFILE
        assert image.info["xmp"] == XMP.replace(b'n="6"', b'n="1"')
    if name in ("png", "tif"):
        read = read_image_16 if depth else read_image
        assert np.array_equal(read(tmp_path / f"x.{name}"), upright)


NUMBERS = {
    "rational": (5, struct.pack("<II", 2024, 1)),
    "double": (12, struct.pack("<d", 2024.0)),
    "srational": (10, struct.pack("<ii", 2024, 1)),
    "long": (4, struct.pack("<I", 2024)),
    "float": (11, struct.pack("<f", 2024.0)),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("tag", [0x0132, 0x0110, 0x8298, 0x9003])
def test_a_text_that_is_stored_as_a_number_costs_no_photograph(tag, kind, suffix, tmp_path):
    code, payload = NUMBERS[kind]
    entry = struct.pack("<HHII", tag, code, 1, 8 + 2 + 2 * 12 + 4)
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    first, second = sorted((entry, orientation), key=lambda e: struct.unpack("<H", e[:2]))
    head = b"II*\0" + struct.pack("<IH", 8, 2)
    exif = b"Exif\0\0" + head + first + second + struct.pack("<I", 0) + payload
    Image.fromarray(BANDS[..., :3]).save(tmp_path / "in.jpg", exif=exif)
    upright = read_image(tmp_path / "in.jpg")
    write_image(tmp_path / f"x.{suffix}", upright, like=tmp_path / "in.jpg")
    assert read_image(tmp_path / f"x.{suffix}").shape == upright.shape == (W, H, 3)


def test_metadata_that_are_too_long_for_the_format_are_told(tmp_path):
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "x" * 70000)
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    Image.fromarray(BANDS[..., :3]).save(tmp_path / "in.png", pnginfo=text, exif=exif)
    assert write_image(tmp_path / "x.jpg", BANDS[..., :3], like=tmp_path / "in.png") == ["XMP"]
    with Image.open(tmp_path / "x.jpg") as image:
        assert image.getexif()[0x010F] == "A camera"
