"""Depth for thin-lens synthesis: measured for a few scenes, drawn at random for any photograph.

Every map here is one of **inverse depth** 1/Z in 1/m: the circle of confusion is affine in it,
infinity is 0, and a plane in space, however slanted, is affine in the picture's coordinates.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from pydantic import NonNegativeInt, model_validator
from torch import Tensor

from reblur.errors import ReblurError
from reblur.options import Options, Positive, Share
from reblur.randomness import numpy_generator

InverseDepth = Float32[np.ndarray, "h w"]

LARGEST_MISSING_SHARE = 0.5


def from_disparity(
    disparity: Float[np.ndarray, "h w"],
    focal_length_px: float,
    baseline_m: float,
    offset_px: float = 0.0,
    name: str = "disparity",
) -> InverseDepth:
    """Inverse depth (d + offset) / (f · B) of a rectified stereo pair.

    Args:
        disparity: pixels; zero, negative, infinite and NaN values mean 'not measured', as in the
            maps of Middlebury and KITTI, and are filled (`fill_missing`).
        focal_length_px: f, in pixels of this map.
        baseline_m: B, the distance of the two cameras.
        offset_px: difference of the principal points' x (`doffs` in Middlebury's calibration).

    Raises:
        ReblurError: more than half of the map is missing.
    """
    missing = ~(np.isfinite(disparity) & (disparity > 0))
    known = np.where(missing, 0.0, disparity)
    return fill_missing((known + offset_px) / (focal_length_px * baseline_m), missing, name)


def fill_missing(
    inverse_depth: Float[np.ndarray, "h w"], missing: Bool[np.ndarray, "h w"], name: str
) -> InverseDepth:
    """Give each missing pixel the *farther* of the nearest known ones to its left and right (what
    a stereo camera misses is mostly background beside an object); a row without any takes that of
    the nearest row above, else below.

    Raises:
        ReblurError: more than half of the map is missing.
    """
    share = float(missing.mean())
    if share > LARGEST_MISSING_SHARE:
        raise ReblurError(
            f"{name}: {share:.0%} of the depth is missing (not a number, zero, or infinite); give "
            f"a map of which at least {1 - LARGEST_MISSING_SHARE:.0%} is known."
        )
    height, width = missing.shape
    column, row = np.arange(width), np.arange(height)
    left = np.maximum.accumulate(np.where(missing, -1, column), axis=1)
    right = np.minimum.accumulate(np.where(missing, width, column)[:, ::-1], axis=1)[:, ::-1]
    unknown = np.inf  # loses in the minimum below
    value_left = np.where(
        left >= 0, np.take_along_axis(inverse_depth, left.clip(0), axis=1), unknown
    )
    value_right = np.where(
        right < width,
        np.take_along_axis(inverse_depth, right.clip(max=width - 1), axis=1),
        unknown,
    )
    filled = np.where(missing, np.minimum(value_left, value_right), inverse_depth)
    empty = missing.all(axis=1)
    above = np.maximum.accumulate(np.where(empty, -1, row))
    source = np.where(above >= 0, above, int(np.argmin(empty)))
    return filled[source].astype(np.float32)


class LayeredDepth(Options):
    """A random scene: a slanted background and objects in front of it.

    Depths are drawn uniformly in 1/Z. Objects are star-shaped outlines (radius as a random Fourier
    series of the angle) or, three times in ten, everything beyond a straight edge, such as a wall
    or a table; each is a slanted plane nearer than the background. At a hard edge the depth jumps;
    at a soft edge it rises smoothly over up to an eighth of the picture, as on rounded things.
    The scene knows nothing of the photograph: edges of depth do not follow edges of the picture.

    Attributes:
        nearest_m, farthest_m: bounds of Z in metres.
        objects: fewest and most objects.
        soft_edges: share of the objects that have a soft edge.
    """

    nearest_m: Positive = 1.0
    farthest_m: Positive = 10.0
    objects: tuple[NonNegativeInt, NonNegativeInt] = (1, 5)
    soft_edges: Share = 0.3

    @model_validator(mode="after")
    def _fits_together(self) -> "LayeredDepth":
        if self.nearest_m >= self.farthest_m:
            raise ValueError(
                f"nearest_m is {self.nearest_m:g} and farthest_m {self.farthest_m:g}; the nearer "
                "must be less."
            )
        if self.objects[0] > self.objects[1]:
            raise ValueError(f"objects are {list(self.objects)}; write them as [fewest, most].")
        return self

    def draw(
        self,
        seed: int,
        stream: str,
        indices: Sequence[int],
        height: int,
        width: int,
        device: torch.device | str = "cpu",
    ) -> Float[Tensor, "b h w"]:
        """Inverse depth in 1/m; scene i is a function of (seed, stream, i) alone."""
        draws = [self._parameters(numpy_generator(seed, stream, i)) for i in indices]
        most = self.objects[1]
        background = torch.tensor([d[0] for d in draws], device=device)  # (b, 3)
        objects = torch.tensor([d[1] for d in draws], device=device).reshape(
            len(draws), most, PARAMETERS
        )
        half = max(height, width) / 2
        y = (torch.arange(height, device=device) + 0.5 - height / 2)[:, None] / half
        x = (torch.arange(width, device=device) + 0.5 - width / 2)[None] / half
        low, high = 1 / self.farthest_m, 1 / self.nearest_m
        scene = _plane(background, x, y).clamp(low, high)
        for n in range(most):
            inside = _inside(objects[:, n], x, y)
            surface = _plane(objects[:, n, :3], x, y).clamp(low, high)
            softness = objects[:, n, 3, None, None]
            ramp = (inside / softness.clamp(min=1e-6)).clamp(0, 1)
            share = torch.where(softness > 0, ramp * ramp * (3 - 2 * ramp), (inside > 0).float())
            scene = scene + share * (surface - scene).clamp(min=0)
        return scene

    def _parameters(self, generator: np.random.Generator) -> tuple[list[float], list[list[float]]]:
        low, high = 1 / self.farthest_m, 1 / self.nearest_m
        spread = high - low
        uniform = generator.uniform
        back = float(low + spread * uniform(0, 0.4))
        background = [back, *(spread * uniform(-0.25, 0.25, 2)).tolist()]
        rows = []
        count = generator.integers(self.objects[0], self.objects[1] + 1)
        for n in range(self.objects[1]):
            # Every object draws the same numbers, used or not.
            depth = back + (high - back) * uniform(0.15, 1)
            slant = spread * uniform(-0.25, 0.25, 2)
            soft = uniform(0.02, 0.25) * (uniform() < self.soft_edges)
            straight = uniform() < 0.3
            centre = uniform(-0.8, 0.8, 2)
            size, angle = uniform(0.15, 0.6), uniform(0, 2 * math.pi)
            elongation = 2 ** uniform(-0.7, 0.7)
            waves = uniform(-0.12, 0.12, 2 * WAVES)
            if n >= count:
                size, straight = -9.0, False  # nowhere
            rows.append(
                [depth, *slant, soft, float(straight), *centre, size, angle, elongation, *waves]
            )
        rows.sort()  # by inverse depth: the nearest is painted last
        return background, [[float(v) for v in row] for row in rows]


WAVES = 4  # of an outline: 2, 3, 4, 5 a turn
PARAMETERS = 10 + 2 * WAVES


def _plane(
    coefficients: Float[Tensor, "b 3"], x: Float[Tensor, "1 w"], y: Float[Tensor, "h 1"]
) -> Float[Tensor, "b h w"]:
    middle, slope_x, slope_y = coefficients[:, :, None, None].unbind(1)
    return middle + slope_x * x + slope_y * y


def _inside(
    parameters: Float[Tensor, "b p"], x: Float[Tensor, "1 w"], y: Float[Tensor, "h 1"]
) -> Float[Tensor, "b h w"]:
    """Distance into the object (roughly), negative outside, in units of half the picture."""
    straight, cx, cy, size, angle, elongation = parameters[:, 4:10, None, None].unbind(1)
    cosine, sine = angle.cos(), angle.sin()
    along = (x - cx) * cosine + (y - cy) * sine
    across = (y - cy) * cosine - (x - cx) * sine
    u, v = along / elongation, across * elongation
    theta = torch.atan2(v, u)
    outline = torch.ones_like(theta)
    for n in range(WAVES):
        a, b = parameters[:, 10 + 2 * n : 12 + 2 * n, None, None].unbind(1)
        outline = outline + a * (theta * (n + 2)).cos() + b * (theta * (n + 2)).sin()
    return torch.where(straight > 0, along, size * outline - torch.hypot(u, v))
