"""Random square crops: where they lie is drawn once a sample, and cut from every image of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Crop:
    """A square of an image, and how it is turned.

    Attributes:
        top, left: its corner, in pixels from 0.
        size: its side in pixels.
        turn: 0 to 7, one of the square's eight symmetries: bit 0 flips rows, bit 1 columns, and bit
            2 transposes; 0 leaves it as it is.
    """

    top: int
    left: int
    size: int
    turn: int

    def cut(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
        """The pixels, a view of `image`."""
        rows, columns = (
            slice(self.top, self.top + self.size),
            slice(self.left, self.left + self.size),
        )
        pixels = image[rows, columns]
        pixels = pixels[:: -1 if self.turn & 1 else 1, :: -1 if self.turn & 2 else 1]
        return pixels.swapaxes(0, 1) if self.turn & 4 else pixels


def draw_crop(
    generator: np.random.Generator, height: int, width: int, size: int, augment: bool
) -> Crop:
    """A crop of side `size` ≤ height, width, uniform over all places (and turns, if `augment`)."""
    top, left, turn = generator.integers((height - size + 1, width - size + 1, 8 if augment else 1))
    return Crop(int(top), int(left), size, int(turn))


def to_batch(
    crops: Sequence[UInt8[np.ndarray, "s s 3"]], size: int, device: torch.device | str
) -> Float[Tensor, "b 3 s s"]:
    """Crops of one size → (B, 3, size, size) float32 in [0, 1] on `device`; B may be 0."""
    pixels = np.stack(crops) if len(crops) else np.empty((0, size, size, 3), np.uint8)
    moved = torch.from_numpy(pixels).to(device)  # a quarter of the bytes of floats
    return moved.permute(0, 3, 1, 2).contiguous().float() / 255
