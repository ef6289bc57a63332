"""Files of photographs through a network: the one way of command line, app and notebooks."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from reblur.datasets.images.decoding import RAW_SUFFIXES
from reblur.datasets.images.files import (
    FORMATS,
    HEIC_SUFFIXES,
    is_image,
    read_photograph,
    write_image,
)
from reblur.datasets.images.writing import DEEP_FORMATS
from reblur.errors import ReblurError
from reblur.evaluation.tiling import Precision, restore_image

Bits = Literal[8, 16]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Restored:
    """A restored photograph.

    Attributes:
        before: (H, W, 3) RGB on white as it was, uint8 or uint16.
        after: (H, W, 3) the same, restored, uint8 or uint16.
        alpha: (H, W) its restored opacity, of the type of `after`; None: opaque.
        notes: what the user should know of the file, each a clause.
    """

    before: np.ndarray
    after: np.ndarray
    alpha: np.ndarray | None
    notes: tuple[str, ...]

    @property
    def megapixels(self) -> float:
        return self.after.shape[0] * self.after.shape[1] / 1e6


def restore_file(
    path: Path | str,
    network: nn.Module,
    *,
    tile: int | None = None,
    precision: Precision = "fp32",
    bits: Bits = 8,
    progress: Progress | None = None,
) -> Restored:
    """Restore an image file of any kind, on the device where the network is.

    Transparency is restored as the colours are, by the network that sees it as a grey picture.

    Args:
        path: see `reblur.datasets.images.files` for what is read.
        network, tile, precision, progress: see `restore_image`.
        bits: of the result.

    Raises:
        ReblurError: see `read_photograph` and `restore_image`.
    """

    def restore(pixels: np.ndarray, number: int, passes: int) -> np.ndarray:
        def report(done: int, total: int) -> None:
            if progress is not None:
                progress(number * total + done, passes * total)

        return restore_image(
            network,
            pixels,
            tile=tile,
            precision=precision,
            channels_last=True,
            bits=bits,
            progress=report,
        )

    try:
        photograph = read_photograph(path)
        passes = 1 if photograph.alpha is None else 2
        after, alpha = restore(photograph.pixels, 0, passes), None
        if photograph.alpha is not None:
            grey = np.repeat(photograph.alpha[..., None], 3, axis=2)
            alpha = restore(grey, 1, passes).mean(axis=2).round().astype(after.dtype)
    except MemoryError as error:
        raise ReblurError(
            f"{path}: the memory does not hold it and its restoration; close other programs."
        ) from error
    notes = []
    if photograph.frames > 1:
        notes.append(f"of its {photograph.frames} pictures the first was taken")
    return Restored(photograph.pixels, after, alpha, tuple(notes))


def write_restored(restored: Restored, target: Path | str, like: Path | str) -> tuple[str, ...]:
    """Write a restoration with the metadata of its photograph `like`; returns what is to be told.

    Where the format holds transparency, the colours are those that give `after` on white.

    Raises:
        ReblurError: see `write_image`.
    """
    notes = list(restored.notes)
    image = restored.after
    if restored.alpha is not None and FORMATS.get(Path(target).suffix.lower()) == "JPEG":
        notes.append("its transparency was put on white, as JPEG holds none")
    elif restored.alpha is not None:
        top = np.iinfo(image.dtype).max
        opacity = np.maximum(restored.alpha, 1)[..., None] / top
        straight = (image - top * (1 - opacity)) / opacity
        straight = straight.clip(0, top).round().astype(image.dtype)
        image = np.dstack([straight, restored.alpha])
    lost = write_image(target, image, like=like)
    notes += [f"its {name} could not be kept" for name in lost]
    return tuple(notes)


def plan_outputs(photographs: Sequence[Path], out: Path, bits: Bits = 8) -> list[tuple[Path, Path]]:
    """(photograph, where its restoration goes) for files, and for the images right in folders.

    One photograph may be given a file's name; everything else goes into a folder under its own
    name, with .png for what cannot be written in the photograph's own format.

    Raises:
        ReblurError: a folder without images or one that cannot be read, two photographs of one
            name, a file's name for several photographs, or a format that is not written. A file
            that is not there is found when its turn comes.
    """
    try:
        return _plan(photographs, out, bits)
    except OSError as error:
        raise ReblurError(
            f"{error.filename}: cannot be used ({error.strerror}); name another file or folder."
        ) from error


def _plan(photographs: Sequence[Path], out: Path, bits: Bits) -> list[tuple[Path, Path]]:
    sources: list[Path] = []
    for path in photographs:
        if path.is_dir():
            images = sorted(entry for entry in path.iterdir() if is_image(entry))
            if not images:
                others = passed_over(path) or "it is empty"
                raise ReblurError(f"{path}: no images in this folder ({others}); name another one.")
            sources += images
        else:
            sources.append(path)
    written = {suffix for suffix, kind in FORMATS.items() if bits == 8 or kind in DEEP_FORMATS}
    suffix = out.suffix.lower()
    if suffix in _file_suffixes() and not out.is_dir():
        if suffix not in written:
            raise ReblurError(
                f"{out}: {bits} bits are not written to {suffix}; name a folder, or one of "
                f"{', '.join(sorted(written))}."
            )
        if len(sources) > 1:
            raise ReblurError(
                f"{out}: one file for {len(sources)} photographs; name a folder instead."
            )
        return [(sources[0], out)]
    if out.exists() and not out.is_dir():
        raise ReblurError(f"{out}: is a file of no known image format; name a folder instead.")
    stems = Counter((source.parent, source.stem) for source in set(sources))
    plan: dict[Path, Path] = {}
    for source in sources:
        name = source.name
        if source.suffix.lower() not in written:  # IMG_1.heic beside IMG_1.png: IMG_1.heic.png
            alone = stems[source.parent, source.stem] == 1
            name = f"{source.stem if alone else source.name}.png"
        target = out / name
        if target in plan and plan[target] != source:
            raise ReblurError(
                f"{source} and {plan[target]} would both become {target}; restore them into "
                "different folders."
            )
        plan[target] = source
    return [(source, target) for target, source in plan.items()]


def _file_suffixes() -> frozenset[str]:
    """Suffixes of pictures, whether written here or not: no folder is meant by such a name."""
    known = Image.registered_extensions().keys() | HEIC_SUFFIXES | RAW_SUFFIXES
    return frozenset(known | {".exr", ".hdr", ".jxl", ".svg"})


def passed_over(folder: Path) -> str:
    """How many entries of a folder are no photographs, by kind: "2 .heic (…), 1 folder"; or "".

    Raises:
        OSError: the folder cannot be read.
    """
    why = dict.fromkeys(RAW_SUFFIXES, " (camera raw: convert to TIFF)")
    why |= dict.fromkeys(HEIC_SUFFIXES, " (needs 'pip install pillow-heif')")
    kinds: Counter[str] = Counter()
    for entry in folder.iterdir():
        if is_image(entry):
            continue
        suffix = entry.suffix.lower()
        kind = suffix + why.get(suffix, "") if suffix else "without a suffix"
        kinds["folder" if entry.is_dir() else "hidden" if entry.name[0] == "." else kind] += 1
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


@dataclass
class Account:
    """What became of a batch; `megapixels` of the restored ones."""

    restored: int = 0
    failed: int = 0
    left_alone: int = 0
    megapixels: float = 0.0


def deblur_files(
    plan: Iterable[tuple[Path, Path]],
    restore: Callable[[Path], Restored],
    *,
    overwrite: bool,
    say: Callable[[str], None],
    done: Callable[[Path, Path, Restored | None], None] = lambda source, target, restored: None,
) -> Account:
    """Restore file after file; one that fails is told in one sentence, and the others go on.

    EXIF data, XMP and colour profile go over into the result. Results that are there already are
    left alone, unless `overwrite`; a photograph itself is never written over.

    Args:
        plan: from `plan_outputs`.
        restore: usually `restore_file` with a network.
        say: takes each line of the account.
        done: told of every file in the end, with None where nothing was restored.
    """
    account = Account()
    for source, target in plan:
        restored = None
        try:
            if target.exists() and target.samefile(source):
                raise ReblurError(
                    f"{source}: the result would overwrite it; name another place with -o."
                )
            if target.exists() and not overwrite:
                account.left_alone += 1
                line = f"{target}: is there already and was left alone; --overwrite replaces it."
            else:
                result = restore(source)
                notes = write_restored(result, target, source)
                restored = result
                account.restored += 1
                account.megapixels += result.megapixels
                line = f"{target}" + (f" ({'; '.join(notes)})" if notes else "")
        except ReblurError as error:
            text = str(error)
            line = f"reblur: {text if str(source) in text else f'{source}: {text}'}"
        except OSError as error:
            why = error.strerror or error
            line = f"reblur: {target}: cannot be written ({why}); choose another format or place."
        except MemoryError:
            line = f"reblur: {source}: the memory does not hold it; choose a smaller tile."
        except Exception as error:  # no single file ends a batch
            line = f"reblur: {source}: cannot be restored ({error}); leave it out."
        if line.startswith("reblur:"):
            account.failed += 1
        say(line)
        done(source, target, restored)
    return account


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU if there is one.

    Raises:
        ReblurError: no such device, or none of that kind here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ReblurError(f"device '{name}' is not to be had here; use --device cpu.") from error
    return device
