"""Certificates: bounds of an encoder on a box that hold at every point of it.

An encoder here is a `Network`: affine layers with activations of a catalogue. The tighter of two
bounds is used: intervals (Gowal et al. 2018, IBP) and linear relaxations
propagated backwards (Zhang et al. 2018, CROWN), refined by branch and bound. Everything is float64
with outward rounding: each sum of products is widened by `_gamma(terms) * sum |products|`, a bound
on its rounding error, and each activation by `_FUNCTION` of its size.

Relaxation of an activation a on [l, u]: the chord's slope s, and the extremes of `a(t) - s t`
found on a grid that includes the kinks. Between grid points h apart, the function departs from its
chord by at most `curvature h^2 / 8`. So one rule is sound for every activation of the catalogue.
"""

import heapq
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_GRID = 33
_FUNCTION = (
    1e-13  # relative error allowed to an activation's float64 evaluation, several hundred ulp
)


class Affine(NamedTuple):
    """One layer `a(W x + b)`: `weight [m, n]`, `bias [m]`, `activation`.

    The activation is an entry of a catalogue, with the attributes name, function, low, high,
    monotone, kinks, curvature and extra.
    """

    weight: np.ndarray
    bias: np.ndarray
    activation: Any


Network = Sequence[Affine]


class Certificate(NamedTuple):
    """The outcome of branch and bound.

    Attributes:
      proven: whether the property holds on the whole box.
      bound: the worst bound of all sub-boxes.
      boxes: the number of boxes examined.
      counterexample: the centre of a box that disproves the property, or None.
    """

    proven: bool
    bound: float
    boxes: int
    counterexample: np.ndarray | None


def apply(network: Network, x: jax.Array) -> jax.Array:
    """Apply the network to `[..., n]`; `functools.partial(apply, network)` can be audited."""
    for weight, bias, activation in network:
        product = jnp.matmul(x, jnp.asarray(weight, x.dtype).T, precision="highest")
        shift = jnp.broadcast_to(jnp.asarray(bias, x.dtype), product.shape)
        x = activation.function(product + shift)
    return x


