"""Weights files: bitwise round trips, and one sentence for every file that is not one."""

import json

import pytest
import safetensors.torch
import torch

from reblur.errors import ReblurError
from reblur.networks import build_network, network_names
from reblur.networks.weights import KEY, load_network, save_network

SMALL = {
    "nafnet": {"encoder_blocks": [1, 1], "decoder_blocks": [1, 1]},
    "deepdeblur": {"blocks": 2},
    "rrdb": {"blocks": 1, "growth": 4},
}


@pytest.mark.parametrize("name", network_names())
def test_round_trip_is_bitwise(name, tmp_path):
    network = build_network(name, width=4, seed=7, **SMALL.get(name, {}))
    x = torch.rand(1, 3, 33, 18)
    save_network(network, tmp_path / "w.safetensors", step=12, dataset="gopro")
    loaded, metadata = load_network(tmp_path / "w.safetensors")
    assert metadata == {"step": 12, "dataset": "gopro"}
    assert loaded.config == network.config
    assert not loaded.training
    assert loaded.state_dict().keys() == network.state_dict().keys()
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    with torch.no_grad():
        assert torch.equal(loaded(x, finest=True), network(x, finest=True))


def test_same_network_same_bytes_in_any_memory_format(tmp_path):
    network = build_network("sr_edrb1", width=4)
    save_network(network, tmp_path / "a.safetensors", b=1, a=[2, None])
    network = network.to(memory_format=torch.channels_last)
    save_network(network, tmp_path / "b.safetensors", a=[2, None], b=1)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_metadata_must_be_json(tmp_path):
    with pytest.raises(TypeError):
        save_network(build_network("sr_edrb1", width=4), tmp_path / "w.safetensors", what=object())
    assert not list(tmp_path.iterdir())


def test_missing_file(tmp_path):
    with pytest.raises(ReblurError, match="no such weights file"):
        load_network(tmp_path / "w.safetensors")
    with pytest.raises(ReblurError, match="no such weights file"):
        load_network(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "pickle"])
def test_damaged_file(damage, tmp_path):
    path = tmp_path / "w.safetensors"
    network = build_network("sr_edrb1", width=4)
    save_network(network, path)
    content = path.read_bytes()
    if damage == "pickle":
        torch.save(network.state_dict(), path)
    else:
        path.write_bytes(
            {"empty": b"", "truncated": content[:-1], "text": b"<!doctype html>" * 9}[damage]
        )
    with pytest.raises(ReblurError, match="not a safetensors file, or a damaged one"):
        load_network(path)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        '{"config": 1, "metadata": {}}',
        '{"config": {"name": "srn", "options": {}, "seed": 0}, "metadata": []}',
        '{"config": {"name": [], "options": {}, "seed": 0}, "metadata": {}}',
        '{"config": {"name": "srn", "options": {"name": 1}, "seed": 0}, "metadata": {}}',
    ],
)
def test_foreign_file(text, tmp_path):
    path = tmp_path / "w.safetensors"
    metadata = {"format": "pt"} if text is None else {KEY: text}
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
    with pytest.raises(ReblurError, match=r"was not written by this library|cannot be built"):
        load_network(path)


def rewritten(path, change_tensors=None, change_config=None):
    save_network(build_network("sr_edrb1", width=4), path)
    with safetensors.safe_open(path, framework="pt") as opened:
        stored = json.loads(opened.metadata()[KEY])
    tensors = safetensors.torch.load_file(path)
    if change_tensors:
        change_tensors(tensors)
    if change_config:
        change_config(stored["config"])
    safetensors.torch.save_file(tensors, path, metadata={KEY: json.dumps(stored)})
    return path


NAME = "stages.0.out_block.conv.weight"


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop(NAME),
        lambda tensors: tensors.update({NAME: torch.zeros(3, 4, 5, 5)}),
        lambda tensors: tensors.update({NAME: tensors[NAME].half()}),
        lambda tensors: tensors.update({NAME + "2": torch.zeros(1)}),
    ],
)
def test_tensors_that_do_not_fit(change, tmp_path):
    path = rewritten(tmp_path / "w.safetensors", change_tensors=change)
    with pytest.raises(
        ReblurError, match=f"1 of its tensors do not fit network 'sr_edrb1'.*{NAME}"
    ):
        load_network(path)


def test_config_of_another_version(tmp_path):
    path = tmp_path / "w.safetensors"
    rewritten(path, change_config=lambda config: config.update(name="sr_edrb9"))
    with pytest.raises(ReblurError, match=r"cannot be built by this.*no network 'sr_edrb9'"):
        load_network(path)
    rewritten(path, change_config=lambda config: config["options"].update(dropout=1))
    with pytest.raises(ReblurError, match=r"cannot be built by this.*no option 'dropout'"):
        load_network(path)
    rewritten(path, change_config=lambda config: config["options"].update(width=8))
    with pytest.raises(ReblurError, match="do not fit network"):
        load_network(path)
