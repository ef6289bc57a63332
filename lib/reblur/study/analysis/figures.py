"""Figures: seaborn on the frames of the summary, readable on white, at most 1,600 px high.

Every function takes rows with a column `label` (`tables.labelled`), and perhaps `panel`, and gives
a `Drawing`, or None where there is nothing to draw: a figure has no empty axes. Runs that trained
for another number of updates than most (`scores.costs`, merged into the rows) are hatched, with
their updates printed.
"""

import math
from textwrap import fill
from typing import Any, Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

from reblur.study.analysis.drawing import (
    GREY,
    HALO,
    INK,
    PALE,
    Drawing,
    canvas,
    house_style,
    known,
    legend_below,
    rows_of,
    seeds_each,
    seeds_in_words,
    small_multiples,
    unique,
)

GAIN = "PSNR gain over the blurred input (dB)"
_MOST_COLUMNS = 6  # of a heat map: more values with intervals do not stand beside each other


@house_style()
def forest(
    rows: pd.DataFrame,
    *,
    key: str,
    title: str,
) -> Drawing | None:
    """Gains with their intervals: a line a `label`, a colour a `group`, axes a `panel`.

    Args:
        rows: summary rows; `group`, `panel` and `scores.costs` are optional.
    """
    rows = known(rows, "gain")
    if rows.empty:
        return None
    labels, groups = unique(rows, "label"), unique(rows, "group")
    panels = unique(rows, "panel")
    places = {label: place for place, label in enumerate(labels)}
    height = (0.3 + 0.14 * (len(groups) - 1)) * len(labels)
    figure, grid = small_multiples(panels, height=0.75 + height, most=3, sharey=True)
    for axes, panel in zip(grid, panels, strict=True):
        here = rows_of(rows, "panel", panel)
        for number, group in enumerate(groups):
            ours = rows_of(here, "group", group)
            y = ours["label"].map(places) + 0.7 * ((number + 0.5) / len(groups) - 0.5)
            colour = sns.color_palette()[number % 10]
            axes.hlines(y, ours["gain_low"], ours["gain_high"], color=colour, lw=2)
            sns.scatterplot(
                x=ours["gain"], y=y, ax=axes, color=colour, s=44, legend=False, zorder=3,
                label=group, marker="osD^vP"[number % 6],
            )  # fmt: skip
        _hatch(axes, here, places)
        axes.axvline(0, color=INK, lw=1.1, ls="--")
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(7 if len(panels) == 1 else 4))
        axes.set(xlabel=GAIN if len(panels) == 1 else "", ylabel="", title=panel or "")
    several = rows["seeds"].nunique() > 1
    seeds = rows.groupby("label", sort=False)["seeds"].max()
    words = [
        f"{label} ({seeds_in_words(int(seeds[label]))})" if several else label for label in labels
    ]
    grid[0].set_yticks(range(len(labels)), words)
    grid[0].set_ylim(len(labels) - 0.5, -0.5)
    if len(panels) > 1 and len(groups) > 1:  # beside a legend, one label would lie under it
        for axes in grid:
            axes.set_xlabel(fill(GAIN, 26))
    elif len(panels) > 1:
        figure.supxlabel(GAIN, fontsize=9.5)
    legend_below(figure, grid[0], len(groups))
    over = f"Mean and 95 % interval over seeds and photographs{seeds_each(rows)}"
    return Drawing(key, title, f"{over}; right of 0 is better.", figure)


