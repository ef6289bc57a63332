"""A small made study in the layout of results/<profile>: runs, blurred input, curves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reblur.study.analysis.scores import write_scores
from reblur.study.rows import BLURRED, Run, blurred_input

PHOTOGRAPHS, CROPS = 9, 4
#: What each variant gains over the blurred input, in dB.
GAINS = {"ss": 0.10, "sc": -0.05, "wo_r": 0.2, "sr_edrb3": 0.3, "sr_edrb3_skip": 0.55}


def runs_of(variants: Sequence[str] = tuple(GAINS), seeds: int = 3, **fields: Any) -> list[Run]:
    fields = {"chapter": "scale_recurrent", **fields}
    return [
        Run(variant=variant, network=variant, seed=seed, **fields)
        for variant in variants
        for seed in range(seeds)
    ]


def scores_of(run: Run, gain: float, datasets: Sequence[str] = ("synthetic",)) -> pd.DataFrame:
    """Scores of one run: images of a photograph resemble each other, and so do a seed's images."""
    tables = []
    for dataset in datasets:
        hard = np.random.default_rng(len(dataset))  # the same images for every run
        base = np.repeat(hard.normal(26, 2, PHOTOGRAPHS), CROPS) + hard.normal(0, 1, 36)
        helped = np.repeat(hard.normal(0, 0.15, PHOTOGRAPHS), CROPS)
        own = np.random.default_rng([*run.name.encode(), len(dataset)])
        psnr = base.copy()
        if run.variant != BLURRED:
            psnr += gain + helped + own.normal(0, 0.04) + own.normal(0, 0.1, 36)
        ssim = np.clip(0.2 + psnr / 45, 0, 1)
        names = [f"{i:03d}" for i in range(36)]
        homes = [f"photo_{i // CROPS}" for i in range(36)]
        for metric, values in {"psnr": psnr, "ssim": ssim, "lpips": 1.1 - ssim}.items():
            columns = {"photograph": homes, "image": names, "metric": metric, "value": values}
            tables.append(pd.DataFrame({"dataset": dataset, **columns}))
    return pd.concat(tables, ignore_index=True)


def write_blurred(root: Path, run: Run, datasets: Sequence[str] = ("synthetic",)) -> None:
    blurred = blurred_input(run.chapter, run.task)
    path = root / "blurred" / run.chapter / (run.task or "") / "scores.csv"
    write_scores(path, scores_of(blurred, 0.0, datasets))


def write_run(root: Path, run: Run, scores: pd.DataFrame, steps: int = 1000, **facts: Any) -> None:
    """A run's folder: scores.csv, run.json, log.csv, validation.csv."""
    folder = root / run.folder
    write_scores(folder / "scores.csv", scores)
    known = {
        "run": run.as_dict(),
        "configuration": {"training": {"batch": 8}},
        "code": {"commit": "0" * 40, "dirty": False},
        "steps": steps,
        "seconds": 120.5,
        "parameters": 100_000 + 50_000 * len(run.variant),
        "macs": 10**9 * len(run.variant),
    }
    (folder / "run.json").write_text(json.dumps({**known, **facts}))
    step = np.arange(50, steps + 1, 50)
    own = np.random.default_rng(list(run.name.encode()))
    loss = 0.02 + 0.1 * np.exp(-step / 200) + own.normal(0, 0.001, len(step))
    pd.DataFrame({"step": step, "loss": loss, "psnr": 30.0, "lr": 1e-3}).to_csv(
        folder / "log.csv", index=False
    )
    psnr = 26 + 0.5 * len(run.variant) / 8 * (1 - np.exp(-step / 300)) + own.normal(0, 0.03)
    pd.DataFrame({"step": step, "seconds": step / 9, "psnr": psnr})[1::2].to_csv(
        folder / "validation.csv", index=False
    )


def write_study(
    root: Path,
    runs: Sequence[Run],
    gains: Mapping[str, float] | None = None,
    datasets: Sequence[str] = ("synthetic",),
    steps: int = 1000,
) -> Path:
    """results/<profile> with `runs` and their blurred inputs; a run without a gain is not done."""
    gains = GAINS if gains is None else gains
    for run in {(run.chapter, run.task): run for run in runs}.values():
        write_blurred(root, run, datasets)
    for run in runs:
        if run.variant in gains:
            write_run(root, run, scores_of(run, gains[run.variant], datasets), steps)
    return root


def at_level(run: Run, level: int) -> Run:
    return replace(run, level=level)
