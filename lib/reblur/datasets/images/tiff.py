"""TIFFs of more than 8 bits, with planes apart or with extra samples, by tifffile.

What is read is what Pillow gives for the same picture in 8 bits: grey (either way round), RGB and
CMYK, in strips or tiles, with planes together or apart, with straight or premultiplied alpha.
"""

import io
import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from reblur.datasets.images.decoding import (
    ORIENTATION,
    RAW,
    RAW_SUFFIXES,
    Pixels,
    colours,
    sixteen_bits,
)
from reblur.errors import ReblurError

BITS, PHOTOMETRIC, PLANAR, PREDICTOR, EXTRA, FORMAT = 258, 262, 284, 317, 338, 339
DNG_VERSION, PROFILE = 50706, 34675
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK, YCBCR = 0, 1, 2, 5, 6
SENSOR = (32803, 34892)  # photometric: colour filter array, linear raw
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, CMYK: 4}
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2  # what an extra sample is
LZW, ZSTD = 5, 50000
LOSSLESS = (1, LZW, 8, 32946, 32773, 34925, ZSTD)
REDUCED, MASK = 1, 4  # bits of NewSubfileType


def read_tiff(data: bytes, path: Path) -> Pixels | None:
    """The first picture of a TIFF; None: Pillow reads it rightly, or says better what is wrong.

    Raises:
        ReblurError: a camera's raw file, or a kind that has no plain way to RGB.
    """
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        file = tifffile.TiffFile(io.BytesIO(data))
        page = file.pages.first
        camera = _is_raw(page, data, path)
        preview = page.subfiletype & REDUCED and (len(file.pages) > 1 or page.subifds)
    except Exception:  # a damaged directory
        if path.suffix.lower() in RAW_SUFFIXES:
            raise ReblurError(f"{path}: {RAW}") from None
        return None
    if camera:
        raise ReblurError(f"{path}: {RAW}")
    if preview:
        raise ReblurError(
            f"{path}: its first picture is a small preview of another one; save that one alone."
        )
    bits, formats = _all(page, BITS, 1), _all(page, FORMAT, 1)
    if len(bits | formats) > 2 or len(bits) > 1 or len(formats) > 1:
        raise ReblurError(f"{path}: its channels have different depths; save it as RGB.")
    (bits_of_sample,), (sample_format,) = bits, formats
    if sample_format not in (1, 3):
        raise ReblurError(f"{path}: holds signed or complex values; save it as 8 or 16 bits RGB.")
    subsampled = page.photometric == YCBCR and page.subsampling != (1, 1)
    if subsampled and page.compression == 1:
        raise ReblurError(f"{path}: holds subsampled YCbCr; save it as RGB.")
    ours = page.photometric in COLOURS and page.compression in LOSSLESS
    plain = page.planarconfig == 1 and page.samplesperpixel == COLOURS.get(page.photometric)
    if bits_of_sample < 8 or (bits_of_sample == 8 and (plain or not ours)):
        return None
    return _pixels(page, data, path)


