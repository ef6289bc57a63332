"""Hidden cameras: the lens, the hand, the sensor under its mosaic, and the development."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reblur.datasets.degradation.jpeg import eight_bits
from reblur.datasets.hidden_camera.camera import HiddenCamera, linear, tone
from reblur.datasets.hidden_camera.models import CAMERAS
from reblur.datasets.hidden_camera.mosaic import demosaic, mosaic
from reblur.datasets.hidden_camera.optics import ABERRATIONS, point_spread, streak, zernike
from reblur.datasets.hidden_camera.shots import REACH, Shot
from reblur.errors import ReblurError

NAMES = tuple(CAMERAS)
WAVE, F_NUMBER = 0.5, 2.0  # micrometres: λN is one micrometre


def pictures(count: int, height: int, width: int, blotch: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(
        count, 3, max(height // blotch, 2), max(width // blotch, 2), generator=generator
    )
    return eight_bits(F.interpolate(coarse, size=(height, width), mode="bicubic"))


def flat(value: float, count: int = 1, side: int = 96) -> torch.Tensor:
    return torch.full((count, 3, side, side), value)


def spread(kernel: torch.Tensor) -> tuple[float, float, float]:
    """Place (x, y) of the middle and root mean square radius of a kernel, pixels."""
    reach = torch.arange(kernel.shape[-1]) - kernel.shape[-1] // 2
    x, y = float((kernel.sum(0) * reach).sum()), float((kernel.sum(1) * reach).sum())
    squared = (kernel.sum(0) * (reach - x) ** 2).sum() + (kernel.sum(1) * (reach - y) ** 2).sum()
    return x, y, math.sqrt(squared)


def lens(reach: int = 40, pixel: float = 0.1, **waves: float) -> np.ndarray:
    coefficients = np.array([[waves.get(name, 0.0) for name in ABERRATIONS]])
    return point_spread(coefficients, (WAVE,), F_NUMBER, pixel, reach, 1)[0]


# --- optics


def test_a_perfect_lens_draws_airys_disc() -> None:
    kernel = lens()
    profile = kernel[40, 40:]
    assert profile[0] == kernel.max()
    first_dark = int(np.argmax(np.diff(profile) > 0))  # in tenths of λN
    assert first_dark == pytest.approx(12.2, abs=0.5)
    assert profile[first_dark] < 2e-3 * profile[0]
    # half of the maximum at 0.514 λN
    assert profile[5] / profile[0] == pytest.approx(0.52, abs=0.02)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-12)


def test_tilt_moves_and_defocus_widens() -> None:
    moved = np.unravel_index(lens(tilt_x=0.25, tilt_y=-0.5).argmax(), (81, 81))
    assert moved == (40 - 20, 40 + 10)  # by 4a λN, in tenths
    sharp, soft = lens(), lens(defocus=0.3)
    assert soft.max() < 0.5 * sharp.max()
    np.testing.assert_allclose(soft, soft[::-1, ::-1], atol=1e-12)


def test_coma_is_lopsided_and_astigmatism_elongated() -> None:
    coma = lens(coma_x=0.15)
    assert np.abs(coma - coma[:, ::-1]).sum() > 0.3
    np.testing.assert_allclose(coma, coma[::-1], atol=1e-12)
    # away from the best focus, astigmatism is longer along one axis, and in the turned pupil along
    # the other
    long = lens(astigmatism_0=0.2, defocus=0.2)
    turned = lens(astigmatism_0=-0.2, defocus=0.2)
    reach = np.arange(-40, 41) ** 2
    along, across = (long.sum(0) * reach).sum(), (long.sum(1) * reach).sum()
    assert max(along / across, across / along) > 1.5
    np.testing.assert_allclose(long, turned.T, atol=1e-12)


def test_aberrations_are_root_mean_squares() -> None:
    """Noll's polynomials are orthonormal over the pupil, as far as its round rim is on a grid."""
    polynomials, aperture = zernike()
    inside = polynomials[:, aperture > 0]
    gram = inside @ inside.T / aperture.sum()
    np.testing.assert_allclose(gram, np.eye(len(ABERRATIONS)), atol=0.08)
    for name in ABERRATIONS[2:]:  # Maréchal: the disc's height falls to exp(−(2πσ)²)
        ratio = lens(**{name: 0.05})[40, 40] / lens()[40, 40]
        assert ratio == pytest.approx(math.exp(-((2 * math.pi * 0.05) ** 2)), abs=0.02), name


