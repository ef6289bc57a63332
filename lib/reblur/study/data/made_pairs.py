"""Chapter 3's data: targets, high-quality images, and a set of training pairs for each source.

A *domain* is a task in JSON values, as `chapters.diffusion.domain_of` gives it. A hidden camera
sees other photographs than those that the pairs are made of: what it makes of them, the target, is
all that the training side knows of it.

What is made stands under scratch/, in folders of its identity, and is made again when missing:

    scratch/<highs>/high/    the high-quality images, which several sets share
    scratch/<pairs>/low/     the low-quality ones of a source; manifest.json says how each was drawn
"""

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from reblur.datasets.catalogue.manifests import project_root
from reblur.datasets.degradation.degrade import degrade
from reblur.datasets.hidden_camera.camera import HiddenCamera
from reblur.datasets.images.files import to_uint8
from reblur.datasets.images.low_quality import low_quality_folder, open_faces, open_low_quality
from reblur.datasets.images.pair_sets import (
    High,
    Low,
    PairSet,
    open_pair_set,
    upsample,
    write_pair_set,
)
from reblur.datasets.images.pairs import Pair, PairCrops
from reblur.datasets.images.photographs import Photographs, open_photographs
from reblur.errors import ReblurError
from reblur.losses.multi_scale import MultiScaleObjective
from reblur.study.data.available import own_folder

BATCH = 16  # images that are degraded at once; changes no value
VALIDATION_PAIRS = 4
#: The camera never takes the same shot twice: each use of it has its own numbers.
TARGET_SHOTS, TEST_SHOTS, VALIDATION_SHOTS, ORACLE_SHOTS = 0, 1_000_000, 2_000_000, 3_000_000

Domain = Mapping[str, Any]
Images = Float[Tensor, "_n 3 _h _w"]
Pictures = list[UInt8[np.ndarray, "_ _ 3"]]
#: (recipe of the pairs, high-quality images, device) → low-quality ones, how each was drawn
Maker = Callable[[Mapping[str, Any], Images, str], tuple[Pictures, list[dict[str, Any]]]]


def from_pairs(config: Mapping[str, Any]) -> PairCrops:
    """Training crops of the pairs that a run names by their recipe; they are made if missing."""
    return PairCrops(pair_set(config["data"], config["machine"]["device"]), config["crop"])


def objective(config: Mapping[str, Any]) -> MultiScaleObjective:
    return MultiScaleObjective(**config["objective"])


def validation_pairs(config: Mapping[str, Any]) -> list[Pair]:
    """The true camera's pairs of photographs that nothing is trained on; none of a real target."""
    domain = config["data"]["domain"]
    if domain["camera"] is None:
        return []
    side = domain["low"] * domain["scale"]
    return camera_pairs(domain, "validation", VALIDATION_PAIRS, side, VALIDATION_SHOTS)


def sharp_images(domain: Domain, split: str) -> Photographs:
    """The sharp images of a split: photographs, or whole faces of one size."""
    if domain["content"] == "faces":
        return open_faces(domain["images"], split, domain["prepared"]["face_size"])
    return _photographs(tuple(domain["images"]), split, **domain["prepared"])


@functools.lru_cache(maxsize=3)  # several tasks have the same photographs; decoding takes its time
def _photographs(names: tuple[str, ...], split: str, downscale: int, min_side: int) -> Photographs:
    return open_photographs(list(names), split, downscale=downscale, min_side=min_side)


def half(photographs: Photographs, number: int) -> Photographs:
    """Every other photograph, from `number` (0 or 1): pairs are made of one half, the target of the
    other, so that no image of the target has a sharp counterpart in training.

    Raises:
        ReblurError: there are fewer than two.
    """
    if len(photographs) < 2:
        raise ReblurError(
            "the target and the training pairs need different photographs, and there is one only; "
            "name a data set with more."
        )
    return Photographs(photographs.names[number::2], photographs.images[number::2])


def cut(
    domain: Domain, photographs: Photographs, stream: str, count: int, side: int
) -> tuple[Images, list[str]]:
    """`count` crops of the side, or of the largest that all photographs and the scale allow, and
    the names of the photographs that they are cut from.

    Those that training pairs are made of (`stream` "high") are turned by the square's symmetries,
    but for faces; what a camera sees for the target or a test stands upright.
    """
    smallest = min(min(image.shape[:2]) for image in photographs.images)
    unit = 4 * domain["scale"]
    side = min(side, smallest) // unit * unit
    name, seed = f"diffusion-{domain['name']}-{stream}", domain["seed"]
    turned = stream == "high" and domain["content"] != "faces"
    crops = photographs.crops(seed, name, range(count), side, augment=turned)
    return crops, [photographs.photograph_of(seed, name, index) for index in range(count)]


def high_images(domain: Domain) -> tuple[Images, list[str]]:
    """The high-quality images of the training pairs, and the photographs that they are cut from."""
    train = sharp_images(domain, "train")
    source = half(train, 0) if domain["camera"] else train
    return cut(domain, source, "high", domain["highs"], domain["low"] * domain["scale"])


