"""One list of kinds of image files against the values that they stand for, or the refusal."""

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from reblur.datasets.images.files import (
    is_image,
    read_image,
    read_image_16,
    read_photograph,
)
from reblur.errors import ReblurError

H, W = 37, 45


BANDS = np.random.default_rng(0).integers(0, 256, (H, W, 6)).astype(np.uint8)


GREY, RGB = BANDS[..., :1].repeat(3, axis=2).astype(float), BANDS[..., :3].astype(float)


TYPES = ["u1", "u2", "u4", "f2", "f4", "f8"]


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    opacity = alpha[..., None] / 255
    return np.round(colour * opacity + 255 * (1 - opacity))


def deep(bands: np.ndarray, kind: str) -> np.ndarray:
    if kind[0] == "f":
        return (bands / 255).astype(kind)
    return bands.astype(kind) * np.array({"u1": 1, "u2": 257, "u4": 257}[kind], kind)


# photometric, extra samples, and what the bands stand for
TIFFS: dict[str, tuple[str, list[str], np.ndarray]] = {
    "grey": ("minisblack", [], GREY),
    "white is zero": ("miniswhite", [], 255 - GREY),
    "grey, alpha": ("minisblack", ["unassalpha"], on_white(GREY, BANDS[..., 1])),
    "grey, premultiplied": ("minisblack", ["assocalpha"], on_white(GREY, BANDS[..., 1])),
    "grey, unspecified": ("minisblack", ["unspecified"], GREY),
    "rgb": ("rgb", [], RGB),
    "rgb, alpha": ("rgb", ["unassalpha"], on_white(RGB, BANDS[..., 3])),
    "rgb, premultiplied": ("rgb", ["assocalpha"], on_white(RGB, BANDS[..., 3])),
    "rgb, unspecified": ("rgb", ["unspecified"], RGB),
    "rgb, alpha, unspecified": (
        "rgb",
        ["unassalpha", "unspecified"],
        on_white(RGB, BANDS[..., 3]),
    ),
    "cmyk": ("separated", [], np.round((255 - RGB) * (255 - BANDS[..., 3:4]) / 255)),
}


def write_tiff(path: Path, kind: str, depth: str, planes: str, **layout) -> None:
    photometric, extra, _ = TIFFS[kind]
    count = {"rgb": 3, "separated": 4}.get(photometric, 1) + len(extra)
    bands = BANDS[..., :count].copy()
    if "assocalpha" in extra:
        bands[..., :-1] = np.round(bands[..., :-1] * (bands[..., -1:] / 255))
    bands = deep(bands, depth)
    bands = bands[..., 0] if count == 1 else bands
    if count > 1:
        layout["planarconfig"] = planes
        bands = np.moveaxis(bands, 2, 0) if planes == "separate" else bands
    tifffile.imwrite(
        path,
        np.ascontiguousarray(bands),
        photometric=photometric,
        extrasamples=extra or None,
        metadata=None,
        **layout,
    )


@pytest.mark.parametrize("depth", TYPES)
@pytest.mark.parametrize("kind", TIFFS)
def test_tiffs(kind, depth, tmp_path):
    expected = TIFFS[kind][2]
    tolerance = 1 + (depth == "f2") + ("premultiplied" in kind) + (kind == "cmyk")
    pieces = [{}, {"rowsperstrip": 8}, {"tile": (16, 32)}]
    packings = [{}, {"compression": "deflate"}, {"compression": "deflate", "predictor": 2}]
    for planes, piece, packing, order in itertools.product(
        ("contig", "separate"), pieces, packings, "<>"
    ):
        if packing.get("predictor") and depth[0] == "f":
            continue
        layout = {**piece, **packing, "byteorder": order}
        write_tiff(tmp_path / "x.tif", kind, depth, planes, **layout)
        error = np.abs(read_image(tmp_path / "x.tif").astype(float) - expected).max()
        assert error <= tolerance, (planes, layout)


def by_pillow(values: np.ndarray, compression: str) -> bytes:
    """Bytes compressed by libtiff, as the only strip of an image of bytes."""
    stream = io.BytesIO()
    rows = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8).reshape(len(values), -1)
    Image.fromarray(rows).save(stream, "TIFF", compression=compression, strip_size=1 << 30)
    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page = file.pages.first
        (at,), (count,) = page.dataoffsets, page.databytecounts
    return stream.getvalue()[at : at + count]


