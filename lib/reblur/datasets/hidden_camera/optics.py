"""Point spread functions of a real lens, and of a hand that does not hold still.

Fourier optics: with u the place in the pupil in units of its diameter (|u| ≤ 1/2), W the
wavefront's error in waves, λ the wavelength and N the f-number, a point of light is imaged to

    psf(x) ∝ | ∫ exp(2πi (W(u) − u·x / (λN))) du |²                                           (1)

(Goodman, "Introduction to Fourier Optics", 3rd edition, section 6.4). W is a sum of Zernike
polynomials in Noll's normalisation, whose coefficients are root mean squares in waves (Noll,
JOSA 66, 1976).
"""

import math
from functools import cache

import numpy as np
from jaxtyping import Complex, Float

PUPIL = 40  # points across the pupil: images repeat after 40 λN, far beyond any kernel

#: The order of the coefficients.
ABERRATIONS = (
    "tilt_x",
    "tilt_y",
    "defocus",
    "astigmatism_0",
    "astigmatism_45",
    "coma_x",
    "coma_y",
    "trefoil_x",
    "trefoil_y",
    "spherical",
)


@cache
def zernike() -> tuple[Float[np.ndarray, "z n n"], Float[np.ndarray, "n n"]]:
    """The polynomials of `ABERRATIONS` on PUPIL × PUPIL places, and the aperture (0 or 1)."""
    x, y = 2 * _pupil(), 2 * _pupil()[:, None]  # 1 at the rim
    r2 = x**2 + y**2
    polynomials = [
        2 * x + 0 * y,
        2 * y + 0 * x,
        math.sqrt(3) * (2 * r2 - 1),
        math.sqrt(6) * (x**2 - y**2),
        math.sqrt(6) * 2 * x * y,
        math.sqrt(8) * (3 * r2 - 2) * x,
        math.sqrt(8) * (3 * r2 - 2) * y,
        math.sqrt(8) * (x**3 - 3 * x * y**2),
        math.sqrt(8) * (3 * x**2 * y - y**3),
        math.sqrt(5) * (6 * r2**2 - 6 * r2 + 1),
    ]
    return np.stack(polynomials), (r2 <= 1).astype(float)


def point_spread(
    coefficients: Float[np.ndarray, "c z"],
    wavelengths: tuple[float, ...],
    f_number: float,
    pixel: float,
    reach: int,
    samples: int,
) -> Float[np.ndarray, "c {2*reach+1} {2*reach+1}"]:
    """Kernels of sum 1, one a colour channel, by (1).

    Args:
        coefficients: of `ABERRATIONS`, waves.
        wavelengths: of the channels, micrometres.
        pixel: pitch of the kernel's pixels, micrometres.
        reach: pixels from the kernel's middle to its rim.
        samples: points across a pixel over which (1) is averaged.
    """
    polynomials, aperture = zernike()
    side, kernels = 2 * reach + 1, []
    for weights, wavelength in zip(coefficients, wavelengths, strict=True):
        wavefront = np.tensordot(weights, polynomials, 1)
        pupil = aperture * np.exp(2j * np.pi * wavefront)
        transform = _transform(pixel / (wavelength * f_number), reach, samples)
        field = transform @ pupil @ transform.T
        light = (np.abs(field) ** 2).reshape(side, samples, side, samples).mean((1, 3))
        kernels.append(light / light.sum())
    return np.stack(kernels)


def streak(
    path: Float[np.ndarray, "t 2"], reach: int
) -> Float[np.ndarray, "{2*reach+1} {2*reach+1}"]:
    """The kernel, of sum 1, of a camera that spends equal times at the places (x, y) of `path`, in
    pixels; each shares its light between the four pixels around it."""
    pixels = np.arange(-reach, reach + 1)
    tents = (1 - np.abs(path[:, :, None] - pixels)).clip(0)  # (t, 2, k)
    kernel = np.einsum("ty,tx->yx", tents[:, 1], tents[:, 0])
    return kernel / kernel.sum()


def _pupil() -> Float[np.ndarray, " n"]:
    return (np.arange(PUPIL) + 0.5) / PUPIL - 0.5


@cache
def _transform(pixel: float, reach: int, samples: int) -> Complex[np.ndarray, "x n"]:
    """exp(−2πi u x / λN) for places x within pixels of pitch `pixel` · λN."""
    inside = (np.arange(samples) + 0.5) / samples - 0.5
    places = pixel * (np.arange(-reach, reach + 1)[:, None] + inside).ravel()
    return np.exp(-2j * np.pi * places[:, None] * _pupil())
