"""The camera of `camera`, for one picture on a CPU.

The same arithmetic with OpenCV's warp of four channels and with tables in place of powers: several
times as fast as torch is there, and with the same bits in every batch.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from reblur.datasets.motion.camera import HIGHLIGHT, develop
from reblur.datasets.motion.exposures import Exposures, silhouette
from reblur.datasets.motion.options import SOFT_REACH

STRIP = 64  # rows made at once, so that sub-frame and sum stay in the second-level cache
LEVELS = np.arange(256) / 255


def expose_one(
    contents: Sequence[Float[np.ndarray, "3 _ _"]],
    exposure: Exposures,
    origin: Float[np.ndarray, "1 2"],
    size: tuple[int, int],
    margin: int,
    noise: Float[np.ndarray, "h w 3"] | None,
) -> tuple[Float[np.ndarray, "3 _ _"], Float[np.ndarray, "3 _ _"]]:
    """`camera.expose` for one sample."""
    gamma, gain = float(exposure.gamma[0]), float(exposure.highlight_gain[0])
    excess = np.maximum(LEVELS - HIGHLIGHT, 0) / (1 - HIGHLIGHT)
    light = LEVELS**gamma * (1 + (gain - 1) * excess) * exposure.light_gain[0]
    softness = float(exposure.softness[0])
    inner = slice(margin, margin + size[0]), slice(margin, margin + size[1])

    bytes_ = [_bytes(content) for content in contents]
    scene = _seen(bytes_[0], light, softness)
    things, gaps = [], []  # light premultiplied by opacity, and transparency in all four channels
    for n, content in enumerate(bytes_[1:]):
        y, x = np.ogrid[: scene.shape[0], : scene.shape[1]]
        left, top = (origin[0] - margin).astype(np.float32)
        outline = exposure.outlines[0, n].astype(np.float32)
        alpha = silhouette(outline, np.float32(x) + left, np.float32(y) + top, np.exp)
        opacity = cv2.merge([alpha] * 4)
        things.append(_seen(content, light, softness) * opacity)
        gaps.append(1 - opacity)

    homographies = exposure.between_pixels(origin, margin)[: len(contents), 0]
    blurred = _average_frames(scene, things, gaps, homographies[:, : exposure.counts[0]], size)
    blurred = cv2.cvtColor(blurred, cv2.COLOR_RGBA2RGB)
    middle = scene[inner]
    for thing, gap in zip(things, gaps, strict=True):
        middle = thing[inner] + gap[inner] * middle
    middle = cv2.cvtColor(middle, cv2.COLOR_RGBA2RGB)
    if exposure.balance.any():
        blurred = _developed(blurred, exposure, noise)
        return _encoded(blurred, gamma), _encoded(_developed(middle, exposure, None), gamma)
    if noise is not None:
        _add_noise(blurred, noise, exposure.shot[0], exposure.read[0])
    if things or softness:
        sharp = _encoded(middle, gamma)
    else:  # nothing to composite or to soften, so what is shown of a byte is a byte
        shown = np.rint(255 * np.minimum(light, 1) ** (1 / gamma)) / 255
        shown = cv2.LUT(bytes_[0][inner], shown.astype(np.float32))
        sharp = np.stack(cv2.split(shown)[:3])
    return _encoded(blurred, gamma), sharp


def _bytes(display: np.ndarray) -> UInt8[np.ndarray, "h w 4"]:
    """RGBA, opaque, of planes in [0, 1]."""
    planes = [cv2.convertScaleAbs(plane, alpha=255.0) for plane in display]
    return cv2.merge([*planes, np.full_like(planes[0], 255)])


def _seen(
    display: UInt8[np.ndarray, "h w 4"], light: Float[np.ndarray, "256"], softness: float
) -> Float[np.ndarray, "h w 4"]:
    """The `light` of each level, through optics as `camera.soften`."""
    seen = cv2.LUT(display, light.astype(np.float32))
    if softness:
        taps = cv2.getGaussianKernel(2 * SOFT_REACH + 1, softness, cv2.CV_32F)
        seen = cv2.sepFilter2D(seen, -1, taps, taps)  # mirrored at the borders
    return seen


def _encoded(linear: Float[np.ndarray, "h w 3"], gamma: float) -> Float[np.ndarray, "3 h w"]:
    """As `camera.encode`."""
    display = cv2.pow(np.clip(linear, 0, 1), 1 / gamma)
    levels = LEVELS.astype(np.float32)
    return np.stack(
        [cv2.LUT(p, levels) for p in cv2.split(cv2.convertScaleAbs(display, alpha=255.0))]
    )


def _developed(
    linear: Float[np.ndarray, "h w 3"], exposure: Exposures, normal: np.ndarray | None
) -> Float[np.ndarray, "h-4 w-4 3"]:
    """By `camera.develop`."""
    light, balance = (torch.from_numpy(a) for a in (linear, exposure.balance.astype(np.float32)))
    draws = None if normal is None else torch.from_numpy(normal).permute(2, 0, 1)[None]
    noise = float(exposure.shot[0]), float(exposure.read[0])
    developed = develop(light.permute(2, 0, 1)[None], balance, draws, *noise)
    return np.ascontiguousarray(developed[0].permute(1, 2, 0).numpy())


def _add_noise(linear: np.ndarray, normal: np.ndarray, shot: float, read: float) -> None:
    """As `camera.add_noise`, in place."""
    deviation = linear * np.float32(shot)
    deviation += np.float32(read * read)
    np.sqrt(deviation, out=deviation)
    deviation *= normal
    linear += deviation


def _average_frames(
    scene: Float[np.ndarray, "H W 4"],
    things: Sequence[Float[np.ndarray, "H W 4"]],
    gaps: Sequence[Float[np.ndarray, "H W 4"]],
    homographies: Float[np.ndarray, "layers n 3 3"],
    size: tuple[int, int],
) -> Float[np.ndarray, "h w 4"]:
    """As `camera.average_frames`."""
    height, width = size
    total = np.zeros((height, width, 4), np.float32)
    buffers = np.empty((3, min(STRIP, height), width, 4), np.float32)
    for top in range(0, height, STRIP):
        strip = total[top : top + STRIP]
        frame, thing, gap = buffers[:, : len(strip)]
        down = np.eye(3)
        down[1, 2] = top
        for matrices in (homographies @ down).swapaxes(0, 1):
            _warp(scene, matrices[0], frame)
            for n, matrix in enumerate(matrices[1:]):
                _warp(things[n], matrix, thing)
                _warp(gaps[n], matrix, gap)
                np.multiply(frame, gap, out=frame)
                np.add(frame, thing, out=frame)
            np.add(strip, frame, out=strip)
    total *= np.float32(1 / homographies.shape[1])
    return total


def _warp(source: np.ndarray, matrix: np.ndarray, frame: np.ndarray) -> None:
    cv2.warpPerspective(
        source,
        matrix,
        frame.shape[1::-1],
        dst=frame,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


_lock, _inside, _threads_before = threading.Lock(), 0, 0


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """OpenCV would split a picture of 64² over all cores, which doubles its time; samples are
    spread over threads instead. The number is the process's, hence the count of users."""
    global _inside, _threads_before
    with _lock:
        if _inside == 0:
            _threads_before = cv2.getNumThreads()
            cv2.setNumThreads(1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                cv2.setNumThreads(_threads_before)
