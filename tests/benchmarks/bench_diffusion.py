"""Refined pairs by a solver of few steps against plain ancestral sampling; a denoiser's training.

Run as a script, or through `make bench`. How fast a sampler is, is measured with a real denoiser
(its weights do not matter); how near its images come to the target, with the exact denoiser of a
Gaussian toy, so that nothing but the sampler is to blame. The best CPU time is taken, which other
processes disturb less than they do the clock on the wall.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from reblur.diffusion import SCHEDULE, refine
from reblur.measures.distances import distance
from reblur.networks import build_network
from reblur.training import TrainingOptions, train
from reblur.training.denoising import Noised, denoising_objective

FEW = {"sampler": "sde_dpmpp", "steps": 10}


class GaussianField:
    """Images whose Fourier coefficients are independent normal numbers: all about them is known.

    Power falls with the square of the frequency; `sharpness` is the frequency (cycles a pixel)
    from which it falls faster, and `grain` the deviation of white noise on top.
    """

    def __init__(self, size: int, sharpness: float, grain: float) -> None:
        f = torch.fft.fftfreq(size)
        squared = f[:, None] ** 2 + f[None, :] ** 2
        power = 1 / (squared + 1e-3) * torch.exp(-squared / sharpness**2)
        power[0, 0] = 0
        # In units of [−1, 1]: every field has the same contrast at low frequencies.
        self.power = 0.04 * power / (1 / (squared + 1e-3)).mean() + (2 * grain) ** 2

    def images(self, count: int, seed: int) -> Tensor:
        """(count, 3, size, size), around 0.5, almost all within [0, 1]."""
        white = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, 3, *self.power.shape, generator=white)
        x = torch.fft.ifft2(torch.fft.fft2(noise) * self.power.sqrt()).real
        return ((x + 1) / 2).clamp(0, 1)

    def denoiser(self, x: Tensor, t: Tensor) -> Tensor:
        """The exact noise predictor: Wiener's filter at each frequency."""
        bar = SCHEDULE.alpha_bar(int(t[0]))
        gain = (1 - bar) ** 0.5 / (bar * self.power + 1 - bar)
        return torch.fft.ifft2(torch.fft.fft2(x) * gain).real


def toy_distances(t0: int, count: int, size: int = 64) -> dict[str, float]:
    """Distance (sliced Wasserstein, patches) of each set of images to the toy's target."""
    target, initial = GaussianField(size, 0.25, 0.02), GaussianField(size, 0.12, 0.0)
    goal, given = target.images(count, 1), initial.images(count, 2)
    options = {"seed": 0, "indices": range(count), "clip": False}
    sets = {
        "floor": target.images(count, 3),
        "unrefined": given,
        "plain": refine(target.denoiser, given, t0, **options),
        "few": refine(target.denoiser, given, t0, **options, **FEW),
    }
    return {name: distance("swd", images, goal) for name, images in sets.items()}


