"""Capacity, margins and the constructions of T5 against enumeration and arithmetic."""

import itertools
import math

import numpy as np
import pytest
import scipy.optimize

from aerec.properties import geometry, reachability


@pytest.mark.parametrize(
    ("n", "d", "orders"), [(4, 2, 12), (5, 2, 20), (4, 3, 24), (5, 3, 72), (5, 4, 120), (2, 1, 2)]
)
def test_capacity_is_that_of_the_published_table(n, d, orders):
    found, everything = geometry.capacity(n, d)
    assert 2**found == pytest.approx(orders)
    assert 2**everything == pytest.approx(math.factorial(n))


@pytest.mark.parametrize(("n", "d"), [(4, 1), (5, 2), (5, 3)])
def test_capacity_counts_the_orders_of_points_in_general_position(n, d):
    points = np.random.default_rng(n + d).normal(size=(n, d))
    orders = 0
    for order in itertools.permutations(range(n)):
        steps = np.diff(points[list(order)], axis=0)  # an order is expressed if q rises at each
        rises = scipy.optimize.linprog(np.zeros(d), -steps, -np.ones(n - 1), bounds=(None, None))
        orders += rises.status == 0
    assert 2 ** geometry.capacity(n, d)[0] == pytest.approx(orders)


def test_capacity_of_a_catalogue():
    table = [0] + [2] * 7  # T(2, d), exactly
    for n in range(2, 40):
        table = [0] + [table[d] + n * table[d - 1] for d in range(1, 8)]
    assert geometry.capacity(40, 7)[0] == pytest.approx(math.log2(table[7]), rel=1e-14)
    expressed, everything = geometry.capacity(3483, 200)
    assert (round(expressed), round(everything)) == (3236, 35964)
    assert geometry.capacity(30, 100)[0] == pytest.approx(geometry.capacity(30, 29)[1])
    for n, d in ((1, 1), (2, 0)):
        with pytest.raises(ValueError, match=f"{n} items in {d} dimensions"):
            geometry.capacity(n, d)


def test_moment_curve_ranks_every_set_of_k_items_first_in_2k_dimensions():
    """All 19,600 sets. The smallest margin is 2.8e-7 of the lengths of query and code."""
    n, k = 50, 3
    items, query = geometry.moment_curve(n, k)
    sets = np.array(list(itertools.combinations(range(n), k)))
    queries = query(sets)
    assert items.shape == (n, 2 * k) and queries.shape == (19_600, 2 * k)
    scores = queries @ items.T
    listed = np.zeros(scores.shape, bool)
    np.put_along_axis(listed, sets, True, axis=1)
    lead = np.where(listed, scores, np.inf).min(1) - np.where(listed, -np.inf, scores).max(1)
    relative = lead / (np.linalg.norm(queries, axis=1) * np.sqrt(k))
    assert relative.min() == pytest.approx(2.84e-7, rel=1e-2)
    hardest = np.argsort(relative)[:3]
    found = reachability.ceiling(items, None, sets[hardest], [()] * 3, queries[hardest], k=k)
    assert found.possible.all() and found.by_users == 1.0


def test_moment_curve_scores_are_the_product_up_to_a_constant():
    n, chosen = 9, [1, 4, 5, 8]
    items, query = geometry.moment_curve(n, 4)
    scores = items @ query(chosen)
    angle = 2 * np.pi * (np.arange(n)[:, None] - np.array(chosen)) / n
    product = -np.prod(1 - np.cos(angle), axis=1)
    np.testing.assert_allclose(scores - scores[1], product, atol=1e-12)
    for k in (0, 9):
        with pytest.raises(ValueError, match=f"sets of {k} of 9 items"):
            geometry.moment_curve(n, k)


@pytest.mark.parametrize("seed", range(4))
def test_below_2k_dimensions_some_set_of_k_items_cannot_rank_first(seed):
    """n = 50, k = 3, m = 5: a Radon partition shows a set, and a certificate proves it."""
    n, k, m = 50, 3, 5
    codes = np.random.default_rng(seed).normal(size=(n, m))
    smaller, larger = geometry.radon(codes)
    assert len(smaller) <= k and len(smaller) + len(larger) == m + 2
    others = np.setdiff1d(np.arange(n), np.concatenate([smaller, larger]))
    chosen = np.concatenate([smaller, others[: k - len(smaller)]])
    found = reachability.ceiling(codes, None, [chosen], [()], k=k)
    assert found.impossible.all() and found.residual[0] < 1e-12
    # one more dimension makes these m + 2 items affinely independent
    wider = np.concatenate([codes, np.random.default_rng(seed + 9).normal(size=(n, 1))], axis=1)
    alone = reachability.ceiling(wider, None, [smaller], [others], k=k)
    assert alone.possible.all()


