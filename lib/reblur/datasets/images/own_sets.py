"""Records of one's own pair folders: what was found in a folder, under a short name.

`data_manifests/own/<name>.yaml` says where the folder is, how it was read and which scenes are the
test part; `<name>.sha256` beside it lists every file, as the command sha256sum does.
"""

import sys
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from reblur.datasets.catalogue.contents import FileFacts, content_hash, file_facts, hash_of_facts
from reblur.datasets.catalogue.manifest_schema import Sha256, Strict
from reblur.datasets.catalogue.manifests import manifest_names, manifests_folder, project_root
from reblur.datasets.images.own import Found, Split, find_pairs, pairs_of_part, split
from reblur.datasets.images.pair_sets import is_pair_set, open_pair_set
from reblur.datasets.images.pairs import PairFolder
from reblur.errors import ReblurError
from reblur.files import write_text


class OwnSet(Strict):
    """The record of one folder.

    Attributes:
        folder: relative to the project where it lies inside it.
        blurred: as for `find_pairs`.
        layout: in words.
        pairs: how many.
        test_scenes: those drawn as the test part; None: the folder has its own test part, or all
            pairs are of one scene.
        content: `content_hash` of the folder.
    """

    name: str = Field(pattern="^[a-z0-9_]+$")
    own: Literal[True] = True
    folder: str
    blurred: str | None = None
    layout: str
    pairs: int = Field(gt=0)
    test_scenes: tuple[str, ...] | None = None
    content: Sha256


def own_names() -> list[str]:
    """The names of all records, sorted."""
    return sorted(path.stem for path in _records().glob("*.yaml"))


def record_path(name: str) -> Path:
    """Where the record of that name stands, or would stand."""
    return _records() / f"{name}.yaml"


def load_own(name: str) -> OwnSet:
    """Read a record.

    Raises:
        ReblurError: none of that name, or one that breaks the schema.
    """
    path = record_path(name)
    if not path.is_file():
        names = ", ".join(own_names()) or "none yet"
        raise ReblurError(
            f"{name}: no folder of your own is recorded under this name (there are: {names}); "
            f"record it with 'reblur data add FOLDER --name {name}'."
        )
    try:
        return OwnSet.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise ReblurError(
            f"{path}: is no record of a folder ({str(error).splitlines()[0]}); remove it and add "
            "the folder again."
        ) from error


def own_folder(named: str) -> Path:
    """The folder behind a record's name or a path; a relative one counts from the project."""
    text = load_own(named).folder if named in own_names() else named
    return project_root() / Path(text).expanduser()


def own_content(named: str) -> str:
    """`content_hash` of the folder as it is now, behind a record's name or a path."""
    return content_hash(own_folder(named))


def open_own(named: str, part: str | None = None) -> PairFolder:
    """The pairs behind a record's name or a path, to train on or to test on.

    Args:
        part: "train" or "test"; None: all. A recorded test part stays what it was, and scenes that
            came later are trained on. A folder may also be one of made pairs (`pair_sets`).

    Raises:
        ReblurError: as `load_own` and `own.open_own_pairs`.
    """
    folder = own_folder(named)
    if is_pair_set(folder):
        made = open_pair_set(folder)
        found = Found(folder, None, "made pairs", tuple(made.files), (), ())
        return made.only(pairs_of_part(found, part).names)
    if named not in own_names():
        return pairs_of_part(find_pairs(folder), part)
    record = load_own(named)
    if own_content(named) != record.content:
        print(
            f"{named}: its files are other than recorded and are used as they are now; 'reblur "
            f"data verify {named}' tells which, 'reblur data add' records them.",
            file=sys.stderr,
        )
    return pairs_of_part(find_pairs(folder, record.blurred), part, record.test_scenes)


def write_record(name: str, found: Found) -> OwnSet:
    """Record a folder under a name; the same folder again renews its record.

    Raises:
        ReblurError: a name that is unfit or taken, or files that cannot be read.
    """
    if name in manifest_names():
        raise ReblurError(f"{name}: is the name of a published data set; choose another one.")
    root, folder = project_root(), found.folder.resolve()
    if name in own_names() and own_folder(name).resolve() != folder:
        raise ReblurError(
            f"{name}: is recorded for {own_folder(name)}; choose another name, or remove "
            f"{record_path(name)}."
        )
    facts = file_facts(folder, progress=True)
    inside = folder.is_relative_to(root.resolve())
    try:
        record = OwnSet(
            name=name,
            folder=(folder.relative_to(root.resolve()) if inside else folder).as_posix(),
            blurred=found.blurred,
            layout=found.layout,
            pairs=len(found.pairs),
            test_scenes=drawn_scenes(found),
            content=hash_of_facts(facts),
        )
    except ValidationError as error:
        raise ReblurError(
            f"{name!r}: is unfit as a name; use small letters, digits and '_'."
        ) from error
    described = record.model_dump(mode="json", exclude_none=True)
    write_text(_sums_path(name), "".join(f"{f.sha256}  {path}\n" for path, f in facts.items()))
    write_text(
        record_path(name), yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=100)
    )
    return record


def drawn_scenes(found: Found) -> tuple[str, ...] | None:
    """The scenes of a drawn test part; None where the folder has one, or none can be drawn."""
    if any(pair.split in ("test", "val") for pair in found.pairs):
        return None
    try:
        parts: Split = split(found)
    except ReblurError:
        return None
    return tuple(dict.fromkeys(pair.scene for pair in parts["test"]))


def changes(name: str) -> list[str]:
    """What is in a recorded folder other than it was, one entry a file."""
    lines = _sums_path(name).read_text(encoding="utf-8").splitlines()
    before = {path: sha256 for sha256, _, path in (line.partition("  ") for line in lines)}
    now: dict[str, FileFacts] = file_facts(own_folder(name), progress=True)
    told = [
        f"missing: {path}" if path not in now else f"changed: {path}"
        for path, sha256 in before.items()
        if path not in now or now[path].sha256 != sha256
    ]
    return told + [f"new: {path}" for path in now if path not in before]


def _records() -> Path:
    return manifests_folder() / "own"


def _sums_path(name: str) -> Path:
    return _records() / f"{name}.sha256"
