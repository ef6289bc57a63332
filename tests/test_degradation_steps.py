"""The steps of hand-made degradations: kernels, noise, JPEG."""

import io
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.special import j1

from reblur.datasets.degradation.degrade import RECIPES, degrade, draw_degradation
from reblur.datasets.degradation.jpeg import jpeg
from reblur.datasets.degradation.kernels import convolve, gaussian_like, mirror_pad, sinc, values
from reblur.datasets.degradation.noise import drawn
from test_degradation import pictures, steps_of

# --- kernels


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "clean"])
def test_kernels_sum_to_one_and_are_odd(recipe: str) -> None:
    kernels = [step["kernel"] for step in steps_of(recipe, "blur", 60)]
    assert kernels
    for kernel in kernels:
        taps = values(kernel)
        assert taps.shape == (kernel["size"],) * 2
        assert kernel["size"] % 2 == 1
        assert taps.sum() == pytest.approx(1)
        if not kernel.get("shift"):
            np.testing.assert_allclose(taps, taps[::-1, ::-1], atol=1e-12)


def test_gaussian_has_its_covariance_and_its_place() -> None:
    angle, sigma, shift = 0.4, (3.0, 1.2), -1.5
    taps = values(gaussian_like("gaussian", 41, sigma, angle, shift=shift))
    y, x = np.mgrid[-20:21, -20:21]
    assert (taps * x).sum() == pytest.approx(shift, abs=1e-6)
    assert (taps * y).sum() == pytest.approx(shift, abs=1e-6)
    x, y = x - shift, y - shift
    got = [[(taps * a * b).sum() for a in (x, y)] for b in (x, y)]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    np.testing.assert_allclose(got, turn @ np.diag(np.square(sigma)) @ turn.T, rtol=1e-6)


def test_generalised_and_plateau_follow_their_equations() -> None:
    one = values(gaussian_like("generalised", 21, (2.0, 2.0), beta=1.0))
    np.testing.assert_allclose(one, values(gaussian_like("gaussian", 21, (2.0, 2.0))))
    for beta in (0.5, 1.7):
        flat = values(gaussian_like("plateau", 21, (3.0, 2.0), beta=beta))
        assert flat[10, 13] / flat[10, 10] == pytest.approx(1 / 2)  # at σ₁ along x
        assert flat[14, 10] / flat[10, 10] == pytest.approx(1 / (1 + 4**beta))  # at 2σ₂ along y
        bent = values(gaussian_like("generalised", 21, (3.0, 2.0), beta=beta))
        assert bent[14, 10] / bent[10, 10] == pytest.approx(math.exp(-0.5 * 4**beta))


def test_sinc_passes_low_frequencies_and_stops_high_ones() -> None:
    cutoff, size = 1.5, 301
    response = np.abs(np.fft.fft2(values(sinc(size, cutoff))))
    frequency = 2 * np.pi * np.abs(np.fft.fftfreq(size))
    radius = np.hypot(frequency[:, None], frequency)
    assert response[radius < 0.8 * cutoff].min() > 0.9
    assert response[radius > 1.2 * cutoff].max() < 0.1
    small = values(sinc(21, cutoff))
    for place in (1, 4):
        expected = 2 * j1(cutoff * place) / (cutoff * place)
        assert small[10, 10 + place] / small[10, 10] == pytest.approx(expected)


@pytest.mark.parametrize(("height", "width", "sizes"), [(40, 33, (21, 7)), (5, 9, (9, 3))])
def test_convolution_equals_the_grouped_one(
    height: int, width: int, sizes: tuple[int, int]
) -> None:
    images = pictures(2, height, width)
    kernels = [torch.rand(3, size, size) for size in sizes]
    got = convolve(images, kernels)
    for image, kernel, result in zip(images, kernels, got, strict=True):
        pad = kernel.shape[-1] // 2
        mirrored = np.pad(image.numpy(), ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
        weights = kernel.flip(1, 2)[:, None]  # conv2d is a correlation
        expected = F.conv2d(torch.from_numpy(mirrored)[None], weights, groups=3)[0]
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [1, 2, 3, 8])
def test_small_images_are_mirrored_again_and_again(side: int) -> None:
    image = pictures(1, side, 4)
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (11, 11), (11, 11)), mode="reflect")
    np.testing.assert_array_equal(mirror_pad(image, 11), expected)


