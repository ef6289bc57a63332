"""NIQE, LPIPS and the distances on AlexNet where they are absent, or the images too small."""

from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch

from reblur.datasets.images.pairs import Pair
from reblur.datasets.images.photographs import Photographs
from reblur.errors import ReblurError
from reblur.evaluation import realism, scoring
from reblur.evaluation.scoring import do_nothing, score_pairs, shown_mean

PICTURE = np.random.default_rng(0).integers(0, 256, (200, 208, 3)).astype(np.uint8)
TASK = Mock(spec=realism.Task)
TASK.name, TASK.seed, TASK.high = "real", 0, 64


@pytest.mark.parametrize(
    ("values", "shown"),
    [([], "not available"), ([np.nan, np.nan], "not available"), ([None], "not available"),
     ([1, 2], "1.500"), ([1.25, np.nan], "1.250")],
)  # fmt: skip
def test_a_mean_without_numbers_is_not_available(values, shown):
    assert shown_mean(pd.Series(values)) == shown
    assert shown_mean(pd.Series(values, dtype=object)) == shown


def test_niqe_without_its_parameters_is_told_once(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("REBLUR_DATA", str(tmp_path))
    scores = realism.score_realism(TASK, Photographs(["a", "b"], [PICTURE, PICTURE]))
    assert scores["niqe"].isna().all()
    assert capsys.readouterr().out.count("niqe_parameters") >= 1
    assert shown_mean(scores["niqe"]) == "not available"


def test_niqe_of_images_that_are_too_small(capsys):
    small = Photographs(["a", "b"], [PICTURE[:90, :90], PICTURE[:90, :90]])
    scores = realism.score_realism(TASK, small)
    assert scores["niqe"].isna().all()
    assert capsys.readouterr().out.count("two whole blocks") == 1


@pytest.mark.parametrize(("names", "kept"), [(["swd", "fd"], ["swd"]), (["fd"], []), ([], [])])
def test_distances_that_cannot_be_taken_have_no_row(names, kept, monkeypatch, capsys):
    def distance(name, a, b):
        if name == "fd":
            raise ReblurError("fd needs larger images; leave it out.")
        return 1.0

    monkeypatch.setattr(realism, "high_images", lambda task: torch.rand(4, 3, 64, 64))
    monkeypatch.setattr(realism, "available_distances", lambda: names)
    monkeypatch.setattr(realism, "distance", distance)
    table = realism.score_distances(TASK, Photographs(["a"], [PICTURE]))
    assert list(table["metric"]) == kept
    assert list(table.columns) == ["dataset", "metric", "distance", "floor"]
    assert ("larger images" in capsys.readouterr().out) == ("fd" in names)


def test_lpips_of_an_image_that_is_too_small_is_not_available(monkeypatch):
    def lpips(sharp, restored, device):
        if min(sharp.shape[:2]) < 31:
            raise ReblurError("LPIPS needs 31×31 pixels; leave it out.")
        return 0.25

    monkeypatch.setattr(scoring, "lpips_available", lambda: True)
    monkeypatch.setattr(scoring, "lpips_distance", lpips)
    pairs = [
        Pair(f"{side}", "scene", PICTURE[:side, :side], PICTURE[1 : side + 1, :side])
        for side in (24, 64)
    ]
    scores = score_pairs(do_nothing, pairs, "made")
    assert scores["lpips"].isna().tolist() == [True, False]
    assert scores["psnr"].notna().all()
    assert scores.attrs["not_available"] == [] or "lpips" not in scores.attrs["not_available"]
    alone = score_pairs(do_nothing, pairs[:1], "made")
    assert "lpips" in alone.attrs["not_available"]
    assert shown_mean(alone["lpips"]) == "not available"
