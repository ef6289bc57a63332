"""Pairs that were made, not taken: written once as a data set that any training run can name.

Two folders. The high side stands alone, as many sets share it:

    <high>/manifest.json, <high>/<name>.png

and every set holds low images only, k samples a high image, at their own size (high / scale):

    <set>/manifest.json, <set>/low/<name>[-<k>].png

`manifest.json` records how each low image was drawn and the SHA-256 of every file. Both folders are
written under another name and renamed when they are whole: a set is there or it is not.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reblur.datasets.images.files import read_image
from reblur.datasets.images.layouts import PairFiles
from reblur.datasets.images.pairs import Pair, PairFolder
from reblur.datasets.images.whole_folders import Outcome, refuse_foreign, whole_folder
from reblur.errors import ReblurError
from reblur.files import sha256_of_file, sha256_of_value, write_json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class MadePair:
    """The low image of a pair and how it was drawn.

    Attributes:
        name: that of its high image, or, of several samples, `<that>-<k>` with k from 0.
        scene: that of its high image.
        low: (H / scale, W / scale, 3).
        draw: what makes the image again, in JSON's types.
    """

    name: str
    scene: str
    low: UInt8[np.ndarray, "h w 3"]
    draw: dict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _High(_Part):
    name: str
    scene: str
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    sha256: str


class _Highs(_Part):
    images: tuple[_High, ...] = Field(min_length=1)


class _Low(_Part):
    name: str
    high: str
    sha256: str
    draw: dict[str, Any]


class _Set(_Part):
    about: dict[str, Any]
    scale: int = Field(gt=0)
    high: str  # path of the high folder from this one
    highs: str  # hash of the high folder's manifest
    images: tuple[_Low, ...] = Field(min_length=1)


_Manifest = TypeVar("_Manifest", _Highs, _Set)


def upsample(
    image: UInt8[np.ndarray, "h w 3"], height: int, width: int
) -> UInt8[np.ndarray, "p q 3"]:
    """Bicubic to (height, width): what a restorer sees of a low image, in training and in use."""
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)


def write_highs(
    folder: Path, images: Iterable[tuple[str, str, UInt8[np.ndarray, "_ _ 3"]]]
) -> Outcome:
    """Write the high side: `<folder>/<name>.png` and manifest.json, all or nothing.

    Args:
        folder: where they shall stand; the same images that are there already are kept.
        images: (name, scene, image) each; names are letters, digits, '.', '_' and '-'.

    Raises:
        ReblurError: no images, a name twice or unfit for a file, a full disk, or a folder that
            holds something else.
    """
    folder = Path(folder)
    refuse_foreign(folder, lambda path: path.suffix == ".png")
    with whole_folder(folder) as made:
        highs: dict[str, _High] = {}
        for name, scene, image in images:
            _refuse_name(name, highs)
            height, width = image.shape[:2]
            sha256 = _write_png(made.path / f"{name}.png", image)
            highs[name] = _High(name=name, scene=scene, height=height, width=width, sha256=sha256)
        if not highs:
            raise ReblurError(f"{folder}: there are no images to write; name sharp photographs.")
        for name in highs:
            if _of_sample(name) in highs:  # its low image could be either's
                raise ReblurError(f"{name}: could be a sample of {_of_sample(name)}; rename it.")
        manifest = _Highs(images=tuple(highs.values()))
        write_json(made.path / "manifest.json", manifest.model_dump(mode="json"))
        made.keep_old = _stands(folder, manifest)
    return made.outcome


def write_pair_set(
    folder: Path, pairs: Iterable[MadePair], *, high: Path, scale: int, about: dict
) -> Outcome:
    """Write a set: `<folder>/low/*.png` and manifest.json, all or nothing.

    A whole set that stands there with the same `about`, scale and high images is kept, and `pairs`
    is not iterated; any other set is replaced when the new one is whole.

    Args:
        pairs: drawn one by one; each has a name of its own.
        high: the folder that `write_highs` wrote.
        scale: side of a high image / side of its low one.
        about: all that determines the low images besides the high ones (source, t0, seed, sampler,
            hash of the weights, …), in JSON's types.

    Returns:
        What was done: "written", "kept" or "replaced".

    Raises:
        ReblurError: no pairs, a name without its high image, another scene or size than that asks
            for, a full disk, damaged high images, or a folder that holds something else.
    """
    folder, high = Path(folder), Path(high)
    known = {image.name: image for image in _read_highs(high).images}
    header = {"about": about, "scale": scale, "highs": _hash_of(high)}
    refuse_foreign(folder, lambda path: path.name == "low")
    if _holds(folder, header):
        return "kept"
    with whole_folder(folder) as made:
        (made.path / "low").mkdir()
        lows: dict[str, _Low] = {}
        for pair in pairs:
            _refuse_name(pair.name, lows)
            of = _high_of(pair, known, scale)
            sha256 = _write_png(made.path / "low" / f"{pair.name}.png", pair.low)
            lows[pair.name] = _Low(name=pair.name, high=of.name, sha256=sha256, draw=pair.draw)
        if not lows:
            raise ReblurError(f"{folder}: there are no pairs to write; draw one a high image.")
        relative = Path(os.path.relpath(high.resolve(), folder.resolve())).as_posix()
        manifest = _Set(**header, high=relative, images=tuple(lows.values()))
        write_json(made.path / "manifest.json", manifest.model_dump(mode="json"))
    return made.outcome


class PairSet(PairFolder):
    """The pairs of a made set: `Pair`s whose blurred image is the low one, upsampled.

    Attributes:
        names, scenes: of each pair; a scene is its high image's.
        draws: how each low image was drawn.
        about, scale: of the set.
    """

    def __init__(self, folder: Path, manifest: _Set, highs: dict[str, _High]) -> None:
        high = folder / manifest.high
        super().__init__(
            [
                PairFiles(
                    image.name,
                    highs[image.high].scene,
                    None,
                    folder / "low" / f"{image.name}.png",
                    high / f"{image.high}.png",
                )
                for image in manifest.images
            ]
        )
        self.draws = [image.draw for image in manifest.images]
        self.about, self.scale = manifest.about, manifest.scale

    def low(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """A low image at its own size."""
        return read_image(self.files[index].blurred)

    def high(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The high image of a pair."""
        return read_image(self.files[index].sharp)

    def __getitem__(self, index: int) -> Pair:
        """Read one pair, the low image upsampled to the size of the high one.

        Raises:
            ReblurError: a file that cannot be read, or a low image of another size.
        """
        files, low, high = self.files[index], self.low(index), self.high(index)
        if tuple(side * self.scale for side in low.shape[:2]) != high.shape[:2]:
            raise ReblurError(
                f"{files.blurred}: {_size(low)} pixels are not {_size(high)} at scale "
                f"{self.scale}; make the set again."
            )
        return Pair(files.name, files.scene, upsample(low, *high.shape[:2]), high)


