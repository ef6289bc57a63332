"""Chapter 3's real images: what networks made of photographs and faces that have no truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.patches import Rectangle

from reblur.datasets.images.files import read_image
from reblur.study.diffusion_pictures import show
from reblur.study.diffusion_results import (
    REFINED,
    TASKS,
    first_variants,
    panel_arms,
    restorer_of,
    source_name,
    source_of,
)
from reblur.study.figures import AMBER, Drawing, canvas, finished, house_style
from reblur.study.panels import crop_side
from reblur.study.params import run_folder
from reblur.study.results import BLURRED, Study
from reblur.study.tables import MISSING

REAL = 2  # real images a task

Picture = UInt8[np.ndarray, "_ _ 3"]


def real_files(study: Study, arms: Mapping[str, str]) -> dict[str, dict[str, Path]]:
    """'<dataset> <image>' -> 'blurred' or source -> file, of the real images that are shown.

    A real image as it is, enlarged, stands beside the scores of doing nothing, in `restored`, as
    the restored ones do beside their run's.
    """
    folders = {BLURRED: study.root / study.blurred}
    for source, arm in arms.items():
        folders[source] = run_folder(study.root, arm, study.seeds_asked(arm)[0])
    kept = [
        path
        for source, folder in folders.items()
        if source != BLURRED
        for path in sorted((folder / "restored").glob("*/*.png"))
    ]
    names = sorted({path.relative_to(path.parents[1]) for path in kept})[:REAL]
    return {
        f"{name.parent.name} {name.stem}": {
            source: folder / "restored" / name
            for source, folder in folders.items()
            if (folder / "restored" / name).is_file()
        }
        for name in names
    }


@house_style()
def real_panel(
    study: Study,
    *,
    stem: str,
    title: str,
    tasks: Sequence[str],
    sources: Sequence[str],
    rule: Mapping[str, Any],
) -> Drawing:
    """A row a real image: as it is with a square marked, then the square by source of pairs."""
    found = []
    for variant in first_variants(study, tasks):
        arms = panel_arms(study, variant, sources, rule)
        found += [(variant, arms, name, f) for name, f in real_files(study, arms).items()]
    columns = [BLURRED, *(s for s in sources if any(s in arms for _, arms, _, _ in found))]
    rows = max(1, len(found))
    cell = 8.4 / (len(columns) + 1.5)
    ratios = [1.5, *([1.0] * len(columns))]
    figure, grid = canvas(
        rows, len(columns) + 1, height=0.4 + (cell + 0.5) * rows, width_ratios=ratios
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0.0, hspace=0.02)
    for axes_row, (variant, arms, name, files) in zip(grid, found, strict=False):
        pictures = {key: read_image(path) for key, path in files.items()}
        whole = pictures.get(BLURRED)
        first = next(iter(pictures.values()))
        top, left, side = _most_detail(first if whole is None else whole)
        show(axes_row[0], whole)
        axes_row[0].set_title(f"{_titled(name)}, {restorer_of(variant)}", fontsize=8.5)
        if whole is not None:
            axes_row[0].add_patch(Rectangle((left, top), side, side, fill=False, ec=AMBER, lw=2))
        for axes, column in zip(axes_row[1:], columns, strict=True):
            picture = pictures.get(column)
            heading = "as it is" if column == BLURRED else source_name(column)
            if column == REFINED and column in arms:
                heading = source_name(source_of(arms[column])).replace(", ", ",\n")
            axes.set_title(heading, fontsize=8.5)
            word = MISSING if column == BLURRED or column in arms else "not asked for"
            crop = None if picture is None else picture[top : top + side, left : left + side]
            show(axes, crop, word)
    if not found:
        for axes in grid.flat:
            show(axes, None)
    caption = (
        "Real low-quality images, for which there is no truth: as they are, enlarged to the size "
        "of what is restored, and restored by networks that differ only in where their training "
        "pairs came from (first restorer, first seed). The square is where the image as it is has "
        "most detail, chosen without regard to any result. Refined: from the t₀ of the rule, or "
        "else the smallest."
    )
    shown = "; ".join(f"{restorer_of(v)} on {name}: {', '.join(f)}" for v, _, name, f in found)
    alt = f"Crops of restored real images. {shown or MISSING}."
    return finished(study, stem, title, caption, alt, figure)


def _titled(name: str) -> str:
    """The name of a real image with its task's name for people."""
    dataset, _, image = name.partition(" ")
    return f"{TASKS.get(dataset, dataset)} {image}"


def _most_detail(picture: Picture) -> tuple[int, int, int]:
    """(top, left, side) of the square with the largest sum of squared gradients."""
    side = crop_side(picture)
    down, right = np.gradient(picture.astype(np.float64).mean(axis=2))
    sums = np.pad((down**2 + right**2).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    window = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(window.argmax()), window.shape)
    return int(top), int(left), side
