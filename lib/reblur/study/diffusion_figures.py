"""Charts of chapter 3: distance against drift, and what each source of pairs is worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from reblur.study.diffusion_results import (
    CLEAN,
    DRAWN,
    HANDMADE,
    INITIAL,
    ORACLE,
    TARGET,
    TASKS,
    arms_of,
    best_of,
    best_source,
    choice_in_words,
    distance_of,
    drift_of,
    in_order,
    metric_name,
    read_distances,
    read_drift,
    restorer_of,
    source_name,
    source_of,
    start_of,
    task_of,
)
from reblur.study.diffusion_tables import rule_words
from reblur.study.figures import (
    AMBER,
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PINK,
    Drawing,
    canvas,
    finished,
    house_style,
)
from reblur.study.results import BLURRED, Study
from reblur.study.tables import MISSING

MARKERS = "osD^vP"

#: How a source that is not refined is drawn: colour and marker.
LOOKS = {
    CLEAN: (PINK, "s"),
    HANDMADE: (ORANGE, "D"),
    INITIAL: (AMBER, "o"),
    DRAWN: (BLUE, "*"),
    ORACLE: (GREEN, "P"),
}


@house_style()
def tradeoff(
    study: Study, *, stem: str, title: str, tasks: Sequence[str], rule: Mapping[str, Any]
) -> Drawing:
    """Distance to the target against drift of the content, a panel a task, a point a source.

    The refined sources are joined in the order of t₀; the floor is a line across, the rule's bound
    a line up, its choice ringed.
    """
    figure, panels = _panels(tasks, height=3.5)
    metric = rule["metric"]
    words = []
    for axes, task in zip(panels, tasks, strict=False):
        distances, drift = read_distances(study, task), read_drift(study, task)
        best = best_source(distances, drift, rule)
        places = _places(distances, drift, metric)
        chosen = choice_in_words(study, task, rule)
        axes.set_title(f"{TASKS.get(task, task)}\n", loc="left")
        axes.text(
            0, 1.03, f"rule: {chosen}" if places else "", transform=axes.transAxes, fontsize=8.5,
            color=GREY,
        )  # fmt: skip
        if not places:
            _absent(axes)
            words.append(f"{TASKS.get(task, task)}: {MISSING}")
            continue
        floor = distance_of(distances, TARGET, metric)
        _draw_places(axes, places, best, floor)
        bound = rule["content_drift"]
        axes.axvspan(bound, 1, color=PALE, alpha=0.35, lw=0, zorder=0)
        axes.axvline(bound, color=GREY, lw=1, ls=":")
        moves = [x for x, _ in places.values() if np.isfinite(x)]
        axes.set_xlim(-0.06 * max([*moves, bound]), 1.2 * max([*moves, bound]))
        heights = [y for _, y in places.values()] + [floor] * bool(np.isfinite(floor))
        room = max(max(heights) - min(heights), 1e-9)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.tick_params(labelsize=9)
        axes.set_ylim(min(heights) - 0.1 * room, max(heights) + 0.14 * room)
        points = ", ".join(
            f"{source_name(s)} {y:.4f} at drift {x:.4f}" for s, (x, y) in places.items()
        )
        words.append(f"{TASKS.get(task, task)}: floor {floor:.4f}, {points}; {chosen}")
    for axes in panels[-_columns(len(tasks)) :]:
        axes.set_xlabel("content drift (RMSE)")
    for axes in panels[:: _columns(len(tasks))]:
        axes.set_ylabel(f"distance to the target ({metric_name(metric)})")
    _legend_below(figure, _tradeoff_keys(study))
    caption = (
        "A point is a source of training pairs: how far its low-quality images are from those of "
        "the target domain, and how far their content has moved from the softened images that "
        "refinement starts from. Lower and further left is better; what keeps the oracle, whose "
        "images are the true camera's, from the floor is other content, and chance. "
        f"{rule_words(rule)} Grey: beyond the rule's bound. The distance of two sets of images has "
        "no interval; those of the drift stand in the table. Axes differ between panels."
    )
    return finished(study, stem, title, caption, "; ".join(words) + ".", figure)


def _places(
    distances: pd.DataFrame, drift: pd.DataFrame, metric: str
) -> dict[str, tuple[float, float]]:
    """source -> (mean content drift, NaN where unknown; distance), of those with a distance."""
    found = {}
    for source in in_order([name for name in distances["source"] if name != TARGET]):
        distance = distance_of(distances, source, metric)
        if np.isfinite(distance):
            found[source] = (drift_of(drift, source).mean, distance)
    return found


def _draw_places(
    axes: Axes, places: Mapping[str, tuple[float, float]], best: str | None, floor: float
) -> None:
    refined = {start_of(s): place for s, place in places.items() if start_of(s) is not None}
    if INITIAL in places:  # t₀ = 0 is no refinement
        refined = {0: places[INITIAL], **refined}
    if refined:
        axes.plot(*zip(*refined.values(), strict=True), color=BLUE, lw=1.3, zorder=2)
    if np.isfinite(floor):
        axes.axhline(floor, color=INK, lw=1.2, ls="--")
    for source, (x, y) in places.items():
        start = start_of(source)
        colour, marker = LOOKS.get(source, (BLUE, "o"))
        if not np.isfinite(x):
            axes.axhline(y, color=colour, lw=1, ls="-.")
            continue
        axes.plot(x, y, marker, color=colour, ms=6.5, zorder=3, clip_on=False)
        if start is not None:
            axes.annotate(
                str(start), (x, y), (0, 10 if source == best else 6), textcoords="offset points",
                ha="center", fontsize=8.5, color=BLUE, zorder=5,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )  # fmt: skip
        if source == best:
            axes.plot(x, y, "o", mfc="none", mec=INK, ms=13, mew=1.6, zorder=4, clip_on=False)


def _tradeoff_keys(study: Study) -> list[Line2D]:
    keys = [
        Line2D([], [], color=colour, marker=marker, ls="", ms=6.5, label=source_name(source))
        for source, (colour, marker) in LOOKS.items()
        if source in {INITIAL, *map(source_of, study.variants)}
    ]
    return [
        *keys,
        Line2D([], [], color=BLUE, marker="o", ms=6.5, label="refined from t₀ (number)"),
        Line2D([], [], color=INK, ls="--", label="floor"),
        Line2D([], [], mfc="none", mec=INK, marker="o", ls="", ms=12, mew=1.6, label="best t₀"),
        Line2D([], [], color=GREY, ls=":", label="bound of the rule"),
    ]


@house_style()
def gains_by_source(
    study: Study, *, stem: str, title: str, variants: Sequence[str], rule: Mapping[str, Any]
) -> Drawing:
    """PSNR gain over doing nothing by source of pairs, a panel a task, a colour a restorer."""
    asked = [variant for variant in variants if arms_of(study, variant)]
    tasks = list(dict.fromkeys(task_of(variant) for variant in asked))
    sources = in_order([source_of(arm) for variant in asked for arm in arms_of(study, variant)])
    restorers = list(dict.fromkeys(restorer_of(variant) for variant in asked))
    height = 1.2 + 0.3 * len(sources) + 0.06 * len(sources) * len(restorers)
    figure, panels = _panels(tasks, height=height, sharey=True)
    words = []
    for axes, task in zip(panels, tasks, strict=False):
        axes.set_title(TASKS.get(task, task), loc="left")
        best = best_of(study, task, rule)
        if best in sources:
            axes.axhspan(*_around(sources.index(best)), color=PALE, alpha=0.5, lw=0, zorder=0)
        here = [variant for variant in asked if task_of(variant) == task]
        for number, variant in enumerate(here):
            name = restorer_of(variant)
            place = restorers.index(name)
            offset = 0.7 * ((number + 0.5) / len(here) - 0.5)
            for arm in arms_of(study, variant):
                row = sources.index(source_of(arm)) + offset
                label = f"{TASKS.get(task, task)}, {name}, {source_name(source_of(arm))}"
                words.append(f"{label} {_gain(axes, study, arm, row, place)}")
        axes.axvline(0, color=INK, lw=1.2, ls="--")
        axes.set_ylim(len(sources) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("PSNR gain (dB)")
    panels[0].set_yticks(range(len(sources)), [source_name(source) for source in sources])
    keys = [
        Line2D([], [], color=_look(i)[0], marker=_look(i)[1], ls="", ms=6.5, label=name)
        for i, name in enumerate(restorers)
    ]
    if not tasks:
        _absent(panels[0])
    _legend_below(figure, keys)
    caption = (
        "Mean gain over doing nothing and 95 % interval over seeds and images, by where the "
        "training pairs come from; right of 0 is better than doing nothing. Grey band: the t₀ that "
        "the rule chose, which knows no restorer. An empty row was not asked for. Axes "
        "differ between panels."
    )
    return finished(study, stem, title, caption, "; ".join(words) + ".", figure)


def _gain(axes: Axes, study: Study, arm: str, row: float, place: int) -> str:
    """Draw an arm's gain at a height; returns it in words."""
    gain = study.difference(arm, BLURRED, task_of(arm), "psnr")
    if not gain.images:
        axes.text(
            0.02, row, gain.note, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5,
            color=GREY, style="italic",
        )  # fmt: skip
        return gain.note
    colour, marker = _look(place)
    if gain.known:
        axes.plot([gain.low, gain.high], [row, row], color=colour, lw=2)
    axes.plot(gain.mean, row, marker, color=colour, ms=6)
    return f"{gain.mean:+.2f} dB"


