"""Layers over Rows and over dense blocks say the same."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec.core import Rows
from aerec.nn import layers


def listing(x, padding=2):
    """The cells of a block that are not zero as `Rows`, with so many entries of padding."""
    row, column = np.nonzero(x)
    padded = (0, padding)
    return Rows(
        columns=jnp.asarray(np.pad(column, padded, constant_values=x.shape[1]), jnp.int32),
        values=jnp.asarray(np.pad(x[row, column], padded), jnp.float32),
        row=jnp.asarray(np.pad(row, padded, constant_values=len(x)), jnp.int32),
        index=jnp.arange(len(x), dtype=jnp.int32),
        num_columns=x.shape[1],
        longest=x.shape[1],
    )


def batch(rows=6, columns=40, share=0.3, seed=0, padding=3):
    rng = np.random.default_rng(seed)
    listed = rng.random((rows, columns)) < share
    listed[0] = False
    return listing(listed * rng.normal(size=listed.shape), padding)


@pytest.mark.parametrize(("share", "columns"), [(0.3, 40), (0.0005, 4000)])
def test_product_by_either_way_is_the_dense_product(share, columns):
    x = batch(columns=columns, share=share)
    gathers = x.columns.size < layers.GATHER_BELOW * x.shape[0] * x.shape[1]
    assert gathers == (columns == 4000), "the two cases take the two ways"
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(columns, 5)), jnp.float32)
    want = np.asarray(x.dense()) @ np.asarray(kernel)
    chex.assert_trees_all_close(layers.product(x, kernel), want, atol=1e-5)

    def through(of):
        return jax.grad(lambda k: (of(k) ** 2).sum())(kernel)

    chex.assert_trees_all_close(
        through(lambda k: layers.product(x, k)), through(lambda k: x.dense() @ k), atol=1e-4
    )


@pytest.mark.parametrize("columns", [40, 4000])
def test_cells_of_an_affine_map_by_either_way_are_those_of_the_block(columns):
    rng = np.random.default_rng(2)
    z, kernel, bias = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((6, 3), (columns, 3), (columns,))
    )
    row = np.append(np.sort(rng.integers(0, 6, 20)), [6, 6])  # the last two are padding
    at = rng.integers(0, columns, (22, 4))
    at[20:] = columns
    singly = at.size < layers.CELLS_BELOW * 6 * columns
    assert singly == (columns == 4000), "the two cases take the two ways"

    def total(z, kernel, bias):
        read = layers.affine_at(z, kernel, bias, row=jnp.asarray(row), columns=jnp.asarray(at))
        return (read**2).sum(), read

    grads, read = jax.grad(total, (0, 1, 2), has_aux=True)(z, kernel, bias)
    block = np.asarray(z, float) @ np.asarray(kernel, float).T + np.asarray(bias, float)
    want = np.zeros((22, 4))
    want[:20] = block[row[:20, None], at[:20]]
    chex.assert_trees_all_close(np.asarray(read), want.astype(np.float32), atol=1e-5)
    back = np.zeros_like(block)  # the gradient of the sum of squares
    np.add.at(back, (row[:20, None], at[:20]), 2 * want[:20])
    back = (back @ np.asarray(kernel, float), back.T @ np.asarray(z, float), back.sum(0))
    chex.assert_trees_all_close(
        grads, tuple(part.astype(np.float32) for part in back), atol=1e-4, rtol=1e-4
    )


def makes_the_block(function, shape):
    """Whether an array of that shape occurs in the program of `function`."""
    return f"f32[{shape[0]},{shape[1]}]" in str(jax.make_jaxpr(function)())


@pytest.mark.parametrize("size", [59, 61])
def test_a_product_gathers_below_one_entry_in_150_cells(size):
    empty = listing(np.zeros((9, 1000)), padding=size)
    kernel = jnp.zeros((1000, 2))
    assert makes_the_block(lambda: layers.product(empty, kernel), (9, 1000)) == (size > 60)
    # A block that is there already is multiplied as it is.
    assert layers.product(jnp.ones((1, 2)), jnp.ones((2, 1))).tolist() == [[2]]


@pytest.mark.parametrize("size", [249, 250])
def test_a_product_of_a_few_rows_gathers_below_a_quarter_of_the_columns(size):
    empty = listing(np.zeros((8, 1000)), padding=size)
    kernel = jnp.zeros((1000, 2))
    assert makes_the_block(lambda: layers.product(empty, kernel), (8, 1000)) == (size >= 250)


@pytest.mark.parametrize("size", [3, 4])
def test_cells_are_computed_singly_below_one_in_50(size):
    def read():
        at = {"row": jnp.zeros(1, jnp.int32), "columns": jnp.zeros((1, size), jnp.int32)}
        return layers.affine_at(jnp.zeros((2, 3)), jnp.zeros((100, 3)), jnp.zeros(100), **at)

    assert makes_the_block(read, (2, 100)) == (size >= 4)


X = np.array([[0, 1, -2, 0], [0, 0, 0, 0], [0, 0, 0.5, 0]], np.float32)


def test_rows_of_a_block_are_its_cells_that_are_not_zero():
    rows = layers.rows(jnp.asarray(X[:, 1:3]))
    assert rows.columns.tolist() == [0, 1, 1, 2, 2, 2]
    assert rows.values.tolist() == [1, -2, 0.5, 0, 0, 0]
    assert rows.row.tolist() == [0, 0, 2, 3, 3, 3]
    assert (rows.index < 0).all() and (rows.num_columns, rows.longest) == (2, 2)
    assert layers.rows(rows) is rows


def test_what_is_done_to_each_entry_written_out():
    factor, none = jnp.array([2.0, 4.0, 3.0]), [0, 0, 0, 0]
    for x in (jnp.asarray(X), listing(X)):
        for done, want in (
            (layers.scale(x, factor), [[0, 2, -4, 0], none, [0, 0, 1.5, 0]]),
            (layers.shift(x, 0.25), [[0, 1.25, -1.75, 0], none, [0, 0, 0.75, 0]]),
            (layers.apply(x, jnp.abs), [[0, 1, 2, 0], none, [0, 0, 0.5, 0]]),
        ):
            np.testing.assert_array_equal(layers.dense(done), want)
            if isinstance(done, Rows):
                assert not done.values[3:].any(), "padding stays zero"


def test_normalised_rows_have_length_one_and_empty_rows_none():
    want = np.float32([[0, 1 / np.sqrt(5), -2 / np.sqrt(5), 0], [0, 0, 0, 0], [0, 0, 1, 0]])
    for x in (jnp.asarray(X), listing(X)):
        chex.assert_trees_all_close(layers.dense(layers.normalise(x)), want, atol=1e-6)
    grad = jax.grad(lambda v: layers.normalise(v).sum())(jnp.zeros((2, 3)))
    assert not grad.any(), "zero, and not the infinity of 1 / |x|"


def test_a_stack_of_layers_written_out():
    rng = np.random.default_rng(3)
    shapes = [(4, 5), (5, 3), (3, 2)]
    weights = [(rng.normal(size=shape), rng.normal(size=shape[1])) for shape in shapes]
    params = {
        f"Layer_{depth}": {"kernel": jnp.float32(kernel), "bias": jnp.float32(bias)}
        for depth, (kernel, bias) in enumerate(weights)
    }
    want = X.astype(float)
    for function, (kernel, bias) in zip((np.tanh, np.tanh, np.exp), weights, strict=True):
        want = function(want @ kernel + bias)
    stack = layers.MLP((5, 3, 2), jnp.tanh, jnp.exp)
    for x in (jnp.asarray(X), listing(X)):
        chex.assert_trees_all_close(
            stack.apply({"params": params}, x), want.astype(np.float32), rtol=1e-5
        )


def test_dropout_keeps_the_mean_and_drops_at_its_rate():
    x = batch(rows=50, columns=400)
    dropped = layers.dropout(jax.random.key(0), x, 0.25)
    listed = np.asarray(x.row) < 50
    before, after = np.asarray(x.values)[listed], np.asarray(dropped.values)[listed]
    kept = after != 0
    n = listed.sum()
    assert abs(kept.mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / n)
    chex.assert_trees_all_close(after[kept], before[kept] / 0.75, rtol=1e-6)
    assert layers.dropout(jax.random.key(1), x, 0.0) is x


def test_dropout_of_a_row_does_not_depend_on_padding():
    a, b = (
        layers.dropout(jax.random.key(2), batch(padding=padding), 0.5).dense()
        for padding in (3, 12)
    )
    chex.assert_trees_all_equal(a, b)
