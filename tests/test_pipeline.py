"""The whole pipeline at the smallest size, by DVC, in a project of its own: what a user does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from reblur.study.notebooks import execute
from reblur.study.pipeline import gather_locks, part_locks

ROOT = Path(__file__).parents[1]
PARTS = (
    "params.yaml",
    "dvc.yaml",
    "notebooks",
    "lib",
    "data_manifests",
    ".gitignore",
    ".dvcignore",
)
VARIANTS = ["sr_edrb3", "sr_edrb3_skip"]
LEVELS = {"aligned": [0], "whole": [0, 2]}
SOURCES = ["softened", "refined_50"]


def shrink(params):
    """The demo with two variants a chapter, two steps and a handful of tiny pairs; of chapter 3 one
    task with one restorer, learned from two sources."""
    demo = params["profiles"]["demo"]
    chapter = demo["scale_recurrent"]
    chapter |= {"variants": list(VARIANTS), "networks": {"width": 2}, "crop": 32}
    chapter["training"] |= {"batch": 2, "log_every": 1}
    chapter["steps"] = dict.fromkeys(chapter["steps"], 2)
    demo["data"]["synthetic"] |= {"pairs": 2, "size": 48}
    demo["data"]["validation"] |= {"pairs": 1, "size": 32}
    demo["data"]["real"] |= {"sets": ["gopro_authors"], "size": 64}
    chapter = demo["defocus"]
    chapter |= {"variants": list(LEVELS), "levels": dict(LEVELS), "crop": 32}
    chapter["networks"] |= {"width": 2}
    chapter["training"] |= {"batch": 1, "steps": 2, "log_every": 1}
    chapter["data"]["synthetic"] |= {"pairs": 2, "size": 48}
    chapter["data"]["validation"] |= {"pairs": 1, "size": 32}
    chapter = demo["diffusion"]
    chapter |= {"tasks": ["superres"], "restorers": ["rrdb"], "crop": 32}
    chapter["sources"] = {"superres": list(SOURCES)}
    chapter["denoiser"] |= {"options": {"channels": [8, 8]}}
    chapter["denoiser"]["training"] |= {"batch": 1, "steps": 2, "log_every": 1}
    chapter["synthesis"] |= {"steps": 2}
    chapter["networks"] = {"rrdb": {"width": 4, "blocks": 1, "growth": 2}}
    chapter["training"] |= {"batch": 1, "steps": 2, "log_every": 1}
    few = {"highs": 4, "photograph_size": 128, "shots": 1, "tests": 2, "patches": 4}
    chapter["data"] |= {**few, "test_size": 128, "cost_images": 2}


def edit(project, change):
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    change(params)
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def reblur(project, *arguments):
    """Run the command line in the project, offline: no mirror, no data folder but its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REBLUR_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = str(project / "lib")
    return subprocess.run(
        [sys.executable, "-m", "reblur.cli", *arguments],
        cwd=project,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
        timeout=560,
    )


