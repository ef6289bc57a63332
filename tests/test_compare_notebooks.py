"""The notebooks that compare: executed from their own folder on made results, and rendered."""

import json
import re
import shutil

import nbformat
import pandas as pd
import pytest

import made_results as made
from one_kernel import OneKernel
from reblur.datasets.catalogue.manifests import project_root
from reblur.networks import build_network
from reblur.networks.weights import save_network
from reblur.study.analysis.sentences import against_zero, gain_in_words, most_and_least, with_seeds
from reblur.study.notebooks import declared_parameters
from reblur.study.params import read_params
from reblur.study.report import render
from reblur.study.runs import chapter_module

TRAINED = {"ss": 0.1, "sc": -0.05, "sr_edrb3": 0.3, "sr_edrb3_skip": 0.55}
CHAPTERS = ("scale_recurrent", "defocus", "diffusion", "carry_over")


@pytest.fixture
def project(tmp_path):
    """A project without results: parameters, manifests and notebooks."""
    shutil.copy(project_root() / "params.yaml", tmp_path)
    for folder in ("data_manifests", "notebooks"):
        shutil.copytree(project_root() / folder, tmp_path / folder)
    return tmp_path


def runs_of(project, chapter):
    return chapter_module(chapter).runs(read_params(project / "params.yaml"), "demo")


def make_chapter_1(project, gains):
    """Made runs of profile demo; the test images are those of the test set, by their names."""
    root = project / "results" / "demo"
    runs = runs_of(project, "scale_recurrent")
    made.write_study(root, runs, gains, datasets=("synthetic", "gopro_0372"))
    for run in runs:
        if run.variant in ("ss", "sr_edrb3_skip"):
            network = build_network(run.network, seed=0, width=2)
            save_network(network, root / "weights" / f"{run.name}.safetensors")
    for path in root.glob("**/scores.csv"):  # the test set has 12 images
        scores = pd.read_csv(path, dtype=str)
        scores[scores["image"].astype(int) < 12].to_csv(path, index=False)


@pytest.fixture(scope="module")
def kernel():
    with OneKernel({}) as kernel:
        yield kernel


def run_and_render(kernel, project, chapter, folder=""):
    """The page and its text, from a kernel that starts in notebooks/ as JupyterLab's do."""
    root, notebooks = project / "results" / "demo", project / "notebooks"
    copy = root / "notebooks" / f"compare_{chapter}.ipynb"
    given = {"profile": "demo", "folder": str(folder)}
    kernel.run(notebooks / copy.name, notebooks, copy, **given)
    assert not (notebooks / "results").exists()
    _, page = render([copy], root / "report", "Reblur")
    assert page.stat().st_size < 5_000_000
    body = re.sub(r"<(style|script).*?</\1>", "", page.read_text(), flags=re.DOTALL)
    return page, " ".join(re.sub(r"<[^>]+>", " ", body).split())


def sections(page):
    return re.findall(r"<h2[^>]*>([^<]*)</h2>", page.read_text())


