"""Hand-held camera motion during one exposure, as a homography per sub-frame.

The camera photographs a plane parallel to its sensor, at distance d. With the pose in the middle
of the exposure as the reference, a point x of the middle frame (homogeneous pixels, origin at the
principal point) is seen at time s at

    x_s ~ K (R_s + t_s n^T / d) K^-1 x,      K = diag(f, f, 1),  n = (0, 0, 1),

R_s from the rotation vector (pitch, yaw, roll), t_s the translation (Whyte et al., "Non-uniform
deblurring for shaken images", CVPR 2010, eq. 2; Hartley & Zisserman, "Multiple view geometry",
eq. 13.2). A frame is *rendered* by looking up, for each of its pixels, the place in the middle
frame: by the inverse of that matrix.

Each of the six coordinates is a smooth random function of time: a Gaussian process with a
Gaussian spectrum (the hand's drift; by random Fourier features, Rahimi & Recht, NIPS 2007), a
band-limited tremor (the physiological tremor of a hand lies at 8-12 Hz) and, now and then, a jolt
(the shutter being pressed).
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from reblur.options import NonNegative, Options, Positive

COORDINATES = 6  # pitch, yaw, roll; translation in x, y, z
FEATURES = 4  # random Fourier features of one coordinate's drift
UNIFORM_DRAWS = 2 + COORDINATES * (FEATURES + 2)
NORMAL_DRAWS = COORDINATES * (2 * FEATURES + 2)
PROBES = 13  # instants at which a motion's extent and speed are measured


class HandMotion(Options):
    """What a hand does. How far it does it is set by the extent of the blur, not here.

    Attributes:
        drift_frequency: Hz, standard deviation of the drift's Gaussian spectrum.
        tremor: standard deviation of the tremor's displacement, relative to the drift's.
        tremor_band: Hz, lowest and highest.
        jolt_probability: chance of a jolt within an exposure.
        jolt: standard deviation of a jolt's displacement, relative to the drift's.
        jolt_duration: seconds, of the smooth step that a jolt is.
        roll: angle of roll relative to those of pitch and yaw.
        translation: displacement by translation in x and y relative to that by pitch and yaw.
        depth: translation along the optical axis relative to that in x and y.
    """

    drift_frequency: NonNegative = 1.0
    tremor: NonNegative = 0.12
    tremor_band: tuple[NonNegative, NonNegative] = (8.0, 12.0)
    jolt_probability: NonNegative = 0.1
    jolt: NonNegative = 0.3
    jolt_duration: Positive = 0.015
    roll: NonNegative = 1.0
    translation: NonNegative = 0.3
    depth: NonNegative = 0.5


@dataclass(frozen=True)
class Trajectories:
    """Camera motions of a batch, functions of the time from the middle of the exposure.

    Attributes:
        uniform, normal: U(0, 1) and N(0, 1), `UNIFORM_DRAWS` and `NORMAL_DRAWS` a sample.
        exposure: seconds.
        focal_length: pixels.
        hand: relative sizes and frequencies.
        size: the factor on what `hand` says (radians; units of the plane's distance).
        speed: pixels a second, at the fastest of the points given to `scaled`.
    """

    uniform: Float[np.ndarray, "b uniform"]
    normal: Float[np.ndarray, "b normal"]
    exposure: Float[np.ndarray, " b"]
    focal_length: Float[np.ndarray, " b"]
    hand: HandMotion
    size: Float[np.ndarray, " b"] | float = 1.0
    speed: Float[np.ndarray, " b"] | float = 0.0

    def coordinates(self, times: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b n 6"]:
        """Pitch, yaw, roll (radians) and translation in x, y, z (units of the plane's distance);
        zero at time 0."""
        hand, samples = self.hand, len(times)
        uniform = self.uniform[:, 2:].reshape(samples, COORDINATES, -1)
        place, phase = uniform[..., :1], 2 * np.pi * uniform[..., 1:]
        frequency, amplitude, tremor, jolt = np.split(
            self.normal.reshape(samples, COORDINATES, -1),
            [FEATURES, 2 * FEATURES, 2 * FEATURES + 1],
            axis=2,
        )
        low, high = hand.tremor_band
        frequency = np.concatenate(
            [hand.drift_frequency * frequency, low + (high - low) * place], axis=2
        )
        amplitude = np.concatenate(
            [np.sqrt(2 / FEATURES) * amplitude, np.sqrt(2) * hand.tremor * tremor], axis=2
        )
        angle = 2 * np.pi * times[:, :, None, None] * frequency[:, None]  # (b, n, 6, features)
        waves = np.sin(angle + phase[:, None]) - np.sin(phase[:, None])
        path = (amplitude[:, None] * waves).sum(3)

        jolted = self.uniform[:, :1] < hand.jolt_probability
        start = (self.uniform[:, 1:2] - 0.5) * self.exposure[:, None]
        step = _smooth_step((times - start) / hand.jolt_duration)
        step = (step - _smooth_step(-start / hand.jolt_duration)) * jolted
        path += step[:, :, None] * hand.jolt * jolt[:, None, :, 0]

        shift = hand.translation
        relative = np.array([1, 1, hand.roll, shift, shift, shift * hand.depth])
        return path * relative * np.reshape(self.size, (-1, 1, 1))

    def homographies(self, times: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b n 3 3"]:
        """Where a pixel (x, y, 1) of the frame at a time lies in the middle frame, the origin at
        the principal point."""
        return self._homographies(self.coordinates(times))

    def _homographies(self, coordinates: np.ndarray) -> np.ndarray:
        rotation, shift = rotations(coordinates[..., :3]), coordinates[..., 3:, None]
        # the inverse of R + t n^T / d, by Sherman and Morrison; n^T R^T is R's last column
        back, axis = rotation.swapaxes(-1, -2), rotation[..., None, :, 2]
        matrices = back - (back @ shift) * axis / (1 + axis @ shift)
        matrices[..., :2, 2] *= self.focal_length[:, None, None]
        matrices[..., 2, :2] /= self.focal_length[:, None, None]
        return matrices / matrices[..., 2:, 2:]

    def scaled(
        self, points: Float[np.ndarray, "b p 2"], extent: Float[np.ndarray, " b"]
    ) -> "Trajectories":
        """The same motions, of the size at which the blur of `points` is `extent` pixels long:
        the largest distance between two positions of one point within an exposure.

        Size and length are proportional for the small angles of an exposure, so one probe, at a
        length of a few pixels, is enough.
        """
        coordinates = self.coordinates(self.exposure[:, None] * np.linspace(-0.5, 0.5, PROBES))
        largest = np.abs(coordinates).max((1, 2))
        small = 1 / (self.focal_length * np.maximum(largest, 1e-9))
        probe = self._homographies(coordinates * small[:, None, None])
        x, y = np.moveaxis(transform(probe, points), -1, 0)  # (b, n, p)
        apart = (x[:, :, None] - x[:, None]) ** 2 + (y[:, :, None] - y[:, None]) ** 2
        step = np.sqrt(np.diagonal(apart, offset=1, axis1=1, axis2=2).max((1, 2)))
        factor = extent / np.maximum(np.sqrt(apart.max((1, 2, 3))), 1e-9)
        speed = factor * step * (PROBES - 1) / self.exposure
        return replace(self, size=self.size * small * factor, speed=speed)


def _smooth_step(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """0 before 0, 1 after 1, 3x² - 2x³ between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def rotations(vectors: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3 3"]:
    """Rotation matrices of rotation vectors (radians), by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    # sin(a) / a and (1 - cos(a)) / a², both smooth through a = 0
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + first * cross + second * (cross @ cross)


def transform(
    matrices: Float[np.ndarray, "b n 3 3"], points: Float[np.ndarray, "b p 2"]
) -> Float[np.ndarray, "b n p 2"]:
    """Points (x, y) through homographies."""
    homogeneous = np.concatenate([points, np.ones_like(points[..., :1])], -1)
    mapped = np.einsum("bnij,bpj->bnpi", matrices, homogeneous)
    return mapped[..., :2] / mapped[..., 2:]
