"""Depth: calibrated disparity, what is missing in it, measured scenes, and random ones."""

import math

import numpy as np
import pytest
import torch

from reblur.datasets.defocus.depth import LayeredDepth, fill_missing, from_disparity
from reblur.datasets.defocus.scenes import (
    DepthScene,
    DepthScenes,
    open_scene,
    open_scenes,
    read_disparity,
)
from reblur.datasets.images.files import to_uint8, write_image
from reblur.errors import ReblurError


def test_disparity_becomes_distance_by_the_stereo_equation():
    disparity = np.array([[57.9, 8.55], [20.0, 31.0]])
    depth = 1 / from_disparity(disparity, 994.978, 0.193001, 31.086)
    expected = 994.978 * 0.193001 / (disparity + 31.086)
    np.testing.assert_allclose(depth, expected, rtol=1e-6)


@pytest.mark.parametrize("gap", [math.inf, -math.inf, math.nan, 0.0, -3.0])
def test_what_a_stereo_camera_missed_is_given_to_the_background(gap):
    disparity = np.full((4, 6), 10.0)
    disparity[:, 3:] = 40.0  # an object
    disparity[1, 2:4] = gap  # at its edge
    disparity[2, 0] = gap  # at the border
    disparity[3] = gap  # a whole row
    found = from_disparity(disparity, 100.0, 1.0)
    expected = np.full((4, 6), 0.1)
    expected[:, 3:] = 0.4
    expected[1, 3] = 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_first_row_without_depth_takes_the_next():
    missing = np.zeros((5, 4), bool)
    missing[:2] = True
    found = fill_missing(np.arange(20.0).reshape(5, 4), missing, "map")
    np.testing.assert_array_equal(found[:3], np.broadcast_to(found[2], (3, 4)))


@pytest.mark.parametrize("bad", [math.nan, 0.0, -1.0])
def test_a_map_that_is_mostly_missing_is_refused(bad):
    disparity = np.full((10, 10), 3.0)
    disparity[:, :6] = bad
    with pytest.raises(ReblurError, match=r"garden\.png: 60%"):
        from_disparity(disparity, 100.0, 1.0, name="garden.png")
    with pytest.raises(ReblurError, match="missing"):
        from_disparity(np.full((2, 2), math.inf), 100.0, 1.0)


def test_the_motorcycle_stands_where_it_stood():
    (scene,) = open_scenes(["skimage_motorcycle"])
    assert scene.photograph.shape == (500, 741, 3)
    assert scene.inverse_depth.shape == (500, 741)
    depth = 1 / scene.inverse_depth
    assert 2.0 < depth.min() < depth.max() < 5.1
    # the front wheel is nearer than the floor behind it, and that than the shelf
    assert depth[400, 640] < depth[300, 80] < depth[40, 690]


def test_scenes_are_paired_by_name_and_size(tmp_path):
    left, disparity = tmp_path / "cones_left.png", tmp_path / "cones_gt.png"
    write_image(left, np.zeros((6, 8, 3), np.uint8))
    write_image(disparity, np.full((6, 8, 3), 20, np.uint8))
    with pytest.raises(ReblurError, match="no map"):  # three channels
        open_scene(left, disparity)
    np.savez(tmp_path / "small.npz", np.full((5, 8), 20.0))
    with pytest.raises(ReblurError, match="8×5"):
        open_scene(left, tmp_path / "small.npz")
    np.savez(tmp_path / "whole.npz", np.full((6, 8), 20.0))
    assert open_scene(left, tmp_path / "whole.npz").name == "cones"
    left.rename(tmp_path / "kitchen_left.png")
    with pytest.raises(ReblurError, match="calibration"):
        open_scene(tmp_path / "kitchen_left.png", disparity)


@pytest.mark.parametrize("name", ["gone.npz", "broken.npz", "broken.png"])
def test_a_damaged_disparity_is_one_sentence(tmp_path, name):
    if name.startswith("broken"):
        (tmp_path / name).write_bytes(b"PK\3\4 no archive, no picture")
    with pytest.raises(ReblurError, match=name):
        read_disparity(tmp_path / name)


def test_crops_of_scenes_keep_picture_and_depth_together():
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (40, 50, 3), np.uint8)
    depth = (picture[..., 0] / 255).astype(np.float32)
    scenes = DepthScenes([DepthScene("noise", picture, depth)])
    pictures, depths = scenes.crops_with_depth(1, "test", range(20), 24)
    assert torch.equal(pictures[:, 0], depths)
    again, _ = scenes.crops_with_depth(1, "test", [7], 24)
    assert torch.equal(again[0], pictures[7])
    assert len({to_uint8(p).tobytes() for p in pictures}) == 20
    with pytest.raises(ReblurError, match="noise"):
        scenes.crops_with_depth(1, "test", [0], 41)
    with pytest.raises(ReblurError, match="none"):
        DepthScenes([])


# Random layered depth


def test_random_scenes_lie_within_their_bounds_and_differ():
    options = LayeredDepth(nearest_m=0.5, farthest_m=8)
    scenes = options.draw(0, "test", range(40), 48, 64)
    assert scenes.shape == (40, 48, 64)
    assert scenes.dtype == torch.float32
    assert scenes.min() >= 1 / 8 - 1e-6
    assert scenes.max() <= 2 + 1e-6
    assert len({scene.numpy().tobytes() for scene in scenes}) == 40
    assert (scenes.amax((1, 2)) - scenes.amin((1, 2))).min() > 0.01


def test_a_random_scene_is_a_function_of_its_index():
    options = LayeredDepth()
    together = options.draw(3, "test", [4, 9, 2], 40, 40)
    for row, index in enumerate([4, 9, 2]):
        assert torch.equal(options.draw(3, "test", [index], 40, 40)[0], together[row])
    assert not torch.equal(options.draw(4, "test", [4], 40, 40)[0], together[0])


def jumps(scenes: torch.Tensor) -> torch.Tensor:
    """Largest step between neighbours, of each scene."""
    return torch.stack([scenes.diff(dim=d).abs().amax((1, 2)) for d in (1, 2)]).amax(0)


def test_hard_edges_jump_soft_ones_do_not_and_planes_are_planes():
    hard = LayeredDepth(objects=(3, 3), soft_edges=0.0).draw(0, "test", range(30), 96, 96)
    soft = LayeredDepth(objects=(3, 3), soft_edges=1.0).draw(0, "test", range(30), 96, 96)
    bare = LayeredDepth(objects=(0, 0)).draw(0, "test", range(30), 96, 96)
    assert jumps(hard).median() > 2 * jumps(soft).median()
    inside = (bare > 0.1001) & (bare < 0.9999)  # where the plane was not cut at a bound
    bend = bare.diff(n=2, dim=2).abs()
    assert bend[inside[:, :, 2:] & inside[:, :, :-2]].max() < 1e-5
    assert jumps(bare).max() < 0.02


@pytest.mark.parametrize(
    "options",
    [
        {"nearest_m": 0},
        {"nearest_m": 5, "farthest_m": 4},
        {"farthest_m": math.inf},
        {"objects": (3, 2)},
        {"objects": (-1, 2)},
        {"soft_edges": 1.5},
    ],
)
def test_an_impossible_random_scene_is_refused(options):
    with pytest.raises(ReblurError, match=next(iter(options))):
        LayeredDepth.from_dict(options)
