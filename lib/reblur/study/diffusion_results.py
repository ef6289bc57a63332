"""What chapter 3 has on disk besides its runs' scores, its rule for the best t₀, and its words.

    diffusion/<task>/distances.csv   source, t0, metric, distance     (source 'target': the floor)
    diffusion/<task>/drift.csv       source, t0, image, drift, content_drift
    diffusion/<task>/cost.csv        sampler, t0, calls, images_per_second, metric, distance, device
    diffusion/<task>/denoiser/       run.json, log.csv
    diffusion/<task>/samples/, examples/     the pictures of `study.diffusion_pictures`
    diffusion/blurred/<task>/, runs/<variant>-<seed>/<source>/   realism.csv, distances.csv of real
                                     tasks: of doing nothing, and of a run

A file that is not there gives a table without rows, which every reader shows as missing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reblur.errors import ReblurError
from reblur.measures.distances import DISTANCES
from reblur.study.params import run_folder
from reblur.study.results import BLURRED, Study, read_csv
from reblur.study.statistics import Interval, mean_interval, missing_interval
from reblur.study.tables import MISSING, NOT_AVAILABLE, Column

#: The tasks by their names for people. A run's variant is its task and its restorer.
TASKS = {
    "superres": "super-resolution",
    "deblur": "deblurring",
    "faces": "faces",
    "real_superres": "real photographs",
    "real_faces": "real faces",
}
RESTORERS = {
    "rrdb": "RRDB",
    "sr_edrb3": "SR-EDRB3",
    "sr_edrb3_skip": "SR-EDRB3 + skip",
    "nafnet": "NAFNet",
}

#: The sources of pairs that are not refined, in the order of every table.
CLEAN, HANDMADE, SOFTENED, ORACLE = "clean", "handmade", "softened", "oracle"
INITIAL = SOFTENED  # what refinement starts from
DRAWN = "refined_drawn"  # t₀ drawn for each image, as in the paper
REFINED = "refined"  # the refined source that the rule chooses, where a name must be the same
NO_CHOICE = "no t₀ within the bound"
TARGET = "target"  # the target's images against each other: the floor
SOURCES = {
    TARGET: "target itself (floor)",
    CLEAN: "clean",
    HANDMADE: "hand-made",
    SOFTENED: "softened",
    REFINED: "refined",
    DRAWN: "refined, t₀ drawn",
    ORACLE: "oracle",
}
SOURCES_IN_WORDS = (
    "Sources of training pairs: clean, one step alone (a bicubic reduction, at full size one "
    "Gaussian blur); hand-made, a whole chain of drawn blurs, noises and compressions; softened, "
    "the same with milder draws; refined, the softened image noised to t₀ and denoised by the "
    "DDPM of the target domain; oracle, the true camera's own."
)

#: The distances between two sets of images: heading, digits. Any other keeps its own name.
METRICS = {
    "swd": ("SWD", 5),
    "spectrum": ("Spectrum (dB)", 2),
    "mmd": ("AlexNet-MMD", 4),
    "fd": ("AlexNet-FD", 2),
}

DISTANCE_COLUMNS = ("source", "t0", "metric", "distance")
DRIFT_COLUMNS = ("source", "t0", "image", "drift", "content_drift")
COST_COLUMNS = ("sampler", "t0", "calls", "images_per_second", "metric", "distance", "device")
REALISM_COLUMNS = ("dataset", "image", "scene", "niqe")
REAL_DISTANCE_COLUMNS = ("dataset", "metric", "distance", "floor")


def variant_of(arm: str) -> str:
    return arm.partition("@")[0]


def source_of(arm: str) -> str:
    return arm.partition("@")[2]


def task_of(arm: str) -> str:
    """The task of an arm or a variant: the longest of `TASKS` that its name begins with."""
    variant = variant_of(arm)
    found = [task for task in TASKS if variant.startswith(f"{task}_")]
    return max(found, key=len) if found else variant.partition("_")[0]


def restorer_of(arm: str) -> str:
    """The restorer's name for people."""
    network = variant_of(arm).removeprefix(f"{task_of(arm)}_")
    return RESTORERS.get(network, network)


