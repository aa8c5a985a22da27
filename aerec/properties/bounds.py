"""Certificates: bounds of an encoder on a box that hold at every point of it.

An encoder here is a `Network`: affine layers with activations of a catalogue. It is bounded by
`propagation`, on boxes that branch and bound splits until each is proven.
"""

import heapq
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aerec.properties import propagation
from aerec.properties.propagation import Affine, Network
from aerec.properties.relaxation import evaluate

__all__ = ["Affine", "Certificate", "Network", "apply", "interval", "margin_order", "nonzero"]

# Better slopes close a tenth to a quarter of the distance from the chords' bound of a score to the
# score. They are sought where less than this share of it is missing, in so many steps.
_SHARE, _STEPS = 0.2, 10

_quietly = np.errstate(over="ignore", invalid="ignore")  # what is not finite proves nothing


class Certificate(NamedTuple):
    """The outcome of branch and bound.

    Attributes:
      proven: whether the property holds on the whole box.
      bound: the worst bound of all sub-boxes.
      boxes: the number of boxes examined.
      counterexample: the centre of a box where the property fails in float64, or None.
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


@_quietly
def interval(network: Network, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute lower and upper bounds [m] of the code on a box [n], the tighter of IBP and CROWN."""
    last = propagation.forward(network, *_box(network, low, high))[-1]
    return last.least, last.most


@_quietly
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
    low, high = _box(network, low, high)
    if ((low <= 0) & (high >= 0)).all():
        raise ValueError("the box contains 0, where P3 asks nothing: leave 0 out of the box")

    def examine(lo, hi):
        centre = _middle(lo, hi)
        code = _evaluate(network, centre)
        size = np.linalg.norm(code)
        relaxed = propagation.forward(network, lo, hi)
        last = relaxed[-1]
        away = float(np.max(np.maximum(last.least, -last.most), initial=-np.inf))
        if away <= 0 and size > 0:
            score = partial(propagation.score, network, relaxed, code / size, lo, hi)
            away = max(away, _bound(score, size))
        return away, centre if away <= 0 and not code.any() else None

    return _branch(examine, low, high, network[0].weight, budget)


@_quietly
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
    (x, _), boxes = _box(network, x, x), [_box(network, *pair) for pair in (box_u, box_v)]
    reach = [_product(x, np.where(x > 0, *ends)) for ends in (boxes[0], boxes[1][::-1])]
    if reach[0] < reach[1]:
        raise ValueError(
            f"the boxes overlap along x: {float(reach[0]):g} of u under {float(reach[1]):g} of v"
        )
    code, n = _evaluate(network, x), len(x)
    try:
        around = interval(network, x, x)
    except OverflowError:
        return Certificate(False, -np.inf, 0, None)
    wobble = np.maximum(abs(around[1] - code), abs(code - around[0]))

    def examine(lo, hi):
        sides = []
        for part, direction in ((slice(n), code), (slice(n, None), -code)):
            relaxed = propagation.forward(network, lo[part], hi[part])
            sides.append((relaxed, direction, lo[part], hi[part]))
        scores = [partial(propagation.score, network, *side, wobble=wobble) for side in sides]
        centre = _middle(lo, hi)
        gap = code @ (_evaluate(network, centre[:n]) - _evaluate(network, centre[n:]))
        margin = _bound(lambda steps: scores[0](steps=steps) + scores[1](steps=steps), gap)
        wrong = margin <= 0 and gap < -1e-9 * max(1.0, float(code @ code))
        return margin, centre if wrong else None

    low, high = (np.concatenate([pair[side] for pair in boxes]) for side in (0, 1))
    weight = np.concatenate([network[0].weight, network[0].weight], axis=1)
    return _branch(examine, low, high, weight, budget)


def _branch(examine, low, high, weight, budget) -> Certificate:
    """Split the worst box until all are proven positive, one is refuted, or the budget is spent.

    A box on which an activation overflows has no bound, but its parts may have one.
    """

    def look(lo, hi):
        try:
            value, bad = examine(lo, hi)
        except OverflowError:
            return -np.inf, None
        return -np.inf if np.isnan(value) else value, bad

    bound, bad = look(low, high)
    heap: list[tuple] = [(bound, 0, low, high)]
    count = 1
    while heap[0][0] <= 0 and bad is None and count < budget:
        _, _, lo, hi = heapq.heappop(heap)
        axis = int(np.argmax((hi - lo) * abs(weight).sum(axis=0)))
        middle = _middle(lo, hi)[axis]
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


def _evaluate(network, x):
    """Evaluate the network in float64 at x [..., n]; NumPy's sums do not flush to zero."""
    for weight, bias, activation in network:
        x = evaluate(activation, x @ np.asarray(weight).T + bias)
    return x


def _bound(score, attained) -> float:
    """Bound a score on a box from below by the chords' lines, or better ones where they may do.

    Args:
      score: steps for the slopes -> the bound.
      attained: the score at a point of the box.
    """
    value = score(steps=0)
    if value <= 0 and -value < _SHARE * (attained - value):
        value = max(value, score(steps=_STEPS))
    return value


def _middle(low, high):
    return np.clip(low / 2 + high / 2, low, high)


def _product(x, y) -> Fraction:
    """Compute <x, y> without rounding."""
    return sum((Fraction(a) * Fraction(b) for a, b in zip(x, y, strict=True)), Fraction())


def _box(network, low, high):
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    shape = (np.shape(network[0].weight)[1],)
    if low.shape != shape or high.shape != shape or not (low <= high).all():
        raise ValueError(f"a box needs low <= high, two vectors of {shape[0]} numbers")
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError("a box needs finite ends")
    return low, high
