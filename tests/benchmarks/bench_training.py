"""The training loop against a plain one: float32, contiguous, PyTorch's defaults.

Run as a script, or through `make bench`. Both train the same network on the same batch, turn by
turn in one run on one thread. A step is timed from one call of the objective to the next, so that
all that the loop does around a step counts. The best CPU time is taken, which other processes
disturb less than they do the clock on the wall.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from reblur.losses.multi_scale import MultiScaleObjective
from reblur.networks import build_network
from reblur.training import TrainingOptions, train

Batch = dict[str, Tensor]


class OneBatch:
    """A source that costs nothing."""

    def __init__(self, batch: int, size: int) -> None:
        noise = torch.Generator().manual_seed(0)
        sharp = torch.rand(batch, 3, size, size, generator=noise)
        self._batch = {"sharp": sharp, "blurred": 0.5 * sharp + 0.25}

    def batch(self, seed: int, indices: Sequence[int], device: torch.device) -> Batch:
        return self._batch


class Timed:
    """An objective that notes the CPU time at each of its calls."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> tuple[Tensor, Batch]:
        self.moments.append(time.process_time())
        return MultiScaleObjective()(network, batch, step)

    def steps(self) -> list[float]:
        """Seconds between the calls; the first, which warms up, is left out."""
        return [b - a for a, b in zip(self.moments[1:-1], self.moments[2:], strict=True)]


def by_the_loop(network: nn.Module, source: OneBatch, steps: int, **changes: Any) -> list[float]:
    """Seconds of the steps of `train`, with its log and its norm of the gradient."""
    options = TrainingOptions.from_dict({"steps": steps + 2, "batch": 1, **changes})
    objective = Timed()
    with tempfile.TemporaryDirectory() as folder:
        train(network, source, objective, options, seed=0, folder=Path(folder), progress=False)
    return objective.steps()


def by_hand(
    network: nn.Module, source: OneBatch, steps: int, *, fused: bool = False
) -> list[float]:
    """Seconds of the steps of the loop that one writes first."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=fused)
    objective = Timed()
    for step in range(steps + 2):
        loss, _ = objective(network, source.batch(0, (), torch.device("cpu")), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return objective.steps()


def best(
    ours: Callable[[], list[float]], reference: Callable[[], list[float]], rounds: int
) -> tuple[float, float]:
    """The shortest steps of both, measured in turn."""
    measured = [(min(ours()), min(reference())) for _ in range(rounds)]
    return min(first for first, _ in measured), min(second for _, second in measured)


def run(rounds: int = 3, steps: int = 2, width: int = 32, size: int = 128) -> list[dict[str, Any]]:
    """The training step in its best mode, and what the loop adds to a bare step.

    Args:
        rounds: turns of each side.
        steps: timed steps a turn.
        width, size: of sr_edrb3, and of its four crops.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_step(rounds, steps, width, size), _around_the_step(rounds)]
    finally:
        torch.set_num_threads(threads)


def _step(rounds: int, steps: int, width: int, size: int) -> dict[str, Any]:
    source = OneBatch(4, size)
    mode = {"precision": "bf16", "channels_last": True}
    ours, reference = best(
        lambda: by_the_loop(build_network("sr_edrb3", width=width), source, steps, **mode),
        lambda: by_hand(build_network("sr_edrb3", width=width), source, steps),
        rounds,
    )
    units = "has" if torch.cpu._is_amx_tile_supported() else "has no"
    return {
        "name": f"training step, sr_edrb3 (width {width}), 4 × {size}²",
        "ours": ours,
        "reference": reference,
        "ratio": reference / ours,
        "unit": "s",
        "note": "bf16 + channels_last + fused Adam against a plain float32 contiguous loop; "
        f"this CPU {units} matrix units for bf16 (AMX)",
    }


def _around_the_step(rounds: int) -> dict[str, Any]:
    """A network so small that the loop's own work shows."""
    source = OneBatch(1, 16)
    mode = {"precision": "fp32", "channels_last": False}
    ours, reference = best(
        lambda: by_the_loop(build_network("sr_edrb3", width=8), source, 30, **mode),
        lambda: by_hand(build_network("sr_edrb3", width=8), source, 30, fused=True),
        rounds,
    )
    added = 1e3 * (ours - reference)
    return {
        "name": "training loop, sr_edrb3 (width 8), 1 × 16²",
        "ours": 1e3 * ours,
        "reference": 1e3 * reference,
        "ratio": reference / ours,
        "unit": "ms",
        "note": f"the loop with its log, clipping and checks adds {added:.1f} ms to a bare step "
        "with the same fused Adam",
    }


if __name__ == "__main__":
    for row in run():
        print(
            f"{row['name']}: {row['ours']:.3g} against {row['reference']:.3g} {row['unit']}, "
            f"{row['ratio']:.2f}×; {row['note']}"
        )
