"""The files of a pair, and what is read of names and lists; how the Köhler benchmark lies."""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reblur.errors import ReblurError


@dataclass(frozen=True)
class PairFiles:
    """The two files of a pair, what they are called, and where they belong."""

    name: str  # unique in its data set, and good as a file name
    scene: str
    split: str | None  # the authors' own, None where the layout has none
    blurred: Path
    sharp: Path


@dataclass(frozen=True)
class KohlerImage:
    """One blurred photograph of the Köhler benchmark and the sharp frames along its path."""

    name: str  # <picture>_<trajectory>, both from 1
    blurred: Path
    frames: tuple[Path, ...]


def open_kohler(root: Path) -> list[KohlerImage]:
    """The 4 pictures × 12 trajectories, picture by picture.

    `Blurry<i>_<j>.png` and `Image<i>/Kernel<j>/GroundTruth<i>_<j>_<frame>.png`, as the authors'
    archives unpack.

    Raises:
        ReblurError: a blurred photograph or all frames of a trajectory are missing.
    """
    images = []
    for picture in range(1, 5):
        for trajectory in range(1, 13):
            name = f"{picture}_{trajectory}"
            blurred = root / f"Blurry{name}.png"
            folder = root / f"Image{picture}" / f"Kernel{trajectory}"
            frames = sorted(folder.glob(f"GroundTruth{name}_*.png"), key=natural_order)
            if not blurred.is_file() or not frames:
                lacking = folder / f"GroundTruth{name}_*.png" if blurred.is_file() else blurred
                raise ReblurError(f"{lacking}: is missing; unpack all archives of the benchmark.")
            images.append(KohlerImage(name, blurred, tuple(frames)))
    return images


def read_list(path: Path) -> list[str]:
    """Lines of a list of files that are not blank, with `/` for `\\` and without a BOM.

    In UTF-8, or in UTF-16 where its BOM says so, as Windows' shell writes it.
    """
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if wide else "utf-8-sig", errors="replace").replace("\\", "/")
    return [line.strip() for line in text.splitlines() if line.strip()]


def refuse_lone(lone: Sequence[Path]) -> None:
    """ReblurError that names files without a partner; nothing where there are none."""
    if lone:
        named = ", ".join(str(path) for path in lone[:3]) + (", …" if len(lone) > 3 else "")
        raise ReblurError(
            f"{len(lone)} files without a partner or missing: {named}; each blurred photograph "
            "needs the file that belongs to it."
        )


def natural_order(path: Path | str) -> list[tuple[int, str]]:
    """A key for sorting: 2 before 10."""
    parts = re.split(r"(\d+)", str(path))  # digits at every second place
    return [(int(part), "") if n % 2 else (-1, part) for n, part in enumerate(parts)]
