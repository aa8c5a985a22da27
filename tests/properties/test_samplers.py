"""Domains: what they draw, and what belongs to them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from aerec.properties import order, samplers
from aerec.properties.domain import Data

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


@pytest.mark.parametrize("name", list(DOMAINS))
def test_domains_draw_what_they_contain(name):
    domain = DOMAINS[name]
    x, u, v = domain.triples(jax.random.key(1), 64)
    again = domain.triples(jax.random.key(1), 64)
    for a, b in zip((x, u, v), again, strict=True):
        chex.assert_shape(a, (64, 12))
        np.testing.assert_array_equal(a, b)
        assert domain.contains(np.asarray(a, np.float64)).all()
    if not isinstance(domain, Data):
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


def test_separation_is_exact():
    """Beside 2^60 float64 loses a one: boxes that touch, or overlap by it, are not separated."""
    big = 2.0**60
    x = np.array([1.0, 1.0, 1.0])
    low, high = np.array([big, -big, 1.0]), np.array([2 * big, -big / 2, 2.0])
    other = np.array([0.0, 0.0, 0.0])
    for top, apart in ((0.5, True), (1.0, False), (1.5, False)):
        ends = (other - 1, np.array([0.0, 0.0, top]))
        if apart:
            assert samplers.separated(x, (low, high), ends).dimension == 3
        else:
            with pytest.raises(ValueError, match="overlap along x"):
                samplers.separated(x, (low, high), ends)
    with pytest.raises(ValueError, match="finite"):
        samplers.separated(x * np.inf, (low, high), (other - 1, other))
    with pytest.raises(ValueError, match="finite"):
        samplers.box(other, other + np.inf)


@pytest.mark.parametrize(
    "make",
    [samplers.gaussian, samplers.sphere, samplers.ball, samplers.binary, samplers.swaps,
     samplers.ratings, samplers.stratified, samplers.ties, samplers.orthogonal],
)  # fmt: skip
def test_a_dimension_is_a_whole_number(make):
    domain = make(np.int64(5))
    assert domain.dimension == 5 and type(domain.dimension) is int
    assert domain.name == make(5).name
    assert domain.points(jax.random.key(0), 2).shape == (2, 5)
    for wrong in (5.0, np.float64(5), "5", 0, -3, True):
        with pytest.raises(ValueError, match=r"n is (a whole number|at least 1), not"):
            make(wrong)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: samplers.gaussian(4, scale=0), "scale is a number above 0"),
        (lambda: samplers.gaussian(4, scale=np.nan), "scale is a number above 0"),
        (lambda: samplers.gaussian(4, scale=True), "scale is a number above 0"),
        (lambda: samplers.ball(4, radius=-1.0), "radius is a number above 0"),
        (lambda: samplers.ball(4, radius="1"), "radius is a number above 0"),
        (lambda: samplers.stratified(4, decades=np.inf), "decades is a number above 0"),
        (lambda: samplers.binary(4, density=1), "density is a number above 0 and below 1"),
        (lambda: samplers.swaps(1), "n is at least 2"),
        (lambda: samplers.ratings(4, density=-1), "density is a number above 0 and below 1"),
        (lambda: samplers.ratings(4, scale=()), "scale is a vector of finite numbers"),
        (lambda: samplers.ratings(4, scale=5), "scale is a vector of finite numbers"),
        (lambda: samplers.box([], []), "low is a vector of finite numbers"),
        (lambda: samplers.box(["a"], ["b"]), "low: not an array of numbers"),
        (lambda: samplers.hull([1.0, 2.0]), "points: not a matrix of finite numbers"),
        (lambda: samplers.hull([[1.0, np.nan]]), "points: not a matrix of finite numbers"),
        (lambda: samplers.hull(np.zeros((0, 3))), "at least one row"),
        (lambda: samplers.empirical(None), "users: not a matrix"),
    ],
)
def test_an_argument_out_of_range_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_hull_takes_sparse_rows_and_scales_may_be_scalars_of_jax():
    rows = np.eye(3, dtype=np.float32)
    dense, sparse = samplers.hull(rows), samplers.hull(scipy.sparse.csr_matrix(rows))
    drawn = [hull.points(jax.random.key(0), 5) for hull in (dense, sparse)]
    assert np.array_equal(*drawn)
    assert samplers.gaussian(4, scale=jnp.float32(2)).name == samplers.gaussian(4, scale=2).name
