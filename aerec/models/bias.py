"""Bias: the mean plus an offset per column and per row. The baseline of rating prediction.

Koren: *Factor in the Neighbors*, TKDD 2010, section 2.1: b_ui = mu + b_u + b_i, the offsets
shrunken averages of the residuals, b_i first. A row's offset is computed from the batch, so rows
that were never trained on are scored like the others.
"""

import jax
import jax.numpy as jnp

from aerec.configuration import Weight, settings
from aerec.core import Batch, Facts, Model, Rows, Table, Traits
from aerec.space import Space


@settings
class Config:
    column_shrinkage: Weight = 10.0  # pseudo-ratings of offset zero for each column
    row_shrinkage: Weight = 15.0  # the same for a row


SPACE: Space = {}


def traits(config: Config) -> Traits:
    """Return the traits of a model of ratings."""
    del config
    return Traits(task="rating")


def make(config: Config, facts: Facts) -> Model:
    """Build the model; scores are unclipped ratings [B, N], the code is the row's offset [B, 1]."""
    num_columns = facts.num_columns

    def solve(table: Table):
        mean = jnp.mean(table.values) if table.values.size else jnp.zeros(())
        zeros = jnp.zeros(num_columns)
        left = zeros.at[table.columns].add(table.values - mean)
        counts = zeros.at[table.columns].add(1)
        return {"mean": mean, "columns": left / (config.column_shrinkage + counts)}

    def encode(params, x: Batch) -> jax.Array:
        base = params["mean"] + params["columns"]
        if isinstance(x, Rows):
            left = x.sum(x.values - base.at[x.columns].get(mode="fill", fill_value=0))
            counts = x.sum(jnp.ones_like(x.values))
        else:
            left = jnp.sum(jnp.where(x != 0, x - base[None, :], 0), axis=1)
            counts = jnp.sum(x != 0, axis=1)
        return (left / (config.row_shrinkage + counts))[:, None]

    def score(params, x: Batch) -> jax.Array:
        return params["mean"] + params["columns"][None, :] + encode(params, x)

    return Model(
        traits=traits(config),
        init=lambda key: {"mean": jnp.zeros(()), "columns": jnp.zeros(num_columns)},
        encode=encode,
        score=score,
        solve=solve,
        queries=encode,
        item_codes=lambda params: jnp.ones((num_columns, 1)),
        item_bias=lambda params: params["mean"] + params["columns"],
    )
