"""Tables: a pivot of the summary, its CSV, its HTML; what was not run is said, once."""

import html
import re

import numpy as np
import pandas as pd
import pytest

from made_results import idle, runs_of, scores_of, write_run, write_study
from reblur.study.analysis.scores import costs, matching, read_facts, read_scores, run_frame
from reblur.study.analysis.summary import summarise
from reblur.study.analysis.tables import Column, Table, not_run, table, to_html
from reblur.study.chapters import diffusion
from reblur.study.rows import BLURRED, Run

VARIANTS = ["ss", "sr_edrb3", "absent"]
RUNS = runs_of(VARIANTS)
CELLS = [("synthetic", "psnr", "mean"), ("synthetic", "psnr", "gain"), ("gopro", "ssim", "mean")]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    write_study(root, RUNS, {"ss": 0.1, "sr_edrb3": 0.3}, ("synthetic", "gopro"))
    return read_scores(root, RUNS), read_facts(root, RUNS)


def label(row):
    return {"blurred": "blurred input"}.get(row["variant"], row["variant"].upper())


def made(study, **more):
    summary = summarise(study[0], RUNS)
    return table(summary, CELLS, key="ablation", title="The ablation", label=label, **more)


def cells_of(text):
    """The body of an HTML table, row by row, intervals after a space."""
    rows = re.findall(r"<tr>(.*?)</tr>", text.split("<tbody>")[1])
    return [
        [
            html.unescape(re.sub("<small>(.*)</small>", r" \1", cell))
            for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)
        ]
        for row in rows
    ]


def test_a_table_is_a_pivot_of_the_summary(study):
    found = made(study)
    summary = summarise(study[0], RUNS)
    assert list(found.frame["label"]) == ["blurred input", "SS", "SR_EDRB3", "ABSENT"]
    row = summary[matching(summary.assign(seed=0), {"variant": "ss"})].set_index(
        ["dataset", "metric"]
    )
    ours = found.frame[found.frame["variant"] == "ss"].iloc[0]
    assert ours["synthetic_psnr"] == row.loc[("synthetic", "psnr"), "mean"]
    assert ours["synthetic_psnr_gain_low"] == row.loc[("synthetic", "psnr"), "gain_low"]
    assert ours["gopro_ssim_high"] == row.loc[("gopro", "ssim"), "high"]
    headings = [column.heading for column in found.columns]
    assert headings == [
        "variant", "synthetic: PSNR", "synthetic: PSNR gain", "gopro: SSIM",
    ]  # fmt: skip


def test_the_csv_holds_what_the_frame_holds_to_eight_digits(study, tmp_path):
    found = made(study)
    path = found.write(tmp_path / "tables")
    assert path == tmp_path / "tables" / "ablation.csv"
    read = pd.read_csv(path)
    for name in ("synthetic_psnr", "synthetic_psnr_gain_high", "gopro_ssim_low"):
        np.testing.assert_allclose(read[name], found.frame[name], rtol=1e-7)
    assert read["note"].fillna("").tolist() == ["", "", "", "not run"]


def test_a_page_shows_intervals_small_and_what_was_not_run(study):
    text = to_html(made(study, costs=costs(study[1])))
    rows = cells_of(text)
    ours = made(study).frame.iloc[1]
    low, high = ours["synthetic_psnr_gain_low"], ours["synthetic_psnr_gain_high"]
    mean = ours["synthetic_psnr_gain"]
    assert rows[1][2] == f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
    assert rows[1][4:] == ["200,000", "2.0", "1,000", "3 of 3"]
    assert rows[0][2] == "–"  # the blurred input gains nothing over itself
    assert rows[3][:4] == ["ABSENT", "not run", "not run", "not run"]
    assert 'data-value="' + repr(float(ours["synthetic_psnr"])) + '"' in text
    assert "<small>dB</small>" in text


