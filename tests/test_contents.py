"""What a folder holds, and the hash of it."""

import os
import time
import unicodedata

import pytest

from reblur.datasets.catalogue import contents
from reblur.datasets.catalogue.contents import content_hash, file_facts, list_contents
from reblur.errors import ReblurError

SYSTEM = [
    ".DS_Store",
    "._a.png",
    ".ipynb_checkpoints/a-checkpoint.png",
    "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg",
    "__MACOSX/._a.png",
    "Thumbs.db",
    "$RECYCLE.BIN/a.png",
    "desktop.ini",
    "lost+found/a.png",
    "#recycle/a.png",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = tmp_path / "data"
    for name, text in (("blur/a.png", "1"), ("sharp/a.png", "22")):
        write(made / name, text)
    return made


def write(path, text="x", age=60):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    then = time.time() - age
    os.utime(path, (then, then))


@pytest.mark.parametrize("name", SYSTEM)
def test_system_files_are_passed_over_and_change_no_hash(folder, name):
    before = content_hash(folder)
    write(folder / "blur" / name)
    assert len(list_contents(folder).files) == 2
    assert len(list_contents(folder).passed_over) == 1
    assert content_hash(folder) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write(folder / "blur/a.png", "3"),
        lambda folder: write(folder / "blur/b.png", "1"),
        lambda folder: (folder / "blur/a.png").rename(folder / "blur/c.png"),
        lambda folder: (folder / "blur/a.png").unlink(),
    ],
    ids=["bytes", "a file more", "renamed", "removed"],
)
def test_every_change_of_a_file_changes_the_hash(folder, change):
    before = content_hash(folder)
    change(folder)
    assert content_hash(folder) != before


def test_a_copy_elsewhere_with_decomposed_names_has_the_same_hash(folder, tmp_path):
    for where, form in (("one", "NFC"), ("two", "NFD")):
        write(tmp_path / where / unicodedata.normalize(form, "Straßenbäume é.png"), "1")
    assert content_hash(tmp_path / "one") == content_hash(tmp_path / "two")


def test_an_unchanged_file_is_not_read_twice(folder, monkeypatch):
    before = content_hash(folder)
    write(folder / "blur/new.png", "3")
    read = []
    whole = contents.sha256_of_file
    monkeypatch.setattr(contents, "sha256_of_file", lambda path: read.append(path) or whole(path))
    assert content_hash(folder) != before
    assert [path.name for path in read] == ["new.png"]


def test_a_file_that_changes_within_a_tick_of_its_clock_is_read_again(folder):
    path = folder / "blur/a.png"
    write(path, "5", age=0)
    status = path.stat()
    before = file_facts(folder)
    path.write_text("6")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file_facts(folder)["blur/a.png"] != before["blur/a.png"]


def test_a_damaged_or_unwritable_cache_is_no_obstacle(folder, tmp_path, monkeypatch):
    before = content_hash(folder)
    for store in (tmp_path / "cache").rglob("*.json"):
        store.write_text("{")
    assert content_hash(folder) == before
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert content_hash(folder) == before


def test_links_are_followed_and_loops_end(folder, tmp_path):
    write(tmp_path / "elsewhere/b.png")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    names = [path.as_posix() for path in list_contents(folder).files]
    assert names == ["blur/a.png", "linked/b.png", "sharp/a.png"]


def test_no_such_folder(tmp_path):
    with pytest.raises(ReblurError, match="no such folder"):
        content_hash(tmp_path / "none")
