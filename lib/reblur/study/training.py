"""From a recipe to a trained network: what every chapter's training shares."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.evaluation.tiling import restore_image
from reblur.measures.full_reference import psnr
from reblur.networks import build_network
from reblur.networks.weights import start_from
from reblur.training import TrainingOptions, TrainingResult, train
from reblur.training.batches import Source
from reblur.training.session import Objective


def build_for(config: Mapping[str, Any]) -> nn.Module:
    """The untrained network of a configuration: its initial weights are a function of the seed, or
    those of another training (`start`)."""
    described = config["network"]
    network = build_network(described["name"], seed=config["seed"], **described["options"])
    if "start" in config:
        start_from(network, config["start"]["file"])
    return network


def mean_psnr(network: nn.Module, pairs: list[Pair], device: str) -> float:
    """Mean PSNR in dB of the network's restorations of `pairs`, as the tables count it."""
    restored = [restore_image(network, p.blurred, device=device, channels_last=True) for p in pairs]
    return float(np.mean([psnr(p.sharp, r) for p, r in zip(pairs, restored, strict=True)]))


def shared(options: TrainingOptions) -> TrainingOptions:
    """The options of one of the processes that `accelerate launch` started: its part of the batch.

    A run is the same run, to rounding, on any number of GPUs.

    Raises:
        ReblurError: the batch cannot be shared equally.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if options.batch % processes:
        raise ReblurError(
            f"a batch of {options.batch} cannot be shared by {processes} processes; start a "
            "number of them that divides it."
        )
    return options.model_copy(update={"batch": options.batch // processes})


def train_network(
    config: Mapping[str, Any],
    source: Source,
    objective: Objective,
    held_out: list[Pair],
    folder: Path,
    device: str,
    **watching: Any,
) -> TrainingResult:
    """Train (or go on training) the network of `config`; the exact state stands in `folder`.

    Args:
        config: `network`, `training` and `seed` of a recipe's configuration.
        held_out: pairs on which PSNR is followed.
        device: "cpu" or "cuda".
        watching: passed to `train` (`progress`, `watch`); changes no number.
    """
    return train(
        build_for(config),
        source,
        objective,
        shared(TrainingOptions.from_dict(config["training"])),
        seed=config["seed"],
        folder=folder,
        device=device,
        validate=(lambda network: {"psnr": mean_psnr(network, held_out, device)})
        if held_out
        else None,
        unused_parameters=bool(getattr(objective, "has_phases", False)),
        **watching,
    )