@pytest.mark.parametrize("code", ["lzw", "zstd"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_compressions_of_deep_tiffs_that_tifffile_leaves_to_others(code, planes, tmp_path):
    """In strips of 16 rows, the last one shorter."""
    deep_rgb = BANDS[..., :3].astype("<u2") * 257
    parts = [deep_rgb] if planes == "contig" else list(np.moveaxis(deep_rgb, 2, 0))
    strips = [
        by_pillow(part[i : i + 16], {"lzw": "tiff_lzw"}.get(code, code))
        for part in parts
        for i in range(0, H, 16)
    ]
    shape = deep_rgb.shape if planes == "contig" else (3, H, W)
    tifffile.imwrite(
        tmp_path / "x.tif",
        iter(strips),
        shape=shape,
        dtype="<u2",
        photometric="rgb",
        planarconfig=planes,
        compression="deflate",
        rowsperstrip=16,
        metadata=None,
    )
    with tifffile.TiffFile(tmp_path / "x.tif", mode="r+b") as file:
        file.pages.first.tags["Compression"].overwrite({"lzw": 5, "zstd": 50000}[code])
    assert np.array_equal(read_image_16(tmp_path / "x.tif"), deep_rgb)


def test_floating_point_predictor(tmp_path):
    """Bytes apart by significance, then differences: TIFF Technical Note 3."""
    values = (BANDS[..., :3] / 255).astype(">f4")
    apart = np.moveaxis(values.view(np.uint8).reshape(H, -1, 4), 2, 1).reshape(H, -1, 3)
    steps = np.diff(apart, axis=1, prepend=np.zeros((H, 1, 3), np.uint8)).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "x.tif",
        iter([zlib.compress(steps.tobytes())]),
        shape=(H, W, 3),
        dtype="<f4",
        photometric="rgb",
        compression="deflate",
        metadata=None,
        rowsperstrip=H,
        extratags=[(316, 3, 1, 3, True)],
    )
    content = (tmp_path / "x.tif").read_bytes()
    predictor = (struct.pack("<HHIHH", tag, 3, 1, 3, 0) for tag in (316, 317))
    (tmp_path / "x.tif").write_bytes(content.replace(*predictor))
    assert np.abs(read_image(tmp_path / "x.tif") - RGB).max() <= 1


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(colour: int, bits: int, bands: np.ndarray, key: tuple[int, ...] = ()) -> bytes:
    """A PNG of (H, W, C) values of so many bits, unfiltered."""
    rows = np.unpackbits(bands.astype(">u2").view(np.uint8), axis=-1).reshape(*bands.shape, 16)
    rows = np.packbits(rows[..., 16 - bits :].reshape(len(bands), -1), axis=1)
    head = struct.pack(">IIBBBBB", bands.shape[1], len(bands), bits, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    see_through = chunk(b"tRNS", np.array(key, ">u2").tobytes()) if key else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + see_through
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("with_key", [False, True])
@pytest.mark.parametrize(
    ("colour", "bits"),
    [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (4, 8), (4, 16), (6, 8), (6, 16)],
)
def test_pngs(colour, bits, with_key, tmp_path):
    if with_key and colour > 2:
        pytest.skip("alpha and a transparent colour exclude each other")
    top = 2**bits - 1
    stored = BANDS[..., : {0: 1, 2: 3, 4: 2, 6: 4}[colour]].astype(np.uint32) * 257 >> (16 - bits)
    key = tuple(stored[3, 5].tolist()) if with_key else ()
    (tmp_path / "x.png").write_bytes(png(colour, bits, stored, key))
    eight = np.round(stored / top * 255)
    expected = eight[..., :3] if colour in (2, 6) else eight[..., :1].repeat(3, axis=2)
    if colour in (4, 6):
        expected = on_white(expected, eight[..., -1])
    if with_key:
        expected[(stored == stored[3, 5]).all(axis=2)] = 255
    assert np.abs(read_image(tmp_path / "x.png") - expected).max() <= 1


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_jpeg_2000_of_more_than_8_bits(bits, bands, tmp_path):
    """OpenCV writes 16 bits; the header then says fewer, for values that are centred for that."""
    values = BANDS[..., :bands].astype(int)
    values[0, 0] = 255  # white
    stored = np.round(values / 255 * (2**bits - 1)) + 2**15 - 2 ** (bits - 1)
    order = [2, 1, 0, 3][:bands] if bands > 1 else [0]
    options = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    data = cv2.imencode(".jp2", stored.astype(np.uint16)[..., order], options)[1]
    sizes = data.tobytes().index(b"\xff\x51") + 40  # one of each band
    data[sizes : sizes + 3 * bands : 3] = bits - 1
    data[data.tobytes().index(b"ihdr") + 14] = bits - 1
    (tmp_path / "x.jp2").write_bytes(data.tobytes())
    colour = values[..., :3] if bands > 1 else values.repeat(3, axis=2)
    expected = on_white(colour, values[..., 3]) if bands == 4 else colour
    assert np.abs(read_image(tmp_path / "x.jp2") - expected).max() <= 1


@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
@pytest.mark.parametrize("maximum", [1, 15, 100, 255, 256, 1023, 4095, 65535])
def test_pnm_of_any_maximum(kind, maximum, tmp_path):
    bands = 3 if kind in ("P3", "P6") else 1
    stored = np.round(BANDS[..., :bands] / 255 * maximum).astype(int)
    head = f"{kind}\n# a remark\n{W} {H}\n{maximum}\n".encode()
    if kind in ("P2", "P3"):
        body = " ".join(map(str, stored.ravel())).encode()
    else:
        body = stored.astype(">u2" if maximum > 255 else "u1").tobytes()
    (tmp_path / "x.pnm").write_bytes(head + body)
    expected = np.broadcast_to(np.round(stored / maximum * 255), RGB.shape)
    assert np.abs(read_image(tmp_path / "x.pnm") - expected).max() <= 1


def saved_tiff(values: np.ndarray, **options) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, values, metadata=None, **options)


def raw_like(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(BANDS[..., :3], photometric="rgb", subfiletype=1, subifds=1, metadata=None)
        file.write(
            BANDS[..., 0].astype(np.uint16),
            photometric=32803,
            metadata=None,
            extratags=[(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True)],
        )


def preview_first(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(BANDS[::2, ::2, :3], photometric="rgb", subfiletype=1, metadata=None)
        file.write(BANDS[..., :3], photometric="rgb", metadata=None)


BAND = BANDS[..., 0]


REFUSED: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "signed": ("tif", saved_tiff(BAND.astype(np.int16)), "signed"),
    "signed bytes": ("tif", saved_tiff((BAND // 2).astype(np.int8)), "signed"),
    "32 bits": ("tif", saved_tiff(BAND.astype(np.uint32) << 24), "more than 16 bits"),
    "not a number": ("tif", saved_tiff(np.full((4, 5), np.nan, np.float32)), "outside"),
    "negative": ("tif", saved_tiff(np.full((4, 5), -0.2, np.float32)), "outside"),
    "bright": ("tif", saved_tiff(np.full((4, 5), 1.2, np.float32)), "outside"),
    "lab": ("tif", saved_tiff(BANDS[..., :3], photometric="cielab"), "mode LAB"),
    "deep lab": ("tif", saved_tiff(BANDS[..., :3].astype("u2"), photometric="cielab"), "CIELAB"),
    "five bands": (
        "tif",
        saved_tiff(BANDS[..., :5].astype("u2"), photometric="minisblack", planarconfig="contig"),
        "5 channels",
    ),
    "cmyk, alpha": (
        "tif",
        saved_tiff(BANDS[..., :5].astype("u2"), photometric="separated",
                   extrasamples=["unassalpha"]),
        "5 channels",
    ),
    "raw": ("dng", raw_like, "raw file.*darktable"),
    "raw by another name": ("tif", raw_like, "raw file.*darktable"),
    "preview": ("tif", preview_first, "preview"),
    "a drawing": (
        "eps", lambda path: Image.new("L", (9, 9)).save(path), "not an image in a known format"
    ),
    "raw, unknown": ("cr3", lambda path: path.write_bytes(b"\0\0\0\x18ftypcrx "), "raw file"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_rightly_is_refused(name, tmp_path, capfd):
    suffix, write, said = REFUSED[name]
    write(tmp_path / f"x.{suffix}")
    for read in (read_image, read_image_16, read_photograph):
        with pytest.raises(ReblurError, match=said) as caught:
            read(tmp_path / f"x.{suffix}")
        assert str(caught.value).count("\n") == 0
    assert capfd.readouterr().err == ""


def test_heic_is_read_where_its_reader_is_installed(tmp_path):
    path = tmp_path / "x.heic"
    try:
        import pillow_heif
    except ImportError:
        path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(8))
        assert not is_image(path)
        with pytest.raises(ReblurError, match="pip install pillow-heif"):
            read_image(path)
    else:
        smooth = np.kron(BANDS[:3, :4, :3], np.ones((16, 16, 1), np.uint8))
        pillow_heif.from_pillow(Image.fromarray(smooth)).save(path, quality=100)
        assert is_image(path)
        assert np.abs(read_image(path).astype(int) - smooth).mean() < 8


@pytest.mark.parametrize("suffix", ["avif", "jfif", "webp", "jp2", "bmp", "tga", "qoi", "ppm"])
def test_what_pillow_reads_is_an_image(suffix, tmp_path):
    path = tmp_path / f"x.{suffix}"
    smooth = np.kron(BANDS[:3, :4, :3], np.ones((16, 16, 1), np.uint8))
    Image.fromarray(smooth).save(path, **{"format": "JPEG"} if suffix == "jfif" else {})
    assert is_image(path)
    assert np.abs(read_image(path).astype(int) - smooth).mean() < 8


UPRIGHT = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
           5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
           7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90}  # fmt: skip


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["png", "png16", "tif", "tif16", "tif16 apart", "jpg", "avif"])
def test_every_kind_stands_upright(kind, orientation, tmp_path):
    smooth = np.kron(BANDS[:3, :4, :3], np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{kind[:4].strip('1')}"
    if kind == "png16":
        content = png(2, 16, smooth.astype(np.uint32) * 257)
        turned = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        path.write_bytes(content[:33] + turned + content[33:])
    elif kind.startswith("tif16"):
        apart = "apart" in kind
        values = smooth.astype(np.uint16) * 257
        tifffile.imwrite(
            path,
            np.moveaxis(values, 2, 0) if apart else values,
            photometric="rgb",
            planarconfig="separate" if apart else "contig",
            metadata=None,
            extratags=[(274, 3, 1, orientation, True)],
        )
    else:
        Image.fromarray(smooth).save(path, exif=exif, quality=95)
    expected = UPRIGHT[orientation](smooth).astype(int)
    got = read_image(path)
    assert got.shape == expected.shape
    assert np.abs(got - expected).mean() < (4 if kind in ("jpg", "avif") else 1e-9)


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png", "mpo"])
@pytest.mark.parametrize("count", [1, 3])
def test_frames_are_counted(suffix, count, tmp_path):
    pictures = [Image.new("RGB", (16, 16), (60 * i, 0, 90)) for i in range(count)]
    many = {"save_all": True, "append_images": pictures[1:]} if count > 1 else {}
    pictures[0].save(tmp_path / f"x.{suffix}", **many)
    photograph = read_photograph(tmp_path / f"x.{suffix}")
    assert photograph.frames == count
    assert np.abs(photograph.pixels[0, 0] - np.array([0.0, 0, 90])).max() < 9


def test_previews_are_no_frames(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(BANDS[..., :3].astype(np.float32) / 255, photometric="rgb", metadata=None)
        file.write(BANDS[::2, ::2, :3], photometric="rgb", subfiletype=1, metadata=None)
    assert read_photograph(tmp_path / "x.tif").frames == 1


@pytest.mark.parametrize("kind", ["u2", "f4"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_tiff_is_told_without_a_line_of_a_library(kind, share, tmp_path, capfd):
    write_tiff(tmp_path / "x.tif", "rgb", kind, "separate", rowsperstrip=8)
    whole = (tmp_path / "x.tif").read_bytes()
    (tmp_path / "x.tif").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ReblurError, match="copy or fetch it again"):
        read_image(tmp_path / "x.tif")
    assert capfd.readouterr().err == ""
