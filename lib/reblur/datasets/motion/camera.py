"""The camera: soft optics, over-exposed light, shutter, noise, response, eight bits.

Light adds up over an exposure before the response bends it, so blur is an average of *linear*
values L = D^gamma of the display values D (Nah et al., "Deep multi-scale convolutional neural
network for dynamic scene deblurring", CVPR 2017, eq. 1-2, with gamma 2.2).

Here everything is batched and stays on one device; `camera_cpu` is the same camera, faster, for
one picture on a CPU.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from reblur.datasets.hidden_camera.mosaic import demosaic, mosaic
from reblur.datasets.motion.exposures import Exposures, silhouette
from reblur.datasets.motion.options import MOSAIC_REACH, SOFT_REACH

HIGHLIGHT = 0.94  # display value from which a photograph is taken to be near clipping
# linear sRGB of a camera's colours (red, green, blue); rows add up to 1, so that grey stays grey
CAMERA_TO_SRGB = np.array([[1.7, -0.55, -0.15], [-0.25, 1.55, -0.3], [0.0, -0.5, 1.5]])
SRGB_TO_CAMERA = np.linalg.inv(CAMERA_TO_SRGB)
MAX_WARPED_BYTES = 256 * 2**20  # of the sub-frames that are held at once

PerSample = Float[Tensor, "b 1 1 1"]


def expose(
    contents: Sequence[Float[Tensor, "b 3 _ _"]],
    exposures: Exposures,
    origins: Float[np.ndarray, "b 2"],
    size: tuple[int, int],
    margin: int,
    noise: Float[Tensor, "b h w 3"] | None,
) -> tuple[Float[Tensor, "b 3 _ _"], Float[Tensor, "b 3 _ _"]]:
    """Expose and develop: the blurred and the sharp pictures, display values in 256 steps.

    With the camera's pipeline they lack `MOSAIC_REACH` pixels of `size` on every side.

    Args:
        contents: what the scene, and each moving thing from back to front, looks like in the
            middle of the exposure; display values of eight bits in [0, 1], `margin` pixels more
            than `size` on every side.
        exposures: of samples that all have the same number of moving things.
        origins: place (x, y) of the pictures' top left pixel, from the principal point.
        size: height and width of the pictures.
        noise: N(0, 1) draws, or None for a sensor without noise.
    """
    device = contents[0].device

    def on_device(value: np.ndarray) -> Tensor:
        return torch.from_numpy(value.astype(np.float32)).to(device, non_blocking=True)

    gamma, gain, light_gain, softness, shot, read = (
        on_device(getattr(exposures, name))[:, None, None, None]
        for name in ("gamma", "highlight_gain", "light_gain", "softness", "shot", "read")
    )

    def seen(content: Tensor) -> Tensor:
        light = decode(content, gamma, gain) * light_gain
        return soften(light, softness) if exposures.softness.any() else light

    inner = ..., slice(margin, margin + size[0]), slice(margin, margin + size[1])
    layers = [seen(contents[0])]
    middle = layers[0][inner]
    y = torch.arange(contents[0].shape[2], device=device)[:, None]
    x = torch.arange(contents[0].shape[3], device=device)
    left, top = on_device(origins - margin).T[..., None, None, None]
    for n, content in enumerate(contents[1:]):
        outline = on_device(exposures.outlines[:, n]).T[..., None, None, None]
        alpha = silhouette(outline, x + left, y + top, torch.exp)
        layers.append(torch.cat([seen(content) * alpha, alpha], 1))
        middle = over(layers[-1][inner], middle)
    matrices = exposures.between_pixels(origins, margin)[: len(layers)]
    light = average_frames(layers, list(matrices), exposures.counts, size)
    normal = None if noise is None else noise.permute(0, 3, 1, 2)
    if exposures.balance.any():
        balance = on_device(exposures.balance)
        light, middle = develop(light, balance, normal, shot, read), develop(middle, balance)
    elif normal is not None:
        light = add_noise(light, normal, shot, read)
    return encode(light, gamma), encode(middle, gamma)


def decode(
    display: Float[Tensor, "b 3 h w"], gamma: PerSample, highlight_gain: PerSample
) -> Float[Tensor, "b 3 h w"]:
    """Linear light of display values in [0, 1].

    A photograph has clipped its light sources; `highlight_gain` gives back some of what was lost:
    light is multiplied by a factor that rises from 1 at display value `HIGHLIGHT` to
    `highlight_gain` at 1. Averaged over a moving exposure and clipped afterwards, such highlights
    draw the bright streaks of real photographs. With gain 1 the result is in [0, 1].
    """
    excess = ((display - HIGHLIGHT) / (1 - HIGHLIGHT)).clamp(min=0)
    return display.pow(gamma) * (1 + (highlight_gain - 1) * excess)


def soften(linear: Float[Tensor, "b 3 h w"], softness: PerSample) -> Float[Tensor, "b 3 h w"]:
    """The optics' blur: a Gaussian of standard deviation `softness` pixels, cut off after
    `SOFT_REACH` pixels; mirrored at the borders. 0 changes nothing."""
    batch, channels, height, width = linear.shape
    taps = torch.arange(-SOFT_REACH, SOFT_REACH + 1, device=linear.device) / softness.clamp(
        min=1e-3
    )
    taps = torch.exp(-0.5 * taps**2)  # (b, 1, 1, 7)
    taps = (taps / taps.sum(3, keepdim=True)).repeat_interleave(channels, 0)
    planes = F.pad(linear, [SOFT_REACH] * 4, "reflect").flatten(0, 1)[None]
    planes = F.conv2d(planes, taps, groups=batch * channels)
    planes = F.conv2d(planes, taps.transpose(2, 3), groups=batch * channels)
    return planes.view(batch, channels, height, width)


def encode(linear: Float[Tensor, "b 3 h w"], gamma: PerSample) -> Float[Tensor, "b 3 h w"]:
    """Display values in [0, 1], in 256 steps, of linear light; light above 1 is clipped."""
    return linear.clamp(0, 1).pow(1 / gamma).mul(255).round().div(255)


def add_noise(
    linear: Float[Tensor, "b c h w"],
    normal: Float[Tensor, "b c h w"],
    shot: PerSample | float,
    read: PerSample | float,
) -> Float[Tensor, "b c h w"]:
    """Sensor noise on linear light: variance `shot` · light + `read`².

    The Gaussian form of the Poissonian-Gaussian model (Foi et al., "Practical
    Poissonian-Gaussian noise modeling and fitting", IEEE TIP 2008, eq. 3). Light far above 1 shows
    none: it is clipped afterwards.

    Args:
        linear: light, 1 = saturation.
        normal: N(0, 1) draws.
        shot: variance per unit of light.
        read: standard deviation, in units of saturation.
    """
    return linear + normal * (linear * shot + read * read).sqrt()


def develop(
    linear: Float[Tensor, "b 3 h w"],
    balance: Float[Tensor, "b 2"],
    normal: Float[Tensor, "b 3 h w"] | None = None,
    shot: PerSample | float = 0.0,
    read: PerSample | float = 0.0,
) -> Float[Tensor, "b 3 h-4 w-4"]:
    """Light through a camera: its colours, a sensor under a Bayer mosaic, noise, clipping, white
    balance, demosaicing, and back to linear sRGB. The order is that of Rim et al. ("Realistic blur
    synthesis for learning image deblurring", ECCV 2022, section 4).

    Args:
        linear: light, 1 = saturation. Its first pixel is under red.
        balance: gains of red and of blue: as much less of them the sensor sees.
        normal, shot, read: as of `add_noise`, on the sensor; None for one without noise.
    """
    back, into = (torch.tensor(m).to(linear) for m in (CAMERA_TO_SRGB, SRGB_TO_CAMERA))
    gains = F.pad(balance, (1, 0), value=1.0)[:, [1, 0, 2], None, None].expand_as(linear)
    seen = torch.einsum("cd,bdhw->bchw", into, linear)
    raw = mosaic((seen / gains).clamp(min=0))
    if normal is not None:
        raw = add_noise(raw, mosaic(normal), shot, read)
    full = demosaic((raw * mosaic(gains)).clamp(0, 1)).clamp(0, 1)
    inner = slice(MOSAIC_REACH, -MOSAIC_REACH)
    return torch.einsum("cd,bdhw->bchw", back, full[..., inner, inner])


def over(
    thing: Float[Tensor, "b 4 *s"], behind: Float[Tensor, "b 3 *s"]
) -> Float[Tensor, "b 3 *s"]:
    """Porter and Duff's "over", of a thing in RGBA premultiplied by its alpha."""
    return thing[:, :3] + (1 - thing[:, 3:]) * behind


def average_frames(
    layers: Sequence[Float[Tensor, "b _ _ _"]],
    homographies: Sequence[Float[np.ndarray, "b n 3 3"]],
    counts: Int[np.ndarray, " b"],
    size: tuple[int, int],
) -> Float[Tensor, "b 3 {size[0]} {size[1]}"]:
    """What a sensor collects while its shutter is open: the average of the sub-frames.

    Sub-frame k of a layer shows, at pixel x, the layer at homography_k(x): by bilinear
    interpolation, reflected at the borders. Layers are composited in every sub-frame, so that
    what a moving thing hides, and when, is right. No host synchronisation.

    Args:
        layers: linear light, back to front: first the scene (3 channels), then the things in
            front of it (4 channels: premultiplied by their alpha). All of one height and width.
        homographies: of each layer, from pixels (x, y, 1) of a sub-frame to pixels of the layer.
        counts: sub-frames of each sample; those beyond are not looked at.
        size: height and width of a sub-frame.
    """
    batch, _, rows, columns = layers[0].shape
    device, (height, width) = layers[0].device, size
    frames = int(counts.max())
    weights = (np.arange(frames) < counts[:, None]) / counts[:, None]
    weights = torch.from_numpy(weights.astype(np.float32)).to(device, non_blocking=True)
    # from pixels to grid_sample's [-1, 1] (align_corners: -1 and 1 are middles of pixels)
    scale = np.diag([2 / max(columns - 1, 1), 2 / max(rows - 1, 1), 1.0])
    scale[:2, 2] = -1
    matrices = [
        torch.from_numpy((scale @ h[:, :frames]).astype(np.float32)).to(device, non_blocking=True)
        for h in homographies
    ]
    y = torch.arange(height, device=device, dtype=torch.float32)[:, None, None]
    x = torch.arange(width, device=device, dtype=torch.float32)[:, None]

    def warp(source: Tensor, matrix: Tensor) -> Tensor:  # (b, c, H, W), (b, k, 3, 3)
        m = matrix[:, :, None, None]
        places = m[..., 0] * x + m[..., 1] * y + m[..., 2]  # (b, k, h, w, 3)
        grid = (places[..., :2] / places[..., 2:]).flatten(1, 2)  # (b, k·h, w, 2)
        warped = F.grid_sample(source, grid, padding_mode="reflection", align_corners=True)
        return warped.unflatten(2, (-1, height))  # (b, c, k, h, w)

    total = torch.zeros(batch, 3, height, width, device=device)
    floats = 3 + 2 + 4 * (1 + (len(layers) > 1))  # a pixel: places, grid, layers
    at_once = max(1, MAX_WARPED_BYTES // (batch * height * width * 4 * floats))
    for start in range(0, frames, at_once):
        some = slice(start, start + at_once)
        frame = warp(layers[0], matrices[0][:, some])
        for layer, matrix in zip(layers[1:], matrices[1:], strict=True):
            frame = over(warp(layer, matrix[:, some]), frame)
        total += torch.einsum("bckhw,bk->bchw", frame, weights[:, some])
    return total