# --- noise


def test_gaussian_noise_has_its_deviation() -> None:
    step, image = {"step": "gaussian_noise"}, torch.full((3, 200, 200), 0.5)
    noisy = [
        drawn(step | {"sigma": 10.0, "grey": False, "key": 1}, image),
        drawn(step | {"sigma": 25.0, "grey": True, "key": 2}, image),
    ]
    assert noisy[0].std().item() * 255 == pytest.approx(10, rel=0.01)
    assert noisy[1].std().item() * 255 == pytest.approx(25, rel=0.01)
    assert len(noisy[1]) == 1
    correlation = torch.corrcoef(noisy[0].flatten(1))
    assert (correlation - torch.eye(3)).abs().max() < 0.02


@pytest.mark.parametrize("grey", [False, True])
def test_poisson_noise_has_its_variance(grey: bool) -> None:
    strength = 2.5
    for value in (0.1, 0.4, 0.9):
        step = {"step": "poisson_noise", "strength": strength, "grey": grey, "key": 7}
        noisy = drawn(step, torch.full((3, 200, 200), value))
        assert noisy.var().item() == pytest.approx(strength**2 * value / 256, rel=0.03)
        assert noisy.mean().item() == pytest.approx(0, abs=1e-3)
        assert len(noisy) == (1 if grey else 3)


def test_covariance_noise_has_its_covariance() -> None:
    covariance = np.array([[400.0, 150, -90], [150, 225, 30], [-90, 30, 100]])
    step = {"step": "covariance_noise", "covariance": covariance.tolist(), "key": 3}
    got = 255**2 * torch.cov(drawn(step, torch.full((3, 300, 300), 0.5)).flatten(1)).numpy()
    np.testing.assert_allclose(got, covariance, atol=8)


def test_noise_leaves_no_value_outside() -> None:
    for recipe in ("second_order", "shuffled"):
        low, _ = degrade(torch.ones(6, 3, 32, 32), recipe, scale=2, seed=0, indices=range(6))
        assert low.max() <= 1
        assert low.min() >= 0


def test_no_noise_is_used_twice() -> None:
    keys = [
        step["key"]
        for recipe in ("second_order", "softened")
        for index in range(50)
        for step in draw_degradation(recipe, 64, 64, 4, 0, index)["steps"]
        if "key" in step
    ]
    assert len(keys) == len(set(keys)) == 200


# --- JPEG


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("size", [(32, 48), (17, 23), (1, 1)])
def test_jpeg_equals_another_reader_and_writer(quality: int, size: tuple[int, int]) -> None:
    images = pictures(1, *size)
    levels = (images[0] * 255).round().byte().permute(1, 2, 0).numpy()
    data = io.BytesIO()
    Image.fromarray(levels).save(data, "JPEG", quality=quality, subsampling="4:2:0")
    expected = np.asarray(Image.open(data))
    got = (255 * jpeg(images, [quality])[0]).permute(1, 2, 0)
    np.testing.assert_array_equal(got.round().numpy(), expected)


def test_each_image_has_its_own_quality() -> None:
    images = pictures(1, 64, 64).repeat(3, 1, 1, 1)
    error = (jpeg(images, [95, 60, 30]) - images).square().mean((1, 2, 3))
    assert error[0] < error[1] < error[2]
    assert torch.equal(jpeg(images, [95, 60, 30])[1:2], jpeg(images[:1], [60]))
