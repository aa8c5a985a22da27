"""What a zero code is evidence of (P3).

A code that is exactly 0 in floating point is a zero of the encoder, or too small for the format: a
sigmoid never vanishes on paper, but in float32 it is exactly 0 from -104 on, and from -88 on where
XLA flushes subnormal numbers to 0, as on a CPU. An encoder is a black box, so that the way in which
its codes fall to 0 decides. Near a zero of finite order p they fall like `d^p` with the distance d
(relu: 1; products and powers: more). An exponential falls faster than any power.
"""

import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aerec.properties import order
from aerec.properties.encoder import Encoder, Failed

KINDS = ("exact", "crossing", "root", "undecided", "underflow", "near")  # the strongest first
PROVEN = KINDS[:2]  # these refute
SMALL = ("root", "near")  # the code is not 0
ORDER = 32.0  # a larger order of a zero is not told from an exponential
_ISOLATED = 1e-6  # of |x|: nearer to the codes that are not 0, x is on the edge of the zeros
_DECADES = 3.0  # of codes between 0 and the usual size, at least, in which an order shows
_SPAN = 30.0  # factor of distances over which a power law is seen, at least
_SMOOTH = {"exp", "exp2", "expm1", "log", "log1p", "logistic", "tanh", "erf", "erfc", "pow", "div"}
_STEPS = {"gt", "lt", "ge", "le", "eq", "ne", "sign", "floor", "ceil", "round"}


class Zero(NamedTuple):
    """A point `x != 0` whose code is 0, or nearly.

    Attributes:
      x: [n] float64.
      norm: the largest `|f_k(x)|` in float64, relative to its usual magnitude.
      kind: what is known of it.
        "exact": the code is exactly 0, and approached like a power of the distance.
        "crossing": the code passes 0 near x: by a sign change of its only coordinate, or by bounds
        of the layers (`crossing.around`).
        "root": the code is 0 but for the rounding of x, and each coordinate changes its sign around
        x: evidence that it vanishes nearby, and no proof.
        "underflow": 0 in floating point, approached faster than any power of order `ORDER`.
        "undecided": 0 in floating point, and the approach does not show why.
        "near": small, without such evidence.
      source: the method that found it.
      reach: of a crossing: the largest distance in a coordinate from x to where f vanishes.
    """

    x: np.ndarray
    norm: float
    kind: str
    source: str
    reach: float | None = None


class Census(NamedTuple):
    """Floating-point zeros in a sample of codes.

    Attributes:
      codes: how many.
      zero: codes that are exactly 0.
      subnormal: subnormal entries.
      smallest_norm: the smallest non-zero norm.
      dead: coordinates that are 0 in every code.
    """

    codes: int
    zero: int
    subnormal: int
    smallest_norm: float
    dead: tuple[int, ...]


class Surroundings(NamedTuple):
    """What the codes of other points say.

    Attributes:
      usual: the median size of codes that are not 0.
      away: [K, n], points with such codes; none if every code is 0.
    """

    usual: float
    away: np.ndarray


def census(codes: np.ndarray) -> Census:
    """Count the zeros of codes [N, m] in their own precision."""
    codes = np.asarray(codes)
    size = abs(codes.astype(np.float64))
    tiny = np.finfo(codes.dtype if codes.dtype.kind == "f" else np.float32).tiny
    top = size.max(axis=1)
    norms = top * np.linalg.norm(size / order.safe(top)[:, None], axis=1)
    return Census(
        codes=len(codes),
        zero=int((top == 0).sum()),
        subnormal=int(((size > 0) & (size < tiny)).sum()),
        smallest_norm=float(norms[top > 0].min()) if (top > 0).any() else 0.0,
        dead=tuple(np.flatnonzero(size.max(axis=0) == 0).tolist()),
    )


def sizes(codes: np.ndarray) -> np.ndarray:
    """Return the largest magnitude of each code [N, m]: a norm of which no square underflows."""
    return np.nan_to_num(abs(codes), posinf=np.finfo(float).max).max(axis=1)


