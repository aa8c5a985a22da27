"""The local test of theorem D: one vector-Jacobian product per pair (x, u).

With `p = J_f(u)^T f(x)` a small step d of the item changes its true score by `<x, d>` and its
latent score by `<p, d>`. A random isotropic step reverses the order with probability
`angle(x, p) / pi`, and none does when p is a non-negative multiple of x.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from aerec.properties import order


def pullback(
    encode: Callable[[jax.Array], jax.Array], x: jax.Array, u: jax.Array, *, kind: str = "dot"
) -> jax.Array:
    """`p [n]`: the gradient in u of the latent score of (x, u), vectors `[n]`; one VJP.

    For the dot product `p = J_f(u)^T f(x)`; for a linear encoder W it is `W^T W x`.
    """
    chex.assert_rank([x, u], 1)
    chex.assert_equal_shape([x, u])
    code = encode(x)
    return jax.grad(lambda item: order.similarity(code, encode(item), kind=kind))(u)


def local_angle(
    encode: Callable[[jax.Array], jax.Array], x: jax.Array, u: jax.Array, *, kind: str = "dot"
) -> tuple[jax.Array, jax.Array]:
    """Angle between x and p in radians, and whether p is flat (zero: every small step ties).

    The angle over pi is the probability that a small isotropic step is ranked the wrong way
    round; where p is flat the angle is pi/2 by convention and means nothing.
    """
    return _between(x, pullback(encode, x, u, kind=kind))


def _between(x: jax.Array, p: jax.Array) -> tuple[jax.Array, jax.Array]:
    a, b = order.unit(x), order.unit(p)
    flat = jnp.all(p == 0, axis=-1) | jnp.all(x == 0, axis=-1)
    norms = (jnp.linalg.norm(part, axis=-1) for part in (a - b, a + b))
    return jnp.where(flat, jnp.pi / 2, 2 * jnp.arctan2(*norms)), flat


def distribution(
    encode: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    u: jax.Array,
    *,
    kind: str = "dot",
    block: int = 256,
) -> dict[str, Any]:
    """Local angles of pairs `x, u [N, n]`: `angles [N]` (NaN where flat), `rate` = mean angle over
    pi of those not flat, `flat` = their share; `block` pairs are held at once."""
    chex.assert_equal_shape([x, u])
    with jax.default_matmul_precision("highest"):
        pulled = jax.lax.map(lambda pair: pullback(encode, *pair, kind=kind), (x, u),
                             batch_size=block)  # fmt: skip
    angles, flat = jax.jit(_between)(x, pulled)  # one program, whichever the encoder
    angles, flat = np.array(angles, np.float64), np.asarray(flat)
    angles[flat] = np.nan
    rate = float(np.mean(angles[~flat]) / np.pi) if not flat.all() else float("nan")
    return {"angles": angles, "rate": rate, "flat": float(flat.mean())}


def order_penalty(
    encode: Callable[[jax.Array], jax.Array], x: jax.Array, u: jax.Array, *, kind: str = "dot"
) -> jax.Array:
    """`1 - cos(x, p)`, a scalar in [0, 2], differentiable in the encoder's parameters.

    A training term: 0 where every small change of u is ranked as x ranks it. Take its mean over
    a batch, `jax.vmap(lambda x, u: order_penalty(encode, x, u))(xs, us).mean()`. Where p or x is
    zero the penalty is 1 and its gradient 0, not NaN.
    """
    p = pullback(encode, x, u, kind=kind)
    x, p = (z / jax.lax.stop_gradient(order.safe(order.top(z))) for z in (x, p))
    dot, sizes = jnp.vdot(x, p), jnp.vdot(x, x) * jnp.vdot(p, p)
    alive = sizes > 0
    return 1.0 - jnp.where(alive, dot, 0.0) * jax.lax.rsqrt(jnp.where(alive, sizes, 1.0))


def counterexample(x: np.ndarray, u: np.ndarray, p: np.ndarray, *, step: float) -> np.ndarray:
    """`v = u + step (x/|x| - p/|p|)`: its true score is above u's, and for a small step its
    latent score below, whenever p is not parallel to x. Vectors `[..., n]`."""
    return u + step * (order.unit(x) - order.unit(p))
