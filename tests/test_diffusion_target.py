"""What chapter 3 cuts its images from, and its target as a folder of the user's own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reblur.datasets.images.photographs import Photographs
from reblur.errors import ReblurError
from reblur.study.diffusion_data import Task, crops, target_images
from reblur.study.diffusion_models import denoiser_configuration
from reblur.study.params import read_params

PARAMS = read_params(Path(__file__).parents[1] / "params.yaml")


def folder_of(path: Path, count: int) -> Path:
    path.mkdir()
    for number in range(count):
        pixels = np.full((40, 50, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(path / f"{number}.png")
    return path


def task_on(folder: Path) -> Task:
    data = {"targets": {"real_superres": str(folder)}, "low": {"real_superres": 32}, "seed": 0}
    data |= {"real": {"sets": []}}
    return Task("real_superres", 4, {}, None, "photographs", data, "cpu")


def test_every_fourth_image_of_a_folder_is_for_testing(tmp_path: Path) -> None:
    task = task_on(folder_of(tmp_path / "scans", 9))
    assert target_images(task, "train").names == ["0", "1", "2", "4", "5", "6", "8"]
    assert target_images(task, "test").names == ["3", "7"]
    assert (target_images(task, "test")[1] == 70).all()


@pytest.mark.parametrize(
    ("content", "stream", "turned"),
    [
        ("photographs", "high", True),
        ("photographs", "target", False),
        ("photographs", "test", False),
        ("faces", "high", False),
    ],
)
def test_only_photographs_that_pairs_are_made_of_are_turned(content, stream, turned) -> None:
    brighter_below = np.tile(np.arange(64, dtype=np.uint8)[:, None, None], (1, 64, 3))
    task = Task("superres", 4, {}, "superres", content, {"seed": 0}, "cpu")
    cut = crops(task, Photographs(["ramp"], [brighter_below]), stream, 20, 32)
    upright = ((cut[:, :, 1:] - cut[:, :, :-1]) > 0).flatten(1).all(1)
    assert upright.all() == (not turned)


def test_other_images_are_another_configuration(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "scans", 4)
    before = denoiser_configuration(PARAMS, task_on(folder))
    assert before == denoiser_configuration(PARAMS, task_on(folder))
    Image.fromarray(np.full((40, 50, 3), 200, np.uint8)).save(folder / "0.png")
    assert before != denoiser_configuration(PARAMS, task_on(folder))


def test_an_empty_small_missing_or_broken_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ReblurError, match="no such folder"):
        target_images(task_on(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReblurError, match="holds no images"):
        target_images(task_on(tmp_path / "empty"))
    with pytest.raises(ReblurError, match="holds 3 images; put 4 or more"):
        target_images(task_on(folder_of(tmp_path / "few", 3)))
    broken = folder_of(tmp_path / "broken", 5)
    (broken / "2.png").write_bytes(b"no image")
    with pytest.raises(ReblurError, match=r"2\.png"):
        target_images(task_on(broken))
