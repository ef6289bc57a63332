"""The one door through which every image file comes in, and the one through which it goes out.

What comes in is (H, W, 3) RGB in the file's own display-encoded values, whatever the file was:

- the EXIF orientation is applied;
- grey becomes three equal channels; a palette is looked up;
- transparency is composited on white, as a page shows it (`read_photograph` keeps it apart);
- CMYK goes through its embedded colour profile where there is one, else the plain formula;
- other colour profiles are not applied: wide-gamut values stay as they are, and `write_image`
  hands the profile on;
- 16-bit files are read whole and rounded to 8 bits by `read_image`, kept by `read_image_16`;
- floating-point files hold [0, 1];
- of several frames the first is taken.

What cannot be read rightly by these rules is refused in a sentence: a camera's raw file, signed
values, Lab colours, a floating-point value outside [0, 1], and so on (`decoding`, `tiff`).
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from reblur.datasets.images.decoding import (
    MAX_MEGAPIXELS,
    OTHER,
    Pixels,
    decode,
    heic_is_readable,
    open_image,
)
from reblur.datasets.images.writing import FORMATS, write_image
from reblur.errors import ReblurError

HEIC_SUFFIXES = frozenset((".heic", ".heif", ".hif"))

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


@dataclass(frozen=True)
class Photograph:
    """A photograph to be restored, upright.

    Attributes:
        pixels: (H, W, 3) RGB on white, uint8 or uint16 as the file has it.
        alpha: (H, W) opacity of the same type; None: opaque.
        frames: how many pictures the file holds; `pixels` is the first.
    """

    pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
    alpha: UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"] | None
    frames: int


def read_image(path: Path | str) -> UInt8[np.ndarray, "h w 3"]:
    """Read any image file as 8-bit RGB, by the rules of this module.

    16-bit values v become round(v / 257).

    Raises:
        ReblurError: the file is missing, empty, no image, damaged or of a kind that cannot be read
            rightly; the message names the file and the remedy.
    """
    image = _on_white(_read(Path(path)))
    if image.dtype == np.uint8:
        return image
    return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)


def read_image_16(path: Path | str) -> UInt16[np.ndarray, "h w 3"]:
    """Read any image file as 16-bit RGB; 8-bit values are scaled by 257, so that white stays white.

    Raises:
        ReblurError: as `read_image`.
    """
    image = _on_white(_read(Path(path)))
    return image if image.dtype == np.uint16 else image.astype(np.uint16) * np.uint16(257)


def read_photograph(path: Path | str) -> Photograph:
    """Read any image file with its transparency, at its own depth.

    Raises:
        ReblurError: as `read_image`.
    """
    pixels = _read(Path(path))
    alpha = pixels.alpha
    if alpha is not None and (alpha == np.iinfo(alpha.dtype).max).all():
        alpha = None
    return Photograph(_on_white(pixels), alpha, _frames(Path(path)))


def to_tensor(
    image: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"],
) -> Float[Tensor, "3 h w"]:
    """(H, W, 3) uint8 or uint16 → (3, H, W) float32 in [0, 1]."""
    values = np.ascontiguousarray(image.transpose(2, 0, 1))
    if values.dtype == np.uint16:
        return torch.from_numpy(values.astype(np.float32)) / 65535
    return torch.from_numpy(values).float() / 255


def to_uint8(image: Float[Tensor, "3 h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """(3, H, W) in [0, 1] → (H, W, 3) uint8: clamped, then rounded to the nearest."""
    values = (image.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(values.permute(1, 2, 0).cpu().numpy())


def to_uint16(image: Float[Tensor, "3 h w"]) -> UInt16[np.ndarray, "h w 3"]:
    """(3, H, W) in [0, 1] → (H, W, 3) uint16: clamped, then rounded to the nearest."""
    values = (image.detach().float().clamp(0, 1) * 65535).round().to(torch.int32)
    return np.ascontiguousarray(values.permute(1, 2, 0).cpu().numpy().astype(np.uint16))


def is_image(path: Path) -> bool:
    """Whether the name is that of an image file that is read here (a hidden file is none)."""
    return path.suffix.lower() in suffixes() and not path.name.startswith(".")


@cache
def suffixes() -> frozenset[str]:
    """The suffixes of pictures that Pillow reads here, of HEIC if pillow-heif is installed."""
    known = Image.registered_extensions().items()
    found = {suffix for suffix, kind in known if kind in Image.OPEN and kind not in OTHER}
    return frozenset(found | (HEIC_SUFFIXES if heic_is_readable() else set()))


def _read(path: Path) -> Pixels:
    """A file's pixels, upright; every fault of the file is one sentence."""
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
        pixels = decode(data, path)
        if pixels.colour.size == 0:
            raise ReblurError(f"{path}: has no pixels; leave it out or replace it.")
        alpha = None if pixels.alpha is None else _upright(pixels.alpha, pixels.orientation)
        return Pixels(_upright(pixels.colour, pixels.orientation), alpha)
    except ReblurError:
        raise
    except MemoryError as error:
        raise ReblurError(
            f"{path}: the memory does not hold it; close other programs or make it smaller."
        ) from error
    except UnidentifiedImageError as error:
        raise ReblurError(
            f"{path}: is not an image in a known format; convert it to PNG or JPEG."
        ) from error
    except Image.DecompressionBombError as error:
        raise ReblurError(
            f"{path}: has more than {MAX_MEGAPIXELS} megapixels; cut it into parts first."
        ) from error
    except Exception as error:  # decoders raise whatever damaged bytes lead them to
        raise ReblurError(
            f"{path}: is truncated or damaged ({error}); copy or fetch it again."
        ) from error


def _on_white(pixels: Pixels) -> np.ndarray:
    """(H, W, 3), composited on white."""
    if pixels.alpha is None:
        return pixels.colour
    if pixels.colour.dtype == np.uint8:
        image = Image.fromarray(np.dstack([pixels.colour, pixels.alpha]))
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return np.array(Image.alpha_composite(white, image).convert("RGB"))
    alpha = pixels.alpha[..., None].astype(np.float64) / 65535
    return (pixels.colour * alpha + 65535 * (1 - alpha)).round().astype(np.uint16)


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    rows, columns, transpose = UPRIGHT[orientation]
    values = values[:: -1 if rows else 1, :: -1 if columns else 1]
    return np.array(values.swapaxes(0, 1) if transpose else values, order="C")


def _frames(path: Path) -> int:
    """How many pictures a file holds; 1 where that cannot be found out."""
    try:
        with open_image(path) as image:
            if image.format == "TIFF":
                from reblur.datasets.images.tiff import pictures_in

                return pictures_in(path)
            return getattr(image, "n_frames", 1)
    except Exception:  # the first picture has been read by now
        return 1


__all__ = [
    "FORMATS",
    "Photograph",
    "is_image",
    "read_image",
    "read_image_16",
    "read_photograph",
    "to_tensor",
    "to_uint8",
    "to_uint16",
    "write_image",
]
