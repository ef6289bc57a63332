"""Real-ESRGAN's degradation of the second order, as published and softened.

Wang et al., "Real-ESRGAN: Training real-world blind super-resolution with pure synthetic data",
ICCVW 2021, section 3 and its published training options.
"""

import math
from dataclasses import dataclass, replace

from reblur.datasets.degradation.kernels import Kernel, gaussian_like, sinc
from reblur.datasets.degradation.steps import (
    MODES,
    Draws,
    Range,
    Step,
    blur,
    gaussian_noise,
    jpeg,
    poisson_noise,
    resize,
    rounded,
)


@dataclass(frozen=True)
class Order:
    """One of the two rounds of blur, resize, noise and JPEG in `SecondOrder`.

    Args:
        blur: probability that it blurs at all.
        sigma: of the kernels (1)-(3) of `blur_kernels`, for each axis.
        resize: factor of the size; bounds of shrinking and enlarging.
        resize_weights: probabilities of enlarging, shrinking, neither.
        gaussian: σ of Gaussian noise, in levels.
        poisson: strength of Poisson noise.
        quality: of the JPEG, whole numbers.
    """

    blur: float
    sigma: Range
    resize: Range
    resize_weights: tuple[float, float, float]
    gaussian: Range
    poisson: Range
    quality: tuple[int, int]


@dataclass(frozen=True)
class SecondOrder:
    """Blur, resize, noise and JPEG, twice, the second JPEG in random order with a sinc filter.

    Wang et al., "Real-ESRGAN: Training real-world blind super-resolution with pure synthetic
    data", ICCVW 2021, section 3 and its published training options.

    Args:
        sizes: of all kernels, odd, from to.
        shapes: probabilities of Gaussian, generalised and plateau kernels, isotropic then
            anisotropic.
        sinc: probability that a blur is a sinc instead.
        beta_generalised, beta_plateau: from, to; β is below or above 1 with equal probability.
        gaussian_share: of the noise; the rest is Poisson.
        grey: probability that the noise is the same in the three channels.
        last_sinc: probability of the last sinc filter.
    """

    first: Order
    second: Order
    sizes: tuple[int, int] = (7, 21)
    shapes: tuple[float, ...] = (0.45, 0.12, 0.12, 0.25, 0.03, 0.03)
    sinc: float = 0.1
    beta_generalised: Range = (0.5, 4.0)
    beta_plateau: Range = (1.0, 2.0)
    gaussian_share: float = 0.5
    grey: float = 0.4
    last_sinc: float = 0.8

    def draw(self, draws: Draws, height: int, width: int, scale: int) -> list[Step]:
        low = height // scale, width // scale
        steps, size = self._until_noise(draws, self.first, (height, width), (height, width))
        steps.append(jpeg(draws, self.first.quality))
        more, size = self._until_noise(draws, self.second, size, low)
        steps += more
        down = resize(draws.choice(MODES), size, low)
        if draws.happens(self.last_sinc):
            down.append(blur(self._sinc(draws, lowest=math.pi / 3)))
        last = [jpeg(draws, self.second.quality)]
        return steps + (down + last if draws.happens(0.5) else last + down)

    def _until_noise(
        self, draws: Draws, order: Order, size: tuple[int, int], base: tuple[int, int]
    ) -> tuple[list[Step], tuple[int, int]]:
        """Blur, resize to a random factor of `base`, and noise; the size at their end."""
        steps = [blur(self._kernel(draws, order))] if draws.happens(order.blur) else []
        bounds = draws.choice(
            ((1.0, order.resize[1]), (order.resize[0], 1.0), (1.0, 1.0)), order.resize_weights
        )
        factor, mode = draws.within(bounds), draws.choice(MODES)
        resized = rounded(base[0] * factor), rounded(base[1] * factor)
        steps += resize(mode, size, resized)
        gaussian, grey = draws.happens(self.gaussian_share), draws.happens(self.grey)
        if gaussian:
            steps.append(gaussian_noise(draws, order.gaussian, grey))
        else:
            steps.append(poisson_noise(draws, order.poisson, grey))
        return steps, resized

    def _kernel(self, draws: Draws, order: Order) -> Kernel:
        if draws.happens(self.sinc):
            return self._sinc(draws)
        kinds = ("gaussian", "generalised", "plateau")
        kind, isotropic = draws.choice(
            tuple((kind, isotropic) for isotropic in (True, False) for kind in kinds), self.shapes
        )
        size, sigma, beta = self._size(draws), draws.within(order.sigma), 1.0
        if kind != "gaussian":
            least, most = self.beta_generalised if kind == "generalised" else self.beta_plateau
            beta = draws.within((least, 1.0) if draws.happens(0.5) else (1.0, most))
        if isotropic:
            return gaussian_like(kind, size, (sigma, sigma), beta=beta)
        across, angle = draws.within(order.sigma), draws.within((-math.pi, math.pi))
        return gaussian_like(kind, size, (sigma, across), angle, beta)

    def _sinc(self, draws: Draws, lowest: float | None = None) -> Kernel:
        """Cut-off from `lowest` to π; small kernels cannot hold a low one."""
        size = self._size(draws)
        if lowest is None:
            lowest = math.pi / 3 if size < 13 else math.pi / 5
        return sinc(size, draws.within((lowest, math.pi)))

    def _size(self, draws: Draws) -> int:
        return 2 * draws.whole((self.sizes[0] // 2, self.sizes[1] // 2)) + 1


FIRST = Order(
    blur=1.0,
    sigma=(0.2, 3.0),
    resize=(0.15, 1.5),
    resize_weights=(0.2, 0.7, 0.1),
    gaussian=(1.0, 30.0),
    poisson=(0.05, 3.0),
    quality=(30, 95),
)
SECOND = Order(
    blur=0.8,
    sigma=(0.2, 1.5),
    resize=(0.3, 1.2),
    resize_weights=(0.3, 0.4, 0.3),
    gaussian=(1.0, 25.0),
    poisson=(0.05, 2.5),
    quality=(30, 95),
)

#: The published ranges.
SECOND_ORDER = SecondOrder(FIRST, SECOND)

#: The ranges that arXiv 2303.06994 starts its diffusion from: what differs from the published.
SOFTENED = SecondOrder(
    replace(FIRST, resize=(0.3, 1.5), gaussian=(1.0, 15.0), poisson=(0.05, 2.0), quality=(60, 95)),
    replace(
        SECOND,
        blur=0.5,
        resize=(0.6, 1.2),
        gaussian=(1.0, 12.0),
        poisson=(0.05, 1.0),
        quality=(60, 100),
    ),
)
