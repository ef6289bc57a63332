"""What a training is told: the optimiser's recipe, the precision, and how often to report."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from reblur.errors import ReblurError

Precision: TypeAlias = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. The defaults are the recipe of SRN-DeblurNet (Tao et al., CVPR 2018, sec. 4),
    which names neither a number of steps nor a batch that suits every machine: both are asked for.

    Attributes:
        steps: updates of the weights.
        batch: samples a process takes through the network at once.
        accumulate: such batches a process adds up before an update. An update sees
            batch × accumulate × processes samples.
        lr, lr_end, power: learning rate, see `learning_rate`. The paper ends at 1e-6, the released
            code at 0.
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
        compile: runs the network through torch.compile.
        log_every: steps between two rows of the log; a row holds the means since the last one.
        validate_every: steps between two validations; None validates after the last step only.
        checkpoint_seconds: at most so many seconds of work are lost when a training is killed.

    Raises:
        ReblurError: a value is out of its range.
    """

    steps: int
    batch: int
    accumulate: int = 1
    lr: float | int = 1e-4
    lr_end: float | int = 1e-6
    power: float | int = 0.3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float | int = 1e-8
    clip_norm: float | int | None = 3.0
    clip_parameters: str = r"(^|\.)cell\."
    ema: float | None = None
    precision: Precision = "fp32"
    channels_last: bool = True
    compile: bool = False
    log_every: int = 50
    validate_every: int | None = None
    checkpoint_seconds: float | int = 60.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "log_every"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        if self.validate_every is not None:
            _require(self.validate_every >= 1, "validate_every", self.validate_every, "at least 1")
        for name in ("lr", "eps", "power"):
            value = getattr(self, name)
            _require(math.isfinite(value) and value > 0, name, value, "a positive number")
        _require(0 <= self.lr_end <= self.lr, "lr_end", self.lr_end, f"from 0 to lr ({self.lr})")
        _require(all(0 <= b < 1 for b in self.betas), "betas", self.betas, "two numbers in [0, 1)")
        if self.clip_norm is not None:
            _require(self.clip_norm > 0, "clip_norm", self.clip_norm, "positive, or null")
        if self.ema is not None:
            _require(0 < self.ema < 1, "ema", self.ema, "between 0 and 1, or null")
        _require(
            self.checkpoint_seconds >= 0,
            "checkpoint_seconds",
            self.checkpoint_seconds,
            "0 (after every step) or more",
        )
        try:
            re.compile(self.clip_parameters)
        except re.error as error:
            raise ReblurError(
                f"training option clip_parameters: '{self.clip_parameters}' is no regular "
                f"expression ({error}); write part of a parameter's name."
            ) from error

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingOptions":
        """Options from a section of params.yaml.

        Raises:
            ReblurError: a key is unknown or missing, or a value has the wrong type or range.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := [str(key) for key in values if key not in fields]:
            raise ReblurError(
                f"training option '{unknown[0]}' is unknown; choose from {', '.join(fields)}."
            )
        for name, field in fields.items():
            if name not in values and field.default is dataclasses.MISSING:
                raise ReblurError(f"training option '{name}' is missing; give a whole number.")
        return cls(**{name: _typed(name, fields[name].type, values[name]) for name in values})

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON-serialisable values; `from_dict` reads them back."""
        return {**dataclasses.asdict(self), "betas": list(self.betas)}


def learning_rate(step: int, options: TrainingOptions) -> float:
    """Polynomial decay: lr_end + (lr − lr_end) · (1 − step / steps)^power, for step = 0, 1, …"""
    remaining = max(0.0, 1.0 - step / options.steps)
    return options.lr_end + (options.lr - options.lr_end) * remaining**options.power


def _require(holds: bool, name: str, value: Any, wanted: str) -> None:
    if not holds:
        raise ReblurError(f"training option {name} is {value}; it must be {wanted}.")


# What a value of params.yaml must be, by the field's annotation.
_KINDS: dict[Any, tuple[str, tuple[type, ...]]] = {
    int: ("a whole number", (int,)),
    int | None: ("a whole number or null", (int, type(None))),
    float | int: ("a number (YAML needs the point in 1.0e-4)", (float, int)),
    float | None: ("a number or null", (float, int, type(None))),
    float | int | None: ("a number or null", (float, int, type(None))),
    bool: ("true or false", (bool,)),
    str: ("a text", (str,)),
    Precision: ("'fp32' or 'bf16'", (str,)),
}


def _typed(name: str, annotation: Any, value: Any) -> Any:
    """`value` as the field wants it; a boolean is not a number here."""
    if name == "betas":
        if not (
            isinstance(value, list | tuple)
            and len(value) == 2
            and all(isinstance(beta, float | int) for beta in value)
        ):
            raise ReblurError(f"training option betas is {value!r}; it must be two numbers.")
        return tuple(float(beta) for beta in value)
    wanted, kinds = _KINDS[annotation]
    if annotation is Precision:
        right = value in get_args(Precision)
    else:
        right = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    if not right:
        raise ReblurError(f"training option {name} is {value!r}; it must be {wanted}.")
    return float(value) if float in kinds and value is not None else value
