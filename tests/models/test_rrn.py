"""RRN: what is computed of a training table, against loops over its ratings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec import models
from aerec.core import Facts, Table

U, N, T, F = 7, 9, 4, 3


def table():
    """Ratings in time order; the first row is empty, the second has one rating."""
    rng = np.random.default_rng(0)
    lengths = [0, 1, 4, 9, 3, 6, 2]
    row = np.repeat(np.arange(U), lengths)
    column = np.concatenate([rng.permutation(N)[:length] for length in lengths])
    made = Table.from_entries(row, column, rng.integers(1, 6, len(row)), num_rows=U, num_columns=N)
    times = rng.integers(0, 40, len(row))
    return made.replace(times=jnp.asarray(times[np.lexsort((times, row))], jnp.float32))


def build(**given):
    return models.build("rrn", {"latent": 3, "bins": T, "folds": F, **given}, Facts(U, N))


def ridge(vectors, left):
    vectors = np.concatenate([np.ones((len(left), 1)), vectors], axis=1)
    penalty = 4 * max(len(left), 1) ** 0.4 * np.eye(vectors.shape[1])
    return np.linalg.solve(vectors.T @ vectors + penalty, vectors.T @ left)


def parts(own):
    times = np.asarray(own.times)
    share = (times - times.min()) / (times.max() - times.min())
    return np.minimum((share * T + 1e-6).astype(int), T - 1)


def test_factors_of_the_past_and_what_the_networks_read():
    own = table()
    frozen = jax.device_get(build().frozen(own))
    row, column, value = own.entries()
    part, factors = parts(own), frozen["factors"]
    mean, items = value.mean(), factors["items"]
    for u in range(U):
        mine = factors["folds"][u % F]
        for t in range(T):
            seen = (row == u) & (part < t)
            left = value[seen] - mean - mine[column[seen], 0]
            want = ridge(mine[column[seen], 1:], left)
            np.testing.assert_allclose(factors["past"][u, t], want, atol=1e-4)
            now = (row == u) & (part == t)
            left, n = value[now] - mean - items[column[now], 0], max(now.sum(), 1)
            read = frozen["read"]["users"][u, t]
            vectors = np.concatenate([np.ones((now.sum(), 1)), items[column[now], 1:]], axis=1)
            np.testing.assert_allclose(read[:4], left @ vectors / n**0.5, atol=1e-4)
            assert read[4] == pytest.approx(np.log(1 + now.sum()))
            assert read[5] == (not seen.any())
    for j in range(N):
        for t in range(T):
            now = (column == j) & (part == t)
            assert frozen["read"]["items"][j, t, 4] == pytest.approx(np.log(1 + now.sum()))


def test_items_of_a_fold_do_not_know_its_ratings():
    own = table()
    other = own.replace(values=np.where(own.entries()[0] % F == 1, 5, own.values).astype("f4"))
    found = [jax.device_get(build().frozen(one)["factors"]) for one in (own, other)]
    sums = [one["folds"] + one["mean"][0] * np.eye(4, dtype="f4")[0][None, None] for one in found]
    np.testing.assert_allclose(sums[0][1], sums[1][1], atol=1e-5)
    assert np.abs(sums[0][0] - sums[1][0]).max() > 0.01


def test_without_the_past_the_factors_are_of_all_ratings():
    factors = build(past=False).frozen(table())["factors"]
    assert (factors["past"] == factors["past"][:, :1]).all()
    assert (factors["folds"] == factors["items"][None]).all()


def test_shapes_are_those_of_init():
    model = build()
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    for name, leaves in model.frozen(table()).items():
        assert jax.tree.map(jnp.shape, leaves) == jax.tree.map(lambda s: s.shape, shapes[name])