def pictures_in(path: Path) -> int:
    """How many pictures of its own, without previews and masks, a TIFF holds."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        return sum(not page.subfiletype & (REDUCED | MASK) for page in file.pages)


def _all(page: Any, tag: int, default: int) -> set[int]:
    """The different values of a tag that has one a sample."""
    return set(np.ravel(page.tags.valueof(tag, default=default)).tolist())


def _is_raw(page: Any, data: bytes, path: Path) -> bool:
    if path.suffix.lower() in RAW_SUFFIXES or data[8:10] == b"CR" or DNG_VERSION in page.tags:
        return True
    below = page.pages or ()  # SubIFDs
    return any(picture.photometric in SENSOR for picture in (page, *below))


def _pixels(page: Any, data: bytes, path: Path) -> Pixels:
    if page.photometric not in COLOURS:
        raise ReblurError(
            f"{path}: has colours of the kind {_name(page.photometric)}; save as RGB."
        )
    if page.compression not in LOSSLESS:
        raise ReblurError(
            f"{path}: is compressed by {_name(page.compression)}; save it with LZW or none."
        )
    if page.bitspersample not in (8, 16, 32, 64):
        raise ReblurError(f"{path}: has {page.bitspersample} bits a sample; save it with 16.")
    if page.imagewidth * page.imagelength > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError
    used = COLOURS[page.photometric]
    kinds = np.ravel(page.tags.valueof(EXTRA, default=())).tolist()
    extra = page.samplesperpixel - used
    if not kinds and extra == 1 and page.photometric == RGB:
        kinds = [STRAIGHT]  # a fourth sample that nothing is said of: alpha, as Pillow has it
    most = 3 if page.photometric == RGB else 1
    with_alpha = bool(kinds) and kinds[0] in (PREMULTIPLIED, STRAIGHT)
    if not 0 <= extra <= most or len(kinds) != extra or (with_alpha and page.photometric == CMYK):
        raise ReblurError(f"{path}: has {page.samplesperpixel} channels; save it as RGB.")
    kept = _samples(page, data)[..., : used + with_alpha]
    kept = kept if kept.dtype == np.uint8 else sixteen_bits(kept, path)
    top = np.iinfo(kept.dtype).max
    orientation = page.tags.valueof(ORIENTATION, default=1)
    orientation = orientation if orientation in range(1, 9) else 1
    if page.photometric == CMYK:
        eight = kept if top == 255 else ((kept.astype(np.uint32) + 128) // 257).astype(np.uint8)
        image = Image.fromarray(np.ascontiguousarray(eight), "CMYK")
        image.info["icc_profile"] = page.tags.valueof(PROFILE)
        return Pixels(colours(image, path), None, orientation)
    colour, alpha = kept[..., :used], kept[..., -1] if with_alpha else None
    if with_alpha and kinds[0] == PREMULTIPLIED:
        opacity = np.maximum(alpha, 1)[..., None].astype(np.uint32)
        straight = np.minimum((colour * np.uint32(top) + opacity // 2) // opacity, top)
        colour = straight.astype(kept.dtype)
    if page.photometric == WHITE_IS_ZERO:
        colour = top - colour
    return Pixels(colour if used == 3 else colour.repeat(3, axis=2), alpha, orientation)


def _name(value: Any) -> str:
    return getattr(value, "name", str(value))


def _samples(page: Any, data: bytes) -> np.ndarray:
    """(H, W, S) of the file's own type, from its strips or tiles.

    LZW, ZSTD and the floating-point predictor, which tifffile leaves to another package, are undone
    here (the first two by Pillow's libtiff), and tifffile told so.
    """
    compression, predictor = page.compression, page.predictor
    if compression in (LZW, ZSTD) or predictor == 3:
        page.compression, page.predictor = 1, 1 if predictor == 3 else predictor
    planes, depth, height, width, channels = page.shaped
    if compression == 1 and height * width * channels * planes * page.bitspersample > 8 * len(data):
        raise ValueError("strips or tiles are missing")
    samples = np.empty((planes, height, width, channels), page.dtype)
    row = (page.tilewidth if page.is_tiled else width) * channels * page.bitspersample // 8
    decode = page.decode
    filled = 0
    for index, (at, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        segment = data[at : at + count]
        if len(segment) < count or not count:
            raise ValueError("a strip or tile is missing")
        if compression in (LZW, ZSTD):
            rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, height)
            below = height - index * rows % (rows * -(-height // rows))
            segment = _unpack(
                segment, row, rows if page.is_tiled else min(rows, below), compression
            )
        elif predictor == 3 and compression != 1:
            import tifffile

            segment = tifffile.TIFF.DECOMPRESSORS[compression](segment)
        if predictor == 3:
            segment = _undo_float_predictor(segment, row, channels, page)
        values, (plane, _, top, left, _), _ = decode(segment, index)
        values = values[0, : height - top, : width - left]
        samples[plane, top : top + values.shape[0], left : left + values.shape[1]] = values
        filled += values.size
    if filled != samples.size or depth != 1:
        raise ValueError("strips or tiles are missing")
    return samples[0] if planes == 1 else np.moveaxis(samples[..., 0], 0, 2)


def _unpack(segment: bytes, row: int, rows: int, compression: int) -> bytes:
    """The bytes of a compressed strip, as the pixels of a grey TIFF that is made around it."""
    entries = [(256, row), (257, rows), (258, 8), (259, compression), (262, 1), (273, 0)]
    entries += [(277, 1), (278, rows), (279, len(segment))]
    start = 8 + 2 + 12 * len(entries) + 4
    entries[5] = (273, start)
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)
    with TiffImageFile(io.BytesIO(head + segment)) as image:
        return image.tobytes()


def _undo_float_predictor(segment: bytes, row: int, channels: int, page: Any) -> bytes:
    """Adobe's TIFF Technical Note 3: bytes apart by significance, each the difference to the last
    of its channel along a row."""
    size = page.bitspersample // 8
    rows = np.frombuffer(segment, np.uint8)[: len(segment) // row * row].reshape(
        -1, row // channels, channels
    )
    planes = np.cumsum(rows, axis=1, dtype=np.uint8).reshape(len(rows), size, -1)
    values = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f">f{size}")
    return values.astype(values.dtype.newbyteorder(page.parent.byteorder)).tobytes()
