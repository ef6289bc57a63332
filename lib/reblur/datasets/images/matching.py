"""Which blurred file belongs to which sharp one, by their names.

Names of two systems or two cameras are seldom the same bytes: they match by Unicode's normal form,
by upper and lower case and without the word that tells the side (`blur_1` and `gt_1`), each only
where it leaves no doubt. The suffix does not count.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

#: Names of folders, and words in names of files, of each side; the first ones go before.
BLURRED = ("blur", "blurred", "blurry", "input", "inputs", "lq", "source", "inputc", "blur_gamma")
SHARP = ("sharp", "gt", "target", "targets", "ground_truth", "groundtruth", "clear", "hq", "clean")
_SIDES = "|".join((*BLURRED, *SHARP))
_FOLDER = re.compile(rf"((?:train|val|test)_)?({_SIDES})(_crops?|_images?|_imgs?|_patches)?")
_WORD = re.compile(rf"(?:^|(?<=[-_. \d]))(?:{_SIDES})(?=[-_. \d]|$)")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file of a pair, in words that end a sentence beginning with its path."""

    path: Path
    words: str

    def __str__(self) -> str:
        return f"{self.path}: {self.words}"


@dataclass(frozen=True)
class Matched:
    """Pairs of relative paths, and the files that have no place in one."""

    pairs: tuple[tuple[Path, Path], ...]
    problems: tuple[Problem, ...]


def side_of_folder(name: str) -> tuple[str, str] | None:
    """(what else the name says, side): ("train_", "blur") of train_blur, ("", "gt") of GT, or None.

    Folders belong together that say the same else: `input_crops` and `target_crops`.
    """
    found = _FOLDER.fullmatch(plain(name))
    return (f"{found[1] or ''}{found[3] or ''}", found[2]) if found else None


def side_of_file(stem: str) -> tuple[str, str] | None:
    """("0001", "blur") of the name 0001_blur, else None; the last such word counts."""
    folded = plain(stem)
    words = list(_WORD.finditer(folded))
    return (without_word(stem), words[-1][0]) if words else None


def without_word(stem: str) -> str:
    """A name without its last word for a side and the separators at it: 0001_blur → 0001."""
    folded = plain(stem)
    words = list(_WORD.finditer(folded))
    if not words:
        return folded
    before, after = folded[: words[-1].start()], folded[words[-1].end() :]
    return before.rstrip("-_. ") + (after if before.strip("-_. ") else after.lstrip("-_. "))


def plain(text: str) -> str:
    """In Unicode's normal form C and lower case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def match(
    blurred: Iterable[Path],
    sharp: Iterable[Path],
    key_of: Callable[[Path], Path],
) -> Matched:
    """Pair files by what `key_of` makes of their paths; see this module.

    Args:
        blurred, sharp: relative paths of the files.
        key_of: a file's path inside its side, such as `beach/001.png` of `blur/beach/001.png`.
    """
    (left, first_twice), (right, second_twice) = (_unique(p, key_of) for p in (blurred, sharp))
    twice = first_twice.keys() | second_twice.keys()
    pairs: list[tuple[Path, Path]] = []
    for ease in (_exact, _without_case, _without_side):
        first, second = _by_key(left, key_of, ease), _by_key(right, key_of, ease)
        for key in first.keys() & second.keys():
            if len(first[key]) == len(second[key]) == 1:
                pairs.append((first[key][0], second[key][0]))
        left -= {b for b, _ in pairs}
        right -= {s for _, s in pairs}
    problems = [*first_twice.values(), *second_twice.values()]
    for rest, partner in ((left, "sharp"), (right, "blurred")):
        lone = [path for path in rest if _exact(key_of(path).with_suffix("")) not in twice]
        problems += [Problem(path, f"has no {partner} partner") for path in lone]
    return Matched(tuple(sorted(pairs)), tuple(sorted(problems, key=lambda p: p.path)))


def _unique(
    paths: Iterable[Path], key_of: Callable[[Path], Path]
) -> tuple[set[Path], dict[Hashable, Problem]]:
    """The files that are alone under their name, and a problem for each name of several."""
    kept: set[Path] = set()
    problems = {}
    for key, same in _by_key(set(paths), key_of, _exact).items():
        if len(same) == 1:
            kept.add(same[0])
            continue
        names = " and ".join(path.name for path in sorted(same))
        problems[key] = Problem(min(same), f"one name twice ({names}); remove one")
    return kept, problems


def _by_key(
    paths: set[Path], key_of: Callable[[Path], Path], ease: Callable[[Path], Hashable]
) -> dict[Hashable, list[Path]]:
    found = defaultdict(list)
    for path in paths:
        found[ease(key_of(path).with_suffix(""))].append(path)
    return found


def _exact(key: Path) -> Hashable:
    return unicodedata.normalize("NFC", key.as_posix())


def _without_case(key: Path) -> Hashable:
    return plain(key.as_posix())


def _without_side(key: Path) -> Hashable:
    return plain(key.parent.as_posix()), without_word(key.name)
