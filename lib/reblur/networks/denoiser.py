"""The denoiser of a diffusion model: a U-Net that predicts the noise ε in a noisy image.

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020 (arXiv 2006.11239),
appendix B; the layers are those of `diffusers.UNet2DModel`.
"""

import math
import warnings
from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from reblur.errors import ReblurError
from reblur.networks.blocks import draw

HEAD = 32  # channels of an attention head


class Denoiser(nn.Module):
    """ε(x_t, t), the noise in x_t, which stands on the scale of the diffusion: an image in [-1, 1]
    and noise of standard deviation 1, mixed.

    Attention in the middle (the coarsest resolution) costs next to nothing; at finer levels it is
    the larger part of the work on small images, so no level but ddpm_paper's has it by default.

    Args:
        channels: of each level, fine to coarse; every level halves the size of the one before.
        layers: residual blocks a level, on the way down; one more on the way up.
        attention: levels whose residual blocks are followed by attention, 0 being the finest.
        middle_attention: attention between the two residual blocks of the middle.
        t_max: only steps t < t_max are trained, so only they can be asked for.

    Raises:
        ReblurError: an option is out of its range.
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128, 128),
        layers: int = 2,
        attention: Sequence[int] = (),
        middle_attention: bool = True,
        t_max: int = 500,
    ) -> None:
        super().__init__()
        if len(channels) == 0 or min(channels) < 2 or layers < 1:
            raise ReblurError("channels: 2 or more at one level at least; layers: 1 or more.")
        if not set(attention) <= set(range(len(channels))):
            raise ReblurError(f"attention: levels are numbered from 0 to {len(channels) - 1}.")
        if t_max < 1:
            raise ReblurError("t_max: at least one step has to be trained; give 1 or more.")
        with warnings.catch_warnings():  # of widgets for progress bars, of which it shows none here
            warnings.filterwarnings("ignore", message="IProgress not found")
            from diffusers import UNet2DModel  # takes a second to load; restorers do without it

        at = ["Attn" if level in attention else "" for level in range(len(channels))]
        # Four channels a group or more, and groups that divide every sum of the levels' channels:
        # with one channel a group the normalisation would take each feature's mean away.
        common = math.gcd(*channels)
        most = max(1, min(32, min(channels) // 4))
        groups = max(n for n in range(1, most + 1) if common % n == 0)
        self.multiple = 2 ** (len(channels) - 1)
        self.t_max = t_max
        self.unet = UNet2DModel(
            in_channels=3,
            out_channels=3,
            block_out_channels=tuple(channels),
            layers_per_block=layers,
            down_block_types=tuple(f"{kind}DownBlock2D" for kind in at),
            up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(at)),
            add_attention=middle_attention,
            attention_head_dim=math.gcd(HEAD, common),
            norm_num_groups=groups,
        )

    def initialise(self, seed: int) -> None:
        """PyTorch's default, weights and biases `~ U(±1 / sqrt(fan_in))`; normalisation is 1, 0."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                bound = module.weight[0].numel() ** -0.5
                draw(module.weight, seed, f"{name}.weight", "uniform", bound)
                if module.bias is not None:
                    draw(module.bias, seed, f"{name}.bias", "uniform", bound)

    def forward(
        self, noisy: Float[Tensor, "b 3 h w"], t: Int[Tensor, "b"]
    ) -> Float[Tensor, "b 3 h w"]:
        """The noise in x_t, float32.

        Args:
            noisy: x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε, with x_0 in [-1, 1].
            t: the step of each image, 0, 1, …, t_max − 1.

        Raises:
            ReblurError: a side is not a multiple of 2^(levels − 1).
        """
        height, width = noisy.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise ReblurError(
                f"images of {height}×{width} pixels do not fit this denoiser: crop or pad the "
                f"sides to multiples of {self.multiple}."
            )
        return self.unet(noisy, t, return_dict=False)[0].float()