def interval(network: Network, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute lower and upper bounds [m] of the code on a box [n], the tighter of IBP and CROWN."""
    return _forward(network, np.asarray(low, np.float64), np.asarray(high, np.float64))[1:]


def nonzero(
    network: Network, low: np.ndarray, high: np.ndarray, *, budget: int = 2000
) -> Certificate:
    """Certify P3 on a box without 0: some coordinate or combination of coordinates is not zero.

    On each sub-box the interval of some coordinate must exclude 0, or the projection of the code on
    the code of the centre must stay positive. Otherwise the box is split along the axis that
    matters most, up to `budget` boxes. The bound is the smallest such distance from 0.

    Raises:
      ValueError: the box contains 0, of which P3 asks nothing.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if ((low <= 0) & (high >= 0)).all():
        raise ValueError("the box contains 0, where P3 asks nothing: leave 0 out of the box")

    def examine(lo, hi):
        centre = (lo + hi) / 2
        code = _evaluate(network, centre)
        lower, upper = interval(network, lo, hi)
        away = float(np.max(np.maximum(lower, -upper), initial=-np.inf))
        size = np.linalg.norm(code)
        if away <= 0 and size > 0:
            away = max(away, _linear(network, code / size, lo, hi)[0])
        return away, centre if not code.any() else None

    return _branch(examine, low, high, network[0].weight, budget)


def margin_order(
    network: Network,
    x: np.ndarray,
    box_u: tuple[np.ndarray, np.ndarray],
    box_v: tuple[np.ndarray, np.ndarray],
    *,
    budget: int = 2000,
) -> Certificate:
    """Certify P2 for one user x [n] and two boxes that are separated along x.

    The claim is `<f(x), f(u)> >= <f(x), f(v)>` for every u of the first box and v of the second,
    where `<x, u> >= <x, v>` throughout. The bound is the smallest certified latent margin. The
    latent score is bounded as a linear function of each code.

    Raises:
      ValueError: the boxes overlap along x.
    """
    x = np.asarray(x, np.float64)
    boxes = [tuple(np.asarray(a, np.float64) for a in pair) for pair in (box_u, box_v)]
    reach = [np.where(x > 0, pair[side], pair[1 - side]) @ x for side, pair in enumerate(boxes)]
    if reach[0] < reach[1]:
        raise ValueError(f"the boxes overlap along x: {reach[0]:g} of u under {reach[1]:g} of v")
    code, n = _evaluate(network, x), len(x)
    around = interval(network, x, x)
    wobble = np.maximum(abs(around[1] - code), abs(code - around[0]))

    def examine(lo, hi):
        least = _linear(network, code, lo[:n], hi[:n], wobble=wobble)[0]
        most = _linear(network, code, lo[n:], hi[n:], wobble=wobble)[1]
        centre = (lo + hi) / 2
        gap = code @ (_evaluate(network, centre[:n]) - _evaluate(network, centre[n:]))
        return least - most, centre if gap < -1e-9 * max(1.0, float(code @ code)) else None

    low, high = (np.concatenate([pair[side] for pair in boxes]) for side in (0, 1))
    weight = np.concatenate([network[0].weight, network[0].weight], axis=1)
    return _branch(examine, low, high, weight, budget)


def _branch(examine, low, high, weight, budget) -> Certificate:
    """Split the worst box until all are proven positive, one is refuted, or the budget is spent.

    A box on which an activation overflows has no bound, but its parts may have one.
    """

    def look(lo, hi):
        try:
            return examine(lo, hi)
        except OverflowError:
            return -np.inf, None

    bound, bad = look(low, high)
    heap: list[tuple] = [(bound, 0, low, high)]
    count = 1
    while heap[0][0] <= 0 and bad is None and count < budget:
        _, _, lo, hi = heapq.heappop(heap)
        axis = int(np.argmax((hi - lo) * abs(weight).sum(axis=0)))
        middle = (lo[axis] + hi[axis]) / 2
        for side in (0, 1):
            part = (lo.copy(), hi.copy())
            part[1 - side][axis] = middle
            value, bad = look(*part)
            count += 1
            heapq.heappush(heap, (value, count, *part))
            if bad is not None:
                break
    worst = float(heap[0][0])
    return Certificate(worst > 0 and bad is None, worst, count, bad)


def _forward(network, low, high):
    """Compute the relaxations of every layer, and the bounds of the last layer's output."""
    relaxed: list[tuple] = []
    lower, upper = low, high
    for depth, (weight, bias, activation) in enumerate(network):
        weight, bias = np.asarray(weight, np.float64), np.asarray(bias, np.float64)
        centre = (upper + lower) / 2
        radius = np.maximum(upper - centre, centre - lower) + 1e-15 * abs(centre)
        middle, spread = weight @ centre + bias, abs(weight) @ radius
        slack = abs(weight) @ (abs(centre) + radius) + abs(bias)
        slack = _gamma(weight.shape[1]) * slack
        pre = middle - spread - slack, middle + spread + slack
        if depth:
            back = _backward(network[:depth], relaxed, weight, bias, low, high)
            pre = np.maximum(pre[0], back[0]), np.minimum(pre[1], back[1])
        lines = _relax(activation, *pre)
        relaxed.append(lines)
        lower, upper = lines[3], lines[4]
    return relaxed, lower, upper


def _linear(network, direction, low, high, *, wobble=0.0) -> tuple[float, float]:
    """Bound `<d, f(x)>` on the box for every d within `wobble [m]` of `direction`.

    The tighter of CROWN through all layers and intervals is returned.
    """
    relaxed, lower, upper = _forward(network, low, high)
    zero = np.zeros(1)
    least, most = _backward(network, relaxed, direction[None], zero, low, high)
    reach = np.maximum(abs(lower), abs(upper))
    slack = _gamma(len(direction)) * np.sum(abs(direction) * reach)
    drift = 1.001 * float(np.sum(wobble * reach))
    ends = np.stack([direction * lower, direction * upper])
    return (
        max(float(least[0]), float(ends.min(axis=0).sum() - slack)) - drift,
        min(float(most[0]), float(ends.max(axis=0).sum() + slack)) + drift,
    )


def _backward(network, relaxed, matrix, offset, low, high):
    """Bound `matrix f(x) + offset` [k] on the box, by lines from the last layer to the first.

    The rounding error of each product is added to the slack on the way.
    """
    ends = []
    for sign in (-1.0, 1.0):  # bound below: -(upper bound of the negative)
        a, c = sign * matrix, sign * offset
        slack = np.zeros(len(a))
        for depth in reversed(range(len(network))):
            weight, bias = (np.asarray(part, np.float64) for part in network[depth][:2])
            slope, under, over, least, most = relaxed[depth]
            below = relaxed[depth - 1][3:] if depth else (low, high)
            # a . act(y) <= sum a (slope y) + a+ over + a- under, for y between its bounds
            extra = len(under) - len(slope)
            const = np.maximum(a, 0) * over + np.minimum(a, 0) * under
            reach = np.maximum(abs(least), abs(most))
            terms = a.shape[1] + weight.shape[1] + 4
            slack = slack + _gamma(terms) * (abs(const).sum(axis=1) + abs(a) @ reach + abs(c))
            c = c + const.sum(axis=1)
            a = a[:, extra:] * slope
            c = c + a @ bias
            # the rounding error of the product below is bounded for the widest inputs that this
            # layer can receive on the box
            widest = abs(weight) @ np.maximum(abs(below[0]), abs(below[1]))
            slack = slack + _gamma(terms) * (abs(a) @ (abs(bias) + widest) + abs(c))
            a = a @ weight
        box = np.where(a > 0, high, low)
        value = c + (a * box).sum(axis=1)
        slack = slack + _gamma(a.shape[1] + 4) * (abs(a * box).sum(axis=1) + abs(c))
        ends.append(sign * (value + 2 * slack))
    return ends[0], ends[1]


def _relax(activation, low, high):
    """Relax an activation on [low, high], vectors [m].

    Returns:
      slope, under, over: `slope t + under <= a(t) <= slope t + over` on [low, high].
      least, most: the range.
      The `extra` constant coordinates come first in all but the slope.
    """
    width = high - low
    kinks = [np.clip(np.full_like(low, kink), low, high) for kink in activation.kinks]
    grid = np.linspace(low, high, _GRID)
    grid = np.sort(np.stack([*grid, *kinks]), axis=0)
    grid[0], grid[-1] = low, high
    with jax.enable_x64(True):
        values = np.asarray(activation.function(jnp.asarray(grid)), np.float64)
    constants = values[0, : activation.extra]
    values = values[:, activation.extra :]
    error = _FUNCTION * (abs(values).max(axis=0) + (activation.low > 0) + 1e-300)
    if not np.isfinite(values).all():
        raise OverflowError(f"{activation.name} overflows on the box: make the box smaller")
    slope = np.where(width > 0, (values[-1] - values[0]) / np.where(width > 0, width, 1.0), 0.0)
    step = np.diff(grid, axis=0).max(axis=0)
    curvature = np.exp(high) if np.isinf(activation.curvature) else activation.curvature
    bulge = curvature * step**2 / 8 * (1 + 1e-9)
    gap = values - slope * grid
    error = error + 4 * np.finfo(float).eps * abs(slope) * np.maximum(abs(low), abs(high))
    under, over = gap.min(axis=0) - bulge - error, gap.max(axis=0) + bulge + error
    small = 0.0 if activation.monotone else bulge
    shifted = not activation.extra and activation.low > 0  # a sum with 1 or so: absolute errors
    relative = _FUNCTION * (abs(values) + shifted)
    least = (values - relative).min(axis=0) - small
    most = (values + relative).max(axis=0) + small
    if not activation.extra:  # the declared range, widened by what evaluation can round away
        floor, ceiling = activation.low, activation.high
        least = np.maximum(least, floor - _FUNCTION * (1 + abs(floor)) if floor else 0.0)
        most = np.minimum(most, ceiling + _FUNCTION * (1 + abs(ceiling)))
    join = lambda a: np.concatenate([constants, a])  # noqa: E731
    return slope, join(under), join(over), join(least), join(most)


def _evaluate(network, x):
    with jax.enable_x64(True):
        return np.asarray(apply(network, jnp.asarray(x, jnp.float64)))


def _gamma(terms: int) -> float:
    """Bound on the relative rounding error of a float64 dot product of that many terms, doubled
    (Higham 2002, section 3.1)."""
    return 2.0 * (terms + 2) * float(np.finfo(np.float64).eps)
