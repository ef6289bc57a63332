"""Chapter 3's real photographs, which have no truth: scores without a reference.

NIQE image by image, and the distance of all restored images together to sharp ones. Neither knows
whether the content is right; both are read beside the pictures.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from reblur.datasets.images.files import to_uint8
from reblur.datasets.images.photographs import Photographs
from reblur.errors import ReblurError
from reblur.evaluation.scoring import Restorer
from reblur.files import write_text
from reblur.measures.distances import available_distances, distance
from reblur.measures.niqe import niqe
from reblur.study.diffusion_data import CHAPTER, Task, half, high_images, task_of

COLUMNS = ("dataset", "image", "scene", "niqe")
PATCH = 64  # side of the patches of which distances are taken; less where the sharp ones are
COUNT = 300


def score_realism(task: Task, restored: Photographs) -> pd.DataFrame:
    """NIQE of every restored image; NaN where its parameters are not here, or where the image is
    too small for it (why is printed, once).

    Returns:
        Columns dataset (the task's name), image, scene, niqe.
    """
    rows, told = [], set()
    for name, image in zip(restored.names, restored.images, strict=True):
        try:
            value = niqe(image)
        except ReblurError as error:
            if str(error) not in told:
                print(error)
            told.add(str(error))
            value = float("nan")
        rows.append({"dataset": task.name, "image": name, "scene": name, "niqe": value})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def score_distances(task: Task, restored: Photographs) -> pd.DataFrame:
    """The distance of patches of the restored images to patches of sharp ones, with its floor: one
    half of the sharp ones against the other. A distance that needs AlexNet where it is not here, or
    larger patches (why is printed), has no row.

    Returns:
        Columns dataset, metric, distance, floor.
    """
    highs = high_images(task)
    sharp = Photographs([""] * len(highs), [to_uint8(image) for image in highs])
    side = min(PATCH, task.high)
    first, second = (
        _patches(half(sharp, number), task.seed, str(number), side) for number in (0, 1)
    )
    ours = _patches(restored, task.seed, "restored", side)
    rows = []
    for metric in available_distances():
        try:
            values = distance(metric, ours, first), distance(metric, second, first)
        except ReblurError as error:
            print(error)
            continue
        row = {"dataset": task.name, "metric": metric, "distance": values[0], "floor": values[1]}
        rows.append(row)
    return pd.DataFrame(rows, columns=["dataset", "metric", "distance", "floor"])


def _patches(
    images: Photographs, seed: int, stream: str, side: int
) -> Float[Tensor, "_n 3 _side _side"]:
    return images.crops(seed, f"realism-{stream}", range(COUNT), side, augment=False)


def restored_by(restore: Restorer, images: Photographs) -> Photographs:
    """Every image restored, under its name."""
    return Photographs(images.names, [restore(image) for image in images.images])


def write_realism(task: Task, restored: Photographs, folder: Path) -> pd.DataFrame:
    """Write `realism.csv` and `distances.csv` into a folder; returns the first."""
    scores = score_realism(task, restored)
    for name, frame in (("realism", scores), ("distances", score_distances(task, restored))):
        text = frame.to_csv(index=False, lineterminator="\n", float_format="%.6f")
        write_text(Path(folder) / f"{name}.csv", text)
    return scores


def unpaired_task(params: Mapping[str, Any], profile: str, variant: str) -> Task | None:
    """The task of a variant of chapter 3 whose photographs have no truth; None of any other."""
    if variant not in params[CHAPTER]["variants"]:
        return None
    task = task_of(params, profile, params[CHAPTER]["variants"][variant]["task"])
    return None if task.camera else task
