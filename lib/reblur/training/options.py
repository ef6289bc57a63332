"""What a training is told: the optimiser's recipe, the precision, and how often to report."""

import math
import re
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, PositiveInt, model_validator

from reblur.options import Options

Precision: TypeAlias = Literal["fp32", "bf16"]
Schedule: TypeAlias = Literal["polynomial", "cosine"]
Decay: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


class TrainingOptions(Options):
    """How to train. The defaults are the recipe of SRN-DeblurNet (Tao et al., CVPR 2018, sec. 4),
    which names neither a number of steps nor a batch that suits every machine: both are asked for.

    Attributes:
        steps: updates of the weights.
        batch: samples a process takes through the network at once.
        lr, lr_end, power, schedule: learning rate, see `learning_rate`. The paper ends at 1e-6, the
            released code at 0; `power` is of the polynomial schedule, which is the paper's.
        betas, eps: Adam's.
        clip_norm: largest norm of the gradient of the parameters that `clip_parameters` (a regular
            expression searched in their names; "" finds all) finds, taken together; None clips
            nothing. The paper clips the recurrent cell only, which is the default (and clips what
            stands in its place in a network without one); the released code clips nothing.
        ema: decay of the exponential moving average of the weights, with a warm-up
            (`reblur.training.averaging`); None keeps the last weights.
        precision: "fp32", or "bf16" for autocast to bfloat16 (weights and their averages stay in
            float32).
        channels_last: memory layout of weights and images; the values are the same.
        log_every: steps between two rows of the log; a row holds the means since the last one.
        validate_every: steps between two validations; None validates after the last step only.
        checkpoint_seconds: at most so many seconds of work are lost when a training is killed.

    Raises:
        ReblurError: a value is out of its range (`from_dict`).
    """

    steps: PositiveInt
    batch: PositiveInt
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-4
    lr_end: Annotated[float, Field(ge=0)] = 1e-6
    power: Annotated[float, Field(gt=0)] = 0.3
    schedule: Schedule = "polynomial"
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    clip_norm: Annotated[float, Field(gt=0)] | None = 3.0
    clip_parameters: str = r"(^|\.)cell\."
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Precision = "fp32"
    channels_last: bool = True
    log_every: PositiveInt = 50
    validate_every: PositiveInt | None = None
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingOptions":
        if self.lr_end > self.lr:
            raise ValueError(f"lr_end is {self.lr_end}; it must be from 0 to lr ({self.lr}).")
        try:
            re.compile(self.clip_parameters)
        except re.error as error:
            raise ValueError(
                f"clip_parameters: '{self.clip_parameters}' is no regular expression ({error}); "
                "write part of a parameter's name."
            ) from error
        return self


def learning_rate(step: int, options: TrainingOptions) -> float:
    """The learning rate of update `step` = 0, 1, …, from lr down to lr_end, at x = step / steps.

    polynomial: lr_end + (lr − lr_end) · (1 − x)^power
    cosine:     lr_end + (lr − lr_end) · (1 + cos πx) / 2
    """
    x = min(1.0, step / options.steps)
    if options.schedule == "cosine":
        share = (1 + math.cos(math.pi * x)) / 2
    else:
        share = (1.0 - x) ** options.power
    return options.lr_end + (options.lr - options.lr_end) * share
