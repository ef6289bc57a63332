"""Chapter 4's tests: the test sets of the other chapters, each a domain of blur."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from torch import nn

from reblur.datasets.images.low_quality import open_low_quality
from reblur.evaluation.scoring import Restorer
from reblur.study.data import made_tests, motion_tests, triplet_tests
from reblur.study.data.available import is_here
from reblur.study.data.test_sets import SCORE_COLUMNS, TestSet, empty_scores, score_sets

LOW_QUALITY = "low_quality"
SMALLEST = 192  # pixels of the shorter side: NIQE takes blocks of 96


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


def score_low_quality(restorer: Restorer, names: Sequence[str]) -> pd.DataFrame:
    """`niqe` of every restored image of those real low-quality sets that are here, as long rows;
    none where its parameters are not. An image is the unit; small ones are enlarged."""
    here = [name for name in names if is_here(name)]
    if not here:
        return empty_scores()
    found = open_low_quality(here, "test", SMALLEST)
    rows = made_tests.niqe_rows(LOW_QUALITY, found.names, map(restorer, found.images))
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def score(
    restorer: Restorer, network: nn.Module | None, made: Mapping[str, Any], device: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and costs of a restorer on every test set of a recipe that is here."""
    scores, costs = score_sets(restorer, test_sets(made["tests"]), device)
    if LOW_QUALITY in made["tests"]:
        real = score_low_quality(restorer, made["tests"][LOW_QUALITY])
        scores = pd.concat([scores, real], ignore_index=True)
    return scores, costs
