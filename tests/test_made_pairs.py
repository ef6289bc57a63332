"""Chapter 3's pairs: made from their recipe alone, the same bytes again when they are missing."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torch import nn

from reblur.datasets.images.photographs import Photographs
from reblur.errors import ReblurError
from reblur.evaluation.scoring import do_nothing
from reblur.study import targets
from reblur.study.analysis.scores import read_measures
from reblur.study.chapters import diffusion
from reblur.study.data import made_tests
from reblur.study.data.made_pairs import (
    camera_pairs,
    cut,
    from_pairs,
    pair_set,
    target_images,
    validation_pairs,
)
from reblur.study.denoisers import learned, train_denoiser
from reblur.study.params import Params, merged, read_params
from reblur.study.rows import Run
from reblur.study.runs import recipe

ROOT = Path(__file__).parents[1]
TINY = {
    "tasks": {
        "superres": {"sources": ["clean", "softened", "fitted", "oracle"], "t0": [20, "drawn"]}
    },
    "data": {
        "highs": 3,
        "samples": 2,
        "shots": 1,
        "tests": 2,
        "test_splits": ["test"],
        "test_size": 64,
        "patches": 4,
    },
    "denoiser": {
        "options": {"channels": [4, 8], "layers": 1},
        "training": {"steps": 2, "batch": 2},
    },
    "synthesis": {"steps": 2},
}


def params_of(part: dict[str, Any]) -> Params:
    values = read_params(ROOT / "params.yaml").as_dict()
    at = values["profiles"]["demo"]
    at["diffusion"] = merged(at["diffusion"], part)
    return Params.from_dict(values, "params.yaml")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of its own, so that scratch/ and results/ are written there."""
    folder, before = tmp_path_factory.mktemp("project"), Path.cwd()
    (folder / "params.yaml").write_text("")
    (folder / "data_manifests").symlink_to(ROOT / "data_manifests")
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def made(project: Path) -> dict[str, Any]:
    return diffusion.target_recipes(params_of(TINY), "demo")["superres-0"]


@pytest.fixture(scope="module")
def sets(made: dict[str, Any]) -> list[Any]:
    return [pair_set(about, "cpu") for about in made["pairs"]]


def lows(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "low").glob("*.png"))}


def test_every_source_makes_its_own_pairs_of_the_same_high_images(made, sets) -> None:
    first = sets[0]
    for about, pairs in zip(made["pairs"], sets, strict=True):
        assert pairs.names == [f"{n:05d}-{k}" for k in range(2) for n in range(3)]
        assert (pairs.about["source"], pairs.about["t0"]) == (about["source"], about["t0"])
        assert all(np.array_equal(pairs.high(n), first.high(n)) for n in range(6))
        assert all(scene.startswith("skimage_photographs/") for scene in pairs.scenes)
    fitted = next(pairs for pairs in sets if pairs.about["source"] == "fitted")
    assert fitted.draws[0]["fitted"]["distance"] < 5  # recorded beside each pair
    for n in range(6):
        assert len({pairs.low(n).tobytes() for pairs in sets}) == len(sets)
    drawn = [draw["t0"] for draw in sets[-2].draws]
    assert len(set(drawn)) > 1  # t0 is drawn image by image
    assert {draw["t0"] for draw in sets[-3].draws} == {20}


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_pairs_that_are_missing_are_made_again_in_the_same_bytes(project, made, sets, damage):
    about = next(pairs for pairs in made["pairs"] if pairs["t0"] == 20)
    folder = project / "scratch" / about["pairs"][:16]
    before = lows(folder)
    if damage == "removed":
        shutil.rmtree(folder)
        shutil.rmtree(project / "scratch" / made["denoiser"]["identity"][:16])
    else:
        next((folder / "low").glob("*.png")).write_bytes(b"")
    pair_set(about, "cpu")
    assert len(before) == 6
    assert lows(folder) == before


def test_a_run_trains_on_its_pairs_and_is_followed_on_the_true_cameras(made, sets) -> None:
    run = Run("diffusion", "rrdb", "rrdb", 0, "superres", None, "clean")
    config = recipe(params_of(TINY), "demo", run)["configuration"]
    batch = from_pairs(config).batch(0, range(2), "cpu")
    assert batch["blurred"].shape == batch["sharp"].shape == (2, 3, 64, 64)
    held_out = validation_pairs(config)
    assert [pair.sharp.shape for pair in held_out] == [(128, 128, 3)] * 4


def test_measures_are_long_rows_with_a_floor(project, made, sets) -> None:
    result = train_denoiser(made["denoiser"], "cpu", progress=False)
    measures = targets.measure_pairs(made, sets)
    assert list(measures.columns) == list(targets.MEASURE_COLUMNS)
    means = measures.groupby(["source", "metric"])["value"].mean()
    assert means["softened", "content_deviation"] == 0 < means["oracle", "content_deviation"]
    assert means["oracle", "content_deviation"] < means["oracle", "deviation"]
    assert {"target", "clean", "refined", "fitted", "oracle"} <= set(measures["source"])
    spread = measures[measures["metric"] == "spectrum_deviation"]
    assert len(spread) == len(sets)
    assert (spread["value"] > 0).all()
    counted = measures[measures["metric"] == "deviation"].groupby(["source", "t0"], dropna=False)
    assert set(counted.size()) == {6}
    cost = targets.measure_cost(made, result.network, targets.low_images(sets[0]), 20, "cpu")
    calls = cost[cost["metric"] == "calls"].set_index("dataset")["value"]
    assert calls["ddpm, every step"] == 21
    assert calls["unipc, 10 steps"] == 10
    targets.write_target("demo", made, result, pd.concat([measures, cost]))
    targets.write_pictures("demo", made, learned(made, result.network, "cpu"), sets)
    folder = project / "results" / "demo" / "targets" / "superres-0"
    assert {path.name for path in folder.iterdir()} == {"run.json", "log.csv", "measures.csv"}
    shown = project / "results" / "demo" / "pictures" / "diffusion" / "superres"
    assert len(list(shown.rglob("*.png"))) == 3 * (3 + 1 + len(sets))


