"""Files of photographs: the weights that restore them, and one file after another through them."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reblur.datasets.images.files import FORMATS, is_image, read_image, write_image
from reblur.errors import ReblurError

# A profile's results are the better evidence, the more it trained: gpu before any other, the demo
# and what tests left behind last.
_RANKS = {"gpu": 0, "demo": 2}


@dataclass(frozen=True)
class Weights:
    """Weights of a run, and how far its PSNR in dB lies above that of doing nothing."""

    path: Path
    psnr_gain: float


def best_weights(results: Path) -> Weights:
    """The run under results/ with the highest "psnr_gain" in its metrics.json.

    Runs of the profile gpu go before those of all others, and those before the demo's; within
    these the gain decides. A run without weights, or without a gain that is a number, is no choice.

    Args:
        results: folder with <profile>/runs/<run>/{weights.safetensors,metrics.json}.

    Raises:
        ReblurError: there is none.
    """
    found: list[tuple[int, float, str]] = []
    for weights in sorted(results.glob("*/runs/*/weights.safetensors")):
        try:
            gain = json.loads((weights.parent / "metrics.json").read_text())["psnr_gain"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a run that is not finished
        if isinstance(gain, int | float) and np.isfinite(gain):
            profile = weights.relative_to(results).parts[0]
            rank = 3 if profile.startswith("test-") else _RANKS.get(profile, 1)
            found.append((rank, -float(gain), str(weights)))
    if not found:
        raise ReblurError(
            f"{results}: no trained weights here; train some with 'make study', or name a file "
            "with --weights."
        )
    _, loss, path = min(found)
    return Weights(Path(path), -loss)


def plan_outputs(photographs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """(photograph, where its restoration goes) for files, and for the images right in folders.

    One photograph may be given a file's name; everything else goes into a folder under its own
    name, with .png for what cannot be written in the photograph's own format.

    Raises:
        ReblurError: a folder without images, two photographs of one name, or a file's name for
            several photographs. A file that is not there is found when its turn comes.
    """
    sources: list[Path] = []
    for path in photographs:
        if path.is_dir():
            images = sorted(entry for entry in path.iterdir() if is_image(entry))
            if not images:
                raise ReblurError(f"{path}: no images in this folder; name another one.")
            sources += images
        else:
            sources.append(path)
    if out.suffix.lower() in FORMATS and not out.is_dir():
        if len(sources) > 1:
            raise ReblurError(
                f"{out}: one file for {len(sources)} photographs; name a folder instead."
            )
        return [(sources[0], out)]
    if out.exists() and not out.is_dir():
        raise ReblurError(f"{out}: is a file of no known image format; name a folder instead.")
    plan: dict[Path, Path] = {}
    for source in sources:
        suffix = source.suffix if source.suffix.lower() in FORMATS else ".png"
        target = out / f"{source.stem}{suffix}"
        if target in plan and plan[target] != source:
            raise ReblurError(
                f"{source} and {plan[target]} would both become {target}; restore them into "
                "different folders."
            )
        plan[target] = source
    return [(source, target) for target, source in plan.items()]


def deblur_files(
    plan: Iterable[tuple[Path, Path]],
    restore: Callable[[np.ndarray, Path], np.ndarray],
    *,
    overwrite: bool,
    say: Callable[[str], None],
) -> int:
    """Restore file after file; one that fails is told in one sentence, and the others go on.

    EXIF data and colour profile go over into the result (`write_image`). Results that are there
    already are left alone, unless `overwrite`; a photograph itself is never written over.

    Args:
        plan: from `plan_outputs`.
        restore: ((H, W, 3) uint8, its file) → the same, restored.
        say: takes each line of the account.

    Returns:
        How many files failed.
    """
    failed = 0
    for source, target in plan:
        try:
            if target.exists() and target.samefile(source):
                raise ReblurError(
                    f"{source}: the result would overwrite it; name another place with -o."
                )
            if target.exists() and not overwrite:
                say(f"{target}: is there already and was left alone; --overwrite replaces it.")
                continue
            write_image(target, restore(read_image(source), source), like=source)
            say(f"{target}")
        except ReblurError as error:
            failed += 1
            say(f"reblur: {error}")
        except (OSError, ValueError) as error:  # a format that does not take the image's size, say
            failed += 1
            say(f"reblur: {target}: cannot be written ({error}); choose another format or place.")
    return failed
