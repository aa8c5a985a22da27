"""Settings: frozen dataclasses that check themselves, built from values or from text.

    @settings
    class Config:
        latent: Count = 200  # K

A field's annotation defines its values: a type and, for some, a rule. Values are converted to that
type, so that 200 and "200" are the same setting. A field's comment is its help text.
"""

import copy
import dataclasses
import inspect
import math
import operator
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union

from aerec.errors import BadInput, nearest

T = TypeVar("T")
Rule = Callable[[Any], str]  # what is wrong with a value, as "is at least 1, not 0"; "": nothing

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "numbers with commas between, like 600,200",
}


def within(words: str, holds: Callable[[Any], bool]) -> Rule:
    """Make a rule from the predicate `holds` and the words of its message; NaN passes no rule."""
    return lambda value: "" if holds(value) else f"is {words}, not {value!r}"


Count = Annotated[int, within("at least 1", lambda v: v >= 1)]
Natural = Annotated[int, within("at least 0", lambda v: v >= 0)]
Replicas = Annotated[int, within("from 1 to 1000", lambda v: 1 <= v <= 1000)]  # side by side
Weight = Annotated[float, within("a number, at least 0", lambda v: v >= 0)]
Positive = Annotated[float, within("a number above 0", lambda v: v > 0)]
Probability = Annotated[float, within("at least 0 and below 1", lambda v: 0 <= v < 1)]
Share = Annotated[float, within("at least 0 and at most 1", lambda v: 0 <= v <= 1)]
Part = Annotated[float, within("above 0 and at most 1", lambda v: 0 < v <= 1)]
Widths = tuple[Count, ...]


@typing.dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[T]) -> type[T]:
    """Make a frozen, keyword-only dataclass that raises `BadInput` for an invalid value.

    A `__post_init__` of the class runs afterwards, for rules that concern several fields.
    """
    own = cls.__dict__.get("__post_init__", lambda self: None)

    def __post_init__(self) -> None:
        for name, kind in kinds(type(self)).items():
            object.__setattr__(self, name, value_of(kind, getattr(self, name), name))
        own(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def kinds(cls: type) -> dict[str, Any]:
    """Return the annotation of each field, rules included."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def comments(cls: type) -> dict[str, str]:
    """Return the comment behind each field, which is its help text."""
    found = re.findall(r"^    (\w+): .*?  # (.*)$", inspect.getsource(cls), re.MULTILINE)
    return {name: comment for name, comment in found if name in kinds(cls)}


def fill(kind: type[T], given: Mapping[str, Any], *, of: str) -> T:
    """Build the settings class `kind` from the `given` fields.

    Args:
      given: field name -> value, or the text of one ("600,200" for a tuple).
      of: what the fields belong to, for messages: "model 'multvae'".

    Raises:
      BadInput: an unknown field (names the nearest), or a value that its annotation rules out.
    """
    for name in given:
        if name not in kinds(kind):
            raise BadInput(f"{of} has no setting {name!r}. {nearest(name, kinds(kind))}")
    try:
        return kind(**given)
    except BadInput as error:
        raise BadInput(f"{of}: {error}") from None


def traced(settings: T, values: Mapping[str, Any]) -> T:
    """Replace numbers of a settings class by traced ones, whose values cannot be checked."""
    replaced = copy.copy(settings)
    for name, value in values.items():
        object.__setattr__(replaced, name, value)
    return replaced


def is_zero(value: Any) -> bool:
    """Return whether a setting is known to be zero; a traced one is not."""
    return isinstance(value, int | float) and value == 0


def assignments(items: Iterable[str], *, of: str) -> dict[str, str]:
    """Parse ["hidden=600"] to {"hidden": "600"}; empty items are ignored.

    Raises:
      BadInput: an item without `=`.
    """
    pairs = [item.partition("=") for item in items if item]
    for name, equals, _ in pairs:
        if not equals:
            raise BadInput(f"{of}: {name!r} is no setting; write NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def plain(settings: Any) -> dict[str, Any]:
    """Convert a dataclass to a dict for JSON, tuples to lists."""
    fields = dataclasses.asdict(settings)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items()}


def bare(kind: Any) -> tuple[Any, tuple[Rule, ...]]:
    """Split an annotation into its type and its rules."""
    if typing.get_origin(kind) is Annotated:
        kind, *rules = typing.get_args(kind)
        return kind, tuple(rules)
    return kind, ()


def value_of(kind: Any, value: Any, name: str) -> Any:
    """Convert `value` to its annotation, `kind`. Raises BadInput, which begins with the name."""
    kind, rules = bare(kind)
    origin, items = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is Literal:
        if value not in items:
            raise BadInput(f"{name}={value!r} is unknown. {nearest(str(value), items)}")
        return value
    if origin in (Union, types.UnionType):  # a type, or a word: float | Literal["all"]
        (other,) = [each for each in items if typing.get_origin(each) is not Literal]
        words = [w for each in items if each is not other for w in typing.get_args(each)]
        try:
            return value if value in words else value_of(other, value, name)  # "all" or 4.0
        except BadInput as error:
            raise BadInput(f"{str(error)[:-1]}; or {' or '.join(words)}.") from None
    try:
        read = _read(origin, items, value)
    except (KeyError, TypeError, ValueError, OverflowError):
        tuples = origin is tuple and not isinstance(value, str)
        wanted = "a tuple of numbers, like (600, 200)" if tuples else _WORDS[origin]
        raise BadInput(f"{name} is {wanted}, not {value!r}.") from None
    if origin is tuple:
        each = items[:1] * len(read) if ... in items else items
        if len(read) != len(each):
            raise BadInput(f"{name} is {len(each)} numbers, not {value!r}.")
        read = tuple(value_of(item, part, name) for item, part in zip(each, read, strict=True))
    if origin is float and not math.isfinite(read):
        raise BadInput(f"{name} is a finite number, not {value!r}.")
    if origin is int and abs(read) >= 2**31:
        raise BadInput(f"{name} is a whole number below 2^31, not {value!r}.")
    for rule in rules:
        if wrong := rule(read):
            raise BadInput(f"{name} {wrong}.")
    return read


def _read(kind: Any, items: tuple, value: Any) -> Any:
    """Convert `value`, or its text, to a `kind`. Raises TypeError, KeyError or ValueError."""
    text, truth = isinstance(value, str), isinstance(value, bool)
    if kind is tuple and text:
        number = bare(items[0])[0]
        return [number(part) for part in value.strip("()").split(",") if part.strip()]
    if kind is bool and text:
        return {"true": True, "false": False}[value.lower()]
    if kind in (int, float) and text:
        return kind(value)
    if kind is int and not truth:
        return operator.index(value)
    if kind is float and not truth:
        return float(value)
    if isinstance(value, (tuple, list) if kind is tuple else kind) and (kind is bool or not truth):
        return value
    raise TypeError
