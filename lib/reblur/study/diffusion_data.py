"""Chapter 3's data: targets, high-quality images, and a set of training pairs for each source.

    results/<profile>/subjects/<task>/    targets/, high/, test/, validation/: written once
    results/<profile>/pairs/<task>/       <source>/: the same high-quality images, made low
    results/<profile>/diffusion/<task>/   the diffusion model, its pictures, the measurements

A hidden camera sees other photographs than those that the pairs are made of: what it makes of them,
the target, is all that the training side knows of it.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from reblur.datasets.degradation.degrade import degrade
from reblur.datasets.hidden_camera.camera import HiddenCamera
from reblur.datasets.images.files import read_image, to_tensor, to_uint8, write_image
from reblur.datasets.images.low_quality import low_quality_folder, open_faces, open_low_quality
from reblur.datasets.images.pair_sets import (
    MadePair,
    pair_set_hash,
    upsample,
    write_highs,
    write_pair_set,
)
from reblur.datasets.images.photographs import Photographs, open_photographs
from reblur.diffusion import draw_start, refine
from reblur.errors import ReblurError
from reblur.study.data import SUBJECTS, centre_crop
from reblur.study.diffusion_results import DRAWN, INITIAL, ORACLE, REFINED, start_of
from reblur.study.params import data_of, profile_of, project_root, refuse_unknown, results_folder

CHAPTER = "diffusion"
BATCH = 16  # images that are degraded or refined at once; changes no value
NOT_MADE = "not made yet"

Images = Float[Tensor, "_n 3 _h _w"]


@dataclass(frozen=True)
class Task:
    """A domain of low-quality images and what is made for it, of params.yaml and a profile.

    Attributes:
        name: of the task.
        scale: side of a high-quality image over that of its low-quality one.
        recipes: source → recipe of `degrade`.
        camera: kind of the hidden camera; None where the target is real photographs.
        content: "photographs" or "faces".
        data: the profile's data section of the chapter.
        profile: its name.
    """

    name: str
    scale: int
    recipes: dict[str, str]
    camera: str | None
    content: str
    data: dict[str, Any]
    profile: str

    @property
    def low(self) -> int:
        """Side of a low-quality training image in pixels."""
        return int(self.data["low"][self.name])

    @property
    def high(self) -> int:
        return self.low * self.scale

    @property
    def seed(self) -> int:
        return int(self.data["seed"])

    @property
    def folder(self) -> Path:
        """Of the diffusion model and the measurements."""
        return project_root() / results_folder(self.profile) / CHAPTER / self.name

    @property
    def data_folder(self) -> Path:
        return project_root() / results_folder(self.profile) / SUBJECTS / self.name

    def pairs_folder(self, source: str) -> Path:
        return project_root() / results_folder(self.profile) / "pairs" / self.name / source


def task_of(params: Mapping[str, Any], profile: str, name: str) -> Task:
    """A task as a profile studies it.

    Raises:
        ReblurError: no such task, or one that the profile leaves out.
    """
    part = profile_of(dict(params), profile)[CHAPTER]
    refuse_unknown([name], part["tasks"], f"task of profile {profile!r}")
    about = params[CHAPTER]["tasks"][name]
    recipes = {source: about[source] for source in ("clean", "handmade", "softened")}
    data = data_of(dict(params), profile, CHAPTER)
    return Task(name, about["scale"], recipes, about.get("camera"), about["content"], data, profile)


def tasks_of(params: Mapping[str, Any], profile: str) -> list[Task]:
    """Every task of a profile, in order."""
    names = profile_of(dict(params), profile)[CHAPTER]["tasks"]
    return [task_of(params, profile, name) for name in names]


def starts_of(source: str, seed: int, indices: Sequence[int]) -> list[int] | None:
    """t0 of each image of a refined source; None of any other source."""
    if source == DRAWN:
        return [draw_start(seed, index) for index in indices]
    start = start_of(source)
    return None if start is None else [start] * len(indices)


def subjects(task: Task, split: str) -> Photographs:
    """The sharp images of a split: photographs, or whole faces of one size."""
    data = task.data
    if task.content == "faces":
        return open_faces(data["faces"], split, data["face_size"])
    return _photographs(tuple(data["photographs"]), split, data["downscale"], data["min_side"])


@functools.lru_cache(maxsize=3)  # several tasks have the same subjects; decoding takes its time
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


def crops(task: Task, photographs: Photographs, stream: str, count: int, side: int) -> Images:
    """`count` crops of the side, or of the largest that all photographs and the scale allow.

    Those that training pairs are made of (`stream` "high") are turned by the square's symmetries,
    but for faces; what a camera sees for the target or a test stands upright.
    """
    smallest = min(min(image.shape[:2]) for image in photographs.images)
    side = min(side, smallest) // (4 * task.scale) * (4 * task.scale)
    name = f"{CHAPTER}-{task.name}-{stream}"
    turned = stream == "high" and task.content != "faces"
    return photographs.crops(task.seed, name, range(count), side, augment=turned)


def seen_by_camera(task: Task, images: Images, first: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The hidden camera's photographs of `images`, its shots numbered from `first`."""
    if task.camera is None:
        raise ReblurError(f"{task.name}: its target is real; there is no camera to ask.")
    camera = HiddenCamera(task.camera)
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        shots = range(first + start, first + start + len(part))
        for low in camera.photograph(part, scale=task.scale, seed=task.seed, indices=shots):
            yield to_uint8(low)


