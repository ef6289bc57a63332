"""Maps of the defocus, read off a reblurring network, and how good they are.

A map holds the diameter of the circle of confusion in pixels, without a sign.
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from scipy.stats import mannwhitneyu, spearmanr
from torch import Tensor, nn

from reblur.datasets.images.files import to_tensor, to_uint8
from reblur.errors import ReblurError
from reblur.networks.matching import matching_costs
from reblur.networks.reblurring import Reblurred, circle_of_confusion
from reblur.networks.ring_sums import RADII, SEEDS, reblur
from reblur.warping import correspond, warp

WINDOW = 21  # pixels, of `local_contrast`


class Reading(NamedTuple):
    """What a network with a reblurring network says of one photograph."""

    restored: UInt8[np.ndarray, "h w 3"]
    reblurred: UInt8[np.ndarray, "h w 3"]
    coc: Float32[np.ndarray, "h w"]
    seeds: Float[Tensor, "35 h w"]
    weights: Float[Tensor, "8 h w"]


@torch.no_grad()
def read_defocus(
    network: nn.Module, photograph: UInt8[np.ndarray, "h w 3"], device: torch.device | str = "cpu"
) -> Reading:
    """Restore a photograph, blur it again, and read the blur off the kernels: the reblurring
    network's, which compares the two, or those of a matched network's estimator, which reads them
    off the photograph alone.

    Args:
        network: a `DefocusDeblur` with a reblurring network. The photograph goes through it whole.

    Raises:
        ReblurError: it has no reblurring network; or is matched and has no estimator.
    """
    picture = to_tensor(photograph)[None].to(device)
    leaky = network.reblurring is not None and network.reblurring.leaky
    if network.matched:
        seeds, weights = network.estimate(picture).split([SEEDS, 1 + len(RADII)], 1)
        restored = network(picture, finest=True)
        made = Reblurred(reblur(restored, seeds, weights, leaky), seeds, weights)
    else:
        guided = network(picture, guided=True)
        restored, made = guided.restored[-1], guided.reblurred
    coc = circle_of_confusion(made.seeds, made.weights, leaky)
    return Reading(
        to_uint8(restored[0]),
        to_uint8(made.image[0]),
        coc[0].cpu().numpy(),
        made.seeds[0],
        made.weights[0],
    )


@torch.no_grad()
def match_defocus(
    network: nn.Module,
    blurred: UInt8[np.ndarray, "h w 3"],
    sharp: UInt8[np.ndarray, "h w 3"],
    device: torch.device | str = "cpu",
    aligned: bool = False,
) -> Float32[np.ndarray, "h w"]:
    """The blur of a pair by the reblurring network: the map on the grid of `blurred`.

    Args:
        aligned: whether the pair is; else the sharp side is warped onto the blurred one.

    Raises:
        ReblurError: there is no reblurring network; or as `warping.correspond`.
    """
    if network.reblurring is None:
        raise ReblurError("this network has no reblurring network; build with reblurring=True.")
    target, photograph = _on_photograph(sharp, blurred, aligned, device)
    made = network.reblurring(target, photograph)
    leaky = network.reblurring.leaky
    return circle_of_confusion(made.seeds, made.weights, leaky)[0].cpu().numpy()


def best_disc(
    blurred: UInt8[np.ndarray, "h w 3"], sharp: UInt8[np.ndarray, "h w 3"], aligned: bool = False
) -> Float32[np.ndarray, "h w"]:
    """The blur of a pair without learning: the diameter of that even disc, of the radius 0 … 7,
    by which the sharp side explains the photograph best around a pixel; see `match_defocus`."""
    costs = matching_costs(*_on_photograph(sharp, blurred, aligned, "cpu"))
    return 2 * costs[0].argmin(0).float().numpy()


def _on_photograph(
    sharp: UInt8[np.ndarray, "h w 3"],
    blurred: UInt8[np.ndarray, "h w 3"],
    aligned: bool,
    device: torch.device | str,
) -> tuple[Float[Tensor, "1 3 h w"], Float[Tensor, "1 3 h w"]]:
    """(the sharp side, warped onto the photograph unless it is aligned; the photograph)."""
    target, photograph = (to_tensor(x)[None].to(device) for x in (sharp, blurred))
    if not aligned:
        there, _ = correspond(photograph, target)
        target, _ = warp(target, there.flow)
    return target, photograph


def map_errors(
    estimated: Float[np.ndarray, "h w"], true: Float[np.ndarray, "h w"]
) -> dict[str, float]:
    """How far an estimated map is from the true one.

    Returns:
        "mae": mean absolute difference in pixels; "correlation": Spearman's rank correlation, 0
        for an estimate that is constant, which ranks nothing; NaN where the true map is.
    """
    constant = np.ptp(estimated) == 0 < np.ptp(np.abs(true))
    correlation = 0.0 if constant else spearmanr(estimated, np.abs(true), axis=None).statistic
    return {
        "mae": float(np.abs(estimated - np.abs(true)).mean()),
        "correlation": float(correlation),
    }


def auc(estimated: Float[np.ndarray, "h w"], blurred: Bool[np.ndarray, "h w"]) -> float:
    """Area under the ROC curve of finding the blurred pixels by a threshold on the map.

    It is the share of pairs of a blurred and a sharp pixel in which the map is larger on the
    blurred one, ties counting half (Mann and Whitney): 0.5 for chance. NaN without such pairs.
    """
    pairs = int(blurred.sum()) * int((~blurred).sum())
    if pairs == 0:
        return float("nan")
    return float(mannwhitneyu(estimated[blurred], estimated[~blurred]).statistic / pairs)


def local_contrast(photograph: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
    """A map without a network, larger where blurrier: minus the log of the local contrast.

    The contrast is the root mean square of the Laplacian of the grey photograph in a window of
    `WINDOW` pixels. Its unit means nothing: it can be ranked only.
    """
    grey = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY).astype(np.float32)
    energy = cv2.blur(cv2.Laplacian(grey, cv2.CV_32F) ** 2, (WINDOW, WINDOW))
    return -np.log(np.sqrt(energy) + 1)
