"""`reblur verify`: one changed digit in anything that a profile's results hold is found.

`provenance.json` holds the hash of every file below results/<profile> that git keeps, and its own.
Beyond that, what follows from other files is made again: weights against their run, runs against
their recipes, and the tables from the scores, by executing the chapter's notebook anew.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reblur.datasets.catalogue.manifests import project_root
from reblur.errors import ReblurError
from reblur.files import sha256_of_file, sha256_of_value, write_json
from reblur.study.params import Params, results_folder
from reblur.study.provenance import code_state, library_versions, machine
from reblur.study.runs import all_runs, identities, read_run, recipe, run_folder, weights_path

NAME = "provenance.json"
PASSED_OVER = ("recipes", "notebooks")  # what a run was to be, and copies for reading


def write_provenance(params: Params, profile: str) -> Path:
    """Write `provenance.json` of a profile: what made it, and the hash of every file."""
    folder = project_root() / results_folder(profile)
    facts: dict[str, Any] = {
        "profile": profile,
        "parameters_sha256": sha256_of_value(params.profile(profile).as_dict()),
        "code": code_state(),
        "machine": machine(),
        "versions": library_versions(),
        "files": {
            path.relative_to(folder).as_posix(): sha256_of_file(path) for path in kept(folder)
        },
    }
    write_json(folder / NAME, facts | {"sha256": sha256_of_value(facts)})
    return folder / NAME


def kept(folder: Path) -> list[Path]:
    """The result files below a folder that belong to the study, sorted: those that git ignores
    inside a committed profile (weights, state) are not among them."""
    found = [p for p in sorted(folder.rglob("*")) if p.is_file() and p != folder / NAME]
    found = [p for p in found if p.relative_to(folder).parts[0] not in PASSED_OVER]
    found = [p for p in found if not p.name.startswith(".") and p.suffix != ".safetensors"]
    if _ignored(folder, [folder / "x"]):  # a profile that git does not keep at all
        return found
    dropped = _ignored(folder, found)
    return [path for path in found if path not in dropped]


def _ignored(folder: Path, paths: list[Path]) -> set[Path]:
    """Those of `paths` that git ignores; none without git."""
    text = "\n".join(str(path) for path in paths)
    command = ["git", "-C", str(folder if folder.is_dir() else folder.parent), "check-ignore"]
    try:
        done = subprocess.run([*command, "--stdin"], input=text, capture_output=True, text=True)
    except OSError:
        return set()
    return {Path(line) for line in done.stdout.splitlines()}


def verify(params: Params, profile: str) -> list[str]:
    """Every sentence that says what does not match; none where all is as it was written."""
    folder = project_root() / results_folder(profile)
    params.profile(profile)
    path = folder / NAME
    if not path.is_file():
        return [f"{path}: is missing; make it with 'reblur study --profile {profile}'."]
    return [
        *_files(folder),
        *_runs(params, profile),
        *_tables(params, profile),
    ]


def _files(folder: Path) -> Iterator[str]:
    try:
        facts = json.loads((folder / NAME).read_text(encoding="utf-8"))
        digest = facts.pop("sha256")
        hashes: dict[str, str] = facts["files"]
    except (ValueError, KeyError, TypeError, AttributeError):
        yield f"{NAME}: cannot be read; restore it from git, or make the results again."
        return
    if digest != sha256_of_value(facts):
        yield f"{NAME}: is not as it was written (its own hash differs); restore it from git."
    here = {path.relative_to(folder).as_posix(): path for path in kept(folder)}
    for name, expected in hashes.items():
        if name not in here:
            yield f"{name}: is missing; restore it from git, or make it again."
        elif sha256_of_file(here[name]) != expected:
            yield f"{name}: is not the file that was written (its hash differs); make it again."
    for name in sorted(here.keys() - hashes.keys()):
        yield f"{name}: nothing vouches for it; remove it, or make the report again."


def _runs(params: Params, profile: str) -> Iterator[str]:
    for run in all_runs(params, profile):
        facts = read_run(run_folder(profile, run))
        if facts is None:
            continue  # a missing run is a missing cell, which the pages name
        if facts["run"] != run.as_dict():
            yield f"{run.name}: its run.json is that of another run; train it again."
        weights = weights_path(profile, run)
        if weights.is_file() and sha256_of_file(weights) != facts["weights_sha256"]:
            yield f"{run.name}: the weights are not those that run.json names; train it again."
        try:
            made = recipe(params, profile, run)
        except ReblurError as error:
            yield f"{run.name}: its recipe cannot be made: {error}"
            continue
        if made["identity"] in identities(facts):
            continue
        for key, what in (
            ("configuration", "parameters"),
            ("trained_by", "code"),
            ("data", "data"),
        ):
            if facts[key] != made[key]:
                yield f"{run.name}: was trained by other {what} than there are now; train it again."


def _tables(params: Params, profile: str) -> Iterator[str]:
    """Every table made again from the scores and the present parameters."""
    from reblur.study.notebooks import execute

    root = project_root()
    for chapter in params.profile(profile).chapters:
        notebook = root / "notebooks" / f"compare_{chapter}.ipynb"
        with TemporaryDirectory(prefix="reblur-verify-") as temporary:
            again = Path(temporary)
            given = {"profile": profile, "folder": str(again)}
            try:
                execute(notebook, again / "executed.ipynb", given, working_folder=root)
            except ReblurError as error:
                yield f"{chapter}: its tables cannot be made again: {error}"
                continue
            for made in sorted(again.glob("tables/**/*.csv")):
                name = made.relative_to(again).as_posix()
                written = root / results_folder(profile) / name
                if not written.is_file():
                    yield f"{name}: is missing; make it again."
                elif written.read_bytes() != made.read_bytes():
                    yield f"{name}: does not follow from the scores; make it again."
