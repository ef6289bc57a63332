"""SRN as its public PyTorch ports compute it, so that their weights can be used.

All of them have a 5×5 ConvLSTM, and differ from the paper, and among each other, in what their
files of weights do not tell (seen in the ports' code):

| port | deconvolution | decoder reads | I↑ at the coarsest scale | I↑ by | values |
|---|---|---|---|---|---|
| iwtw/SRN-DeblurNet and its descendants | 5×5 | h | zeros | bilinear | [-1, 1] |
| zzh-tech/ESTRNN | 5×5 | c | blurred image | bilinear | [-0.5, 0.5] |
| ljzycmd/SimDeblur | 4×4 | c | blurred image | nearest | [0, 1] |
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reblur.networks.recurrent import ConvLSTM, Features, State
from reblur.networks.scale_recurrent import ScaleRecurrent, Stage


@dataclass(frozen=True)
class Port:
    """What a port computes; see the table of this module."""

    decoder_reads: Literal["h", "c"]
    zeros: bool
    upsampling: Literal["bilinear", "nearest"]
    low: float
    high: float


PORTS = {
    "iwtw": Port("h", True, "bilinear", -1.0, 1.0),
    "estrnn": Port("c", False, "bilinear", -0.5, 0.5),
    "simdeblur": Port("c", False, "nearest", 0.0, 1.0),
}


class _Cell(ConvLSTM):
    """A ConvLSTM whose output is the cell state c."""

    def forward(self, x: Features, state: State | None) -> tuple[Features, State]:
        _, (h, c) = super().forward(x, state)
        return c, (h, c)


class _FromZeros(Stage):
    """A stage that sees zeros for the second image where there is no coarser estimate."""

    def forward(
        self, images: Float[Tensor, "b 6 h w"], state: State | None
    ) -> tuple[Float[Tensor, "b 3 h w"], State]:
        if state is None:
            images = torch.cat([images[:, :3], torch.zeros_like(images[:, 3:])], 1)
        return super().forward(images, state)


class SRNPort(ScaleRecurrent):
    """A scale-recurrent network of three scales, with shared weights, as a port has it.

    Args:
        port: one of `PORTS`.
        width, blocks, kernel: as of `ScaleRecurrent`.
        deconvolution: side of its kernels, 4 or 5.
        cell: side of the ConvLSTM's kernels; 0: there is no cell.
    """

    def __init__(
        self,
        port: str = "iwtw",
        width: int = 32,
        blocks: int = 3,
        kernel: int = 5,
        deconvolution: int = 5,
        cell: int = 5,
    ) -> None:
        recurrence = "convlstm" if cell else "identity"
        super().__init__(width=width, recurrence=recurrence, kernel=kernel, blocks=blocks)
        self.port = PORTS[port]
        (stage,) = self.stages
        if self.port.zeros:
            stage.__class__ = _FromZeros
        if cell:
            stage.cell = {"h": ConvLSTM, "c": _Cell}[self.port.decoder_reads](4 * width, cell)
        if deconvolution == 5:
            for block, channels in ((stage.decoder2, 4 * width), (stage.decoder1, 2 * width)):
                block.deconv = nn.ConvTranspose2d(
                    channels, channels // 2, 5, stride=2, padding=2, output_padding=1
                )
        if self.port.upsampling == "nearest":
            self.transitions[0].image = nn.Upsample(scale_factor=2)

    def forward(
        self, x: Float[Tensor, "b c h w"], finest: bool = False
    ) -> list[Float[Tensor, "b c _ _"]] | Float[Tensor, "b c h w"]:
        """As `ScaleRecurrent`: RGB images with values in [0, 1]."""
        low, span = self.port.low, self.port.high - self.port.low
        outputs = [(y - low) / span for y in super().forward(x * span + low)]
        return outputs[-1] if finest else outputs
