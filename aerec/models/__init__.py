"""The registry of models: for each name a module with `Config`, `traits` and `make`.

`Config` is a settings class (`aerec.configuration`), `traits(config) -> Traits` has the facts that
trainer, evaluator and audit need, and `make(config, facts) -> Model` builds the pure functions.
"""

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from aerec import configuration
from aerec.configuration import Natural, value_of
from aerec.core import Facts, Model, Traits
from aerec.errors import BadInput, nearest
from aerec.models import (
    autorec,
    bias,
    blend,
    cdae,
    dae,
    deeprec,
    ease,
    ease_vae,
    elsa,
    factor_ae,
    feature_ae,
    ials,
    itemknn,
    mdae,
    multdae,
    multvae,
    pmf,
    popularity,
    rbm,
    recvae,
    rrn,
    rvae,
    sdae,
    sparse_ease,
    svae,
    timesvdpp,
    vae,
)

MODELS = {
    "autorec": autorec,
    "bias": bias,
    "blend": blend,
    "cdae": cdae,
    "dae": dae,
    "deeprec": deeprec,
    "ease": ease,
    "ease_vae": ease_vae,
    "elsa": elsa,
    "factor_ae": factor_ae,
    "feature_ae": feature_ae,
    "ials": ials,
    "itemknn": itemknn,
    "mdae": mdae,
    "multdae": multdae,
    "multvae": multvae,
    "pmf": pmf,
    "popularity": popularity,
    "rbm": rbm,
    "recvae": recvae,
    "rrn": rrn,
    "rvae": rvae,
    "sdae": sdae,
    "sparse_ease": sparse_ease,
    "svae": svae,
    "timesvdpp": timesvdpp,
    "vae": vae,
}


def find(name: str):
    """Return a model's module. Raises BadInput, with the nearest names, for an unknown name."""
    if not isinstance(name, str) or name not in MODELS:
        raise BadInput(f"No model is called {name!r}. {nearest(name, MODELS)}")
    return MODELS[name]


def configure(name: str, given: Mapping[str, Any]) -> Any:
    """Build the model's Config from `given` settings, values or text.

    Raises:
      BadInput: as `configuration.fill`.
    """
    return configuration.fill(find(name).Config, given, of=f"model {name!r}")


def traits(name: str, given: Mapping[str, Any]) -> Traits:
    """Return the traits of the model of that name and those settings."""
    return find(name).traits(configure(name, given))


def build(
    name: str, given: Mapping[str, Any], facts: Facts, traced: Mapping[str, Any] | None = None
) -> Model:
    """Build the model of that name and those settings for data of these `facts`.

    Args:
      traced: settings that replace given ones without a check; they may be traced numbers.

    Raises:
      BadInput: as `configure`, and for numbers of rows and columns that are no whole numbers.
    """
    shape = {n: value_of(Natural, getattr(facts, n), n) for n in ("num_rows", "num_columns")}
    facts = facts._replace(**shape)
    config = configuration.traced(configure(name, given), traced or {})
    return find(name).make(config, facts)


def catalogue() -> pl.DataFrame:
    """List the models: name, task, how they are fitted, paper, settings with their defaults."""
    lines = []
    for name, module in MODELS.items():
        about = " ".join((module.__doc__ or "").split())
        found = re.search(r"([^.:]*): \*([^*]+)\*,? ([^.:*]*?(?:19|20)\d\d)", about)
        paper = ", ".join(part.strip() for part in found.groups()) if found else ""
        config = module.Config()
        own = module.traits(config)
        fitted = module.make(config, Facts(1, 2, scale=(1.0, 5.0)))
        settings = configuration.plain(config)
        lines.append(
            {
                "model": name,
                "task": own.task,
                "fitted": "by gradients" if fitted.loss else "in closed form",
                "about": about.partition(": ")[2].partition(". ")[0],
                "paper": paper,
                "settings": ", ".join(f"{key}={value}" for key, value in settings.items()),
            }
        )
    return pl.DataFrame(lines)
