"""The layers that networks share: reading a batch, dropout of entries, dense stacks.

A batch `x` is `Rows` or a dense [B, N] array; each function takes both.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from aerec.configuration import is_zero
from aerec.core import Batch, Rows

# A batch whose listed share of the [B, N] block is below this is cheaper to multiply by gathering
# the kernel's rows than by scattering the block and one matrix product: on two CPU cores, forward
# and backward, gathering wins twofold at .3% and loses a fifth at 1%, at N = 3.7k, 20k and 200k
# alike (`python -m experiments.benchmark --what=first_layer`). Not measured on a GPU.
GATHER_BELOW = 1 / 150

# A few rows cost as much as reading the whole kernel, however little they list. For one row and a
# kernel of 3.5k by 3.5k, a product takes 3 ms, gathering 32 rows of the kernel .1 ms, 128 rows
# .3 ms; for 8 rows it is 6 ms, against .4 ms for 256 entries and 2.7 ms for 1,024. So up to so many
# rows gathering is chosen while it reads less than this share of the kernel's rows.
FEW_ROWS, FEW_BELOW = 8, 1 / 4

# Where only some cells of the output [B, N] are read, and they are less than this share of it,
# decoding them one by one is cheaper than the whole block: on two CPU cores, forward and backward,
# K = 50, it is 3 to 12 times faster below 1%, level at 2-3%, and 2 and 12 times slower at 16%
# (MovieLens-1M, a click and five negatives each, 64 and 500 rows); with K = 200 the block wins
# from 3% on (`python -m experiments.benchmark --what=last_layer`). Not measured on a GPU.
CELLS_BELOW = 1 / 50


def dense(x: Batch) -> jax.Array:
    """Return the batch as [B, N]."""
    return x.dense() if isinstance(x, Rows) else x


def rows(x: Batch) -> Rows:
    """Return the batch as `Rows`; of a dense batch, the non-zero cells in column order."""
    if isinstance(x, Rows):
        return x
    batch, num_columns = x.shape
    row, column = jnp.nonzero(x, size=x.size, fill_value=(batch, num_columns))
    return Rows(
        columns=column.astype(jnp.int32),
        values=x.at[row, column].get(mode="fill", fill_value=0),
        row=row.astype(jnp.int32),
        index=jnp.full(batch, -1, jnp.int32),  # not rows of training
        num_columns=num_columns,
        longest=num_columns,
    )


def scale(x: Batch, factor: jax.Array) -> Batch:
    """Multiply row b by `factor[b]`."""
    chex.assert_shape(factor, x.shape[:1])
    if isinstance(x, Rows):
        per_entry = factor.at[x.row].get(mode="fill", fill_value=0)
        return dataclasses.replace(x, values=x.values * per_entry)
    return x * factor[:, None]


def shift(x: Batch, by: float) -> Batch:
    """Add `by` to each listed entry; all other cells stay zero."""
    if isinstance(x, Rows):
        return dataclasses.replace(x, values=jnp.where(x.row < x.shape[0], x.values + by, 0))
    return jnp.where(x != 0, x + by, 0)


def apply(x: Batch, function: Callable[[jax.Array], jax.Array]) -> Batch:
    """Apply `function`, elementwise and zero at zero, to each entry; other cells stay zero."""
    if isinstance(x, Rows):
        return dataclasses.replace(x, values=function(x.values))
    return function(x)


def normalise(x: Batch) -> Batch:
    """Scale rows to Euclidean length 1; an empty row stays zero."""
    squares = x.sum(x.values**2) if isinstance(x, Rows) else jnp.sum(x**2, axis=1)
    positive = squares > 0
    return scale(x, jnp.where(positive, jax.lax.rsqrt(jnp.where(positive, squares, 1)), 0))


def dropout(key: jax.Array, x: Batch | jax.Array, rate: float) -> Batch:
    """Set each entry to zero with probability `rate`, and multiply the others by 1 / (1 - rate).

    For `Rows` one number is drawn per listed entry; other cells are zero already. Consumes `key`.
    """
    if is_zero(rate):
        return x
    values = x.values if isinstance(x, Rows) else x
    kept = jax.random.bernoulli(key, 1 - rate, values.shape)
    values = jnp.where(kept, values / (1 - rate), 0)
    return dataclasses.replace(x, values=values) if isinstance(x, Rows) else values


def product(x: Batch, kernel: jax.Array) -> jax.Array:
    """Multiply x [B, N] by kernel [N, H], the cheaper of two ways: `GATHER_BELOW`, `FEW_ROWS`."""
    chex.assert_axis_dimension(kernel, 0, x.shape[1])
    if not isinstance(x, Rows):
        return x @ kernel
    size, (batch, width) = x.columns.size, x.shape
    few = batch <= FEW_ROWS and size < FEW_BELOW * width
    if few or size < GATHER_BELOW * batch * width:
        return gathered(x, kernel)
    return x.dense() @ kernel


def gathered(x: Rows, kernel: jax.Array) -> jax.Array:
    """Multiply x by kernel by summing the kernel's rows that x lists, [B, H]."""
    total = jnp.zeros((x.shape[0], kernel.shape[1]), kernel.dtype)
    rows = x.values[:, None] * kernel.at[x.columns].get(mode="fill", fill_value=0)
    return total.at[x.row].add(rows, mode="drop", indices_are_sorted=True)


