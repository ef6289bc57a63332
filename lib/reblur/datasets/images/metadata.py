"""What is handed on from a photograph to its restoration: EXIF, XMP and the colour profile."""

import re
import struct
from pathlib import Path
from typing import Any

from PIL import Image, TiffTags, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from reblur.datasets.images.decoding import ORIENTATION, open_image

EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
WIDTH, HEIGHT = 0xA002, 0xA003  # of the picture, in the Exif directory
XMP = 700
# A TIFF's first directory also says where and how the old file's pixels lie; that stays behind, as
# do the metadata that Pillow writes by options of their own.
_LAYOUT = (
    *((254, 259), (262, 266), (273, 273), (277, 281), (284, 284), (288, 293), (301, 301)),
    *((317, 325), (330, 330), (332, 347), (512, 521), (529, 532), (XMP, XMP), (34675, 34675)),
    *((EXIF, EXIF), (GPS, GPS)),
)
LAYOUT = frozenset(tag for first, last in _LAYOUT for tag in range(first, last + 1))


def handed_on(source: Path, size: tuple[int, int], file_format: str) -> dict[str, Any]:
    """Options of Pillow's `save` for a restoration of `source`, (width, height) pixels upright.

    A tag whose value has not the type that its standard asks for is left out.
    """
    try:
        with open_image(source) as image:
            exif = _exif(image, size)
            xmp, profile = image.info.get("xmp"), image.info.get("icc_profile")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return {}  # floating-point TIFFs, say, which Pillow does not open
    options: dict[str, Any] = {}
    if exif is not None:
        options["exif"] = exif
    if profile and profile[16:20] == b"RGB ":  # a CMYK or grey profile fits no RGB pixels
        options["icc_profile"] = profile
    if xmp:
        packet = _upright(xmp if isinstance(xmp, bytes) else str(xmp).encode())
        if file_format == "PNG":
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet.decode("utf-8", "replace"))
        elif file_format != "TIFF":
            options["xmp"] = packet
    if file_format == "TIFF":  # there, both are tags among the others
        tags = Image.Exif()
        tags.load(exif or b"")
        tags.update({tag: _as_stored(tag, value) for tag, value in tags.items()})
        if xmp:
            tags[XMP] = packet
        options["exif"] = tags
    return options


def _exif(image: Image.Image, size: tuple[int, int]) -> bytes | None:
    """The EXIF data of the pixels turned upright; None: there are none."""
    new = Image.Exif()
    try:
        old = image.getexif()
        nested = {tag: old.get_ifd(tag) for tag in (EXIF, GPS)}
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return None
    for tag, value in old.items():
        value = _as_stored(tag, value)
        if tag not in LAYOUT and _fits({tag: value}):
            new[tag] = value
    if ORIENTATION in new:
        new[ORIENTATION] = 1
    for directory, tags in nested.items():
        kept = {tag: value for tag, value in tags.items() if tag != INTEROPERABILITY}
        kept = {tag: value for tag, value in kept.items() if _fits({tag: value}, directory)}
        kept |= {tag: n for tag, n in zip((WIDTH, HEIGHT), size, strict=True) if tag in kept}
        if kept:
            new.get_ifd(directory).update(kept)
    content = new.tobytes()
    return content if len(new) or any(new.get_ifd(tag) for tag in nested) else None


def _as_stored(tag: int, value: Any) -> Any:
    """The bytes of a text as Pillow read it: they may be UTF-8, and it would write "?" for them."""
    text = isinstance(value, str) and TiffTags.lookup(tag).type == TiffTags.ASCII
    return value.encode("latin-1", "replace") if text else value


def _fits(tags: dict[int, Any], directory: int | None = None) -> bool:
    """Whether the tags can be written, and read again."""
    exif = Image.Exif()
    (exif if directory is None else exif.get_ifd(directory)).update(tags)
    try:
        again = Image.Exif()
        again.load(exif.tobytes())
        return bool(len(again) if directory is None else again.get_ifd(directory))
    except Exception:  # a text that is a number, a number that is a text, …
        return False


def _upright(xmp: bytes) -> bytes:
    """XMP that says of the picture that it stands upright."""
    return re.sub(
        rb"(tiff:Orientation(?:\s*=\s*[\"']|>\s*))[1-8]", lambda found: found[1] + b"1", xmp
    )
