"""Intervals, baselines, skill, rank correlation and overlap against arithmetic written out here."""

import jax
import numpy as np
import pytest
from scipy.stats import binom

from aerec.properties import order, rates


def test_clopper_pearson_inverts_the_binomial_tails():
    for n in (1, 2, 7, 200):
        for k in {0, 1, 2, n // 2, n - 1, n}:
            if k > n:
                continue
            low, high = rates.clopper_pearson(k, n)
            assert low <= k / n <= high
            assert low == 0.0 if k == 0 else binom.sf(k - 1, n, low) == pytest.approx(0.025)
            assert high == 1.0 if k == n else binom.cdf(k, n, high) == pytest.approx(0.025)


def test_clopper_pearson_of_no_violation_and_of_nonsense():
    n = 2_000_000
    assert rates.clopper_pearson(0, n)[1] == pytest.approx(1 - 0.025 ** (1 / n), rel=1e-9)
    for k, n in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=f"{k} violations of {n} triples is not a rate"):
            rates.clopper_pearson(k, n)


def test_bootstrap_is_over_users_and_reproducible():
    draw = np.random.default_rng(0)
    users = draw.beta(2, 5, 400)
    of = np.full(400, 10_000)
    wrong = draw.binomial(of, users)
    low, high = rates.bootstrap(wrong, of, jax.random.key(0))
    assert (low, high) == rates.bootstrap(wrong, of, jax.random.key(0))
    half = 1.96 * (wrong / of).std() / 20
    assert high - low == pytest.approx(2 * half, rel=0.15)  # far wider than 4e6 trials' interval


@pytest.mark.parametrize(
    ("confidence", "expected"), [(0.4, (1 / 4, 1 / 4)), (0.6, (0.0, 1.0)), (0.95, (0.0, 1.0))]
)
def test_bootstrap_of_two_users_has_three_rates(confidence, expected):
    """Both drawn are the first (rate 1, probability 1/4), one of each (1 of 4), or the second."""
    key = jax.random.key(0)
    assert rates.bootstrap([1, 0], [1, 3], key, confidence=confidence) == expected


def test_bootstrap_without_spread_is_clopper_pearson_of_the_users():
    of, key = np.array([3, 4, 5, 6]), jax.random.key(0)
    for wrong, k in ((0 * of, 0), (of, 4)):
        found = rates.bootstrap(wrong, of, key, confidence=0.9)
        assert found == rates.clopper_pearson(k, 4, confidence=0.9)


def test_projection_baseline_and_its_finite_dimension_value():
    assert rates.projection_baseline(100, 25) == pytest.approx(1 / 3)
    for n, m in ((8, 8), (8, 9)):
        assert rates.projection_baseline(n, m) == 0.0
        assert rates.projection_baseline(n, m, asymptotic=False) == 0.0
    # the cosine of the angle is uniform for a line in 3 dimensions, its square for a plane in 4
    for n, m, angle in ((2, 1, np.pi / 4), (3, 1, 1.0), (4, 2, np.pi / 4)):
        found = rates.projection_baseline(n, m, asymptotic=False)
        assert found == pytest.approx(angle / np.pi, abs=1e-9)


def test_loss_and_skill_count_a_latent_tie_half():
    constant = order.Tally(0, 0, 0, 10, 5)
    perfect, opposite = order.Tally(10, 0, 0, 0, 0), order.Tally(0, 10, 0, 0, 0)
    assert [rates.skill(t) for t in (constant, perfect, opposite)] == [0.0, 1.0, -1.0]
    mixed, unordered = order.Tally(1, 3, 6, 4, 7), order.Tally(0, 0, 6, 0, 7)
    assert rates.loss(mixed) == (3 + 4 / 2) / 8
    assert rates.skill(mixed, 0.25) == 1 - (5 / 8) / 0.25
    assert np.isnan([rates.loss(unordered), rates.skill(mixed, 0.0)]).all()


def test_tau_b_per_user():
    """Of the second user 9 pairs are ordered by the true scores, 16 by the latent ones."""
    users = order.Tally(*np.array([[75, 3, 0], [25, 1, 0], [0, 12, 0], [0, 5, 10], [0, 2, 5]]))
    np.testing.assert_allclose(rates.tau_b(users), [0.5, (3 - 1) / (3 * 4), np.nan], rtol=1e-15)


def test_overlap_of_the_best():
    true = np.array([[5.0, 4, 3, 2, 1], [1, 1, 1, 1, 1]])
    latent = np.array([[1.0, 4, 3, 2, 5], [0, 0, 0, 0, 0]])
    for k, expected in ((1, [0.0, 1.0]), (2, [0.5, 1.0]), (5, [1.0, 1.0])):
        np.testing.assert_array_equal(rates.overlap(true, latent, k=k), expected)
    for k in (0, 6):
        with pytest.raises(ValueError, match=f"top {k} of 5 items"):
            rates.overlap(true, latent, k=k)
