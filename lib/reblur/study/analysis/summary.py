"""The summary of the scores: one row a configuration, data set and metric, with its interval and
its gain. Tables, figures and claims are made from it and from `difference`."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal

import numpy as np
import pandas as pd

from reblur.errors import ReblurError
from reblur.study.analysis.scores import PAIRS, Which, matching, run_frame, start_steps
from reblur.study.analysis.statistics import (
    BOUNDS,
    LOWER_IS_BETTER,
    UNBOUNDED,
    Interval,
    difference_interval,
    mean_interval,
    missing_interval,
)
from reblur.study.rows import BLURRED, CONFIGURATION_FIELDS, Run

SUMMARY_COLUMNS = (
    *CONFIGURATION_FIELDS, "dataset", "metric", "mean", "low", "high", "gain", "gain_low",
    "gain_high", "better", "seeds", "photographs", "images", "infinite", "note",
)  # fmt: skip
NOT_AVAILABLE = "not available"
RETURNS_INPUT = "returns its input"
_SAME = 0.005  # dB: no photograph's PSNR differs by more from that of the blurred input

_Key = tuple[Any, ...]


@dataclass(frozen=True)
class _Matrix:
    """Scores of one configuration on one data set by one metric; NaN where a seed has no value."""

    seeds: tuple[int, ...]
    images: np.ndarray  # (N,) names, sorted
    photographs: np.ndarray  # (N,)
    values: np.ndarray  # (S, N)

    @property
    def trained(self) -> bool:
        return self.seeds != (-1,)

    def at(self, seeds: Collection[int]) -> "_Matrix":
        """The rows of some of its seeds."""
        kept = [seed in seeds for seed in self.seeds]
        chosen = tuple(seed for seed in self.seeds if seed in seeds)
        return replace(self, seeds=chosen, values=self.values[kept])

    def of(self, images: np.ndarray) -> "_Matrix":
        """The columns of `images`, which it has all."""
        places = np.searchsorted(self.images, images)
        chosen = (self.photographs[places], self.values[:, places])
        return _Matrix(self.seeds, images, *chosen)


def summarise(scores: pd.DataFrame, runs: Sequence[Run]) -> pd.DataFrame:
    """One row a configuration × data set × metric: SUMMARY_COLUMNS.

    `gain` is the mean of the differences, image by image, from the blurred input of its chapter and
    task; `better` the share of images (0 to 1) on which the configuration's mean over seeds is the
    better one. A configuration that was asked for and has no score has rows of NaN with the note
    'not run', one for each data set and metric on which others of its chapter and task were scored.
    `infinite` counts images that stand in neither mean nor gain because a score, its own or the
    blurred input's, is infinite.

    Args:
        scores: `read_scores`, perhaps with `read_measures` below it.
        runs: the runs asked for; they also give the order of the rows, the blurred input's first.

    Raises:
        ReblurError: the seeds of a configuration were scored on different images.
    """
    found = _matrices(scores)
    seeds_asked = Counter(_keys(run_frame(runs)))
    order = {key: place for place, key in enumerate(seeds_asked)}
    # chapter, task and variant are the first three fields of a configuration
    inputs = {key[:2]: key for key, _, _ in found if key[2] == BLURRED}
    rows = []
    for (key, dataset, metric), matrix in found.items():
        base = inputs.get(key[:2])
        theirs = found.get((base, dataset, metric)) if base != key else None
        row = _row(matrix, theirs, dataset, metric)
        missing = seeds_asked[key] - len(matrix.seeds)
        if matrix.trained and missing > 0:
            of = f"{len(matrix.seeds)} of {seeds_asked[key]} seeds"
            row["note"] = f"{of}; {row['note']}" if row["note"] else of
        rows.append((key, dataset, metric, row))
    done = {key for key, _, _ in found}
    for key in order:
        if key not in done:
            # What was measured of sets of pairs is no score that a run could have.
            beside = [k for k in found if k[0][:2] == key[:2] and k[0][2] != PAIRS]
            places = [(dataset, metric) for _, dataset, metric in beside]
            for dataset, metric in dict.fromkeys(places) or [(None, None)]:
                rows.append((key, dataset, metric, _values(missing_interval(), None)))
    rows.sort(key=lambda row: order.get(row[0], -1))
    records = [
        dict(zip(CONFIGURATION_FIELDS, key, strict=True))
        | {"dataset": dataset, "metric": metric}
        | values
        for key, dataset, metric, values in rows
    ]
    frame = pd.DataFrame(records, columns=list(SUMMARY_COLUMNS))
    words = ("chapter", "task", "variant", "network", "source", "dataset", "metric", "note")
    frame["t0"] = start_steps(frame["t0"])
    return frame.astype(dict.fromkeys(words, "str") | {"level": "Int64"})


def difference(
    scores: pd.DataFrame,
    ours: Which,
    theirs: str | Which | Sequence[Which],
    dataset: str,
    metric: str = "psnr",
) -> Interval:
    """The interval of the differences ours − theirs, image by image, photographs drawn.

    Seeds are paired where both have the same ones, which trained on the same samples.

    Args:
        theirs: a configuration, the blurred input of `ours`' chapter and task, or several
            configurations, of which the mean is taken over the seeds that all have: to be better
            than the mean of two is to win back more than half of what the worse one lacks.

    Returns:
        An interval without ends and with the note 'not run' where a side has no scores.

    Raises:
        ReblurError: a side names several configurations, or its seeds were scored on different
            images.
    """
    here = scores[scores["dataset"] == dataset]
    found = _one(here, ours, metric)
    if found is None:
        return missing_interval()
    (chapter, task, *_), us = found
    if isinstance(theirs, str):
        theirs = {"chapter": chapter, "task": task, "variant": theirs}
    others = [theirs] if isinstance(theirs, Run | Mapping) else theirs
    sides = [_one(here, which, metric) for which in others]
    them = [side[1] for side in sides if side is not None]
    if len(them) < len(sides):
        return missing_interval()
    if len(them) > 1:
        shared = set(us.seeds).intersection(*(side.seeds for side in them))
        if not shared:
            return missing_interval("other seeds")
        us, *them = (side.at(shared) for side in (us, *them))
        images = reduce(np.intersect1d, [side.images for side in them])
        mean = np.mean([side.of(images).values for side in them], axis=0)
        them = [replace(them[0].of(images), values=mean)]
    kept, base, infinite = _usable(us, them[0])
    return _interval(kept, base, infinite, len(us.images), dataset, metric)


def returns_input(scores: pd.DataFrame, which: Which, dataset: str) -> bool:
    """Whether a configuration learned nothing: its PSNR is that of the blurred input, image by
    image and seed by seed."""
    here = scores[scores["dataset"] == dataset]
    found = _one(here, which, "psnr")
    if found is None:
        return False
    (chapter, task, *_), us = found
    base = _one(here, {"chapter": chapter, "task": task, "variant": BLURRED}, "psnr")
    return base is not None and _same(*_usable(us, base[1])[:2])


def _same(ours: _Matrix, base: _Matrix | None) -> bool:
    there = base is not None and bool(ours.values.size)
    return there and bool((np.abs(ours.values - base.values) < _SAME).all())


def _row(matrix: _Matrix, theirs: _Matrix | None, dataset: str, metric: str) -> dict[str, Any]:
    """Mean and gain of a configuration, both over the images on which neither side is infinite."""
    ours, base, infinite = _usable(matrix, theirs)
    mean, gain = (
        _interval(ours, side, infinite, len(matrix.images), dataset, metric)
        for side in (None, base)
    )
    if base is None or not ours.values.size:
        return _values(mean, None)
    if metric == "psnr" and _same(ours, base):
        mean = replace(mean, note="; ".join(filter(None, (mean.note, RETURNS_INPUT))))
    better = ours.values.mean(axis=0) - base.values.mean(axis=0)
    better = -better if metric in LOWER_IS_BETTER else better
    return _values(mean, gain) | {"better": float((better > 0).mean())}


def _usable(ours: _Matrix, theirs: _Matrix | None) -> tuple[_Matrix, _Matrix | None, int]:
    """Both sides on the images of which both have finite scores of every seed, and how many images
    an infinite score takes away."""
    images = ours.images if theirs is None else np.intersect1d(ours.images, theirs.images)
    sides = [side.of(images) for side in (ours, theirs) if side is not None]
    infinite = np.any([np.isinf(side.values).any(axis=0) for side in sides], axis=0)
    finite = np.all([np.isfinite(side.values).all(axis=0) for side in sides], axis=0)
    kept = [side.of(images[finite]) for side in sides]
    return kept[0], kept[1] if theirs is not None else None, int(infinite.sum())


def _interval(
    ours: _Matrix, theirs: _Matrix | None, infinite: int, images: int, dataset: str, metric: str
) -> Interval:
    """The mean of ours, or of ours − theirs; its note says which of `images` do not count."""
    bounds = BOUNDS.get(metric, UNBOUNDED)
    homes = ours.photographs
    if not ours.values.size:
        found = missing_interval(NOT_AVAILABLE)
    elif theirs is None:
        found = mean_interval(ours.values, homes, dataset, bounds, ours.trained)
    else:
        pairing: Literal["paired", "unpaired", "fixed"]
        pairing = "paired" if ours.seeds == theirs.seeds else "unpaired"
        values = ours.values
        if not theirs.trained:
            pairing = "fixed"
        elif not ours.trained:  # the one row of the blurred input, beside every seed of theirs
            values, pairing = np.repeat(values, len(theirs.seeds), axis=0), "paired"
        found = difference_interval(values, theirs.values, homes, dataset, pairing, bounds)
    words = [found.note] if found.note else []
    if 0 < found.images < images - infinite:
        words.append(f"on {found.images} of {images} images")
    if infinite:
        words.append(f"{infinite} infinite left out")
    return replace(found, infinite=infinite, note="; ".join(words))


def _values(mean: Interval, gain: Interval | None) -> dict[str, Any]:
    nothing = missing_interval("")
    gain = gain or nothing
    return {
        "mean": mean.mean, "low": mean.low, "high": mean.high,
        "gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high, "better": math.nan,
        "seeds": mean.seeds, "photographs": mean.photographs, "images": mean.images,
        "infinite": mean.infinite, "note": mean.note,
    }  # fmt: skip


def _one(scores: pd.DataFrame, which: Which, metric: str) -> tuple[_Key, _Matrix] | None:
    """The one configuration of `scores` that `which` names; None if it was not scored."""
    found = _matrices(scores[matching(scores, which)])
    if len({key for key, _, _ in found}) > 1:
        raise ReblurError(f"{which}: names several configurations; name more of its fields.")
    sides = [(key, matrix) for (key, _, name), matrix in found.items() if name == metric]
    return sides[0] if sides else None


def _matrices(scores: pd.DataFrame) -> dict[tuple[_Key, str, str], _Matrix]:
    """The scores of each (configuration, data set, metric)."""
    found = {}
    by = [*CONFIGURATION_FIELDS, "dataset"]
    for names, rows in scores.groupby(by, sort=False, dropna=False, observed=True):
        key, dataset = _plain(names[:-1]), str(names[-1])
        seeds, seed_codes = np.unique(rows["seed"].to_numpy(), return_inverse=True)
        images, image_codes = np.unique(rows["image"].to_numpy(dtype=str), return_inverse=True)
        there = np.zeros((len(seeds), len(images)), bool)
        there[seed_codes, image_codes] = True
        if not there.all():
            words = ", ".join(str(part) for part in key if part is not None)
            raise ReblurError(
                f"{words}: not every seed was scored on the same images of {dataset}; score its "
                "runs again."
            )
        homes = np.empty(len(images), dtype=object)
        homes[image_codes] = rows["photograph"].to_numpy(dtype=object)
        codes, metrics = pd.factorize(rows["metric"])
        values = np.full((len(metrics), *there.shape), np.nan)
        values[codes, seed_codes, image_codes] = rows["value"].to_numpy(dtype=float)
        for metric, matrix in zip(metrics, values, strict=True):
            measured = ~np.isnan(matrix).all(axis=1)  # a seed may lack a metric, as a whole
            kept = tuple(int(seed) for seed in seeds[measured])
            found[key, dataset, str(metric)] = _Matrix(kept, images, homes, matrix[measured])
    return found


def _keys(frame: pd.DataFrame) -> list[_Key]:
    fields = frame[list(CONFIGURATION_FIELDS)]
    return [_plain(row) for row in fields.itertuples(index=False, name=None)]


def _plain(values: Sequence[Any]) -> _Key:
    """The fields of a configuration as a key: None where one is not set, whole numbers as int."""
    return tuple(
        None if pd.isna(value) else value if isinstance(value, str) else int(value)
        for value in values
    )
