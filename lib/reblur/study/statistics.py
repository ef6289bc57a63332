"""Intervals of mean scores: a bootstrap on two levels, the training's seed and the test image.

Scores stand in a matrix X of (seeds, images): every trained network of a variant is scored on the
same images. A draw takes seeds and images with replacement, independently of each other (a crossed
design). With m the mean of X, m_s the mean with the seeds drawn, m_i with the images drawn and m_si
with both, the draw is

    m + e(S) (m_s - m) + e(N) (m_i - m) + (m_si - m_s - m_i + m)

and the interval is the range of the middle 95 % of the draws. e(n) = t_{n-1} / z * sqrt(n / (n-1))
widens what a bootstrap of few units makes too narrow (Hesterberg, What teachers should know about
the bootstrap, The American Statistician 69, 2015, section 4); for three seeds e is 2.7, for a
hundred images 1.02. Without it three seeds would give intervals that miss the truth in one case of
four.

Each interval stands for itself: none is corrected for the number of comparisons in a table. Frames
of one scene are alike, so intervals on a test set of one scene speak of that scene alone.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri, stdtrit

from reblur.randomness import numpy_generator

LEVEL = 0.95
DRAWS = 2000
ONE_SEED = "1 seed: images only"


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its interval, in the unit of the scores; NaN where there is none.

    `note` says in words what the interval leaves out ('1 seed: images only'), or why it is absent
    ('missing').
    """

    mean: float
    low: float
    high: float
    seeds: int
    images: int
    note: str = ""

    @property
    def known(self) -> bool:
        """Whether there is an interval to judge by."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def missing_interval(note: str = "missing") -> Interval:
    """What stands in the place of an interval that cannot be had. Never a zero."""
    return Interval(math.nan, math.nan, math.nan, 0, 0, note)


def expansion(units: int) -> float:
    """e(n): the widening of the deviations of `units` resampled units; 1 where there is one."""
    if units < 2:
        return 1.0  # one unit has no deviation to widen
    tail = (1 + LEVEL) / 2
    return float(stdtrit(units - 1, tail) / ndtri(tail) * math.sqrt(units / (units - 1)))


def mean_interval(
    scores: Float[np.ndarray, "seeds images"], key: str, seeded: bool = True
) -> Interval:
    """The mean of all scores with its two-level bootstrap interval.

    Args:
        scores: a row a trained network, a column a test image. NaN anywhere: not available.
        key: names the draws: the same key and shape give the same draws, so that the rows of a
            table are compared on the same resampled images.
        seeded: False where no training is behind the scores (the blurred input itself), so that
            its one row is not counted as one seed.
    """
    seeds, images = scores.shape
    absent = _absent(scores)
    if absent is not None:
        return absent
    deviations = _deviations(scores, _counts(f"{key}/seeds", seeds), key)
    return _interval(float(scores.mean()), deviations, seeds if seeded else 0, images)


def difference_interval(
    ours: Float[np.ndarray, "seeds images"],
    theirs: Float[np.ndarray, "other_seeds other_images"],
    key: str,
    pairing: Literal["paired", "unpaired", "fixed"] = "paired",
) -> Interval:
    """The mean of ours − theirs, taken image by image, with its interval.

    Args:
        ours, theirs: scores on the same images in the same order.
        key: names the draws (see `mean_interval`).
        pairing: 'paired': row i of both comes from the same seed (the same training data in the
            same order), seeds are drawn together; 'unpaired': the seeds of either are drawn
            independently; 'fixed': `theirs` is one row without any training behind it.

    Raises:
        ValueError: the shapes do not fit the pairing.
    """
    if ours.shape[1] != theirs.shape[1]:
        raise ValueError(f"{ours.shape[1]} images against {theirs.shape[1]}")
    if pairing == "paired" and ours.shape != theirs.shape:
        raise ValueError(f"{ours.shape[0]} seeds cannot be paired with {theirs.shape[0]}")
    if pairing == "fixed" and theirs.shape[0] != 1:
        raise ValueError("a fixed reference has one row")
    absent = _absent(ours) or _absent(theirs)
    if absent is not None:
        return absent
    if pairing != "unpaired":
        return mean_interval(ours - theirs, key)
    deviations = _deviations(ours, _counts(f"{key}/seeds", len(ours)), key) - _deviations(
        theirs, _counts(f"{key}/other seeds", len(theirs)), key
    )
    mean = float(ours.mean() - theirs.mean())
    return _interval(mean, deviations, min(len(ours), len(theirs)), ours.shape[1])


def _absent(scores: np.ndarray) -> Interval | None:
    if scores.size == 0:
        return missing_interval()
    if np.isnan(scores).any():
        return missing_interval("not available")
    if np.isinf(scores).any():  # the PSNR of two equal images
        mean = float(scores.mean()) if np.all(scores != -np.inf) else math.nan
        return Interval(mean, math.nan, math.nan, *scores.shape, "infinite scores: no interval")
    return None


@lru_cache(maxsize=16)
def _counts(key: str, units: int) -> np.ndarray:
    """(draws, units): how often each unit was drawn, in `units` draws with replacement."""
    generator = numpy_generator(0, f"bootstrap/{key}", units)
    return generator.multinomial(units, np.full(units, 1 / units), size=DRAWS).astype(np.float64)


def _deviations(scores: np.ndarray, seed_counts: np.ndarray, key: str) -> np.ndarray:
    """(draws,) widened deviations of the resampled means from the mean; linear in the scores."""
    seeds, images = scores.shape
    image_counts = _counts(f"{key}/images", images)
    # einsum and not matmul: its sums do not depend on the linear algebra library's threads
    by_image = np.einsum("ds,sn->dn", seed_counts, scores) / seeds
    mean = scores.mean()
    seed = by_image.mean(axis=1) - mean
    image = np.einsum("dn,n->d", image_counts, scores.mean(axis=0)) / images - mean
    both = np.einsum("dn,dn->d", by_image, image_counts) / images - mean
    return expansion(seeds) * seed + expansion(images) * image + (both - seed - image)


def _interval(mean: float, deviations: np.ndarray, seeds: int, images: int) -> Interval:
    """`seeds` 0: no training behind the scores."""
    if images == 1 and seeds <= 1:
        return Interval(mean, math.nan, math.nan, seeds, images, "1 image: no interval")
    note = "1 image: seeds only" if images == 1 else ONE_SEED if seeds == 1 else ""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(deviations, [tail, 1 - tail])
    return Interval(mean, mean + float(low), mean + float(high), seeds, images, note)
