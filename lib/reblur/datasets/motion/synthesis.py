"""Motion blur of sharp photographs, as a simulated high-speed camera sees it.

A moving camera photographs a still scene with a few moving things in front of it. The sub-frames
of one exposure are averaged in linear light and developed: that is the blurred picture; the
middle sub-frame, free of noise, is the sharp one. Both may be as soft as frames of a video.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from reblur.datasets.degradation.jpeg import jpeg
from reblur.datasets.images.files import to_tensor, to_uint8
from reblur.datasets.motion.camera import expose
from reblur.datasets.motion.camera_cpu import expose_one, one_opencv_thread
from reblur.datasets.motion.exposures import Exposures, draw_exposures
from reblur.datasets.motion.options import MOSAIC_REACH, MotionBlurOptions
from reblur.errors import ReblurError
from reblur.randomness import torch_generator

__all__ = ["MotionBlur", "MotionBlurOptions", "synthesise_pair"]

SCENE = "motion/scene"  # the stream that a sample's scene is drawn from
TILE = 512  # pixels; whole photographs are made tile by tile, in bounded memory
Pictures = tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]]


@runtime_checkable
class CropSource(Protocol):
    """Where sharp crops come from: each a function of (seed, stream, index), values in [0, 1], of
    a photograph with a name."""

    def crops(
        self, seed: int, stream: str, indices: Sequence[int], size: int
    ) -> Float[Tensor, "b 3 {size} {size}"]: ...

    def photograph_of(self, seed: int, stream: str, index: int) -> str: ...


class MotionBlur:
    """A source of training pairs: crops of photographs, blurred as they are asked for.

    Crops are taken with a margin, so that what moves into view at a border is real.
    """

    def __init__(self, photographs: CropSource, options: MotionBlurOptions, crop: int) -> None:
        if crop < 1:
            raise ReblurError(f"motion blur: crop must be at least 1 pixel, not {crop}.")
        self.photographs, self.options, self.crop = photographs, options, crop

    def photograph_of(self, seed: int, index: int) -> str:
        """The name of the photograph that is the scene of sample (seed, index)."""
        return self.photographs.photograph_of(seed, SCENE, index)

    def batch(
        self, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
    ) -> dict[str, Float[Tensor, "b 3 {self.crop} {self.crop}"]]:
        """Samples (seed, i) as {"blurred", "sharp"}: display values in [0, 1], in 256 steps.

        A sample depends on (seed, i) alone. On a CPU its bits are the same in every batch; an
        accelerator has a noise generator of its own, and its sums may end in another last bit.
        """
        indices, device = [int(i) for i in indices], torch.device(device)
        options, size = self.options, (self.crop, self.crop)
        exposures = draw_exposures(seed, indices, options, size)

        def crops(stream: str, rows: np.ndarray) -> Tensor:
            chosen = [indices[row] for row in rows]
            return self.photographs.crops(seed, stream, chosen, self.crop + 2 * options.margin)

        rows = np.arange(len(indices))
        scenes = crops(SCENE, rows)
        having = [rows[exposures.layers > n] for n in range(exposures.layers.max(initial=0))]
        things = [crops(f"motion/thing{n}", some) for n, some in enumerate(having)]

        def pictures(group: np.ndarray) -> Pictures:
            chosen = exposures.rows(group)
            contents = [_rows(scenes, group)]
            for n in range(chosen.layers[0]):
                contents.append(_rows(things[n], np.searchsorted(having[n], group)))
            origins = chosen.centres - (self.crop - 1) / 2
            keys = [(indices[row],) for row in group]
            pair = _expose(contents, chosen, origins, size, options, seed, keys, device)
            return _compressed(pair[0], chosen.quality), _compressed(pair[1], chosen.quality)

        groups = _groups(exposures.layers, device)
        pairs = _map(pictures, groups, device)
        blurred, sharp = (_joined(parts) for parts in zip(*pairs, strict=True))
        order = np.argsort(np.concatenate(groups))
        if not np.array_equal(order, rows):
            order = torch.from_numpy(order).to(device)
            blurred, sharp = blurred[order], sharp[order]
        return {"blurred": blurred, "sharp": sharp}


def synthesise_pair(
    sharp: UInt8[np.ndarray, "h w 3"],
    options: MotionBlurOptions,
    seed: int,
    index: int,
    device: torch.device | str = "cpu",
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
    """A pair (blurred, sharp) of a whole photograph, for test sets: a function of (seed, index).

    The principal point is the photograph's middle; `options.extent` is that of its corners and
    middle, in its own pixels. Beyond its borders the photograph is taken to go on as its mirror
    image. Things that move in front of it are cut from the photograph turned by 180 degrees. The
    sharp picture differs from the photograph where such things are, and where it is over-exposed or
    soft.

    Made tile by tile: memory does not grow with the photograph, but for the results.

    Raises:
        ReblurError: the photograph has no pixels.
    """
    height, width, _ = sharp.shape
    if not sharp.size:
        raise ReblurError("motion blur: the photograph has no pixels; leave it out.")
    device, margin = torch.device(device), options.margin
    exposures = draw_exposures(seed, [index], options, (height, width), whole=True)
    layers = [sharp, *[sharp[::-1, ::-1]] * exposures.layers[0]]
    pair = np.empty_like(sharp), np.empty_like(sharp)

    def tile(corner: tuple[int, int]) -> None:
        top, left = corner
        size = min(TILE, height - top), min(TILE, width - left)
        rows = _mirrored(np.arange(-margin, size[0] + margin) + top, height)
        columns = _mirrored(np.arange(-margin, size[1] + margin) + left, width)
        contents = [
            torch.from_numpy(layer[rows][:, columns].transpose(2, 0, 1)[None] / np.float32(255))
            for layer in layers
        ]
        origin = np.array([[left - (width - 1) / 2, top - (height - 1) / 2]])
        keys = [(index, top, left)]
        parts = _expose(contents, exposures, origin, size, options, seed, keys, device)
        for whole, part in zip(pair, parts, strict=True):
            shown = np.rint(255 * part[0].cpu().numpy()).transpose(1, 2, 0)
            whole[top : top + size[0], left : left + size[1]] = shown

    corners = [(y, x) for y in range(0, height, TILE) for x in range(0, width, TILE)]
    _map(tile, corners, device)
    if exposures.quality[0]:
        blurred, sharp = (
            to_uint8(_compressed(to_tensor(p)[None], exposures.quality)[0]) for p in pair
        )
        return blurred, sharp
    return pair


def _groups(layers: np.ndarray, device: torch.device) -> list[np.ndarray]:
    """Rows of a batch that are made together: on a CPU each by itself, elsewhere those with
    equally many moving things."""
    rows = np.arange(len(layers))
    if device.type == "cpu":
        return list(rows[:, None])
    return [rows[layers == n] for n in np.unique(layers)]


def _expose(
    contents: Sequence[Tensor],
    exposures: Exposures,
    origins: np.ndarray,
    size: tuple[int, int],
    options: MotionBlurOptions,
    seed: int,
    keys: Sequence[tuple[int, ...]],
    device: torch.device,
) -> Pictures:
    """Pictures with equally many moving things; a single one on a CPU takes the short way."""
    border = MOSAIC_REACH * options.pipeline
    size, origins = (size[0] + 2 * border, size[1] + 2 * border), origins - border
    margin, noise = options.margin - border, None
    if options.shot_noise[1] or options.read_noise[1]:
        generators = [torch_generator(seed, "motion/noise", *key, device=device) for key in keys]
        noise = _joined([torch.randn(1, *size, 3, generator=g, device=device) for g in generators])
    if device.type == "cpu" and len(keys) == 1:
        arrays = [content[0].numpy() for content in contents]
        draws = None if noise is None else noise[0].numpy()
        pair = expose_one(arrays, exposures, origins, size, margin, draws)
        return torch.from_numpy(pair[0])[None], torch.from_numpy(pair[1])[None]
    contents = [content.to(device, non_blocking=True) for content in contents]
    return expose(contents, exposures, origins, size, margin, noise)


def _compressed(
    pictures: Float[Tensor, "b 3 h w"], qualities: Int[np.ndarray, " b"]
) -> Float[Tensor, "b 3 h w"]:
    """As they come back from JPEG files; those of quality 0 stay as they are. The codec runs on the
    CPU."""
    rows = np.flatnonzero(qualities)
    if len(rows):
        chosen = torch.from_numpy(rows).to(pictures.device)
        pictures[chosen] = jpeg(pictures[chosen], qualities[rows].tolist())
    return pictures


# torch spreads even these small copies over its threads and then waits for the slowest, which on a
# busy machine takes longer than all the rest; so they are views, or NumPy's.


def _rows(batch: Tensor, rows: np.ndarray) -> Tensor:
    return batch[rows[0] : rows[0] + 1] if len(rows) == 1 else batch[rows]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    if parts[0].device.type == "cpu":
        return torch.from_numpy(np.concatenate([part.numpy() for part in parts]))
    return torch.cat(parts)


def _map(function: Callable[[Any], Any], items: Sequence[Any], device: torch.device) -> list[Any]:
    """As the built-in; on a CPU over as many threads as torch would use."""
    if device.type != "cpu":
        return [function(item) for item in items]
    workers = min(torch.get_num_threads(), len(items))
    with one_opencv_thread():
        if workers <= 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(function, items))


def _mirrored(positions: np.ndarray, length: int) -> np.ndarray:
    """Positions reflected about the first and the last pixel until they lie inside."""
    period = max(2 * (length - 1), 1)
    positions = np.abs(positions) % period
    return np.minimum(positions, period - positions)
