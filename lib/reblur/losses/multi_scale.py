"""Training losses and the objectives that `reblur.training.train` minimises."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def multi_scale_mse(
    outputs: Sequence[Float[Tensor, "b c _h _w"]], sharp: Float[Tensor, "b c h w"]
) -> Float[Tensor, ""]:
    """Sum over the scales of the mean squared error (SRN-DeblurNet, Tao et al., CVPR 2018).

    L = Σ_i κ_i / N_i · ‖I^i − I^i_*‖²,  κ_i = 1,  N_i = number of values at scale i

    The ground truth of every scale is resized from full resolution (bilinear), never from another
    scale.

    Args:
        outputs: the images of all scales, in any order; values as the network gives them.
        sharp: the ground truth in [0, 1].
    """
    loss = torch.zeros((), device=sharp.device)
    for output in outputs:
        target = sharp
        if output.shape[-2:] != sharp.shape[-2:]:
            target = functional.interpolate(
                sharp, size=output.shape[-2:], mode="bilinear", align_corners=False
            )
        loss = loss + functional.mse_loss(output.float(), target)
    return loss


def multi_scale_objective(
    network: nn.Module, batch: dict[str, Tensor], step: int
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """`multi_scale_mse` of the network on a batch of pairs, and the mean PSNR (dB) of its images.

    Args:
        network: (B, 3, h, w) → images coarse to fine.
        batch: "blurred" and "sharp", (B, 3, h, w) in [0, 1].
        step: the loss is the same at every step.
    """
    outputs = network(batch["blurred"])
    loss = multi_scale_mse(outputs, batch["sharp"])
    restored = outputs[-1].detach().float().clamp(0, 1)
    error = (restored - batch["sharp"]).square().mean(dim=(1, 2, 3))
    psnr = -10 * torch.log10(error.clamp_min(1e-10)).mean()
    return loss, {"psnr": psnr}
