"""Pairs that are not aligned to the pixel (RealBlur): a homography first, then the metric.

Rim, Lee, Won, Cho, "Real-World Blur Dataset for Learning and Benchmarking Deblurring Algorithms",
ECCV 2020, and its evaluation code, which later papers share: intensity matching, a homography by
ECC (Evangelidis, Psarakis 2008), and metrics over the pixels that the warped photograph covers.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32, Num, UInt8

from reblur.errors import ReblurError
from reblur.measures.full_reference import ssim_map

PROTOCOL = (
    "aligned as published for RealBlur: intensity scaled by Σxz/Σzz, homography by ECC "
    "(100 iterations, 5×5 Gaussian), metrics over the pixels that the warped restoration covers"
)
_ITERATIONS = 100
_RIM = 5  # of an 11×11 SSIM window


@dataclass(frozen=True)
class Aligned:
    """A restored photograph laid over its sharp one.

    Attributes:
        restored: scaled, warped (bicubic); values of 0 to 255, zero outside the mask.
        sharp: the sharp photograph, zero outside the mask.
        mask: 1 where the warped photograph has values, else 0.
        homography: from the sharp photograph's pixels (x, y, 1) to the restored one's.
    """

    restored: Float32[np.ndarray, "h w 3"]
    sharp: Float32[np.ndarray, "h w 3"]
    mask: Float32[np.ndarray, "h w"]
    homography: Float32[np.ndarray, "3 3"]


def align(sharp: UInt8[np.ndarray, "h w 3"], restored: UInt8[np.ndarray, "h w 3"]) -> Aligned:
    """Lay a restored photograph z over its sharp one x.

    z is scaled by Σ x z / Σ z z; the homography maximises the enhanced correlation coefficient of
    the two in grey, from the identity on, in 100 iterations.

    Raises:
        ReblurError: the alignment does not converge, as on flat or unrelated photographs.
    """
    x, z = (image.astype(np.float32) / 255 for image in (sharp, restored))
    homography = np.eye(3, dtype=np.float32)
    try:
        energy = np.vdot(z, z)
        if energy == 0:
            raise cv2.error("all black")
        z *= np.vdot(x, z) / energy
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, 0)
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (x, z)]
        _, homography = cv2.findTransformECC(
            *grey, homography, cv2.MOTION_HOMOGRAPHY, stop, None, 5
        )
    except cv2.error as error:
        raise ReblurError(
            "the restored photograph cannot be aligned to the sharp one (too flat, or not of the "
            "same scene); compare them without alignment."
        ) from error
    size = (x.shape[1], x.shape[0])
    warped = cv2.warpPerspective(
        z,
        homography,
        size,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    mask = cv2.warpPerspective(
        np.ones_like(grey[0]),
        homography,
        size,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    if not mask.any():
        raise ReblurError(
            "the restored photograph was aligned to a place outside the sharp one; compare them "
            "without alignment."
        )
    inside = mask[:, :, None] * np.float32(255)
    return Aligned(warped * inside, x * inside, mask, homography)


def compare_aligned(
    sharp: np.ndarray, restored: np.ndarray, blurred: np.ndarray | None = None
) -> dict[str, float]:
    """PSNR (dB) and Gaussian-window SSIM after `align`, over the mask: `PROTOCOL`.

    A comparison for `scoring.score_pairs`. SSIM windows count by the mask at their centre. The
    values are compared in floating point, as published.

    Args:
        sharp, restored: (H, W, 3) uint8 RGB of one size, at least 11×11 pixels.
        blurred: not looked at.

    Raises:
        ReblurError: the sizes differ or are too small, or the alignment does not converge.
    """
    if sharp.shape != restored.shape or min(sharp.shape[:2]) <= 2 * _RIM:
        raise ReblurError(
            f"cannot align {restored.shape} to {sharp.shape}; give two (height, width, 3) "
            "photographs of one size, at least 11×11 pixels."
        )
    aligned = align(sharp, restored)
    return compare_masked(aligned.sharp, aligned.restored, aligned.mask)


def compare_masked(
    sharp: Num[np.ndarray, "h w 3"],
    restored: Num[np.ndarray, "h w 3"],
    mask: Float[np.ndarray, "h w"],
) -> dict[str, float]:
    """PSNR (dB) and Gaussian-window SSIM over the pixels where `mask` is 1; it is 0 elsewhere.

    SSIM windows count by the mask at their centre; outside it both photographs are black.

    Args:
        sharp, restored: values of 0 to 255, of one size, at least 11×11 pixels.

    Raises:
        ReblurError: the mask has nothing but a rim.
    """
    sharp, restored = (image * mask[:, :, None] for image in (sharp, restored))
    error = np.square(sharp - restored, dtype=np.float64).sum()
    mean = error / (3 * mask.sum(dtype=np.float64))
    weights = mask[_RIM:-_RIM, _RIM:-_RIM, None]
    if not weights.any():
        raise ReblurError("the aligned photographs overlap in their rims only; compare them as is.")
    similarity = ssim_map(sharp, restored)
    return {
        "psnr": float("inf") if mean == 0 else float(10 * np.log10(255**2 / mean)),
        "ssim": float((similarity * weights).sum() / (3 * weights.sum(dtype=np.float64))),
    }
