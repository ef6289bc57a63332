"""What the lessons of `notebooks/teach` need beside the library: sheets of pictures, and scores."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from reblur.datasets.catalogue.manifests import project_root
from reblur.datasets.images.files import to_uint8
from reblur.errors import ReblurError

GAP, TEXT = 8, 14  # pixels: between pictures, and the height of letters


def sheet(
    rows: Sequence[Sequence[Tensor | np.ndarray]],
    labels: Sequence[Sequence[str]] = (),
    zoom: int = 1,
) -> Image.Image:
    """Rows of pictures side by side, each pixel as `zoom` × `zoom` pixels, nothing resampled.

    Args:
        rows: tensors (3, h, w) in [0, 1], or arrays (h, w, 3) uint8.
        labels: a text below each picture; rows and texts may be missing.
    """
    arrays = [[p if isinstance(p, np.ndarray) else to_uint8(p) for p in row] for row in rows]
    shown = [[a.repeat(zoom, 0).repeat(zoom, 1) for a in row] for row in arrays]
    font = ImageFont.truetype(findfont("DejaVu Sans"), TEXT)  # comes with matplotlib, has Greek
    words = [list(labels[n]) if n < len(labels) else [] for n in range(len(shown))]
    count = max(len(row) for row in shown)
    ends = [[math.ceil(font.getlength(text)) for text in line] for line in words]
    widths = [
        GAP
        + max(
            [row[at].shape[1] for row in shown if at < len(row)]
            + [line[at] for line in ends if at < len(line) - 1]  # the last text may run on
        )
        for at in range(count)
    ]
    starts = [GAP + sum(widths[:at]) for at in range(count)]
    wide = max([sum(widths), *(starts[len(line) - 1] + line[-1] for line in ends if line)])
    tallest = [max(a.shape[0] for a in row) for row in shown]
    below = [GAP + (TEXT + GAP) * any(line) for line in words]
    canvas = Image.new("RGB", (wide + GAP, sum(tallest) + sum(below) + GAP), "white")
    draw, top = ImageDraw.Draw(canvas), GAP
    for row, line, height, space in zip(shown, words, tallest, below, strict=True):
        for x, array in zip(starts, row, strict=False):
            canvas.paste(Image.fromarray(array), (x, top + height - array.shape[0]))
        for x, text in zip(starts, line, strict=False):
            draw.text((x, top + height + space - TEXT - 2 * GAP), text, "black", font)
        top += height + space
    return canvas


def study_scores(chapter: str, profile: str = "cpu") -> pd.DataFrame | None:
    """The study's scores of a chapter, those of the blurred input included (seed -1), as one long
    frame: the run's fields, dataset, photograph, image, metric, value. None where there are none.
    """
    try:
        root = project_root() / "results" / profile
    except ReblurError:  # the lesson is read outside of the project
        return None
    found = []
    for path in sorted((root / "runs" / chapter).glob("*/seed_*/scores.csv")):
        run = json.loads((path.parent / "run.json").read_text(encoding="utf-8"))["run"]
        found.append(pd.read_csv(path).assign(**run))
    for path in sorted((root / "blurred" / chapter).rglob("scores.csv")):
        found.append(pd.read_csv(path).assign(variant="blurred", seed=-1))
    return pd.concat(found, ignore_index=True) if found else None
