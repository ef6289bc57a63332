"""Variants trained at several levels of misalignment: arms such as 'plain@8', and their tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reblur.study.comparisons import DASH, register, size_words
from reblur.study.params import run_folder
from reblur.study.results import BLURRED, Study, read_csv
from reblur.study.statistics import Interval, mean_interval, missing_interval
from reblur.study.tables import MISSING, NOT_AVAILABLE, Column, Table, interval_values

ALIGNED, PLAIN = "aligned", "plain"


def arm_at(study: Study, variant: str, level: int) -> str:
    """The arm of a variant at a level, asked for or not.

    Plain training at 0 px is that from aligned pairs, but where real pairs are taken as they are.
    """
    arm = f"{variant}@{level}"
    if level == 0 and variant.startswith(PLAIN) and arm not in study.variants:
        return arm.replace(PLAIN, ALIGNED, 1)
    return arm


def variant_of(arm: str) -> str:
    return arm.partition("@")[0]


def level_of(arm: str) -> int:
    return int(arm.partition("@")[2])


def levels_of(study: Study) -> list[int]:
    """Every level of the study in pixels, ascending."""
    return sorted({level_of(arm) for arm in study.variants})


def at_largest(study: Study, variants: Sequence[str]) -> list[str]:
    """The arms of `variants` at the study's largest level, of those that were asked for."""
    largest = levels_of(study)[-1]
    arms = [arm_at(study, variant, largest) for variant in variants]
    return [arm for arm in arms if arm in study.variants]


@register
def levels_table(
    study: Study,
    *,
    stem: str,
    title: str,
    variants: Sequence[str],
    dataset: str,
    names: Mapping[str, str],
    caption: str = "",
) -> Table:
    """PSNR gain over the blurred input of each variant at each level: the curve's numbers."""
    levels = levels_of(study)
    rows = []
    for variant in variants:
        row: dict[str, Any] = {"variant": variant, "label": names.get(variant, variant)}
        for level in levels:
            arm = arm_at(study, variant, level)
            if arm in study.variants:
                gain = study.difference(arm, BLURRED, dataset, "psnr")
                row |= interval_values(f"gain_{level}", gain)
                row[f"gain_{level}_status"] = "done" if gain.images else MISSING
        if len(row) > 2:
            rows.append(row)
    columns = [Column("variant", "label", "text")]
    columns += [
        Column(f"{level} px: gain (dB)", f"gain_{level}", "signed", 2, DASH) for level in levels
    ]
    text = (
        f"{caption} Columns: root-mean-square misalignment of the training pairs. Gain: in PSNR "
        "over the blurred input, image by image, on the same test pairs for every row: "
        f"{dataset}, {size_words(study, dataset)}. {DASH}: not asked for. In brackets: 95 % "
        "intervals over seeds and images."
    )
    return Table(stem, title, " ".join(text.split()), pd.DataFrame(rows), tuple(columns))


@register
def sets_table(
    study: Study,
    *,
    stem: str,
    title: str,
    variants: Sequence[str],
    sets: Sequence[Sequence[str]],
    metrics: Sequence[str],
    labels: Mapping[str, str],
    caption: str = "",
) -> Table:
    """Arms and doing nothing on several sets, or on one set by several protocols, side by side.

    Args:
        sets: (data set, heading) of each group of columns, in their order.
        metrics: 'psnr', 'ssim'.
    """
    titles = {"psnr": ("PSNR (dB)", 2), "ssim": ("SSIM", 4)}
    rows, columns = [], [Column("training", "label", "text")]
    for arm in [BLURRED, *(name for name in variants if name in study.variants)]:
        label = "do nothing" if arm == BLURRED else labels.get(arm, arm)
        row: dict[str, Any] = {"variant": arm, "label": label}
        scored = False
        for dataset, _ in sets:
            for metric in metrics:
                found = study.interval(arm, dataset, metric)
                row |= interval_values(f"{dataset}_{metric}", found)
                scored |= bool(found.images)
        rows.append(row | {"status": "done" if scored else MISSING})
    for dataset, heading in sets:
        for metric in metrics:
            word, digits = titles[metric]
            key = f"{dataset}_{metric}"
            columns.append(Column(f"{heading}: {word}", key, "interval", digits, NOT_AVAILABLE))
    sizes = "; ".join(f"{heading}: {size_words(study, name)}" for name, heading in sets)
    text = f"{caption} {sizes}. In brackets: 95 % intervals over seeds and images."
    return Table(stem, title, " ".join(text.split()), pd.DataFrame(rows), tuple(columns))


MAP_METRICS = {"mae": ("error (px)", 2), "correlation": ("rank correlation", 3), "auc": ("AUC", 3)}


@register
def maps_table(
    study: Study,
    *,
    stem: str,
    title: str,
    variants: Sequence[str],
    columns: Sequence[Sequence[str]],
    labels: Mapping[str, str],
    caption: str = "",
) -> Table:
    """How good the estimated maps are: error and rank correlation against the true circle of
    confusion, AUC against masks; the first row needs no network.

    Args:
        columns: (data set, 'mae' | 'correlation' | 'auc', heading) of each column.
    """
    scores = read_maps(study)
    rows = []
    for arm in [BLURRED, *(name for name in variants if name in study.variants)]:
        label = "no network" if arm == BLURRED else labels.get(arm, arm)
        row: dict[str, Any] = {"variant": arm, "label": label}
        here = scores["variant"] == arm
        for dataset, metric, _ in columns:
            found = map_interval(scores[here & (scores["dataset"] == dataset)], dataset, metric)
            row |= interval_values(f"{dataset}_{metric}", found)
        rows.append(row | {"status": "done" if here.any() else MISSING})
    shown = [Column("training", "label", "text")]
    for dataset, metric, heading in columns:
        word, digits = MAP_METRICS[metric]
        key = f"{dataset}_{metric}"
        shown.append(Column(f"{heading}: {word}", key, "interval", digits, NOT_AVAILABLE))
    text = (
        f"{caption} Error: mean absolute difference from the true diameter of the circle of "
        "confusion, in pixels. Rank correlation: Spearman's. AUC: of finding the blurred pixels of "
        "a mask by a threshold. No network: the true median everywhere for the error, local "
        "contrast for the others. In brackets: 95 % intervals over seeds and images."
    )
    return Table(stem, title, " ".join(text.split()), pd.DataFrame(rows), tuple(shown))


def read_maps(study: Study) -> pd.DataFrame:
    """`maps.csv` of every run that has one, and of doing nothing: variant, seed, dataset, image,
    mae, correlation, auc."""
    folders = [(BLURRED, -1, study.root / study.blurred)]
    folders += [(arm, seed, run_folder(study.root, arm, seed)) for arm, seed in study.runs]
    tables = [
        read_csv(folder / "maps.csv").assign(variant=arm, seed=seed)
        for arm, seed, folder in folders
        if (folder / "maps.csv").exists()
    ]
    columns = ["variant", "seed", "dataset", "image", *MAP_METRICS]
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]


def map_interval(rows: pd.DataFrame, dataset: str, metric: str) -> Interval:
    """The mean of one column of one arm's rows on one data set."""
    if not len(rows):
        return missing_interval()
    matrix = rows.pivot(index="seed", columns="image", values=metric).sort_index()
    seeded = set(rows["variant"]) != {BLURRED}
    return mean_interval(matrix.to_numpy(dtype=np.float64), f"maps/{dataset}", seeded=seeded)
