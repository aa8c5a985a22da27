"""Certificates: no point of a certified box breaks one, and no bad encoder gets one."""

from fractions import Fraction
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec.nn import activations
from aerec.properties import bounds, propagation, relaxation

EPS = 2.0**-52
IDENTITY = activations.describe("identity")
RELU = activations.describe("relu")
EYE = (bounds.Affine(np.eye(2), np.zeros(2), IDENTITY),)


def layer(weight, bias, activation=IDENTITY):
    return bounds.Affine(np.array(weight, float), np.array(bias, float), activation)


def coarse():
    """Rounding errors of a number format with 10 bits, so that float64 holds the slack exactly."""
    return mock.patch.object(propagation, "gamma", lambda terms: terms * 2.0**-10)


def relax(activation, low, high):
    """The chord's slope and lines, and the range."""
    found = relaxation.relax(activation, low, high)
    return found.slope, *found.lines(found.slope), found.least, found.most


def relaxed(slope, under, over, least, most):
    """An activation of which the lines, for any slopes, are given."""
    lines = mock.Mock(return_value=(np.array(under), np.array(over)))
    return mock.Mock(
        lines=lines, slope=np.array(slope), least=np.array(least), most=np.array(most),
        constants=np.zeros(len(under) - len(slope)),
    )  # fmt: skip


def score_range(net, direction, low, high, **options):
    """The lower and the upper bound of a latent score."""
    layers = propagation.forward(net, low, high)
    least, negative = (
        propagation.score(net, layers, d, low, high, **options) for d in (direction, -direction)
    )
    return least, -negative


# One activation


def test_a_relaxation_of_the_identity_is_as_wide_as_its_rounding():
    low, high = np.array([-4.0, 3.0]), np.array([1.0, 8.0])
    slope, under, over, least, most = relax(IDENTITY, low, high)
    error = (1e-13 + 4 * EPS) * np.array([4.0, 8.0])
    np.testing.assert_array_equal(slope, [1.0, 1.0])
    np.testing.assert_allclose([-under, over], [error, error], rtol=1e-12)
    np.testing.assert_allclose(
        [least, most], [[-4 - 4e-13, 3 - 3e-13], [1 + 1e-13, 8 + 8e-13]], rtol=1e-15
    )


def test_a_relaxation_of_the_square_is_its_chord_and_the_bulge_between_grid_points():
    """On [a, b] the chord's slope is a + b, and t^2 - (a + b) t lies between -(a + b)^2 / 4 and
    -ab; between grid points h apart t^2 departs from its chord by h^2 / 4."""
    square = IDENTITY._replace(function=jnp.square, monotone=False, curvature=2.0)
    for low, high in ((0.0, 32.0), (-8.0, 24.0), (1.0, 1.5)):
        ends = np.array([[low, -1.0], [high, 1.0]])
        slope, under, over, least, most = (a[0] for a in relax(square, *ends))
        size, bulge = max(abs(low), high), ((high - low) / 32) ** 2 / 4 * (1 + 1e-9)
        error = 1e-13 * size**2 + 4 * EPS * (low + high) * size
        assert slope == low + high
        lines = -((low + high) ** 2) / 4 - bulge - error, -low * high + bulge + error
        np.testing.assert_allclose([under, over], lines, rtol=1e-12)
        smallest = 0.0 if low < 0 else low**2
        ends = smallest * (1 - 1e-13) - bulge, size**2 * (1 + 1e-13) + bulge
        np.testing.assert_allclose([least, most], ends, rtol=1e-15)


def test_a_relaxation_at_a_point_is_flat():
    point = np.array([3.0])
    slope, under, over, _, _ = relax(IDENTITY, point, point)
    assert slope == 0.0
    np.testing.assert_allclose([under, over], [[3 - 3e-13], [3 + 3e-13]], rtol=1e-15)