def seen_by_camera(domain: Domain, images: Images, first: int) -> Iterator[np.ndarray]:
    """The hidden camera's photographs of `images`, (h, w, 3) uint8, its shots numbered from
    `first`.

    Raises:
        ReblurError: the task's target is real, and so there is no camera.
    """
    if domain["camera"] is None:
        raise ReblurError(
            f"{domain['name']}: its target is real and has no camera to ask; leave out the source "
            "'oracle'."
        )
    camera = HiddenCamera(domain["camera"])
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        shots = range(first + start, first + start + len(part))
        seen = camera.photograph(part, scale=domain["scale"], seed=domain["seed"], indices=shots)
        yield from (to_uint8(low) for low in seen)


def camera_pairs(domain: Domain, split: str, count: int, side: int, first: int) -> list[Pair]:
    """What the camera makes of `count` sharp crops of a split, enlarged to their size as a restorer
    sees it, each with its crop; `scene` is the photograph."""
    sharp, photographs = cut(domain, sharp_images(domain, split), split, count, side)
    pairs = []
    for number, low in enumerate(seen_by_camera(domain, sharp, first)):
        picture = to_uint8(sharp[number])
        enlarged = upsample(low, *picture.shape[:2])
        pairs.append(Pair(f"{number:05d}", photographs[number], enlarged, picture))
    return pairs


def target_images(domain: Domain, target: Mapping[str, Any], split: str = "train") -> Photographs:
    """The low-quality images of the target: what the camera makes of the other half of the
    photographs, or real ones.

    A real target is named by its data sets, or as one folder of one's own (its path, instead of a
    list), of which every fourth image is for testing.

    Args:
        target: `shots` of each photograph and `photograph_size`, or `sets`.

    Raises:
        ReblurError: a real set is not here, or the folder is missing, holds fewer than four images
            or one that cannot be read.
    """
    if domain["camera"] is None:
        names, low = target["sets"], domain["low"]
        if isinstance(names, str):
            return target_folder(names, split, low)
        if domain["content"] == "faces":  # whole, and as large in the picture as the sharp ones
            return open_faces(names, split, domain["prepared"]["face_size"] // domain["scale"])
        return open_low_quality(names, split, low)
    seen = half(sharp_images(domain, "train"), 1)
    count = target["shots"] * len(seen)
    shots, names = cut(domain, seen, "target", count, target["photograph_size"])
    return Photographs(names, list(seen_by_camera(domain, shots, TARGET_SHOTS)))


def target_folder(path: str, split: str, size: int) -> Photographs:
    """The images of a user's own folder that belong to a split: every fourth one to "test"."""
    found = low_quality_folder(own_folder(path), size)
    if len(found) < 4:
        raise ReblurError(
            f"{path}: holds {len(found)} images; put 4 or more there, as every fourth is for "
            "testing."
        )
    kept = [n for n in range(len(found)) if (n % 4 == 3) == (split == "test")]
    return Photographs([found.names[n] for n in kept], [found.images[n] for n in kept])


def degraded(
    data: Mapping[str, Any], highs: Images, device: str
) -> tuple[Pictures, list[dict[str, Any]]]:
    """Low-quality images by the hand-made degradation that the recipe of the pairs names."""
    domain = data["domain"]
    lows, draws = [], []
    for first in range(0, len(highs), BATCH):
        part = highs[first : first + BATCH]
        indices = range(first, first + len(part))
        made, drawn = degrade(
            part, data["recipe"], scale=domain["scale"], seed=domain["seed"], indices=indices
        )
        lows += [to_uint8(image) for image in made]
        draws += drawn
    return lows, draws


def photographed(
    data: Mapping[str, Any], highs: Images, device: str
) -> tuple[Pictures, list[dict[str, Any]]]:
    """Low-quality images by the true camera: the oracle."""
    lows = list(seen_by_camera(data["domain"], highs, ORACLE_SHOTS))
    return lows, [{"shot": ORACLE_SHOTS + number} for number in range(len(lows))]


def pair_set(data: Mapping[str, Any], device: str) -> PairSet:
    """The training pairs of a recipe (`chapters.diffusion.pairs_recipe`), made if they are missing
    or damaged. Their maker is named in the recipe, and its code is part of their identity.

    Raises:
        ReblurError: an image that they are made of cannot be had, or the disk is full.
    """
    scratch = project_root() / "scratch"
    folder, high = scratch / data["pairs"][:16], scratch / data["highs"][:16] / "high"
    try:
        return open_pair_set(folder)
    except ReblurError:
        pass
    module, _, name = data["maker"].partition(":")
    make: Maker = getattr(importlib.import_module(module), name)
    domain = data["domain"]
    images, photographs = high_images(domain)
    names = [f"{number:05d}" for number in range(len(images))]
    highs = (
        High(name, scene, to_uint8(image))
        for name, scene, image in zip(names, photographs, images, strict=True)
    )

    def lows() -> Iterator[Low]:
        samples = domain["samples"]
        made, draws = make(data, images.repeat(samples, 1, 1, 1), device)
        for number, (low, draw) in enumerate(zip(made, draws, strict=True)):
            sample, of = divmod(number, len(images))
            yield Low(names[of] if samples == 1 else f"{names[of]}-{sample}", names[of], low, draw)

    about = {key: data[key] for key in ("pairs", "source", "t0")}
    write_pair_set(folder, highs, lows(), high=high, scale=domain["scale"], about=about)
    return open_pair_set(folder)
