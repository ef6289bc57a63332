"""How published pairs lie on a disk: one function a layout, each giving the same list.

A layout's function takes the root folder, the authors' own name of a split (None: all that are
there) and the layout's options.
"""

import codecs
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reblur.datasets.catalogue.contents import is_system_name, list_contents
from reblur.datasets.images.files import is_image
from reblur.errors import ReblurError


@dataclass(frozen=True)
class PairFiles:
    """The two files of a pair, what they are called, and where they belong."""

    name: str  # unique in its data set, and good as a file name
    scene: str
    split: str | None  # the authors' own, None where the layout has none
    blurred: Path
    sharp: Path


def list_pairs(
    layout: str, root: Path, split: str | None = None, **options: str
) -> list[PairFiles]:
    """The pairs under `root`, in natural order (2 before 10), without opening an image.

    Raises:
        ReblurError: an unknown layout, option or split; a missing or empty folder; files without a
            partner, which are named.
    """
    if layout not in LAYOUTS:
        raise ReblurError(
            f"layout {layout!r}: there is no such; the choices are {', '.join(LAYOUTS)}."
        )
    reader = LAYOUTS[layout]
    known = list(inspect.signature(reader).parameters.values())[2:]
    names = ", ".join(parameter.name for parameter in known) or "none"
    needed = {parameter.name for parameter in known if parameter.default is parameter.empty}
    for option in (options.keys() - {parameter.name for parameter in known}) | (
        needed - options.keys()
    ):
        wrong = "needs the" if option in needed else "has no"
        raise ReblurError(f"layout {layout!r}: {wrong} option {option!r}; its options: {names}.")
    _refuse_missing(root)
    pairs = reader(root, split, **options)
    if not pairs:
        raise ReblurError(f"{root}: holds no pairs in the layout {layout!r}; check the folder.")
    return pairs


def folders(
    root: Path, split: str | None, blurred: str = "blur", sharp: str = "sharp"
) -> list[PairFiles]:
    """A user's own pairs: `<root>[/<split>]/{blur,sharp}/…`, matched by path without the suffix.

    A file in a folder of its own belongs to the scene of that name; otherwise each pair is a scene.
    """
    base = root / split if split is not None else root
    pairs = _matched(base / blurred, base / sharp)
    return [
        PairFiles(
            "-".join(key.parts), str(key.parent) if key.parent.parts else key.name, split, b, s
        )
        for key, b, s in pairs
    ]


def gopro(root: Path, split: str | None, blurred: str) -> list[PairFiles]:
    """GOPRO_Large: `{train,test}/<sequence>/{blur,blur_gamma,sharp}/000001.png`.

    `blurred` names the subset: "blur" (mean of the frames' values) or "blur_gamma" (mean in linear
    light); papers differ, so that there is no default.
    """
    if blurred not in ("blur", "blur_gamma"):
        raise ReblurError(f"GoPro: blurred={blurred!r}: name the subset, blur or blur_gamma.")
    return [
        PairFiles(f"{folder.name}-{key}", folder.name, part, b, s)
        for part in _parts(root, split, ("train", "test"))
        for folder in _folders(root / part)
        for key, b, s in _matched(folder / blurred, folder / "sharp")
    ]


def reds(root: Path, split: str | None) -> list[PairFiles]:
    """REDS: `{train,val}/{train,val}_{blur,sharp}/000/00000000.png`.

    Both parts count their scenes from 000: the scene's name carries the part's.
    """
    pairs = []
    for part in _parts(root, split, ("train", "val")):
        blurred, sharp = (root / part / f"{part}_{kind}" for kind in ("blur", "sharp"))
        for key, b, s in _matched(blurred, sharp):
            scene = f"{part}_{key.parent}"
            pairs.append(PairFiles(f"{scene}-{key.name}", scene, part, b, s))
    return pairs


