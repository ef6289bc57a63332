"""Chapter 2's data: pairs of a lens out of focus, whose sharp side is misaligned."""

from collections.abc import Iterator, Mapping
from typing import Any

from reblur.datasets.catalogue.manifests import manifest_names
from reblur.datasets.defocus.pairs import PAIRS, open_defocus_pairs
from reblur.datasets.defocus.synthesis import DefocusOptions, DefocusPairs
from reblur.datasets.images.files import to_uint8
from reblur.datasets.images.own_sets import open_own
from reblur.datasets.images.pairs import Pair, PairCrops, PairFolder
from reblur.datasets.images.photographs import open_photographs
from reblur.datasets.images.published import open_pairs_of
from reblur.losses.reblurring import DefocusObjective


def from_photographs(config: Mapping[str, Any]) -> DefocusPairs:
    """Training pairs that are made of photographs."""
    return synthesis(config["data"], "train", config["crop"])


def from_pairs(config: Mapping[str, Any]) -> PairCrops:
    """Training crops of pairs that exist: a data set of the manifests, or a folder."""
    return PairCrops(open_pairs_named(config["data"]["pairs"], "train"), config["crop"])


def objective(config: Mapping[str, Any]) -> DefocusObjective:
    return DefocusObjective.from_dict(config["objective"], "objective")


def synthesis(data: Mapping[str, Any], split: str, size: int) -> DefocusPairs:
    """Pairs of side `size` from the photographs of a split, by a lens that is out of focus."""
    photographs = open_photographs(
        data["photographs"], split, downscale=data["downscale"], min_side=data["min_side"]
    )
    return DefocusPairs(photographs, DefocusOptions.from_dict(data["defocus"], "defocus"), size)


def open_pairs_named(name: str, split: str) -> PairFolder:
    """The pairs of a data set by its manifest, or of a folder of one's own by its path."""
    if name not in manifest_names():
        return open_own(name, split)
    return (open_defocus_pairs if name in PAIRS else open_pairs_of)(name, split)


def validation_pairs(config: Mapping[str, Any]) -> list[Pair]:
    """The held-out aligned pairs on which PSNR is followed; none where none are named."""
    data = config["data"]
    if not data["validation"] or data["pairs"]:
        return []
    return list(_aligned(data, **data["validation"]))


def _aligned(data: Mapping[str, Any], pairs: int, size: int, seed: int) -> Iterator[Pair]:
    """`pairs` pairs from photographs that are never trained on; their truth is aligned."""
    described = {**data, "defocus": {**data["defocus"], "misalignment_px": 0}}
    source = synthesis(described, "validation", size)
    for index in range(pairs):
        batch = source.batch(seed, [index], "cpu")
        blurred, sharp = (to_uint8(batch[key][0]) for key in ("blurred", "aligned"))
        yield Pair(f"{index:03d}", source.photograph_of(seed, index), blurred, sharp)
