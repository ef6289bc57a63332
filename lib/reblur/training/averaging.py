"""Exponential moving average of a network's weights."""

import copy

import torch
from torch import nn


class AveragedNetwork:
    """A copy of `network` whose weights are the moving average: a ← d·a + (1 − d)·w.

    The decay d of update k = 1, 2, … is min(decay, k / (k + 9)): the first weights, which know
    nothing, are forgotten fast (the warm-up of TensorFlow's `ExponentialMovingAverage`). Buffers
    are taken over as they are.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self._decay = decay
        # The parameters themselves: wrapping a network for several processes moves their memory.
        self._averages, self._weights = list(self.network.parameters()), list(network.parameters())
        self._buffers, self._sources = list(self.network.buffers()), list(network.buffers())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number `step` (1, 2, …)."""
        decay = min(self._decay, step / (step + 9))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        for buffer, source in zip(self._buffers, self._sources, strict=True):
            buffer.copy_(source)
