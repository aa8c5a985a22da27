"""Theorem D: the local angle, its counterexamples, and the penalty that trains it away."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec.nn import activations
from aerec.properties import angle, intervals, order


def network(name, key, *, n=10, m=6):
    k_w, k_b = jax.random.split(key)
    weight = jax.random.normal(k_w, (m, n)) / n**0.5
    bias = 0.3 * jax.random.normal(k_b, (m,))
    return lambda x: activations.get(name)(weight @ x + bias)


@pytest.mark.parametrize("name", list(activations.CATALOGUE))
def test_theorem_d_local_angle_is_the_violation_rate_of_small_steps(name):
    with jax.enable_x64(True):
        encode = network(name, jax.random.key(4))
        x, u = jax.random.normal(jax.random.key(5), (2, 10), jnp.float64)
        x, u = x.astype(jnp.float64), u.astype(jnp.float64)
        theta, flat = angle.local_angle(encode, x, u)
        assert not flat
        steps = 1e-7 * jax.random.normal(jax.random.key(6), (40_000, 10), jnp.float64)
        true = steps @ x
        latent = jax.vmap(lambda d: order.margin(encode, x, u + d, u))(steps)
        wrong = int(jnp.sum(true * latent < 0))
    low, high = intervals.clopper_pearson(wrong, 40_000, confidence=0.9999)
    assert low <= float(theta) / np.pi <= high


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "swish"])
def test_theorem_d_counterexample_raises_the_true_score_and_lowers_the_latent(name):
    with jax.enable_x64(True):
        encode = network(name, jax.random.key(7))
        x, u = (jax.random.normal(jax.random.key(s), (10,), jnp.float64) for s in (8, 9))
        v = angle.counterexample(x, u, angle.pullback(encode, x, u), step=1e-4)
        assert x @ (v - u) > 0
        assert order.margin(encode, x, v, u) < 0


def test_theorem_d_linear_encoders_pull_back_to_tied_reconstruction():
    weight = jax.random.normal(jax.random.key(0), (4, 9))
    x, u = jax.random.normal(jax.random.key(1), (2, 9))
    pulled = angle.pullback(lambda z: weight @ z, x, u)
    chex.assert_trees_all_close(pulled, weight.T @ (weight @ x), rtol=1e-5)


def test_order_penalty_trains_a_linear_encoder_towards_an_isometry():
    weight = jax.random.normal(jax.random.key(0), (8, 8))
    pairs = jax.random.normal(jax.random.key(1), (2, 64, 8))

    @jax.jit
    def loss(w):
        return jax.vmap(lambda x, u: angle.order_penalty(lambda z: w @ z, x, u))(*pairs).mean()

    start = loss(weight)
    descend = jax.jit(lambda w: w - 0.5 * jax.grad(loss)(w))
    for _ in range(300):
        weight = descend(weight)
    assert loss(weight) < 0.02 < 0.1 < start


def test_order_penalty_is_finite_where_the_encoder_is_flat():
    value, slope = jax.value_and_grad(
        lambda w: angle.order_penalty(lambda z: jax.nn.relu(w @ z), -jnp.ones(3), jnp.ones(3))
    )(-jnp.ones((2, 3)))
    assert value == 1.0 and not jnp.isnan(slope).any()
    assert angle.local_angle(lambda z: 0 * z, jnp.ones(3), jnp.ones(3))[1]


def test_angle_distribution_reports_rate_and_flat_share():
    x, u = jax.random.normal(jax.random.key(0), (2, 500, 6))
    half = angle.distribution(lambda z: jnp.where(z[0] > 0, z, 0.0), x, u)
    assert half["flat"] == pytest.approx(0.75, abs=0.07)
    assert half["rate"] == pytest.approx(0.0, abs=1e-4)
