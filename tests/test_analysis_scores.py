"""The long frame: what is read, what is missing, what is refused in one sentence."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from made_results import runs_of, scores_of, write_blurred, write_run, write_study
from reblur.errors import ReblurError
from reblur.study.analysis.scores import (
    SCORE_COLUMNS,
    denoiser_seconds,
    matching,
    read_curves,
    read_facts,
    read_measures,
    read_scores,
    run_frame,
    write_scores,
)
from reblur.study.rows import BLURRED, RUN_FIELDS, Run

HEADER = ",".join(SCORE_COLUMNS)


@pytest.fixture
def study(tmp_path):
    runs = runs_of(["ss", "sr_edrb3", "absent"])
    return write_study(tmp_path, runs), runs


def test_scores_are_one_long_frame_with_the_blurred_inputs_first(study):
    root, runs = study
    scores = read_scores(root, runs)
    assert list(scores.columns) == [*RUN_FIELDS, *SCORE_COLUMNS]
    assert len(scores) == (1 + 2 * 3) * 36 * 3
    first = scores.iloc[0]
    assert (first["variant"], first["seed"], first["image"]) == (BLURRED, -1, "000")
    assert scores["level"].isna().all()
    assert scores["value"].dtype == float


def test_what_is_written_is_read_back_to_eight_digits(study):
    root, runs = study
    scores = read_scores(root, runs)
    ours = scores[matching(scores, runs[0]) & (scores["seed"] == 0)].reset_index(drop=True)
    written = scores_of(runs[0], 0.10)
    pd.testing.assert_frame_equal(ours[list(SCORE_COLUMNS)], written, rtol=1e-7)


def test_a_score_that_is_not_available_has_no_row_and_an_infinite_one_is_inf(tmp_path):
    rows = {"dataset": "set", "photograph": "p", "image": ["a", "b"], "metric": "psnr"}
    write_scores(tmp_path / "scores.csv", pd.DataFrame({**rows, "value": [np.nan, np.inf]}))
    assert (tmp_path / "scores.csv").read_text() == f"{HEADER}\nset,p,b,psnr,inf\n"


def test_no_runs_give_an_empty_frame_of_the_same_columns(tmp_path):
    for runs in ([], runs_of(["ss"])):
        scores = read_scores(tmp_path, runs)
        assert list(scores.columns) == [*RUN_FIELDS, *SCORE_COLUMNS]
        assert not len(scores)


def test_tasks_have_their_own_blurred_input(tmp_path):
    runs = [
        run
        for task in ("superres", "faces")
        for run in runs_of(["rrdb"], 1, chapter="diffusion", task=task, source="refined", t0=100)
    ]
    write_study(tmp_path, runs, {"rrdb": 0.2})
    scores = read_scores(tmp_path, runs)
    blurred = scores[scores["variant"] == BLURRED]
    assert list(blurred["task"].unique()) == ["superres", "faces"]
    assert scores.loc[scores["variant"] == "rrdb", "t0"].eq(100).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset,image,metric,value\ns,a,psnr,1\n", "lacks photograph"),
        (f"{HEADER}\ns,p,a,psnr,high\n", "row 2: 'high' is no score"),
        (f"{HEADER}\ns,p,a,psnr,30\ns,p,b,psnr,\n", "row 3: '' is no score"),
        (f"{HEADER}\ns,p,a,psnr,-inf\n", "row 2: '-inf' is no score"),
        (f"{HEADER}\ns,p,a,psnr,1\ns,p,a,psnr,2\n", "scores an image twice"),
        (f"{HEADER}\ns,p,a,psnr,1\ns,q,a,ssim,1\n", "belongs to two photographs"),
        (f'{HEADER}\ns,p,"a,psnr,1\n', "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_a_broken_file_is_one_sentence(study, text, message):
    root, runs = study
    path = root / runs[0].folder / "scores.csv"
    path.write_text(text)
    with pytest.raises(ReblurError, match=message) as refused:
        read_scores(root, runs)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_names_that_look_like_numbers_or_nothing_stay_names(tmp_path):
    (run,) = runs_of(["ss"], 1)
    (tmp_path / run.folder).mkdir(parents=True)
    path = tmp_path / run.folder / "scores.csv"
    path.write_text(f"{HEADER}\n0372,007,000051,psnr,30\n0372,NA,nan,psnr,31\n")
    scores = read_scores(tmp_path, [run])
    assert list(scores["image"]) == ["000051", "nan"]
    assert list(scores["photograph"]) == ["007", "NA"]


def test_facts_keep_the_runs_that_are_missing(study):
    root, runs = study
    facts = read_facts(root, runs)
    assert len(facts) == len(runs)
    assert facts["done"].sum() == 6
    missing = facts[~facts["done"]]
    assert set(missing["variant"]) == {"absent"}
    assert missing["steps"].isna().all()
    done = facts[facts["done"]].iloc[0]
    assert (done["steps"], done["samples"], done["commit"]) == (1000, 8000, "0" * 40)


def test_a_run_that_was_not_scored_is_not_done(study):
    root, runs = study
    (root / runs[0].folder / "scores.csv").unlink()
    facts = read_facts(root, runs)
    assert not facts["done"].iloc[0]
    assert facts["steps"].iloc[0] == 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts.pop("macs"), "lacks macs"),
        (lambda facts: facts.update(configuration={}), "lacks configuration.training.batch"),
        (lambda facts: facts["run"].update(seed=7), "describes another run than scale_recurrent"),
    ],
)
def test_a_run_json_that_is_not_whole_is_refused(study, change, message):
    root, runs = study
    path = root / runs[0].folder / "run.json"
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))
    with pytest.raises(ReblurError, match=message):
        read_facts(root, runs)
    path.write_text("{")
    with pytest.raises(ReblurError, match="not valid JSON"):
        read_facts(root, runs)


def test_curves_are_long_and_tell_validation_from_training(study):
    root, runs = study
    curves = read_curves(root, runs)
    assert list(curves.columns) == [*RUN_FIELDS, "step", "curve", "value"]
    assert set(curves["curve"]) == {"loss", "lr", "training_psnr", "psnr", "seconds"}
    assert (curves.loc[curves["curve"] == "training_psnr", "value"] == 30).all()
    assert set(curves["variant"]) == {"ss", "sr_edrb3"}


def test_measures_of_pairs_carry_their_source_and_start_step(tmp_path):
    runs = runs_of(["rrdb"], 1, chapter="diffusion", task="faces", source="handmade")
    table = pd.DataFrame(
        {
            "source": ["target", "refined", "refined"],
            "t0": [None, 100, "drawn"],
            "dataset": "pairs",
            "photograph": "p",
            "image": "all",
            "metric": "swd",
            "value": [0.1, 0.3, 0.2],
        }
    )
    path = tmp_path / "targets" / "faces-0" / "measures.csv"
    write_scores(path, table, ["source", "t0"])
    found = read_measures(tmp_path, runs)
    assert list(found["source"]) == ["target", "refined", "refined"]
    assert found["t0"].isna().tolist() == [True, False, False]
    assert list(found["t0"][1:]) == [100, "drawn"]
    assert set(found["task"]) == {"faces"}
    path.write_text(path.read_text().replace("refined,100", "refined,many"))
    with pytest.raises(ReblurError, match="'many' is neither a whole number nor"):
        read_measures(tmp_path, runs)


def test_matching_takes_a_run_without_its_seed_or_some_fields():
    runs = [
        Run("defocus", "full", "defocus_unet", seed, level=level)
        for level in (0, 8)
        for seed in (0, 1)
    ]
    frame = run_frame([*runs, Run("defocus", "full", "defocus_unet", 0)])
    assert matching(frame, runs[0]).sum() == 2
    assert matching(frame, {"variant": "full", "level": 8}).sum() == 2
    assert matching(frame, {"variant": "full", "level": None}).sum() == 1
    assert matching(frame, {"variant": "full", "level": 8, "seed": 1}).sum() == 1
    with pytest.raises(ValueError, match="levle"):
        matching(frame, {"levle": 8})


def test_a_folders_name_says_nothing(tmp_path):
    """What a run is, is known from the list of runs: no other folder is read."""
    (run,) = runs_of(["ss"], 1)
    write_blurred(tmp_path, run)
    write_run(tmp_path, replace(run, seed=5), scores_of(run, 0.1))
    assert set(read_scores(tmp_path, [run])["variant"]) == {BLURRED}


def test_diffusion_models_took_time_too(tmp_path):
    runs = [Run("diffusion", "rrdb", "rrdb", s, "deblur", source="clean") for s in (0, 1)]
    assert denoiser_seconds(tmp_path, runs) == 0
    path = tmp_path / "targets" / "deblur-0" / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"seconds": 12.5}')
    assert denoiser_seconds(tmp_path, [*runs, *runs]) == 12.5
    assert denoiser_seconds(tmp_path, runs_of(["ss"])) == 0
    path.write_text("{}")
    with pytest.raises(ReblurError, match="lacks seconds"):
        denoiser_seconds(tmp_path, runs)
