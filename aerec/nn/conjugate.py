"""Conjugate gradients: least squares of all rows of a table, without forming their systems.

A row's system is a sum over what it lists, A = sum_m w_m f_m f_m' + ..., so that A z costs two
products with each listed factor f_m. A few steps per sweep suffice where each starts from the
solution of the sweep before (Takacs, Pilaszy, Tikk: *Applications of the Conjugate Gradient Method
for Implicit Feedback Collaborative Filtering*, RecSys 2011).
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from aerec import mesh
from aerec.core import Table, sharded

PIECE = 16  # entries of a piece of a row

# Entries whose factors are gathered at once. On a CPU these should stay in the cache: 4 MiB for
# K = 256. With 32,768 entries a sweep of MovieLens-1M takes more than twice as long.
TILE, TILE_OF_ACCELERATORS = 1 << 12, 1 << 16


def solve(
    apply: Callable[[jax.Array], jax.Array],
    residual: jax.Array,
    start: jax.Array,
    *,
    steps: int,
    tolerance: float = 0.0,
) -> jax.Array:
    """Improve solutions z [B, K] of A_b z_b = right_b, A_b symmetric and positive definite.

    Hestenes & Stiefel 1952. In exact arithmetic K steps solve every system.

    Args:
      apply: z [B, K] -> the rows A_b z_b.
      residual: right - apply(start), [B, K].
      start: [B, K].
      steps: at most so many.
      tolerance: it stops where each row's residual is at most this share of its first.
    """
    chex.assert_equal_shape([residual, start])

    def squares(z):
        return jnp.sum(z * z, axis=1, keepdims=True)

    def ratio(a, b):  # 0 / 0 where a row is solved
        return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)

    def step(state):
        count, z, residual, direction, before = state
        image = apply(direction)
        length = ratio(before, jnp.sum(direction * image, axis=1, keepdims=True))
        residual -= length * image
        after = squares(residual)
        moved = z + length * direction
        return count + 1, moved, residual, residual + ratio(after, before) * direction, after

    first = squares(residual)
    state = (jnp.int32(0), start, residual, residual, first)

    def unsolved(state):
        return (state[0] < steps) & jnp.any(state[-1] > tolerance**2 * first)

    return jax.lax.while_loop(unsolved, step, state)[1]


@struct.dataclass
class Tiles:
    """A table cut into T tiles of P pieces of `PIECE` entries S, each piece of one row.

    Rows may be of any length, and every tile has the same shape. Over a mesh, each of the D parts
    of its axis `data` has T tiles; otherwise D is 1.

    Attributes:
      columns: [T, D, P, S] int32, the number of columns at padding.
      values: [T, D, P, S], zero at padding.
      row: [T, D, P] int32, the row of each piece, ascending; the number of rows at padding.
    """

    columns: jax.Array
    values: jax.Array
    row: jax.Array

    @classmethod
    def of(cls, table: Table) -> "Tiles":
        """Cut a table, on the host."""
        row, column, value = table.entries()
        lengths = table.lengths()
        pieces = -(-lengths // PIECE)
        entries = TILE if jax.default_backend() == "cpu" else TILE_OF_ACCELERATORS
        parts = mesh.size("data")
        per_tile = max(1, min(entries // PIECE, -(-int(pieces.sum()) // parts)))
        size = max(1, -(-int(pieces.sum()) // (per_tile * parts))) * per_tile * parts
        columns = np.full((size, PIECE), table.num_columns, np.int32)
        values = np.zeros((size, PIECE), np.float32)
        rows = np.full(size, table.num_rows, np.int32)
        place = np.arange(len(row)) - (np.cumsum(lengths) - lengths)[row]
        at = (np.cumsum(pieces) - pieces)[row] + place // PIECE, place % PIECE
        columns[at], values[at] = column, value
        rows[: pieces.sum()] = np.repeat(np.arange(table.num_rows), pieces)
        shape = (-1, parts, per_tile)
        each = (columns.reshape(*shape, PIECE), values.reshape(*shape, PIECE), rows.reshape(shape))
        return cls(*mesh.placed(each, None, "data"))

    def sum(
        self,
        factors: jax.Array,
        z: jax.Array,
        weigh: Callable[[jax.Array, jax.Array], jax.Array] = jnp.multiply,
    ) -> jax.Array:
        """Compute sum_m weigh(value_m, <f_m, z>) f_m over the entries m of each row, [U, K].

        Args:
          factors: f [N, K].
          z: [U, K].
          weigh: elementwise, zero where the value is.
        """

        def add(total, tile):
            listed = factors.at[tile.columns].get(mode="fill", fill_value=0)
            own = z.at[tile.row].get(mode="fill", fill_value=0)
            weights = weigh(tile.values, jnp.einsum("psk,pk->ps", listed, own))
            sums = jnp.einsum("ps,psk->pk", weights, listed)
            return total.at[tile.row].add(sums, mode="drop", indices_are_sorted=True)

        def sweep(totals, tiles):
            return sharded(jax.vmap(add)(totals, tiles), "data"), None

        zeros = sharded(jnp.zeros((self.row.shape[1], *z.shape)), "data")
        return sharded(jax.lax.scan(sweep, zeros, self)[0].sum(0))