def affine_at(
    z: jax.Array, kernel: jax.Array, bias: jax.Array, *, row: jax.Array, columns: jax.Array
) -> jax.Array:
    """Compute z [B, K] kernel [N, K]' + bias [N] at the cells of `row` [C] and `columns` [C, S].

    It takes the cheaper of two ways; see `CELLS_BELOW`. The result is [C, S], zero at padding.
    """
    chex.assert_equal_shape_prefix([row, columns], 1)
    if columns.size < CELLS_BELOW * z.shape[0] * kernel.shape[0]:
        return cells(z, kernel, bias, row=row, columns=columns)
    block = z @ kernel.T + bias[None]
    return block.at[row[:, None], columns].get(mode="fill", fill_value=0)


def cells(
    z: jax.Array, kernel: jax.Array, bias: jax.Array, *, row: jax.Array, columns: jax.Array
) -> jax.Array:
    """Compute `affine_at` by gathering a row of z and a row of the kernel for each cell."""
    read = functools.partial(jnp.take, axis=0, mode="fill", fill_value=0)
    return jnp.einsum("ck,csk->cs", read(z, row), read(kernel, columns)) + read(bias, columns)


class Layer(nn.Module):
    """An affine map whose input may be `Rows`: x [B, N], and beside [B, F], -> [B, features]."""

    features: int
    kernel_init: Callable = nn.initializers.glorot_uniform()
    bias_init: Callable = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Batch, beside: jax.Array | None = None) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (x.shape[1], self.features))
        bias = self.param("bias", self.bias_init, (self.features,))
        y = product(x, kernel) + bias[None, :]
        if beside is None:
            return y
        return y + beside @ self.param("beside", self.kernel_init, (beside.shape[1], self.features))


class MLP(nn.Module):
    """Affine layers of the given widths, an activation after each; the first may read `Rows`.

    Attributes:
      widths: features of each layer.
      activation: after every layer but the last.
      last_activation: after the last.
    """

    widths: Sequence[int]
    activation: Callable
    last_activation: Callable

    @nn.compact
    def __call__(
        self, x: Batch, depth: int | None = None, beside: jax.Array | None = None
    ) -> jax.Array:
        """Return the last layer's output, or that of layer `depth` - 1; `beside` as of `Layer`."""
        for level, width in enumerate(self.widths[:depth]):
            last = level == len(self.widths) - 1
            y = Layer(width)(x, None if level else beside)
            x = (self.last_activation if last else self.activation)(y)
        return x
