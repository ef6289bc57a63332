"""What is random about an exposure: the camera, its motion, the things that move before it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from reblur.datasets.motion.options import MAX_LAYERS, MotionBlurOptions
from reblur.datasets.motion.trajectories import (
    NORMAL_DRAWS,
    UNIFORM_DRAWS,
    HandMotion,
    Trajectories,
    transform,
)
from reblur.options import Number
from reblur.randomness import numpy_generator

OUTLINE_WAVES = 4  # waves around the outline of a moving thing: 2, 3, 4, 5 a turn
SCALARS = 17  # uniform draws of the camera, or of a moving thing, beside those of its motion
# white balance: gains of red and of blue (Rim et al., ECCV 2022)
BALANCE = (1.9, 2.4), (1.5, 1.9)
CORNERS = np.array([[0, 0], [-1, -1], [-1, 1], [1, -1], [1, 1]])
OBJECT_MOTION = HandMotion(drift_frequency=0.5, tremor=0.0, jolt_probability=0.0, translation=1.0)


@dataclass(frozen=True)
class Exposures:
    """The exposures of a batch.

    Attributes:
        homographies: the camera's, then each layer's: from pixels (x, y, 1) of sub-frame k to
            pixels of the middle frame, the origin at the principal point.
        counts: sub-frames in use; the middle one of them is the identity.
        centres: of the crops, (x, y) from the principal point.
        layers: moving things in use.
        outlines: of each moving thing, as `silhouette` takes them.
        gamma, highlight_gain, shot, read: the camera's.
        light_gain: factor of all linear light.
        softness: of the optics, standard deviation in pixels; 0: none.
        quality: of the JPEG; 0: none.
        balance: gains of red and of blue in the camera's pipeline; 0: there is none.
    """

    homographies: Float[np.ndarray, "_ b n 3 3"]
    counts: Int[np.ndarray, " b"]
    centres: Float[np.ndarray, "b 2"]
    layers: Int[np.ndarray, " b"]
    outlines: Float[np.ndarray, "b _ _"]
    gamma: Float[np.ndarray, " b"]
    highlight_gain: Float[np.ndarray, " b"]
    shot: Float[np.ndarray, " b"]
    read: Float[np.ndarray, " b"]
    light_gain: Float[np.ndarray, " b"]
    softness: Float[np.ndarray, " b"]
    quality: Int[np.ndarray, " b"]
    balance: Float[np.ndarray, "b 2"]

    def rows(self, rows: Int[np.ndarray, " r"]) -> "Exposures":
        """These samples alone, with as many layers as the first of them has."""
        values = {each.name: getattr(self, each.name)[rows] for each in fields(self)[1:]}
        return Exposures(self.homographies[: 1 + self.layers[rows[0]], rows], **values)

    def between_pixels(
        self, origins: Float[np.ndarray, "b 2"], margin: int
    ) -> Float[np.ndarray, "_ b n 3 3"]:
        """The homographies, from pixels of pictures whose top left is `origins` (x, y, from the
        principal point) to pixels of layers that are `margin` larger on every side."""
        matrices = self.homographies.copy()
        to_corner = (margin - origins)[:, None, :, None]
        matrices[..., 2] += (matrices[..., :2] * origins[:, None, None]).sum(-1)
        matrices[..., :2, :] += to_corner * matrices[..., 2:, :]
        return matrices


def draw_exposures(
    seed: int,
    indices: Sequence[int],
    options: MotionBlurOptions,
    size: tuple[int, int],
    whole: bool = False,
) -> Exposures:
    """The exposures of samples (seed, i). One sample's does not depend on the others.

    Args:
        size: height and width of the pictures.
        whole: these are whole photographs, the principal point is in their middle.
    """
    generators = [numpy_generator(seed, "motion", i) for i in indices]
    parts = 1 + MAX_LAYERS  # the camera and the things
    uniform = np.stack([g.random((parts, SCALARS + UNIFORM_DRAWS)) for g in generators], 1)
    normal = np.stack(
        [g.standard_normal((parts, 2 * OUTLINE_WAVES + NORMAL_DRAWS)) for g in generators], 1
    )
    draws = iter(uniform[0, :, :SCALARS].T)

    def within(bounds: tuple[Number, Number]) -> np.ndarray:
        return _within(bounds, next(draws))

    exposure, focal_length = within(options.exposure), within(options.focal_length)
    extent, gamma = within(options.extent), within(options.gamma)
    shot, read = within(options.shot_noise), within(options.read_noise)
    highlight_gain, over_exposure = within(options.highlight_gain), within(options.over_exposure)
    saturated = next(draws) < options.saturation_probability
    soft = next(draws) < options.soft_probability
    softness, low_high = within(options.softness), (options.quality[0], options.quality[1] + 1)
    quality = np.floor(within(low_high)).astype(int)
    share = next(draws) / max(options.layer_probability, 1e-9)
    layers = np.where(share < 1, 1 + np.floor(share * options.layers), 0).astype(int)
    layers = np.minimum(layers, options.layers)

    half = np.array(size[::-1]) / 2
    room = np.maximum(np.array(options.sensor) / 2 - half, 0) * (not whole)
    centres = (2 * np.stack([next(draws), next(draws)], 1) - 1) * room
    outlines = np.stack(
        [_outlines(uniform[i], normal[i], centres, half, options) for i in range(1, parts)], 1
    )

    moving = []  # the camera, then the things
    for i in range(1 + layers.max(initial=0)):
        around = centres[:, None] + half * CORNERS
        if i > 0:
            extent = _within(options.layer_extent, uniform[i, :, 0])
            around = outlines[:, i - 1, None, :2] + outlines[:, i - 1, None, 2:3] * CORNERS
        hand = OBJECT_MOTION if i > 0 else options.hand
        own = uniform[i, :, SCALARS:], normal[i, :, 2 * OUTLINE_WAVES :]
        moving.append(Trajectories(*own, exposure, focal_length, hand).scaled(around, extent))

    fastest = moving[0].speed + np.max(
        [t.speed * (i < layers) for i, t in enumerate(moving[1:])], axis=0, initial=0.0
    )
    counts = _frame_counts(fastest * exposure, options)
    k = np.minimum(np.arange(counts.max()), counts[:, None] - 1)
    times = exposure[:, None] * ((k + 0.5) / counts[:, None] - 0.5)
    cameras, *things = (t.homographies(times) for t in moving)
    return Exposures(
        np.stack([cameras, *(thing @ cameras for thing in things)]),
        counts,
        centres,
        layers,
        outlines,
        gamma,
        np.where(saturated, highlight_gain, 1.0),
        shot,
        read,
        np.where(saturated, over_exposure**gamma, 1.0),
        softness * soft,
        quality * (soft | options.pipeline),
        np.stack([within(bounds) for bounds in BALANCE], 1) * options.pipeline,
    )


def blur_lengths(exposures: Exposures, size: tuple[int, int]) -> Float[np.ndarray, " b"]:
    """How long the camera's motion is in each picture of height and width `size`, in pixels: the
    largest distance between two positions of its middle or of a corner within the exposure."""
    points = exposures.centres[:, None] + np.array(size[::-1]) / 2 * CORNERS
    paths = transform(exposures.homographies[0], points)  # (b, n, p, 2)
    return np.linalg.norm(paths[:, :, None] - paths[:, None], axis=-1).max((1, 2, 3))


def _within(bounds: tuple[Number, Number], draw: np.ndarray) -> np.ndarray:
    return bounds[0] + (bounds[1] - bounds[0]) * draw


def _outlines(
    uniform: np.ndarray,
    normal: np.ndarray,
    centres: np.ndarray,
    half: np.ndarray,
    options: MotionBlurOptions,
) -> np.ndarray:
    """Rows of `Exposures.outlines`: a thing lies anywhere in the crop, partly outside or not."""
    places = centres + (2 * uniform[:, 1:3] - 1) * half
    radius = _within(options.layer_size, uniform[:, 3]) * 2 * half.min()
    softness = _within((0.5, 2.5), uniform[:, 4])
    waves = 0.2 * normal[:, : 2 * OUTLINE_WAVES] / np.arange(2, 2 + OUTLINE_WAVES).repeat(2)
    return np.column_stack([places, radius, softness, waves])


def silhouette(outline: Any, x: Any, y: Any, exp: Callable[[Any], Any]) -> Any:
    """Opacity in [0, 1] at pixels (x, y) of a thing with a soft edge: a disc whose logarithmic
    radius waves around it.

    Arrays of NumPy or of torch, that broadcast.

    Args:
        outline: x, y of its middle, radius, softness of its edge (pixels); then the cosine and
            the sine amplitudes of 2, 3, ... waves a turn.
        exp: of the arrays' library.
    """
    middle_x, middle_y, radius, softness, *waves = outline
    place = (x - middle_x) + 1j * (y - middle_y)
    distance = abs(place)
    turn = place / (distance + 1e-6)  # exp(i angle): its powers are the waves, without any sine
    total = 0.0
    for cosine, sine in zip(waves[-2::-2], waves[::-2], strict=True):
        total = total * turn + (cosine - 1j * sine)
    total = (total * turn * turn).real
    return ((radius * exp(total) - distance) / softness + 0.5).clip(0, 1)


def _frame_counts(lengths: np.ndarray, options: MotionBlurOptions) -> np.ndarray:
    """The smallest odd numbers of sub-frames that cut `lengths` (pixels an exposure, at the
    fastest) into pieces no longer than `spacing`, at most `frames`."""
    if options.spacing == 0:
        return np.full(len(lengths), options.frames)
    needed = np.minimum(np.ceil(lengths / options.spacing), options.frames).astype(int)
    return np.minimum(needed + (needed % 2 == 0), options.frames)
