"""Figures: drawn from frames, no taller than promised, none without data; what they say."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from made_results import GAINS, runs_of, scores_of, write_run, write_study
from reblur.study.analysis.drawing import DPI, TALLEST, WIDTH
from reblur.study.analysis.figures import forest, gains_over, heat_map, learning_curves
from reblur.study.analysis.scores import costs, read_curves, read_facts, read_scores
from reblur.study.analysis.summary import summarise
from reblur.study.analysis.tables import labelled
from reblur.study.analysis.trade_offs import distance_against_deviation, tone_and_detail
from reblur.study.rows import CONFIGURATION_FIELDS

RUNS = runs_of([*GAINS, "absent"])
DATASETS = ("synthetic", "gopro")
WORDS = {"key": "figure", "title": "A figure"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Summary rows of PSNR beside their costs; `sc` trained for 600 updates only."""
    root = write_study(tmp_path_factory.mktemp("study"), RUNS, datasets=DATASETS)
    for run in RUNS:
        if run.variant == "sc":
            write_run(root, run, scores_of(run, -0.05, DATASETS), 600)
    summary = summarise(read_scores(root, RUNS), RUNS)
    summary = summary[(summary["metric"] == "psnr") & (summary["seeds"] != 0)]
    found = summary.merge(costs(read_facts(root, RUNS)), "left", list(CONFIGURATION_FIELDS))
    found = found.assign(panel=found["dataset"])
    curves = labelled(read_curves(root, RUNS), lambda row: row["variant"])
    return labelled(found, lambda row: row["variant"]), curves


@pytest.fixture
def one(rows):
    return rows[0][rows[0]["dataset"] == "synthetic"]


def pairs_of(panels=("superres", "faces")):
    points = [("bicubic", None, 0.016, 0.012), ("mild", None, 0.0, 0.0119)]
    points += [("refined", 100, 0.014, 0.007), ("refined", 400, 0.05, 0.0095)]
    found = [
        {"label": label, "panel": panel, "t0": t0, "deviation": x, "distance": y, "floor": 0.004,
         "chosen": t0 == 100}
        for panel in panels
        for label, t0, x, y in points
    ]  # fmt: skip
    return pd.DataFrame(found).astype({"t0": "Int64"})


def parts_of():
    gains = {"psnr": -0.09, "psnr_tone": -0.12, "psnr_detail": 0.05}
    return pd.DataFrame([{"label": "γ 2.2", "metric": m, "gain": g} for m, g in gains.items()])


def matrix_of(rows):
    return rows[0].drop(columns="panel")


DRAWN = {
    "forest": lambda rows: forest(rows[0], **WORDS),
    "forest of groups": lambda rows: forest(
        rows[0].drop(columns="panel").assign(group=rows[0]["panel"]), **WORDS
    ),
    "learning curves": lambda rows: learning_curves(
        rows[1][rows[1]["curve"] == "psnr"], ylabel="PSNR (dB)", **WORDS
    ),
    "losses": lambda rows: learning_curves(
        pd.concat(
            rows[1][rows[1]["curve"] == "loss"].assign(label=lambda r, n=n: r["label"] + n)
            for n in ("", " again")
        ),
        ylabel="loss", log=True, smooth=3, **WORDS,
    ),
    "gains over multiply-adds": lambda rows: gains_over(
        rows[0], "macs", xlabel="multiply-adds (G)", joined=False, log=True, **WORDS
    ),
    "gains over misalignment": lambda rows: gains_over(
        rows[0].assign(level=8), "level", xlabel="misalignment (px)", **WORDS
    ),
    "heat map": lambda rows: heat_map(matrix_of(rows), "dataset", **WORDS),
    "distance against deviation": lambda rows: distance_against_deviation(
        pairs_of(), ylabel="SWD", bound=0.025, **WORDS
    ),
    "tone and detail": lambda rows: tone_and_detail(parts_of(), **WORDS),
}  # fmt: skip


@pytest.mark.parametrize("kind", DRAWN)
def test_a_figure_has_no_empty_axes_and_is_not_too_tall(rows, kind, tmp_path):
    drawing = DRAWN[kind](rows)
    shown = [axes for axes in drawing.figure.axes if axes.axison]
    assert shown
    assert all(axes.has_data() for axes in shown)
    with Image.open(drawing.write(tmp_path)) as image:
        assert image.width == round(WIDTH * DPI)
        assert image.height <= round(TALLEST * DPI) == 1600
        assert image.info["Title"] == "A figure"


@pytest.mark.parametrize("kind", ["forest", "learning curves"])
def test_the_same_figure_has_the_same_bytes(rows, kind, tmp_path):
    first, second = (
        DRAWN[kind](rows).write(tmp_path / name).read_bytes() for name in ("first", "second")
    )
    assert first == second


def test_nothing_to_draw_gives_no_figure(rows):
    summary, curves = rows
    gone = summary.assign(gain=np.nan)
    assert forest(gone, **WORDS) is None
    assert gains_over(gone, "macs", xlabel="", **WORDS) is None
    assert heat_map(gone.drop(columns="panel"), "dataset", **WORDS) is None
    assert learning_curves(curves.iloc[:0], ylabel="", **WORDS) is None
    assert distance_against_deviation(pairs_of().iloc[:0], ylabel="", bound=1.0, **WORDS) is None
    assert tone_and_detail(parts_of()[:1], **WORDS) is None


