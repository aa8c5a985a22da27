"""The registry of models: a module with `TASK`, a frozen `Config` and `make` for each name."""

from collections.abc import Mapping
from typing import Any

from aerec import typed
from aerec.core import Model
from aerec.errors import BadInput, nearest
from aerec.models import autorec, bias, ease, multvae, popularity

MODELS = {
    "autorec": autorec,
    "bias": bias,
    "ease": ease,
    "multvae": multvae,
    "popularity": popularity,
}


def find(name: str):
    """The model's module. Raises BadInput, naming the nearest, for a name that is not here."""
    if name not in MODELS:
        raise BadInput(f"No model is called {name!r}. {nearest(name, MODELS)}")
    return MODELS[name]


def configure(name: str, given: Mapping[str, Any]) -> Any:
    """The model's Config from `given` settings, typed or as text; see `typed.fill`."""
    return typed.fill(find(name).Config, given, of=f"model {name!r}")


def build(name: str, given: Mapping[str, Any], num_rows: int, num_columns: int) -> Model:
    """The model of that name and those settings over a table of that shape."""
    return find(name).make(configure(name, given), num_rows, num_columns)
