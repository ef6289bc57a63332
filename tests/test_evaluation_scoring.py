"""Per-image scores: right numbers, the same bytes each time, costs beside them."""

import time

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage
from skimage import data

from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.evaluation import scoring
from reblur.evaluation.scoring import do_nothing, restorer_of, score_pairs
from reblur.measures import full_reference as metrics
from reblur.networks import build_network

COLUMNS = [*scoring.SCORE_COLUMNS, "seconds", "peak_memory_mb"]


def pairs() -> list[Pair]:
    found = []
    for name, photograph in (("cat", data.chelsea()), ("cup", data.coffee())):
        sharp = np.ascontiguousarray(photograph[100:260, 100:300])
        blurred = ndimage.uniform_filter(sharp, (1, 9, 1))
        found.append(Pair(name=name, scene=f"scene of {name}", blurred=blurred, sharp=sharp))
    return found


def test_doing_nothing_scores_the_blurred_photographs(tmp_path):
    frame = score_pairs(do_nothing, pairs(), "ours", lpips=False)
    assert list(frame.columns) == COLUMNS
    assert list(frame["image"]) == ["cat", "cup"]
    assert list(frame["scene"]) == ["scene of cat", "scene of cup"]
    for row, pair in zip(frame.itertuples(), pairs(), strict=True):
        assert row.psnr == metrics.psnr(pair.sharp, pair.blurred)
        assert row.psnr_tone == pytest.approx(row.psnr, abs=1e-9)
        assert row.psnr_detail == pytest.approx(row.psnr, abs=1e-9)
        assert row.ssim == metrics.ssim(pair.sharp, pair.blurred)
        assert row.ssim_matlab == metrics.ssim_matlab(pair.sharp, pair.blurred)


def test_what_is_not_available_is_empty_and_said_so():
    frame = score_pairs(do_nothing, pairs(), "ours", lpips=False)
    assert frame["lpips"].isna().all()
    assert frame.attrs["not_available"] == ["lpips"]


def test_lpips_is_used_where_it_is_at_hand(monkeypatch):
    monkeypatch.setattr(scoring, "lpips_available", lambda: True)
    monkeypatch.setattr(scoring, "lpips_distance", lambda a, b, device: 0.25)
    frame = score_pairs(do_nothing, pairs(), "ours")
    assert list(frame["lpips"]) == [0.25, 0.25]
    assert frame.attrs["not_available"] == []


def test_the_same_restorations_give_the_same_scores():
    network = build_network("sr_edrb1", width=4)
    first, second = (
        score_pairs(restorer_of(network, tile=128), pairs(), "ours", lpips=False) for _ in range(2)
    )
    costs = ["seconds", "peak_memory_mb"]
    assert list(first.columns)[-2:] == costs
    pd.testing.assert_frame_equal(first.drop(columns=costs), second.drop(columns=costs))
    assert (first[costs] > 0).all().all()


def test_equal_images_are_infinite():
    pair = pairs()[0]
    same = Pair(name="same", scene="same", blurred=pair.sharp, sharp=pair.sharp)
    assert score_pairs(do_nothing, [same], "ours", lpips=False)["psnr"][0] == float("inf")


def test_seconds_leave_the_warm_up_out():
    calls: list[tuple[int, ...]] = []

    def restorer(photograph: np.ndarray) -> np.ndarray:
        time.sleep(0.3 if not calls else 0.05)  # the first call is slow, as a network's is
        calls.append(photograph.shape)
        return photograph

    frame = score_pairs(restorer, pairs(), "ours", lpips=False)
    assert len(calls) == 3
    assert calls[0][0] < calls[1][0]
    assert ((frame["seconds"] > 0.045) & (frame["seconds"] < 0.25)).all()


def test_peak_memory_sees_what_the_restorer_holds():
    def hungry(photograph: np.ndarray) -> np.ndarray:
        held = np.ones(50_000_000 if len(photograph) > 128 else 1)  # 400 MB, given back at once
        return photograph + np.uint8(held[0] - 1)

    needed = score_pairs(hungry, pairs()[:1], "ours", lpips=False)["peak_memory_mb"][0]
    nothing = score_pairs(do_nothing, pairs()[:1], "ours", lpips=False)["peak_memory_mb"][0]
    assert 350 < needed - nothing < 500


@pytest.mark.parametrize(
    ("restorer", "given", "said"),
    [
        (do_nothing, [], "no pairs"),
        (do_nothing, [pairs()[0], pairs()[0]], "'cat' comes twice"),
        (lambda image: image[1:], pairs(), "image 'cat'.*200×159"),
        (lambda image: image / 255, pairs(), "image 'cat'.*float64"),
    ],
)
def test_faults_name_the_data_set_and_the_image(restorer, given, said):
    with pytest.raises(ReblurError, match=f"(?s)ours.*{said}"):
        score_pairs(restorer, given, "ours", lpips=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_costs_on_a_gpu():
    network = build_network("sr_edrb1", width=4)
    restorer = restorer_of(network, device="cuda", precision="bf16", channels_last=True)
    frame = score_pairs(restorer, pairs(), "ours", device="cuda", lpips=False)
    assert (frame["peak_memory_mb"] > 1).all()
    assert (frame["seconds"] > 0).all()
