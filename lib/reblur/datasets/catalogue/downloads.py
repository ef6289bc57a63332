"""One file from a public address: resumed where it stopped, checked before it gets its name."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

import requests

from reblur.errors import ReblurError
from reblur.files import sha256_of_file

TIMEOUT = (10, 60)  # seconds to connect, and without a byte
PAUSE = 1.0  # seconds before another try
TRIES = 2  # in a row that brought nothing
CHUNK = 1 << 16


class Unreachable(Exception):
    """No answer from an address: the machine may be offline. The message says why."""


def download(
    address: str,
    target: Path,
    sha256: str,
    size: int,
    advance: Callable[[int], object] = lambda count: None,
) -> None:
    """Bring `address` to `target` by way of `<target>.part`.

    A part that an earlier try left is completed by a range request (or begun anew where the server
    knows none), and renamed onto `target` when size and checksum are right: a killed download
    leaves the part alone.

    Args:
        address: http or https.
        target: its folder exists.
        sha256: lower-case hexadecimal.
        size: in bytes; no more is read.
        advance: told of every count of bytes gained (negative when a part is begun anew).

    Raises:
        Unreachable: no connection, no answer in time, or a server in trouble (status 5xx).
        ReblurError: another status, other bytes than expected, or a full disk.
    """
    part = target.with_name(target.name + ".part")
    advance(_size(part))
    failures = 0
    while (before := _size(part)) != size:
        try:
            _continue(address, part, size, advance)
        except requests.RequestException as error:
            failures = 0 if _size(part) > before else failures + 1
            if failures == TRIES:
                raise Unreachable(_reason(error)) from error
            time.sleep(PAUSE)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ReblurError(
                    f"{part}: the disk is full; free some space and fetch again: what is here of "
                    "the file is kept."
                ) from error
            raise
    if sha256_of_file(part) != sha256:
        part.unlink()
        raise ReblurError(
            f"{address}: gives other bytes than the manifest names (checksum); fetch again, and if "
            "that does not help, correct the manifest or bring the file by REBLUR_MIRROR."
        )
    part.replace(target)


def _continue(address: str, part: Path, size: int, advance: Callable[[int], object]) -> None:
    """One request; returns when the answer ends."""
    have = _size(part)  # one that is too long gets status 416, and is begun anew
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code >= 500:
            raise requests.HTTPError(f"status {answer.status_code}")
        resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(
            f"bytes {have}-"
        )
        if answer.status_code not in (200, 206) and not (have and answer.status_code == 416):
            raise ReblurError(
                f"{address}: answers with status {answer.status_code}; check the manifest's "
                "address, or bring the file by REBLUR_MIRROR."
            )
        if not resumed and have:  # the server began anew, or has no such range
            part.unlink()
            advance(-have)
            have = 0
            if answer.status_code != 200:
                return
        with part.open("ab") as stream:
            for chunk in answer.iter_content(CHUNK):
                stream.write(chunk)
                have += len(chunk)
                advance(len(chunk))
                if have > size:
                    break
    if have > size:
        part.unlink()
        raise ReblurError(
            f"{address}: is longer than the {size} bytes that the manifest names; check it."
        )
    if have < size:
        raise requests.ConnectionError(f"the answer ended after {have} of {size} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: BaseException) -> str:
    """The innermost cause in a few words: requests wraps it several deep."""
    inner = [getattr(error, "reason", None), error.__cause__, *error.args]
    cause = next((part for part in inner if isinstance(part, BaseException)), None)
    if cause is not None:
        return _reason(cause)
    return str(error).rpartition(": ")[2] or type(error).__name__
