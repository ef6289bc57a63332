"""Motion-blur synthesis against the usual loop: a picture at a time, a SciPy warp a sub-frame.

Run as a module, or through `make bench`. Both sides make the same pictures (checked here, too),
turn by turn in one run on one thread. The best of their CPU times is taken, which other
processes disturb less than they do the clock on the wall.
"""

import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.transform import warp

from reblur.datasets.images.photographs import Photographs
from reblur.datasets.motion.camera import HIGHLIGHT, average_frames
from reblur.datasets.motion.camera_cpu import expose_one, one_opencv_thread
from reblur.datasets.motion.exposures import Exposures, draw_exposures
from reblur.datasets.motion.options import SOFT_REACH, MotionBlurOptions
from reblur.datasets.motion.synthesis import MotionBlur
from reblur.losses.multi_scale import multi_scale_loss
from reblur.networks import build_network

Warp = Callable[[np.ndarray, np.ndarray, tuple[int, int]], np.ndarray]


def scipy_warp(layer: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, c) looked up at matrix @ (x, y, 1), bilinear, mirrored at the borders."""
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    x, y, scale = (row[0] * x + row[1] * y + row[2] for row in matrix)
    places = np.stack([y / scale, x / scale])
    channels = np.moveaxis(layer, 2, 0)
    return np.stack([map_coordinates(c, places, order=1, mode="mirror") for c in channels], 2)


def skimage_warp(layer: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return warp(layer, matrix, output_shape=size, order=1, mode="reflect", preserve_range=True)


def expose_by_loop(
    contents: list[np.ndarray],
    exposure: Exposures,
    origin: np.ndarray,
    size: tuple[int, int],
    margin: int,
    noise: np.ndarray | None,
    warp_frame: Warp = scipy_warp,
) -> tuple[np.ndarray, np.ndarray]:
    """`camera_cpu.expose_one` written plainly, in the numbers' own precision.

    `contents` are (H, W, 3) display values; so are the results.
    """
    gamma, gain = exposure.gamma[0], exposure.highlight_gain[0]
    layers = []
    for n, content in enumerate(contents):
        excess = np.maximum(content - HIGHLIGHT, 0) / (1 - HIGHLIGHT)
        layer = content**gamma * (1 + (gain - 1) * excess) * exposure.light_gain[0]
        if exposure.softness[0]:
            sigma = (exposure.softness[0],) * 2 + (0,)
            layer = gaussian_filter(layer, sigma, mode="mirror", radius=(SOFT_REACH,) * 2 + (0,))
        if n > 0:
            alpha = _silhouette(exposure.outlines[0, n - 1], origin[0] - margin, content.shape)
            layer = np.dstack([layer * alpha[..., None], alpha])
        layers.append(layer)
    matrices = exposure.between_pixels(origin, margin)[:, 0]

    def frame(k: int) -> np.ndarray:
        shown = warp_frame(layers[0], matrices[0, k], size)
        for layer, of_layer in zip(layers[1:], matrices[1:], strict=False):
            thing = warp_frame(layer, of_layer[k], size)
            shown = thing[..., :3] + (1 - thing[..., 3:]) * shown
        return shown

    def developed(light: np.ndarray) -> np.ndarray:
        return np.rint(255 * np.clip(light, 0, 1) ** (1 / gamma)) / 255

    count = exposure.counts[0]
    frames = [frame(k) for k in range(count)]
    light = sum(frames) / count
    if noise is not None:
        light = light + noise * np.sqrt(light * exposure.shot[0] + exposure.read[0] ** 2)
    return developed(light), developed(frames[count // 2])


def _silhouette(outline: np.ndarray, corner: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    middle_x, middle_y, radius, softness, *waves = outline
    y, x = np.mgrid[: shape[0], : shape[1]]
    x, y = x + corner[0] - middle_x, y + corner[1] - middle_y
    angle = np.arctan2(y, x)
    wave = sum(
        waves[2 * m] * np.cos((m + 2) * angle) + waves[2 * m + 1] * np.sin((m + 2) * angle)
        for m in range(len(waves) // 2)
    )
    return np.clip((radius * np.exp(wave) - np.hypot(x, y)) / softness + 0.5, 0, 1)


def compare(crop: int, options: MotionBlurOptions, samples: int, rounds: int) -> dict[str, Any]:
    """Seconds a sample of each way, and how far its pictures are from SciPy's."""
    margin, size = options.margin, (crop, crop)
    rng = np.random.default_rng(0)
    side = crop + 2 * margin
    photographs = rng.integers(0, 256, (samples, side, side, 3), dtype=np.uint8)
    noises = rng.standard_normal((samples, crop, crop, 3), dtype=np.float32)
    exposures = draw_exposures(0, range(samples), options, size)
    each = [exposures.rows(np.array([i])) for i in range(samples)]
    origins = [one.centres - (crop - 1) / 2 for one in each]
    planes = [np.ascontiguousarray(p.transpose(2, 0, 1), np.float32) / 255 for p in photographs]
    displays = [p.transpose(1, 2, 0).copy() for p in planes]

    def ours() -> list[np.ndarray]:
        with one_opencv_thread():
            return [
                expose_one([planes[i]], each[i], origins[i], size, margin, noises[i])[0]
                for i in range(samples)
            ]

    def loop(warp_frame: Warp) -> list[np.ndarray]:
        results = []
        for i in range(samples):
            scene = [displays[i]]
            pair = expose_by_loop(scene, each[i], origins[i], size, margin, noises[i], warp_frame)
            results.append(pair[0].transpose(2, 0, 1))
        return results

    def plain_torch() -> torch.Tensor:
        linear = torch.from_numpy(np.stack(planes)).pow(2.2)
        matrices = exposures.between_pixels(np.concatenate(origins), margin)
        return average_frames([linear], [matrices[0]], exposures.counts, size).pow(1 / 2.2)

    ways = {
        "ours": ours,
        "SciPy loop": lambda: loop(scipy_warp),
        "scikit-image loop": lambda: loop(skimage_warp),
        "torch grid_sample": plain_torch,
    }
    seconds = dict.fromkeys(ways, float("inf"))
    results = {}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            results[name] = way()
            seconds[name] = min(seconds[name], (time.process_time() - start) / samples)
    apart = np.abs(np.stack(results["ours"]) - np.stack(results["SciPy loop"])) * 255
    return {**seconds, "levels_apart": apart.max(), "share_apart": (apart > 0.5).mean()}


