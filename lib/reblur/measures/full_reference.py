"""Full-reference image quality on (H, W, 3) uint8 RGB arrays, each convention with a name.

SSIM differs more by convention than methods differ by quality, so that a table which prints one of
these numbers prints the text of `CONVENTIONS` with it.
"""

import functools
import warnings
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float64, Num
from torch import nn

from reblur.errors import ReblurError

CONVENTIONS: dict[str, str] = {
    "psnr": "PSNR in dB: RGB, rounded to 8 bit, data range 255, one mean squared error an image, "
    "then the mean over images.",
    "psnr_tone": "PSNR in dB of the blurred picture plus the low-passed (Gaussian, σ 8 px) part of "
    "what the restorer changed; neither rounded nor clipped.",
    "psnr_detail": "PSNR in dB of the restored picture less that part.",
    "ssim": "SSIM, Gaussian window: 11×11, σ 1.5, population covariance, each colour channel by "
    "itself, data range 255, mean over the windows inside the image (scikit-image with "
    "gaussian_weights=True, sigma=1.5, use_sample_covariance=False).",
    "ssim_matlab": "SSIM, MATLAB-3D (paper-comparable): an 11×11×11 Gaussian, σ 1.5, over height, "
    "width and colour, edges replicated, data range 255, mean over all voxels.",
    "lpips": "LPIPS: package lpips 0.1.4, AlexNet, version 0.1, inputs in [−1, 1]; lower is "
    "better.",
    "msssim": "MSSIM of the Köhler benchmark: five-scale SSIM of MeTriX MuX 1.1 on the luminance "
    "0.299 R + 0.587 G + 0.114 B, scales made by the 9/7 low-pass filter.",
}

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_RADIUS = 5  # of the 11-tap window
_BAND = 64  # rows at a time: a band and its moments stay in the processor's cache
_SMALLEST_LPIPS = 31  # what AlexNet's two poolings leave at least one pixel of


def _gaussian() -> Float64[np.ndarray, "11"]:
    weights = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / 1.5) ** 2)
    return weights / weights.sum()


_GAUSSIAN = _gaussian()
# Analysis low-pass filter of the biorthogonal 9/7 wavelet (MeTriX MuX, mssim_index.m), sum 1.
_WAVELET_97 = np.array(
    [0.037828455507260, -0.023849465019560, -0.110624404418440, 0.377402855612830]
)
_WAVELET_97 = np.concatenate([_WAVELET_97, [0.852698679008890], _WAVELET_97[::-1]])
_WAVELET_97 /= _WAVELET_97.sum()
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, section 3.2


