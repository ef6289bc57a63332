"""Defocus photographs that exist as files: pairs with a sharp image, and maps of the defocus.

The pairs of SDD and of a focus stack are misaligned, those of RealDOF a little. Sixteen-bit files
(DPDD) become eight bits like any other image; `images.read_image_16` reads their whole depth.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from reblur.datasets.catalogue.manifests import load_manifest, locate, refuse_unknown_split
from reblur.datasets.images.files import is_image, read_image
from reblur.datasets.images.layouts import PairFiles, natural_order, refuse_lone
from reblur.datasets.images.pairs import PairFolder
from reblur.errors import ReblurError


@dataclass(frozen=True)
class MapFiles:
    """A photograph and a map of its defocus; `white_is_sharp` where the map is the other way."""

    name: str
    photograph: Path
    defocus: Path
    white_is_sharp: bool = False


@dataclass(frozen=True)
class DefocusMap:
    """A photograph and how much each pixel is out of focus.

    Attributes:
        defocus: in [0, 1], larger is blurrier; the unit is the data set's own (a mask has 0 and 1).
    """

    name: str
    photograph: UInt8[np.ndarray, "h w 3"]
    defocus: Float32[np.ndarray, "h w"]


class DefocusMaps(Sequence[DefocusMap]):
    """A list of photographs with maps, each read from its files when it is asked for."""

    def __init__(self, files: Sequence[MapFiles]) -> None:
        self.files = list(files)
        self.names = [entry.name for entry in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> DefocusMap:
        """Read one photograph and its map.

        The maps of RTF lack columns on the right (the authors cut them off): a photograph that is
        wider than its map by at most a tenth, and as high, is cut likewise.

        Raises:
            ReblurError: a file that cannot be read, or sizes that differ otherwise.
        """
        files = self.files[index]
        photograph, values = read_image(files.photograph), _read_map(files.defocus)
        height, width = values.shape
        if photograph.shape[0] != height or not width <= photograph.shape[1] <= 1.1 * width:
            raise ReblurError(
                f"{files.photograph} and {files.defocus}: differ in size "
                f"({photograph.shape[1]}×{photograph.shape[0]} and {width}×{height}); a map needs "
                "a value for every pixel."
            )
        if files.white_is_sharp:
            values = 1 - values
        return DefocusMap(files.name, photograph[:, :width], values)

    def __iter__(self) -> Iterator[DefocusMap]:
        return (self[index] for index in range(len(self)))


def open_defocus_pairs(name: str, split: str | None = None) -> PairFolder:
    """The pairs of a defocus data set by its manifest; each knows its scene and split.

    Args:
        name: one of `PAIRS`.
        split: one of the manifest's splits; None: all of them.

    Raises:
        ReblurError: no such set of pairs, absent data, an unknown split, files without a partner.
    """
    files = _files(name, split, PAIRS, "pairs")
    return PairFolder(files)


def open_defocus_maps(name: str, split: str | None = None) -> DefocusMaps:
    """The maps of a defocus data set by its manifest: `open_defocus_pairs` for those of `MAPS`."""
    files = _files(name, split, MAPS, "maps of the defocus")
    if load_manifest(name).options.get("white") == "sharp":
        files = [MapFiles(f.name, f.photograph, f.defocus, True) for f in files]
    return DefocusMaps(files)


def _files(name: str, split: str | None, readers: dict[str, Callable], what: str) -> list:
    if name not in readers:
        raise ReblurError(f"{name}: has no {what}; the choices are {', '.join(readers)}.")
    manifest = load_manifest(name)
    refuse_unknown_split(manifest, split)
    folder = locate(manifest, split)
    wanted = manifest.split_names() if split is None else [split]
    files = [file for part in wanted for file in readers[name](folder, part)]
    if not files:
        raise ReblurError(f"{folder}: holds no {what}; check the layout that the manifest tells.")
    return files


# Pairs, each function: (folder, split of the manifest) → files.


def two_folders(**of_split: tuple[str, str]) -> Callable[[Path, str], list[PairFiles]]:
    """Pairs of a folder of blurred and one of sharp images, named for each split."""

    def read(root: Path, split: str) -> list[PairFiles]:
        blurred, sharp = (root / name for name in of_split[split])
        return [PairFiles(b.stem, b.stem, split, b, s) for b, s in _partners(blurred, sharp)]

    return read


def lfdof(root: Path, split: str) -> list[PairFiles]:
    """LFDOF: `{train,test}_data/input/<scene>/*`, all of one sharp `ground_truth/<scene>.png`."""
    base = root / f"{split}_data"
    sharp = {path.stem: path for path in _images(base / "ground_truth")}
    blurred = sorted(
        (path for path in (base / "input").glob("*/*") if is_image(path)), key=natural_order
    )
    scenes = {path.parent.name for path in blurred}
    refuse_lone([sharp[scene] for scene in sharp if scene not in scenes])
    refuse_lone([path for path in blurred if path.parent.name not in sharp])
    return [
        PairFiles(f"{p.parent.name}-{p.stem}", p.parent.name, split, p, sharp[p.parent.name])
        for p in blurred
    ]


def ded(root: Path, split: str) -> list[PairFiles]:
    """DED: `image/image_<n>.jpg` and `sharp/<any>_<n>.jpg`, as the authors' loader reads them.

    The authors keep the sharp images of their test part; here the last tenth, by number, tests.
    """
    found = _by_number(root / "image", root / "sharp")
    return [PairFiles(number, number, split, b, s) for number, b, s in _tenth(found, split)]


def focus_stack_pcb(root: Path, split: str) -> list[PairFiles]:
    """Frames `pcb_<n>.jpg` of one focus stack, each against the all-in-focus `expected.jpg`."""
    sharp = root / "expected.jpg"
    frames = [path for path in _images(root) if path != sharp]
    if not sharp.is_file():
        refuse_lone([sharp])
    return [PairFiles(path.stem, "pcb", split, path, sharp) for path in frames]


PAIRS: dict[str, Callable[[Path, str], list[PairFiles]]] = {
    "sdd": two_folders(
        train=("train_patches/blur", "train_patches/gt"), test=("test/blur", "test/gt")
    ),
    "dpdd": two_folders(  # the centre view of the dual-pixel sensor
        train=("train_c/source", "train_c/target"),
        validation=("val_c/source", "val_c/target"),
        test=("test_c/source", "test_c/target"),
    ),
    "realdof": two_folders(test=("source", "target")),
    "lfdof": lfdof,
    "rtf": two_folders(test=("image/0", "GT")),  # without noise
    "ded": ded,
    "focus_stack_pcb": focus_stack_pcb,
}


# Maps, each function: (folder, split of the manifest) → files.


def cuhk(root: Path, split: str) -> list[MapFiles]:
    """CUHK: `image/out_of_focus<n>.jpg` and `gt/out_of_focus<n>.png`; the first 604 train."""
    return [
        MapFiles(photograph.stem, photograph, mask)
        for photograph, mask in _partners(root / "image", root / "gt", "out_of_focus*")
        if (int(photograph.stem.removeprefix("out_of_focus")) <= 604) == (split == "train")
    ]


def cuhk_samples(root: Path, split: str) -> list[MapFiles]:
    """`photo/out_of_focus<n>.jpg` and `mask/out_of_focus<n>.png`, a test set."""
    found = _partners(root / "photo", root / "mask")
    return [MapFiles(photograph.stem, photograph, mask) for photograph, mask in found]


def rtf_maps(root: Path, split: str) -> list[MapFiles]:
    """RTF: `image/0/image_<n>.png` and `map/map_<n>.png`."""
    return [MapFiles(*entry) for entry in _by_number(root / "image" / "0", root / "map")]


def ded_maps(root: Path, split: str) -> list[MapFiles]:
    """DED: `image/image_<n>.jpg` and `filtered/defocus_filterd_<n>.png`, split as the pairs."""
    found = _by_number(root / "image", root / "filtered")
    return [MapFiles(*entry) for entry in _tenth(found, split)]


MAPS: dict[str, Callable[[Path, str], list[MapFiles]]] = {
    "cuhk": cuhk,
    "cuhk_samples": cuhk_samples,
    "rtf": rtf_maps,
    "ded": ded_maps,
}


def _partners(first: Path, second: Path, pattern: str = "*") -> list[tuple[Path, Path]]:
    """Files of two folders that belong together: by name without the suffix.

    Where the folders share no name at all but hold equally many files, by their natural order
    (DPDD numbers its two shots of a scene one after the other).
    """
    left, right = ({p.stem: p for p in _images(f, pattern)} for f in (first, second))
    if not left.keys() & right.keys() and len(left) == len(right):
        return list(zip(left.values(), right.values(), strict=True))
    refuse_lone([(left | right)[stem] for stem in sorted(left.keys() ^ right.keys())])
    return [(path, right[stem]) for stem, path in left.items()]


def _by_number(first: Path, second: Path) -> list[tuple[str, Path, Path]]:
    """(number, file, file) of two folders, by what follows the last underscore of the name."""
    left, right = ({p.stem.rpartition("_")[2]: p for p in _images(f)} for f in (first, second))
    refuse_lone([(left | right)[number] for number in sorted(left.keys() ^ right.keys())])
    return [(number, path, right[number]) for number, path in left.items()]


def _tenth(entries: list, split: str) -> list:
    first = len(entries) - len(entries) // 10
    return entries[first:] if split == "test" else entries[:first]


def _images(folder: Path, pattern: str = "*") -> list[Path]:
    if not folder.is_dir():
        raise ReblurError(f"{folder}: there is no such folder; check the layout of the data.")
    found = sorted((path for path in folder.glob(pattern) if is_image(path)), key=natural_order)
    if not found:
        raise ReblurError(f"{folder}: holds no images; put the image files there.")
    return found


def _read_map(path: Path) -> Float32[np.ndarray, "h w"]:
    """A grey image in [0, 1]: 8 bits by 255, 16 bits by 65535, a palette of two by its indices."""
    try:
        with Image.open(path) as image:
            values = np.asarray(image.convert("L") if image.mode in ("RGB", "RGBA") else image)
            white = {"P": max(1, int(values.max())), "1": 1, "L": 255}.get(image.mode, 65535)
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise ReblurError(
            f"{path}: cannot be read as a map; restore the file ({error})."
        ) from error
    if values.ndim != 2:
        raise ReblurError(f"{path}: is no map of one channel; give a grey image.")
    return values.astype(np.float32) / np.float32(white)
