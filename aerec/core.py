"""Core types: the rating matrix, a ragged batch of its rows, a recommender as pure functions.

Shapes throughout the project: U rows of a table (users, or items where a model is item-based),
N columns, B rows in a batch, C entries in a batch, K latent dimensions.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

Params = Any
Array = jax.Array | np.ndarray
Batch = Any  # Rows, or a dense [B, N] array, whose non-zero cells are read


def sharded(x: jax.Array, *axes: str | None) -> jax.Array:
    """Divide each dimension of an array over an axis of the mesh in use, `data` or `model`.

    A dimension without an axis is whole on every device, and so is one whose length is no multiple
    of `data`: XLA's scatters count the padding of uneven parts (`even`). Without a mesh
    (`aerec.mesh`), nothing happens.
    """
    if "model" not in jax.sharding.get_abstract_mesh().auto_axes:
        return x
    divides = [axis != "data" or even(n) == n for n, axis in zip(x.shape, axes, strict=False)]
    over = [axis if divided else None for axis, divided in zip(axes, divides, strict=True)]
    return jax.lax.with_sharding_constraint(x, jax.P(*over))


def even(rows: int) -> int:
    """Round a number of rows up to a multiple of the axis `data` of the mesh in use."""
    return rows + -rows % jax.sharding.get_abstract_mesh().shape.get("data", 1)


@struct.dataclass
class Rows:
    """A ragged batch of a table's rows in one static shape.

    The padding rule: an entry of padding has `row == B`, `columns == num_columns` and
    `values == 0`, and comes after all listed entries; a row of padding lists nothing. Scatters drop
    padding, gathers fill it with zero, so padding never changes a result.

    Attributes:
      columns: [C] int32, the column of each entry, a row's entries in the table's (time) order.
      values: [C] float32.
      row: [C] int32, which of the B rows the entry belongs to; ascending.
      index: [B] int32, the row's number among the training rows; a number outside `[0, num_rows)`
        marks a row that is not in training. Only user nodes (CDAE) read it.
      num_columns: N, static.
      longest: static upper bound on the entries of a row; recurrences over a row are padded to it.
      times: [C] float32 days, as of `Table`, or None; of padding, any.
      log_chance: [N], of a sampled softmax: the log probability that a column which the row does
        not list is among the N (`training.sampled`); None: all columns are there.
    """

    columns: jax.Array
    values: jax.Array
    row: jax.Array
    index: jax.Array
    num_columns: int = struct.field(pytree_node=False)
    longest: int = struct.field(pytree_node=False)
    times: jax.Array | None = None
    log_chance: jax.Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(B, N), the shape of `dense()`."""
        return self.index.shape[0], self.num_columns

    def dense(self) -> jax.Array:
        """Scatter the batch to [B, N] float32, zero where nothing is listed."""
        return self._scatter(self.values)

    def listed(self) -> jax.Array:
        """Return the mask [B, N] float32: one where an entry is listed, whatever its value."""
        return self._scatter(jnp.ones_like(self.values))

    def counts(self) -> jax.Array:
        """Count the entries of each row, [B] int32."""
        return self.sum(jnp.ones_like(self.row))

    def places(self, length: int) -> jax.Array:
        """Return each entry's position among its row's last `length`, [C]; `length` if older."""
        counts = self.counts()
        kept_from = jnp.cumsum(counts) - counts + jnp.maximum(counts - length, 0)
        entry = jnp.arange(self.row.shape[0], dtype=jnp.int32)
        place = entry - kept_from.at[self.row].get(mode="fill", fill_value=0)
        return jnp.where((place < 0) | (self.row >= self.shape[0]), length, place)

    def sequences(self, length: int) -> jax.Array:
        """Return each row's last `length` columns in order, [B, length] int32, padded with N.

        Used by sequential models: entry t of a row is the t-th of the history that is read.
        """
        empty = jnp.full((self.shape[0], length), self.num_columns, jnp.int32)
        return empty.at[self.row, self.places(length)].set(self.columns, mode="drop")

    def pick(self, y: jax.Array) -> jax.Array:
        """Read y [B, N] at the listed entries, [C]; zero at padding."""
        chex.assert_shape(y, self.shape)
        return y.at[self.row, self.columns].get(mode="fill", fill_value=0)

    def sum(self, entries: jax.Array) -> jax.Array:
        """Sum a value per entry [C] within each row, [B]; padding is dropped."""
        chex.assert_equal_shape([entries, self.row])
        total = jnp.zeros(self.shape[0], entries.dtype)
        return total.at[self.row].add(entries, mode="drop", indices_are_sorted=True)

    def _scatter(self, entries: jax.Array) -> jax.Array:
        block = jnp.zeros(self.shape, entries.dtype)
        block = block.at[self.row, self.columns].set(entries, mode="drop")
        return sharded(block, "data", "model")