def _check(reference: np.ndarray, restored: np.ndarray, smallest: int, metric: str) -> None:
    for name, image in (("reference", reference), ("restored", restored)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ReblurError(
                f"{metric}: the {name} image is {image.dtype} of shape {image.shape}; give RGB "
                "images as uint8 arrays of shape (height, width, 3)."
            )
    if reference.shape != restored.shape:
        raise ReblurError(
            f"{metric}: the reference is {_size(reference)} and the restored image is "
            f"{_size(restored)} pixels; crop or align them to one size first."
        )
    if min(reference.shape[:2]) < smallest:
        raise ReblurError(
            f"{metric} needs images of at least {smallest}×{smallest} pixels, these are "
            f"{_size(reference)}; leave them out of the comparison."
        )


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"


def psnr(reference: np.ndarray, restored: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(255² / MSE), over all pixels and channels.

    Args:
        reference, restored: (H, W, 3) uint8 RGB.

    Returns:
        dB; infinity for equal images.

    Raises:
        ReblurError: not uint8 RGB, or of different sizes.
    """
    _check(reference, restored, 1, "PSNR")
    squared = sum(  # band by band: integer arithmetic, and no float copy of a large photograph
        int(np.square(np.subtract(a, b, dtype=np.int32)).sum(dtype=np.int64))
        for _, a, b in _bands(reference, restored, 0)
    )
    return float("inf") if squared == 0 else 10 * np.log10(255**2 * reference.size / squared).item()


def ssim(reference: np.ndarray, restored: np.ndarray) -> float:
    """Structural similarity with the Gaussian window of Wang et al. 2004 (`CONVENTIONS["ssim"]`).

    Equal to `skimage.metrics.structural_similarity(..., channel_axis=2, data_range=255,
    gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`.

    Args:
        reference, restored: (H, W, 3) uint8 RGB, at least 11×11 pixels.

    Returns:
        Mean over windows and channels, at most 1 (equal images).

    Raises:
        ReblurError: not uint8 RGB, of different sizes, or smaller than the window.
    """
    _check(reference, restored, 2 * _RADIUS + 1, "SSIM (Gaussian window)")
    total = sum(band.sum() for _, band in _ssim_bands(reference, restored, _blur))
    height, width, channels = reference.shape
    return float(total / ((height - 2 * _RADIUS) * (width - 2 * _RADIUS) * channels))


def ssim_matlab(reference: np.ndarray, restored: np.ndarray) -> float:
    """Structural similarity over height, width and colour (`CONVENTIONS["ssim_matlab"]`).

    The colour image is taken as a volume of depth 3, its edges replicated in all three directions,
    as the older deblurring papers' numbers were made. Any size from 1×1 on.

    Args:
        reference, restored: (H, W, 3) uint8 RGB.

    Returns:
        Mean over all voxels, at most 1 (equal images).

    Raises:
        ReblurError: not uint8 RGB, or of different sizes.
    """
    _check(reference, restored, 1, "SSIM (MATLAB-3D)")
    edge = ((_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0))
    padded = np.pad(reference, edge, "edge"), np.pad(restored, edge, "edge")
    total = sum(band.sum() for _, band in _ssim_bands(*padded, _blur_volume))
    return float(total / reference.size)


def ssim_map(
    reference: Num[np.ndarray, "h w c"], restored: Num[np.ndarray, "h w c"]
) -> Float64[np.ndarray, "h-10 w-10 c"]:
    """Gaussian-window SSIM of every window inside the image, values on the scale of 0 to 255.

    For protocols that weigh the windows by a mask; `ssim` is this map's mean.
    """
    return np.concatenate([band for _, band in _ssim_bands(reference, restored, _blur)])


def _bands(
    reference: np.ndarray, restored: np.ndarray, margin: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Bands of rows, each with `margin` rows more above and below; the first row that is whole."""
    rows = reference.shape[0] - 2 * margin
    for top in range(0, rows, _BAND):
        band = slice(top, min(top + _BAND, rows) + 2 * margin)
        yield top, reference[band], restored[band]


def _ssim_bands(
    reference: np.ndarray, restored: np.ndarray, mean: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[int, np.ndarray]]:
    """SSIM of Wang et al. 2004, eq. 13, where the whole window is inside, band by band of rows.

    The two variances appear as a sum alone, hence four weighted means and not five.
    """
    for top, a, b in _bands(reference, restored, _RADIUS):
        x, y = a.astype(np.float64), b.astype(np.float64)
        mu_x, mu_y = mean(x), mean(y)
        mu_xy, mu_squares = mu_x * mu_y, mu_x * mu_x + mu_y * mu_y
        covariance = mean(x * y) - mu_xy
        variances = mean(x * x + y * y) - mu_squares
        above = (2 * mu_xy + _C1) * (2 * covariance + _C2)
        yield top, above / ((mu_squares + _C1) * (variances + _C2))


def _blur(image: np.ndarray) -> np.ndarray:
    """Gaussian-weighted mean over height and width, where the whole window is inside."""
    inside = slice(_RADIUS, -_RADIUS)
    blurred = cv2.sepFilter2D(image, -1, _GAUSSIAN, _GAUSSIAN)
    return blurred.reshape(image.shape)[inside, inside]  # OpenCV drops an axis of length 1


def _volume_matrix() -> Float64[np.ndarray, "3 3"]:
    """The same Gaussian along colour: of 11 taps around a channel, those beyond the 3 replicate."""
    matrix = np.zeros((3, 3))
    for channel in range(3):
        for offset, weight in zip(range(-_RADIUS, _RADIUS + 1), _GAUSSIAN, strict=True):
            matrix[channel, min(max(channel + offset, 0), 2)] += weight
    return matrix


_VOLUME_MATRIX = _volume_matrix()


def _blur_volume(image: np.ndarray) -> np.ndarray:
    return cv2.transform(_blur(image), _VOLUME_MATRIX)


def luminance(image: Num[np.ndarray, "h w 3"]) -> Float64[np.ndarray, "h w"]:
    """0.299 R + 0.587 G + 0.114 B of display-encoded values, as MeTriX MuX takes it."""
    return image @ np.array([0.299, 0.587, 0.114])


def msssim(reference: np.ndarray, restored: np.ndarray) -> float:
    """Multi-scale SSIM as in the Köhler benchmark (`CONVENTIONS["msssim"]`).

    Wang, Simoncelli, Bovik 2003, eq. 7, in the form of the benchmark's own tool (MeTriX MuX 1.1,
    mssim_index.m by D. Rouse): the *means* of contrast and structure are multiplied, not the maps,
    and scales are made by the 9/7 wavelet's low-pass filter with symmetric edges.

    Args:
        reference, restored: (H, W, 3) uint8 RGB, at least 161×161 pixels.

    Returns:
        At most 1 (equal images).

    Raises:
        ReblurError: not uint8 RGB, of different sizes, or smaller than the window at scale 5.
    """
    _check(reference, restored, SMALLEST_MSSSIM, "MSSIM")
    return msssim_of_luminance(luminance(reference), luminance(restored))


SMALLEST_MSSSIM = 161  # halved four times, rounding up, this is the window's 11 pixels


def msssim_of_luminance(
    reference: Float64[np.ndarray, "h w"], restored: Float64[np.ndarray, "h w"]
) -> float:
    """`msssim` of luminances on the scale of 0 to 255, neither rounded nor clamped."""
    x, y = reference, restored
    product = 1.0
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        if scale > 0:
            x, y = (_half(image) for image in (x, y))
        mu_x, mu_y = (_blur(image) for image in (x, y))
        var_x = np.maximum(_blur(x * x) - mu_x * mu_x, 0)
        var_y = np.maximum(_blur(y * y) - mu_y * mu_y, 0)
        covariance = _blur(x * y) - mu_x * mu_y
        deviations = np.sqrt(var_x * var_y)
        contrast = (2 * deviations + _C2) / (var_x + var_y + _C2)
        structure = (covariance + _C2 / 2) / (deviations + _C2 / 2)
        # A negative mean of the structure has no real power: the published code turns complex.
        product *= (contrast.mean() * max(structure.mean(), 0.0)) ** weight
    mu_xy = (2 * mu_x * mu_y + _C1) / (mu_x * mu_x + mu_y * mu_y + _C1)
    return float(product * mu_xy.mean() ** _SCALE_WEIGHTS[-1])


def _half(image: np.ndarray) -> np.ndarray:
    low = cv2.sepFilter2D(image, -1, _WAVELET_97, _WAVELET_97, borderType=cv2.BORDER_REFLECT)
    return low[::2, ::2]


def lpips_available() -> bool:
    """Whether `lpips_distance` has its AlexNet backbone at hand (nothing is downloaded)."""
    from reblur.measures.alexnet import alexnet_features

    try:
        alexnet_features()
    except ReblurError:
        return False
    return True


def lpips_distance(
    reference: np.ndarray, restored: np.ndarray, device: torch.device | str = "cpu"
) -> float:
    """Learned perceptual distance (`CONVENTIONS["lpips"]`; Zhang et al., CVPR 2018).

    Args:
        reference, restored: (H, W, 3) uint8 RGB, at least 31×31 pixels.
        device: where to compute.

    Returns:
        At least 0 (equal images); lower is more alike.

    Raises:
        ReblurError: the backbone's weights are not at hand, or the images do not fit (see `psnr`).
    """
    _check(reference, restored, _SMALLEST_LPIPS, "LPIPS")
    network = _lpips_network().to(device)
    with torch.inference_mode():
        x, y = (_minus_one_to_one(image).to(device) for image in (reference, restored))
        return float(network(x, y))


def _minus_one_to_one(image: np.ndarray) -> Float[torch.Tensor, "1 3 h w"]:
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    return tensor.float() / 127.5 - 1


@functools.cache
def _lpips_network() -> nn.Module:
    from reblur.measures.alexnet import alexnet_features

    features = alexnet_features()
    import lpips  # some seconds: torchvision and more

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # torchvision on the package's way to ask for no weights
        network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    # The package cuts torchvision's `features` into slices that keep each layer's number.
    loaded = {
        name: features[f"features.{name.split('.', 1)[1]}"] for name in network.net.state_dict()
    }
    network.net.load_state_dict({name: torch.as_tensor(value) for name, value in loaded.items()})
    return network.requires_grad_(False).eval()
