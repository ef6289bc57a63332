"""Options as strict models: what params.yaml says is checked once, and refused in one sentence."""

import difflib
import json
import re
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from reblur.errors import ReblurError

Model = TypeVar("Model", bound="Options")

Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Gain = Annotated[float, Field(ge=1, allow_inf_nan=False)]


def _both_ends(value: float | tuple[float, float]) -> tuple[float, float]:
    low, high = value if isinstance(value, tuple) else (value, value)
    if low > high:
        raise ValueError(f"[{low:g}, {high:g}] is no range; write it as [low, high].")
    return low, high


#: [low, high], drawn from uniformly; a single number in its place is both ends.
Range = Annotated[tuple[NonNegative, NonNegative] | NonNegative, AfterValidator(_both_ends)]
PositiveRange = Annotated[tuple[Positive, Positive] | Positive, AfterValidator(_both_ends)]
GainRange = Annotated[tuple[Gain, Gain] | Gain, AfterValidator(_both_ends)]


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
            return cls.model_validate_json(_json(values))
        except ValidationError as error:
            raise ReblurError(sentence(cls, error, where)) from None

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON values; `from_dict` reads them back."""
        return self.model_dump(mode="json")


def _json(values: Mapping[str, Any]) -> str:
    import json

    return json.dumps(values)  # JSON mode: a list is a tuple there, and strict all the same


#: What a value must be, by the type of pydantic's fault; the braces hold that fault's numbers.
REMEDIES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of options",
    "model_type": "a mapping of options",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "too_long": "a list of at most {max_length} values",
    "literal_error": "{expected}",
}


def sentence(model: type[BaseModel], error: ValidationError, where: str = "") -> str:
    """The first fault of `error` in one sentence that names the key and the remedy."""
    fault, *others = error.errors()
    trail = _without_branches(model, fault["loc"])
    path = ".".join([*([where] if where else []), *map(str, trail)])
    match fault["type"]:
        case "extra_forbidden":
            known = known_keys(model, trail[:-1])
            near = difflib.get_close_matches(str(trail[-1]), known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(known)}."
            return f"{path} is unknown; {hint}"
        case "missing":
            return f"{path} is missing; give it a value."
        case "value_error":
            return f"{path}: {fault['ctx']['error']}" if path else str(fault["ctx"]["error"])
    alike = [f for f in others if _without_branches(model, f["loc"]) == trail]
    remedy = " or ".join(dict.fromkeys(_remedy(f) for f in (fault, *alike)))
    return f"{path or model.__name__} is {_shown(fault['input'])}; it must be {remedy}."


def _remedy(fault: Mapping[str, Any]) -> str:
    if fault["type"] not in REMEDIES:
        return _lower(fault["msg"]).removeprefix("input should be ")
    remedy = REMEDIES[fault["type"]].format(**fault.get("ctx", {}))
    quoted = remedy.endswith("number") and _is_number(fault["input"])
    return f"{remedy}, without quotes" if quoted else remedy


def _is_number(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[-+.\deE]*\d[-+.\deE]*", text) is not None


def _shown(value: Any) -> str:
    """A value as YAML has it: null, true."""
    return repr(value) if isinstance(value, str) else json.dumps(value, default=str)


def _without_branches(model: Any, loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The keys of a place, without the names that pydantic gives to a union's branches."""
    keys: list[int | str] = []
    is_branch = False
    for part in loc:
        if not is_branch:
            keys.append(part)
            model = _inner(model, part)
        is_branch = not is_branch and _branches(model) > 1
    return tuple(keys)


def known_keys(model: Any, trail: tuple[int | str, ...]) -> list[str]:
    """The keys that a model knows at a place, as far as its annotations tell."""
    for part in trail:
        model = _inner(model, part)
    fields = getattr(model, "model_fields", {})
    return list(fields)


def _inner(model: Any, part: int | str) -> Any:
    fields = getattr(model, "model_fields", None)
    annotation = fields[part].annotation if fields and part in fields else None
    if annotation is None:  # a dict's value, or a list's item
        arguments = [a for a in get_args(model) if a is not Ellipsis]
        annotation = arguments[-1] if arguments else None
    models = [a for a in get_args(annotation) if hasattr(a, "model_fields")]
    return models[0] if models and _branches(annotation) else annotation


def _branches(annotation: Any) -> int:
    """How many types a union has beside None; 0 for what is no union."""
    is_union = get_origin(annotation) in (Union, types.UnionType)
    return sum(a is not type(None) for a in get_args(annotation)) if is_union else 0


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


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
