"""The denoisers: their sizes, what they take and refuse, and that they are built like restorers."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from reblur.errors import ReblurError
from reblur.networks import build_network, denoiser_names, network_names, network_options
from reblur.networks.complexity import count_parameters
from reblur.networks.weights import load_network, save_network

COUNTS = {"ddpm_small": 6_006_979, "ddpm_base": 20_018_883, "ddpm_paper": 101_121_795}
TINY = {"channels": [8, 16, 24], "layers": 1}


def tiny(**options):
    return build_network("ddpm_small", **TINY, **options).eval()


def noisy(batch=2, height=16, width=16, seed=0):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def steps(*t):
    return torch.tensor(t)


def test_every_denoiser_has_a_golden_count():
    assert set(COUNTS) == set(denoiser_names())


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_count(name):
    with torch.device("meta"):
        assert count_parameters(build_network(name)) == COUNTS[name]


def test_denoisers_are_not_among_the_restorers():
    assert not set(denoiser_names()) & set(network_names())
    with pytest.raises(ReblurError, match=r"no network 'ddpm_tiny'.*srn.*ddpm_small"):
        build_network("ddpm_tiny")
    with pytest.raises(ReblurError, match="'ddpm_small' has no option 'width'"):
        build_network("ddpm_small", width=8)
    assert network_options("ddpm_paper") == {
        "channels": [128, 256, 512, 512],
        "layers": 2,
        "attention": [2],
        "middle_attention": True,
        "t_max": 500,
    }


@pytest.mark.parametrize("channels", [[16, 32, 48], [8, 8], [6, 10], [2, 3], [5]])
@pytest.mark.parametrize("attention", [[], [0]])
def test_any_channels(channels, attention):
    network = build_network("ddpm_small", channels=channels, layers=1, attention=attention)
    x = noisy()
    with torch.no_grad():
        out = network(x, steps(3, 77))
    assert out.shape == x.shape
    assert out.dtype == torch.float32
    assert torch.isfinite(out).all()
    assert out.std() > 0


@pytest.mark.parametrize("name", [*COUNTS, "tiny"])
def test_normalisation_leaves_the_means_of_features(name):
    """With one channel a group, what a feature amounts to over the image would be lost."""
    with torch.device("meta"):
        network = tiny() if name == "tiny" else build_network(name)
    norms = [m for m in network.modules() if isinstance(m, nn.GroupNorm)]
    assert norms
    assert all(norm.num_channels // norm.num_groups >= 4 for norm in norms)


def test_attention_stands_where_it_is_asked_for():
    def attentions(**options):
        with torch.device("meta"):
            network = build_network("ddpm_small", **options)
        names = [name for name, _ in network.named_modules() if name.endswith("to_q")]
        return {name.split(".attentions")[0].removeprefix("unet.") for name in names}

    assert attentions() == {"mid_block"}
    assert attentions(middle_attention=False) == set()
    assert attentions(attention=[1]) == {"mid_block", "down_blocks.1", "up_blocks.2"}


def test_initial_weights_are_a_function_of_the_seed():
    state = torch.get_rng_state()
    first, again, other = tiny(seed=1), tiny(seed=1), tiny(seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    norms = ("norm", "group_norm")  # of gain 1 and bias 0, whatever the seed
    for (name, _), (a, _, c) in zip(first.named_parameters(), pairs, strict=True):
        assert torch.equal(a, c) == any(part in name for part in norms), name


def test_every_parameter_gets_a_gradient():
    network = tiny(attention=[1])
    network(noisy(), steps(3, 9)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # Attention takes no notice of what is added to all of its keys; rounding does.
        if not name.endswith("to_k.bias"):
            assert parameter.grad.abs().max() > 0, name


def test_each_image_has_a_step_of_its_own():
    network, x = tiny(), noisy(3)
    with torch.no_grad():
        together = network(x, steps(5, 200, 5))
        alone = [network(x[i : i + 1], steps(t)) for i, t in enumerate((5, 200, 5))]
        other = network(x, steps(5, 201, 5))
    torch.testing.assert_close(together, torch.cat(alone))
    assert not torch.allclose(together[1], other[1])
    assert torch.equal(together[[0, 2]], other[[0, 2]])


@pytest.mark.parametrize("size", [(18, 16), (16, 13), (2, 4)])
def test_sides_that_do_not_divide(size):
    with pytest.raises(ReblurError, match=rf"{size[0]}×{size[1]} pixels.*multiples of 4"):
        tiny()(noisy(1, *size), steps(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": []}, "channels"),
        ({"channels": [8, 0]}, "channels"),
        ({"layers": 0}, "layers"),
        ({"attention": [4]}, "levels are numbered from 0 to 3"),
        ({"attention": [-1]}, "levels are numbered from 0 to 3"),
        ({"t_max": 0}, "t_max"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ReblurError, match=message):
        build_network("ddpm_small", **options)


def test_channels_last_is_equal():
    network, x, t = tiny(attention=[1]), noisy(height=24), steps(3, 99)
    with torch.no_grad():
        expected = network(x, t)
        network = network.to(memory_format=torch.channels_last)
        found = network(x.contiguous(memory_format=torch.channels_last), t)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_bf16_autocast():
    network, x, t = tiny(attention=[1]), noisy(), steps(3, 99)
    network = network.to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = network(x, t)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(x, t)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    assert (found - expected).square().mean() < (0.03 * expected.std()) ** 2


def test_round_trip_is_bitwise(tmp_path):
    network = tiny(seed=7, attention=[2], t_max=250).to(memory_format=torch.channels_last)
    save_network(network, tmp_path / "w.safetensors", step=12)
    loaded, metadata = load_network(tmp_path / "w.safetensors")
    assert metadata == {"step": 12}
    assert loaded.config == network.config
    assert loaded.t_max == 250
    assert loaded.state_dict().keys() == network.state_dict().keys()
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    network = network.to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        assert torch.equal(loaded(noisy(), steps(1, 2)), network(noisy(), steps(1, 2)))


def test_restorers_do_without_diffusers():
    """It takes a second to load, which every command would pay."""
    code = "import sys, reblur.networks, reblur.diffusion; print('diffusers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
