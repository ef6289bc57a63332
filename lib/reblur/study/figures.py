"""Figures of a study: drawn without a display, readable at the width of a README, byte-stable.

Every function returns a `Drawing`; colours are those of Okabe and Ito, told apart by people with
any colour vision. Runs that are missing are written into the figure as missing.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

from reblur.files import atomic_path
from reblur.study.provenance import one_line, write_provenance
from reblur.study.results import BLURRED, Study
from reblur.study.tables import MISSING

BLUE, ORANGE, GREEN, PINK, AMBER, SKY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY)
INK, GREY, PALE = "#222222", "#777777", "#D5D5D5"
DPI = 160
WIDTH = 8.6  # inches

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs everywhere
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "figure.facecolor": "white",
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Drawing:
    """A figure with its captions; `alt` says in words what it shows, for people who hear it."""

    stem: str
    title: str
    caption: str
    alt: str
    figure: Figure

    def _repr_png_(self) -> bytes:
        """What a notebook shows; a figure without pyplot has no picture of its own there."""
        stream = io.BytesIO()
        with house_style():
            self.figure.savefig(stream, format="png", dpi=DPI // 2)
        return stream.getvalue()


def save_figure(drawing: Drawing, folder: Path, provenance: dict[str, Any]) -> list[Path]:
    """Write <stem>.png and <stem>.provenance.json into `folder`; returns their paths.

    The stamp also stands in the PNG's own metadata ('Description').
    """
    stem = Path(folder) / drawing.stem
    path = stem.with_name(f"{drawing.stem}.png")
    metadata = {"Software": None, "Title": drawing.title, "Description": one_line(provenance)}
    with house_style(), atomic_path(path) as temporary:
        drawing.figure.savefig(temporary, dpi=DPI, metadata=metadata)
    details = {"title": drawing.title, "caption": drawing.caption, "alt": drawing.alt}
    return [path, write_provenance(stem, "figure", details, [path], provenance)]


@contextmanager
def house_style() -> Iterator[None]:
    """matplotlib's own defaults and our style, whatever matplotlibrc or a notebook has set."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def canvas(
    rows: int = 1, columns: int = 1, *, height: float, **options: Any
) -> tuple[Figure, np.ndarray]:
    """An empty figure of the house's width in its style; axes as a (rows, columns) array."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


@house_style()
def forest(
    study: Study,
    *,
    stem: str,
    title: str,
    variants: Sequence[str],
    dataset: str,
    labels: Mapping[str, str],
    highlight: Sequence[str] = (),
) -> Drawing:
    """PSNR gain over the blurred input, a row a variant, with its interval and its parameters."""
    shown = [name for name in variants if name in study.variants]
    figure, grid = canvas(height=1.2 + 0.36 * len(shown))
    axes = grid[0, 0]
    words = []
    for row, variant in enumerate(shown):
        gain = study.difference(variant, BLURRED, dataset, "psnr")
        parameters = study.fact(variant, "parameters")
        size = f"{parameters / 1e6:.2f} M" if parameters is not None else MISSING
        _right_of(axes, row, size, 1.02)
        if not gain.images:
            axes.text(0, row, f" {gain.note}", va="center", color=GREY, style="italic")
            words.append(f"{labels.get(variant, variant)} {gain.note}")
            continue
        colour = ORANGE if variant in highlight else BLUE
        if gain.known:
            axes.plot([gain.low, gain.high], [row, row], color=colour, lw=2.2)
        axes.plot(gain.mean, row, "o", color=colour, ms=7)
        _right_of(axes, row, f"{gain.mean:+.2f} dB", 1.16)
        words.append(f"{labels.get(variant, variant)} {gain.mean:+.2f} dB")
    axes.axvline(0, color=INK, lw=1.2, ls="--")
    axes.set_yticks(range(len(shown)), [labels.get(name, name) for name in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"PSNR gain over the blurred input (dB), {dataset}; 0 = do nothing")
    _right_of(axes, -0.75, "params", 1.02, weight="bold")
    _right_of(axes, -0.75, "gain", 1.16, weight="bold")
    caption = "Mean gain and 95 % interval over seeds and images; right of 0 is better."
    if any(name in highlight for name in shown):
        caption += f" Orange: {', '.join(labels.get(name, name) for name in highlight)}."
    return finished(study, stem, title, caption, "Forest plot: " + "; ".join(words) + ".", figure)


@house_style()
def curve(
    study: Study,
    *,
    stem: str,
    title: str,
    points: Mapping[str, str],
    dataset: str,
    heading: str,
) -> Drawing:
    """PSNR gain and time per image over an ordered choice, such as the number of scales.

    Args:
        points: variant -> its place's name on the horizontal axis, in order.
    """
    figure, grid = canvas(1, 2, height=3.2)
    gain_axes, time_axes = grid[0]
    words = []
    means, seconds = [], []
    for place, variant in enumerate(points):
        gain = study.difference(variant, BLURRED, dataset, "psnr")
        means.append(gain.mean)
        seconds.append(study.seconds_per_image(variant, dataset))
        if gain.known:
            gain_axes.plot([place, place], [gain.low, gain.high], color=BLUE, lw=2.2)
        words.append(f"{points[variant]}: {_decibels(gain.mean)}")
    gain_axes.plot(range(len(points)), means, "o-", color=BLUE, ms=7, lw=1.2)
    time_axes.bar(range(len(points)), np.nan_to_num(seconds), color=SKY, width=0.5)
    for place, value in enumerate(seconds):
        text = f"{value:.3g} s" if np.isfinite(value) else MISSING
        time_axes.text(place, np.nan_to_num(value), text, ha="center", va="bottom")
    for place, value in enumerate(means):
        if not np.isfinite(value):
            gain_axes.text(
                place, 0.5, MISSING, ha="center", color=GREY, style="italic",
                transform=gain_axes.get_xaxis_transform(),
            )  # fmt: skip
    for axes in (gain_axes, time_axes):
        axes.set_xticks(range(len(points)), list(points.values()))
        axes.set_xlim(-0.5, len(points) - 0.5)
        axes.set_xlabel(heading)
        axes.grid(axis="x", visible=False)
    gain_axes.set_title(f"PSNR gain over the blurred input (dB), {dataset}", loc="left")
    time_axes.set_title("seconds an image", loc="left")
    time_axes.margins(y=0.15)
    caption = "Mean gain with its 95 % interval over seeds and images, and the median time."
    return finished(study, stem, title, caption, f"{heading}: " + "; ".join(words) + ".", figure)


@house_style()
def training_curves(
    study: Study,
    *,
    stem: str,
    title: str,
    variants: Sequence[str],
    labels: Mapping[str, str],
) -> Drawing:
    """Validation PSNR over training time; `variants` (six at most) in colour, the others grey."""
    figure, grid = canvas(height=4.2)
    axes = grid[0, 0]
    named = [name for name in variants if name in study.variants][: len(COLOURS)]
    ends = []
    for variant in [*(name for name in study.variants if name not in named), *named]:
        chosen = variant in named
        colour = COLOURS[named.index(variant)] if chosen else PALE
        last = None
        for seed in study.seeds_asked(variant):
            log = study.validation_log(variant, seed)
            if log is not None and len(log):
                axes.plot(log["seconds"], log["psnr"], color=colour, lw=1.8 if chosen else 1.0)
                last = (float(log["seconds"].iloc[-1]), float(log["psnr"].iloc[-1]))
        if chosen and last is not None:
            ends.append((labels.get(variant, variant), colour, *last))
        elif chosen:
            ends.append((f"{labels.get(variant, variant)}: {MISSING}", GREY, np.nan, np.nan))
    for label, colour, _, _ in ends:
        axes.plot([], [], color=colour, lw=2.5, label=label)
    axes.plot([], [], color=PALE, lw=1.5, label="other variants")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=9.5)
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("validation PSNR (dB)")
    words = "; ".join(
        f"{label} ends at {psnr:.2f} dB" if np.isfinite(psnr) else label
        for label, _, _, psnr in ends
    )
    caption = "A line a seed. Time as measured on the machine of each run."
    return finished(study, stem, title, caption, f"Validation PSNR over time: {words}.", figure)


@house_style()
def differences(
    study: Study,
    *,
    stem: str,
    title: str,
    variants: Sequence[str],
    reference: str,
    dataset: str,
    labels: Mapping[str, str],
) -> Drawing:
    """Per-image PSNR differences from `reference`: a dot an image, the mean and its interval."""
    shown = [name for name in variants if name in study.variants and name != reference]
    figure, grid = canvas(height=1.2 + 0.36 * len(shown))
    axes = grid[0, 0]
    words = []
    for row, variant in enumerate(shown):
        values = study.image_differences(variant, reference, dataset, "psnr")
        interval = study.difference(variant, reference, dataset, "psnr")
        if not values.size:
            axes.text(0, row, f" {interval.note}", va="center", color=GREY, style="italic")
            words.append(f"{labels.get(variant, variant)} {interval.note}")
            continue
        spread = row + 0.26 * np.sin(np.arange(values.size) * 2.4)  # apart, the same every time
        axes.plot(values, spread, "o", color=SKY, ms=3.5, alpha=0.7, mew=0)
        if interval.known:
            axes.plot([interval.low, interval.high], [row, row], color=INK, lw=2.4)
        axes.plot(interval.mean, row, "D", color=INK, ms=5.5)
        words.append(f"{labels.get(variant, variant)} {interval.mean:+.2f} dB")
    axes.axvline(0, color=INK, lw=1.2, ls="--")
    axes.set_yticks(range(len(shown)), [labels.get(name, name) for name in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    against = labels.get(reference, reference)
    axes.set_xlabel(f"PSNR difference from {against} (dB), {dataset}; right is better")
    caption = "Dots: images, means over seeds. Diamond and bar: mean and 95 % interval."
    alt = f"PSNR differences from {against}: " + "; ".join(words) + "."
    return finished(study, stem, title, caption, alt, figure)


@house_style()
def losses(study: Study, *, stem: str, title: str, labels: Mapping[str, str]) -> Drawing:
    """Training losses, a small panel a variant: each step pale, a running mean in colour."""
    columns = 4
    rows = max(1, -(-len(study.variants) // columns))
    figure, grid = canvas(rows, columns, height=0.7 + 1.45 * rows, sharex=True, sharey=True)
    words = []
    for axes, variant in zip(grid.flat, study.variants, strict=False):
        axes.set_title(labels.get(variant, variant), fontsize=9, loc="left")
        logs = [study.training_log(variant, seed) for seed in study.seeds_asked(variant)]
        drawn = [log for log in logs if log is not None and len(log)]
        for log in drawn:
            axes.plot(log["step"], log["loss"], color=PALE, lw=0.7)
        for log in drawn:
            axes.plot(log["step"], _running_mean(log["loss"]), color=BLUE, lw=1.5)
        if not drawn:
            axes.text(
                0.5, 0.5, MISSING, transform=axes.transAxes, ha="center", color=GREY, style="italic"
            )
        words.append(f"{labels.get(variant, variant)} {_fall(drawn)}")
    for axes in list(grid.flat)[len(study.variants) :]:
        axes.set_axis_off()
    for axes in grid.flat:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.tick_params(labelsize=8)
    figure.supxlabel("step", fontsize=10)
    figure.supylabel("training loss", fontsize=10)
    caption = (
        "Pale: each logged step of each seed; blue: running mean. The loss is a sum over scales, "
        "so its height compares only between variants with as many scales."
    )
    return finished(study, stem, title, caption, "Losses: " + "; ".join(words) + ".", figure)


def _running_mean(values: pd.Series) -> pd.Series:
    window = max(1, len(values) // 15)
    return values.rolling(window, min_periods=1, center=True).mean()


def _fall(logs: Sequence[pd.DataFrame]) -> str:
    if not logs:
        return MISSING
    tenths = [max(1, len(log) // 10) for log in logs]
    first = np.mean([log["loss"][:n].mean() for log, n in zip(logs, tenths, strict=True)])
    last = np.mean([log["loss"][-n:].mean() for log, n in zip(logs, tenths, strict=True)])
    return f"from {first:.4f} to {last:.4f}"


def _right_of(axes: Axes, row: float | int, text: str, place: float, **options: Any) -> None:
    """`text` in a column right of the axes, in the height of `row`."""
    axes.text(
        place, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9.5,
        clip_on=False, **options,
    )  # fmt: skip


def _decibels(value: float) -> str:
    return f"{value:+.2f} dB" if np.isfinite(value) else MISSING


def finished(
    study: Study, stem: str, title: str, caption: str, alt: str, figure: Figure
) -> Drawing:
    """A finished drawing; a profile without evidence says so in the picture itself."""
    if study.warning:
        figure.suptitle(study.warning, x=0.01, ha="left", fontsize=9, color=ORANGE)
    return Drawing(stem, title, " ".join(filter(None, [study.warning, caption])), alt, figure)
