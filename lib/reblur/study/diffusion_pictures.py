"""Pictures of chapter 3: what each DDPM learned, and pairs before and after."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

from reblur.datasets.images.files import read_image
from reblur.study.comparisons import DASH
from reblur.study.diffusion_results import (
    DRAWN,
    INITIAL,
    ORACLE,
    TASKS,
    best_of,
    choice_in_words,
    data_folder,
    in_order,
    source_of,
    start_of,
    task_of,
)
from reblur.study.figures import (
    AMBER,
    BLUE,
    GREY,
    PALE,
    Drawing,
    canvas,
    finished,
    house_style,
)
from reblur.study.results import Study, read_csv
from reblur.study.tables import MISSING

KINDS = {"target": "target", "start": "layout", "sample": "DDPM's\ndrawing"}
PATCHES = 6  # of each kind
PAIRS = 2  # high-quality images a task
REAL = 2  # real images a task
SIDE = 256  # pixels of a high-quality image that are shown at most, around its middle
HIGH = "high"

Picture = UInt8[np.ndarray, "_ _ 3"]


def sample_files(study: Study, task: str) -> dict[str, list[Path]]:
    """Kind -> the files of what a DDPM learned that are shown; without those that are missing."""
    folder = data_folder(study) / task / "samples"
    return {kind: sorted((folder / kind).glob("*.png"))[:PATCHES] for kind in KINDS}


def example_files(study: Study, task: str) -> dict[str, dict[str, Path]]:
    """Name of a high-quality image -> column -> file, of those of the pairs' figure."""
    folder = data_folder(study) / task / "examples"
    names = [path.name for path in sorted((folder / HIGH).glob("*.png"))[:PAIRS]]
    return {
        name: {
            column: folder / column / name
            for column in pair_columns(study, [task])
            if (folder / column / name).is_file()
        }
        for name in names
    }


def pair_columns(study: Study, tasks: Sequence[str]) -> list[str]:
    """Columns of the pairs' figure: high, the camera's, the initial, refined by t₀."""
    asked = in_order([source_of(arm) for arm in study.variants if task_of(arm) in tasks])
    camera = [ORACLE] if ORACLE in asked else []
    refined = [name for name in asked if start_of(name) is not None or name == DRAWN]
    return [HIGH, *camera, INITIAL, *refined]


@house_style()
def learned(study: Study, *, stem: str, title: str, tasks: Sequence[str]) -> Drawing:
    """A row a task: the DDPM's loss, and patches of the target, their layouts and its drawings."""
    rows = max(1, len(tasks))
    figure, grid = canvas(rows, 2, height=0.7 + 2.45 * rows, width_ratios=[1.0, 2.3])
    words = []
    for (chart, pictures), task in zip(grid, tasks, strict=False):
        name = TASKS.get(task, task)
        chart.set_title(name, loc="left")
        words.append(f"{name}: loss {_loss(chart, data_folder(study) / task / 'denoiser')}")
        files = sample_files(study, task)
        sheet = _sheet([[read_image(path) for path in paths] for paths in files.values()])
        show(pictures, sheet)
        if sheet is not None:
            counts = [len(paths) for paths in files.values()]
            middles = [(i + 0.5) * sheet.shape[0] / len(KINDS) for i in range(len(KINDS))]
            labels = [
                word if count else f"{word}:\n{MISSING}"
                for word, count in zip(KINDS.values(), counts, strict=True)
            ]
            pictures.set_yticks(middles, labels, fontsize=9)
            pictures.tick_params(length=0)
            words.append(f"{max(counts)} patches, layouts and drawings")
    grid[-1, 0].set_xlabel("step")
    if not tasks:
        show(grid[0, 0], None)
        show(grid[0, 1], None)
    caption = (
        "Left: training loss (mean squared error of the predicted noise), each logged step pale "
        "and a running mean. Right, column by column: a patch of the target's low-quality images; "
        "its layout, what is left of it in 4 × 4 means; and what the DDPM draws from that layout "
        "noised to its largest step. The drawing should share the target's texture, not its "
        "content."
    )
    return finished(study, stem, title, caption, "; ".join(words) + ".", figure)


