"""The search for zeros of an encoder: among drawn points, by Gauss-Newton, in rows of data."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aerec.properties import crossing, order, zeros
from aerec.properties.domain import Data, Domain, Space
from aerec.properties.encoder import Encoder, resolution
from aerec.properties.problem import Problem
from aerec.properties.propagation import Network
from aerec.properties.zeros import Zero

_ROOT = 1e-9  # of an approximate root: bound of code and Newton step, relative
_SHORT = 1e-4  # of |x|: a Newton step near a zero of higher order
_CALLS = 2**16  # rows that a search by finite differences may encode, approximately
_SCALES = (-8, -6, -4, -2, 2, 4, 6, 8)  # powers of two at which all of R^n is searched as well
_TRIES = 8  # approximate roots that are examined


class Rows(NamedTuple):
    """The zero codes of the rows of data.

    Attributes:
      zero: non-zero rows of users and items whose code is 0, in the precision of use.
      rows: all non-zero rows.
      smallest: the smallest norm of a code that is not 0, relative to the median of its side.
      example: a row with a zero code, or else with a code that is nearly 0; None if there is none.
    """

    zero: int
    rows: int
    smallest: float
    example: Zero | None


def search(
    encoder: Encoder,
    domain: Domain,
    key: jax.Array,
    *,
    seen: np.ndarray | None = None,
    network: Network | None = None,
    starts: int = 32,
    rounds: int = 80,
) -> Zero | None:
    """Search the domain for a zero of `f` away from x = 0; None if none is found.

    Points with a zero code come first: `seen` and those drawn. Then damped Gauss-Newton minimises
    `|f|^2` in float64 inside the domain, from the points with the smallest codes, and on all of R^n
    from points 2^-8 to 2^8 times as large too. Where JAX cannot trace the encoder, derivatives are
    finite differences, which work as well and cost n + 1 calls. Zeros that refute are preferred to
    others, and zeros with the norm of drawn points to other norms. Consumes `key`.

    Args:
      seen: a point [n] whose code is 0 in the precision of use.
      network: the layers of the encoder, if they are known. With more than one coordinate, a zero
        is not proven without them, unless it is a float.
    """
    points, codes, base = _drawn(encoder, domain, key, starts)
    if not len(points):
        return None
    around = zeros.survey(encoder, points[:base], codes[:base])
    norms = zeros.sizes(codes)
    found = [] if seen is None else [zeros.examine(encoder, seen, around, "counted")]
    found += [zeros.examine(encoder, x, around, "drawn") for x in points[norms == 0][:4]]
    usual_norm = float(np.median(np.linalg.norm(points[:base], axis=1)))

    def misplaced(x):  # by which factor its norm is out of place
        share = max(float(np.linalg.norm(x)) / usual_norm, 1e-300)
        return max(1.0, 0.25 / share, share / 4)

    if domain.continuous and not any(zero.kind in zeros.PROVEN for zero in found):
        best = np.concatenate([
            points[:base][np.argsort(norms[:base])[: starts // 2]], points[: starts // 2],
            points[base:][:: max(1, (len(points) - base) // starts)],
            _aimed(points[:base], codes[:base], domain),
        ])  # fmt: skip
        root = max(_ROOT, 8 * resolution(codes))
        for x, slopes in _candidates(encoder, domain, best, rounds, root, around, misplaced):
            found.append(_root(encoder, domain, x, slopes, around, network))
            if found[-1].kind in zeros.PROVEN:
                break
    return min(
        found, default=None,
        key=lambda z: (max(1, zeros.KINDS.index(z.kind)), misplaced(z.x), z.norm),
    )  # fmt: skip


def rows(problem: Problem) -> Rows:
    """Examine the codes of every row of a data domain (P3)."""
    data = problem.domain
    assert isinstance(data, Data)
    dead, counted, smallest = 0, 0, np.inf
    found: list[Zero] = []
    users, items = data.shape
    for encoder, count, take, side in (
        (problem.users, users, data.user_rows, "a user"),
        (problem.items, items, data.item_rows, "an item"),
    ):
        norms = np.full(count, np.nan)  # NaN: a zero row
        for part in np.array_split(np.arange(count), -(-count // 256)):
            points = take(part)
            size = zeros.sizes(np.asarray(encoder.native(points), np.float64))
            norms[part] = np.where(points.any(axis=1), size, np.nan)
        zero, live = np.flatnonzero(norms == 0), norms[norms > 0]
        dead, counted = dead + len(zero), counted + len(zero) + len(live)
        ratio = float(live.min() / np.median(live)) if len(live) else np.inf
        if len(zero):
            some = take(np.linspace(0, count - 1, min(count, 512)).astype(int)).astype(np.float64)
            some = some[some.any(axis=1)]
            around = zeros.survey(encoder, some, encoder.exact(some))
            source = f"{side} of the data"
            found += [zeros.examine(encoder, x, around, source) for x in take(zero[:4])]
        elif ratio <= max(_ROOT, order.TIES * encoder.eps):
            x = take(np.array([np.nanargmin(norms)]))[0].astype(np.float64)
            found.append(Zero(x, ratio, "near", f"{side} of the data"))
        smallest = min(smallest, ratio)
    example = min(found, default=None, key=lambda zero: zeros.KINDS.index(zero.kind))
    return Rows(dead, counted, smallest, example)


def _drawn(encoder, domain, key, starts) -> tuple[np.ndarray, np.ndarray, int]:
    """Draw points [P, n] with finite codes [P, m]; the first so many have the domain's scale."""
    count = max(starts, min(4096, 2**22 // domain.dimension))
    if not encoder.traceable:
        count = min(count, 512)
    points = np.array(domain.points(key, count), np.float64)
    scales = np.zeros(count)
    if isinstance(domain, Space):
        scales = np.append(scales, np.repeat(_SCALES, count // 8))
        points = np.concatenate([points, *(points[: count // 8] * 2.0**k for k in _SCALES)])
    codes = encoder.exact(points)
    good = points.any(axis=1) & np.isfinite(codes).all(axis=1)
    return points[good], codes[good], int((scales[good] == 0).sum())


def _candidates(encoder, domain, starts, rounds, root, around, misplaced):
    """Return a few approximate roots with their Jacobians, the most promising first.

    Codes that are not 0 come first, as a proof decides. A point at which Newton's method has
    not converged (a zero of higher order) counts if its code is small, its steps are, and its norm
    is not: where a sigmoid falls, steps remain large.
    """
    x, jacobians, shift = _gauss_newton(encoder, domain, starts, rounds, root)
    norms = zeros.sizes(encoder.exact(x)) / around.usual
    place = np.array([misplaced(point) for point in x])
    good = (norms < root) & domain.contains(x) & x.any(axis=1)
    good &= np.where(shift <= root, place < 1e6 / 4, (place < 1e2 / 4) & (shift <= _SHORT))
    picked = sorted(np.flatnonzero(good), key=lambda i: (place[i], shift[i] > root, norms[i]))
    small = [i for i in picked if norms[i] > 0][:_TRIES]
    return [(x[i], jacobians[i]) for i in small + [i for i in picked if norms[i] == 0][:4]]


def _root(encoder, domain, x, jacobian, around, network) -> Zero:
    """Examine an approximate root of Newton's method."""
    eps = resolution(encoder.exact(around.away)) if len(around.away) else encoder.eps
    x, kind, reach = crossing.around(encoder.exact, domain, x, jacobian, eps, network)
    norm = float(zeros.sizes(encoder.exact(x[None]))[0]) / around.usual
    if reach is None and norm == 0:
        return zeros.examine(encoder, x, around, "Newton")
    return Zero(x, norm, kind, "Newton", reach)


def _aimed(points: np.ndarray, codes: np.ndarray, domain: Domain) -> np.ndarray:
    """Return starts at which an affine fit of the encoder predicts chosen codes.

    The codes are 0, or a few standard deviations high or low in every coordinate: on one monotone
    branch of an activation that has two.
    """
    fit = np.linalg.lstsq(np.column_stack([points, np.ones(len(points))]), codes, rcond=None)[0]
    targets = np.array([0.0, 1.0, -1.0, 2.0, -2.0, 4.0, -4.0, 8.0])[:, None] * codes.std(axis=0)
    aims = (targets - fit[-1]) @ np.linalg.pinv(fit[:-1])
    return aims[np.isfinite(aims).all(axis=1) & domain.contains(aims)]


def _gauss_newton(encoder, domain, starts, rounds, root):
    """Iterate `x -= J^T (J J^T + mu)^-1 f`, with halved steps.

    Returns:
      x [S, n], a Jacobian near each [S, m, n], and the last step relative to |x| [S]: 0 where the
      code is 0.
    """
    # the starts are limited by the Jacobians, all in memory at once, or by the calls
    most = 2**26 // (encoder.n * encoder.m)
    if not encoder.traceable:
        most = min(most, _CALLS // (16 * encoder.n))
    most = max(3, min(len(starts), most))
    starts = starts[::-1][:: -(-len(starts) // most)]  # includes the aimed starts
    if not encoder.traceable:  # each start costs n + 8 calls a round
        rounds = min(rounds, -(-_CALLS // (len(starts) * (encoder.n + 8))))
    with (
        jax.enable_x64(True),
        jax.default_matmul_precision("highest"),
        np.errstate(over="ignore", invalid="ignore"),
    ):
        advance, size = (_traced if encoder.traceable else _by_differences)(encoder)
        x = np.asarray(starts)
        for _ in range(rounds):  # NumPy except for the codes, so nothing else is compiled
            value, slopes = advance(x)
            value, step = np.asarray(value), np.asarray(_steps(value, slopes))
            best, low = x, np.linalg.norm(value, axis=1)
            for halving in range(6):
                way = 0.5**halving * step
                moved = np.nan_to_num(x + way)
                if not isinstance(domain, Space):
                    moved = np.asarray(domain.step(x, np.nan_to_num(way), 1.0))
                new = np.asarray(size(moved))
                better = new < low
                best = np.where(better[:, None], moved, best)
                low = np.where(better, new, low)
            length, size_x = (np.linalg.norm(a, axis=1) for a in (step, x))
            # a zero Jacobian gives no step, which is not convergence
            shift = np.where(length > 0, length / order.safe(size_x), _SHORT)
            shift = np.where(low == 0, 0.0, shift)
            moving = (best != x).any()
            x = best
            if (shift <= root).mean() >= 0.5 or not moving:
                break
        return x, np.asarray(slopes), shift


@jax.jit
@jax.vmap
def _steps(value: jax.Array, jacobian: jax.Array) -> jax.Array:
    """Steps `[S, n]` from codes `[S, m]` and Jacobians `[S, m, n]`, whichever encoder's."""
    scale = order.safe(jnp.max(jnp.abs(value)))  # so that nothing below underflows
    value, jacobian = value / scale, jacobian / scale
    outer = jacobian @ jacobian.T
    mu = 1e-14 * jnp.trace(outer) + 1e-300
    away = jnp.linalg.solve(outer + mu * jnp.eye(len(value), dtype=value.dtype), value)
    return -jacobian.T @ away


def _traced(encoder):
    """Return functions of points [S, n] -> (codes, Jacobians), and -> norms, traced by JAX."""
    f = encoder.single
    slopes = jax.jit(jax.vmap(lambda x: (f(x), jax.jacrev(f)(x))))
    return slopes, jax.jit(jax.vmap(lambda x: jnp.linalg.norm(f(x))))


def _by_differences(encoder):
    """Return the same functions for a callable without derivatives, by finite differences."""
    corner = np.eye(encoder.n)

    def advance(points):
        points = np.asarray(points)
        value = encoder.exact(points)
        width = resolution(value) ** (2 / 3) * order.safe(abs(points).max(axis=1))
        slopes = [
            (encoder.exact(x + h * corner) - code).T / h
            for x, code, h in zip(points, value, width, strict=True)
        ]
        return value, np.nan_to_num(np.stack(slopes))

    return advance, lambda points: np.linalg.norm(encoder.exact(points), axis=1)
