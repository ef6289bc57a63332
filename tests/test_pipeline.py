"""The whole pipeline at the smallest size, by DVC, in a project of its own: what a user does."""

import json
from contextlib import contextmanager

import pytest

from reblur.study import verify
from reblur.study.params import read_params
from small_project import copy_project, dvc, edit, git, reblur

RUNS = ["scale_recurrent-ss-0", "scale_recurrent-sr_edrb3_skip-0"]

pytestmark = pytest.mark.slow


def shrink(params):
    """The demo's first chapter with two variants, two steps and a handful of tiny pairs."""
    demo = params["profiles"]["demo"]
    part = demo["scale_recurrent"]
    part |= {"variants": ["ss", "sr_edrb3_skip"], "networks": {"width": 2}, "crop": 32}
    part["training"] |= {"batch": 2, "steps": 2, "log_every": 1, "validate_every": 1}
    part["data"]["motion"] |= {"extent": [2, 6], "layer_extent": [2, 4], "frames": 5}
    part["data"]["synthetic"] |= {"pairs": 2, "size": 48}
    part["data"]["validation"] |= {"pairs": 1, "size": 48}
    part["data"]["real"] |= {"sets": ["gopro_authors"], "size": 64}
    params["profiles"] = {
        "demo": {key: demo[key] for key in ("evidence", "machine", "scale_recurrent")}
    }


