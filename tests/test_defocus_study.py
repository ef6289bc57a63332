"""Chapter 2's tables, figures and verdicts, from made-up scores whose truth is known."""

import json

import numpy as np
import pandas as pd
import pytest

from fake_results import write_scores
from reblur.errors import ReblurError
from reblur.files import sha256_of_file, write_json
from reblur.randomness import numpy_generator
from reblur.study import defocus
from reblur.study.comparisons import rebuild, study_of
from reblur.study.defocus_figures import KeptReading, readings_panel
from reblur.study.figures import save_figure
from reblur.study.levels import arm_at, at_largest, levels_of, sets_table
from reblur.study.panels import Example
from reblur.study.params import Run, run_folder
from reblur.study.provenance import stamp
from reblur.study.results import read_study

LADDER = ["aligned", "plain", "flow", "mask", "reblurring", "whole"]
CHAPTER = {
    "variants": dict.fromkeys([*LADDER, "reblurring_noprior"]),
    "tables": {
        "ladder": LADDER,
        "prior": ["reblurring", "reblurring_noprior"],
        "maps": ["reblurring", "whole", "reblurring_noprior"],
    },
    "masks": ["cuhk_samples"],
    "panel": ["plain", "whole"],
}
#: gain over doing nothing at 0, 2 and 8 px
GAINS = {
    "aligned": {0: 3.0},
    "plain": {2: 2.0, 8: -1.0},
    "flow": {0: 2.9, 8: 0.5},
    "mask": {8: 1.0},
    "reblurring": {8: 2.0},
    "whole": {0: 3.0, 2: 2.9, 8: 2.5},
    "reblurring_noprior": {8: 1.2},
}
ARMS = [f"{variant}@{level}" for variant, levels in GAINS.items() for level in levels]
RUNS = [(arm, seed) for arm in ARMS for seed in range(3)]
BLURRED = "defocus/blurred"
DATASETS = ["synthetic", "thin_lens_misaligned_raw", "reds_samples"]  # those of `write_scores`


def write_results(root, leave_out=()):
    write_scores(root / BLURRED, "blurred", -1, 0.0)
    write_maps(root / BLURRED, 2.0)
    for arm, seed in RUNS:
        if arm in leave_out:
            continue
        variant, level = arm.split("@")
        folder = run_folder(root, arm, seed)
        write_scores(folder, arm, seed, GAINS[variant][int(level)])
        if variant in CHAPTER["tables"]["maps"]:
            write_maps(folder, 1.0)
        pd.DataFrame({"step": [1, 2], "loss": [0.2, 0.1]}).to_csv(folder / "log.csv", index=False)
        (folder / "weights.safetensors").write_text("none")
        facts = {"variant": arm, "seed": seed, "parameters": 1000, "macs": 10, "steps": 60}
        facts |= {"seconds": 1.0, "weights_sha256": sha256_of_file(folder / "weights.safetensors")}
        write_json(folder / "run.json", facts)
    return root


def write_maps(folder, error):
    noise = numpy_generator(0, "maps").normal(0, 0.1, 4)
    rows = [("thin_lens", f"{i:03d}", error + noise[i], 0.5, np.nan) for i in range(4)]
    rows += [("cuhk_samples", f"m{i}", np.nan, np.nan, 0.7 + noise[i] / 10) for i in range(4)]
    frame = pd.DataFrame(rows, columns=["dataset", "image", "mae", "correlation", "auc"])
    frame.to_csv(folder / "maps.csv", index=False)


def study_in(root):
    return read_study(root, RUNS, DATASETS, evidence=True, blurred=BLURRED)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return study_in(write_results(tmp_path_factory.mktemp("results") / "gpu"))


@pytest.fixture(scope="module")
def tables(study):
    return {table.stem: table for table in defocus.tables(study, CHAPTER)}


def test_a_run_at_a_level_has_a_folder_and_a_name_of_its_own():
    run = Run("demo", "whole", 1, 8)
    assert run.arm == "whole@8"
    assert run.folder.as_posix() == "results/demo/runs/whole-1/8px"
    assert Run("demo", "sr_edrb3", 0).folder.as_posix() == "results/demo/runs/sr_edrb3-0"


def test_plain_training_from_aligned_pairs_is_the_upper_bound(study):
    assert arm_at(study, "plain", 0) == "aligned@0"
    assert arm_at(study, "plain_noprior", 0) == "aligned_noprior@0"
    assert arm_at(study, "plain", 2) == "plain@2"
    assert levels_of(study) == [0, 2, 8]
    assert at_largest(study, LADDER) == [f"{name}@8" for name in LADDER[1:]]


def test_the_claims_are_judged_as_the_scores_were_made(tables):
    verdicts = tables["defocus_claims"].frame.set_index("key")["verdict"]
    for key in ("wins_back", "cost_2", "cost_8", "flow", "mask", "reblurring", "pseudo", "prior"):
        assert verdicts[key] == "holds", key
    assert verdicts["harmless"] in ("holds", "cannot tell")
    assert verdicts["useful"] == "holds"


@pytest.mark.parametrize(("gain", "verdict"), [(0.2, "does not hold"), (1.9, "holds")])
def test_more_than_half_is_what_lies_above_the_middle(tmp_path, monkeypatch, gain, verdict):
    monkeypatch.setitem(GAINS["whole"], 8, gain)  # plain 8 px: -1; aligned: 3; the middle: 1
    study = study_in(write_results(tmp_path / "gpu"))
    claims = defocus.tables(study, CHAPTER)[0].frame.set_index("key")
    assert claims.loc["wins_back", "verdict"] == verdict
    assert "the mean of plain Charbonnier, 8 px and aligned" in claims.loc["wins_back", "evidence"]