def test_radon_sets_have_a_point_in_common():
    codes = np.random.default_rng(8).normal(size=(9, 4))
    smaller, larger = geometry.radon(codes)
    assert len(np.intersect1d(smaller, larger)) == 0
    both = np.concatenate([codes[smaller], -codes[larger]])
    ones = np.repeat([[1.0, 0.0], [0.0, 1.0]], [len(smaller), len(larger)], axis=0)
    meet = scipy.optimize.linprog(
        np.zeros(len(both)), A_eq=np.column_stack([both, ones]).T, b_eq=[0, 0, 0, 0, 1, 1]
    )
    assert meet.status == 0
    same = geometry.radon(np.array([[0.0, 0.0], [1.0, 2.0], [1.0, 2.0], [5.0, 1.0]]))
    assert [part.tolist() for part in same] in ([[1], [2]], [[2], [1]])
    with pytest.raises(ValueError, match="5 items in 4 dimensions: give at least 6"):
        geometry.radon(codes[:5])


def test_a_simplex_has_the_largest_margin_for_all_sets():
    n, k = 7, 2
    codes = np.eye(n) - 1 / n
    codes /= np.linalg.norm(codes, axis=1)[:, None]
    sets = list(itertools.combinations(range(n), k))
    queries = [codes[list(s)].mean(0) - np.delete(codes, s, axis=0).mean(0) for s in sets]
    found = geometry.margin(queries, codes, None, sets, k=k)
    np.testing.assert_allclose(found.observed, found.best)
    assert found.best == pytest.approx(7 / math.sqrt(2 * 6 * 5))
    random = np.random.default_rng(0).normal(size=(n, 3))
    random /= np.linalg.norm(random, axis=1)[:, None]
    spread = [random[list(s)].mean(0) - np.delete(random, s, axis=0).mean(0) for s in sets]
    assert geometry.margin(spread, random, None, sets, k=k).observed.min() < found.best


def test_margin_is_that_of_the_kth_listed_item():
    draw = np.random.default_rng(4)
    codes, bias, queries = draw.normal(size=(12, 3)), draw.normal(size=12), draw.normal(size=(2, 3))
    listed = [[3, 1, 7], [5]]
    found = geometry.margin(queries, codes, bias, listed, k=2, eta=0.1)
    longest = max(math.hypot(*code, b) for code, b in zip(codes, bias, strict=True))
    for u, (own, place) in enumerate(zip(listed, (1, 0), strict=True)):
        scores = codes @ queries[u] + bias
        rest = [scores[v] for v in range(12) if v not in own]
        lead = sorted(scores[own], reverse=True)[place] - max(rest)
        assert found.observed[u] == pytest.approx(lead / (math.hypot(*queries[u], 1.0) * longest))
    pairs = 3 * 9 + 1 * 11
    assert 2 * math.log(pairs / 0.2) / found.safe**2 == pytest.approx(3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(k=0), "k = 0 of 4 items"),
        (dict(k=4), "k = 4 of 4 items"),
        (dict(eta=0.0), "eta = 0.0 is no probability"),
        (dict(queries=np.ones((2, 2))), "queries of 2 users, but listed items of 1"),
        (dict(listed=[[0, 1, 2, 3]]), r"listed\[0\] are all items"),
        (dict(listed=[[]]), r"listed\[0\] is empty or has an item twice"),
        (dict(listed=[[4]]), r"listed\[0\] has items from 4 to 4, of 4"),
    ],
)
def test_margin_refuses_what_does_not_fit(given, message):
    usual = {"queries": np.ones((1, 2)), "item_codes": np.eye(4)[:, :2], "item_bias": None}
    with pytest.raises(ValueError, match=message):
        geometry.margin(**{**usual, "listed": [[0]], "k": 1, **given})
