"""Tables of made-up results: what they say, what is missing, the same bytes twice."""

import numpy as np
import pandas as pd
import pytest

import fake_results as fake
from reblur.errors import ReblurError
from reblur.study import scale_recurrent
from reblur.study.comparisons import rebuild, study_of, variants_table
from reblur.study.provenance import stamp
from reblur.study.results import read_scores, read_study
from reblur.study.statistics import Interval
from reblur.study.tables import (
    Column,
    Table,
    cells,
    from_csv,
    interval_values,
    read_table,
    to_csv,
    to_markdown,
    write_table,
)

ASKED = ["synthetic", "reds_samples", "gopro_0372"]
LEFT_OUT = ("sc-0", "sc-1", "sc-2", "rnn-1")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return fake.write_results(tmp_path_factory.mktemp("results") / "gpu", leave_out=LEFT_OUT)


@pytest.fixture(scope="module")
def study(root):
    return read_study(root, fake.runs(), ASKED, evidence=True)


@pytest.fixture(scope="module")
def tables(study):
    return {table.stem: table for table in scale_recurrent.tables(study, fake.CHAPTER)}


def row_of(table, variant):
    return table.frame.set_index("variant").loc[variant]


def shown(table, label):
    return next(row for row in cells(table) if row[0] == label)


def test_scores_are_tidy_and_names_stay_text(root):
    scores = read_scores(root, fake.runs())
    assert set(scores["variant"]) == {*fake.VARIANTS, "blurred"} - {"sc"}
    assert set(scores.loc[scores["variant"] == "blurred", "seed"]) == {-1}
    assert "007" in set(scores["image"])
    assert scores["lpips"].isna().all()


def test_gains_are_near_the_truth_and_inside_their_intervals(tables):
    for variant, (parameters, gain) in fake.VARIANTS.items():
        if variant in fake.CHAPTER["tables"]["ablation"] and variant != "sc":
            row = row_of(tables["ablation"], variant)
            assert row["parameters"] == parameters
            assert row["gain"] == pytest.approx(gain, abs=0.15)
            assert row["gain_low"] < row["gain"] < row["gain_high"]


def test_missing_runs_are_missing_and_never_zero(study, tables):
    assert study.missing() == [("sc", 0), ("sc", 1), ("sc", 2), ("rnn", 1)]
    row = row_of(tables["ablation"], "sc")
    assert row["status"] == "missing"
    assert np.isnan(row["psnr"])
    assert shown(tables["ablation"], "SC")[1:8] == ["missing"] * 7
    assert "2 of 3" in shown(tables["ablation"], "RNN")


def test_published_figures_stand_in_their_own_marked_columns(tables):
    table = tables["ablation"]
    paper = [column.title for column in table.columns if column.group == "paper"]
    assert paper == ["paper: params (M)", "paper: GoPro PSNR", "paper: SSIM"]
    assert shown(table, "SR-EDRB3")[-3:] == ["3.76 [S]", "29.98 [M]", "0.9254 [M]"]
    assert shown(table, "SR-EDRB3 + skip (ours)")[-3:] == ["–"] * 3
    assert "29.98 [M]" in to_markdown(table)


def test_lpips_that_was_not_measured_is_not_available(tables):
    place = [column.key for column in tables["ablation"].columns].index("lpips")
    assert shown(tables["ablation"], "SS")[place] == "not available"


def test_a_test_set_that_is_not_here_is_not_available(tables):
    places = {column.key: i for i, column in enumerate(tables["datasets"].columns)}
    row = shown(tables["datasets"], "SS")
    assert row[places["gopro_0372_psnr"]] == "not available"
    assert row[places["reds_samples_psnr"]] not in ("not available", "missing")
    assert "gopro_0372: not available" in tables["datasets"].caption


def test_one_seed_is_remarked(tmp_path):
    one = fake.write_results(tmp_path / "demo", seeds=1)
    table = scale_recurrent.tables(read_study(one, fake.runs(1)), fake.CHAPTER)[1]
    assert shown(table, "SS")[-4] == "1 seed: images only"
    assert "no evidence" in table.caption


def test_differences_have_the_sign_of_the_variant(tables):
    table = tables["differences"]
    assert "sr_edrb3" not in set(table.frame["variant"])
    assert row_of(table, "sr_edrb3_skip")["psnr_low"] > 0
    assert row_of(table, "sr_flat")["psnr_high"] < 0
    assert row_of(table, "sr_flat")["better"] == 0