def start_of(source: str) -> int | None:
    """t₀ of a refined source; None of any other."""
    name, _, start = source.partition("_")
    return int(start) if name == REFINED and start.isdecimal() else None


def source_name(source: str) -> str:
    start = start_of(source)
    return SOURCES.get(source, source) if start is None else f"refined, t₀ = {start}"


def in_order(sources: Sequence[str]) -> list[str]:
    """Sources without doubles in the order of every table: refined ones by t₀, the oracle last."""

    def place(source: str) -> tuple[int, int]:
        start = start_of(source)
        name = REFINED if start is not None else source
        return (list(SOURCES).index(name) if name in SOURCES else len(SOURCES), start or 0)

    return sorted(dict.fromkeys(sources), key=place)


def metric_name(metric: str) -> str:
    return METRICS.get(metric, (metric, 4))[0]


def metric_columns(metrics: Sequence[str], key: str = "{}", title: str = "{}") -> list[Column]:
    """A column a distance; `key` and `title` say what becomes of its name."""
    found = {name: METRICS.get(name, (name, 4)) for name in metrics}
    return [
        Column(title.format(word), key.format(name), "number", digits, NOT_AVAILABLE)
        for name, (word, digits) in found.items()
    ]


def metrics_in_words(metrics: Sequence[str]) -> str:
    """What each distance of a table is."""
    words = [f"{metric_name(m)}: {DISTANCES[m]}" for m in metrics if m in DISTANCES]
    return " ".join([*words, "Lower is nearer."] if words else [])


def metrics_in_order(names: Sequence[str]) -> list[str]:
    found = dict.fromkeys(names)
    return [*(name for name in METRICS if name in found), *sorted(set(found) - set(METRICS))]


def tasks_of(study: Study, real: bool | None = None, tasks: Mapping[str, Any] = {}) -> list[str]:
    """The tasks that the study's runs were asked for, in order; with `real`, the (un)real ones.

    Args:
        tasks: `tasks` of the chapter's section of params.yaml, which says what is real.
    """
    found = list(dict.fromkeys(task_of(arm) for arm in study.variants))
    return [t for t in found if real is None or bool(tasks.get(t, {}).get("real")) == real]


def arms_of(study: Study, variant: str) -> list[str]:
    """The arms of a variant that were asked for, in the order of their sources."""
    sources = [source_of(arm) for arm in study.variants if variant_of(arm) == variant]
    return [f"{variant}@{source}" for source in in_order(sources)]


def data_folder(study: Study) -> Path:
    """results/<profile>/diffusion: what belongs to no run."""
    return (study.root / study.blurred).parent


def read_distances(study: Study, task: str) -> pd.DataFrame:
    return _read(data_folder(study) / task / "distances.csv", DISTANCE_COLUMNS)


def read_drift(study: Study, task: str) -> pd.DataFrame:
    return _read(data_folder(study) / task / "drift.csv", DRIFT_COLUMNS)


def read_cost(study: Study, task: str) -> pd.DataFrame:
    return _read(data_folder(study) / task / "cost.csv", COST_COLUMNS)


def read_real(study: Study, name: str) -> pd.DataFrame:
    """'realism.csv' or 'distances.csv' of every run of a real task and of doing nothing, with the
    columns variant and seed (-1 of doing nothing) added."""
    columns = REALISM_COLUMNS if name == "realism.csv" else REAL_DISTANCE_COLUMNS
    nothing = study.root / study.blurred
    folders = [(BLURRED, -1, nothing / task) for task in tasks_of(study)]
    folders += [(arm, seed, run_folder(study.root, arm, seed)) for arm, seed in study.runs]
    none = pd.DataFrame(columns=[*columns, "variant", "seed"])
    tables = [
        _read(folder / name, columns).assign(variant=arm, seed=seed)
        for arm, seed, folder in folders
    ]
    return pd.concat([table for table in tables if len(table)] or [none], ignore_index=True)


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame(columns=list(columns))
    table = read_csv(path)
    lacking = [name for name in columns if name not in table.columns]
    if lacking:
        raise ReblurError(f"{path}: lacks {', '.join(lacking)}; make it again.")
    return table[list(columns)]


