"""Which weights restore a photograph when none are named, and what is known of them.

The rule stands in params.yaml (`restore`): the profiles in their order, and for each task what the
fields of a run must be. Among the runs of the first profile that has any, the one with the highest
gain in PSNR over the blurred input decides, as a mean over its test sets.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from safetensors import SafetensorError, safe_open

from reblur.errors import ReblurError
from reblur.networks.weights import KEY
from reblur.study.rows import BLURRED, Run


@dataclass(frozen=True)
class Weights:
    """Weights of a run.

    Attributes:
        path: the .safetensors file.
        run: the run's fields ("variant", "seed", …); empty where nothing stands beside the file.
        trained_on: names of the data sets that it was trained on.
        steps: of the training; 0 where it is not known.
        gains: test set → mean PSNR in dB minus the blurred input's.
    """

    path: Path
    run: Mapping[str, Any]
    trained_on: tuple[str, ...]
    steps: int
    gains: Mapping[str, float]

    def __str__(self) -> str:
        """Two lines: which weights, trained on what; the gain on each test set."""
        made = [f"{key} {value}" for key, value in self.run.items() if value is not None]
        if self.trained_on:
            made.append(f"trained on {', '.join(self.trained_on)}")
        if self.steps:
            made.append(f"{self.steps:,} steps")
        gains = ", ".join(f"{gain:+.2f} dB on {name}" for name, gain in self.gains.items())
        return (
            f"weights: {self.path}" + (f" ({'; '.join(made)})" if made else "") + "\n"
            f"gain over the blurred input: {gains or 'not known'}"
        )


def weights_for(task: str, project: Path) -> Weights:
    """The weights that params.yaml's rule chooses for a task ("motion", "defocus", …).

    Args:
        task: a key of `restore.tasks` in params.yaml.
        project: the folder with params.yaml and results/.

    Raises:
        ReblurError: no such task or rule, or no scored run with weights that it fits.
    """
    try:
        rule = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))["restore"]
        profiles, tasks = list(rule["profiles"]), dict(rule["tasks"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ReblurError(
            f"{project / 'params.yaml'}: has no rule for weights (restore: profiles, tasks); name "
            "a file with --weights."
        ) from error
    if task not in tasks:
        raise ReblurError(f"no task '{task}'; the choices are {', '.join(tasks)}.")
    for profile in profiles:
        root = project / "results" / profile
        found = [describe(path) for path in sorted(root.glob("weights/*.safetensors"))]
        fitting = [
            weights
            for weights in found
            if weights.gains and all(weights.run.get(k) == v for k, v in tasks[task].items())
        ]
        if fitting:
            return max(fitting, key=lambda weights: np.mean([*weights.gains.values()]))
    raise ReblurError(
        f"{project / 'results'}: no trained weights for {task} here (profiles "
        f"{', '.join(profiles)}); train some with 'make study', or name a file with --weights."
    )


def describe(path: Path) -> Weights:
    """What a file of weights says of its run, and that run's run.json and scores.csv; little, if
    the file does not stand in results/<profile>/weights."""
    try:
        with safe_open(path, framework="pt") as opened:
            run = Run(**json.loads((opened.metadata() or {})[KEY])["metadata"]["run"])
        folder = path.parent.parent / run.folder
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return Weights(path, {}, (), 0, {})
    trained_on = tuple(facts.get("data") or ())
    return Weights(
        path, run.as_dict(), trained_on, int(facts.get("steps") or 0), _gains(folder, run)
    )


def _gains(folder: Path, run: Run) -> dict[str, float]:
    """Test set → mean PSNR minus the blurred input's, over the images that both have.

    results/<profile>/runs/<chapter>/…/scores.csv against results/<profile>/blurred/<chapter>, and
    in a chapter with tasks the folder <task> below that.
    """
    root = next((parent.parent for parent in folder.parents if parent.name == "runs"), None)
    if root is None:
        return {}
    blurred = root / BLURRED / run.chapter
    blurred = blurred / run.task if run.task else blurred
    ours, theirs = _psnr(folder / "scores.csv"), _psnr(blurred / "scores.csv")
    difference = (ours - theirs).replace([np.inf, -np.inf], np.nan).dropna()
    return difference.groupby(level="dataset", sort=False).mean().to_dict()


def _psnr(path: Path) -> pd.Series:
    """PSNR by (dataset, image); empty where the file is not there or of another form."""
    index = ["dataset", "image"]
    try:
        scores = pd.read_csv(path, dtype={"dataset": str, "image": str})
        scores = scores[scores["metric"] == "psnr"]
        return scores.set_index(index)["value"].astype(float)
    except (OSError, ValueError, KeyError):
        empty = pd.MultiIndex.from_arrays([[], []], names=index)
        return pd.Series([], index=empty, dtype=float)
