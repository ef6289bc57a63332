"""Verdicts: what intervals decide, and what no interval can."""

import json

import numpy as np
import pytest

from made_results import idle, runs_of, scores_of, write_run, write_study
from reblur.study.analysis.claims import ONE_NETWORK, Claim, in_words, judge, verdict_of
from reblur.study.analysis.scores import matching, read_facts, read_scores
from reblur.study.analysis.statistics import Interval, missing_interval
from reblur.study.rows import BLURRED

VARIANTS = ["ss", "sc", "sr_edrb3", "sr_edrb3_skip", "absent"]
RUNS = runs_of(VARIANTS)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    gains = {"ss": 0.1, "sc": -0.6, "sr_edrb3": 0.11, "sr_edrb3_skip": 0.9}
    root = write_study(tmp_path_factory.mktemp("study"), RUNS, gains)
    return read_scores(root, RUNS), read_facts(root, RUNS)


def name(side):
    return "blurred input" if side == BLURRED else side["variant"]


def claim_of(kind, *configurations, **more):
    sides = [
        tuple(side if side == BLURRED else {"variant": side} for side in pair)
        for pair in configurations
    ]
    if kind == "best":
        sides = [side for pair in sides for side in pair]
    return Claim("key", "The claim.", "paper", kind, tuple(sides), "synthetic", **more)


def verdict(study, *claim, **more):
    row = judge([claim_of(*claim, **more)], *study, name).iloc[0]
    return row["verdict"], row["remark"]


@pytest.mark.parametrize(
    ("claim", "more", "expected"),
    [
        (("greater", ("sr_edrb3_skip", BLURRED)), {}, ("supported", "")),
        (("greater", ("sc", BLURRED)), {}, ("refuted", "")),
        (("greater", ("sr_edrb3", "ss")), {}, ("inconclusive", "an interval contains 0")),
        (("greater", ("sr_edrb3_skip", "ss")), {"margin": 0.2}, ("supported", "")),
        (("greater", ("sr_edrb3_skip", "ss")), {"margin": 2.0}, ("refuted", "")),
        (("greater", ("sr_edrb3_skip", "sc", "sr_edrb3")), {}, ("supported", "")),
        (("greater", ("sr_edrb3_skip", BLURRED)), {"metric": "lpips"}, ("supported", "")),
        (("greater", ("sc", BLURRED)), {"metric": "lpips"}, ("refuted", "")),
        (("within", ("sr_edrb3", "ss")), {"margin": 0.5}, ("supported", "")),
        (("within", ("sr_edrb3_skip", "ss")), {"margin": 0.1}, ("refuted", "")),
        (
            ("within", ("sr_edrb3", "ss")),
            {"margin": 0.01},
            ("inconclusive", "an interval contains ±0.01"),
        ),
        (("best", ("sr_edrb3_skip", "ss", "sc", "sr_edrb3")), {}, ("supported", "")),
        (("best", ("ss", "sc", "sr_edrb3_skip")), {}, ("refuted", "")),
        (
            ("best", ("sr_edrb3_skip", "ss", "absent")),
            {},
            ("inconclusive", "not run (1 of 2 comparisons)"),
        ),
        (("best", ("ss", "sr_edrb3_skip", "absent")), {}, ("refuted", "")),
        (("greater", ("absent", BLURRED)), {}, ("not run", "")),
        (("best", ("absent", "ss", "sc")), {}, ("not run", "")),
    ],
)
def test_the_intervals_decide(study, claim, more, expected):
    assert verdict(study, *claim, **more) == expected


@pytest.mark.parametrize("against", [BLURRED, "ss"])
@pytest.mark.parametrize(("variant", "word"), [("sr_edrb3_skip", "supported"), ("sc", "refuted")])
def test_one_seed_speaks_of_one_network_whatever_it_is_compared_with(study, variant, word, against):
    scores, facts = study
    scores = scores[scores["seed"] <= 0]
    facts = facts[facts["seed"] == 0]
    assert verdict((scores, facts), "greater", (variant, against)) == (word, ONE_NETWORK)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 600}, "600 and 1,000 updates"),
        ({"configuration": {"training": {"batch": 4}}}, "other batches of updates"),
    ],
)
def test_one_seed_that_trained_otherwise_makes_a_comparison_inconclusive(tmp_path, change, words):
    runs = runs_of(["ss", "sr_edrb3_skip"])
    root = write_study(tmp_path, runs, {"ss": 0.1, "sr_edrb3_skip": 0.9})
    last = runs[-1]
    steps = change.get("steps", 1000)
    more = {key: value for key, value in change.items() if key != "steps"}
    write_run(root, last, scores_of(last, 0.9), steps, **more)
    study = read_scores(root, runs), read_facts(root, runs)
    expected = ("inconclusive", f"trained unequally: {words}")
    assert verdict(study, "greater", ("sr_edrb3_skip", "ss")) == expected
    assert verdict(study, "greater", ("sr_edrb3_skip", BLURRED)) == expected
    by_time = verdict(study, "greater", ("sr_edrb3_skip", "ss"), equal_time=True)
    assert by_time[0] == "supported"


def test_twice_the_steps_at_half_the_batch_is_equal_training(tmp_path):
    runs = runs_of(["ss", "sr_edrb3_skip"])
    root = write_study(tmp_path, runs, {"ss": 0.1, "sr_edrb3_skip": 0.9})
    for run in runs[3:]:
        path = root / run.folder / "run.json"
        facts = json.loads(path.read_text())
        facts |= {"steps": 2000, "configuration": {"training": {"batch": 4}}}
        path.write_text(json.dumps(facts))
    study = read_scores(root, runs), read_facts(root, runs)
    assert verdict(study, "greater", ("sr_edrb3_skip", "ss")) == ("supported", "")


def test_the_evidence_names_both_sides_and_the_interval(study):
    scores, facts = study
    claims = [
        claim_of("greater", ("sr_edrb3_skip", BLURRED), question="Does it?"),
        claim_of("greater", ("absent", "ss", "sc")),
    ]
    table = judge(claims, scores, facts, name)
    first, second = table.to_dict("records")
    rows = scores[scores["metric"] == "psnr"]
    ours = rows[matching(rows, {"variant": "sr_edrb3_skip"})]["value"].mean()
    blurred = rows[matching(rows, {"variant": BLURRED})]["value"].mean()
    assert first["mean"] == pytest.approx(ours - blurred)
    start = f"sr_edrb3_skip − blurred input: {ours - blurred:+.2f} ["
    assert first["evidence"].startswith(start)
    assert (first["seeds"], first["question"]) == (3, "Does it?")
    assert second["evidence"] == "absent − the mean of ss and sc: not run"
    assert np.isnan(second["mean"])


def test_other_seeds_of_a_mean_are_inconclusive():
    claim = claim_of("greater", ("a", "b", "c"))
    found = [missing_interval("other seeds")]
    assert verdict_of(claim, found) == ("inconclusive", "other seeds")


def test_intervals_in_words():
    assert in_words(Interval(0.314, 0.126, 0.52)) == "+0.31 [+0.13, +0.52] dB"
    assert in_words(Interval(-0.01, -0.02, 0.0), "ssim") == "-0.0100 [-0.0200, +0.0000]"
    assert in_words(missing_interval()) == "not run"


def test_a_side_that_returns_its_input_is_named(study):
    study = (idle(study[0], "ss", "synthetic"), study[1])
    assert verdict(study, "greater", ("sr_edrb3_skip", "ss")) == (
        "supported", "ss returns its input"
    )  # fmt: skip
    assert verdict(study, "greater", ("sr_edrb3_skip", "sc")) == ("supported", "")