def _look(place: int) -> tuple[str, str]:
    return COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]


def _around(row: int) -> tuple[float, float]:
    return row - 0.45, row + 0.45


def _columns(panels: int) -> int:
    """Panels side by side: three, but two where that fills two rows."""
    return 2 if panels == 4 else max(1, min(3, panels))


def _panels(tasks: Sequence[str], *, height: float, **options: Any) -> tuple[Any, list[Axes]]:
    """A panel a task, `_columns` of them side by side; `height` inches a row."""
    columns = _columns(len(tasks))
    rows = max(1, -(-len(tasks) // columns))
    figure, grid = canvas(rows, columns, height=height * rows + 0.6, **options)
    for axes in list(grid.flat)[max(1, len(tasks)) :]:
        axes.set_axis_off()
    return figure, list(grid.flat)[: max(1, len(tasks))]


def _absent(axes: Axes) -> None:
    axes.text(0.5, 0.5, MISSING, transform=axes.transAxes, ha="center", color=GREY, style="italic")
    axes.set_xticks([])
    axes.set_yticks([])


def _legend_below(figure: Any, keys: Sequence[Line2D]) -> None:
    if len(keys) > 1:
        figure.legend(
            handles=list(keys), loc="outside lower center", ncols=min(4, len(keys)), fontsize=9
        )
