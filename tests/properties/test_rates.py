"""Baselines, skill, rank correlation and precision against arithmetic written out here."""

import itertools

import numpy as np
import pytest
from scipy import stats

from aerec.properties import counting, order, rates


def test_projection_baseline_and_its_finite_dimension_value():
    assert rates.projection_baseline(100, 25) == pytest.approx(1 / 3)
    for n, m in ((8, 8), (8, 9)):
        assert rates.projection_baseline(n, m) == 0.0
        assert rates.projection_baseline(n, m, asymptotic=False) == 0.0
    # the cosine of the angle is uniform for a line in 3 dimensions, its square for a plane in 4
    for n, m, angle in ((2, 1, np.pi / 4), (3, 1, 1.0), (4, 2, np.pi / 4)):
        found = rates.projection_baseline(n, m, asymptotic=False)
        assert found == pytest.approx(angle / np.pi, abs=1e-9)


def test_how_far_the_asymptotic_baseline_is_below_the_exact_one():
    for n, m in ((40, 10), (200, 20), (200, 150), (1000, 300)):
        exact = rates.projection_baseline(n, m, asymptotic=False)
        error = (1 - 2 * m / n) / (4 * np.pi * np.sqrt(m * (n - m)))
        assert exact - rates.projection_baseline(n, m) == pytest.approx(error, rel=0.1)
    # of fixed rank: four times the dimension, half of the error and not a quarter
    few, many = (
        rates.projection_baseline(n, 2, asymptotic=False) - rates.projection_baseline(n, 2)
        for n in (1000, 4000)
    )
    assert many / few == pytest.approx(1 / 2, rel=0.01)


@pytest.mark.parametrize(
    ("n", "m", "k"), [(5, 1, 2), (6, 2, 1), (8, 3, 2), (12, 5, 4), (12, 8, 9)]
)
def test_the_rates_of_projections_of_a_history_are_met_by_simulation(n, m, k):
    times = 10_000
    matrix = np.random.default_rng(n + m).normal(size=(times, n, m))
    user, pair = np.arange(n) < k, np.eye(n)[0] - np.eye(n)[-1]
    for maps, expected in (
        (matrix, rates.random_projection_rate(m, k)),
        (np.linalg.qr(matrix)[0], rates.orthogonal_projection_rate(n, m, k)),
    ):
        margins = np.sum((user @ maps) * (pair @ maps), axis=-1)
        error = np.sqrt(expected * (1 - expected) / times)
        assert np.mean(margins < 0) == pytest.approx(expected, abs=3.5 * error)


def test_the_rates_of_projections_where_they_have_a_closed_form():
    k = np.array([1, 2, 5, 40])
    cosine = 1 / np.sqrt(2 * k)
    angle = np.arccos(cosine)
    # onto a line: reversed if the line passes between the two normal planes, whatever n is
    np.testing.assert_allclose(rates.random_projection_rate(1, k), angle / np.pi)
    for n in (2, 3, 50):
        found = rates.orthogonal_projection_rate(n, 1, k)
        np.testing.assert_allclose(found, angle / np.pi, atol=1e-9)
    # Student's t of two degrees of freedom: (1 - cos th) / 2
    np.testing.assert_allclose(rates.random_projection_rate(2, k), (1 - cosine) / 2)
    np.testing.assert_array_equal(rates.orthogonal_projection_rate(7, 7, k), 0 * k)
    assert rates.orthogonal_projection_rate(7, 8, 1) == 0.0


def test_a_length_that_is_no_integer_stands_for_any_angle():
    """k = 1 / (2 cos^2): the rate is at most sin^m / 2, and 0 for parallel vectors."""
    angle = np.linspace(0.05, 1.5, 30)
    for m in (1, 3, 20):
        found = rates.random_projection_rate(m, 1 / (2 * np.cos(angle) ** 2))
        np.testing.assert_allclose(found, stats.t.cdf(-np.sqrt(m) / np.tan(angle), m), rtol=1e-9)
        assert (found <= np.sin(angle) ** m / 2 * (1 + 1e-9)).all()
        assert rates.random_projection_rate(m, 0.5) == 0.0
    # in a wide space the rows of the matrix are nearly orthogonal
    wide = rates.orthogonal_projection_rate(100_000, 4, np.array([1, 3, 10]))
    np.testing.assert_allclose(wide, rates.random_projection_rate(4, [1, 3, 10]), rtol=1e-3)
    for m, k in ((0, 1), (3, 0.4), (3, [2, np.nan])):
        with pytest.raises(ValueError, match="no rate"):
            rates.random_projection_rate(m, k)
        with pytest.raises(ValueError, match="no rate"):
            rates.orthogonal_projection_rate(9, m, k)


