"""What a chapter makes of its numbers: rules, sentences, claims, and the metrics that DVC lists."""

import json

import numpy as np
import pandas as pd
import pytest

import made_results as made
from reblur.datasets.catalogue.manifests import project_root
from reblur.study.analysis.metrics import write_metrics
from reblur.study.analysis.scores import read_measures, read_scores
from reblur.study.analysis.summary import summarise
from reblur.study.analysis.tables import labelled
from reblur.study.chapters import carry_over, defocus, diffusion, diffusion_claims, scale_recurrent
from reblur.study.params import read_params
from reblur.study.rows import BLURRED, Run

PARAMS = read_params(project_root() / "params.yaml")
NAN = float("nan")


def test_metrics_are_flat_and_name_configuration_and_test_set(tmp_path):
    runs = [made.at_level(run, 8) for run in made.runs_of(["full"], 2, chapter="defocus")]
    made.write_study(tmp_path, runs, {"full": 0.4})
    summary = summarise(read_scores(tmp_path, runs), runs)
    write_metrics(summary, tmp_path / "metrics.json")
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert set(found) == {
        "blurred.synthetic.psnr",
        *(f"full-8px.synthetic.{name}" for name in ("psnr", "gain", "low", "high")),
    }
    row = summary[(summary["variant"] == "full") & (summary["metric"] == "psnr")].iloc[0]
    assert found["full-8px.synthetic.gain"] == round(row["gain"], 4)
    assert found["full-8px.synthetic.high"] == round(row["gain_high"], 4)


def test_metrics_leave_out_what_was_not_run(tmp_path):
    runs = made.runs_of(["ss", "sc"], 1)
    made.write_study(tmp_path, runs, {"ss": 0.4})
    write_metrics(summarise(read_scores(tmp_path, runs), runs), tmp_path / "metrics.json")
    assert not any(
        name.startswith("sc.") for name in json.loads((tmp_path / "metrics.json").read_text())
    )


def pilot_rows(gains):
    return pd.DataFrame(
        [
            {"variant": name, "label": name, "dataset": place, "metric": "psnr", "gain": gain}
            for name, values in gains.items()
            for place, gain in zip(("synthetic", "reds", "synthetic_gamma_1"), values, strict=True)
        ]
    )


def test_the_pilots_rule_counts_each_test_set_once():
    gains = {
        "pilot": (1.0, 0.0, 0.0), "pilot_mse": (1.0, 0.1, -9.0), "pilot_halved": (1.04, 0.0, 9.0),
        "pilot_nafnet": (2.0, 2.0, 0.0), "pilot_crop_96": (NAN, 1.0, 0.0),
    }  # fmt: skip
    places = ["synthetic", "reds"]
    found = scale_recurrent.pilots(pilot_rows(gains), places).set_index("variant")
    assert found["excess"].round(3).dropna().to_dict() == {
        "pilot": 0.0, "pilot_mse": 0.05, "pilot_halved": 0.02, "pilot_nafnet": 1.5,
    }  # fmt: skip
    assert list(found.index[found["kept"]]) == ["pilot_mse"]  # another network is no change
    words = scale_recurrent.pilots_in_words(found.reset_index(), places)
    assert words.startswith("The ablation's recipe is the base with: pilot_mse (+0.05 dB).")
    assert words.endswith("Not told: pilot_crop_96.")


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ({"pilot": (1, 1, 1), "pilot_mse": (1, 1, 1)}, "No change exceeds the base by enough"),
        ({"pilot": (NAN,) * 3, "pilot_mse": (1, 1, 1)}, "The rule cannot be told yet"),
    ],
)
def test_pilots_in_words(gains, words):
    rows = pilot_rows({name: [float(gain) for gain in values] for name, values in gains.items()})
    found = scale_recurrent.pilots(rows, ["synthetic"])
    assert scale_recurrent.pilots_in_words(found, ["synthetic"]).startswith(words)


def test_aligned_pairs_are_the_baseline_at_no_misalignment():
    rows = pd.DataFrame(
        {"variant": [BLURRED, "aligned", "baseline", "full"], "level": [None, 0, 8, 8]}
    )
    found = defocus.over_misalignment(rows)
    assert found[["label", "level"]].values.tolist() == [
        ["baseline", 0], ["baseline", 8], ["full method", 8],
    ]  # fmt: skip


def defocus_runs(levels):
    return [
        Run("defocus", variant, "net", 0, level=level)
        for variant, of in levels.items()
        for level in of
    ]


def test_steps_are_compared_where_all_of_them_are_trained():
    steps = {step: [0, 8] for step in defocus.STEPS}
    assert defocus.ladder_level(defocus_runs(steps | {"full": [0, 8, 16]})) == 8
    assert defocus.ladder_level(defocus_runs({"full": [0, 2]})) == 2  # steps are left out
    claims = {c.key: c for c in defocus.claims("thin_lens", [0, 2, 8, 16], 8)}
    assert claims["flow"].configurations[0][0] == {"variant": "flow", "level": 8}
    assert claims["far"].configurations[0][1] == {"variant": "baseline", "level": 16}
    assert {"cost_2", "cost_8", "cost_16"} <= claims.keys()
    assert "wins_back" not in {c.key for c in defocus.claims("sdd", [0], 0)}


