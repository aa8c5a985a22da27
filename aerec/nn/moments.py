"""Times of ratings in models: of a table and of a batch, and the equal parts of a span of time."""

import jax
import jax.numpy as jnp

from aerec.core import Rows, Table


def of_table(table: Table) -> tuple[jax.Array, jax.Array]:
    """Return the row and the time of each entry of a table, [nnz]; see `of_entries`."""
    size, counts = len(table.columns), jnp.diff(table.indptr)
    row = jnp.repeat(jnp.arange(table.num_rows), counts, total_repeat_length=size)
    if table.times is None:
        return row, (jnp.arange(size) - jnp.asarray(table.indptr)[row]).astype(jnp.float32)
    return row, jnp.asarray(table.times)


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


def at(leaf: jax.Array, *place: jax.Array) -> jax.Array:
    """Read an array at the places of the entries, [C, ...]; zero at padding."""
    return leaf.at[place].get(mode="fill", fill_value=0)
