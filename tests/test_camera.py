"""The camera: response, highlights, noise, and the two ways of averaging sub-frames."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from reblur.datasets.hidden_camera.mosaic import demosaic
from reblur.datasets.motion import camera
from reblur.datasets.motion.camera_cpu import expose_one, one_opencv_thread
from reblur.datasets.motion.exposures import Exposures, draw_exposures
from reblur.datasets.motion.options import MotionBlurOptions


def _reference() -> ModuleType:
    """The plain float64 loop that the benchmark measures against."""
    path = Path(__file__).parent / "benchmarks" / "bench_synthesis.py"
    specification = importlib.util.spec_from_file_location("bench_synthesis", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


reference = _reference()


def per_sample(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None]


@settings(deadline=None, max_examples=25)
@given(st.floats(0.4, 3.0))
def test_response_there_and_back_keeps_every_level(gamma: float) -> None:
    levels = (torch.arange(256) / 255).expand(1, 3, 1, 256)
    linear = camera.decode(levels, per_sample(gamma), per_sample(1.0))
    assert linear.min() >= 0
    assert linear.max() <= 1
    torch.testing.assert_close(camera.encode(linear, per_sample(gamma)), levels)


def test_highlights_rise_smoothly_to_their_gain() -> None:
    levels = (torch.arange(256) / 255).expand(2, 3, 1, 256)
    plain, bright = camera.decode(levels, per_sample(2.2, 2.2), per_sample(1.0, 5.0))[:, 0, 0]
    dark = levels[0, 0, 0] <= camera.HIGHLIGHT
    torch.testing.assert_close(plain[dark], bright[dark])
    assert (bright.diff() > 0).all()
    assert bright[-1] == pytest.approx(5.0)


def test_optics_blur_each_sample_by_its_own() -> None:
    light = torch.rand(3, 3, 12, 9, generator=torch.Generator().manual_seed(0))
    softened = camera.soften(light, per_sample(0.0, 0.4, 1.0))
    assert torch.equal(softened[0], light[0])
    for row, sigma in ((1, 0.4), (2, 1.0)):
        expected = gaussian_filter(light[row], (0, sigma, sigma), radius=(0, 3, 3), mode="mirror")
        np.testing.assert_allclose(softened[row], expected, atol=1e-6)


@pytest.mark.parametrize(("shot", "read"), [(0.0, 0.01), (1e-3, 0.0), (4e-4, 3e-3)])
def test_noise_has_the_declared_deviation(shot: float, read: float) -> None:
    normal = torch.randn(1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    for light in (0.05, 0.4, 0.9):
        linear = torch.full((1, 3, 200, 200), light)
        noisy = camera.add_noise(linear, normal, per_sample(shot), per_sample(read))
        expected = (shot * light + read**2) ** 0.5
        assert (noisy - light).std().item() == pytest.approx(expected, rel=0.01)
        assert noisy.mean().item() == pytest.approx(light, abs=expected / 50)


def random_case(
    seed: int, size: tuple[int, int], samples: int, options: MotionBlurOptions
) -> tuple[list[np.ndarray], Exposures, np.ndarray, np.ndarray]:
    """Display values of layers (b, H, W, 3), exposures, origins and noise."""
    rng = np.random.default_rng(seed)
    exposures = draw_exposures(seed, range(samples), options, size)
    large = [side + 2 * options.margin for side in size]
    contents = rng.integers(0, 256, (1 + exposures.layers.max(), samples, *large, 3)) / 255
    origins = exposures.centres - (np.array(size[::-1]) - 1) / 2
    return list(contents), exposures, origins, rng.standard_normal((samples, *size, 3))


def of_one(case: tuple, row: int) -> tuple[list[np.ndarray], Exposures, np.ndarray, np.ndarray]:
    contents, exposures, origins, noise = case
    chosen = exposures.rows(np.array([row]))
    layers = [content[row] for content in contents[: 1 + chosen.layers[0]]]
    return layers, chosen, origins[row : row + 1], noise[row]


def planes(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(picture, -1, -3), np.float32)


def assert_same_pictures(got: np.ndarray, expected: np.ndarray) -> None:
    """But for rounding: a value that lies between two levels may fall to either."""
    apart = np.rint(255 * np.abs(got - expected))
    assert apart.max() <= 1
    assert (apart > 0).sum() <= 2 + 2e-3 * apart.size


OPTIONS = MotionBlurOptions(extent=(0.0, 15.0), layer_probability=0.7, gamma=(1.0, 2.2))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 90), st.integers(1, 90))
def test_one_picture_equals_the_float64_reference(seed: int, height: int, width: int) -> None:
    case = random_case(seed, (height, width), 1, OPTIONS)
    contents, exposure, origin, noise = of_one(case, 0)
    margin = OPTIONS.margin
    with one_opencv_thread():
        got = expose_one(
            [planes(c) for c in contents],
            exposure,
            origin,
            (height, width),
            margin,
            noise.astype(np.float32),
        )
    expected = reference.expose_by_loop(contents, exposure, origin, (height, width), margin, noise)
    for ours, plain in zip(got, expected, strict=True):
        assert_same_pictures(ours, planes(plain))


@pytest.mark.parametrize(("memory", "pipeline"), [(1, False), (2**28, False), (2**28, True)])
def test_batched_pictures_equal_single_ones(
    memory: int, pipeline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs on an accelerator, here on a CPU: with sub-frames one by one, and all at once."""
    monkeypatch.setattr(camera, "MAX_WARPED_BYTES", memory)
    case = random_case(3, (40, 56), 12, OPTIONS.model_copy(update={"pipeline": pipeline}))
    margin = OPTIONS.model_copy(update={"pipeline": pipeline}).margin
    contents, exposures, origins, noise = case
    assert set(exposures.layers) == {0, 1, 2}
    for layers in range(3):
        rows = np.flatnonzero(exposures.layers == layers)
        blurred, sharp = camera.expose(
            [torch.from_numpy(planes(c[rows])) for c in contents[: 1 + layers]],
            exposures.rows(rows),
            origins[rows],
            (40, 56),
            margin,
            torch.from_numpy(noise[rows].astype(np.float32)),
        )
        for place, row in enumerate(rows):
            one, exposure, origin, draws = of_one(case, row)
            got = expose_one(
                [planes(c) for c in one],
                exposure,
                origin,
                (40, 56),
                margin,
                draws.astype(np.float32),
            )
            assert_same_pictures(blurred[place].numpy(), got[0])
            assert_same_pictures(sharp[place].numpy(), got[1])