def files(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_chapter_1_is_compared_from_its_own_folder(kernel, project):
    make_chapter_1(project, TRAINED)
    root = project / "results" / "demo"
    page, words = run_and_render(kernel, project, "scale_recurrent")
    assert "Profile demo: no evidence." in words
    assert "4 of 20 configurations were run in this profile; not run: w/o R, RNN" in words
    assert "SR-EDRB3 + skip (ours) gained most, +0." in words
    assert "for this one trained network (1 seed)" in words
    assert "The ablation" in sections(page)
    assert "What 15 minutes of a core buy" not in sections(page)  # the demo asks for no pilot
    assert page.read_text().count('class="slider"') == 3
    names = {"ablation", "test_sets", "scales", "recurrence", "upsampling", "peers"}
    assert files(root / "tables" / "scale_recurrent") == {f"{name}.csv" for name in names}
    for name in names:
        assert f'href="../tables/scale_recurrent/{name}.csv"' in page.read_text()
    assert files(root / "figures" / "scale_recurrent") == {
        "overview.png", "macs.png", "losses.png", "panel.jpg", "validation.png",
    }  # fmt: skip
    metrics = json.loads((root / "metrics" / "scale_recurrent.json").read_text())
    ends = [metrics[f"ss.synthetic.{name}"] for name in ("low", "gain", "high")]
    assert ends == sorted(ends)


@pytest.mark.slow
def test_chapter_2_is_compared_into_another_folder(kernel, project):
    made.write_defocus(project / "results" / "demo", runs_of(project, "defocus"))
    again = project / "again"
    page, words = run_and_render(kernel, project, "defocus", again)
    assert not (project / "results" / "demo" / "tables").exists()
    assert files(again / "tables" / "defocus") == {
        "levels.csv", "ladder.csv", "prior.csv", "protocols.csv", "maps.csv",
    }  # fmt: skip
    assert {"levels.png", "ladder.png", "validation.png"} <= files(again / "figures" / "defocus")
    assert files(again / "metrics") == {"defocus.json"}
    assert "+ reblurring: 2.40 px, no better than the 2.00 px of one value everywhere" in words
    assert "full method: 1.10 px against the 2.00 px" in words
    assert "The full method beats the blurred input, learned at 8 px." in words
    assert "Its weights are not here." in words
    assert "Maps of the blur" in sections(page)
    assert "Real photographs, and measured depth" not in sections(page)  # no score on any


@pytest.mark.slow
def test_chapter_3_is_compared(kernel, project):
    root = project / "results" / "demo"
    made.write_diffusion(root, runs_of(project, "diffusion"))
    page, words = run_and_render(kernel, project, "diffusion")
    assert "Super-resolution: the rule chooses t₀ = 100, at a distance of 0.007" in words
    assert "diffusion-refined pairs (t₀ = 100) beat the mild degradation" in words
    assert "sde_dpmpp, 20 steps is the fastest, 4.50 images/s with 20 calls" in words
    assert "What refining costs" in sections(page)
    assert "Real photographs and faces" not in sections(page)  # the demo has no such task
    assert "t₀ = 100.0" not in words
    assert {"sources.png", "trade_off.png"} <= files(root / "figures" / "diffusion")
    assert {"superres_rrdb.csv", "trade_off.csv", "cost.csv"} <= files(root / "tables/diffusion")


@pytest.mark.slow
def test_a_chapter_without_a_run_says_so(kernel, project):
    page, words = run_and_render(kernel, project, "carry_over")
    assert "0 of 3 configurations were run in this profile" in words
    assert "None of these was run in this profile." in words
    assert "Not drawn: none of the runs that it would show is there." in words
    assert '<img alt="' not in page.read_text()
    assert sections(page) == ["Method", "Claims tested", "What is missing"]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_starts_at_the_project_root(chapter):
    path = project_root() / "notebooks" / f"compare_{chapter}.ipynb"
    assert declared_parameters(path) == {"profile": "demo", "folder": ""}
    codes = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert "os.chdir(project_root())" in codes[1].source
    assert any("summary" in cell.metadata.get("tags", []) for cell in codes)


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
            "SR gained most, +0.50 dB [+0.20, +0.80]; SC least, -0.40 dB [-0.60, -0.10]. "
            "Of 3 intervals 1 lies above zero, 1 below, and 1 contains it.",
        ),
        (SOME.iloc[:1], "SS gained +0.10 dB [-0.10, +0.30]. Its interval contains zero."),
        (SOME.iloc[2:3], "SR gained +0.50 dB [+0.20, +0.80]. Its interval lies above zero."),
        (SOME.iloc[1:2], "None of these was run in this profile."),
    ],
)
def test_a_sentence_has_the_numbers_of_its_rows(shown, sentence):
    assert most_and_least(shown) == sentence


def test_where_less_is_better_the_lowest_gains_most():
    assert most_and_least(SOME, less=True).startswith(
        "SC lowered it most, -0.40 dB [-0.60, -0.10]; SR"
    )


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
