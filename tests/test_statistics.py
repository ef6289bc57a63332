"""Intervals: known answers, what they cover, what they say where they cannot be had."""

import math

import numpy as np
import pytest

from reblur.study.statistics import (
    difference_interval,
    expansion,
    mean_interval,
    missing_interval,
)


def made_up(generator, seeds, images, seed_sd, image_sd, rest_sd):
    """Scores of a crossed design whose true mean is 0."""
    return (
        generator.normal(0, seed_sd, (seeds, 1))
        + generator.normal(0, image_sd, (1, images))
        + generator.normal(0, rest_sd, (seeds, images))
    )


@pytest.mark.parametrize(
    ("seeds", "images", "seed_sd", "image_sd"),
    [(3, 40, 0.3, 0.1), (3, 12, 0.02, 1.0), (5, 12, 0.5, 0.5), (1, 30, 0.0, 1.0)],
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(seeds, images, seed_sd, image_sd):
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        interval = mean_interval(
            made_up(generator, seeds, images, seed_sd, image_sd, 0.05), "coverage"
        )
        covered.append(interval.low <= 0 <= interval.high)
    assert 0.88 <= np.mean(covered) <= 0.995


def test_without_the_expansion_three_seeds_would_be_too_few():
    generator = np.random.default_rng(1)
    covered = []
    for _ in range(300):
        scores = made_up(generator, 3, 40, 0.3, 0.0, 0.0)
        interval = mean_interval(scores, "coverage")
        plain = (np.array([interval.low, interval.high]) - interval.mean) / expansion(3)
        covered.append(interval.mean + plain[0] <= 0 <= interval.mean + plain[1])
    assert np.mean(covered) < 0.85


def test_expansion_is_that_of_students_t():
    assert expansion(3) == pytest.approx(4.302653 / 1.959964 * math.sqrt(1.5), rel=1e-5)
    assert expansion(1000) == pytest.approx(1.0, abs=0.003)


def test_many_images_agree_with_the_normal_approximation():
    scores = np.random.default_rng(2).normal(30, 2, (1, 4000))
    interval = mean_interval(scores, "normal")
    half = 1.96 * scores.std(ddof=1) / math.sqrt(4000)
    assert interval.mean == pytest.approx(scores.mean())
    assert interval.high - interval.mean == pytest.approx(half, rel=0.08)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.08)


def test_the_same_key_gives_the_same_interval_and_another_key_another():
    scores = np.random.default_rng(3).normal(30, 2, (3, 20))
    assert mean_interval(scores, "a") == mean_interval(scores, "a")
    assert mean_interval(scores, "a").low != mean_interval(scores, "b").low


def test_pairing_takes_out_what_the_images_share():
    generator = np.random.default_rng(4)
    base = made_up(generator, 3, 20, 0.0, 3.0, 0.02)
    better = base + 0.1 + generator.normal(0, 0.02, base.shape)
    difference = difference_interval(better, base, "pairs")
    alone = mean_interval(better, "pairs")
    assert difference.low > 0
    assert difference.mean == pytest.approx(0.1, abs=0.03)
    assert difference.high - difference.low < (alone.high - alone.low) / 10


def test_differences_are_antisymmetric_whether_seeds_are_paired_or_not():
    generator = np.random.default_rng(5)
    a, b = (made_up(generator, 3, 15, 0.1, 1.0, 0.1) for _ in range(2))
    one, other = difference_interval(a, b, "k"), difference_interval(b, a, "k")
    assert one.mean == pytest.approx(-other.mean)
    unpaired = difference_interval(a, b[:2], "k", "unpaired")
    assert unpaired.seeds == 2
    assert unpaired.known
    assert unpaired.mean == pytest.approx(a.mean() - b[:2].mean())


def test_unpaired_seeds_give_a_wider_interval_where_seeds_go_together():
    generator = np.random.default_rng(6)
    shared = generator.normal(0, 0.5, (4, 1))
    a = shared + generator.normal(0, 0.05, (4, 30))
    b = shared + generator.normal(0, 0.05, (4, 30))
    paired = difference_interval(a, b, "k")
    unpaired = difference_interval(a, b, "k", "unpaired")
    assert paired.high - paired.low < (unpaired.high - unpaired.low) / 3


def test_a_fixed_reference_adds_no_seed():
    ours = np.random.default_rng(7).normal(30, 1, (3, 9))
    blurred = np.full((1, 9), 25.0)
    assert difference_interval(ours, blurred, "k", "fixed").seeds == 3
    assert mean_interval(blurred, "k", seeded=False).note == ""


def test_one_seed_is_flagged():
    interval = mean_interval(np.random.default_rng(8).normal(30, 1, (1, 9)), "k")
    assert interval.known
    assert interval.note == "1 seed: images only"


def test_one_image_of_one_seed_has_no_interval():
    interval = mean_interval(np.array([[30.0]]), "k")
    assert interval.mean == 30.0
    assert not interval.known
    assert interval.note == "1 image: no interval"
    assert mean_interval(np.array([[30.0], [31.0]]), "k").note == "1 image: seeds only"


def test_what_is_missing_is_nan_and_says_so():
    for interval in (missing_interval(), mean_interval(np.zeros((0, 0)), "k")):
        assert math.isnan(interval.mean)
        assert interval.note == "missing"
        assert not interval.known
    half = np.array([[0.2, np.nan, 0.3]])
    assert mean_interval(half, "k").note == "not available"
    assert difference_interval(half, np.ones((1, 3)), "k").note == "not available"


def test_equal_images_have_no_interval_but_a_mean():
    interval = mean_interval(np.array([[30.0, np.inf]]), "k")
    assert interval.mean == math.inf
    assert not interval.known


def test_shapes_that_do_not_fit_are_refused():
    ours = np.zeros((2, 5))
    with pytest.raises(ValueError, match="images"):
        difference_interval(ours, np.zeros((2, 4)), "k")
    with pytest.raises(ValueError, match="paired"):
        difference_interval(ours, np.zeros((3, 5)), "k")
    with pytest.raises(ValueError, match="one row"):
        difference_interval(ours, np.zeros((2, 5)), "k", "fixed")
