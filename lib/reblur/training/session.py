"""One session of a training: the updates, the records, and the state that the next goes on from."""

import json
import math
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from reblur.errors import ReblurError
from reblur.randomness import key
from reblur.training.averaging import AveragedNetwork
from reblur.training.batches import Batch, sample_indices
from reblur.training.options import TrainingOptions, learning_rate
from reblur.training.processes import Processes
from reblur.training.records import Means, Record, Row
from reblur.training.state import StateFile

Objective: TypeAlias = Callable[[nn.Module, Batch, int], tuple[Tensor, dict[str, Tensor]]]
Validation: TypeAlias = Callable[[nn.Module], dict[str, float]]

LOG, TIMING, VALIDATION = "log.csv", "timing.csv", "validation.csv"


class Session:
    """Everything that `train` steps forward, saves and restores.

    `step` counts the updates done. What the steps leave (weights, Adam's moments, averages, the
    means of the log's unfinished row, all rows) is saved together, so that going on from a state
    gives what going on without a stop would have given.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        options: TrainingOptions,
        seed: int,
        folder: Path,
        processes: Processes,
        validate: Validation | None,
    ) -> None:
        self.options, self.folder, self.step = options, folder, 0
        self._objective, self._validate = objective, validate
        self._seed, self._processes = seed, processes
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.network = network.to(device=processes.device, memory_format=layout).train()
        self._trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
        is_clipped = re.compile(options.clip_parameters).search
        self._clipped = [p for n, p in self._trained.items() if is_clipped(n)]
        self._unclipped = [p for n, p in self._trained.items() if not is_clipped(n)]
        self._optimizer = torch.optim.Adam(
            self._trained.values(),
            lr=options.lr,
            betas=options.betas,
            eps=options.eps,
            fused=processes.device.type in ("cpu", "cuda"),
        )
        self._average = None if options.ema is None else AveragedNetwork(network, options.ema)
        self._means = Means()  # of the log's next row
        self._first_fault = torch.tensor(math.inf, device=processes.device)  # a step, or infinity
        # Reading a number costs nothing on a CPU; a GPU would have to wait for it at every step.
        self._reads_every_step = processes.device.type == "cpu" and processes.count == 1
        self._files = StateFile(folder)
        self._began = self._saved = time.perf_counter()
        self._seconds_before = 0.0  # of the sessions before this one
        self._saved_step: int | None = None

    @property
    def seconds(self) -> float:
        """Wall-clock time of all sessions so far, without validation."""
        return time.perf_counter() - self._began

    def resume(self) -> int | None:
        """Take up the state in the folder, if there is one; returns its step.

        Raises:
            ReblurError: it is the state of another training, or damaged; or not all processes see
                it.
        """
        if self._processes.is_main:
            self._files.remove_leavings()
        loaded = self._files.load()
        facts: dict[str, Any] = {"log": [], "timing": [], "validation": []}
        if loaded is not None:
            facts, tensors = loaded
            self._refuse_another(facts["identity"])
            self._restore(facts, tensors)
        self._refuse_unequal_starts()
        self.log = self._record(LOG, facts["log"])
        self.timing = self._record(TIMING, facts["timing"])
        self.validation = self._record(VALIDATION, facts["validation"])
        return None if loaded is None else self.step

    def start(self) -> None:
        """Wrap the network for several processes."""
        self._model = self._processes.wrap(self.network)
        self._saved = time.perf_counter()
        self._began = self._saved - self._seconds_before

    def update(self, samples: Iterator[Batch]) -> Row | None:
        """One update of the weights; returns the log's row if one was due.

        Raises:
            ReblurError: the loss or the gradient is not finite; the last saved state stays.
        """
        options, optimizer = self.options, self._optimizer
        rate = learning_rate(self.step, options)
        for group in optimizer.param_groups:
            group["lr"] = rate
        figures = self._gradient(samples)
        figures["grad_norm"] = self._clip()
        finite = torch.isfinite(figures["loss"]) & torch.isfinite(figures["grad_norm"])
        fault = torch.where(finite, math.inf, float(self.step + 1))
        self._first_fault = torch.minimum(self._first_fault, fault)
        if self._reads_every_step:
            self._stop_if_faulty()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if self._average is not None:
            self._average.update(self.step)
        self._means.add(figures)
        row = None
        if self.step % options.log_every == 0 or self.step == options.steps:
            self._stop_if_faulty()
            row = self._write_row(rate)
        every = options.validate_every or options.steps
        if self._validate is not None and (self.step % every == 0 or self.step == options.steps):
            self._write_validation()
        return row

    def _gradient(self, samples: Iterator[Batch]) -> dict[str, Tensor]:
        """Gradients of one update; returns the means of the loss and of what is reported."""
        processes = self._processes
        indices = sample_indices(self.options, self.step, processes.rank, processes.count)
        self._seed_dropout(key(self._seed, "training", indices.start))
        batch = next(samples)
        with torch.autocast(
            processes.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"
        ):
            loss, reported = self._objective(self._model, batch, self.step)
        loss.backward()
        figures = {n: value.detach().float() for n, value in {"loss": loss, **reported}.items()}
        return figures

    def _seed_dropout(self, seed: int) -> None:
        """Seed torch's global generators that this training may draw from.

        `torch.manual_seed` seeds all devices, and keeps a traceback for each that was never used.
        """
        torch.default_generator.manual_seed(seed)
        if self._processes.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _clip(self) -> Tensor:
        """Clip as the options say; returns the norm of the whole gradient before clipping."""
        inside, outside = (
            get_total_norm([p.grad for p in group if p.grad is not None])
            for group in (self._clipped, self._unclipped)
        )
        if self.options.clip_norm is not None and self._clipped:
            clip_grads_with_norm_(self._clipped, self.options.clip_norm, inside)
        return torch.hypot(inside, outside)

    def _stop_if_faulty(self) -> None:
        step = float(self._processes.minimum(self._first_fault))
        if math.isinf(step):
            return
        kept = (
            "no state had been saved yet"
            if self._saved_step is None
            else f"the state after step {self._saved_step} is kept in {self.folder}"
        )
        raise ReblurError(
            f"training stopped at step {int(step)}: the loss or its gradient is not a finite "
            f"number; {kept}; lower lr or clip_norm, or train with precision fp32, in a new folder."
        )

    def _write_row(self, rate: float) -> Row:
        means = self._means.take(self._processes.mean)
        norm = means.pop("grad_norm")
        row: Row = {"step": self.step, **means, "lr": rate, "grad_norm": norm}
        self.log.append(row)
        self.timing.append({"step": self.step, "seconds": self.seconds})
        return row

    def _write_validation(self) -> None:
        assert self._validate is not None
        self._stop_if_faulty()
        if not self._processes.is_main:
            return
        before = time.perf_counter()
        seconds = self.seconds
        network = self.network if self._average is None else self._average.network
        with torch.no_grad():
            figures = self._validate(network.eval())
        self.network.train()
        self.validation.append({"step": self.step, "seconds": seconds, **figures})
        self._began += time.perf_counter() - before

    def save_is_due(self) -> bool:
        """Whether the last save is old enough, or nothing is left to do."""
        late = time.perf_counter() - self._saved >= self.options.checkpoint_seconds
        return self._processes.any(late) or self.step == self.options.steps

    def save(self) -> None:
        """Write the state, on the main process; raises instead if it is not one to keep."""
        self._stop_if_faulty()
        if self._processes.is_main:
            facts = {
                "identity": self._identity(),
                "step": self.step,
                "seconds": self.seconds,
                "log": self.log.rows,
                "timing": self.timing.rows,
                "validation": self.validation.rows,
                "counts": self._means.counts,
            }
            self._files.save(facts, self._tensors())
        self._saved, self._saved_step = time.perf_counter(), self.step

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors of the state by name."""
        tensors = {f"network/{n}": t for n, t in _weights(self.network).items()}
        if self._average is not None:
            tensors |= {f"average/{n}": t for n, t in _weights(self._average.network).items()}
        for name, parameter in self._trained.items():
            for kind, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"adam/{kind}/{name}"] = value
        return tensors | {f"sum/{n}": t for n, t in self._means.sums.items()}

    @torch.no_grad()
    def _restore(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.step, self._saved_step = facts["step"], facts["step"]
        self._seconds_before = facts["seconds"]
        device, counts = self._processes.device, facts["counts"]
        self._means = Means({name: tensors[f"sum/{name}"].to(device) for name in counts}, counts)
        networks = {"network": self.network}
        if self._average is not None:
            networks["average"] = self._average.network
        for kind, network in networks.items():
            for name, weight in _weights(network).items():
                weight.copy_(tensors[f"{kind}/{name}"])
        moments: dict[int, dict[str, Tensor]] = {}
        for position, (name, parameter) in enumerate(self._trained.items()):
            if f"adam/step/{name}" not in tensors:
                continue  # it has not had a gradient yet
            # The fused kernel walks over memory: the moments need the weights' strides.
            moments[position] = {
                kind: torch.empty_like(parameter).copy_(tensors[f"adam/{kind}/{name}"])
                for kind in ("exp_avg", "exp_avg_sq")
            } | {"step": tensors[f"adam/step/{name}"]}
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a state to be gone on from."""
        options = self.options.as_dict()
        parts = [options.pop("batch"), self._processes.count]
        del options["checkpoint_seconds"]
        identity = options | {
            "samples per step": math.prod(parts),
            "seed": self._seed,
            "network": getattr(self.network, "config", None),
            "shapes": {n: list(p.shape) for n, p in _weights(self.network).items()},
            "trained": list(self._trained),
        }
        return json.loads(json.dumps(identity))  # tuples become lists, as they do on the disk

    def _refuse_another(self, stored: dict[str, Any]) -> None:
        there, here = _flat(stored), _flat(self._identity())
        for name in here | there:
            if there.get(name) != here.get(name):
                raise ReblurError(
                    f"{self.folder} holds the state of another training ({name}: "
                    f"{there.get(name)} there, {here.get(name)} here); delete it or choose another "
                    "folder."
                )

    def _refuse_unequal_starts(self) -> None:
        mine = torch.tensor(float(self.step), device=self._processes.device)
        if self._processes.minimum(mine) != mine:
            raise ReblurError(
                f"{self.folder} holds a state of step {self.step} here, and another one where a "
                "process of this training runs; use a folder that all nodes share."
            )

    def _record(self, name: str, rows: list[Row]) -> Record:
        return Record(self.folder / name if self._processes.is_main else None, rows)

    @torch.no_grad()
    def finish(self) -> nn.Module:
        """The network for use: averaged weights if there are any, in evaluation mode."""
        if self._average is not None:
            averages = _weights(self._average.network)
            for name, weight in _weights(self.network).items():
                weight.copy_(averages[name])
        return self.network.eval()


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, tied ones once."""
    return dict(network.named_parameters()) | dict(network.named_buffers())


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by their path, such as "network.options.width"."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        flat |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat
