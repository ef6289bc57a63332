"""The thin lens: optics, kernels, and what defocus must and must not do to a picture."""

import math
import time

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F

from benchmarks.bench_thin_lens import by_fourier, reference_defocus, scenes
from reblur.datasets.defocus import thin_lens_cpu
from reblur.datasets.defocus.depth import LayeredDepth
from reblur.datasets.defocus.thin_lens import (
    DISC,
    Aperture,
    Lens,
    aperture_kernels,
    circle_of_confusion,
    defocus,
    fill_unknown,
    margin,
)
from reblur.errors import ReblurError

APERTURES = [DISC, Aperture(5, 0.2), Aperture(6), Aperture(7, 1.0), Aperture(9, math.pi / 2)]


def grid(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.meshgrid(*[torch.arange(size).double()] * 2, indexing="ij")


def texture(size: int, seed: int = 0) -> torch.Tensor:
    """(1, 3, size, size) float64 with detail at all scales."""
    generator = torch.Generator().manual_seed(seed)
    total = 0
    for side in (4, 16, size):
        noise = torch.rand(1, 3, side, side, generator=generator, dtype=torch.float64)
        total = total + F.interpolate(noise, (size, size), mode="bicubic") / 3
    return total.clamp(0, 1)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return -10 * math.log10((a - b).square().mean())


# Optics


@pytest.mark.parametrize("focus", [0.5, 2.0, 30.0])
@pytest.mark.parametrize("distance", [0.3, 0.5, 1.7, 2.0, 50.0, math.inf])
def test_the_circle_of_confusion_is_that_of_the_lens_equation(focus, distance):
    f, n, pitch = 0.05, 2.8, 20e-6
    sensor, image = (1 / (1 / f - 1 / z) for z in (focus, distance))
    expected = f / n * (sensor - image) / image / pitch  # similar triangles behind the lens
    depth = torch.full((1, 1, 1), 1 / distance, dtype=torch.float64)
    found = circle_of_confusion(depth, [Lens(50, n, focus, 20)])
    assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_every_picture_of_a_batch_has_its_own_lens():
    depth = torch.full((2, 3, 4), 0.25)
    found = circle_of_confusion(depth, [Lens(50, 2, 4, 36), Lens(50, 2, 2, 36)])
    assert found[0].abs().max() < 1e-5
    assert found[1].min() > 1


@pytest.mark.parametrize(
    "values", [(0, 2, 2, 36), (50, -1, 2, 36), (50, 2, math.inf, 36), (50, 2, 0.05, 36)]
)
def test_a_lens_that_cannot_be_is_refused(values):
    with pytest.raises(ReblurError):
        Lens(*values)


# Kernels


@pytest.mark.parametrize("aperture", APERTURES, ids=str)
@pytest.mark.parametrize("diameter", [1.6, 7.3, 14.0])
def test_a_kernel_is_the_area_that_its_shape_covers(aperture, diameter):
    radius, fine = margin(14), 60
    y, x = (v / fine for v in grid(fine * (2 * radius + 1)))
    x, y = x + 0.5 / fine - radius - 0.5, y + 0.5 / fine - radius - 0.5
    if aperture.blades == 0:
        inside = x.hypot(y) <= diameter / 2
    else:
        apothem = diameter / 2 * aperture.reach * math.cos(math.pi / aperture.blades)
        turns = [aperture.rotation + 2 * math.pi * n / aperture.blades for n in range(9)]
        inside = torch.stack([x * math.cos(a) + y * math.sin(a) <= apothem for a in turns]).all(0)
    area = F.avg_pool2d(inside.double()[None], fine)[0]
    assert area.sum() == pytest.approx(math.pi * diameter**2 / 4, rel=0.008)
    kernel = aperture_kernels(torch.tensor([diameter]).double(), aperture, radius)[0]
    torch.testing.assert_close(kernel * area.sum(), area, atol=0.012, rtol=0)


@pytest.mark.parametrize("aperture", APERTURES, ids=str)
def test_kernels_sum_to_one_are_centred_and_grow_smoothly(aperture):
    diameters = torch.linspace(1.2, 14, 65).double()
    kernels = aperture_kernels(diameters, aperture, margin(14))
    y, x = grid(kernels.shape[-1])
    middle = kernels.shape[-1] // 2
    assert kernels.min() >= 0
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(65).double())
    for offset in (x - middle, y - middle):
        assert (kernels * offset).sum((1, 2)).abs().max() < 0.02
    spread = (kernels * ((x - middle) ** 2 + (y - middle) ** 2)).sum((1, 2)).sqrt()
    growth = spread.diff() / diameters.diff()
    assert growth.min() > 0  # no steps of a whole pixel
    assert growth.max() < 1.1


