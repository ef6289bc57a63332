"""Camera trajectories: geometry against the formulas, time courses against what is declared."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from reblur.datasets.motion.trajectories import (
    NORMAL_DRAWS,
    UNIFORM_DRAWS,
    HandMotion,
    Trajectories,
    rotations,
    transform,
)

STILL = {"jolt_probability": 0.0, "tremor": 0.0}


def trajectories(
    seed: int, hand: HandMotion | None = None, samples: int = 4, exposure: float = 0.1
) -> Trajectories:
    rng = np.random.default_rng(seed)
    return Trajectories(
        rng.random((samples, UNIFORM_DRAWS)),
        rng.standard_normal((samples, NORMAL_DRAWS)),
        np.full(samples, exposure),
        np.full(samples, 1200.0),
        hand or HandMotion(),
    )


def instants(motion: Trajectories, number: int) -> np.ndarray:
    return motion.exposure[:, None] * np.linspace(-0.5, 0.5, number)


@settings(deadline=None)
@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3))
def test_rotations_equal_scipys(vector: list[float]) -> None:
    expected = Rotation.from_rotvec(vector).as_matrix()
    np.testing.assert_allclose(rotations(np.array([vector]))[0], expected, atol=1e-12)


def test_homographies_equal_the_formula() -> None:
    motion = trajectories(0)
    times = instants(motion, 7)
    coordinates = motion.coordinates(times)
    intrinsics = np.diag([1200.0, 1200.0, 1.0])
    for sample in range(4):
        for k in range(7):
            pose = Rotation.from_rotvec(coordinates[sample, k, :3]).as_matrix()
            pose[:, 2] += coordinates[sample, k, 3:]
            expected = np.linalg.inv(intrinsics @ pose @ np.linalg.inv(intrinsics))
            got = motion.homographies(times)[sample, k]
            np.testing.assert_allclose(got, expected / expected[2, 2], rtol=1e-9, atol=1e-9)


def test_the_middle_of_the_exposure_is_exactly_the_identity() -> None:
    middle = trajectories(1, samples=50).homographies(np.zeros((50, 1)))
    np.testing.assert_array_equal(middle, np.broadcast_to(np.eye(3), middle.shape))


def test_yaw_moves_the_picture_by_the_focal_length() -> None:
    """A turn by a small angle moves a distant picture by focal length times angle."""
    motion = trajectories(2, HandMotion(roll=0.0, translation=0.0))
    coordinates = motion.coordinates(instants(motion, 5)) * 1e-4
    moved = transform(motion._homographies(coordinates), np.zeros((4, 1, 2)))[:, :, 0]
    # the map looks back, from the moved picture to the middle one
    np.testing.assert_allclose(moved[..., 0], -1200 * coordinates[..., 1], atol=1e-4)
    np.testing.assert_allclose(moved[..., 1], 1200 * coordinates[..., 0], atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 60), st.floats(0.005, 0.5), st.floats(-600, 600))
def test_scaled_motion_has_its_extent(
    seed: int, extent: float, exposure: float, offset: float
) -> None:
    motion = trajectories(seed, HandMotion(jolt_probability=0.0), samples=2, exposure=exposure)
    points = np.array([[[0, 0], [-100, -80], [100, 80]]]).repeat(2, 0) + offset
    motion = motion.scaled(points.astype(float), np.full(2, extent))
    positions = transform(motion.homographies(instants(motion, 201)), points.astype(float))
    apart = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
    # thirteen probes miss the very tips of a long, trembling path
    assert (apart.max((1, 2, 3)) <= 1.2 * extent + 1e-6).all()
    assert (apart.max((1, 2, 3)) >= 0.97 * extent - 1e-6).all()
    assert np.isfinite(positions).all()


def test_speed_is_that_of_the_fastest_point() -> None:
    points = np.array([[[0.0, 0.0], [-100.0, -80.0], [100.0, 80.0]]]).repeat(20, 0)
    motion = trajectories(3, HandMotion(**STILL), 20).scaled(points, np.full(20, 10.0))
    positions = transform(motion.homographies(instants(motion, 101)), points)
    fastest = np.linalg.norm(np.diff(positions, axis=1), axis=-1).max((1, 2)) * 100 / 0.1
    np.testing.assert_allclose(motion.speed, fastest, rtol=0.1)


def spectrum(hand: HandMotion) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and mean power of the coordinates over ten seconds."""
    motion = trajectories(4, hand, samples=40, exposure=10.0)
    path = motion.coordinates(instants(motion, 2001)[:, :-1])[..., :3]
    path = (path - path.mean(1, keepdims=True)) * np.hanning(2000)[:, None]
    return np.fft.rfftfreq(2000, 0.005), (np.abs(np.fft.rfft(path, axis=1)) ** 2).mean((0, 2))


def test_tremor_lies_in_its_band() -> None:
    frequency, power = spectrum(HandMotion(drift_frequency=0.0, jolt_probability=0.0))
    inside = (frequency > 7.5) & (frequency < 12.5)
    assert power[inside].sum() > 0.99 * power.sum()


def test_drift_is_slow() -> None:
    frequency, power = spectrum(HandMotion(drift_frequency=1.0, **STILL))
    deviation = np.sqrt((power * frequency**2).sum() / power.sum())
    assert deviation == pytest.approx(1.0, rel=0.25)  # hertz, of a Gaussian spectrum about zero


def test_a_jolt_is_one_smooth_step() -> None:
    hand = HandMotion(drift_frequency=0.0, tremor=0.0, jolt_probability=1.0, jolt_duration=0.02)
    motion = trajectories(5, hand, samples=30, exposure=0.2)
    path = motion.coordinates(instants(motion, 401))[..., 0]
    steps = np.diff(path, axis=1)
    for row in steps:
        moving = np.flatnonzero(np.abs(row) > 1e-12)
        assert len(moving) <= 0.02 / 0.2 * 400 + 1
        assert len(moving) == 0 or (np.diff(moving) == 1).all()
        assert (row >= 0).all() or (row <= 0).all()
    assert np.abs(steps).max() > 0


def test_jolts_are_as_rare_as_declared() -> None:
    hand = HandMotion(drift_frequency=0.0, tremor=0.0, jolt_probability=0.25)
    motion = trajectories(6, hand, samples=2000, exposure=1.0)
    moved = np.ptp(motion.coordinates(instants(motion, 101))[..., 0], axis=1) > 1e-9
    assert moved.mean() == pytest.approx(0.25, abs=0.04)
