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
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reblur.errors import ReblurError
from reblur.randomness import numpy_generator, torch_generator
from reblur.training.batches import Batch, Source
from reblur.training.options import Precision

__all__ = [
    "SAMPLERS",
    "SCHEDULE",
    "Noised",
    "Schedule",
    "denoising_objective",
    "draw_start",
    "noise_to",
    "refine",
    "time_grid",
]

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
    low_pass: int | None = None,
    stream: str = "refine",
    clip: bool = True,
    precision: Precision = "fp32",
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
        low_pass: a factor N ties what survives a reduction by N to the given images (see `tied`).
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
    _check(starts, getattr(denoiser, "t_max", schedule.steps), sampler, steps, low_pass)
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
                if low_pass is not None:
                    x = tied(x, schedule.mix(given, noise.like(given), [s] * len(rows)), low_pass)
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


def tied(x: Images, given: Images, factor: int) -> Images:
    """ILVR: `x − φ(x) + φ(y)`, y being the given image at the step of x (Choi et al., "ILVR:
    Conditioning Method for Denoising Diffusion Probabilistic Models", arXiv 2108.02938, eq. 9)."""
    return x + low_frequencies(given - x, factor)  # φ is linear


def low_frequencies(x: Images, factor: int) -> Images:
    """φ: reduced by `factor`, and enlarged again, both bicubic."""
    height, width = x.shape[-2:]
    reduced = F.interpolate(
        x, size=(-(-height // factor), -(-width // factor)), mode="bicubic", antialias=True
    )
    return F.interpolate(reduced, size=(height, width), mode="bicubic", antialias=True)


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


def _check(
    starts: Sequence[int], t_max: int, sampler: str, steps: int | None, low_pass: int | None
) -> None:
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
    if low_pass is not None and low_pass < 2:
        raise ReblurError(f"low_pass = {low_pass}: what is reduced by 1 stays; give 2 or more.")
    if low_pass is not None and sampler == "unipc":
        raise ReblurError(
            "low_pass: sampler 'unipc' corrects a step from the one before it, past what low_pass "
            f"has changed; choose from {', '.join(s for s in SAMPLERS if s != 'unipc')}."
        )
