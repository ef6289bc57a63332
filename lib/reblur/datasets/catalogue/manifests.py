"""Data sets by name: their manifests, and where their files stand.

A manifest (data_manifests/<name>.yaml) names where every file comes from, its SHA-256 and size, the
licence, the layout and the split by scene. It never holds the data: those stand under the data
root, inside an installed package, or, brought by hand, in a folder of `REBLUR_MIRROR`.
"""

import functools
import importlib.util
import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from reblur.datasets.catalogue.manifest_schema import ByHand, Manifest, Package
from reblur.errors import ReblurError
from reblur.files import sha256_of_value


def project_root() -> Path:
    """The nearest folder with params.yaml and data_manifests: from here up, else the package's.

    Raises:
        ReblurError: there is none.
    """
    here = Path.cwd()
    for start in (here, Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "params.yaml").is_file() and (folder / "data_manifests").is_dir():
                return folder
    raise ReblurError(
        f"{here}: no project with params.yaml and data_manifests here or above; change into its "
        "folder, or name the manifests' folder in REBLUR_MANIFESTS and the data's in REBLUR_DATA."
    )


def manifests_folder() -> Path:
    """`REBLUR_MANIFESTS`, or the project's data_manifests."""
    named = os.environ.get("REBLUR_MANIFESTS")
    return Path(named) if named else project_root() / "data_manifests"


def data_root() -> Path:
    """Where data sets stand: `REBLUR_DATA`, or data/ in the project (ignored by git)."""
    named = os.environ.get("REBLUR_DATA")
    return Path(named) if named else project_root() / "data"


def shown(path: Path) -> str:
    """A path as messages show it: relative to the current folder where it lies inside."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def mirrors() -> list[Path]:
    """The folders that `REBLUR_MIRROR` names."""
    named = os.environ.get("REBLUR_MIRROR", "").split(os.pathsep)
    return [Path(folder) for folder in named if folder]


def manifest_names() -> list[str]:
    """Every manifest's name, sorted."""
    return sorted(path.stem for path in manifests_folder().glob("*.yaml"))


def load_manifest(name: str) -> Manifest:
    """Read and check one manifest.

    Raises:
        ReblurError: an unknown name (the choices are listed), or a file that breaks the schema.
    """
    path = manifests_folder() / f"{name}.yaml"
    if name not in manifest_names():
        raise ReblurError(f"{name}: no such data set; the choices are {_choices()}.")
    return _load(path, path.stat().st_mtime_ns)


def _choices() -> str:
    return ", ".join(manifest_names()) or f"none (no manifest in {manifests_folder()})"


@functools.lru_cache(maxsize=64)
def _load(path: Path, modified: int) -> Manifest:
    """A manifest by file and time of change: `reblur data list` and the readers ask often."""
    try:
        manifest = Manifest.model_validate(
            yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())
        )
    except (yaml.YAMLError, ValidationError) as error:
        raise ReblurError(f"{path}: breaks the schema of manifests; correct it: {error}") from error
    if manifest.name != path.stem:
        raise ReblurError(f"{path}: names itself {manifest.name!r}; name it as its file.")
    return manifest


def _loader() -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # some twenty times as fast


def manifest_hash(manifest: Manifest) -> str:
    """SHA-256 of what determines the data: files with their sums, scenes, splits, layout.

    Titles, addresses and licences can be put right without a changed hash. Of data brought by hand
    it pins the expected patterns and counts, as their files' sums are not known.
    """
    described = manifest.model_dump(
        mode="json", include={"name", "layout", "options", "splits", "files"}
    )
    for file in described["files"]:
        del file["origin"]
    if isinstance(manifest.source, ByHand):
        described["expected"] = manifest.model_dump(mode="json")["source"]["expected"]
    return sha256_of_value(described)


def home(manifest: Manifest) -> Path:
    """The folder of a data set: inside its package, or under the data root."""
    if isinstance(manifest.source, Package):
        found = importlib.util.find_spec(manifest.source.package)
        if found is None or found.origin is None:
            raise ReblurError(
                f"{manifest.name}: the package {manifest.source.package} is not installed; install "
                "it with 'make environment'."
            )
        return Path(found.origin).parent / manifest.source.folder
    return data_root() / (manifest.folder or manifest.name)


