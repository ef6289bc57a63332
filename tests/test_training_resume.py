"""A training killed at any moment ends in the same bytes as one that was not."""

import errno
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from reblur.errors import ReblurError
from reblur.training import state
from tiny_training import RandomPairs, final_bytes, run

STEPS = {"steps": 60, "validate_every": 15, "checkpoint_seconds": 1000}
EVERY_STEP = STEPS | {"checkpoint_seconds": 0}  # does not change what comes out


@pytest.fixture(scope="module")
def starter():
    """Starts processes that have torch loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tiny_training", "torch._dynamo"])
    return context


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("uninterrupted")
    run(folder, STEPS)
    return final_bytes(folder)


def wait_for(path: Path, process) -> None:
    """Until the training has come as far as writing `path`, or has ended."""
    while process.is_alive() and not path.exists():
        time.sleep(0.005)


def test_killed_at_random_moments(tmp_path, starter, uninterrupted):
    moments = random.Random(7)
    kills = 0
    while not (tmp_path / "weights.safetensors").exists():
        process = starter.Process(target=run, args=(tmp_path, EVERY_STEP, 0.01))
        process.start()
        wait_for(tmp_path / "state.safetensors", process)
        if kills < 6:
            process.join(moments.uniform(0.0, 0.6))
        else:
            process.join()
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
    assert kills >= 3
    assert final_bytes(tmp_path) == uninterrupted
    assert not list(tmp_path.glob(".partial-*"))


@pytest.mark.parametrize("killed_between", ["the file and its fsync", "the two renames"])
def test_killed_inside_a_save(tmp_path, monkeypatch, uninterrupted, killed_between):
    """The two moments that a random kill would seldom hit, by an error that nothing catches."""

    class KilledError(BaseException):
        pass

    saves = 0
    owner, name = (os, "fsync") if killed_between == "the file and its fsync" else (Path, "replace")
    original = getattr(owner, name)

    def killing(*arguments):
        nonlocal saves
        is_save = owner is os or arguments[0].name.startswith(".partial-")
        saves += is_save
        if is_save and saves == 20:
            raise KilledError
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killing)
        with pytest.raises(KilledError):
            run(tmp_path, EVERY_STEP)
    assert run(tmp_path, STEPS).resumed_from > 0
    assert final_bytes(tmp_path) == uninterrupted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_leaves(tmp_path, starter, uninterrupted, number):
    process = starter.Process(target=run, args=(tmp_path, STEPS, 0.03))
    process.start()
    wait_for(tmp_path / "log.csv", process)
    os.kill(process.pid, number)
    process.join(20)
    assert process.exitcode == (143 if number == signal.SIGTERM else 1)
    assert (tmp_path / "state.safetensors").exists()
    resumed = run(tmp_path, STEPS)
    assert 8 <= resumed.resumed_from < 60
    assert final_bytes(tmp_path) == uninterrupted


def test_the_signals_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run(tmp_path, {"steps": 2})
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


class Interrupted(RandomPairs):
    """A source during whose `last`-th batch Ctrl-C is pressed."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last

    def batch(self, seed, indices, device):
        self.last -= 1
        if self.last == 0:
            signal.raise_signal(signal.SIGINT)
        return super().batch(seed, indices, device)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_part_of_the_state_comes_back(tmp_path, precision):
    """Stopped within a row of the log, three times; the states are the same."""
    changes = {"steps": 30, "precision": precision, "validate_every": 10}
    run(tmp_path / "whole", changes)
    for last in (9, 12, 2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", changes, source=Interrupted(last))
    resumed = run(tmp_path / "parts", changes)
    assert resumed.resumed_from == 9 + 12 + 2
    assert final_bytes(tmp_path / "parts") == final_bytes(tmp_path / "whole")
    whole, parts = (load_file(tmp_path / name / state.CURRENT) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all((whole[name] == parts[name]).all() for name in whole)
    assert {name.split("/")[0] for name in whole} == {"network", "average", "adam"}


def stop_twice(folder: Path) -> None:
    """Leave the states after steps 20 and 30."""
    for batches in (20, 10):
        with pytest.raises(KeyboardInterrupt):
            run(folder, STEPS, source=Interrupted(batches))


@pytest.mark.parametrize("damage", ["cut", "emptied", "bit", "text"])
def test_a_damaged_state_falls_back_to_the_one_before(tmp_path, uninterrupted, damage):
    stop_twice(tmp_path)
    path = tmp_path / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 16  # in a tensor: the file's form stays whole
    damaged = {"cut": content[:-100], "emptied": b"", "bit": content, "text": b"not a state"}
    path.write_bytes(damaged[damage])
    with pytest.warns(UserWarning, match=r"state.safetensors is damaged .* the one before"):
        resumed = run(tmp_path, STEPS)
    assert resumed.resumed_from == 20
    assert final_bytes(tmp_path) == uninterrupted


def test_a_damaged_state_never_replaces_the_good_one(tmp_path):
    stop_twice(tmp_path)
    (tmp_path / "state.safetensors").write_bytes(b"")
    good = (tmp_path / "state.previous.safetensors").read_bytes()
    files = state.StateFile(tmp_path)
    with pytest.warns(UserWarning, match="damaged"):
        facts, tensors = files.load()
    files.save(facts, tensors)
    assert (tmp_path / "state.previous.safetensors").read_bytes() == good


def test_without_a_whole_state_the_remedy_is_named(tmp_path):
    stop_twice(tmp_path)
    for path in tmp_path.glob("state*.safetensors"):
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ReblurError, match=r"no state is left to go on from: delete .* start again"):
        run(tmp_path, STEPS)


def test_records_without_a_state_start_again(tmp_path, uninterrupted):
    (tmp_path / "log.csv").write_text("step,loss\n8,1.0\n")
    (tmp_path / ".partial-x.safetensors").write_bytes(b"half a state")
    assert run(tmp_path, STEPS).resumed_from is None
    assert final_bytes(tmp_path) == uninterrupted
    assert not list(tmp_path.glob(".partial-*"))


def test_a_full_disk_leaves_the_state_before(tmp_path, monkeypatch, uninterrupted):
    written = 0

    def filling(tensors, metadata):
        nonlocal written
        written += 1
        if written == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(tensors, metadata)

    save = state.save
    with monkeypatch.context() as patch:
        patch.setattr(state, "save", filling)
        with pytest.raises(ReblurError, match="the disk is full; nothing was overwritten"):
            run(tmp_path, EVERY_STEP)
    assert run(tmp_path, STEPS).resumed_from == 4
    assert final_bytes(tmp_path) == uninterrupted
