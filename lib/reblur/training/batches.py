"""Which samples a step sees, and having the next ones ready."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from reblur.training.options import TrainingOptions
from reblur.training.processes import Processes

Batch: TypeAlias = dict[str, Tensor]


@runtime_checkable
class Source(Protocol):
    """Where training samples come from. Sample i is a function of (seed, i) alone."""

    def batch(self, seed: int, indices: Sequence[int], device: torch.device) -> Batch:
        """Samples `indices` as tensors whose first axis runs over the samples."""
        ...


def sample_indices(options: TrainingOptions, step: int, rank: int = 0, count: int = 1) -> range:
    """The samples that process `rank` of `count` takes in update `step`.

    Updates and processes follow each other without gap or overlap: two processes see what one would
    with the doubled batch.
    """
    position = step * count + rank
    return range(position * options.batch, (position + 1) * options.batch)


def batches(
    source: Source, seed: int, options: TrainingOptions, start: int, processes: Processes
) -> Iterator[Batch]:
    """The batches of update `start` and all later ones, in order; on a GPU one is made ahead."""
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    device = processes.device

    def load(step: int) -> Batch:
        indices = sample_indices(options, step, processes.rank, processes.count)
        with torch.no_grad():  # the mode is the thread's own
            batch = source.batch(seed, indices, device)
            return {
                name: tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor
                for name, tensor in batch.items()
            }

    plan = iter(range(start, options.steps))
    yield from _ahead_on_gpu(load, plan, device) if device.type == "cuda" else map(load, plan)


def _ahead_on_gpu(
    load: Callable[[int], Batch], plan: Iterator[int], device: torch.device
) -> Iterator[Batch]:
    """Load in a thread and on a stream of its own, beside the step that is being computed."""
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))

    def load_beside(step: int) -> tuple[Batch, torch.cuda.Event]:
        with torch.cuda.stream(side):
            return load(step), side.record_event()

    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        pending = None
        for step in plan:
            ready, pending = pending, thread.submit(load_beside, step)
            if ready is not None:
                yield _taken_over(*ready.result(), device)
        if pending is not None:
            yield _taken_over(*pending.result(), device)


def _taken_over(batch: Batch, made: torch.cuda.Event, device: torch.device) -> Batch:
    stream = torch.cuda.current_stream(device)
    stream.wait_event(made)
    for tensor in batch.values():
        if tensor.is_cuda:
            tensor.record_stream(stream)  # its memory is not reused before the step is through
    return batch
