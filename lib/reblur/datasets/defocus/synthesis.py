"""Defocus triplets as they are asked for: blurred, sharp, and the true circle of confusion.

A scene (a photograph and a depth) is photographed by a thin lens, focused on a random point of it;
the sharp side may be misaligned under control.
"""

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from pydantic import AfterValidator, Field
from torch import Tensor

from reblur.datasets.defocus import misalignment
from reblur.datasets.defocus.depth import LayeredDepth
from reblur.datasets.defocus.scenes import DepthScenes
from reblur.datasets.defocus.thin_lens import Aperture, Lens, circle_of_confusion, defocus, margin
from reblur.datasets.images.files import to_tensor, to_uint8
from reblur.datasets.images.photographs import Photographs
from reblur.datasets.motion.camera import add_noise, decode, encode
from reblur.errors import ReblurError
from reblur.options import GainRange, NonNegative, Options, Positive, PositiveRange, Range, Share
from reblur.randomness import numpy_generator, torch_generator

#: How many blades an aperture can have: 0, a disc, or 5 and more.
Blades = Annotated[int, AfterValidator(lambda blades: Aperture(blades).blades)]

FARTHEST_FOCUS_M = 1000.0
SCENE = "defocus/scene"  # the stream that a sample's scene is drawn from


class DefocusOptions(Options):
    """The lens, the scene, the camera and the misalignment. A pair [low, high] is a range that each
    sample draws from uniformly; a single number in its place is both ends.

    Attributes:
        focal_length_mm: of the lens; drawn uniformly in its logarithm, as is `f_number`.
        f_number: focal length by diameter of the aperture.
        pixel_pitch_um: of the *photograph's* pixels; 36 is a 36 mm wide sensor in a photograph
            1000 pixels wide.
        max_coc: pixels. A sample whose largest circle of confusion would exceed it is stopped down
            (its f-number raised) until it does not.
        blades: shapes of the aperture, one drawn for each sample: 0 a disc, n ≥ 5 a polygon.
        scene: random depth of photographs that have none.
        gamma: of the camera's response, light = display value ^ gamma.
        saturation_probability: chance that near-white pixels are brighter than the photograph
            could say.
        highlight_gain: by what factor (of linear light).
        shot_noise: variance of the blurred picture's noise per unit of linear light.
        read_noise: its standard deviation in the dark, in linear light.
        misalignment_px: of the sharp side, root mean square in pixels.
        misalignment_kinds: of movement that it mixes (`misalignment.KINDS`).
    """

    focal_length_mm: PositiveRange = (35.0, 70.0)
    f_number: PositiveRange = (2.0, 11.0)
    pixel_pitch_um: Positive = 36.0
    max_coc: Positive = 14.0
    blades: Annotated[tuple[Blades, ...], Field(min_length=1)] = (0, 5, 6, 7, 8)
    scene: LayeredDepth = LayeredDepth()
    gamma: PositiveRange = (2.2, 2.2)
    saturation_probability: Share = 0.2
    highlight_gain: GainRange = (1.5, 6.0)
    shot_noise: Range = (0.0, 4e-4)
    read_noise: Range = (0.0, 3e-4)
    misalignment_px: NonNegative = 0.0
    misalignment_kinds: tuple[misalignment.Kind, ...] = misalignment.KINDS

    @property
    def border(self) -> int:
        """Pixels around a picture that defocus and misalignment may bring in."""
        return max(margin(self.max_coc), misalignment.margin(self.misalignment_px))


class DefocusPairs:
    """A source of training triplets.

    Photographs get a random layered depth (`options.scene`), `DepthScenes` have their own. Crops
    are taken with a border, so that what moves or is blurred into view is real.
    """

    def __init__(
        self, photographs: Photographs | DepthScenes, options: DefocusOptions, crop: int
    ) -> None:
        _check(crop >= 1, f"crop must be at least 1 pixel, not {crop}")
        self.photographs, self.options, self.crop = photographs, options, crop

    def photograph_of(self, seed: int, index: int) -> str:
        """The name of the photograph that is the scene of sample (seed, index)."""
        return self.photographs.photograph_of(seed, SCENE, index)

    def batch(
        self, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
    ) -> dict[str, Float[Tensor, "b _ h w"]]:
        """Samples (seed, i) as a dictionary of float32 pictures:

        - `blurred`, `sharp` (misaligned), `aligned` (what the lens saw, without defocus):
          (b, 3, crop, crop), display values in [0, 1] in 256 steps;
        - `flow`: (b, 2, crop, crop), pixels, sharp(x) = aligned(x + flow(x)) (`misalignment`);
        - `coc`: (b, 1, crop, crop), the signed diameter of the circle of confusion in pixels,
          on the grid of `aligned` and `blurred`.

        A sample depends on (seed, i) alone; on an accelerator its noise is that device's.
        """
        indices = [int(i) for i in indices]
        size = self.crop + 2 * self.options.border
        if isinstance(self.photographs, DepthScenes):
            photographs, depths = self.photographs.crops_with_depth(seed, SCENE, indices, size)
            depths = depths.to(device)
        else:
            photographs = self.photographs.crops(seed, SCENE, indices, size)
            depths = self.options.scene.draw(seed, "defocus/depth", indices, size, size, device)
        return _triplets(photographs.to(device), depths, self.options, seed, indices)


