"""Reblurring by ring sums against the plain form that stacks all 679 taps, both in this run."""

import math
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from reblur.networks.ring_sums import RADII, SECTIONS, SEEDS, reblur

ROUNDS = 3
SIDE = 256


def tap_stack(image: Tensor, seeds: Tensor, weights: Tensor, leaky: bool) -> Tensor:
    """Every kernel as a stack of its taps, times the stack of the shifted images."""
    height, width = image.shape[2:]
    result = weights[:, :1] * image
    for radius, s in zip(RADII, seeds.abs().split(SECTIONS, 1), strict=True):
        padded = F.pad(image, (radius,) * 4, mode="replicate")
        logits, shifted = [], []
        for down in range(-radius, radius + 1):
            for right in range(-radius, radius + 1):
                d = math.hypot(down, right)
                low, high = math.floor(d), math.ceil(d)
                if d > radius:
                    logits.append(torch.full_like(s[:, 0], 0.0 if leaky else -math.inf))
                elif low == high:
                    logits.append(s[:, low])
                else:
                    logits.append((high - d) * s[:, low] + (d - low) * s[:, high])
                y, x = radius + down, radius + right
                shifted.append(padded[..., y : y + height, x : x + width])
        kernel = torch.stack(logits, 1).softmax(1)
        reblurred = (kernel[:, None] * torch.stack(shifted, 2)).sum(2)
        result = result + weights[:, radius : radius + 1] * reblurred
    return result


def inputs() -> list[Tensor]:
    """An image, seeds and weights, all of which want a gradient."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, SIDE, SIDE, generator=generator)
    seeds = torch.randn(1, SEEDS, SIDE, SIDE, generator=generator)
    weights = torch.randn(1, 8, SIDE, SIDE, generator=generator).softmax(1)
    return [x.requires_grad_() for x in (image, seeds, weights)]


def milliseconds(form: Callable[..., Tensor], leaky: bool) -> float:
    """Forward and backward, once."""
    given = inputs()
    start = time.perf_counter()
    form(*given, leaky).sum().backward()
    return 1e3 * (time.perf_counter() - start)


def values_and_memory(form: Callable[..., Tensor], leaky: bool) -> tuple[list[Tensor], float]:
    """The image and the three gradients; bytes a pixel kept from forward to backward."""
    given = inputs()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = form(*given, leaky)
    gradients = torch.autograd.grad(result.square().sum(), given)
    return [result.detach(), *gradients], sum(kept.values()) / SIDE**2


def run() -> list[dict]:
    """Time and memory, ours and the reference's; the best of several rounds, in turns."""
    rows = []
    for leaky in (False, True):
        values, kept = values_and_memory(reblur, leaky)
        expected, reference_kept = values_and_memory(tap_stack, leaky)
        apart = max(float((a - b).abs().max()) for a, b in zip(values, expected, strict=True))
        times = [
            (milliseconds(reblur, leaky), milliseconds(tap_stack, leaky)) for _ in range(ROUNDS)
        ]
        ours, reference = (min(column) for column in zip(*times, strict=True))
        name = f"reblurring 1×3×{SIDE}²{', published kernels' if leaky else ''}"
        rows.append(
            {
                "name": f"{name}, forward + backward",
                "ours": ours,
                "reference": reference,
                "ratio": reference / ours,
                "unit": "ms",
                "note": f"value and gradients differ by {apart:.0e} at most; aim: 5",
            }
        )
        rows.append(
            {
                "name": f"{name}, kept for backward",
                "ours": kept,
                "reference": reference_kept,
                "ratio": reference_kept / kept,
                "unit": "bytes/px",
                "note": "the three inputs included; aim: 10",
            }
        )
    return rows


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(
            f"{row['name']}: {row['ours']:.4g} against {row['reference']:.4g} {row['unit']}, "
            f"{row['ratio']:.1f}× ({row['note']})\n"
        )
