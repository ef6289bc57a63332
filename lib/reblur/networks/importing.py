"""Weights that others published for networks of this library, read into these networks.

They are read by `torch.load(weights_only=True)` alone, which unpickles tensors and plain containers
and nothing else. The namings that are known stand in `foreign_names`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from reblur.errors import ReblurError
from reblur.networks import build_network
from reblur.networks.foreign_names import FOREIGN, Foreign, Tensors

_WRAPPERS = (
    *("params_ema", "params", "state_dict", "model_state_dict", "state_dict_ema", "model"),
    *("model_state", "network", "net", "net_g", "netG", "generator", "weights", "G"),
)
_PREFIXES = ("module.", "model.", "netG.", "net_g.", "generator.", "G.")


@dataclass(frozen=True)
class Imported:
    """A network with the weights of others, and what is to be kept with it."""

    network: nn.Module
    metadata: dict[str, Any]
    note: str


def import_weights(path: Path | str, value_range: float | int | None = None) -> Imported:
    """Read weights of others into the network of this library that they fit.

    Args:
        path: what `torch.save` wrote: a state dict, bare or under params, state_dict and the like.
        value_range: the largest value of an image in the code that trained them, 1 or 255; None:
            that naming's usual one.

    Raises:
        ReblurError: no such file, no plain tensors in it, a naming that is not known, or tensors
            that do not fit, each with its shape.
    """
    path = Path(path)
    tensors = read_state_dict(path)
    foreign = next(
        (known for known in FOREIGN if any(re.search(known.mark, name) for name in tensors)), None
    )
    if foreign is None:
        raise ReblurError(
            f"{path}: its {len(tensors)} tensors (first '{next(iter(tensors))}') have the names of "
            f"no network known here; known are {'; '.join(known.about for known in FOREIGN)}."
        )
    theirs, unknown = _renamed(tensors, foreign)
    renamed = {ours: tensors[name] for ours, name in theirs.items()}
    value_range = float(value_range or foreign.value_range)
    try:
        network = build_network(foreign.network, **foreign.options(renamed))
    except (KeyError, IndexError, ValueError) as error:
        raise ReblurError(
            f"{path}: looks like {foreign.about}, but lacks {error}; give the whole file."
        ) from error
    _refuse_misfits(path, foreign, network.state_dict(), tensors, theirs, unknown)
    network.load_state_dict(foreign.adapt(renamed, value_range))
    metadata = {"imported_from": path.name, "naming": foreign.about, "value_range": value_range}
    return Imported(network.eval(), metadata, foreign.note)


def read_state_dict(path: Path) -> Tensors:
    """The tensors of a .pth or .safetensors file, without wrappers and prefixes, in float32.

    Raises:
        ReblurError: no such file, other things than tensors in it, or no tensors.
    """
    if not path.is_file():
        raise ReblurError(f"{path}: there is no such file; check the name.")
    try:
        if path.suffix == ".safetensors":
            held = safetensors.torch.load_file(path)
        else:
            held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise whatever they lead the reader to
        raise ReblurError(
            f"{path}: cannot be read as plain tensors ({str(error).splitlines()[0][:120]}); save "
            "the network's state_dict() alone, where it is trusted, or download it again."
        ) from error
    while isinstance(held, Mapping):
        inner = next((held[key] for key in _WRAPPERS if isinstance(held.get(key), Mapping)), None)
        if inner is None:
            break
        held = inner
    tensors = held.items() if isinstance(held, Mapping) else ()
    found = {str(name): value for name, value in tensors if isinstance(value, Tensor)}
    if not found:
        raise ReblurError(f"{path}: holds no named tensors; give a file of a network's weights.")
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in found)), None):
        found = {name.removeprefix(prefix): value for name, value in found.items()}
    return {
        name: value.float() if value.is_floating_point() else value for name, value in found.items()
    }


def _renamed(tensors: Tensors, foreign: Foreign) -> tuple[dict[str, str], list[str]]:
    """Their name by ours, and their names that are not known."""
    theirs, unknown = {}, []
    for name in tensors:
        for pattern, ours in foreign.names:
            found = re.fullmatch(pattern, name)
            if found:
                theirs[ours(found) if callable(ours) else found.expand(ours)] = name
                break
        else:
            unknown.append(name)
    return theirs, unknown


def _refuse_misfits(
    path: Path,
    foreign: Foreign,
    expected: Tensors,
    tensors: Tensors,
    theirs: dict[str, str],
    unknown: list[str],
) -> None:
    """ReblurError that tells every tensor that does not fit, one a line."""
    odd = [*unknown, *(name for ours, name in theirs.items() if ours not in expected)]
    told = [f"{name}: is in no such network" for name in odd]
    for ours, tensor in expected.items():
        if ours not in theirs:
            told.append(f"{ours} (this library's name): is not in the file")
        elif tensors[theirs[ours]].shape != tensor.shape:
            found = _shape(tensors[theirs[ours]].shape)
            told.append(f"{theirs[ours]}: is {found} in the file, {_shape(tensor.shape)} here")
    if told:
        raise ReblurError(
            f"{path}: {len(told)} tensors do not fit the network '{foreign.network}' (read as "
            f"{foreign.about}); give weights of that very network:\n  " + "\n  ".join(told)
        )


def _shape(shape: torch.Size) -> str:
    return "×".join(map(str, shape)) or "one number"
