"""The training loop in one process: the recipe, the records, precision, averaging, faults."""

import csv
import math
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from reblur.errors import ReblurError
from reblur.losses.multi_scale import MultiScaleObjective
from reblur.training import TrainingOptions, learning_rate, session, train
from reblur.training.averaging import AveragedNetwork
from reblur.training.batches import batches, sample_indices
from reblur.training.processes import Processes
from reblur.training.records import Record
from tiny_training import OPTIONS, RandomPairs, TinyNetwork, final_bytes, in_phases, run


def rows_of(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as stream:
        return [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(stream)]


# ------------------------------------------------------------------------------------- samples


def test_samples_follow_each_other_over_steps_and_processes():
    options = TrainingOptions(steps=5, batch=3)
    seen = [
        index
        for step in range(5)
        for rank in range(2)
        for index in sample_indices(options, step, rank, 2)
    ]
    assert seen == list(range(30))


def test_every_sample_is_asked_for_once(tmp_path):
    source = RandomPairs()
    run(tmp_path, {"steps": 6, "batch": 2}, source=source)
    assert source.asked == list(range(12))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gets_the_same_batches_ahead_of_time():
    options = TrainingOptions(steps=5, batch=2)
    ahead = list(batches(RandomPairs(), 1, options, 2, Processes("cuda")))
    for mine, theirs in zip(
        ahead, batches(RandomPairs(), 1, options, 2, Processes("cpu")), strict=True
    ):
        assert torch.equal(mine["sharp"].cpu(), theirs["sharp"])


def test_a_missing_gpu_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ReblurError, match="no CUDA device"):
        run(tmp_path, {}, device="cuda")


# ----------------------------------------------------------------------------------- the loop


def test_a_training_learns_and_leaves_its_records(tmp_path):
    result = run(tmp_path, {"steps": 60, "validate_every": 25})
    log = rows_of(result.log)
    assert list(log[0]) == ["step", "loss", "psnr", "lr", "grad_norm"]
    assert [row["step"] for row in log] == [8, 16, 24, 32, 40, 48, 56, 60]
    assert log[-1]["loss"] < 0.85 * log[0]["loss"]
    assert log[-1]["psnr"] > log[0]["psnr"] + 0.5
    timing = rows_of(result.timing)
    assert [row["step"] for row in timing] == [row["step"] for row in log]
    seconds = [row["seconds"] for row in timing]
    assert seconds == sorted(seconds)
    assert 0 < seconds[-1] <= result.seconds
    assert [row["step"] for row in rows_of(result.validation)] == [25, 50, 60]
    assert (result.steps, result.resumed_from) == (60, None)
    assert not result.network.training


def test_a_row_holds_the_means_of_its_steps(tmp_path):
    fine = rows_of(run(tmp_path / "a", {"steps": 9, "log_every": 1}).log)
    coarse = rows_of(run(tmp_path / "b", {"steps": 9, "log_every": 6}).log)
    for row, part in zip(coarse, (fine[:6], fine[6:]), strict=True):
        for name in ("loss", "psnr", "grad_norm"):
            assert row[name] == pytest.approx(sum(r[name] for r in part) / len(part), rel=1e-6)
        assert row["lr"] == part[-1]["lr"]


def test_two_runs_give_the_same_bytes(tmp_path):
    for position, name in enumerate(("a", "b")):
        torch.manual_seed(position)  # must not matter
        run(tmp_path / name, {"precision": "bf16"})
    assert final_bytes(tmp_path / "a") == final_bytes(tmp_path / "b")
    run(tmp_path / "c", {"precision": "bf16"}, seed=4)
    assert final_bytes(tmp_path / "a")["weights"] != final_bytes(tmp_path / "c")["weights"]


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    run(tmp_path, {"steps": 2})
    assert torch.equal(torch.rand(1), wanted)


def test_frozen_weights_stay(tmp_path):
    network = TinyNetwork()
    before = network.frozen.weight.clone()
    assert run(tmp_path, {"steps": 5}, network=network).network is network
    assert torch.equal(network.frozen.weight, before)


def test_an_objective_may_have_phases(tmp_path):
    result = run(tmp_path / "whole", {"log_every": 5}, objective=in_phases)
    log = result.log.read_text().splitlines()
    assert log[0] == "step,loss,lr,grad_norm,psnr"  # the second phase adds its column
    assert log[1].endswith(",")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", {"log_every": 5}, objective=interrupted_after(in_phases, 3))
    assert run(tmp_path / "parts", {"log_every": 5}, objective=in_phases).resumed_from == 4
    assert final_bytes(tmp_path / "parts") == final_bytes(tmp_path / "whole")