def git(project, *arguments):
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
        cwd=project,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def stages_run(done):
    """The stages that DVC says it ran."""
    lines = done.stdout.splitlines()
    return [line.split("'")[1] for line in lines if line.startswith("Running stage")]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A tiny project after its first `reblur study`."""
    project = tmp_path_factory.mktemp("project")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", ".ipynb_checkpoints")
            shutil.copytree(source, project / part, ignore=unwanted)
        else:
            shutil.copy(source, project / part)
    edit(project, shrink)
    git(project, "init", "--quiet")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=project, check=True)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "tiny")
    done = reblur(project, "study", "--jobs", "2")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return project


@pytest.mark.slow
def test_a_run_leaves_tables_figures_report_and_a_clean_tree(project):
    results = project / "results" / "demo"
    names = ["tables/ablation.csv", "figures/ablation.png", "report/index.html", "dvc.lock"]
    names += ["tables/defocus_levels.csv", "tables/defocus_maps.csv", "figures/defocus_curve.png"]
    names += ["figures/defocus_panel.png", "figures/defocus/slider/slider.provenance.json"]
    names += ["tables/diffusion_distances.csv", "figures/diffusion_tradeoff.png"]
    names += ["figures/diffusion_learned.png", "figures/diffusion_pairs.png"]
    for name in names:
        assert (results / name).stat().st_size > 0, name
    page = (results / "report" / "index.html").read_text()
    assert "Quality over misalignment" in page
    assert "it was not made" not in page
    for level in (0, 2):
        scores = (results / "runs" / "whole-0" / f"{level}px" / "scores.csv").read_text()
        assert "thin_lens_misaligned_to_output,001" in scores
    for source in SOURCES:
        scores = (results / "runs" / "superres_rrdb-0" / source / "scores.csv").read_text()
        assert "superres,00001" in scores
    run = json.loads((results / "runs" / "sr_edrb3-0" / "run.json").read_text())
    assert run["steps"] == 2
    assert run["provenance"]["code"]["dirty"] is False
    assert json.loads((results / "available.json").read_text())["gopro_authors"] == "not available"
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.slow
def test_verify_finds_nothing_and_then_finds_a_changed_score(project):
    assert reblur(project, "verify").returncode == 0
    for run, table in (("sr_edrb3-0", "ablation"), ("whole-0/2px", "defocus_levels")):
        path = project / "results" / "demo" / "runs" / run / "scores.csv"
        good = path.read_text()
        lines = good.splitlines()
        fields = lines[1].split(",")
        fields[3] = f"{float(fields[3]) + 1:.4f}"
        path.write_text("\n".join([lines[0], ",".join(fields), *lines[2:]]) + "\n")
        try:
            done = reblur(project, "verify")
            assert done.returncode == 1
            assert f"tables/{table}.csv: row" in done.stdout
        finally:
            path.write_text(good)


@pytest.mark.slow
def test_a_second_run_does_nothing_and_a_changed_parameter_only_what_hangs_on_it(project):
    assert stages_run(reblur(project, "study")) == ["demo_fetch"]

    def more(params):
        params["profiles"]["demo"]["scale_recurrent"]["steps"]["sr_edrb3_skip"] = 3

    edit(project, more)
    ran = stages_run(reblur(project, "study", "--jobs", "1"))
    assert ran == [
        "demo_fetch",
        "demo_train@sr_edrb3_skip-0",
        "demo_evaluate@sr_edrb3_skip-0",
        "demo_compare",
        "demo_report",
    ]


@pytest.mark.slow
def test_a_new_diffusion_model_is_followed_by_all_that_learns_from_its_pairs(project):
    def longer(params):
        params["profiles"]["demo"]["diffusion"]["denoiser"]["training"]["steps"] = 3

    edit(project, longer)
    pairs = project / "results" / "demo" / "pairs" / "superres"
    before = {s: (pairs / s / "manifest.json").read_bytes() for s in SOURCES}
    ran = stages_run(reblur(project, "study", "--jobs", "2"))
    assert ran[1:] == [
        "demo_denoise@superres",
        "demo_diffusion@superres-rrdb-0",
        "demo_compare",
        "demo_report",
    ]
    after = {s: (pairs / s / "manifest.json").read_bytes() for s in SOURCES}
    assert after["softened"] == before["softened"]
    assert after["refined_50"] != before["refined_50"]


@pytest.mark.slow
def test_a_stage_that_fails_leaves_the_others(project):
    def break_one(params):
        demo = params["profiles"]["demo"]["scale_recurrent"]
        demo["variants"] = ["gru", *VARIANTS]
        params["scale_recurrent"]["variants"]["gru"]["wdith"] = 3

    path = project / "params.yaml"
    good = path.read_text()
    edit(project, break_one)
    try:
        done = reblur(project, "study", "--jobs", "1")
        assert done.returncode == 1
        assert "has no option 'wdith'" in done.stderr
        assert "2 stages failed" in done.stdout
        page = (project / "results" / "demo" / "tables" / "ablation.md").read_text()
        assert "missing" in page
        assert (project / "results" / "demo" / "runs" / "sr_edrb3-0" / "scores.csv").is_file()
    finally:
        path.write_text(good)


def test_an_unknown_profile_is_one_sentence(tmp_path):
    for part in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / part, tmp_path / part)
    done = reblur(tmp_path, "study", "--profile", "dmeo")
    assert done.returncode == 2
    assert done.stderr.startswith("reblur: profile: unknown name 'dmeo'; the choices are demo")


def test_locks_are_taken_apart_by_profile_and_put_together_again(tmp_path):
    stages = {"demo_data": {"cmd": "a"}, "gpu_train@ss-0": {"cmd": "b"}, "gpu_data": {"cmd": "c"}}
    lock = tmp_path / "dvc.lock"
    lock.write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    part_locks(tmp_path)
    assert not lock.exists()
    gpu = yaml.safe_load((tmp_path / "results" / "gpu" / "dvc.lock").read_text())["stages"]
    assert set(gpu) == {"gpu_train@ss-0", "gpu_data"}
    gather_locks(tmp_path)
    assert yaml.safe_load(lock.read_text())["stages"] == stages


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("learn_scale_recurrence", {"steps": 3}),
        ("learn_motion_blur", {}),
        ("learn_reblurring", {"steps": 3}),
        ("learn_diffusion_pairs", {"updates": 3, "images": 4}),
    ],
)
def test_the_teaching_notebooks_run(name, parameters, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = ROOT / "notebooks" / f"{name}.ipynb"
    execute(path, tmp_path / "executed.ipynb", parameters, working_folder=ROOT)
    assert (tmp_path / "executed.ipynb").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "shown"),
    [
        ({}, "SR-EDRB3"),
        ({"chapter": "defocus", "dataset": "thin_lens", "variant": "whole@2"}, "the whole"),
        (
            {
                "chapter": "diffusion",
                "dataset": "superres",
                "variant": "superres_rrdb@refined_50",
            },
            "super-resolution",
        ),
    ],
)
def test_the_exploring_notebook_runs_on_results(parameters, shown, project, tmp_path):
    path = project / "notebooks" / "explore_results.ipynb"
    execute(path, tmp_path / "executed.ipynb", parameters, working_folder=project)
    assert shown in (tmp_path / "executed.ipynb").read_text()


def test_every_notebook_is_tried_by_a_test():
    tried = {"data", "data_defocus", "data_diffusion", "denoise", "train", "evaluate", "compare"}
    tried |= {"explore_results", "learn_diffusion_pairs"}
    tried |= {"learn_scale_recurrence", "learn_motion_blur", "learn_reblurring"}
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == tried
