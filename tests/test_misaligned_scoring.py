"""The three protocols for misaligned pairs, on displacements that are known."""

import numpy as np
import pytest
from skimage import data

from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.evaluation.alignment import compare_masked
from reblur.evaluation.protocols import PROTOCOLS, score_protocols, warp_truth
from reblur.evaluation.scoring import do_nothing
from reblur.measures.full_reference import psnr, ssim

WHOLE = data.astronaut()
SHARP = np.ascontiguousarray(WHOLE[100:228, 150:278])
SHIFTED = np.ascontiguousarray(WHOLE[103:231, 146:274])  # 3 down and 4 to the left: 5 px


def scores_of(restorer, blurred=SHARP, sharp=SHIFTED):
    frame = score_protocols(restorer, [Pair("a", "s", blurred, sharp)], "set")
    return frame.set_index("dataset")["psnr"]


def test_every_protocol_has_its_rows():
    frame = score_protocols(do_nothing, [Pair("a", "s", SHARP, SHIFTED)], "set")
    assert list(frame["dataset"]) == [f"set_{name}" for name in PROTOCOLS]


def test_warping_the_truth_takes_a_shift_away():
    scores = scores_of(do_nothing)
    assert scores["set_raw"] == pytest.approx(psnr(SHIFTED, SHARP))
    assert scores["set_to_input"] > scores["set_raw"] + 10
    # the output is the input here: both warps are the same
    assert scores["set_to_output"] == pytest.approx(scores["set_to_input"])


def test_only_the_truth_warped_to_the_output_forgives_a_result_that_moved():
    def moved(photograph):
        return np.ascontiguousarray(WHOLE[98:226, 155:283])  # another 5 px away from the truth

    scores = scores_of(moved)
    assert scores["set_to_output"] > scores["set_to_input"] + 8


def test_aligned_pairs_lose_nothing_by_a_warp():
    scores = scores_of(do_nothing, SHARP, SHARP)
    assert np.isinf(scores["set_raw"])
    assert scores["set_to_input"] > 40


def test_where_no_flow_can_be_found_the_truth_stays():
    flat = np.full_like(SHARP, 128)
    truth, covered = warp_truth(SHARP, flat)
    assert np.array_equal(truth, SHARP)
    assert covered.all()


def test_what_the_mask_leaves_out_does_not_count():
    mask = np.zeros(SHARP.shape[:2], np.float32)
    mask[20:100, 20:100] = 1
    spoilt = SHARP.copy()
    spoilt[:20] = 0
    assert np.isinf(compare_masked(SHARP, spoilt, mask)["psnr"])
    everywhere = np.ones_like(mask)
    whole = compare_masked(SHARP, spoilt, everywhere)
    assert whole["psnr"] == pytest.approx(psnr(SHARP, spoilt))
    assert whole["ssim"] == pytest.approx(ssim(SHARP, spoilt), abs=1e-6)


def test_pairs_of_different_size_and_no_pairs_are_named():
    pair = Pair("a", "s", SHARP, SHARP)
    with pytest.raises(ReblurError, match=r"set, image 'a': .*128×128.*64×64"):
        score_protocols(lambda photograph: photograph[:64, :64], [pair], "set")
    with pytest.raises(ReblurError, match="set: has no pairs"):
        score_protocols(do_nothing, [], "set")
