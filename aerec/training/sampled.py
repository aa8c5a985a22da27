"""Updates by a sampled softmax, of the columns that a batch lists and of some that are drawn.

An update by the softmax over all N columns costs O(N): its products, and the moments of Adam for
all rows of the first and the last layer. Here an update sees a catalogue of R columns: those of the
batch, and `candidates` drawn with replacement in proportion to their training entries plus one. The
normaliser of a row is the sum over its own columns, and over the others each divided by the
probability that it is among the R, for which a row's expectation is that of all N (importance
sampling: Bengio & Senécal 2008, eq. 15; Jean et al. 2015, eq. 8). Only the parameters of the R
columns are read and written.

Departures from the whole softmax: its logarithm is estimated with a bias that shrinks with R; the
moments of Adam and an L2 penalty move a column only when it is among the R.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from aerec import memory
from aerec.core import Counted, Model, Table
from aerec.errors import BadInput
from aerec.training import batches
from aerec.training.settings import Settings
from aerec.training.step import State, batch_of, make_step, over, start

WIDE = 100_000  # columns from which `softmax=auto` samples
OWN = 2**32 - 1  # the stream of the drawn columns: no step has this number


def chosen(model: Model, settings: Settings, plan: Sequence[batches.Bucket], columns: int) -> bool:
    """Choose between the sampled softmax and the whole one.

    Raises:
      BadInput: `softmax=sampled`, and the model has no softmax that can be sampled.
    """
    if settings.softmax == "sampled" and model.narrowed is None:
        raise BadInput(
            "softmax=sampled: this model has no softmax that can be sampled. Mult-VAE and Mult-DAE "
            "with likelihood=multinomial have one, without `order_penalty`."
        )
    if settings.softmax != "auto" or model.narrowed is None:
        return settings.softmax == "sampled"
    most = max(size(bucket, settings.candidates, columns) for bucket in plan)
    return columns >= WIDE and most <= columns // 2


def size(bucket: batches.Bucket, candidates: int, columns: int) -> int:
    """Count the columns R that an update of this bucket has room for, at most all."""
    return min(bucket.capacity + candidates, columns)


def make_epoch(
    model: Model,
    optimiser: optax.GradientTransformation,
    plan: Sequence[batches.Bucket],
    candidates: int,
    whole: Counted,
) -> Callable:
    """Make the epoch of one replica, as `step.make_epoch` does.

    Args:
      whole: the table. An epoch counts its own table, unless that is a window of a `whole` that
        stays on the host.

    Raises:
      BadInput: entries and columns together are more than 32 bits count.
    """
    num_columns = whole.num_columns
    counted = None if isinstance(whole, Table) else whole.column_counts()
    if counted is not None and counted.sum(dtype=np.int64) + num_columns >= 2**31:
        raise BadInput("a sampled softmax counts at most 2^31 entries: give `softmax=full`")
    assert model.narrowed is not None
    axes = _column_axes(model, optimiser, num_columns)
    rooms = [size(bucket, candidates, num_columns) for bucket in plan]
    updates = [make_step(model.narrowed(room), optimiser) for room in rooms]

    def of(
        bucket: batches.Bucket, room: int, update: Callable, weights: jax.Array, ends: jax.Array,
        rows: int,
    ) -> Callable:  # fmt: skip
        def step(state: State, table: Table, index: jax.Array, key: jax.Array):
            x = batch_of(table, index, bucket)
            drawing = jax.random.fold_in(jax.random.fold_in(key, OWN), state.step)
            places = jax.random.randint(drawing, (candidates,), 0, ends[-1])
            drawn = jnp.searchsorted(ends, places, side="right").astype(jnp.int32)
            both = jnp.concatenate([x.columns, drawn])
            among = jnp.unique(both, size=room, fill_value=num_columns)
            seen = dataclasses.replace(
                x,
                columns=jnp.where(x.row < x.shape[0], jnp.searchsorted(among, x.columns), room),
                num_columns=room,
                log_chance=log_chance(weights, among, rows, bucket.batch, candidates),
            )
            narrow = _columns_back(jax.tree.map(partial(_read, among), state, axes), axes)
            narrow, loss = update(narrow, seen, key, 1.0)
            written = partial(_write, among)
            return jax.tree.map(written, state, _columns_first(narrow, axes), axes), loss

        return step

    def epoch(state: State, table: Table, shapes: jax.Array, order: jax.Array, key: jax.Array):
        if counted is None:
            weights, rows = weigh(table), table.num_rows
            ends = jnp.cumsum(weights)
        else:  # constants of the program, for which XLA would take seconds to add them up
            weights, rows = jnp.asarray(1 + counted, jnp.int32), whole.num_rows
            ends = jnp.asarray(np.cumsum(1 + counted), jnp.int32)
        steps = [of(*each, weights, ends, rows) for each in zip(plan, rooms, updates, strict=True)]
        state = _columns_first(state, axes)
        state, losses, finite = over(steps)(state, table, shapes, order, key)
        return _columns_back(state, axes), losses, finite

    return epoch


def weigh(table: Table) -> jax.Array:
    """Return the weights by which columns are drawn, [N] int32: training entries plus one."""
    return jnp.ones(table.num_columns, jnp.int32).at[table.columns].add(1, mode="drop")


def log_chance(
    weights: jax.Array, columns: jax.Array, rows: int, batch: int, draws: int
) -> jax.Array:
    """Return the log probability that each of `columns` [R] is seen by an update, [R].

    It is that of a column which a given row of the batch does not list: it is drawn, or one of the
    other `batch - 1` rows lists it. Of padding, infinite.
    """
    weight = weights.at[columns].get(mode="fill", fill_value=1).astype(jnp.float32)
    total = jnp.sum(weights.astype(jnp.float32))
    listed = jnp.minimum((weight - 1) / rows, 1 - 1e-6)
    missed = draws * jnp.log1p(-weight / total) + (batch - 1) * jnp.log1p(-listed)
    return jnp.where(columns < len(weights), jnp.log(-jnp.expm1(missed)), jnp.inf)


def copied(model: Model, optimiser: optax.GradientTransformation, num_columns: int) -> int:
    """Count the bytes of the leaves that `_columns_first` copies."""
    axes = _column_axes(model, optimiser, num_columns)
    sizes = jax.tree.map(
        lambda leaf, axis: memory.size(leaf) if axis > 0 else 0, _shapes(model, optimiser), axes
    )
    return sum(jax.tree.leaves(sizes))


def _column_axes(model: Model, optimiser: optax.GradientTransformation, num_columns: int) -> State:
    """Return, for each leaf of a state, the axis that has one place per column, or -1."""

    def axis(wide, narrow) -> int:
        pairs = enumerate(zip(wide.shape, narrow.shape, strict=True))
        return next((axis for axis, (a, b) in pairs if a != b), -1)

    assert model.narrowed is not None
    narrow = model.narrowed(num_columns - 1)
    return jax.tree.map(axis, _shapes(model, optimiser), _shapes(narrow, optimiser))


def _shapes(model: Model, optimiser: optax.GradientTransformation) -> State:
    return jax.eval_shape(lambda: start(model, optimiser, model.init(jax.random.key(0))))


def _columns_first(state: State, axes: State) -> State:
    """Move the axis of the columns to the front, where the places of a column lie side by side.

    To write 10,000 columns of a kernel [H, N] as it is takes twenty times as long.
    """
    return jax.tree.map(
        lambda leaf, axis: leaf if axis < 0 else jnp.moveaxis(leaf, axis, 0), state, axes
    )


def _columns_back(state: State, axes: State) -> State:
    """Undo `_columns_first`."""
    return jax.tree.map(
        lambda leaf, axis: leaf if axis < 0 else jnp.moveaxis(leaf, 0, axis), state, axes
    )


def _read(columns: jax.Array, leaf: jax.Array, axis: int) -> jax.Array:
    return leaf if axis < 0 else leaf.at[columns].get(mode="fill", fill_value=0)


def _write(columns: jax.Array, leaf: jax.Array, new: jax.Array, axis: int) -> jax.Array:
    return new if axis < 0 else leaf.at[columns].set(new, mode="drop")
