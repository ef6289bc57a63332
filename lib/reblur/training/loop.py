"""The one training loop of all chapters."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn

from reblur.training.batches import Source, batches
from reblur.training.interruption import leave, noted_signals
from reblur.training.options import TrainingOptions
from reblur.training.processes import Processes
from reblur.training.progress import Progress
from reblur.training.records import Row
from reblur.training.session import LOG, TIMING, VALIDATION, Objective, Session, Validation

# Called with the rows of the log and of the validation so far, and whether they are all.
Watcher: TypeAlias = Callable[[list[Row], list[Row], bool], None]


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves.

    Attributes:
        network: the trained network in evaluation mode, with the averaged weights if `ema` is set.
        log: CSV: step, loss, what the objective reports, lr, grad_norm; the same bytes every time.
        timing: CSV: step, seconds (training only, over all sessions, without validation).
        validation: CSV: step, seconds, what `validate` returns; absent if nothing was validated.
        steps: updates done in all.
        seconds: their wall-clock time over all sessions, without validation.
        resumed_from: the step that this session started from; None for a fresh start.
    """

    network: nn.Module
    log: Path
    timing: Path
    validation: Path
    steps: int
    seconds: float
    resumed_from: int | None


def train(
    network: nn.Module,
    source: Source,
    objective: Objective,
    options: TrainingOptions,
    *,
    seed: int,
    folder: Path,
    validate: Validation | None = None,
    device: torch.device | str = "cpu",
    progress: bool = True,
    watch: Watcher | None = None,
    unused_parameters: bool = False,
) -> TrainingResult:
    """Train `network` in place, or go on where an earlier call with this `folder` was stopped.

    On a CPU with the same number of threads, the same arguments give the same bytes, however often
    the training was killed and started again. Under `accelerate launch` every process calls this
    with the same arguments; p processes with batch b do what one does with batch p·b, to rounding.

    Args:
        network: float32 weights; moved to `device`. Parameters that need no gradient stay.
        source: `source.batch(seed, indices, device)` gives the samples by their numbers.
        objective: (network, batch, step) → (scalar loss, scalars to log). It calls `network` once,
            as `network(…)`, and runs under the loop's autocast; a "psnr" is shown in the bar.
        options: the recipe.
        seed: of the samples, and of torch's global generator at every batch (dropout).
        folder: for the state and the records; of this training alone. Deleting it starts again.
        validate: called with the network in evaluation mode (averaged weights if `ema` is set) on
            the main process only, without autocast.
        device: where to train; under `accelerate launch` its type says GPU or CPU.
        progress: shows a bar.
        watch: called with all rows after each row of the log, such as a `LiveCurve`.
        unused_parameters: the objective leaves parameters that need a gradient without one, at some
            steps at least (a phase); several processes have to know before they exchange gradients.

    Raises:
        ReblurError: the folder holds the state of another training, or a damaged one; the loss or
            the gradient is not finite; the disk is full; the device is not there.
        KeyboardInterrupt, SystemExit: after SIGINT or SIGTERM, once the state is saved.
    """
    folder = Path(folder)
    processes = Processes(device, unused_parameters=unused_parameters)
    session = Session(network, objective, options, seed, folder, processes, validate)
    resumed_from = session.resume()
    images = options.batch * processes.count
    watch = watch if processes.is_main else None
    with (
        noted_signals() as signals,
        torch.random.fork_rng([processes.device] if processes.device.type == "cuda" else []),
        closing(batches(source, seed, options, session.step, processes)) as samples,
        closing(
            Progress(options.steps, session.step, images, shown=progress and processes.is_main)
        ) as bar,
    ):
        session.start()
        while session.step < options.steps:
            row = session.update(samples)
            bar.step(row)
            if row is not None and watch is not None:
                watch(session.log.rows, session.validation.rows, False)
            # Several processes save and stop together: where a row is due, they meet.
            if processes.count == 1 or row is not None:
                stopping = processes.any(bool(signals))
                if stopping or session.save_is_due():
                    session.save()
                if stopping:
                    leave(signals)
    seconds = session.seconds
    if watch is not None:
        watch(session.log.rows, session.validation.rows, True)
    return TrainingResult(
        network=session.finish(),
        log=folder / LOG,
        timing=folder / TIMING,
        validation=folder / VALIDATION,
        steps=session.step,
        seconds=seconds,
        resumed_from=resumed_from,
    )
