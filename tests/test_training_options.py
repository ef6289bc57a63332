"""The options of a training, the paper's values and the schedule."""

from dataclasses import replace

import pytest

from reblur.errors import ReblurError
from reblur.training import TrainingOptions, learning_rate


def test_the_schedule_is_the_papers():
    options = TrainingOptions(steps=1000, batch=16)
    assert learning_rate(0, options) == pytest.approx(1e-4)
    assert learning_rate(500, options) == pytest.approx(1e-6 + 99e-6 * 0.5**0.3)
    assert learning_rate(1000, options) == pytest.approx(1e-6)
    straight = replace(options, lr=1.0, lr_end=0.0, power=1.0)
    assert [learning_rate(k, straight) for k in (0, 250, 750)] == [1.0, 0.75, 0.25]


def test_the_defaults_are_the_papers():
    options = TrainingOptions.from_dict({"steps": 10, "batch": 16})
    assert (options.betas, options.eps) == ((0.9, 0.999), 1e-8)
    assert (options.lr, options.lr_end, options.power, options.clip_norm) == (1e-4, 1e-6, 0.3, 3.0)


def test_options_survive_a_round_trip():
    options = TrainingOptions.from_dict({"steps": 10, "batch": 2, "ema": 0.99, "betas": [0.95, 0]})
    assert options.betas == (0.95, 0.0)
    assert TrainingOptions.from_dict(options.as_dict()) == options


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 10, "batch": 2, "momentum": 0.9}, "'momentum' is unknown; choose from steps"),
        ({"batch": 2}, "'steps' is missing"),
        ({"steps": 0, "batch": 2}, "steps is 0; it must be at least 1"),
        ({"steps": 10, "batch": -4}, "batch is -4; it must be at least 1"),
        ({"steps": 10, "batch": 2.0}, "batch is 2.0; it must be a whole number"),
        ({"steps": True, "batch": 2}, "steps is True; it must be a whole number"),
        ({"steps": 10, "batch": 2, "lr": "1e-4"}, "YAML needs the point"),
        ({"steps": 10, "batch": 2, "lr": -1.0}, "lr is -1.0; it must be a positive number"),
        ({"steps": 10, "batch": 2, "lr": 1e-7}, "lr_end is 1e-06; it must be from 0 to lr"),
        ({"steps": 10, "batch": 2, "precision": "fp16"}, "'fp32' or 'bf16'"),
        ({"steps": 10, "batch": 2, "ema": 1.0}, "between 0 and 1"),
        ({"steps": 10, "batch": 2, "betas": [0.9]}, "two numbers"),
        ({"steps": 10, "batch": 2, "betas": [0.9, 1.5]}, "two numbers in"),
        ({"steps": 10, "batch": 2, "clip_norm": 0.0}, "positive, or null"),
        ({"steps": 10, "batch": 2, "clip_parameters": "(cell"}, "no regular expression"),
        ({"steps": 10, "batch": 2, "compile": "true"}, "true or false"),
        ({"steps": 10, "batch": 2, "validate_every": 0}, "at least 1"),
        ({"steps": 10, "batch": 2, "checkpoint_seconds": -1}, "0 \\(after every step\\)"),
    ],
)
def test_wrong_options_are_refused(values, message):
    with pytest.raises(ReblurError, match=message):
        TrainingOptions.from_dict(values)