@struct.dataclass
class Table:
    """The rating matrix in compressed rows (CSR), a pytree.

    A table is made on the host. A program that reads it gets it on the device, or divided over
    several (`aerec.mesh.divided`).

    Attributes:
      indptr: [U + 1] int32; row r is entries `indptr[r]:indptr[r + 1]`.
      columns: [nnz] int32, each row in time order; no column twice in a row.
      values: [nnz] float32.
      num_columns: N, static.
      times: [nnz] float32, days since the first rating of the data; None if they are not known, or
        the model reads no sequence.
    """

    indptr: Array
    columns: Array
    values: Array
    num_columns: int = struct.field(pytree_node=False)
    times: Array | None = None

    @property
    def num_rows(self) -> int:
        return self.indptr.shape[-1] - 1

    @classmethod
    def from_entries(cls, row, column, value, *, num_rows: int, num_columns: int) -> "Table":
        """Build a table on the host from entries [nnz] given in time order.

        Raises:
          ValueError: an index outside the table, a (row, column) pair given twice, or a size that
            is no whole number.
        """
        row, column = np.asarray(row), np.asarray(column)
        if not row.size:
            row = row.astype(np.int32)  # an empty list is read as floats
        chex.assert_equal_shape([row, column, np.asarray(value)])
        for name, index, size in (("row", row, num_rows), ("column", column, num_columns)):
            if not isinstance(size, int | np.integer):
                raise ValueError(f"num_{name}s is a whole number, not {size!r}")
            if index.size and not (index.min() >= 0 and index.max() < size):
                raise ValueError(f"a {name} index lies outside [0, {size})")
        if len(row) >= 2**31:
            raise ValueError(f"{len(row)} entries do not fit 32-bit offsets; split the table")
        order = np.argsort(row, kind="stable")
        pairs = np.sort(row.astype(np.int64) * num_columns + column)
        if (pairs[1:] == pairs[:-1]).any():
            raise ValueError("a (row, column) pair is listed twice")
        counts = np.bincount(row, minlength=num_rows)
        return cls(
            indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
            columns=column[order].astype(np.int32),
            values=np.asarray(value)[order].astype(np.float32),
            num_columns=int(num_columns),
        )

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (row, column, value) of every entry, each [nnz], on the host, row by row."""
        row = np.repeat(np.arange(self.num_rows, dtype=np.int32), self.lengths())
        return row, np.asarray(self.columns), np.asarray(self.values)

    def lengths(self) -> np.ndarray:
        """Count the entries of each row, [U] int32, on the host."""
        return np.diff(np.asarray(self.indptr))

    def column_counts(self) -> np.ndarray:
        """Count the entries of each column, [N], on the host."""
        return np.bincount(np.asarray(self.columns), minlength=self.num_columns)

    def transpose(self) -> "Table":
        """Transpose the table; within a new row, entries are ordered by their old row."""
        row, column, value = self.entries()
        return Table.from_entries(
            column, row, value, num_rows=self.num_columns, num_columns=self.num_rows
        )

    def blocks(self, batch_size: int) -> tuple[np.ndarray, int]:
        """Plan blocks of all rows in order, on the host: (index [steps, batch_size], capacity).

        The last block is filled up with U, a row of padding. Over a mesh, blocks are of an `even`
        number of rows.
        """
        return blocks(self.lengths(), batch_size)

    def gather(self, index: jax.Array, capacity: int, longest: int | None = None) -> Rows:
        """Gather the rows `index` [B] as a batch of `capacity` entries, on the device.

        `longest` is an upper bound on the entries of a row; by default, the smaller of the capacity
        and N. An index outside `[0, U)` is a row of padding. The caller ensures that the rows have
        at most `capacity` entries in total (`blocks`, `batches.plan`); further entries would be
        dropped.
        """
        chex.assert_rank(index, 1)
        batch = index.shape[0]
        inside = (index >= 0) & (index < self.num_rows)
        at = jnp.where(inside, index, 0)
        indptr = jnp.asarray(self.indptr)
        first = indptr[at]
        lengths = jnp.where(inside, indptr[at + 1] - first, 0)
        ends = jnp.cumsum(lengths)
        # Entry p of the batch belongs to the first row whose end lies beyond p: count, at each
        # place, the rows that ended there, and sum up. B is past the last row: padding.
        row = jnp.cumsum(jnp.zeros(capacity, jnp.int32).at[ends].add(1, mode="drop"))
        shift = (first - (ends - lengths)).at[row].get(mode="fill", fill_value=0)
        entry = jnp.arange(capacity, dtype=jnp.int32) + shift
        listed = row < batch
        return Rows(
            columns=jnp.where(listed, self._read(self.columns, entry), self.num_columns),
            values=jnp.where(listed, self._read(self.values, entry), 0),
            row=row,
            index=index,
            num_columns=self.num_columns,
            longest=min(capacity, self.num_columns) if longest is None else longest,
            times=None if self.times is None else self._read(self.times, entry),
        )

    @staticmethod
    def _read(array: Array, entry: jax.Array) -> jax.Array:
        if not array.shape[0]:  # nothing can be gathered from no entries, not even a fill
            return jnp.zeros_like(entry, array.dtype)
        return sharded(jnp.asarray(array).at[entry].get(mode="fill", fill_value=0))


def blocks(lengths: np.ndarray, batch_size: int) -> tuple[np.ndarray, int]:
    """Plan blocks of rows of these lengths [U], as `Table.blocks`."""
    num_rows, batch_size = len(lengths), even(batch_size)
    steps = max(1, -(-num_rows // batch_size))
    index = np.full(steps * batch_size, num_rows, np.int32)
    index[:num_rows] = np.arange(num_rows)
    entries = np.append(lengths, 0)[index].reshape(steps, batch_size)
    return index.reshape(steps, batch_size), max(1, int(entries.sum(1).max()))


class Counted(Protocol):
    """What is counted of a table's entries: of a `Table`, or of one that is not on the device."""

    @property
    def num_rows(self) -> int: ...
    @property
    def num_columns(self) -> int: ...
    def lengths(self) -> np.ndarray: ...
    def column_counts(self) -> np.ndarray: ...


