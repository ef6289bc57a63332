"""Options as strict models: what params.yaml says is checked once, and refused in one sentence."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from reblur.errors import ReblurError
from reblur.faults import sentence

Model = TypeVar("Model", bound="Options")
Number = float | int

Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Gain = Annotated[float, Field(ge=1, allow_inf_nan=False)]


def both_ends(value: Number | tuple[Number, Number]) -> tuple[Number, Number]:
    """(low, high) of either; ValueError where they are no range."""
    low, high = value if isinstance(value, tuple) else (value, value)
    if low > high:
        raise ValueError(f"[{low:g}, {high:g}] is no range; write it as [low, high].")
    return low, high


#: [low, high], drawn from uniformly; a single number in its place is both ends.
Range = Annotated[tuple[NonNegative, NonNegative] | NonNegative, AfterValidator(both_ends)]
PositiveRange = Annotated[tuple[Positive, Positive] | Positive, AfterValidator(both_ends)]
GainRange = Annotated[tuple[Gain, Gain] | Gain, AfterValidator(both_ends)]


class Options(BaseModel):
    """Base of every group of options: frozen, no unknown keys, no conversion of texts to numbers.

    A list may stand for a tuple, and a whole number for a float; nothing else is converted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def from_dict(cls: type[Model], values: Mapping[str, Any], where: str = "") -> Model:
        """Options from a section of params.yaml.

        Args:
            where: what stands in front of a key in a message, such as "profiles.demo".

        Raises:
            ReblurError: an unknown or missing key, or a value that cannot be; one sentence.
        """
        try:
            return cls.model_validate_json(json.dumps(values))  # a list is a tuple in JSON
        except ValidationError as error:
            raise ReblurError(sentence(cls, error, where)) from None

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON values; `from_dict` reads them back."""
        return self.model_dump(mode="json")


def refuse_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """ReblurError naming the choices when one of `names` is not in `known`."""
    known = list(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise ReblurError(
                f"{where}: unknown name {name!r}{hint}; the choices are {', '.join(known)}."
            )