# The camera never takes the same shot twice: each use of it has its own numbers.
TARGET_SHOTS, TEST_SHOTS, VALIDATION_SHOTS, ORACLE_SHOTS = 0, 1_000_000, 2_000_000, 3_000_000


def write_task(task: Task) -> None:
    """Write a task's high-quality images, and, where a camera makes the target, its images and the
    test and validation pairs."""
    folder, data = task.data_folder, task.data
    train = subjects(task, "train")
    source = half(train, 0) if task.camera else train
    highs = crops(task, source, "high", data["highs"], task.high)
    write_highs(folder / "high", _named(highs))
    if task.camera is None:
        return
    seen = half(train, 1)
    shots = crops(task, seen, "target", data["shots"] * len(seen), data["photograph_size"])
    for number, low in enumerate(seen_by_camera(task, shots, TARGET_SHOTS)):
        write_image(folder / "targets" / f"{number:05d}.png", low)
    for split, count, side, first in (
        ("test", data["tests"], data["test_size"], TEST_SHOTS),
        ("validation", 4, task.high, VALIDATION_SHOTS),
    ):
        images = crops(task, subjects(task, split), split, count, side)
        write_highs(folder / f"{split}_high", _named(images))
        lows = seen_by_camera(task, images, first)
        write_pair_set(
            folder / split,
            _pairs(lows, [{"shot": first + number} for number in range(count)]),
            high=folder / f"{split}_high",
            scale=task.scale,
            about={"source": ORACLE, "camera": task.camera, "seed": task.seed, "shots": first},
        )


def _named(images: Images) -> Iterator[tuple[str, str, np.ndarray]]:
    for number, image in enumerate(images):
        yield f"{number:05d}", f"{number:05d}", to_uint8(image)


def _pairs(
    lows: Iterator[np.ndarray], draws: Sequence[dict[str, Any]], highs: int | None = None
) -> Iterator[MadePair]:
    """Low images with their names: 00003 as its high one, or 00003-0, 00003-1, … where there are
    several samples of each of `highs`, one round after the other."""
    highs = len(draws) if highs is None else highs
    for number, low in enumerate(lows):
        high = f"{number % highs:05d}"
        name = high if len(draws) == highs else f"{high}-{number // highs}"
        yield MadePair(name, high, low, draws[number])


