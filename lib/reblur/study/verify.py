"""Does what stands under results/<profile>/ still fit together?

Every hash in a provenance file is compared with its file, every table is made again from the
per-image scores, and each network's weights are compared with what its run.json says.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from reblur.errors import ReblurError
from reblur.files import sha256_of_file
from reblur.study.comparisons import rebuild, study_of
from reblur.study.params import CHAPTERS, chapters_of, run_folder, runs_of
from reblur.study.provenance import SUFFIX, one_line
from reblur.study.results import METRICS, Study, read_run
from reblur.study.tables import from_csv, is_absent, read_table, to_csv, to_markdown

TOLERANCE = 3e-8  # the CSV's last digit: sums may round differently on another processor
MADE = re.compile(r"(^|/)(data|subjects|pairs)/")  # test data: made again, and not kept in git
REMEDY = "run 'make study' again, or restore the file"


def verify(project: Path, profile: str, params: Mapping[str, Any]) -> list[str]:
    """What does not match, a sentence each; empty when everything does.

    Args:
        project: the project's root.
        params: the whole of params.yaml.
    """
    root = Path(project) / "results" / profile
    if not root.is_dir():
        return [f"results/{profile}: there are no results; make them with 'make study'."]
    _load_builders()
    chapters = [_runs(params, profile, name) for name in chapters_of(dict(params), profile)]
    runs = [run for chapter in chapters for run in chapter]
    problems = [*_check_runs(root, runs), *_check_stamps(root, profile)]
    problems += [*_check_tables(root, chapters), *_check_unstamped(root)]
    if not (root / "report" / "index.html").exists():
        problems.append(f"report/index.html: is missing; make it with 'reblur report {profile}'.")
    return problems


def remarks(project: Path, profile: str, params: Mapping[str, Any]) -> list[str]:
    """What a reader should know although nothing mismatches, a sentence each."""
    root = Path(project) / "results" / profile
    runs = _runs(params, profile)
    folders = [run_folder(root, arm, seed) for arm, seed in runs]
    found = []
    missing = [
        f"{arm}-{seed}"
        for (arm, seed), folder in zip(runs, folders, strict=True)
        if not (folder / "scores.csv").exists()
    ]
    if missing:
        found.append(f"{len(missing)} of {len(runs)} runs are missing: {', '.join(missing)}.")
    bare = [
        folder.name
        for folder in folders
        if (folder / "run.json").exists() and not (folder / "weights.safetensors").exists()
    ]
    if bare:
        found.append(
            f"the weights of {len(bare)} runs are not here and were not checked (they are not "
            "kept in git)."
        )
    changed = [stem for stem, notes in _stamps(root) if notes and notes["stamp"]["code"]["dirty"]]
    if changed:
        found.append(f"{len(changed)} results were made by code with uncommitted changes.")
    return found


def _runs(
    params: Mapping[str, Any], profile: str, chapter: str | None = None
) -> list[tuple[str, int]]:
    return [(run.arm, run.seed) for run in runs_of(dict(params), profile, chapter)]


def _load_builders() -> None:
    """A chapter's module registers the builders of its tables."""
    for name in CHAPTERS:
        import_module(f"reblur.study.{name}")


def _check_runs(root: Path, runs: list[tuple[str, int]]) -> Iterator[str]:
    for variant, seed in runs:
        folder = run_folder(root, variant, seed)
        name = folder.relative_to(root).as_posix()
        if not (folder / "run.json").exists():
            if (folder / "scores.csv").exists():
                yield f"{name}: has scores but no run.json; {REMEDY}."
            continue
        try:
            facts = read_run(folder)
        except ReblurError as error:
            yield f"{name}: {error}"
            continue
        if (facts["variant"], facts["seed"]) != (variant, seed):
            yield (
                f"{name}: run.json is that of {facts['variant']}-{facts['seed']}; train it again."
            )
        weights = folder / "weights.safetensors"
        if weights.exists() and sha256_of_file(weights) != facts["weights_sha256"]:
            yield f"{name}: the weights are not those that run.json names; {REMEDY}."
        yield from _check_summary(folder, name)


def _check_summary(folder: Path, name: str) -> Iterator[str]:
    """metrics.json (what `dvc metrics` shows) holds the means of scores.csv, to four digits."""
    summary, scores = folder / "metrics.json", folder / "scores.csv"
    if not (summary.exists() and scores.exists()):
        return
    means = pd.read_csv(scores).groupby("dataset").mean(numeric_only=True)
    noted = json.loads(summary.read_text(encoding="utf-8"))
    for dataset, values in noted.items():
        for metric in METRICS if isinstance(values, dict) else ():
            if metric in values and not (
                dataset in means.index
                and math.isclose(means.loc[dataset, metric], values[metric], abs_tol=1.01e-4)
            ):
                yield (
                    f"{name}/metrics.json: {metric} on {dataset} is not the mean of scores.csv; "
                    f"{REMEDY}."
                )