def mean_of(table: pd.DataFrame, metric: str, column: str) -> float:
    """The mean of a column over the rows of one metric; NaN where there is none."""
    found = table.loc[table["metric"] == metric, column]
    return float(found.mean()) if len(found) else float("nan")


def distance_of(distances: pd.DataFrame, source: str, metric: str) -> float:
    """The distance of a source to the target; NaN where it was not measured."""
    return mean_of(distances[distances["source"] == source], metric, "distance")


def drift_of(drift: pd.DataFrame, source: str, column: str = "content_drift") -> Interval:
    """Mean drift of a source's images from the initial ones, in [0, 1], over its images."""
    values = drift.loc[drift["source"] == source, column].to_numpy(dtype=np.float64)
    if not len(values):
        return missing_interval()
    return mean_interval(values[None], f"drift/{source}", seeded=False)


def best_source(
    distances: pd.DataFrame, drift: pd.DataFrame, rule: Mapping[str, Any]
) -> str | None:
    """The refined source that the rule chooses, fixed before anything is measured: the smallest
    distance (`rule['metric']`) of those whose mean content drift is at most
    `rule['content_drift']`; of equal ones the smaller t₀. None if there is none."""
    kept = []
    for source in in_order(list(distances["source"])):
        start = start_of(source)
        distance = distance_of(distances, source, rule["metric"])
        moved = drift_of(drift, source).mean
        if start is not None and np.isfinite(distance) and moved <= rule["content_drift"]:
            kept.append((distance, start, source))
    return min(kept)[2] if kept else None


def best_of(study: Study, task: str, rule: Mapping[str, Any]) -> str | None:
    """`best_source` of a task; None too where nothing was measured."""
    return best_source(read_distances(study, task), read_drift(study, task), rule)


def choice_in_words(study: Study, task: str, rule: Mapping[str, Any]) -> str:
    """The rule's choice for people; 'missing' where no refined source was measured both ways."""
    distances, drift = read_distances(study, task), read_drift(study, task)
    best = best_source(distances, drift, rule)
    if best is not None:
        return source_name(best)
    refined = {name for name in drift["source"] if start_of(name) is not None}
    measured = [distance_of(distances, name, rule["metric"]) for name in refined]
    return NO_CHOICE if np.isfinite(measured).any() else MISSING


def shown_source(study: Study, task: str, rule: Mapping[str, Any]) -> str | None:
    """The refined source that pictures show: the rule's choice, or else the smallest t₀ asked."""
    asked = in_order([source_of(arm) for arm in study.variants if task_of(arm) == task])
    refined = [source for source in asked if start_of(source) is not None]
    return best_of(study, task, rule) or (refined[0] if refined else None)


def panel_arms(
    study: Study, variant: str, sources: Sequence[str], rule: Mapping[str, Any]
) -> dict[str, str]:
    """Source -> arm of a variant, of those of `sources` that were asked for; `refined` stands for
    the refined source of `shown_source`."""
    chosen = shown_source(study, task_of(variant), rule)
    found = {s: f"{variant}@{chosen if s == REFINED else s}" for s in sources}
    return {source: arm for source, arm in found.items() if arm in study.variants}


def first_variants(study: Study, tasks: Sequence[str]) -> list[str]:
    """The first restorer of each task, of those that were asked for."""
    variants = {task_of(arm): variant_of(arm) for arm in reversed(study.variants)}
    return [variants[task] for task in tasks if task in variants]
