"""Distances between sets of images: closed forms, floors, and order by strength of a damage."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import linalg, stats

from reblur.datasets.images.photographs import open_photographs
from reblur.errors import ReblurError
from reblur.measures import distances
from reblur.measures.distances import (
    DISTANCES,
    available_distances,
    content_deviation,
    deviation,
    distance,
    frechet,
    polynomial_mmd,
    spectra,
    wasserstein,
)

COUNT = 120


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noisy(images, deviation):
    noise = drawn(*images.shape, seed=3).float()
    return (images + deviation * noise).clamp(0, 1)


def blurred(images, sigma):
    taps = torch.exp(-0.5 * (torch.arange(-6, 7) / sigma) ** 2)
    taps = (taps / taps.sum()).expand(3, 1, 1, -1)
    x = F.pad(images, (6, 6, 6, 6), mode="reflect")
    x = F.conv2d(F.conv2d(x, taps, groups=3), taps.transpose(2, 3), groups=3)
    return x.clamp(0, 1)


@pytest.fixture(scope="module")
def halves():
    """Two sets of crops from the same photographs."""
    photographs = open_photographs(["skimage_photographs"], "train")
    crops = photographs.crops(0, "tests", range(2 * COUNT), 48)
    return crops[::2], crops[1::2]


@pytest.fixture(params=DISTANCES)
def name(request):
    if request.param not in available_distances():
        pytest.skip("AlexNet's convolutions are not here: reblur data fetch lpips_alexnet")
    return request.param


def test_every_distance_is_described_and_computed():
    assert set(distances._COMPUTE) == set(DISTANCES)
    assert set(available_distances()) <= set(DISTANCES)
    assert {"spectrum", "swd"} <= set(available_distances())


def test_a_set_is_nearest_to_itself(name, halves):
    first, second = halves
    floor = distance(name, first, second)
    if name == "mmd":  # unbiased: the mean over pairs of equals is left out, hence below 0
        assert distance(name, first, first) < 0
    else:
        assert distance(name, first, first) == pytest.approx(0, abs=1e-6)
        assert floor > 0


@pytest.mark.parametrize(
    ("damage", "strengths"), [(noisy, (0.02, 0.05, 0.1)), (blurred, (0.7, 1.0, 2.0))]
)
def test_damage_stands_above_the_floor_and_grows(name, halves, damage, strengths):
    first, second = halves
    values = [distance(name, first, damage(second, strength)) for strength in strengths]
    floor = distance(name, first, second)
    assert floor < values[0] < values[1] < values[2]
    assert values[2] > 2 * floor


def test_colour_noise_without_luminance_is_seen(name, halves):
    first, second = halves
    noise = 0.05 * drawn(COUNT, 1, 48, 48).float()
    tinted = (second + noise * torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1)).clamp(0, 1)
    assert distance(name, first, tinted) > 1.2 * distance(name, first, second)


def test_symmetric_deterministic_and_blind_to_order(name, halves):
    first, second = halves
    second = noisy(second, 0.05)[: COUNT - 7]
    value = distance(name, first, second, seed=4)
    generator = torch.get_rng_state()
    assert distance(name, first, second, seed=4) == value
    assert torch.equal(torch.get_rng_state(), generator)
    assert distance(name, second, first, seed=4) == pytest.approx(value, rel=1e-4)
    assert distance(name, first.flip(0), second.flip(0), seed=4) == pytest.approx(value, rel=1e-4)


def test_the_seed_moves_the_sliced_distance_little(halves):
    first, second = halves[0], blurred(halves[1], 1.0)
    values = [distance("swd", first, second, seed=seed) for seed in range(3)]
    assert len(set(values)) == 3
    assert max(values) < 1.2 * min(values)


def test_wasserstein_of_known_values():
    x, y = torch.tensor([[3.0, 1.0, 2.0], [0.0, 0.0, 0.0]]), torch.tensor([[1.5], [2.0]])
    assert wasserstein(x, x + 0.25).tolist() == [0.25, 0.25]
    torch.testing.assert_close(wasserstein(x, y), torch.tensor([(1.5 + 0.5 + 0.5) / 3, 2.0]))
    torch.testing.assert_close(wasserstein(y, x), wasserstein(x, y))


@pytest.mark.parametrize(("n", "m"), [(7, 7), (7, 5), (6, 9), (1, 4)])
def test_wasserstein_equals_scipys(n, m):
    x, y = drawn(3, n), 2 * drawn(3, m, seed=1) + 0.3
    expected = [stats.wasserstein_distance(a, b) for a, b in zip(x, y, strict=True)]
    torch.testing.assert_close(wasserstein(x, y), torch.tensor(expected, dtype=torch.float64))


def test_wasserstein_of_normals():
    # N(0, 1) against N(0, σ²): E|z| |σ − 1| = sqrt(2/π) |σ − 1|.
    x, y = drawn(1, 40_000), 1.5 * drawn(1, 50_000, seed=1)
    assert wasserstein(x, y).item() == pytest.approx(0.5 * (2 / np.pi) ** 0.5, rel=0.05)


def test_swd_of_white_noise_is_that_of_its_deviations():
    # Directions have length 1: white noise of deviation σ is N(0, σ²) on each of them.
    first, second = 0.5 + 0.02 * drawn(60, 3, 48, 48), 0.5 + 0.05 * drawn(60, 3, 48, 48, seed=1)
    expected = 0.03 * (2 / np.pi) ** 0.5
    assert distance("swd", first.float(), second.float()) == pytest.approx(expected, rel=0.03)


def test_swd_does_not_see_a_change_of_brightness_or_tint(halves):
    first, _ = halves
    darker = 0.8 * first
    tint = torch.tensor([0.2, 0.1, 0.0]).view(3, 1, 1)
    assert distance("swd", darker, darker + tint) == pytest.approx(0, abs=1e-6)


def test_directions_are_unit_and_sum_to_zero():
    directions = distances._directions(500, torch.Generator().manual_seed(0))
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(500))
    assert directions.reshape(500, 3, 64).sum(2).abs().max() < 1e-5
    # Power of the two slowest horizontal waves: as 1² to 2².
    k = torch.arange(8)
    waves = [torch.cos(torch.pi * (k + 0.5) * u / 8).expand(8, 8).flatten() for u in (1, 2)]
    slow, faster = ((directions.reshape(500, 3, 64) @ w).square().mean() for w in waves)
    assert (faster / slow).item() == pytest.approx(4, rel=0.2)


def test_spectrum_of_white_noise_is_flat_at_its_power():
    images = 0.5 + 0.05 * drawn(200, 3, 40, 56).float()
    curve = spectra(images).mean(0)
    # A ring's mean is taken before the logarithm: rings of few frequencies lie a little below.
    expected = 10 * np.log10(0.05**2 + 1 / (12 * 255**2))
    torch.testing.assert_close(curve[:, 3:], torch.full((3, 13), expected), atol=0.5, rtol=0)


def test_spectrum_of_a_wave_stands_in_its_ring_and_colour():
    wave = torch.cos(2 * torch.pi * torch.arange(64) * 8 / 64).expand(64, 64)  # 4/32 cycles a pixel
    images = torch.stack([wave, torch.zeros(64, 64), -wave])[None].expand(2, 3, 64, 64)
    curve = spectra(0.5 + 0.2 * images)[0]
    assert curve[1].argmax() == 3
    rounding = 10 * np.log10(1 / (12 * 255**2))
    torch.testing.assert_close(curve[[0, 2]], torch.full((2, 16), rounding), atol=0.01, rtol=0)
    assert curve[1, 3] > rounding + 40
    assert (curve[1, 6:] < rounding + 1).all()  # the window lets little through


def test_spectrum_distance_is_in_decibels():
    first, second = 0.05 * drawn(300, 3, 32, 32), 0.1 * drawn(300, 3, 32, 32, seed=1)
    value = distance("spectrum", (0.5 + first).float(), (0.5 + second).clamp(0, 1).float())
    assert value == pytest.approx(20 * np.log10(2), abs=0.3)


def test_frechet_of_gaussians():
    """Against `|Δμ|² + tr(Σ1 + Σ2 − 2 (Σ1 Σ2)^½)` of the samples' own moments."""
    mix = drawn(5, 5, seed=7)
    x, y = drawn(400, 5), drawn(300, 5, seed=1) @ mix + 0.5
    root = linalg.sqrtm(np.cov(x.T) @ np.cov(y.T)).real
    expected = (x.mean(0) - y.mean(0)).square().sum() + np.trace(
        np.cov(x.T) + np.cov(y.T) - 2 * root
    )
    assert frechet(x, y) == pytest.approx(float(expected), rel=1e-9)


