"""Pictures: panels pixel for pixel, and a slider to compare two versions of one photograph.

A panel is put together without resampling: a pixel of a crop is a pixel of the panel (100 %).
"""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from reblur.errors import ReblurError
from reblur.files import atomic_path
from reblur.study.analysis.scores import Which, matching
from reblur.study.rows import BLURRED

RGB = UInt8[np.ndarray, "_ _ 3"]
GAP, LETTERS = 6, 13  # pixels between pictures; height of the letters
WIDEST = 1600  # pixels of a panel
COLLAPSED = 1.0  # px: a map of the blur that stays below says that nothing is blurred
_MAPS = matplotlib.colormaps["viridis"]
_SIDES = (1280, 1080, 900, 760, 640, 520)  # long sides that a slider tries until it fits
_FRAME = (213, 94, 0)


@dataclass(frozen=True)
class Cell:
    """A picture of a panel and the lines under it; where there is none, a grey field."""

    picture: RGB | None
    text: str = ""
    box: tuple[int, int, int] | None = None  # (top, left, side) of a frame around a crop


@dataclass(frozen=True)
class Panel:
    """Pictures with their words; a notebook shows it as JPEG alone."""

    key: str
    title: str
    caption: str
    image: Image.Image

    def write(self, folder: Path) -> Path:
        """Write <folder>/<key>.jpg; returns its path."""
        path = Path(folder) / f"{self.key}.jpg"
        with atomic_path(path) as temporary:
            temporary.write_bytes(self._repr_jpeg_())
        return path

    def _repr_jpeg_(self) -> bytes:
        return _jpeg(self.image, quality=92)


