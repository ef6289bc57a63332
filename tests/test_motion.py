"""Motion-blur synthesis: the physics it promises, and the same sample in every batch."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, uniform_filter1d
from torch import Tensor

from reblur.datasets.degradation.jpeg import jpeg
from reblur.datasets.images.photographs import Photographs
from reblur.datasets.motion import synthesis as motion
from reblur.datasets.motion.camera_cpu import expose_one
from reblur.datasets.motion.exposures import Exposures, blur_lengths, draw_exposures
from reblur.datasets.motion.synthesis import MotionBlur, MotionBlurOptions
from reblur.randomness import numpy_generator

QUIET = dict.fromkeys(("shot_noise", "read_noise"), (0.0, 0.0))
QUIET |= dict.fromkeys(("saturation_probability", "soft_probability"), 0.0)
STILL = {"extent": (0.0, 0.0), "layer_probability": 0.0}


class Noise:
    """Crops of eight-bit noise; or of one value, if there is one."""

    def __init__(self, value: int | None = None) -> None:
        self.value = value

    def crops(self, seed: int, stream: str, indices: Sequence[int], size: int) -> Tensor:
        low, high = (0, 256) if self.value is None else (self.value, self.value + 1)
        crops = [
            numpy_generator(seed, stream, i).integers(low, high, (3, size, size)) for i in indices
        ]
        return torch.from_numpy(np.stack(crops)).float() / 255


class Stripes:
    """Eight bright columns, eight dark ones, and so on: as much of either in any full period."""

    def crops(self, seed: int, stream: str, indices: Sequence[int], size: int) -> Tensor:
        row = torch.where(torch.arange(size) % 16 < 8, 40 / 255, 200 / 255)
        return row.expand(len(indices), 3, size, size).clone()


def moved_by(offsets: np.ndarray, gamma: float = 2.2, gain: float = 1.0) -> Exposures:
    """One exposure whose sub-frames look `offsets` (n, 2) pixels away."""
    homographies = np.tile(np.eye(3), (1, 1, len(offsets), 1, 1))
    homographies[0, 0, :, :2, 2] = offsets
    one = np.ones(1)
    return Exposures(
        homographies=homographies,
        counts=np.array([len(offsets)]),
        centres=np.zeros((1, 2)),
        layers=np.zeros(1, int),
        outlines=np.zeros((1, 0, 12)),
        gamma=gamma * one,
        highlight_gain=gain * one,
        shot=0 * one,
        read=0 * one,
        light_gain=one,
        softness=0 * one,
        quality=np.zeros(1, int),
        balance=np.zeros((1, 2)),
    )


def exposed(display: np.ndarray, exposure: Exposures, margin: int) -> tuple[np.ndarray, np.ndarray]:
    size = display.shape[1] - 2 * margin, display.shape[2] - 2 * margin
    return expose_one([display.astype(np.float32)], exposure, np.zeros((1, 2)), size, margin, None)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_without_motion_nothing_changes(gamma: float) -> None:
    options = MotionBlurOptions(gamma=(gamma, gamma), **STILL, **QUIET)
    pair = MotionBlur(Noise(), options, 37).batch(0, range(3), "cpu")
    margin = options.margin
    crops = Noise().crops(0, "motion/scene", range(3), 37 + 2 * margin)
    crops = crops[..., margin:-margin, margin:-margin]
    torch.testing.assert_close(pair["sharp"], crops, rtol=0, atol=0)
    torch.testing.assert_close(pair["blurred"], crops, rtol=0, atol=0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 255), st.integers(0, 10**6))
def test_a_plain_wall_stays_what_it_is(value: int, seed: int) -> None:
    options = MotionBlurOptions(extent=(0.0, 30.0), **QUIET)
    pair = MotionBlur(Noise(value), options, 16).batch(seed, [0, 1], "cpu")
    expected = torch.full_like(pair["sharp"], value / 255)
    torch.testing.assert_close(pair["blurred"], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(pair["sharp"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_light_is_kept(gamma: float) -> None:
    """Of a periodic picture that is moved, as much light remains, where light is added up."""
    options = MotionBlurOptions(
        extent=(4.0, 12.0), gamma=(gamma, gamma), layer_probability=0.0, spacing=1.0, **QUIET
    )
    pair = MotionBlur(Stripes(), options, 160).batch(0, range(6), "cpu")
    light = {name: images.double() ** gamma for name, images in pair.items()}
    kept = light["blurred"].mean((1, 2, 3)) / light["sharp"].mean((1, 2, 3))
    # half a period of the 160 columns may enter at a border
    assert (kept - 1).abs().max() < 0.02
    assert (pair["blurred"] - pair["sharp"]).abs().max() > 0.2


@pytest.mark.parametrize(("length", "gamma"), [(3, 2.2), (9, 2.2), (15, 1.0), (15, 2.4)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_translation_is_a_box_blur(length: int, gamma: float, axis: int) -> None:
    display = np.random.default_rng(length).integers(0, 256, (3, 90, 70)) / 255
    offsets = np.zeros((length, 2))
    offsets[:, 1 - axis] = np.arange(length) - length // 2
    blurred, sharp = exposed(display, moved_by(offsets, gamma), 8)
    box = uniform_filter1d(display**gamma, length, axis=1 + axis, mode="mirror") ** (1 / gamma)
    assert np.abs(blurred - box[:, 8:-8, 8:-8]).max() <= 0.5 / 255 + 1e-4
    np.testing.assert_allclose(sharp, display[:, 8:-8, 8:-8], atol=1e-6)


def test_beyond_its_border_a_scene_is_mirrored() -> None:
    display = np.random.default_rng(0).integers(0, 256, (3, 12, 15)) / 255
    offsets = np.array([[-25.0, 0.0], [0.0, 0.0], [25.0, 30.0]])
    blurred, _ = exposed(display, moved_by(offsets, 1.0), 1)
    mirrored = np.pad(display, [(0, 0), (40, 40), (40, 40)], mode="reflect")
    expected = sum(mirrored[:, 41 + y : 51 + y, 41 + x : 54 + x] for x, y in offsets.astype(int))
    assert np.abs(blurred - expected / 3).max() <= 0.5 / 255 + 1e-4


def test_a_fraction_of_a_pixel_is_interpolated_linearly() -> None:
    display = np.random.default_rng(0).integers(0, 256, (3, 20, 20)) / 255
    blurred, _ = exposed(display, moved_by(np.array([[0.25, 0.0]]), 1.0), 2)
    expected = 0.75 * display[:, 2:-2, 2:-2] + 0.25 * display[:, 2:-2, 3:-1]
    assert np.abs(blurred - expected).max() <= 0.5 / 255 + 1e-4


def test_highlights_are_clipped_after_the_exposure_not_before() -> None:
    """A lamp that moves draws a streak; the brighter it is, the whiter, and never above 1."""
    display = np.full((3, 40, 60), 0.1)
    display[:, 20, 30] = 1.0
    offsets = np.stack([np.arange(-7.0, 8.0), np.zeros(15)], 1)
    peaks = []
    for gain in (1.0, 5.0, 50.0):
        blurred, sharp = exposed(display, moved_by(offsets, gain=gain), 10)
        peaks.append(blurred[:, 10, 20].max())
        assert max(blurred.max(), sharp.max()) <= 1
        assert (blurred[:, 10, 13:28] > 0.2).all()
    assert peaks[0] < 0.35 < 0.55 < peaks[1] < 1.0 == peaks[2]


@pytest.mark.parametrize("pipeline", [False, True])
@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6, unique=True), st.integers(0, 99))
def test_a_sample_does_not_know_its_batch(pipeline: bool, indices: list[int], seed: int) -> None:
    options = MotionBlurOptions(layer_probability=0.6, pipeline=pipeline)
    source = MotionBlur(Noise(), options, 33)
    together = source.batch(seed, indices, "cpu")
    for place, index in enumerate(indices):
        alone = source.batch(seed, [index], torch.device("cpu"))
        for name in ("blurred", "sharp"):
            assert torch.equal(together[name][place], alone[name][0])


@pytest.mark.parametrize("pipeline", [False, True])
def test_two_threads_make_the_same_bits(pipeline: bool) -> None:
    source = MotionBlur(Noise(), MotionBlurOptions(pipeline=pipeline), 48)
    before = torch.get_num_threads()
    once = source.batch(0, range(12), "cpu")
    try:
        torch.set_num_threads(2)
        twice = source.batch(0, range(12), "cpu")
    finally:
        torch.set_num_threads(before)
    assert torch.equal(once["blurred"], twice["blurred"])
    assert torch.equal(once["sharp"], twice["sharp"])


def test_a_hand_that_holds_still_makes_no_blur() -> None:
    hand = {"drift_frequency": 0, "tremor": 0, "jolt_probability": 0}
    options = MotionBlurOptions.from_dict({"hand": hand, "layer_probability": 0, **QUIET})
    pair = MotionBlur(Noise(), options, 20).batch(0, range(3), "cpu")
    assert torch.equal(pair["blurred"], pair["sharp"])


def test_samples_differ() -> None:
    source = MotionBlur(Noise(), MotionBlurOptions(), 16)
    pair = source.batch(0, range(20), "cpu")["blurred"]
    other = source.batch(1, range(20), "cpu")["blurred"]
    assert len({picture.numpy().tobytes() for picture in [*pair, *other]}) == 40


@pytest.mark.parametrize("pipeline", [False, True])
def test_an_accelerators_grouping_gives_the_same_samples(
    pipeline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grouped by their number of moving things, batched by torch, and put back in order."""
    # a JPEG file may make more of one level's difference
    monkeypatch.setattr(motion, "jpeg", lambda pictures, qualities: pictures)
    options = MotionBlurOptions(layer_probability=0.6, pipeline=pipeline)
    source = MotionBlur(Noise(), options, 40)
    singly = source.batch(0, range(10), "cpu")

    def by_layers(layers: np.ndarray, device: torch.device) -> list[np.ndarray]:
        return original(layers, torch.device("meta"))

    original = motion._groups
    monkeypatch.setattr(motion, "_groups", by_layers)
    grouped = source.batch(0, range(10), "cpu")
    for name in ("blurred", "sharp"):
        apart = (255 * (singly[name] - grouped[name]).abs()).round()
        assert apart.max() <= 1
        assert (apart > 0).float().mean() < 2e-3


