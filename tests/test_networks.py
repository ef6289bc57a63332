"""Invariants that hold for every network: one list, many tests."""

import pytest
import torch
import torch.nn.functional as F

from reblur.errors import ReblurError
from reblur.network_names import VARIANTS
from reblur.networks import build_network, network_names, network_options
from reblur.networks.complexity import count_macs, count_parameters

NAMES = network_names()
SIZES = [(1, 1), (7, 5), (16, 16), (65, 43)]
COUNTS = {  # RGB, width 32 (DeepDeblur: 64)
    "ss": 2_731_619,
    "sc": 8_194_857,
    "wo_r": 2_731_619,
    "rnn": 3_026_787,
    "gru": 3_469_155,
    "sr_flat": 2_659_939,
    "sr_rb": 2_659_939,
    "sr_ed": 3_764_195,
    "sr_edrb1": 2_214_115,
    "sr_edrb2": 2_989_155,
    "sr_edrb3": 3_764_195,
    "sr_edrb3_skip": 3_764_195,
    "srn": 8_061_411,
    "srn_released": 6_881_251,
    "srn_port": 8_061_411 + 16 * 256 * 512 + 9 * (128 * 64 + 64 * 32),  # 5×5 for 3×3 and 4×4
    "deepdeblur": 11_721_321,
    "nafnet": 17_111_907,
    "rrdb": 16_697_987 + 45 * 9 * 64,  # Real-ESRGAN's, whose first layer has 3 channels, not 48
    "defocus_unet": 31_053_723 + 66_499,  # the U-Net with its fusion, and the blur estimator
    "defocus_unet_noprior": 31_053_723 - 152 - 35 * 9 * 64,  # no fusion, 3 channels instead of 38
    "defocus_sr_edrb3": 3_764_195 + 66_499 + 152 + 117,  # 117: the projection 38 → 3
}


def small(name, **options):
    """The network at a size that a test can afford, all of its weights awake."""
    if name == "nafnet":
        options = {"encoder_blocks": [1, 1], "decoder_blocks": [1, 1], **options}
    if name == "deepdeblur":
        options = {"blocks": 2, **options}
    if name == "rrdb":
        options = {"blocks": 1, "growth": 4, **options}
    network = build_network(name, **{"width": 4, **options})
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.endswith(("beta", "gamma")):  # zero at the start: NAFNet's blocks are asleep
                parameter.fill_(0.3)
    return network


def images(height, width, batch=2, seed=0):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def multi_scale_loss(outputs, sharp):
    return sum(
        F.mse_loss(output, F.interpolate(sharp, size=output.shape[-2:], mode="bilinear"))
        for output in outputs
    )