def interrupted_after(objective, last: int):
    """The objective, with Ctrl-C pressed during step `last`."""

    def interrupted(network, batch, step):
        if step == last:
            signal.raise_signal(signal.SIGINT)
        return objective(network, batch, step)

    return interrupted


def plain_adam(steps: int, clip_norm: float | None, pattern: str) -> dict[str, torch.Tensor]:
    """The same training without the loop: contiguous, float32, unfused Adam, torch's clipping."""
    network, source = TinyNetwork(dropout=0.0).train(), RandomPairs()
    options = TrainingOptions.from_dict(OPTIONS | {"steps": steps})
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], fused=False)
    for step in range(steps):
        batch = source.batch(3, range(4 * step, 4 * step + 4), torch.device("cpu"))
        loss, _ = MultiScaleObjective()(network, batch, step)
        optimizer.zero_grad()
        loss.backward()
        if clip_norm is not None:
            chosen = [p for n, p in network.named_parameters() if pattern in n]
            nn.utils.clip_grad_norm_(chosen, clip_norm)
        optimizer.param_groups[0]["lr"] = learning_rate(step, options)
        optimizer.step()
    return network.state_dict()


@pytest.mark.parametrize(("clip_norm", "pattern"), [(None, "cell"), (1e-3, "cell"), (1e-3, "")])
def test_the_loop_equals_a_plain_one(tmp_path, clip_norm, pattern):
    changes = {"steps": 12, "ema": None, "clip_norm": clip_norm, "clip_parameters": pattern}
    run(tmp_path, changes, network=TinyNetwork(dropout=0.0))
    weights = load_file(tmp_path / "weights.safetensors")
    for name, wanted in plain_adam(12, clip_norm, pattern).items():
        torch.testing.assert_close(weights[name], wanted, rtol=1e-4, atol=1e-5)


def test_the_gradient_norm_is_the_whole_gradients_before_clipping(tmp_path):
    norms = [
        rows_of(run(tmp_path / str(clip), {"steps": 1, "clip_norm": clip}).log)[0]["grad_norm"]
        for clip in (None, 1e-3)
    ]
    assert norms[0] == norms[1] > 0.01


@pytest.mark.parametrize(
    "changes", [{"precision": "bf16"}, {"channels_last": False}, {"channels_last": True}]
)
def test_modes_train_alike(tmp_path, changes):
    # Dropout draws in the order of memory: without it.
    networks = [TinyNetwork(dropout=0.0) for _ in range(2)]
    plain = rows_of(run(tmp_path / "plain", {"channels_last": False}, network=networks[0]).log)
    mode = rows_of(run(tmp_path / "mode", changes, network=networks[1]).log)
    tolerance = 0.03 if "precision" in changes else 1e-4
    for a, b in zip(plain, mode, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=tolerance)
    weights = load_file(tmp_path / "mode" / "weights.safetensors")
    assert all(weight.dtype == torch.float32 for weight in weights.values())


def test_bf16_runs_the_network_in_bf16(tmp_path):
    seen = []

    class Spy(TinyNetwork):
        def forward(self, x):
            outputs = super().forward(x)
            seen.append(self.last(torch.zeros(1, 8, 4, 4)).dtype)
            return outputs

    run(tmp_path / "a", {"steps": 1, "precision": "bf16", "ema": None}, network=Spy())
    run(tmp_path / "b", {"steps": 1, "ema": None}, network=Spy())
    assert seen == [torch.bfloat16, torch.float32]


# ---------------------------------------------------------------------------------- averaging


def test_the_average_follows_its_formula():
    network = nn.Linear(2, 1, bias=False)
    average = AveragedNetwork(network, decay=0.3)
    expected = network.weight.detach().clone()
    for step in range(1, 9):
        with torch.no_grad():
            network.weight.add_(1.0)
        average.update(step)
        decay = min(0.3, step / (step + 9))
        expected = decay * expected + (1 - decay) * network.weight.detach()
        torch.testing.assert_close(average.network.weight, expected)


def test_the_average_is_validated_and_returned(tmp_path):
    validated = []

    def note(network):
        validated.append(network.last.weight.detach().clone())
        return {"psnr": 1.0}

    result = run(tmp_path, {"ema": 0.95}, validate=note)
    raw = load_file(tmp_path / "state.safetensors")["network/last.weight"]
    assert torch.equal(validated[-1], result.network.last.weight)
    assert not torch.allclose(raw, result.network.last.weight, atol=1e-4)
    assert torch.equal(result.network.seen, torch.tensor(40.0))


# ------------------------------------------------------------------------------------- faults


