"""Reblurring: what the deblurred image looks like out of focus, pixel by pixel, as the photograph.

Training from misaligned pairs adds this network to the deblurring one: it sees the deblurred image
Î and the blurred photograph and blurs Î again, so that the photograph itself, which Î is aligned
with by construction, becomes ground truth (arXiv 2409.17792; JDRL, AAAI 2023, arXiv 2211.14502).

**Kernels.** Those of radius r = 1 … 7 (sides 3 … 15) are radial and have r + 1 seeds s_0 … s_r.
A tap at the distance d from the middle has the logit

    u(d) = (⌈d⌉ − d) |s_⌊d⌋| + (d − ⌊d⌋) |s_⌈d⌉|,   d ≤ r                                     (1)

and the kernel k_r is the softmax of its taps. Outside the disc a kernel is zero; in the published
code (`leaky`) the square's corners have the logit 0 instead, so that no true disc is possible.

**Reblurred image.** With weights W_0 … W_7 of sum 1 at every pixel,

    I_R = W_0 · Î + Σ_r W_r · (k_r ∗ Î)                                                       (2)

**Ring sums.** u depends on d alone, and d takes only 24 values in all seven discs. With M_d the
mean of the image over the n_d taps at distance d, and q_r(d) = softmax(u + log n_d) the mass that
k_r has there, (2) is

    I_R = Σ_d A(d) · M_d,   A(d) = W_0 [d = 0] + Σ_r W_r · q_r(d)                             (3)

which needs 24 products a pixel in place of 679. Nothing of it is kept for the backward pass, which
computes the M_d and q_r again.

Beyond the border the image goes on with its nearest pixel (it is black there in the published
code), so that an even area stays even.
"""

import functools
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from reblur.networks.blocks import conv, initialise_xavier, resblocks

RADII = range(1, 8)
REACH = max(RADII)
SECTIONS = [radius + 1 for radius in RADII]  # seeds of each radius, side by side
SEEDS = sum(SECTIONS)  # 35

# A stencil is a set of taps, symmetric about both axes: its offsets (down, right) with both >= 0.
# First the rings by distance, then, for the leaky form, the corners of each radius's square.
Stencil = list[tuple[int, int]]
_QUADRANT = list(itertools.product(range(REACH + 1), repeat=2))
_SQUARED = sorted({i * i + j * j for i, j in _QUADRANT if i * i + j * j <= REACH**2})
RINGS: list[Stencil] = [[(i, j) for i, j in _QUADRANT if i * i + j * j == d2] for d2 in _SQUARED]
CORNERS: list[Stencil] = [
    [(i, j) for i, j in _QUADRANT if max(i, j) <= radius and i * i + j * j > radius**2]
    for radius in RADII
]
DISTANCES = [math.sqrt(d2) for d2 in _SQUARED]  # of the 24 rings, pixels


def taps(stencil: Stencil) -> int:
    """How many taps the stencil has in all four quadrants."""
    return sum((1 + (i > 0)) * (1 + (j > 0)) for i, j in stencil)


class Section(NamedTuple):
    """What (1) needs to know of one radius: its n stencils, seeds → logits, and log n_d."""

    stencils: Int[Tensor, " n"]  # into RINGS + CORNERS
    interpolation: Float[Tensor, "n seeds"]
    log_taps: Float[Tensor, " n"]


@functools.cache
def section_of(radius: int, leaky: bool, dtype: torch.dtype, device: torch.device) -> Section:
    """The section of a radius, kept from call to call: a GPU need not wait for it again."""
    stencils = [k for k, distance in enumerate(DISTANCES) if distance <= radius]
    interpolation = torch.zeros(len(stencils) + leaky, radius + 1, dtype=torch.float64)
    for k in stencils:
        low = math.floor(DISTANCES[k])
        interpolation[k, low] = 1 - (DISTANCES[k] - low)
        if DISTANCES[k] > low:
            interpolation[k, low + 1] = DISTANCES[k] - low
    if leaky:
        stencils.append(len(RINGS) + radius - 1)  # its row of the interpolation stays zero
    log_taps = [math.log(taps((RINGS + CORNERS)[k])) for k in stencils]
    with torch.inference_mode(False):  # what is kept must also serve a later training
        return Section(
            torch.tensor(stencils, device=device),
            interpolation.to(device=device, dtype=dtype),
            torch.tensor(log_taps, device=device, dtype=dtype),
        )