def test_real_pairs_as_they_are_have_one_level_and_no_upper_bound(tmp_path):
    root = tmp_path / "paper"
    write_scores(root / BLURRED, "blurred", -1, 0.0)
    runs = [(f"{variant}@0", seed) for variant in ("plain", "whole") for seed in range(2)]
    for arm, seed in runs:
        write_scores(run_folder(root, arm, seed), arm, seed, 1.0 if arm == "plain@0" else 2.0)
    study = read_study(root, runs, DATASETS, blurred=BLURRED)
    assert arm_at(study, "plain", 0) == "plain@0"
    table = defocus.tables(study, CHAPTER)[0].frame.set_index("key")
    assert "wins_back" not in table.index
    assert table.loc["useful", "text"].endswith("learned on pairs as they are.")


def test_real_misaligned_pairs_are_judged_by_the_truth_warped_to_the_input(tmp_path):
    def judged(*datasets):
        study = read_study(tmp_path, [("plain@0", 0)], datasets, blurred=BLURRED)
        return defocus.judged_on(study)

    assert judged("sdd_raw", "sdd_to_input", "sdd_to_output", "dpdd") == "sdd_to_input"
    assert judged("thin_lens", "thin_lens_misaligned_raw") == "thin_lens"
    assert judged("dpdd", "sdd_raw", "sdd_to_input") == "dpdd"


def test_the_curve_has_every_point_and_says_what_is_missing(tmp_path):
    study = study_in(write_results(tmp_path / "gpu", leave_out=("mask@8",)))
    table = next(t for t in defocus.tables(study, CHAPTER) if t.stem == "defocus_levels")
    rows = table.frame.set_index("variant")
    assert rows.loc["plain", "gain_0"] == pytest.approx(3.0, abs=0.2)  # that of aligned pairs
    assert rows.loc["plain", "gain_8"] == pytest.approx(-1.0, abs=0.2)
    text = table._repr_markdown_()
    line = next(line for line in text.splitlines() if line.startswith("| + mask"))
    assert [cell.strip() for cell in line.split("|")[2:5]] == ["–", "–", "missing"]


def test_every_table_is_made_again_from_its_recipe(study, tables):
    for table in tables.values():
        recipe = json.loads(json.dumps(table.recipe, sort_keys=True))  # as it is kept in a file
        again = rebuild(study_of(study.root, recipe), recipe)
        pd.testing.assert_frame_equal(again.frame, table.frame)


def test_the_columns_of_several_sets_keep_their_order_in_a_file(study):
    table = sets_table(
        study, stem="sets", title="Sets", variants=["plain@8"], metrics=["psnr"], labels={},
        sets=[("thin_lens_misaligned_raw", "second camera"), ("reds_samples", "videos")],
    )  # fmt: skip
    recipe = json.loads(json.dumps(table.recipe, sort_keys=True))
    again = rebuild(study_of(study.root, recipe), recipe)
    assert list(again.frame.columns) == list(table.frame.columns)
    assert [column.title for column in again.columns][1:] == [
        "second camera: PSNR (dB)",
        "videos: PSNR (dB)",
    ]


def test_maps_are_compared_with_what_needs_no_network(tables):
    frame = tables["defocus_maps"].frame.set_index("variant")
    assert frame.loc["blurred", "thin_lens_mae"] == pytest.approx(2, abs=0.2)
    assert frame.loc["whole@8", "thin_lens_mae"] == pytest.approx(1, abs=0.2)
    assert frame.loc["whole@8", "cuhk_samples_auc"] == pytest.approx(0.7, abs=0.05)
    assert "not available" in tables["defocus_maps"]._repr_markdown_()  # no measured depth here


def test_protocols_that_were_not_scored_are_not_available(tables):
    assert "raw: not available" in tables["defocus_protocols"].caption


def test_figures_are_drawn_and_show_what_is_missing_as_missing(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text("")
    (tmp_path / "data_manifests").mkdir()
    made = stamp("gpu", {}, {}, [], study.root)
    figures = {drawing.stem: drawing for drawing in defocus.figures(study, CHAPTER, [])}
    assert "plain Charbonnier: 0 px +3." in figures["defocus_curve"].alt
    for drawing in figures.values():
        assert save_figure(drawing, tmp_path / "figures", made)[0].stat().st_size > 5000


def test_runs_scored_on_other_images_are_refused(tmp_path):
    root = write_results(tmp_path / "gpu")
    path = run_folder(root, "whole@8", 0) / "scores.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ReblurError, match="scored on the same images"):
        study_in(root).matrix("whole@8", "reds_samples", "psnr")


@pytest.mark.parametrize(("widest", "empty"), [(0.3, True), (6.0, False)])
def test_the_panel_says_when_a_network_blurs_by_nothing(study, widest, empty):
    picture = np.zeros((8, 8, 3), np.uint8)
    example = Example("thin_lens", "000", picture, picture, {}, {})
    coc = np.linspace(0, widest, 64, dtype=np.float16).reshape(8, 8)
    reading = KeptReading(example, picture, picture, coc, None, None)
    panel = readings_panel(study, [reading], stem="panel", title="Panel", network="the whole")
    assert ("blurs again by nothing" in panel.caption) == empty
