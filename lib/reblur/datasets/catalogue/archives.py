"""Files out of zip and tar archives, into one folder and nowhere else."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from reblur.datasets.catalogue.manifest_schema import File
from reblur.errors import ReblurError
from reblur.files import atomic_path, sha256_of_file


def extract_files(archive: Path, files: Sequence[File], folder: Path) -> None:
    """Write each file's member (`origin`) to `folder / path`, whole and with the right checksum.

    Names of members never become paths: only the manifest's do. An archive that holds a member
    outside its own folder, a link or a device is refused altogether, before anything is written.

    Raises:
        ReblurError: such an archive, no archive, a missing member, or other bytes than the manifest
            names.
    """
    try:
        with _opened(archive) as (members, read):
            for name in members:
                _refuse_outside(archive, name)
            for file in files:
                if file.origin not in members:
                    raise ReblurError(
                        f"{archive}: has no member {file.origin}; correct the manifest."
                    )
                with atomic_path(folder / file.path) as temporary:
                    with read(file.origin) as stream:
                        # One byte more than expected tells a longer member, however long it is.
                        temporary.write_bytes(stream.read(file.bytes + 1))
                    if sha256_of_file(temporary) != file.sha256:
                        raise ReblurError(
                            f"{archive}: its member {file.origin} has not the checksum of the "
                            "manifest; delete the archive and fetch it again."
                        )
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise ReblurError(
            f"{archive}: is damaged, or no zip or tar archive ({error}); delete it and fetch again."
        ) from error


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[set[str], Callable[[str], io.BufferedIOBase]]]:
    """The names of an archive's members and a function that opens one; links are refused."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                mode = info.external_attr >> 16
                if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or not stat.S_IFMT(mode)):
                    raise _link(archive, info.filename)
            yield {info.filename for info in zipped.infolist()}, zipped.open
        return
    with tarfile.open(archive) as tarred:
        found = {member.name: member for member in tarred.getmembers()}
        for member in found.values():
            if not (member.isfile() or member.isdir()):
                raise _link(archive, member.name)

        def read(name: str) -> io.BufferedIOBase:
            stream = tarred.extractfile(found[name])
            if stream is None:
                raise ReblurError(f"{archive}: {name} is a folder; correct the manifest.")
            return stream

        yield set(found), read


def _link(archive: Path, name: str) -> ReblurError:
    return ReblurError(
        f"{archive}: holds a link or a device ({name}) and is not unpacked; get it from its author."
    )


def _refuse_outside(archive: Path, name: str) -> None:
    parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
    if absolute or ".." in parts:
        raise ReblurError(
            f"{archive}: holds a member outside its folder ({name}) and is not unpacked; get it "
            "from its author."
        )
