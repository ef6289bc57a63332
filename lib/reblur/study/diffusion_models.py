"""Chapter 3: the diffusion model of a target, what it learned, and what a source's pairs are worth.

The measurements of a source: the distance of its low-quality images to the target's, and how far
they drifted from the images that the hand-made degradation gave (`reblur.measures.distances`).
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from reblur.datasets.images.files import to_tensor, to_uint8, write_image
from reblur.datasets.images.low_quality import Patches
from reblur.datasets.images.photographs import Photographs
from reblur.diffusion import Noised, Schedule, denoising_objective, refine
from reblur.files import sha256_of_value, write_text
from reblur.measures.distances import available_distances, content_drift, distance, drift
from reblur.networks import build_network
from reblur.study.data import data_hashes
from reblur.study.diffusion_data import Task, half, target_images
from reblur.study.diffusion_results import INITIAL, TARGET, start_of
from reblur.study.params import profile_of
from reblur.study.runs import scratch_folder
from reblur.training import TrainingOptions, TrainingResult, train

KEPT = 6  # images of each kind that are kept for the figures
LAYOUT = 4  # by 4 means: the layout from which the diffusion model draws its samples

Images = Float[Tensor, "_n 3 _h _w"]


def denoiser_configuration(params: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Everything that the bytes of a trained diffusion model hang on, as `runs.configuration`."""
    profile = profile_of(dict(params), task.profile)
    part = profile["diffusion"]["denoiser"]
    targets = task.data["targets"][task.name] if task.camera is None else []
    if isinstance(targets, str):  # no manifest vouches for a user's own folder
        images = target_images(task).images
        targets = {
            targets: sha256_of_value([hashlib.sha256(i.tobytes()).hexdigest() for i in images])
        }
    return {
        "variant": f"denoiser-{task.name}",
        "network": {"name": part["network"], "options": part["options"]},
        "training": part["training"],
        "data": {key: value for key, value in task.data.items() if key != "real"},
        "task": {"name": task.name, "scale": task.scale, "camera": task.camera, "target": targets},
        "seed": 0,
        "machine": profile["machine"],
        "data_hashes": data_hashes(task.data),
    }


def train_denoiser(
    config: dict[str, Any], task: Task, device: str, **watching: Any
) -> TrainingResult:
    """Train (or go on training) the diffusion model on random patches of the target's images."""
    network = build_network(
        config["network"]["name"], seed=config["seed"], **config["network"]["options"]
    )
    target = Patches(target_images(task), task.low, upright=task.content == "faces")
    source = Noised(target, Schedule(), network.t_max)
    return train(
        network,
        source,
        denoising_objective,
        TrainingOptions.from_dict(config["training"]),
        seed=config["seed"],
        folder=scratch_folder(config),
        device=device,
        **watching,
    )


def patches(images: Photographs, count: int, side: int, seed: int, stream: str) -> Images:
    """`count` random patches of a set of images, not turned."""
    return images.crops(seed, stream, range(count), side, augment=False)


def layout_of(images: Images) -> Images:
    """What is left of images in 4 × 4 means: colours and where they stand, and no texture."""
    small = functional.adaptive_avg_pool2d(images, LAYOUT)
    large = functional.interpolate(small, images.shape[2:], mode="bilinear", align_corners=False)
    return large.clamp(0, 1)


def learned(
    task: Task, denoiser: nn.Module, synthesis: Mapping[str, Any], device: str
) -> dict[str, Images]:
    """What the diffusion model learned: patches of the target, their layouts, and what it draws
    from a layout noised to the largest step that it was trained for."""
    target = patches(target_images(task), KEPT, task.low, task.seed, "learned")
    start = layout_of(target)
    sample = refine(
        denoiser,
        start.to(device),
        denoiser.t_max - 1,
        seed=task.seed,
        indices=range(len(start)),
        stream="learned",
        **synthesis,
    ).cpu()
    return {TARGET: target, "start": start, "sample": sample}


def write_pictures(folder: Path, images: Images | Sequence[np.ndarray]) -> None:
    """Write the first `KEPT` images as NNN.png."""
    for number, image in enumerate(images[:KEPT]):
        pixels = to_uint8(image) if isinstance(image, Tensor) else image
        write_image(folder / f"{number:03d}.png", pixels)


def as_tensor(images: Sequence[np.ndarray]) -> Images:
    return torch.stack([to_tensor(image) for image in images])


def measure_distances(task: Task, lows: Mapping[str, Sequence[np.ndarray]]) -> pd.DataFrame:
    """The distance of each source's images to patches of the target; the row `target` is the floor,
    one half of the target's images against the other.

    Returns:
        Columns source, t0, metric, distance.
    """
    images, count = target_images(task), task.data["patches"]
    target = patches(images, count, task.low, task.seed, "distance-target")
    halves = [
        patches(half(images, number), count, task.low, task.seed, f"distance-half-{number}")
        for number in (0, 1)
    ]
    sets = {TARGET: halves[1]} | {source: as_tensor(low) for source, low in lows.items()}
    rows = [
        {
            "source": source,
            "t0": start_of(source),
            "metric": metric,
            "distance": distance(metric, ours, halves[0] if source == TARGET else target),
        }
        for source, ours in sets.items()
        for metric in available_distances()
    ]
    return pd.DataFrame(rows, columns=["source", "t0", "metric", "distance"])


def measure_drift(lows: Mapping[str, Sequence[np.ndarray]]) -> pd.DataFrame:
    """How far every image stands from the one that the softened hand-made degradation gave.

    Returns:
        Columns source, t0, image, drift, content_drift (root mean squares, in [0, 1]).
    """
    initial = as_tensor(lows[INITIAL])
    tables = []
    for source, low in lows.items():
        ours = as_tensor(low)
        table = pd.DataFrame(
            {
                "image": [f"{number:05d}" for number in range(len(ours))],
                "drift": drift(ours, initial).numpy(),
                "content_drift": content_drift(ours, initial).numpy(),
            }
        )
        table.insert(0, "source", source)
        table.insert(1, "t0", start_of(source))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def measure_cost(
    task: Task,
    denoiser: nn.Module,
    initial: Images,
    start: int,
    samplers: Mapping[str, Mapping[str, Any]],
    device: str,
) -> pd.DataFrame:
    """What each sampler costs at one start step, and how near to the target it comes.

    Args:
        initial: low-quality images to refine.
        samplers: name → `sampler` and `steps` of `refine`.

    Returns:
        Columns sampler, t0, calls, images_per_second, metric, distance, device.
    """
    target = patches(
        target_images(task), task.data["patches"], task.low, task.seed, "distance-target"
    )
    rows = []
    for name, options in samplers.items():
        calls = _Calls(denoiser)
        begun = time.perf_counter()
        made = refine(
            calls, initial.to(device), start, seed=task.seed, indices=range(len(initial)), **options
        ).cpu()
        seconds = time.perf_counter() - begun
        rows += [
            {
                "sampler": name,
                "t0": start,
                "calls": calls.count,
                "images_per_second": len(initial) / seconds,
                "metric": metric,
                "distance": distance(metric, made, target),
                "device": device,
            }
            for metric in available_distances()
        ]
    return pd.DataFrame(rows)


class _Calls(nn.Module):
    """A denoiser that counts how often it is asked."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser, self.t_max, self.count = denoiser, denoiser.t_max, 0

    def forward(self, noisy: Tensor, t: Tensor) -> Tensor:
        self.count += 1
        return self.denoiser(noisy, t)


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a CSV, six digits after the point."""
    write_text(path, frame.to_csv(index=False, lineterminator="\n", float_format="%.6f"))
