"""Sharp photographs in memory, and random crops of them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from reblur.datasets.catalogue.manifests import files_of
from reblur.datasets.images.crops import draw_crop, to_batch
from reblur.datasets.images.files import read_image
from reblur.errors import ReblurError
from reblur.randomness import numpy_generator


class Photographs:
    """Photographs as (H, W, 3) uint8 arrays, with their names; one at two sizes has its name twice.

    Raises:
        ReblurError: there are none.
    """

    def __init__(self, names: Sequence[str], images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> None:
        if not images:
            raise ReblurError("there are no photographs to cut crops from; name a data set.")
        self.names, self.images = list(names), list(images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        return self.images[index]

    def photograph_of(self, seed: int, stream: str, index: int) -> str:
        """The name of the photograph that crop (seed, stream, index) is cut from."""
        return self.names[numpy_generator(seed, stream, index).integers(len(self.names))]

    def crops(
        self, seed: int, stream: str, indices: Sequence[int], size: int, augment: bool = True
    ) -> Float[Tensor, "b 3 size size"]:
        """Random crops, each a function of (seed, stream, index) alone.

        Args:
            seed, stream, indices: the names of the samples.
            size: side in pixels.
            augment: turn each crop by one of the square's eight symmetries.

        Returns:
            Float32 in [0, 1], RGB, display-encoded; photograph and place are uniformly drawn.

        Raises:
            ReblurError: a photograph is smaller than `size`.
        """
        small = [n for n, image in enumerate(self.images) if min(image.shape[:2]) < size]
        if small:
            height, width = self.images[small[0]].shape[:2]
            raise ReblurError(
                f"{self.names[small[0]]}: is {width}×{height} pixels, too small for crops of "
                f"{size}×{size}; ask for smaller crops or shrink the photographs less."
            )
        cut = []
        for index in indices:
            generator = numpy_generator(seed, stream, index)
            image = self.images[generator.integers(len(self.images))]
            cut.append(draw_crop(generator, *image.shape[:2], size, augment).cut(image))
        return to_batch(cut, size, "cpu")


def open_photographs(
    manifest_names: list[str],
    split: str,
    downscale: int | Sequence[int] = 1,
    min_side: int = 1,
) -> Photographs:
    """Read the photographs of a split into memory, in the order of the manifests.

    Args:
        manifest_names: data sets, one after the other.
        split: train, validation or test.
        downscale: a whole factor from 1; each pixel becomes the mean of factor × factor of the
            file's (display-encoded) values, which also takes away the softness of large files.
            Of several factors, every photograph is there at each, one after the other.
        min_side: what the shorter side must measure after that, in pixels.

    Raises:
        ReblurError: data that are missing, an unknown split, or a photograph that is too small.
    """
    factors = [downscale] if isinstance(downscale, int) else list(downscale)
    if not factors or min(factors) < 1:
        raise ReblurError(f"downscale {downscale}: takes a whole factor from 1, or several.")
    named = [
        (f"{name}/{path.stem}", path) for name in manifest_names for path in files_of(name, split)
    ]

    def read(entry: tuple[str, Path]) -> list[UInt8[np.ndarray, "_ _ 3"]]:
        name, path = entry
        photograph = read_image(path)
        images = [shrink(photograph, factor) for factor in factors]
        for factor, image in zip(factors, images, strict=True):
            if min(image.shape[:2]) < min_side:
                raise ReblurError(
                    f"{name}: is {image.shape[1]}×{image.shape[0]} pixels after downscaling by "
                    f"{factor}, less than min_side {min_side}; lower one of the two."
                )
        return images

    # Decoding lets other threads run; more than some would only hold more large files in memory.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        images = [image for sizes in pool.map(read, named) for image in sizes]
    return Photographs([name for name, _ in named for _ in factors], images)


def shrink(image: UInt8[np.ndarray, "h w 3"], factor: int) -> UInt8[np.ndarray, "p q 3"]:
    """Area average: (H, W, 3) → (H // factor, W // factor, 3); a rest at the far edges is cut."""
    if factor == 1:
        return image
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: height * factor, : width * factor]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