def test_frechet_of_shifted_and_scaled_samples():
    x = drawn(50, 4)
    variance = x.var(0).sum().item()
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x + 0.5) == pytest.approx(4 * 0.25, rel=1e-9)
    assert frechet(x - x.mean(0), 3 * (x - x.mean(0))) == pytest.approx(4 * variance, rel=1e-9)


def test_frechet_of_fewer_samples_than_dimensions():
    x, y = drawn(6, 30), drawn(5, 30, seed=1)
    root = linalg.sqrtm(np.cov(x.T) @ np.cov(y.T) + 1e-14 * np.eye(30)).real
    expected = (x.mean(0) - y.mean(0)).square().sum() + np.trace(
        np.cov(x.T) + np.cov(y.T) - 2 * root
    )
    assert frechet(x, y) == pytest.approx(float(expected), rel=1e-3)
    wide = torch.cat([x, torch.zeros(6, 10, dtype=torch.float64)], 1)
    wider = torch.cat([y, torch.zeros(5, 10, dtype=torch.float64)], 1)
    assert frechet(wide, wider) == pytest.approx(frechet(x, y), rel=1e-9)


def test_mmd_is_unbiased():
    values = [
        polynomial_mmd(drawn(20, 4, seed=2 * i), drawn(30, 4, seed=2 * i + 1)) for i in range(400)
    ]
    error = np.std(values) / 20
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0


