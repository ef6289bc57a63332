"""NIQE: its parts in closed form, golden numbers, and order by strength of a damage."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import gamma

from reblur.datasets.catalogue.manifests import files_of
from reblur.errors import ReblurError
from reblur.measures import niqe as module
from reblur.measures.niqe import (
    block_features,
    fit_aggd,
    halve,
    luminance,
    niqe,
    niqe_available,
    normalise,
)
from small_manifests import SmallManifests, entry

# From the function `niqe` of basicsr 1.4.2 on our luminance, its halving done in double precision
# (in its single precision 2.572084, 4.058465, 3.622671, 3.067254); astronaut is partly clipped.
GOLDEN = {
    "chelsea": (2.5720840, 1e-6),
    "coffee": (4.0584620, 1e-6),
    "coins": (3.6226787, 1e-6),
    "astronaut": (3.0666375, 3e-3),
}


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def photograph(name):
    from reblur.datasets.images.files import read_image

    return next(read_image(path) for path in files_of("skimage_photographs") if path.stem == name)


@pytest.fixture
def model():
    if not niqe_available():
        pytest.skip("NIQE's parameters are not here: reblur data fetch niqe_parameters")


def aggd_samples(alpha, left, right, count, seed=0):
    """Samples of equation 7: βl Γ or βr Γ of a gamma variable to the power 1/α."""
    generator = np.random.default_rng(seed)
    size = generator.gamma(1 / alpha, size=count) ** (1 / alpha)
    on_the_left = generator.random(count) < left / (left + right)
    return np.where(on_the_left, -left * size, right * size)


@pytest.mark.parametrize(
    ("alpha", "left", "right"), [(2.0, 1.0, 1.0), (1.0, 0.5, 0.5), (0.7, 0.2, 0.4), (4.0, 2.0, 1.0)]
)
def test_fit_finds_the_parameters_of_its_distribution(alpha, left, right):
    fitted = fit_aggd(aggd_samples(alpha, left, right, 400_000)[None])
    assert [value.item() for value in fitted] == pytest.approx([alpha, left, right], rel=0.03)


def test_fit_of_a_normal_and_a_laplacian():
    # The β of N(0, σ²) is σ √2; of a Laplacian of scale b, with α = 1, b.
    samples = np.stack([3 * random(200_000), stats.laplace(scale=2).rvs(200_000, random_state=0)])
    alpha, left, right = fit_aggd(samples)
    assert alpha == pytest.approx([2, 1], rel=0.02)
    assert left == pytest.approx([3 * 2**0.5, 2], rel=0.02)
    assert right == pytest.approx([3 * 2**0.5, 2], rel=0.02)


def test_fit_takes_the_nearest_of_the_grid():
    samples = np.concatenate([random(40, 300), random(40, 300, seed=1) ** 3 + 0.1])
    alpha, left, right = fit_aggd(samples)
    grid = np.arange(0.2, 10.0005, 0.001)
    ratios = gamma(2 / grid) ** 2 / (gamma(1 / grid) * gamma(3 / grid))
    for row, fitted in zip(samples, alpha, strict=True):
        skew = np.sqrt(np.mean(row[row < 0] ** 2) / np.mean(row[row > 0] ** 2))
        wanted = np.mean(np.abs(row)) ** 2 / np.mean(row**2)
        wanted *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
        assert fitted == pytest.approx(grid[np.argmin((ratios - wanted) ** 2)], abs=1e-9)
    mirrored = fit_aggd(-samples)
    np.testing.assert_allclose(mirrored, (alpha, right, left), rtol=1e-6)


def test_fit_of_nothing_to_fit_is_nan():
    rows = np.stack([np.zeros(10), np.arange(10.0), random(10)])
    assert np.isnan(fit_aggd(rows)[0]).tolist() == [True, True, False]


def test_halving_is_bicubic():
    """Lines stay lines, a constant itself; edges are mirrored; size 2n gives n."""
    row = np.arange(40.0)
    halved = halve(np.tile(3 + 2 * row, (20, 1)))
    assert halved.shape == (10, 20)
    np.testing.assert_allclose(halved[:, 2:-2], np.tile((4 + 4 * row[:20])[2:-2], (10, 1)))
    np.testing.assert_allclose(halve(np.full((8, 12), 7.0)), np.full((4, 6), 7.0))
    step = np.zeros((16, 16))
    step[:, 8] = 1
    weights = halve(step)[4]
    np.testing.assert_allclose(
        weights[2:6], np.array([-0.0234375, 0.2265625, 0.8671875, -0.0703125]) / 2
    )


def test_normalising_by_hand():
    image = 100 + 20 * random(20, 24)
    weights = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    weights = np.outer(weights, weights) / weights.sum() ** 2
    window = image[6:13, 8:15]
    mu = (weights * window).sum()
    sigma = np.sqrt((weights * (window - mu) ** 2).sum())
    assert normalise(image)[9, 11] == pytest.approx((image[9, 11] - mu) / (sigma + 1))
    assert not normalise(np.full((12, 12), 255.0)).any()


def test_luminance_is_rounded():
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
    assert luminance(image).tolist() == [[76, 150, 29, 9]]


def test_features_of_a_block_by_hand():
    image = np.round(128 + 30 * random(96, 192))
    features = block_features(image)
    assert features.shape == (2, 36)
    block = normalise(image)[:, 96:]
    alpha, left, right = (value.item() for value in fit_aggd(block.reshape(1, -1)))
    assert features[1, :2].tolist() == pytest.approx([alpha, (left + right) / 2])
    diagonal = block * np.roll(np.roll(block, 1, axis=0), -1, axis=1)
    alpha, left, right = (value.item() for value in fit_aggd(diagonal.reshape(1, -1)))
    mean = (right - left) * gamma(2 / alpha) / gamma(1 / alpha)
    assert features[1, 14:18].tolist() == pytest.approx([alpha, mean, left, right])
    small = normalise(halve(image))[:, 48:]
    assert features[1, 18].item() == pytest.approx(fit_aggd(small.reshape(1, -1))[0].item())


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_numbers(model, name):
    expected, tolerance = GOLDEN[name]
    assert niqe(photograph(name)) == pytest.approx(expected, abs=tolerance)


def test_an_image_of_the_model_itself_has_distance_zero(model, monkeypatch):
    image = photograph("chelsea")
    features = block_features(luminance(image[:288, :384]))
    natural = features.mean(0), np.cov(features, rowvar=False)
    monkeypatch.setattr(module, "natural_model", lambda: natural)
    assert niqe(image) == pytest.approx(0, abs=1e-6)


def test_blocks_beyond_the_last_whole_one_are_left_out(model):
    image = photograph("chelsea")  # 451×300
    assert niqe(image) == niqe(image[:288, :384])


@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_blur_and_noise_raise_it(model, name):
    import cv2

    image = photograph(name)
    blurred = [niqe(cv2.GaussianBlur(image, (0, 0), sigma)) for sigma in (1, 2, 4)]
    assert niqe(image) < blurred[0] < blurred[1] < blurred[2]
    noise = random(*image.shape)
    noisy = [
        niqe(np.clip(np.round(image + deviation * noise), 0, 255).astype(np.uint8))
        for deviation in (10, 20, 40)
    ]
    assert niqe(image) < noisy[0] < noisy[1] < noisy[2]


@pytest.mark.parametrize("size", [(95, 500), (500, 60), (191, 191)])
def test_too_small_an_image_is_a_sentence(size):
    with pytest.raises(ReblurError, match=rf"two whole blocks of 96×96.*{size[1]}×{size[0]} has"):
        niqe(np.zeros((*size, 3), np.uint8))


def test_a_flat_image_is_a_sentence(model):
    with pytest.raises(ReblurError, match="fewer than two blocks of the image have any texture"):
        niqe(np.full((200, 200, 3), 90, np.uint8))


def test_flat_blocks_do_not_make_it_nan(model):
    image = photograph("astronaut").copy()
    image[:200, :200] = 255
    assert 1 < niqe(image) < 10


def test_parameters_absent_or_damaged_are_sentences(tmp_path, monkeypatch):
    manifest = SmallManifests(tmp_path, monkeypatch)
    name, file = "niqe_parameters", entry("niqe_pris_params.npz", b"right")
    manifest(name=name, layout="weights", files=[file])
    assert not niqe_available()
    with pytest.raises(ReblurError, match="reblur data fetch niqe_parameters"):
        niqe(np.zeros((192, 192, 3), np.uint8))
    (manifest.data / name).mkdir(parents=True)
    (manifest.data / name / "niqe_pris_params.npz").write_bytes(b"wrong")
    with pytest.raises(ReblurError, match=r"not the manifest's checksum.*fetch niqe_parameters"):
        niqe(np.zeros((192, 192, 3), np.uint8))
