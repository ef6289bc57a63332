"""Deblurring networks: the scale-recurrent family and its peers, built by name.

`network(x)` takes RGB images (B, 3, H, W) in [0, 1] of any size and returns a list of estimates
from coarse to fine; `network(x, finest=True)` returns the last one alone. The denoisers of
diffusion models are built by name too, and are called as `denoiser(noisy, t)`.
"""

import importlib
import inspect
from typing import Any

import torch
from torch import nn

from reblur.errors import ReblurError
from reblur.network_names import DENOISERS, NETWORKS, denoiser_names, network_names

__all__ = ["build_network", "denoiser_names", "network_names", "network_options"]


def network_class(name: str) -> type[nn.Module]:
    """The class of a network; its module is imported when it is first asked for."""
    module, cls, _ = (NETWORKS | DENOISERS)[name]
    return getattr(importlib.import_module(f"reblur.networks.{module}"), cls)


def network_options(name: str) -> dict[str, Any]:
    """Every option of the network with its default, as plain JSON values.

    Raises:
        ReblurError: there is no network of that name.
    """
    known = NETWORKS | DENOISERS
    if name not in known:
        raise ReblurError(f"there is no network '{name}'; choose from {', '.join(known)}.")
    delta = known[name][2]
    parameters = inspect.signature(network_class(name)).parameters
    options = {key: parameter.default for key, parameter in parameters.items()} | delta
    return {key: list(v) if isinstance(v, tuple) else v for key, v in options.items()}


def build_network(name: str, *, seed: int = 0, **options: Any) -> nn.Module:
    """Build a network with its initial weights, a function of (name, seed, options) alone.

    The global random state is neither used nor changed.

    Args:
        name: one of `network_names()` or `denoiser_names()`.
        seed: of the initial weights.
        options: what differs from `network_options(name)`, such as `width=8`.

    Returns:
        The network in float32, with the attribute `config`: {"name", "options", "seed"}, the
        options being complete, so that later changes of a default do not change its meaning.

    Raises:
        ReblurError: unknown name, unknown option, or an option's value that is not possible.
    """
    complete = network_options(name)
    for key, value in options.items():
        if key not in complete:
            raise ReblurError(
                f"network '{name}' has no option '{key}'; choose from {', '.join(complete)}."
            )
        if isinstance(value, tuple):
            value = list(value)
        if type(value) is not type(complete[key]):
            raise ReblurError(
                f"network '{name}': option '{key}' must be like {complete[key]!r}, not {value!r}."
            )
        if isinstance(value, list) and any(type(item) is not int for item in value):
            raise ReblurError(f"network '{name}': option '{key}' must be a list of integers.")
        complete[key] = value
    with torch.random.fork_rng(devices=[]):  # the layers' own initialisation, overwritten below
        network = network_class(name)(**complete)
    network.initialise(seed)
    network.config = {"name": name, "options": complete, "seed": seed}
    return network
