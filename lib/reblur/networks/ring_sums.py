"""Blur by radial kernels that differ from pixel to pixel, by sums over rings of taps.

The kernels are those of arXiv 2409.17792 (and JDRL, AAAI 2023, arXiv 2211.14502).

**Kernels.** Those of radius r = 1 … 7 (sides 3 … 15) are radial and have r + 1 seeds s_0 … s_r.
A tap at the distance d from the middle has the logit

    u(d) = (1 − f) |s_⌊d⌋| + f |s_⌊d⌋₊₁|,   f = d − ⌊d⌋,   d ≤ r                               (1)

(where f = 0, the second seed does not count), and the kernel k_r is the softmax of its taps.
Outside the disc a kernel is zero; in the published code (`leaky`) the square's corners have the
logit 0 instead, so that no true disc is possible.

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
from torch import Tensor

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
    image, seeds, weights = (precise(x).contiguous() for x in (image, seeds, weights))
    padded = F.pad(image, (REACH,) * 4, mode="replicate")
    return _ring_sums(padded, seeds, weights, leaky)


def discs(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 8 c h w"]:
    """The image blurred by even discs of the radii 0 (as it is), 1, …, 7: k_r of seeds 0."""
    padded = F.pad(image, (REACH,) * 4, mode="replicate")
    total, count, blurred = torch.zeros_like(image), 0, [image]
    for k, mean in enumerate(_means(padded, len(RINGS))):
        total = total + taps(RINGS[k]) * mean
        count += taps(RINGS[k])
        if k and DISTANCES[k] == len(blurred):  # the outermost ring of the next radius
            blurred.append(total / count)
    return torch.stack(blurred, 1)


def precise(x: Tensor) -> Tensor:
    """In float32, if it is in half precision."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
