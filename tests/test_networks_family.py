"""What is particular to the scale-recurrent family, its cells and the ways between sizes."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from reblur.networks import build_network
from reblur.networks.blocks import ResBlock
from reblur.networks.complexity import count_parameters
from reblur.networks.recurrent import CELLS, GRU, RNN, ConvLSTM
from reblur.networks.resizing import UPSAMPLINGS, pad_to_multiple, shrink, upsampling_of


def images(height, width, batch=2, seed=0):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def gradient_of_finest(network):
    network(images(32, 32), finest=True).square().sum().backward()
    return {
        key: parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
        for key, parameter in network.named_parameters()
    }


@pytest.mark.parametrize(
    ("scales", "upsampling", "recurrence"), list(itertools.product([1, 2, 3], UPSAMPLINGS, CELLS))
)
def test_every_choice_of_the_study(scales, upsampling, recurrence):
    network = build_network(
        "sr_edrb1", width=4, scales=scales, upsampling=upsampling, recurrence=recurrence
    )
    outputs = network(images(33, 18))
    assert [tuple(output.shape[-2:]) for output in outputs] == [(9, 5), (17, 9), (33, 18)][-scales:]
    sum(output.square().mean() for output in outputs).backward()
    asleep = [
        key
        for key, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    # At one scale the state is always zero, so the RNN's weights on it have nothing to learn.
    alone = scales == 1 and recurrence == "rnn"
    assert asleep == (["stages.0.cell.conv_h.weight"] if alone else [])


def test_learned_upsamplings_start_as_bilinear():
    x = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    expected = upsampling_of("bilinear", 5)(x)
    for name in ("deconvolution", "subpixel"):
        layer = upsampling_of(name, 5)
        layer.draw_weights(0, "")
        torch.nn.init.zeros_((layer if name == "deconvolution" else layer.conv).bias)
        inside = (..., slice(1, -1), slice(1, -1))
        torch.testing.assert_close(layer(x)[inside], expected[inside])
    networks = {n: build_network("srn", width=4, upsampling=n).eval() for n in UPSAMPLINGS}
    for network in networks.values():
        for key, parameter in network.named_parameters():
            if key.startswith("transitions") and key.endswith("bias"):
                assert not parameter.any()


def test_sr_edrb3_is_the_papers_figure():
    """Figure 4 and section 3.1: 32, 64, 128 channels at full, half and quarter size."""
    with torch.device("meta"):
        network = build_network("sr_edrb3")
        shapes = {}
        for name, module in network.stages[0].named_children():
            module.register_forward_hook(
                lambda module, inputs, output, name=name: shapes.update(
                    {name: tuple((output[0] if isinstance(output, tuple) else output).shape[1:])}
                )
            )
        network(torch.empty(1, 3, 256, 256))
    assert shapes == {
        "in_block": (32, 256, 256),
        "encoder1": (64, 128, 128),
        "encoder2": (128, 64, 64),
        "cell": (128, 64, 64),
        "decoder2": (64, 128, 128),
        "decoder1": (32, 256, 256),
        "out_block": (3, 256, 256),
    }
    blocks = [module for module in network.modules() if isinstance(module, ResBlock)]
    assert len(blocks) == 18
    assert all(block.residual for block in blocks)
    assert len(network.stages) == 1
    assert (network.scales, network.multiple, network.residual_output) == (3, 16, False)


@pytest.mark.parametrize("name", ["sr_edrb1", "sr_rb"])
def test_stage_by_hand(name):
    """Additions within and across, ReLU after all but the ResBlocks' and the output's last."""
    stage = build_network(name, width=4, blocks=1).stages[0]

    def blocks(module, x):
        (block,) = module.blocks
        return x + block.conv2(torch.relu(block.conv1(x)))

    def encode(module, x):
        return blocks(module, torch.relu(module.conv(x)))

    def decode(module, x):
        return torch.relu(module.deconv(blocks(module, x)))

    skip = 0.0 if name == "sr_rb" else 1.0
    pair = torch.cat([images(16, 16), images(16, 16, seed=1)], 1)
    e1 = encode(stage.in_block, pair)
    e2 = encode(stage.encoder1, e1)
    g, _ = stage.cell(encode(stage.encoder2, e2), None)
    d1 = decode(stage.decoder1, decode(stage.decoder2, g) + skip * e2) + skip * e1
    expected = stage.out_block.conv(blocks(stage.out_block, d1))
    torch.testing.assert_close(stage(pair, None)[0], expected)


@pytest.mark.parametrize(("name", "kernel"), [("sr_edrb3", 3), ("srn", 5), ("srn_released", 5)])
def test_kernels(name, kernel):
    with torch.device("meta"):
        network = build_network(name)
    for key, module in network.named_modules():
        if isinstance(module, torch.nn.ConvTranspose2d):
            assert (module.kernel_size, module.stride) == ((4, 4), (2, 2)), key
        elif isinstance(module, torch.nn.Conv2d):
            assert module.kernel_size == ((3, 3) if "cell" in key else (kernel, kernel)), key


def test_coarsest_scale_sees_the_blurred_image_twice():
    network = build_network("sr_edrb1", width=4)
    seen = []
    network.stages[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    x = images(32, 48)
    outputs = network(x)
    (first, no_state), (second, state), (third, _) = seen
    coarse = F.interpolate(x, size=(8, 12), mode="bilinear", align_corners=False)
    assert torch.equal(first, torch.cat([coarse, coarse], 1))
    assert no_state is None
    assert torch.equal(second[:, :3], F.avg_pool2d(x, 2))
    enlarged = F.interpolate(outputs[0], scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(second[:, 3:], enlarged)
    assert [tuple(tensor.shape) for tensor in state] == [(2, 16, 4, 6)] * 2
    assert torch.equal(third[:, :3], x)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_gradient_stops_at_the_image_and_flows_through_the_state(upsampling):
    """With separate weights: what the finest output teaches the coarser stages."""
    learns = gradient_of_finest(
        build_network("sr_edrb1", width=4, shared_weights=False, upsampling=upsampling, scales=3)
    )
    for key, learnt in learns.items():
        coarser = key.startswith(("stages.0.", "stages.1."))
        before_the_state = any(part in key for part in ("in_block", "encoder", "cell"))
        reads_the_image = key.startswith("transitions.0.image")  # shown to stage 1, on to its state
        assert learnt == (before_the_state or not coarser or reads_the_image), key


def test_cascade_without_recurrence_learns_from_its_own_output_alone():
    learns = gradient_of_finest(build_network("sc", width=4))
    assert {key for key, learnt in learns.items() if learnt} == {
        key for key in learns if key.startswith("stages.2.")
    }


def test_deepdeblur_lets_the_gradient_through():
    assert all(gradient_of_finest(build_network("deepdeblur", width=4, blocks=1)).values())


def test_state_carries_information():
    """The same estimate with another coarse state gives another image."""
    network = build_network("rnn", width=4)
    stage = network.stages[0]
    pair = torch.cat([images(16, 16), images(16, 16, seed=1)], 1)
    with torch.no_grad():
        zero, _ = stage(pair, (torch.zeros(2, 16, 4, 4),))
        none, _ = stage(pair, None)
        other, _ = stage(pair, (torch.ones(2, 16, 4, 4),))
    assert torch.equal(zero, none)
    assert (other - none).abs().max() > 1e-3


def test_convlstm_follows_its_equations():
    cell = ConvLSTM(2, 1)
    cell.draw_weights(0, "cell")
    weight = cell.conv.weight
    assert weight.abs().max() <= 2e-3
    assert cell.conv.bias.tolist() == [0, 0, 0, 0, 1, 1, 0, 0]  # i, j, f, o
    with torch.no_grad():
        weight.normal_(generator=torch.Generator().manual_seed(1))
    x, h, c = torch.randn(3, 1, 2, 3, 3, generator=torch.Generator().manual_seed(2)).unbind()
    output, (new_h, new_c) = cell(x, (h, c))
    gates = torch.einsum("oc,bchw->bohw", weight[..., 0, 0], torch.cat([x, h], 1))
    i, j, f, o = gates[:, 0:2], gates[:, 2:4], gates[:, 4:6] + 1, gates[:, 6:8]
    expected_c = f.sigmoid() * c + i.sigmoid() * j.tanh()
    torch.testing.assert_close(new_c, expected_c)
    torch.testing.assert_close(new_h, o.sigmoid() * expected_c.tanh())
    assert output is new_h


def test_gru_and_rnn_follow_their_equations():
    x, h = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(2)).unbind()
    gru = GRU(3, 3)
    output, (state,) = gru(x, (h,))
    z, r = torch.sigmoid(gru.conv_gates(torch.cat([x, h], 1))).chunk(2, 1)
    n = torch.tanh(gru.conv_candidate(torch.cat([x, r * h], 1)))
    torch.testing.assert_close(state, (1 - z) * h + z * n)
    assert output is state
    rnn = RNN(3, 3)
    output, (state,) = rnn(x, (h,))
    torch.testing.assert_close(state, torch.tanh(rnn.conv_x(x) + rnn.conv_h(h)))
    torch.testing.assert_close(output, torch.relu(rnn.conv_y(state)))


def test_convlstm_weights_are_a_truncated_normal():
    weight = build_network("sr_edrb1", width=16).stages[0].cell.conv.weight
    assert weight.abs().max() <= 2e-3
    # The standard deviation of a normal cut at two of its own is 0.8796 of it.
    assert weight.std().item() == pytest.approx(0.8796e-3, rel=0.02)


def test_xavier_bounds_and_zero_biases():
    network = build_network("sr_edrb1", width=16)
    conv, deconv = network.stages[0].encoder1.conv, network.stages[0].decoder1.deconv
    for layer, fans in ((conv, 9 * (16 + 32)), (deconv, 16 * (16 + 32))):
        bound = (6 / fans) ** 0.5
        assert 0.98 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()


def test_variants_start_from_the_same_weights_where_they_share_layers():
    one, other = build_network("sr_edrb3", width=4), build_network("wo_r", width=4)
    theirs = other.state_dict()
    shared = [key for key in theirs if "cell" not in key]
    assert len(shared) == len(theirs) - 2  # all but the convolution in the cell's place
    assert all(torch.equal(one.state_dict()[key], theirs[key]) for key in shared)


def test_skip_variant_adds_the_blurred_image():
    plain = build_network("sr_edrb3", width=4)
    skip = build_network("sr_edrb3_skip", width=4)
    assert count_parameters(plain) == count_parameters(skip)
    x = images(32, 32)
    with torch.no_grad():
        assert F.mse_loss(skip(x, finest=True), x) < 1e-3  # starts close to its input
        skip.load_state_dict(plain.state_dict())
        torch.testing.assert_close(skip(x)[0], shrink(x, 2) + plain(x)[0])
        skip.stages[0].out_block.conv.weight.zero_()
        assert torch.equal(skip(x, finest=True), x)


@pytest.mark.parametrize("residual", [True, False])
def test_residual_addition_is_the_only_difference(residual):
    block = ResBlock(4, 3, residual)
    x = torch.randn(1, 4, 8, 8)
    body = block.conv2(torch.relu(block.conv1(x)))
    torch.testing.assert_close(block(x), body + x if residual else body)


def test_flat_networks_never_shrink_a_feature_map():
    with torch.device("meta"):
        for name in ("sr_flat", "sr_rb"):
            network = build_network(name)
            assert not any(isinstance(m, torch.nn.ConvTranspose2d) for m in network.modules())
            assert all(
                m.stride == (1, 1) for m in network.modules() if isinstance(m, torch.nn.Conv2d)
            )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 9), (16, 15), (7, 33)])
def test_padding_mirrors_or_repeats(height, width):
    x = images(height, width)
    padded = pad_to_multiple(x, 8)
    assert all(side % 8 == 0 for side in padded.shape[-2:])
    assert torch.equal(padded[..., :height, :width], x)
    right, down = padded.shape[-1] - width, padded.shape[-2] - height
    if right:
        edge = width - 2 if right < width else width - 1
        assert torch.equal(padded[..., :height, width], x[..., edge])
    if down:
        edge = height - 2 if down < height else height - 1
        assert torch.equal(padded[..., height, :width], x[..., edge, :])
    assert pad_to_multiple(padded, 8) is padded
    if height * width > 1:  # a single pixel has no memory format
        padded = pad_to_multiple(x.contiguous(memory_format=torch.channels_last), 8)
        assert padded.is_contiguous(memory_format=torch.channels_last)


def test_shrinking_is_the_mean_of_the_middle_pixels():
    x = images(16, 24)
    torch.testing.assert_close(shrink(x, 1), F.avg_pool2d(x, 2))
    middle = x.unfold(2, 4, 4).unfold(3, 4, 4)[..., 1:3, 1:3].mean((-2, -1))
    torch.testing.assert_close(shrink(x, 2), middle)
    assert shrink(x, 0) is x
