"""The one door through which every image file comes in, and the one through which it goes out.

What comes in is (H, W, 3) RGB in the file's own display-encoded values, whatever the file was:

- the EXIF orientation is applied;
- grey becomes three equal channels; a palette is looked up;
- transparency is composited on white, as a page shows it;
- CMYK goes through its embedded colour profile where there is one, else the plain formula;
- other colour profiles are not applied: wide-gamut values stay as they are, and `write_image`
  hands the profile on;
- 16-bit files are read whole and rounded to 8 bits by `read_image`, kept by `read_image_16`;
- floating-point files hold [0, 1];
- of several frames the first is taken.
"""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from PIL import Image, ImageCms, UnidentifiedImageError
from torch import Tensor

from reblur.errors import ReblurError
from reblur.files import atomic_path

#: What `write_image` writes, by suffix. PNG and TIFF are lossless; TIFF is not compressed, as
#: Pillow writes the nested EXIF directories of a compressed one wrongly.
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
SUFFIXES = frozenset(FORMATS) | {".bmp", ".gif", ".ppm", ".pgm"}

ORIENTATION = 0x0112
# Of a file's EXIF only what describes the photograph is handed on: a TIFF's own directory also
# holds the strip offsets and sizes of the old file.
DESCRIPTIVE_TAGS = (
    *(0x010E, 0x010F, 0x0110, ORIENTATION, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B),
    *(0x4746, 0x8298),  # rating, copyright
)
NESTED_TAGS = (0x8769, 0x8825)  # the Exif and the GPS directories
BITS_PER_SAMPLE = 258  # of a TIFF

# EXIF orientation → what brings it upright: flip rows, flip columns, then transpose.
UPRIGHT = {
    1: (False, False, False),
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (True, False, True),
    7: (True, True, True),
    8: (False, True, True),
}

# Photographs above Pillow's warning (89 megapixels) are welcome; its limit of 179 stays.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_image(path: Path | str) -> UInt8[np.ndarray, "h w 3"]:
    """Read any image file as 8-bit RGB, by the rules of this module.

    16-bit values v become round(v / 257).

    Raises:
        ReblurError: the file is missing, empty, no image, damaged or of an unknown colour mode;
            the message names the file and the remedy.
    """
    image = _read(Path(path))
    if image.dtype == np.uint8:
        return image
    return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)


def read_image_16(path: Path | str) -> UInt16[np.ndarray, "h w 3"]:
    """Read any image file as 16-bit RGB; 8-bit values are scaled by 257, so that white stays white.

    Raises:
        ReblurError: as `read_image`.
    """
    image = _read(Path(path))
    return image if image.dtype == np.uint16 else image.astype(np.uint16) * np.uint16(257)


def write_image(
    path: Path | str, image: UInt8[np.ndarray, "h w 3"], like: Path | str | None = None
) -> None:
    """Write an 8-bit RGB image atomically, in the format that the suffix names.

    Args:
        path: .png, .jpg, .jpeg, .webp, .tif or .tiff; JPEG and WebP at quality 95, JPEG without
            colour subsampling.
        image: (H, W, 3) values.
        like: a source file whose EXIF data (orientation reset: the pixels stand upright) and RGB
            colour profile are handed on.

    Raises:
        ReblurError: another suffix, a full disk, or a folder that cannot be written.
    """
    path = Path(path)
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise ReblurError(
            f"{path}: cannot write {path.suffix or 'a file without a suffix'}; "
            f"name it with one of {', '.join(FORMATS)}."
        )
    options: dict[str, object] = dict(_handed_on(Path(like))) if like is not None else {}
    if file_format == "JPEG":
        options |= {"quality": 95, "subsampling": 0}
    elif file_format == "WEBP":
        options |= {"quality": 95}
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format=file_format, **options)