def test_a_shape_within_a_pixel_is_the_identity():
    kernels = aperture_kernels(torch.tensor([0.0, 0.3, -0.8, 1.0]), DISC, 3)
    assert torch.equal(kernels, F.pad(torch.ones(4, 1, 1), (3,) * 4))


def test_a_point_is_upright_behind_the_focus_and_upside_down_before_it():
    aperture = Aperture(5, math.pi / 2)  # a side at the bottom, a corner at the top
    point = torch.zeros(1, 3, 31, 31)
    point[..., 15, 15] = 1
    behind, before = (
        defocus(point, torch.full((1, 31, 31), sign * 12.0), [aperture], 12)[0, 0]
        for sign in (1, -1)
    )
    torch.testing.assert_close(behind, before.flip(0, 1), atol=1e-6, rtol=0)
    rows = [i for i in range(31) if behind[i].max() > 1e-4]
    assert 15 - rows[0] > rows[-1] - 15  # the corner reaches further than the side


def test_an_aperture_of_three_blades_is_refused():
    with pytest.raises(ReblurError, match="five"):
        Aperture(3)


# Defocus


@pytest.mark.parametrize("diameter", [2.0, -7.0, 12.0, 5.5])
def test_constant_depth_is_a_plain_convolution_with_a_disc(diameter):
    light = texture(48)
    fine, radius = 64, 8
    y, x = (v / fine - radius - 0.5 + 0.5 / fine for v in grid(fine * (2 * radius + 1)))
    disc = F.avg_pool2d((x.hypot(y) <= abs(diameter) / 2).double()[None], fine)[0].numpy()
    padded = np.pad(light[0].numpy(), [(0, 0), (radius, radius), (radius, radius)], mode="reflect")
    expected = [scipy.signal.convolve2d(plane, disc / disc.sum(), "valid") for plane in padded]
    found = defocus(light, torch.full((1, 48, 48), diameter).double(), [DISC], 12)[0]
    # between two layers (5.5) the disc is the mean of its neighbours
    tolerance = 5e-4 if diameter == round(diameter) else 6e-3
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=tolerance, rtol=0)


def test_a_picture_in_focus_keeps_its_bits():
    light = texture(40).float()
    assert torch.equal(defocus(light, torch.zeros(1, 40, 40), [DISC], 8), light)


@pytest.mark.parametrize("other", [-8.0, 8.0])
def test_what_is_in_focus_is_unchanged_beside_what_is_not(other):
    light = texture(64).float()
    y, x = grid(64)
    distance = (x - 32).hypot(y - 32)
    coc = torch.where(distance < 14, other, 0.0).float()[None]
    found = defocus(light, coc, [DISC], 8)
    clear = distance >= (14 if other > 0 else 14 + 4.5)  # what is nearer spreads over its edge
    assert torch.equal(found[..., clear], light[..., clear])
    assert (found - light)[..., distance < 8].abs().max() > 0.05


def test_energy_is_kept():
    light = torch.zeros(1, 3, 64, 64)
    light[..., 20:40, 24:30] = torch.tensor([5.0, 1.0, 0.2])[:, None, None]  # beyond white, too
    for diameter in (3.0, -9.4, 14.0):
        found = defocus(light, torch.full((1, 64, 64), diameter), [Aperture(6)], 14)
        torch.testing.assert_close(found.sum((2, 3)), light.sum((2, 3)), rtol=1e-5, atol=0)
        assert found.min() >= 0


def test_white_stays_white_at_any_depth():
    inverse_depth = LayeredDepth().draw(3, "test", range(6), 80, 96)
    coc = circle_of_confusion(inverse_depth, [Lens(50, 2.8, 2.5, 36)] * 6)
    found = defocus(torch.ones(6, 3, 80, 96), coc, [Aperture(7)] * 6, float(coc.abs().max()))
    torch.testing.assert_close(found, torch.ones_like(found), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 5e-6)])
@pytest.mark.parametrize("aperture", [DISC, Aperture(6, 0.3)], ids=str)
@pytest.mark.parametrize("max_coc", [7, 14])
def test_layered_scenes_agree_with_plain_scipy(aperture, max_coc, dtype, tolerance):
    light, coc = scenes(4, 57, max_coc)
    found = defocus(light.to(dtype), coc.to(dtype), [aperture] * 4, max_coc)
    assert found.dtype == dtype
    for i in range(4):
        picture, circles = light[i].permute(1, 2, 0).double().numpy(), coc[i].double().numpy()
        expected = reference_defocus(picture, circles, aperture, max_coc, by_fourier)
        seen = found[i].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(seen, expected, atol=tolerance, rtol=0)


def lens_points(count: int = 14) -> torch.Tensor:
    """(n, 2) places evenly over a disc of radius 1/2."""
    y, x = (v / count - 0.5 + 0.5 / count for v in grid(count))
    inside = x.hypot(y) <= 0.5
    return torch.stack([x[inside], y[inside]], 1)


