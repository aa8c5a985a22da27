"""Conjugate gradients and the tiles of a table, against dense arrays in NumPy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from aerec.core import Table
from aerec.nn import conjugate


def test_as_many_steps_as_unknowns_solve_a_system_and_fewer_do_not():
    rng = np.random.default_rng(0)
    roots, right = rng.normal(size=(5, 4, 4)), rng.normal(size=(5, 4))
    systems = roots @ roots.transpose(0, 2, 1) + np.eye(4)
    right[2] = 0
    calls = []

    def solve(**given):
        def apply(z):
            jax.debug.callback(lambda: calls.append(1))
            return jnp.einsum("bij,bj->bi", jnp.asarray(systems, jnp.float32), z)

        right32, zero = jnp.asarray(right, jnp.float32), jnp.zeros((5, 4))
        calls.clear()
        z = jax.jit(lambda: conjugate.solve(apply, right32, zero, **given))()
        jax.effects_barrier()
        return np.asarray(z, float)

    want = np.linalg.solve(systems, right[:, :, None])[:, :, 0]
    chex.assert_trees_all_close(solve(steps=8), want, atol=1e-4)
    assert not solve(steps=8)[2].any(), "a zero right side has a zero solution, not NaN"
    assert np.abs(solve(steps=1) - want).max() > 0.01
    chex.assert_trees_all_close(solve(steps=100, tolerance=1e-4), want, atol=1e-2)
    assert len(calls) <= 8, "it stops where the systems are solved"


def test_tiles_sum_over_rows_of_any_length(monkeypatch):
    for name in ("TILE", "TILE_OF_ACCELERATORS"):
        monkeypatch.setattr(conjugate, name, 2 * conjugate.PIECE)
    rng = np.random.default_rng(1)
    lengths, num_columns = [0, 1, 16, 17, 60, 0, 3], 61
    x = np.zeros((len(lengths), num_columns))
    for row, length in enumerate(lengths):
        x[row, rng.permutation(num_columns)[:length]] = rng.integers(1, 5, length)
    row, column = np.nonzero(x)
    size = {"num_rows": len(x), "num_columns": num_columns}
    tiles = conjugate.Tiles.of(Table.from_entries(row, column, x[row, column], **size))
    assert tiles.columns.shape == (5, 1, 2, 16)
    f, z = rng.normal(size=(num_columns, 3)), rng.normal(size=(len(x), 3))
    got = tiles.sum(jnp.asarray(f, jnp.float32), jnp.asarray(z, jnp.float32))
    chex.assert_trees_all_close(np.asarray(got), (x * (z @ f.T)) @ f, rtol=1e-4, atol=1e-4)
    empty = Table.from_entries([], [], [], **size)
    nothing = conjugate.Tiles.of(empty).sum(jnp.ones((num_columns, 3)), jnp.ones((len(x), 3)))
    assert nothing.shape == (len(x), 3) and not nothing.any()
