"""Reblurring: what the deblurred image looks like out of focus, pixel by pixel, as the photograph.

Training from misaligned pairs adds this network to the deblurring one: it sees the deblurred image
Î and the blurred photograph and blurs Î again, so that the photograph itself, which Î is aligned
with by construction, becomes ground truth (arXiv 2409.17792; JDRL, AAAI 2023, arXiv 2211.14502).
The kernels, and the numbers of the equations, are those of `reblur.networks.ring_sums`.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reblur.networks.blocks import conv, initialise_xavier, resblocks
from reblur.networks.ring_sums import (
    CORNERS,
    RADII,
    REACH,
    RINGS,
    SEEDS,
    precise,
    reblur,
    sections,
    stencil_masses,
    taps,
)


def radial_kernels(seeds: Float[Tensor, "n 35"], leaky: bool = False) -> Float[Tensor, "n 7 15 15"]:
    """The kernels k_1 … k_7 of n pixels, each of sum 1 and in the middle of 15×15 taps."""
    stencils = _stencils(seeds)
    return torch.stack(
        [
            torch.einsum("nk,kij->nij", masses[..., 0, 0], stencils[section.stencils])
            for _, section, _, masses in sections(seeds[..., None, None], leaky)
        ],
        1,
    )


def whole_kernels(
    seeds: Float[Tensor, "n 35"], weights: Float[Tensor, "n 8"], leaky: bool = False
) -> Float[Tensor, "n 15 15"]:
    """The kernel of n pixels that (2) amounts to: W_0 · δ + Σ_r W_r · k_r, of sum 1."""
    a = stencil_masses(seeds[..., None, None], weights[..., None, None], leaky)[..., 0, 0]
    return torch.einsum("nk,kij->nij", a, _stencils(seeds)[: a.shape[1]])


def _stencils(like: Tensor) -> Tensor:
    """Every stencil as (15, 15) taps of sum 1."""
    images = like.new_zeros(len(RINGS) + len(CORNERS), 2 * REACH + 1, 2 * REACH + 1)
    for image, stencil in zip(images, RINGS + CORNERS, strict=True):
        for i, j in stencil:
            image[[[REACH - i], [REACH + i]], [REACH - j, REACH + j]] = 1 / taps(stencil)
    return images


def expected_radius(weights: Float[Tensor, "b 8 h w"]) -> Float[Tensor, "b h w"]:
    """Σ_r r · W_r, pixels: which radii the mixture chooses, whatever the kernels look like."""
    return sum(radius * weights[:, radius] for radius in RADII)


def circle_of_confusion(
    seeds: Float[Tensor, "b 35 h w"], weights: Float[Tensor, "b 8 h w"], leaky: bool = False
) -> Float[Tensor, "b h w"]:
    """Diameter in pixels, without a sign, of the even disc that spreads light as the kernel does.

    An even disc of diameter c has the mean squared distance E[d²] = c²/8 from its middle, so
    c = √(8 E[d²]), E over the kernel of (2). 0 where the kernel is a point, and 13.8 for the
    largest disc. To be compared with |c| of `reblur.datasets.defocus.thin_lens`.
    """
    squares = [
        sum(taps([(i, j)]) * (i * i + j * j) for i, j in stencil) / taps(stencil)
        for stencil in RINGS + CORNERS
    ]
    a = stencil_masses(seeds, weights, leaky)
    return (8 * (a * a.new_tensor(squares[: a.shape[1]])[:, None, None]).sum(1)).sqrt()


def residual_head(channels_in: int, width: int, channels_out: int) -> nn.Sequential:
    """Convolution, three residual blocks, convolution, all 3×3: the estimators of this chapter."""
    return nn.Sequential(
        conv(channels_in, width, 3), *resblocks(3, width, 3, True), conv(width, channels_out, 3)
    )


class Reblurred(NamedTuple):
    """What `Reblurring` returns."""

    image: Float[Tensor, "b 3 h w"]  # I_R
    seeds: Float[Tensor, "b 35 h w"]
    weights: Float[Tensor, "b 8 h w"]  # W_0 … W_7 after their softmax


class Reblurring(nn.Module):
    """Two heads on (Î, blurred) that give the seeds and the weights W; 474,987 parameters.

    For training, and for maps of the blur; a network that restores does not need it.

    Args:
        leaky: the published kernels, see `reblur`.
    """

    def __init__(self, leaky: bool = False) -> None:
        super().__init__()
        self.leaky = leaky
        self.seeds = residual_head(6, 64, SEEDS)
        self.weights = residual_head(6, 64, 1 + len(RADII))

    def initialise(self, seed: int) -> None:
        """Xavier-uniform convolutions, zero biases."""
        initialise_xavier(self, seed)

    def forward(
        self, restored: Float[Tensor, "b 3 h w"], blurred: Float[Tensor, "b 3 h w"]
    ) -> Reblurred:
        """Blur `restored` until it looks like `blurred`; RGB in [0, 1], of any size.

        Returns:
            The reblurred image, the seeds and the weights, float32 (float64 in, float64 out).
        """
        images = torch.cat([restored, blurred], 1)
        seeds = precise(self.seeds(images))
        weights = precise(self.weights(images)).softmax(1)
        return Reblurred(reblur(restored, seeds, weights, self.leaky), seeds, weights)
