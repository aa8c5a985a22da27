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
    with jax.enable_x64(True):
        np.testing.assert_allclose(bounds.apply(net, x), hidden @ net[1].weight.T + 4, rtol=1e-15)


# Exact arithmetic, from below the normal numbers to close to the largest

LINEAR = {  # on each side of 0
    "identity": lambda t: t,
    "relu": lambda t: max(t, Fraction(0)),
    "leaky_relu": lambda t: t if t > 0 else Fraction(0.01) * t,
    "abs": abs,
}


def exactly(net, x):
    """The code of x in rational arithmetic."""
    x = [Fraction(float(part)) for part in x]
    for weight, bias, activation in net:
        sums = [
            sum((Fraction(float(w)) * part for w, part in zip(row, x, strict=True)), Fraction(b))
            for row, b in zip(weight, bias.tolist(), strict=True)
        ]
        x = [LINEAR[activation.name](part) for part in sums]
    return x


def sound(net, low, high, draw, points=8):
    """Check the bounds of codes and of a score at corners and points of the box; whether any."""
    try:
        lower, upper = bounds.interval(net, low, high)
    except OverflowError:
        return False
    assert not np.isnan([lower, upper]).any() and (lower < upper).all()
    direction = draw.normal(size=len(lower)) * 2.0 ** draw.choice([0, -500, -1000])
    with np.errstate(over="ignore", invalid="ignore"):
        layers = propagation.forward(net, low, high)
        scores = [propagation.score(net, layers, direction, low, high, steps=k) for k in (0, 5)]
    for _ in range(points):
        part = draw.choice([0.0, 1.0, draw.random()], size=len(low))
        code = exactly(net, np.clip(low + part * (high - low), low, high))
        for least, value, most in zip(lower, code, upper, strict=True):
            assert least == -np.inf or Fraction(least.item()) <= value
            assert most == np.inf or value <= Fraction(most.item())
        score = sum(Fraction(d) * value for d, value in zip(direction.tolist(), code, strict=True))
        assert all(not np.isfinite(each) or Fraction(each) <= score for each in scores)
        assert not np.isposinf(scores).any()
    return True


def sized(draw, shape, exponent):
    """Numbers of either sign within a few powers of two, some of them zero or subnormal."""
    values = draw.normal(size=shape) * 2.0 ** (exponent + draw.integers(-3, 4, size=shape))
    few = draw.random(shape) < 0.1
    return np.where(few, draw.choice([0.0, -0.0, 5e-324, -5e-324, 2.0**-1022], size=shape), values)


@pytest.mark.parametrize(
    ("weights", "bias", "box", "width"),
    [
        ((-976,), -1100, -90, -93),  # the products are subnormal
        ((-976, 900), -1070, -90, -93),  # and large again after the next layer
        ((0, 0), -1060, -1060, -1070),  # all that enters is subnormal
        ((-500, -560, 1000), -1040, 0, -2),  # products underflow between layers
        ((0, 0), 0, 0, -1074),  # a box whose width is subnormal
        ((600, 400), 600, 0, -2),  # close to the largest number
        ((300, -300, 330), -1000, 300, 290),
    ],
)
def test_bounds_hold_in_rational_arithmetic(weights, bias, box, width):
    """Of four inputs, and layers of three units of every activation that is linear in pieces."""
    draw, some = np.random.default_rng(0), 0
    for number in range(24):
        net = []
        for exponent in weights:
            shape = 3, 3 if net else 4
            name = draw.choice(list(LINEAR))
            net.append(layer(sized(draw, shape, exponent), sized(draw, 3, bias),
                             activations.describe(name)))  # fmt: skip
        centre, radius = sized(draw, 4, box), abs(sized(draw, 4, width)) * (number % 3 > 0)
        some += sound(net, centre - radius, centre + radius, draw)
    assert some >= 12


def test_a_layer_of_subnormal_products_against_its_exact_range():
    """Two sums of four products of 2^-976 and 2^-90: their low digits are lost in float64."""
    draw, lost = np.random.default_rng(1), 0
    for _ in range(50):
        weight, point = draw.normal(size=(2, 4)) * 2.0**-976, draw.normal(size=4) * 2.0**-90
        net = (layer(weight, [0.0, 0.0]),)
        lower, upper = bounds.interval(net, point, point)
        for code, least, value, most in zip(
            exactly(net, point), lower, weight @ point, upper, strict=True
        ):
            assert Fraction(least) < code < Fraction(most)
            lost += abs(Fraction(value) - code) > Fraction(relaxation.gamma(4)) * abs(code)
    assert lost > 50  # a slack relative to the products would be too small


# Slopes


