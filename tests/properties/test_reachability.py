"""What item codes allow, against linear programmes, convex hulls, rationals and brute force."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import scipy.optimize
import scipy.spatial

from aerec.properties import intervals, reachability, separation


def separable(codes, bias, chosen, rivals, bound=None):
    """Ask a linear programme: the chosen score at least c + t, the rivals at most c - t, t > 0."""
    d = codes.shape[1]
    lifted = np.column_stack([codes, np.zeros(len(codes)) if bias is None else bias])
    rows = np.vstack([lifted[chosen], -lifted[rivals]])
    sign = np.repeat([-1.0, 1.0], [len(chosen), len(rivals)])
    if bound is None or bias is None:  # homogeneous: the coordinate of the bias is at least t
        box = [(-1, 1)] * d + [(0, 1)]
        rows = np.vstack([rows, np.eye(d + 1)[-1]])
        sign = np.append(sign, 0.0)
    else:
        box = [(-bound, bound)] * d + [(1, 1)]
    system = np.column_stack([-rows, -sign, np.ones(len(rows))])
    best = scipy.optimize.linprog(
        -np.eye(d + 3)[-1],
        A_ub=system,
        b_ub=np.zeros(len(rows)),
        bounds=[*box, (None, None), (None, 1)],
    )
    assert best.status == 0
    return -best.fun > 1e-8


def exact_scores(codes, bias, query):
    bias = np.zeros(len(codes)) if bias is None else bias
    return [
        sum(map(Fraction.__mul__, map(Fraction, code), map(Fraction, query)), Fraction(b))
        for code, b in zip(codes.tolist(), bias.tolist(), strict=True)
    ]


@pytest.mark.parametrize("d", [1, 2, 4])
@pytest.mark.parametrize(("size", "bound"), [(None, None), (1.0, None), (1.0, 0.5), (0.1, 2.0)])
def test_reachable_agrees_with_a_linear_programme(d, size, bound):
    draw, items = np.random.default_rng(d), 30
    codes = draw.normal(size=(items, d))
    bias = None if size is None else size * draw.normal(size=items)
    found = reachability.reachable(codes, bias, bound=bound)
    everything = np.arange(items)
    expected = [separable(codes, bias, [v], np.delete(everything, v), bound) for v in everything]
    np.testing.assert_array_equal(found.reached, expected)
    np.testing.assert_array_equal(found.unreachable, ~found.reached)
    assert (found.by, found.undecided) == (np.mean(expected), 0)
    assert 0 < found.reached.sum() < items


@pytest.mark.parametrize("rivals", [4, 200])
def test_reachable_items_are_the_vertices_of_the_hull(rivals, monkeypatch):
    monkeypatch.setattr(separation, "_RIVALS", rivals)
    codes = np.random.default_rng(0).normal(size=(250, 3))
    reached = reachability.reachable(codes).reached
    np.testing.assert_array_equal(np.flatnonzero(reached), scipy.spatial.ConvexHull(codes).vertices)


@pytest.mark.parametrize("size", [None, 0.5])
def test_witnesses_and_certificates_hold_in_rationals(size):
    draw = np.random.default_rng(3)
    codes = draw.normal(size=(40, 3))
    codes[7] = (codes[8] + codes[9]) / 2
    bias = None if size is None else size * draw.normal(size=40)
    if bias is not None:
        bias[7] = min(bias[8], bias[9])
    found = reachability.reachable(codes, bias)
    assert found.unreachable[7]
    for v in range(40):
        if found.reached[v]:
            scores = exact_scores(codes, bias, found.query[v].tolist())
            assert all(scores[v] > scores[w] for w in range(40) if w != v)
            continue
        weights = found.weights[[v]].toarray()[0]
        assert (weights >= 0).all() and weights[v] == 0
        assert sum(map(Fraction, weights.tolist())) == pytest.approx(1)
        gap = exact_scores(np.column_stack([codes.T, codes.T[:, v]]), None, [*weights, -1.0])
        assert max(map(abs, gap)) < 1e-12
        if bias is not None:
            assert weights @ bias > bias[v] - 1e-12


def test_a_bound_is_one_of_the_coordinates_of_a_query():
    """Item 1 scores q - 3, and item 0 scores 0."""
    codes, bias = np.array([[0.0], [1.0]]), np.array([0.0, -3.0])
    for bound, reached in ((2.9, [True, False]), (3.1, [True, True]), (None, [True, True])):
        found = reachability.reachable(codes, bias, bound=bound)
        assert found.reached.tolist() == reached
        assert found.undecided == 0
    assert found.query[1] > 3


def test_equal_items_form_one_group():
    codes = np.array([[1.0, 0.0], [1.0, -0.0], [0.0, 1.0], [-1.0, -1.0], [0.1, 0.1]])
    found = reachability.reachable(codes)
    assert len(set(found.groups)) == 4 and found.groups[0] == found.groups[1]
    assert found.reached.tolist() == [True, True, True, True, False]
    assert found.by == 0.8
    np.testing.assert_array_equal(found.query[0], found.query[1])
    lower = reachability.reachable(codes, np.array([0.0, -1.0, 0.0, 0.0, 0.0]))
    assert lower.unreachable.tolist() == [False, True, False, False, True]
    assert lower.weights[1, 0] == pytest.approx(1.0)
    assert reachability.reachable(np.ones((3, 2))).by == 1.0


def test_items_without_codes_are_ranked_by_their_bias():
    found = reachability.reachable(np.zeros((4, 0)), np.array([1.0, 3.0, 2.0, 3.0]))
    assert found.reached.tolist() == [False, True, False, True]
    assert found.unreachable.tolist() == [True, False, True, False]


def test_reachability_does_not_depend_on_the_basis():
    draw = np.random.default_rng(5)
    codes, bias = draw.normal(size=(60, 4)), draw.normal(size=60)
    basis = draw.normal(size=(4, 4)) * np.array([1e-3, 1.0, 30.0, 1e3])
    first = reachability.reachable(codes, bias)
    second = reachability.reachable(codes @ basis + 5.0, 7.0 * bias - 2.0)
    np.testing.assert_array_equal(first.reached, second.reached)
    assert first.undecided == second.undecided == 0


def test_a_difference_within_rounding_errors_is_undecided():
    codes = np.array([[1.0, 1.0], [1.0, np.nextafter(1.0, 2.0)], [-1.0, 0.0], [1.0, -1.0]])
    found = reachability.reachable(codes)
    assert found.reached.tolist() == [False, False, True, True]
    assert found.undecided >= 1
    assert found.undecided + found.unreachable.sum() + found.reached.sum() == 4


@pytest.mark.parametrize(
    "answer", [(np.array([1.0, 1.0]), None), (None, np.array([1.0, 1.0, 1.0, 0.0])), (None, None)]
)
def test_a_wrong_answer_of_the_solver_is_undecided(answer, monkeypatch):
    """Item 0 is half way between items 1 and 2."""
    codes = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]])
    case = separation.space(codes, None), np.array([0]), np.arange(1, 5)
    assert separation.separate(*case)[1] is not None
    monkeypatch.setattr(separation, "_alternative", lambda rows, first: answer)
    assert separation.separate(*case) == (None, None)


@pytest.mark.parametrize(
    ("bias", "bound", "residual"),
    [
        (None, None, 0.5 / 3),
        ([0.0, 0.0, 0.0, 0.0, 1.0], None, 0.5 / 3),
        ([1.0, 0.0, 0.0, 0.0, 0.0], None, 1 / 0.8),
        ([-1.0, 0.0, 0.0, 0.0, 0.0], 4.0, 1 / (4 * 3 * 2**0.5 + 0.8)),
        ([-1.0, 0.0, 0.0, 0.0, 0.0], 2.0, 0.0),
    ],
)
def test_residual_is_what_the_weights_leave_open(bias, bound, residual):
    """The weights' mean code is (1/2, 0), and item 0 is at the origin."""
    codes = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]])
    space = separation.space(codes, None if bias is None else np.array(bias), bound)
    chosen, rivals, weights = np.array([0]), np.array([1, 2]), np.array([3.0, 1.0])
    found = separation._certificate(space, chosen, np.ones(1), rivals, weights)
    assert found.residual == pytest.approx(residual)
    np.testing.assert_allclose(found.rivals, [0.75, 0.25])


