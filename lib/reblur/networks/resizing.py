"""Between image sizes: padding to a multiple, the pyramid of blurred images, and upsampling.

Every fixed resize is `torch.nn.functional.interpolate`, bilinear with half-pixel centres
(`align_corners=False`) and without antialiasing: halving is then exactly the mean of 2×2 pixels,
and quartering the mean of the middle 2×2 of every 4×4. The released SRN code uses TensorFlow 1's
`resize_images`, whose pixel centres are shifted by half a pixel; the two conventions cannot be
mixed with the same weights.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reblur.errors import ReblurError


def pad_to_multiple(
    x: Float[Tensor, "b c h w"], multiple: int
) -> Float[Tensor, "b c padded_h padded_w"]:
    """Extend the image at the bottom and right so that both sides are multiples of `multiple`.

    Mirrored without repeating the border; a side that is too short to be mirrored (not longer
    than its padding) repeats the border instead. An image that already fits is returned as it is.
    """
    height, width = x.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if right:
        x = F.pad(x, (0, right, 0, 0), mode="reflect" if right < width else "replicate")
    if down:
        x = F.pad(x, (0, 0, 0, down), mode="reflect" if down < height else "replicate")
    return x


def crop_to_scale(
    x: Float[Tensor, "b c padded_h padded_w"], height: int, width: int, level: int
) -> Float[Tensor, "b c h w"]:
    """The part of a padded image at level i (side / 2^i) that shows the true image.

    Sides are `ceil(height / 2^i)` and `ceil(width / 2^i)`.
    """
    rows, columns = -(-height >> level), -(-width >> level)
    if x.shape[-2:] == (rows, columns):  # a slice would give a gradient that is not channels_last
        return x
    return x[..., :rows, :columns]


def shrink(x: Float[Tensor, "b c h w"], level: int) -> Float[Tensor, "b c h_i w_i"]:
    """The image at 1 / 2^level of its size; sides must be multiples of 2^level."""
    if level == 0:
        return x
    size = (x.shape[-2] >> level, x.shape[-1] >> level)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class Bilinear(nn.Module):
    """Twice the size by bilinear interpolation: the paper's choice; no parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
        size = (2 * x.shape[-2], 2 * x.shape[-1])
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class Deconvolution(nn.ConvTranspose2d):
    """Twice the size by a learned 4×4 deconvolution of stride 2.

    Starts as bilinear interpolation of each channel (exact away from the border), so that the
    three ways of upsampling start from the same function.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 4, stride=2, padding=1)

    def draw_weights(self, seed: int, name: str) -> None:
        taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
        with torch.no_grad():
            self.weight.zero_()
            for channel in range(self.in_channels):
                self.weight[channel, channel] = torch.outer(taps, taps)


class SubPixel(nn.Module):
    """Twice the size by a learned 3×3 convolution to four channels each, then a pixel shuffle.

    Starts as bilinear interpolation, like `Deconvolution`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * channels, 3, padding=1)

    def draw_weights(self, seed: int, name: str) -> None:
        taps = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])  # even, odd output pixel
        kernels = torch.einsum("ai,bj->abij", taps, taps).reshape(4, 3, 3)
        with torch.no_grad():
            self.conv.weight.zero_()
            for channel in range(self.conv.in_channels):
                self.conv.weight[4 * channel : 4 * channel + 4, channel] = kernels

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
        return F.pixel_shuffle(self.conv(x), 2)


UPSAMPLINGS: dict[str, type[nn.Module]] = {
    "bilinear": Bilinear,
    "deconvolution": Deconvolution,
    "subpixel": SubPixel,
}


def upsampling_of(name: str, channels: int) -> nn.Module:
    """A module that doubles the size of (B, channels, H, W).

    Raises:
        ReblurError: there is no upsampling of that name.
    """
    if name not in UPSAMPLINGS:
        raise ReblurError(
            f"upsampling: there is no '{name}'; choose from {', '.join(UPSAMPLINGS)}."
        )
    return UPSAMPLINGS[name](channels)