def test_the_derivatives_by_the_slopes():
    """Against central differences, of two tanh layers with an added coordinate between them."""
    draw = np.random.default_rng(4)
    lift, tanh = activations.describe("lift:tanh"), activations.describe("tanh")
    net = (
        layer(draw.normal(size=(4, 3)), draw.normal(size=4), lift),
        layer(draw.normal(size=(3, 5)), draw.normal(size=3), tanh),
    )
    low, high, rows = -np.ones(3), np.full(3, 0.5), draw.normal(size=(2, 3))
    layers = propagation.forward(net, low, high)
    slopes = [each.slope + 0.1 * draw.normal(size=(2, len(each.slope))) for each in layers]
    rest = rows, low, high
    value, gradients = propagation.slope_gradients(net, layers, slopes, *rest)
    above = propagation._upper(net, layers, slopes, rows, np.zeros(2), low, high)
    margins = sum(abs(each.margin).max() for each in layers)
    assert (value <= above).all() and (above <= value + 50 * margins).all()
    for depth, gradient in enumerate(gradients):
        for unit in range(gradient.shape[1]):
            ends = []
            for step in (1e-7, -1e-7):
                moved = [slope.copy() for slope in slopes]
                moved[depth][:, unit] += step
                ends.append(propagation.slope_gradients(net, layers, moved, *rest)[0])
            np.testing.assert_allclose((ends[0] - ends[1]) / 2e-7, gradient[:, unit], atol=1e-6)


# |x| + x / 2 + 1/2 and a constant, by relu(x), relu(-x) and relu(x + 5); a second input is ignored
BENT = (
    layer([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], [0.0, 0.0, 5.0], RELU),
    layer([[1.0, 1.0, 0.5]], [-2.2]),
)


def test_slopes_tighten_a_score_and_never_loosen_it():
    """On [-1, 3] the lines under relu(x) and relu(-x) have slopes 3/4 and 1/4; the sum is at least
    2 by intervals, 3/2 by these, and 5/2 by slopes that differ by 1/2 the other way."""
    low, high, direction = np.array([-1.0, 1.0]), np.array([3.0, 2.0]), np.array([1.0, 1.0, 0.5])
    layers = propagation.forward(BENT[:1], low, high)
    scores = [propagation.score(BENT[:1], layers, direction, low, high, steps=k) for k in (0, 40)]
    assert scores[0] == pytest.approx(2, rel=1e-11) and 2.48 < scores[1] < 2.5
    draw = np.random.default_rng(5)
    for name in ("relu", "tanh", "elu"):
        net = random_network(draw, name, 2)
        low = draw.normal(size=5)
        direction, layers = draw.normal(size=4), propagation.forward(net, low, low + 1)
        plain, bent = (
            propagation.score(net, layers, direction, low, low + 1, steps=k) for k in (0, 8)
        )
        codes = bounds._evaluate(net, draw.uniform(low, low + 1, size=(2000, 5)))
        assert plain < bent <= (codes @ direction).min()


def test_better_slopes_save_boxes():
    box = np.array([-1.0, 1.0]), np.array([3.0, 2.0])
    found = bounds.nonzero(BENT, *box)
    assert found.proven and found.boxes == 1 and 0 < found.bound < 0.3
    with mock.patch.object(bounds, "_SHARE", 0.0):
        without = bounds.nonzero(BENT, *box)
    assert without.proven and without.boxes > 1


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


def test_a_bound_that_is_no_number_proves_nothing():
    values = {(0.0, 1.0): -1.0, (0.0, 0.5): 1.0}
    found, _ = branch(lambda first: values.get(first, np.nan), [0.0], [1.0], [[1.0]], 3)
    assert found == bounds.Certificate(False, -np.inf, 3, None)


@pytest.mark.parametrize("function", [bounds.interval, bounds.nonzero])
def test_a_box_is_two_finite_vectors_in_order(function):
    for low, high in (([1.0], [2.0]), ([1.0, 2.0], [2.0, 1.0]), ([1.0, np.nan], [2.0, 3.0])):
        with pytest.raises(ValueError, match="low <= high, two vectors of 2 numbers"):
            function(EYE, low, high)
    with pytest.raises(ValueError, match="finite ends"):
        function(EYE, [1.0, 1.0], [2.0, np.inf])


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
    # 1 against 1 + 2^-60, which float64 rounds to 1
    x, u, v = np.array([1.0, 2.0**-60]), np.array([1.0, 0.0]), np.array([1.0, 1.0])
    with pytest.raises(ValueError, match="overlap along x"):
        bounds.margin_order(EYE, x, (u, u), (v, v))


def test_a_user_whose_code_overflows_has_no_certificate():
    net = (layer([[1.0]], [0.0], activations.describe("exp")),)
    one, two = np.ones(1), np.full(1, 2.0)
    found = bounds.margin_order(net, np.full(1, 1000.0), (two, two), (one, one))
    assert found == bounds.Certificate(False, -np.inf, 0, None)


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
