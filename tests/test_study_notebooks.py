"""The notebook wrapper: strict parameters, normalised copies, nothing half-written."""

import base64
import errno
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from reblur.errors import ReblurError
from reblur.study.notebooks import checked_parameters, declared_parameters, execute, slim

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


def test_a_dead_kernel_is_one_sentence_and_keeps_the_copy(tmp_path):
    path = notebook(tmp_path / "n.ipynb", "print('before')", "import os; os._exit(1)")
    with pytest.raises(ReblurError, match=r"n.ipynb stopped, for its kernel died .*out.failed"):
        execute(path, tmp_path / "out.ipynb", {})
    book = nbformat.read(tmp_path / "out.failed.ipynb", as_version=4)
    assert [out["text"] for cell in book.cells for out in cell.outputs] == ["before\n"]
    assert not (tmp_path / "out.ipynb").exists()


def test_a_full_disk_is_one_sentence_and_keeps_the_copy(tmp_path, monkeypatch):
    path = notebook(tmp_path / "n.ipynb")
    output = tmp_path / "out.ipynb"
    output.write_text("the last good copy")

    def full(source, copy, **options):
        Path(copy).write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("papermill.execute_notebook", full)
    with pytest.raises(ReblurError, match=r"out.ipynb: the disk is full; nothing was overwritten"):
        execute(path, output, {})
    assert output.read_text() == "the last good copy"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["n.ipynb", "out.ipynb"]


def test_a_long_tmpdir_is_no_obstacle(tmp_path, monkeypatch):
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    path = notebook(tmp_path / "n.ipynb", "print(name)")
    execute(path, tmp_path / "out.ipynb", {})
    assert os.listdir(long) == []


def test_without_a_short_folder_for_sockets_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("reblur.study.notebooks.SOCKET_FOLDER", 5)
    path = notebook(tmp_path / "n.ipynb", "print(name)")
    with pytest.raises(ReblurError, match="set TMPDIR to one"):
        execute(path, tmp_path / "out.ipynb", {})


def encoded(kind, size, mode="RGB"):
    """A noisy picture in base64, as a notebook holds it."""
    noise = np.random.default_rng(0).integers(0, 256, (*size, len(mode)), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise, mode).save(stream, kind)
    return base64.b64encode(stream.getvalue()).decode()


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        ({"image/png": encoded("PNG", (8, 8)), "image/jpeg": encoded("JPEG", (8, 8))}, "jpeg"),
        ({"image/png": encoded("PNG", (8, 8)), "image/webp": "UklG"}, "webp"),
        ({"image/png": encoded("PNG", (8, 8))}, "png"),
        ({"image/png": encoded("PNG", (300, 300))}, "jpeg"),
        ({"image/png": encoded("PNG", (300, 300), "RGBA")}, "jpeg"),
    ],
)
def test_a_picture_is_kept_once(data, kept):
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}}
    output = nbformat.v4.new_output(
        "display_data",
        data | widget | {"text/plain": "picture"},
        metadata={f"image/{kept}": {"alt": "noise"}} | {"image/png": {"alt": "noise"}},
    )
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("picture", outputs=[output])],
        metadata={"papermill": {"duration": 3}, "widgets": {"state": {}}},
    )
    before = dict(output["data"])
    slim(book)
    assert set(output["data"]) == {f"image/{kept}", "text/plain"}
    assert output["metadata"] == {f"image/{kept}": {"alt": "noise"}}
    assert set(book.metadata) == {"kernelspec", "language_info"}
    if f"image/{kept}" not in before:
        picture = Image.open(io.BytesIO(base64.b64decode(output["data"]["image/jpeg"])))
        assert (picture.format, picture.size) == ("JPEG", (300, 300))
