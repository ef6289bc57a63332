"""Noising and denoising: against diffusers step by step, and where the answer is known exactly."""

import math
from itertools import pairwise

import diffusers
import pytest
import torch

from reblur.diffusion import SAMPLERS, SCHEDULE, Schedule, draw_start, noise_to, refine, time_grid
from reblur.errors import ReblurError
from reblur.networks import build_network
from reblur.randomness import torch_generator


def images(batch=2, size=8, seed=0):
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def odd_noise(x, t):
    """A predictor that depends on everything, without being a sensible one."""
    scale = 0.5 + 0.3 * torch.sin(t / 7.0).view(-1, 1, 1, 1)
    return torch.tanh(2 * x.roll(1, -1)) * scale + 0.2 * x


class TestSchedule:
    def test_is_that_of_diffusers(self):
        expected = diffusers.DDPMScheduler().alphas_cumprod
        found = torch.tensor([SCHEDULE.alpha_bar(t) for t in range(1000)])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        assert SCHEDULE.alpha_bar(-1) == 1

    @pytest.mark.parametrize(
        ("steps", "share"), [(20, 0.994), (100, 0.897), (200, 0.659), (250, 0.524), (500, 0.079)]
    )
    def test_published_values(self, steps, share):
        """After so many steps of noise, the last of which has number steps − 1."""
        assert SCHEDULE.alpha_bar(steps - 1) == pytest.approx(share, abs=1e-3)

    @pytest.mark.parametrize("t", [-2, 1000])
    def test_no_such_step(self, t):
        with pytest.raises(ReblurError, match="0 to 999"):
            SCHEDULE.alpha_bar(t)

    def test_noising_is_that_of_diffusers(self):
        x, noise = images(), torch.randn(2, 3, 8, 8)
        for t in (0, 100, 999):
            expected = diffusers.DDPMScheduler().add_noise(2 * x - 1, noise, torch.tensor([t, t]))
            torch.testing.assert_close(noise_to(x, t, noise), expected, rtol=1e-4, atol=1e-5)


class TestGrid:
    @pytest.mark.parametrize("t0", [0, 1, 2, 19, 100, 499])
    @pytest.mark.parametrize("steps", [1, 2, 3, 10, 50, 101, None])
    def test_walks_down_in_the_number_of_calls(self, t0, steps):
        grid = time_grid(t0, steps)
        assert len(grid) == (t0 + 1 if steps is None else min(steps, t0 + 1))
        assert grid[0] == t0
        assert grid[-1] == 0 or steps == 1
        assert all(t > s for t, s in pairwise(grid))

    def test_few_steps_are_those_of_karras(self):
        """`σ_k = (σ_0^(1/7) + k/(S − 1) (σ_{S−1}^(1/7) − σ_0^(1/7)))^7`, to the next whole step."""
        grid = time_grid(400, 6)
        sigmas = [math.sqrt(1 / SCHEDULE.alpha_bar(t) - 1) for t in range(402)]
        for k, t in enumerate(grid):
            first, last = sigmas[400] ** (1 / 7), sigmas[0] ** (1 / 7)
            sigma = (first + k / 5 * (last - first)) ** 7
            assert t == 0 or sigmas[t - 1] < sigma < sigmas[t + 1]


def library_denoised(scheduler, x, grid, clip, generator=None):
    """The usual loop over a scheduler of diffusers, from x at grid[0]."""
    for t in grid:
        noise = odd_noise(x, torch.full((len(x),), t))
        if clip and not scheduler.config.get("clip_sample", False):
            bar = SCHEDULE.alpha_bar(t)
            clean = ((x - (1 - bar) ** 0.5 * noise) / bar**0.5).clamp(-1, 1)
            noise = (x - bar**0.5 * clean) / (1 - bar) ** 0.5
        more = {} if generator is None else {"generator": generator}
        x = scheduler.step(noise, t, x, return_dict=False, **more)[0]
    return ((x + 1) / 2).clamp(0, 1)


def started(x, t0, seed, index):
    """x at t0 and the generator that goes on, as diffusers would be given them."""
    generator = torch_generator(seed, "refine", index)
    noise = torch.randn(x.shape, generator=generator)
    return noise_to(x, t0, noise), generator


