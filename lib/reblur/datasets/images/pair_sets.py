"""Pairs that were made, not taken: written once, whole or not at all, and checked when opened.

<high>/<name>.png             the high-quality images, which several sets share
<set>/low/<name>[-<k>].png    low ones at their own size (high / scale), k samples a high image
<set>/manifest.json           how each was drawn, and the SHA-256 of every file
"""

import hashlib
import os
import tempfile
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reblur.datasets.images.files import read_image
from reblur.datasets.images.layouts import PairFiles
from reblur.datasets.images.pairs import Pair, PairFolder
from reblur.errors import ReblurError
from reblur.files import plain_disk_errors, sha256_of_file, write_json


class High(NamedTuple):
    """A high-quality image; pairs that are made of one photograph share its scene."""

    name: str
    scene: str
    image: UInt8[np.ndarray, "h w 3"]


class Low(NamedTuple):
    """A low-quality image: its name and its high image's, and what makes it again (in JSON)."""

    name: str
    high: str
    image: UInt8[np.ndarray, "h w 3"]
    draw: dict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _High(_Part):
    scene: str
    sha256: str


class _Low(_Part):
    name: str
    high: str
    sha256: str
    draw: dict[str, Any]


class _Set(_Part):
    about: dict[str, Any]
    scale: int = Field(gt=0)
    high: str  # path of the high folder from this one
    highs: dict[str, _High]
    images: tuple[_Low, ...] = Field(min_length=1)


def upsample(
    image: UInt8[np.ndarray, "h w 3"], height: int, width: int
) -> UInt8[np.ndarray, "p q 3"]:
    """Bicubic to (height, width): what a restorer sees of a low image, in training and in use."""
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)


def write_pair_set(
    folder: Path, highs: Iterable[High], lows: Iterable[Low], *, high: Path, scale: int, about: dict
) -> None:
    """Write a set in the place of what stands there, if anything does.

    Args:
        folder, high: of the set, and of the high images; those that stand there are kept where they
            are the same.
        lows: drawn one by one, when the high images are written.
        scale: side of a high image / side of its low one.
        about: all that determines the low images besides the high ones, in JSON's types.

    Raises:
        ReblurError: no pairs, a full disk, or a folder that cannot be written.
    """
    with _whole_folder(high) as made:
        known = {h.name: _High(scene=h.scene, sha256=_write_png(made, h)) for h in highs}
        if _are_there(high, known):
            made.rename(made.with_name("not needed"))
    with _whole_folder(folder) as made:
        (made / "low").mkdir()
        images = tuple(
            _Low(name=low.name, high=low.high, sha256=_write_png(made / "low", low), draw=low.draw)
            for low in lows
        )
        if not images:
            raise ReblurError(f"{folder}: there are no pairs to write; draw one a high image.")
        relative = Path(os.path.relpath(high.resolve(), folder.resolve())).as_posix()
        manifest = _Set(about=about, scale=scale, high=relative, highs=known, images=images)
        write_json(made / "manifest.json", manifest.model_dump(mode="json"))


class PairSet(PairFolder):
    """The pairs of a made set: `Pair`s whose blurred image is the low one, upsampled.

    Attributes:
        names, scenes: of each pair; a scene is its high image's.
        draws: how each low image was drawn.
        about, scale: of the set.
    """

    def __init__(self, folder: Path, manifest: _Set, names: Container[str] | None = None) -> None:
        self._made = folder, manifest
        images = [low for low in manifest.images if names is None or low.name in names]
        super().__init__(
            [
                PairFiles(
                    low.name,
                    manifest.highs[low.high].scene,
                    None,
                    folder / "low" / f"{low.name}.png",
                    folder / manifest.high / f"{low.high}.png",
                )
                for low in images
            ]
        )
        self.draws = [low.draw for low in images]
        self.about, self.scale = manifest.about, manifest.scale

    def only(self, names: Container[str]) -> "PairSet":
        """The pairs of these names."""
        return PairSet(*self._made, names)

    def low(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """A low image at its own size."""
        return read_image(self.files[index].blurred)

    def high(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The high image of a pair."""
        return read_image(self.files[index].sharp)

    def __getitem__(self, index: int) -> Pair:
        """Read one pair, the low image upsampled to the size of the high one."""
        files, high = self.files[index], self.high(index)
        return Pair(files.name, files.scene, upsample(self.low(index), *high.shape[:2]), high)


def is_pair_set(folder: Path) -> bool:
    """Whether a folder looks like a set that `write_pair_set` wrote."""
    return (folder / "manifest.json").is_file() and (folder / "low").is_dir()


def open_pair_set(folder: Path | str) -> PairSet:
    """Open a set that `write_pair_set` wrote, after checking every file against its SHA-256.

    Raises:
        ReblurError: no set there, a broken manifest, or files that are missing or changed; it says
            which and to make the set again.
    """
    folder = Path(folder)
    try:
        manifest = _Set.model_validate_json((folder / "manifest.json").read_bytes())
    except (ValidationError, OSError) as error:
        raise ReblurError(
            f"{folder}: is no set of made pairs ({str(error).splitlines()[0]}); make it again."
        ) from error
    high = folder / manifest.high
    expected = {high / f"{name}.png": image.sha256 for name, image in manifest.highs.items()}
    expected |= {folder / "low" / f"{low.name}.png": low.sha256 for low in manifest.images}
    for path, sha256 in expected.items():
        if not path.is_file() or sha256_of_file(path) != sha256:
            wrong = "changed" if path.is_file() else "missing"
            raise ReblurError(f"{folder}: its image {path} is {wrong}; make the set again.")
    return PairSet(folder, manifest)


def _are_there(folder: Path, images: dict[str, _High]) -> bool:
    paths = {folder / f"{name}.png": image.sha256 for name, image in images.items()}
    return all(path.is_file() and sha256_of_file(path) == sha for path, sha in paths.items())


def _write_png(folder: Path, named: High | Low) -> str:
    """Write a lossless PNG; the SHA-256 of its bytes. `write_image` would sync every file."""
    encoded = cv2.imencode(".png", named.image[:, :, ::-1])[1].tobytes()
    (folder / f"{named.name}.png").write_bytes(encoded)
    return hashlib.sha256(encoded).hexdigest()


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A folder beside, renamed onto `folder` when the block ends without an error; if the block has
    moved it away, what stands there is kept."""
    with plain_disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as beside:
            new, old = Path(beside) / "new", Path(beside) / "old"
            new.mkdir()  # the temporary folder's own 0700 would stay on the finished one
            yield new
            if new.is_dir():
                if folder.exists():
                    folder.rename(old)
                try:
                    new.rename(folder)
                except OSError:
                    if old.exists():
                        old.rename(folder)
                    raise
