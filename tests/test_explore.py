"""Exploring: defaults from what is there, one's own results, the notebook with and without a
browser."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import made_results as made
from browser import CHROMIUM, Browser
from reblur.datasets.catalogue.manifests import project_root
from reblur.errors import ReblurError
from reblur.evaluation.tiling import restore_image
from reblur.networks import build_network
from reblur.networks.weights import save_network
from reblur.study import explore_views as views
from reblur.study.analysis.pictures import crop_window
from reblur.study.chapters import defocus, scale_recurrent
from reblur.study.examples import network_of
from reblur.study.explore import Explorer
from reblur.study.notebooks import execute
from reblur.study.params import read_params

GAINS = {"ss": 0.1, "sr_edrb3": 0.8, "sr_edrb3_skip": 1.6}
OURS, PAPER = "SR-EDRB3 + skip (ours)", "SR-EDRB3"
DRAWN = (views.chosen, views.scatter, views.pictures, views.table, views.extremes, views.curves)


@pytest.fixture(scope="module")
def made_project(tmp_path_factory):
    """A project with made results of profile demo, and weights of two of its variants."""
    root = tmp_path_factory.mktemp("project")
    shutil.copy(project_root() / "params.yaml", root)
    for folder in ("data_manifests", "notebooks"):
        shutil.copytree(project_root() / folder, root / folder)
    results = root / "results" / "demo"
    params = read_params()
    runs = [run for run in scale_recurrent.runs(params, "demo") if run.variant in GAINS]
    made.write_study(results, runs, GAINS)
    for path in results.glob("**/scores.csv"):  # the test set has 12 images
        scores = pd.read_csv(path, dtype=str)
        scores[scores["image"].astype(int) < 12].to_csv(path, index=False)
    levels = [run for run in defocus.runs(params, "demo") if run.variant in ("full", "baseline")]
    made.write_study(results, levels, {"full": 0.4, "baseline": 0.1}, datasets=("thin_lens",))
    (results / "weights").mkdir()
    for run in runs:
        if run.variant != "ss":
            network = build_network(run.network, width=4, seed=1)
            save_network(network, results / "weights" / f"{run.name}.safetensors")
    return root


def grey(side):
    return Image.fromarray(np.full((side, side, 3), 90, np.uint8))


@pytest.fixture
def project(made_project, monkeypatch):
    monkeypatch.chdir(made_project)
    return made_project


def test_defaults_come_from_what_is_there(project):
    explorer = Explorer()
    assert explorer.choice == {
        "profile": "demo", "chapter": "scale_recurrent", "test_set": "synthetic", "metric": "psnr",
        "a": OURS, "b": PAPER, "image": explorer.images().index[0],
    }  # fmt: skip
    assert explorer.options("b")[-1] == "blurred input"
    assert OURS not in explorer.options("b")
    assert explorer.images()["difference"].is_monotonic_decreasing


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"profile": "cpu"}, "There is no 'cpu' here as profile; 'demo' is shown."),
        ({"a": "NAFNet"}, "There is no 'NAFNet' here as A; 'SR-EDRB3 + skip (ours)' is shown."),
        ({"test_set": "reds", "metric": "vmaf"}, "There is no 'vmaf' here as metric; 'psnr'"),
    ],
)
def test_what_is_not_there_is_said_and_not_failed_at(project, wanted, said):
    explorer = Explorer()
    explorer.choose(**wanted)
    assert said in explorer.said
    assert said.replace("'", "&#x27;") in views.chosen(explorer)
    assert explorer.choice["a"] == OURS


def test_another_chapter_brings_its_own_choices(project):
    explorer = Explorer()
    explorer.choose(chapter="defocus")
    assert explorer.choice["test_set"] == "thin_lens"
    assert explorer.choice["a"].startswith("full method, ")
    assert explorer.said == ""


def test_less_is_better_where_it_is(project):
    explorer = Explorer("", "", "", "lpips")
    assert explorer.choice["a"] == OURS
    assert (explorer.images()["difference"] > 0).mean() > 0.9


def test_a_project_without_results_says_so(project, tmp_path, monkeypatch):
    shutil.copy(project / "params.yaml", tmp_path)
    (tmp_path / "data_manifests").mkdir()
    monkeypatch.chdir(tmp_path)
    explorer = Explorer()
    assert explorer.choice["a"] is None
    for view in DRAWN[1:5]:
        assert views.NOTHING in view(explorer)


def test_the_length_of_the_blur_is_preferred_to_the_score_where_it_is_known(project):
    explorer = Explorer()
    assert explorer.measured_by == "psnr"
    blurred = explorer.images()["blurred input"]
    assert explorer.images()["measure"].equals(blurred.rename("measure"))
    length = explorer.scores[explorer.scores["variant"] == "blurred"].query("metric == 'psnr'")
    length = length.assign(metric="blur_length", value=np.arange(len(length), dtype=float))
    explorer.scores = pd.concat([explorer.scores, length], ignore_index=True)
    assert explorer.measured_by == "blur_length"
    assert sorted(explorer.images()["measure"]) == list(range(12))
    assert "blur_length" not in explorer.options("metric")
    assert "blur (px)" in views.table(explorer)


def test_pictures_are_made_by_weights_and_others_said_to_be_missing(project):
    explorer = Explorer()
    pair = explorer.pair("003")
    shown = explorer.pictures("003", 96)
    assert list(shown) == ["blurred input", OURS, PAPER, "sharp"]
    assert {picture.shape for picture in shown.values()} == {(96, 96, 3)}
    place = crop_window(pair.blurred, pair.sharp, 96)
    square = np.s_[place[0] : place[0] + 96, place[1] : place[1] + 96]
    assert (shown["sharp"] == pair.sharp[square]).all()
    run = explorer.runs[OURS][0]
    network = network_of(project / "results" / "demo", run)
    whole = restore_image(network, pair.blurred, channels_last=True)
    assert np.abs(shown[OURS].astype(int) - whole[square]).mean() < 1  # MARGIN is enough
    assert views.pictures(explorer).count("data:image/jpeg") == 4
    explorer.choose(b="SS")
    assert explorer.pictures("003", 96)["SS"] is None
    assert "SS: its weights are not here." in views.pictures(explorer)


def test_the_first_picture_waits_neither_for_torch_nor_for_seaborn(project):
    code = (
        "import sys; from reblur.study import explore_views as v; from reblur.study.explore import "
        "Explorer; v.scatter(Explorer()); print({'torch', 'seaborn', 'cv2'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def own_folder(folder, kind):
    explorer = Explorer()
    if kind == "scores":
        folder.mkdir()
        rows = [("synthetic", "x", f"{n:03d}", "psnr", 20.0 + n) for n in range(12)]
        columns = ["dataset", "photograph", "image", "metric", "value"]
        pd.DataFrame(rows, columns=columns).to_csv(folder / "scores.csv", index=False)
    else:
        (folder / "synthetic").mkdir(parents=True)
        for number in range(12):
            pair = explorer.pair(f"{number:03d}")
            Image.fromarray(pair.blurred).save(folder / "synthetic" / f"{number:03d}.png")
    return explorer


@pytest.mark.parametrize("kind", ["scores", "images"])
def test_own_results_appear_in_every_view(project, tmp_path, kind):
    folder = tmp_path / "my_method"
    explorer = own_folder(folder, kind)
    explorer.add_results(folder)
    assert explorer.choice["a"] == "my_method"
    assert len(explorer.images()) == 12
    for view in (views.chosen, views.scatter, views.table, views.pictures, views.extremes):
        assert "my_method" in view(explorer) or view is views.extremes
    if kind == "images":
        shown = explorer.pictures("004", 96)
        assert (shown["my_method"] == shown["blurred input"]).all()
    explorer.choose(a=PAPER, b="my_method")
    assert explorer.choice["b"] == "my_method"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "holds neither a scores.csv"),
        ({"synthetic/strange.png": 160}, "strange.png is no image of the test set synthetic"),
        ({"synthetic/000.png": 150}, "differ in size: 150×150 and 160×160"),
    ],
)
def test_own_results_that_cannot_be_are_refused(project, tmp_path, files, sentence):
    explorer = Explorer()
    for name, side in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        grey(side).save(tmp_path / name)
    with pytest.raises(ReblurError, match=sentence):
        explorer.add_results(tmp_path)
    assert explorer.choice["a"] == OURS


def test_listeners_hear_what_changed(project):
    explorer, heard = Explorer(), []
    explorer.listeners.append(heard.append)
    explorer.choose(image="004")
    explorer.choose(image="004")
    explorer.choose(metric="ssim")
    assert heard[0] == {"image"}
    assert len(heard) == 2
    assert "metric" in heard[1]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["notebooks", "elsewhere"])
def test_the_notebook_shows_every_view_without_widgets(project, tmp_path, place):
    copy = tmp_path / "explore.ipynb"
    folder = project / "notebooks" if place == "notebooks" else project / "results" / "demo"
    given = {"chapter": "defocus"} if place == "elsewhere" else {"a": "SS"}
    execute(project / "notebooks" / "explore.ipynb", copy, given, working_folder=folder)
    book = nbformat.read(copy, as_version=4)
    data = [out.get("data", {}) for cell in book.cells for out in cell.get("outputs", [])]
    text = "".join(item.get("text/html", "") for item in data)
    assert "A is <b>" + ("SS" if place == "notebooks" else "full method, ") in text
    assert text.count("<figure") >= 3
    assert 'id="explore-images"' in text
    assert "csvHtml5" in text
    assert not re.search(r"<script[^>]*src=|unpkg\.com/dt_for_itables/dt_bundle\.js'", text)
    assert not any("widget-view" in kind for item in data for kind in item)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_it_is_explored_in_a_browser(project, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    homes = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment = os.environ | {name: str(tmp_path / name) for name in homes}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=secret",
        f"--ServerApp.root_dir={project}", "--LabApp.default_url=/lab/tree/notebooks/explore.ipynb",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    browser = Browser(tmp_path / "chromium")
    try:
        wait_for_server(f"http://127.0.0.1:{port}/api?token=secret")
        browser.resize(1300, 4000)
        browser.call("Page.navigate", url=f"http://127.0.0.1:{port}/?token=secret")
        browser.wait_for("document.querySelectorAll('.jp-NotebookPanel .jp-Cell').length > 5")
        browser.wait_for(
            "document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"
        )
        cells = nbformat.read(project / "notebooks" / "explore.ipynb", as_version=4).cells
        for _ in range(4):  # keys that are pressed while JupyterLab still loads are lost
            browser.click(".jp-NotebookPanel .jp-Cell")
            for _ in cells:
                browser.press_shift_enter()
            with suppress(TimeoutError):
                browser.wait_for("document.querySelector('.explore-a select')", 45)
                break
        browser.wait_for("document.querySelector('figure.slider img')?.naturalWidth")
        browser.wait_for("document.querySelectorAll('figure img').length >= 7")
        browser.wait_for("document.querySelectorAll('#explore-images tbody tr').length == 10")
        second = "document.querySelectorAll('#explore-images tbody tr')[1]"
        image = browser.ask(f"{second}.cells[0].textContent.trim()")
        assert browser.ask("document.querySelector('.explore-image select').value") != image
        browser.ask(f"{second}.cells[0].click()")
        words = f"p => p.textContent.startsWith('Image {image}:')"
        browser.wait_for(f"[...document.querySelectorAll('p.note')].some({words})")
        choose = "box.value = 'SS'; box.dispatchEvent(new Event('change', {bubbles: true}))"
        browser.ask(f"(box => {{ {choose} }})(document.querySelector('.explore-b select'))")
        browser.wait_for(f"document.querySelector('img[alt=\"{OURS} against SS.\"]')")
        own = (f"http://127.0.0.1:{port}", "data:", "blob:")
        sent = [e for e in browser.events if e["method"] == "Network.requestWillBeSent"]
        urls = [event["params"]["request"]["url"] for event in sent]
        assert [url for url in urls if not url.startswith(own)] == []
    finally:
        browser.close()
        server.terminate()
        server.wait(timeout=60)


def wait_for_server(address):
    for _ in range(240):
        try:
            return urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(address)
