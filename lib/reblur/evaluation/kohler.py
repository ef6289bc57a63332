"""The protocol of the Köhler benchmark: the best score over all sharp frames of a camera's path.

Köhler, Hirsch, Mohler, Schölkopf, Harmeling, "Recording and playback of camera shake:
benchmarking blind deconvolution with a real-world database", ECCV 2012, and the benchmark's own
eval_image.m. A blurred photograph has 198 to 200 sharp ones, one for each point of the path.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import scipy.fft
from jaxtyping import Complex128, Float64, UInt8

from reblur.datasets.images.files import read_image
from reblur.datasets.images.layouts import KohlerImage
from reblur.errors import ReblurError
from reblur.evaluation.scoring import Restorer
from reblur.measures.full_reference import SMALLEST_MSSSIM, luminance, msssim_of_luminance

_LEFT_OUT = "GroundTruth1_3_30"  # by eval_image.m: "for whatever reason" it is missing


@dataclass(frozen=True)
class KohlerScores:
    """Best PSNR (dB) and best MSSIM over the frames, and the frame (from 0) that each is of."""

    psnr: float
    msssim: float
    psnr_frame: int
    msssim_frame: int


def score_kohler(
    restorer: Restorer, images: Sequence[KohlerImage], progress: bool = False
) -> pd.DataFrame:
    """Restore and score the benchmark's photographs (`open_kohler`) by its protocol.

    Some 200 frames a photograph: about a quarter of a minute each.

    Returns:
        One row a photograph: image, psnr (dB), msssim, psnr_frame, msssim_frame (the best frames,
        counted from 0 among those of the photograph), seconds (of the restoration).

    Raises:
        ReblurError: a file cannot be read, or the scoring's reasons (`kohler_scores`), with the
            photograph's name.
    """
    from tqdm import tqdm

    rows = []
    for image in tqdm(images, desc="Köhler", unit="image", disable=not progress):
        blurred = read_image(image.blurred)
        start = time.perf_counter()
        restored = restorer(blurred)
        seconds = time.perf_counter() - start
        frames = (read_image(path) for path in image.frames if path.stem != _LEFT_OUT)
        try:
            scores = kohler_scores(restored, frames)
        except ReblurError as error:
            raise ReblurError(f"Köhler, image {image.name}: {error}") from error
        rows.append({"image": image.name} | asdict(scores) | {"seconds": seconds})
    return pd.DataFrame(rows)


def kohler_scores(
    restored: UInt8[np.ndarray, "h w 3"], frames: Iterable[np.ndarray]
) -> KohlerScores:
    """Score a restored photograph z against every sharp frame x of its camera path.

    For each x: z is scaled by Σ x z / Σ z z, shifted by whole pixels to the peak of its circular
    cross-correlation with x, and both are black where the shift leaves z without values; then PSNR
    and MSSIM of their luminances (`metrics.CONVENTIONS["msssim"]`), over the whole photograph with
    the black rim, as published. The scaled values are neither rounded nor clamped.

    Args:
        restored: (H, W, 3) uint8 RGB, at least 161×161 pixels.
        frames: the sharp frames, each (H, W, 3) uint8 RGB; read one at a time.

    Returns:
        The best of each metric, over all frames.

    Raises:
        ReblurError: no frames, a frame of another size, or a restored photograph that is too small
            or all black.
    """
    if min(restored.shape[:2]) < SMALLEST_MSSSIM:
        raise ReblurError(
            f"the Köhler protocol needs at least {SMALLEST_MSSSIM}×{SMALLEST_MSSSIM} pixels, not "
            f"{restored.shape[1]}×{restored.shape[0]}; give the photograph at its full size."
        )
    z = restored.astype(np.float64)
    z_energy = np.vdot(z, z)
    if z_energy == 0:
        raise ReblurError("the restored photograph is all black; restore it again.")
    z_luminance, z_spectrum = luminance(z), scipy.fft.rfft2(z.mean(axis=2))
    scores: list[tuple[float, float]] = []
    for frame in frames:
        if frame.shape != restored.shape:
            raise ReblurError(
                f"frame {len(scores)} is {frame.shape[1]}×{frame.shape[0]} pixels and the restored "
                f"photograph {restored.shape[1]}×{restored.shape[0]}; give frames of its size."
            )
        x = frame.astype(np.float64)
        scale = np.vdot(x, z) / z_energy
        shift = integer_shift(x.mean(axis=2), z_spectrum)
        moved, mask = shifted(scale * z_luminance, shift), shifted(np.ones(z.shape[:2]), shift)
        masked = luminance(x) * mask
        error = np.mean(np.square(masked - moved))
        psnr = float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
        scores.append((psnr, msssim_of_luminance(masked, moved)))
    if not scores:
        raise ReblurError("there are no sharp frames to compare with; look into the data's folder.")
    psnr_frame, msssim_frame = (int(best) for best in np.argmax(scores, axis=0))
    return KohlerScores(scores[psnr_frame][0], scores[msssim_frame][1], psnr_frame, msssim_frame)


def integer_shift(
    reference: Float64[np.ndarray, "h w"], spectrum: Complex128[np.ndarray, "h half"]
) -> tuple[int, int]:
    """(rows, columns) by which to move an image, given by its `rfft2`, onto the reference.

    The peak of the circular cross-correlation (Guizar-Sicairos et al. 2008, whole pixels); its
    place is the same for every positive scale of the image.
    """
    height, width = reference.shape
    correlation = scipy.fft.irfft2(scipy.fft.rfft2(reference) * spectrum.conj(), reference.shape)
    row, column = np.unravel_index(np.argmax(correlation), reference.shape)
    return (
        int(row) - height * (int(row) >= height // 2 and height > 1),
        int(column) - width * (int(column) >= width // 2 and width > 1),
    )


def shifted(
    image: Float64[np.ndarray, "h w"], shift: tuple[int, int]
) -> Float64[np.ndarray, "h w"]:
    """The image moved down and right by (rows, columns), zero where it has no values."""
    result = np.zeros_like(image)
    (to_rows, from_rows), (to_columns, from_columns) = (
        _overlap(length, by) for length, by in zip(image.shape, shift, strict=True)
    )
    result[to_rows, to_columns] = image[from_rows, from_columns]
    return result


def _overlap(length: int, by: int) -> tuple[slice, slice]:
    if by >= 0:
        return slice(by, length), slice(0, length - by)
    return slice(0, length + by), slice(-by, length)