def test_a_streak_is_as_long_as_its_path() -> None:
    time = np.linspace(-0.5, 0.5, 401)
    path = np.stack([8 * time, 6 * time], 1)  # 10 pixels long
    kernel = torch.from_numpy(streak(path, 6))
    x, y, radius = spread(kernel)
    assert kernel.sum() == pytest.approx(1)
    assert (x, y) == pytest.approx((0, 0), abs=1e-9)
    assert radius == pytest.approx(10 / math.sqrt(12), rel=0.05)
    assert kernel[6 + 3, 6 + 4] > 10 * kernel[6 - 3, 6 + 4]  # down to the right


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_kernels_are_lopsided_coloured_and_vary_a_little(name: str, scale: int) -> None:
    camera = HiddenCamera(name)
    kernels = [camera.point_spread(scale=scale, seed=0, index=index) for index in range(8)]
    for kernel in kernels:
        assert kernel.min() >= 0
        torch.testing.assert_close(kernel.sum((1, 2)), torch.ones(3))
        assert (kernel - kernel.flip(1, 2)).abs().sum((1, 2)).min() > 0.1
        assert (kernel[0] - kernel[2]).abs().sum() > 0.1
        x, y, radius = spread(kernel[1])
        assert math.hypot(x, y) < 0.45 * scale  # of a pixel of the sensor
        assert 0.8 * scale < radius < 4.5 * scale
    for one, other in itertools.pairwise(kernels):
        rim = (other.shape[-1] - one.shape[-1]) // 2
        one, other = (
            (F.pad(one, (rim,) * 4), other) if rim > 0 else (one, F.pad(other, (-rim,) * 4))
        )
        assert 0.05 < (one - other).abs().sum((1, 2)).mean() < 1.5  # 2 where nothing is shared


@pytest.mark.parametrize("name", NAMES)
def test_kernels_of_all_scales_are_of_one_lens(name: str) -> None:
    camera = HiddenCamera(name)
    for index in range(3):
        fine = camera.point_spread(scale=4, seed=0, index=index)
        coarse = camera.point_spread(scale=1, seed=0, index=index)
        for channel in range(3):
            x, y, radius = spread(fine[channel])
            # a pixel that is itself blurred by a box of (1 − 1/16) / 12 more
            assert spread(coarse[channel])[2] == pytest.approx(radius / 4, rel=0.15)
            assert spread(coarse[channel])[:2] == pytest.approx((x / 4, y / 4), abs=0.15)


def test_only_the_hand_of_one_that_shakes_leaves_a_streak() -> None:
    def reach(name: str) -> int:
        camera = HiddenCamera(name)
        return max(
            camera.point_spread(scale=1, seed=0, index=index).shape[-1] // 2 for index in range(9)
        )

    assert reach("superres") == REACH
    assert reach("deblur") > REACH + 3


# --- the mosaic


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (3, 3)])
def test_a_constant_comes_back_as_the_constant(size: tuple[int, int]) -> None:
    colours = torch.tensor([0.7, 0.7, 0.7])[None, :, None, None].expand(2, -1, *size)
    torch.testing.assert_close(demosaic(mosaic(colours)), colours.contiguous())
    coloured = torch.tensor([0.2, 0.5, 0.9])[None, :, None, None].expand(2, -1, *size)
    torch.testing.assert_close(demosaic(mosaic(coloured)), coloured.contiguous())


def test_mosaic_has_red_in_its_corner_and_is_kept() -> None:
    images = pictures(2, 12, 10)
    raw, back = mosaic(images), demosaic(mosaic(images))
    for channel, rows, columns in ((0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1)):
        site = slice(rows, None, 2), slice(columns, None, 2)
        assert torch.equal(raw[(slice(None), 0, *site)], images[(slice(None), channel, *site)])
        seen = back[(slice(None), channel, *site)]
        torch.testing.assert_close(seen, images[(slice(None), channel, *site)])