def against_training(crop: int, batch: int, rounds: int) -> dict[str, Any]:
    """Samples a second made, and trained on in the faster of float32 and bfloat16."""
    rng = np.random.default_rng(0)
    photographs = [rng.integers(0, 256, (512, 512, 3), dtype=np.uint8) for _ in range(4)]
    options = MotionBlurOptions(extent=(2.0, 16.0), layer_extent=(2.0, 12.0), frames=17)
    source = MotionBlur(Photographs(list("abcd"), photographs), options, crop)
    network = build_network("sr_edrb3", width=8).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters())

    def step(pair: dict[str, torch.Tensor], dtype: torch.dtype) -> None:
        with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
            loss = multi_scale_loss([o.float() for o in network(pair["blurred"])], pair["sharp"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    made, trained = [], []
    for n in range(rounds):
        start = time.process_time()
        pair = source.batch(0, range(n * batch, (n + 1) * batch), "cpu")
        made.append(time.process_time() - start)
        for dtype in (torch.float32, torch.bfloat16):
            start = time.process_time()
            step(pair, dtype)
            trained.append(time.process_time() - start)
    rates = batch / float(np.median(made)), batch / min(trained)
    return {
        "name": f"motion blur, {crop}² x {batch}, against training sr_edrb3 (w. 8)",
        "ours": rates[0],
        "reference": rates[1],
        "ratio": rates[0] / rates[1],
        "unit": "images/s",
        "note": "made with crops, things, noise; trained in the faster of fp32 and bf16; 1 thread",
    }


def run() -> list[dict[str, Any]]:
    """Rows (name, ours, reference, ratio, unit, note)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    for crop, frames, samples, rounds in [(64, 9, 16, 8), (256, 17, 4, 5), (288, 17, 4, 5)]:
        options = MotionBlurOptions(
            extent=(8.0, 16.0),
            frames=frames,
            spacing=0.0,
            layer_probability=0.0,
            gamma=(2.2, 2.2),
            soft_probability=0.0,
        )
        found = compare(crop, options, samples, rounds)
        equal = (
            f"1 thread; equal but for {found['share_apart']:.2%} of values, "
            f"{found['levels_apart']:.0f}/255 apart"
        )
        for name, note in (
            ("SciPy loop", equal),
            ("scikit-image loop", "1 thread"),
            ("torch grid_sample", "1 thread; that without noise, sharp picture and 8 bits"),
        ):
            rows.append(
                {
                    "name": f"motion blur, {crop}² x {frames} frames, against {name}",
                    "ours": 1 / found["ours"],
                    "reference": 1 / found[name],
                    "ratio": found[name] / found["ours"],
                    "unit": "images/s",
                    "note": note,
                }
            )
    rows.append(against_training(crop=64, batch=8, rounds=12))
    torch.set_num_threads(threads)
    return rows


if __name__ == "__main__":
    for row in run():
        print(
            f"{row['name']}: {row['ours']:.0f} against {row['reference']:.1f} {row['unit']}, "
            f"{row['ratio']:.1f} times. {row['note']}"
        )
