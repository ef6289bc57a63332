"""Metrics against scikit-image, plain slow forms of their definitions, and known answers."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from reblur.datasets.images.files import read_image
from reblur.errors import ReblurError
from reblur.evaluation import scoring
from reblur.measures import full_reference as metrics

METRICS = (metrics.psnr, metrics.ssim, metrics.ssim_matlab, metrics.msssim)


def degraded(sharp: np.ndarray, sigma: float = 2.0, noise: float = 6.0) -> np.ndarray:
    blurred = ndimage.gaussian_filter(sharp.astype(float), (sigma, sigma, 0))
    noisy = blurred + np.random.default_rng(0).normal(0, noise, sharp.shape)
    return noisy.clip(0, 255).round().astype(np.uint8)


PHOTOGRAPHS = {
    "astronaut": data.astronaut()[:300, :411],
    "coffee": data.coffee()[100:],
    "cat": data.chelsea(),
}


@pytest.fixture(params=PHOTOGRAPHS)
def pair(request):
    sharp = PHOTOGRAPHS[request.param]
    return sharp, degraded(sharp)


def test_psnr_equals_scikit_image(pair):
    expected = peak_signal_noise_ratio(*pair, data_range=255)
    assert metrics.psnr(*pair) == pytest.approx(expected, abs=1e-9)


def test_ssim_equals_scikit_image(pair):
    expected = structural_similarity(
        *pair,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert metrics.ssim(*pair) == pytest.approx(expected, abs=1e-9)
    assert metrics.ssim_map(*pair).mean() == pytest.approx(expected, abs=1e-9)


def test_ssim_matlab_equals_a_plain_volume_filter(pair):
    def mean(volume):  # 11 taps in each of the three directions: truncate 3.34 · 1.5 = 5
        return ndimage.gaussian_filter(volume, 1.5, mode="nearest", radius=5)

    x, y = (image.astype(float) for image in pair)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mu_x, mu_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2
    covariance = mean(x * y) - mu_x * mu_y
    luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    expected = (luminance * (2 * covariance + c2) / (var_x + var_y + c2)).mean()
    assert metrics.ssim_matlab(*pair) == pytest.approx(expected, abs=1e-9)


def test_the_three_ssim_conventions_are_ordered_as_on_real_pairs(pair):
    default = structural_similarity(*pair, channel_axis=2, data_range=255)
    assert metrics.ssim_matlab(*pair) > metrics.ssim(*pair) + 0.01
    assert metrics.ssim(*pair) != pytest.approx(default, abs=1e-3)


def test_msssim_equals_a_plain_form_of_the_published_tool(pair):
    """mssim_index.m of MeTriX MuX: 9/7 low-pass, and means of contrast and structure multiplied."""
    low = [0.037828455507260, -0.023849465019560, -0.110624404418440, 0.377402855612830]
    low = np.array([*low, 0.852698679008890, *low[::-1]])
    low2 = np.outer(low, low) / np.outer(low, low).sum()
    axis = np.exp(-(np.arange(-5, 6.0) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / np.outer(axis, axis).sum()
    c1, c2 = 6.5025, 58.5225

    def valid(image):
        return ndimage.correlate(image, window)[5:-5, 5:-5]

    x, y = (image @ np.array([0.299, 0.587, 0.114]) for image in pair)
    expected = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363, 0.1333):
        mu_x, mu_y = valid(x), valid(y)
        sigma_x = np.sqrt(np.maximum(valid(x * x) - mu_x**2, 0))
        sigma_y = np.sqrt(np.maximum(valid(y * y) - mu_y**2, 0))
        covariance = valid(x * y) - mu_x * mu_y
        contrast = (2 * sigma_x * sigma_y + c2) / (sigma_x**2 + sigma_y**2 + c2)
        structure = (covariance + c2 / 2) / (sigma_x * sigma_y + c2 / 2)
        expected *= contrast.mean() ** weight * structure.mean() ** weight
        x, y = (ndimage.correlate(image, low2, mode="reflect")[::2, ::2] for image in (x, y))
    luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    expected *= luminance.mean() ** 0.1333
    assert metrics.msssim(*pair) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_an_image_against_itself(metric):
    cat = PHOTOGRAPHS["cat"]
    expected = float("inf") if metric is metrics.psnr else 1.0
    assert metric(cat, cat) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_metrics_are_symmetric_and_fall_with_noise(metric, pair):
    sharp, blurred = pair
    assert metric(sharp, blurred) == pytest.approx(metric(blurred, sharp), abs=1e-9)
    assert metric(sharp, degraded(sharp, noise=25)) < metric(sharp, blurred)


@pytest.mark.parametrize("metric", METRICS)
def test_anticorrelated_images_give_a_number(metric):
    cat = PHOTOGRAPHS["cat"]
    value = metric(cat, 255 - cat)
    assert isinstance(value, float)
    assert np.isfinite(value)


@settings(deadline=None, max_examples=25)
@given(
    height=st.integers(11, 150),
    width=st.integers(11, 40),
    offset=st.integers(0, 255),
    seed=st.integers(0, 9),
)
def test_ssim_of_any_size_equals_scikit_image(height, width, offset, seed):
    """Band edges fall anywhere; flat images too."""
    generator = np.random.default_rng(seed)
    x = np.full((height, width, 3), offset, np.uint8)
    y = generator.integers(0, 256, x.shape, dtype=np.uint8)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(x, y, channel_axis=2, data_range=255, **options)
    assert metrics.ssim(x, y) == pytest.approx(expected, abs=1e-9)
    assert metrics.psnr(x, y) == pytest.approx(peak_signal_noise_ratio(x, y), abs=1e-9)


def test_psnr_of_extremes_does_not_overflow():
    black, white = np.zeros((700, 900, 3), np.uint8), np.full((700, 900, 3), 255, np.uint8)
    assert metrics.psnr(black, white) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("metric", [*METRICS, metrics.lpips_distance])
@pytest.mark.parametrize(
    ("reference", "restored", "said"),
    [
        (np.zeros((200, 200, 3)), np.zeros((200, 200, 3), np.uint8), "float64"),
        (np.zeros((200, 200), np.uint8), np.zeros((200, 200), np.uint8), r"\(200, 200\)"),
        (np.zeros((200, 200, 4), np.uint8), np.zeros((200, 200, 4), np.uint8), "RGB"),
        (np.zeros((200, 210, 3), np.uint8), np.zeros((200, 200, 3), np.uint8), "210×200"),
    ],
)
def test_unfit_images_are_refused_in_one_sentence(metric, reference, restored, said):
    with pytest.raises(ReblurError, match=said):
        metric(reference, restored)


@pytest.mark.parametrize(
    ("metric", "smallest"),
    [
        (metrics.psnr, 1),
        (metrics.ssim, 11),
        (metrics.ssim_matlab, 1),
        (metrics.msssim, metrics.SMALLEST_MSSSIM),
    ],
)
def test_the_smallest_image_that_a_metric_takes(metric, smallest):
    noise = np.random.default_rng(0).integers(0, 256, (smallest, smallest, 3), dtype=np.uint8)
    assert np.isfinite(metric(noise, noise // 2))
    if smallest > 1:
        with pytest.raises(ReblurError, match=f"at least {smallest}×{smallest}"):
            metric(noise[1:], noise[1:])


def test_every_metric_has_its_convention():
    assert set(metrics.CONVENTIONS) == {*scoring.METRICS, "msssim"}


def test_lpips_without_its_backbone_says_so(monkeypatch):
    def absent():
        raise ReblurError("lpips_alexnet is missing; fetch it.")

    monkeypatch.setattr("reblur.measures.alexnet.alexnet_features", absent)
    metrics._lpips_network.cache_clear()
    cat = PHOTOGRAPHS["cat"]
    assert metrics.lpips_available() is False
    with pytest.raises(ReblurError, match="fetch it"):
        metrics.lpips_distance(cat, cat)


@pytest.mark.skipif(not metrics.lpips_available(), reason="LPIPS's backbone is not at hand")
def test_lpips_of_the_known_images():
    folder = _lpips_example()
    reference, p0, p1 = (read_image(folder / f"ex_{name}.png") for name in ("ref", "p0", "p1"))
    assert metrics.lpips_distance(reference, p0) == pytest.approx(0.722, abs=5e-4)
    assert metrics.lpips_distance(reference, p1) == pytest.approx(0.138, abs=5e-4)
    assert metrics.lpips_distance(reference, reference) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ReblurError, match="at least 31×31"):
        metrics.lpips_distance(reference[:30], p0[:30])
    assert metrics.lpips_distance(reference[:31, :31], p0[:31, :31]) > 0


def _lpips_example() -> Path:
    from reblur.datasets.catalogue.manifests import locate

    try:
        return locate("lpips_example")
    except ReblurError as error:
        for folder in os.environ.get("REBLUR_MIRROR", "").split(os.pathsep):
            if folder and (Path(folder) / "lpips_example").is_dir():
                return Path(folder) / "lpips_example"
        pytest.skip(str(error))