def test_every_network_has_a_golden_count():
    assert set(COUNTS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_parameter_count(name):
    with torch.device("meta"):
        assert count_parameters(build_network(name)) == COUNTS[name]


@pytest.mark.parametrize("scales", [1, 2])
@pytest.mark.parametrize("name", [n for n in VARIANTS if n != "sc"])
def test_parameter_count_does_not_depend_on_the_scales(name, scales):
    with torch.device("meta"):
        assert count_parameters(build_network(name, scales=scales)) == COUNTS[name]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_shapes_at_any_size(name, size):
    network, x = small(name), images(*size)
    with torch.no_grad():
        outputs = network(x)
        finest = network(x, finest=True)
    for level, output in enumerate(reversed(outputs)):
        assert output.shape == (2, 3, *(-(-side // 2**level) for side in size))
        assert output.dtype == torch.float32
        assert torch.isfinite(output).all()
    assert torch.equal(finest, outputs[-1])
    three = {"deepdeblur", "defocus_sr_edrb3", "srn_port"}
    assert len(outputs) == network_options(name).get("scales", 3 if name in three else 1)


@pytest.mark.parametrize("name", NAMES)
def test_odd_size_is_the_crop_of_the_padded_one(name):
    network, x = small(name), images(37, 29)
    down, right = -37 % network.multiple, -29 % network.multiple
    padded = F.pad(x, (0, right, 0, down), mode="reflect")
    with torch.no_grad():
        whole = network(padded, finest=True)
        torch.testing.assert_close(network(x, finest=True), whole[..., :37, :29])


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name):
    network = small(name)
    multi_scale_loss(network(images(32, 32)), images(32, 32, seed=1)).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_is_equal_and_kept(name):
    x = images(48, 32)
    with torch.no_grad():
        expected = small(name)(x)
    network = small(name).to(memory_format=torch.channels_last)
    kept = {}

    def look(module, inputs, key):
        kept[key] = inputs[0].is_contiguous(memory_format=torch.channels_last)

    for key, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.register_forward_pre_hook(
                lambda module, inputs, key=key: look(module, inputs, key)
            )
    outputs = network(x.contiguous(memory_format=torch.channels_last))
    assert all(kept.values()), [key for key, good in kept.items() if not good]
    for output, other in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, other, rtol=1e-4, atol=1e-5)
        assert output.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", NAMES)
def test_images_of_a_batch_do_not_see_each_other(name):
    network, x = small(name), images(24, 20, batch=3)
    with torch.no_grad():
        together = network(x)
        alone = network(x[1:2])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one[1:2], other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_autocast(name):
    network, x = small(name), images(32, 32)
    with torch.no_grad():
        exact = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(x)
    multi_scale_loss(outputs, x).backward()
    for output, other in zip(outputs, exact, strict=True):
        assert output.dtype == torch.float32
        assert (output - other).square().mean() < 0.15**2 * other.square().mean()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_building_is_a_function_of_name_options_and_seed(name):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = build_network(name, width=4, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    second = build_network(name, width=4, seed=5).state_dict()
    other = build_network(name, width=4, seed=6).state_dict()
    assert all(torch.equal(value, second[key]) for key, value in first.state_dict().items())
    assert any(not torch.equal(value, other[key]) for key, value in second.items())
    assert first.config["name"] == name
    assert first.config["seed"] == 5
    assert first.config["options"] == network_options(name) | {"width": 4}
    rebuilt = build_network(name, seed=5, **first.config["options"])
    assert all(torch.equal(value, second[key]) for key, value in rebuilt.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_macs_are_those_of_the_convolutions(name):
    network = small(name)
    macs = []

    def count(module, inputs, output):
        transposed = isinstance(module, torch.nn.ConvTranspose2d)
        pixels = (inputs[0] if transposed else output)[0, 0].numel()
        macs.append(pixels * module.weight.numel())

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(images(32, 48, batch=1))
    expected = sum(macs)
    assert count_macs(small(name), 32, 48) == expected
    assert next(network.parameters()).device.type == "cpu"


def test_unknown_names_and_options_are_sentences():
    with pytest.raises(ReblurError, match="no network 'unet'; choose from ss, sc"):
        build_network("unet")
    with pytest.raises(ReblurError, match="no option 'depth'; choose from width, scales"):
        build_network("sr_edrb3", depth=3)
    with pytest.raises(ReblurError, match="no option 'scales'; choose from width"):
        build_network("nafnet", scales=3)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("sr_edrb3", {"scales": 4}, "choose 1, 2 or 3"),
        ("sr_edrb3", {"upsampling": "nearest"}, "choose from bilinear, deconvolution, subpixel"),
        ("sr_edrb3", {"recurrence": "lstm"}, "choose from none, rnn, gru, convlstm"),
        ("sr_edrb3", {"width": "8"}, "option 'width' must be like 32"),
        ("sr_edrb3", {"flat": 1}, "option 'flat' must be like False"),
        ("sr_edrb3", {"width": 0}, "1 or more"),
        ("sr_edrb3", {"kernel": 4}, "must be odd"),
        ("deepdeblur", {"blocks": 0}, "1 or more"),
        ("nafnet", {"encoder_blocks": [1, 1]}, "same length"),
        ("nafnet", {"encoder_blocks": [1, "1"]}, "list of integers"),
        ("nafnet", {"middle_blocks": -1}, "0 or more"),
    ],
)
def test_impossible_options_are_sentences(name, options, sentence):
    with pytest.raises(ReblurError, match=sentence):
        build_network(name, **options)
