"""How far apart two sets of images are as distributions, and how far images moved from their start.

No image of one set corresponds to one of the other. Print the target-against-target floor (two
halves of one set) beside every distance; a set's size moves it, the Fréchet distance most, so that
distances which are compared are of sets of equal sizes.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reblur.errors import ReblurError
from reblur.randomness import torch_generator

Images = Float[Tensor, "n 3 h w"]
Others = Float[Tensor, "m 3 h_b w_b"]

DISTANCES: dict[str, str] = {
    "spectrum": "RMS difference in dB of the mean log power over 16 rings of spatial frequency, in "
    "three opponent colours (Hann window, 8-bit rounding noise added).",
    "swd": "sliced Wasserstein-1 distance of mean-removed 8×8 RGB patches, on 128 directions whose "
    "power grows as the squared frequency, in values of [0, 1].",
    "mmd": "unbiased squared MMD with kernel (x·y/d + 1)³ on AlexNet's second layer "
    "(AlexNet-MMD); around 0, also below, for equal distributions.",
    "fd": "Fréchet distance on AlexNet's second layer (AlexNet-FD, no FID); the smaller the sets, "
    "the larger its bias.",
}

SMALLEST = 32  # side in pixels that gives every ring of the spectrum a frequency
_RINGS = 16
_SIDE = 8  # of a patch
_PATCHES = 64  # per image
_DIRECTIONS = 128
_BATCH = 64  # images at a time through AlexNet
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for AlexNet


def available_distances() -> list[str]:
    """The names in `DISTANCES` that can be computed here: mmd and fd need AlexNet's convolutions.

    Nothing is downloaded.
    """
    from reblur.measures.full_reference import (
        lpips_available,  # LPIPS stands on the same convolutions
    )

    return list(DISTANCES) if lpips_available() else ["spectrum", "swd"]


def distance(name: str, a: Images, b: Others, seed: int = 0) -> float:
    """One of `DISTANCES` between two sets; symmetric, and blind to the order of the images.

    Args:
        a, b: RGB in [0, 1], display-encoded, on one device, of one size from 32×32 on; at least
            two images each, not necessarily equally many.
        seed: of the patches' places and directions of "swd"; the others have no chance in them.

    Raises:
        ReblurError: an unknown name, images that do not fit, or no AlexNet here (mmd, fd).
    """
    if name not in DISTANCES:
        raise ReblurError(f"there is no distance '{name}'; choose from {', '.join(DISTANCES)}.")
    for images in (a, b):
        _check(name, images, fewest=2, smallest=SMALLEST)
    if a.shape[2:] != b.shape[2:]:
        raise ReblurError(
            f"distance '{name}': one set's images are {_size(a)} pixels and the other's "
            f"{_size(b)}; cut both to one size."
        )
    with torch.no_grad():
        return _COMPUTE[name](a.float(), b.float(), seed)


def deviation(a: Images, initial: Others) -> Float[Tensor, " n"]:
    """RMSE of each image against the one that it started from, over pixels and channels.

    Args:
        a, initial: RGB in [0, 1], image i of one belonging to image i of the other.

    Raises:
        ReblurError: no images, values that are not finite or not in [0, 1], or different numbers or
            sizes of images.
    """
    _check_both("deviation", a, initial, smallest=1)
    return (a - initial).square().mean((1, 2, 3)).sqrt()


def content_deviation(a: Images, initial: Others) -> Float[Tensor, " n"]:
    """`deviation` of the 4×4 area means: what changed beyond noise, sharpness and compression.

    Rows and columns beyond a multiple of 4 are left out.

    Raises:
        ReblurError: as `deviation`, or a side is shorter than 4 pixels.
    """
    _check_both("content_deviation", a, initial, smallest=4)
    return deviation(F.avg_pool2d(a, 4), F.avg_pool2d(initial, 4))


def _check_both(what: str, a: Tensor, initial: Tensor, smallest: int) -> None:
    for images in (a, initial):
        _check(what, images, fewest=1, smallest=smallest)
    if a.shape != initial.shape:
        raise ReblurError(
            f"{what}: {len(a)} images of {_size(a)} pixels cannot be compared one by one with "
            f"{len(initial)} of {_size(initial)}; give each image with the one it started from."
        )


def _check(what: str, images: Tensor, fewest: int, smallest: int) -> None:
    if len(images) < fewest:
        raise ReblurError(f"{what}: a set holds {len(images)} images; give at least {fewest}.")
    if min(images.shape[2:]) < smallest:
        raise ReblurError(
            f"{what}: needs images of at least {smallest}×{smallest} pixels, these are "
            f"{_size(images)}; take larger ones."
        )
    low, high = (float(value) for value in images.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ReblurError(
            f"{what}: a set holds values that are not finite; find out which image they come from."
        )
    if low < -1e-3 or high > 1 + 1e-3:
        raise ReblurError(
            f"{what}: a set holds values from {low:.3g} to {high:.3g}; give images in [0, 1]."
        )


def _size(images: Tensor) -> str:
    return f"{images.shape[3]}×{images.shape[2]}"


def spectra(images: Images) -> Float[Tensor, "n 3 16"]:
    """Power in dB over rings 1/32, 2/32, … 1/2 of cycles a pixel, of three opponent colours.

    The colours are (1, 1, 1), (1, 0, −1) and (1, −2, 1), each of unit length, so that chroma noise
    and chroma subsampling have bands of their own. White noise of deviation σ has the power σ² in
    each ring. The power of 8-bit rounding, (1/255)²/12, is added: nothing below it can be seen.
    """
    height, width = images.shape[2:]
    colours = images.new_tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    colours = colours / colours.norm(dim=1, keepdim=True)
    x = torch.einsum("kc,nchw->nkhw", colours, images)
    rows, columns = (  # no zeros at its ends
        torch.hann_window(side + 2, periodic=False, device=x.device)[1:-1]
        for side in (height, width)
    )
    window = torch.outer(rows, columns)
    mean = (x * window).sum((2, 3), keepdim=True) / window.sum()
    window = window / window.square().mean().sqrt()
    power = torch.fft.fft2((x - mean) * window, norm="ortho").abs().square().flatten(2)
    fy, fx = (torch.fft.fftfreq(side, device=x.device) for side in (height, width))
    ring = ((fy[:, None].square() + fx.square()).sqrt() * 2 * _RINGS).round().long().flatten()
    member = F.one_hot(ring, int(ring.max()) + 1)[:, 1 : _RINGS + 1].to(power.dtype)  # no DC
    rings = power @ (member / member.sum(0))
    return 10 * torch.log10(rings + 1 / (12 * 255**2))


def _spectrum(a: Images, b: Others, seed: int) -> float:
    mean_a, mean_b = (spectra(images).double().mean(0) for images in (a, b))
    return float((mean_a - mean_b).square().mean().sqrt())


def spectrum_deviation(
    a: Images, homes_a: Sequence[str], b: Others, homes_b: Sequence[str], draws: int = 500
) -> float:
    """The standard deviation of the distance "spectrum" if other photographs had been taken: the
    photographs of both sets are drawn again (bootstrap), each with all of its images.

    Args:
        homes_a, homes_b: the photograph behind each image.
    """
    generator = np.random.Generator(np.random.Philox(0))

    def means(images: Tensor, homes: Sequence[str]) -> np.ndarray:  # (draws, 48)
        rows = spectra(images).double().flatten(1).numpy()
        names, places = np.unique(homes, return_inverse=True)
        member = np.eye(len(names))[:, places]  # (photographs, images)
        weights = generator.multinomial(len(names), [1 / len(names)] * len(names), draws)
        return weights @ (member @ rows) / (weights @ member.sum(1))[:, None]

    apart = means(a, homes_a) - means(b, homes_b)
    return float(np.sqrt(np.square(apart).mean(1)).std(ddof=1))


def _directions(count: int, generator: torch.Generator) -> Float[Tensor, "count 3*8*8"]:
    """Random unit vectors of the space of patches, orthogonal to constant channels.

    Their power over the frequencies f of the 8×8 cosine transform grows as f², which evens out the
    1/f² of natural images (Field 1987): evenly drawn directions would see little else than coarse
    structure, and noise and compression only where they are as strong. At f = 0 it is 0, which is
    the removal of each patch's mean.
    """
    index = torch.arange(_SIDE)
    basis = torch.cos(math.pi * (index + 0.5) * index[:, None] / _SIDE)  # (frequency, pixel)
    basis = basis / basis.norm(dim=1, keepdim=True)
    frequency = (index[:, None].square() + index.square()).sqrt()  # (8, 8)
    drawn = torch.randn(count, 3, _SIDE, _SIDE, generator=generator) * frequency
    directions = torch.einsum("ncuv,ui,vj->ncij", drawn, basis, basis).flatten(1)
    return directions / directions.norm(dim=1, keepdim=True)


def _swd(a: Images, b: Others, seed: int) -> float:
    generator = torch_generator(seed, "distances/swd")
    directions = _directions(_DIRECTIONS, generator).to(a.device)
    # The same places in every image: the order of the images changes nothing.
    y, x = (
        torch.randint(side - _SIDE + 1, (_PATCHES,), generator=generator).to(a.device)
        for side in a.shape[2:]
    )

    def projected(images: Tensor) -> Tensor:  # (128, images · 64)
        patches = images.unfold(2, _SIDE, 1).unfold(3, _SIDE, 1)[:, :, y, x]  # (n, 3, 64, 8, 8)
        return directions @ patches.transpose(1, 2).reshape(-1, 3 * _SIDE**2).T

    return float(wasserstein(projected(a), projected(b)).double().mean())


def wasserstein(x: Float[Tensor, "k n"], y: Float[Tensor, "k m"]) -> Float[Tensor, " k"]:
    """`W1 = ∫ |F⁻¹(u) − G⁻¹(u)| du` of each row's two samples, exact for any n and m."""
    x, y = x.sort(dim=1).values, y.sort(dim=1).values
    n, m = x.shape[1], y.shape[1]
    if n == m:
        return (x - y).abs().mean(1)
    # F⁻¹ steps at i/n and G⁻¹ at j/m; in units of 1/(n m) these are whole numbers.
    steps = torch.cat([torch.arange(n) * m, torch.arange(m) * n]).unique()
    widths = torch.diff(steps, append=torch.tensor([n * m])).to(x) / (n * m)
    steps = steps.to(x.device)
    return ((x[:, steps // m] - y[:, steps // n]).abs() * widths).sum(1)


def alexnet_means(images: Images) -> Float[Tensor, "n 192"]:
    """Each image's mean of AlexNet's second layer, the channels of a pixel being of length √192.

    An early layer, as noise, blur and compression are what shall be told apart, and contents not.
    Each pixel's features are brought to one length first, as in LPIPS. In float64 on the CPU.

    Raises:
        ReblurError: AlexNet's convolutions are not here.
    """
    from reblur.measures.alexnet import alexnet_features

    weights = {name: value.to(images.device) for name, value in alexnet_features().items()}
    mean, deviation = (images.new_tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _DEVIATION))
    means = []
    for batch in images.split(_BATCH):
        x = (batch - mean) / deviation
        x = F.conv2d(x, weights["features.0.weight"], weights["features.0.bias"], 4, 2)
        x = F.max_pool2d(F.relu(x), 3, 2)
        x = F.relu(F.conv2d(x, weights["features.3.weight"], weights["features.3.bias"], 1, 2))
        x = F.normalize(x, dim=1) * x.shape[1] ** 0.5
        means.append(x.mean((2, 3)).cpu().double())
    return torch.cat(means)


def _on_features(
    name: str, compute: Callable[[Tensor, Tensor], float]
) -> Callable[[Tensor, Tensor, int], float]:
    def of_images(a: Tensor, b: Tensor, seed: int) -> float:
        try:
            features = alexnet_means(a), alexnet_means(b)
        except ReblurError as error:
            raise ReblurError(f"distance '{name}': {error}") from error
        return compute(*features)

    return of_images


def polynomial_mmd(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy with `k = (x·y/d + 1)³`.

    Gretton et al. 2012, lemma 6, with the kernel of Bińkowski et al. 2018: the mean of k over pairs
    of different samples of x, plus that of y, minus twice that of pairs across.
    """
    n, m, d = len(x), len(y), x.shape[1]
    within_x, within_y, across = ((p @ q.T / d + 1) ** 3 for p, q in ((x, x), (y, y), (x, y)))
    mean_x = (within_x.sum() - within_x.trace()) / (n * (n - 1))
    mean_y = (within_y.sum() - within_y.trace()) / (m * (m - 1))
    return float(mean_x + mean_y - 2 * across.mean())


def frechet(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """`|μx − μy|² + tr(Σx + Σy − 2 (Σx Σy)^½)` of two samples, also with n or m below d.

    With `Σx = XᵀX` and `Σy = YᵀY` of the centred samples, the eigenvalues of `(Σx Σy)^½` are the
    singular values of `X Yᵀ`: no square root of a matrix that may be singular.
    """
    mean_x, mean_y = x.mean(0), y.mean(0)
    x = (x - mean_x) / (len(x) - 1) ** 0.5
    y = (y - mean_y) / (len(y) - 1) ** 0.5
    # R of X = Q R has the singular values of X Yᵀ with at most d rows.
    rows_x, rows_y = (torch.linalg.qr(s, mode="r").R if len(s) > s.shape[1] else s for s in (x, y))
    common = torch.linalg.svdvals(rows_x @ rows_y.T).sum()
    traces = x.square().sum() + y.square().sum()
    return float((mean_x - mean_y).square().sum() + traces - 2 * common)


_COMPUTE: dict[str, Callable[[Tensor, Tensor, int], float]] = {
    "spectrum": _spectrum,
    "swd": _swd,
    "mmd": _on_features("mmd", polynomial_mmd),
    "fd": _on_features("fd", frechet),
}