def realblur(root: Path, split: str | None, camera: str) -> list[PairFiles]:
    """RealBlur: `RealBlur_<camera>_{train,test}_list.txt`, each line a sharp and a blurred path.

    Without a list and without a split: all of `RealBlur-<camera>_*/<scene>/{blur/blur_1,gt/gt_1}`.
    `camera` is "J" (the camera's JPEGs) or "R" (from its raw files).
    """
    if camera not in ("J", "R"):
        raise ReblurError(f"RealBlur: camera={camera!r}: name J or R.")
    lists = {part: root / f"RealBlur_{camera}_{part}_list.txt" for part in ("train", "test")}
    chosen = [part for part, path in lists.items() if path.is_file()] if split is None else [split]
    if not chosen:
        return _realblur_folders(root, camera)
    _refuse_unknown(chosen[0], tuple(lists))
    pairs = []
    for part in chosen:
        if not lists[part].is_file():
            raise ReblurError(f"{lists[part]}: is missing; unpack the data set with its lists.")
        for number, line in enumerate(read_list(lists[part]), 1):
            paths = [root / word for word in line.split()]
            if len(paths) != 2 or {p.parent.name for p in paths} != {"gt", "blur"}:
                raise ReblurError(
                    f"{lists[part]}, line {number}: names no gt and blur file; restore the list."
                )
            sharp, blurred = sorted(paths, key=lambda p: p.parent.name != "gt")
            pairs.append(_realblur_pair(blurred, sharp, part))
    refuse_lone([p for pair in pairs for p in (pair.blurred, pair.sharp) if not p.is_file()])
    return sorted(pairs, key=lambda pair: natural_order(pair.name))


def _realblur_folders(root: Path, camera: str) -> list[PairFiles]:
    pairs = []
    for whole in sorted(root.glob(f"RealBlur-{camera}_*")):
        for scene in _folders(whole):
            blurred, sharp = (
                {_number(path): path for path in _images(scene / kind)} for kind in ("blur", "gt")
            )
            lone = blurred.keys() ^ sharp.keys()
            refuse_lone([(blurred | sharp)[number] for number in sorted(lone)])
            pairs += [_realblur_pair(blurred[n], sharp[n], None) for n in sorted(blurred)]
    return pairs


def _realblur_pair(blurred: Path, sharp: Path, split: str | None) -> PairFiles:
    scene = blurred.parent.parent.name
    return PairFiles(f"{scene}-{_number(blurred)}", scene, split, blurred, sharp)


def _number(path: Path) -> int:
    digits = re.findall(r"\d+", path.stem)
    if not digits:
        raise ReblurError(f"{path}: has no number in its name; restore the name blur_1 or gt_1.")
    return int(digits[-1])


def hide(root: Path, split: str | None) -> list[PairFiles]:
    """HIDE: `train/*.png` and `test/{test-close-ups,test-long-shot}/*.png`, sharp `GT/<same name>`.

    The scene is the recording that the name tells: `12fromGOPR0950.png` is of GOPR0950.
    """
    pairs = []
    for part in _parts(root, split, ("train", "test")):
        lone = []
        for blurred in _images(root / part):
            sharp = root / "GT" / blurred.name
            if not sharp.is_file():
                lone.append(blurred)
            scene = blurred.stem.partition("from")[2].split(".")[0] or blurred.stem
            pairs.append(PairFiles(blurred.stem, scene, part, blurred, sharp))
        refuse_lone(lone)
    return pairs


LAYOUTS: dict[str, Callable[..., list[PairFiles]]] = {
    "folders": folders,
    "gopro": gopro,
    "reds": reds,
    "realblur": realblur,
    "hide": hide,
}


@dataclass(frozen=True)
class KohlerImage:
    """One blurred photograph of the Köhler benchmark and the sharp frames along its path."""

    name: str  # <picture>_<trajectory>, both from 1
    blurred: Path
    frames: tuple[Path, ...]


