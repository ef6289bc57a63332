"""What may be chosen of the motion blur simulator: its camera, its motion and its scenes."""

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field, PositiveInt

from reblur.datasets.motion.trajectories import HandMotion
from reblur.options import (
    GainRange,
    NonNegative,
    Options,
    PositiveRange,
    Range,
    Share,
    both_ends,
)

MAX_LAYERS = 2
SOFT_REACH = 3  # pixels, of the optics' blur
MOSAIC_REACH = 2  # pixels, of the filters that give a pixel under a mosaic its three colours


Quality = Annotated[int, Field(ge=1, le=100)]  # of JPEG


def _odd(frames: int) -> int:
    if frames % 2 == 0:
        raise ValueError(f"{frames} sub-frames have none in the middle; give an odd number.")
    return frames


class MotionBlurOptions(Options):
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
    exposure: PositiveRange = (0.03, 0.2)
    focal_length: PositiveRange = (900.0, 1800.0)
    sensor: tuple[PositiveInt, PositiveInt] = (1280, 720)
    hand: HandMotion = HandMotion()
    frames: Annotated[PositiveInt, AfterValidator(_odd)] = 33
    spacing: NonNegative = 2.0
    gamma: PositiveRange = (1.0, 2.2)
    layer_probability: Share = 0.3
    layers: Annotated[int, Field(ge=0, le=MAX_LAYERS)] = 2
    layer_extent: Range = (2.0, 20.0)
    layer_size: Range = (0.1, 0.35)
    saturation_probability: Share = 0.5
    over_exposure: GainRange = (1.0, 1.3)
    highlight_gain: GainRange = (1.5, 6.0)
    soft_probability: Share = 0.5
    softness: Annotated[tuple[Share, Share] | Share, AfterValidator(both_ends)] = (0.3, 0.7)
    quality: Annotated[tuple[Quality, Quality] | Quality, AfterValidator(both_ends)] = (75, 95)
    shot_noise: Range = (0.0, 4e-4)
    read_noise: Range = (0.0, 3e-4)
    pipeline: bool = False

    @property
    def margin(self) -> int:
        """Pixels around a crop that a camera may see within an exposure, with soft optics and a
        pipeline or without, so that sample i has the same scene in either."""
        return int(np.ceil(self.extent[1])) + 1 + SOFT_REACH + MOSAIC_REACH
