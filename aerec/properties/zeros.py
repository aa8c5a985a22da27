"""Non-zero preservation (P3): does `f(x) = 0` for some `x != 0`?

One full-rank layer is decidable (theorem C). Deeper encoders are searched by Gauss-Newton, and
their zeros are rechecked in float64. Floating-point zeros are counted: a sigmoid never vanishes on
paper, but in float32 it is exactly 0 from -104 on, and from -88 on where XLA flushes subnormal
numbers to 0, as on a CPU. The module also computes the conditions of Lemma 1 and Proposition 1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # whose packages are imported where they are first used

from aerec.properties import order
from aerec.properties.domain import Data, Domain, Space
from aerec.properties.encoder import Encoder, resolution
from aerec.properties.problem import Problem

_UNDERFLOW = 1e-100  # a value that falls below this share of its usual size on the way to 0
_ROOT = 1e-9  # of an approximate root: bound of code and Newton step, relative
_CALLS = 2**16  # rows that a search by finite differences may encode, approximately


class Zero(NamedTuple):
    """A point `x != 0` with `f(x) = 0`.

    Attributes:
      x: [n] float64.
      norm: the largest `|f_k(x)|` in float64, relative to its usual magnitude.
      kind: "exact" (the code is exactly 0), "root" (Newton's method has converged, with a step far
        below |x|), or "underflow" (0 in floating point only: at the edge of the zeros, the code is
        smaller than any power law allows).
      source: the method that found it.
    """

    x: np.ndarray
    norm: float
    kind: str
    source: str


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


def one_layer(weight: Any, bias: Any, *, region: str = "point") -> np.ndarray | None:
    """Find `x != 0` with `f(x) = a(W x + b) = 0` for one layer, by theorem C.

    Args:
      weight: W, [m, n].
      bias: b, [m].
      region: "point" for activations that vanish at 0 alone (tanh, identity, ELU, leaky ReLU, ...):
        `x = -W^+ b`, or a null vector of W if `b = 0`. "negative" for those that vanish on all of
        (-inf, 0] (ReLU, ReLU6): `W x + b <= 0` by linear programming, with the largest slack.

    Returns:
      x [n] float64; None if there is none, which never happens for a full-rank W with m < n.
    """
    weight, bias = np.asarray(weight, np.float64), np.asarray(bias, np.float64)
    m, n = weight.shape
    if region == "negative":
        # maximise the depth t: W x + t <= -b, t <= 1, |x| <= big
        result = scipy.optimize.linprog(
            np.append(np.zeros(n), -1.0),
            A_ub=np.column_stack([weight, np.ones(m)]),
            b_ub=-bias,
            bounds=[(None, None)] * n + [(None, 1.0)],
        )
        if result.status == 0 and result.x[-1] >= 0:
            x = result.x[:-1]
            if x.any():
                return x
            nearby = 1e-3 * result.x[-1] / max(1.0, abs(weight).sum(axis=1).max())
            if nearby > 0:
                return np.full(n, nearby)
        return None if result.status != 0 or result.x[-1] < 0 else _null_vector(weight)
    x = -np.linalg.pinv(weight) @ bias
    if abs(weight @ x + bias).max(initial=0.0) > 1e-9 * max(1.0, abs(bias).max(initial=0.0)):
        return None
    return x if abs(bias).max(initial=0.0) > 0 and x.any() else _null_vector(weight)


def search(
    encoder: Encoder, domain: Domain, key: jax.Array, *, starts: int = 32, rounds: int = 80
) -> Zero | None:
    """Search the domain for a zero of `f` away from x = 0; None if none is found.

    Drawn points are checked first. Then damped Gauss-Newton minimises `|f|^2` in float64 inside the
    domain, from the points with the smallest codes. Where JAX cannot trace the encoder,
    derivatives are finite differences, which work as well and cost n + 1 calls. True zeros are
    preferred to underflows, and zeros with the norm of drawn points to zeros near 0. Consumes
    `key`.
    """
    count = max(starts, min(4096, 2**22 // domain.dimension))
    if not encoder.traceable:
        count = min(count, 512)
    points = np.array(domain.points(key, count), np.float64)
    points = points[points.any(axis=1)]
    codes = encoder.exact(points)
    points, codes = (a[np.isfinite(codes).all(axis=1)] for a in (points, codes))
    norms = np.nan_to_num(abs(codes)).max(axis=1)  # not the Euclidean norm: squares underflow
    usual = float(np.median(norms[norms > 0])) if (norms > 0).any() else 1.0
    zero = points[norms == 0]
    root = max(_ROOT, 8 * resolution(codes))
    away = points[np.argmax(norms)]
    found = [_classify(encoder, x, away, usual, root, "drawn") for x in zero[:4]]
    sizes = np.linalg.norm(points, axis=1)
    if domain.continuous:
        best = np.concatenate([points[np.argsort(norms)[: starts // 2]], points[: starts // 2]])
        if isinstance(domain, Space):  # activations that are not monotone mislead at large norms
            best = np.concatenate([best, 0.1 * points[: starts // 2]])
        best = np.concatenate([best, _aimed(points, codes, domain)])
        for x in _gauss_newton(encoder, domain, best, rounds, root):
            if domain.contains(x[None])[0] and np.linalg.norm(x) > 1e-6 * sizes[0]:
                found.append(_classify(encoder, x, away, usual, root, "Newton"))
    far = float(np.median(sizes)) / 4
    return min(
        (zero for zero in found if zero is not None), default=None,
        key=lambda z: (z.kind == "underflow", max(1.0, far / np.linalg.norm(z.x)), z.norm),
    )  # fmt: skip


def rows(problem: Problem) -> tuple[int, int, Zero | None]:
    """Count the zero codes of a data domain (P3).

    Returns:
      (non-zero rows of users and items with a zero code, all rows, one such row rechecked in
      float64 or None).
    """
    data = problem.domain
    assert isinstance(data, Data)
    dead, found = 0, None
    users, items = data.shape
    for encoder, count, take in (
        (problem.users, users, data.user_rows), (problem.items, items, data.item_rows)
    ):  # fmt: skip
        for part in np.array_split(np.arange(count), -(-count // 256)):
            points = take(part)
            zero = ~np.asarray(encoder.native(points)).any(axis=1) & points.any(axis=1)
            dead += int(zero.sum())
            if zero.any() and found is None:
                x = points[np.argmax(zero)].astype(np.float64)
                if not encoder.exact(x[None]).any():
                    found = Zero(x, 0.0, "exact", "data")
    return dead, users + items, found


def proposition_1(encoder: Encoder, points: np.ndarray) -> dict[str, float]:
    """Measure what P2, P3 and m < n imply: `f(0) != 0`, and Eq. 1, `<f(0), f(u)> = |f(0)|^2`.

    Args:
      points: u, [N, n].

    Returns:
      norm_at_zero: |f(0)|.
      residual: root mean square over u of `<f(0), f(u) - f(0)>`, over `|f(0)| max |f|`; the
        distance of the image from the hyperplane of Eq. 1.
    """
    origin = encoder.exact(np.zeros((1, encoder.n)))[0]
    codes = encoder.exact(points)
    size = order.safe(np.linalg.norm(origin)) * order.safe(np.linalg.norm(codes, axis=1).max())
    gap = (codes - origin) @ origin / size
    return {
        "norm_at_zero": float(np.linalg.norm(origin)),
        "residual": float(np.sqrt(np.mean(gap**2))),
    }


def lemma_1(encoder: Encoder, basis: np.ndarray | None = None) -> dict[str, Any]:
    """Compute the Gram matrix of the images of an orthogonal basis (Lemma 1).

    If orthogonality and P3 are both preserved, the rank is k, so that k <= m.

    Args:
      basis: [k, n]; default: the first standard basis vectors, at most 512.

    Returns:
      gram: [k, k] cosines, 0 for a zero image.
      largest_off_diagonal, zero_images, rank: of these cosines, the number of zero images, the
        rank.
    """
    if basis is None:
        basis = np.eye(min(encoder.n, 512), encoder.n)
    images = order.unit(encoder.exact(basis))
    # The pivots of a QR decomposition: singular values take ten times as long.
    pivots = abs(np.diag(scipy.linalg.qr(images, mode="r", pivoting=True)[0]))
    gram = images @ images.T
    off = abs(gram - np.diag(np.diag(gram)))
    return {
        "gram": gram,
        "largest_off_diagonal": float(off.max()),
        "zero_images": int((~images.any(axis=1)).sum()),
        "rank": int((pivots > max(images.shape) * np.finfo(float).eps * pivots[0]).sum()),
    }


def _classify(
    encoder: Encoder, x: np.ndarray, away: np.ndarray, usual: float, root: float, source: str
) -> Zero | None:
    """Classify x as a zero, or return None; `away` is a point whose code has the usual size."""
    x = np.asarray(x, np.float64)
    norm = float(abs(encoder.exact(x[None])).max()) / usual
    if not np.isfinite(norm):
        return None
    if norm > 0:
        kind = "underflow" if norm < _UNDERFLOW else "root"
        return Zero(x, norm, kind, source) if norm < root else None
    near, far = 0.0, 1.0  # narrow the segment down to an edge of the region of zeros, to 2^-80
    smallest = np.inf
    for _ in range(16):
        ways = near + (far - near) * np.arange(1, 32) / 32
        sizes = abs(encoder.exact(x + ways[:, None] * (away - x))).max(axis=1)
        first = int(np.argmax(np.append(sizes != 0, True)))
        near = ways[first - 1] if first > 0 else near
        if first < len(ways):
            far, smallest = ways[first], sizes[first] / usual
    kind = "underflow" if smallest < _UNDERFLOW else "exact"
    return Zero(x, 0.0, kind, source)


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
    """Iterate `x -= J^T (J J^T + mu)^-1 f`, with halved steps; return the points that converged."""
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
        converged = np.zeros(len(starts), bool)
        for _ in range(rounds):  # NumPy except for the codes, so nothing else is compiled
            value, step = map(np.asarray, advance(x))
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
            shift, far = (np.linalg.norm(a, axis=1) for a in (step, x))
            # a zero Jacobian gives no step, which is not convergence
            converged = (low == 0) | ((shift > 0) & (shift <= root * far))
            moving = (best != x).any()
            x = best
            if converged.mean() >= 0.5 or not moving:
                break
        return list(x[converged])


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
    """Return functions of points [S, n] -> (codes, steps), and -> norms of codes, traced by JAX."""
    f = encoder.single
    slopes = jax.jit(jax.vmap(lambda x: (f(x), jax.jacrev(f)(x))))

    def advance(points):
        value, jacobian = slopes(points)
        return value, _steps(value, jacobian)

    return advance, jax.jit(jax.vmap(lambda x: jnp.linalg.norm(f(x))))


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
        return value, _steps(value, np.nan_to_num(np.stack(slopes)))

    return advance, lambda points: np.linalg.norm(encoder.exact(points), axis=1)


def _null_vector(weight: np.ndarray) -> np.ndarray | None:
    """Return a unit vector of the null space of W, or None if it contains only 0."""
    _, values, rows = np.linalg.svd(weight)
    rank = int((values > 1e-12 * values.max(initial=0.0)).sum())
    return rows[-1] if rank < weight.shape[1] else None
