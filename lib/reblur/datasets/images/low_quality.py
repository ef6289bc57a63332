"""Real images of low quality, the target domains, and whole faces; all in memory."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from reblur.datasets.catalogue.manifest_schema import ByHand, Manifest
from reblur.datasets.catalogue.manifests import files_of, load_manifest, locate
from reblur.datasets.images.crops import draw_crop, to_batch
from reblur.datasets.images.files import is_image, read_image
from reblur.datasets.images.pair_sets import upsample
from reblur.datasets.images.photographs import Photographs
from reblur.errors import ReblurError
from reblur.randomness import numpy_generator

_Named = tuple[str, Callable[[], np.ndarray]]  # a name, and what reads the image


def open_low_quality(names: list[str], split: str, size: int) -> Photographs:
    """The images of low-quality sets, those that are small enlarged.

    An image whose shorter side is below `size` is enlarged by bicubic interpolation until it is
    `size`: its blur grows with it, and patches of `size` fit. Grey images become RGB.

    Args:
        names: data sets, one after the other.
        split: one of theirs, mostly "train" or "test".
        size: what the shorter side measures at least, in pixels.

    Raises:
        ReblurError: data that are missing, an unknown split, a file that cannot be read, or a data
            set of pairs.
    """
    return _read_all(_listed(names, split), lambda image: _enlarge(image, size))


def open_faces(names: list[str], split: str, size: int) -> Photographs:
    """Whole faces of size × size: the centre square of each image, resized.

    Shrunk by area average, enlarged by bicubic interpolation. Of low-quality faces, shrinking takes
    away what makes them so: ask for no less than their own side then.

    Args:
        names: data sets of faces, one after the other.
        split: one of theirs: "train", "validation" or "test".
        size: side in pixels.

    Raises:
        ReblurError: as `open_low_quality`.
    """
    return _read_all(_listed(names, split), lambda image: _square(image, size))


def low_quality_folder(path: Path | str, size: int = 1) -> Photographs:
    """All images in a user's own folder and below, as `open_low_quality` gives them.

    Args:
        path: the folder; files that are not named as images are passed over.
        size: what the shorter side measures at least, in pixels.

    Returns:
        In the order of the names: path below the folder without suffix, "-" between its parts.

    Raises:
        ReblurError: no such folder, no images in it, two of one name, or one that cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ReblurError(f"{folder}: there is no such folder; name one that holds images.")
    named: dict[str, Path] = {}
    for file in sorted(file for file in folder.rglob("*") if is_image(file) and file.is_file()):
        name = "-".join(file.relative_to(folder).with_suffix("").parts)
        if name in named:
            raise ReblurError(f"{file}: and {named[name].name} have one name; rename one of them.")
        named[name] = file
    if not named:
        raise ReblurError(f"{folder}: holds no images; put some (PNG, JPEG, …) there.")
    read = [(name, partial(read_image, file)) for name, file in named.items()]
    return _read_all(read, lambda image: _enlarge(image, size))


class Patches:
    """A training source of random patches, such as the denoiser of a target domain learns from.

    Args:
        photographs: where they are cut from, each image with the same chance.
        size: side in pixels.
        stream: the name of the randomness.
        augment: turn each patch by one of the square's eight symmetries.
        upright: of those take only the mirror image left to right (for faces).

    Raises:
        ReblurError: an image is smaller than `size`.
    """

    def __init__(
        self,
        photographs: Photographs,
        size: int,
        stream: str = "patches",
        augment: bool = True,
        upright: bool = False,
    ) -> None:
        for name, image in zip(photographs.names, photographs.images, strict=True):
            if min(image.shape[:2]) < size:
                raise ReblurError(
                    f"{name}: is {image.shape[1]}×{image.shape[0]} pixels, too small for patches "
                    f"of {size}×{size}; open the images with this size, or take smaller patches."
                )
        self.photographs, self.size, self.stream = photographs, size, stream
        self.augment, self.upright = augment, upright

    def batch(
        self, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
    ) -> dict[str, Float[Tensor, "b 3 size size"]]:
        """{"image"}: (B, 3, size, size) float32 in [0, 1], each a function of (seed, index)."""
        cut = [self._patch(seed, index) for index in indices]
        return {"image": to_batch(cut, self.size, device)}

    def _patch(self, seed: int, index: int) -> np.ndarray:
        generator = numpy_generator(seed, self.stream, index)
        image = self.photographs[int(generator.integers(len(self.photographs)))]
        crop = draw_crop(generator, *image.shape[:2], self.size, self.augment)
        if self.upright:
            crop = replace(crop, turn=crop.turn & 2)  # bit 1: columns flipped
        return crop.cut(image)


