"""The course: every lesson runs with its solutions, and students get it without them."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from reblur.course import build, execute, student_version, with_mathml
from reblur.errors import ReblurError
from reblur.lessons import sheet, study_scores

LESSONS = Path(__file__).parents[1] / "notebooks" / "teach"
NAMES = [path.stem for path in sorted(LESSONS.glob("*.ipynb"))]


def tagged(lesson, tag):
    return [cell for cell in lesson.cells if tag in cell.metadata.get("tags", [])]


def notebook(*cells):
    made = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_markdown_cell("# 1 · Title\n\n*A question?*"), *cells]
    return made


def code(source, *tags):
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


SOLVED = """def double(x):
    y = x
    ### BEGIN SOLUTION
    return 2 * y
    ### END SOLUTION"""


def test_there_are_eight_lessons():
    assert [name[:2] for name in NAMES] == [f"{n:02d}" for n in range(1, 9)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_runs_anywhere_and_its_solutions_hold(name, tmp_path):
    lesson = execute(nbformat.read(LESSONS / f"{name}.ipynb", 4), tmp_path, timeout=300)
    pictures = [
        output
        for cell in lesson.cells
        for output in cell.get("outputs", [])
        if {"image/png", "image/jpeg"} & set(output.get("data", {}))
    ]
    assert len(pictures) >= 2
    assert not any(
        output.get("name") == "stderr" for c in lesson.cells for output in c.get("outputs", [])
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_has_what_a_teacher_needs(name):
    lesson = nbformat.read(LESSONS / f"{name}.ipynb", 4)
    first = lesson.cells[0].source
    for words in ("**You will learn**", "**Time**", "**Before this**"):
        assert words in first
    assert first.splitlines()[0].startswith(f"# {int(name[:2])} · ")
    assert first.splitlines()[2].endswith("?*")
    assert sum("**What we see.**" in cell.source for cell in lesson.cells) >= 3
    assert len(tagged(lesson, "solution")) == len(tagged(lesson, "check")) == 3
    for solution, check in zip(tagged(lesson, "solution"), tagged(lesson, "check"), strict=True):
        assert solution.source.count("### BEGIN SOLUTION") >= 1
        assert "assert " in check.source


@pytest.mark.parametrize("name", NAMES)
def test_students_get_no_solutions(name):
    lesson = nbformat.read(LESSONS / f"{name}.ipynb", 4)
    student = student_version(lesson)
    nbformat.validate(student)
    text = nbformat.writes(student)
    assert "SOLUTION" not in text
    for theirs, ours in zip(student.cells, lesson.cells, strict=True):
        solved = "solution" in ours.metadata.get("tags", [])
        assert (theirs.source != ours.source) == solved
        if solved:
            assert "raise NotImplementedError" in theirs.source
            compile(theirs.source, name, "exec")


def test_only_what_stands_between_the_marks_is_taken_away():
    student = student_version(notebook(code(SOLVED, "solution")))
    assert student.cells[1].source == (
        "def double(x):\n    y = x\n    # YOUR CODE HERE\n    raise NotImplementedError"
    )


def test_a_lesson_that_fails_says_why(tmp_path):
    with pytest.raises(ReblurError, match="ZeroDivisionError"):
        execute(notebook(code("1 / 0")), tmp_path)


def test_a_book_is_built(tmp_path):
    lessons, target = tmp_path / "lessons", tmp_path / "book"
    lessons.mkdir()
    picture = code("from PIL import Image\nImage.effect_noise((300, 200), 90).convert('RGB')")
    lesson = notebook(picture, code(SOLVED, "solution"), code("assert double(2) == 4", "check"))
    for stem in ("01_a", "02_b"):
        nbformat.write(lesson, lessons / f"{stem}.ipynb")
    (lessons / "README.md").write_text("# How\n\nIn order.")
    build(lessons, target)
    pages = {path.stem: path.read_text() for path in target.glob("*.html")}
    assert set(pages) == {"index", "01_a", "02_b", "teaching"}
    assert 'href="01_a.html"' in pages["index"]
    assert 'href="02_b.html"' in pages["01_a"]
    assert "data:image/jpeg" in pages["01_a"]  # noise is far smaller as JPEG
    assert "BEGIN SOLUTION" in pages["01_a"]
    assert "In order." in pages["teaching"]
    assert "BEGIN SOLUTION" not in (target / "students" / "01_a.ipynb").read_text()
    executed = nbformat.read(target / "notebooks" / "01_a.ipynb", 4)
    assert executed.cells[1].outputs
    assert executed.cells[0].source.startswith("# 1 · Title")


def test_equations_become_mathml_and_code_stays():
    text = with_mathml(r"A $\bar x_0$ and `$HOME$`." + "\n\n$$a*b = c$$")
    assert text.count("<math") == 2
    assert "`$HOME$`" in text
    assert "*" not in text.split("<math", 2)[2]


def test_the_last_text_of_a_row_runs_on_without_widening_its_column():
    one, long = np.full((40, 60, 3), 90, np.uint8), "a text of several pictures' width"
    assert sheet([[one] * 5], [[long]]).size == sheet([[one] * 5], [["a"]]).size
    assert sheet([[one]], [[long]]).width > 200  # nothing is cut
    assert sheet([[one] * 5], [[long, "b"]]).width > 450


def test_a_sheet_shows_every_pixel():
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    page = np.asarray(sheet([[picture, torch.ones(3, 4, 5)]], [["a", "b"]], zoom=2))
    assert (page[8:16:2, 8:18:2] == picture).all()
    assert (page[8:16, 26:36] == 255).all()
    assert (page[16:] < 128).any()  # the labels


def test_scores_are_found_or_are_none(tmp_path, monkeypatch):
    (tmp_path / "data_manifests").mkdir()
    (tmp_path / "params.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert study_scores("c") is None
    run = tmp_path / "results" / "cpu" / "runs" / "c" / "ss" / "seed_1"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"run": {"chapter": "c", "variant": "ss", "seed": 1}}')
    (run / "scores.csv").write_text("dataset,photograph,image,metric,value\nd,p,i,psnr,27.5\n")
    assert study_scores("c").to_dict("records")[0] == {
        "dataset": "d", "photograph": "p", "image": "i", "metric": "psnr", "value": 27.5,
        "chapter": "c", "variant": "ss", "seed": 1,
    }  # fmt: skip
