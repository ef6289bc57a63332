"""Exploring the results: two configurations beside each other, image by image.

What can be chosen is what is there: `Explorer.options` follow from the scores that a profile has,
and so do the defaults. Nothing here trains. `explore_views` draws what is chosen.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.study.analysis.scores import read_curves
from reblur.study.examples import BLURRED_INPUT
from reblur.study.explore_frames import differences, measure_of, named_runs, read_labelled, sign_of
from reblur.study.explore_pictures import Picture, Pictures
from reblur.study.params import read_params, results_folder
from reblur.study.rows import BLURRED
from reblur.study.runs import all_runs

#: What is chosen, in this order: the options of each follow from those before it.
FIELDS = ("profile", "chapter", "test_set", "metric", "a", "b", "image")


class Explorer:
    """What is chosen and the frames behind it.

    Attributes:
        choice: field → value; None where there is nothing to choose.
        said: a sentence about what was asked for and is not there, or ''.
        runs, scores: of the profile's chapter, and one's own (`explore_frames`).
        listeners: called after every change with the names of the fields that changed.
    """

    def __init__(self, *wanted: str) -> None:
        """Choose what is `wanted`, in the order of FIELDS; '' leaves it to what is there."""
        self.params = read_params()
        self.listeners: list[Callable[[set[str]], None]] = []
        self.choice: dict[str, str | None] = dict.fromkeys(FIELDS)
        self._own: dict[tuple[Any, Any], dict[str, pd.DataFrame]] = {}
        self._opened: dict[tuple[Any, Any], Pictures] = {}
        self.choose(**dict(zip(FIELDS, wanted, strict=False)))

    def choose(self, **wanted: str) -> None:
        """Change the choice; a value that is not there is replaced by the default, and this said.

        Raises:
            ReblurError: a name that is none of FIELDS.
        """
        if unknown := set(wanted) - set(FIELDS):
            raise ReblurError(f"{', '.join(unknown)}: choose one of {', '.join(FIELDS)}.")
        before, self.said = dict(self.choice), ""
        for field in FIELDS:
            options = self.options(field)
            value = wanted.get(field) or before[field]
            if value not in options:
                self.choice[field] = self._default(field, options)
                if wanted.get(field):
                    word, instead = field.replace("_", " "), self.choice[field]
                    self.said += f"There is no {word} {value!r} here; {instead!r} is shown. "
            else:
                self.choice[field] = value
            if field == "chapter" and (self._home != (before["profile"], before["chapter"])):
                self._read()
        changed = {field for field in FIELDS if before[field] != self.choice[field]}
        for listener in self.listeners if changed else []:
            listener(changed)

    def options(self, field: str) -> list[str]:
        """What can be chosen of a field, given the fields before it."""
        if field == "profile":
            return [p for p in self.params.profiles if self._done(p)] or list(self.params.profiles)
        if field == "chapter":
            chapters = self.params.profile(self.profile).chapters
            return [c for c in chapters if self._done(self.profile, c)] or chapters
        if field == "image":
            return list(self.images().index)
        here = self.scores[self.scores["variant"] != BLURRED]
        if field == "test_set":
            return list(dict.fromkeys(here["dataset"]))
        here = here[here["dataset"] == self.choice["test_set"]]
        if field == "metric":
            return list(dict.fromkeys(here["metric"]))
        here = here[here["metric"] == self.choice["metric"]]
        names = list(dict.fromkeys(here["label"]))
        others = [name for name in names if name != self.choice["a"]]
        return names if field == "a" else others + [BLURRED_INPUT] * bool(names)

    @property
    def profile(self) -> str:
        return str(self.choice["profile"])

    def images(self) -> pd.DataFrame:
        """`explore_frames.differences` of A and B; empty where one of them is not there."""
        here = self._here()
        a, b = str(self.choice["a"]), str(self.choice["b"])
        known = here[(here["metric"] == self.measure) & (here["variant"] == BLURRED)]
        measure = known.set_index("image")["value"]
        rows = here[here["metric"] == self.choice["metric"]]
        return differences(rows, a, b, measure)

    @property
    def measure(self) -> str:
        """What says how hard an image is (`explore_frames.measure_of`)."""
        return measure_of(self._here(), str(self.choice["metric"]))

    def curves(self) -> pd.DataFrame:
        """`read_curves` of A and B, with `label`."""
        shown = {
            name: self.runs.get(str(name), []) for name in (self.choice["a"], self.choice["b"])
        }
        return pd.concat(
            read_curves(results_folder(self.profile), r).assign(label=n) for n, r in shown.items()
        )

    def pair(self, image: str) -> Pair:
        """The blurred and the sharp picture of an image of the test set.

        Raises:
            ReblurError: the pictures of the test set are not here.
        """
        return self._pictures.pair(str(self.choice["test_set"]), image)

    def versions(self, pair: Pair, make: bool = True) -> dict[str, Picture | None]:
        """The blurred picture, what A and B make of it (None where that was neither kept nor can
        be made) and, where there is one, the sharp picture.

        Args:
            make: whether weights restore what was not kept.
        """
        names = [str(self.choice[field]) for field in ("test_set", "a", "b")]
        restored = partial(self._pictures.restored, names[0], pair=pair, make=make)
        found = {name: restored(name) for name in names[1:] if name != BLURRED_INPUT}
        truth = {} if pair.sharp is pair.blurred else {"sharp": pair.sharp}
        return {BLURRED_INPUT: pair.blurred, **found, **truth}

    def psnr(self, image: str) -> dict[str, float]:
        """Name → PSNR of an image in dB, means over the seeds."""
        here = self._here()
        here = here[(here["metric"] == "psnr") & (here["image"] == image)]
        return here.groupby("label")["value"].mean().to_dict()

    def add_results(self, folder: str | Path) -> None:
        """Show one's own results in every view, under the folder's name, as A.

        The folder holds `scores.csv` (long: dataset, photograph, image, metric, value), or
        restored images, which are scored here, as `<test set>/<image>.png`, or both.

        Raises:
            ReblurError: the folder holds neither, or an image that belongs to no test pair.
        """
        folder = Path(folder).resolve()
        name = f"{folder.name} (own)" if folder.name in self.runs else folder.name
        scores = self._pictures.add(folder, name, self.options("test_set"))
        self._own.setdefault(self._home, {})[name] = scores
        self._read()
        first, shown = scores["dataset"][0], self.choice["test_set"]
        self.choose(test_set=shown if shown in set(scores["dataset"]) else first, a=name)

    @property
    def _home(self) -> tuple[str | None, str | None]:
        """What one's own results and opened pictures belong to."""
        return self.choice["profile"], self.choice["chapter"]

    def _here(self) -> pd.DataFrame:
        return self.scores[self.scores["dataset"] == self.choice["test_set"]]

    def _read(self) -> None:
        profile, chapter = map(str, self._home)
        self.runs = named_runs(self.params, profile, chapter)
        self.scores = read_labelled(
            results_folder(self.profile), self.runs, self._own.get(self._home, {})
        )
        if self._home not in self._opened:
            self._opened[self._home] = Pictures(self.params, profile, self.runs)
        self._pictures = self._opened[self._home]

    def _done(self, profile: str, chapter: str | None = None) -> int:
        """How many runs of a profile (and a chapter) were scored."""
        runs = [r for r in all_runs(self.params, profile) if chapter in (None, r.chapter)]
        folder = results_folder(profile)
        return sum((folder / run.folder / "scores.csv").is_file() for run in runs)

    def _default(self, field: str, options: list[str]) -> str | None:
        """The profile with most runs, the best configuration and the next one; else the first."""
        if not options:
            return None
        if field == "profile":
            return max(options, key=self._done)
        if field in ("a", "b"):
            here = self._here()
            here = here[(here["metric"] == self.choice["metric"]) & (here["variant"] != BLURRED)]
            means = here.groupby("label")["value"].mean() * sign_of(self.choice["metric"])
            return str(means.reindex(options).fillna(-np.inf).idxmax())
        return options[0]
