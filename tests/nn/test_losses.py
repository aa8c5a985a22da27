"""Losses against their formulas, written out in NumPy float64 over dense rows."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec.core import Table
from aerec.errors import BadInput
from aerec.nn import losses

B, N = 7, 11


@pytest.fixture
def drawn():
    """(listed [B, N] bool, values [B, N] in 1..5 where listed, y [B, N], the batch as Rows)."""
    rng = np.random.default_rng(0)
    listed = rng.random((B, N)) < 0.4
    listed[0] = False
    listed[1] = np.arange(N) == 4  # one entry
    values = np.where(listed, rng.integers(1, 6, (B, N)), 0).astype(float)
    row, column = np.nonzero(listed)
    table = Table.from_entries(row, column, values[row, column], num_rows=B, num_columns=N)
    rows = table.gather(jnp.arange(B), len(row) + 5)
    return listed, values, rng.normal(size=(B, N)), rows


def close(got, want):
    chex.assert_trees_all_close(np.asarray(got), np.asarray(want), rtol=1e-5, atol=1e-5)


def test_squared_error(drawn):
    listed, values, y, x = drawn
    total, weight = losses.squared_error(jnp.asarray(y), x)
    close(total, (listed * (values - y) ** 2).sum(1))
    close(weight, listed.sum(1))
    total, weight = losses.squared_error(jnp.asarray(y), jnp.asarray(values))
    close(total, ((values - y) ** 2).sum(1))
    close(weight, np.full(B, N))


@pytest.mark.parametrize("dense", [False, True])
def test_likelihoods(drawn, dense):
    listed, values, y, rows = drawn
    x, logits = (jnp.asarray(values) if dense else rows), jnp.asarray(y)
    log_softmax = y - np.log(np.exp(y).sum(1, keepdims=True))
    close(losses.multinomial(logits, x), -(values * log_softmax).sum(1))
    confidence = np.where(listed, 3.0, 1.0)
    close(
        losses.gaussian(logits, x, confidence=3.0),
        (confidence / 2 * (values - y) ** 2).sum(1),
    )
    close(losses.gaussian(logits, x), ((values - y) ** 2).sum(1) / 2)
    sigmoid = 1 / (1 + np.exp(-y))
    want = -(values * np.log(sigmoid) + (1 - values) * np.log(1 - sigmoid)).sum(1)
    close(losses.logistic(logits, x), want)
    close(losses.nonempty(x), listed.any(1))


def test_a_likelihood_by_its_name(drawn):
    *_, y, x = drawn
    logits = jnp.asarray(y)
    close(losses.likelihood("multinomial")(logits, x), losses.multinomial(logits, x))
    close(losses.likelihood("logistic")(logits, x), losses.logistic(logits, x))
    want = losses.gaussian(logits, x, confidence=3.0)
    close(losses.likelihood("gaussian", confidence=3.0)(logits, x), want)
    close(losses.likelihood("gaussian")(logits, x), losses.gaussian(logits, x))
    with pytest.raises(BadInput, match="likelihood='normal' is unknown"):
        losses.likelihood("normal")


def test_gaussian_kl():
    rng = np.random.default_rng(1)
    mean, log_variance = rng.normal(size=(2, B, 5))
    want = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1)
    close(losses.gaussian_kl(jnp.asarray(mean), jnp.asarray(log_variance)), want)
    close(losses.gaussian_kl(jnp.zeros((B, 5)), jnp.zeros((B, 5))), np.zeros(B))


@pytest.mark.parametrize(
    ("layers", "pretrain_steps", "levels"),
    [
        (3, 7, [0, 0, 0, 1, 1, 2, 2, 3, 3]),
        (2, 7, [0, 0, 0, 0, 1, 1, 1, 2, 2]),
        (2, 0, [2] * 9),
        (1, 7, [1] * 9),
    ],
)
def test_greedy_stages_share_out_the_first_steps(layers, pretrain_steps, levels):
    stages = [
        lambda params, x, key, level=level: (params + level, x + key) for level in range(layers + 1)
    ]
    loss = losses.greedy(stages, pretrain_steps=pretrain_steps)
    total, weight = jax.vmap(lambda step: loss(10, 2, 3, step))(jnp.arange(9))
    chex.assert_trees_all_equal(total, 10 + np.array(levels))
    chex.assert_trees_all_equal(weight, np.full(9, 5))


def test_the_weight_of_the_kl_rises_to_beta():
    weights = [float(losses.annealed(jnp.int32(step), 0.2, 10)) for step in (0, 1, 2, 3, 50)]
    np.testing.assert_allclose(weights, [0, 0.1, 0.2, 0.2, 0.2], rtol=1e-6)
    assert losses.annealed(jnp.int32(0), 0.2, 0) == 0.2


def test_an_objective_by_row_leaves_empty_rows_out():
    total, weight = losses.by_row(jnp.array([3.0, 5.0]), jnp.array([[0.0, 0.0], [0.0, 2.0]]))
    np.testing.assert_array_equal(total, [0, 5])
    np.testing.assert_array_equal(weight, [0, 1])