@pytest.mark.parametrize("clip", [True, False])
class TestAgainstDiffusers:
    @pytest.mark.parametrize(("t0", "steps"), [(0, None), (1, None), (60, None), (300, 7)])
    def test_ancestral(self, t0, steps, clip):
        x = images(1)
        found = refine(odd_noise, x, t0, seed=3, indices=[5], steps=steps, clip=clip)
        scheduler = diffusers.DDPMScheduler(clip_sample=clip)
        scheduler.set_timesteps(timesteps=time_grid(t0, steps))
        if steps is None:  # its own count of the steps, from T = 1000 down
            scheduler.set_timesteps(1000)
        noised, generator = started(x, t0, 3, 5)
        expected = library_denoised(scheduler, noised, time_grid(t0, steps), clip, generator)
        torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)

    @pytest.mark.parametrize("sampler", ["sde_dpmpp", "unipc"])
    @pytest.mark.parametrize(("t0", "steps"), [(1, 1), (60, 4), (300, 16), (30, None)])
    def test_solvers_on_its_own_schedule(self, sampler, t0, steps, clip):
        x, grid = images(1), time_grid(t0, steps)
        found = refine(
            odd_noise, x, t0, seed=3, indices=[5], steps=steps, sampler=sampler, clip=clip
        )
        kind = "sde-dpmsolver++" if sampler == "sde_dpmpp" else "dpmsolver++"
        scheduler = dpm = diffusers.DPMSolverMultistepScheduler(algorithm_type=kind)
        dpm.set_timesteps(timesteps=grid)
        if sampler == "unipc":  # takes no list of steps: those of the other one are put in
            scheduler = diffusers.UniPCMultistepScheduler()
            scheduler.set_timesteps(len(grid))
            scheduler.timesteps, scheduler.sigmas = dpm.timesteps, dpm.sigmas
        scheduler.set_begin_index(0)
        noised, generator = started(x, t0, 3, 5)
        drawing = generator if sampler == "sde_dpmpp" else None
        expected = library_denoised(scheduler, noised, grid, clip, drawing)
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)

    @pytest.mark.parametrize(("t0", "steps"), [(0, None), (60, None), (300, 7), (499, 3)])
    def test_ddim_in_closed_form(self, t0, steps, clip):
        """Song, Meng, Ermon, arXiv 2010.02502, equation 12 with σ = 0, in double precision."""
        x = images(1)
        found = refine(
            odd_noise, x, t0, seed=3, indices=[5], steps=steps, sampler="ddim", clip=clip
        )
        x = started(x, t0, 3, 5)[0].double()
        for t, s in pairwise([*time_grid(t0, steps), -1]):
            now, then = SCHEDULE.alpha_bar(t), SCHEDULE.alpha_bar(s)
            clean = (x - (1 - now) ** 0.5 * odd_noise(x, torch.tensor([t]))) / now**0.5
            clean = clean.clamp(-1, 1) if clip else clean
            noise = (x - now**0.5 * clean) / (1 - now) ** 0.5
            x = then**0.5 * clean + (1 - then) ** 0.5 * noise
        torch.testing.assert_close(found.double(), ((x + 1) / 2).clamp(0, 1), rtol=0, atol=5e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
class TestEverySampler:
    def test_the_batch_changes_nothing(self, sampler):
        x, starts = images(5), [40, 7, 40, 0, 90]
        options = {"seed": 4, "sampler": sampler, "steps": 5}
        whole = refine(odd_noise, x, starts, indices=range(10, 15), **options)
        for i in (4, 0, 2):
            alone = refine(odd_noise, x[i : i + 1], starts[i], indices=[10 + i], **options)
            assert torch.equal(alone[0], whole[i])
        order = [3, 1, 4, 0, 2]
        mixed = refine(
            odd_noise, x[order], [starts[i] for i in order], indices=[10 + i for i in order],
            **options,
        )  # fmt: skip
        assert torch.equal(mixed, whole[order])

    def test_a_network_in_batches(self, sampler):
        network = build_network("ddpm_small", channels=[8, 16], layers=1).eval()
        x = images(3)
        options = {"seed": 4, "sampler": sampler, "steps": 4}
        whole = refine(network, x, 60, indices=range(3), **options)
        alone = [refine(network, x[i : i + 1], 60, indices=[i], **options) for i in range(3)]
        torch.testing.assert_close(whole, torch.cat(alone), rtol=0, atol=1e-5)

    def test_seed_stream_and_index_matter(self, sampler):
        x = images(1)

        def run(seed=1, stream="refine", index=0):
            return refine(
                odd_noise, x, 50, seed=seed, indices=[index], stream=stream, sampler=sampler,
                steps=3,
            )  # fmt: skip

        assert torch.equal(run(), run())
        others = [run(seed=2), run(stream="other"), run(index=1)]
        assert not any(torch.allclose(run(), other) for other in others)

    def test_a_perfect_denoiser_gives_the_image_back(self, sampler):
        x = images()

        def perfect(noisy, t):
            bar = SCHEDULE.alpha_bar(int(t[0]))
            return (noisy - bar**0.5 * (2 * x - 1)) / (1 - bar) ** 0.5

        for steps in (1, 2, 9):
            found = refine(perfect, x, 300, seed=0, indices=[0, 1], sampler=sampler, steps=steps)
            torch.testing.assert_close(found, x, rtol=0, atol=1e-4)

    def test_hardly_any_noise_hardly_changes_anything(self, sampler):
        x = 0.2 + 0.6 * images(size=32)
        calls = []

        def idle(noisy, t):
            calls.append(t.tolist())
            return torch.zeros_like(noisy)

        found = refine(idle, x, 0, seed=0, indices=[0, 1], sampler=sampler)
        assert calls == [[0, 0]]
        # The noise of step 0, √(1 − ᾱ_0) = 0.01 on a range of 2, is left as it is.
        assert (found - x).std() == pytest.approx(0.005, rel=0.05)

    def test_calls_and_range(self, sampler):
        calls = []

        def counting(noisy, t):
            calls.append(len(noisy))
            return odd_noise(noisy, t)

        found = refine(
            counting, images(3), [30, 9, 30], seed=0, indices=range(3), sampler=sampler, steps=6
        )
        assert sorted(calls) == [1] * 6 + [2] * 6
        assert found.dtype == torch.float32
        assert 0 <= found.min() < found.max() <= 1


class TestRefusals:
    @pytest.mark.parametrize("t0", [250, 999, -1, [3, 250]])
    def test_start_outside_of_the_trained_steps(self, t0):
        network = build_network("ddpm_small", channels=[8], layers=1, t_max=250)
        with pytest.raises(ReblurError, match=r"0 to 249; choose t0 .* larger t_max"):
            refine(network, images(), t0, seed=0, indices=[0, 1], steps=2)

    def test_start_outside_of_the_schedule(self):
        with pytest.raises(ReblurError, match="0 to 99"):
            refine(odd_noise, images(), 100, seed=0, indices=[0, 1], schedule=Schedule(100))

    def test_sides_that_do_not_divide(self):
        network = build_network("ddpm_small", channels=[8, 8, 8], layers=1)
        with pytest.raises(ReblurError, match="multiples of 4"):
            refine(network, images(2, 10), 20, seed=0, indices=[0, 1], steps=2)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"sampler": "euler"}, r"no sampler 'euler'; choose from ddpm, sde_dpmpp"),
            ({"steps": 0}, "steps = 0"),
        ],
    )
    def test_impossible_options(self, options, message):
        with pytest.raises(ReblurError, match=message):
            refine(odd_noise, images(), 20, seed=0, indices=[0, 1], **options)

    def test_numbers_that_do_not_match(self):
        for t0, indices in ((20, [0]), ([20], [0, 1])):
            with pytest.raises(ValueError, match="2 images"):
                refine(odd_noise, images(), t0, seed=0, indices=indices)


