"""The bytes of an image file → its pixels; `reblur.datasets.images.files` is the door.

Pillow decodes what it knows whole. Some kinds it would hand out with less than is in them, and
they are read here (PNM of any maximum, PNG and JPEG 2000 of more than 8 bits) or in `tiff`.
"""

import io
import logging
import re
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from reblur.errors import ReblurError

#: Width × height of the largest picture that is opened: a file of a few bytes may claim any size.
MAX_MEGAPIXELS = 500
Image.MAX_IMAGE_PIXELS = MAX_MEGAPIXELS * 10**6 // 2  # Pillow refuses from twice that on
# A damaged file is told in a sentence of our own.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)

ORIENTATION = 0x0112
RAW = "is a camera's raw file; convert it to TIFF or JPEG first (darktable, RawTherapee, dcraw)."
_RAW = (
    "3fr ari arw bay cap cr2 cr3 crw dcr dcs dng erf fff gpr iiq k25 kdc mdc mef mos mrw nef nrw "
    "orf pef ptx raf raw rw2 rwl rwz sr2 srf srw x3f"
)
#: Suffixes of camera raw files; many of them are TIFFs whose first picture is a thumbnail.
RAW_SUFFIXES = frozenset(f".{name}" for name in _RAW.split())
# What Pillow opens and is no picture: pages, films, drawings and fields of numbers.
OTHER = frozenset(("BUFR", "EPS", "FITS", "FLI", "GRIB", "HDF5", "MPEG", "PDF", "WMF"))
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


@dataclass(frozen=True)
class Pixels:
    """An image as its file stores it: not composited, not yet upright.

    Attributes:
        colour: (H, W, 3) RGB, uint8 or uint16 over their whole range.
        alpha: (H, W) opacity of the same type; None: opaque.
        orientation: of EXIF, 1 to 8.
    """

    colour: np.ndarray
    alpha: np.ndarray | None = None
    orientation: int = 1


def decode(data: bytes, path: Path) -> Pixels:
    """Decode a file's bytes.

    Raises:
        ReblurError: a kind that cannot be read rightly.
        UnidentifiedImageError: no image in a known format.
        Exception: whatever damaged bytes lead a decoder to.
    """
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        from reblur.datasets.images.tiff import read_tiff

        pixels = read_tiff(data, path)
        if pixels is not None:
            return pixels
    elif path.suffix.lower() in RAW_SUFFIXES:
        raise ReblurError(f"{path}: {RAW}")
    elif maximum := _pnm_header(data):
        return _pnm(data, maximum)
    if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS and not heic_is_readable():
        raise ReblurError(
            f"{path}: is a HEIC file; install its reader with 'pip install pillow-heif', or "
            "convert it to JPEG."
        )
    with open_image(io.BytesIO(data)) as image:
        if image.format in OTHER:
            raise UnidentifiedImageError(image.format)
        # Decoding by Pillow also proves a file whole: OpenCV fills what is missing with grey.
        image.load()
        orientation = orientation_of(image)
        depth = _depth(data, image.format)
        if depth in (2, 4) and "transparency" in image.info and image.mode == "L":
            image.info["transparency"] *= 255 // (2**depth - 1)  # the grey has 8 bits already
        if depth <= 8:
            return Pixels(*_by_pillow(image, path), orientation)
        if image.format == "JPEG2000":
            return Pixels(*_split(_by_opencv(data, depth)), orientation)
    return Pixels(*_png_of_16_bits(data), orientation)


def _depth(data: bytes, file_format: str | None) -> int:
    """Bits a sample, where a format has a choice that Pillow does not hand on."""
    if file_format == "PNG":
        return data[24]  # in the IHDR chunk
    if file_format == "JPEG2000":
        return (data[data.index(b"\xff\x4f\xff\x51") + 42] & 0x7F) + 1  # in the SIZ marker
    return 8


def open_image(source: Path | io.BytesIO) -> Image.Image:
    """`Image.open`, with pillow-heif's help for HEIC where it is installed."""
    heic_is_readable()
    return Image.open(source)


