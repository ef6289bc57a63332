"""Chapter 3's tests: the true camera's pairs, or real low-quality images, which have no truth.

Of real images NIQE is taken image by image, and the distance of all restored images together to
sharp ones. Neither knows whether the content is right; both are read beside the pictures.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from reblur.datasets.images.files import to_uint8
from reblur.datasets.images.pair_sets import upsample
from reblur.datasets.images.photographs import Photographs
from reblur.errors import ReblurError
from reblur.evaluation.scoring import Restorer
from reblur.measures.distances import available_distances, distance
from reblur.measures.niqe import niqe, niqe_available
from reblur.study.data.made_pairs import (
    TEST_SHOTS,
    Images,
    camera_pairs,
    half,
    high_images,
    target_images,
)
from reblur.study.data.test_sets import (
    SCORE_COLUMNS,
    TestSet,
    centre_crop,
    empty_scores,
    score_sets,
    whole,
)

PATCH = 64  # side of the patches of which distances are taken; less where the sharp ones are
COUNT = 300
ALL = "all"  # the photograph and the image of a distance, which is of all images together
#: The test set of the floor: one half of the sharp images against the other.
FLOOR = "sharp_halves"


def test_sets(tests: Mapping[str, Any]) -> dict[str, TestSet]:
    """The true camera's pairs of a task, under its name; none where the target is real."""
    domain = tests["domain"]
    if domain["camera"] is None:
        return {}
    sizes = tests["tests"], tests["test_size"]
    pairs = camera_pairs(domain, tests["test_splits"], *sizes, TEST_SHOTS)
    return {domain["name"]: whole(domain["name"], pairs)}


def real_images(tests: Mapping[str, Any]) -> Photographs:
    """The real low-quality test images of a task, at the size at which a restorer sees them: their
    middle, enlarged by the task's scale."""
    domain = tests["domain"]
    found, scale = target_images(domain, tests["target"], "test"), domain["scale"]
    images = [centre_crop(image, tests["test_size"] // scale) for image in found.images]
    images = [upsample(i, i.shape[0] * scale, i.shape[1] * scale) for i in images]
    return Photographs([name.replace("/", "-") for name in found.names], images)


def score(
    restorer: Restorer, network: nn.Module | None, made: Mapping[str, Any], device: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and costs of a restorer on the test images of a recipe's task.

    Args:
        network: None for the blurred input, beside which the floor of the distances is given.
    """
    tests = made["tests"]
    if tests["domain"]["camera"]:
        return score_sets(restorer, test_sets(tests), device)
    images = real_images(tests)
    restored = [restorer(image) for image in images.images]
    return score_real(tests["domain"], images.names, restored, network is None), empty_scores()


def niqe_rows(
    dataset: str, names: Sequence[str], restored: Iterable[np.ndarray]
) -> list[tuple[str, str, str, str, float]]:
    """`niqe` of every restored image as a row of `SCORE_COLUMNS`, each image a photograph of its
    own. One that is too small for it is told and has none; without its parameters none has."""
    rows = []
    if niqe_available():
        for name, image in zip(names, restored, strict=True):
            try:
                rows.append((dataset, name, name, "niqe", niqe(image)))
            except ReblurError as error:
                print(f"{name}: {error}")
    return rows


def score_real(
    domain: Mapping[str, Any], names: Sequence[str], restored: Sequence[np.ndarray], floor: bool
) -> pd.DataFrame:
    """Long rows: `niqe` of every restored image that is large enough for it, and the distances of
    patches of all of them to patches of sharp ones; with `floor`, those of sharp ones to others.

    A measure that is not available here has no rows.
    """
    task = domain["name"]
    rows = niqe_rows(task, names, restored)
    highs, photographs = high_images(domain)
    sharp = Photographs(photographs, [to_uint8(image) for image in highs])
    side = min(PATCH, *highs.shape[2:])
    first, second = (_patches(domain, half(sharp, n), str(n), side) for n in (0, 1))
    sets = {task: _patches(domain, Photographs(names, restored), "restored", side)}
    for name, ours in (sets | ({FLOOR: second} if floor else {})).items():
        for metric in available_distances():
            try:
                rows.append((name, ALL, ALL, metric, distance(metric, ours, first)))
            except ReblurError as error:
                print(f"{name}: {error}")
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def _patches(domain: Mapping[str, Any], images: Photographs, stream: str, side: int) -> Images:
    return images.crops(domain["seed"], f"realism-{stream}", range(COUNT), side, augment=False)
