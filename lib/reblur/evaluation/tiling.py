"""Photographs of any size through a network: overlapping tiles, blended seams, bounded memory.

A tile's outermost rows, where the network saw the tile's edge and not the photograph, are thrown
away; over the rest of the overlap two tiles are cross-faded with a raised cosine. A network whose
receptive field ends within the rows thrown away gives what it gives on the whole photograph.
Others (coarse-to-fine ones, or those that pool over the whole image) come close, without seams.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8, UInt16
from torch import Tensor, nn

from reblur.datasets.images.files import to_tensor, to_uint8, to_uint16
from reblur.errors import ReblurError

Precision = Literal["fp32", "bf16"]

WHOLE_PIXELS = 1536 * 1024  # up to here (720p, say) a photograph is restored in one go
TILE = 1024  # side of a tile of anything larger
SMALLEST_TILE = 64
# Tiles begin at multiples of this, so that a network's strided layers and its scales (4 · 2² for
# three scales of the scale-recurrent network) sample a tile where they sample the photograph.
ALIGNMENT = 32


@dataclass(frozen=True)
class Tiling:
    """The tiles along one side: the i-th covers [i · stride, i · stride + tile), cut at the end."""

    length: int
    stride: int
    overlap: int

    @property
    def count(self) -> int:
        return max(1, -(-(self.length - self.overlap) // self.stride))

    def extent(self, i: int) -> slice:
        return slice(
            i * self.stride, min(i * self.stride + self.stride + self.overlap, self.length)
        )

    def weights(self, i: int) -> Float32[Tensor, " extent"]:
        """Weights of the i-th tile's pixels; over all tiles they sum to 1 at every pixel."""
        extent = self.extent(i)
        weights = torch.ones(extent.stop - extent.start)
        if i > 0:
            weights[: self.overlap] *= _ramp(self.overlap)
        if i < self.count - 1:
            weights[-self.overlap :] *= 1 - _ramp(self.overlap)
        return weights


def _ramp(overlap: int) -> Float32[Tensor, " overlap"]:
    """0 over the first quarter, a raised cosine over the half in the middle, 1 from there on."""
    position = (torch.arange(overlap) + 0.5) / overlap
    return 0.5 - 0.5 * torch.cos(torch.pi * (2 * position - 0.5).clamp(0, 1))