def test_pictures_are_made_on_the_device_that_is_asked_for() -> None:
    """On PyTorch's device without memory: no operation leaves the device for the host."""
    options = MotionBlurOptions(**QUIET, layer_probability=0.6)
    pair = MotionBlur(Noise(), options, 24).batch(0, range(6), "meta")
    assert pair["blurred"].device.type == pair["sharp"].device.type == "meta"
    assert pair["blurred"].shape == pair["sharp"].shape == (6, 3, 24, 24)


def test_noise_is_as_declared_and_in_the_blurred_picture_alone() -> None:
    noise = {"shot_noise": (1e-3, 1e-3), "read_noise": (0.02, 0.02)}
    options = MotionBlurOptions(gamma=(1.0, 1.0), **STILL | QUIET | noise)
    pair = MotionBlur(Noise(128), options, 128).batch(0, range(4), "cpu")
    expected = np.sqrt(1e-3 * 128 / 255 + 0.02**2 + (1 / 255) ** 2 / 12)
    assert (pair["blurred"] - 128 / 255).std().item() == pytest.approx(expected, rel=0.02)
    assert (pair["blurred"] - 128 / 255).mean().item() == pytest.approx(0, abs=5e-4)
    assert (pair["sharp"] == 128 / 255).all()
    draws = (pair["blurred"] - 128 / 255).flatten(1)
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 0.03  # every sample has its own


