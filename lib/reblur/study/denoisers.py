"""Chapter 3: the diffusion model of a target, what it learned, and the pairs that it refines.

Its training stands in scratch/<identity>/ and goes on where it stopped.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from reblur.datasets.images.files import to_tensor, to_uint8
from reblur.datasets.images.low_quality import Patches
from reblur.diffusion import Schedule, draw_start, refine
from reblur.networks import network_options
from reblur.study.data.made_pairs import BATCH, Images, Pictures, degraded, target_images
from reblur.study.runs import scratch_folder
from reblur.study.training import train_network
from reblur.training import TrainingResult
from reblur.training.denoising import Noised, denoising_objective

LAYOUT = 4  # by 4 means: the layout from which the diffusion model draws its samples
SAMPLES = 6  # that it draws to show what it learned


def target_patches(config: Mapping[str, Any]) -> Patches:
    """Random patches of the target's images, the samples of its diffusion model."""
    domain = config["domain"]
    images = target_images(domain, config["target"])
    return Patches(images, domain["low"], upright=domain["content"] == "faces")


def train_denoiser(made: Mapping[str, Any], device: str, **watching: Any) -> TrainingResult:
    """Train (or go on training) the diffusion model of `chapters.diffusion.denoiser_recipe`; one
    that is trained already is read from its state in scratch/."""
    config = made["configuration"]
    t_max = network_options(config["network"]["name"])["t_max"]
    t_max = config["network"]["options"].get("t_max", t_max)
    source = Noised(target_patches(config), Schedule(), t_max)
    folder = scratch_folder(made)
    return train_network(config, source, denoising_objective, [], folder, device, **watching)


def refined(
    data: Mapping[str, Any], highs: Images, device: str
) -> tuple[Pictures, list[dict[str, Any]]]:
    """Low-quality images by the hand-made degradation, noised to t0 and denoised by the diffusion
    model of the target."""
    initial, draws = degraded(data, highs, device)
    denoiser = train_denoiser(data["denoiser"], device, progress=False).network
    seed = data["denoiser"]["configuration"]["seed"]
    lows: Pictures = []
    starts = [
        draw_start(seed, n) if data["t0"] == "drawn" else data["t0"] for n in range(len(highs))
    ]
    for first in range(0, len(initial), BATCH):
        part = as_tensor(initial[first : first + BATCH]).to(device)
        indices = range(first, first + len(part))
        made = refine(
            denoiser,
            part,
            starts[first : first + BATCH],
            seed=seed,
            indices=indices,
            **data["synthesis"],
        )
        lows += [to_uint8(image) for image in made.cpu()]
    return lows, [{**draw, "t0": t0} for draw, t0 in zip(draws, starts, strict=True)]


def as_tensor(images: Sequence[np.ndarray]) -> Images:
    return torch.stack([to_tensor(image) for image in images])


def learned(made: Mapping[str, Any], denoiser: nn.Module, device: str) -> dict[str, Images]:
    """What the diffusion model learned: patches of the target, their layouts (4 × 4 means), and
    what it draws from a layout noised to the largest step that it was trained for.

    Args:
        made: of `chapters.diffusion.target_recipes`.
    """
    config = made["denoiser"]["configuration"]
    domain = config["domain"]
    images = target_images(domain, config["target"])
    patches = images.crops(domain["seed"], "learned", range(SAMPLES), domain["low"], augment=False)
    small = functional.adaptive_avg_pool2d(patches, LAYOUT)
    layout = functional.interpolate(small, patches.shape[2:], mode="bilinear").clamp(0, 1)
    sample = refine(
        denoiser,
        layout.to(device),
        denoiser.t_max - 1,
        seed=made["seed"],
        indices=range(len(layout)),
        stream="learned",
        **made["synthesis"],
    ).cpu()
    return {"target": patches, "layout": layout, "sample": sample}
