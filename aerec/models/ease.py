"""EASE: a linear item-to-item autoencoder in closed form.

Steck: *Embarrassingly Shallow Autoencoders for Sparse Data*, WWW 2019. With G = X'X + lambda I
and P = G^-1, the weights are B = I - P diag(P)^-1 with a zero diagonal (eq. 8); a user's scores
are x B.

Departures: none.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg.lapack

from aerec import layers, memory
from aerec.core import Model, Table
from aerec.errors import BadInput

TASK = "ranking"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    l2: float = 500.0  # lambda


def make(config: Config, num_rows: int, num_columns: int) -> Model:
    """The model over N = `num_columns` items; params {"weights": [N, N]}; the code is x B.

    Raises:
      BadInput: `l2` is not positive (G would be singular).
      memory.TooLarge: from `solve`, before anything is allocated, where N^2 does not fit.
    """
    del num_rows
    if config.l2 <= 0:
        raise BadInput(f"l2={config.l2}: EASE needs a positive lambda")

    def solve(table: Table):
        memory.require(
            3 * 4 * num_columns**2,
            f"EASE's Gram matrix and its inverse over {num_columns} items",
            "keep fewer items, or train a model whose size is linear in the items (multvae)",
        )
        return {"weights": _weights(inverse(gram(table), config.l2))}

    return Model(
        init=lambda key: {"weights": jnp.zeros((num_columns, num_columns))},
        encode=lambda params, x: layers.product(x, params["weights"]),
        score=lambda params, x: layers.product(x, params["weights"]),
        solve=solve,
    )


def gram(table: Table, batch_size: int = 1024) -> jax.Array:
    """X'X [N, N] of a table, by a scan over dense blocks of rows."""
    index, capacity = table.blocks(batch_size)

    @jax.jit
    def scan(table, index):
        def add(total, block):
            x = table.gather(block, capacity).dense()
            return total + x.T @ x, None

        zeros = jnp.zeros((table.num_columns, table.num_columns))
        return jax.lax.scan(add, zeros, index)[0]

    return scan(table, index)


def inverse(gram: jax.Array, l2: float) -> jax.Array:
    """(G + l2 I)^-1 [N, N] by Cholesky; on CPUs LAPACK's potrf and potri, in place."""
    if jax.default_backend() != "cpu":
        eye = jnp.eye(gram.shape[0])
        return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(gram + l2 * eye), eye)
    system = np.array(gram).T  # symmetric, so the transpose is LAPACK's column order at no cost
    system.flat[:: system.shape[0] + 1] += l2
    factor, failed = scipy.linalg.lapack.spotrf(system, lower=True, overwrite_a=True)
    if failed:
        raise BadInput(f"X'X + {l2} I is not positive definite in float32; raise l2")
    half, _ = scipy.linalg.lapack.spotri(factor, lower=True, overwrite_c=True)
    return _symmetric(half.T)


@jax.jit
def _symmetric(upper: jax.Array) -> jax.Array:
    """The symmetric matrix whose upper triangle is that of `upper` (the rest is ignored)."""
    return jnp.triu(upper) + jnp.triu(upper, 1).T


@functools.partial(jax.jit, donate_argnums=0)
def _weights(precision: jax.Array) -> jax.Array:
    """B = I - P diag(P)^-1 (eq. 8), its diagonal exactly zero."""
    weights = -precision / jnp.diagonal(precision)[None, :]
    return jnp.where(jnp.eye(len(weights), dtype=bool), 0.0, weights)
