"""Figures of chapter 2: quality over misalignment, and what a network says of the blur."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from reblur.datasets.images.files import read_image
from reblur.study.figures import COLOURS, GREY, INK, Drawing, canvas, finished, house_style
from reblur.study.levels import arm_at, levels_of
from reblur.study.panels import Example
from reblur.study.params import run_folder
from reblur.study.results import BLURRED, Study
from reblur.study.tables import MISSING

MARKERS = "osD^vP"
EMPTY = 1.0  # px: a map that stays below shows no blur


@house_style()
def quality_over_misalignment(
    study: Study,
    *,
    stem: str,
    title: str,
    groups: Mapping[str, Sequence[str]],
    dataset: str,
    names: Mapping[str, str],
) -> Drawing:
    """Gain over doing nothing, on aligned test pairs, over the misalignment of the training pairs.

    A line a variant. The gain is taken image by image, so that how hard an image is does not widen
    its interval.

    Args:
        groups: heading of a pair of axes -> its variants; those that were never asked for are left
            out, as is a group without any.
    """
    levels = levels_of(study)
    asked = {
        heading: [v for v in variants if any(arm_at(study, v, n) in study.variants for n in levels)]
        for heading, variants in groups.items()
    }
    asked = {heading: variants for heading, variants in asked.items() if variants}
    figure, grid = canvas(1, max(1, len(asked)), height=4.6)
    words = []
    for axes, (heading, variants) in zip(grid[0], asked.items(), strict=False):
        axes.set_title(heading, loc="left")
        for number, variant in enumerate(variants):
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            offset = 0.05 * (number - (len(variants) - 1) / 2)  # intervals beside each other
            points = _points(study, variant, levels, dataset)
            label = names.get(variant, variant)
            lost = [level for level, (mean, _, _) in points.items() if not np.isfinite(mean)]
            if lost:
                label += f" ({MISSING}: {', '.join(map(str, lost))} px)"
            places = [levels.index(level) + offset for level in points]
            means, lows, highs = zip(*points.values(), strict=True)
            axes.vlines(places, lows, highs, color=colour, lw=1.8, alpha=0.6)
            axes.plot(places, means, color=colour, marker=marker, ms=6, lw=1.6, label=label)
            words.append(
                f"{label}: " + ", ".join(f"{n} px {m:+.2f} dB" for n, (m, _, _) in points.items())
            )
        axes.axhline(0, color=INK, ls="--", lw=1.2, label="do nothing")
        axes.set_xticks(range(len(levels)), [str(level) for level in levels])
        axes.set_xlim(-0.5, len(levels) - 0.5)  # the arms of a level stand side by side around it
        axes.set_xlabel("misalignment of the training pairs (px)")
        axes.grid(axis="x", visible=False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=8.5)
    grid[0, 0].set_ylabel("PSNR gain over doing nothing (dB)")
    warped = dataset.endswith("_to_input")
    caption = (
        "Trained from pairs that are misaligned by so much (root mean square), tested on "
        f"{dataset}, whose {'truth is warped to the input' if warped else 'pairs are aligned'}. "
        "Bars: 95 % intervals over seeds and images."
        + (" The axes of the groups differ." if len(asked) > 1 else "")
    )
    return finished(study, stem, title, caption, "; ".join(words) + ".", figure)


def _points(
    study: Study, variant: str, levels: Sequence[int], dataset: str
) -> dict[int, tuple[float, float, float]]:
    """level -> mean and ends of the interval, of the levels that were asked for."""
    found = {}
    for level in levels:
        arm = arm_at(study, variant, level)
        if arm in study.variants:
            gain = study.difference(arm, BLURRED, dataset, "psnr")
            found[level] = (gain.mean, gain.low, gain.high)
    return found


@dataclass(frozen=True)
class KeptReading:
    """What `study.defocus_data.keep_readings` kept of one photograph; None where it is missing."""

    example: Example
    restored: np.ndarray | None
    reblurred: np.ndarray | None
    coc: np.ndarray | None
    kernels: np.ndarray | None
    true_coc: np.ndarray | None


def reading_files(study: Study, arm: str, example: Example, data: Path) -> list[Path]:
    """The files of a `KeptReading` that are there: blurred again, the reading, the true map."""
    stem = Path("readings") / example.dataset / example.image
    files = [data / example.dataset / "coc" / f"{example.image}.npy"]
    for seed in study.seeds_asked(arm)[:1]:
        folder = run_folder(study.root, arm, seed)
        files += [folder / f"{stem}.png", folder / f"{stem}.npz"]
    return [path for path in files if path.is_file()]


def read_reading(study: Study, arm: str, example: Example, data: Path) -> KeptReading:
    """What the first seed of `arm` says of a test photograph."""
    files = {path.suffix: path for path in reading_files(study, arm, example, data)}
    kept = dict(np.load(files[".npz"])) if ".npz" in files else {}
    return KeptReading(
        example,
        example.restored.get(arm),
        read_image(files[".png"]) if ".png" in files else None,
        kept.get("coc"),
        kept.get("kernels"),
        np.abs(np.load(files[".npy"])) if ".npy" in files else None,
    )


@house_style()
def readings_panel(
    study: Study, readings: Sequence[KeptReading], *, stem: str, title: str, network: str
) -> Drawing:
    """A row a photograph: blurred, output, blurred again, its map, the true map, kernels, sharp."""
    headings = (
        "blurred", "output", "output,\nblurred again", "estimated\nmap", "true map",
        "kernels", "sharp",
    )  # fmt: skip
    rows = max(1, len(readings))
    shapes = [reading.example.blurred.shape for reading in readings]
    height = sum(shape[0] / shape[1] for shape in shapes) if shapes else 1.0
    figure, grid = canvas(rows, len(headings), height=1.15 * height + 1.1)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.02)
    maps = [m for r in readings for m in (r.coc, r.true_coc) if m is not None]
    top = max([1.0, *(float(np.percentile(values, 99)) for values in maps)])
    shown = None
    for axes_row, reading in zip(grid, readings, strict=False):
        example = reading.example
        pictures = (example.blurred, reading.restored, reading.reblurred)
        for axes, picture in zip(axes_row[:3], pictures, strict=True):
            _show(axes, picture)
        for axes, values, word in zip(
            axes_row[3:5], (reading.coc, reading.true_coc), (MISSING, "not known"), strict=True
        ):
            if values is None:
                _show(axes, None, word)
            else:
                values = values.astype(np.float32)
                shown = axes.imshow(values, vmin=0, vmax=top, cmap="viridis")
        _show(axes_row[5], None if reading.kernels is None else kernel_sheet(reading.kernels))
        _show(axes_row[6], example.sharp)
        axes_row[0].set_ylabel(f"{example.dataset}\n{example.image}", fontsize=7.5)
    for axes, heading in zip(grid[0], headings, strict=True):
        axes.set_title(heading, fontsize=8.5)
    for axes in grid.flat:
        _bare(axes)
    if shown is not None:
        bar = figure.colorbar(shown, ax=list(grid[-1, 3:5]), orientation="horizontal", pad=0.04)
        bar.set_label("circle of confusion (px)", fontsize=8)
        bar.ax.tick_params(labelsize=7.5)
    if not readings:
        grid[0, 0].text(0.5, 0.5, MISSING, ha="center", color=GREY, style="italic")
    caption = (
        f"{network}, first seed. The maps show the diameter of the circle of confusion; the "
        "reblurring network's largest is 13.8 px. Kernels: at 5 × 5 places, each 15 × 15 px and "
        "scaled to its own maximum."
    )
    estimated = [reading.coc for reading in readings if reading.coc is not None]
    if estimated and max(float(np.percentile(coc, 99)) for coc in estimated) < EMPTY:
        caption += " The estimated maps are empty: this network blurs again by nothing."
    names = ", ".join(f"{r.example.dataset} {r.example.image}" for r in readings)
    return finished(study, stem, title, caption, f"Photographs and maps: {names}.", figure)


def kernel_sheet(kernels: np.ndarray) -> np.ndarray:
    """(p, q, 15, 15) kernels as one grey picture, a pixel apart, each from 0 to its maximum."""
    rows, columns, side, _ = kernels.shape
    scaled = kernels / kernels.max(axis=(2, 3), keepdims=True).clip(1e-6)
    sheet = np.full((rows * (side + 1) - 1, columns * (side + 1) - 1), 1.0, np.float32)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (side + 1), column * (side + 1)
            sheet[top : top + side, left : left + side] = scaled[row, column]
    return np.repeat((sheet * 255).round().astype(np.uint8)[:, :, None], 3, axis=2)


def _show(axes: Axes, picture: np.ndarray | None, word: str = MISSING) -> None:
    if picture is None:
        axes.set_aspect("equal")
        axes.text(
            0.5, 0.5, word, transform=axes.transAxes, ha="center", fontsize=8, color=GREY,
            style="italic",
        )  # fmt: skip
    else:
        axes.imshow(picture, interpolation="nearest")


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