class Facts(NamedTuple):
    """What a model may know about its data before it is built.

    Attributes:
      num_rows: U, the rows of training.
      num_columns: N.
      counts: [N] training entries of each column; None if the model is only used, not trained.
      scale: the lowest and the highest rating; None for clicks.
      row_features, column_features: [U, F] and [N, F'] content features, or None.
    """

    num_rows: int
    num_columns: int
    counts: np.ndarray | None = None
    scale: tuple[float, float] | None = None
    row_features: np.ndarray | None = None
    column_features: np.ndarray | None = None

    @classmethod
    def of(cls, table: Counted, scale: tuple[float, float] | None = None) -> "Facts":
        """Collect the facts of a training table."""
        return cls(table.num_rows, table.num_columns, table.column_counts(), scale)


class Traits(NamedTuple):
    """What trainer, evaluator and audit need to know about a model besides its functions.

    Attributes:
      task: "ranking" (scores are preferences) or "rating" (scores are ratings).
      reads: what a row is: "rows" of the table, its "columns" (an item-based model: the table is
        transposed), or a "sequence" (a row in its order, with times if they are known, hence no
        function of a vector).
      l2: lambda of the penalty lambda / 2 |kernels|^2, added to an objective that sums over the
        table.
      l2_after: updates of pre-training, before that penalty applies.
      refeeds: dense re-feeds after each update (`training.refeed`), for models with squared error.
      linear: whether the scores are x W + b, linear in the row up to a constant.
      training: default values of `training.settings` for this model.
      updates: the fewest updates that its default epochs may amount to: on a table of few rows
        there are more of them (`runs.spec.sized`).
      sized: (names of the given settings, facts of the users' training table) -> values of the
        settings whose defaults follow from the data; None: there are none.
      features: what the features of the items in `Facts` are: "content", the path of a file
        (`data.vectors`), or '' for nothing.
    """

    task: str
    reads: str = "rows"
    l2: float = 0.0
    l2_after: int = 0
    refeeds: int = 0
    linear: bool = False
    training: Mapping[str, Any] = {}
    updates: int = 0
    sized: Callable[[Collection[str], Facts], Mapping[str, Any]] | None = None
    features: str = ""


