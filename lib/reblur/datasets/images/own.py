"""A folder of one's own as pairs: what it holds is seen from the names of its folders and files.

Recognised, in part or nested in other folders too:

- a folder of blurred and one of sharp images side by side (`blur`, `input`, … and `sharp`,
  `target`, `gt`, …; `matching.BLURRED` and `SHARP`), flat or with a folder a scene; so also GoPro
  (a scene above), REDS (`train_blur`) and RealBlur (`blur/blur_1.png`, `gt/gt_1.png`);
- HIDE: `train/` and `test/` beside `GT/`;
- `0001_blur.png` beside `0001_sharp.png`.

`train`, `test` and `val` anywhere in the path tell the split, and so do lists such as RealBlur's.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from reblur.datasets.catalogue.contents import list_contents
from reblur.datasets.images.files import is_image
from reblur.datasets.images.layouts import PairFiles
from reblur.datasets.images.matching import (
    BLURRED,
    SHARP,
    Matched,
    Problem,
    match,
    plain,
    side_of_file,
    side_of_folder,
)
from reblur.datasets.images.pairs import PairFolder
from reblur.datasets.images.scenes import assign_listed, name_pairs
from reblur.errors import ReblurError
from reblur.randomness import key

TEST_PART = 0.2  # of the pairs, where a test part has to be drawn

Split = dict[str, list[PairFiles]]


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        blurred: the name of the blurred folders that was asked for.
        layout: in words, for a person.
        pairs: in natural order; the split is "train", "test", "val" or None.
        problems: files that should be of a pair and are not.
        passed_over: (relative path, why) of everything else.
    """

    folder: Path
    blurred: str | None
    layout: str
    pairs: tuple[PairFiles, ...]
    problems: tuple[Problem, ...]
    passed_over: tuple[tuple[Path, str], ...]


def find_pairs(folder: Path | str, blurred: str | None = None, within: str | None = None) -> Found:
    """Recognise the pairs in a folder, without opening an image.

    Args:
        within: a pattern of its folders that are looked into (one of RealBlur's two cameras);
            None: all.
        blurred: the name of the blurred folders to take where there are several beside one sharp
            folder, such as "blur_gamma" (GoPro's second reading); None: `blur` before others.

    Raises:
        ReblurError: no such folder, or nothing in it that looks like pairs.
    """
    folder = Path(folder).expanduser()
    contents = list_contents(folder)
    passed = [(path, "hidden or of the system") for path in contents.passed_over]
    images = _Images(
        path
        for path in contents.files
        if is_image(path) and (within is None or fnmatchcase(path.parts[0], within))
    )
    matched: list[tuple[Path, Path]] = []
    problems: list[Problem] = []
    layouts: list[str] = []

    def take(layout: str, found: Matched) -> None:
        layouts.append(layout)
        matched.extend(found.pairs)
        problems.extend(found.problems)

    for b, s, more in _sides(images, blurred):
        found = match(images.take(b), images.take(s), _inside(b, s))
        take(f"{b.name}/ and {s.name}/", found)
        for other in more:
            passed += [(p, f"{b.name}/ is taken, not {other.name}/") for p in images.take(other)]
    for base, parts, gt in _hide_folders(images):
        sharp = images.take(gt)
        blurred_ones = [path for part in parts for path in images.take(part)]
        found = match(blurred_ones, sharp, lambda path: Path(path.name))
        lone = {problem.path for problem in found.problems} & set(sharp)  # GT/ is not in parts
        passed += [(path, "its blurred part is not here") for path in lone]
        kept = tuple(problem for problem in found.problems if problem.path not in lone)
        take(f"HIDE's {base.name}".rstrip(), Matched(found.pairs, kept))
    beside = {path: side for path in images.left if (side := side_of_file(path.stem))}
    first = [path for path, (_, word) in beside.items() if word in BLURRED]
    second = [path for path, (_, word) in beside.items() if word in SHARP]
    if first and second:
        images.left -= beside.keys()
        found = match(first, second, lambda path: path.parent / (beside[path][0] + path.suffix))
        take("<name>_blur beside <name>_sharp", found)
    if not matched and not problems:
        raise ReblurError(
            f"{folder}: holds no pairs that can be recognised among its {len(images.all)} images; "
            "put them into blur/ and sharp/ (or input/ and target/) under the same names."
        )
    passed += [(path, "belongs to no pair") for path in images.left]
    pairs, lists, wrong = assign_listed(folder, contents.files, name_pairs(folder, matched))
    rest = set(contents.files) - images.all - lists
    passed += [(path, "no image") for path in rest]
    problems = [Problem(folder / problem.path, problem.words) for problem in (*problems, *wrong)]
    told = ", ".join(sorted(set(layouts)))
    return Found(folder, blurred, told, tuple(pairs), tuple(problems), tuple(sorted(passed)))