def test_many_missing_rows_become_one_sentence(study):
    runs = [*RUNS, *runs_of(["a", "b", "c"])]
    summary = summarise(study[0], runs)
    text = to_html(table(summary, CELLS, key="t", title="T", label=label))
    assert [row[0] for row in cells_of(text)] == ["blurred input", "SS", "SR_EDRB3"]
    assert "Not run (4 of 7): ABSENT, A, B, C." in text


def test_infinite_scores_are_said_in_their_row(study):
    scores = study[0].copy()
    chosen = matching(scores, {"variant": "ss"}) & (scores["image"] == "003")
    scores.loc[chosen & (scores["metric"] == "psnr"), "value"] = np.inf
    summary = summarise(scores, RUNS)
    found = table(summary, CELLS, key="t", title="T", label=label)
    assert found.frame.set_index("variant")["note"]["ss"] == "1 infinite left out"
    assert cells_of(to_html(found))[1][-1] == "1 infinite left out"


def test_a_metric_that_is_not_available_is_no_missing_run(study):
    scores = study[0]
    gone = matching(scores, {"variant": "ss"}) & (scores["metric"] == "ssim")
    summary = summarise(scores[~gone], RUNS)
    rows = cells_of(to_html(table(summary, CELLS, key="t", title="T", label=label)))
    assert rows[1][3] == "not available"


def test_rows_of_different_length_are_said(study, tmp_path):
    write_study(tmp_path, RUNS, {"ss": 0.1, "sr_edrb3": 0.3})
    short = next(run for run in RUNS if run.variant == "ss")
    write_run(tmp_path, short, scores_of(short, 0.1), steps=100)
    found = costs(read_facts(tmp_path, RUNS)).set_index("variant")
    assert found["unequal"].to_dict() == {"ss": True, "sr_edrb3": False, "absent": False}
    assert found["steps"]["ss"] == 100
    notes = made(study, costs=costs(read_facts(tmp_path, RUNS))).notes
    assert notes[0].startswith("The rows trained for 100 to 1,000 updates")
    assert made(study, costs=costs(study[1])).notes == ()


def test_what_was_not_run_is_one_sentence(study):
    expected = "2 of 3 configurations were run in this profile; not run: ABSENT."
    assert not_run(study[1], label) == expected
    assert not_run(study[1][study[1]["done"]], label) == ""


def test_what_was_not_run_is_told_by_task():
    runs = [
        Run("diffusion", "rrdb", "rrdb", 0, task, None, *source)
        for task in ("deblur", "faces")
        for source in (("clean", None), ("refined", 100))
    ]
    facts = run_frame(runs).assign(done=[True, False, False, False])
    tasks = {"deblur": "deblurring"}
    assert not_run(facts, diffusion.label, tasks) == (
        "1 of 4 configurations were run in this profile; not run: deblurring: RRDB: "
        "diffusion-refined, t₀ = 100; faces: RRDB: bicubic, RRDB: diffusion-refined, t₀ = 100."
    )


def test_a_network_that_learned_nothing_is_said_in_its_row(study):
    scores = idle(study[0], "ss", "synthetic")
    found = table(summarise(scores, RUNS), CELLS, key="t", title="T", label=label)
    assert found.frame.set_index("variant")["note"].to_dict() == {
        BLURRED: "", "ss": "returns its input", "sr_edrb3": "", "absent": "not run"
    }  # fmt: skip


def test_names_cannot_break_a_page():
    frame = pd.DataFrame({"label": ["<b>&"], "value": [1.0]})
    text = to_html(Table("k", "<i>", frame, (Column("label", "<u>"), Column("value", "v"))))
    assert "<b>" not in text
    assert "<u>" not in text
    assert "<i>" not in text
    assert "&lt;b&gt;&amp;" in text


def test_a_hidden_column_is_marked():
    frame = pd.DataFrame({"label": ["a"], "value": [1.0]})
    columns = (Column("label", "name"), Column("value", "v", hidden=True))
    assert '<th class="number" data-hidden="yes">v</th>' in to_html(Table("k", "t", frame, columns))
