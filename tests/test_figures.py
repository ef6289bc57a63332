"""Figures: drawn from whole, partial and empty results, the same bytes twice, crops by rule."""

import json

import matplotlib
import numpy as np
import pytest
from PIL import Image

import fake_results as fake
from reblur.study import scale_recurrent
from reblur.study.figures import save_figure
from reblur.study.panels import crop_side, crop_window, read_example, save_slider
from reblur.study.provenance import one_line, stamp
from reblur.study.results import read_study

STEMS = ["ablation", "scales", "differences", "training", "losses", "panel"]
OUT = ("sc-0", "sc-1", "nafnet-0", "nafnet-1")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("results") / "demo"
    return fake.write_results(root, seeds=2, leave_out=OUT)


@pytest.fixture(scope="module")
def study(root):
    return read_study(root, fake.runs(2))


@pytest.fixture(scope="module")
def examples(root, study):
    return fake.examples(root, study)


@pytest.fixture(scope="module")
def made(root, study):
    return stamp("demo", {"a": 1}, {}, study.inputs, root)


@pytest.fixture(scope="module")
def drawings(study, examples):
    return {d.stem: d for d in scale_recurrent.figures(study, fake.CHAPTER, examples)}


def test_every_figure_is_there_and_says_what_it_shows(drawings):
    assert list(drawings) == STEMS
    for drawing in drawings.values():
        assert drawing.caption.startswith("Profile demo: shows that it runs")
        assert len(drawing.alt) > 40
        assert "nan" not in drawing.alt


def test_figures_are_byte_stable_and_carry_their_stamp(drawings, study, examples, made, tmp_path):
    first = {stem: save_figure(d, tmp_path, made) for stem, d in drawings.items()}
    before = {stem: [p.read_bytes() for p in paths] for stem, paths in first.items()}
    with matplotlib.rc_context({"font.size": 20, "figure.facecolor": "red", "savefig.dpi": 30}):
        for drawing in scale_recurrent.figures(study, fake.CHAPTER, examples):
            paths = save_figure(drawing, tmp_path, made)
            assert [p.read_bytes() for p in paths] == before[drawing.stem], drawing.stem
    for stem, (png, notes) in first.items():
        with Image.open(png) as picture:
            assert picture.info["Description"] == one_line(made)
            assert 1200 <= picture.width <= 1500
        written = json.loads(notes.read_text())
        assert set(written["files"]) == {f"{stem}.png"}
        assert written["figure"]["alt"] == drawings[stem].alt


def test_a_notebook_can_show_a_drawing(drawings):
    assert drawings["scales"]._repr_png_().startswith(b"\x89PNG")


def test_missing_runs_are_written_into_the_figures(drawings):
    for stem in ("ablation", "differences"):
        texts = [t.get_text().strip() for ax in drawings[stem].figure.axes for t in ax.texts]
        assert "missing" in texts
        assert "SC missing" in drawings[stem].alt
    shown = [t.get_text() for ax in drawings["losses"].figure.axes for t in ax.texts]
    assert shown.count("missing") == 2


def test_a_panel_names_the_psnr_and_what_is_missing(drawings, study):
    figure = drawings["panel"].figure
    titles = [axes.get_title() for axes in figure.axes]
    scores = study.scores[(study.scores["variant"] == "sr_edrb3") & (study.scores["seed"] == 0)]
    psnr = scores.set_index(["dataset", "image"]).loc[("synthetic", "000"), "psnr"]
    assert f"SR-EDRB3\n{psnr:.2f} dB" in titles
    assert any(t.get_text() == "missing" for axes in figure.axes for t in axes.texts)


def test_figures_of_no_results_at_all_are_drawn(tmp_path):
    (tmp_path / "empty").mkdir()
    study = read_study(tmp_path / "empty", fake.runs(1), ["synthetic"])
    made = stamp("empty", {}, {}, [], tmp_path / "empty")
    for drawing in scale_recurrent.figures(study, fake.CHAPTER, []):
        assert save_figure(drawing, tmp_path / "figures", made)[0].stat().st_size > 0
    assert save_slider([], tmp_path / "figures", {}, made)[-1].exists()


def test_the_crop_is_where_the_blur_took_most_detail():
    sharp = np.full((90, 120, 3), 128, np.uint8)
    sharp[50:70, 80:100] = np.random.default_rng(0).integers(0, 255, (20, 20, 3))
    blurred = np.full_like(sharp, 128)
    blurred[10:30, 10:30] = np.random.default_rng(1).integers(0, 255, (20, 20, 3))  # no loss here
    top, left = crop_window(blurred, sharp, 30)
    assert top <= 50 <= 70 <= top + 30
    assert left <= 80 <= 100 <= left + 30
    assert crop_window(sharp, sharp, 30) == (0, 0)


@pytest.mark.parametrize("shape", [(20, 300), (160, 160), (720, 1280), (30, 30)])
def test_the_crop_fits_in_any_image(shape):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    side = crop_side(image)
    top, left = crop_window(image // 2, image, side)
    assert 0 <= top <= shape[0] - side
    assert 0 <= left <= shape[1] - side


def test_the_sliders_images_are_small_whole_and_named(study, examples, made, tmp_path):
    big = np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), dtype=np.uint8)
    noisy = read_example(study, "synthetic", "011", big, big, fake.CHAPTER["panel"])
    files = save_slider([*examples, noisy], tmp_path, scale_recurrent.LABELS, made)
    assert sum(path.stat().st_size for path in files) < 2_000_000
    details = json.loads(files[-1].read_text())["slider"]["examples"]
    assert [view["key"] for view in details[0]["views"]] == [
        "blurred", "sr_edrb3", "sr_edrb3_skip", "sharp",
    ]  # fmt: skip
    assert details[0]["missing"] == ["NAFNet"]
    assert details[1]["shown"] < 0.8
    with Image.open(files[0]) as picture:
        assert picture.size == (160, 160)
