"""One HTML page, whole in itself, with a slider between each photograph and its restoration."""

import base64
import io
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from reblur.evaluation.deblurring import Restored
from reblur.files import write_text

SIDE = 1600  # longest side in pixels of a picture as it is shown whole
DETAIL = 640  # side of the part in the middle of a larger one, which is shown pixel for pixel

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Before and after</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1600px; padding: 0 1rem }
figure { margin: 0 0 2.5rem }
figcaption { overflow-wrap: anywhere }
.pair { position: relative; display: inline-block; max-width: 100%; line-height: 0; --at: 50% }
.pair img { display: block; max-width: 100%; height: auto }
.pair .before { position: absolute; inset: 0; width: 100%; height: 100%;
  clip-path: inset(0 calc(100% - var(--at)) 0 0) }
.pair::after { content: ""; position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px;
  background: #fff; box-shadow: 0 0 3px #000; pointer-events: none }
.pair input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize }
.pair:focus-within { outline: 3px solid #06c; outline-offset: 2px }
</style></head><body>
<h1>Before and after</h1>
<p>Drag across a picture, or use the arrow keys: the photograph is on the left of the line, its
restoration on the right.</p>
FIGURES
<script>
for (const slider of document.querySelectorAll(".pair input"))
  slider.addEventListener("input", () =>
    slider.parentElement.style.setProperty("--at", slider.value + "%"));
</script></body></html>
"""


class Page:
    """Collects pairs of pictures, as JPEGs, and writes them."""

    def __init__(self) -> None:
        self._figures: list[str] = []

    def add(self, name: str, restored: Restored) -> None:
        """Take one photograph: whole, and its middle pixel for pixel where that is smaller."""
        height, width = restored.after.shape[:2]
        share = min(1.0, SIDE / max(height, width))
        size = (max(1, round(width * share)), max(1, round(height * share)))
        whole = [_eight(image) for image in (restored.before, restored.after)]
        shown = [_data(image.resize(size, Image.Resampling.LANCZOS)) for image in whole]
        scale = "" if share == 1 else f", shown at {100 * share:.0f} %"
        self._figure(f"{name}: {width}×{height}{scale}", *shown, name)
        if share < 1:
            box_width, box_height = min(DETAIL, width), min(DETAIL, height)
            left, top = (width - box_width) // 2, (height - box_height) // 2
            box = (left, top, left + box_width, top + box_height)
            middle = [_data(image.crop(box)) for image in whole]
            self._figure(f"{name}: its middle, pixel for pixel", *middle, name)

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            ReblurError: the folder cannot be written, or the disk is full.
        """
        figures = "\n".join(self._figures) or "<p>Nothing was restored.</p>"
        write_text(path, _PAGE.replace("FIGURES", figures))

    def _figure(self, caption: str, before: str, after: str, name: str) -> None:
        text = escape(caption.encode(errors="replace").decode())
        label = escape(f"Slider between {name} before and after".encode(errors="replace").decode())
        self._figures.append(
            f'<figure><div class="pair"><img src="{after}" alt="restored">'
            f'<img class="before" src="{before}" alt="before">'
            f'<input type="range" min="0" max="100" value="50" step="0.5" aria-label="{label}">'
            f"</div><figcaption>{text}</figcaption></figure>"
        )


def _eight(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8))


def _data(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=92, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
