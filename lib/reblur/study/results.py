"""What a study has on disk: the runs under results/<profile>/, read into tidy tables.

    runs/<variant>-<seed>/   run.json, log.csv, validation.csv, scores.csv, cost.csv, weights
    runs/<variant>-<seed>/<level>px/   the same, and maps.csv, where a chapter has levels
    runs/<variant>-<seed>/<source>/    the same by the source of the pairs; realism.csv and
                                       distances.csv of photographs without a truth
    blurred/scores.csv       the scores of the blurred input itself: 'do nothing'

Runs that were asked for and are not there stay visible: they are listed as missing.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from reblur.errors import ReblurError
from reblur.evaluation.scoring import METRICS, SCORE_COLUMNS
from reblur.study.params import run_folder
from reblur.study.statistics import (
    Interval,
    difference_interval,
    mean_interval,
    missing_interval,
)

BLURRED = "blurred"  # 'do nothing', in the place of a variant's name
NO_EVIDENCE = re.compile(r"^Profile \S+: shows that it runs; its numbers are no evidence\. ?")
RUN_KEYS = ("variant", "seed", "parameters", "macs", "steps", "seconds", "weights_sha256")


@dataclass(frozen=True)
class Study:
    """All runs of a profile.

    Attributes:
        root: results/<profile>.
        runs: (variant, seed) of every run that was asked for, in the order of params.yaml. Where a
            chapter has levels, a variant at a level ('plain@2') counts as a variant here.
        datasets: the test sets that were asked for.
        scores: a row per (variant, seed, dataset, image); 'blurred' has seed -1.
        facts: run.json of the runs that are there, by (variant, seed).
        inputs: every file that was read.
        evidence: whether the profile's numbers may be taken as evidence (params.yaml says so).
        blurred: the folder below `root` that holds the scores of doing nothing.
    """

    root: Path
    runs: tuple[tuple[str, int], ...]
    datasets: tuple[str, ...]
    scores: pd.DataFrame
    facts: dict[tuple[str, int], dict[str, Any]]
    inputs: tuple[Path, ...]
    evidence: bool
    blurred: str = BLURRED
    _matrices: dict[tuple[str, str, str], np.ndarray] = field(
        default_factory=dict, repr=False, compare=False
    )  # what `matrix` has worked out already

    @property
    def warning(self) -> str:
        """What stands in front of every caption where the numbers are no evidence."""
        if self.evidence:
            return ""
        return f"Profile {self.root.name}: shows that it runs; its numbers are no evidence."

    @property
    def variants(self) -> list[str]:
        """The variants that were asked for, in order."""
        return list(dict.fromkeys(variant for variant, _ in self.runs))

    def seeds_asked(self, variant: str) -> list[int]:
        return [seed for name, seed in self.runs if name == variant]

    def seeds_scored(self, variant: str, dataset: str) -> list[int]:
        """The seeds whose network was scored on `dataset`, ascending."""
        rows = self._rows(variant, dataset)
        return sorted(int(seed) for seed in rows["seed"].unique())

    def missing(self) -> list[tuple[str, int]]:
        """The runs that were asked for and were not evaluated."""
        there = set(zip(self.scores["variant"], self.scores["seed"], strict=True))
        return [
            run
            for run in self.runs
            # Photographs without a truth leave an empty table of scores.
            if run not in there and not (run_folder(self.root, *run) / "scores.csv").exists()
        ]

    def images(self, dataset: str) -> list[str]:
        """Names of the images of a test set, sorted; empty where nothing was scored on it."""
        names = self.scores.loc[self.scores["dataset"] == dataset, "image"]
        return sorted(names.unique())

    def matrix(self, variant: str, dataset: str, metric: str) -> np.ndarray:
        """(seeds, images) float64; (0, 0) where nothing was scored.

        Raises:
            ReblurError: the seeds of a variant were scored on different images.
        """
        key = (variant, dataset, metric)
        if key not in self._matrices:
            rows = self._rows(variant, dataset)
            tables = rows.pivot(index="seed", columns="image", values=list(METRICS)).sort_index()
            seeds, images = len(tables), self.images(dataset)
            if len(rows) and (len(rows) != seeds * len(images) or set(rows["image"]) != {*images}):
                raise ReblurError(
                    f"{self.root.name}: not every run was scored on the same images of {dataset} "
                    f"(see {variant}); evaluate the runs again."
                )
            for name in METRICS:
                scores = tables[name].to_numpy(dtype=np.float64) if seeds else np.zeros((0, 0))
                self._matrices[(variant, dataset, name)] = scores
        return self._matrices[key]

    def interval(self, variant: str, dataset: str, metric: str) -> Interval:
        """Mean score of a variant with its interval; 'missing' where there is no run."""
        scores = self.matrix(variant, dataset, metric)
        return mean_interval(scores, dataset, seeded=variant != BLURRED)

    def difference(self, variant: str, reference: str, dataset: str, metric: str) -> Interval:
        """Interval of the per-image differences variant − reference.

        Seeds are paired where both have the same ones, which trained on the same samples.
        """
        ours = self.matrix(variant, dataset, metric)
        theirs = self.matrix(reference, dataset, metric)
        if not ours.size or not theirs.size:
            return missing_interval()
        return difference_interval(
            ours, theirs, dataset, self._pairing(variant, reference, dataset)
        )

    def image_differences(
        self, variant: str, reference: str, dataset: str, metric: str
    ) -> np.ndarray:
        """(images,) differences variant − reference, means over the seeds; empty if missing."""
        ours = self.matrix(variant, dataset, metric)
        theirs = self.matrix(reference, dataset, metric)
        if not ours.size or not theirs.size:
            return np.zeros(0)
        return ours.mean(axis=0) - theirs.mean(axis=0)

    def fact(self, variant: str, key: str) -> Any:
        """A value of run.json that all seeds of a variant share; None where no run is there."""
        for (name, _), facts in self.facts.items():
            if name == variant:
                return facts[key]
        return None

    def seconds_per_image(self, variant: str, dataset: str) -> float:
        """Median seconds a photograph took, over all seeds (cost.csv); NaN where not measured."""
        tables = [
            read_csv(path)
            for seed in self.seeds_asked(variant)
            if (path := run_folder(self.root, variant, seed) / "cost.csv").exists()
        ]
        if not tables:
            return float("nan")
        table = pd.concat(tables)
        return float(table.loc[table["dataset"] == dataset, "seconds"].median())

    def training_log(self, variant: str, seed: int) -> pd.DataFrame | None:
        """log.csv: step, loss, psnr, …"""
        return self._optional(variant, seed, "log.csv")

    def validation_log(self, variant: str, seed: int) -> pd.DataFrame | None:
        """validation.csv: step, seconds, psnr."""
        return self._optional(variant, seed, "validation.csv")

    def _rows(self, variant: str, dataset: str) -> pd.DataFrame:
        return self.scores[
            (self.scores["variant"] == variant) & (self.scores["dataset"] == dataset)
        ]

    def _pairing(
        self, variant: str, reference: str, dataset: str
    ) -> Literal["paired", "unpaired", "fixed"]:
        if reference == BLURRED:
            return "fixed"
        same = self.seeds_scored(variant, dataset) == self.seeds_scored(reference, dataset)
        return "paired" if same else "unpaired"

    def _optional(self, variant: str, seed: int, name: str) -> pd.DataFrame | None:
        path = run_folder(self.root, variant, seed) / name
        return read_csv(path) if path.exists() else None


def read_scores(
    root: Path, runs: Sequence[tuple[str, int]], blurred: str = BLURRED
) -> pd.DataFrame:
    """Per-image scores of `runs` and of the blurred input, one row each.

    Columns: variant, seed (-1 for 'blurred'), dataset, image, scene, psnr (dB), ssim, ssim_matlab,
    lpips (NaN where not available). Runs without scores.csv have no rows.

    Raises:
        ReblurError: a file lacks a column, or names an image twice.
    """
    folders = [(BLURRED, -1, Path(root) / blurred)]
    folders += [(variant, seed, run_folder(root, variant, seed)) for variant, seed in runs]
    tables = []
    for variant, seed, folder in folders:
        path = folder / "scores.csv"
        if not path.exists():
            continue
        table = read_csv(path)
        lacking = [column for column in SCORE_COLUMNS if column not in table.columns]
        if lacking:
            raise ReblurError(f"{path}: lacks {', '.join(lacking)}; evaluate the run again.")
        if table.duplicated(["dataset", "image"]).any():
            raise ReblurError(f"{path}: names an image twice; evaluate the run again.")
        table = table[list(SCORE_COLUMNS)].astype(dict.fromkeys(METRICS, float))
        tables.append(table.assign(variant=variant, seed=seed))
    columns = ["variant", "seed", *SCORE_COLUMNS]
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]


def read_study(
    root: Path,
    runs: Sequence[tuple[str, int]],
    datasets: Sequence[str] | None = None,
    evidence: bool = False,
    blurred: str = BLURRED,
) -> Study:
    """Read everything that the tables and figures of a profile are made from.

    Args:
        root: results/<profile>.
        runs: (variant, seed) of every run that the parameters ask for.
        datasets: the test sets asked for; None: those that were scored.
        evidence: False: every table and figure says that its numbers are no evidence.
        blurred: the folder below `root` that holds the scores of doing nothing.

    Raises:
        ReblurError: a file is broken (its name and the remedy are in the message).
    """
    root = Path(root)
    scores = read_scores(root, runs, blurred)
    if datasets is None:
        datasets = list(dict.fromkeys(scores["dataset"]))
        if not datasets:
            raise ReblurError(f"{root}: nothing was scored; evaluate a run first ('make study').")
    facts, inputs = {}, [root / blurred / name for name in ("scores.csv", "maps.csv")]
    for variant, seed in runs:
        folder = run_folder(root, variant, seed)
        if (folder / "run.json").exists():
            facts[(variant, seed)] = read_run(folder)
        names = ["run.json", "scores.csv", "maps.csv", "cost.csv", "log.csv", "validation.csv"]
        names += ["realism.csv", "distances.csv"]
        inputs += [folder / name for name in names]
    present = tuple(path for path in inputs if path.exists())
    asked = tuple((str(variant), int(seed)) for variant, seed in runs)
    return Study(root, asked, tuple(datasets), scores, facts, present, evidence, blurred)


def read_run(folder: Path) -> dict[str, Any]:
    """run.json of a run, with the keys of `RUN_KEYS` at least.

    Raises:
        ReblurError: not JSON, or a key is missing.
    """
    path = folder / "run.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReblurError(f"{path}: is not valid JSON; train the run again.") from error
    lacking = [key for key in RUN_KEYS if key not in facts]
    if lacking:
        raise ReblurError(f"{path}: lacks {', '.join(lacking)}; train the run again.")
    return facts


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV of a run; ReblurError where it cannot be read."""
    text = {"dataset": str, "image": str, "scene": str}  # '000051' is a name, not a number
    try:
        return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    except (ValueError, pd.errors.ParserError) as error:
        raise ReblurError(f"{path}: cannot be read ({error}); make it again.") from error
