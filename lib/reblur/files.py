"""Files that are either whole or not there: write to a temporary file, then rename."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from reblur.errors import ReblurError


@contextmanager
def plain_disk_errors(path: Path) -> Iterator[None]:
    """A full disk or missing permissions, in one sentence that names `path`.

    Raises:
        ReblurError: that sentence; other errors pass.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ReblurError(
                f"{path}: the disk is full; nothing was overwritten; free some space and run again."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise ReblurError(
                f"{path}: cannot be written ({error.strerror}); choose another folder or change "
                "its permissions."
            ) from error
        raise


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it when the block ends without an error.

    The temporary name keeps the suffix (libraries choose a format by it). After an error, or a
    kill, `path` is as it was before.

    Raises:
        ReblurError: the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        with plain_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".partial-", suffix=path.suffix, dir=path.parent)
            os.close(handle)
            temporary = Path(name)
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)  # mkstemp's 0600 would stay on the finished file
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_open(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """`open(path, mode)` for writing ("w" or "wb"), with the promise of `atomic_path`."""
    encoding = None if "b" in mode else "utf-8"
    newline = None if "b" in mode else "\n"
    with (
        atomic_path(path) as temporary,
        temporary.open(mode, encoding=encoding, newline=newline) as stream,
    ):
        yield stream


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) atomically."""
    with atomic_open(path) as stream:
        stream.write(text)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as JSON atomically; keys sorted, so that the same value gives the same bytes.

    NaN and infinities have no JSON form and raise ValueError.
    """
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def sha256_of_file(path: str | Path) -> str:
    """Lower-case hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_value(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
