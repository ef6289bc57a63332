"""A gain in PSNR, split into tone (brightness and colour of large areas) and detail.

A restorer that has learned another camera's response shifts the tones of every picture, which in
PSNR can hide what it does to detail, or pass for it. With the blurred input B, the restored
picture R and the low-pass part t of what the restorer changed,

    t = G * (R - B),    T = B + t,    D = R - t,

G a Gaussian of `SIGMA` pixels, T is the input with its tone alone restored, D with its detail
alone. PSNR(S, T) - PSNR(S, B) is the gain by tone, PSNR(S, D) - PSNR(S, B) that by detail, S the
sharp picture. The two need not add up to the gain.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

from reblur.errors import ReblurError

SIGMA = 8.0  # pixels
_REACH = 32  # pixels, after which the Gaussian is cut off


def tone_and_detail(
    sharp: UInt8[np.ndarray, "h w 3"],
    blurred: UInt8[np.ndarray, "h2 w2 3"],
    restored: UInt8[np.ndarray, "h3 w3 3"],
) -> dict[str, float]:
    """PSNR in dB of T, as `psnr_tone`, and of D, as `psnr_detail`.

    T and D are neither rounded nor clipped. Residuals are mirrored at the borders. Of the blurred
    picture itself as the restored one, both are its PSNR; infinity where nothing is wrong.

    Args:
        sharp, blurred, restored: RGB, of one size.

    Raises:
        ReblurError: sizes that differ.
    """
    if not sharp.shape == blurred.shape == restored.shape:
        raise ReblurError(
            f"tone and detail: the sharp, blurred and restored pictures are {sharp.shape}, "
            f"{blurred.shape} and {restored.shape}; crop them to one size first."
        )
    error = blurred.astype(np.float64) - sharp
    change = restored.astype(np.float64) - blurred
    size = 2 * _REACH + 1
    tone = cv2.GaussianBlur(change, (size, size), SIGMA, borderType=cv2.BORDER_REFLECT_101)
    return {"psnr_tone": _psnr(error + tone), "psnr_detail": _psnr(error + change - tone)}


def _psnr(error: np.ndarray) -> float:
    squared = np.square(error).mean()
    return float("inf") if squared == 0 else float(10 * np.log10(255**2 / squared))