def test_a_map_that_is_no_better_than_one_value_has_collapsed():
    rows = pd.DataFrame(
        {"label": ["full", "lost", "none"], "metric": "mae", "mean": [1.0, 2.5, NAN],
         "gain": [-1.0, 0.5, NAN]}
    )  # fmt: skip
    words = defocus.maps_in_words(rows)
    assert words.count("collapsed") == 1
    assert "lost: 2.50 px, no better than the 2.00 px" in words
    assert "none" not in words
    assert defocus.maps_in_words(rows.iloc[2:]) == "No map was scored against a known one yet."


BOUND = 0.04


def trade_off(distances, tmp_path, task="superres", spread=0.0):
    """source or t0 → (distance, content deviation)."""
    rows = [("target", None, "all", "spectrum", 0.004)]
    for name, (distance, moved) in distances.items():
        key = ("refined", name) if name == "drawn" or isinstance(name, int) else (name, None)
        rows += [(*key, "all", "spectrum", distance), (*key, "00000", "content_deviation", moved)]
        rows.append((*key, "all", "spectrum_deviation", spread))
    columns = ["source", "t0", "image", "metric", "value"]
    frame = pd.DataFrame(rows, columns=columns).assign(dataset="pairs")
    frame["photograph"] = frame["image"]
    path = tmp_path / "targets" / f"{task}-0" / "measures.csv"
    made.write_scores(path, frame, ["source", "t0"])
    runs = [Run("diffusion", "rrdb", "rrdb", 0, task, None, "clean")]
    measured = summarise(read_measures(tmp_path, runs), runs)
    return diffusion_claims.trade_off(measured, task, "spectrum", BOUND)


@pytest.mark.parametrize(
    ("distances", "chosen", "start"),
    [
        ({"softened": (3, 0), 50: (2, 0.01), 100: (1, 0.03), 200: (0.5, 0.05)}, 100, 100),
        ({"softened": (1, 0), 50: (2, 0.01), 100: (3, 0.01)}, None, 50),  # not to refine
        ({"softened": (2, 0), 50: (2, 0.01)}, None, 50),  # of equal ones the smaller t0
        ({"softened": (3, 0), "drawn": (1, 0.01), "clean": (0.1, 0)}, None, None),
        ({"softened": (3, 0), 100: (1, 0.05)}, None, None),
    ],
)
def test_the_rule_for_the_start_step(distances, chosen, start, tmp_path):
    frame = trade_off(distances, tmp_path)
    row = frame[frame["chosen"]].iloc[0]
    assert (row["source"], row["t0"]) == (("refined", chosen) if chosen else ("softened", None))
    assert diffusion_claims.best_start(frame, BOUND) == start
    assert (frame["floor"] == 0.004).all()
    words = diffusion_claims.rule_in_words(frame, BOUND)
    assert ("not to refine (t₀ = 0)" in words) == (chosen is None)
    assert ("no refined source keeps its content" in words) == (start is None)


def test_a_distance_within_the_interval_of_the_smallest_is_as_good(tmp_path):
    distances = {"softened": (3.0, 0), 50: (2.1, 0.01), 100: (2.0, 0.01), "oracle": (1.0, 0)}
    frame = trade_off(distances, tmp_path, spread=0.1)
    row = frame[frame["chosen"]].iloc[0]
    assert row["t0"] == 50  # 2.1 lies below 2.0 + 1.96 · 0.1
    assert row["distance_high"] == pytest.approx(2.1 + 0.196)
    assert (frame["floor"] == 1.0).all()  # the true camera's
    unsure = trade_off(distances, tmp_path, spread=0.6)
    assert unsure.loc[unsure["chosen"], "source"].item() == "softened"
    assert diffusion_claims.best_start(unsure, BOUND) == 50


def test_no_measure_gives_no_choice():
    measured = summarise(read_measures(project_root() / "nowhere", []), [])
    frame = diffusion_claims.trade_off(measured, "faces", "spectrum", BOUND)
    assert frame.empty
    assert diffusion_claims.rule_in_words(frame, BOUND) == ""
    assert diffusion_claims.best_start(frame, BOUND) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"variant": "rrdb", "task": "superres", "source": "clean", "t0": None}, "RRDB: bicubic"),
        ({"variant": "nafnet", "task": "deblur", "source": "clean"}, "NAFNet: Gaussian blur"),
        ({"variant": "rrdb", "task": "deblur", "source": "handmade"}, "RRDB: BSRGAN-like"),
        ({"variant": "rrdb", "task": "superres", "source": "handmade"}, "RRDB: Real-ESRGAN-like"),
        (
            {"variant": "rrdb", "task": "faces", "source": "refined", "t0": 100},
            "RRDB: diffusion-refined, t₀ = 100",
        ),
        (
            {"variant": "pairs", "task": "faces", "source": "refined", "t0": "drawn"},
            "diffusion-refined, t₀ drawn",
        ),
        ({"variant": "rrdb", "source": "oracle", "t0": np.nan}, "RRDB: true camera"),
        ({"variant": BLURRED}, "low-quality input"),
    ],
)
def test_names_of_sources(fields, words):
    assert diffusion.label(fields) == words


