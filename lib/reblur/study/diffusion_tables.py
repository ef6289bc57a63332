"""Tables of chapter 3: distances to the target, restorers by source of pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reblur.study.comparisons import DASH, register, size_words
from reblur.study.diffusion_results import (
    SOURCES_IN_WORDS,
    TARGET,
    TASKS,
    arms_of,
    best_source,
    distance_of,
    drift_of,
    in_order,
    mean_of,
    metric_columns,
    metric_name,
    metrics_in_order,
    metrics_in_words,
    read_distances,
    read_drift,
    read_real,
    restorer_of,
    source_name,
    source_of,
    start_of,
    task_of,
)
from reblur.study.results import BLURRED, Study
from reblur.study.statistics import (
    Interval,
    difference_interval,
    mean_interval,
    missing_interval,
)
from reblur.study.tables import MISSING, NOT_AVAILABLE, Column, Table, interval_values

TASK = Column("task", "task", "text")
RESTORER = Column("restorer", "restorer", "text", absent=DASH)
SOURCE = Column("source of pairs", "source_name", "text")


@register
def distances_table(
    study: Study, *, stem: str, title: str, tasks: Sequence[str], rule: Mapping[str, Any]
) -> Table:
    """How near each source comes to the target and how far its content moves, task by task."""
    found = {task: read_distances(study, task) for task in tasks}
    metrics = metrics_in_order([name for table in found.values() for name in table["metric"]])
    rows = []
    for task, distances in found.items():
        drift = read_drift(study, task)
        best = best_source(distances, drift, rule)
        asked = [source_of(arm) for arm in study.variants if task_of(arm) == task]
        for source in in_order([TARGET, *distances["source"], *asked]):
            row = named(task, source)
            values = {name: distance_of(distances, source, name) for name in metrics}
            row |= values
            for column in ("content_drift", "drift"):
                row |= interval_values(column, drift_of(drift, source, column))
            known = any(np.isfinite(value) for value in values.values())
            row["status"] = "done" if known else MISSING
            moved = row["content_drift"] > rule["content_drift"]
            if start_of(source) is not None:
                row["rule"] = "best t₀" if source == best else "beyond the bound" * moved
            rows.append(row)
    columns = [TASK, SOURCE]
    columns += metric_columns(metrics)
    columns += [
        Column("content drift", "content_drift", "interval", 4, DASH),
        Column("drift", "drift", "interval", 4, DASH),
        Column("rule", "rule", "text", absent=""),
    ]
    caption = (
        "Distances between the low-quality images of a source and those of the target domain. The "
        "floor is what the target's own images keep from each other, one half against the other; "
        "the oracle shows what other content keeps apart though the camera is the same. "
        f"{metrics_in_words(metrics)} Drift: root mean square difference from the softened image "
        "that refinement starts from, on a scale from 0 to 1; content drift: the same after 4 × 4 "
        f"means. {rule_words(rule)} In brackets: 95 % intervals over images; a distance between "
        f"two sets has none. {SOURCES_IN_WORDS}"
    )
    return Table(stem, title, caption, pd.DataFrame(rows), tuple(columns))


def rule_words(rule: Mapping[str, Any]) -> str:
    metric = metric_name(rule["metric"])
    return (
        f"Best t₀ by a rule fixed beforehand: the smallest {metric} of those whose mean content "
        f"drift is at most {rule['content_drift']:g}."
    )


@register
def restorers_table(study: Study, *, stem: str, title: str, variants: Sequence[str]) -> Table:
    """What each source of pairs is worth to a restorer, on the hidden camera's photographs."""
    rows, tasks = [], list(dict.fromkeys(task_of(variant) for variant in variants))
    for task in tasks:
        asked = [variant for variant in variants if task_of(variant) == task]
        arms = [arm for variant in asked for arm in arms_of(study, variant)]
        if not arms:
            continue
        row: dict[str, Any] = {"variant": BLURRED, "task": TASKS.get(task, task), "restorer": ""}
        row |= {"source_name": "do nothing", "seeds": DASH, "note": ""}
        rows.append(row | _scores(study, BLURRED, task))
        for arm in arms:
            row = {"variant": arm, **named(task, source_of(arm)), "restorer": restorer_of(arm)}
            gain = study.difference(arm, BLURRED, task, "psnr")
            scored, seeds = study.seeds_scored(arm, task), study.seeds_asked(arm)
            row |= {"seeds": f"{len(scored)} of {len(seeds)}", "note": gain.note}
            row |= interval_values("gain", gain) | {"steps": study.fact(arm, "steps")}
            rows.append(row | _scores(study, arm, task))
    columns = (
        TASK,
        RESTORER,
        SOURCE,
        Column("PSNR (dB)", "psnr", "interval"),
        Column("gain over doing nothing (dB)", "gain", "signed", 2, DASH),
        Column("SSIM", "ssim", "interval", 4),
        Column("LPIPS", "lpips", "interval", 4, NOT_AVAILABLE),
        Column("steps", "steps", "count", absent=DASH),
        Column("seeds", "seeds", "text"),
        Column("remark", "note", "text", absent=""),
    )
    sizes = "; ".join(f"{TASKS.get(task, task)}: {size_words(study, task)}" for task in tasks)
    caption = (
        "Tested on held-out photographs as the hidden camera takes them; only the oracle was "
        f"trained on pairs of that camera. {sizes}. Do nothing: the camera's image, enlarged where "
        "it is smaller. "
        "PSNR: RGB, mean over images, rounded to 8 bit. SSIM: Gaussian window. LPIPS: AlexNet, "
        "version 0.1. In brackets: 95 % intervals over seeds and images. "
        f"{SOURCES_IN_WORDS}"
    )
    return Table(stem, title, caption, pd.DataFrame(rows), columns)