def _read_all(named: Iterable[_Named], shape: Callable[[np.ndarray], np.ndarray]) -> Photographs:
    """Read and shape images by a few threads (decoding lets others run)."""
    named = list(named)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        images = list(pool.map(lambda entry: shape(entry[1]()), named))
    return Photographs([name for name, _ in named], images)


def _listed(names: list[str], split: str) -> list[_Named]:
    """What belongs to a split, by the names `<data set>/<image>`."""
    found: list[_Named] = []
    for name in names:
        manifest = load_manifest(name)
        if manifest.layout not in ("images", "photographs"):
            raise ReblurError(
                f"{name}: its layout is {manifest.layout!r}, not one of single images; name a set "
                "of photographs or faces."
            )
        if isinstance(manifest.source, ByHand):
            files = _files_by_hand(manifest, manifest.source, split)
        elif "array" in manifest.options:
            found += _rows(manifest, split)
            continue
        else:
            files = files_of(name, split)
        found += [(f"{name}/{file.stem}", partial(read_image, file)) for file in files]
    return found


def _files_by_hand(manifest: Manifest, source: ByHand, split: str) -> list[Path]:
    """The images that the patterns of a split match, sorted by path.

    With the option `test_every: n` the authors made no split: the n-th, 2n-th, … scene is for
    testing. A scene is all whose names agree up to the first "_": faces of one photograph do.
    """
    every = int(manifest.options.get("test_every", 0))
    splits = ("train", "test") if every else dict.fromkeys(p.split for p in source.expected)
    if split not in splits:
        _refuse_split(manifest, split, splits)
    folder = locate(manifest, split)
    files = sorted(
        {
            file
            for part in source.expected
            if part.split in (None, split)
            for file in folder.glob(part.pattern)
            if is_image(file)
        }
    )
    if not every:
        return files
    scenes = list(dict.fromkeys(file.stem.partition("_")[0] for file in files))
    test = set(scenes[every - 1 :: every])
    return [f for f in files if (f.stem.partition("_")[0] in test) == (split == "test")]


def _rows(manifest: Manifest, split: str) -> list[_Named]:
    """Images of a NumPy array (N, h, w) of grey values in [0, 1], that a manifest's option names.

    The option of a split's name holds its rows, "<first>:<end>".
    """
    options = dict(manifest.options)
    path = locate(manifest) / options.pop("array")
    if split not in options:
        _refuse_split(manifest, split, options)
    values = np.load(path, allow_pickle=False)
    first, end = (int(number) for number in options[split].split(":"))
    return [
        (f"{manifest.name}/{row:03d}", partial(_grey, values[row])) for row in range(first, end)
    ]


def _grey(values: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Grey values in [0, 1] → three equal channels."""
    rounded = (values.clip(0, 1) * 255).round().astype(np.uint8)
    return np.repeat(rounded[:, :, None], 3, axis=2)


def _refuse_split(manifest: Manifest, split: str, splits: Iterable[str | None]) -> None:
    names = ", ".join(str(name) for name in splits)
    raise ReblurError(f"{manifest.name}: has no split {split!r}; its splits are: {names}.")


def _enlarge(image: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "p q 3"]:
    """Bicubic, so that the shorter side is `size`; a larger image stays as it is."""
    height, width = image.shape[:2]
    factor = size / min(height, width)
    if factor <= 1:
        return image
    return upsample(image, max(size, round(height * factor)), max(size, round(width * factor)))


def _square(image: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The centre square, resized to size × size."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    if side <= size:
        return upsample(square, size, size)
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)
