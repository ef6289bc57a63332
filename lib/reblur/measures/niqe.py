"""NIQE: how far an image is from the statistics of natural photographs, without a reference.

Mittal, Soundararajan, Bovik, "Making a 'Completely Blind' Image Quality Analyzer", IEEE Signal
Processing Letters 20(3), 2013; numbers of equations are this paper's. Blocks of 96×96 pixels, two
scales, and the authors' model of undistorted photographs. The choice of sharp blocks (section II.C)
belongs to the making of that model: every whole block of an image that is judged takes part.

Where the paper is silent this follows the published software: luminance rounded to 8 bit, edges
replicated, neighbours taken cyclically inside a block. The numbers agree to 1e-6 where no area is
flat. In clipped areas the software's fits count rounding noise of either sign as values; here they
are 0, which moves the number of a photograph by thousandths, of one with much white by hundredths.
"""

import functools
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64, UInt8
from scipy.special import gamma, gammaln

from reblur.datasets.catalogue.manifests import load_manifest, locate
from reblur.errors import ReblurError
from reblur.files import sha256_of_file

CONVENTION = (
    "NIQE: the authors' model and 96×96 blocks without overlap, on the rounded luminance "
    "0.2989 R + 0.587 G + 0.114 B; lower is nearer to natural photographs. Tables of other papers "
    "often take the Y of BT.601 with its range of 16 to 235, whose numbers differ."
)

_BLOCK = 96
_FEATURES = 18  # of a block at one scale
_WINDOW = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)  # of equations 2 and 3
_WINDOW /= _WINDOW.sum()
# Halving by bicubic interpolation with antialiasing: Keys' cubic (a = −1/2) of twice the width,
# at distances 1/4, 3/4, 5/4 and 7/4 of an output pixel on either side.
_HALVING = np.array([-0.0234375, -0.0703125, 0.2265625, 0.8671875]) / 2
_HALVING = np.concatenate([_HALVING, _HALVING[::-1]])
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (down, right)


def niqe_available() -> bool:
    """Whether the model's parameters are here (nothing is downloaded)."""
    try:
        natural_model()
    except ReblurError:
        return False
    return True


