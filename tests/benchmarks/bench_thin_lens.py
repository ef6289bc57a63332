"""Thin-lens synthesis against the same model written plainly: SciPy, a loop over layers."""

import contextlib
import functools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import scipy.ndimage
import scipy.signal
import torch

from reblur.datasets.defocus.depth import LayeredDepth
from reblur.datasets.defocus.thin_lens import (
    Aperture,
    Lens,
    aperture_kernels,
    circle_of_confusion,
    defocus,
    margin,
)

Convolve = Callable[[np.ndarray, np.ndarray], np.ndarray]


def by_taps(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return scipy.ndimage.convolve(image, kernel, mode="constant")


def by_fourier(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return scipy.signal.fftconvolve(image, kernel, mode="same")


def reference_defocus(
    light: np.ndarray, coc: np.ndarray, aperture: Aperture, max_coc: int, convolve: Convolve
) -> np.ndarray:
    """`defocus` of one picture (H, W, 3) at layers one pixel apart, plane by plane in float64."""
    reach = margin(max_coc)
    light = np.pad(light, [(reach, reach), (reach, reach), (0, 0)], mode="reflect")
    coc = np.pad(coc, reach, mode="reflect")
    out = np.zeros_like(light)
    nearest = int(np.floor(coc.min()))
    for layer in range(max_coc, -max_coc - 1, -1):
        opacity = np.clip(1 - (coc - layer), 0, 1)
        known = coc > layer - 1
        if not (opacity * known).any():
            continue
        planes = [*np.moveaxis(light, -1, 0), opacity]
        if layer > nearest:
            planes = [fill(plane, known) for plane in planes]
        kernel = aperture_kernels(torch.tensor([float(layer)]).double(), aperture, reach)[0].numpy()
        alpha = np.clip(convolve(planes[3], kernel), 0, 1)
        for channel in range(3):
            over = convolve(planes[channel] * planes[3], kernel)
            out[..., channel] = out[..., channel] * (1 - alpha) + over
    return out[reach:-reach, reach:-reach]


def fill(plane: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Push-pull: what is unknown, from the means of what is known in ever larger squares."""
    height, width = plane.shape
    if height == width == 1:
        return plane * known
    padding = [(0, height % 2), (0, width % 2)]
    total, count = (
        np.add.reduceat(np.add.reduceat(np.pad(v, padding), even(height)), even(width), axis=1)
        for v in (plane * known, known.astype(float))
    )
    coarse = fill(total / np.maximum(count, 1), count > 0)
    rows, columns = places(height, coarse.shape[0]), places(width, coarse.shape[1])
    smooth = scipy.ndimage.map_coordinates(
        coarse, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest"
    )
    return np.where(known, plane, smooth)


def even(length: int) -> np.ndarray:
    return np.arange(0, length, 2)


def places(fine: int, coarse: int) -> np.ndarray:
    """Of the middles of fine pixels on the grid of the coarse ones, clamped at the borders."""
    return np.clip((np.arange(fine) + 0.5) * coarse / fine - 0.5, 0, coarse - 1)


def scenes(count: int, size: int, max_coc: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Linear light (B, 3, H, W) with detail at every scale, and circles of confusion (B, H, W)."""
    inverse_depth = LayeredDepth().draw(0, "bench", range(count), size, size)
    coc = circle_of_confusion(inverse_depth, [Lens(50, 2, 2.5, 36)] * count)
    coc = coc * (max_coc / coc.abs().amax((1, 2), keepdim=True))
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    waves = [((x * y / size / n).sin() > 0).float() for n in (1, 3, 7)]
    return torch.stack(waves).expand(count, 3, size, size).contiguous(), coc


def best_seconds(functions: Sequence[Callable[[], object]], rounds: int = 4) -> list[float]:
    """Of each function, the shortest of some runs, in turn: others may use the machine too."""
    best = [float("inf")] * len(functions)
    for _ in range(rounds):
        for n, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[n] = min(best[n], time.perf_counter() - start)
    return best


@contextlib.contextmanager
def busy_neighbour() -> Iterator[None]:
    """Another process that keeps one core busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def run() -> list[dict]:
    """One dictionary a comparison: images a second, ours and the reference's, and their ratio."""
    rows = compare("")
    with busy_neighbour():
        return rows + compare(", beside a busy process")


def compare(circumstance: str) -> list[dict]:
    rows = []
    aperture = Aperture(6, 0.3)
    for size, max_coc, batch in ((128, 14, 8), (256, 14, 4)):
        light, coc = scenes(batch, size, max_coc)
        apertures = [aperture] * batch
        found = defocus(light, coc, apertures, max_coc)[0].permute(1, 2, 0).numpy()
        picture, circles = light[0].permute(1, 2, 0).double().numpy(), coc[0].double().numpy()
        for name, convolve in (("taps", by_taps), ("Fourier", by_fourier)):
            reference = functools.partial(
                reference_defocus, picture, circles, aperture, max_coc, convolve
            )
            apart = np.abs(found - reference()).max()
            ours = functools.partial(defocus, light, coc, apertures, max_coc)
            taken, plain = best_seconds([ours, reference])
            rows.append(
                {
                    "name": f"thin lens, {size}², SciPy loop by {name}{circumstance}",
                    "ours": batch / taken,
                    "reference": 1 / plain,
                    "ratio": batch * plain / taken,
                    "unit": "images/s",
                    "note": f"circles to {max_coc} px; largest difference {apart:.0e} of 1",
                }
            )
    return rows


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(
            f"{row['name']}: {row['ours']:.2f} against {row['reference']:.2f} {row['unit']}, "
            f"{row['ratio']:.1f}× ({row['note']})\n"
        )