def test_mmd_by_hand():
    x = torch.tensor([[1.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    y = torch.tensor([[2.0, 0.0], [0.0, 0.0], [1.0, 3.0]], dtype=torch.float64)
    within_x, within_y = 2.0**3, (1.0**3 + 2.0**3 + 1.0**3) / 3
    across = (2.0**3 + 1 + 3.0**3 + 1 + 1 + 4.0**3) / 6
    assert polynomial_mmd(x, y) == pytest.approx(within_x + within_y - 2 * across)


def test_alexnet_features_have_unit_scale(halves):
    if "mmd" not in available_distances():
        pytest.skip("AlexNet's convolutions are not here: reblur data fetch lpips_alexnet")
    features = distances.alexnet_means(halves[0])
    assert features.shape == (COUNT, 192)
    assert features.dtype == torch.float64
    assert (features.square().mean(1) <= 1 + 1e-6).all()
    assert features.square().mean(1).min() > 0.1
    alone = distances.alexnet_means(halves[0][70:71])
    torch.testing.assert_close(features[70:71], alone, rtol=1e-4, atol=1e-5)


def test_alexnet_features_are_torchvisions(halves):
    if "mmd" not in available_distances():
        pytest.skip("AlexNet's convolutions are not here: reblur data fetch lpips_alexnet")
    from torchvision.models import alexnet

    from reblur.measures.alexnet import alexnet_features

    network = alexnet(weights=None)
    network.load_state_dict(alexnet_features(), strict=False)
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    x = (halves[0][:3] - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    with torch.no_grad():
        second = network.features[:5](x)  # up to the second convolution's ReLU
        lengths = second.square().sum(1, keepdim=True).sqrt()
        expected = (second / lengths * 192**0.5).mean((2, 3)).double()
    means = distances.alexnet_means(halves[0][:3])
    torch.testing.assert_close(means, expected, rtol=1e-4, atol=1e-6)


def test_without_alexnet_its_distances_are_not_available(halves, tmp_path, monkeypatch):
    monkeypatch.setenv("REBLUR_DATA", str(tmp_path))
    assert available_distances() == ["spectrum", "swd"]
    with pytest.raises(ReblurError, match=r"distance 'fd'.*reblur data fetch lpips_alexnet"):
        distance("fd", *halves)
    assert distance("swd", *halves) > 0


def test_drift_by_hand():
    initial = torch.full((2, 3, 8, 8), 0.5)
    moved = initial.clone()
    moved[1] += 0.1
    torch.testing.assert_close(deviation(moved, initial), torch.tensor([0.0, 0.1]))
    torch.testing.assert_close(content_deviation(moved, initial), torch.tensor([0.0, 0.1]))
    checked = initial + 0.2 * (-1.0) ** (torch.arange(8) + torch.arange(8)[:, None])
    torch.testing.assert_close(deviation(checked, initial), torch.full((2,), 0.2))
    torch.testing.assert_close(content_deviation(checked, initial), torch.zeros(2))


def test_content_deviation_of_white_noise_is_a_quarter():
    initial = torch.full((4, 3, 66, 67), 0.5)
    moved = initial + 0.05 * drawn(4, 3, 66, 67).float()
    torch.testing.assert_close(deviation(moved, initial), torch.full((4,), 0.05), rtol=0.03, atol=0)
    expected = torch.full((4,), 0.05 / 4)
    torch.testing.assert_close(content_deviation(moved, initial), expected, rtol=0.1, atol=0)


BAD = {
    "empty": (lambda x: x[:0], "holds 0 images"),
    "one": (lambda x: x[:1], "holds 1 images; give at least 2"),
    "nan": (lambda x: x.clone().index_fill_(0, torch.tensor([3]), torch.nan), "not finite"),
    "infinite": (lambda x: x.clone().index_fill_(0, torch.tensor([3]), torch.inf), "not finite"),
    "bytes": (lambda x: 255 * x, r"give images in \[0, 1\]"),
    "signed": (lambda x: 2 * x - 1, r"values from -1 to 1; give images in \[0, 1\]"),
    "small": (lambda x: x[..., :31], "at least 32×32 pixels, these are 31×48"),
    "other": (lambda x: x[..., :40], "48×48 pixels and the other's 40×48"),
}


@pytest.mark.parametrize("kind", BAD)
def test_images_that_do_not_fit_are_sentences(name, halves, kind):
    change, sentence = BAD[kind]
    first = torch.stack([torch.zeros(3, 48, 48), torch.ones(3, 48, 48)]).repeat(4, 1, 1, 1)
    with pytest.raises(ReblurError, match=f"distance '{name}': .*{sentence}|^{name}: .*{sentence}"):
        distance(name, first, change(first))


def test_unknown_names_and_drifts_that_do_not_fit_are_sentences(halves):
    first, _ = halves
    with pytest.raises(ReblurError, match="no distance 'fid'; choose from spectrum, swd, mmd, fd"):
        distance("fid", first, first)
    with pytest.raises(ReblurError, match="content_deviation: needs images of at least 4×4"):
        content_deviation(first[..., :3, :], first[..., :3, :])
    with pytest.raises(ReblurError, match="deviation: a set holds 0 images"):
        deviation(first[:0], first[:0])
    with pytest.raises(ReblurError, match=r"deviation: .* not finite"):
        deviation(first, torch.full_like(first, torch.nan))
    with pytest.raises(ReblurError, match="one by one with 119 of 48×48"):
        content_deviation(first, first[1:])
