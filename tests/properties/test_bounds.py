"""Certificates: no point of a certified box breaks one, and no bad encoder gets one."""

import numpy as np
import pytest

from aerec.nn import activations
from aerec.properties import bounds


def random_network(draw, name, depth, *, n=5):
    layers, width = [], n
    for size in (7, 4, 3)[:depth]:
        activation = activations.describe(name)
        weight = draw.normal(size=(size, width)) / width**0.5
        layers.append(bounds.Layer(weight, 0.3 * draw.normal(size=size), activation))
        width = size + activation.extra
    return tuple(layers)


@pytest.mark.parametrize("name", activations.names())
def test_a_million_random_points_stay_within_their_bounds(name):
    """Over all names and boxes together: about 1.3 million points, corners among them."""
    draw = np.random.default_rng(0)
    for depth in (1, 2, 3):
        net = random_network(draw, name, depth)
        for radius in (1e-6, 0.1, 1.0, 3.0):
            centre = draw.normal(size=5)
            low, high = centre - radius, centre + radius
            try:
                lower, upper = bounds.interval(net, low, high)
            except OverflowError:
                assert "exp" in name
                continue
            points = draw.uniform(low, high, size=(2600, 5))
            points[:200] = np.where(draw.random((200, 5)) < 0.5, low, high)
            codes = bounds._evaluate(net, points)
            assert (lower <= codes).all() and (codes <= upper).all()
            direction = draw.normal(size=codes.shape[1])
            least, most = bounds._linear(net, direction, low, high)
            scores = codes @ direction
            assert (least <= scores).all() and (scores <= most).all()


def test_linear_bounds_are_tighter_than_intervals_on_a_cancelling_net():
    identity = activations.describe("identity")
    twice = bounds.Layer(np.array([[1.0], [1.0]]), np.zeros(2), identity)
    difference = bounds.Layer(np.array([[1.0, -1.0]]), np.ones(1), identity)
    least, most = bounds._linear((twice, difference), np.ones(1), np.array([-5.0]), np.array([5.0]))
    assert least == pytest.approx(1.0, abs=1e-9) and most == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", activations.names())
def test_theorem_c_a_box_with_a_zero_is_never_certified(name):
    draw = np.random.default_rng(1)
    activation = activations.describe(name)
    weight, bias = draw.normal(size=(3, 6)), draw.normal(size=3)
    net = (bounds.Layer(weight, bias, activation),)
    zero = -np.linalg.pinv(weight) @ bias
    low, high = zero - 0.2, zero + 0.3
    if ((low <= 0) & (high >= 0)).all():
        low[0] = max(low[0], min(zero[0], 1e-3))
    found = bounds.nonzero(net, low, high, budget=400)
    assert found.proven == (not activation.vanishes)


def test_nonzero_on_a_box_by_branch_and_bound():
    tanh = activations.describe("tanh")
    draw = np.random.default_rng(2)
    net = (
        bounds.Layer(draw.normal(size=(8, 4)), draw.normal(size=8), tanh),
        bounds.Layer(draw.normal(size=(2, 8)), draw.normal(size=2), tanh),
    )
    proven = 0
    for _ in range(20):
        centre = 2 * draw.normal(size=4)
        low, high = centre - 0.3, centre + 0.3
        if ((low <= 0) & (high >= 0)).all():
            continue
        found = bounds.nonzero(net, low, high, budget=200)
        if found.proven:
            proven += 1
            codes = bounds._evaluate(net, draw.uniform(low, high, size=(5000, 4)))
            assert np.linalg.norm(codes, axis=1).min() >= found.bound / 2 > 0
    assert proven >= 10
    with pytest.raises(ValueError, match="contains 0"):
        bounds.nonzero(net, -np.ones(4), np.ones(4))


def test_margin_order_on_two_separated_boxes():
    draw = np.random.default_rng(3)
    net = random_network(draw, "sigmoid", 2, n=6)
    x = draw.normal(size=6)
    step = x / np.linalg.norm(x)
    proven = 0
    for far in (0.05, 0.5, 1.5):
        u, v = far * step, -far * step
        boxes = (u - 0.01, u + 0.01), (v - 0.01, v + 0.01)
        found = bounds.margin_order(net, x, *boxes, budget=300)
        code = bounds._evaluate(net, x)
        points = [bounds._evaluate(net, draw.uniform(*box, size=(20_000, 6))) for box in boxes]
        least = (points[0] @ code).min() - (points[1] @ code).max()
        assert found.bound <= least
        proven += found.proven
        backwards = bounds.margin_order(
            (*net[:-1], net[-1]._replace(weight=-net[-1].weight)), x, *boxes, budget=50
        )
        assert not (backwards.proven and found.proven and backwards.bound > least)
    assert proven >= 1
    with pytest.raises(ValueError, match="overlap along x"):
        bounds.margin_order(net, x, (v, v + 0.1), (u, u + 0.1))


def test_an_encoder_that_breaks_the_order_never_gets_a_margin_certificate():
    blind = (bounds.Layer(np.array([[1.0, 0.0]]), np.zeros(1), activations.describe("identity")),)
    x, u, v = np.array([1.0, 10.0]), np.array([0.0, 1.0]), np.array([1.0, 0.0])
    assert x @ u > x @ v
    found = bounds.margin_order(blind, x, (u - 0.01, u + 0.01), (v - 0.01, v + 0.01))
    assert not found.proven and found.counterexample is not None
    for width in (0.0, 1e-9, 0.4):
        assert not bounds.margin_order(
            blind, x, (u - width, u + width), (v - width, v + width), budget=50
        ).proven
