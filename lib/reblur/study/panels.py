"""Pictures: the qualitative panel with zoomed crops, and the images of the report's slider."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from reblur.datasets.images.files import read_image
from reblur.files import atomic_path
from reblur.study.figures import AMBER, GREY, WIDTH, Drawing, finished, house_style
from reblur.study.provenance import write_provenance
from reblur.study.results import BLURRED, Study, run_folder
from reblur.study.tables import MISSING

SLIDER = "slider"
_SIDES = (1280, 1080, 900, 760, 640, 520)  # long sides that are tried until the images fit
_QUALITY = 86
_BYTES = 1_900_000  # of all images of a slider, so that the page stays below 5 MB


@dataclass(frozen=True)
class Example:
    """A test pair and what the variants made of it.

    Attributes:
        restored: variant -> image; None where the run or its image is missing.
        psnr: variant (and 'blurred') -> PSNR in dB of the whole image, as it was scored.
        files: the files that were read.
    """

    dataset: str
    image: str
    blurred: UInt8[np.ndarray, "h w 3"]
    sharp: UInt8[np.ndarray, "h w 3"]
    restored: dict[str, np.ndarray | None]
    psnr: dict[str, float]
    files: list[Path] = field(default_factory=list)


def read_example(
    study: Study,
    dataset: str,
    image: str,
    blurred: UInt8[np.ndarray, "h w 3"],
    sharp: UInt8[np.ndarray, "h w 3"],
    variants: Sequence[str],
) -> Example:
    """A pair with the restored images of the first seed of each variant that kept one."""
    restored: dict[str, np.ndarray | None] = {}
    psnr = {BLURRED: _score(study, BLURRED, -1, dataset, image)}
    files = []
    for variant in variants:
        restored[variant] = None
        for seed in study.seeds_asked(variant):
            path = run_folder(study.root, variant, seed) / "restored" / dataset / f"{image}.png"
            if path.exists():
                restored[variant] = read_image(path)
                psnr[variant] = _score(study, variant, seed, dataset, image)
                files.append(path)
                break
    return Example(dataset, image, blurred, sharp, restored, psnr, files)


def _score(study: Study, variant: str, seed: int, dataset: str, image: str) -> float:
    scores = study.scores
    row = scores[
        (scores["variant"] == variant)
        & (scores["seed"] == seed)
        & (scores["dataset"] == dataset)
        & (scores["image"] == image)
    ]
    return float(row["psnr"].iloc[0]) if len(row) else float("nan")


def crop_window(
    blurred: UInt8[np.ndarray, "h w 3"], sharp: UInt8[np.ndarray, "h w 3"], side: int
) -> tuple[int, int]:
    """(top, left) of the square in which the blur took most detail: the rule of every panel.

    Detail is the squared gradient of the grey image, summed over the square; what counts is the
    sharp image's less the blurred one's. No output of a network has a say. Ties: the first.
    """
    lost = _gradient_energy(sharp) - _gradient_energy(blurred)
    sums = np.pad(lost.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    window = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(window.argmax()), window.shape)
    return int(top), int(left)


def _gradient_energy(image: np.ndarray) -> np.ndarray:
    grey = image.astype(np.float64).mean(axis=2)
    down, right = np.gradient(grey)
    return down**2 + right**2


@house_style()
def panel(
    study: Study,
    examples: Sequence[Example],
    *,
    stem: str,
    title: str,
    labels: Mapping[str, str],
) -> Drawing:
    """A row an example: the blurred image with the crop marked, then the crop of each image."""
    variants = list(examples[0].restored) if examples else []
    columns = len(variants) + 2
    ratio = 1.5
    cell = WIDTH / (columns + ratio)
    rows = max(1, len(examples))
    figure = Figure(figsize=(WIDTH, (cell + 0.42) * rows + 0.45), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0.0, hspace=0.02)
    grid = figure.subplots(
        rows, columns + 1, squeeze=False, width_ratios=[ratio, *([1.0] * columns)]
    )
    for axes_row, example in zip(grid, examples, strict=False):
        side = crop_side(example.blurred)
        top, left = crop_window(example.blurred, example.sharp, side)
        axes_row[0].imshow(example.blurred)
        box = Rectangle((left, top), side, side, fill=False, ec=AMBER, lw=2)
        axes_row[0].add_patch(box)
        axes_row[0].set_title(f"{example.dataset} {example.image}", fontsize=8.5)
        names = [
            labels.get(BLURRED, "blurred"),
            *(labels.get(name, name) for name in variants),
            "sharp",
        ]
        keys = [BLURRED, *variants, ""]
        images = [example.blurred, *example.restored.values(), example.sharp]
        for axes, name, key, image in zip(axes_row[1:], names, keys, images, strict=True):
            psnr = example.psnr.get(key, float("nan"))
            number = f"\n{psnr:.2f} dB" if np.isfinite(psnr) else "\nground truth" * (not key)
            axes.set_title(_wrapped(name) + (number or "\n"), fontsize=8.5)
            if image is None:
                axes.set_aspect("equal")
                axes.text(0.5, 0.5, MISSING, ha="center", color=GREY, style="italic")
            else:
                crop = image[top : top + side, left : left + side]
                axes.imshow(crop, interpolation="nearest")
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
    if not examples:
        grid[0, 0].text(0.5, 0.5, MISSING, ha="center", color=GREY, style="italic")
    caption = (
        "The square is where the blur took most detail (the greatest loss of gradient energy from "
        "the sharp to the blurred image), chosen without regard to any result. Networks: first "
        "seed. PSNR: of the whole image."
    )
    shown = "; ".join(
        f"{e.dataset} {e.image}: "
        + ", ".join(f"{labels.get(k, k)} {v:.2f} dB" for k, v in e.psnr.items())
        for e in examples
    )
    alt = f"Crops of restored images. {shown}."
    return finished(study, stem, title, caption, alt, figure)


def crop_side(image: np.ndarray) -> int:
    """Side of the zoomed crop: a fifth of the mean side, at least 48 px and no more than fits."""
    height, width = image.shape[:2]
    return min(height, width, max(48, (height + width) // 10))


def _wrapped(name: str) -> str:
    """A long name in two lines, so that titles of neighbours do not touch."""
    if len(name) <= 13 or " " not in name:
        return name
    words = name.split(" ")
    cuts = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    return "\n".join(min(cuts, key=lambda cut: max(map(len, cut))))


def save_slider(
    examples: Sequence[Example],
    folder: Path,
    labels: Mapping[str, str],
    provenance: dict[str, Any],
) -> list[Path]:
    """Write the report's before/after images as JPEG into <folder>/slider/; returns all paths.

    All images are scaled alike, to the longest of a few sides at which they stay small enough for
    one page; the scale stands in the provenance file.
    """
    target = Path(folder) / SLIDER
    for side in _SIDES:
        encoded = [[_jpeg(image, side) for _, image in _views(example)] for example in examples]
        if sum(len(data) for row in encoded for data in row) <= _BYTES:
            break
    entries, written = [], []
    for example, row in zip(examples, encoded, strict=True):
        views = []
        for (key, _), data in zip(_views(example), row, strict=True):
            path = target / f"{example.dataset}-{example.image}-{key}.jpg"
            with atomic_path(path) as temporary:
                temporary.write_bytes(data)
            written.append(path)
            psnr = example.psnr.get(key, float("nan"))
            label = labels.get(key, key)
            number = round(psnr, 2) if np.isfinite(psnr) else None
            views.append({"key": key, "label": label, "file": path.name, "psnr": number})
        height, width = example.blurred.shape[:2]
        entries.append(
            {
                "dataset": example.dataset,
                "image": example.image,
                "size": [width, height],
                "shown": round(min(1.0, side / max(width, height)), 3),
                "missing": [labels.get(k, k) for k, v in example.restored.items() if v is None],
                "views": views,
            }
        )
    details = {"examples": entries, "quality": _QUALITY}
    return [*written, write_provenance(target / SLIDER, SLIDER, details, written, provenance)]


def _views(example: Example) -> list[tuple[str, np.ndarray]]:
    restored = [(name, image) for name, image in example.restored.items() if image is not None]
    return [(BLURRED, example.blurred), *restored, ("sharp", example.sharp)]


def _jpeg(image: np.ndarray, side: int) -> bytes:
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()
