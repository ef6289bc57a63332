"""Networks in safetensors files: tensors only, with what is needed to build the network again."""

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from reblur.errors import ReblurError
from reblur.files import atomic_open, sha256_of_file
from reblur.networks import build_network

KEY = "reblur"  # of the file's metadata: JSON of {"config": …, "metadata": …}


def save_network(network: nn.Module, path: str | Path, **metadata: Any) -> None:
    """Write a network of `build_network` to `path`, atomically; the same network, the same bytes.

    Args:
        metadata: JSON values to keep with it, such as step=1000 or dataset="gopro".

    Raises:
        ReblurError: the file cannot be written.
        TypeError: a metadata value has no JSON form.
    """
    text = json.dumps({"config": network.config, "metadata": metadata}, sort_keys=True)
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    content = safetensors.torch.save(tensors, metadata={KEY: text})
    with atomic_open(path, "wb") as stream:
        stream.write(content)


def load_network(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read a network that `save_network` wrote, on the CPU, in evaluation mode.

    Nothing is unpickled: a file of another kind is refused, whatever it holds.

    Returns:
        The network and the metadata that it was saved with.

    Raises:
        ReblurError: no such file; not a safetensors file, or a damaged one; not written by
            `save_network`; or tensors that do not fit the network named in it.
    """
    path = Path(path)
    if not path.is_file():
        raise ReblurError(f"{path}: no such weights file; give another path or train a network.")
    if path.suffix.lower() in (".pth", ".pt", ".ckpt", ".bin"):
        raise ReblurError(
            f"{path}: is of PyTorch's own format, which can hold code; turn it into a .safetensors "
            f"file first: 'reblur import {path}'."
        )
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as opened:
            text = (opened.metadata() or {}).get(KEY)
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise ReblurError(
            f"{path}: not a safetensors file, or a damaged one ({error}); copy it again."
        ) from error
    try:
        stored = json.loads(text or "")
        config, metadata = stored["config"], stored["metadata"]
        name, seed, options = config["name"], config["seed"], config["options"]
        kinds = [type(value) for value in (name, seed, options, metadata)]
        if kinds != [str, int, dict, dict] or {"name", "seed"} & options.keys():
            raise ValueError("not what save_network writes")
    except (ValueError, KeyError, TypeError) as error:
        raise ReblurError(
            f"{path}: says nothing of its network, so it was not written by this library; "
            "give weights that 'reblur' trained."
        ) from error
    try:
        with torch.device("meta"):  # allocates nothing, whatever the file claims
            network = build_network(name, seed=seed, **options)
    except ReblurError as error:
        raise ReblurError(
            f"{path}: cannot be built by this version of the library: {error}"
        ) from None
    expected = {key: (value.shape, value.dtype) for key, value in network.state_dict().items()}
    found = {key: (value.shape, value.dtype) for key, value in tensors.items()}
    if expected != found:
        odd = sorted(k for k in expected | found if expected.get(k) != found.get(k))
        raise ReblurError(
            f"{path}: {len(odd)} of its tensors do not fit network '{name}' (first '{odd[0]}'); "
            "train it again, or use the version of the library that wrote it."
        )
    network.load_state_dict(tensors, assign=True)
    return network.eval(), metadata


def start_from(network: nn.Module, path: str | Path) -> dict[str, Any]:
    """Load the weights of another run into a network, to train on from them.

    The two need the same tensors, not the same name or seed.

    Returns:
        What a run's record keeps of it: {"file", "sha256", "config", "metadata"}.

    Raises:
        ReblurError: as `load_network`, or tensors of another shape or name, which are told.
    """
    path = Path(path)
    other, metadata = load_network(path)
    given, wanted = other.state_dict(), network.state_dict()
    told = [
        f"{name} ({_shape(given.get(name))} in the file, {_shape(wanted.get(name))} here)"
        for name in dict.fromkeys((*wanted, *given))
        if name not in given or name not in wanted or given[name].shape != wanted[name].shape
    ]
    if told:
        name = getattr(network, "config", {}).get("name", "to be trained")
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        raise ReblurError(
            f"{path}: {len(told)} of its tensors do not fit the network '{name}': "
            f"{', '.join(told[:3])}{more}; they are of '{other.config['name']}' with the options "
            f"{other.config['options']}: train that network, or start from other weights."
        )
    network.load_state_dict(given)
    facts = {"file": path.name, "sha256": sha256_of_file(path)}
    return facts | {"config": other.config, "metadata": metadata}


def _shape(tensor: torch.Tensor | None) -> str:
    return "none" if tensor is None else "×".join(map(str, tensor.shape)) or "one number"
