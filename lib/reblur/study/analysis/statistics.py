"""Intervals of mean scores: a bootstrap on two crossed levels, the training's seed and the
test photograph.

Scores stand in a matrix X of (seeds, images): every trained network of a configuration is scored on
the same images. Images are crops or frames of photographs and resemble each other, so a draw takes
seeds and *photographs* with replacement, independently of each other (a crossed design), and a
drawn photograph brings all its images. Means are over images: a photograph with more of them counts
more. With m the mean of X, m_s the mean with the seeds drawn, m_g with the photographs drawn and
m_sg with both, the draw is

    m + e(S) (m_s - m) + e(G) (m_g - m) + (m_sg - m_s - m_g + m)

and the interval is the range of the middle 95 % of the draws. e(n) = t_{n-1} / z * sqrt(n / (n-1))
widens what a bootstrap of few units makes too narrow (Hesterberg, What teachers should know about
the bootstrap, The American Statistician 69, 2015, section 4); for three seeds e is 2.7, for nine
photographs 1.25. With 3 seeds and 9 photographs of four crops whose scores correlate by 0.3, such
intervals hold the truth in 95 of 100 cases; drawing crops as if they were photographs, in 89.

A bounded metric (SSIM ≤ 1, LPIPS ≥ 0, …) has its interval on a scale without bounds, the logit or
the logarithm, by the delta method: an end is g⁻¹(g(m) + g'(m) d) for the quantile d of the
deviations. It stays within the bounds, and is m + d where it is far from them.

Each interval stands for itself: none is corrected for the number of comparisons in a table. A test
set of one photograph has no interval over photographs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit, ndtri, stdtrit

LEVEL = 0.95
DRAWS = 2000
NOT_RUN = "not run"
ONE_SEED = "1 seed"
Bounds = tuple[float, float]
UNBOUNDED: Bounds = (-math.inf, math.inf)

#: The range of each metric that has one; any other has none.
BOUNDS: dict[str, Bounds] = {
    "ssim": (-1.0, 1.0),
    "ssim_matlab": (-1.0, 1.0),
    "correlation": (-1.0, 1.0),
    "auc": (0.0, 1.0),
    "content_deviation": (0.0, 1.0),
    **dict.fromkeys(("lpips", "mae", "seconds", "niqe", "swd", "spectrum", "fd"), (0.0, math.inf)),
}

#: Metrics of which less is better.
LOWER_IS_BETTER = frozenset(
    ("lpips", "mae", "seconds", "niqe", "content_deviation", "swd", "spectrum", "mmd", "fd")
)


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its interval, in the unit of the scores; NaN where there is none.

    Attributes:
        seeds: trained networks behind it; 0: no training is behind it.
        infinite: images that were left out because a score was infinite.
        note: what the interval leaves out ('1 seed'), or why it is absent ('not run').
    """

    mean: float
    low: float
    high: float
    seeds: int = 0
    photographs: int = 0
    images: int = 0
    infinite: int = 0
    note: str = ""

    @property
    def known(self) -> bool:
        """Whether there is an interval to judge by."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def missing_interval(note: str = NOT_RUN) -> Interval:
    """What stands in the place of an interval that cannot be had. Never a zero."""
    return Interval(math.nan, math.nan, math.nan, note=note)


def expansion(units: int) -> float:
    """e(n): the widening of the deviations of `units` resampled units; 1 where there is one."""
    if units < 2:
        return 1.0  # one unit has no deviation to widen
    tail = (1 + LEVEL) / 2
    return float(stdtrit(units - 1, tail) / ndtri(tail) * math.sqrt(units / (units - 1)))


def mean_interval(
    scores: Float[np.ndarray, "seeds images"],
    photographs: Sequence[str] | np.ndarray,
    key: str,
    bounds: Bounds = UNBOUNDED,
    seeded: bool = True,
) -> Interval:
    """The mean of all scores with its bootstrap interval.

    Args:
        scores: a row a trained network, a column a test image; finite.
        photographs: which photograph each image belongs to.
        key: names the draws: the same key and numbers of units give the same draws, so that the
            rows of a table are compared on the same resampled photographs.
        bounds: the least and the largest value that a score can have.
        seeded: False where no training is behind the scores (the blurred input itself).

    Raises:
        ValueError: a score is not finite.
    """
    if not scores.size:
        return missing_interval()
    groups = _groups(scores, photographs)
    deviations = _deviations(scores, groups, _counts(f"{key}/seeds", len(scores)), key)
    return _interval(scores, deviations, groups, len(scores) if seeded else 0, bounds)


def difference_interval(
    ours: Float[np.ndarray, "seeds images"],
    theirs: Float[np.ndarray, "other_seeds other_images"],
    photographs: Sequence[str] | np.ndarray,
    key: str,
    pairing: Literal["paired", "unpaired", "fixed"] = "paired",
    bounds: Bounds = UNBOUNDED,
) -> Interval:
    """The mean of ours − theirs, taken image by image, with its interval.

    Args:
        ours, theirs: scores on the same images in the same order.
        photographs, key: see `mean_interval`.
        pairing: 'paired': row i of both comes from the same seed (the same training data in the
            same order), seeds are drawn together; 'unpaired': the seeds of either are drawn
            independently; 'fixed': `theirs` is one row without any training behind it.
        bounds: of a score; a difference lies between ± their distance.

    Raises:
        ValueError: the shapes do not fit the pairing, or a score is not finite.
    """
    if ours.shape[1] != theirs.shape[1]:
        raise ValueError(f"{ours.shape[1]} images against {theirs.shape[1]}")
    if pairing == "paired" and ours.shape != theirs.shape:
        raise ValueError(f"{ours.shape[0]} seeds cannot be paired with {theirs.shape[0]}")
    if pairing == "fixed" and theirs.shape[0] != 1:
        raise ValueError("a fixed reference has one row")
    if not ours.size or not theirs.size:
        return missing_interval()
    width = bounds[1] - bounds[0]
    if pairing != "unpaired":
        return mean_interval(ours - theirs, photographs, key, (-width, width))
    groups = _groups(np.concatenate([ours, theirs]), photographs)
    deviations = _deviations(ours, groups, _counts(f"{key}/seeds", len(ours)), key)
    deviations -= _deviations(theirs, groups, _counts(f"{key}/other seeds", len(theirs)), key)
    means = ours.mean(axis=0, keepdims=True) - theirs.mean(axis=0, keepdims=True)
    return _interval(means, deviations, groups, min(len(ours), len(theirs)), (-width, width))


def _groups(scores: np.ndarray, photographs: Sequence[str] | np.ndarray) -> np.ndarray:
    """(images,) the number of each image's photograph, from 0."""
    if len(photographs) != scores.shape[1]:
        raise ValueError(f"{len(photographs)} photographs named for {scores.shape[1]} images")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    _, index = np.unique(np.asarray(photographs, dtype=str), return_inverse=True)
    return index


