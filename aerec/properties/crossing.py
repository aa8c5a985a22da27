"""Does an encoder vanish near an approximate root? By a sign change, coordinate by coordinate.

A small code is no zero: `|W x| + 1e-10` never vanishes. What counts is that the code passes 0. For
one coordinate this is a sign change between two points that a continuous path joins (intermediate
value theorem). For m coordinates it is the theorem of Poincare and Miranda (Kulpa 1997): if F is
continuous on a cube of R^m, and F_i is negative on the face `y_i = -r` and positive on the face
`y_i = r` for every i, then F vanishes in the cube. Here `F(y) = A f(x + D y)`, where J is the
Jacobian of f at x, A scales its rows to norm 1, and D is the pseudo-inverse of A J, so that
`F(y) = y` to first order.

Assumptions: f is continuous near x, and the faces are examined at sampled points. For m = 1 the
faces are two points, and continuity is all that is assumed. A jump across 0 that is larger than
rounding is noticed, as the code at x must be 0 up to rounding.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from aerec.properties.domain import Box, Domain, Space

_SIZES = range(6, 31, 4)  # of the cubes: |D y| up to 2^-k |x|
_ROUNDING = 512.0  # largest code at x, in units of eps |x|
_POINTS = 2**11  # sampled on the faces


def around(
    f: Callable[[np.ndarray], np.ndarray],
    domain: Domain,
    x: np.ndarray,
    jacobian: np.ndarray,
    eps: float,
) -> np.ndarray | None:
    """Return a point near x [n], of the domain, around which f changes sign; None if it does not.

    Args:
      f: rows [B, n] -> codes [B, m], in float64.
      domain: continuous; cubes are bent into it by its `step`.
      x: an approximate root of f in the domain.
      jacobian: of f at x, [m, n].
      eps: the relative rounding error of the codes.
    """
    slopes = _inside(domain, x, jacobian)
    scale = np.linalg.norm(slopes, axis=1)
    if not np.isfinite(slopes).all() or not scale.all() or len(slopes) > len(x):
        return None
    back = np.linalg.pinv(slopes / scale[:, None], rcond=1e-10)  # D
    stretch, size = np.linalg.norm(back, 2), np.linalg.norm(x)
    noise = _ROUNDING * eps * size

    def moved(y):
        way = y @ back.T
        if isinstance(domain, Space):
            return x + way
        with jax.enable_x64(True):
            points = jnp.broadcast_to(jnp.asarray(x), way.shape)
            return np.asarray(domain.step(points, jnp.asarray(way), 1.0))

    for _ in range(3):  # Newton's method with the same slopes
        y = -f(x[None]) / scale
        better = moved(y)[0]
        if abs(f(better[None]) / scale).max() < abs(y).max():
            x = better
    if not domain.contains(x[None])[0] or not abs(f(x[None]) / scale).max() <= noise:
        return None
    axes, sides, faces = _faces(len(slopes))
    for power in _SIZES:
        r = size * 2.0**-power / stretch
        if r < 16 * noise:
            break
        points = moved(r * faces)
        local = np.linalg.norm(points - x, axis=1) <= 2 * r * stretch * np.sqrt(len(slopes))
        heights = (f(points) / scale)[np.arange(len(axes)), axes] * sides
        if local.all() and (heights > max(4 * noise, 2.0**-10 * r)).all():
            return x
    return None


def _faces(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points [P, m] of all faces of the cube [-1, 1]^m, with axis and side of their face."""
    count = 1 if m == 1 else max(2, _POINTS // (2 * m))
    axes, sides = np.repeat(np.arange(m), 2 * count), np.tile([-1.0, 1.0], m * count)
    points = np.random.default_rng(0).uniform(-1, 1, (len(axes), m))
    points[::4], points[1::4] = np.sign(points[::4]), np.sign(points[1::4])  # corners
    points[np.arange(len(axes)), axes] = sides
    return axes, sides, points


def _inside(domain: Domain, x: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Return the Jacobian [m, n] along the domain: inside a box, and on a sphere."""
    if isinstance(domain, Box):
        room = 1e-3 * (domain.high - domain.low)
        return jacobian * ((x > domain.low + room) & (x < domain.high - room))[None]
    if domain.contains(np.stack([0.999 * x, 1.001 * x])).any():
        return jacobian
    return jacobian - np.outer(jacobian @ x, x) / (x @ x)
