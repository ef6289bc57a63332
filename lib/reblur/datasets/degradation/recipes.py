"""The hand-made degradations: which steps with which parameters, as random draws.

A recipe's `draw` gives a list of steps for one image, JSON-able and complete: `degradation` only
carries them out. Ranges are (low, high) of uniform draws unless said otherwise; σ of kernels in
pixels of the image as it is then, angles in radians, noise in 8-bit levels.

Left out of "shuffled" is the camera pipeline that BSRGAN runs on a quarter of its images: it needs
a model of raw data that is not ours. Enlarging and shrinking here do not filter against aliasing
(but by "area", and in "clean" and "gaussian"), as in the published pipelines, whose aliasing is
part of what they imitate.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from reblur.datasets.degradation.kernels import Kernel, gaussian_like, unsharp
from reblur.datasets.degradation.second_order import SECOND_ORDER, SOFTENED
from reblur.datasets.degradation.steps import (
    MODES,
    Draws,
    Range,
    Step,
    blur,
    decimate,
    gaussian_noise,
    jpeg,
    resize,
    rounded,
)


@runtime_checkable
class Recipe(Protocol):
    def draw(self, draws: Draws, height: int, width: int, scale: int) -> list[Step]:
        """Steps that bring an image of (height, width) down by `scale`."""
        ...


@dataclass(frozen=True)
class Clean:
    """Bicubic shrinking with antialiasing, and nothing else: the pairs of classical
    super-resolution (as in Matlab's imresize)."""

    def draw(self, draws: Draws, height: int, width: int, scale: int) -> list[Step]:
        return resize("bicubic", (height, width), (height // scale, width // scale), antialias=True)


@dataclass(frozen=True)
class Gaussian:
    """An isotropic Gaussian of random σ, then bicubic shrinking with antialiasing.

    σ as in Gu et al., "Blind super-resolution with iterative kernel correction", CVPR 2019, for
    ×4; the kernel reaches three of the largest.
    """

    sigma: Range = (0.2, 4.0)
    size: int = 25

    def draw(self, draws: Draws, height: int, width: int, scale: int) -> list[Step]:
        sigma = draws.within(self.sigma)
        smooth = blur(gaussian_like("gaussian", self.size, (sigma, sigma)))
        return [smooth, *Clean().draw(draws, height, width, scale)]


@dataclass(frozen=True)
class Faces:
    """Blur, shrink, noise, JPEG, and back: degraded faces.

    Yang et al., "GAN prior embedded network for blind face restoration in the wild" (GPEN),
    CVPR 2021, where faces are 512 pixels wide and all lengths are in those.

    Args:
        size: of the kernel.
        sigma: of the Gaussian, for each axis; isotropic in half of the draws.
        shrink: by which the image is smaller where noise and JPEG meet it.
        noise: σ of Gaussian noise, in levels.
        quality: of the JPEG, whole numbers.
    """

    size: int = 41
    sigma: Range = (0.1, 10.0)
    shrink: Range = (0.8, 8.0)
    noise: Range = (0.0, 20.0)
    quality: tuple[int, int] = (60, 100)

    def draw(self, draws: Draws, height: int, width: int, scale: int) -> list[Step]:
        along = across = draws.within(self.sigma)
        angle = 0.0
        if draws.happens(0.5):
            across, angle = draws.within(self.sigma), draws.within((-math.pi, math.pi))
        shrink = draws.within(self.shrink)
        small = rounded(height / shrink), rounded(width / shrink)
        return [
            blur(gaussian_like("gaussian", self.size, (along, across), angle)),
            *resize("bilinear", (height, width), small),
            gaussian_noise(draws, self.noise, grey=False),
            jpeg(draws, self.quality),
            *resize("bilinear", small, (height // scale, width // scale)),
        ]


@dataclass(frozen=True)
class Shuffled:
    """Two blurs, two steps of shrinking, noise and JPEG in random order, and a last JPEG.

    Zhang et al., "Designing a practical degradation model for deep blind image super-resolution"
    (BSRGAN), ICCV 2021, section 3, without its camera pipeline. The second shrinking, to the
    final size, comes after the first.

    Args:
        sizes: of the blurs' kernels, odd, from to.
        halved: probability that an image to be shrunk by 4 is first shrunk by 2.
        resized: probability that the first shrinking is by interpolation, to 1 to 1 / (2·scale);
            else a Gaussian blur, moved by half of (scale − 1), and every scale-th pixel.
        sigma_decimate: of that Gaussian: from, and to this times the scale.
        noise: σ of the noise, in levels, whole numbers.
        grey, coloured: probabilities of noise that is the same in the three channels, and of
            independent; else it has a random covariance of largest deviation `correlated`.
        jpeg: probability of the JPEG that is shuffled.
        quality: of both JPEGs, whole numbers.
    """

    sizes: tuple[int, int] = (7, 25)
    halved: float = 0.25
    resized: float = 0.75
    sigma_decimate: Range = (0.1, 0.6)
    size_decimate: int = 25
    noise: tuple[int, int] = (2, 25)
    grey: float = 0.4
    coloured: float = 0.4
    correlated: float = 25.0
    jpeg: float = 0.9
    quality: tuple[int, int] = (30, 95)

    def draw(self, draws: Draws, height: int, width: int, scale: int) -> list[Step]:
        size, low = (height, width), (height // scale, width // scale)
        steps: list[Step] = []
        if scale == 4 and draws.happens(self.halved):
            size = height // 2, width // 2
            half = resize(draws.choice(MODES), (height, width), size, draws.happens(0.5))
            steps, scale = half, 2
        order = draws.order(6)  # 0, 1: blurs; 2, 3: shrinking; 4: noise; 5: JPEG
        first, second = sorted((order.index(2), order.index(3)))
        order[first], order[second] = 2, 3
        for what in order:
            if what in (0, 1):
                steps.append(blur(self._kernel(draws, scale)))
            elif what == 2:
                more, size = self._shrink(draws, size, scale)
                steps += more
            elif what == 3:
                steps += resize(draws.choice(MODES), size, low)
                size = low
            elif what == 4:
                steps.append(self._noise(draws))
            elif draws.happens(self.jpeg):
                steps.append(jpeg(draws, self.quality))
        return [*steps, jpeg(draws, self.quality)]

    def _kernel(self, draws: Draws, scale: int) -> Kernel:
        """Anisotropic with variances up to 4 + scale, or isotropic with σ up to 2 + scale / 5."""
        size = 2 * draws.whole((self.sizes[0] // 2, self.sizes[1] // 2)) + 1
        smallest = 0.05  # a σ of 0 is a kernel of one tap
        if draws.happens(0.5):
            along, across = (
                max(math.sqrt(draws.within((0.0, 4.0 + scale))), smallest) for _ in range(2)
            )
            return gaussian_like("gaussian", size, (along, across), draws.within((0.0, math.pi)))
        sigma = max(draws.within((0.0, 2 + 0.2 * scale)), smallest)
        return gaussian_like("gaussian", size, (sigma, sigma))

    def _shrink(
        self, draws: Draws, size: tuple[int, int], scale: int
    ) -> tuple[list[Step], tuple[int, int]]:
        if draws.happens(self.resized):
            factor = draws.within((1.0, 2.0 * scale))
            small = rounded(size[0] / factor), rounded(size[1] / factor)
            return resize(draws.choice(MODES), size, small), small
        sigma = draws.within((self.sigma_decimate[0], self.sigma_decimate[1] * scale))
        # every scale-th pixel, from the first, then stands for the middle of scale × scale
        kernel = gaussian_like(
            "gaussian", self.size_decimate, (sigma, sigma), shift=-(scale - 1) / 2
        )
        small = -(-size[0] // scale), -(-size[1] // scale)
        return [blur(kernel), *decimate(scale)], small

    def _noise(self, draws: Draws) -> Step:
        kind = draws.within((0.0, 1.0))
        if kind < self.grey + self.coloured:
            levels = tuple(float(level) for level in self.noise)
            return gaussian_noise(draws, levels, grey=kind < self.grey)
        axes, _ = np.linalg.qr(draws.normal(3, 3))
        spread = np.array([draws.within((0.0, 1.0)) for _ in range(3)])
        covariance = self.correlated**2 * (axes * spread) @ axes.T
        noise = {"covariance": covariance.tolist(), "key": draws.noise_key()}
        return {"step": "covariance_noise", **noise}


@dataclass(frozen=True)
class Fitted:
    """Blur, shrinking, noise, sharpening and JPEG, whose numbers are found by search so that the
    images are like a target's (`reblur.study.data.fitting`). Ours: the control of chapter 3.

    Each is drawn within `spread` of its middle, relative to it.

    Args:
        sigma: of the Gaussian, in pixels of the sharp image.
        grey, coloured: σ of the noise that is the same in the three channels, and of independent
            noise, in levels.
        amount: of the unsharp mask after it.
        quality: of the JPEG.
    """

    sigma: float = 1.0
    grey: float = 2.0
    coloured: float = 2.0
    amount: float = 0.0
    quality: float = 85.0
    spread: float = 0.25

    def draw(self, draws: Draws, height: int, width: int, scale: int) -> list[Step]:
        def around(middle: float) -> float:
            return middle * draws.within((1 - self.spread, 1 + self.spread))

        sigma, amount = max(around(self.sigma), 0.05), around(self.amount)
        worse = around(100 - self.quality)
        return [
            blur(gaussian_like("gaussian", 2 * math.ceil(3 * sigma) + 1, (sigma, sigma))),
            *Clean().draw(draws, height, width, scale),
            gaussian_noise(draws, (around(self.grey),) * 2, grey=True),
            gaussian_noise(draws, (around(self.coloured),) * 2, grey=False),
            blur(unsharp(11, 1.5, amount)),
            {"step": "jpeg", "quality": min(max(rounded(100 - worse), 5), 100)},
        ]


RECIPES: dict[str, Recipe] = {
    "clean": Clean(),
    "gaussian": Gaussian(),
    "second_order": SECOND_ORDER,
    "softened": SOFTENED,
    "faces": Faces(),
    "shuffled": Shuffled(),
}
