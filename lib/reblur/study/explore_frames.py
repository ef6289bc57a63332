"""The frames that are explored: the scores of a profile's chapter with names for people, and the
difference of two configurations image by image."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reblur.study.analysis.scores import read_scores, run_frame
from reblur.study.analysis.statistics import LOWER_IS_BETTER
from reblur.study.analysis.tables import labelled
from reblur.study.examples import BLURRED_INPUT
from reblur.study.params import Params
from reblur.study.rows import BLURRED, Run
from reblur.study.runs import chapter_module

OWN = "own"  # the network of results that were made elsewhere


def named_runs(params: Params, profile: str, chapter: str) -> dict[str, list[Run]]:
    """Name of a configuration → its runs: the chapter's label, with the slug where two share it."""
    module = chapter_module(chapter)
    runs = module.runs(params, profile)
    given = {run.slug: getattr(module, "label", slug)(run.as_dict()) for run in runs}
    shared = Counter(given.values())
    found: dict[str, list[Run]] = {}
    for run in runs:
        name = given[run.slug]
        found.setdefault(name if shared[name] == 1 else f"{name} ({run.slug})", []).append(run)
    return found


def read_labelled(
    root: Path, runs: Mapping[str, Sequence[Run]], own: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """`read_scores` of the runs with a column `label`, and one's `own` scores below it.

    Args:
        runs: `named_runs`.
        own: name → SCORE_COLUMNS.
    """
    known = [run for several in runs.values() for run in several]
    names = {run.slug: name for name, several in runs.items() for run in several}

    def label(fields: Mapping[str, Any]) -> str:
        if fields["variant"] == BLURRED:
            return BLURRED_INPUT
        return names.get(slug(fields), fields["variant"])

    tables = [read_scores(root, known)]
    for name, scores in own.items():
        run = Run(known[0].chapter, name, OWN, 0)
        tables.append(pd.concat([run_frame([run] * len(scores)), scores], axis=1))
    return labelled(pd.concat(tables, ignore_index=True), label)


def slug(fields: Mapping[str, Any]) -> str:
    return Run(**{**fields, "seed": 0}).slug


def differences(rows: pd.DataFrame, a: str, b: str, measure: pd.Series) -> pd.DataFrame:
    """A row an image that A and B were both scored on, means over seeds, the best of A first.

    Columns: photograph, the scores of the blurred input, A and B; `difference`, by which A is
    better than B; `gain_a` and `gain_b` over the blurred input; `measure`.

    Args:
        rows: labelled scores of one test set by one metric.
        measure: image → how hard it is.
    """
    names = list(dict.fromkeys([BLURRED_INPUT, a, b]))
    table = rows.groupby(["image", "label"])["value"].mean().unstack().reindex(columns=names)
    sign = sign_of(rows["metric"].iloc[0]) if len(rows) else 1
    blurred, ours, theirs = (sign * table[name] for name in (BLURRED_INPUT, a, b))
    table["difference"] = ours - theirs
    table["gain_a"], table["gain_b"] = ours - blurred, theirs - blurred
    table["measure"] = measure
    table.insert(0, "photograph", rows.drop_duplicates("image").set_index("image")["photograph"])
    table = table[np.isfinite(table["difference"])].rename_axis(columns=None)
    return table.sort_values("difference", ascending=False, kind="stable")


def measure_of(scores: pd.DataFrame, metric: str) -> str:
    """A metric that only the blurred input has, such as a length of blur; else `metric`, whose
    value for the blurred input says how hard an image is."""
    blurred = scores["variant"] == BLURRED
    alone = set(scores.loc[blurred, "metric"]) - set(scores.loc[~blurred, "metric"])
    return min(alone, default=metric)


def sign_of(metric: str | None) -> int:
    """-1 for a metric of which less is better."""
    return -1 if metric in LOWER_IS_BETTER else 1
