"""Alternating least squares: the two sides of a factorisation alternately, each given the other.

One side of a factorisation is fixed; every row of the other side is then a small ridge regression
on the fixed factors that the row lists. It is solved by Cholesky here (`blockwise`, `ridge`), or as
the model has it.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from aerec import memory
from aerec.core import Batch, Table
from aerec.nn import layers

BLOCK = 128  # rows solved at a time

Half = Callable[[jax.Array, Batch], jax.Array]  # (fixed [M, K], x [B, M]) -> the rows' [B, K]
Side = Callable[[jax.Array, jax.Array], jax.Array]  # (fixed [M, K], now [U, K]) -> new [U, K]


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


def fit(
    table: Table,
    side: Callable[[Table], Side],
    *,
    width: int,
    sweeps: int,
    deviation: float,
    copies: int,
) -> jax.Array:
    """Fit the columns' factors [N, width] in `sweeps` alternations between columns and rows.

    The rows start at random (a fixed key) and the columns at zero, so the columns are solved first,
    and permuting them permutes the result.

    Args:
      side: makes the solver of a table's rows; it is called for the table and for its transpose.
      deviation: the standard deviation of the start.
      copies: the arrays of the larger side's factors that are in memory at once.

    Raises:
      memory.TooLarge: before anything is allocated, if these do not fit.
    """
    memory.require(
        4 * max(table.num_rows, table.num_columns) * width * copies,
        f"Alternating least squares of {table.num_rows} rows and {table.num_columns} columns",
        f"lower latent, {width} now",
    )
    of_columns, of_rows = side(table.transpose()), side(table)
    rows = deviation * jax.random.normal(jax.random.key(0), (table.num_rows, width))
    columns = of_columns(rows, jnp.zeros((table.num_columns, width)))
    for _ in range(sweeps - 1):
        rows = of_rows(columns, rows)
        columns = of_columns(rows, columns)
    return columns


def blockwise(half: Half) -> Callable[[Table], Side]:
    """Make the solver of a table's rows from one of a batch, compiled once for each table."""

    def side(table: Table) -> Side:
        index, capacity = table.blocks(BLOCK)

        @jax.jit
        def run(table, index, fixed):
            blocks = jax.lax.map(lambda block: half(fixed, table.gather(block, capacity)), index)
            return blocks.reshape(-1, fixed.shape[1])[: table.num_rows]

        return lambda fixed, now: run(table, index, fixed)

    return side
