"""Stamps: what they hold, what they must not hold, and when a tree counts as changed."""

import json
import socket
import subprocess

import pytest

import reblur
from reblur.files import sha256_of_file
from reblur.study import provenance


@pytest.fixture
def made(tmp_path):
    root = tmp_path / "results" / "gpu"
    (root / "runs").mkdir(parents=True)
    (root / "runs" / "a.csv").write_text("1\n")
    (tmp_path / "outside.png").write_bytes(b"2")
    inputs = [root / "runs" / "a.csv", tmp_path / "outside.png"]
    return provenance.stamp("gpu", {"steps": 3}, {"photos": "ab12"}, inputs, root)


def test_inputs_are_hashed_under_names_that_hold_no_absolute_path(made, tmp_path):
    assert set(made["inputs"]) == {"runs/a.csv", "elsewhere/outside.png"}
    assert made["inputs"]["elsewhere/outside.png"] == sha256_of_file(tmp_path / "outside.png")
    text = json.dumps(made)
    assert str(tmp_path) not in text
    assert socket.gethostname() not in text


def test_versions_and_machine_are_named(made):
    assert {"python", "torch", "numpy", "pandas"} <= set(made["versions"])
    assert made["machine"]["threads"] >= 1
    assert made["machine"]["device"]


def test_the_same_stamp_twice(made, tmp_path):
    root = tmp_path / "results" / "gpu"
    inputs = [root / "runs" / "a.csv", tmp_path / "outside.png"]
    assert provenance.stamp("gpu", {"steps": 3}, {"photos": "ab12"}, inputs, root) == made


def test_one_line_names_code_parameters_and_machine(made):
    line = provenance.one_line(made)
    assert "\n" not in line
    for part in ("commit", "profile gpu", made["params_sha256"][:8], "torch", "threads"):
        assert part in line


def test_files_of_a_result_are_hashed_beside_it(tmp_path, made):
    file = tmp_path / "t.csv"
    file.write_text("x\n")
    path = provenance.write_provenance(tmp_path / "t", "table", {"title": "T"}, [file], made)
    assert path.name == "t.provenance.json"
    written = json.loads(path.read_text())
    assert written["files"] == {"t.csv": sha256_of_file(file)}
    assert written["table"] == {"title": "T"}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository in which the library seems to stand."""
    package = tmp_path / "lib" / "reblur"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(reblur, "__file__", str(package / "__init__.py"))

    def git(*arguments):
        options = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", *options, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    return tmp_path, git


def test_code_state_follows_the_working_tree(repository):
    folder, git = repository
    assert provenance.code_state()["commit"] == "none"
    git("add", ".")
    git("commit", "-qm", "first")
    state = provenance.code_state()
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (folder / "results").mkdir()
    (folder / "results" / "x.csv").write_text("1")
    (folder / "dvc.lock").write_text("1")
    assert provenance.code_state()["dirty"] is False  # results are no change of the code
    (folder / "lib" / "reblur" / "new.py").write_text("1")
    assert provenance.code_state()["dirty"] is True


def test_without_a_repository_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(reblur, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    state = provenance.code_state()
    assert state["commit"] == "unknown"
    assert state["dirty"] is None
