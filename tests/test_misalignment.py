"""Misalignment under control: exact levels, known flows, untouched bits where nothing moves."""

import math

import pytest
import torch

from reblur.datasets.defocus.depth import LayeredDepth
from reblur.datasets.defocus.misalignment import (
    KINDS,
    LARGEST_RATIO,
    displace,
    margin,
    random_flow,
)
from reblur.errors import ReblurError

MIXTURES = [(kind,) for kind in KINDS] + [KINDS, ("shift", "rotation")]


def depths(count: int, height: int, width: int) -> torch.Tensor:
    return LayeredDepth().draw(0, "test", range(count), height, width)


def places(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """x, y from the middle of the picture."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return x - (width - 1) / 2, y - (height - 1) / 2


@pytest.mark.parametrize("kinds", MIXTURES, ids="+".join)
@pytest.mark.parametrize("level", [0.5, 4, 16.0])
def test_the_level_is_the_root_mean_square_of_every_flow(level, kinds):
    flow = random_flow(level, kinds, depths(16, 48, 80), 0, range(16))
    found = flow.double().square().sum(1).mean((1, 2)).sqrt()
    torch.testing.assert_close(found, torch.full((16,), float(level)).double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("kinds", MIXTURES, ids="+".join)
def test_a_flow_is_a_function_of_its_index(kinds):
    depth = depths(5, 32, 40)
    together = random_flow(3, kinds, depth, 1, [5, 6, 7, 8, 9])
    alone = random_flow(3, kinds, depth[2:3], 1, [7])
    assert torch.equal(alone[0], together[2])
    assert not torch.equal(random_flow(3, kinds, depth[2:3], 2, [7])[0], together[2])
    # a rotation or zoom of a given level knows but two directions
    few = kinds in (("rotation",), ("zoom",))
    assert len({flow.numpy().tobytes() for flow in together}) >= (2 if few else 5)


@pytest.mark.parametrize("kinds", [("shift",), ("zoom",), ("smooth",), ("parallax",)])
def test_levels_of_one_sample_are_one_movement_scaled(kinds):
    depth = depths(4, 40, 40)
    small, large = (random_flow(level, kinds, depth, 0, range(4)) for level in (1, 8))
    torch.testing.assert_close(8 * small, large, rtol=1e-4, atol=1e-4)


def test_a_shift_shows_at_x_what_was_at_x_plus_the_flow():
    """The direction: with the flow (2, −1) the picture moves to the left and down."""
    picture = torch.rand(1, 3, 20, 24)
    flow = torch.zeros(1, 2, 12, 16)
    flow[:, 0], flow[:, 1] = 2, -1
    moved = displace(picture, flow)
    torch.testing.assert_close(moved, picture[..., 3:15, 6:22], atol=1e-5, rtol=0)


def test_rotation_keeps_distances_and_zoom_keeps_angles():
    depth = depths(6, 64, 64)
    x, y = places(64, 64)
    for kind in ("rotation", "zoom"):
        flow = random_flow(9, (kind,), depth, 0, range(6))
        to_x, to_y = x + flow[:, 0], y + flow[:, 1]
        if kind == "rotation":
            torch.testing.assert_close(to_x.hypot(to_y), x.hypot(y).expand(6, 64, 64))
        else:
            cross = (x * to_y - y * to_x) / x.hypot(y) ** 2
            assert cross.abs().max() < 1e-5


def test_parallax_moves_the_near_more_along_one_direction():
    depth = depths(4, 32, 32)
    flow = random_flow(5, ("parallax",), depth, 0, range(4))
    ratio = flow.norm(dim=1) / depth
    assert (ratio.amax((1, 2)) / ratio.amin((1, 2)) - 1).max() < 1e-4
    angles = torch.atan2(flow[:, 1], flow[:, 0])
    assert (angles - angles[:, :1, :1]).abs().max() < 1e-5


def test_smooth_flows_do_not_fold_up_to_a_sixteenth_of_the_side():
    flow = random_flow(4, ("smooth",), depths(100, 64, 64), 0, range(100))
    dx, dy = torch.gradient(flow, dim=3)[0], torch.gradient(flow, dim=2)[0]
    area = (1 + dx[:, 0]) * (1 + dy[:, 1]) - dx[:, 1] * dy[:, 0]
    assert area.min() > 0.1


def test_the_margin_holds_what_moves_in():
    for kinds in MIXTURES:
        flow = random_flow(8, kinds, depths(24, 64, 64), 0, range(24))
        assert flow.norm(dim=1).max() <= LARGEST_RATIO * 8
    assert margin(8) >= LARGEST_RATIO * 8 + 2
    assert margin(0) == 0


def test_level_zero_keeps_every_bit():
    picture = torch.rand(2, 3, 30, 34)
    flow = random_flow(0, KINDS, depths(2, 30, 34), 0, [0, 1])
    assert torch.equal(flow, torch.zeros(2, 2, 30, 34))
    assert torch.equal(displace(picture, flow), picture)
    assert torch.equal(displace(picture, flow[..., 4:-4, 4:-4]), picture[..., 4:-4, 4:-4])


@pytest.mark.parametrize("kinds", [("shift",), ("rotation",), ("zoom",), ("smooth",)])
def test_the_picture_moves_as_the_flow_says(kinds):
    """Against the same smooth function sampled where the flow points."""
    side, around = 64, margin(3)
    whole = side + 2 * around
    x, y = places(whole, whole)

    def function(x, y):
        return 0.5 + 0.2 * torch.sin(x / 5) * torch.cos(y / 7) + 0.2 * torch.sin((x + y) / 9)

    picture = function(x, y).expand(1, 3, whole, whole)
    flow = random_flow(3, kinds, depths(1, side, side), 0, [3])
    x, y = places(side, side)
    expected = function(x + flow[:, 0], y + flow[:, 1])
    moved = displace(picture, flow)
    # the interpolation's own error; a step of one pixel changes the picture by up to 0.07
    assert (moved[:, 0] - expected).abs().max() < 5e-3


def test_values_stay_within_bounds():
    picture = (torch.rand(1, 3, 60, 60) > 0.5).float()  # where bicubic interpolation overshoots
    flow = random_flow(2.3, KINDS, depths(1, 40, 40), 0, [0])
    moved = displace(picture, flow)
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_a_plane_at_one_distance_shifts_under_parallax():
    flow = random_flow(6, ("parallax",), torch.full((1, 20, 20), 0.3), 0, [0])
    assert (flow - flow[:, :, :1, :1]).abs().max() < 1e-5


@pytest.mark.parametrize("level", [-1.0, math.nan, math.inf])
def test_an_impossible_level_is_refused(level):
    with pytest.raises(ReblurError, match="level"):
        random_flow(level, KINDS, depths(1, 8, 8), 0, [0])


@pytest.mark.parametrize("kinds", [(), ("shift", "skew")])
def test_unknown_kinds_are_refused(kinds):
    with pytest.raises(ReblurError, match="parallax"):
        random_flow(1.0, kinds, depths(1, 8, 8), 0, [0])
