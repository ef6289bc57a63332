"""A training small enough for tests: in this process, in one that is killed, or under accelerate.

Run as a script: `tiny_training.py FOLDER '{"batch": 4, …}' FOLDER …`.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from reblur.losses.multi_scale import MultiScaleObjective
from reblur.randomness import torch_generator
from reblur.training import TrainingOptions, TrainingResult, train

OPTIONS = {"steps": 40, "batch": 4, "lr": 1e-2, "log_every": 8, "clip_norm": 0.05, "ema": 0.9}


class TinyNetwork(nn.Module):
    """Three convolutions with all that a state must hold: a buffer, dropout, a frozen layer."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.first = nn.Conv2d(3, 8, 3, padding=1)
            self.cell = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Dropout(dropout))
            self.last = nn.Conv2d(8, 3, 3, padding=1)
            self.frozen = nn.Conv2d(3, 3, 1).requires_grad_(False)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor, with_last: bool = True) -> list[Tensor]:
        if self.training:
            self.seen += 1
        y = torch.relu(self.cell(torch.relu(self.first(x))))
        fine = x + (self.last(y) if with_last else y[:, :3]) + 0.01 * self.frozen(x)
        return [nn.functional.avg_pool2d(fine, 2), fine]


class RandomPairs:
    """Pairs of noise and darker noise; remembers which samples were asked for."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.asked: list[int] = []
        self._seconds = seconds

    def batch(self, seed: int, indices: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        time.sleep(self._seconds)
        self.asked += indices
        sharp = torch.stack(
            [torch.rand(3, 8, 8, generator=torch_generator(seed, "tiny", i)) for i in indices]
        ).to(device)
        return {"blurred": 0.5 * sharp + 0.2, "sharp": sharp}


def mean_weight(network: nn.Module) -> dict[str, float]:
    """A stand-in for validation that every weight has a part in."""
    assert not network.training
    return {"psnr": float(sum(p.double().sum() for p in network.parameters()))}


def run(folder: Path, changes: dict[str, Any], seconds: float = 0.0, **more: Any) -> TrainingResult:
    """Train the tiny network on one thread and write `weights.safetensors` at the end."""
    torch.set_num_threads(1)
    more = {"validate": mean_weight, "objective": MultiScaleObjective(), "seed": 3} | more
    network = more.pop("network", None) or TinyNetwork()
    source = more.pop("source", None) or RandomPairs(seconds)
    options = TrainingOptions.from_dict(OPTIONS | changes)
    result = train(network, source, options=options, folder=folder, progress=False, **more)
    safetensors.torch.save_file(
        {name: tensor.contiguous() for name, tensor in result.network.state_dict().items()},
        folder / "weights.safetensors",
    )
    return result


def final_bytes(folder: Path) -> dict[str, Any]:
    """What must come out the same every time: weights, log, validation without its clock."""
    rows = (folder / "validation.csv").read_text().splitlines()
    return {
        "weights": (folder / "weights.safetensors").read_bytes(),
        "log": (folder / "log.csv").read_bytes(),
        "validation": [[row.split(",")[0], row.split(",")[2]] for row in rows],
        "timing": [row.split(",")[0] for row in (folder / "timing.csv").read_text().splitlines()],
    }


def in_phases(
    network: nn.Module, batch: dict[str, Tensor], step: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """An objective that leaves the last layer out for five steps."""
    if step >= 5:
        return MultiScaleObjective()(network, batch, step)
    return network(batch["blurred"], with_last=False)[-1].square().mean(), {}


OBJECTIVES = {"in_phases": in_phases}

if __name__ == "__main__":
    for folder, text in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        changes = json.loads(text)
        dropout = changes.pop("dropout", 0.1)
        more = {}
        if "objective" in changes:
            more = {"objective": OBJECTIVES[changes.pop("objective")], "unused_parameters": True}
        run(Path(folder), changes, network=TinyNetwork(dropout), **more)
