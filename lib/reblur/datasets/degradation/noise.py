"""Noise of the hand-made degradations, on display values, each sample from a key of its own."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

PEAK = 256.0  # photons at white of Poisson noise of strength 1
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def drawn(step: dict[str, Any], image: Float[Tensor, "3 h w"]) -> Float[Tensor, "_ h w"]:
    """What a step of noise adds to an image in [0, 1] on the CPU, so that the same key gives the
    same noise on every device; one channel where it is the same in all three.

    - "gaussian_noise": N(0, σ²), σ in 8-bit levels (of 255);
    - "covariance_noise": N(0, C), correlated between the channels, C in squared 8-bit levels;
    - "poisson_noise": s · (n / 256 − v) with n ~ Poisson(256 v), of variance s² v / 256 at value v;
      256 photons at white is what Real-ESRGAN takes for any photograph of more than 128 different
      levels. Where `grey`, v is the pixel's luma.
    """
    generator = torch.Generator().manual_seed(step["key"])
    size = image.shape[1:]
    if step["step"] == "gaussian_noise":
        normal = torch.randn(1 if step["grey"] else 3, *size, generator=generator)
        return step["sigma"] / 255 * normal
    if step["step"] == "covariance_noise":
        # C = V diag(λ) Vᵀ, so that V diag(√λ) · N(0, 1) has it, also where C is singular
        covariance = torch.tensor(step["covariance"], dtype=torch.float64)
        strengths, axes = torch.linalg.eigh(covariance)
        mixing = (axes * strengths.clamp(min=0).sqrt() / 255).float()
        return torch.einsum("cd,dhw->chw", mixing, torch.randn(3, *size, generator=generator))
    luma = torch.tensor(LUMA)[:, None, None]
    value = (image * luma).sum(0, keepdim=True) if step["grey"] else image
    counts = torch.poisson(value * PEAK, generator=generator)
    return step["strength"] * (counts / PEAK - value)
