"""`reblur verify`: silent on whole results, one clear sentence for each thing that was tampered."""

import json
import shutil

import pandas as pd
import pytest

import fake_results as fake
from reblur.study.report import write_report
from reblur.study.verify import remarks, verify
from test_report import params, write_project


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    project = tmp_path_factory.mktemp("whole")
    write_project(project)
    write_report(project, "demo", params())
    return project


@pytest.fixture
def project(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "project")
    return tmp_path / "project"


def problems_of(project):
    return verify(project, "demo", params())


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_whole_results_have_no_problem(whole):
    assert problems_of(whole) == []


def test_missing_runs_are_a_remark_and_no_problem(whole):
    found = remarks(whole, "demo", params())
    assert "2 of 22 runs are missing: sc-0, rnn-1." in found


def test_weights_that_are_not_here_are_a_remark(project):
    (project / "results/demo/runs/ss-0/weights.safetensors").unlink()
    assert problems_of(project) == []
    assert any(
        "weights of 1 runs are not here" in line for line in remarks(project, "demo", params())
    )


def test_test_data_may_be_missing_but_not_changed(project):
    root = project / "results/demo"
    notes = root / "tables/ablation.provenance.json"
    content = json.loads(notes.read_text())
    content["stamp"]["inputs"]["defocus/data/thin_lens/coc/000.npy"] = "0" * 64
    notes.write_text(json.dumps(content))
    assert not any("000.npy" in line for line in problems_of(project))
    made = root / "defocus/data/thin_lens/coc/000.npy"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"other")
    assert any("000.npy: has changed" in line for line in problems_of(project))


def test_a_changed_score_is_found_in_every_table_that_rests_on_it(project):
    path = project / "results/demo/runs/ss-0/scores.csv"
    scores = pd.read_csv(path, dtype={"image": str})
    scores.loc[0, "psnr"] += 3
    scores.to_csv(path, index=False)
    problems = problems_of(project)
    assert any("runs/ss-0/scores.csv: has changed since" in line for line in problems)
    assert any(
        line.startswith("tables/ablation.csv: row 2 (ss), psnr:") and "from the scores" in line
        for line in problems
    )
    assert not any(line.startswith("tables/losses") for line in problems)


def test_a_changed_table_is_found_by_hash_and_by_value(project):
    path = project / "results/demo/tables/ablation.csv"
    table = pd.read_csv(path)
    change(path, f"{table.loc[1, 'psnr']:.8f}", f"{table.loc[1, 'psnr'] + 1:.8f}")
    problems = problems_of(project)
    assert any("tables/ablation.csv: is not the file that was written" in p for p in problems)
    assert any("tables/ablation.csv: row 2 (ss), psnr" in p for p in problems)
    assert any("tables/ablation.md: does not show the numbers" in p for p in problems)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda r: (r / "runs/ss-0/weights.safetensors").write_bytes(b"x"), "the weights are not"),
        (lambda r: (r / "figures/ablation.png").write_bytes(b"x"), "figures/ablation.png: is not"),
        (lambda r: (r / "figures/ablation.png").unlink(), "figures/ablation.png: is missing"),
        (lambda r: (r / "tables/new.csv").write_text("a\n"), "tables/new.csv: has no provenance"),
        (lambda r: (r / "tables/scales.provenance.json").write_text("{"), "not a whole provenance"),
        (lambda r: (r / "report/index.html").write_text("<p>"), "report/index.html: is not"),
        (lambda r: (r / "report/index.html").unlink(), "report/index.html: is missing"),
        (lambda r: (r / "runs/ss-0/run.json").write_text("{"), "not valid JSON"),
        (lambda r: (r / "runs/ss-0/scores.csv").unlink(), "runs/ss-0/scores.csv: is missing since"),
        (lambda r: (r / "figures/slider/synthetic-000-sharp.jpg").unlink(), "jpg: is missing"),
        (lambda r: (r / "runs/ss-0").rename(r / "runs/gone"), "made from it"),
        (
            lambda r: change(r / "runs/ss-0/run.json", '"seed": 0', '"seed": 7'),
            "run.json is that of ss-7",
        ),
        (
            lambda r: change(r / "tables/ablation.md", "SR-EDRB3 ", "SR-EDRB9 "),
            "tables/ablation.md: does not show",
        ),
        (
            lambda r: change(r / "figures/losses.provenance.json", '"python": "', '"python": "9.'),
            "figures/losses.png: carries another stamp",
        ),
    ],
)  # fmt: skip
def test_what_was_tampered_is_named(project, tamper, said):
    tamper(project / "results" / "demo")
    problems = problems_of(project)
    assert any(said in line for line in problems), problems
    assert all(line.endswith(".") and "\n" not in line for line in problems)


def test_a_wrong_summary_is_found(project):
    root = project / "results/demo"
    scores = pd.read_csv(root / "runs/ss-0/scores.csv")
    mean = round(float(scores[scores["dataset"] == "synthetic"]["psnr"].mean()), 4)
    path = root / "runs/ss-0/metrics.json"
    path.write_text(json.dumps({"psnr_gain": 1.0, "synthetic": {"psnr": mean}}))
    assert problems_of(project) == []
    path.write_text(json.dumps({"psnr_gain": 1.0, "synthetic": {"psnr": mean + 0.01}}))
    assert any("metrics.json: psnr on synthetic" in line for line in problems_of(project))


def test_tables_made_for_other_runs_are_found(project):
    problems = verify(project, "demo", params(seeds=3))
    assert any("tables/ablation: was made for other runs" in line for line in problems)


def test_no_results_name_the_remedy(tmp_path):
    problems = verify(tmp_path, "demo", params())
    assert len(problems) == 1
    assert "make study" in problems[0]


def test_a_run_that_was_never_asked_for_does_not_matter(project):
    fake.write_run(project / "results/demo", "ss", 9)
    assert problems_of(project) == []
