"""Several processes under `accelerate launch` do what one does with a larger batch."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tiny_training import TinyNetwork, in_phases, run

SCRIPT = Path(__file__).with_name("tiny_training.py")
# --multi_gpu means several processes, with or without GPUs (`--cpu` needs MPI to start two).
LAUNCH = [
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0", str(SCRIPT)),
]


def launch(trainings: dict[Path, dict]) -> subprocess.Popen:
    """Start two processes that run the trainings one after the other."""
    arguments = [text for f, changes in trainings.items() for text in (str(f), json.dumps(changes))]
    return subprocess.Popen(
        LAUNCH + arguments,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def log_of(folder: Path) -> list[dict[str, float]]:
    with (folder / "log.csv").open(newline="") as stream:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(stream)]


def test_two_processes_equal_one_with_the_doubled_batch(tmp_path):
    """Plainly, in the other memory layout, and through a phase that leaves parameters unused."""
    cases = {
        "plain": {"batch": 3, "validate_every": 16},
        "contiguous": {"batch": 2, "channels_last": False},
        "phases": {"batch": 3, "ema": None, "objective": "in_phases"},
    }
    two = {tmp_path / "two" / name: {**case, "dropout": 0.0} for name, case in cases.items()}
    process = launch(two)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    for name, case in cases.items():
        objective = {"objective": in_phases} if case.pop("objective", None) else {}
        doubled = {**case, "batch": 2 * case["batch"]}
        one = tmp_path / "one" / name
        run(one, doubled, network=TinyNetwork(dropout=0.0), **objective)
        for ours, theirs in zip(log_of(tmp_path / "two" / name), log_of(one), strict=True):
            assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-7)
        weights = load_file(tmp_path / "two" / name / "weights.safetensors")
        for key, wanted in load_file(one / "weights.safetensors").items():
            if key != "seen":  # counts calls
                assert weights[key] == pytest.approx(wanted, abs=2e-5)
    validation = (tmp_path / "two" / "plain" / "validation.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in validation] == ["step", "16", "32", "40"]


@pytest.mark.slow
def test_two_processes_stop_together_and_go_on(tmp_path):
    changes = {"steps": 4000, "batch": 2, "dropout": 0.0, "log_every": 10}
    folder = tmp_path / "training"
    process = launch({folder: changes})
    for _ in range(2400):
        if (folder / "log.csv").exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert (folder / "state.safetensors").exists(), output
    stopped_after = len(log_of(folder))
    one = {name: value for name, value in changes.items() if name != "dropout"} | {"batch": 4}
    with pytest.raises(KeyboardInterrupt):
        run(folder, one, network=TinyNetwork(dropout=0.0), objective=ctrl_c_at_once)
    log = log_of(folder)
    assert len(log) == stopped_after
    assert [row["step"] for row in log] == [10.0 * (n + 1) for n in range(stopped_after)]


def ctrl_c_at_once(network, batch, step):
    signal.raise_signal(signal.SIGINT)
    return in_phases(network, batch, step)
