"""Alternating least squares: ridge regressions of all rows of a table, in blocks of rows.

One side of a factorisation is fixed; every row of the other side is then a small ridge regression
on the fixed factors that the row lists.
"""

import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from aerec import memory
from aerec.core import Batch, Table
from aerec.nn import layers

BLOCK = 128  # rows solved at a time

Half = Callable[[jax.Array, Batch], jax.Array]  # (fixed [M, K], x [B, M]) -> the rows' [B, K]


def ridge(weights: Batch, targets: Batch, factors: jax.Array, base: jax.Array) -> jax.Array:
    """Solve (base + F' diag(w) F) z = F' t for z [B, K] by Cholesky, one system per row.

    Each z is the argmin of z' base z + sum_m w_m (f_m z)^2 - 2 t_m f_m z.

    Args:
      weights: w [B, M], zero where nothing is listed.
      targets: t [B, M], the regression target times its weight.
      factors: F [M, K].
      base: [K, K] for all rows or [B, K, K], positive definite.
    """
    chex.assert_rank([factors, base], [2, {2, 3}])
    i, j = jnp.triu_indices(factors.shape[1])
    products = layers.product(weights, factors[:, i] * factors[:, j])
    system = jnp.zeros((weights.shape[0], *base.shape[-2:]), factors.dtype)
    system = system.at[:, i, j].set(products).at[:, j, i].set(products)
    cholesky = jnp.linalg.cholesky(system + jnp.broadcast_to(base, system.shape))
    right = layers.product(targets, factors)
    return jax.scipy.linalg.cho_solve((cholesky, True), right[:, :, None])[:, :, 0]


def fit(table: Table, half: Half, *, width: int, sweeps: int) -> jax.Array:
    """Fit the columns' factors [N, width] in `sweeps` alternations between columns and rows.

    The rows start at random (standard deviation .1, a fixed key), so the columns are solved first,
    and permuting them permutes the result.

    Raises:
      memory.TooLarge: before anything is allocated, if the factors and their products do not fit.
    """
    memory.require(  # factors and the products of their pairs, and these again where gathered
        4 * max(table.num_rows, table.num_columns) * width * (width + 5),
        f"Alternating least squares of {table.num_rows} rows and {table.num_columns} columns",
        f"lower latent, {width} now",
    )
    of_columns, of_rows = _blockwise(table.transpose(), half), _blockwise(table, half)
    rows = 0.1 * jax.random.normal(jax.random.key(0), (table.num_rows, width))
    columns = of_columns(rows)
    for _ in range(sweeps - 1):
        columns = of_columns(of_rows(columns))
    return columns


def _blockwise(table: Table, half: Half) -> Callable[[jax.Array], jax.Array]:
    """Make the function fixed [M, K] -> every row's solution [U, K], compiled once."""
    index, capacity = table.blocks(BLOCK)

    @jax.jit
    def run(table, index, fixed):
        blocks = jax.lax.map(lambda block: half(fixed, table.gather(block, capacity)), index)
        return blocks.reshape(-1, fixed.shape[1])[: table.num_rows]

    return functools.partial(run, table, index)