class Triplet(NamedTuple):
    """A whole photograph, defocused; fields as in `DefocusPairs.batch`."""

    blurred: UInt8[np.ndarray, "h w 3"]
    sharp: UInt8[np.ndarray, "h w 3"]
    aligned: UInt8[np.ndarray, "h w 3"]
    flow: Float32[np.ndarray, "2 h w"]
    coc: Float32[np.ndarray, "h w"]


def synthesise_triplet(
    photograph: UInt8[np.ndarray, "h w 3"],
    inverse_depth: Float32[np.ndarray, "_ _"],
    options: DefocusOptions,
    seed: int,
    index: int,
    device: torch.device | str = "cpu",
) -> Triplet:
    """A triplet of a whole photograph, for test sets: a function of (seed, index).

    The results lack `options.border` pixels on every side, for which there is no true content.

    Raises:
        ReblurError: the depth is of another size, or nothing would be left.
    """
    height, width, _ = photograph.shape
    if inverse_depth.shape != (height, width):
        raise ReblurError(
            f"defocus: the photograph has {width}×{height} pixels and its depth "
            f"{inverse_depth.shape[1]}×{inverse_depth.shape[0]}; give a depth for every pixel."
        )
    if min(height, width) <= 2 * options.border:
        raise ReblurError(
            f"defocus: a photograph of {width}×{height} pixels has none left inside a border of "
            f"{options.border}; take a larger one, or lower max_coc or misalignment."
        )
    picture = to_tensor(photograph)[None].to(device)
    depth = torch.from_numpy(inverse_depth)[None].to(device)
    made = _triplets(picture, depth, options, seed, [index])
    return Triplet(
        *(to_uint8(made[name][0]) for name in ("blurred", "sharp", "aligned")),
        made["flow"][0].cpu().numpy(),
        made["coc"][0, 0].cpu().numpy(),
    )


def _triplets(
    photographs: Float[Tensor, "b 3 h w"],
    inverse_depth: Float[Tensor, "b h w"],
    options: DefocusOptions,
    seed: int,
    indices: Sequence[int],
) -> dict[str, Float[Tensor, "b _ h2 w2"]]:
    """`DefocusPairs.batch` of pictures that have `options.border` more pixels on every side."""
    border, reach = options.border, margin(options.max_coc)
    draws = [_draw(options, numpy_generator(seed, "defocus/lens", i)) for i in indices]
    inner = _without(inverse_depth, border)
    height, width = inner.shape[-2:]
    rows = [min(int(draw.focus[0] * height), height - 1) for draw in draws]
    columns = [min(int(draw.focus[1] * width), width - 1) for draw in draws]
    focused = inner[range(len(draws)), rows, columns].clamp(min=1 / FARTHEST_FOCUS_M)
    lenses = [
        Lens(draw.focal_length_mm, draw.f_number, distance, options.pixel_pitch_um)
        for draw, distance in zip(draws, (1 / focused).tolist(), strict=True)
    ]
    coc = circle_of_confusion(_without(inverse_depth, border - reach), lenses)
    largest = coc.abs().amax((1, 2), keepdim=True)
    coc = coc * (options.max_coc / largest.clamp(min=options.max_coc))  # stopped down

    camera = photographs.new_tensor([draw.camera for draw in draws])[:, :, None, None, None]
    gamma, gain, shot, read = camera.unbind(1)
    light = decode(photographs, gamma, gain)
    apertures = [draw.aperture for draw in draws]
    seen = _without(light, border - reach)
    blurred = _without(defocus(seen, coc, apertures, options.max_coc), reach)
    if options.shot_noise[1] > 0 or options.read_noise[1] > 0:
        generators = [
            torch_generator(seed, "defocus/noise", i, device=light.device) for i in indices
        ]
        normal = [torch.randn(blurred.shape[1:], generator=g, device=g.device) for g in generators]
        blurred = add_noise(blurred, torch.stack(normal), shot, read)
    sharp = encode(light, gamma)
    flow = misalignment.random_flow(
        options.misalignment_px, options.misalignment_kinds, inner, seed, indices
    )
    return {
        "blurred": encode(blurred, gamma),
        "sharp": misalignment.displace(sharp, flow).mul(255).round().div(255),
        "aligned": _without(sharp, border),
        "flow": flow,
        "coc": _without(coc, reach)[:, None],
    }


class _Draw(NamedTuple):
    """What is random about one exposure; `focus` is a place in the picture, in [0, 1)."""

    focal_length_mm: float
    f_number: float
    focus: tuple[float, float]
    aperture: Aperture
    camera: tuple[float, float, float, float]  # gamma, highlight gain, shot and read noise


def _draw(options: DefocusOptions, generator: np.random.Generator) -> _Draw:
    uniform = generator.uniform
    focal_length = math.exp(uniform(*np.log(options.focal_length_mm)))
    f_number = math.exp(uniform(*np.log(options.f_number)))
    focus = (uniform(), uniform())
    blades = options.blades[int(generator.integers(len(options.blades)))]
    aperture = Aperture(blades, uniform(0, 2 * math.pi))
    gain = uniform(*options.highlight_gain)
    gain = gain if uniform() < options.saturation_probability else 1.0
    gamma, shot, read = (
        uniform(*bounds) for bounds in (options.gamma, options.shot_noise, options.read_noise)
    )
    return _Draw(focal_length, f_number, focus, aperture, (gamma, gain, shot, read))


def _without(values: Tensor, border: int) -> Tensor:
    height, width = values.shape[-2:]
    return values[..., border : height - border, border : width - border]


def _check(holds: bool, sentence: str) -> None:
    if not holds:
        raise ReblurError(f"defocus: {sentence}; change it in the parameters.")