def open_kohler(root: Path) -> list[KohlerImage]:
    """The 4 pictures × 12 trajectories, picture by picture.

    `Blurry<i>_<j>.png` and `Image<i>/Kernel<j>/GroundTruth<i>_<j>_<frame>.png`, as the authors'
    archives unpack.

    Raises:
        ReblurError: a blurred photograph or all frames of a trajectory are missing.
    """
    images = []
    for picture in range(1, 5):
        for trajectory in range(1, 13):
            name = f"{picture}_{trajectory}"
            blurred = root / f"Blurry{name}.png"
            folder = root / f"Image{picture}" / f"Kernel{trajectory}"
            frames = sorted(folder.glob(f"GroundTruth{name}_*.png"), key=natural_order)
            if not blurred.is_file() or not frames:
                lacking = folder / f"GroundTruth{name}_*.png" if blurred.is_file() else blurred
                raise ReblurError(f"{lacking}: is missing; unpack all archives of the benchmark.")
            images.append(KohlerImage(name, blurred, tuple(frames)))
    return images


def _matched(blurred: Path, sharp: Path) -> list[tuple[Path, Path, Path]]:
    """(path without suffix, blurred file, sharp file), every file of both folders in one pair."""
    found = []
    for folder in (blurred, sharp):
        by_key: dict[Path, Path] = {}
        for path in _images(folder):
            key = path.relative_to(folder).with_suffix("")
            if key in by_key:
                raise ReblurError(f"{path}: and {by_key[key].name} have one name; remove one.")
            by_key[key] = path
        found.append(by_key)
    first, second = found
    lone = sorted(first.keys() ^ second.keys())
    refuse_lone([(first | second)[key] for key in lone])
    return [(key, first[key], second[key]) for key in first]


def read_list(path: Path) -> list[str]:
    """Lines of a list of files that are not blank, with `/` for `\\` and without a BOM.

    In UTF-8, or in UTF-16 where its BOM says so, as Windows' shell writes it.
    """
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if wide else "utf-8-sig", errors="replace").replace("\\", "/")
    return [line.strip() for line in text.splitlines() if line.strip()]


def refuse_lone(lone: Sequence[Path]) -> None:
    """ReblurError that names files without a partner; nothing where there are none."""
    if lone:
        named = ", ".join(str(path) for path in lone[:3]) + (", …" if len(lone) > 3 else "")
        raise ReblurError(
            f"{len(lone)} files without a partner or missing: {named}; each blurred photograph "
            "needs the file that belongs to it."
        )


def _images(folder: Path) -> list[Path]:
    """The image files anywhere below a folder, in natural order."""
    _refuse_missing(folder)
    listed = (folder / path for path in list_contents(folder).files)
    found = sorted((path for path in listed if is_image(path)), key=natural_order)
    if not found:
        raise ReblurError(f"{folder}: holds no images; put the image files there.")
    return found


def _folders(folder: Path) -> list[Path]:
    _refuse_missing(folder)
    inner = (path for path in folder.iterdir() if path.is_dir() and not is_system_name(path.name))
    return sorted(inner, key=natural_order)


def _refuse_missing(folder: Path) -> None:
    if not folder.is_dir():
        raise ReblurError(f"{folder}: there is no such folder; check the layout of the data.")


def _parts(root: Path, split: str | None, known: tuple[str, ...]) -> list[str]:
    """The authors' splits to read: the one asked for, or those that are there."""
    if split is None:
        return [part for part in known if (root / part).is_dir()]
    _refuse_unknown(split, known)
    return [split]


def _refuse_unknown(split: str, known: tuple[str, ...]) -> None:
    if split not in known:
        raise ReblurError(f"split {split!r}: there is no such; the choices are {', '.join(known)}.")


def natural_order(path: Path | str) -> list[tuple[int, str]]:
    """A key for sorting: 2 before 10."""
    parts = re.split(r"(\d+)", str(path))  # digits at every second place
    return [(int(part), "") if n % 2 else (-1, part) for n, part in enumerate(parts)]
