"""Text from a command line as the typed fields of a dataclass."""

import dataclasses
import math
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from aerec.errors import BadInput, nearest

T = TypeVar("T")

_NUMBER = (int, float)
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
      BadInput: an unknown field (names the nearest), text that is not of the field's type, a
        number that is not finite or, whole, does not fit 32 bits.
    """
    types = typing.get_type_hints(kind)
    for name in given:
        if name not in types:
            raise BadInput(f"{of} has no setting {name!r}. {nearest(name, types)}")
    return kind(**{k: _value(types[k], value, f"{of}: {k}") for k, value in given.items()})


def _value(kind: Any, value: Any, what: str) -> Any:
    plain = typing.get_origin(kind) or kind
    items = typing.get_args(kind)
    try:
        read = _read(plain, items, value) if isinstance(value, str) else value
    except (KeyError, ValueError):
        raise BadInput(f"{what} is {_WORDS[plain]}, not {value!r}.") from None
    read = tuple(read) if isinstance(read, list) else read
    numbers = [n for n in (read if isinstance(read, tuple) else (read,)) if isinstance(n, _NUMBER)]
    if not all(math.isfinite(n) for n in numbers):
        raise BadInput(f"{what} is a finite number, not {value!r}.")
    if any(isinstance(n, int) and abs(n) >= 2**31 for n in numbers):
        raise BadInput(f"{what} is a whole number below 2^31, not {value!r}.")
    if plain is tuple and ... not in items and len(read) != len(items):
        raise BadInput(f"{what} is {len(items)} numbers, not {value!r}.")
    return read


def _read(plain: Any, items: tuple, text: str) -> Any:
    if plain is bool:
        return {"true": True, "false": False}[text.lower()]
    if plain is tuple:
        return tuple(items[0](part) for part in text.strip("()").split(",") if part.strip())
    return plain(text)


def plain(settings: Any) -> dict[str, Any]:
    """A dataclass as JSON would have it: tuples as lists."""
    fields = dataclasses.asdict(settings)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items()}