def test_values_are_eight_bits_within_zero_and_one() -> None:
    options = MotionBlurOptions(
        saturation_probability=1.0, highlight_gain=(20.0, 20.0), read_noise=(0.1, 0.1)
    )
    for images in MotionBlur(Noise(), options, 32).batch(0, range(8), "cpu").values():
        assert images.dtype == torch.float32
        assert torch.isfinite(images).all()
        assert images.min() >= 0
        assert images.max() <= 1
        torch.testing.assert_close(images * 255, (images * 255).round(), rtol=0, atol=1e-4)


def test_a_thing_in_front_hides_what_is_behind_it() -> None:
    """Inside a thing that stands still before a moving scene nothing of the scene shows."""
    thing = {"layers": 1, "layer_extent": (0.0, 0.0), "layer_size": (0.3, 0.3)}
    options = MotionBlurOptions(extent=(12.0, 12.0), layer_probability=1.0, **thing, **QUIET)
    exposures = draw_exposures(0, range(8), options, (64, 64))
    # the thing moves with the scene; to stand still before it, it moves against the camera
    exposures.homographies[1] = np.eye(3)
    exposures.outlines[:, 0, :2] = exposures.centres
    exposures.outlines[:, 0, 4:] = 0
    margin = options.margin
    scene = Noise().crops(0, "s", [0], 64 + 2 * margin)[0].numpy()
    thing = Noise().crops(0, "t", [0], 64 + 2 * margin)[0].numpy()
    inner = slice(24, 40)
    for row in range(8):
        one = exposures.rows(np.array([row]))
        origin = one.centres - 31.5
        blurred, sharp = expose_one([scene, thing], one, origin, (64, 64), margin, None)
        still = thing[:, margin:-margin, margin:-margin]
        np.testing.assert_allclose(blurred[:, inner, inner], still[:, inner, inner], atol=1e-6)
        np.testing.assert_allclose(sharp[:, inner, inner], still[:, inner, inner], atol=1e-6)
        assert np.abs(blurred[:, :8] - sharp[:, :8]).mean() > 0.05  # the scene did move


