"""Chapter 2's test sets: triplets with a known map of the blur, real pairs, masks of blur.

thin_lens             photographs with a drawn depth; the truth is aligned
thin_lens_misaligned  the same, as a second camera would have taken the sharp side
measured_depth        whole photographs with their measured depth

Maps of the blur are read off the blurred photograph alone; and, of the first two, off their pairs
(`<set>_pair`), which is what a network is taught by.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from torch import nn

from reblur.datasets.defocus.pairs import MAPS, PAIRS, open_defocus_maps
from reblur.datasets.defocus.scenes import open_scenes
from reblur.datasets.defocus.synthesis import DefocusOptions, Triplet, synthesise_triplet
from reblur.datasets.images.files import to_uint8
from reblur.datasets.images.pairs import Pair
from reblur.evaluation.maps import (
    auc,
    best_disc,
    local_contrast,
    map_errors,
    match_defocus,
    read_defocus,
)
from reblur.evaluation.scoring import Restorer
from reblur.study.data.available import is_here
from reblur.study.data.test_sets import TestSet, centre_crop, long_form, score_sets, spread, whole
from reblur.study.data.triplets import open_pairs_named, synthesis

THIN_LENS, MISALIGNED, MEASURED = "thin_lens", "thin_lens_misaligned", "measured_depth"
#: Test sets whose pairs are so misaligned that they are scored by every protocol.
EVERY_PROTOCOL = (MISALIGNED, "sdd", "focus_stack_pcb")
MAP_METRICS = ("mae", "correlation", "auc")


@dataclass(frozen=True)
class Known:
    """A test photograph with what is known of it.

    Attributes:
        photograph: the name of the photograph behind it, the unit of the statistics.
        triplet: blurred, aligned, misaligned pictures and the circle of confusion in pixels.
    """

    name: str
    photograph: str
    triplet: Triplet

    def pair(self, truth: str = "aligned") -> Pair:
        """The blurred picture with its "aligned" truth, or the "sharp" side, which is off."""
        return Pair(self.name, self.photograph, self.triplet.blurred, getattr(self.triplet, truth))

    def map(self, truth: str | None = None) -> "KnownMap":
        """What is known of the blur; with `truth`, as `pair`, to be read off the pair."""
        blurred, coc = self.triplet.blurred, self.triplet.coc
        sharp = getattr(self.triplet, truth) if truth else None
        aligned = truth == "aligned"
        return KnownMap(self.name, self.photograph, blurred, coc, None, sharp, aligned)


@dataclass(frozen=True)
class KnownMap:
    """A photograph with what is known of its blur: the circle of confusion in pixels, or a mask.

    sharp: the other side of its pair, where the map is read off both.
    aligned: whether that is; else it is warped onto the photograph.
    """

    name: str
    photograph: str
    blurred: UInt8[np.ndarray, "h w 3"]
    coc: Float[np.ndarray, "h w"] | None = None
    mask: Bool[np.ndarray, "h w"] | None = None
    sharp: UInt8[np.ndarray, "h w 3"] | None = None
    aligned: bool = False


Estimate = Callable[[KnownMap], np.ndarray]  # -> (H, W), larger is blurrier


def drawn_triplets(data: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[Known]:
    """Crops of test photographs, each with a depth drawn for it; a function of (seed, number)."""
    described = {
        **data,
        "photographs": part["photographs"],
        "defocus": {**data["defocus"], "misalignment_px": part["misalignment_px"]},
    }
    source = synthesis(described, "test", part["size"])
    for index in range(part["pairs"]):
        made = source.batch(part["seed"], [index], "cpu")
        pictures = [to_uint8(made[key][0]) for key in ("blurred", "sharp", "aligned")]
        triplet = Triplet(*pictures, made["flow"][0].numpy(), made["coc"][0, 0].numpy())
        yield Known(f"{index:03d}", source.photograph_of(part["seed"], index), triplet)


def measured_triplets(data: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[Known]:
    """Whole photographs with their measured depth, of those sets of `scenes` that are here.

    Their depths lie closer together than drawn ones; `scene_lens` names a lens with more blur.
    """
    sets = [name for name in part["scenes"] if is_here(name)]
    options = {**data["defocus"], **part["scene_lens"], "misalignment_px": part["misalignment_px"]}
    lens = DefocusOptions.from_dict(options, "defocus")
    for scene in open_scenes(sets, "test") if sets else []:
        for index in range(part["exposures"]):
            made = synthesise_triplet(
                scene.photograph, scene.inverse_depth, lens, part["seed"], index
            )
            yield Known(f"{scene.name}-{index}", scene.name, made)


def known_triplets(data: Mapping[str, Any], tests: Mapping[str, Any]) -> dict[str, list[Known]]:
    """The synthesised test photographs: set → photographs."""
    part = tests["synthetic"]
    if not part:
        return {}
    found = {THIN_LENS: list(drawn_triplets(data, part))}
    measured = list(measured_triplets(data, part))
    return found | ({MEASURED: measured} if measured else {})


def test_sets(known: Mapping[str, Sequence[Known]], tests: Mapping[str, Any]) -> dict[str, TestSet]:
    """Every test set of pairs that is here."""
    found: dict[str, TestSet] = {}
    for name, photographs in known.items():
        found[name] = whole(name, [one.pair() for one in photographs])
        if name == THIN_LENS:
            pairs = [one.pair("sharp") for one in photographs]
            found[MISALIGNED] = whole(MISALIGNED, pairs, every_protocol=True)
    real = tests["real"]
    scenes = tests["synthetic"]["scenes"] if tests["synthetic"] else []
    for name in real["sets"]:
        if is_here(name) and (name in PAIRS or name not in (*MAPS, *scenes)):
            pairs = open_pairs_named(name, "test")
            found[name] = TestSet(
                name, pairs, spread(len(pairs), real["pairs"]), real["size"], name in EVERY_PROTOCOL
            )
    return found


def map_sets(
    known: Mapping[str, Sequence[Known]], tests: Mapping[str, Any]
) -> dict[str, list[KnownMap]]:
    """Every set of photographs with known maps that is here: synthesised ones and masks."""
    found = {name: [one.map() for one in photographs] for name, photographs in known.items()}
    for name, truth in ((THIN_LENS, "aligned"), (MISALIGNED, "sharp")):
        if drawn := known.get(THIN_LENS):
            found[f"{name}_pair"] = [one.map(truth) for one in drawn]
    real = tests["real"]
    for name in real["sets"]:
        if name in MAPS and is_here(name):
            found[name] = _masks(name, real["maps"], real["size"])
    return found


def _masks(name: str, wanted: int | None, size: int | None) -> list[KnownMap]:
    """Masks that hold both sharp and blurred pixels, after the crop."""
    maps, found = open_defocus_maps(name, "test"), []
    for index in spread(len(maps), wanted):
        one = maps[index]
        photograph, mask = one.photograph, one.defocus > 0.5
        if size is not None:
            photograph, mask = (centre_crop(image, size) for image in (photograph, mask))
        if mask.any() and not mask.all():
            found.append(KnownMap(one.name, one.name, photograph, mask=mask))
    return found


def read_map(network: nn.Module, known: KnownMap, device: str) -> Float[np.ndarray, "h w"]:
    """What a network says of the blur, from the photograph alone or from its pair."""
    if known.sharp is None:
        return read_defocus(network, known.blurred, device).coc
    return match_defocus(network, known.blurred, known.sharp, device, known.aligned)


def score_maps(estimate: Estimate, sets: Mapping[str, Sequence[KnownMap]]) -> pd.DataFrame:
    """Long rows: `map_errors` where the circle of confusion is known, `auc` where a mask is."""
    rows = []
    for dataset, maps in sets.items():
        for known in maps:
            estimated = estimate(known)
            row = {"dataset": dataset, "photograph": known.photograph, "image": known.name}
            if known.coc is not None:
                row |= map_errors(estimated, known.coc)
            if known.mask is not None:
                row["auc"] = auc(estimated, known.mask)
            rows.append(row)
    columns = ["dataset", "photograph", "image", *MAP_METRICS]
    return long_form(pd.DataFrame(rows, columns=columns), MAP_METRICS)


def score_maps_without_a_network(sets: Mapping[str, Sequence[KnownMap]]) -> pd.DataFrame:
    """The floor: of a pair `best_disc`; of a photograph alone `local_contrast` for what ranks the
    pixels, and for the error in pixels the best that one value everywhere could do, the median of
    the true map."""

    def estimate(known: KnownMap) -> np.ndarray:
        if known.sharp is not None:
            return best_disc(known.blurred, known.sharp, known.aligned)
        return local_contrast(known.blurred)

    scores = score_maps(estimate, sets)
    alone = {
        name: [known for known in maps if known.coc is not None and known.sharp is None]
        for name, maps in sets.items()
    }
    constant = score_maps(lambda known: np.full_like(known.coc, np.median(abs(known.coc))), alone)
    constant = constant[constant["metric"] == "mae"]
    replaced = (scores["metric"] == "mae") & scores["dataset"].isin(constant["dataset"])
    return pd.concat([scores[~replaced], constant], ignore_index=True)


def known_of(made: Mapping[str, Any]) -> dict[str, list[Known]]:
    """`known_triplets` of a run's recipe."""
    tests = made["tests"]
    data = {**made["configuration"]["data"], "defocus": tests["defocus"]}
    return _known(json.dumps({"data": data, "tests": tests}))


@lru_cache(maxsize=2)  # the runs of one session are scored on the same photographs
def _known(key: str) -> dict[str, list[Known]]:
    described = json.loads(key)
    return known_triplets(described["data"], described["tests"])


def score(
    restorer: Restorer, network: nn.Module | None, made: Mapping[str, Any], device: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and costs of a restorer on every test set of a recipe that is here, and, where the
    network says by which kernels the photograph is blurred, those of its maps.

    Args:
        network: None for the blurred input, whose maps are what needs no network.
    """
    tests, known = made["tests"], known_of(made)
    scores, costs = score_sets(restorer, test_sets(known, tests), device)
    maps = map_sets(known, tests)
    if network is None:
        scores = pd.concat([scores, score_maps_without_a_network(maps)], ignore_index=True)
    elif getattr(network, "reblurring", None) is not None:
        found = score_maps(lambda known: read_map(network, known, device), maps)
        scores = pd.concat([scores, found], ignore_index=True)
    return scores, costs