@house_style()
def learning_curves(
    curves: pd.DataFrame, *, key: str, title: str, ylabel: str, log: bool = False, smooth: int = 1
) -> Drawing | None:
    """Curves over updates: the mean of the seeds and their range; up to six labels in one pair of
    axes, more as small multiples.

    Args:
        curves: rows of one curve of `read_curves`, with `label`.
        log: a logarithmic vertical axis.
        smooth: logged values that a running mean takes together, run by run.
    """
    if curves.empty:
        return None
    labels = unique(curves, "label")
    if smooth > 1:
        runs = curves.groupby(["label", "seed"], sort=False)["value"]
        curves = curves.assign(
            value=runs.transform(lambda v: v.rolling(smooth, min_periods=1, center=True).mean())
        )
    alone = len(labels) > 6
    columns = min(4, len(labels)) if alone else 1
    count = math.ceil(len(labels) / columns) if alone else 1
    height = 0.7 + (1.5 if alone else 3.6) * count
    figure, grid = canvas(count, columns, height=height, sharex=True, sharey=True)
    longest = curves["step"].max()
    for number, label in enumerate(labels):
        axes = grid.flat[number if alone else 0]
        ours = curves[curves["label"] == label]
        colour = sns.color_palette()[0 if alone else number]
        name = f"{label} ({seeds_in_words(ours['seed'].nunique())})"
        sns.lineplot(
            ours, x="step", y="value", ax=axes, color=colour, label=name, errorbar=("pi", 100),
            legend=False,
        )  # fmt: skip
        last = ours[ours["step"] == ours["step"].max()]
        end = (last["step"].iloc[0], last["value"].mean())
        if end[0] < 0.95 * longest:
            axes.plot(*end, "X", color=colour, ms=7)
            _note(axes, f"{int(end[0]):,} updates", end, (6, 5), INK, "left")
        if alone:
            axes.set_title(fill(name, 26), fontsize=8.5)
        axes.set(xlabel="", ylabel="")
    for axes in list(grid.flat)[len(labels) if alone else 1 :]:
        axes.set_axis_off()
    for axes in grid.flat:
        if log:
            _plain_logarithm(axes, "y")
        axes.tick_params(labelsize=8.5)
    figure.supxlabel("updates", fontsize=9.5)
    figure.supylabel(ylabel, fontsize=9.5)
    if not alone:
        grid[0, 0].legend(fontsize=8.5)
    caption = "Line: mean of the seeds; band: their range. ×: a training that ended earlier."
    return Drawing(key, title, caption, figure)


@house_style()
def gains_over(
    rows: pd.DataFrame,
    x: str,
    *,
    key: str,
    title: str,
    xlabel: str,
    joined: bool = True,
    log: bool = False,
) -> Drawing | None:
    """Gains over a number: misalignment (px), blur length (px), hours of training, multiply-adds.

    Args:
        rows: summary rows with the column `x`, a `label`, perhaps a `panel`.
        joined: a line a label in the order of `x`; False: a named point a row.
        log: a logarithmic horizontal axis.
    """
    rows = known(rows, "gain", x).sort_values(x, kind="stable")
    if rows.empty:
        return None
    panels, labels = unique(rows, "panel"), unique(rows.sort_index(), "label")
    figure, grid = small_multiples(panels, height=4.0, most=2)
    wide = float(rows[x].max() - rows[x].min())
    for axes, panel in zip(grid, panels, strict=True):
        here = rows_of(rows, "panel", panel)
        for number, label in enumerate(labels):
            ours = here[here["label"] == label]
            colour = sns.color_palette()[number % 10] if joined else sns.color_palette()[0]
            beside = 0 if log or not joined else 0.006 * wide * (number - len(labels) / 2)
            place = ours[x].astype(float) + beside
            axes.vlines(place, ours["gain_low"], ours["gain_high"], color=colour, lw=1.8, alpha=0.6)
            sns.lineplot(
                x=place, y=ours["gain"], ax=axes, color=colour, label=label, legend=False,
                marker="osD^vP"[number % 6] if joined else "o", markersize=7, errorbar=None,
            )  # fmt: skip
        for number, (_, row) in enumerate(here.iterrows() if not joined else []):
            left = row[x] > here[x].median()
            shift = (-6 if left else 6, 5 if number % 2 else -11)
            side = "right" if left else "left"
            _note(axes, row["label"], (row[x], row["gain"]), shift, INK, side)
        axes.axhline(0, color=INK, lw=1.1, ls="--")
        axes.set(xlabel=xlabel, ylabel="", title=panel or "")
        if log:
            _plain_logarithm(axes, "x")
        if joined and not log and rows[x].nunique() <= 10:
            ticks = sorted(float(value) for value in rows[x].unique())
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    grid[0].set_ylabel(GAIN)
    if joined:
        legend_below(figure, grid[0], len(labels))
    over = f"Bars: 95 % intervals over seeds and photographs{seeds_each(rows)}."
    return Drawing(key, title, f"{over} Dashed: the blurred input.", figure)


