"""Sampled softmax: its normaliser, the columns that move, and the whole softmax as a case of it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aerec import models
from aerec.core import Facts, Table
from aerec.errors import BadInput
from aerec.nn import losses
from aerec.training import batches, program, sampled
from aerec.training.settings import Settings

ROWS, COLUMNS = 30, 24


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    row, column = np.nonzero(rng.random((ROWS, COLUMNS)) < np.linspace(0.6, 0.05, COLUMNS))
    return Table.from_entries(
        row, column, np.ones(len(row)), num_rows=ROWS, num_columns=COLUMNS
    )


def trained(table, epochs=2, seeds=(0,), **given):
    """The parameters after some epochs of Mult-DAE without dropout."""
    model = models.build("multdae", {"latent": 4, "dropout": 0, "l2": 0}, Facts.of(table))
    settings = Settings(epochs=epochs, batch_size=6, **given)
    run = program.compiled(model, [table], settings, seeds=seeds)
    state = jax.tree.map(jnp.copy, run.start)
    for epoch in range(epochs):
        state, _, finite = run.epoch(state, epoch)
        assert finite.all()
    return jax.tree.map(np.asarray, (run.start.params, state.params))


def test_where_all_columns_are_seen_it_is_the_whole_softmax(table):
    whole = trained(table, softmax="full")[1]
    drawn = trained(table, softmax="sampled", candidates=5000)[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), whole, drawn)


def test_only_seen_columns_move(table):
    before, after = trained(table, epochs=1, softmax="sampled", candidates=1)
    few = trained(table, epochs=1, softmax="sampled", candidates=1, seeds=(0, 1))[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b[0], atol=1e-5), after, few)
    alone = Table.from_entries([0, 0, 1], [3, 5, 3], np.ones(3), num_rows=2, num_columns=COLUMNS)
    before, after = trained(alone, epochs=1, softmax="sampled", candidates=1)
    changed = jax.tree.map(lambda a, b: np.nonzero((a != b).any(0))[-1], before, after)
    kernels = [leaf for leaf in jax.tree.leaves(changed) if len(leaf) and leaf.max() >= 4]
    assert kernels  # decoder kernel [1, 4, N] and bias [1, N]
    for columns in kernels:
        assert {3, 5} <= set(columns) and len(set(columns)) <= 3


def test_the_chance_of_a_column(table):
    """Against counting: draws by weight, and batches of distinct rows."""
    rng, batch, draws, rounds = np.random.default_rng(1), 5, 4, 20_000
    weights = np.asarray(sampled.weigh(table))
    np.testing.assert_array_equal(
        weights, 1 + np.bincount(np.asarray(table.columns), minlength=COLUMNS)
    )
    dense = np.zeros((ROWS, COLUMNS), bool)
    row, column, _ = table.entries()
    dense[row, column] = True
    seen = np.zeros(COLUMNS)
    for _ in range(rounds):
        among = dense[rng.integers(0, ROWS, batch - 1)].any(0)
        among[rng.choice(COLUMNS, draws, p=weights / weights.sum())] = True
        seen += among
    found = sampled.log_chance(jnp.asarray(weights), jnp.arange(COLUMNS + 1), ROWS, batch, draws)
    np.testing.assert_allclose(np.exp(found[:-1]), seen / rounds, atol=0.015)
    assert found[-1] == np.inf


def test_the_normaliser_is_unbiased(table):
    """The mean over draws of sum e^y / chance, own columns once, is sum e^y over all columns."""
    rng, draws, rounds = np.random.default_rng(2), 6, 4000
    weights = np.asarray(sampled.weigh(table))
    logits = rng.normal(size=COLUMNS).astype(np.float32)
    own = np.asarray(table.columns)[: int(table.lengths()[0])]
    chance = sampled.log_chance(jnp.asarray(weights), jnp.arange(COLUMNS), ROWS, 1, draws)

    @jax.jit
    def estimate(among):
        seen = jnp.unique(jnp.append(own, among), size=COLUMNS, fill_value=COLUMNS)
        x = table.gather(jnp.array([0]), len(own)).replace(
            columns=jnp.searchsorted(seen, own),
            log_chance=chance.at[seen].get(mode="fill", fill_value=jnp.inf),
        )
        y = jnp.asarray(logits).at[seen].get(mode="fill", fill_value=0)[None]
        log_likelihood = losses.multinomial(y, x) + x.sum(x.pick(y))
        return jnp.exp(log_likelihood[0] / len(own))

    drawn = rng.choice(COLUMNS, (rounds, draws), p=weights / weights.sum())
    values = np.asarray(jax.vmap(estimate)(jnp.asarray(drawn)))
    error = values.std() / np.sqrt(rounds)
    assert abs(values.mean() - np.exp(logits).sum()) < 4 * error
    assert values.std() > 0


def test_the_choice():
    wide, narrow = sampled.WIDE, 5000
    facts = Facts(num_rows=10, num_columns=wide)
    plan = [batches.Bucket(0, 10, 1, 10, 100, 10)]
    autoencoder = models.build("multvae", {}, facts)
    auto = Settings()
    assert sampled.chosen(autoencoder, auto, plan, wide)
    assert not sampled.chosen(autoencoder, auto, plan, narrow)
    assert not sampled.chosen(autoencoder, Settings(softmax="full"), plan, wide)
    assert sampled.chosen(autoencoder, Settings(softmax="sampled"), plan, narrow)
    assert not sampled.chosen(autoencoder, Settings(candidates=wide), plan, wide)
    for name, own in (("cdae", {}), ("multvae", {"likelihood": "gaussian"})):
        other = models.build(name, own, facts)
        assert not sampled.chosen(other, auto, plan, wide)
        with pytest.raises(BadInput, match="no softmax that can be sampled"):
            sampled.chosen(other, Settings(softmax="sampled"), plan, wide)


def test_more_entries_than_32_bits_count_are_refused():
    class Large:
        num_rows, num_columns = 2, COLUMNS

        def column_counts(self):
            return np.full(COLUMNS, 2**27)  # 24 of them

    model = models.build("multdae", {}, Facts(2, COLUMNS))
    with pytest.raises(BadInput, match=r"at most 2\^31 entries"):
        sampled.make_epoch(model, optax.sgd(0.1), [], 5, Large())
