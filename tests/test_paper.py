"""Profile `paper` on tiny trees of the layouts that authors publish: every notebook of the study,
from its own folder to the pages, and once more from elsewhere."""

import json
import os
import re

import nbformat
import pytest
import yaml

import paper_trees
from one_kernel import OneKernel
from reblur.study.params import CHAPTERS, read_params
from reblur.study.pipeline import plan, write_pipeline
from reblur.study.report import write_report
from reblur.study.runs import all_runs
from small_project import ROOT, copy_project, environment

pytestmark = pytest.mark.slow
RUN, TARGET = "scale_recurrent-ss-0", "real_faces-0"
#: Every notebook of the study: its name, and its parameters beside the profile.
NOTEBOOKS = [
    *((f"data_{chapter}", {}) for chapter in CHAPTERS),
    ("pairs", {"target": TARGET}),
    ("train", {"run": RUN}),
    *((f"compare_{chapter}", {}) for chapter in CHAPTERS),
    ("explore", {}),
    ("restore_your_photo", {"task": "motion"}),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project after all stages of profile `paper`, each started in notebooks/."""
    folder = tmp_path_factory.mktemp("paper")
    copy_project(folder, paper_trees.shrink)
    paper_trees.make_trees(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in [name for name in os.environ if name.startswith("REBLUR_")]:
            patch.delenv(name)
        params = read_params()
        write_pipeline(params, folder)
        plan(params, "paper", folder)
        runs = all_runs(params, "paper")
        targets = dict.fromkeys(f"{run.task}-{run.seed}" for run in runs if run.task)
        stages = [
            *((f"data_{chapter}", f"data_{chapter}", {}) for chapter in CHAPTERS),
            *(("pairs", f"pairs-{target}", {"target": target}) for target in targets),
            *(("train", f"train-{run.name}", {"run": run.name}) for run in runs),
            *((f"compare_{chapter}", f"compare_{chapter}", {}) for chapter in CHAPTERS),
        ]
        notebooks, copies = folder / "notebooks", folder / "results/paper/notebooks"
        with OneKernel(environment(folder)) as kernel:
            for name, copy, given in stages:
                given = {"profile": "paper", **given}
                kernel.run(
                    notebooks / f"{name}.ipynb", notebooks, copies / f"{copy}.ipynb", **given
                )
        write_report(params, "paper")
        yield folder


def test_every_output_that_the_pipeline_names_is_there(project):
    """What no configuration of the profile writes would fail its stage, after the training."""
    lists = yaml.safe_load((project / "pipeline.yaml").read_text())["pipeline"]["paper"]
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    for stage in stages.values():
        over = re.fullmatch(r"\$\{pipeline\.paper\.(\w+)\}", stage.get("foreach", ""))
        work = stage.get("do", stage)
        for key, item in lists[over[1]].items() if over else [("", "")]:
            folder = item["folder"] if isinstance(item, dict) else item
            for entry in (*work["outs"], *work.get("metrics", ())):
                [path] = entry
                for name, value in (("key", key), ("item", item), ("item.folder", folder)):
                    path = path.replace(f"${{{name}}}", str(value))
                assert (project / path).exists(), path


def test_every_test_set_is_scored(project):
    asked = {
        "scale_recurrent": {"gopro_linear", "hide", "realblur_j", "realblur_r", "reds", "kohler"},
        "defocus": {"sdd_raw", "sdd_to_input", "sdd_to_output", "dpdd", "realdof", "lfdof", "rtf"},
        "carry_over": {"gopro_linear", "sdd_raw", "dpdd"},
    }
    for chapter, sets in asked.items():
        metrics = json.loads((project / f"results/paper/metrics/{chapter}.json").read_text())
        assert sets <= {name.split(".")[-2] for name in metrics if name.endswith(".gain")}, metrics
    scores = (project / "results/paper/runs/defocus/full").rglob("scores.csv")
    assert "cuhk" in next(scores).read_text()


def test_the_pages_show_tables_and_pictures(project):
    for chapter in CHAPTERS:
        page = (project / f"results/paper/report/compare_{chapter}.html").read_text()
        assert 'class="results"' in page
        assert '<img alt="' in page
    assert "compare_defocus.html" in (project / "results/paper/report/index.html").read_text()
    assert "have no known truth" in (project / "RESULTS.md").read_text()  # of chapter 3


def test_what_is_not_here_is_not_available(project):
    """LPIPS and NIQE lack their files, and the pictures are too small for NIQE."""
    for chapter in CHAPTERS:
        page = (project / f"results/paper/report/compare_{chapter}.html").read_text()
        assert (">not available<" in page) == (chapter != "carry_over"), chapter


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def kernel(project):
    with OneKernel(environment(project)) as kernel:
        yield kernel


@pytest.mark.parametrize("place", ["notebooks", "elsewhere"])
@pytest.mark.parametrize(("name", "given"), NOTEBOOKS)
def test_a_notebook_runs_from_any_folder(project, elsewhere, kernel, name, given, place):
    if place == "notebooks" and name not in ("explore", "restore_your_photo"):
        copies = sorted((project / "results/paper/notebooks").glob(f"{name}*.ipynb"))
        book = nbformat.read(copies[0], as_version=4)  # of the stages, which started there
    else:
        start = project / "notebooks" if place == "notebooks" else elsewhere
        given = given if name == "restore_your_photo" else {"profile": "paper", **given}
        book = kernel.run(project / f"notebooks/{name}.ipynb", start, **given)
    shown = [o.get("data", {}) for c in book.cells for o in c.get("outputs", ())]
    pictures = [d for d in shown if {"image/png", "image/jpeg"} & d.keys()]
    inside = [d for d in shown if "data:image/" in d.get("text/html", "")]
    assert pictures or inside
    assert list(elsewhere.iterdir()) == []
    before = {path.name for path in (ROOT / "notebooks").iterdir()}
    assert {path.name for path in (project / "notebooks").iterdir()} <= before