@house_style()
def heat_map(rows: pd.DataFrame, column: str, *, key: str, title: str) -> Drawing | None:
    """Gains as a matrix of `label` against the values of `column` (the test sets), which stand
    below each other where they are many; with the interval in each cell, or the text of `cell`
    where there is one. A cell without a value is grey and says 'not run'."""
    if known(rows, "gain").empty:
        return None
    order = {"index": unique(rows, "label"), "columns": unique(rows, column)}
    cells = rows.assign(text=[_cell(row) for _, row in rows.iterrows()])
    means = cells.pivot(index="label", columns=column, values="gain").reindex(**order)
    words = cells.pivot(index="label", columns=column, values="text").reindex(**order)
    if means.shape[1] > _MOST_COLUMNS:
        means, words = means.T, words.T
    figure, grid = canvas(height=1.3 + 0.5 * len(means))
    axes = grid[0, 0]
    reach = float(np.nanmax(np.abs(means.to_numpy(dtype=float)))) or 1.0
    sns.heatmap(
        means.astype(float), annot=words.fillna(""), fmt="", cmap="vlag_r", vmin=-reach,
        vmax=reach, ax=axes, linewidths=1, annot_kws={"fontsize": 8},
        cbar_kws={"label": GAIN, "fraction": 0.04, "pad": 0.02},
    )  # fmt: skip
    axes.set_facecolor(PALE)
    axes.grid(visible=False)
    for row, column_number in zip(*np.where(means.isna()), strict=True):
        place = (column_number + 0.5, row + 0.5)
        axes.text(*place, "not run", ha="center", va="center", fontsize=8.5, color=GREY)
    axes.set(xlabel="", ylabel="")
    axes.set_xticklabels([fill(str(name), 12) for name in means.columns], rotation=0, fontsize=8.5)
    axes.set_yticklabels([fill(str(name), 24) for name in means.index], rotation=0, fontsize=8.5)
    caption = f"Mean gain and 95 % interval over seeds and photographs{seeds_each(rows)}."
    return Drawing(key, title, caption, figure)


def _note(
    axes: Axes, text: str, place: tuple[Any, Any], shift: tuple[int, int], colour: Any, side: str
) -> None:
    """`text` beside a place in the data, readable over lines."""
    axes.annotate(
        text, place, shift, textcoords="offset points", fontsize=8.5, color=colour, ha=side,
        path_effects=HALO,
    )  # fmt: skip


def _plain_logarithm(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis with ticks at 1, 2, 5, … written out."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_locator(NullLocator())


def _hatch(axes: Axes, rows: pd.DataFrame, places: dict[Any, int]) -> None:
    """Hatch the lines of configurations that trained for another number of updates than most."""
    if "unequal" not in rows:
        return
    for _, row in rows[rows["unequal"].eq(True).fillna(False)].drop_duplicates("label").iterrows():
        at = places[row["label"]]
        axes.axhspan(at - 0.45, at + 0.45, fc="none", ec=PALE, hatch="///", lw=0, zorder=0)
        axes.text(
            0.99, at, f"{int(row['steps']):,} updates", ha="right", va="center", fontsize=8,
            color=GREY, transform=axes.get_yaxis_transform(), path_effects=HALO,
        )  # fmt: skip


def _cell(row: pd.Series) -> str:
    if isinstance(row.get("cell"), str):
        return row["cell"]
    if not np.isfinite(row["gain"]):
        return "not run"
    ends = f"\n[{row['gain_low']:+.2f}, {row['gain_high']:+.2f}]"
    return f"{row['gain']:+.2f}" + (ends if np.isfinite(row["gain_low"]) else "")