def open_pair_set(folder: Path | str) -> PairSet:
    """Open a set that `write_pair_set` wrote, after checking every file against its SHA-256.

    Raises:
        ReblurError: no set there, a broken manifest, or files that are missing or changed; it says
            which and to make the set again.
    """
    folder = Path(folder)
    manifest = _read(folder, _Set, "set of made pairs")
    high = folder / manifest.high
    highs = _read_highs(high)
    if _hash_of(high) != manifest.highs:
        raise ReblurError(
            f"{folder}: its high images in {high} are others than it was made from; make the set "
            "again."
        )
    _refuse_changed(
        folder, [(folder / "low" / f"{image.name}.png", image.sha256) for image in manifest.images]
    )
    return PairSet(folder, manifest, {image.name: image for image in highs.images})


def pair_set_hash(folder: Path | str) -> str:
    """SHA-256 of what a set holds: its low and high images, draws, scale and `about`.

    It is of the manifest; that the files agree with it is checked by `open_pair_set`.

    Raises:
        ReblurError: no set there, or a broken manifest.
    """
    described = _read(Path(folder), _Set, "set of made pairs").model_dump(mode="json")
    del described["high"]  # where the same images stand changes nothing
    return sha256_of_value(described)


def _of_sample(name: str) -> str | None:
    """The high image that `<name>-<k>` tells."""
    high, dash, count = name.rpartition("-")
    return high if dash and count.isdigit() else None


