"""What the lessons of `notebooks/teach` need beside the library: sheets of pictures, and scores."""

import json
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
    cell = max(a.shape[1] for row in shown for a in row) + GAP
    heights = [max(a.shape[0] for a in row) + GAP for row in shown]
    heights = [h + (TEXT + GAP) * any(labels[n : n + 1]) for n, h in enumerate(heights)]
    columns = max(len(row) for row in shown)
    canvas = Image.new("RGB", (columns * cell + GAP, sum(heights) + GAP), "white")
    draw, top = ImageDraw.Draw(canvas), GAP
    font = ImageFont.truetype(findfont("DejaVu Sans"), TEXT)  # comes with matplotlib, has Greek
    for n, row in enumerate(shown):
        for column, array in enumerate(row):
            canvas.paste(Image.fromarray(array), (GAP + column * cell, top))
        for column, text in enumerate(labels[n] if n < len(labels) else ()):
            draw.text((GAP + column * cell, top + heights[n] - TEXT - 2 * GAP), text, "black", font)
        top += heights[n]
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