def broken_after(last: int, value: float):
    """An objective whose loss is `value` after `last` good steps."""

    def objective(network, batch, step):
        loss, figures = MultiScaleObjective()(network, batch, step)
        return (loss * value if step >= last else loss), figures

    return objective


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops(tmp_path, value):
    changes = {"checkpoint_seconds": 0}
    with pytest.raises(ReblurError, match="stopped at step 13: the loss or its gradient") as caught:
        run(tmp_path, changes, objective=broken_after(12, value))
    assert "the state after step 12 is kept" in str(caught.value)
    run(tmp_path, changes)  # an objective without the fault goes on from there
    run(tmp_path / "reference", {})
    assert final_bytes(tmp_path) == final_bytes(tmp_path / "reference")


def test_a_fault_that_is_read_late_is_not_saved(tmp_path, monkeypatch):
    """A GPU is asked every `log_every` steps and before a state is saved, not every step."""
    original = session.Session.__init__

    def as_on_a_gpu(self, *arguments):
        original(self, *arguments)
        self._reads_every_step = False

    monkeypatch.setattr(session.Session, "__init__", as_on_a_gpu)
    with pytest.raises(ReblurError, match=r"stopped at step 13: .* no state had been saved yet"):
        run(tmp_path, {"log_every": 5}, objective=broken_after(12, math.nan))
    assert not list(tmp_path.glob("state*"))
    with pytest.raises(ReblurError, match=r"stopped at step 13: .* after step 12 is kept"):
        run(tmp_path, {"checkpoint_seconds": 0}, objective=broken_after(12, math.nan))
    state = load_file(tmp_path / "state.safetensors")
    assert all(tensor.isfinite().all() for tensor in state.values())


def test_another_configuration_is_refused(tmp_path):
    run(tmp_path, {"steps": 3})
    with pytest.raises(ReblurError, match=r"another training \(lr: 0.01 there, 0.02 here\)"):
        run(tmp_path, {"steps": 3, "lr": 0.02})
    with pytest.raises(ReblurError, match=r"\(seed: 3 there, 4 here\); delete it or"):
        run(tmp_path, {"steps": 3}, seed=4)
    with pytest.raises(ReblurError, match=r"shapes.weight: None there, \[3, 3, 1, 1\] here"):
        run(tmp_path, {"steps": 3}, network=nn.Conv2d(3, 3, 1))
    assert run(tmp_path, {"steps": 3, "checkpoint_seconds": 7}).resumed_from == 3


def test_a_finished_training_is_not_repeated(tmp_path):
    run(tmp_path, {})
    before = final_bytes(tmp_path)
    source = RandomPairs()
    again = run(tmp_path, {}, source=source)
    assert (again.resumed_from, again.steps, source.asked) == (40, 40, [])
    assert final_bytes(tmp_path) == before


def test_a_failing_source_says_so_itself(tmp_path):
    class Failing(RandomPairs):
        def batch(self, seed, indices, device):
            raise ReblurError("photo.jpg: damaged.")

    with pytest.raises(ReblurError, match=r"photo.jpg: damaged."):
        run(tmp_path, {}, source=Failing())


def test_records_grow_by_columns_and_keep_float32_exactly(tmp_path):
    record = Record(tmp_path / "r.csv")
    value = torch.tensor(0.1).item()
    record.append({"step": 1, "loss": value})
    record.append({"step": 2, "loss": 1.0, "psnr": 30.0})
    text = (tmp_path / "r.csv").read_text()
    assert text.splitlines() == ["step,loss,psnr", "1,0.100000001,", "2,1,30"]
    assert torch.tensor(float("0.100000001")).item() == value
    Record(tmp_path / "r.csv", record.rows[:1])
    assert (tmp_path / "r.csv").read_text().splitlines() == ["step,loss", "1,0.100000001"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_log_on_a_full_disk_says_so(tmp_path):
    record = Record(tmp_path / "r.csv", [{"step": 1}])
    record.path.unlink()
    record.path.symlink_to("/dev/full")
    with pytest.raises(ReblurError, match=r"r.csv: the disk is full; free some space and run"):
        record.append({"step": 2})


def test_the_bar_and_the_watcher_see_the_rows(tmp_path, capsys):
    seen = []

    def watch(log, validation, finished):
        seen.append((len(log), len(validation), finished))

    options = TrainingOptions.from_dict(OPTIONS)
    train(
        TinyNetwork(),
        RandomPairs(),
        MultiScaleObjective(),
        options,
        seed=1,
        folder=tmp_path,
        watch=watch,
    )
    assert seen == [(n, 0, False) for n in range(1, 6)] + [(5, 0, True)]
    bar = capsys.readouterr().err
    assert "40/40" in bar
    assert "dB" in bar
    assert "images/s" in bar
    assert len(bar) < 1000  # not a line a step, outside a terminal