def test_losses_say_whether_they_fall(root, tables):
    losses = tables["losses"].frame.set_index(["variant", "seed"])
    assert losses.loc[("ss", "0"), "falls"] == "yes"
    assert losses.loc[("ss", "0"), "ratio"] < 0.2
    assert losses.loc[("sc", "0"), "falls"] == "missing"


def test_a_table_read_back_is_the_table_that_was_written(root, study, tables, tmp_path):
    made = stamp("gpu", {"a": 1}, {"photos": "abc"}, study.inputs, root)
    for table in tables.values():
        files = write_table(table, tmp_path, made)
        first = [file.read_bytes() for file in files]
        again = read_table(tmp_path / table.stem)
        assert to_csv(again.frame) == to_csv(table.frame)
        assert cells(again) == cells(table)
        assert again.caption == table.caption
        assert [file.read_bytes() for file in write_table(again, tmp_path, made)] == first


def test_a_recipe_makes_the_same_table_again(root, tables):
    for table in tables.values():
        again = rebuild(study_of(root, table.recipe), table.recipe)
        assert to_csv(again.frame) == to_csv(table.frame)
        assert again.caption == table.caption


def test_csv_is_fixed_format():
    frame = pd.DataFrame(
        {"name": ["a", "b"], "n": [3, None], "x": [1 / 3, -1e-12], "inf": [1.5, np.inf]}
    )
    text = to_csv(frame)
    assert text == "name,n,x,inf\na,3,0.33333333,1.50000000\nb,,0.00000000,inf\n"
    assert to_csv(from_csv(text)) == text


def test_text_that_looks_like_a_number_stays_text():
    assert list(from_csv("label,x\n1,2\n", texts=["label"])["label"]) == ["1"]


def test_markdown_escapes_what_would_break_a_row():
    frame = pd.DataFrame([{"a": "x|y\nz", **interval_values("m", Interval(1.0, 0.5, 1.5, 3, 4))}])
    columns = (Column("a", "a", "text"), Column("m", "m", "interval", 1))
    text = to_markdown(Table("t", "T", "C", frame, columns), "made by x")
    assert r"x\|y z" in text
    assert "1.0 [0.5, 1.5]" in text
    assert text.endswith("<sub>made by x</sub>\n")


def test_a_mean_without_interval_says_so():
    nan = float("nan")
    frame = pd.DataFrame([interval_values("m", Interval(30.0, nan, nan, 1, 1))])
    table = Table("t", "T", "", frame, (Column("m", "m", "interval"),))
    assert cells(table) == [["30.00 (no interval)"]]


def test_runs_scored_on_different_images_are_refused(tmp_path):
    root = fake.write_results(tmp_path / "gpu", seeds=2)
    path = root / "runs" / "ss-1" / "scores.csv"
    scores = pd.read_csv(path, dtype={"image": str})
    scores[scores["image"] != "003"].to_csv(path, index=False)
    study = read_study(root, fake.runs(2))
    with pytest.raises(ReblurError, match="same images"):
        variants_table(study, stem="t", title="T", variants=["ss"], dataset="synthetic")


@pytest.mark.parametrize(
    ("text", "said"),
    [("dataset,image\na,b\n", "lacks"), ("", "cannot be read")],
    ids=["columns missing", "empty file"],
)
def test_broken_scores_are_named(tmp_path, text, said):
    root = fake.write_results(tmp_path / "gpu", seeds=1)
    (root / "runs" / "ss-0" / "scores.csv").write_text(text)
    with pytest.raises(ReblurError, match=said):
        read_scores(root, fake.runs(1))


def test_a_broken_run_json_is_named(tmp_path):
    root = fake.write_results(tmp_path / "gpu", seeds=1)
    path = root / "runs" / "ss-0" / "run.json"
    path.write_text("{")
    with pytest.raises(ReblurError, match="not valid JSON"):
        read_study(root, fake.runs(1))
    path.write_text('{"variant": "ss"}')
    with pytest.raises(ReblurError, match="weights_sha256"):
        read_study(root, fake.runs(1))


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ReblurError, match="make the comparison again"):
        read_table(tmp_path / "ablation")


def test_a_study_of_nothing_says_so(tmp_path):
    with pytest.raises(ReblurError, match="nothing was scored"):
        read_study(tmp_path, fake.runs(1))


def test_a_study_without_any_run_has_tables_of_missing(tmp_path):
    (tmp_path / "empty").mkdir()
    tables = scale_recurrent.tables(
        read_study(tmp_path / "empty", fake.runs(1), ["synthetic"]), fake.CHAPTER
    )
    assert shown(tables[1], "SS")[1] == "missing"


def test_a_table_without_rows_survives_its_file():
    assert from_csv(to_csv(pd.DataFrame([]))).empty
