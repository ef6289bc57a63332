"""This process among those of `accelerate launch`; a training alone never loads accelerate."""

import os

import torch
from torch import Tensor, nn

from reblur.errors import ReblurError

# Where torchrun (which `accelerate launch` uses), MPICH, Open MPI and MVAPICH tell the number.
_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


class Processes:
    """Who takes part in a training: `rank` of `count`, on `device`.

    accelerate places the network, wraps it for distributed training and moves the numbers. Its own
    mixed precision stays off: the loop's is the same with and without it.
    """

    def __init__(self, device: torch.device | str, *, unused_parameters: bool = False) -> None:
        self.device = _available(torch.device(device))
        self.rank, self.count = 0, 1
        self._accelerator = None
        if any(int(os.environ.get(name, "1")) > 1 for name in _COUNTS):
            from accelerate import Accelerator
            from accelerate.utils import DistributedDataParallelKwargs

            wrapping = DistributedDataParallelKwargs(find_unused_parameters=unused_parameters)
            self._accelerator = Accelerator(
                cpu=self.device.type == "cpu", mixed_precision="no", kwargs_handlers=[wrapping]
            )
            self.device = self._accelerator.device
            self.rank = self._accelerator.process_index
            self.count = self._accelerator.num_processes

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are averaged over the processes."""
        return network if self._accelerator is None else self._accelerator.prepare_model(network)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes, on all of them."""
        return values if self._accelerator is None else self._accelerator.reduce(values, "mean")

    def minimum(self, value: Tensor) -> Tensor:
        """The smallest of the processes' scalars, on all of them."""
        return value if self._accelerator is None else self._accelerator.gather(value).min()

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in one process at least; waits for all of them."""
        if self._accelerator is None:
            return flag
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)


def _available(device: torch.device) -> torch.device:
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ReblurError(
            "no CUDA device can be used here; train with device 'cpu', or check the driver with "
            "nvidia-smi and that this PyTorch is a CUDA build."
        )
    return device
