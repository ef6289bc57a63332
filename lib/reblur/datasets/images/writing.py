"""The one door through which every image file goes out; `reblur.datasets.images.files` has both."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from reblur.datasets.images.decoding import png_chunks
from reblur.datasets.images.metadata import handed_on
from reblur.errors import ReblurError
from reblur.files import atomic_path

#: What `write_image` writes, by suffix. PNG and TIFF are lossless; TIFF is not compressed, as
#: Pillow writes the nested EXIF directories of a compressed one wrongly.
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
DEEP_FORMATS = ("PNG", "TIFF")  # those that hold 16 bits
# Options of `save`, and what is lost without them.
_METADATA = {"xmp": "XMP", "pnginfo": "XMP", "exif": "EXIF data"}


def write_image(
    path: Path | str,
    image: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"],
    like: Path | str | None = None,
) -> list[str]:
    """Write an RGB or RGBA image atomically, in the format that the suffix names.

    Args:
        path: .png, .jpg, .jpeg, .jfif, .webp, .tif or .tiff; JPEG and WebP at quality 95, JPEG
            without colour subsampling.
        image: (H, W, 3) values, or (H, W, 4) with straight alpha (no JPEG has one); uint16 in PNG
            and TIFF alone.
        like: a source file whose EXIF data (orientation reset: the pixels stand upright), XMP and
            RGB colour profile are handed on.

    Returns:
        Which of these the format could not hold ("EXIF data", "XMP").

    Raises:
        ReblurError: another suffix, a depth or alpha that the format does not hold, a full disk, or
            a folder that cannot be written.
    """
    path = Path(path)
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise ReblurError(
            f"{path}: cannot write {path.suffix or 'a file without a suffix'}; "
            f"name it with one of {', '.join(FORMATS)}."
        )
    if image.dtype == np.uint16 and file_format not in DEEP_FORMATS:
        raise ReblurError(f"{path}: {file_format} holds 8 bits; write 16 to .png or .tif.")
    if image.shape[2] == 4 and file_format == "JPEG":
        raise ReblurError(f"{path}: JPEG holds no transparency; write it to .png.")
    options: dict[str, Any] = {}
    if like is not None:
        options = handed_on(Path(like), (image.shape[1], image.shape[0]), file_format)
    left_out = []
    while True:
        try:
            with atomic_path(path) as temporary:
                _save(image, temporary, file_format, options)
            return left_out
        except (TypeError, ValueError, AttributeError, KeyError, OverflowError):
            # Too long for the format, or of a type that it does not know: do without.
            for option, name in _METADATA.items():
                if options.pop(option, None) is not None:
                    left_out.append(name)
                    break
            else:
                raise


def _save(image: np.ndarray, path: Path, file_format: str, options: dict[str, Any]) -> None:
    image = np.ascontiguousarray(image)
    if file_format == "JPEG":
        options = options | {"quality": 95, "subsampling": 0}
    elif file_format == "WEBP":
        options = options | {"quality": 95, "exact": image.shape[2] == 4}
    if image.dtype == np.uint8:
        Image.fromarray(image).save(path, format=file_format, **options)
    elif file_format == "PNG":
        _save_png_16(image, path, options)
    else:
        _save_tiff_16(image, path, options)


def _save_png_16(image: np.ndarray, path: Path, options: dict[str, Any]) -> None:
    """By OpenCV, with the other chunks of a PNG of one pixel that Pillow makes."""
    import cv2

    order = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    content = cv2.imencode(".png", cv2.cvtColor(image, order))[1].tobytes()
    with tempfile.SpooledTemporaryFile() as small:
        Image.new("RGB", (1, 1)).save(small, format="PNG", **options)
        small.seek(0)
        pixels = (b"IHDR", b"IDAT", b"IEND")
        others = [chunk for kind, chunk in png_chunks(small.read()) if kind not in pixels]
    path.write_bytes(b"".join((content[:33], *others, content[33:])))  # 33: after IHDR


def _save_tiff_16(image: np.ndarray, path: Path, options: dict[str, Any]) -> None:
    """By Pillow as twice as many pixels of 8 bits, whose bytes are the same; then it is said."""
    import tifffile

    channels = image.shape[2]
    halves = image.astype("<u2").view(np.uint8).reshape(image.shape[0], -1, channels)
    Image.fromarray(halves).save(path, format="TIFF", **options)
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages.first.tags
        tags["ImageWidth"].overwrite(image.shape[1])
        tags["BitsPerSample"].overwrite((16,) * channels)
