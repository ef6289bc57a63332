"""The rule for the best start of chapter 3, and how the names of arms are read."""

import pandas as pd

from fake_diffusion import SECTION
from reblur.study.diffusion_results import best_source, in_order, start_of, task_of

RULE = SECTION["rule"]


def measured(places):
    """Distances and drifts as they stand in the CSVs, for the rule alone."""
    distances = [(s, start_of(s), "swd", distance) for s, (distance, _) in places.items()]
    drift = [
        (s, start_of(s), str(i), 0.5, c + i / 100) for s, (_, c) in places.items() for i in (-1, 1)
    ]
    return (
        pd.DataFrame(distances, columns=["source", "t0", "metric", "distance"]),
        pd.DataFrame(drift, columns=["source", "t0", "image", "drift", "content_drift"]),
    )


def test_the_rule_takes_the_nearest_refined_source_that_keeps_the_content():
    places = {"softened": (0.01, 0.0), "refined_50": (0.05, 0.01), "refined_100": (0.04, 0.03)}
    places |= {"refined_200": (0.02, 0.031), "oracle": (0.001, 0.0)}
    assert best_source(*measured(places), RULE) == "refined_100"  # the bound itself is kept
    assert best_source(*measured(places), {**RULE, "content_drift": 0.04}) == "refined_200"
    assert best_source(*measured(places), {**RULE, "content_drift": 0.029}) == "refined_50"
    assert best_source(*measured(places), {**RULE, "content_drift": 0.009}) is None
    assert best_source(*measured(places), {**RULE, "metric": "spectrum"}) is None


def test_of_equal_distances_the_rule_takes_the_smaller_start():
    places = {"refined_200": (0.05, 0.01), "refined_100": (0.05, 0.02), "refined_20": (0.06, 0.0)}
    assert best_source(*measured(places), RULE) == "refined_100"


def test_names_are_read_apart():
    assert task_of("real_superres_sr_edrb3@clean") == "real_superres"
    assert task_of("superres_rrdb@refined_100") == "superres"
    assert (start_of("refined_250"), start_of("softened")) == (250, None)
    mixed = ["oracle", "refined_200", "softened", "refined_50", "clean", "softened"]
    assert in_order(mixed) == ["clean", "softened", "refined_50", "refined_200", "oracle"]
