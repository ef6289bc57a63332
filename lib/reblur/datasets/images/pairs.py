"""Pairs of a blurred and a sharp image that exist as files, and training crops of them."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from reblur.datasets.catalogue.manifest_schema import Manifest
from reblur.datasets.catalogue.manifests import load_manifest, locate, refuse_unknown_split
from reblur.datasets.images.crops import draw_crop, to_batch
from reblur.datasets.images.files import read_image
from reblur.datasets.images.layouts import KohlerImage, PairFiles, list_pairs, open_kohler
from reblur.errors import ReblurError
from reblur.randomness import numpy_generator

KEPT_BYTES = 2 << 30  # of decoded pairs that `PairCrops` keeps; the rest is decoded at every use


@dataclass(frozen=True)
class Pair:
    """A blurred image and the sharp one that belongs to it, (H, W, 3) uint8 each."""

    name: str
    scene: str
    blurred: UInt8[np.ndarray, "h w 3"]
    sharp: UInt8[np.ndarray, "h w 3"]


class PairFolder(Sequence):
    """A sequence of `Pair`s, each read from its files when it is asked for.

    Attributes:
        files: where each pair stands.
        names, scenes: of each pair; the names are unique.
    """

    def __init__(self, files: Sequence[PairFiles]) -> None:
        self.files = list(files)
        self.names = [pair.name for pair in self.files]
        self.scenes = [pair.scene for pair in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Pair:
        """Read one pair.

        Raises:
            ReblurError: a file that cannot be read, or two files of different size.
        """
        files = self.files[index]
        blurred, sharp = read_image(files.blurred), read_image(files.sharp)
        if blurred.shape != sharp.shape:
            sizes = " and ".join(f"{image.shape[1]}×{image.shape[0]}" for image in (blurred, sharp))
            raise ReblurError(
                f"{files.blurred} and {files.sharp}: differ in size ({sizes}); a pair needs two "
                "images of one size."
            )
        return Pair(files.name, files.scene, blurred, sharp)

    def __iter__(self) -> Iterator[Pair]:
        return (self[index] for index in range(len(self)))


def open_pairs(
    layout: str, root: Path | str, split: str | None = None, **options: str
) -> PairFolder:
    """Pairs under a folder in a published layout, or in a user's own two folders ("folders").

    Args:
        layout: one of `layouts.LAYOUTS`; the Köhler benchmark has `open_kohler`.
        root: the data set's folder.
        split: the authors' own name of a split; None: all that are there.
        options: the layout's, see its function in `layouts`.

    Raises:
        ReblurError: see `layouts.list_pairs`.
    """
    return PairFolder(list_pairs(layout, Path(root), split, **options))


def open_pairs_of(name: str, split: str | None = None) -> PairFolder:
    """The pairs of a data set by its manifest, with the manifest's scenes and splits.

    Args:
        name: a manifest whose layout is one of pairs.
        split: one of the manifest's splits; None: all of them.

    Raises:
        ReblurError: the data are absent, the split is unknown, the layout has no pairs, or a scene
            stands in no split or in two.
    """
    manifest = load_manifest(name)
    refuse_unknown_split(manifest, split)
    if manifest.layout in ("photographs", "images", "weights", "kohler"):
        raise ReblurError(
            f"{name}: its layout is {manifest.layout!r}, which has no pairs; "
            + ("read it by open_kohler." if manifest.layout == "kohler" else "name another set.")
        )
    folder = locate(manifest, split)
    if manifest.files:
        return PairFolder(_listed(manifest, folder, split))
    wanted = manifest.split_names() if split is None else [split]
    parts = {scene.split("/")[0] for part in wanted for scene in manifest.splits[part]}
    files = [
        pair
        for part in sorted(parts)
        for pair in list_pairs(manifest.layout, folder, part, **manifest.options)
    ]
    return PairFolder(_of_splits(manifest, files, wanted))


def _listed(manifest: Manifest, folder: Path, split: str | None) -> list[PairFiles]:
    """Pairs of a manifest that names every file: blur/<x> with sharp/<x>."""
    paths = {file.path for file in manifest.files}
    pairs = []
    for file in manifest.files:
        kind, _, rest = file.path.partition("/")
        if kind != "blur" or split not in (None, file.split):
            continue
        if f"sharp/{rest}" not in paths:
            raise ReblurError(
                f"{manifest.name}: its manifest names {file.path} without sharp/{rest}; add it."
            )
        name = Path(rest).with_suffix("").as_posix().replace("/", "-")
        scene = file.scene or name
        pairs.append(
            PairFiles(name, scene, file.split, folder / file.path, folder / "sharp" / rest)
        )
    return pairs


def _of_splits(
    manifest: Manifest, files: Sequence[PairFiles], wanted: Sequence[str]
) -> list[PairFiles]:
    """Those of `files` whose scene the manifest puts in a wanted split."""
    kept: list[PairFiles] = []
    split_of: dict[str, str] = {}
    for pair in files:
        split = manifest.split_of(pair.split, pair.scene)
        if split is None:
            raise ReblurError(
                f"{manifest.name}: the scene {pair.split}/{pair.scene} stands in no split of the "
                "manifest; remove it from the folder, or add it to the manifest."
            )
        if split_of.setdefault(pair.scene, split) != split:
            raise ReblurError(
                f"{manifest.name}: the scene {pair.scene} stands in two splits, "
                f"{split_of[pair.scene]} and {split}; restore the authors' folders."
            )
        if split in wanted:
            kept.append(pair)
    return kept


class PairCrops:
    """Training crops of pairs that exist: both images cut at one place, turned alike.

    Args:
        pairs: where the crops come from; decoded pairs are kept up to `KEPT_BYTES`.
        crop: side in pixels.
        augment: turn each crop by one of the square's eight symmetries (the papers do not).
    """

    def __init__(self, pairs: PairFolder | list[Pair], crop: int, augment: bool = False) -> None:
        if crop < 1 or not len(pairs):
            raise ReblurError(
                f"crops of {crop} pixels of {len(pairs)} pairs: give 1 of each or more."
            )
        self.pairs, self.crop, self.augment = pairs, crop, augment
        self._kept: dict[int, Pair] = {}
        self._bytes = 0

    def batch(
        self, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
    ) -> dict[str, Float[Tensor, "b 3 crop crop"]]:
        """Samples (seed, i), each a function of the two alone.

        Returns:
            {"blurred", "sharp"}: float32 in [0, 1], RGB, display-encoded.

        Raises:
            ReblurError: an unreadable pair, or one smaller than the crop.
        """
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoding frees the lock
            cut = list(pool.map(lambda index: self._sample(seed, index), indices))
        return {
            "blurred": to_batch([blurred for blurred, _ in cut], self.crop, device),
            "sharp": to_batch([sharp for _, sharp in cut], self.crop, device),
        }

    def _sample(self, seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        generator = numpy_generator(seed, "pair-crops", index)
        pair = self._pair(int(generator.integers(len(self.pairs))))
        height, width = pair.sharp.shape[:2]
        if min(height, width) < self.crop:
            raise ReblurError(
                f"{pair.name}: is {width}×{height} pixels, too small for crops of "
                f"{self.crop}×{self.crop}; ask for smaller crops."
            )
        crop = draw_crop(generator, height, width, self.crop, self.augment)
        return crop.cut(pair.blurred), crop.cut(pair.sharp)

    def _pair(self, index: int) -> Pair:
        """A decoded pair; the first that fit are kept, as crops visit all of them evenly."""
        if index in self._kept:
            return self._kept[index]
        pair = self.pairs[index]
        size = pair.blurred.nbytes + pair.sharp.nbytes
        if self._bytes + size <= KEPT_BYTES:
            self._kept[index] = pair
            self._bytes += size
        return pair


__all__ = [
    "KohlerImage",
    "Pair",
    "PairCrops",
    "PairFolder",
    "open_kohler",
    "open_pairs",
    "open_pairs_of",
]
