"""A data root and manifests of a test's own."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from reblur.datasets.catalogue import manifests

SMALL = {
    "name": "small",
    "title": "A small set",
    "description": "for tests",
    "homepage": "https://example.org/",
    "licence": {"name": "CC0-1.0", "commercial_use": True, "redistribute": True},
    "source": {"kind": "address", "base": "https://example.org/data/"},
    "layout": "photographs",
}


def entry(path: str, body: bytes, **more: str) -> dict[str, Any]:
    """A file of a manifest."""
    checksum = hashlib.sha256(body).hexdigest()
    return {"path": path, "sha256": checksum, "bytes": len(body), **more}


def by_hand(*expected: dict[str, Any]) -> dict[str, Any]:
    """A source that a person has to bring."""
    page = "https://example.org/"
    return {"kind": "by_hand", "page": page, "instructions": "bring it", "expected": list(expected)}


def address(base: str) -> dict[str, str]:
    """A source of files at a public address."""
    return {"kind": "address", "base": base}


class SmallManifests:
    """Empty folders for manifests and data; a call writes the manifest 'small'.

    Attributes:
        manifests, data: REBLUR_MANIFESTS and REBLUR_DATA while the test runs.
        folder: where the data of 'small' stand.
    """

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.manifests, self.data = tmp_path / "manifests", tmp_path / "data"
        self.folder = self.data / "small"
        self.manifests.mkdir()
        monkeypatch.setenv("REBLUR_MANIFESTS", str(self.manifests))
        monkeypatch.setenv("REBLUR_DATA", str(self.data))
        monkeypatch.delenv("REBLUR_MIRROR", raising=False)

    def __call__(self, **changes: Any) -> str:
        """Write a manifest with these fields (None leaves one out); returns its name."""
        described = {k: v for k, v in {**SMALL, **changes}.items() if v is not None}
        path = self.manifests / f"{changes.get('filename') or described['name']}.yaml"
        described.pop("filename", None)
        path.write_text(yaml.safe_dump(described, sort_keys=False))
        manifests._load.cache_clear()
        return path.stem


def final_files(folder: Path) -> list[str]:
    """What stands under its final name: no part, no lock."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(p.name for p in found if p.suffix != ".part" and p.name != ".lock")