def named(task: str, source: str) -> dict[str, Any]:
    """What a row is called: its task, and its source of pairs."""
    names = {"task": TASKS.get(task, task), "source": source}
    return {**names, "source_name": source_name(source)}


def _scores(study: Study, arm: str, task: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for metric in ("psnr", "ssim", "lpips"):
        values |= interval_values(metric, study.interval(arm, task, metric))
    scored = len(study.seeds_scored(arm, task)) > 0
    return values | {"status": "done" if scored else MISSING}


@register
def real_table(study: Study, *, stem: str, title: str, variants: Sequence[str]) -> Table:
    """Restored real images, for which there is no truth: NIQE, and distances to sharp images."""
    realism, distances = read_real(study, "realism.csv"), read_real(study, "distances.csv")
    metrics = metrics_in_order(list(distances["metric"]))
    rows = []
    for variant in variants:
        arms = arms_of(study, variant)
        seen = realism.loc[realism["variant"].isin(arms), "dataset"].unique()
        for dataset in list(seen) or [task_of(variant)] * bool(arms):
            here = distances[distances["dataset"] == dataset]
            scores = realism[realism["dataset"] == dataset]
            shared: dict[str, Any] = {"task": TASKS.get(task_of(variant), variant)}
            shared |= {"dataset": dataset}
            for arm in [BLURRED, *arms]:
                row = shared | {"variant": arm, **_real_scores(study, scores, arm, dataset)}
                ours = here[here["variant"] == arm]
                row |= {name: mean_of(ours, name, "distance") for name in metrics}
                row |= {f"{name}_floor": mean_of(here, name, "floor") for name in metrics}
                if arm == BLURRED:
                    row |= {"source_name": "do nothing", "seeds": DASH}
                else:
                    done = scores.loc[scores["variant"] == arm, "seed"].nunique()
                    row |= {"source_name": source_name(source_of(arm))}
                    row |= {"restorer": restorer_of(arm)}
                    row |= {"seeds": f"{done} of {len(study.seeds_asked(arm))}"}
                rows.append(row)
    columns = [TASK, Column("images", "dataset", "text"), RESTORER, SOURCE]
    columns += [
        Column("NIQE", "niqe", "interval", 2, NOT_AVAILABLE),
        Column("NIQE: change", "change", "signed", 2, DASH),
    ]
    for name in metrics:
        columns += metric_columns([name])
        columns += metric_columns([name], "{}_floor", "its floor")
    columns += [Column("seeds", "seeds", "text")]
    caption = (
        "Real low-quality images have no truth to compare with. NIQE: lower is held to look more "
        "natural, and can be deceived by over-sharpening; change: from doing nothing, image by "
        "image. Distances: between the restored images and sharp ones, means over seeds; the floor "
        f"is what sharp images keep from each other. {metrics_in_words(metrics)} In brackets: 95 % "
        f"intervals over seeds and images. {SOURCES_IN_WORDS}"
    )
    return Table(stem, title, caption, pd.DataFrame(rows), tuple(columns))


def _real_scores(study: Study, scores: pd.DataFrame, arm: str, dataset: str) -> dict[str, Any]:
    """NIQE of an arm on a set of real images, and its change from doing nothing."""
    ours, nothing = (_niqe(scores, name) for name in (arm, BLURRED))
    niqe = missing_interval()
    if ours.size:
        niqe = mean_interval(ours, f"niqe/{dataset}", seeded=arm != BLURRED)
    change = Interval(*[float("nan")] * 3, 0, 0)
    if arm != BLURRED and ours.size and ours.shape[1:] == nothing.shape[1:]:
        change = difference_interval(ours, nothing, f"niqe/{dataset}", "fixed")
    values = interval_values("niqe", niqe) | interval_values("change", change)
    return values | {"status": "done" if ours.size else MISSING}


def _niqe(scores: pd.DataFrame, arm: str) -> np.ndarray:
    """(seeds, images) NIQE in the order of the images' names; (0, 0) where there is none."""
    rows = scores[scores["variant"] == arm]
    if not len(rows):
        return np.zeros((0, 0))
    return rows.pivot(index="seed", columns="image", values="niqe").to_numpy(dtype=np.float64)
