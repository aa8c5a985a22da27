"""The theorems of docs/theory.md on which no function relies: by enumeration, at examples, by
simulation."""

import itertools

import numpy as np
import pytest

from aerec.properties import rates


def keeps(true, latent):
    """Whether P2 holds for scores [users, items]: every weakly ordered pair stays so."""
    below = true[:, :, None] <= true[:, None, :]
    return not np.any(below & (latent[:, :, None] > latent[:, None, :]))


def keeps_order(f, points, items=None, g=None):
    items = points if items is None else items
    return keeps(points @ items.T, f(points) @ (g or f)(items).T)


def cube(n, *levels):
    return np.array(list(itertools.product(levels, repeat=n)), float)


# T1: on R^n, n >= 2, constants and scaled orthogonal maps

ORTHOGONAL = {  # of integers, so that ties are exact
    2: 3.0 * np.array([[1, 1], [1, -1]]),
    4: np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]),
}


@pytest.mark.parametrize("n", ORTHOGONAL)
def test_t1_a_scaled_orthogonal_map_keeps_the_order_and_its_neighbours_do_not(n):
    q = ORTHOGONAL[n]
    points = cube(n, *((-2, -1, 0, 1, 2) if n == 2 else (-1, 0, 1)))
    assert keeps_order(lambda x: x @ q, points)
    assert keeps_order(lambda x: np.ones((len(x), n)), points)
    sheared = q + np.eye(n)[0] * np.eye(n)[:, -1:]
    for other in (
        lambda x: x @ q + 1, lambda x: (x @ q) ** 3, lambda x: x @ sheared, lambda x: np.abs(x @ q),
        lambda x: (x @ q)[:, 1:], lambda x: np.concatenate([x @ q, x[:, :1]], axis=1),
    ):  # fmt: skip
        assert not keeps_order(other, points)


def test_t1_of_monotone_functions_only_linear_ones_satisfy_the_identity_of_the_proof():
    """Expanded in an orthogonal basis: sum_i phi(r x_i) phi(r u_i) = phi(r^2) phi(<x, u>)."""
    x, u = np.random.default_rng(0).integers(-3, 4, (2, 50, 4))
    for phi, linear in (
        (lambda t: 5 * t, True), (lambda t: t, True), (lambda t: t**3, False), (np.sign, False),
        (lambda t: np.maximum(t, 0), False), (lambda t: t + np.minimum(t, 0), False),
    ):  # fmt: skip
        for r in (1, 2):
            left = np.sum(phi(r * x) * phi(r * u), axis=1)
            assert np.array_equal(left, phi(r * r) * phi(np.sum(x * u, axis=1))) == linear


def test_t1_in_one_dimension_a_monotone_function_is_enough():
    points = cube(1, -2, -1, -0.5, 0, 0.5, 3)
    for f in (lambda x: x**3, lambda x: -np.tanh(x), np.sign, np.ones_like):
        assert keeps_order(f, points)
    for f in (lambda x: x**3 + 1, np.abs, np.sin):
        assert not keeps_order(f, points)


# T2: on every open connected domain, constants only


def test_t2_random_encoders_are_violated_on_a_small_box_of_positive_vectors():
    draw = np.random.default_rng(1)
    points = draw.uniform(1, 1.1, (120, 3))
    for act in (np.tanh, np.exp, lambda t: np.maximum(t, 0), np.sign):
        inner, outer = draw.normal(size=(3, 8)), draw.normal(size=(8, 2))
        assert not keeps_order(lambda x, act=act: act((x - 1.05) @ inner) @ outer, points)  # noqa: B023


def test_t2_fails_on_closed_and_on_disconnected_domains():
    corner = lambda x: np.stack([np.ones(len(x)), (x == 1).all(axis=1)], axis=1)  # noqa: E731
    assert keeps_order(corner, cube(3, 0, 0.3, 1))
    assert not keeps_order(corner, cube(3, 0, 0.3, 1, 1.2))
    ball = np.random.default_rng(2).uniform(-0.5, 0.5, (60, 3)) + 2 * np.eye(3)[0]
    assert keeps_order(lambda x: np.sign(x[:, :1]), np.concatenate([ball, -ball]))


