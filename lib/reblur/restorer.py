"""Photographs restored one at a time, in the order of asking; the page of `reblur app` shows it."""

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from reblur.datasets.images.files import read_photograph, write_image
from reblur.errors import ReblurError
from reblur.evaluation.deblurring import Restored, deblur_files, plan_outputs, restore_file
from reblur.evaluation.tiling import plan_tiles
from reblur.study.weights import load_restorer

PART = 512  # side in pixels of the part that is restored first
OVERVIEW = 480  # longest side in pixels of the picture on which another part is chosen


@dataclass
class Restoration:
    """A restoration that waits, runs or has ended.

    Attributes:
        photograph: the uploaded file; `result`: what is written.
        weights: of the network.
        centre: of the part to restore, as fractions (x, y) of width and height; None: all of it.
        state: "waiting", "restoring", "done", "failed".
        said: the sentence on how it ended.
        size: (width, height) of the whole photograph in pixels, once it is read.
        part: (left, top, width, height) of the part in it.
        tiles: (done, in all).
        times: clock in seconds when it started, when the last tile was done, and when it ended.
        expected: seconds that it will take; None: not known.
    """

    photograph: Path
    result: Path
    weights: Path
    centre: tuple[float, float] | None = None
    state: str = "waiting"
    said: str = ""
    size: tuple[int, int] | None = None
    part: tuple[int, int, int, int] | None = None
    tiles: tuple[int, int] = (0, 0)
    times: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    expected: float | None = None
    stopped: bool = False

    def seconds_left(self) -> float | None:
        """By the tiles so far; before the first one, by what was expected."""
        done, total = self.tiles
        whole = (self.times[1] - self.times[0]) * total / done if done else self.expected
        return None if whole is None else max(0.0, whole - (time.monotonic() - self.times[0]))


