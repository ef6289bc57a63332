"""Scores of restored images in folders: restored here by a network, or elsewhere by anything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from tqdm import tqdm

from reblur.datasets.catalogue.contents import list_contents
from reblur.datasets.images.files import is_image, read_image
from reblur.datasets.images.matching import match
from reblur.errors import ReblurError
from reblur.evaluation.alignment import PROTOCOL, compare_aligned, compare_masked
from reblur.evaluation.protocols import PROTOCOLS as WARPED
from reblur.evaluation.protocols import warp_truth
from reblur.evaluation.scoring import METRICS, Restorer, measured
from reblur.files import write_text
from reblur.measures.full_reference import (
    CONVENTIONS,
    lpips_available,
    lpips_distance,
    psnr,
    ssim,
    ssim_matlab,
)

#: How a restored image is compared with a sharp one that may not lie where it does.
PROTOCOLS = {"raw": WARPED["raw"], "homography": PROTOCOL} | WARPED

_DECIMALS = {"psnr": 4, "ssim": 6, "ssim_matlab": 6, "lpips": 5, "seconds": 4}
_PIXELWISE: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "psnr": psnr,
    "ssim": ssim,
    "ssim_matlab": ssim_matlab,
}


@dataclass(frozen=True)
class Images:
    """The files of one image; which of `input` and `restored` are known depends on the task."""

    name: str
    target: Path
    input: Path | None = None
    restored: Path | None = None


def images_of(
    target: Path, *, input: Path | None = None, restored: Path | None = None
) -> list[Images]:
    """The images of folders, paired by name (`matching.match`), in the order of their names.

    Args:
        target: the sharp images; every one must have its partners, and every partner its own.
        input, restored: the blurred ones, and those restored elsewhere.

    Raises:
        ReblurError: a folder that is missing or holds no images, or files without a partner.
    """
    sharp = _files(target)
    partners = {
        side: _partners(sharp, target, folder)
        for side, folder in (("input", input), ("restored", restored))
        if folder is not None
    }
    return [
        Images(
            path.relative_to(target).with_suffix("").as_posix(),
            path,
            **{side: of[path] for side, of in partners.items()},
        )
        for path in sharp
    ]


def _files(folder: Path) -> list[Path]:
    found = [folder / path for path in list_contents(folder).files if is_image(path)]
    if not found:
        raise ReblurError(f"{folder}: holds no images; name the folder that does.")
    return found


def _partners(sharp: Sequence[Path], target: Path, folder: Path) -> dict[Path, Path]:
    """The file of `folder` for each sharp one."""
    if folder.resolve() == target.resolve():
        raise ReblurError(f"{folder}: is the folder of the sharp images too; name another one.")
    other = set(_files(folder))
    found = match(other, sharp, lambda p: p.relative_to(folder if p in other else target))
    if found.problems:
        named = ", ".join(str(problem.path) for problem in found.problems[:3])
        more = ", …" if len(found.problems) > 3 else ""
        raise ReblurError(
            f"{folder} and {target}: {len(found.problems)} files have no partner of the same name, "
            f"or a name is there twice ({named}{more}); give both folders the same names."
        )
    return {s: o for o, s in found.pairs}


def compare(
    sharp: UInt8[np.ndarray, "h w 3"],
    restored: UInt8[np.ndarray, "_ _ 3"],
    blurred: UInt8[np.ndarray, "_ _ 3"] | None = None,
    *,
    protocol: str = "raw",
    device: torch.device | str = "cpu",
    lpips: bool = False,
) -> dict[str, float]:
    """Metrics of one image by the conventions of `CONVENTIONS` and one of `PROTOCOLS`.

    A metric that the protocol does not define, or for which the image is too small, is left out.

    Args:
        blurred: what "to_input" warps the truth to.
        lpips: whether its backbone is at hand.

    Raises:
        ReblurError: sizes that differ, or an alignment that fails.
    """
    if sharp.shape != restored.shape:
        sizes = " and ".join(f"{image.shape[1]}×{image.shape[0]}" for image in (restored, sharp))
        raise ReblurError(f"the sizes differ ({sizes} pixels); crop or resize them to one size.")
    if protocol == "homography":
        return compare_aligned(sharp, restored)
    if protocol != "raw":
        truth, covered = warp_truth(sharp, restored if protocol == "to_output" else blurred)
        return compare_masked(truth, restored, covered)
    measures = dict(_PIXELWISE)
    if lpips:
        measures["lpips"] = lambda x, y: lpips_distance(x, y, device)
    scores = {}
    for name, measure in measures.items():
        try:
            scores[name] = measure(sharp, restored)
        except ReblurError:  # smaller than the metric's window
            continue
    return scores


def score_folders(
    images: Sequence[Images],
    restorer: Restorer | None = None,
    *,
    protocol: str = "raw",
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """One row an image: image, psnr (dB), ssim, ssim_matlab, lpips, seconds; a bar on a terminal.

    Where the blurred inputs are known, `input_<metric>` are their own scores. A file that cannot
    be scored is told by `say` and has no row.

    Args:
        restorer: applied to the inputs; None: the images were restored elsewhere.
        protocol: one of `PROTOCOLS`.

    Raises:
        ReblurError: an unknown protocol, or one that needs inputs which are not known.
    """
    if protocol not in PROTOCOLS:
        raise ReblurError(f"protocol {protocol!r}: the choices are {', '.join(PROTOCOLS)}.")
    if any(of.input is None for of in images) and (restorer is not None or protocol == "to_input"):
        raise ReblurError("the blurred images are needed too; name their folder with --input.")
    options = {"protocol": protocol, "device": device}
    options["lpips"] = protocol == "raw" and lpips_available()
    rows = []
    for of in tqdm(images, desc="evaluate", unit="image", disable=None):  # None: on a terminal
        try:
            rows.append({"image": of.name} | _row(of, restorer, options))
        except ReblurError as error:
            say(f"reblur: {of.name}: {error}")
        except MemoryError:
            say(f"reblur: {of.name}: the memory does not hold it; choose a smaller tile.")
        except Exception as error:  # no single file ends a batch
            say(f"reblur: {of.name}: cannot be scored ({error}); leave it out.")
    return pd.DataFrame(rows, columns=_columns(rows))


def _row(of: Images, restorer: Restorer | None, options: dict) -> dict[str, float]:
    sharp = read_image(of.target)
    blurred = read_image(of.input) if of.input is not None else None
    cost: dict[str, float] = {}
    if restorer is None:
        restored = read_image(of.restored)
    else:
        with measured(cost, torch.device(options["device"])):
            restored = restorer(blurred)
    scores = compare(sharp, restored, blurred, **options)
    if blurred is not None:
        own = compare(sharp, blurred, blurred, **options)
        scores |= {f"input_{name}": value for name, value in own.items()}
    return scores | {name: value for name, value in cost.items() if name == "seconds"}


def _columns(rows: Sequence[dict[str, str | float]]) -> list[str]:
    held = {name for row in rows for name in row}
    order = ["image", *METRICS, *(f"input_{name}" for name in METRICS), "seconds"]
    return [name for name in order if name in held]


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """One row a metric: metric, mean, input_mean, gain, images, infinite, convention.

    Images that equal their target have an infinite PSNR; they are counted and left out of the
    means. The gain is the mean over the images for which both are finite.
    """
    rows = []
    for metric in (name for name in METRICS if name in scores):
        values = scores[metric]
        own = scores.get(f"input_{metric}", pd.Series(np.nan, scores.index))
        finite = values[np.isfinite(values)]
        gain = (values - own)[np.isfinite(values) & np.isfinite(own)]
        rows.append(
            {
                "metric": metric,
                "mean": finite.mean(),
                "input_mean": own[np.isfinite(own)].mean(),
                "gain": gain.mean(),
                "images": int(values.notna().sum()),
                "infinite": int(np.isinf(values).sum()),
                "convention": CONVENTIONS[metric],
            }
        )
    return pd.DataFrame(rows)


def write_folder_scores(scores: pd.DataFrame, summary: pd.DataFrame, folder: Path) -> None:
    """Write scores.csv (a row an image) and summary.csv into a folder, atomically."""
    places = {name: _DECIMALS[name.removeprefix("input_")] for name in scores.columns.drop("image")}
    rounded = scores.round(places)
    for name, table in (("scores", rounded), ("summary", summary.round(6))):
        write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
