"""Noising an image to a step t₀ and denoising it back to 0: how refined training pairs are made.

A denoiser that was trained on low-quality images alone pulls an initial low-quality image towards
their distribution ("SDEdit" by Meng et al., arXiv 2108.01073; for training pairs arXiv 2303.06994):
the noise drowns the fine structure that gives the initial image away and leaves the coarse content.

Notation of Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models" (arXiv 2006.11239), with
the steps counted from 0 as in diffusers: ε is the noise, ᾱ_t the share of the image's variance at
step t = 0, …, T − 1; before all steps (t = −1) is the clean image, ᾱ = 1. Images are in [0, 1]
outside of this module and in [−1, 1] inside.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reblur.errors import ReblurError
from reblur.randomness import numpy_generator, torch_generator

SAMPLERS = ("ddpm", "sde_dpmpp", "ddim", "unipc")

Images: TypeAlias = Float[Tensor, "b 3 h w"]
# (x_t, t of each image) → the noise in x_t: a `Denoiser`, or whatever is called like one.
NoisePredictor: TypeAlias = Callable[[Tensor, Tensor], Tensor]
# (x_t, estimate of x_0, t, s) → x_s, for the step s that follows t.
Step: TypeAlias = Callable[[Tensor, Tensor, int, int], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How much noise there is at each of T = `steps` steps; β grows linearly."""

    steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02

    @cached_property
    def _alpha_bars(self) -> list[float]:
        from diffusers import DDPMScheduler  # takes a second to load

        betas = DDPMScheduler(
            num_train_timesteps=self.steps, beta_start=self.beta_start, beta_end=self.beta_end
        ).betas
        return (1 - betas.double()).cumprod(0).tolist()

    def alpha_bar(self, t: int) -> float:
        """`ᾱ_t = Π_{s ≤ t} (1 − β_s)`; 1 for the clean image, t = −1.

        Raises:
            ReblurError: there is no step t.
        """
        if not -1 <= t < self.steps:
            raise ReblurError(f"step t = {t} does not exist; choose from 0 to {self.steps - 1}.")
        return 1.0 if t == -1 else self._alpha_bars[t]

    def mix(self, x0: Images, noise: Images, t: Sequence[int]) -> Images:
        """Equation 4: `x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε`, at a step t for each image."""
        alpha_bar = torch.tensor([self.alpha_bar(step) for step in t], dtype=torch.float64)
        signal, spread = (
            share.sqrt().to(x0.device, x0.dtype).view(-1, 1, 1, 1)
            for share in (alpha_bar, 1 - alpha_bar)
        )
        return signal * x0 + spread * noise


SCHEDULE = Schedule()


class Noise:
    """Normal numbers for a batch of images, each image's from a generator of its own.

    They do not depend on the batch; they do on the type of the device.
    """

    def __init__(
        self, seed: int, stream: str, indices: Sequence[int], device: torch.device
    ) -> None:
        self._generators = [torch_generator(seed, stream, i, device=device) for i in indices]

    def like(self, images: Images) -> Images:
        """The next ones, float32, of mean 0 and standard deviation 1."""
        noise = torch.empty(images.shape, device=images.device)
        for image, generator in zip(noise, self._generators, strict=True):
            image.normal_(generator=generator)
        return noise


def noise_to(images: Images, t0: int, noise: Images, schedule: Schedule = SCHEDULE) -> Images:
    """Images in [0, 1] noised to step t₀: x_{t₀}, whose signal is on the scale of [−1, 1].

    Args:
        noise: ε, of mean 0 and standard deviation 1.
    """
    return schedule.mix(2 * images - 1, noise, [t0] * len(images))


def draw_start(seed: int, index: int, strength: float = 0.2, T: int = 1000) -> int:
    """A random start t₀ as in arXiv 2303.06994: `⌊T · max(u · strength, 1/50)⌋`, u ~ U(0, 1)."""
    u = numpy_generator(seed, "start", index).uniform()
    return int(T * max(u * strength, 1 / 50))


