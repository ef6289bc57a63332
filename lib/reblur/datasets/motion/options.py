"""What may be chosen of the motion blur simulator: its camera, its motion and its scenes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from reblur.datasets.motion.trajectories import HandMotion
from reblur.errors import ReblurError

Range = tuple[float | int, float | int]

MAX_LAYERS = 2
SOFT_REACH = 3  # pixels, of the optics' blur
MOSAIC_REACH = 2  # pixels, of the filters that give a pixel under a mosaic its three colours


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
