"""Pairs looked at without decoding them: the header and the end of every file, once."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from reblur.datasets.images.decoding import ORIENTATION
from reblur.datasets.images.files import read_image
from reblur.datasets.images.layouts import PairFiles
from reblur.datasets.images.matching import Problem
from reblur.errors import ReblurError

# How a whole file of a format ends; cameras and editors may put some bytes behind.
_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "MPO": b"\xff\xd9"}
_TAIL = 64  # bytes that are searched for it


@dataclass(frozen=True)
class Looked:
    """What the headers say.

    Attributes:
        sizes: (width, height) by the pair's name, of pairs without a problem.
        problems: pairs whose files differ in size, and files that are empty, truncated or no image.
    """

    sizes: dict[str, tuple[int, int]]
    problems: tuple[Problem, ...]


def look_at_pairs(pairs: Sequence[PairFiles], *, progress: bool = False) -> Looked:
    """Read every header once; a file whose header or end is odd is decoded to be sure.

    Args:
        progress: show a bar on a terminal.
    """
    sizes: dict[str, tuple[int, int]] = {}
    problems: dict[Path, Problem] = {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        quiet = None if progress else True  # None: only on a terminal
        done = tqdm(pool.map(_look, pairs), "headers", len(pairs), unit="pair", disable=quiet)
        for pair, found in zip(pairs, done, strict=True):
            if isinstance(found, tuple):
                sizes[pair.name] = found
            else:
                problems |= {problem.path: problem for problem in found}
    return Looked(sizes, tuple(problems.values()))


def _look(pair: PairFiles) -> tuple[int, int] | list[Problem]:
    sizes: list[tuple[int, int]] = []
    problems = []
    for path in (pair.blurred, pair.sharp):
        try:
            sizes.append(size_of(path))
        except ReblurError as error:
            problems.append(Problem(path, str(error).removeprefix(f"{path}: ")))
    if not problems and sizes[0] != sizes[1]:
        told = " pixels, ".join(f"{width}×{height}" for width, height in sizes)
        problems.append(Problem(pair.blurred, f"is {told} its sharp one {pair.sharp.name}"))
    return problems or sizes[0]


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) of an image as `read_image` gives it, from its header where that is enough.

    Raises:
        ReblurError: as `read_image`.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL))
            end = stream.read()
            with Image.open(stream) as image:
                known = _ENDS.get(image.format or "")
                if known and known in end and "exif" not in image.info:
                    return image.size
                if known == b"\xff\xd9" and known in end:  # a JPEG's EXIF is in its header
                    turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
                    return image.size[::-1] if turned else image.size
    except Exception:  # whatever damaged bytes lead a decoder to: `read_image` words it
        pass
    height, width, _ = read_image(path).shape
    return width, height
