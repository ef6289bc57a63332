"""RRDB against its papers. The invariants of all networks stand in test_networks.py."""

import pytest
import torch
import torch.nn.functional as F

from reblur.errors import ReblurError
from reblur.networks import build_network
from reblur.networks.complexity import count_macs, count_parameters
from reblur.networks.rrdb import RRDB, DenseBlock

SMALL = {"width": 4, "blocks": 2, "growth": 3}


def images(height, width, batch=2, seed=0):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def count_by_hand(width, blocks, growth):
    def conv(channels_in, channels_out):
        return 9 * channels_in * channels_out + channels_out

    growing = sum(conv(width + i * growth, growth) for i in range(4))
    dense = growing + conv(width + 4 * growth, width)
    outside = conv(3 * 16, width) + 4 * conv(width, width) + conv(width, 3)
    return blocks * 3 * dense + outside


@pytest.mark.parametrize("options", [{}, SMALL, {"width": 16, "blocks": 5, "growth": 8}])
def test_parameter_count_by_hand(options):
    with torch.device("meta"):
        network = build_network("rrdb", **options)
    complete = {"width": 64, "blocks": 23, "growth": 32} | options
    assert count_parameters(network) == count_by_hand(**complete)


def test_parameter_count_of_the_published_size():
    # Real-ESRGAN's generator of 23 blocks has 16,697,987 parameters with its 3 input channels;
    # the pixel-unshuffle makes 48 of them: 45 · 9 · 64 more.
    assert count_by_hand(64, 23, 32) == 16_697_987 + 45 * 9 * 64


def test_most_of_the_work_is_at_a_quarter_of_the_resolution():
    macs = count_macs(build_network("rrdb", **SMALL), 32, 48)
    dense = sum((4 + 3 * i) * 3 for i in range(4)) + (4 + 4 * 3) * 4
    quarter = 2 * 3 * dense + 48 * 4 + 4 * 4
    whole = 4 * 4 / 4 + 4 * 4 + 4 * 4 + 4 * 3  # ups at a half and at the whole, fine, ending
    assert macs == 9 * 32 * 48 * (quarter / 16 + whole)


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (7, 5), (16, 16), (33, 42)])
def test_shapes_at_any_size(size):
    network, x = build_network("rrdb", **SMALL), images(*size)
    with torch.no_grad():
        outputs = network(x)
        assert len(outputs) == 1
        assert outputs[0].shape == x.shape
        assert outputs[0].dtype == torch.float32
        assert torch.isfinite(outputs[0]).all()
        assert torch.equal(network(x, finest=True), outputs[0])


def test_the_estimate_is_a_residual_on_the_input():
    network, x = build_network("rrdb", **SMALL), images(13, 10)
    with torch.no_grad():
        before = network(x, finest=True)
        network.ending.weight.zero_()
        network.ending.bias.zero_()
        assert torch.equal(network(x, finest=True), x)
    assert 0 < (before - x).square().mean() < 0.2**2


def test_network_by_hand():
    network, x = build_network("rrdb", **SMALL), images(8, 12)
    with torch.no_grad():
        folded = x.reshape(2, 3, 2, 4, 3, 4).permute(0, 1, 3, 5, 2, 4).reshape(2, 48, 2, 3)
        features = network.intro(folded)
        features = network.trunk_end(network.trunk[1](network.trunk[0](features))) + features
        for up in network.ups:
            larger = features.repeat_interleave(2, 2).repeat_interleave(2, 3)
            features = F.leaky_relu(up(larger), 0.2)
        expected = x + network.ending(F.leaky_relu(network.fine(features), 0.2))
        torch.testing.assert_close(network(x, finest=True), expected)


def test_dense_block_by_hand():
    block, x = DenseBlock(4, 3), torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    copy = x.clone()
    with torch.no_grad():
        seen = [x]
        for layer in block.growing:
            seen.append(F.leaky_relu(layer(torch.cat(seen, 1)), 0.2))
        expected = x + 0.2 * block.merge(torch.cat(seen, 1))
        torch.testing.assert_close(block(x), expected)
    assert torch.equal(x, copy)


def test_rrdb_has_a_residual_around_three():
    block, x = RRDB(4, 3), images(6, 5)[:, [0, 1, 2, 0]]
    with torch.no_grad():
        inner = x
        for dense in block.dense:
            inner = dense(inner)
        torch.testing.assert_close(block(x), x + 0.2 * inner)
    assert len(block.dense) == 3


def test_dense_blocks_start_at_a_tenth_of_he():
    network = build_network("rrdb", width=32, blocks=1, growth=16)
    for name, module in network.named_modules():
        if not isinstance(module, torch.nn.Conv2d):
            continue
        fan_in = module.weight[0].numel()
        if name.startswith("trunk."):
            # A normal cut at two standard deviations keeps 0.8796 of its deviation.
            assert module.weight.std().item() == pytest.approx(
                0.1 * 0.8796 * (2 / fan_in) ** 0.5, rel=0.05
            )
            assert module.bias.abs().max() == 0
        else:
            assert module.weight.abs().max() <= fan_in**-0.5
            assert module.weight.std().item() == pytest.approx((3 * fan_in) ** -0.5, rel=0.1)


def test_one_step_of_descent_lowers_the_error():
    network, x = build_network("rrdb", **SMALL), images(16, 16)
    sharp = images(16, 16, seed=1)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    errors = []
    for _ in range(5):
        error = F.mse_loss(network(x, finest=True), sharp)
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("option", ["width", "blocks", "growth"])
def test_impossible_options_are_sentences(option):
    with pytest.raises(ReblurError, match="1 or more"):
        build_network("rrdb", **{option: 0})
