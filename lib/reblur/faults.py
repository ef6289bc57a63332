"""Faults of options in one sentence each, with the key and the remedy."""

import difflib
import json
import re
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

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
    "too_short": "a list of at least {min_length} values",
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
