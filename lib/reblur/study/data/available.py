"""Which data of a profile are here, and the hash of what each holds."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from reblur.datasets.catalogue.contents import content_hash
from reblur.datasets.catalogue.manifest_schema import ByHand
from reblur.datasets.catalogue.manifests import (
    load_manifest,
    locate,
    manifest_hash,
    manifest_names,
    project_root,
)
from reblur.datasets.images.own_sets import own_content, own_folder, own_names
from reblur.errors import ReblurError
from reblur.files import write_json
from reblur.study.params import results_folder

NOT_AVAILABLE = "not available"


def data_hash(name: str) -> str:
    """The hash of what a data set holds: its manifest's, which names every file's checksum; of a
    set that was brought by hand, or of a folder (a path), that of all its files' contents.

    Raises:
        ReblurError: a data set by hand, or a folder, that is not here.
    """
    if name not in manifest_names():
        refuse_unknown_folder(name)
        return own_content(name)
    manifest = load_manifest(name)
    if isinstance(manifest.source, ByHand):
        return content_hash(locate(manifest))
    return manifest_hash(manifest)


def refuse_unknown_folder(name: str) -> None:
    """ReblurError where a name is neither a data set, nor a record of one's own, nor a folder."""
    if not own_folder(name).is_dir():
        raise ReblurError(
            f"{name}: is neither a folder nor a data set; the data sets are "
            f"{', '.join((*own_names(), *manifest_names()))}."
        )


def refuse_changed(hashes: Mapping[str, str]) -> None:
    """ReblurError where a folder of one's own holds other files than when `hashes` was taken."""
    for name, before in hashes.items():
        if name not in manifest_names() and own_content(name) != before:
            raise ReblurError(
                f"{name}: its files have changed since the recipes were written; run the study "
                "again, so that they are trained on as they are now."
            )


def data_hashes(names: Iterable[str]) -> dict[str, str]:
    """`data_hash` of each name, by name."""
    return {name: data_hash(name) for name in sorted(set(names))}


def available_path(profile: str) -> Path:
    return project_root() / results_folder(profile) / "available.json"


def noted(profile: str) -> dict[str, str]:
    """What `available.json` notes: each real test set → its hash, or that it is not available."""
    path = available_path(profile)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def note_available(profile: str, asked: Mapping[str, bool]) -> dict[str, str]:
    """Bring the real test sets of a profile and write `available.json`.

    A set is brought from the cache or a mirror folder; a public address is asked only where `asked`
    says so. A set that cannot be had is noted as such (why is printed), and never replaced. One
    that was here when the committed results were made stays noted: its scores are here.

    Args:
        asked: data set → whether it may be downloaded.
    """
    from reblur.datasets.catalogue.fetching import fetch

    before, now = noted(profile), dict[str, str]()
    for name, download in asked.items():
        try:
            if name in manifest_names():
                fetch(name, download=download)
            now[name] = data_hash(name)
        except ReblurError as error:
            now[name] = before.get(name, NOT_AVAILABLE)
            if now[name] == NOT_AVAILABLE:
                print(error)
    if now != before:
        write_json(available_path(profile), now)
    return now


def is_here(name: str) -> bool:
    """Whether a data set can be opened now."""
    if name not in manifest_names():
        return own_folder(name).is_dir()
    try:
        return bool(locate(name))
    except ReblurError:
        return False


def trained_on(hashes: Mapping[str, str]) -> dict[str, object]:
    """What weights say of their data: the sets with their licences, and whether the licences allow
    commercial use ("yes", "no", "unknown")."""
    licences, uses = {}, set()
    for name in hashes:
        known = load_manifest(name).licence if name in manifest_names() else None
        licences[name] = known.name if known else "the user's own"
        uses.add(known.commercial_use if known else "unknown")
    commercial = "no" if False in uses else "unknown" if "unknown" in uses else "yes"
    return {"trained_on": licences, "commercial_use": commercial}


def may_be_shown(names: Iterable[str]) -> bool:
    """Whether pictures of all of these sets may be passed on with the project."""
    known = manifest_names()
    return all(name not in known or load_manifest(name).licence.redistribute for name in names)
