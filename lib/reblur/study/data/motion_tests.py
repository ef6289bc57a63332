"""Chapter 1's test sets: photographs that are blurred as training pairs are, and real pairs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from torch import nn

from reblur.datasets.catalogue.manifests import locate
from reblur.datasets.images.layouts import open_kohler
from reblur.datasets.motion.exposures import blur_lengths, draw_exposures
from reblur.datasets.motion.options import MotionBlurOptions
from reblur.evaluation.kohler import score_kohler
from reblur.evaluation.scoring import Restorer
from reblur.study.data.available import is_here
from reblur.study.data.motion import open_pairs_named, synthesis, synthesised_pairs
from reblur.study.data.test_sets import (
    TestSet,
    empty_scores,
    long_form,
    score_sets,
    spread,
    whole,
)

KOHLER = "kohler"


def test_sets(tests: Mapping[str, Any]) -> dict[str, TestSet]:
    """Every test set that is here: synthesised ones, and real pairs.

    Args:
        tests: `synthetic` and `real` of the profile, and its `simulator`: the same for every run.
    """
    found: dict[str, TestSet] = {}
    part, simulator = tests["synthetic"], tests["simulator"]
    for name, change in part["motions"].items() if part else ():
        motion = {**simulator["motion"], **change}
        described = {**simulator, "motion": motion, "photographs": part["photographs"]}
        pairs = synthesised_pairs(described, "test", part["pairs"], part["size"], part["seed"])
        found[name] = whole(name, list(pairs))
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
    return score_sets(restorer, test_sets(made["tests"]), device)


def score_benchmark(restorer: Restorer) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and costs on Köhler's benchmark by its own protocol (`evaluation.kohler`), long; none
    where it is not here. What is drawn is the picture: twelve trajectories share each."""
    if not is_here(KOHLER):
        return empty_scores(), empty_scores()
    table = score_kohler(restorer, open_kohler(locate(KOHLER)))
    table = table.assign(dataset=KOHLER, photograph=table["image"].str[0])
    return long_form(table, ("psnr", "msssim")), long_form(table, ("seconds",))


def measures_of_pairs(made: Mapping[str, Any]) -> pd.DataFrame:
    """What is known of the synthesised test pairs themselves, long: `blur_length` in pixels."""
    part, simulator = made["tests"]["synthetic"], made["tests"]["simulator"]
    tables = []
    for name, change in part["motions"].items() if part else ():
        options = MotionBlurOptions.from_dict({**simulator["motion"], **change}, "motion")
        data = {**simulator, "photographs": part["photographs"], "motion": {}}
        source = synthesis(data, "test", part["size"])
        indices, size = range(part["pairs"]), (part["size"], part["size"])
        lengths = blur_lengths(draw_exposures(part["seed"], indices, options, size), size)
        photographs = [source.photograph_of(part["seed"], index) for index in indices]
        images = [f"{index:03d}" for index in indices]
        rows = {"dataset": name, "photograph": photographs, "image": images}
        tables.append(pd.DataFrame(rows | {"metric": "blur_length", "value": lengths}))
    return pd.concat(tables, ignore_index=True) if tables else empty_scores()
