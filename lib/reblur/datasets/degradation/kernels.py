"""Blur kernels of the hand-made degradations, and convolution with one kernel a sample.

With x the place in pixels from the kernel's middle and Σ = R(θ) diag(σ₁², σ₂²) R(θ)ᵀ, before
they are divided by their sum:

    gaussian      k(x) = exp(−½ xᵀ Σ⁻¹ x)                                                     (1)
    generalised   k(x) = exp(−½ (xᵀ Σ⁻¹ x)^β)                                                 (2)
    plateau       k(x) = 1 / (1 + (xᵀ Σ⁻¹ x)^β)                                               (3)
    sinc          k(x) = ω J₁(ω |x|) / (2π |x|),  k(0) = ω² / 4π                              (4)
    unsharp       k(x) = (1 + a) δ(x) − a · (1)                                               (5)

(1)-(4): Wang et al., "Real-ESRGAN", ICCVW 2021, section 3.2 and 3.4; (4) is the ideal round
low-pass of cut-off ω in radians a pixel, whose ringing looks like overshoot of a sharpening.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.fft import next_fast_len
from torch import Tensor

Kernel = dict[str, Any]


def gaussian_like(
    shape: str,
    size: int,
    sigma: tuple[float, float],
    angle: float = 0.0,
    beta: float = 1.0,
    shift: float = 0.0,
) -> Kernel:
    """What is recorded of a kernel (1), (2) or (3).

    Args:
        shape: "gaussian", "generalised" or "plateau".
        size: odd side in pixels.
        sigma: σ₁ and σ₂ in pixels.
        angle: θ of σ₁'s axis, radians.
        beta: exponent β of (2) and (3).
        shift: the kernel's middle is at (shift, shift) pixels.
    """
    return {
        "shape": shape,
        "size": size,
        "sigma": list(sigma),
        "angle": angle,
        "beta": beta,
        "shift": shift,
    }


def sinc(size: int, cutoff: float) -> Kernel:
    """What is recorded of a kernel (4); `cutoff` in radians a pixel, π is the finest frequency."""
    return {"shape": "sinc", "size": size, "cutoff": cutoff}


def unsharp(size: int, sigma: float, amount: float) -> Kernel:
    """What is recorded of a kernel (5), of a round Gaussian and a = `amount`."""
    return gaussian_like("unsharp", size, (sigma, sigma)) | {"amount": amount}


def values(kernel: Kernel) -> Float[np.ndarray, "k k"]:
    """The recorded kernel itself, float64, of sum 1; rows are y."""
    reach = np.arange(kernel["size"]) - kernel["size"] // 2
    if kernel["shape"] == "sinc":
        cutoff, radius = kernel["cutoff"], np.hypot(reach[:, None], reach)
        middle = radius == 0
        radius[middle] = 1
        bessel = torch.special.bessel_j1(torch.from_numpy(cutoff * radius)).numpy()
        weights = np.where(middle, cutoff**2 / (4 * np.pi), cutoff * bessel / (2 * np.pi * radius))
    else:
        place = reach - kernel["shift"]
        cosine, sine = np.cos(kernel["angle"]), np.sin(kernel["angle"])
        along = (cosine * place + sine * place[:, None]) / kernel["sigma"][0]
        across = (cosine * place[:, None] - sine * place) / kernel["sigma"][1]
        squared = along**2 + across**2
        if kernel["shape"] == "plateau":
            weights = 1 / (1 + squared ** kernel["beta"])
        else:  # 0 to the power of 1 stays 0: (1) is (2) with β = 1
            weights = np.exp(-0.5 * squared ** kernel["beta"])
    weights = weights / weights.sum()
    if kernel["shape"] == "unsharp":
        weights *= -kernel["amount"]
        weights[kernel["size"] // 2, kernel["size"] // 2] += 1 + kernel["amount"]
    return weights


def mirror_pad(images: Float[Tensor, "b c h w"], pad: int) -> Float[Tensor, "b c _ _"]:
    """Images that go on as their mirror image, the border pixel not repeated; as often as
    `pad` pixels need, however small the image."""

    def mirrored(side: int) -> Tensor:
        period = max(2 * (side - 1), 1)
        place = torch.arange(-pad, side + pad, device=images.device) % period
        return torch.minimum(place, (period - place) % period) if side > 1 else place

    rows, columns = (mirrored(side) for side in images.shape[2:])
    return images.index_select(2, rows).index_select(3, columns)


def convolve(
    images: Float[Tensor, "b c h w"], kernels: Sequence[Float[Tensor, "_ _ _"]]
) -> Float[Tensor, "b c h w"]:
    """Convolve each image with its own kernel: all of its channels with the one, or each with
    its own (kernels of shape (1, k, k) or (c, k, k), k odd). Images go on as their mirror image.

    Done as a product of Fourier transforms, long enough not to wrap around; for kernels of some
    20 pixels several times faster than a sum over their taps.
    """
    pad = max(kernel.shape[-1] for kernel in kernels) // 2
    height, width = images.shape[2:]
    # the first 2·pad rows and columns wrap around and are cut off, so nothing longer is needed
    size = [next_fast_len(side + 2 * pad, real=True) for side in (height, width)]
    taps = torch.zeros(len(kernels), kernels[0].shape[0], 2 * pad + 1, 2 * pad + 1)
    for row, kernel in enumerate(kernels):
        rim = pad - kernel.shape[-1] // 2
        taps[row, :, rim : 2 * pad + 1 - rim, rim : 2 * pad + 1 - rim] = kernel
    spectrum = torch.fft.rfft2(mirror_pad(images, pad), size)
    spectrum = spectrum * torch.fft.rfft2(taps.to(images.device), size)
    blurred = torch.fft.irfft2(spectrum, size)
    return blurred[..., 2 * pad : 2 * pad + height, 2 * pad : 2 * pad + width]
