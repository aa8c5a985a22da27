"""Table and Rows against a NumPy loop over lists of (column, value)."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerec.core import Table

quick = settings(max_examples=25, deadline=None)
N = 7
LENGTHS = (1, 3, N + 2)  # of sequences: shorter than rows, as long as one of them, longer than all
SIZES = [0, 1, 3, 7, 7]  # an empty row, a full one; their sum is fixed, so that few shapes compile


@st.composite
def histories(draw):
    """Per row a list of (column, value): distinct columns in any order, values all different."""
    found = []
    for row, size in enumerate(draw(st.permutations(SIZES))):
        columns = draw(st.permutations(range(N)))[:size]
        found.append([(column, float(10 * row + column)) for column in columns])
    return found


indices = st.lists(st.integers(-1, 6), min_size=3, max_size=3)  # repeated rows, rows of padding


def build(history, num_columns=N, interleave=False):
    """The table of the histories; entries row by row, or all first ones, all second ones, ..."""
    entries = [(i, t, c, v) for i, row in enumerate(history) for t, (c, v) in enumerate(row)]
    if interleave:
        entries.sort(key=lambda entry: (entry[1], -entry[0]))
    row, _, column, value = np.array(entries).reshape(-1, 4).T
    sizes = {"num_rows": len(history), "num_columns": num_columns}
    return Table.from_entries(row.astype(int), column.astype(int), value, **sizes)


def picked(history, index):
    """The histories of a batch; a row number outside the table has none."""
    return [history[i] if 0 <= i < len(history) else [] for i in index]


def loop(batch, capacity, y):
    """Everything `read` returns, by loops over the batch's histories; `y` [B, N] is picked from."""
    flat = [(b, column, value) for b, row in enumerate(batch) for column, value in row]
    dense, listed = np.zeros(y.shape), np.zeros(y.shape)
    for b, column, value in flat:
        dense[b, column], listed[b, column] = value, 1
    pad = capacity - len(flat)
    found = {
        "columns": [column for _, column, _ in flat] + [N] * pad,
        "values": [value for _, _, value in flat] + [0.0] * pad,
        "row": [b for b, _, _ in flat] + [len(batch)] * pad,
        "pick": [y[b, column] for b, column, _ in flat] + [0.0] * pad,
        "sum": [sum(value for _, value in row) for row in batch],
        "dense": dense,
        "listed": listed,
    }
    for length in LENGTHS:
        kept = [[column for column, _ in row][-length:] for row in batch]
        found[f"sequences {length}"] = [row + [N] * (length - len(row)) for row in kept]
    return found


def read_eagerly(table, index, y, capacity):
    rows = table.gather(index, capacity)
    found = {
        "columns": rows.columns,
        "values": rows.values,
        "row": rows.row,
        "pick": rows.pick(y),
        "sum": rows.sum(rows.values),
        "dense": rows.dense(),
        "listed": rows.listed(),
    }
    return found | {f"sequences {n}": rows.sequences(n) for n in LENGTHS}


gather = jax.jit(Table.gather, static_argnums=2)
read = jax.jit(read_eagerly, static_argnames="capacity")
read_24 = partial(read_eagerly, capacity=24)
read_batches = jax.jit(jax.vmap(read_24, (None, 0, None)))
read_replicas = jax.jit(jax.vmap(read_24, (0, 0, None)))
PER_ENTRY = ("columns", "values", "row", "pick")


def scores(batch_size):
    return 1 + np.arange(batch_size * N, dtype=np.float32).reshape(batch_size, N)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], np.asarray(value), err_msg=name)


@quick
@given(histories(), indices, st.booleans(), st.booleans())
def test_a_batch_equals_the_loop(history, index, tight, interleave):
    batch = picked(history, index)
    capacity = sum(map(len, batch)) if tight else 24
    table = build(history, interleave=interleave)
    found = read(table, jnp.array(index), scores(3), capacity)
    assert_same(found, loop(batch, capacity, scores(3)))
    kinds = [found[name].dtype for name in ("columns", "values", "row", "sequences 1")]
    assert kinds == ["int32", "float32", "int32", "int32"]


