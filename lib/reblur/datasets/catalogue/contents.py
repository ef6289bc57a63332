"""What a folder holds: its files without the system's own, and one hash of them all."""

import contextlib
import hashlib
import json
import os
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from reblur.errors import ReblurError
from reblur.files import sha256_of_file, sha256_of_value, write_json

# What operating systems, network disks and editors leave in folders, in lower case; besides these,
# every name that begins with a dot (.ipynb_checkpoints, .DS_Store, ._photo.jpg, …).
_SYSTEM_NAMES = frozenset(
    {
        *("@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "__macosx"),
        *("$recycle.bin", "recycler", "system volume information", "lost+found", "__pycache__"),
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"),
        *("network trash folder", "temporary items"),
    }
)
_SETTLED = 2.0  # seconds: a file that changed later can change again within one tick of its clock


@dataclass(frozen=True)
class Contents:
    """The files anywhere below a folder.

    Attributes:
        files: relative paths, sorted.
        passed_over: relative paths of hidden and system files and of such folders, sorted; what
            stands inside such a folder is not listed.
    """

    files: tuple[Path, ...]
    passed_over: tuple[Path, ...]


@dataclass(frozen=True)
class FileFacts:
    """Size in bytes and SHA-256 of one file."""

    bytes: int
    sha256: str


def is_system_name(name: str) -> bool:
    """Whether a file or folder of this name is hidden or the system's, and no data."""
    return name.startswith((".", "~$")) or name.lower() in _SYSTEM_NAMES


def list_contents(folder: Path | str) -> Contents:
    """List the files below a folder; links are followed, each real folder once on a branch.

    Raises:
        ReblurError: no such folder, or a part of it that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ReblurError(f"{folder}: there is no such folder; check the name.")
    files: list[Path] = []
    passed_over: list[Path] = []
    _walk(folder, Path(), (os.path.realpath(folder),), files, passed_over)
    return Contents(tuple(sorted(files)), tuple(sorted(passed_over)))


def _walk(
    folder: Path,
    inner: Path,
    above: tuple[str, ...],
    files: list[Path],
    passed_over: list[Path],
) -> None:
    try:
        entries = list(os.scandir(folder / inner))
    except OSError as error:
        raise ReblurError(
            f"{folder / inner}: cannot be read ({error.strerror}); change its permissions, or move "
            "it out of the data."
        ) from error
    for entry in entries:
        path = inner / entry.name
        if is_system_name(entry.name):
            passed_over.append(path)
        elif entry.is_dir():
            real = os.path.realpath(folder / path)
            if real not in above:  # a link to a folder above would never end
                _walk(folder, path, (*above, real), files, passed_over)
        else:
            files.append(path)


def file_facts(folder: Path | str, *, progress: bool = False) -> dict[str, FileFacts]:
    """Size and SHA-256 of every file below a folder, by its name.

    Names are relative, with `/`, in Unicode's normal form C: a copy on another system has the same.
    A sum is taken from the user's cache where path, size and time of change are as they were.

    Args:
        folder: what to look at; hidden and system files do not count.
        progress: show a bar on a terminal.

    Raises:
        ReblurError: as `list_contents`, or a file that cannot be read.
    """
    folder = Path(folder)
    paths = list_contents(folder).files
    store = _cache_folder() / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()}.json"
    cached = _read_cache(store)
    now = time.time()

    def facts_of(path: Path) -> tuple[int, int, str]:
        try:
            status = (folder / path).stat()
            size, modified = status.st_size, status.st_mtime_ns
            old = cached.get(path.as_posix())
            if old is not None and old[:2] == [size, modified]:
                return size, modified, old[2]
            return size, modified, sha256_of_file(folder / path)
        except OSError as error:
            raise ReblurError(
                f"{folder / path}: cannot be read ({error.strerror}); change its permissions, or "
                "remove it."
            ) from error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashing frees the lock
        done = pool.map(facts_of, paths)
        quiet = None if progress else True  # None: only on a terminal
        found = list(tqdm(done, folder.name, len(paths), unit="file", disable=quiet))
    fresh = {
        path.as_posix(): list(facts)
        for path, facts in zip(paths, found, strict=True)
        if facts[1] / 1e9 < now - _SETTLED
    }
    if fresh != cached:
        _write_cache(store, fresh)
    return {
        unicodedata.normalize("NFC", path.as_posix()): FileFacts(size, sha256)
        for path, (size, _, sha256) in zip(paths, found, strict=True)
    }


def content_hash(folder: Path | str, *, progress: bool = False) -> str:
    """SHA-256 over names, sizes and SHA-256 of all files below a folder; see `file_facts`.

    Where the folder stands, and times of change, do not enter.
    """
    return hash_of_facts(file_facts(folder, progress=progress))


def hash_of_facts(facts: dict[str, FileFacts]) -> str:
    """`content_hash` of files that are known already."""
    return sha256_of_value({name: [fact.bytes, fact.sha256] for name, fact in facts.items()})


def _cache_folder() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "reblur" / "contents"


def _read_cache(store: Path) -> dict[str, list]:
    """{name: [size, time of change, SHA-256]}; empty where there is none that can be read."""
    try:
        cached = json.loads(store.read_text(encoding="utf-8"))
        return cached if isinstance(cached, dict) else {}
    except (OSError, ValueError):
        return {}


def _write_cache(store: Path, cached: dict[str, list]) -> None:
    with contextlib.suppress(OSError, ReblurError):  # sums are then computed again
        write_json(store, cached)