@lru_cache(maxsize=64)
def _counts(key: str, units: int) -> np.ndarray:
    """(draws, units): how often each unit was drawn, in `units` draws with replacement."""
    from reblur.randomness import numpy_generator  # with it torch, which takes seconds

    generator = numpy_generator(0, f"bootstrap/{key}", units)
    return generator.multinomial(units, np.full(units, 1 / units), size=DRAWS).astype(np.float64)


def _deviations(
    scores: np.ndarray, groups: np.ndarray, seed_counts: np.ndarray, key: str
) -> np.ndarray:
    """(draws,) widened deviations of the resampled means from the mean; linear in the scores."""
    seeds, images = scores.shape
    sums = np.stack([np.bincount(groups, row) for row in scores])  # (S, G)
    units = sums.shape[1]
    counts = _counts(f"{key}/photographs", units)  # (D, G)
    # einsum and not matmul: its sums do not depend on the linear algebra library's threads
    drawn = np.einsum("dg,g->d", counts, np.bincount(groups))  # how many images a draw has
    by_photograph = np.einsum("ds,sg->dg", seed_counts, sums) / seeds  # (D, G)
    mean = scores.mean()
    seed = by_photograph.sum(axis=1) / images - mean
    photograph = np.einsum("dg,g->d", counts, sums.mean(axis=0)) / drawn - mean
    both = np.einsum("dg,dg->d", by_photograph, counts) / drawn - mean
    return expansion(seeds) * seed + expansion(units) * photograph + (both - seed - photograph)


def _interval(
    scores: np.ndarray, deviations: np.ndarray, groups: np.ndarray, seeds: int, bounds: Bounds
) -> Interval:
    mean, photographs = float(scores.mean()), int(groups.max()) + 1
    plain = Interval(mean, math.nan, math.nan, seeds, photographs, scores.shape[1])
    if photographs == 1 and seeds <= 1:
        return replace(plain, note="1 photograph: no interval")
    note = "1 photograph: seeds only" if photographs == 1 else ONE_SEED if seeds == 1 else ""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(deviations, [tail, 1 - tail])
    ends = {"low": _moved(mean, float(low), bounds), "high": _moved(mean, float(high), bounds)}
    return replace(plain, **ends, note=note)


def _moved(mean: float, deviation: float, bounds: Bounds) -> float:
    """The mean moved by a deviation, on a scale without bounds (see the module)."""
    low, high = bounds
    if math.isinf(low) and math.isinf(high):
        return mean + deviation
    if mean <= low or mean >= high:  # then all scores are equal
        return min(max(mean + deviation, low), high)
    if math.isinf(high):
        return low + (mean - low) * math.exp(deviation / (mean - low))
    share = (mean - low) / (high - low)
    slope = 1 / (share * (1 - share)) / (high - low)
    return low + (high - low) * float(expit(logit(share) + slope * deviation))
