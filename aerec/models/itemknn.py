"""Item-kNN: items similar to those of the user's history.

Sarwar, Karypis, Konstan, Riedl: *Item-based Collaborative Filtering Recommendation Algorithms*,
WWW 2001, of clicks. With G = X'X the similarity of
items i and j is the cosine s_ij = G_ij / (sqrt(G_ii G_jj) + h), where h shrinks similarities that
few clicks support; each item j keeps its k nearest neighbours i, and a user's score of j is sum_i
x_i s_ij over them.

Departures: neighbours that tie with the k-th are all kept. (Deshpande & Karypis, TOIS 2004, keep
the k nearest of each item in the history instead of those of the item that is scored.)
"""

import jax
import jax.numpy as jnp

from aerec import memory
from aerec.configuration import Count, Weight, settings
from aerec.core import Facts, Model, Table, Traits
from aerec.models import ease
from aerec.space import Log, LogIntegers, Space


@settings
class Config:
    neighbours: Count = 40  # k, the neighbours of an item
    shrinkage: Weight = 5.0  # h, added to the cosine's denominator


SPACE: Space = {"neighbours": LogIntegers(5, 1000), "shrinkage": Log(0.1, 1000)}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks."""
    del config
    return Traits(task="ranking", linear=True)


def make(config: Config, facts: Facts) -> Model:
    """Build the model over N items; params {"weights": [N, N]}; the code is the score.

    Raises:
      memory.TooLarge: from `solve`, before anything is allocated, if N^2 does not fit.
    """
    num_columns = facts.num_columns

    def solve(table: Table):
        memory.require(
            3 * 4 * num_columns**2,
            f"Item-kNN's similarities of {num_columns} items",
            "keep fewer items, or train a model whose size is linear in the items (elsa, ials)",
        )
        return {"weights": _similarity(ease.gram(table))}

    @jax.jit
    def _similarity(gram):
        length = jnp.sqrt(jnp.diagonal(gram))
        below = length[:, None] * length[None, :] + config.shrinkage
        cosine = jnp.where(jnp.eye(num_columns, dtype=bool) | (below == 0), 0, gram / below)
        nearest, _ = jax.lax.top_k(cosine, min(config.neighbours, num_columns))
        # Without the barrier XLA merges the slice into the top-k and sorts whole rows on a CPU.
        nearest = jax.lax.optimization_barrier(nearest)
        return jnp.where(cosine >= nearest[:, -1:], cosine, 0).T  # column j: neighbours of item j

    return ease.item_item(solve, facts, traits(config))
