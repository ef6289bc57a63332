"""RRDB: residual-in-residual dense blocks, at a quarter of the resolution.

Wang et al., "ESRGAN", ECCV Workshops 2018 (arXiv 1809.00219), section 3.1 and figure 4; in the
form of Wang et al., "Real-ESRGAN", ICCV Workshops 2021 (arXiv 2107.10833), section 3.4: a
pixel-unshuffle brings an image that has its final size already to the resolution of the trunk.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reblur.errors import ReblurError
from reblur.networks.blocks import conv, draw, initialise_fan_in
from reblur.networks.resizing import crop_to_scale, pad_to_multiple

Features = Float[Tensor, "b c h w"]

SHRINKING = 4  # of the pixel-unshuffle; two doublings bring the resolution back
RESIDUAL = 0.2  # β of figure 4


def lrelu(x: Features) -> Features:
    """Leaky ReLU of slope 0.2, in place."""
    return F.leaky_relu_(x, 0.2)


class DenseBlock(nn.Module):
    """`out = x + β W5 ∗ [x, y1, … y4]`, `yi = lrelu(Wi ∗ [x, y1, … y(i−1)])`, [·] concatenating.

    Every `yi` has `growth` channels; no normalisation.
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.growing = nn.ModuleList(conv(channels + i * growth, growth, 3) for i in range(4))
        self.merge = conv(channels + 4 * growth, channels, 3)

    def forward(self, x: Features) -> Features:
        seen = x
        for layer in self.growing:
            seen = torch.cat([seen, lrelu(layer(seen))], 1)
        return x + RESIDUAL * self.merge(seen)


class RRDB(nn.Module):
    """Three dense blocks inside a residual of their own: `out = x + β D3(D2(D1(x)))` (figure 4)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(channels, growth) for _ in range(3)))

    def forward(self, x: Features) -> Features:
        return x + RESIDUAL * self.dense(x)


class RRDBNet(nn.Module):
    """A restorer of the input's size that predicts a residual on its input.

    For super-resolution its input is the low image, enlarged beforehand to the high one's size.

    Args:
        width: channels of the trunk.
        blocks: RRDBs of the trunk.
        growth: channels that each convolution of a dense block adds.

    Raises:
        ReblurError: an option is out of its range.
    """

    def __init__(self, width: int = 64, blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        if min(width, blocks, growth) < 1:
            raise ReblurError("width, blocks, growth: must each be 1 or more.")
        self.multiple = SHRINKING
        self.intro = conv(3 * SHRINKING**2, width, 3)
        self.trunk = nn.Sequential(*(RRDB(width, growth) for _ in range(blocks)))
        self.trunk_end = conv(width, width, 3)
        self.ups = nn.ModuleList(conv(width, width, 3) for _ in range(2))
        self.fine = conv(width, width, 3)
        self.ending = conv(width, 3, 3)

    def initialise(self, seed: int) -> None:
        """PyTorch's default, and a tenth of He's in the dense blocks (ESRGAN, section 3.1).

        `W ~ 0.1 N(0, 2 / fan_in)`, cut at two standard deviations; biases 0.
        """
        initialise_fan_in(self, seed)
        for name, module in self.trunk.named_modules(prefix="trunk"):
            if isinstance(module, nn.Conv2d):
                deviation = 0.1 * (2 / module.weight[0].numel()) ** 0.5
                draw(module.weight, seed, f"{name}.weight", "truncated normal", 2 * deviation)
                nn.init.zeros_(module.bias)

    def forward(
        self, x: Float[Tensor, "b 3 h w"], finest: bool = False
    ) -> list[Float[Tensor, "b 3 h w"]] | Float[Tensor, "b 3 h w"]:
        """Restore RGB images with values in [0, 1], of any size.

        Returns:
            A list of one estimate, float32, not clamped, of the input's size; with `finest`, the
            estimate itself.
        """
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, self.multiple)
        features = self.intro(unshuffle(padded))  # (B, width, H/4, W/4)
        features = features + self.trunk_end(self.trunk(features))
        for up in self.ups:
            features = lrelu(up(F.interpolate(features, scale_factor=2, mode="nearest")))
        estimate = padded + self.ending(lrelu(self.fine(features))).float()
        estimate = crop_to_scale(estimate, height, width, level=0)
        return estimate if finest else [estimate]


def unshuffle(x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 48 h/4 w/4"]:
    """Each 4×4 pixels become the channels of one, in the memory format of the input."""
    folded = F.pixel_unshuffle(x, SHRINKING)
    last = x.is_contiguous(memory_format=torch.channels_last)
    return folded.contiguous(memory_format=torch.channels_last) if last else folded
