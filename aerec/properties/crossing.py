"""Does an encoder vanish near an approximate root? A proof that its code passes 0.

A small code is no zero: `|W x| + 1e-10` never vanishes. For one coordinate, f has a zero between
two points that a path in the domain joins, if its signs there differ (intermediate value theorem).
That f is continuous is assumed. A jump across 0 that is larger than rounding is noticed, as the
code at x must be 0 up to rounding.

For m coordinates it is the theorem of Poincare and Miranda (Kulpa 1997): if F is continuous on the
cube [-1, 1]^m, and F_i is negative on the face `y_i = -1` and positive on the face `y_i = 1` for
every i, then F vanishes in the cube. Here `F(y) = f(x + D y)`, where D is the pseudo-inverse of
the Jacobian of f at x, scaled so that `F(y)` is proportional to y to first order. Points of a face
prove nothing about the rest of it: a change of sign between their centres is evidence. The proof
needs the layers of f: with `y -> x + D y` in front of them, `propagation` bounds F_i on the whole
face, rounding included.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from aerec.properties import propagation
from aerec.properties.domain import Box, Domain, Space
from aerec.properties.propagation import IDENTITY, Affine, Network

_SIZES = range(30, 5, -4)  # of the cubes: |D y| up to 2^-k |x| along each axis
_ROUNDING = 512.0  # largest code at x, in units of eps |x|


def around(
    f: Callable[[np.ndarray], np.ndarray],
    domain: Domain,
    x: np.ndarray,
    jacobian: np.ndarray,
    eps: float,
    network: Network | None = None,
) -> tuple[np.ndarray, str, float | None]:
    """Improve an approximate root x [n] by Newton's method, and prove that f has a zero near it.

    Args:
      f: rows [B, n] -> codes [B, m], in float64.
      domain: continuous; points are kept in it by its `step`.
      x: in the domain.
      jacobian: of f at x, [m, n].
      eps: the relative rounding error of the codes.
      network: the layers of f, if they are known.

    Returns:
      The root; its kind, as of `zeros.Zero`: "crossing", "root" or "near"; and, of a crossing, a
      bound on its distance in each coordinate to a zero of f in the domain that is not 0.
    """
    slopes = _inside(domain, x, jacobian)
    scale = np.linalg.norm(slopes, axis=1)
    if not np.isfinite(slopes).all() or not scale.all() or len(slopes) > len(x):
        return x, "near", None
    back = np.linalg.pinv(slopes / scale[:, None], rcond=1e-10)
    stretch, size = np.linalg.norm(back, 2), np.linalg.norm(x)

    def moved(way):
        if isinstance(domain, Space):
            return x + way
        with jax.enable_x64(True):
            points = jnp.broadcast_to(jnp.asarray(x), way.shape)
            return np.asarray(domain.step(points, jnp.asarray(way), 1.0))

    for _ in range(3):  # with the same slopes
        y = -f(x[None]) / scale
        better = moved(y @ back.T)[0]
        if domain.contains(better[None])[0] and abs(f(better[None]) / scale).max() < abs(y).max():
            x = better
    noise = _ROUNDING * eps * size
    rounded, kind = abs(f(x[None]) / scale).max() <= noise, "near"
    axes = np.eye(len(slopes))
    centres = np.concatenate([-axes, axes])  # of the faces
    for power in _SIZES:
        r = size * 2.0**-power / stretch
        if network is not None and _vanishes(network, domain, x, r * back):
            return x, "crossing", float(abs(r * back).sum(axis=1).max()) * (1 + 1e-9)
        if kind == "near" and rounded and r >= 16 * noise:
            points = moved(r * centres @ back.T)
            distance = float(np.linalg.norm(points - x, axis=1).max())
            heights = (centres * f(points) / scale).sum(axis=1)
            if distance <= 2 * r * stretch and (heights > max(4 * noise, 2.0**-10 * r)).all():
                if len(axes) == 1:
                    return x, "crossing", distance
                kind = "root"
    return x, kind, None


@np.errstate(over="ignore", invalid="ignore")  # what is not finite proves nothing
def _vanishes(network: Network, domain: Domain, x: np.ndarray, way: np.ndarray) -> bool:
    """Return whether bounds prove a zero in `x + way [-1, 1]^m`, in the domain and without 0."""
    reach = abs(way).sum(axis=1) * (1 + 1e-9)
    room = np.minimum(x - domain.low, domain.high - x) if isinstance(domain, Box) else np.inf
    if not isinstance(domain, Box | Space) or (reach > room).any() or (reach >= abs(x)).all():
        return False
    layers, axes = [Affine(way, x, IDENTITY), *network], np.eye(way.shape[1])
    ends = -np.ones(len(axes)), np.ones(len(axes))
    try:
        relaxed = propagation.forward(layers, *ends)
    except OverflowError:
        return False
    faces = itertools.product(axes, (-1.0, 1.0))
    return all(
        propagation.score(
            layers, relaxed, side * axis, *(np.where(axis, side, end) for end in ends)
        ) > 0
        for axis, side in faces
    )  # fmt: skip


def _inside(domain: Domain, x: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """Return the Jacobian [m, n] along the domain: inside a box, and on a sphere."""
    if isinstance(domain, Box):
        room = 1e-3 * (domain.high - domain.low)
        return jacobian * ((x > domain.low + room) & (x < domain.high - room))[None]
    if domain.contains(np.stack([0.999 * x, 1.001 * x])).any():
        return jacobian
    return jacobian - np.outer(jacobian @ x, x) / (x @ x)