def test_what_is_claimed_of_refined_pairs_needs_a_start_step():
    sources = diffusion.sources(PARAMS, "demo", "superres")
    told = diffusion_claims.claims("superres", "rrdb", sources, 100)
    untold = diffusion_claims.claims("superres", "rrdb", sources, None)
    assert [c.key for c in told] == [
        "superres_softened", "superres_handmade", "superres_fitted", "superres_clean",
        "superres_oracle",
    ]  # fmt: skip
    assert [c.key for c in untold] == ["superres_clean", "superres_oracle"]
    ours, theirs = told[0].pairs[0]
    assert (ours["source"], ours["t0"], theirs["source"]) == ("refined", 100, "softened")
    assert len(told[-1].pairs) == len(sources) - 1
    assert {c.dataset for c in told} == {"superres"}


def test_sentences_of_what_carries_over():
    runs = [Run("carry_over", "net", "net", 0, source=s) for s in ("motion", "defocus")]
    rows = labelled(
        pd.DataFrame(
            [
                {**run.as_dict(), "dataset": place, "metric": "psnr", "gain": gain,
                 "gain_low": gain - 0.2, "gain_high": gain + 0.2, "note": ""}
                for run, gains in zip(runs, ((1.0, -0.5), (0.1, 0.6)), strict=True)
                for place, gain in zip(("synthetic", "thin_lens"), gains, strict=True)
            ]
        ),
        carry_over.label,
    )  # fmt: skip
    first, moved, second = carry_over.what_carries_over(rows)
    assert "synthetic motion gains on 1 of 2 test sets and loses on 1;" in first
    assert "thin-lens defocus gains on 1 of 2 test sets and loses on 0." in first
    assert "synthetic motion +1.00 dB and -0.50 dB; thin-lens defocus +0.60 dB and +0.10" in moved
    assert "drawn depth: thin-lens defocus +0.60 dB [+0.40, +0.80]" in second
    lost = carry_over.what_carries_over(rows.assign(gain=-0.1))
    assert lost[-1] == "No source gains on held-out synthetic blur, drawn depth."


def test_each_source_is_claimed_to_be_the_best_at_home():
    found = carry_over.claims(["motion", "defocus", "handmade", "mixture"], "net")
    assert [(c.kind, c.dataset, len(c.pairs)) for c in found] == [
        ("best", "synthetic", 2), ("best", "thin_lens", 2),
        ("within", "synthetic", 1), ("within", "thin_lens", 1),
    ]  # fmt: skip


def test_rows_with_a_residual_have_claims_of_their_own():
    """Every claim of that family is about rows that params.yaml knows, and names none twice."""
    variants = PARAMS.scale_recurrent.variants
    for skip in (False, True):
        claims = scale_recurrent.claims("synthetic", skip)
        sides = [side for claim in claims for pair in claim.pairs for side in pair]
        assert {side["variant"] for side in sides if side != BLURRED} <= set(variants)
        assert len({claim.key for claim in claims}) == len(claims)
        assert all(ours != theirs for claim in claims for ours, theirs in claim.pairs)
    residual = next(c for c in scale_recurrent.claims("synthetic", True) if c.key == "residual")
    assert {theirs["variant"] for _, theirs in residual.pairs} == {"sr_edrb3"}
    assert scale_recurrent.label({"variant": "ss_skip"}) == "SS + skip"
    assert scale_recurrent.label({"variant": "sr_edrb3_skip"}) == "SR-EDRB3 + skip (ours)"


def test_what_doing_nothing_wins_back_is_said():
    rows = pd.DataFrame(
        {
            "variant": ["aligned", "baseline", "full", "matched"],
            "gain": [0.4, -4.4, 0.1, 0.3],
            "gain_low": [0.1, -6.0, -0.3, 0.1],
        }
    )
    said = defocus.without_learning(rows)
    assert "lies 2.00 dB above the mean" in said
    assert said.endswith("matched reblurring (ours) gained over it.")
    assert defocus.without_learning(rows.iloc[:3]).endswith("No method gained over it for certain.")
    assert defocus.without_learning(rows.iloc[1:]) == ""  # aligned pairs were not run
    easy = rows.assign(gain=[0.4, -0.2, 0.3, 0.3])  # more than half is more than nothing
    assert defocus.without_learning(easy) == ""
