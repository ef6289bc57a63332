"""Exploring the results: two configurations beside each other, image by image.

What can be chosen is what is there: the options follow from the scores that a profile has, the best
first, and the first is the default. Nothing here trains. `explore_views` draws what is chosen.
"""

import importlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reblur.errors import ReblurError
from reblur.study.analysis.scores import read_curves, read_scores
from reblur.study.analysis.statistics import LOWER_IS_BETTER
from reblur.study.params import read_params, results_folder
from reblur.study.rows import BLURRED, CONFIGURATION_FIELDS, Run

if TYPE_CHECKING:
    from reblur.study.explore_pictures import Picture, Pictures

BLURRED_INPUT = "blurred input"
BLUR_LENGTH = "blur_length"  # a metric of the test pair, in pixels, where it is known
#: What is chosen, in this order: the options of each follow from those before it.
FIELDS = ("profile", "chapter", "test_set", "metric", "a", "b", "image")


class Explorer:
    """What is chosen and the frames behind it.

    Attributes:
        choice: field → value; None where there is nothing to choose.
        said: a sentence about what was asked for and is not there, or ''.
        listeners: called after every change with the names of the fields that changed.
        runs: name of a configuration → its runs, of the profile's chapter.
        scores: `read_scores` of them with a column `label`, and one's own.
    """

    def __init__(self, *wanted: str) -> None:
        """Choose what is `wanted`, in the order of FIELDS; '' leaves it to what is there."""
        self.params = read_params()
        self.choice: dict[str, Any] = dict.fromkeys(FIELDS)
        self.listeners: list[Callable[[set[str]], None]] = []
        self._own: dict[Any, dict[str, pd.DataFrame]] = {}
        self._opened: dict[Any, Pictures] = {}
        self.choose(**dict(zip(FIELDS, wanted, strict=False)))

    def choose(self, **wanted: str) -> None:
        """Change the choice; what is not there gives way to the default, and `said` says so.

        Raises:
            ReblurError: a name that is none of FIELDS.
        """
        if unknown := set(wanted) - set(FIELDS):
            raise ReblurError(f"{', '.join(unknown)}: choose one of {', '.join(FIELDS)}.")
        before, self.said = dict(self.choice), ""
        for field in FIELDS:
            options, asked = self.options(field), wanted.get(field)
            value = asked or before[field]
            self.choice[field] = value if value in options else next(iter(options), None)
            if asked and asked != self.choice[field]:
                word = f"as {field.upper()}" if len(field) == 1 else f"as {field.replace('_', ' ')}"
                self.said += f"There is no {asked!r} here {word}; {self.choice[field]!r} is shown. "
            if field == "chapter" and self._home != (before["profile"], before["chapter"]):
                self._read()
        changed = {field for field in FIELDS if before[field] != self.choice[field]}
        for listener in self.listeners if changed else []:
            listener(changed)

    def options(self, field: str) -> list[str]:
        """What can be chosen of a field, given the fields before it; the default first."""
        profile = self.choice["profile"]
        if field == "profile":
            scored = {name: self._scored(name) for name in self.params.profiles}
            done = sorted((name for name in scored if scored[name]), key=lambda n: -scored[n])
            return done or list(scored)
        if field == "chapter":
            chapters = list(self.params.profile(profile).chapters)
            return [name for name in chapters if self._scored(profile, name)] or chapters
        if field == "image":
            return list(self.images().index)
        rows = self.scores[self.scores["variant"] != BLURRED]
        rows = rows[rows["metric"] != BLUR_LENGTH]
        if field == "test_set":
            return list(dict.fromkeys(rows["dataset"]))
        rows = rows[rows["dataset"] == self.choice["test_set"]]
        if field == "metric":
            return list(dict.fromkeys(rows["metric"]))
        rows = rows[rows["metric"] == self.choice["metric"]]
        means = self._sign * rows.groupby("label")["value"].mean()
        names = list(means.sort_values(ascending=False, kind="stable").index)
        if field == "b" and names:
            return [name for name in names if name != self.choice["a"]] + [BLURRED_INPUT]
        return names

    def images(self) -> pd.DataFrame:
        """A row an image that A and B were both scored on, means over seeds, the best of A first.

        Columns: photograph, the scores of the blurred input, A and B; `difference`, by which A is
        better than B; `gain_a` and `gain_b` over the blurred input; `measure` of how hard it is
        (see `measured_by`).
        """
        here = self.scores[self.scores["dataset"] == self.choice["test_set"]]
        rows = here[here["metric"] == self.choice["metric"]]
        a, b = self.choice["a"], self.choice["b"]
        names = list(dict.fromkeys([BLURRED_INPUT, a, b]))
        table = rows.groupby(["image", "label"])["value"].mean().unstack().reindex(columns=names)
        blurred, ours, theirs = (self._sign * table[name] for name in (BLURRED_INPUT, a, b))
        table["difference"] = ours - theirs
        table["gain_a"], table["gain_b"] = ours - blurred, theirs - blurred
        lengths = here[here["metric"] == BLUR_LENGTH].groupby("image")["value"].mean()
        table["measure"] = lengths if self.measured_by == BLUR_LENGTH else table[BLURRED_INPUT]
        homes = rows.drop_duplicates("image").set_index("image")["photograph"]
        table.insert(0, "photograph", homes)
        table = table[np.isfinite(table["difference"])].rename_axis(columns=None)
        return table.sort_values("difference", ascending=False, kind="stable")

    @property
    def measured_by(self) -> str:
        """How hard an image is: BLUR_LENGTH where it is known, else the blurred input's score."""
        here = self.scores[self.scores["dataset"] == self.choice["test_set"]]
        return BLUR_LENGTH if BLUR_LENGTH in set(here["metric"]) else str(self.choice["metric"])

    def curves(self) -> pd.DataFrame:
        """`read_curves` of A and B, with `label`."""
        root, names = results_folder(self.choice["profile"]), (self.choice["a"], self.choice["b"])
        return pd.concat(read_curves(root, self.runs.get(n, [])).assign(label=n) for n in names)

    def psnr(self, image: str) -> dict[str, float]:
        """Name → PSNR of an image in dB, means over the seeds."""
        here = self.scores[self.scores["dataset"] == self.choice["test_set"]]
        here = here[(here["metric"] == "psnr") & (here["image"] == image)]
        return here.groupby("label")["value"].mean().to_dict()

    def pictures(self, image: str, side: int) -> "dict[str, Picture | None]":
        """The square of at most `side` pixels in which the blur took most detail: of the blurred
        picture, of what A and B make of it (None without weights), and of the sharp one, if any.

        Raises:
            ReblurError: the pictures of the test set are not here.
        """
        names = [self.choice[field] for field in ("a", "b") if self.choice[field] != BLURRED_INPUT]
        views = self._pictures.square(self.choice["test_set"], image, side, names)
        return {BLURRED_INPUT: views.pop(BLURRED), **views}

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
        shown, scored = self.choice["test_set"], list(scores["dataset"])
        self.choose(test_set=shown if shown in scored else scored[0], a=name)

    @property
    def _home(self) -> tuple[str, str]:
        """What one's own results and opened pictures belong to."""
        return self.choice["profile"], self.choice["chapter"]

    @property
    def _sign(self) -> int:
        return -1 if self.choice["metric"] in LOWER_IS_BETTER else 1

    @property
    def _pictures(self) -> "Pictures":
        from reblur.study.explore_pictures import Pictures  # with it torch, which takes its time

        if self._home not in self._opened:
            self._opened[self._home] = Pictures(self.params, self._home[0], self.runs)
        return self._opened[self._home]

    def _read(self) -> None:
        profile, chapter = self._home
        module = _module(chapter)
        runs = module.runs(self.params, profile)
        names = {run.slug: module.label(run.as_dict()) for run in runs}
        shared = Counter(names.values())
        names = {s: n if shared[n] == 1 else f"{n} ({s})" for s, n in names.items()}
        self.runs: dict[str, list[Run]] = {name: [] for name in names.values()}
        for run in runs:
            self.runs[names[run.slug]].append(run)
        scores = read_scores(results_folder(profile), runs)
        fields = list(CONFIGURATION_FIELDS)
        places = scores.groupby(fields, sort=False, dropna=False, observed=True).ngroup()
        given = {BLURRED: BLURRED_INPUT}
        rows = scores.loc[~places.duplicated(), fields].astype(object)
        rows = rows.where(rows.notna(), None).to_dict("records")
        labels = [given.get(row["variant"]) or names[Run(**row, seed=0).slug] for row in rows]
        tables = [scores.assign(label=np.array(labels, dtype=object)[places])]
        for name, own in self._own.get(self._home, {}).items():
            tables.append(own.assign(chapter=chapter, variant=name, label=name, seed=0))
        self.scores = pd.concat(tables, ignore_index=True)

    def _scored(self, profile: str, chapter: str | None = None) -> int:
        """How many runs of a profile (and a chapter) were scored."""
        chapters = [chapter] if chapter else self.params.profile(profile).chapters
        runs = [run for name in chapters for run in _module(name).runs(self.params, profile)]
        folder = results_folder(profile)
        return sum((folder / run.folder / "scores.csv").is_file() for run in runs)


def _module(chapter: str) -> Any:
    return importlib.import_module(f"reblur.study.chapters.{chapter}")
