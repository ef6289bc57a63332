"""The options of a training, the paper's values and the schedule."""

import math
import re

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
        ({"momentum": 0.9}, "momentum is unknown; choose from steps, batch"),
        ({"emma": 0.9}, "emma is unknown; did you mean 'ema'"),
        ({"steps": 0}, "steps is 0; it must be above 0."),
        ({"steps": 2.5}, "steps is 2.5; it must be a whole number."),
        ({"steps": True}, "steps is true; it must be a whole number."),
        ({"steps": None}, "steps is null; it must be a whole number."),
        ({"steps": "ten"}, "steps is 'ten'; it must be a whole number."),
        ({"steps": "10"}, "steps is '10'; it must be a whole number, without quotes."),
        ({"lr": "1e-4"}, "lr is '1e-4'; it must be a number, without quotes."),
        ({"lr": -1.0}, "lr is -1.0; it must be above 0."),
        ({"lr": math.inf}, "lr is Infinity; it must be a finite number."),
        ({"lr": 1e-7}, "lr_end is 1e-06; it must be from 0 to lr"),
        ({"precision": "fp16"}, "precision is 'fp16'; it must be 'fp32' or 'bf16'."),
        ({"schedule": "step"}, "schedule is 'step'; it must be 'polynomial' or 'cosine'."),
        ({"ema": 1.0}, "ema is 1.0; it must be below 1."),
        ({"betas": 0.9}, "betas is 0.9; it must be a list."),
        ({"betas": [0.9]}, "betas.1 is missing; give it a value."),
        ({"betas": [0.9, 1.5]}, "betas.1 is 1.5; it must be below 1."),
        ({"betas": [0.9, 0.9, 0.9]}, "it must be a list of at most 2 values."),
        ({"clip_norm": 0.0}, "clip_norm is 0.0; it must be above 0."),
        ({"clip_parameters": 3}, "clip_parameters is 3; it must be a text."),
        ({"clip_parameters": "(cell"}, "clip_parameters: '(cell' is no regular expression"),
        ({"channels_last": "true"}, "channels_last is 'true'; it must be true or false."),
        ({"validate_every": 0}, "validate_every is 0; it must be above 0."),
        ({"checkpoint_seconds": -1}, "checkpoint_seconds is -1; it must be at least 0."),
    ],
)
def test_wrong_options_are_refused(changes, message):
    with pytest.raises(ReblurError, match=re.escape(message)):
        TrainingOptions.from_dict({"steps": 10, "batch": 2} | changes)


def test_steps_and_batch_are_asked_for():
    with pytest.raises(ReblurError, match="steps is missing; give it a value"):
        TrainingOptions.from_dict({"batch": 2})
