"""`reblur data add`, and what `show` and `verify` say of a folder of one's own."""

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from reblur.datasets.catalogue.manifests import shown
from reblur.datasets.images.headers import Looked, look_at_pairs
from reblur.datasets.images.matching import Problem
from reblur.datasets.images.own import Found, find_pairs, split
from reblur.datasets.images.own_sets import (
    changes,
    drawn_scenes,
    load_own,
    own_folder,
    record_path,
    write_record,
)
from reblur.errors import ReblurError


def run_add(arguments: argparse.Namespace) -> int:
    """Look at a folder and record it; 1, and no record, where a pair is bad."""
    found = find_pairs(arguments.folder, arguments.blurred)
    looked = look_at_pairs(found.pairs, progress=True)
    for line in told(found, looked):
        print(line)
    problems = (*found.problems, *looked.problems)
    for line in named(found.folder, problems):
        print(line)
    if problems:
        print(f"{arguments.name}: not recorded; mend or remove these files and add it again.")
        return 1
    record = write_record(arguments.name, found)
    print(f"recorded in {shown(record_path(record.name))}; a profile trains on it by")
    print(f"    pairs: {record.name}")
    return 0


def verify_own(name: str) -> list[str]:
    """Look at a recorded folder again: bad pairs, and files that are other than recorded."""
    record = load_own(name)
    found = find_pairs(own_folder(name), record.blurred)
    looked = look_at_pairs(found.pairs, progress=True)
    return [*named(found.folder, (*found.problems, *looked.problems)), *changes(name)]


def show_own(name: str) -> list[tuple[str, str]]:
    """The record's fields, as `reblur data show` prints them."""
    record = load_own(name)
    lines = [("name", name), ("what it is", "a folder of your own"), ("layout", record.layout)]
    lines += [("folder", str(own_folder(name))), ("pairs", str(record.pairs))]
    if record.test_scenes is not None:
        lines.append(("test part", f"drawn: {', '.join(record.test_scenes)}"))
    return [*lines, ("content", record.content)]


def told(found: Found, looked: Looked) -> list[str]:
    """What was found, line by line."""
    lines = [f"{found.folder}: {_count(found.pairs)}, as {found.layout}"]
    sizes = Counter(looked.sizes.values()).most_common()
    if sizes:
        words = [f"{width}×{height} ({count})" for (width, height), count in sizes]
        smallest = min(min(size) for size, _ in sizes)
        lines.append(
            f"pixels: {_some(words)}; no training crop may be larger than {smallest} pixels"
        )
    try:
        parts = split(found)
    except ReblurError as error:
        lines.append(f"no test part: {error}")
    else:
        lines.append(f"to train on: {_count(parts['train'])}")
        drawn = drawn_scenes(found)
        how = "the folder's own" if drawn is None else f"drawn by scene: {_some(drawn)}"
        lines.append(f"to test on: {_count(parts['test'])} ({how})")
        unused = len(found.pairs) - len(parts["train"]) - len(parts["test"])
        if unused:
            lines.append(f"not used: {unused} pairs of val, as there is a test part")
    reasons: dict[str, list[str]] = {}
    for path, why in found.passed_over:
        reasons.setdefault(why, []).append(str(path))
    lines += [f"passed over: {len(paths)}, {why}: {_some(paths)}" for why, paths in reasons.items()]
    return lines


def named(folder: Path, problems: Iterable[Problem]) -> list[str]:
    """A line for each bad pair, with the path inside the folder."""
    return [
        f"bad: {path.relative_to(folder) if path.is_relative_to(folder) else path}: {words}"
        for path, words in ((problem.path, problem.words) for problem in problems)
    ]


def _count(pairs: Sequence) -> str:
    return f"{len(pairs)} pairs of {len({pair.scene for pair in pairs})} scenes"


def _some(words: Sequence[str], most: int = 4) -> str:
    return ", ".join(words[:most]) + (", …" if len(words) > most else "")