def seen(picture: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    size = picture.shape[-1]
    places = torch.stack([x, y], -1)[None] * 2 / (size - 1) - 1
    return F.grid_sample(picture, places, "bicubic", "reflection", align_corners=True)


@pytest.mark.parametrize(("before", "behind"), [(0, 10), (-10, 0), (-12, -4), (4, 12), (-6, 6)])
def test_an_object_before_a_wall_is_as_every_point_of_the_lens_sees_it(before, behind):
    """The exact picture: the mean over the lens of what its points see, hidden parts and all."""
    size = 96
    y, x = grid(size)
    radius = (x - 48).hypot(y - 48)
    thing, wall, shape = texture(size, 1), texture(size, 2), (radius < 24).double()[None, None]
    exact = 0
    for u, v in lens_points():
        opaque = seen(shape, x - u * before, y - v * before).clamp(0, 1)
        front = seen(thing, x - u * before, y - v * before)
        exact = exact + opaque * front + (1 - opaque) * seen(wall, x - u * behind, y - v * behind)
    exact = exact / len(lens_points())
    light = torch.where(shape > 0, thing, wall)
    coc = torch.where(radius < 24, float(before), float(behind))[None].double()
    found = defocus(light, coc, [DISC], 12)
    edge = (radius > 14) & (radius < 34)
    assert psnr(found[..., edge], exact[..., edge]) > 33
    assert psnr(found, exact) > 36


@pytest.mark.parametrize(("low", "high"), [(-8, 8), (0, 14), (-14, 0), (8, 12)])
def test_a_slanted_plane_is_as_every_point_of_the_lens_sees_it(low, high):
    size = 128
    y, x = grid(size)
    light, slope = texture(size), (high - low) / size
    coc = low + slope * x
    exact = 0
    for u, v in lens_points():
        hit = coc / (1 + slope * u)  # the circle at the place that this point of the lens sees
        exact = exact + seen(light, x - u * hit, y - v * hit)
    exact = exact / len(lens_points())
    found = defocus(light, coc[None], [DISC], 14)
    inside = ..., slice(12, -12), slice(12, -12)
    assert psnr(found[inside], exact[inside]) > 36


def test_a_batch_is_its_samples():
    light, coc = scenes(5, 72, 9)
    apertures = APERTURES
    together = defocus(light, coc, apertures, 9)
    for i in range(5):
        alone = defocus(light[i : i + 1], coc[i : i + 1], apertures[i : i + 1], 9)
        assert torch.equal(together[i : i + 1], alone)


def test_what_is_hidden_is_filled_from_around():
    values = torch.rand(2, 3, 21, 34)
    known = torch.rand(2, 1, 21, 34) > 0.7
    known[1, :, 5:, :] = False
    filled = fill_unknown(values, known)
    assert torch.equal(filled.where(known, values), values)
    for i in range(2):
        inside = values[i][:, known[i, 0]]
        assert filled[i].amin() >= inside.amin()
        assert filled[i].amax() <= inside.amax()
        four = np.ascontiguousarray(values[i, [0, 1, 2, 0]].permute(1, 2, 0).numpy())
        on_a_cpu = thin_lens_cpu.fill_unknown(four, known[i, 0].numpy())
        torch.testing.assert_close(torch.from_numpy(on_a_cpu)[..., :3].permute(2, 0, 1), filled[i])
    assert torch.equal(fill_unknown(values, known & False), torch.zeros_like(values))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (5, 40)])
def test_pictures_smaller_than_the_blur(size):
    found = defocus(torch.ones(1, 3, *size), torch.full((1, *size), 12.0), [DISC], 12)
    torch.testing.assert_close(found, torch.ones(1, 3, *size), atol=1e-5, rtol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 9.0])
def test_a_bad_circle_of_confusion_is_refused(bad):
    coc = torch.zeros(1, 16, 16)
    coc[0, 3, 4] = bad
    with pytest.raises(ReblurError, match="circle of confusion"):
        defocus(torch.ones(1, 3, 16, 16), coc, [DISC], 8)


def test_faster_than_a_scipy_loop_over_layers():
    light, coc = scenes(4, 96, 9)
    picture, map_ = light[0].permute(1, 2, 0).double().numpy(), coc[0].double().numpy()
    ours, plain = [], []
    for _ in range(3):
        start = time.perf_counter()
        defocus(light, coc, [DISC] * 4, 9)
        ours.append((time.perf_counter() - start) / 4)
        start = time.perf_counter()
        reference_defocus(picture, map_, DISC, 9, by_fourier)
        plain.append(time.perf_counter() - start)
    assert min(plain) > 5 * min(ours)
