"""Matched reblurring: the blur of a pair by matching it, and that of a photograph alone.

Ours, and not the paper's (arXiv 2409.17792), whose reblurring network reads the deblurred image Î
and the photograph as they are. With a deblurring network that hardly sharpens yet, Î says nothing
of the blur, and the cheapest answer is the kernel that blurs nothing. Here

- `MatchedReblurring` compares the photograph with the *sharp picture of the pair*, warped onto it,
  and reads **matching costs**: how badly each of eight even discs explains the photograph. It
  begins as the soft choice of the best disc, and learns what the costs around a pixel add to that;
- `BlurEstimator`, which has the photograph alone, reads the **energies of three bands** beside the
  colours, and gives seeds *and* weights: seeds alone are no kernel, and so no map of the blur.

Kernels and notation are those of `reblur.networks.ring_sums`.
"""

import itertools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reblur.networks.reblurring import Reblurred, residual_head
from reblur.networks.ring_sums import RADII, SEEDS, discs, precise, reblur

DISCS = 1 + len(RADII)
WIDTH = 16  # of both heads
COST_WINDOW = 11  # pixels
ENERGY_WINDOW = 11
SHARPNESS = 24.0  # of the soft choice: W_r ∝ cost_r^-SHARPNESS
NOISE = 1e-5  # squared differences below it say nothing


def _local_mean(x: Float[Tensor, "b c h w"], window: int) -> Float[Tensor, "b c h w"]:
    padded = F.pad(x, (window // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, window, 1)


@torch.no_grad()
def matching_costs(
    sharp: Float[Tensor, "b 3 h w"], blurred: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 8 h w"]:
    """Log of the mean squared difference, around a pixel, between the photograph and the sharp
    picture blurred by an even disc of the radius 0 … 7; less the mean of the eight."""
    sharp, blurred = precise(sharp), precise(blurred)
    squares = (discs(sharp) - blurred[:, None]).square().mean(2)
    costs = (_local_mean(squares, COST_WINDOW) + NOISE).log()
    return costs - costs.mean(1, keepdim=True)


@torch.no_grad()
def band_energies(photograph: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Log of the mean square, around a pixel, of three band-passes of the grey photograph: between
    Gaussian blurs of the standard deviations 0, 1, 2 and 4 px. Scaled to about [-1, 1]."""
    grey = precise(photograph).mean(1, keepdim=True)
    kind = "cpu" if grey.is_meta else grey.device.type  # where multiply-adds are counted
    with torch.autocast(kind, enabled=False):  # the bands are small differences
        levels = [grey, *(_gaussian(grey, sigma) for sigma in (1.0, 2.0, 4.0))]
    bands = torch.cat([a - b for a, b in itertools.pairwise(levels)], 1)
    return ((_local_mean(bands.square(), ENERGY_WINDOW) + NOISE / 10).log() + 9) / 4


def _gaussian(x: Float[Tensor, "b 1 h w"], sigma: float) -> Float[Tensor, "b 1 h w"]:
    radius = round(3 * sigma)
    taps = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    taps = (-taps.square() / (2 * sigma**2)).exp()
    taps = taps / taps.sum()
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps[None, None, None]), taps[None, None, :, None])


class BlurEstimator(nn.Module):
    """Seeds and log weights from the photograph alone: convolution 6 → 16, three residual blocks,
    16 → 35 + 8."""

    def __init__(self) -> None:
        super().__init__()
        self.head = residual_head(3 + 3, WIDTH, SEEDS + DISCS)

    def forward(
        self, photograph: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b 35 h w"], Float[Tensor, "b 8 h w"]]:
        """The seeds, and log W_0 … log W_7, float32; RGB in [0, 1], of any size."""
        energies = band_energies(photograph).to(photograph.dtype)
        seeds, logits = precise(self.head(torch.cat([photograph, energies], 1))).split(
            [SEEDS, DISCS], 1
        )
        return seeds, logits.log_softmax(1)


class MatchedReblurring(nn.Module):
    """Seeds and weights of a pair from its matching costs, see above; for training, and for maps.

    Args:
        leaky: the published kernels, see `reblur`.
    """

    def __init__(self, leaky: bool = False) -> None:
        super().__init__()
        self.leaky = leaky
        self.head = residual_head(DISCS, WIDTH, SEEDS + DISCS)

    def draw_weights(self, seed: int, name: str) -> None:
        """A hundredth of the last convolution: it begins as the soft choice among even discs."""
        with torch.no_grad():
            self.head[-1].weight.mul_(0.01)

    def forward(
        self, sharp: Float[Tensor, "b 3 h w"], blurred: Float[Tensor, "b 3 h w"]
    ) -> Reblurred:
        """Blur `sharp`, which lies on `blurred`, until it looks like it; RGB in [0, 1], any size.

        Returns:
            The reblurred image, the seeds and the weights, float32.
        """
        costs = matching_costs(sharp, blurred)
        seeds, logits = precise(self.head(costs.to(sharp.dtype))).split([SEEDS, DISCS], 1)
        weights = (logits - SHARPNESS * costs).softmax(1)
        return Reblurred(reblur(sharp, seeds, weights, self.leaky), seeds, weights)
