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


def write_defocus(root: Path, runs: Sequence[Run], images: int = 8) -> None:
    """Chapter 2: the baseline loses with the misalignment, the full method hardly; one network's
    maps of the blur have collapsed."""
    protocols = tuple(f"thin_lens_misaligned_{name}" for name in ("raw", "to_input", "to_output"))
    for run in [blurred_input("defocus"), *runs]:
        lost = (run.level or 0) * (0.01 if run.variant in ("full", "matched") else 0.07)
        scores = scores_of(run, 0.6 - lost, ("thin_lens", *protocols))
        scores = scores[scores["image"].astype(int) < images]
        rows = scores[(scores["metric"] == "psnr") & (scores["dataset"] == "thin_lens")]
        error, order = {BLURRED: (2.0, 0.3), "reblurring": (2.4, 0.1)}.get(run.variant, (1.1, 0.8))
        maps = {"mae": error, "correlation": order, "auc": 0.5 + order / 2}
        spread = np.linspace(0.9, 1.1, len(rows))
        added = [rows.assign(metric=name, value=spread * mean) for name, mean in maps.items()]
        if run.variant in (BLURRED, "full", "reblurring"):
            scores = pd.concat([scores, *added])
        if run.variant == BLURRED:
            write_scores(root / "blurred" / "defocus" / "scores.csv", scores)
        else:
            write_run(root, run, scores)


def write_diffusion(root: Path, runs: Sequence[Run], images: int = 8) -> None:
    """Chapter 3: gains by source; refined pairs come nearer to the target, and at a later start
    their content moves too far."""
    gains = {"clean": -0.2, "handmade": 0.1, "softened": 0.2, "refined": 0.35, "oracle": 0.8}
    for task in dict.fromkeys(run.task for run in runs):
        asked = [blurred_input("diffusion", task), *(run for run in runs if run.task == task)]
        for run in asked:
            scores = scores_of(run, gains.get(run.source or "", 0.0), (str(task),))
            scores = scores[scores["image"].astype(int) < images]
            scores = scores.assign(image="00" + scores["image"])  # as its test set names them
            if str(task).startswith("real"):
                better = gains.get(run.source or "", 0.0)
                scores = scores[scores["metric"] == "psnr"]
                scores = scores.assign(metric="niqe", value=30 - scores["value"] - better)
            if run.variant == BLURRED:
                write_scores(root / "blurred" / "diffusion" / str(task) / "scores.csv", scores)
            else:
                write_run(root, run, scores)
        for seed in dict.fromkeys(run.seed for run in asked[1:]):
            write_measures(root, str(task), seed, [run for run in asked if run.seed == seed])


def write_measures(root: Path, task: str, seed: int, runs: Sequence[Run]) -> None:
    """What a target leaves of its pairs: distances, content deviations, the cost of samplers."""
    rows: list[tuple[Any, ...]] = [("target", None, "pairs", "all", "all", "spectrum", 0.004)]
    for source, t0 in dict.fromkeys((run.source, run.t0) for run in runs):
        start = t0 if isinstance(t0, int) else 0
        distance = {"softened": 0.012, "refined": 0.007, "oracle": 0.0042}.get(str(source), 0.016)
        rows.append((source, t0, "pairs", "all", "all", "spectrum", distance + 1e-4 * seed))
        for number in range(3):
            moved = {"refined": 2e-4 * start, "softened": 0.0}.get(str(source), 0.03)
            at = (f"photo_{number}", f"{number:05d}")
            rows.append((source, t0, "pairs", *at, "content_deviation", moved * (1 + number / 9)))
    for name, calls in {"ddpm, every step": 100, "sde_dpmpp, 20 steps": 20}.items():
        for metric, value in {
            "calls": calls,
            "images_per_second": 90 / calls,
            "spectrum": 0.007,
        }.items():
            rows.append(("refined", 100, name, "all", "all", metric, value))
    columns = ["source", "t0", "dataset", "photograph", "image", "metric", "value"]
    path = root / "targets" / f"{task}-{seed}" / "measures.csv"
    write_scores(path, pd.DataFrame(rows, columns=columns), ["source", "t0"])


def idle(scores, variant, dataset):
    """The scores with those of a variant on a data set replaced by the blurred input's."""
    scores = scores.copy()
    there = (scores["dataset"] == dataset) & (scores["metric"] == "psnr")
    blurred = scores[there & (scores["variant"] == BLURRED)].set_index("image")["value"]
    ours = there & (scores["variant"] == variant)
    scores.loc[ours, "value"] = scores.loc[ours, "image"].map(blurred)
    return scores
