"""What paths tell of pairs: names, splits, and which are of one scene or sequence."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reblur.datasets.images.layouts import PairFiles, natural_order, read_list
from reblur.datasets.images.matching import (
    Problem,
    plain,
    side_of_folder,
    without_word,
)

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
}

# Names that tell their recording: GoPro's frames cut into patches, HIDE's people out of frames.
_RECORDING = re.compile(r"(GOPR\d+(?:_\d+_\d+)?)", re.IGNORECASE)
# `test_c` (DPDD), `train_data`, `val_set`: a part with a word that says nothing of scenes.
_PART = re.compile(r"([a-z]+)[-_ ](?:c|l|r|data|set|images|imgs|pairs|crops|patches)")
_LAST_NUMBER = re.compile(r"[-_. ]*\d+$")
_REALBLUR = re.compile(r"RealBlur-[JR]_", re.IGNORECASE)  # both cameras show the same scenes


def scenes_of(paths: Sequence[tuple[str, ...]], splits: Sequence[str | None]) -> list[str]:
    """A scene for each pair; scenes of one name in two splits are two scenes.

    Args:
        paths: of each pair, the folders that tell it from others, and its name.
        splits: of each pair.
    """
    folders = ["/".join(part for part in path[:-1] if not _REALBLUR.match(part)) for path in paths]
    names = [path[-1] for path in paths]
    scenes = [
        recording_of(name) or folder or group
        for name, folder, group in zip(names, folders, _groups(names), strict=True)
    ]
    held = Counter(scene for scene, _ in set(zip(scenes, splits, strict=True)))
    return [
        f"{part}_{scene}" if held[scene] > 1 and part else scene
        for scene, part in zip(scenes, splits, strict=True)
    ]


def recording_of(name: str) -> str | None:
    """The recording that a name tells, None where it tells none."""
    found = _RECORDING.search(name)
    return found[1] if found else None


def _groups(names: Sequence[str]) -> list[str]:
    """The name without its last number, where that makes groups; else each name for itself.

    `clip1_0001` is of `clip1`; but `IMG_0001` is no frame of a sequence `IMG`. Groups hold two
    names on average, and there are two of them that have numbers of their own, or three.
    """
    groups = [_LAST_NUMBER.sub("", name) for name in names]
    count = len(set(groups))
    least = 2 if all(re.search(r"\d", group) for group in groups) else 3
    return groups if count >= least and len(names) >= 2 * count and all(groups) else list(names)


def name_pairs(folder: Path, matched: Sequence[tuple[Path, Path]]) -> list[PairFiles]:
    """Pairs with names, scenes and splits, which their paths tell."""
    if not matched:
        return []
    told = [_told_by(b, s) for b, s in matched]
    shared = _shared([parts[:-1] for _, parts in told])  # these say nothing
    if shared and recording_of(told[0][1][shared - 1]):
        shared -= 1
    splits, parts = [part for part, _ in told], [parts[shared:] for _, parts in told]
    names = [
        "-".join(filter(None, (part, *rest))) for part, rest in zip(splits, parts, strict=True)
    ]
    held = Counter(names)
    pairs = [
        PairFiles(
            name if held[name] == 1 else "-".join(b.with_suffix("").parts),
            scene,
            part,
            folder / b,
            folder / s,
        )
        for (b, s), name, scene, part in zip(
            matched, names, scenes_of(parts, splits), splits, strict=True
        )
    ]
    return sorted(pairs, key=lambda pair: natural_order(pair.name))


def _told_by(b: Path, s: Path) -> tuple[str | None, tuple[str, ...]]:
    """The split that a blurred file's path tells, and what else is in it but words for a side."""
    split_told: str | None = None
    kept: list[str] = []
    for name in b.parts[:-1]:
        side = side_of_folder(name)
        word = plain(name) if side is None else side[0].partition("_")[0]
        word = found[1] if (found := _PART.fullmatch(word)) else word
        if word in SPLITS:
            split_told = split_told or SPLITS[word]
        elif side is None:
            kept.append(name)
    same = plain(b.stem) == plain(s.stem)
    return split_told, (*kept, b.stem if same else without_word(b.stem))


def assign_listed(
    folder: Path, files: Sequence[Path], pairs: list[PairFiles]
) -> tuple[list[PairFiles], set[Path], list[Problem]]:
    """The pairs with the splits that lists name; the lists; what is wrong in them."""
    by_file: dict[str, int] = {}
    for number, pair in enumerate(pairs):
        for path in (pair.blurred, pair.sharp):
            by_file[plain(path.relative_to(folder).as_posix())] = number
    told: dict[int, str] = {}
    lists: set[Path] = set()
    problems: list[Problem] = []
    for path in files:
        words = {SPLITS[word] for word in re.split("[-_. ]", plain(path.stem)) if word in SPLITS}
        if path.suffix.lower() != ".txt" or len(words) != 1:
            continue
        lines = read_list(folder / path)
        rows = [_pair_of(line, path.parent, by_file) for line in lines]
        if not any(row is not None for row in rows):
            continue  # a text, no list of files
        lists.add(path)
        told |= dict.fromkeys((row for row in rows if row is not None), min(words))
        problems += [
            Problem(path, f"names no pair of the folder: {line}")
            for line, row in zip(lines, rows, strict=True)
            if row is None
        ]
    return (
        [replace(pair, split=told.get(n, pair.split)) for n, pair in enumerate(pairs)],
        lists,
        problems,
    )


def _pair_of(line: str, base: Path, by_file: dict[str, int]) -> int | None:
    """The pair that a line names, by one path or both, from the list's folder or the whole's."""
    for start in (base, Path()):
        for words in ([line], line.split()):
            rows = {by_file.get(plain((start / word).as_posix())) for word in words}
            if len(rows) == 1 and None not in rows:
                return rows.pop()
    return None


def _shared(folders: Sequence[tuple[str, ...]]) -> int:
    """How many leading folders all have in common."""
    levels = zip(*folders, strict=False)
    return next(
        (n for n, names in enumerate(levels) if len(set(names)) > 1), min(map(len, folders))
    )
