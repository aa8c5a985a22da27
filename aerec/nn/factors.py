"""What models with parameters for each row and each column share: look-up, times, penalty.

Users are rows. Their parameters are leaves [U, ...], those of items leaves [N, ...].
"""

from typing import Any

import jax
import jax.numpy as jnp

from aerec.core import Rows, Table


def drawn(key: jax.Array, size: int, leaves: dict[str, tuple[int, float]]) -> dict[str, jax.Array]:
    """Draw the parameters of one side, [size, width] each: name -> (width, standard deviation)."""
    keys = jax.random.split(key, len(leaves))
    return {
        name: deviation * jax.random.normal(own, (size, width))
        for own, (name, (width, deviation)) in zip(keys, leaves.items(), strict=True)
    }


def of_rows(leaves: Any, x: Rows, num_rows: int) -> Any:
    """Read the leaves [U, ...] at the rows of a batch, [B, ...]; zero for a row not trained on."""
    index = jnp.where(x.index < 0, num_rows, x.index)  # a gather reads -1 from the end
    read = lambda leaf: jnp.take(leaf, index, axis=0, mode="fill", fill_value=0)  # noqa: E731
    return jax.tree.map(read, leaves)


def at(leaf: jax.Array, *place: jax.Array) -> jax.Array:
    """Read an array at the places of the entries, [C, ...]; zero at padding."""
    return leaf.at[place].get(mode="fill", fill_value=0)


def penalty(users: Any, items: Any, x: Rows, counts: jax.Array, power: float) -> jax.Array:
    """Compute a row's share of the squares of all parameters, [B].

    Summed over all rows it is the sum of n^power |w|^2 over users and items, n their ratings.

    Args:
      users: leaves [B, M] of the rows.
      items: leaves [N, M].
      counts: [N] ratings of each item in training, at least 1.
    """
    number, of_items = x.counts(), counts ** (power - 1) * _squares(items)
    of_users = jnp.where(number > 0, number**power, 0) * _squares(users)
    return of_users + x.sum(at(of_items, x.columns))


def times(table: Table) -> tuple[jax.Array, jax.Array]:
    """Return the row and the time of each entry of a table, [nnz]; see `of_entries`."""
    size, counts = len(table.columns), jnp.diff(table.indptr)
    row = jnp.repeat(jnp.arange(table.num_rows), counts, total_repeat_length=size)
    if table.times is None:
        return row, (jnp.arange(size) - table.indptr[row]).astype(jnp.float32)
    return row, table.times


def of_entries(x: Rows) -> jax.Array:
    """Return the time of each entry, [C]: its place in the row where times are not known."""
    return x.places(x.longest).astype(jnp.float32) if x.times is None else x.times


def parts(all_times: jax.Array, count: int) -> dict[str, jax.Array]:
    """Divide the time of all entries evenly: `part` of the result and a time is its number."""
    ends = all_times if all_times.size else jnp.zeros(1)
    first, last = jnp.min(ends, keepdims=True), jnp.max(ends, keepdims=True)
    return {"first": first, "rate": count * inverse(last - first)}


def part(of: dict[str, jax.Array], time: jax.Array, count: int) -> jax.Array:
    """Return the number of the part of `count`, floor(rate (time - first)), clipped."""
    number = jnp.floor((time - of["first"]) * of["rate"])
    return jnp.clip(number, 0, count - 1).astype(jnp.int32)


def inverse(size: jax.Array) -> jax.Array:
    """Compute 1 / size, and 0 for 0."""
    return jnp.where(size > 0, 1 / jnp.where(size > 0, size, 1), 0)


def _squares(leaves: Any) -> jax.Array:
    return sum((jnp.sum(leaf**2, axis=1) for leaf in jax.tree.leaves(leaves)), jnp.zeros(()))
