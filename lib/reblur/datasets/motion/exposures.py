"""What is random about an exposure: the camera, its motion, the things that move before it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from reblur.datasets.motion.trajectories import (
    NORMAL_DRAWS,
    UNIFORM_DRAWS,
    HandMotion,
    Trajectories,
)
from reblur.errors import ReblurError
from reblur.randomness import numpy_generator

Range = tuple[float | int, float | int]

MAX_LAYERS = 2
OUTLINE_WAVES = 4  # waves around the outline of a moving thing: 2, 3, 4, 5 a turn
SCALARS = 17  # uniform draws of the camera, or of a moving thing, beside those of its motion
SOFT_REACH = 3  # pixels, of the optics' blur
MOSAIC_REACH = 2  # pixels, of the filters that give a pixel under a mosaic its three colours
# white balance: gains of red and of blue (Rim et al., ECCV 2022)
BALANCE = (1.9, 2.4), (1.5, 1.9)
CORNERS = np.array([[0, 0], [-1, -1], [-1, 1], [1, -1], [1, 1]])
OBJECT_MOTION = HandMotion(drift_frequency=0.5, tremor=0.0, jolt_probability=0.0, translation=1.0)


@dataclass(frozen=True)
class MotionBlurOptions:
    """The camera, its motion and the scene. A pair [low, high] is a range drawn from uniformly
    for each sample; a single number in its place is both ends.

    The defaults make blur about as strong as GoPro's on photographs of 1280×720 pixels. On
    photographs that were made smaller, and on crops far smaller than 256², make `extent`,
    `layer_extent` and `sensor` smaller in proportion.

    Attributes:
        extent: length of the blur that the camera's motion makes, in pixels: the largest distance
            between two positions, within an exposure, of any corner or the middle of the crop.
        exposure: seconds that the shutter is open. It sets how bent a trajectory is (a longer one
            has more periods of the tremor), not how long.
        focal_length: pixels; (picture's width) · (35-mm equivalent) / 36.
        sensor: width and height of the whole picture, in pixels, in which a crop lies anywhere.
        hand: how a hand moves.
        frames: most sub-frames of an exposure; odd, so that there is a middle one.
        spacing: pixels. A motion takes the smallest odd number of sub-frames that leaves
            neighbours no further apart, up to `frames`; 0: always `frames`.
        gamma: of the camera's response. 1 averages display values (as GoPro's `blur`), 2.2 light
            (its `blur_gamma`).
        layer_probability: chance that things move in front of the scene.
        layers: most moving things of such a sample, at most 2.
        layer_extent: pixels that such a thing moves relative to the scene within an exposure.
        layer_size: its radius relative to the crop's shorter side.
        saturation_probability: chance that a sample is over-exposed. The defaults saturate a
            channel of some 8 % of the pixels of daylight photographs, as in GoPro's sharp frames.
        over_exposure: by what factor of display values, at any gamma: the sharp picture clips at
            1 what the exposure averages unclipped.
        highlight_gain: factor of linear light by which near-white pixels of such a sample are
            brighter than the photograph could say.
        soft_probability: chance that both pictures are as soft as a frame of a video.
        softness: standard deviation, in pixels of at most 1, of such a sample's optics: a Gaussian
            blur of linear light, before the motion.
        quality: of such a sample's JPEG, 1 to 100.
        shot_noise: variance of the noise per unit of linear light (saturation = 1).
        read_noise: standard deviation of the noise in the dark, in linear light.
        pipeline: whether pictures go through a whole camera (`camera.develop`): the noise is that
            of a sensor under a colour mosaic, and both sides come from JPEG files of `quality`.
    """

    extent: Range = (2.0, 24.0)
    exposure: Range = (0.03, 0.2)
    focal_length: Range = (900.0, 1800.0)
    sensor: tuple[int, int] = (1280, 720)
    hand: HandMotion = field(default_factory=HandMotion)
    frames: int = 33
    spacing: float | int = 2.0
    gamma: Range = (1.0, 2.2)
    layer_probability: float | int = 0.3
    layers: int = 2
    layer_extent: Range = (2.0, 20.0)
    layer_size: Range = (0.1, 0.35)
    saturation_probability: float | int = 0.5
    over_exposure: Range = (1.0, 1.3)
    highlight_gain: Range = (1.5, 6.0)
    soft_probability: float | int = 0.5
    softness: Range = (0.3, 0.7)
    quality: tuple[int, int] = (75, 95)
    shot_noise: Range = (0.0, 4e-4)
    read_noise: Range = (0.0, 3e-4)
    pipeline: bool = False

    def __post_init__(self) -> None:
        for each in fields(self):
            if each.type is Range:
                low, high = getattr(self, each.name)
                _check(0 <= low <= high < np.inf, f"{each.name} must be [low, high], 0 or more")
        for name in ("exposure", "focal_length", "gamma"):
            _check(getattr(self, name)[0] > 0, f"{name} must be above 0")
        for name in ("over_exposure", "highlight_gain"):
            _check(getattr(self, name)[0] >= 1, f"{name} must be at least 1")
        _check(self.softness[1] <= 1, "softness must be 1 pixel at most")
        _check(
            1 <= self.quality[0] <= self.quality[1] <= 100,
            "quality must be [low, high], 1 to 100",
        )
        _check(min(self.sensor) > 0, "sensor must be two numbers of pixels above 0")
        _check(self.frames > 0 and self.frames % 2 == 1, "frames must be odd")
        _check(self.spacing >= 0, "spacing must be 0 or more")
        _check(0 <= self.layers <= MAX_LAYERS, f"layers must be 0 to {MAX_LAYERS}")
        for name in ("layer_probability", "saturation_probability", "soft_probability"):
            _check(0 <= getattr(self, name) <= 1, f"{name} must be within 0 and 1")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "MotionBlurOptions":
        """Options from a mapping as YAML has it (lists for ranges, a mapping for `hand`).

        Raises:
            ReblurError: an unknown name, or a value that cannot be.
        """
        return _from_dict(cls, values)

    @property
    def margin(self) -> int:
        """Pixels around a crop that a camera may see within an exposure, with soft optics and a
        pipeline or without, so that sample i has the same scene in either."""
        return int(np.ceil(self.extent[1])) + 1 + SOFT_REACH + MOSAIC_REACH


def _check(holds: bool, sentence: str) -> None:
    if not holds:
        raise ReblurError(f"motion blur: {sentence}; change it in the parameters.")


def _from_dict(cls: type, values: Mapping[str, Any]) -> Any:
    known = {each.name: each for each in fields(cls)}
    unknown = ", ".join(str(name) for name in values if name not in known)
    _check(not unknown, f"unknown option {unknown} (known: {', '.join(known)})")
    return cls(**{name: _converted(known[name], value) for name, value in values.items()})


def _converted(option: Any, value: Any) -> Any:
    if option.type is HandMotion:
        _check(isinstance(value, Mapping), f"{option.name} must be a mapping of options")
        return _from_dict(HandMotion, value)
    if option.type is bool:
        _check(isinstance(value, bool), f"{option.name} must be true or false")
        return value
    whole = option.type in (int, tuple[int, int])
    pair = option.type is not int and "tuple" in str(option.type)
    numbers = value if isinstance(value, list | tuple) else [value] * (1 + pair)
    fits = len(numbers) == 1 + pair and all(
        isinstance(v, int if whole else int | float) and not isinstance(v, bool) for v in numbers
    )
    _check(fits, f"{option.name} cannot be {value!r}")
    numbers = tuple(v if whole else float(v) for v in numbers)
    return numbers if pair else numbers[0]


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

    def within(bounds: Range) -> np.ndarray:
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


def _within(bounds: Range, draw: np.ndarray) -> np.ndarray:
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