def test_demosaic_keeps_ramps_and_is_best_where_colours_agree() -> None:
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(20.0), indexing="ij")
    ramps = torch.stack([0.1 + 0.02 * x, 0.2 + 0.01 * x + 0.02 * y, 0.5 - 0.01 * y])[None]
    back = demosaic(mosaic(ramps))
    torch.testing.assert_close(back[..., 2:-2, 2:-2], ramps[..., 2:-2, 2:-2])
    grey = pictures(1, 64, 64)[:, :1].expand(-1, 3, -1, -1)
    bilinear = F.conv2d(
        F.pad(mosaic(grey), (1, 1, 1, 1), "reflect"),
        torch.tensor([[0, 1.0, 0], [1, 0, 1], [0, 1, 0]])[None, None] / 4,
    )
    site = ..., slice(0, None, 2), slice(0, None, 2)  # green at red
    ours = (demosaic(mosaic(grey))[:, 1:2] - grey[:, 1:2])[site].square().mean()
    assert ours < (bilinear - grey[:, 1:2])[site].square().mean()


# --- the sensor


@pytest.mark.parametrize("name", NAMES)
def test_sensor_noise_is_of_electrons(name: str) -> None:
    camera, shot = CAMERAS[name], Shot(name, 0, 0)
    for light in (0.0, 0.05, 0.6):
        read = shot.read(torch.full((1, 300, 300), light))
        rounding = 1 / (12 * 959**2)
        variance = light / camera.electrons + (camera.read_noise / camera.electrons) ** 2 + rounding
        assert read.var().item() == pytest.approx(variance, rel=0.03)
        assert read.mean().item() == pytest.approx(light, abs=5 * math.sqrt(variance) / 300)
    steps = read * 959
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    assert shot.read(torch.full((1, 50, 50), 1.0)).max() == 1


def test_light_and_display_values_there_and_back() -> None:
    levels = torch.arange(256) / 255
    torch.testing.assert_close(tone(linear(levels), 0.0), levels, atol=1e-5, rtol=1e-4)
    assert linear(torch.tensor(0.5)).item() == pytest.approx(0.21404, abs=1e-5)
    curve = tone(linear(levels), 0.3)
    assert (curve.diff() > 0).all()
    middle = tone(linear(torch.tensor([0.0, 0.5, 1.0])), 0.3)
    torch.testing.assert_close(middle, torch.tensor([0.0, 0.5, 1.0]), atol=1e-5, rtol=0)


# --- photographs


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_shot_is_a_function_of_seed_and_index(name: str, scale: int) -> None:
    camera = HiddenCamera(name)
    images = pictures(1, 40, 56).repeat(4, 1, 1, 1)
    low = camera.photograph(images, scale=scale, seed=3, indices=range(4))
    assert low.shape == (4, 3, 40 // scale, 56 // scale)
    assert torch.equal(low, eight_bits(low))
    some = camera.photograph(images[:2], scale=scale, seed=3, indices=[2, 0])
    assert torch.equal(some, low[[2, 0]])
    assert not torch.equal(low[0], low[1])
    other = camera.photograph(images, scale=scale, seed=4, indices=range(4))
    assert not torch.equal(other, low)


@pytest.mark.parametrize("name", NAMES)
def test_shots_together_equal_shots_one_by_one(name: str) -> None:
    """What runs on an accelerator, here on a CPU."""
    camera, images = HiddenCamera(name), pictures(5, 64, 48)
    low = camera.photograph(images, scale=2, seed=0, indices=range(5))
    together = camera._expose(images, [Shot(name, 0, index) for index in range(5)], 2)
    apart = (together - low).abs()
    assert (apart > 0).float().mean() < 0.01
    assert apart.max() < 0.1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1, 4])