def cpu_seconds(function: Callable[[], object], runs: int) -> float:
    """The shortest of `runs` calls."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def synthesis(t0: int, name: str, size: int, batch: int, toy: int, **options: Any) -> dict:
    """Images a second of both samplers, with their distances in the toy."""
    images = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    plain = build_network(name, **options).eval()
    fast = build_network(name, **options).eval().to(memory_format=torch.channels_last)
    common = {"t0": t0, "seed": 0, "indices": range(batch)}
    few = {**common, **FEW}
    refine(fast, images, **few, precision="bf16")  # warms up
    ours = cpu_seconds(lambda: refine(fast, images, **few, precision="bf16"), 3)
    in_float32 = cpu_seconds(lambda: refine(plain, images, **few), 2)
    reference = cpu_seconds(lambda: refine(plain, images, **common), 1)
    d = toy_distances(t0, toy)
    return {
        "name": f"refined images, t0 = {t0}, {name}, {batch} × {size}²",
        "ours": batch / ours,
        "reference": batch / reference,
        "ratio": reference / ours,
        "unit": "images/s",
        "note": f"{FEW['sampler']} in {FEW['steps']} calls, bf16 + channels_last, against plain "
        f"ancestral sampling in {t0 + 1} calls, float32 ({reference / in_float32:.1f}× by the "
        f"sampler alone); distance to the target in the Gaussian toy: {d['few']:.5f} against "
        f"{d['plain']:.5f} (unrefined {d['unrefined']:.5f}, target against itself "
        f"{d['floor']:.5f})",
    }


class OneImageBatch:
    """A source that costs nothing."""

    def __init__(self, batch: int, size: int) -> None:
        self._images = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))

    def batch(self, seed: int, indices: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        return {"image": self._images}


class Timed:
    """The objective, noting the CPU time at each of its calls."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def __call__(
        self, network: nn.Module, batch: dict[str, Tensor], step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        self.moments.append(time.process_time())
        return denoising_objective(network, batch, step)

    def shortest(self) -> float:
        """Seconds from one call to the next; the first, which warms up, is left out."""
        return min(b - a for a, b in zip(self.moments[1:-1], self.moments[2:], strict=True))


def by_the_loop(network: nn.Module, source: Noised, steps: int) -> float:
    """Seconds of a step of `train`, with its log, its clipping and its average of the weights."""
    options = TrainingOptions.from_dict(
        {"steps": steps + 2, "batch": 8, "precision": "bf16", "clip_norm": 1.0,
         "clip_parameters": "", "ema": 0.999}
    )  # fmt: skip
    objective = Timed()
    with tempfile.TemporaryDirectory() as folder:
        train(network, source, objective, options, seed=0, folder=Path(folder), progress=False)
    return objective.shortest()


def by_hand(network: nn.Module, source: Noised, steps: int) -> float:
    """Seconds of a step of the loop that one writes first, with clipping."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    objective = Timed()
    for step in range(steps + 2):
        batch = source.batch(0, range(8 * step, 8 * step + 8), torch.device("cpu"))
        loss, _ = objective(network, batch, step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return objective.shortest()


def training(name: str, size: int, steps: int, rounds: int, **options: Any) -> dict[str, Any]:
    """A step of the training of a denoiser on both sides, in turn."""
    source = Noised(OneImageBatch(8, size))
    measured = [
        (
            by_the_loop(build_network(name, **options), source, steps),
            by_hand(build_network(name, **options), source, steps),
        )
        for _ in range(rounds)
    ]
    ours, reference = (min(times) for times in zip(*measured, strict=True))
    units = "has" if torch.cpu._is_amx_tile_supported() else "has no"
    return {
        "name": f"training step, {name}, 8 × {size}²",
        "ours": ours,
        "reference": reference,
        "ratio": reference / ours,
        "unit": "s",
        "note": "bf16 + channels_last + fused Adam, with averaged weights, against a plain float32 "
        f"contiguous loop; this CPU {units} matrix units for bf16 (AMX)",
    }


def run(
    starts: Sequence[int] = (100, 200),
    name: str = "ddpm_small",
    size: int = 64,
    batch: int = 4,
    toy: int = 128,
    steps: int = 3,
    rounds: int = 2,
    **options: Any,
) -> list[dict[str, Any]]:
    """Synthesis at each of the `starts`, and a training step.

    Args:
        size: side of the images that go through the denoiser `name` with `options`.
        batch: how many go through at once.
        toy: images of each set whose distances are taken.
        steps, rounds: timed steps of training a turn, and turns.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [synthesis(t0, name, size, batch, toy, **options) for t0 in starts]
        return [*rows, training(name, size, steps, rounds, **options)]
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    for row in run():
        print(
            f"{row['name']}: {row['ours']:.3g} against {row['reference']:.3g} {row['unit']}, "
            f"{row['ratio']:.2f}×; {row['note']}"
        )
