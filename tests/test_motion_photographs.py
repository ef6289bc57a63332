"""Motion-blur synthesis: its options, and whole photographs."""

from typing import Any

import numpy as np
import pytest

from reblur.datasets.images.photographs import Photographs
from reblur.datasets.motion import synthesis as motion
from reblur.datasets.motion.synthesis import MotionBlur, MotionBlurOptions, synthesise_pair
from reblur.errors import ReblurError
from test_motion import QUIET, STILL


def test_options_from_yaml() -> None:
    options = MotionBlurOptions.from_dict(
        {
            "extent": [2, 8],
            "gamma": 2.2,
            "sensor": [640, 480],
            "frames": 9,
            "spacing": 1,
            "pipeline": True,
            "quality": [80, 90],
            "hand": {"tremor": 0.5, "tremor_band": [7, 11]},
        }
    )
    assert options.extent == (2.0, 8.0)
    assert options.gamma == (2.2, 2.2)
    assert options.sensor == (640, 480)
    assert options.pipeline is True
    assert options.quality == (80, 90)
    assert options.hand.tremor == 0.5
    assert options.hand.tremor_band == (7.0, 11.0)
    assert options.focal_length == MotionBlurOptions().focal_length
    assert MotionBlurOptions.from_dict({}) == MotionBlurOptions()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"extend": [0, 8]}, r"extend is unknown; did you mean 'extent'"),
        ({"hand": {"shake": 1}}, r"hand\.shake is unknown; choose from drift_frequency"),
        ({"hand": 1}, "hand is 1; it must be a mapping of options"),
        ({"hand": {"tremor": -1}}, r"hand\.tremor is -1; it must be at least 0"),
        ({"hand": {"tremor_band": [8, float("nan")]}}, r"tremor_band\.1 is NaN; it must be"),
        ({"hand": {"jolt_duration": 0}}, "jolt_duration is 0; it must be above 0"),
        ({"extent": "8"}, "extent is '8'; it must be a list or a number"),
        ({"extent": [1, 2, 3]}, "extent is .*at most 2 values"),
        ({"extent": [8, 2]}, r"extent: \[8, 2\] is no range; write it as \[low, high\]"),
        ({"extent": [0, float("nan")]}, r"extent\.1 is NaN"),
        ({"extent": [-1, 2]}, r"extent\.0 is -1; it must be at least 0"),
        ({"frames": 9.0}, "frames is 9.0; it must be a whole number"),
        ({"frames": True}, "frames is true; it must be a whole number"),
        ({"frames": 8}, "frames: 8 sub-frames have none in the middle"),
        ({"frames": -1}, "frames is -1; it must be above 0"),
        ({"spacing": -1}, "spacing is -1; it must be at least 0"),
        ({"gamma": 0}, "gamma is 0; it must be .*above 0"),
        ({"exposure": 0}, "exposure is 0"),
        ({"focal_length": 0}, "focal_length is 0"),
        ({"highlight_gain": 0.5}, "highlight_gain is 0.5; it must be .*at least 1"),
        ({"over_exposure": [0.9, 1.1]}, r"over_exposure\.0 is 0.9; it must be at least 1"),
        ({"softness": [0.5, 1.5]}, r"softness\.1 is 1.5; it must be at most 1"),
        ({"quality": [0, 90]}, r"quality\.0 is 0; it must be at least 1"),
        ({"quality": [70.5, 90]}, r"quality\.0 is 70.5; it must be a whole number"),
        ({"pipeline": 1}, "pipeline is 1; it must be true or false"),
        ({"soft_probability": 2}, "soft_probability is 2; it must be at most 1"),
        ({"sensor": [0, 720]}, r"sensor\.0 is 0; it must be above 0"),
        ({"layers": 3}, "layers is 3; it must be at most 2"),
        ({"layer_probability": 1.5}, "layer_probability is 1.5; it must be at most 1"),
    ],
)
def test_options_that_cannot_be_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ReblurError, match=sentence):
        MotionBlurOptions.from_dict(values)


def test_a_sample_names_the_photograph_of_its_scene() -> None:
    """By the grey of plain photographs, one of which is there at two sizes."""
    greys, names = (10, 60, 60, 200), ["a", "b", "b", "c"]
    images = [np.full((90 + n, 100, 3), grey, np.uint8) for n, grey in enumerate(greys)]
    still = MotionBlurOptions(**STILL, **QUIET)
    source = MotionBlur(Photographs(names, images), still, 40)
    seen = set()
    for index, picture in enumerate(source.batch(5, range(30))["sharp"]):
        name = source.photograph_of(5, index)
        assert round(255 * picture.mean().item()) == dict(zip(names, greys, strict=True))[name]
        seen.add(name)
    assert seen == {"a", "b", "c"}


def test_a_photograph_that_is_too_small_is_named() -> None:
    tiny = Photographs(["tiny.png"], [np.zeros((30, 90, 3), np.uint8)])
    with pytest.raises(ReblurError, match=r"tiny\.png.*too small"):
        MotionBlur(tiny, MotionBlurOptions(), 64).batch(0, [0], "cpu")
    with pytest.raises(ReblurError, match="crop must be at least 1"):
        MotionBlur(tiny, MotionBlurOptions(), 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2), (33, 70)])
def test_whole_photographs_of_any_size(shape: tuple[int, int]) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for index in range(4):
        pair = synthesise_pair(photograph, MotionBlurOptions(), 0, index)
        again = synthesise_pair(photograph, MotionBlurOptions(), 0, index)
        for picture, same in zip(pair, again, strict=True):
            assert picture.shape == photograph.shape
            np.testing.assert_array_equal(picture, same)
    still = MotionBlurOptions(**STILL, **QUIET)
    for picture in synthesise_pair(photograph, still, 0, 0):
        np.testing.assert_array_equal(picture, photograph)


def test_things_move_before_whole_photographs() -> None:
    photograph = np.zeros((80, 100, 3), np.uint8)
    photograph[:40] = 200
    options = {"layer_size": (0.35, 0.35), "layer_extent": (10.0, 10.0), **QUIET}
    differ = 0
    for index in range(5):
        still = MotionBlurOptions(extent=(0.0, 0.0), layer_probability=1.0, **options)
        blurred, sharp = synthesise_pair(photograph, still, 0, index)
        differ += (sharp != photograph).any() and (blurred != sharp).any()
    assert differ >= 3  # a thing may show the same as what it hides


@pytest.mark.parametrize(
    ("tile", "values"),
    [(37, {}), (37, {"soft_probability": 1.0}), (38, {"pipeline": True})],
    ids=["plain", "soft", "pipeline"],
)
def test_whole_photographs_have_no_seams(
    tile: int, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a JPEG file may make more of one level's difference
    monkeypatch.setattr(motion, "jpeg", lambda pictures, qualities: pictures)
    photograph = np.random.default_rng(1).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    options = MotionBlurOptions(extent=(10.0, 20.0), layer_probability=1.0, **QUIET | values)
    whole = synthesise_pair(photograph, options, 0, 0)
    monkeypatch.setattr(motion, "TILE", tile)
    for one, tiled in zip(whole, synthesise_pair(photograph, options, 0, 0), strict=True):
        apart = np.abs(one.astype(int) - tiled)
        assert apart.max() <= 1
        assert (apart > 0).mean() < 2e-3


def test_a_photograph_without_pixels_is_refused() -> None:
    with pytest.raises(ReblurError, match="no pixels"):
        synthesise_pair(np.zeros((0, 5, 3), np.uint8), MotionBlurOptions(), 0, 0)
