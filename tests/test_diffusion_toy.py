"""Refining where the answer is known: values that are all normal, and low frequencies kept."""

import math
from itertools import pairwise

import pytest
import torch

from reblur.diffusion import SCHEDULE, noise_to, refine, time_grid
from reblur.randomness import torch_generator


class Gaussian:
    """The exact predictor where all values of the clean images are N(mean, deviation²)."""

    def __init__(self, mean=0.2, deviation=0.1):
        self.mean, self.deviation = mean, deviation

    def __call__(self, x, t):
        bar = torch.tensor([SCHEDULE.alpha_bar(int(step)) for step in t]).view(-1, 1, 1, 1)
        spread = bar * self.deviation**2 + 1 - bar  # the variance of x_t
        return (1 - bar).sqrt() * (x - bar.sqrt() * self.mean) / spread

    def posterior(self, t0, given):
        """Mean and standard deviation of what exact denoising makes of the value `given`."""
        bar, variance = SCHEDULE.alpha_bar(t0), self.deviation**2
        spread = bar * variance + 1 - bar
        kept = bar * variance / spread  # of what is given, in the mean
        spreads = variance * (1 - bar) / spread + kept**2 / bar * (1 - bar)
        return self.mean + kept * (given - self.mean), math.sqrt(spreads)


def level(value, batch=4, size=48):
    """Images with one value, which is `value` in [−1, 1]."""
    return torch.full((batch, 3, size, size), (value + 1) / 2)


def moments(refined):
    values = 2 * refined.double() - 1
    return values.mean().item(), values.std().item()


class TestGaussianToy:
    """All values N(0.2, deviation²): the posterior and the flow are known."""

    @pytest.mark.parametrize("deviation", [0.05, 0.2])
    @pytest.mark.parametrize("t0", [50, 200])
    @pytest.mark.parametrize(
        ("sampler", "steps", "rough"), [("ddpm", None, 0.08), ("sde_dpmpp", 20, 0.035)]
    )
    def test_stochastic_samplers_draw_the_posterior(self, deviation, t0, sampler, steps, rough):
        """Ancestral sampling stays below by what its last steps, of variance β̃, leave out."""
        toy = Gaussian(deviation=deviation)
        found = refine(
            toy, level(0.5), t0, seed=1, indices=range(4), sampler=sampler, steps=steps, clip=False
        )
        mean, spread = moments(found)
        expected_mean, expected_spread = toy.posterior(t0, 0.5)
        assert mean == pytest.approx(expected_mean, abs=0.02 * deviation + 0.004)
        assert spread == pytest.approx(expected_spread, rel=rough)

    @pytest.mark.parametrize("steps", [None, 10, 2])
    def test_ancestral_moments_step_by_step(self, steps):
        """x̂_0 is linear in x here, so the mean and the variance can be followed exactly."""
        toy, t0, given = Gaussian(), 150, -0.4
        mean = SCHEDULE.alpha_bar(t0) ** 0.5 * given
        variance = 1 - SCHEDULE.alpha_bar(t0)
        for t, s in pairwise([*time_grid(t0, steps), -1]):
            now, then = SCHEDULE.alpha_bar(t), SCHEDULE.alpha_bar(s)
            gain = now**0.5 * toy.deviation**2 / (now * toy.deviation**2 + 1 - now)
            beta = 1 - now / then
            to_clean, to_noisy = then**0.5 * beta, (now / then) ** 0.5 * (1 - then)
            clean = toy.mean + gain * (mean - now**0.5 * toy.mean)
            mean = (to_clean * clean + to_noisy * mean) / (1 - now)
            variance *= ((to_clean * gain + to_noisy) / (1 - now)) ** 2
            variance += beta * (1 - then) / (1 - now)
        found = refine(toy, level(given), t0, seed=2, indices=range(4), steps=steps, clip=False)
        assert moments(found) == pytest.approx((mean, math.sqrt(variance)), rel=0.015, abs=1e-3)

    @pytest.mark.parametrize("sampler", ["ddim", "unipc"])
    def test_solvers_follow_the_flow(self, sampler):
        """`x_0 = mean + deviation / √(ᾱ deviation² + 1 − ᾱ) · (x_t − √ᾱ mean)`."""
        toy, t0, x = Gaussian(), 200, level(0.5, 1, 16)
        bar = SCHEDULE.alpha_bar(t0)
        ratio = toy.deviation / math.sqrt(bar * toy.deviation**2 + 1 - bar)
        noise = torch.randn(x.shape, generator=torch_generator(1, "refine", 0))
        flowed = toy.mean + ratio * (noise_to(x, t0, noise) - bar**0.5 * toy.mean)

        def error(steps):
            found = refine(
                toy, x, t0, seed=1, indices=[0], sampler=sampler, steps=steps, clip=False
            )
            return (2 * found - 1 - flowed).square().mean().sqrt().item() / toy.deviation

        assert error(40) < (0.05 if sampler == "ddim" else 0.02)
        assert error(40) < 0.6 * error(4)
        if sampler != "ddim":
            assert error(8) < 0.05  # of second order: a few steps will do

    def test_the_target_is_kept_and_another_domain_is_pulled_to_it(self):
        toy = Gaussian(deviation=0.1)
        noise = torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(5))
        for mean, deviation in ((0.2, 0.1), (0.0, 0.3)):
            given = (1 + mean + deviation * noise) / 2
            drifts = []
            for t0 in (50, 150, 400):
                found = refine(
                    toy,
                    given,
                    t0,
                    seed=1,
                    indices=range(4),
                    sampler="sde_dpmpp",
                    steps=20,
                    clip=False,
                )
                drifts.append((found - given).square().mean().sqrt().item())
                found_mean, found_deviation = moments(found)
                if t0 == 400 or mean == 0.2:
                    assert found_mean == pytest.approx(0.2, abs=0.01)
                    assert found_deviation == pytest.approx(0.1, rel=0.04)
            assert drifts == sorted(drifts)
