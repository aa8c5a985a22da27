"""The trainer: one shape, one compilation, exact resume, replicas as single runs."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec import models
from aerec.core import Facts, Model, Table, Traits
from aerec.errors import BadInput
from aerec.runs.checkpoints import Checkpoints
from aerec.training import batches, loop, optimisers, program
from aerec.training.settings import Settings

U, N = 40, 30


def table(seed=0):
    rng = np.random.default_rng(seed)
    row, column = np.nonzero(rng.random((U, N)) < 0.3)
    return Table.from_entries(row, column, np.ones(len(row)), num_rows=U, num_columns=N)


def multvae():
    return models.build("multvae", {"hidden": (16,), "latent": 4, "anneal_steps": 20}, Facts(U, N))


def small():
    """A linear autoencoder whose loss reads all that it is given, and compiles in a moment."""

    def init(key):
        return {"kernel": 0.1 * jax.random.normal(key, (N, N)), "bias": jnp.zeros(N)}

    def loss(params, x, key, step):
        """Squared errors with dropout, and a weight that grows for some steps."""
        dense = x.dense()
        dropped = jnp.where(jax.random.bernoulli(key, 0.5, dense.shape), 2 * dense, 0)
        y = dropped @ params["kernel"] + params["bias"][None]
        error = x.sum((x.pick(y) - x.values) ** 2) + jnp.minimum(step / 20, 1) * (y**2).mean(1)
        return error, x.counts().astype(jnp.float32)

    return Model(Traits("ranking"), init, None, None, loss)


def settings(**changes):
    defaults = {"epochs": 6, "batch_size": 16, "learning_rate": 1e-2, "metric": "score"}
    return Settings(**{**defaults, **changes})


def score(params, replica):
    """A validation figure that is a function of the parameters alone."""
    return {"score": float(sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(params)))}


def test_compiles_once():
    traces = []
    model = small()

    def loss(*args):
        traces.append(1)
        return model.loss(*args)

    loop.fit(model._replace(loss=loss), [table()], settings(), seeds=[0], evaluate=score)
    once = len(traces)
    loop.fit(model._replace(loss=loss), [table()], settings(epochs=1), seeds=[0], evaluate=score)
    assert len(traces) == 2 * once, "six epochs trace as often as one"


def test_an_update_is_the_formula():
    """One full-batch SGD step of a linear autoencoder with L2, against NumPy float64."""
    t, rate, l2 = table(), 0.1, 3.0
    x = np.zeros((U, N))
    row, column, value = t.entries()
    x[row, column] = value
    start = np.random.default_rng(1).normal(size=(N, N)) / 10

    def loss(params, rows, key, step):
        y = rows.dense() @ params["w"]
        return rows.sum((rows.pick(y) - rows.values) ** 2), rows.sum(jnp.ones_like(rows.values))

    init = lambda key: {"w": jnp.asarray(start, jnp.float32)}  # noqa: E731
    model = Model(Traits("rating", l2=l2), init, None, None, loss)
    fitted = loop.fit(
        model, [t], settings(epochs=1, batch_size=U, optimiser="sgd", momentum=0.0,
                             learning_rate=rate),
        seeds=[0], evaluate=score,
    )  # fmt: skip
    error = np.where(x > 0, x @ start - x, 0)
    gradient = (2 * x.T @ error + l2 * start) / len(row)
    want = start - rate * gradient
    chex.assert_trees_all_close(fitted.last["w"][0], want.astype(np.float32), atol=1e-6)


@pytest.mark.parametrize("buckets", [1, 2])
def test_replicas_are_single_runs(buckets):
    chosen = settings(buckets=buckets)
    together = loop.fit(small(), [table()], chosen, seeds=[4, 5, 6], evaluate=score)
    for i, seed in enumerate([4, 5, 6]):
        alone = loop.fit(small(), [table()], chosen, seeds=[seed], evaluate=score)
        chex.assert_trees_all_close(
            loop.replica(together.last, i), loop.replica(alone.last, 0), atol=1e-4
        )
    assert not np.allclose(*[jax.tree.leaves(loop.replica(together.last, i))[0] for i in (0, 1)])


def test_replicas_with_their_own_tables():
    tables = [table(seed) for seed in (0, 1)]
    entries = min(len(t.columns) for t in tables)
    tables = [
        Table.from_entries(*(e[:entries] for e in t.entries()), num_rows=U, num_columns=N)
        for t in tables
    ]
    together = loop.fit(small(), tables, settings(), seeds=[7, 8], evaluate=score)
    alone = loop.fit(small(), tables[1:], settings(), seeds=[8], evaluate=score)
    chex.assert_trees_all_close(
        loop.replica(together.last, 1), loop.replica(alone.last, 0), atol=1e-4
    )


@pytest.mark.parametrize("cuts, buckets", [((1, 5), 1), ((3,), 2)])
def test_resuming_ends_in_the_same_bits(tmp_path, cuts, buckets):
    class Cut(Exception):
        pass

    def fit(folder, cut=None):
        def stop(record, figures):
            if record.epoch == cut + 1:  # the checkpoint of epoch `cut` is saved, this one is not
                raise Cut

        checkpoints = Checkpoints(tmp_path / folder, seconds=0)
        try:
            return loop.fit(
                small(), [table()], settings(schedule="cosine", buckets=buckets), seeds=[0, 1],
                evaluate=score, checkpoints=checkpoints,
                progress=stop if cut else lambda record, figures: None,
            )  # fmt: skip
        finally:
            checkpoints.close()

    whole = fit("whole")
    for cut in cuts:
        with pytest.raises(Cut):
            fit(f"cut {cut}", cut)
        resumed = fit(f"cut {cut}")
        chex.assert_trees_all_equal(resumed.last, whole.last)
        chex.assert_trees_all_equal(resumed.best, whole.best)
        assert resumed.record.best == whole.record.best
        assert resumed.record.best_epoch == whole.record.best_epoch
        assert len(resumed.record.epoch_seconds) == 6


def test_patience_stops_and_keeps_the_best():
    scores = iter([1.0, 3.0, 2.0, 2.5, 9.0, 9.0])
    fitted = loop.fit(
        small(), [table()], settings(patience=2), seeds=[0],
        evaluate=lambda params, i: {"score": next(scores)},
    )  # fmt: skip
    assert fitted.record.epoch == 4 and fitted.record.best == [3.0]
    two = loop.fit(
        small(), [table()], settings(epochs=2), seeds=[0], evaluate=lambda p, i: {"score": 0.0}
    )
    four = loop.fit(
        small(), [table()], settings(epochs=4), seeds=[0], evaluate=lambda p, i: {"score": 0.0}
    )
    chex.assert_trees_all_equal(fitted.best, two.last)
    chex.assert_trees_all_equal(fitted.last, four.last)


def test_errors_are_better_when_lower():
    errors = iter([3.0, 1.0, 2.0])
    fitted = loop.fit(
        small(), [table()], settings(epochs=3, metric="rmse"), seeds=[0],
        evaluate=lambda params, i: {"rmse": next(errors)},
    )  # fmt: skip
    assert fitted.record.best == [1.0] and fitted.record.best_epoch == [2]


@pytest.mark.parametrize("at", [0, 7])
def test_a_loss_that_is_no_number_stops_the_run(tmp_path, at):
    model = small()

    def loss(params, x, key, step):
        total, weight = model.loss(params, x, key, step)
        return jnp.where(step == at, jnp.nan, total), weight

    checkpoints = Checkpoints(tmp_path / "c", seconds=0)
    with pytest.raises(loop.Diverged, match=f"nan at step {at} .seed 9.*checkpoint.*is kept"):
        loop.fit(
            model._replace(loss=loss), [table()], settings(), seeds=[9], evaluate=score,
            checkpoints=checkpoints,
        )  # fmt: skip
    checkpoints.close()
    kept = Checkpoints(tmp_path / "c").manager.latest_step()
    assert kept == (2 if at else None)


@pytest.mark.parametrize("after", [0, 2])
def test_the_penalty_is_of_kernels_and_waits_for_its_step(after):
    chain = optimisers.l2_penalty(0.5, after=after)
    params = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.ones(2)}
    zeros, state = jax.tree.map(jnp.zeros_like, params), chain.init(params)
    for step in range(4):
        got, state = chain.update(zeros, state, params)
        want = 1.5 if step >= after else 0.0
        chex.assert_trees_all_equal(got, {"kernel": jnp.full((2, 2), want), "bias": jnp.zeros(2)})


@pytest.mark.parametrize(("updates", "noted"), [(5, False), (6, True), (0, False)])
def test_a_run_that_is_all_pretraining_is_noted(updates, noted):
    notes, own = [], settings(epochs=2)  # of three updates each
    model = small()._replace(traits=Traits("ranking", l2=1.0, l2_after=updates))
    program.compiled(model, [table()], own, seeds=[0], log=notes.append)
    assert ("All 6 updates are pre-training" in " ".join(notes)) == noted


def test_rprop_by_a_loop():
    """iRprop- of three parameters, one of which reaches both bounds; the first update counts."""
    grads = np.random.default_rng(0).choice([-1e-30, -2.0, 0.0, 3.0, 1e-30], size=(60, 3))
    grads[:30, 2], grads[30:, 2] = 1.0, (-1.0) ** np.arange(30)
    chain = optimisers.rprop(0.1, least=0.01, most=0.9)
    state = chain.init(jnp.zeros(3))
    size, last = np.full(3, 0.1), np.zeros(3)
    for grad in grads:
        update, state = chain.update(jnp.asarray(grad, jnp.float32), state)
        for j in range(3):
            sign = float(np.sign(grad[j]))
            if sign * last[j] > 0:
                size[j] = min(1.2 * size[j], 0.9)
            elif sign * last[j] < 0:
                size[j] = max(0.5 * size[j], 0.01)
                sign = 0.0
            last[j] = sign
        np.testing.assert_allclose(update, -last * size, rtol=1e-4)
        if grad is grads[29]:
            assert size[2] == 0.9
    assert size[2] == 0.01


def test_adagrad_moves_a_rare_parameter_as_far_as_a_frequent_one():
    """The first update of a gradient g is rate * g / sqrt(g^2 + 1e-4)."""
    chosen = settings(optimiser="adagrad", learning_rate=0.1)
    chain, grad = optimisers.optimiser(chosen, steps=6), np.array([0.03, 3.0], np.float32)
    update, _ = chain.update(jnp.asarray(grad), chain.init(jnp.zeros(2)))
    np.testing.assert_allclose(update, -0.1 * grad / np.sqrt(grad**2 + 1e-4), rtol=1e-3)


def test_weights_of_a_table():
    ratings = models.build("autorec", {"hidden": (4,)}, Facts(U, N))
    assert program.total_weight(ratings, table(), 7) == len(table().columns)
    assert program.total_weight(multvae(), table(), 7) == (table().lengths() > 0).sum()


@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_the_step_schedule_multiplies_the_rate_at_its_epochs(warmup):
    """Eight epochs of 10 updates on a slope of one: an update is the rate itself."""
    chosen = settings(
        epochs=8, optimiser="sgd", momentum=0.0, learning_rate=0.5, schedule="step",
        milestones=(3, 5), gamma=0.1, warmup=warmup,
    )  # fmt: skip
    chain = optimisers.optimiser(chosen, steps=80)
    state, got = chain.init(jnp.zeros(())), []
    for _ in range(80):
        update, state = chain.update(jnp.ones(()), state, jnp.zeros(()))
        got.append(-update)
    want = 0.5 * np.repeat([1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01], 10)
    if warmup:
        want[:20] *= np.arange(20) / 20
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"schedule": "step"}, "go together"),
        ({"milestones": (2,)}, "go together"),
        ({"schedule": "step", "milestones": (4, 2)}, "ascending"),
        ({"schedule": "step", "milestones": (0, 2)}, "milestones is at least 1"),
        ({"schedule": "step", "milestones": (2,), "gamma": 0.0}, "gamma is above 0"),
    ],
)
def test_milestones_that_make_no_schedule(given, says):
    with pytest.raises(BadInput, match=says):
        settings(**given)


def test_the_losses_of_each_step_are_told():
    told, means = [], []
    loop.fit(
        small(), [table()], settings(epochs=3), seeds=[0, 1], evaluate=score,
        trace=lambda record, losses: told.append((record.epoch, losses)),
        progress=lambda record, figures: means.append(figures["loss"]),
    )  # fmt: skip
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    for (_, losses), mean in zip(told, means, strict=True):
        chex.assert_shape(losses, (2, batches.plan(table().lengths(), 16)[0].steps))
        np.testing.assert_allclose(losses.mean(), mean, rtol=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("name", ["adam", "rprop", "sgd", "adagrad"])
def test_every_optimiser_lowers_the_loss(name, schedule):
    losses = []
    chosen = settings(
        optimiser=name, schedule=schedule, epochs=25, warmup=0.1, momentum=0.5,
        learning_rate={"sgd": 0.05, "adagrad": 0.1}.get(name, 1e-2),
    )  # fmt: skip
    chosen = dataclasses.replace(chosen, batch_size=U)
    loop.fit(
        small(), [table()], chosen, seeds=[0], evaluate=score,
        progress=lambda record, figures: losses.append(figures["loss"]),
    )  # fmt: skip
    assert losses[-1] < 0.99 * losses[0]


def test_replicas_of_a_closed_form_are_equal_where_they_share_a_table():
    solves = []
    model = models.build("ease", {"l2": 3.0}, Facts(U, N))
    solve = lambda table: solves.append(table) or model.solve(table)  # noqa: E731
    fitted = loop.fit(
        model._replace(solve=solve), [table()], settings(), seeds=[0, 1, 2], evaluate=score
    )
    replicas = [loop.replica(fitted.best, i) for i in range(3)]
    chex.assert_trees_all_equal(*replicas, model.solve(table()))
    assert len(solves) == 1 and jax.tree.leaves(fitted.best)[0].shape[0] == 3


@pytest.mark.parametrize("metric", ["score", "rmse"])
def test_a_validation_figure_that_is_nan_is_an_error(metric):
    figures = iter([1.0, 2.0, 3.0, np.nan])  # of two replicas, in two epochs
    model = Model(
        Traits("ranking"), init=lambda key: {"w": jnp.zeros(N)}, encode=None, score=None,
        loss=lambda params, x, key, step: (x.dense() @ params["w"], jnp.ones(x.shape[0])),
    )  # fmt: skip
    with pytest.raises(BadInput, match=rf"figure {metric} is NaN after epoch 2 \(replica 1\)"):
        loop.fit(
            model, [table()], settings(metric=metric), seeds=[0, 1],
            evaluate=lambda params, replica: {metric: next(figures)},
        )  # fmt: skip
    assert not list(figures)