def stages_run(done):
    """The stages that DVC says it ran."""
    lines = done.stdout.splitlines()
    return [line.split("'")[1] for line in lines if line.startswith("Running stage")]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A tiny project after its first `reblur study`."""
    project = tmp_path_factory.mktemp("project")
    copy_project(project, shrink)
    git(project, "init", "--quiet")
    assert dvc(project, "init", "--quiet").returncode == 0
    assert reblur(project, "plan").returncode == 0
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "tiny")
    done = reblur(project, "study", "--jobs", "2")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    git(project, "add", "dvc.lock")
    git(project, "commit", "--quiet", "--message", "ran")
    return project


def facts(project, run):
    chapter, variant, seed = run.split("-")
    path = project / f"results/demo/runs/{chapter}/{variant}/seed_{seed}/run.json"
    return json.loads(path.read_text())


def test_a_study_leaves_what_it_says(project):
    root = project / "results/demo"
    for run in RUNS:
        made = facts(project, run)
        assert made["steps"] == 2
        assert (root / "weights" / f"{run}.safetensors").is_file()
    assert (root / "report/index.html").is_file()
    assert (root / "provenance.json").is_file()
    assert list(root.glob("tables/scale_recurrent/*.csv"))
    assert "gopro_authors" in (root / "available.json").read_text()
    assert git(project, "status", "--porcelain") == ""


def test_after_a_study_plain_dvc_finds_nothing_to_do(project):
    done = dvc(project, "status")
    assert "up to date" in done.stdout, done.stdout
    assert stages_run(dvc(project, "repro", "demo_report")) == []


@contextmanager
def changed_digit(project, pattern):
    """The last digit of the first file of a pattern is another one; yields the file."""
    path = min((project / "results/demo").glob(pattern))
    before = path.read_bytes()
    place = next(i for i in range(len(before) - 1, -1, -1) if before[i : i + 1].isdigit())
    digit = b"7" if before[place : place + 1] != b"7" else b"3"
    path.write_bytes(before[:place] + digit + before[place + 1 :])
    try:
        yield path
    finally:
        path.write_bytes(before)


def test_verify_finds_one_changed_digit_by_the_hashes(project, monkeypatch):
    assert reblur(project, "verify", "demo").returncode == 0
    monkeypatch.chdir(project)
    monkeypatch.setattr(verify, "_tables", lambda *_: [])  # made again below
    for pattern in ("metrics/*.json", "tables/**/*.csv", "runs/**/scores.csv", "report/*.html"):
        with changed_digit(project, pattern) as path:
            assert path.name in " ".join(verify.verify(read_params(), "demo"))


def test_verify_makes_the_tables_again(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setattr(verify, "_files", lambda *_: [])
    with changed_digit(project, "tables/**/*.csv") as path:
        [found] = verify.verify(read_params(), "demo")
    assert path.name in found
    assert "does not follow from the scores" in found


def test_an_experiment_runs_what_depends_on_it_and_keeps_its_metrics(project):
    change = "profiles.demo.scale_recurrent.training.lr=1e-05"
    done = dvc(project, "exp", "run", "-S", change, "demo_report")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    ran = stages_run(done)
    assert {f"demo_train@{run}" for run in RUNS} <= set(ran)
    assert "demo_data@scale_recurrent" not in ran
    assert facts(project, RUNS[0])["configuration"]["training"]["lr"] == 1e-5
    shown = dvc(project, "exp", "show", "--csv").stdout.splitlines()
    header, rows = shown[0], [line for line in shown[1:] if line]
    assert "gain" in header
    assert len(rows) >= 3  # the workspace, the baseline, the experiment
    git(project, "checkout", "--quiet", "params.yaml", "dvc.lock")
    assert dvc(project, "checkout", "--quiet", "--force").returncode == 0


def test_a_changed_comment_trains_nothing_and_a_changed_loss_does(project):
    path = project / "lib/reblur/losses/multi_scale.py"
    before = path.read_text()
    try:
        path.write_text(before + "\n# a comment\n")
        assert [s for s in stages_run(dvc(project, "repro", "demo_report")) if "train" in s] == []
        assert "return functional.mse_loss(output, target)" in before
        path.write_text(before.replace("mse_loss(output, target)", "l1_loss(output, target)"))
        assert reblur(project, "plan", "demo").returncode == 0
        changed = dvc(project, "status", "--json").stdout
        assert all(f"demo_train@{run}" in changed for run in RUNS)
        other = project / "lib/reblur/losses/reblurring.py"
        text = other.read_text()
        path.write_text(before)
        other.write_text(text.replace("epsilon**2", "2 * epsilon**2"))
        assert reblur(project, "plan", "demo").returncode == 0
        assert "demo_train" not in dvc(project, "status", "--json").stdout
        other.write_text(text)
    finally:
        path.write_text(before)
        reblur(project, "plan", "demo")


def test_a_stage_that_fails_deletes_nothing(project):
    path = project / "lib/reblur/training/loop.py"
    before, kept = path.read_text(), facts(project, RUNS[0])
    try:
        path.write_text(
            before.replace("    session.start()", "    raise RuntimeError", 1).replace(
                "        session.start()", "        raise RuntimeError('broken')"
            )
        )
        assert reblur(project, "plan", "demo").returncode == 0
        assert dvc(project, "repro", "--single-item", f"demo_train@{RUNS[0]}").returncode != 0
        assert facts(project, RUNS[0]) == kept
    finally:
        path.write_text(before)
        reblur(project, "plan", "demo")


def test_a_run_that_the_pipeline_does_not_list_is_named(project):
    try:
        edit(project, lambda p: p["profiles"]["demo"]["scale_recurrent"].update(seeds=[0, 1]))
        done = reblur(project, "plan", "demo")
        assert done.returncode == 2
        assert "'reblur plan'" in done.stderr
    finally:
        git(project, "checkout", "--quiet", "params.yaml")


def test_a_profile_of_ones_own_pairs_is_a_few_lines(project, tmp_path):
    """From a folder of small pairs to a table, by DVC."""
    import numpy as np
    from PIL import Image

    folder = tmp_path / "mine"
    pixels = np.random.default_rng(0)
    for number in range(24):
        for side in ("blur", "sharp"):
            (folder / side).mkdir(parents=True, exist_ok=True)
            image = pixels.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(image).save(folder / side / f"{number:03d}.png")
    assert reblur(project, "data", "add", str(folder), "--name", "mine").returncode == 0
    part = {"variants": ["ss"], "data": {"pairs": "mine"}}
    mine = {"extends": "demo", "chapters": ["scale_recurrent"], "scale_recurrent": part}
    edit(project, lambda params: params["profiles"].update(mine=mine))
    done = reblur(project, "study", "--profile", "mine")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    metrics = json.loads((project / "results/mine/metrics/scale_recurrent.json").read_text())
    assert any("mine" in name and name.endswith("gain") for name in metrics)
    assert list((project / "results/mine/tables/scale_recurrent").glob("*.csv"))
    # A picture replaced under its name is seen.
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "blur" / "000.png")
    assert "mine_train@scale_recurrent-ss-0" in " ".join(
        stages_run(dvc(project, "repro", "mine_report"))
    )
