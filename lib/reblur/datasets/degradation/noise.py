"""Noise of the hand-made degradations, on display values, each sample from a key of its own.

The draws are made on the CPU and then moved: the same key gives the same noise on every device.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

PEAK = 256.0  # photons at white of `poisson_noise` at strength 1
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def gaussian_noise(
    images: Float[Tensor, "b 3 h w"],
    sigmas: Sequence[float],
    grey: Sequence[bool],
    keys: Sequence[int],
) -> Float[Tensor, "b 3 h w"]:
    """Add N(0, σ²) to every value, or the same to the three channels of a pixel where `grey`.

    Args:
        sigmas: standard deviations in 8-bit levels (of 255).
    """
    size = images.shape[2:]
    noise = [
        sigma / 255 * torch.randn(1 if one else 3, *size, generator=_generator(key))
        for sigma, one, key in zip(sigmas, grey, keys, strict=True)
    ]
    return images + _batch(noise, images)


def covariance_noise(
    images: Float[Tensor, "b 3 h w"],
    covariances: Sequence[list[list[float]]],
    keys: Sequence[int],
) -> Float[Tensor, "b 3 h w"]:
    """Add N(0, C) to every pixel: noise that is correlated between the channels.

    Args:
        covariances: C, (3, 3), in squared 8-bit levels.
    """
    size = images.shape[2:]
    noise = []
    for covariance, key in zip(covariances, keys, strict=True):
        # C = V diag(λ) Vᵀ, so that V diag(√λ) · N(0, 1) has it, also where C is singular
        strengths, axes = torch.linalg.eigh(torch.tensor(covariance, dtype=torch.float64))
        mixing = (axes * strengths.clamp(min=0).sqrt() / 255).float()
        normal = torch.randn(3, *size, generator=_generator(key))
        noise.append(torch.einsum("cd,dhw->chw", mixing, normal))
    return images + _batch(noise, images)


def poisson_noise(
    images: Float[Tensor, "b 3 h w"],
    strengths: Sequence[float],
    grey: Sequence[bool],
    keys: Sequence[int],
) -> Float[Tensor, "b 3 h w"]:
    """Add s · (n / 256 − v) with n ~ Poisson(256 v): variance s² v / 256 at value v.

    256 photons at white is what Real-ESRGAN takes for any photograph of more than 128 different
    levels. Where `grey`, v is the pixel's luma and the three channels get the same.
    """
    noise = []
    values = images.clamp(0, 1).cpu()
    luma = torch.tensor(LUMA)[:, None, None]
    for image, strength, one, key in zip(values, strengths, grey, keys, strict=True):
        value = (image * luma).sum(0, keepdim=True) if one else image
        counts = torch.poisson(value * PEAK, generator=_generator(key))
        noise.append(strength * (counts / PEAK - value))
    return images + _batch(noise, images)


def _generator(key: int) -> torch.Generator:
    return torch.Generator().manual_seed(key)


def _batch(noise: list[Tensor], images: Tensor) -> Tensor:
    return torch.stack([part.expand(3, -1, -1) for part in noise]).to(images.device)
