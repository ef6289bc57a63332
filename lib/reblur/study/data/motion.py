"""Chapter 1's data: pairs of motion blur to train on, to validate on and to test on."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from torch import nn

from reblur.datasets.catalogue.manifests import manifest_names
from reblur.datasets.images.files import to_uint8
from reblur.datasets.images.own import open_own_pairs
from reblur.datasets.images.pairs import Pair, PairCrops, PairFolder, open_pairs_of
from reblur.datasets.images.photographs import open_photographs
from reblur.datasets.motion.synthesis import MotionBlur, MotionBlurOptions
from reblur.evaluation.scoring import Restorer
from reblur.losses.multi_scale import MultiScaleObjective
from reblur.study.data.available import is_here, own_folder
from reblur.study.data.test_sets import TestSet, score_sets, spread, whole

SYNTHETIC = "synthetic"  # the test set of synthesised blur


def training_source(config: Mapping[str, Any]) -> MotionBlur | PairCrops:
    """The source of training pairs: made of photographs, or crops of pairs that exist (`pairs`)."""
    data, crop = config["data"], config["crop"]
    if data["pairs"]:
        return PairCrops(open_pairs_named(data["pairs"], "train"), crop)
    return synthesis(data, "train", crop)


def objective(config: Mapping[str, Any]) -> MultiScaleObjective:
    return MultiScaleObjective(**config["objective"])


def synthesis(data: Mapping[str, Any], split: str, size: int) -> MotionBlur:
    """Pairs of side `size` from the photographs of a split, by a camera that moves."""
    photographs = open_photographs(
        data["photographs"], split, downscale=data["downscale"], min_side=data["min_side"]
    )
    return MotionBlur(photographs, MotionBlurOptions.from_dict(data["motion"]), size)


def synthesised_pairs(
    data: Mapping[str, Any], split: str, count: int, size: int, seed: int
) -> Iterator[Pair]:
    """`count` pairs of side `size` from the photographs of `split` (never trained on).

    Pair i is a function of (seed, i) alone; its `scene` is the photograph that it was cut from.
    """
    source = synthesis(data, split, size)
    for index in range(count):
        batch = source.batch(seed, [index], "cpu")
        blurred, sharp = (to_uint8(batch[key][0]) for key in ("blurred", "sharp"))
        yield Pair(f"{index:03d}", source.photograph_of(seed, index), blurred, sharp)


def open_pairs_named(name: str, split: str) -> PairFolder:
    """The pairs of a data set by its manifest, or of a folder of one's own by its path."""
    if name in manifest_names():
        return open_pairs_of(name, split)
    return open_own_pairs(own_folder(name), split)


def validation_pairs(config: Mapping[str, Any]) -> list[Pair]:
    """The held-out pairs on which PSNR is followed while training; none where none are named."""
    data = config["data"]
    part = data["validation"]
    if not part or data["pairs"]:
        return []
    return list(synthesised_pairs(data, "validation", part["pairs"], part["size"], part["seed"]))


def test_sets(data: Mapping[str, Any], tests: Mapping[str, Any]) -> dict[str, TestSet]:
    """Every test set that is here: the synthesised one, and real pairs.

    Args:
        data: the section that training reads (the simulator's options).
        tests: `synthetic` and `real` of the profile.
    """
    found: dict[str, TestSet] = {}
    if part := tests["synthetic"]:
        described = {**data, "photographs": part["photographs"]}
        pairs = synthesised_pairs(described, "test", part["pairs"], part["size"], part["seed"])
        found[SYNTHETIC] = whole(SYNTHETIC, list(pairs))
    real = tests["real"]
    for name in real["sets"]:
        if is_here(name):
            pairs = open_pairs_named(name, "test")
            found[name] = TestSet(name, pairs, spread(len(pairs), real["pairs"]), real["size"])
    return found


def score(
    restorer: Restorer, network: nn.Module | None, made: Mapping[str, Any], device: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and costs of a restorer on every test set of a recipe that is here."""
    return score_sets(restorer, test_sets(made["configuration"]["data"], made["tests"]), device)
