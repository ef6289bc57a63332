"""DeepDeblur and NAFNet against their papers."""

import torch
import torch.nn.functional as F

from reblur.networks import build_network
from reblur.networks.nafnet import LayerNorm2d, NAFBlock, simple_gate
from reblur.networks.resizing import shrink


def images(height, width, batch=2, seed=0):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_deepdeblur_has_forty_convolutions_of_5x5_a_stage():
    with torch.device("meta"):
        network = build_network("deepdeblur")
    for stage, channels in zip(network.stages, (3, 6, 6), strict=True):
        layers = [m for m in stage.modules() if isinstance(m, torch.nn.Conv2d)]
        assert len(layers) == 40
        assert all(layer.kernel_size == (5, 5) for layer in layers)
        assert layers[0].in_channels == channels
        assert {layer.out_channels for layer in layers[:-1]} == {64}
    assert len({id(p) for p in network.stages.parameters()}) == 3 * 80


def test_deepdeblur_by_hand():
    network, x = build_network("deepdeblur", width=4, blocks=1), images(16, 16)
    coarse, middle, fine = network.stages
    up1, up2 = network.upconvolutions
    with torch.no_grad():
        l3 = coarse(shrink(x, 2) - 0.5)
        l2 = middle(torch.cat([shrink(x, 1) - 0.5, F.pixel_shuffle(up1.conv(l3), 2)], 1))
        l1 = fine(torch.cat([x - 0.5, F.pixel_shuffle(up2.conv(l2), 2)], 1))
        for output, latent in zip(network(x), (l3, l2, l1), strict=True):
            torch.testing.assert_close(output, latent + 0.5)


def test_nafnet_starts_close_to_its_input_and_is_residual():
    network, x = build_network("nafnet", width=4), images(32, 32)
    with torch.no_grad():
        network.ending.weight.zero_()
        network.ending.bias.zero_()
        assert torch.equal(network(x, finest=True), x)


def test_nafnet_is_a_u_net_with_additions():
    network = build_network(
        "nafnet", width=4, encoder_blocks=[1, 0], middle_blocks=1, decoder_blocks=[0, 1]
    )
    x = images(16, 16)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1)  # wakes beta and gamma
        full = network.encoders[0](network.intro(x))
        half = network.downs[0](full)
        coarse = network.middle(network.downs[1](half))
        half = F.pixel_shuffle(network.ups[0][0](coarse), 2) + half
        full = network.decoders[1](F.pixel_shuffle(network.ups[1][0](half), 2) + full)
        expected = x + network.ending(full)
        torch.testing.assert_close(network(x, finest=True), expected)
        assert (expected - x).abs().max() > 0.01


def test_nafblock_starts_as_the_identity():
    x = torch.randn(2, 6, 8, 8)
    assert torch.equal(NAFBlock(6)(x), x)


def test_nafblock_by_hand():
    block, x = NAFBlock(4), torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        block.beta.fill_(0.5)
        block.gamma.fill_(-0.25)
        mixed = simple_gate(block.conv2(block.conv1(block.norm1(x))))
        pooled = F.adaptive_avg_pool2d(mixed, 1)
        y = x + 0.5 * block.conv3(mixed * block.attention(pooled))
        expected = y - 0.25 * block.conv5(simple_gate(block.conv4(block.norm2(y))))
        torch.testing.assert_close(block(x), expected)


def test_layer_norm_is_over_the_channels_of_a_pixel():
    layer, x = LayerNorm2d(5), torch.randn(2, 5, 4, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(5.0))
        layer.bias.fill_(0.5)
        mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
        expected = (x - mean) / (variance + 1e-6).sqrt() * torch.arange(5.0).view(1, 5, 1, 1) + 0.5
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_simple_gate_multiplies_the_halves():
    x = torch.arange(4.0).view(1, 4, 1, 1)
    assert simple_gate(x).flatten().tolist() == [0 * 2, 1 * 3]
