"""A restorer on a test set: scores and costs, photograph by photograph."""

import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pandas as pd
import psutil
import torch
from torch import nn
from tqdm import tqdm

from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.evaluation.tiling import Precision, restore_image
from reblur.measures.full_reference import lpips_available, lpips_distance, psnr, ssim, ssim_matlab
from reblur.measures.tone_detail import tone_and_detail

Restorer = Callable[[np.ndarray], np.ndarray]  # (H, W, 3) uint8 RGB -> the same, restored
# sharp, restored, blurred -> metrics
Comparison = Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, float]]

METRICS = ("psnr", "psnr_tone", "psnr_detail", "ssim", "ssim_matlab", "lpips")
SCORE_COLUMNS = ("dataset", "image", "scene", *METRICS)
COSTS = ("seconds", "peak_memory_mb")

_WARM_UP_SIDE = 128


def do_nothing(photograph: np.ndarray) -> np.ndarray:
    """The restorer that every other one is measured against: the blurred photograph itself."""
    return photograph


def compare_pixels(
    sharp: np.ndarray, restored: np.ndarray, blurred: np.ndarray
) -> dict[str, float]:
    """PSNR, its parts by tone and detail (`tone_and_detail`) and both SSIMs of (H, W, 3) uint8
    photographs, pixel by pixel as they are. The parts are left out where the blurred photograph is
    of another size, as for super-resolution."""
    scores = {
        "psnr": psnr(sharp, restored),
        "ssim": ssim(sharp, restored),
        "ssim_matlab": ssim_matlab(sharp, restored),
    }
    if blurred.shape == restored.shape:
        scores |= tone_and_detail(sharp, blurred, restored)
    return scores


def restorer_of(
    network: nn.Module,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
    channels_last: bool = False,
) -> Restorer:
    """A network as a restorer of photographs of any size; the arguments of `restore_image`."""
    return functools.partial(
        restore_image,
        network,
        tile=tile,
        overlap=overlap,
        device=device,
        precision=precision,
        channels_last=channels_last,
    )


def score_pairs(
    restorer: Restorer,
    pairs: Iterable[Pair],
    dataset: str,
    *,
    compare: Comparison = compare_pixels,
    device: torch.device | str = "cpu",
    lpips: bool = True,
    progress: bool = False,
) -> pd.DataFrame:
    """Restore every blurred photograph and compare it with its sharp one (`metrics.CONVENTIONS`).

    Seconds are one restoration's, from a uint8 array to a uint8 array, after a warm-up on a small
    part of the first photograph (on a GPU, the whole of it) and with the device synchronised. Peak
    memory in MB (10⁶ bytes) is,
    on a GPU, the most that torch had allocated during the restoration; on a CPU, the largest
    resident set of the whole process meanwhile.

    Args:
        restorer: (H, W, 3) uint8 → (H, W, 3) uint8; `do_nothing`, or `restorer_of(network)`.
        pairs: with name, scene, blurred, sharp; read one at a time.
        dataset: the name that the rows carry.
        compare: the protocol: `compare_pixels`, or `alignment.compare_aligned` for pairs that are
            not aligned; a metric that it does not give is NaN.
        device: where the restorer computes; LPIPS is computed there too.
        lpips: False leaves LPIPS out, like a backbone that is not at hand.
        progress: show a progress bar.

    Returns:
        One row a pair, with the columns dataset, image, scene, psnr, psnr_tone, psnr_detail (dB),
        ssim, ssim_matlab, lpips, seconds, peak_memory_mb. A metric that is not available is NaN in
        every row, and `frame.attrs["not_available"]` names it.

    Raises:
        ReblurError: no pairs at all, a name that comes twice, or a restored photograph of another
            size than its sharp one.
    """
    device = torch.device(device)
    with_lpips = lpips and lpips_available()
    rows: list[dict[str, str | float]] = []
    names: set[str] = set()
    for pair in tqdm(pairs, desc=dataset, unit="image", disable=not progress):
        if pair.name in names:
            raise ReblurError(f"{dataset}: the image '{pair.name}' comes twice; name each once.")
        names.add(pair.name)
        if not rows:
            side = None if device.type == "cuda" else _WARM_UP_SIDE
            restorer(np.ascontiguousarray(pair.blurred[:side, :side]))
        cost: dict[str, float] = {}
        with measured(cost, device):
            restored = restorer(pair.blurred)
        try:
            scores = compare(pair.sharp, restored, pair.blurred)
            if with_lpips:
                with suppress(ReblurError):  # too small for it: not available for this image
                    scores |= {"lpips": lpips_distance(pair.sharp, restored, device)}
        except ReblurError as error:
            raise ReblurError(f"{dataset}, image '{pair.name}': {error}") from error
        rows.append({"dataset": dataset, "image": pair.name, "scene": pair.scene} | scores | cost)
    if not rows:
        raise ReblurError(
            f"{dataset}: has no pairs to score; look at it with 'reblur data verify'."
        )
    frame = pd.DataFrame(rows, columns=[*SCORE_COLUMNS, *COSTS])
    frame.attrs["not_available"] = [name for name in METRICS if frame[name].isna().all()]
    return frame


@contextmanager
def measured(cost: dict[str, float], device: torch.device) -> Iterator[None]:
    """Put the block's "seconds" and "peak_memory_mb" into `cost` (see `score_pairs`)."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        start = time.perf_counter()
        yield
        torch.cuda.synchronize(device)
        cost["seconds"] = time.perf_counter() - start
        cost["peak_memory_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
        return
    with _resident_memory() as peak:
        start = time.perf_counter()
        yield
        cost["seconds"] = time.perf_counter() - start
    cost["peak_memory_mb"] = peak[0] / 1e6


@contextmanager
def _resident_memory() -> Iterator[list[int]]:
    """[largest resident set of this process in bytes], looked at every 5 ms by a thread."""
    process, over = psutil.Process(), threading.Event()
    peak = [process.memory_info().rss]

    def look() -> None:
        while not over.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
        peak[0] = max(peak[0], process.memory_info().rss)