def time_grid(t0: int, steps: int | None = None, schedule: Schedule = SCHEDULE) -> list[int]:
    """The steps at which the denoiser is called, from t₀ down to 0; all t₀ + 1 if `steps` is None.

    Few steps are taken at equal strides of σ^(1/7), σ_t = √((1 − ᾱ_t) / ᾱ_t) being the noise
    relative to the image (Karras et al., arXiv 2206.00364, equation 5), as nearly as whole steps
    allow. Strides equal in t would leave a wide last one: from far above 0 the estimate of the
    clean image is a mean of many, without their fine structure.
    """
    if steps is None or steps > t0:
        return list(range(t0, -1, -1))
    if steps == 1:
        return [t0]
    bars = [schedule.alpha_bar(t) for t in range(t0 + 1)]
    levels = np.array([(1 - bar) / bar for bar in bars]) ** (0.5 / 7)
    grid: list[int] = []
    for wanted in np.linspace(levels[0], levels[t0], steps):
        nearest = int(np.abs(levels - wanted).argmin())
        grid.append(max(nearest, grid[-1] + 1) if grid else nearest)
    return grid[::-1]


def refine(
    denoiser: NoisePredictor,
    images: Images,
    t0: int | Sequence[int],
    *,
    seed: int,
    indices: Sequence[int],
    sampler: str = "ddpm",
    steps: int | None = None,
    stream: str = "refine",
    clip: bool = True,
    precision: Literal["fp32", "bf16"] = "fp32",
    schedule: Schedule = SCHEDULE,
) -> Images:
    """Noise images to step t₀ and denoise them back to 0.

    Args:
        denoiser: used as it is: its device, memory format, mode and weights are not touched.
        images: in [0, 1], on the denoiser's device.
        t0: the start, of all images or of each; images of the same start go through together.
            At t₀ = 0 the noise has a standard deviation of 0.01 already, in units of [−1, 1].
        indices: each image's number in its set; its random numbers are a function of (seed,
            stream, number) and of the type of the device, so the batch that it stands in changes
            nothing (but for roundings in which layers of a network may differ with the batch).
        sampler: "ddpm" draws each step from the posterior (ancestral sampling). The others are
            solvers of diffusers, for few steps: "sde_dpmpp" (DPM-Solver++, 2M) of the same
            stochastic process; "ddim" and "unipc" of the probability flow, where nothing is drawn
            but the noise of the start.
        steps: calls of the denoiser, see `time_grid`; None calls it at each of t₀ + 1 steps.
        clip: keeps the estimates of the clean image in [−1, 1].
        precision: "bf16" runs the denoiser under autocast.

    Returns:
        float32 in [0, 1]; an ordinary tensor, for all that it was made in inference mode.

    Raises:
        ReblurError: t₀ is not among the steps that the denoiser was trained at; an option is out
            of its range; the denoiser cannot take images of this size.
    """
    starts = [t0] * len(images) if isinstance(t0, int) else list(t0)
    if not len(starts) == len(indices) == len(images):
        raise ValueError(f"{len(images)} images, {len(indices)} indices, {len(starts)} starts")
    _check(starts, getattr(denoiser, "t_max", schedule.steps), sampler, steps)
    device = images.device
    refined = torch.empty(images.shape, device=device)
    with torch.inference_mode():
        for start in sorted(set(starts)):
            rows = [row for row, its_start in enumerate(starts) if its_start == start]
            noise = Noise(seed, stream, [indices[row] for row in rows], device)
            given = 2 * images[rows].float() - 1
            grid = time_grid(start, steps, schedule)
            if sampler == "ddpm":
                step = ancestral_step(schedule, noise)
            else:
                step = solver_step(sampler, schedule, noise, grid)
            x = schedule.mix(given, noise.like(given), [start] * len(rows))
            for t, s in pairwise([*grid, -1]):
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                    predicted = denoiser(x, torch.full((len(rows),), t, device=device))
                x0 = clean_estimate(x, predicted.float(), schedule.alpha_bar(t), clip)
                x = step(x, x0, t, s)
            refined[rows] = ((x + 1) / 2).clamp(0, 1)
    return refined


