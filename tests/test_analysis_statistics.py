"""Intervals: what they cover, known answers, what they say where they cannot be had."""

import math

import numpy as np
import pytest

from reblur.study.analysis.statistics import (
    BOUNDS,
    DRAWS,
    _counts,
    difference_interval,
    expansion,
    mean_interval,
)

HOMES = np.repeat([f"photo {n}" for n in range(9)], 4)
CROPS = [f"crop {n}" for n in range(36)]


def crops_of_photographs(generator, correlation=0.3, seeds=3, seed_sd=0.05):
    """Scores of 4 crops each of 9 photographs whose true mean is 0."""
    shared = np.repeat(generator.normal(0, math.sqrt(correlation), 9), 4)
    images = shared + generator.normal(0, math.sqrt(1 - correlation), 36)
    return images + generator.normal(0, seed_sd, (seeds, 1)) + generator.normal(0, 0.3, (seeds, 36))


def coverage(photographs, **design):
    generator = np.random.default_rng(0)
    drawn = [crops_of_photographs(generator, **design) for _ in range(600)]
    found = [mean_interval(scores, photographs, "coverage") for scores in drawn]
    return np.mean([interval.low <= 0 <= interval.high for interval in found])


def test_photographs_drawn_cover_the_truth_as_often_as_they_say():
    assert 0.93 <= coverage(HOMES) <= 0.98
    assert 0.93 <= coverage(HOMES, correlation=0.0) <= 0.99
    assert 0.92 <= coverage(HOMES, seeds=1, seed_sd=0.0) <= 0.99


def test_crops_drawn_as_if_they_were_photographs_cover_too_seldom():
    assert coverage(CROPS) < 0.92


def test_seeds_that_differ_much_are_covered_too():
    assert 0.93 <= coverage(HOMES, seed_sd=1.0) <= 0.995


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_interval_is_that_of_a_slow_loop(seeds):
    """One draw after another: photographs and seeds copied as often as they were drawn."""
    generator = np.random.default_rng(3)
    homes = np.array(list("aaaabbcdde"))  # photographs of four, two, one, two, one images
    scores = generator.normal(30, 2, (seeds, len(homes)))
    interval = mean_interval(scores, homes, "slow")
    mean, draws = scores.mean(), []
    for by_seed, by_photograph in zip(
        _counts("slow/seeds", seeds), _counts("slow/photographs", 5), strict=True
    ):
        rows = [s for s, count in enumerate(by_seed) for _ in range(int(count))]
        columns = [
            i
            for letter, count in zip("abcde", by_photograph, strict=True)
            for _ in range(int(count))
            for i in np.flatnonzero(homes == letter)
        ]
        both = scores[np.ix_(rows, columns)].mean() - mean
        seed, photograph = scores[rows].mean() - mean, scores[:, columns].mean() - mean
        main = expansion(seeds) * seed + expansion(5) * photograph
        draws.append(main + both - seed - photograph)
    assert len(draws) == DRAWS
    expected = mean + np.quantile(draws, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-9)
    assert (interval.seeds, interval.photographs, interval.images) == (seeds, 5, 10)


def test_expansion_is_that_of_students_t():
    assert expansion(3) == pytest.approx(4.302653 / 1.959964 * math.sqrt(1.5), rel=1e-5)
    assert expansion(1000) == pytest.approx(1.0, abs=0.003)


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("ssim", [0.99, 0.98, 0.995, 0.7]),
        ("lpips", [0.001, 0.002, 0.001, 0.08]),
        ("auc", [1.0, 1.0, 0.999, 0.9]),
        ("correlation", [-0.99, -0.98, -0.97, -0.5]),
    ],
)
def test_intervals_stay_within_the_bounds_of_their_metric(metric, values):
    low, high = BOUNDS[metric]
    scores = np.array([values])
    plain = mean_interval(scores, list("abcd"), "bounds")
    interval = mean_interval(scores, list("abcd"), "bounds", BOUNDS[metric])
    assert plain.low < low or plain.high > high
    assert low < interval.low < interval.mean < interval.high < high
    assert interval.mean == plain.mean


def test_far_from_its_bounds_a_metric_has_the_interval_that_it_would_have_without():
    scores = np.random.default_rng(4).normal(0.7, 0.01, (3, 36))
    plain = mean_interval(scores, HOMES, "far")
    bounded = mean_interval(scores, HOMES, "far", BOUNDS["ssim"])
    assert bounded.low == pytest.approx(plain.low, abs=1e-3)
    assert bounded.high == pytest.approx(plain.high, abs=1e-3)


def test_equal_scores_at_a_bound_have_an_interval_of_one_point():
    interval = mean_interval(np.ones((2, 36)), HOMES, "one", BOUNDS["ssim"])
    assert (interval.low, interval.mean, interval.high) == (1.0, 1.0, 1.0)


def test_paired_differences_are_narrower_than_unpaired_ones_of_the_same_scores():
    generator = np.random.default_rng(5)
    theirs = crops_of_photographs(generator, seed_sd=1.0)
    ours = theirs + 0.5 + generator.normal(0, 0.01, theirs.shape)
    paired = difference_interval(ours, theirs, HOMES, "key")
    unpaired = difference_interval(ours, theirs, HOMES, "key", "unpaired")
    assert paired.mean == pytest.approx(unpaired.mean)
    assert 0.45 < paired.low < paired.high < 0.55
    assert unpaired.high - unpaired.low > 20 * (paired.high - paired.low)


def test_a_fixed_reference_adds_no_seeds():
    ours, theirs = np.full((3, 36), 2.0), np.linspace(0, 1, 36)[None]
    found = difference_interval(ours, theirs, HOMES, "key", "fixed")
    assert found == mean_interval(ours - theirs, HOMES, "key")
    assert found.seeds == 3


@pytest.mark.parametrize(
    ("seeds", "homes", "seeded", "note", "known"),
    [
        (1, HOMES, True, "1 seed", True),
        (1, HOMES, False, "", True),
        (3, ["one"] * 36, True, "1 photograph: seeds only", True),
        (1, ["one"] * 36, True, "1 photograph: no interval", False),
    ],
)
def test_an_interval_says_what_it_leaves_out(seeds, homes, seeded, note, known):
    scores = np.random.default_rng(6).normal(0, 1, (seeds, 36))
    interval = mean_interval(scores, homes, "note", seeded=seeded)
    assert (interval.note, interval.known) == (note, known)
    assert interval.seeds == (seeds if seeded else 0)


def test_no_scores_have_no_mean():
    interval = mean_interval(np.zeros((0, 0)), [], "none")
    assert math.isnan(interval.mean)
    assert (interval.note, interval.known) == ("not run", False)


@pytest.mark.parametrize(
    ("scores", "homes", "message"),
    [
        (np.array([[1.0, math.inf]]), ["a", "b"], "not finite"),
        (np.array([[1.0, math.nan]]), ["a", "b"], "not finite"),
        (np.array([[1.0, 2.0]]), ["a"], "1 photographs named for 2 images"),
    ],
)
def test_what_has_no_bootstrap_is_refused(scores, homes, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(scores, homes, "wrong")


@pytest.mark.parametrize(
    ("ours", "theirs", "pairing", "message"),
    [
        ((2, 3), (2, 4), "paired", "3 images against 4"),
        ((2, 3), (1, 3), "paired", "2 seeds cannot be paired with 1"),
        ((2, 3), (2, 3), "fixed", "one row"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(ours, theirs, pairing, message):
    with pytest.raises(ValueError, match=message):
        difference_interval(np.zeros(ours), np.zeros(theirs), ["a"] * 3, "key", pairing)
