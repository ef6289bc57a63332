"""A sensor under a Bayer mosaic (R G / G B), and the way back to three colours a pixel."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

# Malvar, He, Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color
# images", ICASSP 2004, figure 2; all over 8. What is missing is the mean of its neighbours plus a
# share of the Laplacian of what is there.
_CROSS = [  # green at red or blue
    [0, 0, -1, 0, 0],
    [0, 0, 2, 0, 0],
    [-1, 2, 4, 2, -1],
    [0, 0, 2, 0, 0],
    [0, 0, -1, 0, 0],
]
_ROW = [  # red at green in a red row, blue at green in a blue row
    [0, 0, 0.5, 0, 0],
    [0, -1, 0, -1, 0],
    [-1, 4, 5, 4, -1],
    [0, -1, 0, -1, 0],
    [0, 0, 0.5, 0, 0],
]
_DIAGONAL = [  # red at blue, blue at red
    [0, 0, -1.5, 0, 0],
    [0, 2, 0, 2, 0],
    [-1.5, 0, 6, 0, -1.5],
    [0, 2, 0, 2, 0],
    [0, 0, -1.5, 0, 0],
]
_SAME, _GREEN, _IN_ROW, _IN_COLUMN, _ACROSS = range(5)
# which filter gives red, green and blue at the four sites of a cell (top row, then bottom row)
_FILTERS = [
    [[_SAME, _IN_ROW], [_IN_COLUMN, _ACROSS]],
    [[_GREEN, _SAME], [_SAME, _GREEN]],
    [[_ACROSS, _IN_COLUMN], [_IN_ROW, _SAME]],
]


def mosaic(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    """What the sensor sees: one colour a pixel, red at even rows and columns."""
    raw = images[:, 1:2].clone()
    raw[:, 0, ::2, ::2] = images[:, 0, ::2, ::2]
    raw[:, 0, 1::2, 1::2] = images[:, 2, 1::2, 1::2]
    return raw


def demosaic(raw: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Three colours at every pixel, by Malvar, He and Cutler's linear filters.

    Sides of 3 pixels at least: the image goes on as its mirror image, without the border pixel
    again, so that the mosaic goes on as well.
    """
    _, _, height, width = raw.shape
    row = torch.tensor(_ROW)
    same = torch.zeros(5, 5)
    same[2, 2] = 8
    filters = torch.stack(
        [same, torch.tensor(_CROSS, dtype=row.dtype), row, row.T, torch.tensor(_DIAGONAL)]
    )
    answers = F.conv2d(F.pad(raw, (2, 2, 2, 2), "reflect"), filters[:, None].to(raw) / 8)
    sites = torch.tensor(_FILTERS, device=raw.device)
    sites = sites.repeat(1, -(-height // 2), -(-width // 2))[None, :, :height, :width]
    return answers.gather(1, sites.expand(len(raw), -1, -1, -1))
