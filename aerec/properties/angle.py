"""The local test of theorem D: one vector-Jacobian product per pair (x, u).

With `p = J_f(u)^T f(x)`, a small step d of the item changes its true score by `<x, d>` and its
latent score by `<p, d>`. A random isotropic step reverses the order with probability
`angle(x, p) / pi`. No step does if p is a non-negative multiple of x.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from aerec.properties import order

Encode = Callable[[jax.Array], jax.Array]


def pullback(
    encode: Encode, x: jax.Array, u: jax.Array, *, kind: str = "dot", items: Encode | None = None
) -> jax.Array:
    """Compute `p [n]`, the gradient in u of the latent score of (x, u), vectors `[n]`; one VJP.

    For the dot product `p = J_g(u)^T f(x)`, where g = `items` encodes u if it is not f = `encode`;
    for a linear encoder W it is `W^T W x`.
    """
    chex.assert_rank([x, u], 1)
    chex.assert_equal_shape([x, u])
    code, encode_item = encode(x), items or encode
    return jax.grad(lambda item: order.similarity(code, encode_item(item), kind=kind))(u)


def local_angle(
    encode: Encode, x: jax.Array, u: jax.Array, *, kind: str = "dot", items: Encode | None = None
) -> tuple[jax.Array, jax.Array]:
    """Compute the angle between x and p (theorem D), and whether p is flat.

    The angle over pi is the probability that a small isotropic step is ranked the wrong way round.
    p is flat where it is zero, so that every small step gives a tie; the angle is then pi/2 by
    convention and carries no meaning.

    Args:
      x, u: [n].
      kind: "dot" or "cosine".
      items: the encoder of u, if it is not that of x.

    Returns:
      (angle in radians, flat), scalars.
    """
    return _between(x, pullback(encode, x, u, kind=kind, items=items))


def _between(x: jax.Array, p: jax.Array) -> tuple[jax.Array, jax.Array]:
    a, b = order.unit(x), order.unit(p)
    flat = jnp.all(p == 0, axis=-1) | jnp.all(x == 0, axis=-1)
    norms = (jnp.linalg.norm(part, axis=-1) for part in (a - b, a + b))
    return jnp.where(flat, jnp.pi / 2, 2 * jnp.arctan2(*norms)), flat


def distribution(
    encode: Encode,
    x: jax.Array,
    u: jax.Array,
    *,
    kind: str = "dot",
    items: Encode | None = None,
    block: int = 256,
) -> dict[str, Any]:
    """Compute the local angles of pairs `x, u [N, n]`.

    Args:
      items: the encoder of u, if it is not that of x.
      block: the number of pairs in memory at once.

    Returns:
      `angles` [N] in radians (NaN where flat), `rate`, the mean angle over pi of the pairs that are
      not flat, and `flat`, the share of those that are.
    """
    chex.assert_equal_shape([x, u])
    with jax.default_matmul_precision("highest"):
        pull = lambda pair: pullback(encode, *pair, kind=kind, items=items)  # noqa: E731
        pulled = jax.lax.map(pull, (x, u), batch_size=block)
    angles, flat = jax.jit(_between)(x, pulled)  # one program, whichever the encoder
    angles, flat = np.array(angles, np.float64), np.asarray(flat)
    angles[flat] = np.nan
    rate = float(np.mean(angles[~flat]) / np.pi) if not flat.all() else float("nan")
    return {"angles": angles, "rate": rate, "flat": float(flat.mean())}


def order_penalty(
    encode: Encode, x: jax.Array, u: jax.Array, *, kind: str = "dot"
) -> jax.Array:
    """Compute `1 - cos(x, p)`, a scalar in [0, 2], differentiable in the encoder's parameters.

    The penalty is a term of a training loss (theorem D). It is 0 where every small change of u is
    ranked as x ranks it. Take its mean over a batch:
    `jax.vmap(lambda x, u: order_penalty(encode, x, u))(xs, us).mean()`. Where p or x is zero, the
    penalty is 1 and its gradient 0, not NaN.

    Args:
      encode: [n] -> [m].
      x, u: [n].
      kind: "dot" or "cosine", the latent similarity.
    """
    p = pullback(encode, x, u, kind=kind)
    x, p = (z / jax.lax.stop_gradient(order.safe(order.top(z))) for z in (x, p))
    dot, sizes = jnp.vdot(x, p), jnp.vdot(x, x) * jnp.vdot(p, p)
    alive = sizes > 0
    return 1.0 - jnp.where(alive, dot, 0.0) * jax.lax.rsqrt(jnp.where(alive, sizes, 1.0))


def counterexample(x: np.ndarray, u: np.ndarray, p: np.ndarray, *, step: float) -> np.ndarray:
    """Compute the counter-example of theorem D, `v = u + step (x/|x| - p/|p|)`, [..., n].

    Where p is not parallel to x, the true score of v is above that of u, and for a small step its
    latent score is below.
    """
    return u + step * (order.unit(x) - order.unit(p))