def sections(
    seeds: Float[Tensor, "b 35 h w"], leaky: bool
) -> Iterator[tuple[int, Section, Float[Tensor, "b _ h w"], Float[Tensor, "b _ h w"]]]:
    """For every radius: r, its section, its seeds s, and the masses q_r(d), of sum 1."""
    for radius, s in zip(RADII, seeds.split(SECTIONS, 1), strict=True):
        section = section_of(radius, leaky, seeds.dtype, seeds.device)
        with torch.autocast(s.device.type, enabled=False):
            logits = torch.matmul(section.interpolation, s.abs().flatten(2))  # eq. (1), (B, n, H W)
        masses = (logits + section.log_taps[:, None]).softmax(1)
        yield radius, section, s, masses.unflatten(2, s.shape[-2:])


def stencil_masses(
    seeds: Float[Tensor, "b 35 h w"], weights: Float[Tensor, "b 8 h w"], leaky: bool = False
) -> Float[Tensor, "b stencils h w"]:
    """A of equation (3): the mass of the whole kernel on each of RINGS (+ CORNERS); of sum 1."""
    a = _unblurred(seeds, weights, leaky)
    for radius, section, _, masses in sections(seeds, leaky):
        a.index_add_(1, section.stencils, masses * weights[:, radius : radius + 1])
    return a


def _unblurred(seeds: Tensor, weights: Tensor, leaky: bool) -> Tensor:
    """W_0 [d = 0], the first term of A."""
    count = len(RINGS) + (len(CORNERS) if leaky else 0)
    a = seeds.new_zeros(seeds.shape[0], count, *seeds.shape[2:])
    a[:, 0] = weights[:, 0]
    return a


# Operators of their own, so that torch.compile calls them as they are: it would take minutes over
# their hundreds of small steps.
@torch.library.custom_op("reblur::ring_sums", mutates_args=())
def _ring_sums(padded: Tensor, seeds: Tensor, weights: Tensor, leaky: bool) -> Tensor:
    """Equation (3), on an image that has a margin of REACH pixels on every side."""
    with torch.autocast(seeds.device.type, enabled=False):
        a = stencil_masses(seeds, weights, leaky)
        total = padded.new_zeros(*padded.shape[:2], *seeds.shape[2:])
        for k, mean in enumerate(_means(padded, a.shape[1])):
            total.addcmul_(a[:, k : k + 1], mean)
    return total