def plan_tiles(
    height: int, width: int, tile: int | None = None, overlap: int | None = None
) -> tuple[Tiling, Tiling]:
    """Tiles of about one size that cover a photograph, as few as the given side allows.

    Args:
        height, width: of the photograph, in pixels.
        tile: largest side of a tile; None: the whole photograph up to `WHOLE_PIXELS`, else `TILE`.
        overlap: of neighbouring tiles; None: a quarter of the side, at most 128.

    Returns:
        The tilings of the height and of the width.

    Raises:
        ReblurError: a tile that is too small, or an overlap that is not possible with it.
    """
    if tile is None:
        tile = TILE if height * width > WHOLE_PIXELS else max(height, width, SMALLEST_TILE)
    if tile < SMALLEST_TILE:
        raise ReblurError(
            f"a tile of {tile} pixels is too small; choose {SMALLEST_TILE} or more, or none."
        )
    if overlap is None:
        overlap = min(128, tile // 4)
    if not 4 <= overlap <= tile // 2:
        raise ReblurError(
            f"an overlap of {overlap} pixels is not possible with tiles of {tile}; choose 4 to "
            f"{tile // 2}."
        )
    return _tiling(height, tile, overlap), _tiling(width, tile, overlap)


def _tiling(length: int, tile: int, overlap: int) -> Tiling:
    if length <= tile:
        return Tiling(length, length, overlap)
    longest = max((tile - overlap) // ALIGNMENT, 1) * ALIGNMENT
    count = -(-(length - overlap) // longest)
    even = -(-(length - overlap) // count)
    return Tiling(length, -(-even // ALIGNMENT) * ALIGNMENT, overlap)


def restore_image(
    network: nn.Module,
    photograph: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"],
    *,
    tile: int | None = None,
    overlap: int | None = None,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
    channels_last: bool = False,
    bits: Literal[8, 16] = 8,
    progress: Callable[[int, int], None] | None = None,
) -> UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]:
    """Restore a photograph of any size; beside it and the result, memory is one row of tiles.

    Args:
        network: `network(x, finest=True)` on (B, 3, H, W) in [0, 1]; put into evaluation mode for
            the while.
        photograph: RGB, uint8 or uint16.
        tile, overlap: see `plan_tiles`.
        device: the network is moved there; None: where it is.
        precision: "bf16" computes in bfloat16 where autocast does; faster, and on processors with
            matrix units for it only. It costs up to half a grey level.
        channels_last: the network's weights are laid out so (and stay so); often faster.
        bits: of the result, whatever the photograph's.
        progress: called after each tile with (tiles done, tiles in all).

    Returns:
        The restored photograph, clamped and rounded.

    Raises:
        ReblurError: an impossible tile, a result with NaN or infinity, or memory that ran out.
    """
    height, width = photograph.shape[:2]
    restored = np.empty(photograph.shape, np.uint8 if bits == 8 else np.uint16)
    rounded = to_uint8 if bits == 8 else to_uint16
    run = _Run(network, device, precision, channels_last)
    tilings = plan_tiles(height, width, tile, overlap)

    def read(rows: slice, columns: slice) -> Tensor:
        return to_tensor(photograph[rows, columns])[None]

    for top, band in run.bands(read, tilings, progress):
        restored[top : top + band.shape[2]] = rounded(band[0])
    return restored


class _Run:
    """A network placed on its device, and the way that tiles go through it."""

    def __init__(
        self,
        network: nn.Module,
        device: torch.device | str | None,
        precision: Precision,
        channels_last: bool,
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise ReblurError(f"precision '{precision}' is not known; choose fp32 or bf16.")
        if device is not None:
            network.to(device)
        if channels_last:
            network.to(memory_format=torch.channels_last)
        self.network = network
        first = next(network.parameters(), None)
        self.device = torch.device(device or "cpu") if first is None else first.device
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.precision = precision

    def bands(
        self,
        read: Callable[[slice, slice], Tensor],
        tilings: tuple[Tiling, Tiling],
        progress: Callable[[int, int], None] | None,
    ) -> Iterator[tuple[int, Float32[Tensor, "b 3 rows w"]]]:
        """Finished rows of the result, top to bottom: (first row, band on the CPU).

        Rows that the next row of tiles reaches into are kept back as a half-made sum.
        """
        rows, columns = tilings
        total = rows.count * columns.count
        kept: Tensor | None = None
        for i, j in product(range(rows.count), range(columns.count)):
            at_rows, at_columns = rows.extent(i), columns.extent(j)
            restored = self.tile(read(at_rows, at_columns))
            if j == 0:
                size = at_rows.stop - at_rows.start
                band = restored.new_zeros((*restored.shape[:2], size, columns.length))
                if kept is not None:
                    band[:, :, : rows.overlap] = kept
            weights = rows.weights(i)[:, None] * columns.weights(j)
            band[:, :, :, at_columns] += restored * weights
            if progress is not None:
                progress(i * columns.count + j + 1, total)
            if j == columns.count - 1:
                finished = band.shape[2] if i == rows.count - 1 else rows.stride
                kept = band[:, :, finished:].clone()
                yield at_rows.start, band[:, :, :finished]

    def tile(self, images: Float[Tensor, "b 3 h w"]) -> Float32[Tensor, "b 3 h w"]:
        try:
            with _evaluating(self.network), torch.no_grad(), self._autocast():
                images = images.to(self.device, torch.float32).contiguous(memory_format=self.layout)
                restored = self.network(images, finest=True).float().cpu()
        except (RuntimeError, MemoryError) as error:  # a GPU's OutOfMemoryError is the former
            if not _out_of_memory(error):
                raise
            raise ReblurError(
                f"the memory of {self.device} does not hold a tile of {images.shape[3]}×"
                f"{images.shape[2]} pixels; choose a smaller tile."
            ) from error
        if not torch.isfinite(restored).all():
            raise ReblurError(
                "the network's result has values that are no numbers; its weights are damaged, or "
                "its training went astray: use other weights."
            )
        return restored

    def _autocast(self) -> torch.autocast:
        on = self.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on)


def _out_of_memory(error: Exception) -> bool:
    """On a CPU, PyTorch says in words alone that memory ran out."""
    words = ("not enough memory", "can't allocate memory", "bad_alloc", "could not create a memory")
    said = any(word in str(error) for word in words)
    return said or isinstance(error, torch.OutOfMemoryError | MemoryError)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
