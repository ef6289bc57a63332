"""The steps that hand-made degradations consist of: how they are written down, and carried out.

A step is a JSON-able dict that names itself under "step" and holds all that it needs; noise is held
as the key of its generator. Images are display values, (1, 3, h, w) or larger batches.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reblur.datasets.degradation.jpeg import jpeg as through_jpeg
from reblur.datasets.degradation.kernels import Kernel, convolve, values
from reblur.datasets.degradation.noise import drawn
from reblur.randomness import key

Range = tuple[float, float]
Step = dict[str, Any]
MODES = ("area", "bilinear", "bicubic")
Images = Float[Tensor, "b 3 _ _"]


class Draws:
    """Random draws for one image, and keys for its noise: a function of (seed, stream, index)."""

    def __init__(self, seed: int, stream: str, index: int) -> None:
        self._key = key(seed, stream, index)
        self._generator = np.random.Generator(np.random.Philox(key=self._key))
        self._keys = 0

    def within(self, bounds: Range) -> float:
        return float(self._generator.uniform(*bounds))

    def whole(self, bounds: tuple[int, int]) -> int:
        """A whole number, both bounds included."""
        return int(self._generator.integers(bounds[0], bounds[1] + 1))

    def happens(self, probability: float) -> bool:
        return bool(self._generator.random() < probability)

    def choice(self, options: tuple, weights: tuple[float, ...] | None = None) -> Any:
        return options[int(self._generator.choice(len(options), p=weights))]

    def order(self, count: int) -> list[int]:
        return self._generator.permutation(count).tolist()

    def normal(self, *shape: int) -> np.ndarray:
        return self._generator.standard_normal(shape)

    def noise_key(self) -> int:
        self._keys += 1
        return key(self._key, "noise", self._keys)


def rounded(side: float) -> int:
    return max(1, round(side))


def blur(kernel: Kernel) -> Step:
    return {"step": "blur", "kernel": kernel}


def resize(
    mode: str, size: tuple[int, int], to: tuple[int, int], antialias: bool = False
) -> list[Step]:
    """Interpolate; no step at all where the size stays.

    Args:
        mode: "area", "bilinear" or "bicubic"; area is the mean over the pixels that a new one
            touches.
        antialias: widen the kernel of bilinear and bicubic by the factor of shrinking.
    """
    if size == to:
        return []
    antialias = antialias and mode != "area"
    return [{"step": "resize", "mode": mode, "size": list(to), "antialias": antialias}]


def decimate(factor: int) -> list[Step]:
    """Every factor-th pixel, from the first."""
    return [{"step": "decimate", "factor": factor}] if factor > 1 else []


def gaussian_noise(draws: Draws, sigma: Range, grey: bool) -> Step:
    drawn = {"sigma": draws.within(sigma), "grey": grey, "key": draws.noise_key()}
    return {"step": "gaussian_noise", **drawn}


def poisson_noise(draws: Draws, strength: Range, grey: bool) -> Step:
    drawn = {"strength": draws.within(strength), "grey": grey, "key": draws.noise_key()}
    return {"step": "poisson_noise", **drawn}


def jpeg(draws: Draws, quality: tuple[int, int]) -> Step:
    return {"step": "jpeg", "quality": draws.whole(quality)}


def alike(step: Step) -> tuple:
    """What must be equal for two steps to be carried out together."""
    if step["step"] == "resize":
        return "resize", step["mode"], *step["size"], step["antialias"]
    return step["step"], step.get("factor")


def carry_out(images: Images, steps: Sequence[Step]) -> Images:
    """Carry out one step on each image of a batch; the steps must be `alike`."""
    return _STEPS[steps[0]["step"]](images, steps)


def _blur(images: Images, steps: Sequence[Step]) -> Images:
    kernels = [torch.from_numpy(values(step["kernel"])).float()[None] for step in steps]
    return convolve(images, kernels)


def _resize(images: Images, steps: Sequence[Step]) -> Images:
    step = steps[0]
    return F.interpolate(
        images, size=tuple(step["size"]), mode=step["mode"], antialias=step["antialias"]
    )


def _noise(images: Images, steps: Sequence[Step]) -> Images:
    pairs = zip(steps, images.clamp(0, 1).cpu(), strict=True)
    noise = torch.stack([drawn(step, image).expand(3, -1, -1) for step, image in pairs])
    return (images + noise.to(images.device)).clamp(0, 1)


_STEPS: dict[str, Callable[[Images, Sequence[Step]], Images]] = {
    "blur": _blur,
    "resize": _resize,
    "decimate": lambda images, steps: images[..., :: steps[0]["factor"], :: steps[0]["factor"]],
    **dict.fromkeys(("gaussian_noise", "poisson_noise", "covariance_noise"), _noise),
    "jpeg": lambda images, steps: through_jpeg(images, [step["quality"] for step in steps]),
}