@torch.library.custom_op("reblur::ring_sums_backward", mutates_args=())
def _ring_sums_backward(
    gradient: Tensor, padded: Tensor, seeds: Tensor, weights: Tensor, leaky: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """∂L/∂padded, ∂L/∂seeds, ∂L/∂W of `_ring_sums`, from ∂L/∂I_R."""
    with torch.autocast(seeds.device.type, enabled=False):
        a = _unblurred(seeds, weights, leaky)
        to_a = torch.empty_like(a)  # ∂L/∂A(d) = Σ over the colours of ∂L/∂I_R · M_d
        for k, mean in enumerate(_means(padded, a.shape[1])):
            torch.sum(mean * gradient, 1, out=to_a[:, k])
        to_weights, to_seeds = torch.empty_like(weights), []
        to_weights[:, 0] = to_a[:, 0]
        for radius, section, s, q in sections(seeds, leaky):
            w = weights[:, radius : radius + 1]
            a.index_add_(1, section.stencils, q * w)
            part = q * to_a.index_select(1, section.stencils)
            mean = part.sum(1, keepdim=True)  # ∂L/∂W_r, and what the softmax takes away
            to_weights[:, radius : radius + 1] = mean
            to_logits = part.addcmul_(q, mean, value=-1).mul_(w)
            to_size = torch.matmul(section.interpolation.T, to_logits.flatten(2))  # ∂L/∂|s|
            to_seeds.append(to_size.view_as(s).mul_(s.sign()))
        return _to_padded(padded, a, gradient), torch.cat(to_seeds, 1), to_weights


@_ring_sums.register_fake
def _(padded, seeds, weights, leaky):
    return padded.new_empty(*padded.shape[:2], *seeds.shape[2:])


@_ring_sums_backward.register_fake
def _(gradient, padded, seeds, weights, leaky):
    return torch.empty_like(padded), torch.empty_like(seeds), torch.empty_like(weights)


def _remember(ctx, inputs, output) -> None:
    *tensors, ctx.leaky = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    return (*_ring_sums_backward(gradient, *ctx.saved_tensors, ctx.leaky), None)


_ring_sums.register_autograd(_differentiate, setup_context=_remember)


def _means(padded: Tensor, count: int) -> Iterator[Tensor]:
    """M of the first `count` stencils, (B, C, H, W) each; they share their sums along rows."""
    in_rows = [_both(padded, 3, j) for j in range(REACH + 1)]
    for stencil in (RINGS + CORNERS)[:count]:
        sums = (_both(in_rows[j], 2, i) for i, j in stencil)
        yield functools.reduce(torch.add, sums) / taps(stencil)


def _to_padded(padded: Tensor, a: Tensor, gradient: Tensor) -> Tensor:
    """∂L/∂padded: the adjoint of `_means`, applied to A(d) · ∂L/∂I_R."""
    shape = (*padded.shape[:3], gradient.shape[3])
    to_rows = [gradient.new_zeros(shape) for _ in range(REACH + 1)]
    for k, stencil in enumerate((RINGS + CORNERS)[: a.shape[1]]):
        product = gradient * (a[:, k : k + 1] / taps(stencil))
        for i, j in stencil:
            _add_both(to_rows[j], 2, i, product)
    total = torch.zeros_like(padded)
    for j, rows in enumerate(to_rows):
        _add_both(total, 3, j, rows)
    return total


def _both(x: Tensor, dim: int, offset: int) -> Tensor:
    """x shifted by +offset and by -offset along `dim`, added; REACH shorter on either side."""
    length = x.shape[dim] - 2 * REACH
    forth = x.narrow(dim, REACH - offset, length)
    return forth if offset == 0 else forth + x.narrow(dim, REACH + offset, length)


def _add_both(total: Tensor, dim: int, offset: int, x: Tensor) -> None:
    """Adds to `total` the adjoint of `_both` of x."""
    for start in {REACH - offset, REACH + offset}:
        total.narrow(dim, start, x.shape[dim]).add_(x)


def reblur(
    image: Float[Tensor, "b c h w"],
    seeds: Float[Tensor, "b 35 h w"],
    weights: Float[Tensor, "b 8 h w"],
    leaky: bool = False,
) -> Float[Tensor, "b c h w"]:
    """I_R of equation (2): the image, blurred at every pixel by that pixel's own kernel.

    Computed in float32 or float64, under autocast too; differentiable (once) in all three.

    Args:
        image: Î, of any range and number of channels.
        seeds: s_0 … s_r of the radii 1 … 7, side by side; their signs do not matter.
        weights: W_0 … W_7, not negative, of sum 1.
        leaky: the published kernels, which leak into the corners of their squares.
    """
    image, seeds, weights = (_precise(x).contiguous() for x in (image, seeds, weights))
    padded = F.pad(image, (REACH,) * 4, mode="replicate")
    return _ring_sums(padded, seeds, weights, leaky)


def _precise(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


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
    largest disc. To be compared with |c| of `reblur.datasets.thin_lens`.
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
        seeds = _precise(self.seeds(images))
        weights = _precise(self.weights(images)).softmax(1)
        return Reblurred(reblur(restored, seeds, weights, self.leaky), seeds, weights)
