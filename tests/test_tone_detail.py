"""A gain split into tone and detail: pictures whose answer is known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter

from reblur.errors import ReblurError
from reblur.evaluation.scoring import compare_pixels, do_nothing
from reblur.measures.full_reference import psnr
from reblur.measures.tone_detail import tone_and_detail

RNG = np.random.default_rng(0)
SHARP = RNG.integers(40, 200, (90, 120, 3), dtype=np.uint8)
BLURRED = np.ascontiguousarray(uniform_filter(SHARP, (3, 3, 0))) + np.uint8(6)
CHECKERBOARD = (np.indices((90, 120)).sum(0) % 2 * 10 - 5)[..., None]


def test_of_the_blurred_picture_both_are_its_psnr() -> None:
    parts = tone_and_detail(SHARP, BLURRED, do_nothing(BLURRED))
    assert parts["psnr_tone"] == pytest.approx(psnr(SHARP, BLURRED), abs=1e-9)
    assert parts["psnr_detail"] == pytest.approx(psnr(SHARP, BLURRED), abs=1e-9)


def test_a_shift_of_brightness_is_all_tone() -> None:
    restored = BLURRED - np.uint8(6)
    parts = tone_and_detail(SHARP, BLURRED, restored)
    assert parts["psnr_tone"] == pytest.approx(psnr(SHARP, restored), abs=1e-9)
    assert parts["psnr_detail"] == pytest.approx(psnr(SHARP, BLURRED), abs=1e-9)
    assert parts["psnr_tone"] > parts["psnr_detail"] + 0.01


def test_a_change_of_the_finest_detail_is_all_detail() -> None:
    sharp = (BLURRED + CHECKERBOARD).astype(np.uint8)
    parts = tone_and_detail(sharp, BLURRED, sharp)
    assert parts["psnr_tone"] == pytest.approx(psnr(sharp, BLURRED), abs=0.01)
    assert parts["psnr_detail"] > 55


def test_the_parts_are_those_of_the_definition() -> None:
    """By SciPy, without rounding: values may leave 0 to 255."""
    restored = RNG.integers(0, 256, SHARP.shape, dtype=np.uint8)
    change = restored.astype(float) - BLURRED
    tone = gaussian_filter(change, (8, 8, 0), radius=(32, 32, 0), mode="mirror")
    parts = tone_and_detail(SHARP, BLURRED, restored)
    for name, picture in (("psnr_tone", BLURRED + tone), ("psnr_detail", restored - tone)):
        expected = 10 * np.log10(255**2 / np.square(picture - SHARP).mean())
        assert parts[name] == pytest.approx(expected, abs=1e-6)


def test_nothing_wrong_is_infinite() -> None:
    assert set(tone_and_detail(SHARP, SHARP, SHARP).values()) == {float("inf")}


def test_sizes_that_differ() -> None:
    with pytest.raises(ReblurError, match="crop them to one size"):
        tone_and_detail(SHARP, BLURRED[:-1], BLURRED)
    scores = compare_pixels(SHARP, BLURRED, BLURRED[::2, ::2])  # super-resolution has no such parts
    assert set(scores) == {"psnr", "ssim", "ssim_matlab"}
