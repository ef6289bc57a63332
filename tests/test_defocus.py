"""Defocus triplets for training and testing."""

import math

import numpy as np
import pytest
import skimage.data
import torch
import yaml

from reblur.datasets.defocus.depth import LayeredDepth
from reblur.datasets.defocus.misalignment import displace
from reblur.datasets.defocus.scenes import DepthScene, DepthScenes
from reblur.datasets.defocus.synthesis import DefocusOptions, DefocusPairs, synthesise_triplet
from reblur.datasets.images.files import to_tensor
from reblur.datasets.images.photographs import Photographs
from reblur.errors import ReblurError

PICTURES = [skimage.data.astronaut()[:160, 150:330], skimage.data.coffee()[100:260, 200:400]]
PHOTOGRAPHS = Photographs(["astronaut", "coffee"], PICTURES)
QUIET = {"shot_noise": 0, "read_noise": 0, "saturation_probability": 0}
SCENE = DepthScene("astronaut", PICTURES[0], LayeredDepth().draw(0, "t", [1], 160, 180)[0].numpy())


def options(**values) -> DefocusOptions:
    return DefocusOptions.from_dict({"max_coc": 8, **values})


def test_a_batch_has_all_five_parts():
    batch = DefocusPairs(PHOTOGRAPHS, options(misalignment_px=2), 32).batch(0, [3, 1, 8])
    shapes = {name: tuple(value.shape) for name, value in batch.items()}
    assert shapes == {
        "blurred": (3, 3, 32, 32),
        "sharp": (3, 3, 32, 32),
        "aligned": (3, 3, 32, 32),
        "flow": (3, 2, 32, 32),
        "coc": (3, 1, 32, 32),
    }
    for name in ("blurred", "sharp", "aligned"):
        steps = batch[name] * 255
        assert (steps - steps.round()).abs().max() < 1e-4
        assert 0 <= batch[name].min() <= batch[name].max() <= 1
    assert all(value.dtype == torch.float32 for value in batch.values())


@pytest.mark.parametrize("source", [PHOTOGRAPHS, DepthScenes([SCENE])], ids=["drawn", "measured"])
def test_a_sample_is_a_function_of_seed_and_index(source):
    pairs = DefocusPairs(source, options(misalignment_px=3), 32)
    together = pairs.batch(5, [2, 9, 4])
    for row, index in enumerate([2, 9, 4]):
        alone = pairs.batch(5, [index])
        for name, value in together.items():
            assert torch.equal(alone[name][0], value[row]), name
    other = pairs.batch(6, [2, 9, 4])
    assert not torch.equal(other["blurred"], together["blurred"])


def test_a_sample_names_the_photograph_of_its_scene():
    plain = {"black": np.zeros((90, 80, 3), np.uint8), "grey": np.full((80, 90, 3), 99, np.uint8)}
    depth = np.ones((80, 80), np.float32)
    measured = [DepthScene(name, image[:80, :80], depth) for name, image in plain.items()]
    for source in (Photographs(list(plain), list(plain.values())), DepthScenes(measured)):
        pairs = DefocusPairs(source, options(**QUIET), 32)
        for index, picture in enumerate(pairs.batch(3, range(12))["aligned"]):
            expected = "grey" if picture.mean() > 0.2 else "black"
            assert pairs.photograph_of(3, index) == expected


def test_without_misalignment_the_sharp_side_is_the_truth():
    batch = DefocusPairs(PHOTOGRAPHS, options(), 32).batch(0, range(4))
    assert torch.equal(batch["sharp"], batch["aligned"])
    assert batch["flow"].abs().max() == 0


@pytest.mark.parametrize("level", [1, 4])
def test_the_sharp_side_is_moved_by_the_flow_that_is_told(level):
    batch = DefocusPairs(PHOTOGRAPHS, options(misalignment_px=level), 48).batch(0, range(6))
    rms = batch["flow"].square().sum(1).mean((1, 2)).sqrt()
    torch.testing.assert_close(rms, torch.full((6,), float(level)))
    told = displace(batch["aligned"], batch["flow"])
    y, x = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    to_x, to_y = x + batch["flow"][:, 0], y + batch["flow"][:, 1]
    inside = (to_x > 3) & (to_x < 44) & (to_y > 3) & (to_y < 44)  # of what `aligned` shows
    apart = (told - batch["sharp"]).abs().amax(1)
    assert inside.float().mean() > 0.5
    assert apart[inside].max() < 2.1 / 255
    still = (batch["aligned"] - batch["sharp"]).abs().amax(1)
    assert still[inside].mean() > 5 * apart[inside].mean()