def test_things_move_relative_to_the_scene() -> None:
    options = {"layer_probability": 1.0, "frames": 9, "spacing": 0, "layer_extent": (300.0, 300.0)}
    still = draw_exposures(0, range(4), MotionBlurOptions(extent=(0, 0), **options), (64, 64))
    shaken = draw_exposures(0, range(4), MotionBlurOptions(extent=(300, 300), **options), (64, 64))
    camera, thing = shaken.homographies[:2]
    assert np.abs(camera @ still.homographies[1] - still.homographies[1] @ camera).max() > 1e-3
    # from the shaken picture back to the scene, and from the scene back to the thing at rest
    np.testing.assert_allclose(thing, still.homographies[1] @ camera, atol=1e-9)


def test_blur_length_is_the_extent_that_was_asked_for() -> None:
    options = MotionBlurOptions(extent=(12.0, 12.0), frames=65, spacing=0, **QUIET)
    lengths = blur_lengths(draw_exposures(0, range(6), options, (64, 96)), (64, 96))
    np.testing.assert_allclose(lengths, 12, rtol=0.04)  # sub-frames end before the exposure does


def test_as_many_sub_frames_as_the_motion_needs() -> None:
    options = MotionBlurOptions(extent=(0.0, 40.0), layer_probability=0.0, frames=21, spacing=2.0)
    exposures = draw_exposures(0, range(200), options, (64, 64))
    counts = exposures.counts
    assert (counts % 2 == 1).all()
    assert counts.min() == 1
    assert counts.max() == 21
    half = np.array([[0, 0], [-32, -32], [32, 32], [-32, 32], [32, -32]])
    points = exposures.centres[:, None] + half
    homogeneous = np.concatenate([points, np.ones((200, 5, 1))], 2)
    moved = np.einsum("bnij,bpj->bnpi", exposures.homographies[0], homogeneous)
    moved = moved[..., :2] / moved[..., 2:]
    for row in np.flatnonzero(counts < 21):
        steps = np.linalg.norm(np.diff(moved[row, : counts[row]], axis=0), axis=-1)
        assert steps.max(initial=0.0) < 2.0 * 1.3  # a jolt may fall between two probes
        identity = exposures.homographies[0, row, counts[row] // 2]
        np.testing.assert_array_equal(identity, np.eye(3))
    fixed = MotionBlurOptions(frames=9, spacing=0)
    assert (draw_exposures(0, range(5), fixed, (64, 64)).counts == 9).all()


def test_over_exposure_raises_display_values_whatever_the_response() -> None:
    """The sharp picture is the crop times a factor, clipped: the same at every gamma."""
    sharp = []
    for gamma in (1.0, 2.2):
        options = MotionBlurOptions(
            gamma=(gamma, gamma),
            **STILL | QUIET | {"saturation_probability": 1.0},
            over_exposure=(1.25, 1.25),
            highlight_gain=(1.0, 1.0),
        )
        sharp.append(MotionBlur(Noise(), options, 30).batch(0, range(3), "cpu")["sharp"])
        margin = options.margin
    crops = Noise().crops(0, "motion/scene", range(3), 30 + 2 * margin)
    expected = (1.25 * crops[..., margin:-margin, margin:-margin]).clamp(max=1)
    for pictures in sharp:
        assert (pictures - expected).abs().max() <= 0.5 / 255 + 1e-4
    assert (sharp[0] == 1).float().mean() == pytest.approx(0.2, abs=0.03)


def test_what_is_over_exposed_stays_white_when_it_moves() -> None:
    """A light that fills half of an exposure, far above saturation, is still saturated."""
    display = np.full((3, 30, 60), 0.0)
    display[..., 30:] = 0.8
    offsets = np.stack([np.arange(-4.5, 5.0), np.zeros(10)], 1)
    shown = []
    for light_gain in (1.0, 4.0):
        exposure = replace(moved_by(offsets, 1.0), light_gain=np.array([light_gain]))
        shown.append(exposed(display, exposure, 10)[0][0, 5])
    assert (shown[0] == 1).sum() == 0
    assert (shown[1] == 1).sum() > (display[0, 5, 10:-10] > 0).sum()


@pytest.mark.parametrize("softness", [0.3, 0.7, 1.0])
def test_soft_optics_blur_light_on_both_sides(softness: float) -> None:
    display = np.random.default_rng(0).integers(0, 256, (3, 40, 50)) / 255
    exposure = replace(moved_by(np.zeros((1, 2))), softness=np.array([softness]))
    pair = exposed(display, exposure, 6)
    light = gaussian_filter(display**2.2, (0, softness, softness), radius=(0, 3, 3), mode="mirror")
    for picture in pair:
        expected = light[:, 6:-6, 6:-6] ** (1 / 2.2)
        assert np.abs(picture - expected).max() <= 0.5 / 255 + 1e-4


def test_soft_samples_are_drawn_and_come_from_jpeg_files() -> None:
    options = MotionBlurOptions(
        **STILL | QUIET | {"soft_probability": 0.5}, softness=(0.0, 0.0), quality=(20, 60)
    )
    source = MotionBlur(Noise(), options, 32)
    pair, margin = source.batch(0, range(40), "cpu"), options.margin
    crops = Noise().crops(0, "motion/scene", range(40), 32 + 2 * margin)
    crops = crops[..., margin:-margin, margin:-margin]
    quality = draw_exposures(0, range(40), options, (32, 32)).quality
    assert 10 < (quality > 0).sum() < 30
    assert set(quality) - {0} <= set(range(20, 61))
    for row in range(40):
        expected = crops[row]
        if quality[row]:
            expected = jpeg(crops[row : row + 1], [int(quality[row])])[0]
            assert (expected - crops[row]).abs().mean() > 0.02
        for picture in (pair["blurred"][row], pair["sharp"][row]):
            torch.testing.assert_close(picture, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_a_cameras_pipeline_keeps_grey_and_adds_noise_to_one_side(gamma: float) -> None:
    """The sensor's, spread by demosaicing, and stronger in the colours that are amplified."""
    noise = {"read_noise": (0.01, 0.01), "quality": (100, 100), "gamma": (gamma, gamma)}
    options = MotionBlurOptions(**STILL | QUIET | noise, pipeline=True)
    pair = MotionBlur(Noise(150), options, 64).batch(0, range(4), "cpu")
    grey = torch.full_like(pair["sharp"], 150 / 255)
    torch.testing.assert_close(pair["sharp"], grey, rtol=0, atol=1.1 / 255)
    assert (pair["blurred"] - grey).mean().abs() < 3e-3
    red, green, blue = (pair["blurred"] - grey).std((0, 2, 3))
    assert min(red, blue) > green > 0.003
    row = pair["blurred"][:, 1] - 150 / 255
    assert (row[..., 1:] * row[..., :-1]).mean() > 0.1 * row.square().mean()  # no longer white


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_a_cameras_pipeline_changes_the_finest_detail_alone(gamma: float) -> None:
    photographs = Photographs(["astronaut"], [skimage.data.astronaut()])
    pictures = []
    for pipeline in (False, True):
        chosen = {"gamma": (gamma, gamma), "quality": (95, 95), "pipeline": pipeline}
        options = MotionBlurOptions(**STILL | QUIET | chosen)
        pair = MotionBlur(photographs, options, 200).batch(0, range(2), "cpu")
        pictures.append(pair["sharp"])
        assert torch.equal(pair["sharp"], pair["blurred"])
    error = (pictures[0] - pictures[1]).square().mean()
    assert 26 < -10 * error.log10() < 50
