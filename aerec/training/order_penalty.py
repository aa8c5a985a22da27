"""Order preservation as a term of any model's objective."""

import jax
import jax.numpy as jnp

from aerec.core import Batch, Model
from aerec.nn import layers
from aerec.properties import order_penalty


def with_order_penalty(model: Model, weight: float) -> Model:
    """`model` with `weight * (1 - cos(x, p))` added to the objective of each row.

    x is the row as a dense vector, u the row before it in the batch (before the first, the last),
    p = J_encode(u)^T encode(x) (`properties.order_penalty`): zero where every small change of u is
    ranked by the codes as x ranks it. The term is scaled by the row's weight, so that it stands
    beside the row's mean.
    One vector-Jacobian product of the encoder more for each row.
    """
    batch_loss = model.loss
    if batch_loss is None:
        raise ValueError("an order penalty is a term of a loss; this model is solved")

    def loss(params, x: Batch, key: jax.Array, step: jax.Array):
        total, counted = batch_loss(params, x, key, step)
        rows = layers.dense(x)

        def penalty(x, u):
            return order_penalty(lambda row: model.encode(params, row[None])[0], x, u)

        penalties = jax.vmap(penalty)(rows, jnp.roll(rows, 1, axis=0))
        return total + weight * counted * penalties, counted

    return model._replace(loss=loss)
