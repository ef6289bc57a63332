"""NAFNet: a U-Net of blocks without nonlinear activation functions.

Chen, Chu, Zhang, Sun, "Simple Baselines for Image Restoration", ECCV 2022 (arXiv 2204.04676),
section 4 and figure 3c; sizes as in the authors' GoPro model of width 32.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reblur.errors import ReblurError
from reblur.networks.blocks import initialise_fan_in
from reblur.networks.resizing import crop_to_scale, pad_to_multiple

Features = Float[Tensor, "b c h w"]


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of each pixel, with a gain and a bias a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Features) -> Features:
        pixels = x.permute(0, 2, 3, 1)  # a view; no copy when x is channels_last
        pixels = F.layer_norm(pixels, (x.shape[1],), self.weight, self.bias, eps=1e-6)
        return pixels.permute(0, 3, 1, 2)


def simple_gate(x: Features) -> Float[Tensor, "b half h w"]:
    """`SimpleGate(X, Y) = X ⊙ Y`, the two halves of the channels (equation 4)."""
    first, second = x.chunk(2, 1)
    return first * second


class NAFBlock(nn.Module):
    """Figure 3c: `y = x + β ⊙ mixer(LN(x))`, `out = y + γ ⊙ ffn(LN(y))`; β and γ start at 0.

    mixer: 1×1 convolution to 2C, 3×3 depthwise, SimpleGate, simplified channel attention
    `X ⊙ W pool(X)` (equation 6), 1×1. ffn: 1×1 to 2C, SimpleGate, 1×1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.norm1 = LayerNorm2d(c)
        self.conv1 = nn.Conv2d(c, 2 * c, 1)
        self.conv2 = nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.attention = nn.Conv2d(c, c, 1)
        self.conv3 = nn.Conv2d(c, c, 1)
        self.norm2 = LayerNorm2d(c)
        self.conv4 = nn.Conv2d(c, 2 * c, 1)
        self.conv5 = nn.Conv2d(c, c, 1)
        self.beta = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x: Features) -> Features:
        gated = simple_gate(self.conv2(self.conv1(self.norm1(x))))
        gated = gated * self.attention(gated.mean((2, 3), keepdim=True))
        y = x + self.beta * self.conv3(gated)
        return y + self.gamma * self.conv5(simple_gate(self.conv4(self.norm2(y))))


def nafblocks(count: int, channels: int) -> nn.Sequential:
    """`count` NAFBlocks, one after the other."""
    return nn.Sequential(*(NAFBlock(channels) for _ in range(count)))


class NAFNet(nn.Module):
    """One scale, predicting a residual on the blurred image.

    The channel attention pools over the whole input, so restoring in tiles differs slightly from
    restoring the whole (the authors' TLC, a test-time remedy, is not part of this module).

    Args:
        width: channels at full resolution; they double at each of the encoder's levels.
        encoder_blocks: NAFBlocks of each encoder level, fine to coarse; the number of levels.
        middle_blocks: NAFBlocks at the coarsest resolution.
        decoder_blocks: NAFBlocks of each decoder level, coarse to fine.

    Raises:
        ReblurError: an option is out of its range.
    """

    def __init__(
        self,
        width: int = 32,
        encoder_blocks: Sequence[int] = (1, 1, 1, 28),
        middle_blocks: int = 1,
        decoder_blocks: Sequence[int] = (1, 1, 1, 1),
    ) -> None:
        super().__init__()
        if len(encoder_blocks) != len(decoder_blocks) or len(encoder_blocks) == 0:
            raise ReblurError("encoder_blocks and decoder_blocks: must have the same length.")
        if width < 1 or min(*encoder_blocks, middle_blocks, *decoder_blocks) < 0:
            raise ReblurError("width: must be 1 or more, and numbers of blocks 0 or more.")
        levels = len(encoder_blocks)
        channels = [width * 2**level for level in range(levels + 1)]  # fine to coarse
        self.multiple = 2**levels
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.encoders = nn.ModuleList(
            nafblocks(count, c) for count, c in zip(encoder_blocks, channels, strict=False)
        )
        self.downs = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, stride=2) for c in channels[:-1])
        self.middle = nafblocks(middle_blocks, channels[-1])
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, 2 * c, 1, bias=False), nn.PixelShuffle(2))
            for c in reversed(channels[1:])
        )
        self.decoders = nn.ModuleList(
            nafblocks(count, c)
            for count, c in zip(decoder_blocks, reversed(channels[:-1]), strict=True)
        )
        self.ending = nn.Conv2d(width, 3, 3, padding=1)

    def initialise(self, seed: int) -> None:
        """PyTorch's default for convolutions, as in the authors' code."""
        initialise_fan_in(self, seed)

    def forward(
        self, x: Float[Tensor, "b 3 h w"], finest: bool = False
    ) -> list[Float[Tensor, "b 3 h w"]] | Float[Tensor, "b 3 h w"]:
        """Deblur RGB images with values in [0, 1], of any size.

        Returns:
            A list of one estimate, float32, not clamped, of the input's size; with `finest`, the
            estimate itself.
        """
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, self.multiple)
        features = self.intro(padded)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features)
            skips.append(features)
            features = down(features)
        features = self.middle(features)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            features = decoder(up(features) + skips.pop())
        estimate = padded + self.ending(features).float()
        estimate = crop_to_scale(estimate, height, width, level=0)
        return estimate if finest else [estimate]