def split(found: Found, seed: int = 0) -> Split:
    """The pairs to train on and those to test on: {"train": …, "test": …}.

    The folder's own test part is taken, or its val part where it has none. Otherwise whole scenes
    are drawn until they hold a fifth of the pairs: a function of the scenes' names and the seed.

    Raises:
        ReblurError: a test part has to be drawn, and all pairs are of one scene.
    """
    for part in ("test", "val"):
        held = [pair for pair in found.pairs if pair.split == part]
        if held:
            rest = [pair for pair in found.pairs if pair.split in ("train", None)]
            return {"train": rest, "test": held}
    count = Counter(pair.scene for pair in found.pairs)
    if len(count) < 2:
        raise ReblurError(
            f"{found.folder}: has no test part, and none can be drawn from a single scene; put "
            "pairs of another scene into test/."
        )
    drawn: list[str] = []
    for scene in sorted(count, key=lambda scene: key(seed, f"own-test/{scene}"))[:-1]:
        if sum(count[scene] for scene in drawn) >= TEST_PART * len(found.pairs):
            break
        drawn.append(scene)
    return _by_scenes(found, drawn)


def _by_scenes(found: Found, test: Collection[str]) -> Split:
    return {
        "train": [pair for pair in found.pairs if pair.scene not in test],
        "test": [pair for pair in found.pairs if pair.scene in test],
    }


def open_own_pairs(
    folder: Path | str, part: str | None = None, *, blurred: str | None = None
) -> PairFolder:
    """The pairs of a folder of one's own, to train on or to test on.

    Args:
        part: "train" or "test" (see `split`); None: all pairs.
        blurred: see `find_pairs`.

    Raises:
        ReblurError: as `find_pairs` and `split`; files without a partner or with one name, which
            are named; or a part that has no pairs.
    """
    return pairs_of_part(find_pairs(folder, blurred), part)


def pairs_of_part(
    found: Found, part: str | None, test_scenes: Collection[str] | None = None
) -> PairFolder:
    """As `open_own_pairs`, of what was found; `test_scenes`: a test part that was drawn before."""
    refuse_problems(found.folder, found.problems)
    if part is None:
        return PairFolder(found.pairs)
    if part not in ("train", "test"):
        raise ReblurError(f"split {part!r}: there is no such; the choices are train, test.")
    chosen = (_by_scenes(found, test_scenes) if test_scenes else split(found))[part]
    if not chosen:
        raise ReblurError(
            f"{found.folder}: has no pairs for {part}; put some into {part}/, or name another set."
        )
    return PairFolder(chosen)


def refuse_problems(folder: Path, problems: Sequence[Problem]) -> None:
    """ReblurError that names the first few; nothing where there are none."""
    if problems:
        named = "; ".join(str(problem) for problem in problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ReblurError(
            f"{folder}: {len(problems)} of its files fit no pair: {named}{more}; mend or remove "
            "them ('reblur data add' lists them all)."
        )


class _Images:
    """The images of a folder, to be taken once each.

    Attributes:
        all: relative paths; left: of these, the ones not taken.
        folders: every folder above one of them.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.all = set(paths)
        self.left = set(self.all)
        self._below: dict[Path, list[Path]] = defaultdict(list)
        for path in self.all:
            for parent in path.parents:
                self._below[parent].append(path)
        self.folders = [folder for folder in self._below if folder.name]

    def take(self, folder: Path) -> list[Path]:
        """Those below a folder that were not taken."""
        taken = [path for path in self._below[folder] if path in self.left]
        self.left.difference_update(taken)
        return sorted(taken)


def _sides(images: _Images, wanted: str | None) -> list[tuple[Path, Path, list[Path]]]:
    """(blurred folder, sharp folder, folders beside them that are not taken), outermost ones."""
    beside: dict[tuple[Path, str], dict[str, Path]] = defaultdict(dict)
    for folder in images.folders:
        name = plain(folder.name)
        side = side_of_folder(name)
        if wanted is not None and name == plain(wanted):
            side = ("", name)
        if side is not None:
            beside[folder.parent, side[0]][side[1]] = folder
    first = (*((plain(wanted),) if wanted else ()), *BLURRED)
    found: list[tuple[Path, Path, list[Path]]] = []
    inside: set[Path] = set()
    for (parent, _), names in sorted(beside.items()):
        left = [names[name] for name in first if name in names]
        right = [names[name] for name in SHARP if name in names]
        if left and right and inside.isdisjoint((parent, *parent.parents)):
            found.append((left[0], right[0], [*left[1:], *right[1:]]))
            inside.update((left[0], right[0]))
    return found


def _hide_folders(images: _Images) -> list[tuple[Path, list[Path], Path]]:
    """(folder, its train/ and test/, its GT/), where it has both, as HIDE's."""
    taken = {path.parent for path in images.all - images.left}
    inner: dict[Path, dict[str, Path]] = defaultdict(dict)
    for folder in images.folders:
        if folder not in taken:
            inner[folder.parent][plain(folder.name)] = folder
    return [
        (base, [names[part] for part in ("train", "test") if part in names], names["gt"])
        for base, names in sorted(inner.items())
        if "gt" in names and names.keys() & {"train", "test"}
    ]


def _inside(b: Path, s: Path) -> Callable[[Path], Path]:
    return lambda path: path.relative_to(b if b in path.parents else s)
