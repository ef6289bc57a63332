"""Training losses and the objectives that `reblur.training.train` minimises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Loss: TypeAlias = Literal["mse", "charbonnier"]
EPSILON = 1e-3  # of the Charbonnier loss, for values in [0, 1]


def mean_squared(output: Tensor, target: Tensor) -> Float[Tensor, ""]:
    """mean (a − b)²: the loss of SRN-DeblurNet."""
    return functional.mse_loss(output, target)


def charbonnier(output: Tensor, target: Tensor) -> Float[Tensor, ""]:
    """mean √((a − b)² + ε²), ε = 1e-3: a smooth absolute error (Charbonnier et al., 1994)."""
    return ((output - target).square() + EPSILON**2).sqrt().mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mean_squared,
    "charbonnier": charbonnier,
}


def multi_scale_loss(
    outputs: Sequence[Float[Tensor, "b c _h _w"]],
    sharp: Float[Tensor, "b c h w"],
    loss: Loss = "mse",
) -> Float[Tensor, ""]:
    """Sum over the scales of the loss of a scale; with "mse" that of SRN-DeblurNet (Tao et al.,
    CVPR 2018, equation 4):

    L = Σ_i κ_i / N_i · ‖I^i − I^i_*‖²,  κ_i = 1,  N_i = number of values at scale i

    The ground truth of every scale is resized from full resolution (bilinear), never from another
    scale.

    Args:
        outputs: the images of all scales, in any order; values as the network gives them.
        sharp: the ground truth in [0, 1].
    """
    total = torch.zeros((), device=sharp.device)
    for output in outputs:
        target = sharp
        if output.shape[-2:] != sharp.shape[-2:]:
            target = functional.interpolate(
                sharp, size=output.shape[-2:], mode="bilinear", align_corners=False
            )
        total = total + LOSSES[loss](output.float(), target)
    return total


@dataclass(frozen=True)
class MultiScaleObjective:
    """The objective of `train` for restorers: `multi_scale_loss` of the network on a
    batch of pairs, and the mean PSNR (dB) of its finest images.

    Attributes:
        loss: of a scale.
    """

    loss: Loss = "mse"

    def __call__(
        self, network: nn.Module, batch: dict[str, Tensor], step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """
        Args:
            network: (B, 3, h, w) → images coarse to fine.
            batch: "blurred" and "sharp", (B, 3, h, w) in [0, 1].
            step: the loss is the same at every step.
        """
        outputs = network(batch["blurred"])
        loss = multi_scale_loss(outputs, batch["sharp"], self.loss)
        restored = outputs[-1].detach().float().clamp(0, 1)
        error = (restored - batch["sharp"]).square().mean(dim=(1, 2, 3))
        psnr = -10 * torch.log10(error.clamp_min(1e-10)).mean()
        return loss, {"psnr": psnr}