def test_the_camera_tests_are_pairs_whose_unit_is_the_photograph(made) -> None:
    domain = made["denoiser"]["configuration"]["domain"]
    run = Run("diffusion", "rrdb", "rrdb", 0, "superres", None, "clean")
    one = recipe(params_of(TINY), "demo", run)
    scores, costs = made_tests.score(do_nothing, None, one, "cpu")
    assert set(scores["dataset"]) == {"superres"}
    assert set(scores["photograph"]) == {
        pair.scene for pair in camera_pairs(domain, ["test"], 2, 64, made_tests.TEST_SHOTS)
    }
    assert {"psnr", "ssim"} <= set(scores["metric"])
    assert "seconds" in set(costs["metric"])


def test_every_photograph_of_the_splits_is_tested_in_turn(made) -> None:
    domain = made["denoiser"]["configuration"]["domain"]
    pairs = camera_pairs(domain, ["test", "validation"], 7, 64, made_tests.TEST_SHOTS)
    scenes = [pair.scene.partition("/")[2] for pair in pairs]
    assert scenes == ["chelsea", "rocket", "coffee"] * 2 + ["chelsea"]
    assert len({pair.sharp.tobytes() for pair in pairs}) == 7  # other crops of it


# Real targets: a folder of the user's own.


def folder_of(path: Path, count: int) -> Path:
    path.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (200, 200, 3), np.uint8)
        pixels[0, 0] = number
        Image.fromarray(pixels).save(path / f"{number}.png")
    return path


REAL = {
    "name": "real_superres", "content": "photographs", "scale": 4, "camera": None,
    "images": ["skimage_photographs"], "prepared": {"downscale": 1, "min_side": 160},
    "low": 32, "highs": 4, "samples": 1, "seed": 0,
}  # fmt: skip


def test_every_fourth_image_of_a_folder_is_for_testing(tmp_path: Path) -> None:
    target = {"sets": str(folder_of(tmp_path / "scans", 9))}
    assert target_images(REAL, target, "train").names == ["0", "1", "2", "4", "5", "6", "8"]
    assert target_images(REAL, target, "test").names == ["3", "7"]
    assert (target_images(REAL, target, "test")[1][0, 0] == 7).all()


def test_real_images_have_distances_and_the_blurred_input_has_their_floor(tmp_path: Path) -> None:
    target = {"sets": str(folder_of(tmp_path / "scans", 8))}
    one = {
        "tests": {
            "domain": REAL,
            "target": target,
            "tests": 2,
            "test_splits": ["test"],
            "test_size": 128,
        }
    }
    blurred, costs = made_tests.score(do_nothing, None, one, "cpu")
    assert len(costs) == 0
    swd = blurred[blurred["metric"] == "swd"].set_index("dataset")["value"]
    assert set(swd.index) == {"real_superres", made_tests.FLOOR}
    assert swd[made_tests.FLOOR] < swd["real_superres"]  # noise is far from photographs
    restored, _ = made_tests.score(do_nothing, nn.Identity(), one, "cpu")
    assert set(restored["dataset"]) == {"real_superres"}


def test_an_empty_small_missing_or_broken_folder_is_one_sentence(tmp_path: Path) -> None:
    def images(name: str) -> Photographs:
        return target_images(REAL, {"sets": str(tmp_path / name)})

    with pytest.raises(ReblurError, match="there is no such folder"):
        images("nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReblurError, match="holds no images"):
        images("empty")
    folder_of(tmp_path / "few", 3)
    with pytest.raises(ReblurError, match="holds 3 images; put 4 or more"):
        images("few")
    (folder_of(tmp_path / "broken", 5) / "2.png").write_bytes(b"no image")
    with pytest.raises(ReblurError, match=r"2\.png"):
        images("broken")


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
    domain = {**REAL, "content": content}
    crops, names = cut(domain, Photographs(["ramp"], [brighter_below]), stream, 20, 32)
    upright = ((crops[:, :, 1:] - crops[:, :, :-1]) > 0).flatten(1).all(1)
    assert upright.all() == (not turned)
    assert names == ["ramp"] * 20


def test_measures_that_were_written_are_read(tmp_path) -> None:
    """A column with gaps holds 100.0 in memory; in the file it is 100."""
    rows = [
        ("clean", None, "pairs", "all", "all", "swd", 0.5),
        ("refined", 100, "pairs", "all", "all", "swd", 0.25),
        ("refined", 100, "pairs", "a", "0", "content_deviation", 0.125),
    ]
    measures = pd.DataFrame(rows, columns=list(targets.MEASURE_COLUMNS))
    assert measures["t0"].dtype == float
    drawn = pd.DataFrame([("refined", "drawn", *rows[0][2:])], columns=measures.columns)
    for name, frame in {"superres-0": measures, "superres-1": pd.concat([measures, drawn])}.items():
        targets.write_measures(frame, tmp_path / "targets" / name / "measures.csv")
    runs = [Run("diffusion", "rrdb", "rrdb", seed, "superres", None, "clean") for seed in (0, 1)]
    found = read_measures(tmp_path, runs)
    assert set(found["t0"].dropna()) == {100, "drawn"}
    assert len(found) == 7
