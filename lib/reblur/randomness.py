"""Randomness as a function of (seed, stream, index), never of a running generator.

A sample's draw does not depend on the batch that it stands in, on the number of workers, on what
was drawn before, or on where a run was resumed.
"""

import hashlib

import numpy as np
import torch


def key(seed: int, stream: str, *index: int) -> int:
    """A 63-bit key of (seed, stream, index): BLAKE2b of its text."""
    text = f"{int(seed)}/{stream}/" + "/".join(str(int(i)) for i in index)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def numpy_generator(seed: int, stream: str, *index: int) -> np.random.Generator:
    """A NumPy generator (Philox) for one sample."""
    return np.random.Generator(np.random.Philox(key=key(seed, stream, *index)))


def torch_generator(
    seed: int, stream: str, *index: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A torch generator for one sample. The numbers differ between devices of different types."""
    return torch.Generator(device=device).manual_seed(key(seed, stream, *index))