def target_images(task: Task, split: str = "train") -> Photographs:
    """The low-quality images of the target: what the camera made, or real ones.

    A real target is named by its data sets, or as one folder of one's own (its path, instead of a
    list), of which every fourth image is for testing.

    Raises:
        ReblurError: the data stage has not run, a real set is not here, or the folder is missing,
            holds fewer than four images or one that cannot be read.
    """
    if task.camera is None:
        names = task.data["targets"][task.name]
        if isinstance(names, str):
            return own_folder(names, split, task.low)
        if task.content == "faces":  # whole, and as large in the picture as the sharp ones
            return open_faces(names, split, task.data["face_size"] // task.scale)
        return open_low_quality(names, split, task.low)
    paths = sorted((task.data_folder / "targets").glob("*.png"))
    if not paths:
        raise ReblurError(
            f"{task.data_folder / 'targets'}: holds no images; run the stage "
            f"{task.profile}_{CHAPTER}_data first."
        )
    return Photographs([path.stem for path in paths], [read_image(path) for path in paths])


def own_folder(path: str, split: str, size: int) -> Photographs:
    """The images of a user's own folder that belong to a split: every fourth one to "test"."""
    found = low_quality_folder(project_root() / path, size)
    if len(found) < 4:
        raise ReblurError(
            f"{path}: holds {len(found)} images; put 4 or more there, as every fourth is for "
            "testing."
        )
    kept = [n for n in range(len(found)) if (n % 4 == 3) == (split == "test")]
    return Photographs([found.names[n] for n in kept], [found.images[n] for n in kept])


def high_images(task: Task) -> Images:
    """The high-quality images of the training pairs, in the order of their names, and all of them
    again for every further sample that the profile wants (`samples`)."""
    paths = sorted((task.data_folder / "high").glob("*.png"))
    if not paths:
        raise ReblurError(
            f"{task.data_folder / 'high'}: holds no images; run the stage "
            f"{task.profile}_{CHAPTER}_data first."
        )
    images = torch.stack([to_tensor(read_image(path)) for path in paths])
    return images.repeat(task.data.get("samples", 1), 1, 1, 1)


def low_images(
    task: Task,
    source: str,
    highs: Images,
    denoiser: nn.Module | None,
    synthesis: Mapping[str, Any],
    device: str,
) -> tuple[list[UInt8[np.ndarray, "h w 3"]], list[dict[str, Any]]]:
    """The low-quality side of every high-quality image by one source, and how each was drawn.

    Args:
        source: clean, handmade, softened, refined_<t0>, refined_drawn or oracle.
        highs: of `high_images`, maybe several times over.
        denoiser: of the target; asked for by refined sources alone.
        synthesis: `sampler`, `steps` and `low_pass` of `refine`.
    """
    if source == ORACLE:
        lows = list(seen_by_camera(task, highs, ORACLE_SHOTS))
        return lows, [{"shot": ORACLE_SHOTS + number} for number in range(len(lows))]
    recipe = task.recipes[INITIAL if source.startswith(REFINED) else source]
    lows, draws = [], []
    for first in range(0, len(highs), BATCH):
        part = highs[first : first + BATCH]
        indices = range(first, first + len(part))
        made, drawn = degrade(part, recipe, scale=task.scale, seed=task.seed, indices=indices)
        if starts := starts_of(source, task.seed, indices):
            made = refine(
                denoiser, made.to(device), starts, seed=task.seed, indices=indices, **synthesis
            ).cpu()
            drawn = [{**draw, "t0": t0} for draw, t0 in zip(drawn, starts, strict=True)]
        lows += [to_uint8(image) for image in made]
        draws += drawn
    return lows, draws


def write_source(
    task: Task, source: str, lows: Sequence[np.ndarray], draws: Sequence[dict], about: dict
) -> None:
    """Write the training pairs of a source as a data set of its own (`open_pair_set`)."""
    write_pair_set(
        task.pairs_folder(source),
        _pairs(iter(lows), draws, task.data["highs"]),
        high=task.data_folder / "high",
        scale=task.scale,
        about={"source": source, "t0": start_of(source), "seed": task.seed, **about},
    )


def pair_set_of(params: Mapping[str, Any], profile: str, task: str, source: str) -> dict[str, Any]:
    """The data section of a run: its training pairs and validation pairs, below the project's root,
    with the hash of the training pairs, or `NOT_MADE`."""
    described = task_of(params, profile, task)
    folder, root = described.pairs_folder(source), project_root()
    made = pair_set_hash(folder) if folder.is_dir() else NOT_MADE
    held_out = described.data_folder / "validation"
    return {
        "pair_set": folder.relative_to(root).as_posix(),
        "pair_set_sha256": made,
        "validation_set": held_out.relative_to(root).as_posix() if described.camera else None,
    }


def unpaired_tests(task: Task) -> Photographs:
    """The real low-quality test images of a task, at the size at which a restorer sees them: their
    middle, upsampled by the task's scale."""
    found = target_images(task, "test")
    side = task.data["test_size"] // task.scale
    images = [centre_crop(image, side) for image in found.images]
    images = [upsample(i, i.shape[0] * task.scale, i.shape[1] * task.scale) for i in images]
    return Photographs([name.replace("/", "-") for name in found.names], images)
