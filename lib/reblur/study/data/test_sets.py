"""A test set, and the scores of a restorer on it as rows of the long frame."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reblur.datasets.catalogue.manifests import load_manifest, manifest_names
from reblur.datasets.images.pairs import Pair
from reblur.evaluation.alignment import compare_aligned
from reblur.evaluation.protocols import score_protocols
from reblur.evaluation.scoring import METRICS, Restorer, compare_pixels, score_pairs

#: What a score is about, beside the run that made it.
SCORE_COLUMNS = ("dataset", "photograph", "image", "metric", "value")
COSTS = ("seconds", "peak_memory_mb")


@dataclass(frozen=True)
class TestSet:
    """Test pairs, cut to a centre crop where the profile says so.

    Attributes:
        pairs: a sequence of `Pair`; its `scene` is the unit of the statistics: the photograph, or
            the sequence.
        indices: which of them.
        size: side of the centre crop; None: whole.
        every_protocol: misaligned pairs, scored by each of `evaluation.protocols`.
    """

    name: str
    pairs: Sequence[Pair]
    indices: tuple[int, ...]
    size: int | None = None
    every_protocol: bool = False

    __test__ = False  # the name is the field's; it is no case for pytest

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Pair:
        pair = self.pairs[self.indices[position]]
        if self.size is None:
            return pair
        blurred, sharp = (centre_crop(image, self.size) for image in (pair.blurred, pair.sharp))
        return replace(pair, blurred=blurred, sharp=sharp)

    def __iter__(self) -> Iterator[Pair]:
        return (self[i] for i in range(len(self)))


def whole(name: str, pairs: Sequence[Pair], **options: bool) -> TestSet:
    """All of `pairs`, uncut."""
    return TestSet(name, pairs, tuple(range(len(pairs))), **options)


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """The central size × size pixels of (H, W, …); the whole of a side that is shorter."""
    height, width = image.shape[:2]
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    return np.ascontiguousarray(image[top : top + size, left : left + size])


def spread(count: int, wanted: int | None) -> tuple[int, ...]:
    """`wanted` of `count` indices, evenly spread, first and last included; all when None."""
    if wanted is None or wanted >= count:
        return tuple(range(count))
    return tuple(round(i * (count - 1) / max(1, wanted - 1)) for i in range(wanted))


def score_sets(
    restorer: Restorer, sets: Mapping[str, TestSet], device: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The scores of a restorer on every test set, each by the protocol of its field.

    Pairs that a rig took (layout `realblur`) are aligned before they are compared, as published;
    LPIPS is left out there.

    Returns:
        (scores, costs), long, with `SCORE_COLUMNS`: scores follow from the inputs alone, costs
        (seconds, memory) differ from run to run.
    """
    tables = []
    for name, pairs in sets.items():
        if pairs.every_protocol:
            tables.append(score_protocols(restorer, pairs, name, device=device))
            continue
        rig = name in manifest_names() and load_manifest(name).layout == "realblur"
        compare = compare_aligned if rig else compare_pixels
        tables.append(
            score_pairs(restorer, pairs, name, compare=compare, lpips=not rig, device=device)
        )
    if not tables:
        return empty_scores(), empty_scores()
    wide = pd.concat(tables, ignore_index=True).rename(columns={"scene": "photograph"})
    return long_form(wide, METRICS), long_form(wide, COSTS)


def long_form(wide: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """A row an image (dataset, photograph, image, and a column a metric) → a row a score.

    A metric that is not available (NaN) has no row.
    """
    there = [metric for metric in metrics if metric in wide]
    long = wide.melt(["dataset", "photograph", "image"], there, "metric", "value")
    long = long[long["value"].notna()].reset_index(drop=True)
    return long[list(SCORE_COLUMNS)]


def empty_scores() -> pd.DataFrame:
    return pd.DataFrame(columns=list(SCORE_COLUMNS))


Scorer = Callable[[Restorer], tuple[pd.DataFrame, pd.DataFrame]]
