"""Order preservation as a term of any model's objective."""

import jax
import jax.numpy as jnp

from aerec.core import Batch, Model
from aerec.nn import layers
from aerec.properties import order_penalty


def with_order_penalty(model: Model, weight: float) -> Model:
    """Add `weight * (1 - cos(x, p))` to the objective of each row of `model`.

    x is the row as a dense vector, u the previous row of the batch (the next one for the first),
    p = J_encode(u)^T encode(x) (`properties.order_penalty`): zero where the codes rank every small
    change of u as x does. The term is scaled by the row's weight, as the objective is a weighted
    mean. It costs one vector-Jacobian product of the encoder per row.
    """
    batch_loss = model.loss
    if batch_loss is None:
        raise ValueError("an order penalty is a term of a loss; this model is solved")

    def loss(params, x: Batch, key: jax.Array, step: jax.Array):
        total, counted = batch_loss(params, x, key, step)
        rows = layers.dense(x)

        def penalty(x, u):
            return order_penalty(lambda row: model.encode(params, row[None])[0], x, u)

        others = jnp.concatenate([rows[1:2], rows])[: len(rows)]  # whatever padding comes last
        penalties = jax.vmap(penalty)(rows, others)
        return total + weight * counted * penalties, counted

    return model._replace(loss=loss, narrowed=None)
