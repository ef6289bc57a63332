"""Optical flow between two pictures, warping one onto the other, and which pixels to believe.

The flow from a to b is a field u on the grid of a, in pixels, channel 0 to the right and channel 1
downwards: what a shows at x, b shows at x + u(x). `warp(b, u)` puts b onto a.

Flow is not differentiated. Where none can be found, because a picture is flat (less than one grey
level of standard deviation) or too small (a side under 16 pixels), it is zero, and the pair is
reported as not found: no pixel of it is reliable.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from reblur.errors import ReblurError

Pictures = Float[Tensor, "b 3 h w"]
Grey = UInt8[np.ndarray, "h w"]
SMALLEST = 16  # pixels; below that OpenCV's DIS can crash the process
FLAT = 1.0  # grey levels


def warp(
    picture: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 2 h w"]
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 1 h w"]]:
    """`picture(x + flow(x))`, bilinear; pixel centres lie at whole numbers.

    At a flow of whole pixels values are copied bit by bit; at zero flow it is the identity. Beyond
    the border the nearest pixel is repeated. Differentiable in both arguments.

    Returns:
        The warped picture, and 1 where x + flow(x) lies inside the picture, else 0.

    Raises:
        ReblurError: the flow is not finite.
    """
    if not torch.isfinite(flow).all():
        raise ReblurError("the flow holds values that are not finite; estimate it anew.")
    batch, channels, height, width = picture.shape
    grid_x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    grid_y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    to_x, to_y = grid_x + flow[:, 0], grid_y + flow[:, 1]  # (B, H, W)
    inside = (to_x >= 0) & (to_x <= width - 1) & (to_y >= 0) & (to_y <= height - 1)
    to_x, to_y = to_x.clamp(0, width - 1), to_y.clamp(0, height - 1)
    left, top = to_x.detach().floor(), to_y.detach().floor()
    share_x, share_y = (to_x - left)[:, None], (to_y - top)[:, None]  # of the right, the lower
    pixels = picture.flatten(2)

    def at(x: Tensor, y: Tensor) -> Tensor:
        index = y.clamp(max=height - 1).long() * width + x.clamp(max=width - 1).long()
        index = index.view(batch, 1, -1).expand(-1, channels, -1)
        return pixels.gather(2, index).view_as(picture)

    upper = torch.lerp(at(left, top), at(left + 1, top), share_x.to(picture.dtype))
    lower = torch.lerp(at(left, top + 1), at(left + 1, top + 1), share_x.to(picture.dtype))
    warped = torch.lerp(upper, lower, share_y.to(picture.dtype))
    return warped, inside[:, None].to(picture.dtype)


class Flow(NamedTuple):
    """What `estimate_flow` returns."""

    flow: Float32[Tensor, "b 2 h w"]
    found: Bool[Tensor, " b"]  # False: the flow is zero because none could be estimated


@torch.no_grad()
def estimate_flow(first: Pictures, second: Float[Tensor, "b 3 _ _"]) -> Flow:
    """The flow from `first` to `second`, pictures in [0, 1] (clamped to it), by OpenCV's dense
    inverse search (Kroeger et al., ECCV 2016), on the luma and on the CPU.

    Raises:
        ReblurError: values that are not finite, or pictures of different sizes.
    """
    _check(first, second)
    first, second = first.float().clamp(0, 1), second.float().clamp(0, 1)
    found = (_contrast(first) >= FLAT / 255) & (_contrast(second) >= FLAT / 255)
    if min(first.shape[2:]) < SMALLEST:
        found = torch.zeros_like(found)
    flow = first.new_zeros(first.shape[0], 2, *first.shape[2:])
    if found.any():
        flow[found] = _dense_inverse_search(first[found], second[found])
        found &= torch.isfinite(flow).flatten(1).all(1)
        flow[~found] = 0.0
    return Flow(flow, found)


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        sizes = " and ".join("×".join(map(str, x.shape[:1:-1])) for x in (first, second))
        raise ReblurError(f"flow: the pictures' sizes differ ({sizes}); crop both to the same.")
    if not (torch.isfinite(first).all() and torch.isfinite(second).all()):
        raise ReblurError(
            "flow: a picture holds values that are not finite; check its file, or lower lr if a "
            "network made it."
        )


def _luma(pictures: Pictures) -> Float[Tensor, "b h w"]:
    return (pictures * pictures.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)


def _contrast(pictures: Pictures) -> Float[Tensor, " b"]:
    return _luma(pictures).flatten(1).std(1, correction=0)


def _dense_inverse_search(first: Pictures, second: Pictures) -> Float[Tensor, "b 2 h w"]:
    def between(a: Grey, b: Grey) -> Float[np.ndarray, "h w 2"]:
        # One for each pair: it is not safe between threads, and keeps scales from call to call.
        search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        return search.calc(a, b, None)

    greys = [(_luma(x) * 255).round().to(torch.uint8).cpu().numpy() for x in (first, second)]
    with ThreadPoolExecutor() as pool:  # OpenCV leaves Python's lock to the others
        flows = list(pool.map(between, *greys))
    return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2).to(first)


def consistency_mask(
    flow: Float[Tensor, "b 2 h w"], back: Float[Tensor, "b 2 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """1 where the flow and the flow back cancel, and the flow stays inside the picture; else 0.

    `|u(x) + u'(x + u(x))|² < 0.01 (|u(x)|² + |u'(x + u(x))|²) + 0.5` (Sundaram, Brox, Keutzer,
    ECCV 2010, equation 5).

    Args:
        flow: u, from a to b.
        back: u', from b to a.
    """
    returned, inside = warp(back, flow)
    error = (flow + returned).square().sum(1, keepdim=True)
    length = (flow.square() + returned.square()).sum(1, keepdim=True)
    return (error < 0.01 * length + 0.5).to(flow.dtype) * inside


class Correspondence(NamedTuple):
    """One picture's flow to the other, and where to believe it."""

    flow: Float32[Tensor, "b 2 h w"]
    mask: Float32[Tensor, "b 1 h w"]


Mask = Literal["consistency", "none"]


def correspond(
    first: Pictures,
    second: Float[Tensor, "b 3 _ _"],
    mask: Mask = "consistency",
) -> tuple[Correspondence, Correspondence]:
    """Flow and mask from `first` to `second`, and from `second` to `first`.

    Args:
        mask: "consistency" (`consistency_mask`, and nothing where no flow was found), or "none" (1
            everywhere).

    Raises:
        ReblurError: as `estimate_flow`.
    """
    _check(first, second)
    flow, found = estimate_flow(torch.cat([first, second]), torch.cat([second, first]))
    there, back = flow.chunk(2)
    if mask == "consistency":
        known = found.view(2, -1).all(0)[:, None, None, None]
        masks = [consistency_mask(u, v) * known for u, v in ((there, back), (back, there))]
    else:
        masks = [torch.ones_like(u[:, :1]) for u in (there, back)]
    return Correspondence(there, masks[0]), Correspondence(back, masks[1])