def _high_of(pair: MadePair, known: dict[str, _High], scale: int) -> _High:
    """The high image that a pair's name tells, if the pair fits to it."""
    name = pair.name if pair.name in known else _of_sample(pair.name)
    if name not in known:
        raise ReblurError(
            f"{pair.name}: is no name of a high image, nor one and -<k>; name each pair so."
        )
    high = known[name]
    if pair.scene != high.scene:
        raise ReblurError(
            f"{pair.name}: has the scene {pair.scene!r}, its high image {high.scene!r}; "
            "hand on the scene of the high image."
        )
    height, width = pair.low.shape[:2]
    if (height * scale, width * scale) != (high.height, high.width):
        raise ReblurError(
            f"{pair.name}: {width}×{height} pixels are not {high.width}×{high.height} at scale "
            f"{scale}; cut the high images so that {scale} divides their sides."
        )
    return high


def _holds(folder: Path, header: dict) -> bool:
    """Whether a whole set with this header stands in `folder`."""
    try:
        open_pair_set(folder)
        found = _read(folder, _Set, "set of made pairs").model_dump(mode="json")
    except ReblurError:
        return False
    return sha256_of_value({name: found[name] for name in header}) == sha256_of_value(header)


def _read_highs(folder: Path) -> _Highs:
    """The manifest of the high images, every file checked."""
    manifest = _read(folder, _Highs, "folder of high images")
    _refuse_changed(
        folder, [(folder / f"{image.name}.png", image.sha256) for image in manifest.images]
    )
    return manifest


def _stands(folder: Path, manifest: _Highs) -> bool:
    """Whether these high images stand in `folder`, whole."""
    try:
        return _read_highs(folder) == manifest
    except ReblurError:
        return False


def _read(folder: Path, kind: type[_Manifest], what: str) -> _Manifest:
    path = folder / "manifest.json"
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ReblurError(
            f"{folder}: is no {what} (it has no manifest.json); make it first."
        ) from error
    except (ValidationError, OSError) as error:
        first = str(error).splitlines()[0]
        raise ReblurError(
            f"{path}: is not the manifest of a {what} ({first}); remove {folder} and make it again."
        ) from error


def _hash_of(high: Path) -> str:
    return sha256_of_value(json.loads((high / "manifest.json").read_bytes()))


def _refuse_changed(folder: Path, files: list[tuple[Path, str]]) -> None:
    missing = [path for path, _ in files if not path.is_file()]
    changed = [path for path, sha256 in files if path.is_file() and sha256_of_file(path) != sha256]
    for wrong, verb in ((missing, "missing"), (changed, "changed")):
        if wrong:
            raise ReblurError(
                f"{folder}: {len(wrong)} of {len(files)} images are {verb} ({wrong[0].name}, …); "
                "make it again."
            )


def _refuse_name(name: str, taken: dict[str, Any]) -> None:
    if not _NAME.fullmatch(name):
        raise ReblurError(
            f"{name!r}: is no name of an image; use letters, digits, '.', '_' and '-'."
        )
    if name in taken:
        raise ReblurError(f"{name}: two images have this name; give each its own.")


def _write_png(path: Path, image: UInt8[np.ndarray, "h w 3"]) -> str:
    """Write a lossless PNG; the SHA-256 of its bytes. `write_image` would sync every file."""
    encoded = cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
    path.write_bytes(encoded)
    return hashlib.sha256(encoded).hexdigest()


def _size(image: UInt8[np.ndarray, "h w 3"]) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"