def _loss(axes: Axes, folder: Path) -> str:
    """Draw a DDPM's loss; returns in words how it fell."""
    if not (folder / "log.csv").is_file():
        show(axes, None)
        axes.set_aspect("auto")
        return MISSING
    log = read_csv(folder / "log.csv")
    window, tenth = max(1, len(log) // 15), max(1, len(log) // 10)
    smooth = log["loss"].rolling(window, min_periods=1, center=True).mean()
    axes.plot(log["step"], log["loss"], color=PALE, lw=0.8)
    axes.plot(log["step"], smooth, color=BLUE, lw=1.6)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=8.5)
    axes.set_ylabel("loss", fontsize=9)
    first, last = log["loss"][:tenth].mean(), log["loss"][-tenth:].mean()
    return f"from {first:.4f} to {last:.4f}"


def _sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray | None:
    """Rows of pictures of one size as one picture, white between; None where there is none."""
    shapes = [picture.shape for row in rows for picture in row]
    if not shapes:
        return None
    side = max(max(shape[:2]) for shape in shapes)
    gap = max(1, side // 16)
    cell = side + gap
    sheet = np.full((len(rows) * cell, PATCHES * cell, 3), 255, np.uint8)
    for number, row in enumerate(rows):
        for column, picture in enumerate(row):
            height, width = picture.shape[:2]
            top, left = number * cell + gap // 2, column * cell + gap // 2
            sheet[top : top + height, left : left + width] = picture
    return sheet


@house_style()
def pairs(
    study: Study, *, stem: str, title: str, tasks: Sequence[str], rule: Mapping[str, Any]
) -> Drawing:
    """The low-quality side of a few images by source, two rows a task, each t₀ a column."""
    columns = pair_columns(study, tasks)
    found = [
        (task, name, files)
        for task in tasks
        for name, files in (example_files(study, task) or {MISSING: {}}).items()
    ]
    rows = max(1, len(found))
    cell = 8.0 / len(columns)
    figure, grid = canvas(rows, len(columns), height=0.7 + (cell + 0.06) * rows)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)
    headings = {HIGH: "high", ORACLE: "true camera", INITIAL: "initial\n(softened)"}
    headings[DRAWN] = "refined\nt₀ drawn"
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(headings.get(column, f"refined\nt₀ = {start_of(column)}"), fontsize=9)
    for axes_row, (task, _, files) in zip(grid, found, strict=False):
        asked = pair_columns(study, [task])
        size = read_image(files[HIGH]).shape[0] if files else 0
        for axes, column in zip(axes_row, columns, strict=True):
            picture = read_image(files[column]) if column in files else None
            scale = 1 if picture is None else max(1, round(size / picture.shape[0]))
            word = MISSING if column in asked else DASH
            show(axes, None if picture is None else _middle(picture, SIDE // scale), word)
            if column == best_of(study, task, rule):
                axes.set_frame_on(True)
                for spine in axes.spines.values():
                    spine.set(visible=True, color=AMBER, linewidth=3)
        axes_row[0].set_ylabel(TASKS.get(task, task).replace(" ", "\n"), fontsize=8.5)
    for axes in list(grid.flat)[len(found) * len(columns) :]:
        show(axes, None)
    chosen = [f"{TASKS.get(t, t)}: {choice_in_words(study, t, rule)}" for t in tasks]
    caption = (
        "Low-quality sides at their own size, enlarged without interpolation; of large images the "
        f"middle {SIDE} px of the high-quality side. Initial: the softened hand-made degradation "
        "that refinement starts from. True camera: what only the oracle's training sees. Framed: "
        f"the t₀ that the rule chose; {'; '.join(chosen)}."
    )
    alt = "Pictures: " + "; ".join(
        f"{TASKS.get(task, task)} {Path(name).stem}: {', '.join(files) or '–'}"
        for task, name, files in found
    )
    return finished(study, stem, title, caption, f"{alt or MISSING}.", figure)


def _middle(picture: Picture, side: int) -> Picture:
    top, left = (max(0, (length - side) // 2) for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def show(axes: Axes, picture: np.ndarray | None, word: str = MISSING) -> None:
    """A picture without ticks or frame, or in its place `word`."""
    if picture is None:
        axes.text(
            0.5, 0.5, word, transform=axes.transAxes, ha="center", va="center", fontsize=8,
            color=GREY, style="italic",
        )  # fmt: skip
        axes.set_aspect("equal")
    else:
        axes.imshow(picture, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