def to_tensor(image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "3 h w"]:
    """(H, W, 3) uint8 → (3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255


def to_uint8(image: Float[Tensor, "3 h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """(3, H, W) in [0, 1] → (H, W, 3) uint8: clamped, then rounded to the nearest."""
    values = (image.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(values.permute(1, 2, 0).cpu().numpy())


def is_image(path: Path) -> bool:
    """Whether the name is that of an image file (a hidden file is none)."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _read(path: Path) -> np.ndarray:
    """(H, W, 3), uint8 or uint16, upright."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ReblurError(f"{path}: there is no such file; check the name.") from error
    except OSError as error:
        raise ReblurError(
            f"{path}: cannot be read ({error.strerror}); name an image file that you may read."
        ) from error
    if not data:
        raise ReblurError(f"{path}: is empty (0 bytes); copy or fetch it again.")
    try:
        pixels, orientation = _decode(data, path)
    except ReblurError:
        raise
    except UnidentifiedImageError as error:
        raise ReblurError(
            f"{path}: is not an image in a known format; convert it to PNG or JPEG."
        ) from error
    except Image.DecompressionBombError as error:
        raise ReblurError(
            f"{path}: has more than {2 * Image.MAX_IMAGE_PIXELS // 10**6} megapixels; "
            "cut it into parts first."
        ) from error
    except Exception as error:  # decoders raise whatever damaged bytes lead them to
        raise ReblurError(
            f"{path}: is truncated or damaged ({error}); copy or fetch it again."
        ) from error
    if pixels.size == 0:
        raise ReblurError(f"{path}: has no pixels; leave it out or replace it.")
    rows, columns, transpose = UPRIGHT[orientation]
    pixels = pixels[:: -1 if rows else 1, :: -1 if columns else 1]
    return np.array(pixels.swapaxes(0, 1) if transpose else pixels, order="C")


def _decode(data: bytes, path: Path) -> tuple[np.ndarray, int]:
    """(H, W, 3) as stored, uint8 or uint16, and the EXIF orientation."""
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        if data.startswith((b"II*", b"MM\0*")):  # Pillow knows no floating-point RGB TIFF
            return _sixteen_bit(data, path), 1
        raise
    with image:
        # Decoding by Pillow also proves the file whole: OpenCV fills what is missing with grey.
        image.load()
        deep = _bits(image, data) > 8
        return _sixteen_bit(data, path) if deep else _eight_bit(image, path), _orientation(image)


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits of a channel; Pillow hands a 16-bit colour PNG out as 8 bits without a word."""
    if image.format == "PNG":
        return data[24]  # the IHDR chunk: 8 + 8 bytes, width, height, then the depth
    if image.format == "TIFF":
        return max(image.tag_v2.get(BITS_PER_SAMPLE, (1,)))
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        return 16
    return 8


def _eight_bit(image: Image.Image, path: Path) -> np.ndarray:
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, image).convert("RGB"))
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


def _sixteen_bit(data: bytes, path: Path) -> np.ndarray:
    """Decode a deep file by OpenCV, the one that keeps every bit; (H, W, 3) uint16."""
    import cv2

    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise UnidentifiedImageError(path)
    if decoded.ndim == 2:
        decoded = decoded[..., None]
    if decoded.dtype == np.uint8:  # 16-bit values that the decoder had to give up
        decoded = decoded.astype(np.uint16) * np.uint16(257)
    elif np.issubdtype(decoded.dtype, np.floating):
        if not (decoded.min() >= 0 and decoded.max() <= 1):  # also when a value is not a number
            raise ReblurError(
                f"{path}: holds floating-point values outside [0, 1]; scale them to [0, 1] first."
            )
        decoded = (decoded.astype(np.float64) * 65535).round().astype(np.uint16)
    elif decoded.dtype != np.uint16:
        if decoded.min() < 0 or decoded.max() > 65535:
            raise ReblurError(f"{path}: holds values of more than 16 bits; save it with 16 bits.")
        decoded = decoded.astype(np.uint16)
    channels = decoded.shape[2]
    colour = decoded[..., :1].repeat(3, axis=2) if channels < 3 else decoded[..., 2::-1]  # BGR
    if channels in (1, 3):
        return colour
    alpha = decoded[..., -1:].astype(np.float64) / 65535
    return (colour * alpha + 65535 * (1 - alpha)).round().astype(np.uint16)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the EXIF data are damaged."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, KeyError, struct.error):
        return 1
    return value if value in UPRIGHT else 1


def _handed_on(source: Path) -> dict[str, object]:
    """`exif` and `icc_profile` of a file, as options of Pillow's `save`."""
    options: dict[str, object] = {}
    try:
        image = Image.open(source)
    except UnidentifiedImageError:  # `_decode` reads some TIFFs that Pillow does not
        return options
    with image:
        try:
            old = image.getexif()
            new = Image.Exif()
            for tag in DESCRIPTIVE_TAGS:
                if tag in old:
                    new[tag] = old[tag]
            for tag in NESTED_TAGS:
                nested = old.get_ifd(tag)
                if nested:
                    new.get_ifd(tag).update(nested)
            if ORIENTATION in new:
                new[ORIENTATION] = 1
            if len(new) or any(new.get_ifd(tag) for tag in NESTED_TAGS):
                options["exif"] = new.tobytes()  # damaged entries show here
        except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
            pass
        profile = image.info.get("icc_profile")
        if profile and profile[16:20] == b"RGB ":  # a CMYK or grey profile fits no RGB pixels
            options["icc_profile"] = profile
    return options


__all__ = [
    "is_image",
    "read_image",
    "read_image_16",
    "to_tensor",
    "to_uint8",
    "write_image",
]
