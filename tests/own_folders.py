"""Folders of pairs as people have them: every layout that is recognised, from tiny images."""

import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SIZE = (24, 32)


def put(path: Path, value: int = 0, size: tuple[int, int] = SIZE) -> None:
    """Write an image of the level `value` and some noise; a pair's sharp one is 100 levels up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(value).integers(0, 10, (*size, 3), dtype=np.uint8) + value
    path.write_bytes(cv2.imencode(path.suffix, image.astype(np.uint8))[1].tobytes())


def both(root: Path, blurred: str, sharp: str, names: list[str]) -> None:
    """The same names in two folders."""
    for value, name in enumerate(names):
        put(root / blurred / name, value)
        put(root / sharp / name, value + 100)


def numbers(count: int, form: str = "img_{:03d}.png") -> list[str]:
    return [form.format(n) for n in range(count)]


@dataclass(frozen=True)
class Kind:
    """A layout: how it is made, and what it holds."""

    make: Callable[[Path], None]
    pairs: int
    scenes: int
    parts: dict[str | None, int]


def _flat(blurred: str, sharp: str, part: str | None = None) -> Kind:
    return Kind(lambda root: both(root, blurred, sharp, numbers(5)), 5, 5, {part: 5})


def _parts(blurred: str, sharp: str, inner: str = "", test: str = "test") -> Kind:
    def make(root: Path) -> None:
        both(root / "train" / inner, blurred, sharp, numbers(4))
        both(root / test / inner, blurred, sharp, numbers(2, "other_{}.png"))

    return Kind(make, 6, 6, {"train": 4, {"test": "test", "val": "val"}[test]: 2})


def _scenes(root: Path) -> None:
    both(root, "blur", "sharp", [f"{scene}/{n}.png" for scene in ("a", "b", "c") for n in (1, 2)])


def _gopro(root: Path, parts: tuple[str, ...] = ("train", "test")) -> None:
    sequences = {"train": ("GOPR0372_07_00", "GOPR0374_11_00"), "test": ("GOPR0384_11_00",)}
    for part in parts:
        for sequence in sequences[part]:
            for kind in ("blur", "blur_gamma", "sharp"):
                for n in (1, 2):
                    put(root / part / sequence / kind / f"{n:06d}.png", n + 100 * (kind == "sharp"))
            (root / part / sequence / "frames 7 offset 0.txt").write_text("")


def _reds(root: Path, parts: tuple[str, ...] = ("train", "val"), outer: bool = True) -> None:
    for part in parts:
        base = root / part if outer else root
        names = [f"{scene:03d}/{frame:08d}.png" for scene in (0, 1) for frame in (0, 1)]
        both(base, f"{part}_blur", f"{part}_sharp", names)


def _dpdd(root: Path) -> None:
    for n, part in enumerate(("train", "val", "test")):
        names = [f"1P0A{n}{i}85.png" for i in range(2)]
        both(root / "dd_dp_dataset_canon" / f"{part}_c", "source", "target", names)


def _hide(root: Path, train: bool = True) -> None:
    names = ["test/test-close-ups/7fromGOPR0950.png", "test/test-long-shot/9fromGOPR1096.MP4.png"]
    for value, name in enumerate([*names, *(["train/3fromGOPR0001.png"] if train else [])]):
        put(root / name, value)
        put(root / "GT" / Path(name).name, value + 100)
    put(root / "GT" / "1fromGOPR7777.png", 7)  # the whole GT/ with a part of the blurred ones


def _realblur(root: Path, text: Callable[[str], bytes] | None = None) -> None:
    whole = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for part, scene in (("train", "scene001"), ("train", "scene003"), ("test", "scene002")):
        for n in (1, 2, 10):
            put(root / whole / scene / "blur" / f"blur_{n}.png", n)
            put(root / whole / scene / "gt" / f"gt_{n}.png", n + 100)
            inner = f"{whole}/{scene}"
            lines[part].append(f"{inner}/gt/gt_{n}.png {inner}/blur/blur_{n}.png ")
    for part, listed in lines.items() if text else ():
        (root / f"RealBlur_J_{part}_list.txt").write_bytes(text("\n".join(listed) + "\n\n"))


def _backslashes(text: str) -> bytes:
    return b"\xef\xbb\xbf" + text.replace("/", "\\").replace("\n", "\r\n").encode()


def _beside(root: Path, form: str = "{:04d}_{}.png", words: tuple[str, str] = ("blur", "sharp")):
    for n in range(5):
        for value, word in enumerate(words):
            put(root / form.format(n, word), 10 * n + 100 * value)


def _unicode(root: Path) -> None:
    for n, name in enumerate(("Café", "Ångström", "한강")):
        put(root / "blur" / f"{unicodedata.normalize('NFC', name)}.png", n)
        put(root / "sharp" / f"{unicodedata.normalize('NFD', name)}.png", n + 100)


def _cases(root: Path) -> None:
    for n in range(3):
        put(root / "Blur" / f"IMG_{n}.PNG", n)
        put(root / "SHARP" / f"img_{n}.png", n + 100)


def _suffixes(root: Path) -> None:
    for n in range(3):
        put(root / "input" / f"{n}.jpg", n)
        put(root / "target" / f"{n}.png", n + 100)


def _clips(root: Path) -> None:
    both(root, "blur", "sharp", [f"clip{c}_{n:04d}.png" for c in range(3) for n in range(3)])


KINDS: dict[str, Kind] = {
    "blur and sharp": _flat("blur", "sharp"),
    "input and target": _flat("input", "target"),
    "blur and gt": _flat("blur", "gt"),
    "in a folder of another name": _flat("mine/data/blur", "mine/data/sharp"),
    "a folder a scene": Kind(_scenes, 6, 3, {None: 6}),
    "clips by name": Kind(_clips, 9, 3, {None: 9}),
    "frames of two sequences by name": Kind(
        lambda root: both(
            root, "blur", "sharp", [f"{s:03d}_{n:08d}.png" for s in (0, 1) for n in range(3)]
        ),
        6,
        2,
        {None: 6},
    ),
    "photographs of two cameras are no sequences": Kind(
        lambda root: both(
            root, "blur", "sharp", [*numbers(3, "IMG_{}.jpg"), *numbers(3, "DSC{}.jpg")]
        ),
        6,
        6,
        {None: 6},
    ),
    "train and test": _parts("blur", "sharp"),
    "train and val": _parts("input", "target", test="val"),
    "Restormer": _parts("input", "target", "GoPro"),
    "GoPro": Kind(_gopro, 6, 3, {"train": 4, "test": 2}),
    "GoPro, train alone": Kind(lambda root: _gopro(root, ("train",)), 4, 2, {"train": 4}),
    "GoPro, one level up": Kind(
        lambda root: _gopro(root / "GOPRO_Large"), 6, 3, {"train": 4, "test": 2}
    ),
    "DPDD": Kind(_dpdd, 6, 6, {"train": 2, "val": 2, "test": 2}),
    "REDS": Kind(_reds, 8, 4, {"train": 4, "val": 4}),
    "REDS, validation alone, as unpacked": Kind(
        lambda root: _reds(root, ("val",), outer=False), 4, 2, {"val": 4}
    ),
    "HIDE": Kind(_hide, 3, 3, {"train": 1, "test": 2}),
    "HIDE, test alone": Kind(lambda root: _hide(root, train=False), 2, 2, {"test": 2}),
    "RealBlur": Kind(
        lambda root: _realblur(root, lambda text: text.encode()), 9, 3, {"train": 6, "test": 3}
    ),
    "RealBlur, lists of Windows": Kind(
        lambda root: _realblur(root, _backslashes), 9, 3, {"train": 6, "test": 3}
    ),
    "RealBlur, lists of Windows' shell": Kind(
        lambda root: _realblur(root, lambda text: text.replace("/", "\\").encode("utf-16")),
        9,
        3,
        {"train": 6, "test": 3},
    ),
    "crops beside each other": _flat(
        "train/GoPro/input_crops", "train/GoPro/target_crops", "train"
    ),
    "RealBlur without lists": Kind(_realblur, 9, 3, {None: 9}),
    "<n>_blur beside <n>_sharp": Kind(_beside, 5, 5, {None: 5}),
    "blur-<n> beside sharp-<n>": Kind(lambda root: _beside(root, "{1}-{0}.png"), 5, 5, {None: 5}),
    "<name>_blur<n> beside <name>_sharp<n>": Kind(
        lambda root: _beside(root, "Flower_{1}{0}.png"), 5, 5, {None: 5}
    ),
    "<n>_input beside <n>_gt": Kind(
        lambda root: _beside(root, words=("input", "gt")), 5, 5, {None: 5}
    ),
    "Unicode forms": Kind(_unicode, 3, 3, {None: 3}),
    "upper and lower case": Kind(_cases, 3, 3, {None: 3}),
    "other suffixes": Kind(_suffixes, 3, 3, {None: 3}),
}


def _cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


def _twice(folder: Path) -> None:
    put(folder / "blur" / "img_002.jpg")


# What spoils img_002 of a folder of `_flat("blur", "sharp")`, and how it is named.
BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "another size": (
        lambda f: put(f / "sharp/img_002.png", 0, (20, 32)),
        "img_002.png: is 32×24 pixels, 32×20 its sharp one",
    ),
    "truncated PNG": (lambda f: _cut(f / "blur/img_002.png", 500), "img_002.png: is truncated"),
    "zero bytes": (lambda f: (f / "blur/img_002.png").write_bytes(b""), "img_002.png: is empty"),
    "text": (
        lambda f: (f / "sharp/img_002.png").write_text("404: Not Found"),
        "img_002.png: is not an image",
    ),
    "no sharp partner": (
        lambda f: (f / "sharp/img_002.png").unlink(),
        "img_002.png: has no sharp partner",
    ),
    "no blurred partner": (
        lambda f: (f / "blur/img_002.png").unlink(),
        "img_002.png: has no blurred partner",
    ),
    "two files of one name": (_twice, "one name twice (img_002.jpg and img_002.png)"),
    "case leaves a doubt": (
        lambda f: [
            shutil.move(f / "sharp/img_002.png", f / "sharp/IMG_002.png"),
            put(f / "sharp/Img_002.png"),
        ],
        "img_002.png: has no sharp partner",
    ),
}
