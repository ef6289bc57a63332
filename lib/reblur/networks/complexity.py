"""How large a network is, and how much it computes."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """The number of trainable scalars; shared weights count once."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def count_macs(network: nn.Module, height: int, width: int) -> int:
    """Multiply-accumulate operations to restore one image of height × width pixels.

    Those of convolutions and matrix products, padding included; interpolation, activations and
    other elementwise operations are not counted, as is usual. Nothing is computed or allocated:
    the network runs on the meta device.
    """
    shadow = copy.deepcopy(network).to("meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        shadow(torch.empty(1, 3, height, width, device="meta"), finest=True)
    return counter.get_total_flops() // 2
