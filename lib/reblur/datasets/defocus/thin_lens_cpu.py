"""The layers of `thin_lens.defocus`, for one picture on a CPU, with OpenCV on one thread.

The same arithmetic on four interleaved channels, RGB and opacity: several times as fast as torch is
there, with the same bits in every batch, and without threads that wait for each other where
another process keeps a core busy.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32

Layer = Float32[np.ndarray, "h w 4"]
Plane = Float32[np.ndarray, "h w"]

DIRECT = 11  # side of the largest kernel that is quicker tap by tap than by Fourier transforms
ROUNDING = 16 * np.finfo(np.float32).eps


def defocus_one(
    light: Float32[np.ndarray, "3 H W"],
    coc: Float32[np.ndarray, "H W"],
    layers: Sequence[int],
    kernels: Sequence[Float32[np.ndarray, "k k"]],
    reach: int,
) -> Float32[np.ndarray, "3 h w"]:
    """`thin_lens.defocus` of a picture that was extended by `reach` on every side.

    Args:
        layers: those that hold anything, from the farthest to the nearest.
        kernels: the aperture's image at each of them, of radius `reach`.
    """
    height, width = (side - 2 * reach for side in coc.shape)
    out = np.zeros((height, width, 4), np.float32)
    colour = [np.ascontiguousarray(plane) for plane in light]
    for layer, kernel in zip(layers, kernels, strict=True):
        content = cv2.merge([*colour, np.clip(np.float32(1 + layer) - coc, 0, 1)])
        if layer != layers[-1]:
            content = fill_unknown(content, coc > layer - 1)
        content *= _on_colours(cv2.extractChannel(content, 3))
        if layer == 0:
            blurred = content[reach : reach + height, reach : reach + width]
        else:
            blurred = _convolve(content, kernel, reach)
        out *= _on_colours(1 - np.clip(cv2.extractChannel(blurred, 3), 0, 1))
        out += blurred
    return np.stack(cv2.split(np.maximum(out, 0))[:3])


def fill_unknown(values: Layer, known: Bool[np.ndarray, "h w"]) -> Layer:
    """As `thin_lens.fill_unknown`, in place."""
    height, width = known.shape
    if known.all():
        return values
    share = known.astype(np.float32)
    everywhere = cv2.merge([share] * 4)
    values *= everywhere
    if height == width == 1:
        return values
    share, means = (_halve(x) for x in (share, values))
    means /= cv2.merge([np.maximum(share, np.float32(0.2))] * 4)
    coarse = fill_unknown(means, share > 0)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    np.subtract(1, everywhere, out=everywhere)
    smooth *= everywhere
    values += smooth
    return values


def _halve(x: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels, zeros beyond the border."""
    height, width = x.shape[:2]
    if height % 2 or width % 2:
        x = cv2.copyMakeBorder(x, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT)
    return cv2.resize(x, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)


def _on_colours(plane: Plane) -> Layer:
    """The plane in the first three channels, 1 in the fourth."""
    return cv2.cvtColor(plane, cv2.COLOR_GRAY2RGBA)


def _convolve(
    content: Layer, kernel: Float32[np.ndarray, "k k"], reach: int
) -> Float32[np.ndarray, "_ _ 4"]:
    """content ∗ kernel, without the `reach` pixels at every border."""
    height, width = content.shape[:2]
    support = np.abs(np.argwhere(kernel) - reach).max()  # its radius
    if 2 * support + 1 <= DIRECT:
        cut = reach - support
        inner = content[cut : height - cut, cut : width - cut]
        taps = kernel[cut : len(kernel) - cut, cut : len(kernel) - cut][::-1, ::-1]
        blurred = cv2.filter2D(inner, -1, np.ascontiguousarray(taps))
        return blurred[support : len(blurred) - support, support : blurred.shape[1] - support]
    down, right = (cv2.getOptimalDFTSize(side) - side for side in (height, width))
    plane = cv2.copyMakeBorder(
        kernel,
        *(0, height + down - len(kernel), 0, width + right - len(kernel)),
        cv2.BORDER_CONSTANT,
    )
    transfer, planes = cv2.dft(plane), []
    inverse = cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE
    for channel in cv2.split(cv2.copyMakeBorder(content, 0, down, 0, right, cv2.BORDER_CONSTANT)):
        spectrum = cv2.mulSpectrums(cv2.dft(channel), transfer, 0)
        planes.append(cv2.dft(spectrum, flags=inverse))
    blurred = cv2.merge(planes)[2 * reach : height, 2 * reach : width]
    # What is no more than the transform's rounding would spoil the bits of what is far away.
    return blurred * cv2.merge([(blurred[..., 3] > ROUNDING).astype(np.float32)] * 4)
