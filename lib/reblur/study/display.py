"""What a notebook shows: tables and figures with links to their files, before/after sliders.

Each shows in JupyterLab as it is; `pages` gives it its looks in the report. The CSS classes:
`p.links`, `div.banner`, `div.slider > img.before, img.after` and further `img` to choose from.
"""

import base64
import html
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import HTML, display
from jaxtyping import UInt8
from PIL import Image

SIDE, QUALITY = 900, 84  # of a slider's pictures: the longest side in pixels, JPEG


def show(shown: Any, *files: str | Path, alt: str = "") -> None:
    """Display a table or a figure and, under it, links to the files that hold the same.

    Args:
        shown: what a notebook can display: a table, a matplotlib figure, a PIL image.
        files: paths below results/<profile>: the executed notebook and the page link to them.
        alt: what a picture shows, in words, for people who hear it.
    """
    kinds = ("image/png", "image/jpeg", "image/svg+xml") if alt else ()
    display(shown, metadata={kind: {"alt": alt} for kind in kinds})
    if files:
        display(links(*files))


def links(*files: str | Path) -> HTML:
    """A line of links to files below results/<profile>, from a folder beside them."""
    items = []
    for file in map(Path, files):
        inside = file.parts[file.parts.index("results") + 2 :] if "results" in file.parts else ()
        target = Path("..", *inside) if inside else file
        items.append(f'<a href="{html.escape(target.as_posix())}">{html.escape(str(file))}</a>')
    return HTML(f'<p class="links">{" · ".join(items)}</p>')


def banner(text: str) -> HTML:
    """A warning above everything else, such as that a profile's numbers are no evidence."""
    return HTML(f'<div class="banner" role="note">{html.escape(text)}</div>')


@dataclass(frozen=True)
class Slider:
    """Pictures of one scene, two at a time: it opens on `before` and `after`.

    Attributes:
        name: the scene, such as "reds_samples 003".
        views: label -> picture, all of one size; the labels may hold a score: "SRN · 27.31 dB".
        before: the label that opens on the left, in general the blurred input.
        after: the label that opens on the right, in general the method's own output.
    """

    name: str
    views: Mapping[str, UInt8[np.ndarray, "h w 3"]]
    before: str
    after: str

    def _repr_html_(self) -> str:
        pictures = []
        for label, picture in self.views.items():
            role = {self.before: "before", self.after: "after"}.get(label, "")
            kind = f'class="{role}"' if role else "hidden"
            shown, words = html.escape(label), html.escape(f"{self.name}, {label}")
            pictures.append(
                f'<img {kind} alt="{words}" data-label="{shown}" src="{_jpeg(picture)}" '
                'style="max-width:49%">'
            )
        height, width = next(iter(self.views.values())).shape[:2]
        shrunk = min(1.0, SIDE / max(height, width))
        note = f"{self.name}, {width} × {height} pixels" + (
            f", shown at {shrunk:.2f} of its size" if shrunk < 1 else ""
        )
        return (
            f'<div class="slider" data-name="{html.escape(self.name)}">{"".join(pictures)}'
            f'<p class="caption">{html.escape(note)}</p></div>'
        )


def _jpeg(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