class Phase(NamedTuple):
    """A pass over the rows that trains one part of the parameters; see `Model.phases`.

    Attributes:
      part: the entry of params that is trained, by an optimiser of its own; the others stay.
      loss: as `Model.loss`.
      after: params -> params, applied after each update.
    """

    part: str
    loss: Callable[[Params, Batch, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    after: Callable[[Params], Params] = lambda params: params


class Model(NamedTuple):
    """A recommender as pure functions over a batch `x`; no state, no modules leak out.

    Exactly one of `loss` and `solve` is given: a model is trained by gradients or in closed form.
    Where its scores are `<q, g> + b`, `queries`, `item_codes` and `item_bias` say so.

    Attributes:
      traits: facts about the model besides its functions.
      init: key -> params. A closed-form model returns zeros of the shapes `solve` returns.
      encode: (params, x) -> z [B, K], the latent code.
      score: (params, x) -> y [B, N], ratings or preferences for every column.
      loss: (params, x, key, step) -> (total [B], weight [B]); the objective of a batch is
        `sum(total) / sum(weight)`, a correct mean over padded batches, devices and unequal rows.
      solve: table -> params.
      phases: the epochs go through them in order, again and again; empty: every epoch trains all
        parameters by `loss`.
      frozen: table -> the entries of params that its data determine. They replace those of `init`,
        and training by gradients leaves them alone.
      with_items: (params, vectors [M, F]) -> params of N + M items, the last of which have these
        `Facts.column_features`.
      narrowed: R -> the same model over R columns, where `loss` is a softmax over columns that
        reads `Rows.log_chance` (`training.sampled`).
      queries: (params, x) -> q [B, D].
      item_codes: params -> g [N, D].
      item_bias: params -> b [N].
      layers: params -> the encoder as affine layers, where it is an MLP: `encode(params, x)` of
        dense rows x is `a(W x + b)` of each of the triples (W [m, n], b [m], a) in turn, a an entry
        of the catalogue of activations.
    """

    traits: Traits
    init: Callable[[jax.Array], Params]
    encode: Callable[[Params, Batch], jax.Array]
    score: Callable[[Params, Batch], jax.Array]
    loss: Callable[[Params, Batch, jax.Array, jax.Array], tuple[jax.Array, jax.Array]] | None = None
    solve: Callable[[Table], Params] | None = None
    phases: Sequence[Phase] = ()
    frozen: Callable[[Table], dict[str, Any]] | None = None
    with_items: Callable[[Params, jax.Array], Params] | None = None
    narrowed: Callable[[int], "Model"] | None = None
    queries: Callable[[Params, Batch], jax.Array] | None = None
    item_codes: Callable[[Params], jax.Array] | None = None
    item_bias: Callable[[Params], jax.Array] | None = None
    layers: Callable[[Params], Sequence[tuple[jax.Array, jax.Array, Any]]] | None = None
