"""Dense re-feeding: the paper's four steps in NumPy, what counts, divergence, exact resume."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aerec import models
from aerec.core import Facts, Model, Rows, Table, Traits
from aerec.nn import losses
from aerec.runs.checkpoints import Checkpoints
from aerec.training import batches, loop, step
from aerec.training.settings import Settings

U, N = 7, 5
RATE, MOMENTUM = 0.05, 0.9


def ratings():
    """r [U, N] with zeros where missing; row 0 is empty."""
    rng = np.random.default_rng(0)
    r = np.where(rng.random((U, N)) < 0.6, rng.integers(1, 6, (U, N)), 0).astype(float)
    r[0] = 0
    row, column = np.nonzero(r)
    return r, Table.from_entries(row, column, r[row, column], num_rows=U, num_columns=N)


def linear(start):
    def score(params, x):
        return (x.dense() if isinstance(x, Rows) else x) @ params["w"]

    return Model(
        traits=Traits("ranking"),
        init=lambda key: {"w": jnp.asarray(start, jnp.float32)},
        encode=score,
        score=score,
        loss=lambda params, x, key, step: losses.squared_error(score(params, x), x),
    )


def refed(model, times):
    return model._replace(traits=model.traits._replace(refeeds=times))


def settings(**changes):
    defaults = {"epochs": 6, "batch_size": 4, "optimiser": "sgd", "metric": "rmse"}
    return Settings(**{**defaults, **changes})


def score(params, replica):
    """A validation figure that is a function of the parameters alone."""
    return {"rmse": float(sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(params)))}


@pytest.mark.parametrize("times", [1, 3])
def test_a_step_and_its_re_feeds_are_the_paper_s_four_steps(times):
    """f(x) = x W under SGD with momentum; the empty row and two rows of padding count nowhere."""
    r, table = ratings()
    w = start = np.random.default_rng(1).normal(size=(N, N)) / 3
    velocity = np.zeros_like(w)
    order = [[0, 1, 2, 3, U], [4, 5, 6, U, U]]
    first = []
    for batch in order:
        x = r[[u for u in batch if u < U and r[u].any()]]
        target, counted = x, x > 0
        for each in range(1 + times):
            y = x @ w  # step 1, or 3: f at the parameters before the update
            error = counted * (y - target)
            first += [(error**2).sum() / counted.sum()] if not each else []
            velocity = MOMENTUM * velocity + 2 * x.T @ error / counted.sum()
            w = w - RATE * velocity  # step 2, or 4
            x = target = y
            counted = np.ones_like(y)  # all entries of f(x) are given
    chain = optax.sgd(RATE, momentum=MOMENTUM)
    model = linear(start)
    params = model.init(jax.random.key(0))
    state = step.State(params, chain.init(params), jnp.int32(0))
    bucket = batches.Bucket(0, U, steps=2, batch=5, capacity=len(table.columns), longest=N)
    epoch = jax.jit(step.make_epoch(refed(model, times), chain, [bucket]))
    shapes = jnp.zeros(2, jnp.int32)
    state, lost, finite = epoch(state, table, shapes, jnp.array(order), jax.random.key(0))
    assert finite and state.step == 2 * (1 + times)
    np.testing.assert_allclose(state.params["w"], w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(lost, first, rtol=1e-5)


def test_every_update_has_a_key_and_a_step_of_its_own():
    seen = []
    model = linear(np.eye(N))

    def loss(params, x, key, step):
        jax.debug.callback(lambda *told: seen.append(told), step, jax.random.key_data(key))
        return model.loss(params, x, key, step)

    loop.fit(
        refed(model._replace(loss=loss), 2), [ratings()[1]],
        settings(epochs=2, learning_rate=1e-3),
        seeds=[0], evaluate=score,
    )  # fmt: skip
    jax.effects_barrier()
    assert sorted(int(step) for step, _ in seen) == list(range(2 * 2 * 3))
    assert len({key.tobytes() for _, key in seen}) == len(seen)


def test_schedules_are_in_epochs_whatever_is_re_fed():
    """A rate of nothing after the first epoch leaves what one epoch made."""
    model, table = linear(np.eye(N) / 2), ratings()[1]
    given = {"learning_rate": 1e-2, "momentum": 0.0}
    kinds = (settings(epochs=1, **given), settings(epochs=3, schedule="step", milestones=(1,),
                                                   gamma=1e-30, **given))  # fmt: skip
    one, three = (
        loop.fit(refed(model, 1), [table], kind, seeds=[0], evaluate=score) for kind in kinds
    )
    chex.assert_trees_all_equal(one.last, three.last)


@pytest.mark.parametrize("at", [0, 5])
def test_a_re_feed_that_is_no_number_stops_the_run(at):
    model = linear(np.eye(N))

    def loss(params, x, key, step):
        total, weight = model.loss(params, x, key, step)
        bad = jnp.nan if not isinstance(x, Rows) else 0.0
        return jnp.where(step >= at, total * (1 + bad), total), weight

    with pytest.raises(loop.Diverged, match=r"at step \d+ .seed 3"):
        loop.fit(
            refed(model._replace(loss=loss), 1), [ratings()[1]], settings(learning_rate=1e-3),
            seeds=[3], evaluate=score,
        )  # fmt: skip


def test_resuming_with_re_feeds_ends_in_the_same_bits(tmp_path):
    class Cut(Exception):
        pass

    def stop(record, figures):
        if record.epoch == 3:
            raise Cut

    def fit(checkpoints, progress=lambda record, figures: None):
        return loop.fit(
            models.build("deeprec", {"hidden": (4,), "dropout": 0.5}, Facts(U, N)), [ratings()[1]],
            settings(epochs=4, schedule="step", milestones=(1, 3)), seeds=[0], evaluate=score,
            checkpoints=checkpoints, progress=progress,
        )  # fmt: skip

    checkpoints = Checkpoints(tmp_path / "c", seconds=0)
    with pytest.raises(Cut):
        fit(checkpoints, stop)
    checkpoints.close()
    checkpoints = Checkpoints(tmp_path / "c", seconds=0)
    assert checkpoints.manager.latest_step() == 2
    resumed = fit(checkpoints)
    checkpoints.close()
    chex.assert_trees_all_equal(resumed.last, fit(None).last)
