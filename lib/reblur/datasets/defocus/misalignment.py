"""Misaligned pairs under control: how a second camera, or a second moment, moves the sharp side.

**Direction of the flow.** A flow u is a field of displacements in pixels, channel 0 to the right,
channel 1 downwards, on the grid of the *misaligned* picture:

    misaligned(x) = aligned(x + u(x))                                                         (1)

so u is the optical flow from the misaligned sharp picture to the blurred one, and warping an
aligned picture backwards by u puts it onto the misaligned one.

**Level.** The root mean square over the picture of |u|, in pixels: exact for every sample, whatever
the kinds of movement. Several kinds are mixed with random shares.

Kinds, with x from the middle of the picture, D the inverse depth, and a random sign or direction:

- `shift`: u = const.
- `rotation`: u = (R(θ) − 1) x, the camera rolls about its axis.
- `zoom`: u = (s − 1) x, another focal length, or the breathing of a lens that changes its focus.
- `parallax`: u = b · D, the camera moves sideways by b. D is taken at the misaligned picture's own
  pixels, so at an edge of depth a strip is repeated or left out, as in a real second view.
- `smooth`: three half-waves at most across the picture, each with a random weight: rolling
  shutter, lens distortion, things that drift.

A rotation alone is exact at any level; in a mixture it may differ by the mixture's last scaling to
the level. Levels beyond a sixteenth of the picture's side can fold the `smooth` kind.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reblur.errors import ReblurError
from reblur.randomness import numpy_generator

Kind = Literal["shift", "rotation", "zoom", "parallax", "smooth"]
KINDS: tuple[Kind, ...] = get_args(Kind)
HALF_WAVES = 3
LARGEST_RATIO = 3.5  # of the largest to the root-mean-square displacement, but for rare parallaxes


def margin(level: float | int) -> int:
    """Pixels of content around a picture that `displace` needs at this level."""
    return math.ceil(LARGEST_RATIO * level) + 2 if level > 0 else 0


def check_misalignment(level: float | int, kinds: Sequence[str]) -> None:
    """Raises:
    ReblurError: a level that is negative or not finite, no kind, or an unknown one.
    """
    if not 0 <= level < math.inf:
        raise ReblurError(f"misalignment: level {level}; give 0 or a positive number of pixels.")
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        what = f"unknown kind {unknown[0]!r}" if unknown else "no kind of movement"
        raise ReblurError(f"misalignment: {what}; choose from {', '.join(KINDS)}.")


def random_flow(
    level: float | int,
    kinds: Sequence[str],
    inverse_depth: Float[Tensor, "b h w"],
    seed: int,
    indices: Sequence[int],
) -> Float[Tensor, "b 2 h w"]:
    """Flows (1) of root mean square `level` pixels. Sample i is a function of (seed, i) alone; the
    flows of two levels differ by a factor (but for the angle of `rotation`).

    Args:
        level: 0 or more.
        kinds: of `KINDS`.
        inverse_depth: 1/m, for `parallax`; its grid is the flow's.

    Raises:
        ReblurError: a negative level, or an unknown kind.
    """
    check_misalignment(level, kinds)
    batch, height, width = inverse_depth.shape
    flow = inverse_depth.new_zeros(batch, 2, height, width)
    if level == 0:
        return flow
    draws = [numpy_generator(seed, "misalignment", i) for i in indices]
    shares = flow.new_tensor([draw.normal(size=len(KINDS)).tolist() for draw in draws])
    shares = shares[:, [KINDS.index(kind) for kind in kinds]]
    amplitudes = level * shares / shares.norm(dim=1, keepdim=True)  # (b, kinds), pixels
    angles = flow.new_tensor([draw.uniform(0, 2 * math.pi, 2).tolist() for draw in draws])
    weights = [draw.normal(size=(2, HALF_WAVES + 1, HALF_WAVES + 1)).tolist() for draw in draws]

    like = {"device": flow.device, "dtype": flow.dtype}
    y = (torch.arange(height, **like) - (height - 1) / 2)[:, None].expand(height, width)
    x = (torch.arange(width, **like) - (width - 1) / 2)[None].expand(height, width)
    radius = max(1e-6, math.sqrt((height**2 + width**2 - 2) / 12))  # root mean square of |x|
    for n, kind in enumerate(kinds):
        amplitude = amplitudes[:, n, None, None, None]
        if kind == "shift":
            field = _direction(angles[:, 0]).expand_as(flow)
        elif kind == "rotation":  # (R(θ) − 1) x = 2 sin(θ/2) · R(θ/2 + 90°) x
            sine = (amplitude / (2 * radius)).clamp(-1, 1)
            cosine = (1 - sine**2).sqrt()
            field = torch.cat([-sine * x - cosine * y, cosine * x - sine * y], 1)
        elif kind == "zoom":
            field = torch.stack([x, y]).expand_as(flow)
        elif kind == "parallax":
            field = _direction(angles[:, 1]) * inverse_depth[:, None]
        else:
            field = _smooth(flow.new_tensor(weights), height, width)
        flow = flow + amplitude * _scaled(field, 1.0)
    return _scaled(flow, level)


def displace(
    aligned: Float[Tensor, "b c h2 w2"], flow: Float[Tensor, "b 2 h w"]
) -> Float[Tensor, "b c h w"]:
    """The misaligned picture (1), by bicubic interpolation, clipped to [0, 1].

    Args:
        aligned: values in [0, 1]; larger than the flow by the same margin on opposite sides, so
            that what moves in is true content (reflected where a flow reaches beyond it).
        flow: pixels. A flow that is zero everywhere gives the very bits of the middle of `aligned`.
    """
    (height, width), (rows, columns) = flow.shape[-2:], aligned.shape[-2:]
    top, left = (rows - height) // 2, (columns - width) // 2
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + top
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + left
    # align_corners: −1 and 1 are the middles of the first and the last pixel
    grid_x = (flow[:, 0] + x) * (2 / max(columns - 1, 1)) - 1
    grid_y = (flow[:, 1] + y) * (2 / max(rows - 1, 1)) - 1
    moved = F.grid_sample(
        aligned,
        torch.stack([grid_x, grid_y], -1),
        mode="bicubic",
        padding_mode="reflection",
        align_corners=True,
    ).clamp(0, 1)
    still = aligned[..., top : top + height, left : left + width]
    return torch.where((flow == 0).all(1, keepdim=True), still, moved)


def _direction(angle: Float[Tensor, " b"]) -> Float[Tensor, "b 2 1 1"]:
    return torch.stack([angle.cos(), angle.sin()], 1)[:, :, None, None]


def _smooth(
    weights: Float[Tensor, "b 2 n n"], height: int, width: int
) -> Float[Tensor, "b 2 {height} {width}"]:
    """Sum of weights · cos(π i x) cos(π j y) / (i² + j²), without its mean."""
    waves = torch.arange(weights.shape[-1], device=weights.device, dtype=weights.dtype)
    squares = waves[:, None] ** 2 + waves**2
    weights = torch.where(squares > 0, weights / squares.clamp(min=1), 0.0)
    y, x = (
        (math.pi / n * waves[:, None] * (torch.arange(n).to(waves) + 0.5)).cos()
        for n in (height, width)
    )
    return torch.einsum("bcij,ih,jw->bchw", weights, y, x)


def _scaled(flow: Float[Tensor, "b 2 h w"], level: float | int) -> Float[Tensor, "b 2 h w"]:
    """The flow made to have `level` as its root mean square; zero stays zero."""
    square = flow.square().sum(1, keepdim=True).mean((2, 3), keepdim=True)
    return flow * (level / square.clamp(min=1e-20).sqrt())