@quick
@given(histories(), st.sampled_from([(7, 0, 3), (1, 1, 7)]).flatmap(st.permutations))
def test_padding_changes_nothing(history, sizes):
    table, capacity = build(history), sum(sizes)
    index = [[len(row) for row in history].index(size) for size in sizes]
    plain = read(table, jnp.array(index), scores(3), capacity)
    # More capacity; rows of padding before, between and after the others.
    wide, rows = [5, index[0], -1, index[1], index[2], 99], np.array([1, 3, 4])
    y = np.zeros((6, N), np.float32)
    y[rows] = scores(3)
    padded = read(table, jnp.array(wide), y, 30)
    for name, value in plain.items():
        if name in PER_ENTRY:
            expected = rows[value] if name == "row" else value
            np.testing.assert_array_equal(padded[name][:capacity], expected, err_msg=name)
            blank = {"columns": N, "row": 6}.get(name, 0)
            assert (padded[name][capacity:] == blank).all(), name
        else:
            np.testing.assert_array_equal(padded[name][rows], value, err_msg=name)
            blank = N if name.startswith("sequences") else 0
            assert (padded[name][np.array([0, 2, 5])] == blank).all(), name


@settings(max_examples=4, deadline=None)  # slow: what runs eagerly compiles op by op
@given(histories(), st.lists(indices, min_size=2, max_size=2))
def test_jit_and_vmap_equal_eager(history, index):
    table, y, index = build(history), scores(3), jnp.array(index)
    eager = [read_24(table, one, jnp.array(y)) for one in index]
    for one, expected in zip(index, eager, strict=True):
        assert_same(read(table, one, y, 24), expected)
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *eager)
    assert_same(read_batches(table, index, y), stacked)
    # A table per replica, as when every seed has its own split.
    tables = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), table)
    assert_same(read_replicas(tables, index, y), stacked)


def as_list(table):
    return list(zip(*(part.tolist() for part in table.entries()), strict=True))


@quick
@given(histories(), st.booleans())
def test_entries_round_trip(history, interleave):
    table = build(history, interleave=interleave)
    assert (table.num_rows, table.num_columns) == (5, N)
    np.testing.assert_array_equal(table.lengths(), [len(row) for row in history])
    assert as_list(table) == [(i, c, v) for i, row in enumerate(history) for c, v in row]
    again = Table.from_entries(*table.entries(), num_rows=5, num_columns=N)
    chex.assert_trees_all_equal(again, table)


@quick
@given(histories())
def test_transpose(history):
    table = build(history)
    flipped = table.transpose()
    assert (flipped.num_rows, flipped.num_columns) == (N, 5)
    entries = [(c, i, v) for i, row in enumerate(history) for c, v in row]
    assert as_list(flipped) == sorted(entries)
    # Twice is the same matrix; the time order within a row is lost, it is by column now.
    chex.assert_trees_all_equal(flipped.transpose(), build([sorted(row) for row in history]))


def test_a_zero_is_listed():
    table = Table.from_entries([0, 0], [2, 1], [0.0, 5.0], num_rows=1, num_columns=3)
    rows = gather(table, jnp.array([0]), 2)
    np.testing.assert_array_equal(rows.dense(), [[0, 5, 0]])
    np.testing.assert_array_equal(rows.listed(), [[0, 1, 1]])


@pytest.mark.parametrize("num_rows", [0, 2])
@pytest.mark.parametrize("capacity", [0, 3])
def test_an_empty_table(num_rows, capacity):
    table = Table.from_entries([], [], [], num_rows=num_rows, num_columns=N)
    assert (table.num_rows, table.transpose().num_rows) == (num_rows, N)
    found = read(table, jnp.array([0, 1]), scores(2), capacity)
    assert_same(found, loop([[], []], capacity, scores(2)))


def test_rows_past_the_capacity_are_cut_and_the_others_kept():
    table = build([[(0, 1.0), (1, 2.0)], [(2, 3.0)]], 3)
    rows = gather(table, jnp.array([0, 1]), 2)
    np.testing.assert_array_equal(rows.dense(), [[1, 2, 0], [0, 0, 0]])