@cache
def heic_is_readable() -> bool:
    """Whether pillow-heif is installed; then Pillow reads HEIC from here on."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the EXIF data are damaged."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def sixteen_bits(values: np.ndarray, path: Path) -> np.ndarray:
    """Numbers of any type as uint16: floating-point ones hold [0, 1], whole ones at most 16 bits.

    Raises:
        ReblurError: values outside, or values that are no numbers.
    """
    if np.issubdtype(values.dtype, np.floating):
        if not (values.min() >= 0 and values.max() <= 1):  # also when a value is not a number
            raise ReblurError(
                f"{path}: holds floating-point values outside [0, 1]; scale them to [0, 1] first."
            )
        return (values.astype(np.float64) * 65535).round().astype(np.uint16)
    if values.dtype == np.uint8:
        return values.astype(np.uint16) * np.uint16(257)
    if values.dtype.itemsize > 2 and (values.min() < 0 or values.max() > 65535):
        raise ReblurError(f"{path}: holds values of more than 16 bits; save it with 16 bits.")
    return values.astype(np.uint16)


def colours(image: Image.Image, path: Path) -> np.ndarray:
    """(H, W, 3) uint8 of an image without transparency.

    Raises:
        ReblurError: a colour mode that has no plain way to RGB.
    """
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            target = ImageCms.createProfile("sRGB")
            return np.asarray(ImageCms.profileToProfile(image, profile, target, outputMode="RGB"))
        except (ImageCms.PyCMSError, OSError):  # a damaged profile says nothing about the colours
            pass
    if image.mode in ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"):
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    raise ReblurError(f"{path}: has the colour mode {image.mode}; save it as RGB.")


def _by_pillow(image: Image.Image, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour and alpha of an image that Pillow hands out with all its bits."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = sixteen_bits(np.asarray(image), path)
        return grey[..., None].repeat(3, axis=2), None
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        pixels = np.asarray(image.convert("RGBA"))
        return pixels[..., :3], pixels[..., 3]
    return colours(image, path), None


def _pnm_header(data: bytes) -> re.Match[bytes] | None:
    """The header of a binary PGM or PPM; None: not one, or one of 8 bits, which Pillow reads."""
    number = rb"(?:\s|#[^\n]*\n)+(\d{1,9})"
    header = re.match(rb"P([56])" + 3 * number + rb"\s", data)
    return header if header and int(header[4]) != 255 else None


def _pnm(data: bytes, header: re.Match[bytes]) -> Pixels:
    """Values v of a maximum m are v / m; values above it count as m."""
    width, height, maximum = (int(header[i]) for i in (2, 3, 4))
    if width * height > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError
    if not 0 < maximum < 65536:
        raise ValueError(f"a maximum of {maximum}")
    channels = 3 if header[1] == b"6" else 1
    stored, kind, top = ("u1", np.uint8, 255) if maximum < 256 else (">u2", np.uint16, 65535)
    size = width * height * channels
    values = np.frombuffer(data, stored, size, header.end())
    scaled = np.round(np.arange(maximum + 1) * (top / maximum)).astype(kind)
    values = scaled[np.minimum(values, maximum)].reshape(height, width, channels)
    return Pixels(values if channels == 3 else values.repeat(3, axis=2))


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, the whole chunk with its length and checksum) of a PNG, in order."""
    at = 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at:end]
        at = end


def _png_of_16_bits(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour and alpha of a 16-bit PNG by OpenCV, of which Pillow gives the upper 8 bits.

    OpenCV sees the pixels alone: of other chunks libpng would print its opinion.
    """
    chunks = list(png_chunks(data))
    bare = b"".join(chunk for kind, chunk in chunks if kind in (b"IHDR", b"IDAT", b"IEND"))
    colour, alpha = _split(_by_opencv(data[:8] + bare, 16))
    for kind, chunk in chunks:
        if kind == b"tRNS" and alpha is None:  # one colour that is transparent
            key = np.frombuffer(chunk[8:-4], ">u2")
            alpha = np.where((colour == key).all(axis=2), 0, 65535).astype(np.uint16)
    return colour, alpha


def _by_opencv(data: bytes, bits: int) -> np.ndarray:
    """(H, W, C) uint16 over the whole range; Pillow gives the upper 8 bits of such samples."""
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise UnidentifiedImageError("not decoded")
    decoded = np.atleast_3d(decoded)
    if bits < 16:
        decoded = (decoded * (65535 / (2**bits - 1))).round().astype(np.uint16)
    return decoded


def _split(decoded: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour and alpha of OpenCV's grey, grey and alpha, BGR or BGRA."""
    channels = decoded.shape[2]
    colour = decoded[..., 2::-1] if channels > 2 else decoded[..., :1].repeat(3, axis=2)
    return colour, decoded[..., -1] if channels in (2, 4) else None
