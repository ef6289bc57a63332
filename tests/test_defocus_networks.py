"""Networks for defocused photographs; what holds for every network stands in test_networks.py."""

import pytest
import torch
import torch.nn.functional as F

from reblur.errors import ReblurError
from reblur.networks import build_network
from reblur.networks.complexity import count_parameters
from reblur.networks.defocus import RESTORERS, Guided
from reblur.networks.weights import load_network, save_network


def images(height=20, width=28, batch=2, seed=0):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_the_parts_have_the_published_counts():
    with torch.device("meta"):
        network = build_network("defocus_unet", reblurring=True)
    assert count_parameters(network.estimator) == 66_499
    assert count_parameters(network.fusion) == 152
    assert count_parameters(network.backbone) + count_parameters(network.fusion) == 31_053_723
    assert count_parameters(network.reblurring) == 474_987
    assert count_parameters(network) == 66_499 + 31_053_723 + 474_987


@pytest.mark.parametrize("prior", [True, False])
@pytest.mark.parametrize("backbone", ["unet", "unet_skip", *RESTORERS])
def test_any_backbone_by_its_name(backbone, prior):
    network = build_network("defocus_unet", backbone=backbone, width=2, prior=prior)
    with torch.no_grad():
        outputs = network(images())
    for level, output in enumerate(reversed(outputs)):
        assert output.shape == (2, 3, -(-20 // 2**level), -(-28 // 2**level))


def test_without_a_prior_the_backbone_sees_the_photograph_alone():
    network = build_network("defocus_sr_edrb3", width=2, prior=False)
    plain = build_network("sr_edrb3", width=2)
    with torch.no_grad():
        for one, other in zip(network(images(16, 16)), plain(images(16, 16)), strict=True):
            assert torch.equal(one, other)
    for ask in (network.estimate, lambda x: network.restore(x, torch.zeros(2, 35, 20, 28))):
        with pytest.raises(ReblurError, match="prior=True"):
            ask(images())


@pytest.mark.parametrize("name", ["defocus_unet", "defocus_sr_edrb3"])
def test_seeds_can_be_read_and_given(name):
    network, x = build_network(name, width=2), images(32, 16)
    with torch.no_grad():
        seeds = network.estimate(x)
        assert seeds.shape == (2, 35, 32, 16)
        for one, other in zip(network.restore(x, seeds), network(x), strict=True):
            assert torch.equal(one, other)
        scaled = network(x, guided=True, seed_scale=0.25, reblurred=False)
        assert torch.equal(scaled.seeds, seeds)
        torch.testing.assert_close(scaled.restored[-1], network.restore(x, 0.25 * seeds)[-1])
        assert not torch.allclose(scaled.restored[-1], network(x, finest=True), atol=1e-6)


def test_one_pass_gives_all_that_training_needs():
    network, x = build_network("defocus_unet", width=2, reblurring=True), images(19, 13)
    guided = network(x, guided=True)
    assert isinstance(guided, Guided)
    assert torch.equal(guided.restored[-1], network(x, finest=True))
    assert torch.equal(guided.seeds, network.estimate(x))
    again = network.reblurring(guided.restored[-1], x)
    assert torch.equal(guided.reblurred.image, again.image)
    assert guided.reblurred.seeds.shape == guided.seeds.shape
    loss = F.mse_loss(guided.reblurred.image, x) + F.l1_loss(guided.seeds, guided.reblurred.seeds)
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_the_reblurring_network_changes_nothing_of_the_restoring():
    x = images()
    with torch.no_grad():
        alone = build_network("defocus_unet", width=4)(x, finest=True)
        beside = build_network("defocus_unet", width=4, reblurring=True)(x, finest=True)
    assert torch.equal(alone, beside)
    with pytest.raises(ReblurError, match="reblurring=True"):
        build_network("defocus_unet", width=4)(x, guided=True)


def test_all_of_it_is_saved_and_loaded(tmp_path):
    network = build_network("defocus_sr_edrb3", width=2, reblurring=True, leaky=True, seed=3)
    save_network(network, tmp_path / "weights.safetensors")
    loaded, _ = load_network(tmp_path / "weights.safetensors")
    assert loaded.reblurring.leaky
    with torch.no_grad():
        one, other = (n(images(), guided=True) for n in (network, loaded))
    assert torch.equal(one.restored[-1], other.restored[-1])
    assert torch.equal(one.reblurred.image, other.reblurred.image)


def test_every_photograph_wakes_the_attention():
    for seed in range(20):
        network = build_network("defocus_unet", width=2, seed=seed)
        x = images(16, 16, seed=seed)
        with torch.no_grad():
            features = torch.cat([x, network.estimate(x)], 1)
            assert (network.fusion.squeeze(features.mean((2, 3), keepdim=True)) > 0).all()


def test_the_projection_lets_the_photograph_through():
    network, x = build_network("defocus_sr_edrb3", width=2), images(16, 16)
    with torch.no_grad():
        features = network.projection(network.fusion(torch.cat([x, torch.zeros(2, 35, 16, 16)], 1)))
    correlation = torch.corrcoef(torch.stack([features.flatten(), x.flatten()]))[0, 1]
    assert correlation > 0.98


def test_the_published_unet_gives_an_image_and_the_other_adds_to_one():
    x = images()
    with torch.no_grad():
        published = build_network("defocus_unet", width=8)(x, finest=True)
        adding = build_network("defocus_unet", width=8, backbone="unet_skip")(x, finest=True)
    assert published.min() > 0
    assert published.max() < 1
    assert (adding - x).abs().mean() < 0.05 * (published - x).abs().mean()


@pytest.mark.parametrize(("backbone", "wakes"), [("unet", False), ("unet_skip", True)])
def test_a_layer_that_fell_asleep_wakes_again_in_the_unet_that_adds(backbone, wakes):
    network = build_network("defocus_unet", width=2, backbone=backbone)
    layer = network.backbone.decoders[-1][2]
    with torch.no_grad():
        layer.bias.fill_(-100.0)
    network(images(), finest=True).sum().backward()
    assert bool(layer.weight.grad.abs().max() > 0) == wakes


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backbone": "vgg"}, "no 'vgg'; choose from unet, unet_skip, ss"),
        ({"backbone": "defocus_unet"}, "no 'defocus_unet'"),
        ({"width": 0}, "1 or more"),
        ({"prior": 1}, "option 'prior' must be like True"),
    ],
)
def test_impossible_options_are_sentences(options, sentence):
    with pytest.raises(ReblurError, match=sentence):
        build_network("defocus_unet", **options)
