"""A denoiser's training: what it is shown, its loss, and going on exactly where it stopped."""

import pytest
import torch
from torch import nn

from reblur.diffusion import SCHEDULE, Schedule, refine
from reblur.errors import ReblurError
from reblur.networks import build_network
from reblur.randomness import torch_generator
from reblur.training import TrainingOptions, train
from reblur.training.denoising import Noised, denoising_objective

CPU = torch.device("cpu")


class Levels:
    """Images of one grey each, 0.3 or 0.7: a domain that is quickly learned."""

    def batch(self, seed, indices, device):
        draws = [torch.rand((), generator=torch_generator(seed, "levels", i)) for i in indices]
        greys = torch.stack(draws).round() * 0.4 + 0.3
        return {"image": greys.view(-1, 1, 1, 1).expand(-1, 3, 8, 8).to(device)}


class TestNoised:
    def test_samples_are_noised_to_their_steps(self):
        batch = Noised(Levels(), t_max=300).batch(1, range(6), CPU)
        assert batch["image"].shape == batch["noise"].shape == batch["noisy"].shape == (6, 3, 8, 8)
        assert batch["t"].shape == (6,)
        assert batch["t"].dtype == torch.int64
        assert {round(v.item(), 4) for v in batch["image"].unique()} == {-0.4, 0.4}
        for x0, noise, noisy, t in zip(
            batch["image"], batch["noise"], batch["noisy"], batch["t"].tolist(), strict=True
        ):
            bar = SCHEDULE.alpha_bar(t)
            torch.testing.assert_close(noisy, bar**0.5 * x0 + (1 - bar) ** 0.5 * noise)

    def test_noise_is_normal_and_steps_are_uniform(self):
        batch = Noised(Levels(), t_max=5).batch(1, range(1000), CPU)
        counts = batch["t"].bincount(minlength=5)
        assert len(counts) == 5  # no step from t_max on
        assert counts.min() > 150
        noise = batch["noise"]
        assert noise.mean() == pytest.approx(0, abs=0.01)
        assert noise.std() == pytest.approx(1, abs=0.01)
        assert (noise[1:] * noise[:-1]).mean() == pytest.approx(0, abs=0.01)

    def test_a_sample_is_a_function_of_its_number(self):
        source = Noised(Levels())
        whole, part = source.batch(1, range(8), CPU), source.batch(1, [6, 2], CPU)
        other = source.batch(2, range(8), CPU)
        for name, values in whole.items():
            assert torch.equal(part[name], values[[6, 2]])
            assert not torch.equal(other[name], values)

    @pytest.mark.parametrize("t_max", [0, 101])
    def test_steps_that_do_not_exist(self, t_max):
        with pytest.raises(ReblurError, match="from 1 to 100"):
            Noised(Levels(), Schedule(100), t_max)


class Rounding(nn.Module):
    """What a network's last layer does under autocast."""

    def forward(self, noisy, t):
        return (noisy + t.view(-1, 1, 1, 1) / 1000).bfloat16()


def test_the_loss_is_the_mean_square_in_float32():
    batch = Noised(Levels()).batch(0, range(4), CPU)
    with torch.autocast("cpu", torch.bfloat16):
        loss, reported = denoising_objective(Rounding(), batch, 0)
    predicted = Rounding()(batch["noisy"], batch["t"])
    expected = (predicted.double() - batch["noise"].double()).square().mean()
    assert loss.dtype == torch.float32
    assert reported == {}
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)


def denoiser():
    return build_network("ddpm_small", channels=[8, 16], layers=1, t_max=300)


def run(folder, objective=denoising_objective, **changes):
    options = {
        "steps": 6, "batch": 4, "lr": 3e-3, "log_every": 2, "ema": 0.9, "clip_norm": 1.0,
        "clip_parameters": "", "precision": "bf16",
    }  # fmt: skip
    return train(
        denoiser(),
        Noised(Levels(), t_max=300),
        objective,
        TrainingOptions.from_dict(options | changes),
        seed=2,
        folder=folder,
        progress=False,
    )


def test_going_on_gives_the_same_bytes(tmp_path):
    class Killed(BaseException):
        pass

    def killing(network, batch, step):
        if step == 3:
            raise Killed
        return denoising_objective(network, batch, step)

    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "parts", killing, checkpoint_seconds=0)
    parts = run(tmp_path / "parts", checkpoint_seconds=0)
    assert parts.resumed_from == 3
    assert parts.log.read_bytes() == whole.log.read_bytes()
    for a, b in zip(parts.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(a, b)
    started = denoiser()
    assert not torch.equal(whole.network.unet.conv_in.weight, started.unet.conv_in.weight)


def test_a_trained_denoiser_takes_out_what_its_domain_has_not(tmp_path):
    """Greys of 0.3 or 0.7 are learned; from a grey of 0.3 with a pattern the pattern goes."""
    result = run(tmp_path, steps=160, batch=8, lr=1e-2, precision="fp32", log_every=20)
    losses = [float(row.split(",")[1]) for row in result.log.read_text().splitlines()[1:]]
    assert losses[-1] < 0.3 * losses[0]
    pattern = 0.05 * torch.tensor([1.0, -1.0]).repeat(4).expand(4, 3, 8, 8)

    def refined(network):
        found = refine(
            network, 0.3 + pattern, 50, seed=0, indices=range(4), sampler="sde_dpmpp", steps=10
        )
        return (found - 0.3).square().mean().sqrt(), (found * pattern).mean() / 0.05**2

    error, kept = refined(result.network)
    assert error < 0.8 * 0.05
    assert kept.abs() < 0.3
    assert refined(denoiser())[0] > 2.5 * error
