"""Chapter 2's test data: triplets of a lens out of focus, and photographs with known maps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from torch import nn

from reblur.datasets.defocus.pairs import MAPS, open_defocus_maps
from reblur.datasets.defocus.scenes import open_scenes
from reblur.datasets.defocus.synthesis import DefocusOptions, Triplet, synthesise_triplet
from reblur.datasets.images.files import read_image, to_uint8, write_image
from reblur.evaluation.maps import auc, kernels_at, local_contrast, map_errors, read_defocus
from reblur.files import atomic_open, write_text
from reblur.study.data import (
    KEPT,
    MEASURED,
    THIN_LENS,
    TestSet,
    available,
    centre_crop,
    spread,
)
from reblur.study.params import chapter_folder, data_of, project_root
from reblur.study.sources import synthesis

CHAPTER = "defocus"
MAP_COLUMNS = ("dataset", "image", "mae", "correlation", "auc")
KERNELS = 5  # by 5 places of a photograph, at which its kernels are kept


def data_folder(profile: str) -> Path:
    return project_root() / chapter_folder(profile, CHAPTER) / "data"


def write_triplets(params: dict[str, Any], profile: str) -> None:
    """Synthesise the held-out triplets and write them: `data/<set>/{blur,sharp,misaligned}/*.png`,
    and `coc/*.npy`, the true circle of confusion (float16, signed diameter in pixels)."""
    data = data_of(params, profile, CHAPTER)
    folder = data_folder(profile)
    for name, triplet in drawn_triplets(data):
        write_triplet(folder / THIN_LENS, name, triplet)
    for name, triplet in measured_triplets(data, available(profile)):
        write_triplet(folder / MEASURED, name, triplet)


def drawn_triplets(data: dict[str, Any]) -> Iterator[tuple[str, Triplet]]:
    """Crops of test photographs, each with a depth drawn for it; a function of (seed, number)."""
    part = data["synthetic"]
    described = {
        **data,
        "photographs": part["photographs"],
        "defocus": {**data["defocus"], "misalignment_px": part["misalignment_px"]},
    }
    source = synthesis(described, "test", part["size"])
    for index in range(part["pairs"]):
        made = source.batch(part["seed"], [index], "cpu")
        pictures = (to_uint8(made[key][0]) for key in ("blurred", "sharp", "aligned"))
        maps = (made[key][0].numpy() for key in ("flow", "coc"))
        yield f"{index:03d}", _triplet(*pictures, *maps)


def _triplet(
    blurred: np.ndarray, sharp: np.ndarray, aligned: np.ndarray, flow: np.ndarray, coc: np.ndarray
) -> Triplet:
    return Triplet(blurred, sharp, aligned, flow, coc[0])


def measured_triplets(data: dict[str, Any], here: Sequence[str]) -> Iterator[tuple[str, Triplet]]:
    """Whole photographs with their measured depth, of those sets of `scenes` that are here.

    Their depths lie closer together than drawn ones; `scene_lens` names a lens with more blur.
    """
    part = data["synthetic"]
    sets = [name for name in part.get("scenes", []) if name in here]
    options = {**data["defocus"], **part.get("scene_lens", {})}
    options["misalignment_px"] = part["misalignment_px"]
    for scene in open_scenes(sets, "test") if sets else []:
        for index in range(part["exposures"]):
            made = synthesise_triplet(
                scene.photograph,
                scene.inverse_depth,
                DefocusOptions.from_dict(options),
                part["seed"],
                index,
            )
            yield f"{scene.name}-{index}", made


def write_triplet(folder: Path, name: str, triplet: Triplet) -> None:
    """Write one triplet below `folder` (see `write_triplets`)."""
    pictures = {"blur": triplet.blurred, "sharp": triplet.aligned, "misaligned": triplet.sharp}
    for kind, picture in pictures.items():
        write_image(folder / kind / f"{name}.png", picture)
    with atomic_open(folder / "coc" / f"{name}.npy", "wb") as stream:
        np.save(stream, triplet.coc.astype(np.float16))


@dataclass(frozen=True)
class KnownMap:
    """A photograph with what is known of its blur: the circle of confusion in pixels, or a mask."""

    name: str
    photograph: UInt8[np.ndarray, "h w 3"]
    coc: Float[np.ndarray, "h w"] | None = None
    blurred: Bool[np.ndarray, "h w"] | None = None


def map_sets(params: dict[str, Any], profile: str) -> dict[str, list[KnownMap]]:
    """Every set of photographs with known maps that is here: synthesised ones and masks.

    Of the masks, those that hold both sharp and blurred pixels (after the crop to `real.size`).
    """
    data = data_of(params, profile, CHAPTER)
    folder = data_folder(profile)
    found: dict[str, list[KnownMap]] = {}
    for name in (THIN_LENS, MEASURED):
        paths = sorted((folder / name / "coc").glob("*.npy"))
        if paths:
            found[name] = [
                KnownMap(
                    path.stem,
                    read_image(folder / name / "blur" / f"{path.stem}.png"),
                    coc=np.load(path).astype(np.float32),
                )
                for path in paths
            ]
    for name in available(profile):
        if name in MAPS and name in data["real"]["sets"]:
            found[name] = _masks(name, data["real"].get("maps"), data["real"].get("size"))
    return found


def _masks(name: str, wanted: int | None, size: int | None) -> list[KnownMap]:
    maps, known = open_defocus_maps(name, "test"), []
    for index in spread(len(maps), wanted):
        one = maps[index]
        photograph, blurred = one.photograph, one.defocus > 0.5
        if size is not None:
            photograph, blurred = (centre_crop(image, size) for image in (photograph, blurred))
        if blurred.any() and not blurred.all():
            known.append(KnownMap(one.name, photograph, blurred=blurred))
    return known


Estimate = Callable[[np.ndarray], np.ndarray]  # (H, W, 3) uint8 -> (H, W), larger is blurrier


def score_maps(estimate: Estimate, sets: Mapping[str, Sequence[KnownMap]]) -> pd.DataFrame:
    """A row a photograph: `map_errors` where the circle of confusion is known, `auc` where a mask
    is; NaN for the others."""
    rows = []
    for dataset, maps in sets.items():
        for known in maps:
            estimated = estimate(known.photograph)
            row = dict.fromkeys(MAP_COLUMNS, float("nan"))
            row |= {"dataset": dataset, "image": known.name}
            if known.coc is not None:
                row |= map_errors(estimated, known.coc)
            if known.blurred is not None:
                row["auc"] = auc(estimated, known.blurred)
            rows.append(row)
    return pd.DataFrame(rows, columns=list(MAP_COLUMNS))


def score_maps_without_a_network(sets: Mapping[str, Sequence[KnownMap]]) -> pd.DataFrame:
    """The floor: `local_contrast` for what ranks the pixels, and for the error in pixels the best
    that one value everywhere could do, the median of the true map."""
    scores = score_maps(local_contrast, sets)
    true = [known.coc for maps in sets.values() for known in maps]
    scores["mae"] = [
        float("nan") if coc is None else float(np.abs(np.abs(coc) - np.median(np.abs(coc))).mean())
        for coc in true
    ]
    return scores


def write_maps(frame: pd.DataFrame, folder: Path) -> None:
    """Write `maps.csv` of a run, six digits after the point."""
    text = frame.to_csv(index=False, lineterminator="\n", float_format="%.6f")
    write_text(Path(folder) / "maps.csv", text)


def keep_readings(network: nn.Module, pairs: TestSet, folder: Path, device: str) -> None:
    """Keep what the panel shows of the first `KEPT` photographs of a test set, in
    `folder`/readings/<set>: <image>.png (blurred again), and <image>.npz: `coc`, `kernels`."""
    for position in range(min(KEPT, len(pairs))):
        pair = pairs[position]
        reading = read_defocus(network, pair.blurred, device)
        stem = Path(folder) / "readings" / pairs.name / pair.name
        write_image(stem.with_name(f"{pair.name}.png"), reading.reblurred)
        kept = {"coc": reading.coc, "kernels": kernels_at(reading, KERNELS, KERNELS)}
        with atomic_open(stem.with_name(f"{pair.name}.npz"), "wb") as stream:
            np.savez(stream, **{key: value.astype(np.float16) for key, value in kept.items()})
