"""NIQE, LPIPS and the distances on AlexNet where they are absent, or the images too small."""

import numpy as np
import pytest
import torch

from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.evaluation import scoring
from reblur.evaluation.scoring import do_nothing, score_pairs
from reblur.study.data import made_tests

PICTURE = np.random.default_rng(0).integers(0, 256, (200, 208, 3)).astype(np.uint8)


@pytest.fixture
def score(monkeypatch):
    """Scores of images of a real task against made sharp ones, with the distances named."""

    def of(images, names=("swd",), refused=()):
        def distance(name, a, b):
            if name in refused:
                raise ReblurError(f"{name} needs larger images; leave it out.")
            return 1.0

        highs = torch.rand(4, 3, 64, 64), ["a", "b", "c", "d"]
        monkeypatch.setattr(made_tests, "high_images", lambda domain: highs)
        monkeypatch.setattr(made_tests, "available_distances", lambda: list(names))
        monkeypatch.setattr(made_tests, "distance", distance)
        domain = {"name": "real", "seed": 0}
        return made_tests.score_real(domain, [str(n) for n in range(len(images))], images, False)

    return of


def test_niqe_without_its_parameters_has_no_rows(score, monkeypatch, tmp_path):
    monkeypatch.setenv("REBLUR_DATA", str(tmp_path))
    assert set(score([PICTURE, PICTURE])["metric"]) == {"swd"}


def test_niqe_of_images_that_are_too_small_has_no_rows(score):
    assert "niqe" not in set(score([PICTURE[:90, :90]] * 2)["metric"])


@pytest.mark.parametrize(
    ("names", "kept"), [(["swd", "fd"], {"swd"}), (["fd"], set()), ([], set())]
)
def test_distances_that_cannot_be_taken_have_no_row(names, kept, score, capsys):
    assert set(score([PICTURE[:90, :90]], names, ["fd"])["metric"]) == kept
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
