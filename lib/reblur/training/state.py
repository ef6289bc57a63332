"""The state of a training on the disk: one safetensors file, two generations, no pickle.

`state.safetensors` holds the tensors, and in its header a JSON text of everything else together
with a digest of both. The generation before stands beside it until the new one is whole, so that
a kill at any moment, or a damaged file, leaves a state to go on from.
"""

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from reblur.errors import ReblurError
from reblur.files import atomic_path

CURRENT = "state.safetensors"
PREVIOUS = "state.previous.safetensors"


class StateFile:
    """The two generations of a training's state in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.current = folder / CURRENT
        self.previous = folder / PREVIOUS
        self._damaged = False  # a damaged current must not become the generation before

    def load(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """(facts, tensors) of the newest whole generation; None where there is none at all.

        Raises:
            ReblurError: there are files, and none of them is whole.
        """
        faults = []
        for path in (self.current, self.previous):
            if not path.is_file():
                continue
            try:
                state = _read(path)
            except (SafetensorError, ValueError, KeyError, OSError) as error:
                faults.append(f"{path} is damaged ({error})")
                self._damaged |= path == self.current
                continue
            if faults:
                warnings.warn(f"{faults[0]}; going on from the one before.", stacklevel=3)
            return state
        if faults:
            raise ReblurError(
                f"{' and '.join(faults)}; no state is left to go on from: delete "
                f"{self.current.parent} to start again."
            )
        return None

    def save(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Write a new generation; the one before stays until this one is whole.

        Raises:
            ReblurError: the disk is full or the folder cannot be written; the state on the disk is
                as it was.
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        text = json.dumps(facts)  # the order of a row's columns is kept
        metadata = {"facts": text, "digest": _digest(text, tensors)}
        with atomic_path(self.current) as temporary:
            with temporary.open("wb") as stream:
                stream.write(save(tensors, metadata))
                stream.flush()
                os.fsync(stream.fileno())  # whole, before the one that it replaces is moved
            if self.current.is_file() and not self._damaged:
                self.current.replace(self.previous)
        self._damaged = False

    def remove_leavings(self) -> None:
        """Remove what killed writers have left half-written in the folder."""
        for path in self.current.parent.glob(".partial-*"):
            path.unlink(missing_ok=True)


def _digest(facts: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, framework="pt", device="cpu") as stored:
        metadata = stored.metadata() or {}
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    if metadata.get("digest") != _digest(metadata["facts"], tensors):
        raise ValueError("its digest does not match its content")
    return json.loads(metadata["facts"]), tensors
