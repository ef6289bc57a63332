"""What differs from photograph to photograph of one camera, as random draws."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reblur.datasets.degradation.kernels import convolve
from reblur.datasets.hidden_camera.models import CAMERAS
from reblur.datasets.hidden_camera.optics import point_spread, streak
from reblur.randomness import numpy_generator, torch_generator

WAVELENGTHS = (0.610, 0.535, 0.460)  # micrometres, of red, green and blue
BLACK_LEVEL = 64  # of the converter's 1023 steps: noise below black is not cut off
REACH = 6  # sensor pixels from the middle of the lens's kernels to their rim


class Shot:
    """What is drawn for one photograph: a function of (camera, seed, index).

    Attributes:
        place: (x, y) of the picture's middle in the frame, sensor pixels from the axis.
        coefficients: (3, z) wavefront of red, green and blue, waves.
        exposure: factor of the light.
        gains: (3, 1, 1) white balance as the camera sets it.
        quality: of the JPEG.
    """

    def __init__(self, name: str, seed: int, index: int) -> None:
        self.camera = camera = CAMERAS[name]
        self._noise = seed, f"hidden_camera/{name}/noise", index
        rng = numpy_generator(seed, f"hidden_camera/{name}", index)
        h, direction = math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
        self.place = camera.frame * h * np.array([math.cos(direction), math.sin(direction)])
        self.coefficients = self._wavefront(h, direction, rng.uniform(*camera.focus))
        self._path = self._draw_path(rng)
        self.exposure = rng.uniform(*camera.exposure)
        error = 1 + camera.balance_error * rng.uniform(-1, 1, 2)
        balance = [camera.balance[0] * error[0], 1.0, camera.balance[1] * error[1]]
        self.gains = torch.tensor(balance)[:, None, None].float()
        self.quality = int(rng.integers(camera.quality[0], camera.quality[1] + 1))

    def _wavefront(self, h: float, direction: float, focus: float) -> Float[np.ndarray, "3 z"]:
        camera = self.camera
        x, y = math.cos(direction), math.sin(direction)
        twice = math.cos(2 * direction), math.sin(2 * direction)
        astigmatism = camera.astigmatism * h**2
        coma = (
            camera.decentring[0] + camera.coma * h * x,
            camera.decentring[1] + camera.coma * h * y,
        )
        # A tilt of a waves moves the image by 4a λN; coma of a waves moves the light's centre as a
        # tilt of √2 a does, which is taken back: pictures are compared with their scenes pixel by
        # pixel.
        tilt = camera.lateral_colour * h * camera.pitch / (4 * WAVELENGTHS[1] * camera.f_number)
        rows = [
            [
                *(
                    shift * tilt * x - math.sqrt(2) * coma[0],
                    shift * tilt * y - math.sqrt(2) * coma[1],
                ),
                focus + defocus,
                *(astigmatism * twice[0], astigmatism * twice[1]),
                *(*coma, *camera.trefoil, camera.spherical),
            ]
            for shift, defocus in (
                (1, camera.chromatic_focus[0]),
                (0, 0.0),
                (-1, camera.chromatic_focus[1]),
            )
        ]
        # the same errors of the glass are more waves of a shorter wavelength
        return np.array(rows) * (WAVELENGTHS[1] / np.array(WAVELENGTHS))[:, None]

    def _draw_path(self, rng: np.random.Generator) -> Float[np.ndarray, "t 2"]:
        """Where the image is during the exposure, sensor pixels (x, y): a drift of constant
        acceleration and a tremor across it."""
        camera = self.camera
        speed, seconds = rng.uniform(*camera.shake), rng.uniform(*camera.exposure_time)
        length = math.radians(speed) * seconds * camera.focal_length
        time = np.linspace(-0.5, 0.5, 65)
        along = length * (time + rng.uniform(-0.4, 0.4) * time**2)
        hertz, phase = rng.uniform(8, 12), rng.uniform(0, 2 * math.pi)  # of physiological tremor
        bend = rng.uniform(-0.6, 0.6) * time**2
        across = length * (bend + 0.06 * np.sin(2 * math.pi * hertz * seconds * time + phase))
        angle = rng.uniform(0, 2 * math.pi)
        x = along * math.cos(angle) - across * math.sin(angle)
        y = along * math.sin(angle) + across * math.cos(angle)
        path = np.stack([x, y], 1)
        return path - path.mean(0)

    def kernels(self, scale: int) -> Float[Tensor, "3 k k"]:
        """Lens and hand in one, in pixels of an image `scale` times finer than the sensor."""
        camera, reach = self.camera, REACH * scale
        lens = point_spread(
            self.coefficients,
            WAVELENGTHS,
            camera.f_number,
            camera.pitch / scale,
            reach,
            max(1, round(4 / scale)),
        )
        kernels = torch.from_numpy(lens).float()
        path = self._path * scale
        trace = math.ceil(np.abs(path).max())
        if trace:
            # a rim of zeros, wider than the trace, so that nothing is mirrored at the border
            rim = (trace + 1,) * 4
            taps = torch.from_numpy(streak(path, trace)).float()[None]
            kernels = convolve(F.pad(kernels, rim)[None], [taps])[0].clamp(min=0)
        return kernels / kernels.sum((1, 2), keepdim=True)

    def shading(self, height: int, width: int) -> Float[Tensor, "1 h w"]:
        """Factor of the light at each pixel: exposure, and cos⁴ of the angle to the axis."""
        camera = self.camera
        x = self.place[0] + np.arange(width) - (width - 1) / 2
        y = self.place[1] + np.arange(height)[:, None] - (height - 1) / 2
        tangent = (x**2 + y**2) / camera.focal_length**2
        factor = self.exposure * (1 + tangent) ** (-2 * camera.shading)
        return torch.from_numpy(factor)[None].float()

    def read(self, raw: Float[Tensor, "1 h w"]) -> Float[Tensor, "1 1 h w"]:
        """Raw values as the converter gives them: Poisson electrons, read noise, 10 bits.

        Drawn on the CPU: the same on every device.
        """
        camera, generator = self.camera, torch_generator(*self._noise)
        electrons = torch.poisson(raw.cpu() * camera.electrons, generator=generator)
        electrons += camera.read_noise * torch.randn(electrons.shape, generator=generator)
        steps = 1023 - BLACK_LEVEL
        counted = (electrons / camera.electrons * steps).round().clamp(-BLACK_LEVEL, steps)
        return (counted / steps)[None].to(raw.device)
