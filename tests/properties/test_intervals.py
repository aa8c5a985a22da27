"""Intervals: the binomial tails, sums of exponentials, and coverage by simulation."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from aerec.properties import intervals

USERS = (20, 64, 200, 1000)
Z = norm.ppf(0.975)


def test_clopper_pearson_inverts_the_binomial_tails():
    for n in (1, 2, 7, 200):
        for k in {0, 1, 2, n // 2, n - 1, n}:
            if k > n:
                continue
            low, high = intervals.clopper_pearson(k, n)
            assert low <= k / n <= high
            assert low == 0.0 if k == 0 else binom.sf(k - 1, n, low) == pytest.approx(0.025)
            assert high == 1.0 if k == n else binom.cdf(k, n, high) == pytest.approx(0.025)


def test_clopper_pearson_of_no_violation_and_of_nonsense():
    n = 2_000_000
    assert intervals.clopper_pearson(0, n)[1] == pytest.approx(1 - 0.025 ** (1 / n), rel=1e-9)
    for k, n in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=f"{k} violations of {n} triples is not a rate"):
            intervals.clopper_pearson(k, n)


@pytest.mark.parametrize("n", USERS)
def test_clopper_pearson_covers_every_rate(n):
    """Its coverage, exactly: the sum of the probabilities of the counts whose interval covers."""
    ends = np.array([intervals.clopper_pearson(k, n) for k in range(n + 1)])
    rates = np.concatenate([[1e-4, 1e-3, 0.01], np.linspace(0.02, 0.98, 49)])
    for rate in rates:
        inside = (ends[:, 0] <= rate) & (rate <= ends[:, 1])
        assert binom.pmf(np.arange(n + 1), n, rate)[inside].sum() >= 0.95


def test_users_that_violate_all_or_nothing_are_binomial():
    for n in (5, 20, 64, 1000):
        for k in {0, 1, 2, 4, n // 2, n}:
            low, high = intervals.over_users(np.arange(n) < k)
            exact = intervals.clopper_pearson(k, n)
            assert high == pytest.approx(exact[1], rel=0.007)
            assert low == pytest.approx(exact[0], rel=0.03)
            # where the approximation is too narrow at all, it is by less than a thousandth
            assert low <= 1.001 * exact[0] and exact[1] <= 1.001 * high
    assert intervals.over_users(np.zeros(64))[1] == pytest.approx(0.0560, abs=4e-4)


def passes(values, weights, added, mean):
    """P(the exponentially weighted mean > mean): a sum of a_i E_i, all a_i different."""
    terms = np.append(weights, max(weights)) * (np.append(values, added) - mean)
    others = [np.prod(a / (a - np.delete(terms, i))) for i, a in enumerate(terms)]
    return np.sum(others, where=terms > 0)


def test_unequal_users_have_the_tails_of_a_sum_of_exponentials():
    draw = np.random.default_rng(0)
    for users in (1, 2, 4, 6):
        values, weights = draw.uniform(size=users), draw.uniform(size=users)
        for confidence in (0.9, 0.99):
            tail = (1 - confidence) / 2
            low, high = intervals.over_users(values, weights, confidence=confidence)
            assert passes(values, weights, 1, high) == pytest.approx(tail, rel=0.1)
            assert 1 - passes(values, weights, 0, low) == pytest.approx(tail, rel=0.1)


def test_an_interval_depends_on_neither_order_nor_unit_nor_users_without_triples():
    values, weights = np.random.default_rng(1).uniform(size=(2, 30))
    expected = intervals.over_users(values, weights)
    assert intervals.over_users(values[::-1], 1e6 * weights[::-1]) == pytest.approx(expected)
    more = np.append(values, [np.nan, 0.0, 1.0]), np.append(weights, [1.0, 0.0, 0.0])
    assert intervals.over_users(*more) == pytest.approx(expected)
    low, high = intervals.over_users(1 - values, weights)
    assert (1 - high, 1 - low) == pytest.approx(expected)
    np.testing.assert_allclose(intervals.over_users(values, np.ones(30)),
                               intervals.over_users(values))  # fmt: skip


def test_an_interval_of_many_users_is_the_normal_one():
    values = np.random.default_rng(2).beta(2, 5, 20_000)
    low, high = intervals.over_users(values)
    half = Z * values.std() / np.sqrt(20_000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 20)


def test_an_interval_of_extremes_and_of_nobody():
    assert intervals.over_users([]) == intervals.over_users([np.nan]) == (0.0, 1.0)
    assert intervals.over_users([0.5, 0.5], [0, 0]) == (0.0, 1.0)
    for value, exact in ((0.0, (0.0, 1 - 0.025**0.2)), (1.0, (0.025**0.2, 1.0))):
        assert intervals.over_users([value] * 5) == pytest.approx(exact, abs=3e-3)
    tiny = intervals.over_users([1e-300] * 4 + [1 - 1e-15], [1, 1, 1, 1, 1e-9])
    assert 0 <= tiny[0] < tiny[1] < 1
    low, high = intervals.over_users([1 - 1e-11], confidence=1 - 1e-9)
    assert low < 1 - 1e-11 < high <= 1


def test_values_that_are_no_rates_are_refused():
    for values, weights, wrong in (
        ([0.5, 1.5], None, "outside"), ([-0.1], None, "outside"), ([0.5], [-1], "negative"),
        ([0.5], [np.inf], "not finite"), ([0.5], [np.nan], "not finite"),
        ([0.5], [1, 2], r"not \[U\]"), (0.5, None, r"not \[U\]"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=wrong):
            intervals.over_users(values, weights)
    for confidence in (0.4, 1.0, np.nan):
        with pytest.raises(ValueError, match="confidence"):
            intervals.over_users([0.5], confidence=confidence)


def beta(a, b):
    return lambda draw, shape: (draw.beta(a, b, shape), np.ones(shape)), a / (a + b)


def rare(draw, shape):
    return (draw.uniform(size=shape) < 1 / 200).astype(float), np.ones(shape)


def clustered(draw, shape):
    """The users with more triples violate more: the pooled rate is 1/4 and 3/4 of two means."""
    weights = draw.uniform(size=shape)
    return draw.beta(np.where(weights < 0.5, 0.02, 0.1), 2), weights


def lognormal(draw, shape):
    return draw.beta(0.02, 2, shape), draw.lognormal(size=shape)


POPULATIONS = {
    "balanced": beta(2, 2),
    "beta(.02, 2)": beta(0.02, 2),
    "one of 200": (rare, 1 / 200),
    "clustered": (clustered, (0.02 / 2.02 + 3 * 0.1 / 2.1) / 4),
    "lognormal": (lognormal, 0.02 / 2.02),
}


def coverage(name, users, times, seed):
    """Shares of samples whose interval covers the mean, and whose upper end does."""
    population, mean = POPULATIONS[name]
    values, weights = population(np.random.default_rng(seed), (times, users))
    weights = weights / weights.max(axis=1, keepdims=True)

    def reaches(values, mean):
        added = (np.sum(weights * values, axis=1) + 1) / (np.sum(weights, axis=1) + 1)
        rows = zip(values, weights, added, strict=True)
        return np.array([mean <= a or intervals._deviate(v, w, mean) <= Z for v, w, a in rows])

    upper, lower = reaches(values, mean), reaches(1 - values, 1 - mean)
    return np.mean(upper & lower), np.mean(upper)


def test_the_ends_are_where_the_deviate_is_the_nominal_one():
    """So the coverage below, which does not search for the ends, is that of the interval."""
    values, weights = lognormal(np.random.default_rng(4), 50)
    low, high = intervals.over_users(values, weights)
    for ends, end in ((values, high), (1 - values, 1 - low)):
        assert intervals._deviate(ends, weights / weights.max(), end) == pytest.approx(Z, abs=1e-6)


@pytest.mark.parametrize("name", POPULATIONS)
def test_intervals_cover_their_nominal_share_less_two_points(name):
    for users in USERS:
        both, upper = coverage(name, users, 600, users)
        assert both >= 0.93 and upper >= 0.955


@pytest.mark.slow
@pytest.mark.parametrize("users", USERS)
@pytest.mark.parametrize("name", POPULATIONS)
def test_coverage_and_median_width(name, users):
    both, upper = coverage(name, users, 4000, users)
    draw = np.random.default_rng(users)
    rows = zip(*POPULATIONS[name][0](draw, (200, users)), strict=True)
    ends = np.array([intervals.over_users(*row) for row in rows])
    width, end = np.median(ends[:, 1] - ends[:, 0]), np.median(ends[:, 1])
    print(f"\n{name:13}{users:5} users: coverage {both:.3f}, of the upper end {upper:.3f}, "
          f"median width {width:.4f}, median upper end {end:.4f}")  # fmt: skip
    assert both >= 0.93 and upper >= 0.955
