"""Test photographs that a notebook shows: which, and what the networks made of them."""

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from torch import nn

from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.evaluation.scoring import restorer_of
from reblur.networks.weights import load_network
from reblur.study.analysis.pictures import Cell, crops, pick, slider
from reblur.study.analysis.scores import matching
from reblur.study.rows import BLURRED, Run

BLURRED_INPUT = "blurred input"  # what `pictures` calls it


@dataclass(frozen=True)
class Example:
    """A test pair and what the networks made of it.

    Attributes:
        place: 'best', 'median' or 'worst': which gain of the method it has.
        gain: that gain in dB, the mean over the seeds.
        restored: name for people → image, the method's first; None without weights.
        psnr: name (and 'blurred input') → dB of the whole image.
    """

    dataset: str
    place: str
    gain: float
    pair: Pair
    restored: Mapping[str, UInt8[np.ndarray, "_ _ 3"] | None]
    psnr: Mapping[str, float]

    def crops(self) -> list[Cell]:
        """A row of a panel."""
        return crops(self.pair.blurred, self.pair.sharp, self.restored, self.psnr)

    def _repr_html_(self) -> str:
        """A slider that opens on the method, or the sentence that there is none."""
        method = next(iter(self.restored))
        title = f"{self.place.capitalize()} gain of {method}: {self.pair.name}, {self.gain:+.2f} dB"
        words = html.escape(title)
        if self.restored[method] is None:
            return f'<p class="note">{words}. Its weights are not here.</p>'
        kept = {name: image for name, image in self.restored.items() if image is not None}
        views = {BLURRED_INPUT: self.pair.blurred, **kept, "sharp": self.pair.sharp}
        key = f"{self.dataset}-{self.pair.name}"
        return f"<p>{words}.</p>" + slider(views, key=key, opens_on=method, psnr=self.psnr)


def examples(
    pairs: Iterable[Pair],
    root: Path,
    runs: Sequence[Run],
    scores: pd.DataFrame,
    dataset: str,
    label: Callable[[Mapping[str, Any]], str],
) -> list[Example]:
    """The pairs of the best, the median and the worst gain of the first run's configuration; none
    where it was not scored.

    Args:
        pairs: of the test set `dataset`.
        root: results/<profile>.
        runs: whose pictures are shown, one of each configuration; the first is the method.
        scores: `read_scores`.
    """
    method = {**runs[0].as_dict()}
    del method["seed"]
    try:
        chosen = pick(scores, method, dataset)
    except ReblurError:  # it was not run: the notebook says so in its list
        return []
    named = {pair.name: pair for pair in pairs}
    here = scores[(scores["dataset"] == dataset) & (scores["metric"] == "psnr")]
    found = []
    for place, (image, gain) in chosen.items():
        values = here[here["image"] == image]
        psnr = {BLURRED_INPUT: values[values["variant"] == BLURRED]["value"]} | {
            label(run.as_dict()): values[matching(values, run)]["value"] for run in runs
        }
        known = {name: float(value.iloc[0]) for name, value in psnr.items() if len(value)}
        pair = named[image]
        restored = {label(run.as_dict()): restored_by(root, run, pair) for run in runs}
        found.append(Example(dataset, place, gain, pair, restored, known))
    return found


def restored_by(root: Path, run: Run, pair: Pair) -> UInt8[np.ndarray, "_ _ 3"] | None:
    """What the weights of a run make of a pair's blurred picture; None where they are not here."""
    network = network_of(root, run)
    return None if network is None else restorer_of(network, channels_last=True)(pair.blurred)


def network_of(root: Path, run: Run) -> nn.Module | None:
    """The trained network of a run; None where its weights are not here."""
    weights = Path(root) / "weights" / f"{run.name}.safetensors"
    return _network(weights) if weights.is_file() else None


@lru_cache(maxsize=8)
def _network(weights: Path) -> nn.Module:
    return load_network(weights)[0]
