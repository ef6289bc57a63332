"""The AlexNet convolutions for LPIPS, read from files that are not trusted."""

import io
import os
import pickle

import numpy as np
import pytest
import torch

from reblur.errors import ReblurError
from reblur.measures import alexnet as backbones
from small_manifests import SmallManifests, entry


def flax_arrays(generator: np.random.Generator) -> dict:
    layers = {}
    for n, (out, into, k, _) in enumerate(backbones.ALEXNET.values()):
        kernel = generator.standard_normal((k, k, into, out)).astype(np.float32)
        layers[f"Conv_{n}"] = {"kernel": kernel, "bias": kernel[0, 0, 0].copy()}
    return {"AlexNet_0": layers}


@pytest.fixture
def backbone(tmp_path, monkeypatch):
    """`backbone(pickled, state)`: the two sources, with files of one's own (None: not here)."""
    manifest = SmallManifests(tmp_path, monkeypatch)

    def write(pickled: bytes | None, state: bytes | None = None) -> None:
        for name, path, body in (
            ("lpips_alexnet", "alexnet.ckpt", pickled),
            ("torchvision_alexnet", "alexnet.pth", state),
        ):
            manifest(name=name, layout="weights", files=[entry(path, body or b"absent")])
            if body is not None:
                (manifest.data / name).mkdir(parents=True, exist_ok=True)
                (manifest.data / name / path).write_bytes(body)

    return write


def test_backbone_from_a_pickle_of_arrays(backbone, tmp_path):
    arrays = flax_arrays(np.random.default_rng(0))
    backbone(pickle.dumps(arrays, protocol=3))
    features = backbones.alexnet_features()
    for n, number in enumerate(backbones.ALEXNET):
        layer = arrays["AlexNet_0"][f"Conv_{n}"]
        weight = features[f"features.{number}.weight"]
        assert torch.equal(weight[5, 2], torch.from_numpy(layer["kernel"][:, :, 2, 5]))
        assert torch.equal(features[f"features.{number}.bias"], torch.from_numpy(layer["bias"]))
    (tmp_path / "data" / "lpips_alexnet" / "alexnet.ckpt").unlink()
    again = backbones.alexnet_features()
    assert all(torch.equal(again[key], features[key]) for key in features)


def test_backbone_from_torchvision(backbone):
    shapes = {f"features.{n}.weight": shape for n, shape in backbones.ALEXNET.items()}
    state = {key: torch.randn(shape) for key, shape in shapes.items()}
    state |= {key.replace("weight", "bias"): torch.randn(shape[0]) for key, shape in shapes.items()}
    stream = io.BytesIO()
    torch.save({**state, "classifier.1.weight": torch.zeros(3)}, stream)
    backbone(None, stream.getvalue())
    features = backbones.alexnet_features()
    assert features.keys() == state.keys()
    assert all(torch.equal(features[key], state[key]) for key in state)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil-was-run",)


def test_backbone_runs_no_code_of_a_pickle(backbone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backbone(pickle.dumps({"AlexNet_0": Evil()}, protocol=3))
    with pytest.raises(ReblurError, match=r"posix\.mkdir is not admitted"):
        backbones.alexnet_features()
    assert not (tmp_path / "evil-was-run").exists()


def test_backbone_of_other_shapes_or_bytes(backbone, tmp_path):
    arrays = flax_arrays(np.random.default_rng(0))
    arrays["AlexNet_0"]["Conv_0"]["bias"] = np.zeros(3, np.float32)
    backbone(pickle.dumps(arrays, protocol=3))
    with pytest.raises(ReblurError, match="holds other tensors"):
        backbones.alexnet_features()
    path = tmp_path / "data" / "lpips_alexnet" / "alexnet.ckpt"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ReblurError, match="has not the manifest's checksum"):
        backbones.alexnet_features()


def test_backbone_absent_or_damaged(backbone, tmp_path):
    backbone(None)
    with pytest.raises(ReblurError, match="reblur data fetch lpips_alexnet"):
        backbones.alexnet_features()
    (tmp_path / "data" / "backbones").mkdir(parents=True)
    (tmp_path / "data" / "backbones" / "alexnet_features.safetensors").write_bytes(b"?")
    with pytest.raises(ReblurError, match="is damaged"):
        backbones.alexnet_features()
