"""The reblurring network: kernels, ring sums, and the maps that are read from it."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from reblur.networks.complexity import count_parameters
from reblur.networks.reblurring import (
    Reblurring,
    circle_of_confusion,
    expected_radius,
    radial_kernels,
    whole_kernels,
)
from reblur.networks.ring_sums import RADII, SECTIONS, SEEDS, reblur, stencil_masses

TAPS = [5, 13, 29, 49, 81, 113, 149]  # whole pixels in a disc of radius 1 … 7
BOTH = pytest.mark.parametrize("leaky", [False, True])


def inputs(height=12, width=9, batch=1, dtype=torch.float64, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    image, seeds, logits = (
        torch.randn(batch, c, height, width, dtype=dtype, generator=generator)
        for c in (3, SEEDS, 8)
    )
    return [x.requires_grad_() for x in (image, scale * seeds, logits.softmax(1).detach())]


def tap_by_tap(image, seeds, weights, leaky):
    """Equations (1) and (2) as they stand: one kernel after the other, one tap after the other."""
    height, width = image.shape[2:]
    rows, columns = torch.arange(height), torch.arange(width)
    result = weights[:, 0:1] * image
    for radius, s in enumerate(torch.split(seeds.abs(), SECTIONS, 1), 1):
        numerator, denominator = 0.0, 0.0
        for down in range(-radius, radius + 1):
            for right in range(-radius, radius + 1):
                d = math.sqrt(down**2 + right**2)
                if d <= radius:
                    low, high = math.floor(d), math.ceil(d)
                    logit = (
                        s[:, low]
                        if low == high
                        else (high - d) * s[:, low] + (d - low) * s[:, high]
                    )
                elif leaky:
                    logit = torch.zeros_like(s[:, 0])
                else:
                    continue
                there = image[:, :, (rows + down).clamp(0, height - 1)]
                there = there[..., (columns + right).clamp(0, width - 1)]
                numerator = numerator + logit.exp()[:, None] * there
                denominator = denominator + logit.exp()[:, None]
        result = result + weights[:, radius : radius + 1] * numerator / denominator
    return result


@BOTH
@pytest.mark.parametrize("size", [(12, 9), (1, 1), (3, 20), (16, 16)])
def test_equals_the_tap_by_tap_form_in_value_and_gradient(size, leaky):
    given_inputs = inputs(*size, batch=2)
    expected = tap_by_tap(*given_inputs, leaky)
    result = reblur(*given_inputs, leaky)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-10)
    towards = torch.randn(result.shape, dtype=torch.float64)
    gradients = torch.autograd.grad(result, given_inputs, towards)
    for one, other in zip(
        gradients, torch.autograd.grad(expected, given_inputs, towards), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@BOTH
def test_gradient_by_finite_differences(leaky):
    image, seeds, weights = inputs(1, 2)
    assert torch.autograd.gradcheck(lambda *x: reblur(*x, leaky), (image, seeds, weights))


def test_any_number_of_channels_and_any_memory_format():
    image, seeds, weights = (x.detach() for x in inputs(8, 8, batch=2))
    grey = reblur(image[:, :1], seeds, weights)
    torch.testing.assert_close(grey, reblur(image, seeds, weights)[:, :1])
    strided = [x.to(memory_format=torch.channels_last) for x in (image, seeds, weights)]
    torch.testing.assert_close(reblur(*strided), reblur(image, seeds, weights))


@BOTH
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0, 300))
def test_kernels_sum_to_one_and_are_radially_symmetric(leaky, seed, scale):
    _, seeds, weights = inputs(1, 4, seed=seed, scale=scale)
    seeds, weights = seeds[0, :, 0].T.detach(), weights[0, :, 0].T.detach()
    kernels = torch.cat(
        [radial_kernels(seeds, leaky), whole_kernels(seeds, weights, leaky)[:, None]], 1
    )
    assert (kernels >= 0).all()
    torch.testing.assert_close(kernels.sum((2, 3)), torch.ones_like(kernels[..., 0, 0]))
    for other in (kernels.flip(2), kernels.flip(3), kernels.mT):
        assert torch.equal(kernels, other)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_taps_at_one_distance_weigh_the_same_and_none_is_outside(seed):
    _, seeds, _ = inputs(1, 1, seed=seed)
    kernels = radial_kernels(seeds.detach()[..., 0, 0])[0]
    steps = torch.arange(-7, 8)
    squared = steps[:, None] ** 2 + steps**2
    for radius, kernel in zip(RADII, kernels, strict=True):
        assert (kernel[squared > radius**2] == 0).all()
        assert (kernel[squared <= radius**2] > 0).all()
        for d2 in squared.unique():  # 25 = 5² + 0² = 4² + 3²
            ring = kernel[squared == d2]
            torch.testing.assert_close(ring, ring[:1].expand_as(ring), rtol=0, atol=0)


@pytest.mark.parametrize("radius", RADII)
def test_equal_seeds_make_an_even_disc(radius):
    kernel = radial_kernels(torch.full((1, SEEDS), 1.7, dtype=torch.float64))[0, radius - 1]
    inside = kernel[kernel > 0]
    assert len(inside) == TAPS[radius - 1]
    torch.testing.assert_close(inside, torch.full_like(inside, 1 / TAPS[radius - 1]))


def test_the_published_form_leaks_a_third_of_its_largest_kernel():
    kernels = radial_kernels(torch.zeros(1, SEEDS, dtype=torch.float64), leaky=True)[0]
    for radius, kernel in zip(RADII, kernels, strict=True):
        side = 2 * radius + 1
        assert (kernel > 0).sum() == side**2
    disc = radial_kernels(torch.zeros(1, SEEDS, dtype=torch.float64))[0, -1] > 0
    torch.testing.assert_close(
        kernels[-1][~disc].sum(), torch.tensor(1 - 149 / 225, dtype=torch.float64)
    )


@BOTH
def test_a_kernel_is_what_reblurring_does_to_a_point(leaky):
    _, seeds, weights = inputs(1, 1)
    everywhere = [x.expand(1, -1, 15, 15) for x in (seeds, weights)]
    point = torch.zeros(1, 1, 15, 15, dtype=torch.float64)
    point[..., 7, 7] = 1
    result = reblur(point, *everywhere, leaky)[0, 0]
    expected = whole_kernels(seeds[..., 0, 0], weights[..., 0, 0], leaky)[0]
    torch.testing.assert_close(result, expected)


@BOTH
def test_zero_radius_is_the_identity_bit_by_bit(leaky):
    image, seeds, weights = inputs(20, 17, dtype=torch.float32)
    weights = torch.zeros_like(weights)
    weights[:, 0] = 1
    assert torch.equal(reblur(image, seeds, weights, leaky), image)


@BOTH
def test_an_even_picture_stays_even_up_to_its_border(leaky):
    _, seeds, weights = inputs(10, 11)
    even = torch.full((1, 3, 10, 11), 0.7, dtype=torch.float64)
    torch.testing.assert_close(reblur(even, seeds, weights, leaky), even)


def test_a_disc_is_the_convolution_with_the_disc():
    image, seeds, _ = inputs(24, 24)
    weights = torch.zeros(1, 8, 24, 24, dtype=torch.float64)
    weights[:, 4] = 1
    steps = torch.arange(-4, 5)
    disc = (steps[:, None] ** 2 + steps**2 <= 16).double()
    padded = F.pad(image, (4,) * 4, mode="replicate")
    expected = F.conv2d(padded.transpose(0, 1), (disc / disc.sum())[None, None]).transpose(0, 1)
    torch.testing.assert_close(reblur(image, torch.ones_like(seeds), weights), expected)


def test_large_seeds_stay_finite():
    image, seeds, weights = inputs(8, 8, dtype=torch.float32, scale=1e4)
    result = reblur(image, seeds, weights)
    gradients = torch.autograd.grad(result.sum(), (image, seeds, weights))
    assert all(torch.isfinite(x).all() for x in (result, *gradients))


def test_half_precision_and_autocast_compute_in_float32():
    image, seeds, weights = (x.detach() for x in inputs(16, 16, dtype=torch.float32))
    low = [x.bfloat16().requires_grad_() for x in (image, seeds, weights)]
    with torch.autocast("cpu", torch.bfloat16):
        result = reblur(*low)
    high = [x.detach().float().requires_grad_() for x in low]
    expected = reblur(*high)
    assert result.dtype == torch.float32
    assert torch.equal(result, expected)
    with torch.autocast("cpu", torch.bfloat16):  # autograd may run inside of it
        result.square().sum().backward()
    expected.square().sum().backward()
    for one, other in zip(low, high, strict=True):
        torch.testing.assert_close(one.grad, other.grad.bfloat16())


def test_what_is_kept_for_the_backward_pass():
    given_inputs = inputs(64, 64, dtype=torch.float32)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        reblur(*given_inputs)
    # The seeds, the weights, the image and the padded image.
    assert sum(kept.values()) == 4 * ((35 + 8 + 3) * 64**2 + 3 * 78**2)


def test_masses_sum_to_one():
    _, seeds, weights = inputs(4, 4)
    for leaky, count in ((False, 24), (True, 31)):
        masses = stencil_masses(seeds, weights, leaky)
        assert masses.shape[1] == count
        torch.testing.assert_close(masses.sum(1), torch.ones_like(masses[:, 0]))


def test_maps_of_even_discs():
    weights = torch.eye(8, dtype=torch.float64)[None, :, None]  # W_r = 1 in column r
    diameters = circle_of_confusion(torch.zeros(1, SEEDS, 1, 8, dtype=torch.float64), weights)
    assert diameters[0, 0, 0] == 0
    for radius in RADII:
        # The disc of n whole pixels has the area n.
        assert float(diameters[0, 0, radius]) == pytest.approx(
            2 * math.sqrt(TAPS[radius - 1] / math.pi), rel=0.03
        )
    assert torch.equal(expected_radius(weights)[0, 0], torch.arange(8.0, dtype=torch.float64))


def test_circle_of_confusion_is_that_of_the_whole_kernel():
    _, seeds, weights = inputs(1, 3)
    steps = torch.arange(-7.0, 8.0, dtype=torch.float64)
    for leaky in (False, True):
        kernels = whole_kernels(seeds[0, :, 0].T, weights[0, :, 0].T, leaky)
        squares = (kernels * (steps[:, None] ** 2 + steps**2)).sum((1, 2))
        expected = (8 * squares).sqrt()
        torch.testing.assert_close(circle_of_confusion(seeds, weights, leaky)[0, 0], expected)


@pytest.mark.parametrize("radius", [2, 5])
def test_a_known_blur_is_found_by_gradient_descent(radius):
    generator = torch.Generator().manual_seed(radius)
    sharp = torch.rand(1, 3, 32, 32, generator=generator)
    truth = torch.zeros(1, 8, 1, 1)
    truth[:, radius] = 1
    zeros = torch.zeros(1, SEEDS, 32, 32)
    blurred = reblur(sharp, zeros, truth.expand(-1, -1, 32, 32))
    seeds = (0.1 * torch.randn(1, SEEDS, 1, 1, generator=generator)).requires_grad_()
    logits = torch.zeros(1, 8, 1, 1, requires_grad=True)
    optimizer = torch.optim.Adam([seeds, logits], lr=0.1)
    for _ in range(60):
        maps = [x.expand(-1, -1, 32, 32) for x in (seeds, logits.softmax(1))]
        loss = F.mse_loss(reblur(sharp, *maps), blurred)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = circle_of_confusion(seeds, logits.softmax(1)).item()
    assert found == pytest.approx(circle_of_confusion(zeros[..., :1, :1], truth).item(), rel=0.1)
    assert logits.argmax().item() == radius


def test_the_network_has_474987_parameters_and_all_of_them_learn():
    network = Reblurring()
    network.initialise(0)
    assert count_parameters(network) == 474_987
    generator = torch.Generator().manual_seed(0)
    restored, blurred = (torch.rand(2, 3, 17, 12, generator=generator) for _ in range(2))
    result = network(restored.requires_grad_(), blurred)
    assert result.image.shape == (2, 3, 17, 12)
    assert result.seeds.shape == (2, 35, 17, 12)
    torch.testing.assert_close(result.weights.sum(1), torch.ones(2, 17, 12))
    torch.testing.assert_close(result.image, reblur(restored, result.seeds, result.weights))
    F.mse_loss(result.image, blurred).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name
    assert restored.grad.abs().max() > 0


def test_the_network_is_double_and_autocast_safe():
    network = Reblurring(leaky=True)
    network.initialise(0)
    images = [torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    exact = network(*images)
    with torch.autocast("cpu", torch.bfloat16):
        low = network(*images)
    assert {x.dtype for x in low} == {torch.float32}
    torch.testing.assert_close(low.image, exact.image, rtol=0.02, atol=0.02)
    double = network.double()(*(x.double() for x in images))
    assert {x.dtype for x in double} == {torch.float64}
    torch.testing.assert_close(double.image.float(), exact.image)
