"""Bounds of a network on a box: intervals forwards, lines backwards, with the best slopes.

The tighter of two bounds is used: intervals (Gowal et al. 2018, IBP) and lines in place of the
activations, substituted from the last layer to the first (Zhang et al. 2018, CROWN). The slopes of
the lines are free. They start at the chords' and can be improved by projected gradient steps (Xu et
al. 2021, alpha-CROWN): whatever slopes come out, the bound they give is sound.

Everything is float64 with outward rounding: each sum of products is widened by
`gamma(terms) * sum |products|`, a bound on its rounding error, and by `UNDERFLOW` times the sizes
of its factors, a bound on what is lost below the normal numbers.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from aerec.properties.relaxation import UNDERFLOW, Relaxation, gamma, relax

_RATE = 0.15  # the first step for a slope, as a share of its range
_MEMORY = 0.9  # of past squared gradients


class Affine(NamedTuple):
    """One layer `a(W x + b)`: `weight [m, n]`, `bias [m]`, `activation`.

    The activation is an entry of a catalogue, with the attributes name, function, low, high,
    monotone, kinks, curvature and extra.
    """

    weight: np.ndarray
    bias: np.ndarray
    activation: Any


Network = Sequence[Affine]

IDENTITY = SimpleNamespace(
    name="identity", function=lambda t: t, low=-np.inf, high=np.inf, monotone=True, kinks=(),
    curvature=0.0, extra=0,
)  # fmt: skip


def forward(network: Network, low: np.ndarray, high: np.ndarray) -> list[Relaxation]:
    """Relax every activation on the box [n]; the last one's range bounds the code.

    Raises:
      OverflowError: an argument or a value of an activation may not be finite.
    """
    relaxed: list[Relaxation] = []
    least, most = low, high
    for depth, (weight, bias, activation) in enumerate(network):
        weight, bias = np.asarray(weight, np.float64), np.asarray(bias, np.float64)
        centre = least / 2 + most / 2
        radius = np.maximum(most - centre, centre - least) + 1e-15 * abs(centre) + UNDERFLOW
        middle, spread = weight @ centre + bias, abs(weight) @ radius
        reach = abs(centre) + radius
        slack = gamma(weight.shape[1]) * (abs(weight) @ reach + abs(bias))
        slack = slack + UNDERFLOW * (1 + abs(weight).sum(axis=1) + reach.sum())
        pre = middle - spread - slack, middle + spread + slack
        if depth:
            below, chords = network[:depth], [layer.slope for layer in relaxed]
            under = -_upper(below, relaxed, chords, -weight, -bias, low, high)
            over = _upper(below, relaxed, chords, weight, bias, low, high)
            pre = np.fmax(pre[0], under), np.fmin(pre[1], over)
        relaxed.append(relax(activation, *pre))
        least, most = relaxed[-1].least, relaxed[-1].most
    return relaxed


def score(
    network: Network,
    relaxed: list[Relaxation],
    direction: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    wobble: Any = 0.0,
    steps: int = 0,
) -> float:
    """Bound `<d, f(x)>` on the box from below, for every d within `wobble [m]` of `direction`.

    The tightest of intervals, the chords' lines, and the lines after `steps` for their slopes is
    returned.
    """
    slopes = [[layer.slope for layer in relaxed]]
    if steps:
        slopes.append(best_slopes(network, relaxed, -direction[None], low, high, steps))
    rows = -direction[None], np.zeros(1), low, high
    by_lines = max(-_upper(network, relaxed, each, *rows)[0] for each in slopes)
    least, most = relaxed[-1].least, relaxed[-1].most
    reach = np.maximum(abs(least), abs(most))
    slack = gamma(len(direction)) * np.sum(abs(direction) * reach)
    slack = slack + UNDERFLOW * (1 + np.sum(abs(direction)) + np.sum(reach))
    by_intervals = np.minimum(direction * least, direction * most).sum() - slack
    drift = 1.001 * np.sum(wobble * reach) + UNDERFLOW * (1 + np.sum(wobble) + np.sum(reach))
    return float(np.fmax(by_lines, by_intervals) - drift)


def _upper(network, relaxed, slopes, a, c, low, high):
    """Bound `a f(x) + c` [k] from above, by lines from the last layer to the first.

    The slopes of a layer are [m], or [k, m]. The rounding error of each product is added to the
    slack on the way.
    """
    slack = np.zeros(len(a))
    for depth in reversed(range(len(network))):
        weight, bias = (np.asarray(part, np.float64) for part in network[depth][:2])
        layer, slope = relaxed[depth], slopes[depth]
        under, over = layer.lines(slope)
        below = (relaxed[depth - 1].least, relaxed[depth - 1].most) if depth else (low, high)
        inputs = np.maximum(abs(below[0]), abs(below[1]))
        # a . act(y) <= sum a (slope y) + a+ over + a- under, for y between its bounds
        const = np.maximum(a, 0) * over + np.minimum(a, 0) * under
        reach = np.maximum(abs(layer.least), abs(layer.most))
        terms = a.shape[1] + weight.shape[1] + 4
        slack = slack + gamma(terms) * (abs(const).sum(axis=1) + abs(a) @ reach + abs(c))
        c = c + const.sum(axis=1)
        factors = 1 + abs(a).sum(axis=1) + abs(slope).sum(axis=-1)
        a = a[:, len(layer.constants) :] * slope
        c = c + a @ bias
        # the rounding error of the product below is bounded for the widest inputs that this
        # layer can receive on the box
        widest = abs(bias) + abs(weight) @ inputs
        slack = slack + gamma(terms) * (abs(a) @ widest + abs(c))
        others = 1 + (abs(under) + abs(over)).sum(axis=-1) + widest.sum() + inputs.sum()
        slack = slack + UNDERFLOW * (factors + abs(a).sum(axis=1)) * others
        a = a @ weight
    terms = a * np.where(a > 0, high, low)
    slack = slack + gamma(a.shape[1] + 4) * (abs(terms).sum(axis=1) + abs(c))
    slack = slack + UNDERFLOW * (1 + abs(a).sum(axis=1) + inputs.sum())
    return c + terms.sum(axis=1) + 2 * slack


def best_slopes(network, relaxed, a, low, high, steps):
    """Lower the upper bounds of `a f(x)` [k] by projected gradient steps on the slopes.

    A slope stays between the least and the largest of its activation between grid points. A step is
    a share of that range, for a derivative of the usual size (RMSProp), and shrinks to 0.

    Returns:
      Of each layer the best slopes met for each row, [k, m].
    """
    slopes, floors, ceilings = [], [], []
    for layer in relaxed:
        rise, run = np.diff(layer.values, axis=0), np.diff(layer.grid, axis=0)
        steep = np.where(run > 0, rise / np.where(run > 0, run, 1), layer.slope)
        floors.append(steep.min(axis=0))
        ceilings.append(steep.max(axis=0))
        slopes.append(np.tile(layer.slope, (len(a), 1)))
    found, least = list(slopes), np.full(len(a), np.inf)
    squares: list[Any] = [None] * len(relaxed)
    for step in range(steps):
        value, gradients = slope_gradients(network, relaxed, slopes, a, low, high)
        better = (value < least)[:, None]
        least = np.minimum(value, least)
        found = [np.where(better, new, old) for new, old in zip(slopes, found, strict=True)]
        for depth, gradient in enumerate(gradients):
            past = squares[depth] if step else gradient**2
            squares[depth] = _MEMORY * past + (1 - _MEMORY) * gradient**2
            size = np.sqrt(np.where(squares[depth] > 0, squares[depth], 1))
            rate = _RATE * (1 - step / steps) * (ceilings[depth] - floors[depth])
            moved = slopes[depth] - rate * gradient / size
            slopes[depth] = np.clip(moved, floors[depth], ceilings[depth])
    return found


def slope_gradients(network, relaxed, slopes, a, low, high):
    """Compute upper bounds of `a f(x)` [k], rounding aside, and their derivatives by the slopes.

    A row of `a` uses one line of each unit: the one over it where its factor is positive, else the
    one under it. With y the unit's argument at the input that the bound is attained for, and t the
    point where the line touches the activation, the derivative by the slope is `factor (y - t)`.
    """
    value, lines = np.zeros(len(a)), []
    for (weight, bias, _), layer, slope in zip(
        network[::-1], relaxed[::-1], slopes[::-1], strict=True
    ):
        extra = len(layer.constants)
        value, a = value + a[:, :extra] @ layer.constants, a[:, extra:]
        gap = np.where(a > 0, 1.0, -1.0)[:, None] * (layer.values - slope[:, None] * layer.grid)
        touch = gap.argmax(axis=1)
        pick = lambda table: np.take_along_axis(table, touch, axis=0)  # noqa: B023, E731
        at = pick(layer.grid)
        offset = pick(layer.values) - slope * at
        lines.append((a, at, offset))
        value, a = value + (a * offset).sum(axis=1) + (a * slope) @ bias, (a * slope) @ weight
    x = np.where(a > 0, high, low)
    value, gradients = value + (a * x).sum(axis=1), []
    for (weight, bias, _), layer, slope, (a, at, offset) in zip(
        network, relaxed, slopes, lines[::-1], strict=True
    ):
        y = x @ np.asarray(weight).T + bias
        gradients.append(a * (y - at))
        x = layer.join(slope * y + offset)
    return value, gradients
