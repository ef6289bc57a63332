"""Where pairs come from, as a `data` section of params.yaml describes it: synthesised from
photographs, cut from pairs that exist, or from those that the study has made."""

from collections.abc import Iterator
from typing import Any

from reblur.datasets.defocus.pairs import PAIRS, open_defocus_pairs
from reblur.datasets.defocus.synthesis import DefocusOptions, DefocusPairs
from reblur.datasets.images.files import to_uint8
from reblur.datasets.images.pair_sets import open_pair_set
from reblur.datasets.images.pairs import Pair, PairCrops, PairFolder, open_pairs_of
from reblur.datasets.images.photographs import open_photographs
from reblur.datasets.motion.synthesis import MotionBlur, MotionBlurOptions
from reblur.study.params import project_root


def training_source(data: dict[str, Any], crop: int) -> MotionBlur | DefocusPairs | PairCrops:
    """The source of training pairs that a `data` section describes.

    Args:
        data: as `synthesis` wants it; with `pairs` (see `open_set`), crops are cut from pairs that
            exist; with `pair_set`, from those of a run of chapter 3, turned at random.
        crop: side of a training crop in pixels.
    """
    if "pair_set" in data:
        return PairCrops(open_made_pairs(data["pair_set"]), crop, augment=True)
    if "pairs" in data:
        return PairCrops(open_set(data["pairs"], "train"), crop)
    return synthesis(data, "train", crop)


def synthesis(data: dict[str, Any], split: str, size: int) -> MotionBlur | DefocusPairs:
    """Pairs of side `size` from the photographs of a split (`photographs` names their manifests):
    by a camera that moves (`motion`), or by a lens that is out of focus (`defocus`)."""
    photographs = open_photographs(
        data["photographs"], split, downscale=data["downscale"], min_side=data["min_side"]
    )
    if "defocus" in data:
        return DefocusPairs(photographs, DefocusOptions.from_dict(data["defocus"]), size)
    return MotionBlur(photographs, MotionBlurOptions.from_dict(data["motion"]), size)


def open_made_pairs(folder: str) -> PairFolder:
    """The pairs in a folder below the project root (`reblur.datasets.images.pair_sets`)."""
    return open_pair_set(project_root() / folder)


def open_set(name: str, split: str) -> PairFolder:
    """The pairs of a data set by its manifest, of motion or of defocus; or, named by its path (with
    a "/"), all those of a set that chapter 3 has made: any chapter may train on it."""
    if "/" in name:
        return open_made_pairs(name)
    return (open_defocus_pairs if name in PAIRS else open_pairs_of)(name, split)


def synthesised_pairs(
    data: dict[str, Any], split: str, count: int, size: int, seed: int
) -> Iterator[Pair]:
    """`count` pairs of side `size`, synthesised from the photographs of `split` (never trained on).

    Pair i is a function of (seed, i) alone; its sharp side is aligned.
    """
    source = synthesis(data, split, size)
    truth = "aligned" if isinstance(source, DefocusPairs) else "sharp"
    for index in range(count):
        batch = source.batch(seed, [index], "cpu")
        blurred, sharp = (to_uint8(batch[key][0]) for key in ("blurred", truth))
        yield Pair(f"{index:03d}", f"{split}-{index:03d}", blurred, sharp)
