"""Which weights restore a photograph when none are named, and what is known of them.

The rule stands in params.yaml (`restore`): the profiles in their order, and for each task what the
fields of a run must be. Among the runs of the first profile that has any, the one with the highest
gain in PSNR over the blurred input decides, as a mean over its test sets.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from safetensors import SafetensorError, safe_open

from reblur.errors import ReblurError
from reblur.networks.weights import KEY
from reblur.study.analysis.scores import read_scores
from reblur.study.rows import BLURRED, Run

if TYPE_CHECKING:
    from torch import nn


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


def tasks_of(project: Path) -> tuple[str, ...]:
    """The tasks of params.yaml's rule: "motion", "defocus", …

    Raises:
        ReblurError: no rule there.
    """
    return tuple(_rule(project)[1])


def weights_for(task: str, project: Path) -> Weights:
    """The weights that params.yaml's rule chooses for a task ("motion", "defocus", …).

    Args:
        task: a key of `restore.tasks` in params.yaml.
        project: the folder with params.yaml and results/.

    Raises:
        ReblurError: no such task or rule, or no scored run with weights that it fits.
    """
    return next(all_weights_for(task, project))


def all_weights_for(task: str, project: Path) -> Iterator[Weights]:
    """All weights for a task, of each profile the best first; see `weights_for`."""
    profiles, tasks = _rule(project)
    if task not in tasks:
        raise ReblurError(f"no task '{task}'; the choices are {', '.join(tasks)}.")
    there = False
    for profile in profiles:
        root = project / "results" / profile
        found = [describe(path) for path in sorted(root.glob("weights/*.safetensors"))]
        fitting = [
            weights
            for weights in found
            if weights.gains and all(weights.run.get(k) == v for k, v in tasks[task].items())
        ]
        there = there or bool(fitting)
        yield from sorted(fitting, key=lambda w: np.mean([*w.gains.values()]), reverse=True)
    if not there:
        raise ReblurError(
            f"{project / 'results'}: no trained weights for {task} here (profiles "
            f"{', '.join(profiles)}); train some with 'make study', or name a file with --weights."
        )


def _rule(project: Path) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Profiles in their order; task → what the fields of a run must be."""
    try:
        rule = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))["restore"]
        return list(rule["profiles"]), dict(rule["tasks"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ReblurError(
            f"{project / 'params.yaml'}: has no rule for weights (restore: profiles, tasks); name "
            "a file with --weights."
        ) from error


def load_restorer(path: Path) -> "nn.Module":
    """The network of a file of weights.

    Raises:
        ReblurError: see `load_network`; or a diffusion model's weights.
    """
    from reblur.networks import denoiser_names
    from reblur.networks.weights import load_network

    network, _ = load_network(path)
    if network.config["name"] in denoiser_names():
        raise ReblurError(
            f"{path}: is a diffusion model, which restores nothing by itself; name the weights of "
            "a restorer, below results/<profile>/runs."
        )
    return network


def describe(path: Path) -> Weights:
    """What a file of weights says of its run, and that run's run.json and scores.csv; little, if
    the file does not stand in results/<profile>/weights."""
    try:
        with safe_open(path, framework="pt") as opened:
            run = Run(**json.loads((opened.metadata() or {})[KEY])["metadata"]["run"])
        root = path.parent.parent
        facts = json.loads((root / run.folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return Weights(path, {}, (), 0, {})
    trained_on = tuple(facts.get("data") or ())
    return Weights(path, run.as_dict(), trained_on, int(facts.get("steps") or 0), _gains(root, run))


def _gains(root: Path, run: Run) -> dict[str, float]:
    """Test set → mean PSNR minus the blurred input's, over the images that both have; none where
    the scores cannot be read."""
    try:
        scores = read_scores(root, [run])
    except (OSError, ReblurError):
        return {}
    psnr = scores[scores["metric"] == "psnr"]
    ours, theirs = (
        psnr[psnr["variant"] == name].set_index(["dataset", "image"])["value"]
        for name in (run.variant, BLURRED)
    )
    gains = (ours - theirs).replace([np.inf, -np.inf], np.nan).dropna()
    return gains.groupby(level="dataset", sort=False).mean().to_dict()