def test_a_relaxation_meets_the_kinks_between_grid_points():
    slope, under, over, least, most = relax(
        RELU, np.array([-1.0, -6.0]), np.array([2.0, 3.0])
    )
    np.testing.assert_allclose(slope, [2 / 3, 1 / 3], rtol=1e-15)
    np.testing.assert_allclose(under, [0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(over, [2 / 3, 2.0], rtol=1e-12)
    np.testing.assert_array_equal(least, [0.0, 0.0])
    np.testing.assert_allclose(most, [2 + 2e-13, 3 + 3e-13], rtol=1e-15)
    _, under, over, _, _ = relax(RELU, np.array([-2.0]), np.array([-1.0]))
    assert under < 0 < over  # strictly, where all values are zero


@pytest.mark.parametrize(
    ("prefix", "low", "constant", "absolute"),
    [("", 0.0, 0.0, 0.0), ("shift:", 1e-3, 1e-3, 1.0), ("lift:", 0.0, 0.0, 0.0)],
)
def test_errors_are_relative_but_for_a_sum_with_a_constant(prefix, low, constant, absolute):
    activation = activations.describe(prefix + "relu")
    assert activation.low == low
    slope, *parts = relax(activation, np.array([2.0]), np.array([4.0]))
    if prefix == "lift:":
        assert {float(part[0]) for part in parts} == {activations.LIFT}
    under, over, least, most = (part[-1] for part in parts)
    error = 1e-13 * (4 + constant + absolute) + 4 * EPS * 4
    np.testing.assert_allclose(slope, 1.0, rtol=1e-15)
    np.testing.assert_allclose(over - under, 2 * error, rtol=5e-3)
    ends = np.array([2.0, 4.0]) + constant
    ends += 1e-13 * np.array([-1, 1]) * (ends + absolute)
    np.testing.assert_allclose([least, most], ends, rtol=4e-16)


def test_a_range_ends_where_the_activation_does():
    cosine = activations.describe("tanh")._replace(function=jnp.cos, monotone=False, curvature=1.0)
    _, _, _, least, most = relax(cosine, np.array([-4.0]), np.array([4.0]))
    assert (least, most) == (-1 - 2e-13, 1 + 2e-13)
    tanh = activations.describe("tanh")._replace(function=jnp.tanh)
    _, _, _, least, most = relax(tanh, np.array([-40.0, 30.0]), np.array([-30.0, 40.0]))
    np.testing.assert_array_equal(least, [-1 - 1e-13, 1 - 1e-13])
    np.testing.assert_array_equal(most, [-1 + 1e-13, 1 + 1e-13])


def test_a_box_on_which_an_activation_overflows_has_no_bounds():
    net = (layer([[1.0]], [0.0], activations.describe("exp")),)
    with pytest.raises(OverflowError, match="exp overflows on the box"):
        bounds.interval(net, np.zeros(1), np.full(1, 1000.0))


# Layers


def test_gamma_is_twice_the_bound_on_a_dot_products_rounding():
    assert relaxation.gamma(3) == 2 * (3 + 2) * EPS


def pre_activations(net, low, high):
    """What the last layer's activation is given."""
    with mock.patch.object(propagation, "relax", wraps=propagation.relax) as relax:
        propagation.forward(net, np.array(low, float), np.array(high, float))
    return relax.call_args.args[1:]


def test_a_layers_intervals_are_widened_by_their_rounding():
    """At a point with sum 0 all that is left is 1e-15 of the centre and gamma of the products."""
    weight = np.array([[3.0, -2.0], [-1.0, 4.0], [2.0, 2.0]])
    point = np.array([7.0, -3.0])
    bias = -weight @ point
    products = abs(weight) @ abs(point)
    slack = 1e-15 * products + relaxation.gamma(2) * (products + abs(bias))
    low, high = pre_activations((layer(weight, bias),), point, point)
    np.testing.assert_allclose([-low, high], [slack, slack], rtol=1e-12)
    with coarse():
        low, high = pre_activations((layer(weight, bias),), point - 2, point + 4)
    for i in range(3):  # centre 8, -2 and radius 3
        middle = weight[i] @ [8, -2] + bias[i]
        spread = abs(weight[i]) @ [3, 3]
        slack = 2 * 2.0**-10 * (abs(weight[i]) @ [11, 5] + abs(bias[i]))
        ends = middle - spread - slack, middle + spread + slack
        np.testing.assert_allclose([low[i], high[i]], ends, rtol=1e-12)


KINKED = layer([[1.0], [1.0]], [0.0, 5.0], RELU)  # relu(x), relu(x + 5)


def test_a_layer_takes_the_tighter_of_both_bounds_on_either_side():
    """On [-1, 1] relu(x) is in [0, 1], between x / 2 and (x + 1) / 2, and relu(x + 5) is x + 5."""
    net = (KINKED, layer([[3.0, 1.0], [-3.0, -1.0], [1.0, -1.0]], np.zeros(3)))
    low, high = pre_activations(net, [-1.0], [1.0])
    np.testing.assert_allclose(low, [4.0, -9.0, -5.5], rtol=1e-11)  # intervals twice, then lines
    np.testing.assert_allclose(high, [9.0, -4.0, -4.0], rtol=1e-11)


def test_bounds_of_a_score_by_intervals_and_the_drift_of_its_direction():
    low, high = np.array([-1.0]), np.array([1.0])
    direction, wobble = np.array([3.0, 1.0]), np.array([0.5, 0.25])
    with coarse():
        lower, upper = bounds.interval((KINKED,), low, high)
        least, most = score_range((KINKED,), direction, low, high)
        flipped = score_range((KINKED,), -direction, low, high)
        drifted = score_range((KINKED,), direction, low, high, wobble=wobble)
    slack = 2 * 2.0**-10 * (direction @ upper)
    assert least == pytest.approx(direction @ lower - slack, rel=1e-12)
    assert flipped == pytest.approx((-most, -least), rel=1e-12)
    drift = 1.001 * (wobble @ upper)
    assert drifted == pytest.approx((least - drift, most + drift), rel=1e-12)


def slowly_backward(layers, relaxed, a, c, box):
    """The upper bound of `a f(x) + c` as it is written, one number after the other; exact."""
    gamma = lambda terms: Fraction(terms, 1024)  # noqa: E731
    slack = Fraction(0)
    for depth in reversed(range(len(layers))):
        weight, bias = layers[depth]
        slope, under, over, least, most = relaxed[depth]
        below = list(zip(*relaxed[depth - 1][3:], strict=True)) if depth else box
        m, n = len(a), len(below)
        const = [a[i] * (over[i] if a[i] > 0 else under[i]) for i in range(m)]
        reach = sum(abs(a[i]) * max(abs(least[i]), abs(most[i])) for i in range(m))
        slack += gamma(m + n + 4) * (sum(map(abs, const)) + reach + abs(c))
        c += sum(const)
        a = [a[m - len(slope) + i] * slope[i] for i in range(len(slope))]
        c += sum(a[i] * bias[i] for i in range(len(a)))
        for i in range(len(a)):
            widest = sum(abs(weight[i][j]) * max(map(abs, below[j])) for j in range(n))
            slack += gamma(m + n + 4) * abs(a[i]) * (abs(bias[i]) + widest)
        slack += gamma(m + n + 4) * abs(c)
        a = [sum(a[i] * weight[i][j] for i in range(len(a))) for j in range(n)]
    terms = [max(a[j] * low, a[j] * high) for j, (low, high) in enumerate(box)]
    slack += gamma(len(a) + 4) * (sum(map(abs, terms)) + abs(c))
    return c + sum(terms) + 2 * slack


def backward(net, layers, matrix, offset, low, high):
    """The upper bound by the chords."""
    chords = [each.slope for each in layers]
    rows = np.array(matrix), np.array(offset)
    return propagation._upper(net, layers, chords, *rows, low, high)


def test_lines_are_substituted_backwards_with_the_rounding_of_each_step():
    """Two inputs, three units and a constant coordinate, two outputs; small dyadic numbers."""
    layers = (
        ([[1.0, -2.0], [0.5, 1.0], [-1.0, 3.0]], [2.0, -1.0, 0.5]),
        ([[1.0, 2.0, -0.5, 1.0], [-3.0, 0.5, 1.0, -1.0]], [-2.0, 4.0]),
    )
    lines = (
        # slope, under, over, least, most: a constant 1, then relaxed units
        ([0.5, 1.0, 0.25], [1.0, -0.5, 0.0, -2.0], [1.0, 0.25, 0.5, 1.0],
         [1.0, -3.0, 0.0, -1.0], [1.0, 2.0, 4.0, 0.5]),
        ([2.0, 0.5], [-1.0, -0.25], [0.5, 3.0], [-8.0, -1.0], [4.0, 5.0]),
    )  # fmt: skip
    matrix, offset = [[1.0, -0.5], [-0.25, -2.0], [0.125, 0.25]], [3.0, -1.0, 0.5]
    box = [(-1.0, 2.0), (-5.0, -3.0)]
    net = tuple(layer(*pair) for pair in layers)
    with coarse():
        most = backward(net, [relaxed(*each) for each in lines], matrix, offset, *np.array(box).T)
    for k, (row, c) in enumerate(zip(matrix, offset, strict=True)):
        assert most[k] == slowly_backward(layers, lines, row, c, box)


def test_the_slack_covers_the_rounding_of_a_linear_net_and_little_more():
    """Two layers of 25 terms that cancel, at a point, against rational arithmetic."""
    draw = np.random.default_rng(0)
    exact = np.vectorize(Fraction, otypes=[object])
    for _ in range(20):
        first, second = draw.normal(size=(25, 25)), draw.normal(size=(1, 25))
        first[:, -1] = -first[:, :-1].sum(axis=1)
        net = (layer(first, draw.normal(size=25)), layer(second, [0.0]))
        point = np.ones(25) + 1e-9 * draw.normal(size=25)
        hidden = exact(first) @ exact(point) + exact(net[0].bias)
        (code,) = exact(second) @ hidden
        size = float((abs(second) @ (abs(first) @ abs(point) + abs(net[0].bias)))[0])
        ranges = (hidden.astype(float), np.array([float(code)]))
        lines = [relaxed(np.ones(len(a)), *np.zeros((2, len(a))), a, a) for a in ranges]
        ends = [s * backward(net, lines, [[s]], [0.0], point, point) for s in (-1.0, 1.0)]
        found = (
            (*ends, 1000 * EPS),
            (*bounds.interval(net, point, point), 1e-12),
            (*np.array(score_range(net, np.ones(1), point, point)), 1e-12),
        )
        for lower, upper, room in found:
            assert Fraction(lower.item()) <= code <= Fraction(upper.item())
            assert upper - lower <= room * size


def test_apply_is_the_network_on_rows():
    net = (layer([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]], [0.5, 0.0, -1.0]), layer([[1, 1, 2]], [4]))
    x = np.array([[1.0, 2.0], [-3.0, 0.25]])
    hidden = x @ net[0].weight.T + net[0].bias
    np.testing.assert_allclose(bounds._evaluate(net, x), hidden @ net[1].weight.T + 4, rtol=1e-15)


# Branch and bound


def branch(values, low, high, weight, budget):
    """The certificate, and the boxes in the order in which they were examined."""
    seen = []

    def examine(lo, hi):
        seen.append([(float(a), float(b)) for a, b in zip(lo, hi, strict=True)])
        value = values(*seen[-1])
        if value is OverflowError:
            raise OverflowError
        return value if isinstance(value, tuple) else (value, None)

    return bounds._branch(examine, np.array(low), np.array(high), np.array(weight), budget), seen


def test_the_worst_box_is_split_across_the_axis_that_matters_most():
    """Widths 4 and 3 count 4 * 4 and 3 * 2 with the weights of their columns."""
    values = {(-1, 3): OverflowError, (-1, 1): -2.0, (1, 3): 0.5, (-1, 0): 0.75, (0, 1): 0.25}
    box = [-1.0, 5.0], [3.0, 8.0], [[1.0, -2.0], [-3.0, 0.0], [0.0, 0.0]]
    found, seen = branch(lambda first, _: values[first], *box, 100)
    assert [first for first, _ in seen] == list(values)
    assert {second for _, second in seen} == {(5, 8)}
    assert found == bounds.Certificate(True, 0.25, 5, None)
    found, seen = branch(lambda first, _: values[first], *box, 3)
    assert found == bounds.Certificate(False, -2.0, 3, None) and len(seen) == 3


def test_a_bound_of_zero_proves_nothing_and_a_counterexample_ends_the_search():
    box = [0.0], [1.0], [[1.0]]
    for budget in (1, 3, 7):
        found, seen = branch(lambda _: 0.0, *box, budget)
        assert found == bounds.Certificate(False, 0.0, budget, None) and len(seen) == budget
    bad = np.array([0.25])
    found, _ = branch(lambda side: (1.0, bad) if side[1] < 1 else -1.0, *box, 100)
    assert found == bounds.Certificate(False, 1.0, 2, bad)
    found, _ = branch(lambda side: (-1.0, bad) if side[0] > 0 else -0.5, *box, 100)
    assert found == bounds.Certificate(False, -1.0, 3, bad)
    assert branch(lambda _: (1.0, bad), *box, 100)[0] == bounds.Certificate(False, 1.0, 1, bad)


def test_nonzero_is_asked_of_boxes_without_zero():
    line = (layer([[1.0]], [0.0]),)
    for low, high in ((0.0, 1.0), (-1.0, 0.0), (-0.5, 0.5)):
        with pytest.raises(ValueError, match="contains 0"):
            bounds.nonzero(line, np.array([low]), np.array([high]))
    for low, high in ((0.5, 1.5), (-1.5, -0.5)):
        found = bounds.nonzero(line, np.array([low]), np.array([high]))
        assert found.proven and found.bound == pytest.approx(0.5, rel=1e-12) and found.boxes == 1


def test_nonzero_by_a_coordinate_by_a_combination_and_not_at_all():
    by_coordinate = bounds.nonzero(EYE, np.array([1.0, -2.0]), np.array([2.0, -1.0]))
    assert by_coordinate.bound == pytest.approx(1.0, rel=1e-12)
    # both reach 0, their sum is at least 3/4: relu(t) >= 3/4 t on [-1/2, 3/2]
    both = (layer([[1.0, 0.0], [-1.0, 0.0]], [0.5, 0.5], RELU),)
    found = bounds.nonzero(both, np.array([-1.0, 1.0]), np.array([1.0, 2.0]))
    assert found.proven and found.boxes == 1
    assert found.bound == pytest.approx(0.75 / 2**0.5, rel=1e-9)
    shifted = (layer([[1.0]], [-3.0]),)
    found = bounds.nonzero(shifted, np.array([2.0]), np.array([4.0]), budget=3)
    assert not found.proven and found.boxes == 1 and found.counterexample == [3.0]


def test_the_least_margin_of_two_boxes():
    x = np.array([0.5, -2.0])
    u = np.array([1.0, -3.0]), np.array([2.0, -1.0])  # scores from 0.5 + 2
    v = np.array([-1.0, 1.0]), np.array([0.0, 2.0])  # to 0 - 2
    found = bounds.margin_order(EYE, x, u, v)
    assert found.proven and found.bound == pytest.approx(4.5, rel=1e-11) and found.bound < 4.5
    # f(x) known to 1 on one side: that much of the largest u (2, 3) and v (1, 2)
    for around in ((x - 1, x + 0.25), (x - 0.25, x + 1)):
        with mock.patch.object(bounds, "interval", return_value=around):
            found = bounds.margin_order(EYE, x, u, v, budget=1)
        assert found.bound == pytest.approx(4.5 - 1.001 * (2 + 3 + 1 + 2), rel=1e-11)


def test_boxes_may_touch_along_x_and_not_overlap():
    x = np.array([0.5, -2.0, 0.0])
    eye = (layer(np.eye(3), np.zeros(3)),)
    u = np.array([1.0, -1.0, -9.0]), np.array([2.0, 1.0, 9.0])  # scores from 0.5 - 2
    v = np.array([0.0, -2.0, -9.0]), np.array([3.0, -1.0, 9.0])  # to 1.5 + 4
    with pytest.raises(ValueError, match=r"overlap along x: -1\.5 of u under 5\.5 of v"):
        bounds.margin_order(eye, x, u, v)
    below = v[0] - [14, 0, 0], v[1] - [14, 0, 0]
    assert bounds.margin_order(eye, x, u, below, budget=1).bound == pytest.approx(0, abs=1e-11)


BLIND = (layer([[1.0, 0.0]], [0.0]),)  # sees the first coordinate


def test_an_encoder_that_breaks_the_order_never_gets_a_margin_certificate():
    x, u, v = np.array([1.0, 10.0]), np.array([0.0, 1.0]), np.array([1.0, 0.0])
    assert x @ u > x @ v
    boxes = (u - 0.25, u + 0.25), (v - 0.5, v + 0.5)
    found = bounds.margin_order(BLIND, x, *boxes)
    assert not found.proven and found.boxes == 1
    assert found.bound == pytest.approx(-0.25 - 1.5, rel=1e-11)
    np.testing.assert_array_equal(found.counterexample, [*u, *v])
    for width in (0.0, 1e-9, 0.4):
        assert not bounds.margin_order(
            BLIND, x, (u - width, u + width), (v - width, v + width), budget=50
        ).proven


@pytest.mark.parametrize(
    ("first", "gap", "refuted"),
    [(1.0, 1e-9, False), (1.0, 1.5e-9, True), (2.0, 1.5e-9, False), (2.0, 2.5e-9, True)],
)
def test_a_margin_is_refuted_beyond_rounding(first, gap, refuted):
    """Codes 0 and `gap` of u and v are scored by x's code, `first`: the margin is their product,
    and what counts is more than 1e-9 of that code's square."""
    x, u, v = np.array([first, 10.0]), np.array([0.0, 1.0]), np.array([gap, 0.0])
    found = bounds.margin_order(BLIND, x, (u, u), (v, v), budget=1)
    assert not found.proven and (found.counterexample is not None) == refuted


# Random networks


def random_network(draw, name, depth):
    layers, width = [], 5
    for size in (4,) * depth:  # of one size, for few compilations
        activation = activations.describe(name)
        weight = draw.normal(size=(size, width)) / width**0.5
        layers.append(bounds.Affine(weight, 0.3 * draw.normal(size=size), activation))
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
            least, most = score_range(net, direction, low, high)
            scores = codes @ direction
            assert (least <= scores).all() and (scores <= most).all()


@pytest.mark.parametrize("name", activations.names())
def test_theorem_c_a_box_with_a_zero_is_never_certified(name):
    draw = np.random.default_rng(1)
    activation = activations.describe(name)
    weight, bias = draw.normal(size=(3, 6)), draw.normal(size=3)
    net = (bounds.Affine(weight, bias, activation),)
    zero = -np.linalg.pinv(weight) @ bias
    low, high = zero - 0.2, zero + 0.3
    if ((low <= 0) & (high >= 0)).all():
        low[0] = max(low[0], min(zero[0], 1e-3))
    found = bounds.nonzero(net, low, high, budget=60)
    assert found.proven == (not activation.vanishes)


def test_nonzero_on_a_box_by_branch_and_bound():
    tanh = activations.describe("tanh")
    draw = np.random.default_rng(2)
    net = (
        bounds.Affine(draw.normal(size=(8, 4)), draw.normal(size=8), tanh),
        bounds.Affine(draw.normal(size=(2, 8)), draw.normal(size=2), tanh),
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
    """Many random units keep the order of what lies well apart along x."""
    draw = np.random.default_rng(3)
    tanh = activations.describe("tanh")
    net = (
        layer(draw.normal(size=(40, 6)) / 6**0.5, 0.3 * draw.normal(size=40), tanh),
        layer(draw.normal(size=(20, 40)) / 40**0.5, 0.3 * draw.normal(size=20), tanh),
    )
    x = draw.normal(size=6)
    code, step = bounds._evaluate(net, x), x / np.linalg.norm(x)
    for far in (0.5, 1.5):
        boxes = [(centre - 0.01, centre + 0.01) for centre in (far * step, -far * step)]
        found = bounds.margin_order(net, x, *boxes, budget=1)
        points = [bounds._evaluate(net, draw.uniform(*box, size=(5000, 6))) for box in boxes]
        least = (points[0] @ code).min() - (points[1] @ code).max()
        assert found.proven and 0.95 * least <= found.bound <= least