def test_the_margin_that_is_safe():
    for m, triples in ((1, 1), (10, 1000), (200, 10**10)):
        delta = rates.safe_margin(m, triples, failure=0.01)
        chance = rates.random_projection_rate(m, 1 / (2 * delta**2))
        assert triples * chance == pytest.approx(0.01, rel=1e-6)
        assert delta <= np.sqrt(2 * np.log(triples / (2 * 0.01)) / m)
    assert rates.safe_margin(5, 1, failure=0.5) == rates.safe_margin(5, 1, failure=0.9) == 0.0
    for m, triples, failure in ((0, 1, 0.1), (1, 0, 0.1), (1, 1, 0.0), (1, 1, 1.0)):
        with pytest.raises(ValueError, match="no margin"):
            rates.safe_margin(m, triples, failure=failure)


def test_loss_and_skill_count_a_latent_tie_half():
    constant = order.Tally(0, 0, 0, 10, 5)
    perfect, opposite = order.Tally(10, 0, 0, 0, 0), order.Tally(0, 10, 0, 0, 0)
    assert [rates.skill(t) for t in (constant, perfect, opposite)] == [0.0, 1.0, -1.0]
    mixed, unordered = order.Tally(1, 3, 6, 4, 7), order.Tally(0, 0, 6, 0, 7)
    assert rates.loss(mixed) == (3 + 4 / 2) / 8
    assert rates.skill(mixed, 0.25) == 1 - (5 / 8) / 0.25
    assert np.isnan([rates.loss(unordered), rates.auc(unordered), rates.skill(mixed, 0.0)]).all()


def test_auc_is_mann_whitneys_and_skill_somers_d():
    draw = np.random.default_rng(3)
    listed = draw.uniform(size=(20, 30)) < 0.2
    listed[0] = False
    latent = draw.integers(0, 6, listed.shape) + 2.0 * listed
    counts = counting.count_rows(listed, latent)
    found, somers = rates.auc(counts), rates.skill(counts)
    assert np.isnan([found[0], somers[0]]).all()
    for row in range(1, 20):
        here, scores = listed[row], latent[row]
        won = stats.mannwhitneyu(scores[here], scores[~here]).statistic
        assert found[row] == pytest.approx(won / (here.sum() * (~here).sum()))
        # the independent variable of Somers' D is the truth: its ties are left out
        assert somers[row] == pytest.approx(stats.somersd(here.astype(int), scores).statistic)
    pooled = rates.auc(order.Tally(*(part.sum() for part in counts)))
    assert pooled == pytest.approx(np.average(found[1:], weights=counts.ordered[1:]))


def test_tau_b_per_user():
    """Of the second user 9 pairs are ordered by the true scores, 16 by the latent ones.

    The codes of the third rank nothing. The truth ranks nothing for the fourth and the fifth.
    """
    users = order.Tally(*np.array([
        [75, 3, 0, 0, 0], [25, 1, 0, 0, 0], [0, 12, 0, 3, 0], [0, 5, 10, 0, 0], [0, 2, 5, 0, 6],
    ]))  # fmt: skip
    expected = [0.5, (3 - 1) / (3 * 4), 0.0, np.nan, np.nan]
    np.testing.assert_allclose(rates.tau_b(users), expected, rtol=1e-15)


def test_precision_is_the_mean_over_all_orders_of_ties():
    draw = np.random.default_rng(4)
    listed = draw.integers(0, 2, (12, 6))
    listed[0] = 0
    latent = draw.integers(0, 3, (12, 6)).astype(float)
    latent[1] = 1.0  # flat: the share of listed items
    orders = np.array(list(itertools.permutations(range(6))))
    for k in (1, 2, 4, 6):
        found = rates.precision_at(listed, latent, k=k)
        assert np.isnan(found[0])
        assert found[1] == pytest.approx(listed[1].mean())
        for row in range(1, 12):
            best = np.argsort(-latent[row][orders], axis=1, kind="stable")[:, :k]
            items = np.take_along_axis(orders, best, axis=1)
            assert found[row] == pytest.approx(listed[row][items].mean())


def test_precision_ties_scores_within_a_share_of_the_largest():
    listed, latent = [[0, 0, 1, 0]], [[-100.0, 3.0, 3.5, 4.2]]
    for ties, expected in ((0.0, 0.0), (0.006, 0.0), (0.008, 0.5), (0.02, 1 / 3)):
        assert rates.precision_at(listed, latent, k=1, ties=ties) == pytest.approx(expected)
    assert rates.precision_at(listed, latent, k=2, ties=0.006) == pytest.approx(1 / 4)
    for k in (0, 5):
        with pytest.raises(ValueError, match=f"top {k} of 4 items"):
            rates.precision_at(listed, latent, k=k)


def test_precision_of_shared_places_does_not_pass_one():
    """However many items tie; the share of a place is no float that is divided twice."""
    for count in range(10, 120):
        scores = np.zeros((1, count))
        assert rates.precision_at(scores + 1, scores, k=10) == 1.0
