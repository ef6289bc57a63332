"""The options of a training, the paper's values and the schedule."""

import math

import pytest

from reblur.errors import ReblurError
from reblur.training import TrainingOptions, learning_rate


def test_the_schedule_is_the_papers():
    options = TrainingOptions(steps=1000, batch=16)
    assert learning_rate(0, options) == pytest.approx(1e-4)
    assert learning_rate(500, options) == pytest.approx(1e-6 + 99e-6 * 0.5**0.3)
    assert learning_rate(1000, options) == pytest.approx(1e-6)
    straight = options.model_copy(update={"lr": 1.0, "lr_end": 0.0, "power": 1.0})
    assert [learning_rate(k, straight) for k in (0, 250, 750)] == [1.0, 0.75, 0.25]


def test_the_cosine_schedule_falls_from_lr_to_lr_end():
    cosine = {"steps": 1000, "batch": 16, "lr": 1e-3, "lr_end": 1e-5, "schedule": "cosine"}
    options = TrainingOptions.from_dict(cosine)
    rates = [learning_rate(step, options) for step in (0, 500, 1000, 2000)]
    assert rates == pytest.approx([1e-3, 0.5 * (1e-3 + 1e-5), 1e-5, 1e-5])
    assert learning_rate(250, options) == pytest.approx(1e-5 + 99e-5 * (2 + 2**0.5) / 4)


def test_the_defaults_are_the_papers():
    options = TrainingOptions.from_dict({"steps": 10, "batch": 16})
    assert (options.betas, options.eps) == ((0.9, 0.999), 1e-8)
    assert (options.lr, options.lr_end, options.power, options.clip_norm) == (1e-4, 1e-6, 0.3, 3.0)


def test_options_survive_a_round_trip():
    options = TrainingOptions.from_dict({"steps": 10, "batch": 2, "ema": 0.99, "betas": [0.95, 0]})
    assert options.betas == (0.95, 0.0)
    assert TrainingOptions.from_dict(options.as_dict()) == options


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"momentum": 0.9}, r"momentum is unknown; choose from steps, batch"),
        ({"emma": 0.9}, r"emma is unknown; did you mean 'ema'"),
        ({"steps": 0}, r"steps is 0; .* 0"),
        ({"batch": -4}, r"batch is -4; .* 0"),
        ({"batch": 2.0}, r"batch is 2.0; "),
        ({"steps": True}, r"steps is True; "),
        ({"lr": "1e-4"}, r"lr is '1e-4'; .* number"),
        ({"lr": -1.0}, r"lr is -1.0; .* 0"),
        ({"lr": math.inf}, r"lr is inf; .* finite number"),
        ({"lr": 1e-7}, r"lr_end is 1e-06; it must be from 0 to lr"),
        ({"precision": "fp16"}, r"precision is 'fp16'; .* 'fp32' or 'bf16'"),
        ({"schedule": "step"}, r"schedule is 'step'; .* 'polynomial' or 'cosine'"),
        ({"ema": 1.0}, r"ema is 1.0; .* 1"),
        ({"betas": [0.9]}, r"betas.1 is missing"),
        ({"betas": [0.9, 1.5]}, r"betas.1 is 1.5; .* 1"),
        ({"betas": [0.9, 0.9, 0.9]}, r"betas is .* at most 2"),
        ({"clip_norm": 0.0}, r"clip_norm is 0.0; .* 0"),
        ({"clip_parameters": "(cell"}, r"no regular expression"),
        ({"channels_last": "true"}, r"channels_last is 'true'; "),
        ({"validate_every": 0}, r"validate_every is 0; .* 0"),
        ({"checkpoint_seconds": -1}, r"checkpoint_seconds is -1; .* 0"),
    ],
)
def test_wrong_options_are_refused(changes, message):
    with pytest.raises(ReblurError, match=message):
        TrainingOptions.from_dict({"steps": 10, "batch": 2} | changes)


def test_steps_and_batch_are_asked_for():
    with pytest.raises(ReblurError, match="steps is missing; give it a value"):
        TrainingOptions.from_dict({"batch": 2})