def candidates(manifest: Manifest) -> list[Path]:
    """The folders in which a data set may stand whole: its home; brought by hand, also mirrors'."""
    folders = [home(manifest)]
    if isinstance(manifest.source, ByHand):
        inner = dict.fromkeys((manifest.mirror, manifest.folder, manifest.name))
        folders += [mirror / name for mirror in mirrors() for name in inner if name is not None]
    return folders


def present(manifest: Manifest, folder: Path) -> tuple[int, int]:
    """How many of how many files are in `folder`; of data brought by hand, the expected ones."""
    if isinstance(manifest.source, ByHand):
        expected = manifest.source.expected
        found = [min(part.count, _count(folder, part.pattern)) for part in expected]
        return sum(found), sum(part.count for part in expected)
    return len(manifest.files) - len(absent(manifest, folder)), len(manifest.files)


def _count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern))


def absent(manifest: Manifest, folder: Path, split: str | None = None) -> list[str]:
    """What is missing from `folder`, in words, one entry a file (or an expected pattern).

    A file of the wrong size counts as missing. Checksums are `reblur data verify`'s and the
    fetcher's.
    """
    if isinstance(manifest.source, ByHand):
        return [
            f"{expected.count} × {expected.pattern} (found {found})"
            for expected in manifest.source.expected
            if split is None or expected.split in (None, split)
            if (found := _count(folder, expected.pattern)) < expected.count
        ]
    return [
        file.path
        for file in manifest.files
        if split is None or file.split in (None, split)
        if not _has_size(folder / file.path, file.bytes)
    ]


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def locate(manifest: Manifest | str, split: str | None = None) -> Path:
    """The folder of a data set that is here and whole.

    Args:
        manifest: the manifest or its name.
        split: ask for the files of this split alone.

    Raises:
        ReblurError: absent or incomplete, with what to do.
    """
    manifest = load_manifest(manifest) if isinstance(manifest, str) else manifest
    for folder in candidates(manifest):
        if not absent(manifest, folder, split):
            return folder
    raise ReblurError(f"{manifest.name}: {missing_words(manifest)}; {remedy(manifest)}")


def missing_words(manifest: Manifest) -> str:
    """How much of a data set is missing, in words."""
    missing = absent(manifest, home(manifest))
    if isinstance(manifest.source, ByHand):
        return f"{shown(home(manifest))} lacks {', '.join(missing)}"
    return f"{len(missing)} of {len(manifest.files)} files are missing"


def remedy(manifest: Manifest) -> str:
    """What a person can do about a missing data set: the end of a sentence."""
    source = manifest.source
    if isinstance(source, ByHand):
        return f"bring it by hand from {source.page} ('reblur data show {manifest.name}' says how)."
    if isinstance(source, Package):
        return (
            f"install the version of {source.package} that constraints.txt pins "
            "('make environment', or 'pip install -c constraints.txt')."
        )
    return f"fetch it with 'reblur data fetch {manifest.name}'."


def files_of(name: str, split: str | None = None) -> list[Path]:
    """The files of a data set that names them, in the manifest's order.

    Raises:
        ReblurError: the data are absent, the split is unknown, or the manifest lists no files.
    """
    manifest = load_manifest(name)
    refuse_unknown_split(manifest, split)
    if not manifest.files:
        raise ReblurError(f"{name}: its manifest lists no files; open it as pairs.")
    folder = locate(manifest, split)
    return [folder / file.path for file in manifest.files if split in (None, file.split)]


def refuse_unknown_split(manifest: Manifest, split: str | None) -> None:
    """ReblurError that names the splits when `split` is none of them."""
    if split is not None and split not in manifest.split_names():
        names = ", ".join(manifest.split_names()) or "none"
        raise ReblurError(f"{manifest.name}: has no split {split!r}; its splits are: {names}.")
