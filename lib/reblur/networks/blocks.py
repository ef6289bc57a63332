"""Convolutional blocks that the networks share, and their initialisation.

Notation of Tao et al., "Scale-recurrent Network for Deep Image Deblurring", CVPR 2018, section 3.
All tensors are (B, C, H, W); every block keeps the memory format (contiguous or channels_last)
and the dtype of its input, so that the whole network runs in the format it was given.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reblur.randomness import torch_generator


def conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size (stride 1) or halves an even one (stride 2)."""
    return nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2)


def deconv(channels_in: int, channels_out: int) -> nn.ConvTranspose2d:
    """The 4×4 transposed convolution of stride 2 that doubles the size."""
    return nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1)


class ResBlock(nn.Module):
    """`x + W2 ∗ relu(W1 ∗ x)`: no normalisation, no ReLU after the sum (Nah et al., figure 2b).

    Without `residual` the two convolutions stay and only the `x +` goes: the ablation SR-ED.
    """

    def __init__(self, channels: int, kernel: int, residual: bool = True) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, kernel)
        self.conv2 = conv(channels, channels, kernel)
        self.residual = residual

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        y = self.conv2(F.relu_(self.conv1(x)))
        return y.add_(x) if self.residual else y


def resblocks(count: int, channels: int, kernel: int, residual: bool) -> nn.Sequential:
    """`count` ResBlocks, one after the other."""
    return nn.Sequential(*(ResBlock(channels, kernel, residual) for _ in range(count)))


class EBlock(nn.Module):
    """Encoder block: a convolution with ReLU, then `blocks` ResBlocks.

    With stride 2 it is the paper's EBlock; with stride 1 it is the InBlock.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        blocks: int,
        stride: int = 2,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.conv = conv(channels_in, channels_out, kernel, stride)
        self.blocks = resblocks(blocks, channels_out, kernel, residual)

    def forward(self, x: Float[Tensor, "b c1 h1 w1"]) -> Float[Tensor, "b c2 h2 w2"]:
        return self.blocks(F.relu_(self.conv(x)))


class DBlock(nn.Module):
    """Decoder block: `blocks` ResBlocks, then a 4×4 deconvolution of stride 2 with ReLU.

    With `enlarge=False` an ordinary convolution stands in the deconvolution's place: the flat
    ablations, in which no feature map ever shrinks.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        blocks: int,
        enlarge: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.blocks = resblocks(blocks, channels_in, kernel, residual)
        self.deconv = (
            deconv(channels_in, channels_out)
            if enlarge
            else conv(channels_in, channels_out, kernel)
        )

    def forward(self, x: Float[Tensor, "b c1 h1 w1"]) -> Float[Tensor, "b c2 h2 w2"]:
        return F.relu_(self.deconv(self.blocks(x)))


class OutBlock(nn.Module):
    """`blocks` ResBlocks, then a convolution to an RGB image, without an activation."""

    def __init__(self, channels: int, kernel: int, blocks: int, residual: bool = True) -> None:
        super().__init__()
        self.blocks = resblocks(blocks, channels, kernel, residual)
        self.conv = conv(channels, 3, kernel)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 h w"]:
        return self.conv(self.blocks(x))


def draw(parameter: Tensor, seed: int, name: str, distribution: str, bound: float) -> None:
    """Fill `parameter` with random numbers that depend on (seed, name, shape) alone.

    They are drawn on the CPU whatever the parameter's device, so that a network starts from the
    same weights everywhere; a layer that two variants share (by name and shape) starts from the
    same weights in both, which takes some of the chance out of comparing them.

    Args:
        distribution: "uniform" on ±bound, or "truncated normal" with standard deviation bound/2,
            cut at ±bound (two standard deviations, as TensorFlow's).
    """
    if parameter.is_meta:
        return
    generator = torch_generator(seed, f"weights/{name}")
    values = torch.empty(parameter.shape, device="cpu")
    if distribution == "uniform":
        values.uniform_(-bound, bound, generator=generator)
    else:
        nn.init.trunc_normal_(values, std=bound / 2, a=-bound, b=bound, generator=generator)
    with torch.no_grad():
        parameter.copy_(values)


def initialise_xavier(network: nn.Module, seed: int) -> None:
    """Xavier-uniform convolutions and zero biases, as the released SRN code does.

    `W ~ U(-a, a)`, `a = sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010, equation 16).
    Layers that need something else have a method `draw_weights(seed, name)`, called afterwards.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            area = module.kernel_size[0] * module.kernel_size[1]
            fans = area * (module.in_channels + module.out_channels) / module.groups
            draw(module.weight, seed, f"{name}.weight", "uniform", (6.0 / fans) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, module in network.named_modules():
        if hasattr(module, "draw_weights"):
            module.draw_weights(seed, name)


def initialise_fan_in(network: nn.Module, seed: int) -> None:
    """PyTorch's default for convolutions: weights and biases `~ U(±1 / sqrt(fan_in))`."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            draw(module.weight, seed, f"{name}.weight", "uniform", bound)
            if module.bias is not None:
                draw(module.bias, seed, f"{name}.bias", "uniform", bound)