class Restorer:
    """Restores photographs in a folder, one at a time, in the order of asking.

    Args:
        folder: everything that is written lies in it.
        device: where the networks run.
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        self.folder = folder
        self.restorations: dict[str, Restoration] = {}
        self._device = torch.device(device)
        self._loaded: tuple[Path, nn.Module] | None = None
        self._rates: dict[Path, float] = {}  # seconds a pixel, by weights
        self._worker = ThreadPoolExecutor(1)

    def room_for(self, name: str) -> Path:
        """A place in the folder for an uploaded file of that name, whatever the name is."""
        parts = name.replace("\\", "/").replace("\0", "").split("/")
        base = parts[-1].strip().lstrip(".") or "photograph"
        stem, suffix = Path(base).stem, Path(base).suffix
        place = self.folder / secrets.token_hex(8) / "photograph"
        place.mkdir(parents=True)
        return place / f"{stem[:60]}{suffix[:10]}"

    def start(
        self, photograph: Path, weights: Path, centre: tuple[float, float] | None = None
    ) -> str:
        """Queue a restoration; returns the key under which `restorations` has it.

        Args:
            photograph: a file from `room_for`; `weights`, `centre`: see `Restoration`.
        """
        folder = photograph.parents[1] / secrets.token_hex(8)
        result = plan_outputs([photograph], folder)[0][1] if centre is None else folder / "part.png"
        restoration = Restoration(photograph, result, weights, centre)
        key = folder.relative_to(self.folder).as_posix()
        self.restorations[key] = restoration
        self._worker.submit(self._run, restoration)
        return key

    def account(self, restoration: Restoration) -> dict[str, Any]:
        """How a restoration stands, for the page: its state, and seconds where they are known."""
        queue = [r for r in self.restorations.values() if r.state in ("waiting", "restoring")]
        restored = restoration.state == "done"
        return {
            "state": restoration.state,
            "said": restoration.said,
            "before": queue.index(restoration) if restoration in queue else 0,
            "done": restoration.tiles[0],
            "total": restoration.tiles[1],
            "seconds_left": restoration.seconds_left(),
            "seconds": restoration.times[2] - restoration.times[0],
            "seconds_of_whole": self._seconds_of_whole(restoration) if restored else None,
            "size": restoration.size,
            "part": restoration.part,
            "name": restoration.result.name,
        }

    def _seconds_of_whole(self, restoration: Restoration) -> float | None:
        """By what a part took with these weights."""
        rate = self._rates.get(restoration.weights)
        if rate is None or restoration.size is None:
            return None
        sides = plan_tiles(restoration.size[1], restoration.size[0])
        rows, columns = (sum(len(side.weights(i)) for i in range(side.count)) for side in sides)
        return rate * rows * columns

    def close(self) -> None:
        """Stop what runs and what waits."""
        for restoration in self.restorations.values():
            restoration.stopped = True
        self._worker.shutdown(cancel_futures=True)

    def _run(self, restoration: Restoration) -> None:
        lines: list[str] = []
        restoration.state, restoration.times[:2] = "restoring", [time.monotonic()] * 2

        def restore(photograph: Path) -> Restored:
            return self._restore(restoration)

        def keep(photograph: Path, result: Path, restored: Restored | None) -> None:
            if restored is not None:
                write_image(result.with_name("before.jpg"), _eight_bits(restored.before))
                write_image(result.with_name("after.jpg"), _eight_bits(restored.after))

        plan = [(restoration.photograph, restoration.result)]
        try:
            failed = deblur_files(plan, restore, overwrite=True, say=lines.append, done=keep).failed
        except Exception as error:  # no single photograph ends the page: a full disk, say
            lines, failed = [str(error)], 1
        said = " ".join(lines).removeprefix("reblur: ")
        for path in (restoration.result, restoration.photograph):  # a visitor knows the name alone
            said = said.replace(str(path), path.name)
        restoration.said, restoration.times[2] = said, time.monotonic()
        restoration.state = "failed" if failed else "done"

    def _restore(self, restoration: Restoration) -> Restored:
        source = restoration.photograph
        if restoration.stopped:
            raise ReblurError(f"{source}: stopped before its turn came.")
        if restoration.centre is not None:
            source = self._cut(restoration)
        if self._loaded is None or self._loaded[0] != restoration.weights:
            self._loaded = None  # two networks need not be held
            network = load_restorer(restoration.weights).to(self._device)
            self._loaded = (restoration.weights, network)
        if restoration.centre is None:
            restoration.expected = self._seconds_of_whole(restoration)
        restoration.times[:2] = [time.monotonic()] * 2

        def progress(done: int, total: int) -> None:
            if restoration.stopped:
                raise ReblurError(f"{restoration.photograph}: stopped; nothing was written.")
            restoration.tiles, restoration.times[1] = (done, total), time.monotonic()

        restored = restore_file(source, self._loaded[1], progress=progress)
        height, width = restored.after.shape[:2]
        if restoration.centre is None:
            restoration.size = (width, height)
        else:
            seconds = restoration.times[1] - restoration.times[0]
            self._rates[restoration.weights] = seconds / (height * width)
        return restored

    def _cut(self, restoration: Restoration) -> Path:
        """Write the part to restore, and an overview of the whole; returns the part's file."""
        pixels = read_photograph(restoration.photograph).pixels
        height, width = pixels.shape[:2]
        x, y = restoration.centre
        left = int(np.clip(x * width - PART / 2, 0, max(width - PART, 0)))
        top = int(np.clip(y * height - PART / 2, 0, max(height - PART, 0)))
        cut = pixels[top : top + PART, left : left + PART]
        part = restoration.result.with_name("cut.png")
        write_image(part, cut)
        overview = Image.fromarray(_eight_bits(pixels))
        overview.thumbnail((OVERVIEW, OVERVIEW))
        write_image(restoration.result.with_name("overview.jpg"), np.asarray(overview))
        restoration.size, restoration.part = (width, height), (left, top, *cut.shape[1::-1])
        return part


def _eight_bits(image: np.ndarray) -> np.ndarray:
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