# T3: on binary vectors, constants but for the vector of ones


def order_preserving(n, m, levels):
    """All maps from {0, 1}^n into codes of `levels` that satisfy P2: [maps, 2^n, m].

    Points are added one at a time. A partial map is left out as soon as a user's latent scores are
    not monotone in the true ones.
    """
    points = np.array(sorted(itertools.product((0, 1), repeat=n), key=sum))
    true = points @ points.T
    codes = np.array(list(itertools.product(levels, repeat=m)))
    scores, maps = codes @ codes.T, np.arange(len(codes))[:, None]
    for new in range(1, len(points)):
        longer = np.tile(np.arange(len(codes)), len(maps))[:, None]
        maps = np.concatenate([np.repeat(maps, len(codes), axis=0), longer], axis=1)
        for user in range(new, -1, -1):
            latent = scores[maps[:, user, None], maps]
            kept = np.ones(len(maps), bool)
            for item in range(new + 1) if user == new else [new]:
                low = true[user, : new + 1] <= true[user, item]
                high = true[user, : new + 1] >= true[user, item]
                kept &= latent[:, low].max(axis=1) <= latent[:, item]
                kept &= latent[:, high].min(axis=1) >= latent[:, item]
            maps = maps[kept]
    return codes[maps]


def is_theorem_3(n, m, levels):
    found = order_preserving(n, m, levels)
    assert (found[:, :-1] == found[:, :1]).all()  # constant except at the last point, the ones
    codes = list(itertools.product(levels, repeat=m))
    pairs = {(c, d) for c in codes for d in codes if np.dot(np.subtract(d, c), c) == 0}
    assert {(tuple(f[0]), tuple(f[-1])) for f in found} == pairs  # f(0) and f(0) + h, all of them
    return len(found) == len(pairs)


@pytest.mark.parametrize(("n", "m"), [(2, 1), (3, 1), (4, 1), (3, 2), (4, 2), (4, 3), (5, 2)])
def test_t3_every_order_preserving_map_of_binary_vectors_is_found(n, m):
    assert is_theorem_3(n, m, (0, 1, 2))
    assert m > 2 or is_theorem_3(n, m, (-1, 0, 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "m", "size"), [(4, 1, 6), (3, 2, 4), (4, 2, 3), (4, 3, 1), (5, 2, 2)]
)
def test_t3_with_more_codes(n, m, size):
    assert is_theorem_3(n, m, range(-size, size + 1))


def test_t3_needs_fewer_dimensions_than_items():
    found = order_preserving(3, 3, (0, 1))
    identity = np.array(sorted(itertools.product((0, 1), repeat=3), key=sum))
    assert (found == identity).all(axis=(1, 2)).any()


@pytest.mark.parametrize("n", [3, 5])
def test_t3_the_exception_satisfies_all_three_properties(n):
    points = cube(n, 0, 1)
    f = lambda x: np.stack([np.ones(len(x)), x.prod(axis=1)], axis=1)  # noqa: E731
    assert f(points).shape[1] < n and keeps_order(f, points) and (f(points) != 0).any(axis=1).all()
    assert len(np.unique(f(points), axis=0)) == 2


# T4: two towers


def test_t4_is_tight_for_a_discontinuous_user_tower():
    points = cube(3, -1, 0, 0.5, 2)
    plane = np.diag([1.0, 1.0, 0.0])
    inside = lambda x: x @ plane * (x[:, 2:] == 0)  # noqa: E731
    project = lambda u: u @ plane  # noqa: E731
    assert keeps_order(inside, points, g=project)
    ranked = np.ptp(inside(points) @ project(points).T, axis=1) > 0
    assert np.linalg.matrix_rank(points[ranked]) == 2
    for reach in (0.1, 3.0):  # continuous, and wrong for users near the plane
        near = lambda x, reach=reach: x @ plane * np.maximum(0, 1 - abs(x[:, 2:]) / reach)  # noqa: E731
        assert not keeps_order(near, np.append(points, [[0.1, 0.1, 0.05]], axis=0), points, project)


