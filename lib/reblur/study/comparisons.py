"""The tables that every chapter needs, built from a study's scores and from nothing else.

A builder takes (study, arguments) and returns a Table. Arguments are plain JSON values and stand
in the table's recipe, so that `reblur verify` can call the builder again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pandas as pd

from reblur.errors import ReblurError
from reblur.study.published import ABLATION, COMPARISON, MARKS, Published
from reblur.study.results import BLURRED, METRICS, Study, read_study
from reblur.study.tables import (
    MISSING,
    NOT_AVAILABLE,
    Column,
    Table,
    from_csv,
    interval_values,
    to_csv,
)

CONVENTIONS = (
    "PSNR: RGB, mean over images, rounded to 8 bit. SSIM: Gaussian window. SSIM-MATLAB: the 3-D "
    "window of the older papers. LPIPS: AlexNet, version 0.1. In brackets: 95 % intervals over "
    "seeds and images."
)
DASH = "–"  # a cell that has no meaning in its row, such as the parameters of doing nothing

_SCORES = (
    Column("PSNR (dB)", "psnr", "interval"),
    Column("gain over blurred (dB)", "gain", "signed", 2, DASH),
    Column("SSIM", "ssim", "interval", 4),
    Column("SSIM-MATLAB", "ssim_matlab", "interval", 4),
    Column("LPIPS", "lpips", "interval", 4, NOT_AVAILABLE),
)
_COST = (
    Column("s/image", "seconds_per_image", "number", 3, DASH),
    Column("steps", "steps", "count", absent=DASH),
    Column("seeds", "seeds", "text"),
    Column("remark", "note", "text", absent=""),
)
_PAPER = (
    Column("paper: params (M)", "paper_millions", "published", 2, DASH, "paper"),
    Column("paper: GoPro PSNR", "paper_psnr", "published", 2, DASH, "paper"),
    Column("paper: SSIM", "paper_ssim", "published", 4, DASH, "paper"),
)

BUILDERS: dict[str, Callable[..., Table]] = {}


def register(build: Callable[..., Table]) -> Callable[..., Table]:
    """Enter a builder in `BUILDERS`, and have its tables carry the recipe to make them again."""

    @wraps(build)
    def recorded(study: Study, **arguments: Any) -> Table:
        recipe = {
            "builder": build.__name__,
            "arguments": json.loads(json.dumps(arguments)),
            "runs": [list(run) for run in study.runs],
            "datasets": list(study.datasets),
            "evidence": study.evidence,
            "blurred": study.blurred,
        }
        table = build(study, **arguments)
        caption = " ".join(filter(None, [study.warning, table.caption]))
        texts = [column.key for column in table.columns if column.kind == "text"]
        written = from_csv(to_csv(table.frame), texts)  # shown rounded from what the CSV holds
        return replace(table, caption=caption, frame=written, recipe=recipe)

    BUILDERS[build.__name__] = recorded
    return recorded


@register
def variants_table(
    study: Study,
    *,
    stem: str,
    title: str,
    variants: Sequence[str],
    dataset: str,
    labels: Mapping[str, str] | None = None,
    heading: str = "variant",
    caption: str = "",
    do_nothing: bool = False,
    paper: bool = False,
) -> Table:
    """Variants of one chapter on one test set: cost, scores with intervals, gain over blurred.

    Args:
        variants: the rows in order; those that the study did not ask for are left out.
        labels: variant -> what stands in the first column.
        heading: the first column's title.
        do_nothing: begin with the row of the blurred input.
        paper: add the published figures in columns of their own.
    """
    labels = labels or {}
    rows = [_blurred_row(study, dataset)] if do_nothing else []
    rows += [
        _variant_row(study, variant, labels.get(variant, variant), dataset, paper)
        for variant in variants
        if variant in study.variants
    ]
    first = Column(heading, "label", "text")
    size = (
        Column("params", "parameters", "count", absent=DASH),
        Column("MACs", "macs", "giga", absent=DASH),
    )
    columns = (first, *size, *_SCORES, *_COST, *(_PAPER if paper else ()))
    named = f"Test set: {dataset}, {size_words(study, dataset)}."
    unequal = _unequal_steps(study, variants)
    parts = [caption, named, unequal, CONVENTIONS, f"Published figures: {MARKS}" if paper else ""]
    frame = pd.DataFrame(rows)
    return Table(stem, title, " ".join(filter(None, parts)), frame, columns)


@register
def differences_table(
    study: Study,
    *,
    stem: str,
    title: str,
    variants: Sequence[str],
    reference: str,
    dataset: str,
    labels: Mapping[str, str] | None = None,
    caption: str = "",
) -> Table:
    """Per-image paired differences of each variant against `reference`, on one test set."""
    labels = labels or {}
    rows = []
    for variant in variants:
        if variant not in study.variants or variant == reference:
            continue
        row: dict[str, Any] = {"variant": variant, "label": labels.get(variant, variant)}
        for metric in METRICS:
            interval = study.difference(variant, reference, dataset, metric)
            row |= interval_values(metric, interval)
            if metric == "psnr":
                row["better"] = _share_better(study, variant, reference, dataset)
                row["status"] = MISSING if interval.note == MISSING else "done"
                row["note"] = interval.note
        rows.append(row)
    columns = (
        Column("variant", "label", "text"),
        Column("PSNR (dB)", "psnr", "signed", 3),
        Column("images better (%)", "better", "number", 0),
        Column("SSIM", "ssim", "signed", 4),
        Column("SSIM-MATLAB", "ssim_matlab", "signed", 4),
        Column("LPIPS", "lpips", "signed", 4, NOT_AVAILABLE),
        Column("remark", "note", "text", absent=""),
    )
    reference_label = labels.get(reference, reference)
    text = (
        f"{caption} Each number is the mean over images of variant − {reference_label}, taken on "
        f"the same image. {_unequal_steps(study, variants)} Test set: {dataset}, "
        f"{size_words(study, dataset)}. In brackets: 95 % "
        "intervals over seeds and images, not corrected for their number."
    )
    return Table(stem, title, " ".join(text.split()), pd.DataFrame(rows), columns)


@register
def datasets_table(
    study: Study,
    *,
    stem: str,
    title: str,
    variants: Sequence[str],
    labels: Mapping[str, str] | None = None,
    caption: str = "",
) -> Table:
    """PSNR of each variant on every test set, and its gain over the blurred input there."""
    labels = labels or {}
    rows = []
    for variant in [BLURRED, *(name for name in variants if name in study.variants)]:
        label = "do nothing" if variant == BLURRED else labels.get(variant, variant)
        row: dict[str, Any] = {"variant": variant, "label": label, "status": MISSING}
        for dataset in study.datasets:
            psnr = study.interval(variant, dataset, "psnr")
            row |= interval_values(f"{dataset}_psnr", psnr)
            if variant != BLURRED:
                gain = study.difference(variant, BLURRED, dataset, "psnr")
                row |= interval_values(f"{dataset}_gain", gain)
            if psnr.images:
                row["status"] = "done"
        rows.append(row)
    columns = [Column("variant", "label", "text")]
    for dataset in study.datasets:
        columns.append(Column(f"{dataset}: PSNR", f"{dataset}_psnr", "interval", 2, NOT_AVAILABLE))
        columns.append(Column(f"{dataset}: gain", f"{dataset}_gain", "signed", 2, DASH))
    sizes = "; ".join(f"{dataset}: {size_words(study, dataset)}" for dataset in study.datasets)
    text = f"{caption} {sizes}. In brackets: 95 % intervals over seeds and images."
    return Table(stem, title, " ".join(text.split()), pd.DataFrame(rows), tuple(columns))


@register
def losses_table(
    study: Study, *, stem: str, title: str, labels: Mapping[str, str] | None = None
) -> Table:
    """Whether each run's training loss fell: its mean over the first and the last tenth."""
    labels = labels or {}
    rows = []
    for variant, seed in study.runs:
        row: dict[str, Any] = {
            "variant": variant,
            "label": labels.get(variant, variant),
            "seed": str(seed),
        }
        log = study.training_log(variant, seed)
        if log is None or len(log) < 2:
            rows.append(row | {"status": MISSING, "falls": MISSING})
            continue
        tenth = max(1, len(log) // 10)
        first, last = float(log["loss"][:tenth].mean()), float(log["loss"][-tenth:].mean())
        row |= {"status": "done", "first": first, "last": last, "ratio": last / first}
        rows.append(row | {"falls": "yes" if last < first else "no"})
    columns = (
        Column("variant", "label", "text"),
        Column("seed", "seed", "text"),
        Column("loss, first tenth", "first", "number", 5),
        Column("loss, last tenth", "last", "number", 5),
        Column("last / first", "ratio", "number", 3),
        Column("falls", "falls", "text"),
    )
    caption = (
        "Mean training loss over the first and the last tenth of the logged steps. Losses of "
        "variants with different numbers of scales are sums over those scales and not comparable."
    )
    return Table(stem, title, caption, pd.DataFrame(rows), columns)


@register
def published_table(study: Study, *, stem: str, title: str) -> Table:
    """What others published on GoPro and Köhler. No number of the study is in it."""
    rows = []
    for entry in COMPARISON:
        row = {"method": entry.method, "time": entry.time, "source": entry.source}
        for key in ("gopro_psnr", "gopro_ssim", "kohler_psnr", "kohler_mssim"):
            row |= _marked(key, getattr(entry, key))
        rows.append(row)
    columns = (
        Column("method", "method", "text", group="paper"),
        Column("paper: GoPro PSNR", "gopro_psnr", "published", 2, DASH, "paper"),
        Column("paper: GoPro SSIM", "gopro_ssim", "published", 4, DASH, "paper"),
        Column("paper: Köhler PSNR", "kohler_psnr", "published", 2, DASH, "paper"),
        Column("paper: Köhler MSSIM", "kohler_mssim", "published", 4, DASH, "paper"),
        Column("paper: time", "time", "text", absent=DASH, group="paper"),
        Column("source", "source", "text", group="paper"),
    )
    caption = f"None of these numbers is ours. {MARKS}"
    return Table(stem, title, caption, pd.DataFrame(rows), columns)


def study_of(root: Path, recipe: Mapping[str, Any]) -> Study:
    """The study that a recipe was made from, read again from the runs under `root`."""
    runs = [(variant, seed) for variant, seed in recipe["runs"]]
    return read_study(root, runs, recipe["datasets"], recipe["evidence"], recipe["blurred"])


def rebuild(study: Study, recipe: Mapping[str, Any]) -> Table:
    """The table of a recipe, made again from `study_of` it.

    Raises:
        ReblurError: no builder has the recipe's name.
    """
    if recipe["builder"] not in BUILDERS:
        raise ReblurError(
            f"{recipe['builder']}: no such builder of tables; make the comparison again."
        )
    return BUILDERS[recipe["builder"]](study, **recipe["arguments"])


def _blurred_row(study: Study, dataset: str) -> dict[str, Any]:
    row: dict[str, Any] = {"variant": BLURRED, "label": "do nothing", "seeds": DASH}
    for metric in METRICS:
        row |= interval_values(metric, study.interval(BLURRED, dataset, metric))
    row["status"] = "done" if study.images(dataset) else MISSING
    return row


def _variant_row(
    study: Study, variant: str, label: str, dataset: str, paper: bool
) -> dict[str, Any]:
    asked, scored = study.seeds_asked(variant), study.seeds_scored(variant, dataset)
    row: dict[str, Any] = {"variant": variant, "label": label}
    row |= {"parameters": study.fact(variant, "parameters"), "macs": study.fact(variant, "macs")}
    for metric in METRICS:
        row |= interval_values(metric, study.interval(variant, dataset, metric))
    gain = study.difference(variant, BLURRED, dataset, "psnr")
    row |= interval_values("gain", gain)
    row |= {"seconds_per_image": study.seconds_per_image(variant, dataset)}
    row |= {"steps": study.fact(variant, "steps"), "seeds": f"{len(scored)} of {len(asked)}"}
    row |= {"status": "done" if scored else MISSING, "note": gain.note}
    if paper:
        known = ABLATION.get(variant)
        for key in ("millions", "psnr", "ssim"):
            row |= _marked(f"paper_{key}", getattr(known, key) if known else None)
    return row


def _marked(key: str, figure: Published | None) -> dict[str, Any]:
    if figure is None:
        return {key: None, f"{key}_mark": None}
    return {key: figure.value, f"{key}_mark": figure.mark}


def _share_better(study: Study, variant: str, reference: str, dataset: str) -> float:
    """Per cent of the images on which the variant's mean over seeds has the higher PSNR."""
    differences = study.image_differences(variant, reference, dataset, "psnr")
    return float((differences > 0).mean() * 100) if differences.size else float("nan")


def _unequal_steps(study: Study, variants: Sequence[str]) -> str:
    """A warning where the variants of a table trained for different numbers of steps."""
    steps = {study.fact(variant, "steps") for variant in variants} - {None}
    if len(steps) < 2:
        return ""
    return (
        f"The rows trained for {min(steps):,} to {max(steps):,} steps: what differs between rows "
        "of different length is not the network alone."
    )


def size_words(study: Study, dataset: str) -> str:
    """How many images of how many scenes a test set has, in words; or that it is not available."""
    rows = study.scores[study.scores["dataset"] == dataset]
    images, scenes = rows["image"].nunique(), rows["scene"].nunique()
    if not images:
        return NOT_AVAILABLE
    return f"{images} images of {scenes} scenes" if scenes else f"{images} images"
