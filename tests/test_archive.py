"""An unpacked archive: a project that is no clone, and a machine without git."""

import shutil

import pytest

from reblur.study.params import read_params
from reblur.study.pipeline import pipeline_files, prepare_dvc, write_pipeline
from reblur.study.provenance import has_git
from small_project import ROOT, copy_project, dvc


@pytest.fixture
def archive(tmp_path):
    copy_project(tmp_path, dict)  # as it is
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc/config")
    return tmp_path


@pytest.mark.parametrize("program", [True, False])
def test_an_archive_has_the_pipeline_of_a_clone(archive, monkeypatch, program):
    params = read_params(archive / "params.yaml")
    expected = pipeline_files(params, ROOT)
    if not program:
        monkeypatch.setenv("PATH", str(archive))
    assert not has_git(archive)
    assert pipeline_files(params, archive) == expected


def test_dvc_works_in_an_archive_and_it_is_said(archive, capfd):
    write_pipeline(read_params(archive / "params.yaml"), archive)
    assert "not a git repository" in dvc(archive, "status", "demo_plan").stderr
    prepare_dvc(archive)
    assert "no git here" in capfd.readouterr().out
    done = dvc(archive, "status", "demo_plan")
    assert done.returncode == 0, done.stderr
    assert "demo_plan" in done.stdout


def test_a_clone_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr("reblur.study.pipeline.dvc", lambda *_: pytest.fail("was changed"))
    prepare_dvc(ROOT)
