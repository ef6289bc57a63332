"""The summary: means and gains, missing runs, infinite scores, differences."""

import math

import numpy as np
import pytest

from made_results import GAINS, runs_of, write_study
from reblur.errors import ReblurError
from reblur.study.analysis.scores import matching, read_scores
from reblur.study.analysis.summary import SUMMARY_COLUMNS, difference, summarise
from reblur.study.rows import BLURRED

RUNS = runs_of([*GAINS, "absent"])


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    root = write_study(tmp_path_factory.mktemp("study"), RUNS, datasets=("synthetic", "gopro"))
    return read_scores(root, RUNS)


def row_of(summary, variant, metric="psnr", dataset="synthetic"):
    found = summary[
        (summary["variant"] == variant)
        & (summary["metric"] == metric)
        & (summary["dataset"] == dataset)
    ]
    assert len(found) == 1
    return found.iloc[0]


def values_of(scores, variant, metric="psnr", dataset="synthetic"):
    """(seeds, images)"""
    rows = scores[matching(scores, {"variant": variant})]
    rows = rows[(rows["metric"] == metric) & (rows["dataset"] == dataset)]
    return rows.pivot(index="seed", columns="image", values="value").to_numpy()


def test_a_row_is_a_configuration_a_data_set_and_a_metric(scores):
    summary = summarise(scores, RUNS)
    assert list(summary.columns) == list(SUMMARY_COLUMNS)
    assert len(summary) == 7 * 2 * 3  # with the blurred input and the missing variant
    assert list(summary["variant"].unique()) == [BLURRED, *GAINS, "absent"]


@pytest.mark.parametrize("metric", ["psnr", "ssim", "lpips"])
def test_means_and_gains_are_those_of_the_scores(scores, metric):
    row = row_of(summarise(scores, RUNS), "sr_edrb3_skip", metric)
    ours, blurred = values_of(scores, "sr_edrb3_skip", metric), values_of(scores, BLURRED, metric)
    assert row["mean"] == pytest.approx(ours.mean())
    assert row["gain"] == pytest.approx((ours - blurred).mean())
    assert row["low"] < row["mean"] < row["high"]
    assert row["gain_low"] < row["gain"] < row["gain_high"]
    assert (row["seeds"], row["photographs"], row["images"]) == (3, 9, 36)
    sign = -1 if metric == "lpips" else 1
    assert row["better"] == (sign * (ours.mean(axis=0) - blurred[0]) > 0).mean() > 0.9


def test_the_blurred_input_has_no_gain_and_no_seeds(scores):
    row = row_of(summarise(scores, RUNS), BLURRED)
    assert math.isnan(row["gain"])
    assert (row["seeds"], row["images"], row["note"]) == (0, 36, "")


def test_a_missing_run_is_a_row_for_every_data_set_and_metric(scores):
    summary = summarise(scores, RUNS)
    missing = summary[summary["variant"] == "absent"]
    assert len(missing) == 6
    assert (missing["note"] == "not run").all()
    assert missing[["mean", "gain"]].isna().all(axis=None)
    nothing = summarise(scores.iloc[:0], RUNS)
    assert list(nothing["variant"]) == [*GAINS, "absent"]
    assert (nothing["note"] == "not run").all()


def test_a_missing_seed_is_said(scores):
    lost = scores[~(matching(scores, {"variant": "ss"}) & (scores["seed"] == 1))]
    row = row_of(summarise(lost, RUNS), "ss")
    assert (row["seeds"], row["note"]) == (2, "2 of 3 seeds")


@pytest.mark.parametrize("variant", [BLURRED, "ss"])
def test_an_infinite_score_is_left_out_and_counted(scores, variant):
    chosen = scores["image"].isin(["003", "020"]) & (scores["metric"] == "psnr")
    changed = scores.copy()
    changed.loc[matching(scores, {"variant": variant}) & chosen, "value"] = np.inf
    row = row_of(summarise(changed, RUNS), "ss")
    left = [int(image) for image in range(36) if image not in (3, 20)]
    ours = values_of(scores, "ss")[:, left]
    assert (row["infinite"], row["images"]) == (2, 34)
    assert row["mean"] == pytest.approx(ours.mean())
    assert row["gain"] == pytest.approx((ours - values_of(scores, BLURRED)[:, left]).mean())
    assert row["note"] == "2 infinite left out"
    other = row_of(summarise(changed, RUNS), "sc")
    assert other["infinite"] == (2 if variant == BLURRED else 0)


