"""Chapter 4's tests: the test sets of the other chapters, each a domain of blur."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from torch import nn

from reblur.evaluation.scoring import Restorer
from reblur.study.data import made_tests, motion_tests, triplet_tests
from reblur.study.data.test_sets import TestSet, score_sets


def test_sets(tests: Mapping[str, Any]) -> dict[str, TestSet]:
    """Every test set of pairs that is here, by name.

    Args:
        tests: chapter → its tests, and for chapter 2 the `data` that they are made by. Pairs whose
            truth is misaligned on purpose are left out.
    """
    found: dict[str, TestSet] = {}
    if "scale_recurrent" in tests:
        found |= motion_tests.test_sets(tests["scale_recurrent"])
    if "defocus" in tests:
        known = triplet_tests.known_of(tests["defocus"])
        made = triplet_tests.test_sets(known, tests["defocus"]["tests"])
        found |= {name: pairs for name, pairs in made.items() if name != triplet_tests.MISALIGNED}
    if "diffusion" in tests:
        found |= made_tests.test_sets(tests["diffusion"])
    return found


def score(
    restorer: Restorer, network: nn.Module | None, made: Mapping[str, Any], device: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and costs of a restorer on every test set of a recipe that is here."""
    return score_sets(restorer, test_sets(made["tests"]), device)
