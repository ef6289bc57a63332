"""Hidden cameras: what makes the low-quality images of a controlled experiment.

A scene of display values is taken to linear light, blurred by a lens of its own, collected by
larger pixels, photographed by a noisy sensor under a colour mosaic, and developed inside the
camera: white balance, demosaicing, colour matrix, tone curve, noise reduction, sharpening, JPEG.
Training sees the resulting images, never the parameters in `camera_models`.

None of the hand-made recipes can imitate it, whatever they draw:

- their kernels are symmetric about the middle and the same in all channels; this lens has coma,
  trefoil and chromatic aberration, and where the picture lies in the frame turns and scales them;
- they blur display values; light adds up before the tone curve, so bright spots spread farther;
- their noise is white before resizing; here it follows the light, and passes mosaic, colour
  matrix, tone curve and noise reduction: faint texture is gone, coarse blotches of colour stay;
- colours and tones come back slightly changed, and edges with a halo of one fixed width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reblur.datasets.degradation.degrade import check_pictures
from reblur.datasets.degradation.jpeg import jpeg
from reblur.datasets.degradation.kernels import convolve, mirror_pad
from reblur.datasets.degradation.noise import LUMA
from reblur.datasets.hidden_camera.models import CAMERAS
from reblur.datasets.hidden_camera.mosaic import demosaic, mosaic
from reblur.datasets.hidden_camera.shots import Shot
from reblur.errors import ReblurError

SMALLEST = 3  # pixels of a side of the photograph, for the mosaic


class HiddenCamera:
    """One of `CAMERAS`, by name.

    Raises:
        ReblurError: an unknown name.
    """

    def __init__(self, name: str) -> None:
        if name not in CAMERAS:
            raise ReblurError(
                f"hidden camera: unknown camera {name!r}; choose from {', '.join(CAMERAS)}."
            )
        self.name, self.camera = name, CAMERAS[name]

    def photograph(
        self,
        images: Float[Tensor, "b 3 h w"],
        *,
        scale: int,
        seed: int,
        indices: Sequence[int],
    ) -> Float[Tensor, "b 3 _ _"]:
        """Photographs of (h / scale, w / scale): what this camera makes of sharp images.

        A shot is a function of (seed, index) and of the image. On a CPU it has the same bits in
        every batch; an accelerator's sums may end in another last bit.

        Args:
            images: display values in [0, 1].
            scale: pixels of the image across one pixel of the sensor, at least 1.
            indices: of the shots.

        Returns:
            Display values in [0, 1] of 8 bits.

        Raises:
            ReblurError: sides that do not divide by the scale or are too small for the mosaic,
                values that are not in [0, 1].
        """
        check_pictures(images, scale, indices, "hidden camera")
        if min(images.shape[2:]) // scale < SMALLEST:
            raise ReblurError(
                f"hidden camera: photographs of {images.shape[2] // scale}×"
                f"{images.shape[3] // scale} pixels; give images of at least {SMALLEST * scale}."
            )
        shots = [Shot(self.name, seed, index) for index in indices]
        if images.device.type != "cpu":
            return self._expose(images, shots, scale)
        rows = zip(images.split(1), shots, strict=True)
        return torch.cat([self._expose(image, [shot], scale) for image, shot in rows])

    def point_spread(self, *, scale: int, seed: int, index: int) -> Float[Tensor, "3 k k"]:
        """What the lens (and the hand) make of a point of light in shot `index`: kernels of sum 1
        for red, green and blue, in pixels of the sharp image."""
        return Shot(self.name, seed, index).kernels(scale)

    def _expose(
        self, images: Float[Tensor, "b 3 h w"], shots: Sequence["Shot"], scale: int
    ) -> Float[Tensor, "b 3 _ _"]:
        camera, device = self.camera, images.device
        light = convolve(linear(images), [shot.kernels(scale) for shot in shots])
        light = F.avg_pool2d(light, scale) if scale > 1 else light
        size = light.shape[2:]
        light = light * _stacked([shot.shading(*size) for shot in shots], device)
        into = torch.linalg.inv(torch.tensor(camera.matrix_in, dtype=torch.float64)).float()
        gains = torch.tensor([camera.balance[0], 1.0, camera.balance[1]])[:, None, None]
        raw = mosaic((_mixed(light, into) / gains.to(device)).clamp(min=0))
        raw = torch.cat([shot.read(one) for one, shot in zip(raw, shots, strict=True)])
        # balanced first, as the demosaicing takes edges to be the same in all colours
        balance = _stacked([shot.gains for shot in shots], device).expand(-1, -1, *size)
        colours = demosaic((raw * mosaic(balance)).clamp(max=1)).clamp(0, 1)
        colours = _mixed(colours, torch.tensor(camera.matrix_out))
        finished = self._finish(tone(colours, camera.contrast))
        return jpeg(finished, [shot.quality for shot in shots])

    def _finish(self, display: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Smooth the colour differences; sharpen the luma, but leave faint detail out as noise:
        with d the luma less its own blur, blur + d (1 + strength) d² / (d² + coring²)."""
        sigma, strength = self.camera.sharpening
        luma = (display * torch.tensor(LUMA, device=display.device)[:, None, None]).sum(1, True)
        chroma = _smooth(display - luma, self.camera.chroma_sigma)
        base = _smooth(luma, sigma)
        detail = luma - base
        kept = detail**2 / (detail**2 + self.camera.coring**2)
        return base + (1 + strength) * kept * detail + chroma


def linear(display: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Light of sRGB's display values in [0, 1] (IEC 61966-2-1)."""
    return torch.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055).pow(2.4))


def tone(light: Float[Tensor, "*s"], contrast: float) -> Float[Tensor, "*s"]:
    """Display values: sRGB's curve v of light, clipped to [0, 1], then the rising curve
    v − contrast · sin(2πv) / 2π, which keeps black, middle grey and white."""
    light = light.clamp(0, 1)
    curve = torch.where(
        light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=1e-9).pow(1 / 2.4) - 0.055
    )
    return curve - contrast * torch.sin(2 * torch.pi * curve) / (2 * torch.pi)


def _mixed(images: Float[Tensor, "b 3 h w"], matrix: Float[Tensor, "3 3"]) -> Tensor:
    return torch.einsum("cd,bdhw->bchw", matrix.to(images.device), images)


def _smooth(images: Float[Tensor, "b c h w"], sigma: float) -> Float[Tensor, "b c h w"]:
    """By a Gaussian, cut off at 3σ; images go on as their mirror image."""
    reach = round(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=images.device) / sigma) ** 2)
    taps = (taps / taps.sum())[None, None]
    planes = mirror_pad(images, reach).flatten(0, 1)[:, None]
    return F.conv2d(F.conv2d(planes, taps[..., None]), taps[:, :, None]).view(images.shape)


def _stacked(parts: Sequence[Tensor], device: torch.device) -> Tensor:
    return torch.stack(list(parts)).to(device)