def clean_estimate(x: Images, noise: Images, alpha_bar: float, clip: bool) -> Images:
    """Equation 4 solved for the image: `x̂_0 = (x_t − √(1 − ᾱ_t) ε) / √ᾱ_t`."""
    x0 = (x - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5
    return x0.clamp(-1, 1) if clip else x0


def ancestral_step(schedule: Schedule, noise: Noise) -> Step:
    """Draws from the posterior `q(x_s | x_t, x_0) = N(μ̃, β̃)`, equations 6 and 7.

    μ̃ = √ᾱ_s β / (1 − ᾱ_t) · x_0 + √α (1 − ᾱ_s) / (1 − ᾱ_t) · x_t,   β̃ = (1 − ᾱ_s) / (1 − ᾱ_t) · β

    with α = ᾱ_t / ᾱ_s and β = 1 − α, those of the stride from s to t (Nichol and Dhariwal, arXiv
    2102.09672, equation 19); at s = t − 1 they are α_t and β_t.
    """

    def step(x: Tensor, x0: Tensor, t: int, s: int) -> Tensor:
        alpha_bar_t, alpha_bar_s = schedule.alpha_bar(t), schedule.alpha_bar(s)
        alpha = alpha_bar_t / alpha_bar_s
        beta = 1 - alpha
        mean = alpha_bar_s**0.5 * beta / (1 - alpha_bar_t) * x0
        mean = mean + alpha**0.5 * (1 - alpha_bar_s) / (1 - alpha_bar_t) * x
        variance = (1 - alpha_bar_s) / (1 - alpha_bar_t) * beta  # 0 at the last step
        return mean + variance**0.5 * noise.like(mean)

    return step


def solver_step(sampler: str, schedule: Schedule, noise: Noise, grid: Sequence[int]) -> Step:
    """The steps of one of diffusers' solvers along `grid`.

    The solver is given the diffusion that has the grid's steps and no others, β_k = 1 − ᾱ_τ_k /
    ᾱ_τ_{k−1}, and walks through all of it. Its own ways to leave out steps are never used: DDIM
    goes to t − ⌊T/S⌋ whatever the step that follows, and "trailing" may end in a step too many.
    """
    import diffusers  # takes a second to load

    name, special = {
        "ddim": ("DDIMScheduler", {"clip_sample": False}),
        "unipc": ("UniPCMultistepScheduler", {}),
        "sde_dpmpp": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    }[sampler]
    alpha_bars = [schedule.alpha_bar(t) for t in (-1, *reversed(grid))]
    solver = getattr(diffusers, name)(
        num_train_timesteps=len(grid),
        trained_betas=[1 - after / before for before, after in pairwise(alpha_bars)],
        prediction_type="sample",  # it is given x̂_0, clipped or not
        timestep_spacing="trailing",
        **special,
    )
    solver.set_timesteps(len(grid))
    number = {t: k for k, t in enumerate(reversed(grid))}

    def step(x: Tensor, x0: Tensor, t: int, s: int) -> Tensor:
        drawn = {"variance_noise": noise.like(x)} if sampler == "sde_dpmpp" else {}
        return solver.step(x0, number[t], x, return_dict=False, **drawn)[0]

    return step


def _check(starts: Sequence[int], t_max: int, sampler: str, steps: int | None) -> None:
    for start in starts:
        if not 0 <= start < t_max:
            raise ReblurError(
                f"t0 = {start} is outside of the steps that the denoiser was trained at, 0 to "
                f"{t_max - 1}; choose t0 among them, or train a denoiser with a larger t_max."
            )
    if sampler not in SAMPLERS:
        raise ReblurError(f"there is no sampler '{sampler}'; choose from {', '.join(SAMPLERS)}.")
    if steps is not None and steps < 1:
        raise ReblurError(f"steps = {steps}: the denoiser is called once at least; give 1 or more.")
