"""DeepDeblur: three cascaded stages of residual blocks, coarse to fine.

Nah, Kim, Lee, "Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring",
CVPR 2017 (arXiv 1612.02177), section 3 and figure 3; details as in the authors' PyTorch code.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reblur.errors import ReblurError
from reblur.networks.blocks import conv, initialise_fan_in, resblocks
from reblur.networks.resizing import crop_to_scale, pad_to_multiple, shrink

SCALES = 3


class Stage(nn.Sequential):
    """Convolution, residual blocks, convolution: 5×5, and no activation outside the blocks."""

    def __init__(self, channels_in: int, width: int, blocks: int) -> None:
        super().__init__(
            conv(channels_in, width, 5),
            resblocks(blocks, width, 5, residual=True),
            conv(width, 3, 5),
        )


class UpConvolution(nn.Module):
    """A 5×5 convolution to 12 channels, shuffled to RGB at twice the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(3, 12, 5)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 2*h 2*w"]:
        return F.pixel_shuffle(self.conv(x), 2)


class DeepDeblur(nn.Module):
    """`L_k = G_k([B_k, up(L_{k+1})])` for k from the coarsest scale (which sees B alone) to 1.

    No weights are shared between the stages, and the gradient runs through the upconvolution.
    Images are centred at zero inside. The pyramid of blurred images is bilinear, as everywhere in
    this library (a Gaussian pyramid in the authors' code).

    Args:
        width: channels of the residual blocks (the paper: 64).
        blocks: residual blocks a stage (the paper: 19, hence 40 convolutions a stage).

    Raises:
        ReblurError: an option is out of its range.
    """

    def __init__(self, width: int = 64, blocks: int = 19) -> None:
        super().__init__()
        if min(width, blocks) < 1:
            raise ReblurError("width and blocks: must be 1 or more.")
        self.multiple = 2 ** (SCALES - 1)
        self.stages = nn.ModuleList(
            Stage(3 if step == 0 else 6, width, blocks) for step in range(SCALES)
        )  # coarse to fine
        self.upconvolutions = nn.ModuleList(UpConvolution() for _ in range(SCALES - 1))

    def initialise(self, seed: int) -> None:
        """PyTorch's default for convolutions, as in the authors' PyTorch code.

        (Xavier's would multiply the variance by 1.5 at each of the 19 additions of each stage.)
        """
        initialise_fan_in(self, seed)

    def forward(
        self, x: Float[Tensor, "b 3 h w"], finest: bool = False
    ) -> list[Float[Tensor, "b 3 _ _"]] | Float[Tensor, "b 3 h w"]:
        """Deblur RGB images with values in [0, 1], of any size; as `ScaleRecurrent.forward`."""
        height, width = x.shape[-2:]
        centred = pad_to_multiple(x, self.multiple) - 0.5
        outputs: list[Tensor] = []
        for step, stage in enumerate(self.stages):
            level = SCALES - 1 - step
            images = shrink(centred, level)
            if step > 0:
                images = torch.cat([images, self.upconvolutions[step - 1](latent)], 1)
            latent = stage(images)
            outputs.append(crop_to_scale(latent.float() + 0.5, height, width, level))
        return outputs[-1] if finest else outputs
