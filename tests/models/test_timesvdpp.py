"""timeSVD++: times of ratings, and what it computes from those of a training table."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aerec
from aerec import models
from aerec.core import Facts, Table
from aerec.models import MODELS, timesvdpp
from aerec.runs.spec import oriented

U, N = 7, 9
SMALL = {"latent": 3, "bins": 4}


def table(times=None):
    """Ratings in time order; the first row is empty, the second has one rating."""
    rng = np.random.default_rng(0)
    lengths = [0, 1, 4, 9, 3, 6, 2]
    row = np.repeat(np.arange(U), lengths)
    column = np.concatenate([rng.permutation(N)[:length] for length in lengths])
    made = Table.from_entries(row, column, rng.integers(1, 6, len(row)), num_rows=U, num_columns=N)
    return made.replace(times=times and jnp.asarray(times(row), jnp.float32))


def days(row):
    """Ascending times within each row, whose rows begin at other times."""
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(0, 40, len(row))) + 90 * rng.permutation(U)[row] % 31
    return times[np.lexsort((times, row))]


def places(row):
    return np.arange(len(row)) - np.searchsorted(row, row)


def batch(own):
    return own.gather(jnp.arange(U), len(own.columns) + 3)


def test_clock_of_a_table():
    config = timesvdpp.Config(bins=4, sessions=3)
    own = table(days)
    found = jax.tree.map(np.asarray, timesvdpp.clock(own, config))
    row, times = own.entries()[0], np.asarray(own.times, float)
    assert found["all"]["first"] == times.min()
    assert found["all"]["rate"] == pytest.approx(4 / (times.max() - times.min()))
    for u in range(U):
        t = times[row == u]
        if not len(t):
            assert not any(found[name][u] for name in ("mean", "scale", "last", "first", "rate"))
            continue
        assert found["mean"][u] == pytest.approx(t.mean(), rel=1e-6)
        assert (found["first"][u], found["last"][u]) == (t.min(), t.max())
        reach = np.abs(t - t.mean()).max() ** 0.4
        assert found["scale"][u] == pytest.approx(1 / reach if reach else 0, rel=1e-5)
        span = t.max() - t.min()
        assert found["rate"][u] == pytest.approx(3 / span if span else 0, rel=1e-6)


def prepared(own, given=SMALL):
    """Return x -> (loss, scores) at random parameters, but for those that the table determines."""
    model = models.build("timesvdpp", given, Facts.of(own, (1.0, 5.0)))
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), "f4"), shapes)
    params |= model.frozen(own)
    return jax.jit(lambda x: (model.loss(params, x, None, None), model.score(params, x)))


def test_the_unit_and_origin_of_time_do_not_matter():
    """And without times, the time of a rating is its place."""
    units = days, lambda row: 8 * days(row) + 64, None, places
    found = [prepared(own)(batch(own)) for own in map(table, units)]
    chex.assert_trees_all_close(found[0], found[1], rtol=1e-4, atol=1e-4)
    chex.assert_trees_all_equal(found[2], found[3])
    assert np.abs(np.asarray(found[2][0][0]) - np.asarray(found[0][0][0])).max() > 1e-3


def test_a_score_is_of_the_last_time_of_the_row():
    """What the loss of the row's latest rating is about; of r + 1 it is 4 e more than of r - 1."""
    own = table(days)
    run, x = prepared(own, SMALL | {"sessions": 2, "l2": 0.0}), batch(own)
    ends = np.cumsum(own.lengths())[1:] - 1
    above, below = (run(x.replace(values=x.values.at[ends].add(by)))[0][0] for by in (1.0, -1.0))
    predicted = x.values[ends] - (above - below)[1:] / 4
    scores = run(x)[1][np.arange(1, U), x.columns[ends]]
    chex.assert_trees_all_close(predicted, scores, atol=1e-3)


def test_only_models_of_sequences_get_times():
    rng = np.random.default_rng(4)
    pairs = rng.permutation(200)[:120]
    time = rng.integers(10**9, 10**9 + 10**7, 120)
    ratings = aerec.ratings((pairs // 20, pairs % 20, rng.integers(1, 6, 120), time))
    split = aerec.split(ratings, "per_user_time")
    row, column, _ = split.train.entries()
    user, item = split.user_ids[row], split.item_ids[column]
    known = dict(zip(pairs.tolist(), time, strict=True))
    want = [known[20 * int(u) + int(i)] - time.min() for u, i in zip(user, item, strict=True)]
    np.testing.assert_allclose(split.times * 86400, want, atol=10)
    for name in MODELS:
        own = models.traits(name, {})
        (read,) = oriented(own, [split])
        assert (read.train.times is not None) == (own.reads == "sequence")