def _stamps(root: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """(stem below root, content) of every provenance file; None where it cannot be read."""
    for path in sorted(root.rglob(f"*{SUFFIX}")):
        stem = path.relative_to(root).as_posix().removesuffix(SUFFIX)
        try:
            notes = json.loads(path.read_text(encoding="utf-8"))
            one_line(notes["stamp"])
            yield stem, notes if {"kind", "files"} <= set(notes) else None
        except (ValueError, KeyError, TypeError):
            yield stem, None


def _check_stamps(root: Path, profile: str) -> Iterator[str]:
    """Hashes of the files that a result consists of, and of those that it was made from."""
    stale: dict[str, list[str]] = {}
    hashes: dict[str, str | None] = {}

    def actual(name: str) -> str | None:
        if name not in hashes:
            path = root / name
            hashes[name] = sha256_of_file(path) if path.is_file() else None
        return hashes[name]

    for stem, notes in _stamps(root):
        if notes is None:
            yield f"{stem}{SUFFIX}: is not a whole provenance file; {REMEDY}."
            continue
        if notes["stamp"]["profile"] != profile:
            yield f"{stem}: was made for profile {notes['stamp']['profile']!r}; {REMEDY}."
        folder = stem.rpartition("/")[0]
        for file, expected in notes["files"].items():
            name = f"{folder}/{file}" if folder else file
            if actual(name) is None:
                yield f"{name}: is missing; {REMEDY}."
            elif actual(name) != expected:
                yield f"{name}: is not the file that was written (its hash differs); {REMEDY}."
        for name, expected in notes["stamp"]["inputs"].items():
            here = actual(name)
            if here is None and MADE.search(name):
                continue
            if not name.startswith("elsewhere/") and here != expected:
                stale.setdefault(name, []).append(stem)
        if notes["kind"] == "figure":
            yield from _check_picture(root, stem, notes)
    for name, stems in stale.items():
        state = "is missing" if actual(name) is None else "has changed"
        yield f"{name}: {state} since {_listed(stems)} made from it; {REMEDY}."


def _check_unstamped(root: Path) -> Iterator[str]:
    """Tables and figures that nothing vouches for."""
    kept = {
        (root / stem).parent / file
        for stem, notes in _stamps(root)
        if notes is not None
        for file in notes["files"]
    }
    for folder in ("tables", "figures", "report"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not path.name.endswith(SUFFIX) and path not in kept:
                yield f"{path.relative_to(root).as_posix()}: has no provenance; remove it."


def _listed(stems: list[str]) -> str:
    more = f" and {len(stems) - 1} other results were" if len(stems) > 1 else " was"
    return stems[0] + more


def _check_picture(root: Path, stem: str, notes: dict[str, Any]) -> Iterator[str]:
    """The stamp inside the PNG is that of its provenance file."""
    from PIL import Image

    path = root / f"{stem}.png"
    try:
        with Image.open(path) as picture:
            inside = picture.info.get("Description")
    except (OSError, SyntaxError):
        return  # missing or broken: its hash says so
    if inside != one_line(notes["stamp"]):
        yield f"{stem}.png: carries another stamp than {stem}{SUFFIX}; {REMEDY}."


def _check_tables(root: Path, chapters: list[list[tuple[str, int]]]) -> Iterator[str]:
    """Every table made again from the per-image scores; `chapters` are the runs of each."""
    studies: dict[str, Study] = {}
    for path in sorted((root / "tables").glob(f"*{SUFFIX}")):
        stem = path.with_name(path.name.removesuffix(SUFFIX))
        name = f"tables/{stem.name}"
        try:
            table = read_table(stem)
            keys = ("runs", "datasets", "evidence", "blurred")
            asked = json.dumps([table.recipe[key] for key in keys])
            if asked not in studies:
                studies[asked] = study_of(root, table.recipe)
            again = rebuild(studies[asked], table.recipe)
            stamp = json.loads(path.read_text(encoding="utf-8"))["stamp"]
        except ReblurError as error:
            yield f"{name}: cannot be made again: {error}"
            continue
        except (KeyError, TypeError, IndexError) as error:
            yield f"{name}: its recipe does not fit the scores ({error!r}); {REMEDY}."
            continue
        if [tuple(run) for run in table.recipe["runs"]] not in chapters:
            yield f"{name}: was made for other runs than params.yaml asks for; {REMEDY}."
        texts = [column.key for column in again.columns if column.kind == "text"]
        made = from_csv(to_csv(again.frame), texts)
        difference = _first_difference(table.frame, made)
        if difference:
            yield f"{name}.csv: {difference}; {REMEDY}."
        elif table.caption != again.caption or table.title != again.title:
            yield f"{name}: its caption does not fit the scores; {REMEDY}."
        text = stem.with_name(f"{stem.name}.md")
        if text.exists() and text.read_text(encoding="utf-8") != to_markdown(
            table, one_line(stamp)
        ):
            yield f"{name}.md: does not show the numbers of {name}.csv; {REMEDY}."


def _first_difference(table: pd.DataFrame, made: pd.DataFrame) -> str:
    """The first cell that differs, in words; '' where the tables agree."""
    if list(table.columns) != list(made.columns):
        return "has other columns than the scores give"
    if len(table) != len(made):
        return f"has {len(table)} rows where the scores give {len(made)}"
    for row, (ours, theirs) in enumerate(
        zip(table.itertuples(index=False), made.itertuples(index=False), strict=True)
    ):
        for column, here, there in zip(table.columns, ours, theirs, strict=True):
            if not _same(here, there):
                return (
                    f"row {row + 1} ({ours[0]}), {column}: {_word(here)} in the file, "
                    f"{_word(there)} from the scores"
                )
    return ""


def _same(here: Any, there: Any) -> bool:
    if is_absent(here) or is_absent(there):
        return is_absent(here) and is_absent(there)
    if isinstance(here, float) and isinstance(there, float):
        return here == there or math.isclose(here, there, rel_tol=1e-9, abs_tol=TOLERANCE)
    return bool(here == there)


def _word(value: Any) -> str:
    return "nothing" if is_absent(value) else str(value)