def test_only_infinite_scores_leave_no_mean(scores):
    changed = scores.copy()
    changed.loc[matching(scores, {"variant": "ss"}) & (scores["metric"] == "psnr"), "value"] = (
        np.inf
    )
    row = row_of(summarise(changed, RUNS), "ss")
    assert math.isnan(row["mean"])
    assert (row["infinite"], row["images"]) == (36, 0)
    assert row["note"] == "not available; 36 infinite left out"


def test_images_that_lack_a_metric_are_said(scores):
    lost = matching(scores, {"variant": "ss"}) & (scores["seed"] == 2)
    lost &= (scores["image"] == "007") & (scores["metric"] == "lpips")
    row = row_of(summarise(scores[~lost], RUNS), "ss", "lpips")
    assert (row["images"], row["note"]) == (35, "on 35 of 36 images")
    found = difference(scores[~lost], {"variant": "ss"}, BLURRED, "synthetic", "lpips")
    assert (found.images, found.mean) == (35, row["gain"])


def test_seeds_scored_on_different_images_are_refused(scores):
    lost = matching(scores, {"variant": "ss"}) & (scores["seed"] == 2) & (scores["image"] == "007")
    with pytest.raises(ReblurError, match=r"ss.*not every seed was scored on the same images"):
        summarise(scores[~lost], RUNS)


def test_the_difference_is_that_of_the_summary(scores):
    found = difference(scores, {"variant": "ss"}, BLURRED, "gopro", "ssim")
    row = row_of(summarise(scores, RUNS), "ss", "ssim", "gopro")
    assert (found.mean, found.low, found.high) == tuple(row[["gain", "gain_low", "gain_high"]])
    run = next(run for run in RUNS if run.variant == "ss")
    assert difference(scores, run, BLURRED, "gopro", "ssim") == found


def test_a_difference_from_the_mean_of_two(scores):
    sides = [{"variant": "ss"}, {"variant": "sc"}]
    found = difference(scores, {"variant": "sr_edrb3"}, sides, "synthetic")
    ours = [values_of(scores, name).mean() for name in ("sr_edrb3", "ss", "sc")]
    assert found.mean == pytest.approx(ours[0] - (ours[1] + ours[2]) / 2)


def test_a_missing_side_is_not_run(scores):
    for sides in [("absent", "ss"), ("ss", "absent")]:
        ours, theirs = ({"variant": name} for name in sides)
        found = difference(scores, ours, theirs, "synthetic")
        assert (found.note, found.known) == ("not run", False)


def test_other_seeds_are_not_paired(scores):
    lost = matching(scores, {"variant": "ss"}) & (scores["seed"] == 1)
    ours, theirs = {"variant": "sr_edrb3"}, {"variant": "ss"}
    paired = difference(scores, ours, theirs, "synthetic")
    unpaired = difference(scores[~lost], ours, theirs, "synthetic")
    assert unpaired.seeds == 2
    assert unpaired.high - unpaired.low > paired.high - paired.low


def test_the_mean_of_two_is_taken_over_the_seeds_that_all_have(tmp_path):
    runs = runs_of(["ss", "sc", "sr_edrb3"])
    root = write_study(tmp_path, runs, {"ss": 0.1, "sc": -0.2, "sr_edrb3": 0.4})
    scores = read_scores(root, runs)
    ours, two = {"variant": "sr_edrb3"}, [{"variant": "ss"}, {"variant": "sc"}]
    lost = (scores["variant"] == "sc") & (scores["seed"] > 0)
    first = scores[(scores["seed"] == 0) | (scores["variant"] == "blurred")]
    found = difference(scores[~lost], ours, two, "synthetic")
    assert found.seeds == 1
    assert found == difference(first, ours, two, "synthetic")
    none = scores[~((scores["variant"] == "sc") & (scores["seed"] == 0))]
    apart = difference(
        none[~((none["variant"] == "ss") & (none["seed"] > 0))], ours, two, "synthetic"
    )
    assert apart.note == "other seeds"
