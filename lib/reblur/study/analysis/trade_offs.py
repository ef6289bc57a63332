"""Figures of two things that are had together: distance and content deviation, tone and detail."""

import numpy as np
import pandas as pd
import seaborn as sns

from reblur.study.analysis.drawing import (
    GREY,
    HALO,
    INK,
    PALE,
    Drawing,
    house_style,
    known,
    legend_below,
    rows_of,
    small_multiples,
    unique,
)
from reblur.study.analysis.figures import GAIN


@house_style()
def distance_against_deviation(
    rows: pd.DataFrame, *, key: str, title: str, ylabel: str, bound: float
) -> Drawing | None:
    """How near each source of pairs comes to the target, against how far its content moved.

    Args:
        rows: `label`, `panel`, `t0`, `deviation` and `distance` (each perhaps with _low, _high),
            `chosen` (by the rule), and the `floor` of the panel. Refined
            sources (those with t0) are joined in its order.
        bound: the largest content deviation that the rule allows.
    """
    rows = known(rows, "deviation", "distance")
    if rows.empty:
        return None
    panels, labels = unique(rows, "panel"), unique(rows[rows["t0"].isna()], "label")
    figure, grid = small_multiples(panels, height=3.4, most=3)
    refined_colour, *others = sns.color_palette()
    for axes, panel in zip(grid, panels, strict=True):
        here = rows_of(rows, "panel", panel)
        refined = here[here["t0"].notna()].sort_values("t0", key=_starts)
        axes.axhline(here["floor"].iloc[0], color=INK, lw=1.2, ls="--", label="floor")
        axes.plot(
            refined["deviation"], refined["distance"], "o-", color=refined_colour, ms=6,
            label="diffusion-refined (start step t₀)",
        )  # fmt: skip
        for _, row in refined.iterrows():
            axes.annotate(
                str(row["t0"]), (row["deviation"], row["distance"]), (0, 8), ha="center",
                textcoords="offset points", fontsize=8.5, path_effects=HALO,
            )  # fmt: skip
        for number, label in enumerate(labels):
            ours = here[here["label"] == label]
            look = {"color": others[number % len(others)], "marker": "sD^vPX"[number % 6]}
            axes.plot(ours["deviation"], ours["distance"], ls="", ms=7, label=label, **look)
        if {"distance_low", "distance_high"} <= set(here):
            ends = here["distance_low"], here["distance_high"]
            axes.vlines(here["deviation"], *ends, color=GREY, lw=1.2, zorder=1)
        ring = here[here["chosen"].astype(bool)]
        axes.plot(ring["deviation"], ring["distance"], "o", mfc="none", mec=INK, ms=13, mew=1.5)
        right = max(bound, float(here["deviation"].max())) * 1.15
        axes.axvspan(bound, right, color=PALE, alpha=0.4, lw=0, zorder=0)
        axes.set_xlim(-0.06 * right, right)
        axes.set(title=panel or "", xlabel="content deviation", ylabel="")
        axes.tick_params(labelsize=8.5)
    grid[0].set_ylabel(ylabel)
    legend_below(figure, grid[0], len(labels) + 2)
    caption = (
        "Lower and further left is better. Ringed: the rule's choice. Grey: beyond its bound."
        + " Axes differ between panels." * (len(panels) > 1)
    )
    return Drawing(key, title, caption, figure)


def _starts(column: pd.Series) -> pd.Series:
    """Start steps as numbers; one that is drawn for each image comes last."""
    return pd.to_numeric(column, errors="coerce")


@house_style()
def tone_and_detail(rows: pd.DataFrame, *, key: str, title: str) -> Drawing | None:
    """The gain in PSNR of tone and of detail alone as stacked bars, and that of both as a dot.

    Args:
        rows: summary rows of the metrics psnr, psnr_tone and psnr_detail; `label`, perhaps `panel`.
    """
    rows = known(rows, "gain")
    parts = {"psnr_tone": "tone alone", "psnr_detail": "detail alone"}
    if not set(parts) <= set(rows["metric"]):
        return None
    panels, labels = unique(rows, "panel"), unique(rows, "label")
    figure, grid = small_multiples(panels, height=0.9 + 0.34 * len(labels), most=3, sharey=True)
    for axes, panel in zip(grid, panels, strict=True):
        gains = rows_of(rows, "panel", panel).pivot(index="label", columns="metric", values="gain")
        gains = gains.reindex(index=labels, columns=[*parts, "psnr"])
        above, below = np.zeros(len(labels)), np.zeros(len(labels))
        for number, (metric, word) in enumerate(parts.items()):
            values = gains[metric].fillna(0).to_numpy(dtype=float)
            left = np.where(values >= 0, above, below)
            colour = sns.color_palette()[number + 1]
            axes.barh(range(len(labels)), values, 0.6, left, color=colour, label=word)
            above, below = above + values.clip(0), below + values.clip(None, 0)
        axes.plot(gains["psnr"], range(len(labels)), "D", color=INK, ms=6, label="both")
        axes.axvline(0, color=INK, lw=1.1)
        axes.grid(axis="y", visible=False)
        axes.set(title=panel or "", xlabel="dB")
    grid[0].set_yticks(range(len(labels)), labels)
    grid[0].set_ylim(len(labels) - 0.5, -0.5)
    legend_below(figure, grid[0], 3)
    caption = (
        f"{GAIN}. Tone: the residual's low frequencies alone are taken from the restored image; "
        "detail: its high ones alone. Gains in dB do not add up exactly."
    )
    return Drawing(key, title, caption, figure)
