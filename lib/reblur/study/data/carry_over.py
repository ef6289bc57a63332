"""Chapter 4's data: the training pairs of the other chapters, each as a source, and their mixture.

A recipe's `data` is `sources`: name → what makes its pairs, as the chapter that it comes from says.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from reblur.datasets.images.pairs import Pair
from reblur.losses.multi_scale import MultiScaleObjective
from reblur.losses.reblurring import DefocusObjective
from reblur.training.batches import Source
from reblur.training.session import Objective

Batch = dict[str, Float[Tensor, "b 3 crop crop"]]


class Mixture:
    """Samples of several sources in turn: sample i is that of source i modulo their number."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = list(sources)

    def batch(self, seed: int, indices: Sequence[int], device: torch.device | str = "cpu") -> Batch:
        """Samples (seed, i) as {"blurred", "sharp"}, float32 in [0, 1]; what else a source gives
        with a sample is left out."""
        rows: dict[int, dict[str, Tensor]] = {}
        for number, source in enumerate(self.sources):
            mine = [index for index in indices if index % len(self.sources) == number]
            made = source.batch(seed, mine, torch.device(device)) if mine else {}
            for row, index in enumerate(mine):
                rows[index] = {key: made[key][row] for key in ("blurred", "sharp")}
        return {
            key: torch.stack([rows[index][key] for index in indices])
            for key in ("blurred", "sharp")
        }


def from_photographs(config: Mapping[str, Any]) -> Mixture:
    """Training samples of the recipe's sources; those of one source alone are a mixture of one."""
    return Mixture([_source(config, described) for described in config["data"]["sources"].values()])


def _source(config: Mapping[str, Any], described: Mapping[str, Any]) -> Source:
    """The training samples of one source, by the module of the chapter that it comes from."""
    module = importlib.import_module(described["made_by"])
    data = described["data"]
    make = module.from_pairs if data.get("pairs") else module.from_photographs
    return make({**config, "data": data})


def objective(config: Mapping[str, Any]) -> Objective:
    """That of chapter 1, or of chapter 2 where its pairs are learned by matched reblurring."""
    described = config["objective"]
    made = DefocusObjective if "reblurring" in described else MultiScaleObjective
    return made(**described)


def validation_pairs(config: Mapping[str, Any]) -> list[Pair]:
    """None: every test domain counts alike, and none is followed while training."""
    return []
