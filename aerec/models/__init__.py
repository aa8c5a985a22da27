"""The registry of models: a module with `TASK`, a frozen `Config` and `make` for each name.

A module may have `TRAINING`, the settings of `train.Settings` that the model is best trained with
where nothing else is said, `RANGES` of its settings, and `ORDERED` where its code is of a sequence
and hence no function of a vector.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from aerec import configuration
from aerec.core import Model
from aerec.errors import BadInput, nearest
from aerec.models import (
    autorec,
    bias,
    cdae,
    dae,
    deeprec,
    ease,
    elsa,
    feature_ae,
    ials,
    itemknn,
    mdae,
    multdae,
    multvae,
    pmf,
    popularity,
    rvae,
    sdae,
    svae,
    vae,
)

MODELS = {
    "autorec": autorec,
    "bias": bias,
    "cdae": cdae,
    "dae": dae,
    "deeprec": deeprec,
    "ease": ease,
    "elsa": elsa,
    "feature_ae": feature_ae,
    "ials": ials,
    "itemknn": itemknn,
    "mdae": mdae,
    "multdae": multdae,
    "multvae": multvae,
    "pmf": pmf,
    "popularity": popularity,
    "rvae": rvae,
    "sdae": sdae,
    "svae": svae,
    "vae": vae,
}

# What the settings that models share may be; a NaN is inside no range. A module's own `RANGES` go
# before these.
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "hidden": (lambda v: v >= 1, "at least 1"),
    "latent": (lambda v: v >= 1, "at least 1"),
    "embedding": (lambda v: v >= 1, "at least 1"),
    "recurrent": (lambda v: v >= 1, "at least 1"),
    "ahead": (lambda v: v >= 1, "at least 1"),
    "max_length": (lambda v: v >= 1, "at least 1"),
    "scored": (lambda v: 0 < v <= 1, "above 0 and at most 1"),
    "dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    "corruption": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    "l2": (lambda v: 0 <= v < math.inf, "a number, at least 0"),
    "beta": (lambda v: 0 <= v < math.inf, "a number, at least 0"),
    "anneal_steps": (lambda v: v >= 0, "at least 0"),
    "pretrain_steps": (lambda v: v >= 0, "at least 0"),
    "refeeds": (lambda v: v >= 0, "at least 0"),
    "negatives": (lambda v: v >= 0, "at least 0"),
    "depth": (lambda v: v >= 1, "at least 1"),
    "power": (lambda v: 0 <= v <= 1, "at least 0 and at most 1"),
    "sweeps": (lambda v: v >= 1, "at least 1"),
    "alpha": (lambda v: 0 <= v < math.inf, "a number, at least 0"),
    "neighbours": (lambda v: v >= 1, "at least 1"),
    "confidence": (lambda v: 0 < v < math.inf, "a number above 0"),
    "shrinkage": (lambda v: 0 <= v < math.inf, "a number, at least 0"),
}


def find(name: str):
    """The model's module. Raises BadInput, naming the nearest, for a name that is not here."""
    if name not in MODELS:
        raise BadInput(f"No model is called {name!r}. {nearest(name, MODELS)}")
    return MODELS[name]


def configure(name: str, given: Mapping[str, Any]) -> Any:
    """The model's Config from `given` settings, typed or as text; see `configuration.fill`.

    Raises:
      BadInput: as `configuration.fill`, and for a value outside `RANGES`.
    """
    config = configuration.fill(find(name).Config, given, of=f"model {name!r}")
    ranges = RANGES | getattr(find(name), "RANGES", {})
    for setting, (inside, range_) in ranges.items():
        value = getattr(config, setting, None)
        each = value if isinstance(value, tuple) else () if value is None else (value,)
        if not all(inside(v) for v in each):
            raise BadInput(f"model {name!r}: {setting} is {range_}, not {value!r}.")
    low, high = getattr(config, "scale", (0, 1))
    if not low < high:
        raise BadInput(f"model {name!r}: scale is the lowest and highest rating, like 1,5.")
    return config


def build(name: str, given: Mapping[str, Any], num_rows: int, num_columns: int) -> Model:
    """The model of that name and those settings over a table of that shape."""
    return find(name).make(configure(name, given), num_rows, num_columns)
