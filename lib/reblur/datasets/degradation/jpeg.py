"""A round trip through a JPEG file, by the real codec (libjpeg-turbo, by way of OpenCV)."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def eight_bits(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Clipped to [0, 1] and rounded to the grid of 8-bit values n / 255."""
    return images.clamp(0, 1).mul(255).round().div(255)


def jpeg(images: Float[Tensor, "b 3 h w"], qualities: Sequence[int]) -> Float[Tensor, "b 3 h w"]:
    """Images as they come back from JPEG files of these qualities (1-100), colour subsampled 4:2:0.

    Clipped and rounded to 8 bits first, as whoever writes a file does. The codec runs on the CPU,
    image by image.
    """
    levels = images.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    decoded = np.empty_like(levels)
    for place, quality in enumerate(qualities):
        decoded[place] = _round_trip(np.ascontiguousarray(levels[place, ..., ::-1]), quality)
    back = torch.from_numpy(decoded).to(images.device).permute(0, 3, 1, 2)
    return back.to(images.dtype).div(255).contiguous()


def _round_trip(bgr: np.ndarray, quality: int) -> np.ndarray:
    options = [
        *(cv2.IMWRITE_JPEG_QUALITY, int(quality)),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420),
    ]
    _, data = cv2.imencode(".jpg", bgr, options)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
