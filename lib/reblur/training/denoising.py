"""How a denoiser is trained: images noised to random steps, and the error of the predicted noise.

Notation and equations as in `reblur.diffusion`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reblur.diffusion import SCHEDULE, Noise, Schedule
from reblur.errors import ReblurError
from reblur.randomness import numpy_generator
from reblur.training.batches import Batch, Source


class Noised:
    """Training samples of a denoiser: images of another source, each noised to a random step.

    Args:
        source: gives "image", (B, 3, h, w) in [0, 1].
        t_max: steps t = 0, …, t_max − 1 are drawn, all equally often.

    Raises:
        ReblurError: the schedule has not that many steps.
    """

    def __init__(self, source: Source, schedule: Schedule = SCHEDULE, t_max: int = 500) -> None:
        if not 1 <= t_max <= schedule.steps:
            raise ReblurError(f"t_max = {t_max}: choose from 1 to {schedule.steps}.")
        self._source, self._schedule, self._t_max = source, schedule, t_max

    def batch(self, seed: int, indices: Sequence[int], device: torch.device) -> Batch:
        """Samples `indices`, each a function of (seed, its index) alone.

        Returns:
            "image": x_0 in [−1, 1]; "noise": ε; "noisy": x_t, all (B, 3, h, w); "t": (B,) int64.
        """
        x0 = 2 * self._source.batch(seed, indices, device)["image"] - 1
        steps = [int(numpy_generator(seed, "noised/t", i).integers(self._t_max)) for i in indices]
        noise = Noise(seed, "noised/noise", indices, x0.device).like(x0)
        return {
            "image": x0,
            "noise": noise,
            "noisy": self._schedule.mix(x0, noise, steps),
            "t": torch.tensor(steps, device=x0.device),
        }


def denoising_objective(
    network: nn.Module, batch: Batch, step: int
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Equation 14, `L_simple = E ‖ε − ε_θ(x_t, t)‖²`, as the mean over all values, in float32.

    Args:
        network: (x_t, t) → ε_θ.
        batch: "noisy", "t" and "noise", as `Noised` gives them.
        step: the loss is the same at every step.
    """
    predicted = network(batch["noisy"], batch["t"])
    return F.mse_loss(predicted.float(), batch["noise"]), {}
