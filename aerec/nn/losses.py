"""Objectives per row, each (total [B], weight [B]); a batch's loss is the ratio of their sums.

`x` is the observed batch, `y` [B, N] the model's output for every column.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from aerec.core import Batch, Rows
from aerec.errors import BadInput, nearest

Loss = tuple[jax.Array, jax.Array]
Likelihood = Literal["multinomial", "gaussian", "logistic"]


def squared_error(y: jax.Array, x: Batch) -> Loss:
    """Compute the squared error over listed entries, weighted by their number (AutoRec, eq. 2).

    In `Rows` only listed entries count; in a dense batch all entries do (dense re-feeding).
    """
    chex.assert_shape(y, x.shape)
    if isinstance(x, Rows):
        return x.sum((x.pick(y) - x.values) ** 2), x.sum(jnp.ones_like(x.values))
    return jnp.sum((y - x) ** 2, axis=1), jnp.full(x.shape[0], x.shape[1], y.dtype)


def multinomial(logits: jax.Array, x: Batch) -> jax.Array:
    """Compute the negative multinomial log-likelihood [B] without its constant (Liang 2018, eq. 2).

    -sum_i x_i log softmax(logits)_i; zero for an empty row. With `x.log_chance`, columns that a row
    does not list weigh 1 / chance in its normaliser.
    """
    chex.assert_shape(logits, x.shape)
    if isinstance(x, Rows):
        at = x.pick(logits)
        if x.log_chance is not None:
            others = logits - x.log_chance[None]
            logits = others.at[x.row, x.columns].set(at, mode="drop")
        return jax.nn.logsumexp(logits, axis=1) * x.sum(x.values) - x.sum(x.values * at)
    normaliser = jax.nn.logsumexp(logits, axis=1)
    return normaliser * jnp.sum(x, axis=1) - jnp.sum(x * logits, axis=1)


def gaussian(y: jax.Array, x: Batch, *, confidence: float = 1.0) -> jax.Array:
    """Compute the negative Gaussian log-likelihood [B] without its constant (Liang 2018, eq. 3).

    sum_i c_i / 2 (x_i - y_i)^2 over every column, c_i = `confidence` where x lists, 1 elsewhere.
    """
    chex.assert_shape(y, x.shape)
    if not isinstance(x, Rows):
        return jnp.sum(jnp.where(x != 0, confidence, 1.0) * (x - y) ** 2, axis=1) / 2
    at = x.pick(y)
    return (jnp.sum(y**2, axis=1) + x.sum(confidence * (x.values - at) ** 2 - at**2)) / 2


def logistic(logits: jax.Array, x: Batch) -> jax.Array:
    """Compute the negative logistic log-likelihood [B], x in [0, 1] (Liang 2018, eq. 4)."""
    chex.assert_shape(logits, x.shape)
    if isinstance(x, Rows):
        positive = x.sum(x.values * x.pick(logits))
    else:
        positive = jnp.sum(x * logits, axis=1)
    return jnp.sum(jax.nn.softplus(logits), axis=1) - positive


def likelihood(name: str, *, confidence: float = 1.0) -> Callable[[jax.Array, Batch], jax.Array]:
    """Return the negative log-likelihood (y, x) -> [B] of a name; `confidence` is the Gaussian's.

    Raises:
      BadInput: an unknown name.
    """
    known: dict[str, Callable[[jax.Array, Batch], jax.Array]] = {
        "multinomial": multinomial,
        "gaussian": lambda y, x: gaussian(y, x, confidence=confidence),
        "logistic": logistic,
    }
    if name not in known:
        raise BadInput(f"likelihood={name!r} is unknown. {nearest(name, known)}")
    return known[name]


def gaussian_kl(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """Sum KL(N(mean, exp(log_variance)) || N(0, 1)) over the code, [B] (Liang 2018, eq. 5)."""
    chex.assert_equal_shape([mean, log_variance])
    return jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance, axis=-1) / 2


def annealed(step: jax.Array, beta: float, steps: int) -> jax.Array | float:
    """Compute the weight of the KL term, min(beta, step / steps), or beta if `steps` is 0."""
    return jnp.minimum(beta, step / steps) if steps else beta


def nonempty(x: Batch) -> jax.Array:
    """Return the weight [B] of objectives that count rows: 1, or 0 for an empty row."""
    if isinstance(x, Rows):
        return (x.sum(jnp.ones_like(x.values)) > 0).astype(jnp.float32)
    return jnp.any(x != 0, axis=1).astype(jnp.float32)


def by_row(total: jax.Array, x: Batch) -> Loss:
    """Make an objective [B] in which each row counts one, and an empty row nothing."""
    weight = nonempty(x)
    return total * weight, weight


def greedy(stages: Sequence[Callable[..., Loss]], *, pretrain_steps: int) -> Callable[..., Loss]:
    """Make the loss (params, x, key, step) of greedy layer-wise pre-training.

    `stages` are losses (params, x, key): one per layer, and last that of the whole network. The
    first `pretrain_steps` steps are divided evenly among all stages but the last, which has the
    rest. A single layer is the whole network and needs no pre-training.
    """
    layers = len(stages) - 1
    if not pretrain_steps or layers == 1:
        return lambda params, x, key, step: stages[-1](params, x, key)

    def loss(params, x: Batch, key: jax.Array, step: jax.Array) -> Loss:
        level = jnp.minimum(step * layers // pretrain_steps, layers)
        return jax.lax.switch(level, stages, params, x, key)

    return loss