def pick(
    scores: pd.DataFrame, which: Which, dataset: str, metric: str = "psnr"
) -> dict[str, tuple[str, float]]:
    """'best', 'median' and 'worst' → the image of that gain over the blurred input, and the gain,
    the mean over the seeds of one configuration. No picture has a say, only the scores.

    Raises:
        ReblurError: the configuration or the blurred input has no such scores.
    """
    rows = scores[(scores["dataset"] == dataset) & (scores["metric"] == metric)]
    ours = rows[matching(rows, which)]
    home = (rows["chapter"].isin(ours["chapter"])) & (rows["task"].isin(ours["task"]))
    blurred = rows[home & (rows["variant"] == BLURRED)].set_index("image")["value"]
    gains = (ours.groupby("image")["value"].mean() - blurred).replace(np.inf, np.nan).dropna()
    if gains.empty:
        raise ReblurError(f"{dataset}: {which} was not scored beside the blurred input; run it.")
    order = gains.sort_values(ascending=False, kind="stable")
    places = {"best": 0, "median": len(order) // 2, "worst": -1}
    return {word: (str(order.index[at]), float(order.iloc[at])) for word, at in places.items()}


def crop_window(blurred: RGB, sharp: RGB, side: int) -> tuple[int, int]:
    """(top, left) of the square in which the blur took most detail: the rule of every panel.

    Detail is the squared gradient of the grey image, summed over the square; what counts is the
    sharp image's less the blurred one's. No output of a network has a say. Ties: the first.
    """
    lost = _gradient_energy(sharp) - _gradient_energy(blurred)
    sums = np.pad(lost.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    window = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(window.argmax()), window.shape)
    return int(top), int(left)


def crops(
    blurred: RGB,
    sharp: RGB,
    restored: Mapping[str, RGB | None],
    psnr: Mapping[str, float],
    side: int = 192,
) -> list[Cell]:
    """A row of a panel: the blurred input with the crop framed, then the crop of it, of each
    restoration and of the sharp photograph, with the PSNR of the whole image under each.

    Args:
        restored: name for people → image; None where its weights are not here.
        psnr: name (and 'blurred input') → dB.
        side: of the crop in pixels.
    """
    side = min(side, *blurred.shape[:2])
    top, left = crop_window(blurred, sharp, side)
    named = {"blurred input": blurred, **restored, "sharp": sharp}
    row = [Cell(blurred, "", (top, left, side))]
    for name, image in named.items():
        score = f"\n{psnr[name]:.2f} dB" if name in psnr else ""
        if image is None:
            row.append(Cell(None, f"{name}\nno weights here"))
        else:
            row.append(Cell(image[top : top + side, left : left + side], name + score))
    return row


def map_cell(values: Float[np.ndarray, "h w"], top: float, name: str = "") -> Cell:
    """A map of the blur's size in pixels in colour, from 0 to `top`; one that has collapsed, which
    is below a pixel nearly everywhere, says so."""
    largest = float(np.percentile(values, 99))
    lost = largest < COLLAPSED
    word = f"collapsed: below {COLLAPSED:g} px" if lost else f"up to {largest:.1f} px"
    colours = _MAPS(np.clip(values / top, 0, 1))[..., :3]
    return Cell((colours * 255).round().astype(np.uint8), f"{name}\n{word}".strip())


def panel(
    rows: Sequence[Sequence[Cell]],
    *,
    key: str,
    title: str,
    caption: str = "",
    labels: Sequence[str] = (),
    side: int = 256,
) -> Panel | None:
    """Rows of pictures, pixel for pixel, their texts under them; None without a picture.

    Args:
        labels: a heading for each row.
        side: of a cell; a larger picture is made smaller, one of less than half is enlarged by a
            whole factor, pixel by pixel. Smaller where the panel would be wider than WIDEST.
    """
    if not any(cell.picture is not None for row in rows for cell in row):
        return None
    side = min(side, WIDEST // max(len(row) for row in rows) - GAP)
    font = ImageFont.truetype(
        str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), LETTERS
    )
    shown = [[_fitted(cell, side) for cell in row] for row in rows]
    columns = range(max(len(row) for row in rows))
    widths = [max(row[at].width for row in shown if at < len(row)) for at in columns]
    texts = [
        [_wrapped(cell.text, font, width) for cell, width in zip(row, widths, strict=False)]
        for row in rows
    ]
    line, above = LETTERS + 4, LETTERS + 4 + GAP if labels else 0
    heights = [
        above + GAP + max(i.height + line * len(t) for i, t in zip(images, words, strict=True))
        for images, words in zip(shown, texts, strict=True)
    ]
    sheet = Image.new("RGB", (sum(widths) + GAP * len(widths), sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (images, words) in enumerate(zip(shown, texts, strict=True)):
        x, y = 0, sum(heights[:number])
        if labels:
            draw.text((0, y + 3), labels[number], "black", font)
        for image, lines, width in zip(images, words, widths, strict=False):
            sheet.paste(image, (x, y + above))
            for place, text in enumerate(lines):
                draw.text((x, y + above + image.height + line * place), text, "black", font)
            x += width + GAP
    return Panel(key, title, caption, sheet)


def contact_sheet(
    rows: Sequence[Sequence[RGB]], labels: Sequence[str], names: Sequence[str] = ()
) -> Panel | None:
    """Rows of pictures for an overview, a label above each row, and names below the last one; tiny
    pictures are enlarged by a whole factor, large ones made smaller. None without a picture."""
    cells = [[Cell(picture) for picture in row] for row in rows]
    if names:
        cells[-1] = [Cell(picture, name) for picture, name in zip(rows[-1], names, strict=True)]
    return panel(cells, key="", title="", labels=labels, side=220)


def slider(
    images: Mapping[str, RGB],
    *,
    key: str,
    opens_on: str,
    against: str = "blurred input",
    psnr: Mapping[str, float] | None = None,
    bytes_at_most: int = 600_000,
) -> str:
    """A before/after slider as one piece of HTML: JPEGs inside, moved by mouse, finger or keys.

    Args:
        images: name → version of one photograph, all of one size.
        opens_on: the name at the right of the seam at first; `against`: at its left.
        psnr: name → dB, printed beside the name.
        bytes_at_most: of all JPEGs together; the images are made smaller until they fit.

    Raises:
        ReblurError: `opens_on` or `against` is not among the images.
    """
    for name in (opens_on, against):
        if name not in images:
            raise ReblurError(f"{name}: no such image for the slider; it has {', '.join(images)}.")
    for side in _SIDES:
        data = {name: _jpeg(_thumbnail(image, side), quality=84) for name, image in images.items()}
        if sum(map(len, data.values())) <= bytes_at_most:
            break
    coded = {name: base64.b64encode(jpeg).decode() for name, jpeg in data.items()}
    uris = {name: f"data:image/jpeg;base64,{text}" for name, text in coded.items()}
    others = {name: uri for name, uri in uris.items() if name not in (opens_on, against)}
    script = json.dumps(others).replace("<", "\\u003c")  # a name cannot end the script
    known = psnr or {}
    words = {n: f"{n} ({known[n]:.2f} dB)" if n in known else n for n in images}

    def choice(end: str, chosen: str) -> str:
        options = "".join(
            f'<option value="{html.escape(name)}"{" selected" * (name == chosen)}>'
            f"{html.escape(words[name])}</option>"
            for name in images
        )
        return f'<select data-end="{end}" aria-label="{end} image">{options}</select>'

    return (
        f'<figure class="slider" id="slider-{html.escape(key)}">'
        f"<div>{choice('left', against)}{choice('right', opens_on)}</div>"
        '<div style="position:relative;display:inline-block;max-width:100%">'
        f'<img data-end="right" alt="{html.escape(opens_on)}" src="{uris[opens_on]}" '
        'style="display:block;max-width:100%">'
        f'<img data-end="left" alt="{html.escape(against)}" src="{uris[against]}" '
        'style="position:absolute;inset:0;max-width:100%;clip-path:inset(0 50% 0 0)">'
        '</div><input type="range" min="0" max="100" value="50" style="display:block;width:100%" '
        'aria-label="place of the seam">'
        f"<script>{_SCRIPT % (json.dumps(f'slider-{key}'), script)}</script></figure>"
    )


_SCRIPT = """(() => {
const root = document.getElementById(%s), uris = %s, seam = root.querySelector("input");
const image = end => root.querySelector(`img[data-end=${end}]`);
const move = () => { image("left").style.clipPath = `inset(0 ${100 - seam.value}%% 0 0)`; };
seam.addEventListener("input", move);
const boxes = root.querySelectorAll("select");
boxes.forEach(box => { uris[box.value] = image(box.dataset.end).src; });
boxes.forEach(box => box.addEventListener("change", () => {
  image(box.dataset.end).src = uris[box.value]; image(box.dataset.end).alt = box.value;
}));
const drag = event => {
  const area = image("right").getBoundingClientRect();
  seam.value = 100 * (event.clientX - area.left) / area.width; move();
};
image("right").parentNode.addEventListener("pointermove", event => event.buttons && drag(event));
image("right").parentNode.addEventListener("pointerdown", drag);
image("right").parentNode.addEventListener("dragstart", event => event.preventDefault());
})()"""


def _gradient_energy(image: np.ndarray) -> np.ndarray:
    down, right = np.gradient(image.astype(np.float64).mean(axis=2))
    return down**2 + right**2


def _fitted(cell: Cell, side: int) -> Image.Image:
    if cell.picture is None:
        return Image.new("RGB", (side // 2, side // 2), "#D9D9D9")
    image = Image.fromarray(cell.picture)
    if cell.box is not None:
        top, left, crop = cell.box
        width = max(2, max(image.size) // 120)
        ends = (left, top, left + crop - 1, top + crop - 1)
        ImageDraw.Draw(image).rectangle(ends, outline=_FRAME, width=width)
    if (factor := side // max(image.size)) > 1:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _thumbnail(image: RGB, side: int) -> Image.Image:
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """The text in lines of at most `width` pixels where its spaces allow; [] of no text."""
    lines: list[str] = []
    for given in text.split("\n") if text else []:
        lines.append("")
        for word in given.split(" "):
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and font.getlength(longer) > width:
                lines.append(word)
            else:
                lines[-1] = longer
    return lines


def _jpeg(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()
