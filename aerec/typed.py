"""Text from a command line as the typed fields of a dataclass."""

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from aerec.errors import BadInput, nearest

T = TypeVar("T")

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "numbers with commas between, like 600,200",
}


def assignments(items: Iterable[str], *, of: str) -> dict[str, str]:
    """["hidden=600"] as {"hidden": "600"}; empty items are passed over.

    Raises:
      BadInput: an item without `=`.
    """
    pairs = [item.partition("=") for item in items if item]
    for name, equals, _ in pairs:
        if not equals:
            raise BadInput(f"{of}: {name!r} is no setting; write NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def fill(kind: type[T], given: Mapping[str, Any], *, of: str) -> T:
    """An instance of the dataclass `kind` with the `given` fields, text read as the field's type.

    Args:
      given: field name -> value, or the text of one ("600,200" for a tuple).
      of: what the fields belong to, for messages: "model 'multvae'".

    Raises:
      BadInput: an unknown field (names the nearest), or text that is not of the field's type.
    """
    types = typing.get_type_hints(kind)
    for name in given:
        if name not in types:
            raise BadInput(f"{of} has no setting {name!r}. {nearest(name, types)}")
    return kind(**{k: _value(types[k], value, f"{of}: {k}") for k, value in given.items()})


def _value(kind: Any, value: Any, what: str) -> Any:
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    plain = typing.get_origin(kind) or kind
    try:
        if plain is bool:
            return {"true": True, "false": False}[value.lower()]
        if plain is tuple:
            item = typing.get_args(kind)[0]
            return tuple(item(part) for part in value.strip("()").split(",") if part.strip())
        return plain(value)
    except (KeyError, ValueError):
        raise BadInput(f"{what} is {_WORDS[plain]}, not {value!r}.") from None


def plain(settings: Any) -> dict[str, Any]:
    """A dataclass as JSON would have it: tuples as lists."""
    fields = dataclasses.asdict(settings)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items()}