def test_pictures_stay_in_place_and_nearly_in_tone(name: str, scale: int) -> None:
    images = pictures(6, 24 * scale, 32 * scale, blotch=8 * scale)
    low = HiddenCamera(name).photograph(images, scale=scale, seed=0, indices=range(6))
    expected = F.avg_pool2d(images, scale)
    assert (low - expected).square().mean().sqrt() < 0.12

    def correlation(dy: int, dx: int) -> float:
        moved = low[..., 3 + dy : 21 + dy, 3 + dx : 29 + dx] - low.mean()
        return float((moved * (expected - expected.mean())[..., 3:21, 3:29]).mean())

    places = {(dy, dx): correlation(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)}
    assert max(places, key=places.get) == (0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_grey_stays_grey_but_for_exposure(name: str) -> None:
    low = HiddenCamera(name).photograph(flat(0.5, 24), scale=1, seed=0, indices=range(24))
    means = low.mean((2, 3))
    assert (means - 0.5).abs().max() < 0.05
    assert (means - means.mean(1, keepdim=True)).abs().max() < 0.015
    assert means.mean(1).std() > 0.002  # shots differ


@pytest.mark.parametrize("name", NAMES)
def test_noise_follows_the_light_and_clots_in_colour(name: str) -> None:
    """What white noise on display values, as the recipes add it, does not do."""
    camera = HiddenCamera(name)

    def parts(value: float) -> tuple[torch.Tensor, torch.Tensor]:
        low = camera.photograph(flat(value, 2, 128), scale=1, seed=0, indices=range(2))
        low = low - low.mean((2, 3), keepdim=True)
        return low.mean(1), low[:, 0] - low[:, 2]

    _, chroma = parts(0.5)
    neighbours = (chroma[..., 1:] * chroma[..., :-1]).mean() / chroma.square().mean()
    assert neighbours > 0.5
    deviations = [parts(value)[0].std().item() for value in (0.15, 0.5, 0.97)]
    assert min(deviations) > 0
    assert max(deviations) > 1.3 * min(deviations)


@pytest.mark.parametrize("name", NAMES)
def test_edges_get_a_halo(name: str) -> None:
    edge = torch.full((8, 3, 64, 64), 0.35)
    edge[..., 32:] = 0.65
    low = HiddenCamera(name).photograph(edge, scale=1, seed=0, indices=range(8))
    profiles = low.mean((1, 2))
    bright = profiles[:, 20:44].amax(1) - profiles[:, 54:60].mean(1)
    dark = profiles[:, 4:10].mean(1) - profiles[:, 20:44].amin(1)
    assert (bright + dark).mean() > 0.03  # of the edge's 0.3; the lens leaves either side soft


def test_light_adds_up_before_the_tone_curve() -> None:
    """A bright point on black outshines the blur of its display values."""
    point = torch.zeros(1, 3, 65, 65)
    point[..., 30:35, 30:35] = 1
    camera = HiddenCamera("superres")
    low = camera.photograph(point, scale=1, seed=0, indices=[0])
    kernel = camera.point_spread(scale=1, seed=0, index=0)
    display = F.conv2d(point, kernel.flip(1, 2)[:, None], padding=REACH, groups=3)
    assert low[..., 20:45, 20:45].sum() > 1.3 * display.sum()


def test_corners_of_the_frame_are_darker() -> None:
    shot = Shot("superres", 0, 0)
    shot.exposure, shot.place = 1.0, np.array([0.0, 0.0])
    middle = shot.shading(5, 5)
    shot.place = np.array([1600.0, 1200.0])  # of 2000, the frame's corner
    corner = shot.shading(5, 5)
    camera = CAMERAS["superres"]
    tangent = 2000 / camera.focal_length
    assert middle[0, 2, 2] == 1
    expected = math.cos(math.atan(tangent)) ** (4 * camera.shading)
    assert corner[0, 2, 2].item() == pytest.approx(expected, rel=1e-5)
    assert corner[0, 0, 0] > corner[0, 4, 4]


# --- bad input


def test_an_unknown_camera_names_the_choices() -> None:
    with pytest.raises(ReblurError) as error:
        HiddenCamera("polaroid")
    assert all(name in str(error.value) for name in ("'polaroid'", *NAMES))


@pytest.mark.parametrize(
    ("images", "scale", "expected"),
    [
        (flat(0.5, side=30), 4, "30×30 pixels do not divide by the scale 4"),
        (flat(0.5, side=8), 4, "photographs of 2×2 pixels; give images of at least 12"),
        (flat(127.0, side=16), 4, "values from 127 to 127"),
        (flat(math.nan, side=16), 4, "values from nan to nan"),
        (flat(0.5, 2, side=16), 4, "1 indices for 2 images"),
        (flat(0.5, side=16), 0, "scale 0"),
    ],
)
def test_bad_images_are_one_clear_sentence(images: torch.Tensor, scale: int, expected: str) -> None:
    with pytest.raises(ReblurError, match=expected) as error:
        HiddenCamera("faces").photograph(images, scale=scale, seed=0, indices=[0])
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)