# T6: random projections


def test_t6_all_triples_of_a_safe_margin_keep_their_order():
    draw, m, n, triples, failure = np.random.default_rng(5), 30, 40, 20, 0.2
    delta = rates.safe_margin(m, triples, failure=failure)
    x, y = draw.normal(size=(2, triples, n))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y -= np.sum(x * y, axis=1, keepdims=True) * x
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    apart = delta * x + np.sqrt(1 - delta**2) * y  # u - v
    matrix = draw.normal(size=(2000, n, m))
    failed = np.any(np.sum((x @ matrix) * (apart @ matrix), axis=-1) < 0, axis=1).mean()
    assert failure / 2 < failed < failure + 3 * np.sqrt(failure / 2000)


# T7: no encoder does better on isotropic triples

ACTIVATIONS = (
    np.tanh, np.sin, np.sign, np.abs, np.square, lambda t: t**3, lambda t: np.maximum(t, 0),
    lambda t: 1 / (1 + np.exp(-t)),
)  # fmt: skip


def test_t7_no_pair_of_functions_beats_the_angle_to_a_line():
    """1,000 pairs of networks of three units, whose weights are similar by a random degree.

    No loss may be below the bound by three standard errors. That is one-sided p = .00135: were all
    pairs at the bound, 1.4 would be. Most are far above. The nearest reach it, and so would fail if
    the bound were too high.
    """
    draw, triples, margins = np.random.default_rng(6), 2048, []
    for n in range(4, 9):
        x, u, v = draw.normal(size=(3, triples, n))
        bound = rates.projection_baseline(n, 1, asymptotic=False)
        for _ in range(200):
            degree = draw.choice([0.0, 0.3, 1.0, 3.0])
            units = draw.normal(size=(n, 1)) + degree * draw.normal(size=(2, n, 3))
            shift, last = degree * draw.normal(size=(2, 3)), 1 + degree * draw.normal(size=(2, 3))
            user, item = draw.choice(len(ACTIVATIONS), 2)
            f = ACTIVATIONS[user](x @ units[0] + shift[0]) @ last[0]
            up, down = (ACTIVATIONS[item](z @ units[1] + shift[1]) @ last[1] for z in (u, v))
            agree = np.sign(np.sum(x * (u - v), axis=1)) * np.sign(f * (up - down))
            lost = (agree < 0) + (agree == 0) / 2
            margins.append((lost.mean() - bound) / (lost.std() / np.sqrt(triples)))
    margins = np.array(margins)
    assert len(margins) == 1000 and margins.min() > -3
    assert np.sum(margins < 1) > 10


def test_t7_of_linear_item_towers_a_projection_is_the_best():
    draw, users = np.random.default_rng(7), 20_000
    for n, m in ((4, 1), (6, 3), (9, 7)):
        x = draw.normal(size=(users, n))
        angle = lambda p, x=x: np.arccos(  # noqa: E731
            np.sum(x * p, axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(p, axis=1)
        )
        items = draw.normal(size=(n, m))  # g(u) = u @ items: the latent scores are <items f(x), u>
        basis = np.linalg.qr(items)[0]
        best = angle(x @ basis @ basis.T)
        network = np.tanh(x @ draw.normal(size=(n, 16))) @ draw.normal(size=(16, m))
        for codes in (x @ items, np.tanh(x @ items), x @ np.linalg.pinv(items).T, network):
            assert (angle(codes @ items.T) >= best - 1e-7).all()
        bound = rates.projection_baseline(n, m, asymptotic=False)
        assert best.mean() / np.pi == pytest.approx(bound, abs=3 * best.std() / np.pi / users**0.5)
