"""The notebook wrapper: strict parameters, normalised copies, nothing half-written."""

import json
import subprocess
import sys

import nbformat
import pytest

from reblur.errors import ReblurError
from reblur.study.notebooks import checked_parameters, declared_parameters, execute

PARAMETERS = 'name = "a"\ncount = 1\nrate = 0.5\nflag = False'


def notebook(path, *sources, parameters=PARAMETERS):
    """Write a notebook with a parameters cell and code cells."""
    book = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell(parameters)
    cell.metadata["tags"] = ["parameters"]
    book.cells = [cell, *(nbformat.v4.new_code_cell(source) for source in sources)]
    book.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(book, path)
    return path


def test_parameters_are_read_off_the_tagged_cell(tmp_path):
    path = notebook(tmp_path / "n.ipynb")
    assert declared_parameters(path) == {"name": "a", "count": 1, "rate": 0.5, "flag": False}


def test_texts_become_the_declared_types(tmp_path):
    path = notebook(tmp_path / "n.ipynb")
    given = {"name": "1", "count": "3", "rate": "2", "flag": "true"}
    checked = checked_parameters(path, given)
    assert checked == {"name": "1", "count": 3, "rate": 2.0, "flag": True}
    assert [type(value) for value in checked.values()] == [str, int, float, bool]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"nmae": "x"}, "no parameter 'nmae'; the parameters are: name, count, rate, flag"),
        ({"count": "many"}, "'count' takes a int such as 1"),
        ({"count": "1.5"}, "'count' takes a int"),
        ({"count": "true"}, "'count' takes a int"),
        ({"flag": "1"}, "'flag' takes a bool"),
        ({"rate": "1e-4"}, "'rate' takes a float"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path, given, sentence):
    path = notebook(tmp_path / "n.ipynb")
    with pytest.raises(ReblurError, match=sentence):
        checked_parameters(path, given)


def test_a_missing_notebook_names_the_others(tmp_path):
    notebook(tmp_path / "train.ipynb")
    with pytest.raises(ReblurError, match="those beside it are: train"):
        declared_parameters(tmp_path / "trian.ipynb")


def test_two_runs_leave_the_same_bytes(tmp_path):
    path = notebook(tmp_path / "n.ipynb", "print(name, count)", "rate * 2")
    execute(path, tmp_path / "1.ipynb", {"count": 4})
    execute(path, tmp_path / "2.ipynb", {"count": 4})
    assert (tmp_path / "1.ipynb").read_bytes() == (tmp_path / "2.ipynb").read_bytes()
    book = nbformat.read(tmp_path / "1.ipynb", as_version=4)
    assert any("a 4" in out.get("text", "") for c in book.cells for out in c.get("outputs", []))
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".partial")]


def test_notebooks_that_start_at_once_keep_their_kernels_apart(tmp_path):
    path = notebook(tmp_path / "n.ipynb", "print(count)")
    program = (
        "import sys; from reblur.study.notebooks import execute; "
        "execute(sys.argv[1], sys.argv[2], {'count': int(sys.argv[3])}, working_folder=sys.argv[4])"
    )
    command = [sys.executable, "-c", program, path]
    started = [
        subprocess.Popen([*command, tmp_path / f"{n}.ipynb", str(n), tmp_path], cwd=tmp_path)
        for n in range(3)
    ]
    assert [process.wait(timeout=300) for process in started] == [0, 0, 0]
    for n in range(3):
        text = (tmp_path / f"{n}.ipynb").read_text()
        assert f'"{n}\\n"' in text
    assert not list(tmp_path.glob("kernel-ipc*"))


def test_a_failing_notebook_keeps_the_last_good_copy(tmp_path):
    path = notebook(tmp_path / "n.ipynb", "print(name)")
    execute(path, tmp_path / "out.ipynb", {})
    good = (tmp_path / "out.ipynb").read_bytes()
    notebook(path, "1 / 0")
    with pytest.raises(ReblurError, match="ZeroDivisionError"):
        execute(path, tmp_path / "out.ipynb", {})
    assert (tmp_path / "out.ipynb").read_bytes() == good
    failed = json.loads((tmp_path / "out.failed.ipynb").read_text())
    assert any("ZeroDivisionError" in json.dumps(cell) for cell in failed["cells"])