def survey(encoder: Encoder, points: np.ndarray, codes: np.ndarray) -> Surroundings:
    """Measure the codes [N, m] of points [N, n]; if all are 0, look far out along three rays."""
    norms = sizes(codes)
    for power in range(8, 1000, 16) if not norms.any() else ():
        with np.errstate(over="ignore"):
            points, norms = (a[:3] for a in (points, norms))
            far = 2.0**power * points
            if np.isfinite(far).all() and (norms := sizes(encoder.exact(far))).any():
                points = far
                break
    live = np.flatnonzero(norms > 0)
    live = live[np.argsort(norms[live], kind="stable")]
    picked = live[[len(live) // 2, -1, len(live) // 8]] if len(live) else live
    return Surroundings(float(np.median(norms[live])) if len(live) else 1.0, points[picked])


def examine(encoder: Encoder, x: np.ndarray, around: Surroundings, source: str) -> Zero:
    """Examine a point [n] whose code is 0, in the precision of use or in float64."""
    x = np.asarray(x, np.float64)
    size = float(sizes(encoder.exact(x[None]))[0])
    if size > 0:  # the coarser format of use alone gives 0
        tiny = np.finfo(np.float16 if encoder.eps == np.finfo(np.float16).eps else np.float32).tiny
        return Zero(x, size / around.usual, "underflow" if size < tiny else "undecided", source)
    if not len(around.away):
        kind = "undecided" if _programmed(encoder) & _SMOOTH else "exact"
        return Zero(x, 0.0, kind, source)
    kinds = [approach(encoder, x, away, around.usual) for away in around.away]
    kind = next(k for k in ("exact", "underflow", "undecided") if k in kinds)
    return Zero(x, 0.0, kind, source)


def approach(encoder: Encoder, x: np.ndarray, away: np.ndarray, usual: float) -> str:
    """Decide by the codes between a zero code at x and a code at `away` that is not 0.

    The segment is narrowed down to an edge of the zeros. From there the distances t at which the
    code first reaches the levels `L_0 < L_1 < ...`, evenly spaced in the logarithm by h, are
    measured. If the code grows like `(t - s)^p`, the gaps of these distances grow by the factor
    `exp(h / p)`, whatever s and the units are. If it grows exponentially, they do not grow, and
    for `exp(-1/t)` the order p that they show rises towards the edge. The zero is exact if the
    order at the edge is finite and settled, and x is well inside the zeros, by the fitted s, or on
    their edge. A jump tells nothing of its own: it counts as a step if the encoder's program has
    comparisons and no smooth function that could be that steep.
    """
    way = away - x

    def size(shares):
        with np.errstate(all="ignore"):
            return sizes(encoder.exact(x + shares[:, None] * way))

    near, far = 0.0, 1.0
    try:
        for _ in range(16):  # to 2^-80
            shares = near + (far - near) * np.arange(1, 32) / 32
            first = int(np.argmax(np.append(size(shares) != 0, True)))
            near = shares[first - 1] if first > 0 else near
            far = shares[first] if first < len(shares) else far
        steps = np.append(0.0, 2.0 ** np.linspace(-80, 0, 255)) * (1 - far)
        with np.errstate(divide="ignore"):
            heights = np.log(np.maximum.accumulate(size(far + steps)))
    except Failed:  # of an encoder that takes no points between those of its domain
        return "undecided"
    rises = np.append(np.diff(heights) > 0, True)
    low, high = heights[0] + np.log(16), heights[-1] - np.log(2)
    if not high - low > _DECADES * np.log(10):
        program = _programmed(encoder)
        return "exact" if program & _STEPS and not program & _SMOOTH else "undecided"
    reached = far + np.interp(np.linspace(low, high, 6)[:4], heights[rises], steps[rises])
    gaps = np.diff(reached)
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.log(gaps[1:] / gaps[:-1])
    orders = np.where(growth > 1e-3, (high - low) / 5 / np.maximum(growth, 1e-3), np.inf)
    settled = orders[0] <= min(1.25 * orders[1] + 0.5, (high - low) / np.log(_SPAN))
    if orders[0] > ORDER or not settled:
        tiny = heights[0] < np.log(usual) - 150 * np.log(2)
        return "underflow" if tiny and orders[0] > ORDER else "undecided"
    inside = gaps[0] / np.expm1(growth[0]) <= far / 2  # from s to the lowest level
    edge = far * np.linalg.norm(way) <= _ISOLATED * np.linalg.norm(x)
    return "exact" if inside or edge else "undecided"


def _programmed(encoder: Encoder) -> set[str]:
    """Return the names of the operations of an encoder; a smooth one if JAX cannot trace it."""
    if not encoder.traceable:
        return {"exp"}
    program = str(jax.make_jaxpr(encoder.single)(jnp.zeros(encoder.n)))
    return set(re.findall(r"= ([a-z]\w*)[\[ ]", program))
