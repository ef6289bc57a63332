"""Options as strict models: what params.yaml says is checked once, and refused in one sentence."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from reblur.errors import ReblurError

Model = TypeVar("Model", bound="Options")


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


def sentence(model: type[BaseModel], error: ValidationError, where: str = "") -> str:
    """The first fault of `error` in one sentence that names the key and the remedy."""
    fault = error.errors()[0]
    trail = [str(part) for part in fault["loc"]]
    path = ".".join([*([where] if where else []), *trail]) or where or model.__name__
    match fault["type"]:
        case "extra_forbidden":
            known = known_keys(model, fault["loc"][:-1])
            near = difflib.get_close_matches(trail[-1], known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(known)}."
            return f"{path} is unknown; {hint}"
        case "missing":
            return f"{path} is missing; give it a value."
        case "value_error":
            return f"{path}: {fault['ctx']['error']}"
    return f"{path} is {fault['input']!r}; {_lower(fault['msg'])}."


def known_keys(model: Any, trail: tuple[int | str, ...]) -> list[str]:
    """The keys that a model knows at a place, as far as its annotations tell."""
    for part in trail:
        model = _inner(model, part)
    fields = getattr(model, "model_fields", {})
    return list(fields)


def _inner(model: Any, part: int | str) -> Any:
    from typing import get_args

    fields = getattr(model, "model_fields", None)
    annotation = fields[part].annotation if fields and part in fields else None
    if annotation is None:  # a dict's value, or a list's item
        arguments = get_args(model)
        annotation = arguments[-1] if arguments else None
    return (
        next(
            (a for a in get_args(annotation) if hasattr(a, "model_fields")),
            annotation,
        )
        if not hasattr(annotation, "model_fields") and _is_union(annotation)
        else annotation
    )


def _is_union(annotation: Any) -> bool:
    import types
    from typing import Union, get_origin

    return get_origin(annotation) in (Union, types.UnionType)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")