def test_share_that_the_users_reach_leaves_out_ties():
    tied = reachability.reachable(np.eye(3), None, [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert tied.by_users == 1 / 3
    draw = np.random.default_rng(2)
    codes, bias = draw.normal(size=(50, 3)), draw.normal(size=50)
    codes[1], bias[1] = codes[0], bias[0]
    queries = np.concatenate([3 * draw.normal(size=(20, 3)), np.zeros((1, 3))])
    bias[[4, 5]] = 10.0  # first for most queries, and tied for the last
    reached = set()
    for query in queries:
        scores = codes @ query + bias
        first = np.flatnonzero(scores == scores.max())
        if len({(*codes[v], bias[v]) for v in first}) == 1:
            reached |= set(first.tolist())
    found = reachability.reachable(codes, bias, queries)
    assert found.by_users == len(reached) / 50
    assert found.reached[list(reached)].all()


def test_ceiling_agrees_with_linear_programmes_over_all_choices():
    draw, outcomes = np.random.default_rng(1), []
    for trial in range(24):
        items, d, k = 25, int(draw.integers(1, 5)), int(draw.integers(1, 5))
        codes = draw.normal(size=(items, d))
        bias = draw.normal(size=items) if trial % 2 else None
        bound = 1.0 if trial % 4 == 3 else None
        held_out, seen, rivals = np.split(draw.permutation(items), [draw.integers(2, 6), 8])
        found = reachability.ceiling(codes, bias, [held_out], [seen], k=k, bound=bound)
        choices = itertools.combinations(held_out, min(k, len(held_out)))
        expected = any(separable(codes, bias, list(c), rivals, bound) for c in choices)
        assert (found.possible[0], found.impossible[0]) == (expected, not expected)
        outcomes.append(expected)
        if expected:
            scores = codes @ found.query[0] + (0 if bias is None else bias)
            assert np.sort(scores[held_out])[-min(k, len(held_out))] > scores[rivals].max()
        else:
            assert found.residual[0] <= separation.TOLERANCE
    assert 0 < sum(outcomes) < len(outcomes)


def test_ceiling_of_items_of_equal_codes():
    codes = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    targets, seen = [[0], [0], [0, 1], [0, 1, 2]], [[], [1], [], [3]]
    found = reachability.ceiling(codes, None, targets, seen, k=2)
    assert found.impossible.tolist() == [True, False, False, False]
    assert found.share == 0.75 and found.undecided == 0
    assert found.interval == intervals.clopper_pearson(3, 4)


def test_ceiling_counts_undecided_users_at_both_ends(monkeypatch):
    """The first try takes all held-out items. The best two of them take a second try."""
    monkeypatch.setattr(reachability, "_TRIES", 1)
    codes = np.array([[1.0], [0.9], [-1.0], [0.0]])
    done = []
    found = reachability.ceiling(
        codes,
        None,
        [[0, 1, 2], [0], [3]],
        [[]] * 3,
        k=2,
        confidence=0.9,
        progress=lambda u, users: done.append((u, users)),
    )
    assert (found.share, found.undecided) == (1 / 3, 1)
    assert found.possible.tolist() == [False, True, False]
    assert found.impossible.tolist() == [False, False, True]
    low, _ = intervals.clopper_pearson(1, 3, confidence=0.9)
    _, high = intervals.clopper_pearson(2, 3, confidence=0.9)
    assert found.interval == (low, high)
    assert done == [(1, 3), (2, 3), (3, 3)]
    monkeypatch.undo()
    assert reachability.ceiling(codes, None, [[0, 1, 2]], [[]], k=2).possible.all()


def test_ceiling_says_which_users_rank_without_a_mistake():
    codes = np.eye(3)
    queries = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, 0.0]]
    targets, seen = [[0], [1], [0], [0, 1]], [[], [2], [], []]
    found = reachability.ceiling(codes, None, targets, seen, queries, k=2)
    assert found.by_users == 0.5  # users 0 and 3; 1 is out of order, 2 ties
    assert found.share == 1.0