def test_the_gradient_flows_to_the_values():
    rows = gather(build([[(0, 1.0), (2, 2.0)], []], 3), jnp.array([1, 0]), 4)
    weights = jnp.arange(6.0).reshape(2, 3)

    def loss(values):
        return (rows.replace(values=values).dense() * weights).sum()

    np.testing.assert_array_equal(jax.jit(jax.grad(loss))(rows.values), [3, 5, 0, 0])


@pytest.mark.parametrize(
    ("row", "column", "error"),
    [
        ([0, 2], [0, 0], "a row index lies outside"),
        ([0, -1], [0, 0], "a row index lies outside"),
        ([0, 1], [0, 3], "a column index lies outside"),
        ([0, 1], [-1, 0], "a column index lies outside"),
        ([1, 0, 1], [2, 2, 2], "listed twice"),
    ],
)
def test_entries_that_are_no_table(row, column, error):
    with pytest.raises(ValueError, match=error):
        Table.from_entries(row, column, np.ones(len(row)), num_rows=2, num_columns=3)


def test_shapes_that_do_not_match():
    with pytest.raises(AssertionError):
        Table.from_entries([0, 1], [0], [1.0, 1.0], num_rows=2, num_columns=3)
    table = Table.from_entries([0], [0], [1.0], num_rows=2, num_columns=3)
    with pytest.raises(AssertionError):
        table.gather(jnp.zeros((2, 2), jnp.int32), 4)
    rows = gather(table, jnp.array([0]), 4)
    with pytest.raises(AssertionError):
        rows.pick(jnp.zeros((2, 3)))
    with pytest.raises(AssertionError):
        rows.sum(jnp.zeros(3))


def test_places_count_from_the_oldest_entry_kept():
    history = [[(4, 1.0), (2, 2.0), (0, 3.0)], [], [(1, 4.0)]]

    @jax.jit
    def of(table):
        rows = table.gather(jnp.arange(3), 6)
        return rows.counts(), rows.places(2)

    counts, places = of(build(history))
    np.testing.assert_array_equal(counts, [3, 0, 1])
    # Of the first row two entries are kept; the older one and the padding have no place.
    np.testing.assert_array_equal(places, [2, 0, 1, 0, 2, 2])


def test_blocks_written_out():
    table = build([[(0, 1.0)], [], [(1, 1.0), (2, 1.0)], [(3, 1.0)], [(0, 1.0)]])
    index, capacity = table.blocks(2)
    np.testing.assert_array_equal(index, [[0, 1], [2, 3], [4, 5]])
    assert (index.dtype, capacity) == (np.int32, 3)
    index, capacity = build([[(0, 1.0), (1, 1.0)]]).blocks(4)
    np.testing.assert_array_equal(index, [[0, 1, 1, 1]])
    assert capacity == 2, "padding lists nothing"


@pytest.mark.parametrize("history", [[], [[]], [[(3, 1.0)]]])
def test_there_is_one_block_at_least_with_room_for_one_entry(history):
    index, capacity = build(history).blocks(2)
    assert index.shape == (1, 2) and capacity == 1


@pytest.mark.parametrize(
    ("capacity", "given", "longest"), [(3, None, 3), (N + 1, None, N), (N + 1, 2, 2)]
)
def test_the_longest_row_is_bounded_by_the_capacity_and_the_columns(capacity, given, longest):
    table = build([[(0, 1.0)]])
    rows = jax.eval_shape(lambda index: table.gather(index, capacity, given), jnp.array([0]))
    assert rows.longest == longest


def test_a_full_table_of_more_rows_than_columns():
    row, column = np.indices((4, 2)).reshape(2, 8)
    table = Table.from_entries(row, column, np.ones(8), num_rows=4, num_columns=2)
    np.testing.assert_array_equal(table.lengths(), [2, 2, 2, 2])


def test_more_entries_than_32_bit_offsets_reach(monkeypatch):
    many = np.zeros(2**31, np.int8)  # never written, so it takes no memory
    monkeypatch.setattr(np, "argsort", None)  # a table of so many would take 16 GB
    with pytest.raises(ValueError, match="2147483648 entries do not fit 32-bit offsets"):
        Table.from_entries(many, many, many, num_rows=1, num_columns=1)
