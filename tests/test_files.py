"""Files are whole or not there; randomness is a function of its key."""

import errno
import os

import numpy as np
import pytest
import torch

from reblur import files
from reblur.errors import ReblurError
from reblur.files import atomic_open, atomic_path, sha256_of_value, write_json, write_text
from reblur.randomness import key, numpy_generator, torch_generator


def test_a_failing_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old\n")

    def half():
        with atomic_open(path) as stream:
            stream.write("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        half()
    assert path.read_text() == "old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch, code):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(ReblurError, match="disk is full"), atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_finished_file_is_readable_by_others(tmp_path):
    write_text(tmp_path / "new" / "file.txt", "x")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "new" / "file.txt").stat().st_mode & 0o777 == 0o666 & ~umask


def test_json_is_the_same_whatever_the_order_and_refuses_nan(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": 2})
    write_json(tmp_path / "b.json", {"a": 2, "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert sha256_of_value({"b": 1, "a": 2}) == sha256_of_value({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})


def test_keys_tell_every_part_apart():
    keys = {key(0, "noise", 1, 2), key(0, "noise", 12), key(1, "noise", 1, 2), key(0, "crop", 1, 2)}
    assert len(keys) == 4
    assert all(0 <= k < 2**63 for k in keys)


def test_the_draws_of_a_key_never_change():
    """Golden: a change here would change every number of the study."""
    assert key(0, "motion", 3) == 6101447079882776612
    assert numpy_generator(0, "motion", 3).random() == 0.5742184130670887
    first, again = numpy_generator(5, "crop", 1), numpy_generator(5, "crop", 1)
    np.testing.assert_array_equal(first.random(4), again.random(4))
    a = torch.rand(4, generator=torch_generator(5, "crop", 1))
    b = torch.rand(4, generator=torch_generator(5, "crop", 1))
    assert torch.equal(a, b)
