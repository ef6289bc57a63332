"""What figures and pictures are made with: style, canvas, small multiples, a `Drawing`."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from reblur.files import atomic_path

DPI = 160
WIDTH, TALLEST = 8.6, 10.0  # inches: 1,376 × at most 1,600 pixels
INK, GREY, PALE = "#222222", "#777777", "#D9D9D9"
HALO = [withStroke(linewidth=2.5, foreground="white")]  # of words that stand over lines


@dataclass(frozen=True)
class Drawing:
    """A figure with its words."""

    key: str
    title: str
    caption: str
    figure: Figure

    def write(self, folder: Path) -> Path:
        """Write <folder>/<key>.png; returns its path. The same figure gives the same bytes."""
        path = Path(folder) / f"{self.key}.png"
        with house_style(), atomic_path(path) as temporary:
            metadata = {"Software": None, "Title": self.title}
            self.figure.savefig(temporary, dpi=DPI, metadata=metadata)
        return path

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        stream = io.BytesIO()
        with house_style():
            self.figure.savefig(stream, format="png", dpi=DPI * 3 // 4)
        return stream.getvalue()


@contextmanager
def house_style() -> Iterator[None]:
    """seaborn's white grid and colour-blind palette, whatever a notebook has set."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        more = {"font.family": "DejaVu Sans", "axes.titlelocation": "left", "axes.titlesize": 10.5}
        sns.set_theme("notebook", "whitegrid", "colorblind", font_scale=0.85, rc=more)
        more = {"legend.frameon": False, "text.color": INK, "grid.linewidth": 0.7}
        matplotlib.rcParams.update({**more, "axes.linewidth": 0.8, "grid.color": "#E4E4E4"})
        yield


def canvas(
    rows: int = 1, columns: int = 1, *, height: float, **options: Any
) -> tuple[Figure, np.ndarray]:
    """An empty figure, at most TALLEST high, and its (rows, columns) axes."""
    figure = Figure(figsize=(WIDTH, min(height, TALLEST)), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def known(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return rows[np.isfinite(rows[list(columns)].astype(float)).all(axis=1)]


def unique(rows: pd.DataFrame, column: str) -> list[Any]:
    """The values of a column in their order; [None] where there is no such column."""
    return list(dict.fromkeys(rows[column])) if column in rows else [None]


def rows_of(rows: pd.DataFrame, column: str, value: Any) -> pd.DataFrame:
    return rows if value is None or column not in rows else rows[rows[column] == value]


def small_multiples(
    panels: Sequence[Any], *, height: float, most: int, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Axes a panel, as many beside each other as fit: no more than are filled."""
    columns = min(most, len(panels))
    count = math.ceil(len(panels) / columns)
    figure, grid = canvas(count, columns, height=height * count + 0.5, **options)
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    return figure, list(grid.flat)[: len(panels)]


def legend_below(figure: Figure, axes: Axes, entries: int) -> None:
    handles, words = axes.get_legend_handles_labels()
    if entries > 1:
        figure.legend(handles, words, loc="outside lower center", ncols=min(4, entries))


def seeds_in_words(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def seeds_each(rows: pd.DataFrame) -> str:
    counts = rows["seeds"].unique() if "seeds" in rows else []
    return f", {seeds_in_words(int(counts[0]))} each" if len(counts) == 1 and counts[0] else ""
