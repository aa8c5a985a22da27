"""Popularity: the most-listed columns for every user. The baseline of ranking."""

import jax.numpy as jnp

from aerec.configuration import settings
from aerec.core import Facts, Model, Table, Traits
from aerec.space import Space


@settings
class Config:
    pass


SPACE: Space = {}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks."""
    del config
    return Traits(task="ranking")


def make(config: Config, facts: Facts) -> Model:
    """Build the model; scores are the columns' counts in the training table, for every row."""
    num_columns = facts.num_columns

    def solve(table: Table):
        return {"counts": jnp.zeros(num_columns).at[table.columns].add(1)}

    return Model(
        traits=traits(config),
        init=lambda key: {"counts": jnp.zeros(num_columns)},
        encode=lambda params, x: jnp.ones((x.shape[0], 1)),
        score=lambda params, x: jnp.broadcast_to(params["counts"], x.shape),
        solve=solve,
        queries=lambda params, x: jnp.zeros((x.shape[0], 0)),
        item_codes=lambda params: jnp.zeros((num_columns, 0)),
        item_bias=lambda params: params["counts"],
    )