def test_the_given_things_stay_as_they_are():
    network = build_network("ddpm_small", channels=[8], layers=1).train()
    x, state = images(), torch.get_rng_state()
    before = x.clone()
    found = refine(network, x, 30, seed=0, indices=[0, 1], steps=3)
    assert torch.equal(x, before)
    assert network.training
    assert torch.equal(torch.get_rng_state(), state)
    found.requires_grad_().square().sum().backward()  # an inference tensor could not
    assert found.grad is not None


def test_bf16_is_near():
    network = build_network("ddpm_small", channels=[8, 16], layers=1).eval()
    options = {"seed": 0, "indices": [0, 1], "steps": 5, "sampler": "sde_dpmpp"}
    exact = refine(network, images(), 60, **options)
    rough = refine(network, images(), 60, precision="bf16", **options)
    assert not torch.equal(exact, rough)
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.01)


def test_the_papers_start():
    starts = [draw_start(1, i, 0.2, 1000) for i in range(2000)]
    assert min(starts) == 20
    assert 190 < max(starts) < 200
    assert sum(t == 20 for t in starts) / 2000 == pytest.approx(0.1, abs=0.03)  # u < 0.1, and 20
    assert sum(starts) / 2000 == pytest.approx(0.1 * 20 + 0.9 * 110, abs=4)
    assert starts[:5] == [draw_start(1, i, 0.2, 1000) for i in range(5)]
    assert starts[:9] != [draw_start(2, i, 0.2, 1000) for i in range(9)]
    assert max(draw_start(1, i, 0.25, 1000) for i in range(200)) > 220