def test_blur_is_where_the_map_says():
    batch = DefocusPairs(PHOTOGRAPHS, options(**QUIET), 48).batch(0, range(24))
    change = (batch["blurred"] - batch["aligned"]).abs().mean(1)
    circle = batch["coc"][:, 0].abs()
    assert circle.max() <= 8 + 1e-5
    far_from_blur = torch.nn.functional.max_pool2d(circle[:, None], 15, 1, 7)[:, 0] < 0.5
    assert far_from_blur.any()
    assert change[far_from_blur].max() <= 1.01 / 255
    assert change[circle > 4].mean() > 4 * change[circle < 0.5].mean()


def test_something_is_in_focus_and_both_signs_occur():
    coc = DefocusPairs(PHOTOGRAPHS, options(), 48).batch(0, range(24))["coc"]
    assert coc.abs().amin((1, 2, 3)).max() < 0.05
    assert coc.min() < -4
    assert coc.max() > 4


def test_a_larger_aperture_number_blurs_less():
    wide, narrow = (
        DefocusPairs(PHOTOGRAPHS, options(f_number=n, max_coc=24), 32).batch(0, range(2))["coc"]
        for n in (8.0, 32.0)
    )
    torch.testing.assert_close(wide, 4 * narrow, rtol=1e-4, atol=1e-4)


def test_whole_photographs():
    chosen = options(misalignment_px=1.5)
    triplet = synthesise_triplet(PICTURES[0], SCENE.inverse_depth, chosen, 0, 7)
    height, width = 160 - 2 * chosen.border, 180 - 2 * chosen.border
    for picture in (triplet.blurred, triplet.sharp, triplet.aligned):
        assert picture.shape == (height, width, 3)
    assert triplet.flow.shape == (2, height, width)
    assert triplet.coc.shape == (height, width)
    inner = PICTURES[0][chosen.border : -chosen.border, chosen.border : -chosen.border]
    np.testing.assert_array_equal(triplet.aligned, inner)
    assert math.sqrt(np.square(triplet.flow).sum(0).mean()) == pytest.approx(1.5, rel=1e-5)
    again = synthesise_triplet(PICTURES[0], SCENE.inverse_depth, chosen, 0, 7)
    np.testing.assert_array_equal(again.blurred, triplet.blurred)
    sharp = displace(to_tensor(triplet.aligned)[None], torch.from_numpy(triplet.flow)[None])
    assert (sharp[0] - to_tensor(triplet.sharp)).abs()[:, 9:-9, 9:-9].max() < 2.1 / 255


def test_a_photograph_needs_its_own_depth_and_room():
    with pytest.raises(ReblurError, match="180×160"):
        synthesise_triplet(PICTURES[0], SCENE.inverse_depth[:-1], options(), 0, 0)
    small = PICTURES[0][:10], SCENE.inverse_depth[:10]
    with pytest.raises(ReblurError, match="border"):
        synthesise_triplet(*small, options(), 0, 0)
    with pytest.raises(ReblurError, match="too small"):
        DefocusPairs(PHOTOGRAPHS, options(misalignment_px=16), 96).batch(0, [0])
    with pytest.raises(ReblurError, match="crop"):
        DefocusPairs(PHOTOGRAPHS, options(), 0)


def test_options_come_from_yaml():
    text = """
    focal_length_mm: 50
    f_number: [1.8, 4]
    blades: [0, 6]
    scene: {nearest_m: 0.5, objects: [2, 3]}
    misalignment_kinds: [shift, zoom]
    misalignment_px: 4
    """
    made = DefocusOptions.from_dict(yaml.safe_load(text))
    assert made.focal_length_mm == (50, 50)
    assert made.f_number == (1.8, 4)
    assert made.blades == (0, 6)
    assert made.scene == LayeredDepth(nearest_m=0.5, objects=(2, 3))
    assert made.misalignment_kinds == ("shift", "zoom")
    assert made.border > DefocusOptions().border


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"apperture": 2}, "apperture"),
        ({"scene": {"walls": 2}}, r"scene\.walls"),
        ({"f_number": [4, 2]}, "f_number"),
        ({"f_number": "wide"}, "f_number"),
        ({"focal_length_mm": 0}, "focal_length_mm"),
        ({"highlight_gain": 0.5}, "highlight_gain"),
        ({"blades": [4]}, "blades"),
        ({"blades": []}, "blades"),
        ({"shot_noise": -1}, "shot_noise"),
        ({"max_coc": 0}, "max_coc"),
        ({"pixel_pitch_um": math.inf}, "pixel_pitch_um"),
        ({"saturation_probability": 2}, "saturation_probability"),
        ({"misalignment_px": -1}, "misalignment_px"),
        ({"misalignment_kinds": ["skew"]}, "skew"),
        ({"scene": {"nearest_m": 20}}, "nearest_m"),
    ],
)
def test_bad_options_are_named(values, named):
    with pytest.raises(ReblurError, match=named):
        DefocusOptions.from_dict(values)
