"""Chapter 1's data: pairs of motion blur to train on and to validate on."""

from collections.abc import Iterator, Mapping
from typing import Any

from reblur.datasets.catalogue.manifests import manifest_names
from reblur.datasets.images.files import to_uint8
from reblur.datasets.images.own_sets import open_own
from reblur.datasets.images.pairs import Pair, PairCrops, PairFolder
from reblur.datasets.images.photographs import open_photographs
from reblur.datasets.images.published import open_pairs_of
from reblur.datasets.motion.synthesis import MotionBlur, MotionBlurOptions
from reblur.losses.multi_scale import MultiScaleObjective


def from_photographs(config: Mapping[str, Any]) -> MotionBlur:
    """Training pairs that are made of photographs."""
    return synthesis(config["data"], "train", config["crop"])


def from_pairs(config: Mapping[str, Any]) -> PairCrops:
    """Training crops of pairs that exist: a data set of the manifests, or a folder."""
    return PairCrops(open_pairs_named(config["data"]["pairs"], "train"), config["crop"])


def objective(config: Mapping[str, Any]) -> MultiScaleObjective:
    return MultiScaleObjective(**config["objective"])


def synthesis(data: Mapping[str, Any], split: str, size: int) -> MotionBlur:
    """Pairs of side `size` from the photographs of a split, by a camera that moves."""
    photographs = open_photographs(
        data["photographs"], split, downscale=data["downscale"], min_side=data["min_side"]
    )
    return MotionBlur(photographs, MotionBlurOptions.from_dict(data["motion"], "motion"), size)


def synthesised_pairs(
    data: Mapping[str, Any], split: str, count: int, size: int, seed: int
) -> Iterator[Pair]:
    """`count` pairs of side `size` from the photographs of `split` (never trained on).

    Pair i is a function of (seed, i) alone; its `scene` is the photograph that it was cut from.
    """
    source = synthesis(data, split, size)
    for index in range(count):
        batch = source.batch(seed, [index], "cpu")
        blurred, sharp = (to_uint8(batch[key][0]) for key in ("blurred", "sharp"))
        yield Pair(f"{index:03d}", source.photograph_of(seed, index), blurred, sharp)


def open_pairs_named(name: str, split: str) -> PairFolder:
    """The pairs of a data set by its manifest, or of a folder of one's own by its path."""
    if name in manifest_names():
        return open_pairs_of(name, split)
    return open_own(name, split)


def validation_pairs(config: Mapping[str, Any]) -> list[Pair]:
    """The held-out pairs on which PSNR is followed while training; none where none are named."""
    data = config["data"]
    part = data["validation"]
    if not part or data["pairs"]:
        return []
    return list(synthesised_pairs(data, "validation", part["pairs"], part["size"], part["seed"]))
