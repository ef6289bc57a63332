"""Defocus of linear light by a thin lens, from depth, aware of what hides what.

**Circle of confusion.** A lens of focal length f at f-number N, focused on the distance S, images
a point at the distance Z as a disc on the sensor; with pixels of pitch p its diameter in pixels is

    c = f / N · f / (S − f) · (1 − S / Z) / p                                                 (1)

It is signed here: negative in front of the plane of focus, positive behind it, and finite for
Z = ∞. It is affine in the inverse depth 1/Z, which is why every map of depth is one of inverse
depth (1/m) in this package.

**Layers.** The picture is cut into layers of c at the whole numbers j, each pixel shared between
its two neighbouring layers by linear weights, and put together from the farthest to the nearest;
k_j is the aperture's image at the diameter |j|, ∗ a convolution:

    out ← out · (1 − k_j ∗ α_j) + k_j ∗ (α_j · I_j)                                           (2)

**What a layer hides.** Layer j is known where the picture shows that depth or a farther one.
Behind what is nearer, its colour and its opacity α_j go on as the average of the known pixels
around, taken from the finest level of an image pyramid that holds any (push-pull; Gortler et al.,
"The Lumigraph", 1996). The farthest layer is opaque everywhere, so a white picture stays white at
any depth.

Known limit: (2) treats the blurred edges of two layers as independent, which is exact where at most
one of them is out of focus.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from scipy.fft import next_fast_len
from torch import Tensor

from reblur.datasets.defocus.thin_lens_cpu import defocus_one
from reblur.datasets.motion.camera_cpu import one_opencv_thread
from reblur.errors import ReblurError


@dataclass(frozen=True)
class Lens:
    """A thin lens and its sensor in physical units; the pitch is that of the *picture's* pixels
    (a 36 mm wide sensor in a picture 1000 px wide has 36 µm).

    Raises:
        ReblurError: a value that is not positive and finite, or a focus within the focal length.
    """

    focal_length_mm: float | int
    f_number: float | int
    focus_distance_m: float | int
    pixel_pitch_um: float | int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0):
                raise ReblurError(f"lens: {name} is {value}; give a positive, finite number.")
        if self.focus_distance_m * 1e3 <= self.focal_length_mm:
            raise ReblurError(
                f"lens: no sharp image of a point {self.focus_distance_m} m away exists behind a "
                f"{self.focal_length_mm} mm lens; focus beyond the focal length."
            )

    @property
    def coc_at_infinity(self) -> float:
        """Diameter in pixels of the circle of confusion of a point at infinity: (1) at Z = ∞."""
        f, s = self.focal_length_mm, self.focus_distance_m * 1e3  # mm
        return f / self.f_number * f / (s - f) / (self.pixel_pitch_um * 1e-3)


@dataclass(frozen=True)
class Aperture:
    """The opening's shape: a disc (`blades` = 0), or a regular polygon of the disc's area.

    `rotation` (radians) is the direction of the middle of a polygon's first side.
    """

    blades: int = 0
    rotation: float | int = 0.0

    def __post_init__(self) -> None:
        if self.blades != 0 and self.blades < 5:
            raise ReblurError(
                f"aperture: {self.blades} blades; give 0 for a disc, or five and more."
            )

    @property
    def reach(self) -> float:
        """Distance of the farthest point of the shape from its centre, for a disc of radius 1."""
        if self.blades == 0:
            return 1.0
        return math.sqrt(2 * math.pi / (self.blades * math.sin(2 * math.pi / self.blades)))


DISC = Aperture()


def circle_of_confusion(
    inverse_depth: Float[Tensor, "b h w"], lenses: Sequence[Lens]
) -> Float[Tensor, "b h w"]:
    """Signed diameter in pixels of the circle of confusion, equation (1), a lens per picture.

    Args:
        inverse_depth: 1/Z in 1/m, 0 for infinity.
    """
    table = [(lens.coc_at_infinity, lens.focus_distance_m) for lens in lenses]
    gain, focus = inverse_depth.new_tensor(table)[:, :, None, None].unbind(1)
    return gain * (1 - focus * inverse_depth)


def aperture_kernels(
    diameters: Float[Tensor, " n"], aperture: Aperture, radius: int
) -> Float[Tensor, "n k k"]:
    """Images of the aperture for signed circles of confusion, each of sum 1; k = 2·`radius` + 1.

    The weight of a pixel is the area of it that the shape covers (exact down the columns, the mean
    of 64 lines across), so sizes and positions are true to a fraction of a pixel, and a shape
    within one pixel is the identity. In front of the plane of focus (negative) the shape is upside
    down.
    """
    lines = 64
    size = diameters.abs().clamp(min=0.5)[:, None] / 2  # (n, 1); smaller shapes are one pixel
    offsets = (torch.arange(lines, device=size.device, dtype=size.dtype) + 0.5) / lines - 0.5
    centres = torch.arange(-radius, radius + 1, device=size.device, dtype=size.dtype)
    x = (centres[:, None] + offsets).flatten()[None]  # (1, k·lines)
    if aperture.blades == 0:
        top = (size**2 - x**2).clamp(min=0).sqrt()
        bottom = -top
    else:
        apothem = size * aperture.reach * math.cos(math.pi / aperture.blades)
        top, bottom = torch.full_like(size * x, math.inf), torch.full_like(size * x, -math.inf)
        for blade in range(aperture.blades):  # x·cos φ + y·sin φ ≤ apothem
            angle = aperture.rotation + 2 * math.pi * blade / aperture.blades
            room = apothem - x * math.cos(angle)
            if abs(math.sin(angle)) < 1e-9:
                top = torch.where(room >= 0, top, -math.inf)
            elif math.sin(angle) > 0:
                top = torch.minimum(top, room / math.sin(angle))
            else:
                bottom = torch.maximum(bottom, room / math.sin(angle))
    rows = centres[None, :, None]
    covered = torch.minimum(top[:, None], rows + 0.5) - torch.maximum(bottom[:, None], rows - 0.5)
    kernels = covered.clamp(min=0).unflatten(-1, (len(centres), lines)).mean(-1)
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    return torch.where((diameters < 0)[:, None, None], kernels.flip(1, 2), kernels)


def fill_unknown(
    values: Float[Tensor, "b c h w"], known: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b c h w"]:
    """Known pixels as they are, unknown ones from the finest pyramid level that knows any there.

    Each level holds the mean of the known among 2 × 2 pixels; levels are enlarged bilinearly. A
    picture without a known pixel becomes zero.
    """
    height, width = values.shape[-2:]
    if height == 1 and width == 1:
        return values * known
    share = F.avg_pool2d(known.to(values), 2, ceil_mode=True)
    means = F.avg_pool2d(values * known, 2, ceil_mode=True) / share.clamp(min=0.2)
    coarse = fill_unknown(means, share > 0)
    smooth = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return torch.where(known, values, smooth)


def defocus(
    light: Float[Tensor, "b 3 h w"],
    coc: Float[Tensor, "b h w"],
    apertures: Sequence[Aperture],
    max_coc: float | int,
) -> Float[Tensor, "b 3 h w"]:
    """Blur pictures by their maps of the circle of confusion, equation (2).

    Beyond the borders picture and map go on by reflection; hand in a margin of `margin(max_coc)`
    and cut it off to have true content there. A sample's result does not depend on the batch.

    Args:
        light: linear, not display-encoded (`camera.decode`), 0 and more.
        coc: signed diameters in pixels (1).
        apertures: one per picture.
        max_coc: bound of |coc|.

    Raises:
        ReblurError: a map that is not finite, or exceeds `max_coc`.
    """
    last = math.ceil(max_coc)
    reach = margin(last)
    light = _extend(light, reach)
    coc = _extend(coc[:, None], reach)  # (b, 1, H, W)
    used = _used_layers(coc, last, max_coc)
    sizes = torch.arange(last + 1, device=coc.device, dtype=coc.dtype)
    behind = torch.stack([aperture_kernels(sizes, each, reach) for each in apertures])
    kernels = torch.cat([behind[:, 1:].flip(1, 2, 3), behind], 1)  # of the layers −last..last
    if light.device.type == "cpu" and light.dtype == torch.float32:
        return _defocus_each(light, coc, kernels, used, reach)
    return _defocus_together(light, coc, kernels, used, reach)


def _defocus_each(
    light: Float[Tensor, "b 3 H W"],
    coc: Float[Tensor, "b 1 H W"],
    kernels: Float[Tensor, "b layers k k"],
    used: list[list[bool]],
    reach: int,
) -> Float[Tensor, "b 3 h w"]:
    """Equation (2), picture by picture on a CPU."""
    last, made = len(used[0]) // 2, []
    with one_opencv_thread():
        for picture, circles, shapes, holds in zip(light, coc, kernels, used, strict=True):
            layers = [layer for layer in range(last, -last - 1, -1) if holds[layer + last]]
            chosen = [shapes[layer + last].numpy() for layer in layers]
            made.append(defocus_one(picture.numpy(), circles[0].numpy(), layers, chosen, reach))
    return torch.from_numpy(np.stack(made))


def _defocus_together(
    light: Float[Tensor, "b 3 H W"],
    coc: Float[Tensor, "b 1 H W"],
    kernels: Float[Tensor, "b layers k k"],
    used: list[list[bool]],
    reach: int,
) -> Float[Tensor, "b 3 h w"]:
    """Equation (2), layer by layer of all pictures: for an accelerator, and in float64."""
    last = len(used[0]) // 2
    height, width = (side - 2 * reach for side in light.shape[-2:])
    shape = [next_fast_len(n, real=True) for n in light.shape[-2:]]
    out = light.new_zeros(len(light), 3, height, width)
    for layer in range(last, -last - 1, -1):
        rows = [row for row in range(len(used)) if used[row][layer + last]]
        if not rows:
            continue
        everyone = len(rows) == len(used)
        at = coc if everyone else coc[rows]
        colour = light if everyone else light[rows]
        # Opacity given that nothing nearer is in the way: the layer's share of what lies at its
        # depth or beyond.
        opacity = (1 - (at - layer)).clamp(0, 1)
        content = torch.cat([colour, opacity], 1)
        if any(used[row][n] for row in rows for n in range(layer + last)):
            content = fill_unknown(content, at > layer - 1)
        content = torch.cat([content[:, :3] * content[:, 3:], content[:, 3:]], 1)
        if layer == 0:
            blurred = content[..., reach : reach + height, reach : reach + width]
        else:
            kernel = kernels[rows, layer + last, None]
            spectrum = torch.fft.rfft2(content, s=shape) * torch.fft.rfft2(kernel, s=shape)
            whole = torch.fft.irfft2(spectrum, s=shape)
            blurred = whole[..., 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width]
        # What is no more than the transform's rounding would spoil the bits of what is far away.
        alpha = blurred[:, 3:].clamp(0, 1)
        alpha = alpha.where(alpha > 16 * torch.finfo(alpha.dtype).eps, 0)
        under = out if everyone else out[rows]
        over = torch.where(alpha > 0, under * (1 - alpha) + blurred[:, :3], under)
        if everyone:
            out = over
        else:
            out[rows] = over
    return out.clamp(min=0)  # what rounding left below


def margin(max_coc: float | int) -> int:
    """Pixels from which light can reach a pixel, for any aperture and |coc| ≤ `max_coc`."""
    return math.ceil(max_coc / 2 * Aperture(blades=5).reach + 0.5)


def _extend(values: Float[Tensor, "b c h w"], by: int) -> Float[Tensor, "b c h2 w2"]:
    """Reflect at the borders, as often as a picture smaller than `by` asks for."""
    while by > 0:
        once = min(by, values.shape[-1] - 1, values.shape[-2] - 1)
        if once == 0:  # a single row or column
            return F.pad(values, (by,) * 4, mode="replicate")
        values = F.pad(values, (once,) * 4, mode="reflect")
        by -= once
    return values


def _used_layers(
    coc: Float[Tensor, "b 1 h w"], last: int, max_coc: float | int
) -> list[list[bool]]:
    """Which of the layers −last..last hold anything, per picture. The one look at the values."""
    floor = coc.nan_to_num().floor()
    below = (floor + last).clamp(0, 2 * last).long().flatten(1)
    above = (below + (coc > floor).flatten(1)).clamp(max=2 * last)
    used = torch.zeros(len(coc), 2 * last + 1, dtype=torch.bool, device=coc.device)
    used.scatter_(1, below, True).scatter_(1, above, True)
    if not bool((coc.abs() <= max_coc * (1 + 1e-5)).all()):
        raise ReblurError(
            f"defocus: the circle of confusion is not a number or exceeds {max_coc} px somewhere; "
            "mend the depth, raise max_coc, or stop the lens down."
        )
    return used.tolist()
