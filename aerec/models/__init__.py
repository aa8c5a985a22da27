"""The registry of models: for each name a module with `Config`, `traits` and `make`.

`Config` is a settings class (`aerec.configuration`), `traits(config) -> Traits` says what trainer,
evaluator and audit need to know, and `make(config, facts) -> Model` builds the pure functions.
"""

from collections.abc import Mapping
from typing import Any

from aerec import configuration
from aerec.configuration import Natural, value_of
from aerec.core import Facts, Model, Traits
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


def find(name: str):
    """The model's module. Raises BadInput, naming the nearest, for a name that is not here."""
    if name not in MODELS:
        raise BadInput(f"No model is called {name!r}. {nearest(name, MODELS)}")
    return MODELS[name]


def configure(name: str, given: Mapping[str, Any]) -> Any:
    """The model's Config from `given` settings, typed or as text.

    Raises:
      BadInput: as `configuration.fill`.
    """
    return configuration.fill(find(name).Config, given, of=f"model {name!r}")


def traits(name: str, given: Mapping[str, Any]) -> Traits:
    """The traits of the model of that name and those settings."""
    return find(name).traits(configure(name, given))


def build(name: str, given: Mapping[str, Any], facts: Facts) -> Model:
    """The model of that name and those settings over data of these `facts`.

    Raises:
      BadInput: as `configure`, and for numbers of rows and columns that are no whole numbers.
    """
    shape = {n: value_of(Natural, getattr(facts, n), n) for n in ("num_rows", "num_columns")}
    facts = facts._replace(**shape)
    return find(name).make(configure(name, given), facts)
