"""Folders of many files that are either whole or not there."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from reblur.errors import ReblurError
from reblur.files import plain_disk_errors

Outcome = Literal["written", "kept", "replaced"]


def refuse_foreign(folder: Path, ours: Callable[[Path], bool]) -> None:
    """Refuse a folder that nobody here wrote, so that it is never replaced.

    Args:
        folder: it may be absent or empty, or hold manifest.json and what is `ours`.
        ours: whether an entry of it is such as is written here.

    Raises:
        ReblurError: it holds something else, or is a file.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ReblurError(f"{folder}: is a file; name a folder for the images.")
    held = list(folder.iterdir())
    foreign = [path for path in held if path.name != "manifest.json" and not ours(path)]
    if foreign or (held and not (folder / "manifest.json").is_file()):
        raise ReblurError(
            f"{folder}: holds other files ({(foreign or held)[0].name}); name a folder of its own, "
            "or remove it."
        )


class WholeFolder:
    """A folder under construction.

    Attributes:
        path: where to write.
        keep_old: leave what stands there, as the new one is the same.
        outcome: known when it is done.
    """

    outcome: Outcome

    def __init__(self, path: Path) -> None:
        self.path, self.keep_old = path, False


@contextmanager
def whole_folder(folder: Path) -> Iterator[WholeFolder]:
    """A temporary folder beside `folder`, renamed onto it when the block ends without an error.

    A folder that stands there is moved away in between: after a kill at that moment it is found
    beside, under a name that begins with `.replaced-`.
    """
    temporary: Path | None = None
    try:
        with plain_disk_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".partial-{folder.name}-", dir=folder.parent))
            made = WholeFolder(temporary / "whole")  # its own 0700 would stay on the finished one
            made.path.mkdir()
            yield made
            if made.keep_old:
                made.outcome = "kept"
            elif folder.exists():
                _replace(folder, made.path)
                made.outcome = "replaced"
            else:
                made.path.rename(folder)
                made.outcome = "written"
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _replace(folder: Path, new: Path) -> None:
    """Put `new` in the place of `folder`; a system without an exchange needs two renames."""
    old = Path(tempfile.mkdtemp(prefix=f".replaced-{folder.name}-", dir=folder.parent))
    folder.rename(old / folder.name)
    try:
        new.rename(folder)
    except OSError:
        (old / folder.name).rename(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
