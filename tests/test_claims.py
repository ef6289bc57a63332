"""Verdicts: every branch of the rule, and what made-up results say of the paper's claims."""

import pytest

import fake_results as fake
from reblur.study import scale_recurrent
from reblur.study.claims import Claim, judge
from reblur.study.results import BLURRED, read_study
from reblur.study.statistics import Interval, missing_interval


def interval(low, high, seeds=3):
    return Interval((low + high) / 2, float(low), float(high), seeds, 20)


def greater(*pairs):
    return Claim("k", "text", "source", "greater", pairs or (("a", "b"),))


MORE = Claim("k", "text", "source", "greater", (("a", "b"),), margin=0.1)
WITHIN = Claim("k", "text", "source", "within", (("a", "b"),), margin=0.1)


@pytest.mark.parametrize(
    ("claim", "found", "verdict"),
    [
        (greater(), interval(0.1, 0.3), "holds"),
        (greater(), interval(-0.3, -0.1), "does not hold"),
        (greater(), interval(-0.1, 0.3), "cannot tell"),
        (greater(), missing_interval(), "cannot tell"),
        (greater(), interval(0.1, 0.3, seeds=1), "cannot tell"),
        (greater(("a", BLURRED)), interval(0.1, 0.3, seeds=1), "holds"),
        (MORE, interval(0.11, 0.3), "holds"),
        (MORE, interval(0.05, 0.3), "cannot tell"),
        (MORE, interval(0.02, 0.09), "does not hold"),
        (WITHIN, interval(-0.05, 0.09), "holds"),
        (WITHIN, interval(0.11, 0.3), "does not hold"),
        (WITHIN, interval(-0.3, -0.11), "does not hold"),
        (WITHIN, interval(-0.02, 0.3), "cannot tell"),
    ],
)
def test_one_pair(claim, found, verdict):
    assert judge(claim, [found])[0] == verdict


def test_several_pairs_must_all_hold_and_one_is_enough_to_refute():
    claim = greater(("a", "b"), ("a", "c"))
    good, bad, open_ = interval(0.1, 0.3), interval(-0.3, -0.1), interval(-0.1, 0.1)
    assert judge(claim, [good, good])[0] == "holds"
    assert judge(claim, [good, bad])[0] == "does not hold"
    assert judge(claim, [open_, bad])[0] == "does not hold"
    assert judge(claim, [good, open_])[0] == "cannot tell"
    assert judge(claim, [bad, missing_interval()])[0] == "does not hold"
    assert judge(claim, [good, missing_interval()]) == (
        "cannot tell",
        "1 of 2 pairs cannot be compared",
    )


def test_one_seed_is_no_evidence_between_trainings_even_against_a_claim():
    verdict, reason = judge(greater(), [interval(-0.3, -0.1, seeds=1)])
    assert verdict == "cannot tell"
    assert "one seed" in reason


def claims_of(root, seeds):
    study = read_study(root, fake.runs(seeds))
    table = scale_recurrent.tables(study, fake.CHAPTER)[0]
    assert table.stem == "claims"
    return table.frame.set_index("key")


def test_made_up_results_are_judged_as_they_were_made(tmp_path):
    verdicts = claims_of(fake.write_results(tmp_path / "gpu"), 3)["verdict"]
    assert verdicts["flagship"] == "holds"
    assert verdicts["residual"] == "holds"
    assert verdicts["cascade"] == "holds"
    assert verdicts["best"] == "cannot tell"  # some variants of the ablation were never asked for
    assert verdicts["third_scale"] in ("holds", "cannot tell")


def test_a_flagship_below_doing_nothing_is_said_plainly(tmp_path, monkeypatch):
    monkeypatch.setitem(fake.VARIANTS, "sr_edrb3", (3_764_195, -0.9))
    claims = claims_of(fake.write_results(tmp_path / "demo", seeds=1), 1)
    assert claims.loc["flagship", "verdict"] == "does not hold"
    assert "-0." in claims.loc["flagship", "evidence"]
    assert claims.loc["flagship", "question"].startswith("Does SR-EDRB3 beat doing nothing")


def test_one_seed_leaves_the_papers_claims_open(tmp_path):
    claims = claims_of(fake.write_results(tmp_path / "demo", seeds=1), 1)
    assert claims.loc["flagship", "verdict"] == "holds"
    assert claims.loc["flagship", "reason"] == "1 seed: images only"
    assert set(claims.loc[["cascade", "best", "flat", "third_scale"], "verdict"]) == {"cannot tell"}


def test_missing_runs_leave_a_claim_open(tmp_path):
    out = tuple(f"sc-{seed}" for seed in range(3))
    claims = claims_of(fake.write_results(tmp_path / "gpu", leave_out=out), 3)
    assert claims.loc["cascade", "verdict"] == "cannot tell"
    assert claims.loc["cascade", "evidence"].count("missing") == 3


def test_trainings_of_different_length_are_not_compared(tmp_path):
    root = fake.write_results(tmp_path / "gpu")
    for seed in range(3):
        path = root / "runs" / f"sr_edrb3-{seed}" / "run.json"
        path.write_text(path.read_text().replace('"steps": 200', '"steps": 800'))
    claims = claims_of(root, 3)
    assert claims.loc["flagship", "verdict"] == "holds"  # against the blurred input, any length
    assert claims.loc["third_scale", "verdict"] == "cannot tell"
    assert claims.loc["third_scale", "evidence"].endswith("trained for 800 and 200 steps")
    table = scale_recurrent.tables(read_study(root, fake.runs()), fake.CHAPTER)[1]
    assert "The rows trained for 200 to 800 steps" in table.caption
