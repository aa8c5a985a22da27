"""Order preservation (P2 of Susman 2024) of one triple, and tallies of many.

P2 requires that `<x, u> <= <x, v>` implies `<f(x), f(u)> <= <f(x), f(v)>`. A margin is the
difference of the two scores, positive if u is preferred to v. A *relative* margin is divided by
`|x| max(|u|, |v|)` (by 1 for cosines). It lies in [-2, 2] and is invariant to the scale of the
codes, so codes of size 1e-20 or 1e20 are judged like any others. Relative margins within
`tolerance` of zero are ties.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

TIES = 8.0  # ties: relative margins up to TIES * sqrt(dimension) * machine epsilon
EDGES = 2.0 ** np.arange(-20.0, 1.5, 0.5)  # of the bins of |relative true margin|
BINS = len(EDGES) + 1


class Tally(NamedTuple):
    """Counts of triples by outcome: exact integers, arrays or plain ints.

    Attributes:
      concordant: the true order is strict, and the latent order equal.
      reversed_: the true order is strict, and the latent order opposite.
      broken: a true tie that the codes rank.
      flattened: the true order is strict, and the latent scores tie.
      tied: both tie.
    """

    concordant: Any
    reversed_: Any
    broken: Any
    flattened: Any
    tied: Any

    @property
    def total(self) -> Any:
        return sum(self)

    @property
    def violations(self) -> Any:
        """Violations of P2 as stated (weak order): reversed and broken."""
        return self.reversed_ + self.broken

    @property
    def strict_violations(self) -> Any:
        """Violations of the strict order, `<` implies `<`: reversed and flattened."""
        return self.reversed_ + self.flattened

    @property
    def ordered(self) -> Any:
        """Triples whose true order is strict."""
        return self.concordant + self.reversed_ + self.flattened


def tolerance(eps: float, dimension: int) -> float:
    """Return the largest relative margin that counts as a tie, `TIES sqrt(dimension) eps`.

    This is a generous bound of the rounding error of a dot product of that length.
    """
    return TIES * float(np.sqrt(dimension)) * eps


def code_tolerance(eps: float, n: int, m: int) -> float:
    """Return the same for margins of codes [m] of vectors [n], in a format with epsilon `eps`.

    A format coarser than float32 rounds each coordinate of a code once. Margins of codes are summed
    in float32 or better. The tolerance is then `TIES eps / sqrt(m)` on top of that of float32.
    """
    single = float(np.finfo(np.float32).eps)
    coarse = TIES * eps / float(np.sqrt(m)) if eps > single else 0.0
    return tolerance(min(eps, single), max(n, m)) + coarse


def similarity(a: jax.Array, b: jax.Array, *, kind: str = "dot") -> jax.Array:
    """Compute `<a, b>` or the cosine over the last axis, [..., K] -> [...].

    The cosine with a zero vector is 0.

    Raises:
      ValueError: `kind` is neither "dot" nor "cosine".
    """
    a, b = jnp.broadcast_arrays(a, b)
    return jnp.sum(_by_kind(a, kind) * _by_kind(b, kind), axis=-1)


def margin(encode: Callable[[Any], Any], x: Any, u: Any, v: Any, *, kind: str = "dot") -> jax.Array:
    """Compute the latent margin `<f(x), f(u)> - <f(x), f(v)>`, a scalar, of one triple.

    x, u and v are vectors [n] or pytrees. With the identity as encoder it is the true margin.
    """
    x, u, v = (jax.flatten_util.ravel_pytree(encode(point))[0] for point in (x, u, v))
    if kind == "dot":
        return jnp.vdot(x, u - v)
    return similarity(x, u, kind=kind) - similarity(x, v, kind=kind)


def relative_margin(x: Any, u: Any, v: Any, *, kind: str = "dot") -> Any:
    """Compute the margin over `|x| max(|u|, |v|)`, [..., K] -> [...], of JAX or NumPy arrays.

    It neither overflows nor underflows at any scale of the format. It is 0 where x is zero, or u
    and v both are.
    """
    xp = x.__array_namespace__()
    if kind == "dot":
        scale = safe(xp.maximum(top(u), top(v)))
        u, v = u / scale, v / scale
        size = safe(xp.maximum(_norm(u), _norm(v)))
        u, v = u / size, v / size
    else:
        u, v = _by_kind(u, kind), _by_kind(v, kind)
    return xp.sum(unit(x) * (u - v), axis=-1)


def code_margin(
    x: Any, u: Any, v: Any, *, kind: str = "dot", fixed: tuple[int, ...] = ()
) -> Any:
    """Compute the relative margin of codes without constant coordinates, [..., m] -> [...].

    A coordinate in which all items have one value adds exactly 0 to a margin of dot products
    (theorem B). Only its size would hide what the others say. It is left out of the sizes, unless u
    and v differ in it after all. Cosines need all coordinates.

    Args:
      fixed: the coordinates that are constant as far as is known.
    """
    if fixed and kind == "dot":
        xp = x.__array_namespace__()
        constant = np.zeros(x.shape[-1], bool)
        constant[list(fixed)] = True
        same = (u == v) & constant.reshape((1,) * (u.ndim - 1) + (-1,))
        x, u, v = (xp.where(same, xp.zeros_like(part), part) for part in (x, u, v))
    return relative_margin(x, u, v, kind=kind)


def unit(z: Any) -> Any:
    """Compute `z / |z|` over the last axis without overflow or underflow; zero stays zero."""
    z = z / safe(top(z))
    return z / safe(_norm(z))


def tally(true: Any, latent: Any, *, true_ties: float, latent_ties: float) -> Any:
    """Count triples by their true and latent relative margins, [N] each.

    Returns:
      [BINS, 3, 3]: by bin of |true margin|, sign of the true margin and sign of the latent margin
      (-, 0, +); int32 from JAX (N < 2^31), int64 from NumPy.
    """
    xp = true.__array_namespace__()
    sign = lambda margins, ties: (margins > ties) * 1 - (margins < -ties) * 1 + 1  # noqa: E731
    cell_type = np.int64 if xp is np else jnp.int32
    size = xp.abs(true)
    place = xp.ceil(2 * xp.log2(xp.where(size > 0, size, EDGES[0])) + 40)  # bin of the edges
    place = xp.clip(place, 0, BINS - 1).astype(cell_type)
    cell = (place * 3 + sign(true, true_ties)) * 3 + sign(latent, latent_ties)
    if xp is np:
        return np.bincount(cell, minlength=BINS * 9).reshape(BINS, 3, 3)
    return jnp.zeros(BINS * 9, jnp.int32).at[cell].add(1).reshape(BINS, 3, 3)


def summary(counts: np.ndarray) -> Tally:
    """Sum the counts [..., 3, 3] of `tally` over the leading axes, as plain integers."""
    c = np.asarray(counts, dtype=np.int64).reshape(-1, 3, 3).sum(axis=0)
    parts = (c[0, 0] + c[2, 2], c[0, 2] + c[2, 0], c[1, 0] + c[1, 2], c[0, 1] + c[2, 1], c[1, 1])
    return Tally(*(int(part) for part in parts))


def curve(counts: np.ndarray) -> dict[str, list]:
    """Tabulate triples and violations by true margin, with the upper edge of each bin."""
    rows = [summary(bin_) for bin_ in counts]
    return {
        "upper_edge": [*EDGES.tolist(), 2.0],
        "triples": [row.total for row in rows],
        "violations": [row.violations for row in rows],
    }


def require_similarity(kind: str) -> None:
    """Raise ValueError unless `kind` is "dot" or "cosine"."""
    if kind not in ("dot", "cosine"):
        raise ValueError(f"similarity {kind!r}: choose 'dot' or 'cosine'")


def _by_kind(z: Any, kind: str) -> Any:
    require_similarity(kind)
    return unit(z) if kind == "cosine" else z


def top(z: Any) -> Any:
    """Return the largest magnitude along the last axis, [..., K] -> [..., 1]."""
    return z.__array_namespace__().max(abs(z), axis=-1, keepdims=True)


def _norm(z: Any) -> Any:
    return z.__array_namespace__().linalg.norm(z, axis=-1, keepdims=True)


def safe(size: Any) -> Any:
    """Return `size` where it is positive, and 1 elsewhere: a safe divisor."""
    xp = size.__array_namespace__()
    return xp.where(size > 0, size, xp.ones_like(size))
