"""Layers over Rows and over dense blocks say the same."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec.core import Table
from aerec.nn import layers


def batch(rows=6, columns=40, share=0.3, seed=0):
    rng = np.random.default_rng(seed)
    listed = rng.random((rows, columns)) < share
    listed[0] = False
    row, column = np.nonzero(listed)
    table = Table.from_entries(
        row, column, rng.normal(size=len(row)), num_rows=rows, num_columns=columns
    )
    return table.gather(jnp.arange(rows), len(row) + 3)


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


def test_normalised_rows_have_length_one_and_empty_rows_none():
    x = batch()
    lengths = np.linalg.norm(np.asarray(layers.normalise(x).dense()), axis=1)
    chex.assert_trees_all_close(lengths, np.array([0] + [1] * 5, np.float32), atol=1e-6)
    chex.assert_trees_all_close(layers.normalise(x.dense()), layers.normalise(x).dense(), atol=1e-6)
    grad = jax.grad(lambda v: layers.normalise(v).sum())(jnp.zeros((2, 3)))
    chex.assert_tree_all_finite(grad)


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
    x = batch()
    longer = jax.tree.map(lambda a: a, x)
    pad = jnp.arange(9)
    longer = longer.replace(
        columns=jnp.concatenate([x.columns, jnp.full_like(pad, 40)]),
        values=jnp.concatenate([x.values, jnp.zeros(9)]),
        row=jnp.concatenate([x.row, jnp.full_like(pad, 6)]),
    )
    a, b = (layers.dropout(jax.random.key(2), v, 0.5).dense() for v in (x, longer))
    chex.assert_trees_all_equal(a, b)
