"""Margins, rates, domains and vacuity against arithmetic written out here."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerec.nn import activations
from aerec.properties import angle, encoder, order, rates, samplers, vacuity

DOMAINS = {
    "gaussian": samplers.gaussian(12),
    "sphere": samplers.sphere(12),
    "ball": samplers.ball(12, radius=2.0),
    "box": samplers.box(np.full(12, -1.0), np.full(12, 2.0)),
    "binary": samplers.binary(12, density=0.3),
    "swaps": samplers.swaps(12, density=0.3),
    "ratings": samplers.ratings(12, density=0.3),
    "hull": samplers.hull(np.random.default_rng(0).normal(size=(30, 12))),
    "empirical": samplers.empirical(np.eye(12), np.ones((5, 12))),
    "stratified": samplers.stratified(12),
    "ties": samplers.ties(12),
    "orthogonal": samplers.orthogonal(12),
}


def test_margin_is_the_difference_of_two_scores():
    x, u, v = jnp.array([1.0, 2.0]), jnp.array([3.0, -1.0]), jnp.array([0.5, 0.5])
    assert order.margin(lambda z: z, x, u, v) == (3 - 2) - (0.5 + 1)
    assert order.margin(lambda z: 2 * z, x, u, v) == 4 * ((3 - 2) - (0.5 + 1))
    cosine = 1 / (5**0.5 * 10**0.5) - 1.5 / (5**0.5 * 0.5**0.5)
    assert order.margin(lambda z: z, x, u, v, kind="cosine") == pytest.approx(cosine, rel=1e-6)
    with pytest.raises(ValueError, match="cosine"):
        order.margin(lambda z: z, x, u, v, kind="euclid")


def test_margin_takes_pytrees():
    x, u, v = ({"a": jnp.full(2, s), "b": jnp.full(3, 2.0 * s)} for s in (1.0, 2.0, 3.0))
    assert order.margin(lambda t: t, x, u, v) == (2 * 2 + 3 * 8) - (2 * 3 + 3 * 12)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("kind", ["dot", "cosine"])
def test_relative_margins_do_not_see_scale(scale, kind):
    x, u, v = jax.random.normal(jax.random.key(0), (3, 50, 8))
    plain = order.relative_margin(x, u, v, kind=kind)
    chex.assert_trees_all_close(
        order.relative_margin(scale * x, scale * u, scale * v, kind=kind), plain, atol=1e-6
    )
    assert abs(plain).max() <= 2.0
    if kind == "dot":
        norm = np.linalg.norm
        size = norm(x, axis=1) * np.maximum(norm(u, axis=1), norm(v, axis=1))
        chex.assert_trees_all_close(plain, jnp.sum(x * (u - v), axis=1) / size, atol=1e-6)


def test_tally_counts_nine_cases_and_jax_agrees_with_numpy():
    margins = np.random.default_rng(0).choice([-0.5, -0.01, 0.0, 0.02, 0.7], (2, 4000))
    margins = margins.astype(np.float32)
    host = order.tally(*margins, true_ties=0.1, latent_ties=0.015)
    device = order.tally(*map(jnp.asarray, margins), true_ties=0.1, latent_ties=0.015)
    np.testing.assert_array_equal(host, device)
    t, z = (np.where(abs(m) <= r, 0, np.sign(m)) for m, r in zip(margins, (0.1, 0.015)))  # noqa: B905
    tally = order.summary(host)
    assert tally == (
        (t * z > 0).sum(), (t * z < 0).sum(), ((t == 0) & (z != 0)).sum(),
        ((t != 0) & (z == 0)).sum(), ((t == 0) & (z == 0)).sum(),
    )  # fmt: skip
    assert tally.total == 4000
    assert tally.violations == tally.reversed_ + tally.broken
    assert sum(order.curve(host)["triples"]) == 4000


@given(st.integers(0, 200), st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_clopper_pearson_inverts_the_binomial_tails(k, n):
    from scipy.stats import binom

    k = min(k, n)
    low, high = rates.clopper_pearson(k, n)
    assert low <= k / n <= high
    if k:
        assert binom.sf(k - 1, n, low) == pytest.approx(0.025, rel=1e-6)
    if k < n:
        assert binom.cdf(k, n, high) == pytest.approx(0.025, rel=1e-6)


def test_clopper_pearson_of_no_violation_and_of_nonsense():
    n = 2_000_000
    assert rates.clopper_pearson(0, n)[1] == pytest.approx(1 - 0.025 ** (1 / n), rel=1e-9)
    with pytest.raises(ValueError, match="not a rate"):
        rates.clopper_pearson(3, 2)


def test_bootstrap_is_over_users_and_reproducible():
    draw = np.random.default_rng(0)
    users = draw.beta(2, 5, 400)
    of = np.full(400, 10_000)
    wrong = draw.binomial(of, users)
    low, high = rates.bootstrap(wrong, of, jax.random.key(0))
    assert (low, high) == rates.bootstrap(wrong, of, jax.random.key(0))
    half = 1.96 * (wrong / of).std() / 20
    assert high - low == pytest.approx(2 * half, rel=0.15)  # far wider than 4e6 trials' interval


def test_projection_baseline_and_its_finite_dimension_value():
    assert rates.projection_baseline(100, 25) == pytest.approx(1 / 3)
    assert rates.projection_baseline(8, 8) == 0.0
    assert rates.projection_baseline(2, 1, asymptotic=False) == pytest.approx(0.25, abs=1e-9)


def test_skill_and_tau_of_known_tallies():
    constant = order.Tally(0, 0, 0, 10, 5)
    perfect, opposite = order.Tally(10, 0, 0, 0, 0), order.Tally(0, 10, 0, 0, 0)
    assert [rates.skill(t) for t in (constant, perfect, opposite)] == [0.0, 1.0, -1.0]
    quarter = order.Tally(75, 25, 0, 0, 0)
    assert rates.skill(quarter) == 1 - 0.25 / 0.5
    assert rates.tau_b(quarter) == 0.5
    assert np.isnan(rates.tau_b(constant))


def test_overlap_of_the_best():
    true = np.array([[5.0, 4, 3, 2, 1], [1, 1, 1, 1, 1]])
    latent = np.array([[1.0, 4, 3, 2, 5], [0, 0, 0, 0, 0]])
    np.testing.assert_allclose(rates.overlap(true, latent, k=2), [0.5, 1.0])
    with pytest.raises(ValueError, match="top 6 of 5"):
        rates.overlap(true, latent, k=6)


@pytest.mark.parametrize("name", list(DOMAINS))
def test_domains_draw_what_they_contain(name):
    domain = DOMAINS[name]
    x, u, v = domain.triples(jax.random.key(1), 64)
    again = domain.triples(jax.random.key(1), 64)
    for a, b in zip((x, u, v), again, strict=True):
        chex.assert_shape(a, (64, 12))
        np.testing.assert_array_equal(a, b)
        assert domain.contains(np.asarray(a, np.float64)).all()
    if domain.crossing is None:
        points = domain.points(jax.random.key(2), 9)
        way = jax.random.normal(jax.random.key(3), (9, 12))
        moved = np.asarray(domain.step(points, way, 0.5), np.float64)
        assert domain.contains(moved).all()


def test_special_triples_are_what_they_say():
    k_ties, k_orthogonal, k_swaps, k_margins = jax.random.split(jax.random.key(0), 4)
    x, u, v = DOMAINS["ties"].triples(k_ties, 64)
    assert abs(order.relative_margin(x, u, v)).max() < 1e-6
    x, u, v = DOMAINS["orthogonal"].triples(k_orthogonal, 64)
    assert not v.any() and abs(order.relative_margin(x, u, v)).max() < 1e-6
    x, u, v = DOMAINS["swaps"].triples(k_swaps, 64)
    moved = abs(np.asarray(u - v)).sum(axis=1)
    assert set(moved.tolist()) <= {0.0, 2.0} and (moved == 2).mean() > 0.9
    np.testing.assert_array_equal(np.asarray(u).sum(axis=1), np.asarray(v).sum(axis=1))
    x, u, v = samplers.stratified(12).triples(k_margins, 4000)
    sizes = np.log10(abs(np.asarray(jnp.sum(x * (u - v), axis=1)
                     / jnp.linalg.norm(x, axis=1) / jnp.linalg.norm(u, axis=1))))  # fmt: skip
    counts = np.histogram(sizes, bins=np.arange(-5, 0.5))[0]
    assert counts.min() > 600


def test_the_hull_leaves_out_what_is_outside():
    square = samplers.hull([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    points = np.array([[0.5, 0.5], [0.9, 0.1], [1.1, 0.5], [-0.01, 0.0]])
    assert square.contains(points).tolist() == [True, True, False, False]


def test_data_domains_refuse_what_makes_no_triple():
    with pytest.raises(ValueError, match="do not make triples"):
        samplers.empirical(np.ones((3, 4)), np.ones((1, 4)))
    with pytest.raises(ValueError, match="box"):
        samplers.box(np.ones(2), np.zeros(2))
    with pytest.raises(ValueError, match="density"):
        samplers.binary(4, density=0.0)


def test_vacuity_of_constant_nearly_constant_and_honest_codes():
    codes = np.random.default_rng(0).normal(size=(300, 6))
    honest = vacuity.measure(codes, codes, tolerance=1e-5)
    assert not honest.collapsed and honest.effective_rank > 5.5 and honest.from_constant > 0.9
    rank_one = vacuity.measure(codes, codes[:, :1] * np.ones(6), tolerance=1e-5)
    assert rank_one.effective_rank == pytest.approx(1.0, abs=1e-6)
    for constant in (np.ones((300, 6)), 1e20 + 0 * codes, np.zeros((300, 6)), 1 + 1e-7 * codes):
        found = vacuity.measure(constant, constant, tolerance=1e-5)
        assert found.collapsed and found.effective_rank == 0.0 and found.from_constant < 1e-6
        assert found.tie_share == 1.0
    tiny = vacuity.measure(1e-20 * codes, 1e-20 * codes, tolerance=1e-5)
    assert tiny.spread == pytest.approx(honest.spread)


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
    low, high = rates.clopper_pearson(wrong, 40_000, confidence=0.9999)
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


def test_encoders_of_every_kind_are_wrapped():
    weight = np.random.default_rng(0).normal(size=(3, 5))
    x = np.random.default_rng(1).normal(size=(7, 5))
    ways = {
        "jax": encoder.wrap(lambda z: jnp.asarray(weight, z.dtype) @ z, 5),
        "rows": encoder.wrap(lambda z: z @ jnp.asarray(weight, z.dtype).T, 5, batched=True),
        "numpy": encoder.wrap(lambda z: weight @ np.asarray(z), 5),
        "numpy rows": encoder.wrap(lambda z: np.asarray(z) @ weight.T, 5, batched=True),
        "pytree": encoder.wrap(
            lambda t: {"z": jnp.asarray(weight) @ jnp.concatenate([t["a"], t["b"]])},
            {"a": np.zeros(2), "b": np.zeros(3)},
        ),
    }  # fmt: skip
    for name, wrapped in ways.items():
        assert (wrapped.n, wrapped.m) == (5, 3)
        assert wrapped.traceable == (not name.startswith("numpy"))
        np.testing.assert_allclose(
            wrapped.native(x.astype(np.float32)), x @ weight.T, rtol=1e-4, atol=1e-5
        )
        tight = 1e-6 if name == "pytree" else 1e-12
        np.testing.assert_allclose(wrapped.exact(x), x @ weight.T, rtol=tight, atol=tight)


def test_an_encoder_that_draws_random_numbers_is_refused():
    draw = np.random.default_rng(0)
    with pytest.raises(ValueError, match="not a function"):
        encoder.wrap(lambda z: np.asarray(z) + draw.normal(size=4), 4)