def test_borders_are_mirrored_alike() -> None:
    """Far beyond its border a layer goes on as its mirror image, on every path."""
    layer = np.random.default_rng(0).random((9, 7, 3))
    matrix = np.array([[1, 0, -11.3], [0, 1, 14.6], [0, 0, 1.0]])
    expected = reference.scipy_warp(layer, matrix, (12, 10))
    source = torch.from_numpy(planes(layer))[None]
    got = camera.average_frames([source], [matrix[None, None]], np.array([1]), (12, 10))
    np.testing.assert_allclose(got[0].permute(1, 2, 0), expected, atol=1e-5)


def test_opencvs_threads_are_given_back() -> None:
    import cv2

    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        with one_opencv_thread(), one_opencv_thread():
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_light_far_above_saturation_shows_no_noise() -> None:
    normal = torch.randn(1, 3, 50, 50, generator=torch.Generator().manual_seed(0))
    linear = torch.full((1, 3, 50, 50), 1.5)
    noisy = camera.add_noise(linear, normal, per_sample(4e-4), per_sample(3e-3))
    assert (noisy != linear).any()
    assert (camera.encode(noisy, per_sample(2.2)) == 1).all()


def test_a_cameras_pipeline_step_by_step_in_float64() -> None:
    """Against its steps written plainly: colours, gains, mosaic, noise, clipping, and back."""
    rng = np.random.default_rng(0)
    light, normal = rng.uniform(0, 1.3, (14, 17, 3)), rng.standard_normal((14, 17, 3))
    red, blue, shot, read = 2.1, 1.6, 2e-3, 0.01
    colours = camera.CAMERA_TO_SRGB
    seen = light @ np.linalg.inv(colours).T / [red, 1, blue]
    rows, columns = np.indices(light.shape[:2]) % 2
    site = rows + columns  # 0 red, 1 green, 2 blue
    raw = np.take_along_axis(seen, site[..., None], 2)[..., 0].clip(0)
    noise = np.take_along_axis(normal, site[..., None], 2)[..., 0]
    raw = (raw + noise * np.sqrt(shot * raw + read**2)) * np.choose(site, [red, 1, blue])
    full = demosaic(torch.from_numpy(raw.clip(0, 1))[None, None])[0].permute(1, 2, 0).numpy()
    expected = (full.clip(0, 1) @ colours.T)[2:-2, 2:-2]
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        images, draws = (
            torch.from_numpy(a).permute(2, 0, 1)[None].to(dtype) for a in (light, normal)
        )
        balance = torch.tensor([[red, blue]], dtype=dtype)
        got = camera.develop(images, balance, draws, shot, read)[0].permute(1, 2, 0)
        np.testing.assert_allclose(got, expected, atol=tolerance)
    assert np.abs(expected - light[2:-2, 2:-2]).mean() > 0.01
