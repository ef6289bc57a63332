"""Exploring the results: two configurations beside each other, image by image.

What can be chosen is what is there: `Explorer.options` follow from the scores that a profile has,
and so do the defaults. Nothing here trains. `explore_views` draws what is chosen.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from reblur.datasets.images.files import read_image
from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.study.analysis.pictures import read_restored
from reblur.study.analysis.scores import read_curves
from reblur.study.analysis.statistics import LOWER_IS_BETTER
from reblur.study.data.test_sets import TestSet
from reblur.study.examples import BLURRED_INPUT, restored_by
from reblur.study.explore_frames import OWN, differences, named_runs, read_labelled
from reblur.study.explore_pictures import open_test_set, own_image, own_scores, pair_of
from reblur.study.params import read_params, results_folder
from reblur.study.rows import BLURRED, Run
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
        self._own: dict[tuple[Any, Any], dict[str, tuple[Path, pd.DataFrame]]] = {}
        self._sets: dict[tuple[Any, ...], TestSet] = {}
        self._made: dict[tuple[Any, ...], UInt8[np.ndarray, "_ _ 3"]] = {}
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
        trained = self.scores[self.scores["variant"] != BLURRED]
        if field == "test_set":
            return list(dict.fromkeys(trained["dataset"]))
        here = trained[trained["dataset"] == self.choice["test_set"]]
        if field == "metric":
            return list(dict.fromkeys(here["metric"]))
        here = here[here["metric"] == self.choice["metric"]]
        names = list(dict.fromkeys(here["label"]))
        if field == "image":
            return list(self.images().index)
        others = [name for name in names if name != self.choice["a"]]
        return names if field == "a" else others + [BLURRED_INPUT] * bool(names)

    @property
    def profile(self) -> str:
        return str(self.choice["profile"])

    @property
    def root(self) -> Path:
        return results_folder(self.profile)

    @property
    def sign(self) -> int:
        """-1 for a metric of which less is better."""
        return -1 if self.choice["metric"] in LOWER_IS_BETTER else 1

    def images(self) -> pd.DataFrame:
        """`explore_frames.differences` of A and B; empty where one of them is not there."""
        here = self._here()
        a, b = str(self.choice["a"]), str(self.choice["b"])
        known = here[(here["metric"] == self.measure) & (here["variant"] == BLURRED)]
        measure = known.set_index("image")["value"]
        rows = here[here["metric"] == self.choice["metric"]]
        return differences(rows, a, b, self.sign, measure)

    @property
    def measure(self) -> str:
        """A metric that only the blurred input has, such as a length of blur; else the chosen one:
        its score says how hard an image is."""
        here = self._here()
        blurred = here["variant"] == BLURRED
        alone = set(here.loc[blurred, "metric"]) - set(here.loc[~blurred, "metric"])
        return min(alone, default=str(self.choice["metric"]))

    def curves(self) -> pd.DataFrame:
        """`read_curves` of A and B, with `label`."""
        names = [str(self.choice[field]) for field in ("a", "b")]
        tables = [
            read_curves(self.root, self.runs[name]).assign(label=name)
            for name in names
            if name in self.runs
        ]
        return pd.concat(tables) if tables else read_curves(self.root, []).assign(label="")

    def pair(self, image: str) -> Pair:
        """The blurred and the sharp picture of an image of the test set.

        Raises:
            ReblurError: the pictures of the test set are not here.
        """
        return pair_of(self._test_set(str(self.choice["test_set"])), image)

    def versions(
        self, pair: Pair, make: bool = True
    ) -> dict[str, UInt8[np.ndarray, "_ _ 3"] | None]:
        """The blurred picture, what A and B make of it (None where that was neither kept nor can
        be made) and, where there is one, the sharp picture.

        Args:
            make: whether weights restore what was not kept.
        """
        names = [str(self.choice[field]) for field in ("a", "b")]
        found = {n: self._restored(n, pair, make) for n in names if n != BLURRED_INPUT}
        truth = {} if pair.sharp is pair.blurred else {"sharp": pair.sharp}
        return {BLURRED_INPUT: pair.blurred, **found, **truth}

    def psnr(self, image: str) -> dict[str, float]:
        """Name → PSNR of an image in dB, means over the seeds."""
        here = self._here()
        here = here[(here["metric"] == "psnr") & (here["image"] == image)]
        return here.groupby("label")["value"].mean().to_dict()

    def _restored(self, name: str, pair: Pair, make: bool) -> UInt8[np.ndarray, "_ _ 3"] | None:
        dataset = str(self.choice["test_set"])
        if name in self._own.get(self._home, {}):
            path = own_image(self._own[self._home][name][0], dataset, pair.name)
            return read_image(path) if path else None
        key = (*self._home, dataset, name, pair.name)
        for run in self.runs.get(name, []) if key not in self._made else []:
            read = restored_by if make else _kept
            found = read(self.root, run, self._test_set(dataset).name, pair)
            if found is not None:
                self._made[key] = found
                break
        return self._made.get(key)

    def add_results(self, folder: str | Path) -> None:
        """Show one's own results in every view, under the folder's name, as A.

        The folder holds `scores.csv` (long: dataset, photograph, image, metric, value), or
        restored images, which are scored here, as `<test set>/<image>.png`, or both.

        Raises:
            ReblurError: the folder holds neither, or an image that belongs to no test pair.
        """
        folder = Path(folder).resolve()
        sets = [n for n in self.options("test_set") if (folder / n).is_dir()]
        scores = own_scores(folder, {name: self._test_set(name) for name in sets})
        name = (
            folder.name if folder.name not in set(self.scores["label"]) else f"{folder.name} (own)"
        )
        self._own.setdefault(self._home, {})[name] = (folder, scores)
        self._read()
        here = set(scores["dataset"])
        test_set = (
            self.choice["test_set"] if self.choice["test_set"] in here else scores["dataset"][0]
        )
        self.choose(test_set=test_set, a=name)

    @property
    def _home(self) -> tuple[str | None, str | None]:
        return self.choice["profile"], self.choice["chapter"]

    def _here(self) -> pd.DataFrame:
        return self.scores[self.scores["dataset"] == self.choice["test_set"]]

    def _read(self) -> None:
        profile, chapter = map(str, self._home)
        self.runs = named_runs(self.params, profile, chapter)
        own = {name: scores for name, (_, scores) in self._own.get(self._home, {}).items()}
        self.scores = read_labelled(self.root, self.runs, own)

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
            means = here.groupby("label")["value"].mean() * self.sign
            return str(means.reindex(options).fillna(-np.inf).idxmax())
        return options[0]

    def _test_set(self, dataset: str) -> TestSet:
        rows = self.scores[(self.scores["dataset"] == dataset) & (self.scores["network"] != OWN)]
        tasks = set(rows["task"].dropna())
        runs = [run for several in self.runs.values() for run in several]
        run = next(run for run in runs if run.task is None or run.task in tasks)
        key = (*self._home, dataset)
        if key not in self._sets:
            self._sets[key] = open_test_set(self.params, self.profile, run, dataset)
        return self._sets[key]


def _kept(root: Path, run: Run, dataset: str, pair: Pair) -> UInt8[np.ndarray, "_ _ 3"] | None:
    return read_restored(root, run, dataset, pair.name)
