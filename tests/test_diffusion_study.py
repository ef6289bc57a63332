"""Chapter 3's tables, figures and verdicts, from made-up results whose truth is known."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_results import picture
from reblur.study.comparisons import rebuild, study_of
from reblur.study.diffusion_claims import claims
from reblur.study.diffusion_pictures import example_files, pair_columns
from reblur.study.figures import save_figure
from reblur.study.panels import Example
from reblur.study.results import read_study

import fake_diffusion as fake
from fake_diffusion import GAINS, PLACES, SECTION, study_in, write_results
from reblur.errors import ReblurError
from reblur.study import diffusion
from reblur.study.diffusion_results import (
    best_of,
    choice_in_words,
    shown_source,
)
from reblur.study.params import run_folder
from reblur.study.provenance import stamp

RULE = SECTION["rule"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return study_in(write_results(tmp_path_factory.mktemp("results") / "gpu"))


@pytest.fixture(scope="module")
def tables(study):
    return {table.stem: table for table in diffusion.tables(study, SECTION)}


@pytest.fixture(scope="module")
def holes(tmp_path_factory):
    """Results without one arm, and without all that a task leaves besides its runs."""
    left_out = ("superres_rrdb@refined_100", "deblur", "real_faces_rrdb@clean")
    return study_in(write_results(tmp_path_factory.mktemp("results") / "demo", left_out), False)


@pytest.fixture(scope="module")
def gaps(holes):
    return {table.stem: table for table in diffusion.tables(holes, SECTION)}


def line_of(table, *cells):
    """The cells of the first row of a table in Markdown that begins with `cells`."""
    for line in table._repr_markdown_().splitlines():
        found = [cell.strip() for cell in line.strip("|").split("|")]
        if found[: len(cells)] == list(cells):
            return found
    raise AssertionError(f"no row {cells}")


def test_the_rule_speaks_for_each_task(study, holes):
    assert best_of(study, "superres", RULE) == "refined_100"
    assert best_of(study, "real_superres", RULE) == "refined_200"  # drifts are smaller there
    assert best_of(study, "real_faces", RULE) is None
    assert choice_in_words(study, "superres", RULE) == "refined, t₀ = 100"
    assert choice_in_words(study, "real_faces", RULE) == "no t₀ within the bound"
    assert choice_in_words(holes, "deblur", RULE) == "missing"
    assert shown_source(study, "real_faces", RULE) == "refined_50"  # pictures show something


def test_the_claims_are_judged_as_the_scores_were_made(tables):
    frame = tables["diffusion_claims"].frame.set_index("key")
    assert len(frame) == 8
    assert set(frame["verdict"]) == {"holds"}
    assert "t₀ = 100 by the rule" in frame.loc["superres_softened", "text"]
    asked = frame[frame["question"] != ""]
    assert list(asked.index) == ["superres_softened", "deblur_softened"]


def test_claims_fail_where_refinement_does_harm(tmp_path, monkeypatch):
    monkeypatch.setitem(GAINS, "refined_100", 0.7)  # between hand-made and softened
    study = study_in(write_results(tmp_path / "gpu"))
    frame = diffusion.tables(study, SECTION)[0].frame.set_index("key")
    assert frame.loc["superres_softened", "verdict"] == "does not hold"
    assert frame.loc["superres_handmade", "verdict"] == "holds"


def test_without_a_start_within_the_bound_nothing_is_claimed(study):
    strict = {**SECTION, "rule": {**RULE, "content_drift": 0.001}}
    frame = diffusion.tables(study, strict)[0].frame.set_index("key")
    assert frame.loc["superres_softened", "verdict"] == "cannot tell"
    assert "no t₀ within the bound" in frame.loc["superres_softened", "text"]
    assert frame.loc["superres_clean", "verdict"] == "holds"


def test_claims_of_sources_that_no_one_asked_for_are_not_made(study):
    few = replace(study, runs=tuple(run for run in study.runs if "handmade" not in run[0]))
    assert [c.key for c in claims(few, "deblur", RULE)] == ["deblur_softened", "deblur_oracle"]


def test_distances_stand_beside_their_floor_and_the_rules_choice(tables):
    frame = tables["diffusion_distances"].frame
    here = frame[frame["task"] == "super-resolution"].set_index("source")
    assert list(here.index) == ["target", *fake.CONTROLLED]
    for source, (distance, moved) in PLACES.items():
        assert here.loc[source, "swd"] == pytest.approx(distance)
        if moved is not None:  # of the eight images' 0.65 to 1.35
            assert here.loc[source, "content_drift"] == pytest.approx(moved)
            assert here.loc[source, "drift"] == pytest.approx(1.6 * moved)
    assert list(here.index[here["rule"] == "best t₀"]) == ["refined_100"]
    faces = frame[frame["task"] == "real faces"]
    assert list(faces["rule"]) == [""] * 4 + ["beyond the bound"] * 3
    caption = tables["diffusion_distances"].caption
    assert "sliced Wasserstein" in caption
    assert "Fréchet" not in caption  # it was not measured here


def test_restorers_are_compared_by_the_source_of_their_pairs(study, tables):
    frame = tables["diffusion_restorers"].frame
    assert list(frame["source_name"][:2]) == ["do nothing", "clean"]
    rows = frame.set_index("variant")
    assert "real_superres_rrdb@clean" not in rows.index
    tables_of = [
        pd.read_csv(run_folder(study.root, "superres_rrdb@refined_100", seed) / "scores.csv")
        for seed in range(3)
    ]
    nothing = pd.read_csv(study.root / study.blurred / "scores.csv")
    nothing = nothing[nothing["dataset"] == "superres"]
    ours = rows.loc["superres_rrdb@refined_100"]
    assert ours["psnr"] == pytest.approx(np.mean([t["psnr"].mean() for t in tables_of]))
    assert ours["gain"] == pytest.approx(ours["psnr"] - nothing["psnr"].mean())
    assert ours["lpips"] == pytest.approx(np.mean([t["lpips"].mean() for t in tables_of]))
    assert ours["gain_low"] < GAINS["refined_100"] + 0.1
    assert ours["gain_low"] < ours["gain"] < ours["gain_high"]


def test_real_images_have_niqe_and_distances_with_their_floor(tables):
    frame = tables["diffusion_real"].frame
    here = frame[frame["task"] == "real photographs"].set_index("variant")
    assert here.loc["blurred", "niqe"] == pytest.approx(8.25)
    refined = here.loc["real_superres_rrdb@refined_100"]
    assert refined["niqe"] == pytest.approx(5.0 + 0.25 + 0.01)
    assert refined["change"] == pytest.approx(5.26 - 8.25)
    assert (refined["swd"], refined["swd_floor"]) == (pytest.approx(0.05), pytest.approx(0.02))
    cells = line_of(
        tables["diffusion_real"], "real photographs", "real_superres", "–", "do nothing"
    )
    assert cells[6:10] == ["0.09000", "0.02000", "0.90", "0.20"]
    faces = line_of(tables["diffusion_real"], "real faces", "real_faces", "RRDB", "clean")
    assert faces[4] == "not available"


def test_cost_is_compared_with_one_call_a_step(tables):
    frame = tables["diffusion_cost"].frame
    here = frame[frame["task"] == "deblurring"].set_index("sampler")
    assert here.loc["ddpm, 10 calls", "times"] == pytest.approx(101 / 11)
    assert here.loc["every step", "times"] == pytest.approx(1)
    assert here.loc["ddpm, 10 calls", "swd"] == pytest.approx(0.05)


def test_every_run_and_every_denoiser_is_listed(tables):
    runs = tables["diffusion_runs"].frame
    assert len(runs) == sum(map(len, fake.ASKED.values()))
    assert set(runs["scored"]) == {"3 of 3"}
    assert set(tables["diffusion_denoisers"].frame["falls"]) == {"yes"}
    assert len(tables["diffusion_losses"].frame) == len(fake.RUNS)


def test_what_is_missing_is_shown_as_missing(gaps):
    restorer = line_of(gaps["diffusion_restorers"], "super-resolution", "RRDB", "refined, t₀ = 100")
    assert restorer[3:8] == ["missing"] * 5
    assert "0 of 3" in restorer
    for source in ("target itself (floor)", "refined, t₀ = 200"):
        assert set(line_of(gaps["diffusion_distances"], "deblurring", source)[2:7]) == {"missing"}
    assert line_of(gaps["diffusion_cost"], "deblurring")[2] == "missing"
    assert line_of(gaps["diffusion_denoisers"], "deblurring")[2] == "missing"
    assert (
        line_of(gaps["diffusion_real"], "real faces", "real_faces", "RRDB", "clean")[4] == "missing"
    )
    verdicts = gaps["diffusion_claims"].frame.set_index("key")["verdict"]
    assert verdicts["superres_softened"] == "cannot tell"
    assert verdicts["superres_clean"] == "holds"
    assert all("no evidence" in gaps[stem].caption for stem in gaps)


def test_every_table_is_made_again_from_its_recipe(study, tables):
    for table in tables.values():
        kept = json.loads(json.dumps(table.recipe, sort_keys=True))  # as files keep it
        again = rebuild(study_of(study.root, kept), kept)
        pd.testing.assert_frame_equal(again.frame, table.frame)
        assert again.caption == table.caption


def test_a_table_without_its_columns_is_refused(tmp_path):
    study = study_in(write_results(tmp_path / "gpu"))
    path = study.root / "diffusion" / "superres" / "drift.csv"
    path.write_text("source,image\nclean,0\n")
    with pytest.raises(ReblurError, match="lacks t0, drift, content_drift"):
        diffusion.tables(study, SECTION)


def shown(study):
    """The panel's example, restored by networks of each source but the clean one."""
    sharp = picture("sharp", 96)
    arms = {s: f"superres_rrdb@{s}" for s in ("clean", "softened", "oracle")}
    arms["refined"] = "superres_rrdb@refined_100"
    restored = {arm: sharp for arm in arms.values() if not arm.endswith("clean")}
    psnr = {"blurred": 20.0, **dict.fromkeys(restored, 25.0)}
    example = Example("superres", "00000", sharp // 2, sharp, restored, psnr)
    return [diffusion.by_source(example, arms, SECTION["panel"])]


def test_examples_are_named_by_their_sources(study):
    example = shown(study)[0]
    assert list(example.restored) == SECTION["panel"]
    assert example.restored["clean"] is None
    assert example.psnr == {"blurred": 20.0, "softened": 25.0, "oracle": 25.0, "refined": 25.0}
    assert set(example.restored) <= set(diffusion.labels(study))


@pytest.mark.parametrize("results", ["study", "holes"])
def test_every_figure_of_the_sections_is_drawn(results, request, tmp_path, monkeypatch):
    study = request.getfixturevalue(results)
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text("")
    (tmp_path / "data_manifests").mkdir()
    made = stamp("gpu", {}, {}, diffusion.inputs(study, SECTION), study.root)
    drawings = {d.stem: d for d in diffusion.figures(study, SECTION, shown(study))}
    named = [item for section in diffusion.SECTIONS for item in section.items]
    assert {f"figures/{stem}" for stem in drawings} == {
        item for item in named if item.startswith("figures/") and "slider" not in item
    }
    for drawing in drawings.values():
        path = save_figure(drawing, tmp_path / "figures", made)[0]
        assert path.stat().st_size > 5000
        assert ("no evidence" in drawing.caption) == (results == "holes")
    assert "content drift is at most 0.03" in drawings["diffusion_tradeoff"].caption
    assert "real faces" in drawings["diffusion_tradeoff"].alt
    assert "t₀ = 100" in drawings["diffusion_panel"].caption
    if results == "holes":
        assert "deblurring: missing" in drawings["diffusion_tradeoff"].alt
        assert "deblurring: loss missing" in drawings["diffusion_learned"].alt
        missing = "super-resolution, RRDB, refined, t₀ = 100 missing"
        assert missing in drawings["diffusion_sources"].alt


def test_tables_are_those_of_the_sections(tables):
    named = [item for section in diffusion.SECTIONS for item in section.items]
    assert {f"tables/{stem}" for stem in tables} == {i for i in named if i.startswith("tables/")}


def test_the_pairs_show_the_camera_only_where_there_is_one(study):
    refined = ["refined_50", "refined_100", "refined_200"]
    assert pair_columns(study, ["superres"]) == ["high", "oracle", "softened", *refined]
    assert pair_columns(study, ["real_faces"]) == ["high", "softened", *refined]
    files = example_files(study, "real_faces")
    assert list(files) == ["000.png", "001.png"]
    assert list(files["000.png"]) == ["high", "softened", *refined]


def test_what_is_read_is_among_the_inputs(study):
    found = {path.relative_to(study.root).as_posix() for path in diffusion.inputs(study, SECTION)}
    for name in (
        "diffusion/superres/distances.csv",
        "diffusion/deblur/denoiser/log.csv",
        "diffusion/blurred/real_faces/realism.csv",
        "diffusion/superres/samples/start/005.png",
        "diffusion/superres/examples/high/001.png",
        "runs/real_superres_rrdb-0/refined_200/restored/real_superres/a.png",
    ):
        assert name in found


def test_a_chapter_without_real_tasks_or_without_cameras_is_told_too(study):
    root = study.root
    for kind in ("real_", "superres_"):
        runs = [run for run in fake.RUNS if run[0].startswith(kind)]
        part = read_study(root, runs, ["superres"], True, fake.BLURRED)
        made = {table.stem: table for table in diffusion.tables(part, SECTION)}
        empty = "diffusion_claims" if kind == "real_" else "diffusion_real"
        assert len(made[empty].frame) == 0
        assert len(made["diffusion_distances"].frame) > 0
        again = rebuild(study_of(root, made[empty].recipe), made[empty].recipe)
        assert len(again.frame) == 0
        assert len(diffusion.figures(part, SECTION, [])) == 7
