"""Pairs of a blurred and a sharp image that exist as files, and training crops of them."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from reblur.datasets.images.crops import draw_crop, to_batch
from reblur.datasets.images.files import read_image
from reblur.datasets.images.layouts import PairFiles
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
