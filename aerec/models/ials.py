"""iALS: matrix factorisation of clicks by alternating least squares.

Hu, Koren, Volinsky: *Collaborative Filtering for Implicit Feedback Datasets*, ICDM 2008. With
p_ui = 1 where r_ui > 0 and confidence c_ui = 1 + alpha r_ui, the objective is
sum_ui c_ui (p_ui - x_u' y_i)^2 + lambda (sum_u |x_u|^2 + sum_i |y_i|^2) over *all* cells (eq. 3);
given the items, a user is x_u = (Y'Y + Y'(C_u - I) Y + lambda I)^-1 Y' C_u p_u (eq. 4), and the
items likewise. A user's factor is always computed from the row (eq. 4), so that users who were
not trained on are scored like the others; a user's scores are x_u' y_i.

Departures: none. The defaults suit MovieLens-1M; other data gain from a search of all three.
"""

import jax
import jax.numpy as jnp

from aerec.configuration import Count, Positive, Weight, settings
from aerec.core import Batch, Facts, Model, Table, Traits
from aerec.nn import alternating, layers
from aerec.space import Choice, Log, Space


@settings
class Config:
    latent: Count = 64  # K
    l2: Positive = 0.7  # lambda
    alpha: Weight = 2.4  # confidence of a click beyond the 1 of every cell, per unit of its value
    sweeps: Count = 15  # number of times that the items are solved


SPACE: Space = {
    "latent": Choice((16, 32, 64, 128, 256)),
    "l2": Log(0.1, 1000),
    "alpha": Log(0.1, 100),
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks."""
    del config
    return Traits(task="ranking")


def make(config: Config, facts: Facts) -> Model:
    """Build the model over N items; params {"items": [N, K]}; the code is x_u [B, K].

    Raises:
      memory.TooLarge: from `solve`, as `alternating.fit`.
    """
    num_columns = facts.num_columns

    def half(fixed: jax.Array, x: Batch) -> jax.Array:
        """Solve equation 4 for every row: its factors, given the `fixed` ones of the other side."""
        base = fixed.T @ fixed + config.l2 * jnp.eye(config.latent)
        extra = layers.apply(x, lambda r: config.alpha * r)
        targets = layers.apply(x, lambda r: jnp.where(r > 0, 1 + config.alpha * r, 0))
        return alternating.ridge(extra, targets, fixed, base)

    def solve(table: Table):
        return {"items": alternating.fit(table, half, width=config.latent, sweeps=config.sweeps)}

    def encode(params, x: Batch) -> jax.Array:
        return half(params["items"], x)

    return Model(
        traits=traits(config),
        init=lambda key: {"items": jnp.zeros((num_columns, config.latent))},
        encode=encode,
        score=lambda params, x: encode(params, x) @ params["items"].T,
        solve=solve,
        queries=encode,
        item_codes=lambda params: params["items"],
        item_bias=lambda params: jnp.zeros(num_columns),
    )
