"""The notebooks that compare: executed from their own folder on made results, and rendered."""

import re
import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import made_results as made
from reblur.datasets.catalogue.manifests import project_root
from reblur.study.analysis.sentences import against_zero, gain_in_words, most_and_least, with_seeds
from reblur.study.chapters import scale_recurrent
from reblur.study.notebooks import execute
from reblur.study.params import read_params
from reblur.study.report import render

TRAINED = {"ss": 0.1, "sc": -0.05, "sr_edrb3": 0.3, "sr_edrb3_skip": 0.55}


@pytest.fixture
def project(tmp_path):
    """A project without results: parameters, manifests and notebooks."""
    shutil.copy(project_root() / "params.yaml", tmp_path)
    for folder in ("data_manifests", "notebooks"):
        shutil.copytree(project_root() / folder, tmp_path / folder)
    return tmp_path


def make_results(project, gains):
    """Made runs of profile demo; the test images are those of the test set, by their names."""
    root = project / "results" / "demo"
    runs = scale_recurrent.runs(read_params(project / "params.yaml"), "demo")
    made.write_study(root, runs, gains, datasets=("synthetic", "gopro_0372"))
    for run in runs:
        if run.variant in ("ss", "sr_edrb3_skip"):
            for number in range(12):
                path = root / run.folder / "restored" / "synthetic" / f"{number:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((160, 160, 3), 90, np.uint8)).save(path)
    for path in root.glob("**/scores.csv"):  # the test set has 12 images
        scores = pd.read_csv(path, dtype=str)
        scores[scores["image"].astype(int) < 12].to_csv(path, index=False)
    return root


def run_and_render(project, name):
    """The page's text, from a kernel that starts in notebooks/ as JupyterLab's do."""
    root = project / "results" / "demo"
    copy = root / "notebooks" / f"{name}.ipynb"
    notebooks = project / "notebooks"
    execute(notebooks / f"{name}.ipynb", copy, {"profile": "demo"}, working_folder=notebooks)
    assert not (notebooks / "results").exists()
    _, page = render([copy], root / "report", "Reblur")
    body = re.sub(r"<(style|script).*?</\1>", "", page.read_text(), flags=re.DOTALL)
    return page, " ".join(re.sub(r"<[^>]+>", " ", body).split())


@pytest.mark.slow
def test_chapter_1_is_compared_from_its_own_folder(project):
    root = make_results(project, TRAINED)
    page, words = run_and_render(project, "compare_scale_recurrent")
    assert page.stat().st_size < 5_000_000
    assert "Profile demo: no evidence." in words
    assert "4 of 20 configurations were run in this profile; not run: w/o R, RNN" in words
    assert "SR-EDRB3 + skip (ours) gains most, +0." in words
    assert "for this one trained network (1 seed)" in words
    assert page.read_text().count('class="slider"') == 3
    for name in ("ablation", "test_sets", "scales", "recurrence", "upsampling", "peers"):
        table = root / "tables" / "scale_recurrent" / f"{name}.csv"
        assert table.is_file()
        assert f'href="../tables/scale_recurrent/{name}.csv"' in page.read_text()
    assert {path.name for path in (root / "figures" / "scale_recurrent").iterdir()} == {
        "ablation.png", "losses.png", "panel.jpg", "validation.png",
    }  # fmt: skip


@pytest.mark.slow
def test_chapter_1_without_a_run_says_so(project):
    make_results(project, {})
    page, words = run_and_render(project, "compare_scale_recurrent")
    assert "0 of 20 configurations were run in this profile" in words
    assert "None of these was run in this profile." in words
    assert "Not drawn: none of the runs that it would show is there." in words
    assert '<img alt="' not in page.read_text()


@pytest.mark.parametrize("name", ["compare_scale_recurrent"])
def test_a_notebook_starts_at_the_project_root(name):
    book = nbformat.read(project_root() / "notebooks" / f"{name}.ipynb", as_version=4)
    first = next(
        c for c in book.cells if c.cell_type == "code" and "parameters" not in str(c.metadata)
    )
    assert "os.chdir(project_root())" in first.source


def rows(*gains):
    return pd.DataFrame(
        [
            {"label": label, "metric": "psnr", "gain": gain, "gain_low": low, "gain_high": high,
             "note": "" if gain == gain else "not run"}
            for label, gain, low, high in gains
        ]
    )  # fmt: skip


NAN = float("nan")
SOME = rows(
    ("SS", 0.1, -0.1, 0.3), ("RNN", NAN, NAN, NAN), ("SR", 0.5, 0.2, 0.8), ("SC", -0.4, -0.6, -0.1)
)


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (
            SOME,
            "SR gains most, +0.50 dB [+0.20, +0.80]; SC least, -0.40 dB [-0.60, -0.10]. "
            "Of 3 intervals 1 lies above zero, 1 below, and 1 contains it.",
        ),
        (SOME.iloc[:1], "SS gains most, +0.10 dB [-0.10, +0.30]. Its interval contains zero."),
        (SOME.iloc[2:3], "SR gains most, +0.50 dB [+0.20, +0.80]. Its interval lies above zero."),
        (SOME.iloc[1:2], "None of these was run in this profile."),
    ],
)
def test_a_sentence_has_the_numbers_of_its_rows(shown, sentence):
    assert most_and_least(shown) == sentence


def test_what_has_no_interval_has_none_in_words():
    assert gain_in_words(SOME.iloc[1]) == "not run"
    one = rows(("SS", 0.1, NAN, NAN))
    assert gain_in_words(one.iloc[0]) == "+0.10 dB"
    assert against_zero(one) == "There is no interval yet."


@pytest.mark.parametrize(
    ("done", "sentence"),
    [
        ([True, True, True, True], "2 of 2 configurations were trained, each with 2 seeds."),
        ([True, True, True, False], "2 of 2 configurations were trained, each with 1 to 2 seeds."),
        ([True, False, False, False], "1 of 2 configurations were trained, each with 1 seed."),
        ([False] * 4, "0 of 2 configurations were trained."),
    ],
)
def test_seeds_in_words(done, sentence):
    runs = made.runs_of(("ss", "sc"), seeds=2)
    facts = pd.DataFrame([run.as_dict() for run in runs]).assign(done=done)
    assert with_seeds(facts) == sentence