def niqe(image: UInt8[np.ndarray, "h w 3"]) -> float:
    """Equation 10: `sqrt((ν1 − ν2)ᵀ ((Σ1 + Σ2) / 2)⁺ (ν1 − ν2))`.

    ν1, Σ1: the natural model; ν2, Σ2: mean and covariance of the features of this image's blocks.
    With few blocks Σ2, and so the number, is uncertain: compare images of one size only.

    Args:
        image: RGB; rows and columns beyond the last whole block of 96×96 are left out.

    Returns:
        At least 0; good photographs have 2 to 5; lower is better.

    Raises:
        ReblurError: fewer than two whole blocks, or two that are not flat, or no parameters here.
    """
    rows, columns = (side // _BLOCK for side in image.shape[:2])
    if rows * columns < 2:
        raise ReblurError(
            f"NIQE needs at least two whole blocks of {_BLOCK}×{_BLOCK} pixels, and an image of "
            f"{image.shape[1]}×{image.shape[0]} has {rows * columns}; leave it out, or judge a "
            "larger one."
        )
    natural_mean, natural_covariance = natural_model()
    features = block_features(luminance(image[: rows * _BLOCK, : columns * _BLOCK]))
    whole = ~np.isnan(features).any(axis=1)  # a flat block has no distribution to fit
    if whole.sum() < 2:
        raise ReblurError(
            "NIQE: fewer than two blocks of the image have any texture; leave the image out."
        )
    difference = natural_mean - np.nanmean(features, axis=0)
    covariance = np.cov(features[whole], rowvar=False)
    inverse = np.linalg.pinv((natural_covariance + covariance) / 2)
    return float(np.sqrt(difference @ inverse @ difference))


def natural_model() -> tuple[Float64[np.ndarray, "36"], Float64[np.ndarray, "36 36"]]:
    """Mean and covariance of the features of undistorted photographs (section II.D).

    Raises:
        ReblurError: the file is not here, or has other bytes than its manifest names.
    """
    manifest = load_manifest("niqe_parameters")
    path = locate(manifest) / manifest.files[0].path
    return _read(path, path.stat().st_mtime_ns, manifest.files[0].sha256)


@functools.lru_cache(maxsize=1)
def _read(path: Path, modified: int, sha256: str) -> tuple[np.ndarray, np.ndarray]:
    if sha256_of_file(path) != sha256:
        raise ReblurError(
            f"{path}: has not the manifest's checksum; delete it and fetch it again with "
            "'reblur data fetch niqe_parameters'."
        )
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["mu_pris_param"].ravel(), arrays["cov_pris_param"]


def luminance(image: UInt8[np.ndarray, "h w 3"]) -> Float64[np.ndarray, "h w"]:
    """0.2989 R + 0.587 G + 0.114 B, rounded, as MATLAB's rgb2gray of an 8-bit image."""
    return np.round(image @ np.array([0.298936, 0.587043, 0.114021]))


def block_features(image: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "blocks 36"]:
    """The 18 features of each block at the full and at half the resolution.

    Args:
        image: luminance on the scale of 0 to 255, sides multiples of 96.

    Returns:
        One row a block; NaN where a block is so flat that it cannot be fitted.
    """
    scales = []
    for side in (_BLOCK, _BLOCK // 2):
        normalised = normalise(image)
        rows, columns = (length // side for length in image.shape)
        blocks = normalised.reshape(rows, side, columns, side).swapaxes(1, 2)
        scales.append(_features(blocks.reshape(-1, side, side)))
        image = halve(image)
    return np.concatenate(scales, axis=1)


def normalise(image: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
    """Equations 1 to 3: `(I − μ) / (σ + 1)`, with a 7×7 Gaussian of deviation 7/6."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(values, -1, _WINDOW, _WINDOW, borderType=cv2.BORDER_REPLICATE)

    mu = mean(image)
    sigma = np.sqrt(np.abs(mean(image * image) - mu * mu))
    difference = image - mu
    difference[np.abs(difference) < 1e-9] = 0  # in a flat area rounding would choose the sign
    return difference / (sigma + 1)


def halve(image: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "h/2 w/2"]:
    """Half the size as MATLAB's imresize does it: bicubic, antialiased, edges mirrored."""
    halved = cv2.sepFilter2D(
        image, -1, _HALVING, _HALVING, anchor=(3, 3), borderType=cv2.BORDER_REFLECT
    )
    return halved[::2, ::2]


def _features(
    blocks: Float64[np.ndarray, "blocks side side"],
) -> Float64[np.ndarray, "blocks 18"]:
    """Section II.B: of the values, α and the mean β; of each product of neighbours α, η, βl, βr."""
    alpha, left, right = fit_aggd(blocks.reshape(len(blocks), -1))
    columns = [alpha, (left + right) / 2]
    for shift in _NEIGHBOURS:
        products = blocks * np.roll(blocks, shift, axis=(1, 2))
        alpha, left, right = fit_aggd(products.reshape(len(blocks), -1))
        mean = (right - left) * gamma(2 / alpha) / gamma(1 / alpha)  # η, equation 8
        columns += [alpha, mean, left, right]
    return np.stack(columns, axis=1)


@functools.cache
def _ratios() -> tuple[Float64[np.ndarray, "9801"], Float64[np.ndarray, "9801"]]:
    """α = 0.2, 0.201, … 10, and `ρ(α) = Γ(2/α)² / (Γ(1/α) Γ(3/α))`, which grows with α."""
    alpha = 0.2 + 0.001 * np.arange(9801)
    return alpha, np.exp(2 * gammaln(2 / alpha) - gammaln(1 / alpha) - gammaln(3 / alpha))


def fit_aggd(
    samples: Float64[np.ndarray, "n count"],
) -> tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]]:
    """Asymmetric generalised Gaussians (equation 7) fitted to each row by its moments.

    Lasmar, Stitou, Berthoumieu 2009: with `γ = σl / σr`, α is where
    `ρ(α) = (E|x|)² / E[x²] · (γ³ + 1)(γ + 1) / (γ² + 1)²`.

    Returns:
        α on a grid of 0.001 from 0.2 to 10, βl and βr, a value a row; NaN for a row without
        values on either side of 0.
    """
    squares = samples * samples
    with np.errstate(divide="ignore", invalid="ignore"):
        left, right = (
            np.sqrt((squares * side).sum(axis=1) / side.sum(axis=1))
            for side in (samples < 0, samples > 0)
        )
        skew = left / right
        flatness = np.abs(samples).mean(axis=1) ** 2 / squares.mean(axis=1)
    wanted = flatness * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    grid, ratios = _ratios()
    above = np.clip(np.searchsorted(ratios, wanted), 1, len(grid) - 1)
    nearer_below = wanted - ratios[above - 1] <= ratios[above] - wanted
    alpha = np.where(np.isnan(wanted), np.nan, grid[above - nearer_below])
    scale = np.sqrt(gamma(1 / alpha) / gamma(3 / alpha))
    return alpha, left * scale, right * scale
