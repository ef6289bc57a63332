"""The scale-recurrent family: one module, and a table of its variants as small deltas.

Tao, Gao, Shen, Wang, Jia, "Scale-recurrent Network for Deep Image Deblurring", CVPR 2018
(arXiv 1802.01770), equation 1 and figures 1c and 4.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reblur.errors import ReblurError
from reblur.networks.blocks import DBlock, EBlock, OutBlock, initialise_xavier
from reblur.networks.recurrent import State, cell_of
from reblur.networks.resizing import crop_to_scale, pad_to_multiple, shrink, upsampling_of


class Stage(nn.Module):
    """Net_SR at one scale: encoder, recurrent cell, decoder (figure 4).

    `f = Net_E(B, I↑)`, `h, g = ConvLSTM(h↑, f)`, `I = Net_D(g)` (equations 2-4).
    """

    def __init__(
        self,
        width: int,
        kernel: int,
        blocks: int,
        recurrence: str,
        residual_blocks: bool,
        flat: bool,
    ) -> None:
        super().__init__()
        c1, c2, c3 = width, 2 * width, 4 * width
        layers = {"kernel": kernel, "blocks": blocks, "residual": residual_blocks}
        stride = 1 if flat else 2
        self.flat = flat
        self.in_block = EBlock(6, c1, stride=1, **layers)
        self.encoder1 = EBlock(c1, c2, stride=stride, **layers)
        self.encoder2 = EBlock(c2, c3, stride=stride, **layers)
        self.cell = cell_of(recurrence, c3)
        self.decoder2 = DBlock(c3, c2, enlarge=not flat, **layers)
        self.decoder1 = DBlock(c2, c1, enlarge=not flat, **layers)
        self.out_block = OutBlock(c1, **layers)

    def forward(
        self, images: Float[Tensor, "b 6 h w"], state: State | None
    ) -> tuple[Float[Tensor, "b 3 h w"], State]:
        e1 = self.in_block(images)  # (B, width, H, W)
        e2 = self.encoder1(e1)  # (B, 2 width, H/2, W/2)
        e3 = self.encoder2(e2)  # (B, 4 width, H/4, W/4)
        g, state = self.cell(e3, state)
        d2 = self.decoder2(g)
        d1 = self.decoder1(d2 if self.flat else d2 + e2)  # a flat stage has no encoder to skip
        return self.out_block(d1 if self.flat else d1 + e1), state


class Transition(nn.Module):
    """The step to the next finer scale: `I↑` and `h↑` (and `c↑`), at twice the size.

    The gradient is stopped on the image (before a learned upsampling, which must learn), not on
    the state.
    """

    def __init__(self, upsampling: str, channels: int, states: int) -> None:
        super().__init__()
        self.image = upsampling_of(upsampling, 3)
        self.state = nn.ModuleList(upsampling_of(upsampling, channels) for _ in range(states))

    def forward(
        self, image: Float[Tensor, "b 3 h w"], state: State
    ) -> tuple[Float[Tensor, "b 3 2*h 2*w"], State]:
        larger = tuple(up(tensor) for up, tensor in zip(self.state, state, strict=True))
        return self.image(image.detach()), larger


class ScaleRecurrent(nn.Module):
    """`I^i, h^i = Net_SR(B^i, I^{i+1}↑, h^{i+1}↑; θ)` for i from the coarsest scale to 1 (eq. 1).

    The defaults are SR-EDRB3. At the coarsest scale the blurred image itself stands for I↑, and
    the state is zero.

    Args:
        width: channels of the first level; the next two have 2 and 4 times as many (32, 64, 128).
        scales: 1, 2 or 3 image sizes, each half the next.
        upsampling: "bilinear", "deconvolution" or "subpixel", of the estimate and the state.
        recurrence: "convlstm", "gru", "rnn", "none" (a convolution in the cell's place), or
            "identity" (nothing in its place).
        kernel: side of the convolutions' kernels, odd; deconvolutions always have 4×4.
        blocks: ResBlocks in each encoder and decoder block.
        shared_weights: one θ for all scales, else one for each (the cascade SC).
        residual_blocks: ResBlocks add their input.
        flat: no strides, no deconvolutions, no skips from encoder to decoder.
        residual_output: the network predicts what to add to B^i, instead of I^i.

    Raises:
        ReblurError: an option is out of its range.
    """

    def __init__(
        self,
        width: int = 32,
        scales: int = 3,
        upsampling: str = "bilinear",
        recurrence: str = "convlstm",
        kernel: int = 3,
        blocks: int = 3,
        shared_weights: bool = True,
        residual_blocks: bool = True,
        flat: bool = False,
        residual_output: bool = False,
    ) -> None:
        super().__init__()
        if scales not in (1, 2, 3):
            raise ReblurError(f"scales: {scales} is not possible; choose 1, 2 or 3.")
        if min(width, blocks) < 1:
            raise ReblurError("width and blocks: must be 1 or more.")
        if kernel % 2 == 0 or kernel < 1:
            raise ReblurError("kernel: must be odd, such as 3 or 5.")
        self.scales = scales
        self.multiple = 2 ** (scales - 1) * (1 if flat else 4)
        self.residual_output = residual_output
        self.stages = nn.ModuleList(
            Stage(width, kernel, blocks, recurrence, residual_blocks, flat)
            for _ in range(1 if shared_weights else scales)
        )  # coarse to fine
        self.transitions = nn.ModuleList(
            Transition(upsampling, 4 * width, self.stages[0].cell.states)
            for _ in range(min(1, scales - 1) if shared_weights else scales - 1)
        )

    def initialise(self, seed: int) -> None:
        """Xavier-uniform convolutions; cells and learned upsamplings as they say.

        With `residual_output` the output convolution starts at a hundredth of that, so that the
        network starts close to its input, not at its input plus noise of the input's contrast.
        """
        initialise_xavier(self, seed)
        if self.residual_output:
            with torch.no_grad():
                for stage in self.stages:
                    stage.out_block.conv.weight.mul_(0.01)

    def forward(
        self, x: Float[Tensor, "b 3 h w"], finest: bool = False
    ) -> list[Float[Tensor, "b 3 _ _"]] | Float[Tensor, "b 3 h w"]:
        """Deblur RGB images with values in [0, 1], of any size.

        The image is padded inside (see `pad_to_multiple`) to a multiple of 4 · 2^(scales - 1).

        Returns:
            Estimates from the coarsest to the finest scale, float32, not clamped, with sides
            ceil(h / 2^i), ceil(w / 2^i), i = scales - 1 … 0; with `finest`, the last one alone.
            (Where 2^i does not divide h, the coarse pixels still are 2^i pixels wide, and the last
            ones stand over the border; train on crops that it divides.)
        """
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, self.multiple)
        outputs: list[Tensor] = []
        state: State | None = None
        for step in range(self.scales):
            level = self.scales - 1 - step
            blurred = shrink(padded, level)  # B^i
            if state is None:
                estimate = blurred
            else:
                transition = self.transitions[min(step, len(self.transitions)) - 1]
                estimate, state = transition(estimate, state)
            stage = self.stages[min(step, len(self.stages) - 1)]
            estimate, state = stage(torch.cat([blurred, estimate], 1), state)
            estimate = estimate.float()
            if self.residual_output:
                estimate = blurred + estimate
            outputs.append(crop_to_scale(estimate, height, width, level))
        return outputs[-1] if finest else outputs