GOOD = np.arange(6.0).reshape(3, 2) ** 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(item_codes=np.zeros(3)), "item_codes has 1 axes, not 2"),
        (dict(item_codes=[[1.0, np.nan], [0.0, 0.0]]), r"item_codes has nan at \[0, 1\]"),
        (dict(item_codes=[[1.0, 2.0]]), "item_codes of 1 items"),
        (dict(item_codes=np.zeros((3, 0))), "item_codes without coordinates"),
        (dict(item_bias=[1.0, 2.0]), "item_bias of 2 items, but item_codes of 3"),
        (dict(item_bias=[1.0, 2.0, np.inf]), r"item_bias has inf at \[2\]"),
        (dict(queries=np.zeros((2, 3))), r"queries of shape \(2, 3\), but item_codes \(3, 2\)"),
        (dict(queries=np.zeros((0, 2))), r"queries of shape \(0, 2\)"),
        (dict(bound=0.0), "bound = 0.0"),
        (dict(bound=np.nan), "bound = nan"),
    ],
)
def test_reachable_refuses_what_does_not_fit(given, message):
    with pytest.raises(ValueError, match=message):
        reachability.reachable(**{"item_codes": GOOD, **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(k=0), "k = 0: give at least 1 place"),
        (dict(targets=[[0]], seen=[]), "targets of 1 users and seen items of 0"),
        (dict(targets=[], seen=[]), "targets of 0 users"),
        (dict(targets=[[]]), r"targets\[0\] is empty or has an item twice"),
        (dict(targets=[[0, 0]]), r"targets\[0\] is empty or has an item twice"),
        (dict(targets=[[3]]), r"targets\[0\] has items from 3 to 3, of 3"),
        (dict(seen=[[-1]]), r"seen\[0\] has items from -1 to -1, of 3"),
        (dict(targets=[[0.5]]), r"targets\[0\] is not a list of item numbers"),
        (dict(seen=[[0]]), r"item 0 is in targets\[0\] and in seen\[0\]"),
        (dict(queries=np.zeros((2, 2))), "queries of 2 users, but targets of 1"),
    ],
)
def test_ceiling_refuses_what_does_not_fit(given, message):
    usual = {"item_codes": GOOD, "item_bias": None, "targets": [[0]], "seen": [[]], "k": 1}
    with pytest.raises(ValueError, match=message):
        reachability.ceiling(**{**usual, **given})