def texts_of(drawing):
    return [text.get_text() for axes in drawing.figure.axes for text in axes.texts]


def test_runs_of_unequal_length_are_hatched_with_their_updates(one):
    drawing = forest(one, **WORDS)
    assert texts_of(drawing) == ["600 updates"]
    (axes,) = drawing.figure.axes
    assert [patch.get_hatch() for patch in axes.patches] == ["///"]
    place = [label.get_text() for label in axes.get_yticklabels()].index("sc")
    assert axes.patches[0].get_y() == pytest.approx(place - 0.45)
    equal = forest(one.assign(unequal=False), **WORDS)
    assert not equal.figure.axes[0].patches


def test_a_forest_draws_the_means_and_the_intervals(one):
    (axes,) = forest(one, **WORDS).figure.axes
    means = np.concatenate([dots.get_offsets() for dots in axes.collections[1:]])
    assert sorted(means[:, 0]) == pytest.approx(sorted(one["gain"].dropna()))
    ends = [(a[0], b[0]) for a, b in axes.collections[0].get_segments()]
    assert ends == list(zip(one["gain_low"].dropna(), one["gain_high"].dropna(), strict=True))
    assert "absent" not in [label.get_text() for label in axes.get_yticklabels()]


def test_seeds_are_named(one, rows):
    assert "3 seeds each" in forest(one, **WORDS).caption
    mixed = one.assign(seeds=[1 if variant == "ss" else 3 for variant in one["variant"]])
    drawing = forest(mixed, **WORDS)
    words = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert words[:2] == ["ss (1 seed)", "sc (3 seeds)"]
    curves = learning_curves(rows[1][rows[1]["curve"] == "psnr"], ylabel="", **WORDS)
    legend = curves.figure.axes[0].get_legend().get_texts()
    assert legend[0].get_text() == "ss (3 seeds)"


def test_curves_run_over_updates_and_say_where_one_ended_earlier(rows):
    drawing = learning_curves(rows[1][rows[1]["curve"] == "psnr"], ylabel="", **WORDS)
    assert texts_of(drawing) == ["600 updates"]
    assert drawing.figure.get_supxlabel() == "updates"
    lines = {line.get_label(): line.get_xdata() for line in drawing.figure.axes[0].lines}
    assert max(lines["ss (3 seeds)"]) == 1000
    assert max(lines["sc (3 seeds)"]) == 600


def test_misalignment_stands_on_its_true_axis():
    levels = [0, 2, 8]
    rows = pd.DataFrame({"label": "plain", "level": levels, "gain": [0.5, 0.1, -4.0]})
    rows = rows.assign(gain_low=rows["gain"] - 0.1, gain_high=rows["gain"] + 0.1, seeds=3)
    drawing = gains_over(rows, "level", xlabel="misalignment (px)", **WORDS)
    (axes,) = drawing.figure.axes
    x = axes.lines[0].get_xdata()
    assert (x[2] - x[1]) / (x[1] - x[0]) == pytest.approx(3)
    assert list(axes.get_xticks()) == levels


def test_a_heat_map_prints_intervals_and_what_was_not_run(rows):
    ours = matrix_of(rows)
    gone = (ours["variant"] == "ss") & (ours["dataset"] == "gopro")
    ours.loc[gone, ["gain", "gain_low", "gain_high"]] = np.nan
    texts = texts_of(heat_map(ours, "dataset", **WORDS))
    row = ours[(ours["variant"] == "ss") & (ours["dataset"] == "synthetic")].iloc[0]
    assert f"{row['gain']:+.2f}\n[{row['gain_low']:+.2f}, {row['gain_high']:+.2f}]" in texts
    assert texts.count("not run") == 1


def test_the_rules_choice_is_ringed_and_start_steps_are_named():
    drawing = distance_against_deviation(pairs_of(["faces"]), ylabel="SWD", bound=0.025, **WORDS)
    assert texts_of(drawing) == ["100", "400"]
    ring = drawing.figure.axes[0].lines[-1]
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([0.014], [0.007])


def test_tone_and_detail_are_stacked_on_either_side_of_zero():
    (axes,) = tone_and_detail(parts_of(), **WORDS).figure.axes
    assert sorted(bar.get_width() for bar in axes.patches) == pytest.approx([-0.12, 0.05])
    assert all(bar.get_x() == 0 for bar in axes.patches)


def test_a_notebook_shows_a_png(one):
    with Image.open(io.BytesIO(forest(one, **WORDS)._repr_png_())) as image:
        assert image.format == "PNG"


def test_many_test_sets_stand_below_each_other_in_a_heat_map(rows):
    few = matrix_of(rows)
    first = few[few["dataset"] == few["dataset"].iloc[0]]
    many = pd.concat([first.assign(dataset=f"set {n}") for n in range(7)])
    axes = heat_map(many, "dataset", **WORDS).figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"set {n}" for n in range(7)]
    axes = heat_map(many[many["dataset"] != "set 6"], "dataset", **WORDS).figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"set {n}" for n in range(6)]
