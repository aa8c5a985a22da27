"""The domains by name, each a distribution of triples (x, u, v).

Samples are float32 [count, n], and keys are consumed. A dimension n that is not a whole number of
at least 1 raises ValueError, as does any other argument that is out of range.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # whose packages are imported where they are first used
import scipy.sparse

from aerec.properties.domain import (
    Box,
    Data,
    Domain,
    Points,
    Separated,
    Space,
    matrix,
    positive,
    vector,
    whole,
)


def gaussian(n: int, *, scale: float = 1.0) -> Domain:
    """Return the domain of independent coordinates N(0, scale^2); its support is all of R^n."""
    n, scale = whole(n, "n"), positive(scale, "scale")
    draw = lambda key, count: scale * jax.random.normal(key, (count, n))  # noqa: E731
    return _space(f"Gaussian on R^{n}, scale {scale:g}", n, _independent(draw), draw)


def sphere(n: int) -> Domain:
    """Return the uniform domain on the unit sphere."""
    n = whole(n, "n")
    return Domain(
        name=f"unit sphere of R^{n}", dimension=n,
        triples=_independent(_on_sphere(n)), points=_on_sphere(n),
        step=lambda points, g, rate: _unit(points + rate * g),
        contains=lambda p: abs(np.linalg.norm(p, axis=-1) - 1.0) <= 1e-6,
    )  # fmt: skip


def ball(n: int, *, radius: float = 1.0) -> Domain:
    """Return the uniform domain in the ball of a radius around 0."""
    n, radius = whole(n, "n"), positive(radius, "radius")

    def draw(key, count):
        k_way, k_size = jax.random.split(key)
        size = jax.random.uniform(k_size, (count, 1)) ** (1.0 / n)
        return radius * size * _on_sphere(n)(k_way, count)

    def step(points, g, rate):
        moved = points + rate * g
        return moved * jnp.minimum(1.0, radius / jnp.linalg.norm(moved, axis=-1, keepdims=True))

    inside = lambda p: np.linalg.norm(p, axis=-1) <= radius * (1 + 1e-6)  # noqa: E731
    return Domain(
        name=f"ball of radius {radius:g} in R^{n}", dimension=n, triples=_independent(draw),
        points=draw, step=step, contains=inside,
    )  # fmt: skip


def box(low: Any, high: Any) -> Box:
    """Return the uniform domain in the box `low <= x <= high`; low and high are [n].

    Raises:
      ValueError: the box is empty.
    """
    low, high = vector(low, "low"), vector(high, "high")
    if low.shape != high.shape or not (low < high).all():
        raise ValueError("a box needs two vectors of one length with low < high everywhere")
    n, floor, width = len(low), jnp.asarray(low)[None], jnp.asarray(high - low)[None]

    def draw(key, count):
        return jnp.clip(floor + width * jax.random.uniform(key, (count, n)), floor, floor + width)

    same = (low == low[0]).all() and (high == high[0]).all()
    sides = f"[{low[0]:g}, {high[0]:g}]^{n}" if same else f"in R^{n}"
    return Box(
        name=f"box {sides}", dimension=n, triples=_independent(draw), points=draw,
        step=lambda points, g, rate: jnp.clip(points + rate * g, low[None], high[None]),
        contains=lambda p: ((p >= low) & (p <= high)).all(axis=-1), low=low, high=high,
    )  # fmt: skip


def separated(x: Any, box_u: tuple[Any, Any], box_v: tuple[Any, Any]) -> Separated:
    """Return the domain of one fixed x [n], with u uniform in one box and v in another.

    The boxes, (low, high) each, are such that x ranks every u above every v.

    Raises:
      ValueError: a box is empty, or `<x, u> > <x, v>` does not hold throughout.
    """
    x = vector(x, "x")
    boxes = [box(*ends) for ends in (box_u, box_v)]
    (u_low, u_high), (v_low, v_high) = ((part.low, part.high) for part in boxes)
    if any(part.dimension != len(x) for part in boxes):
        raise ValueError(f"x has {len(x)} coordinates, the boxes {[b.dimension for b in boxes]}")
    least, most = (  # exact: a rounding error could separate what touches
        sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, corner, strict=True))
        for corner in (np.where(x > 0, u_low, u_high), np.where(x > 0, v_high, v_low))
    )
    if least <= most:
        raise ValueError(
            f"the boxes overlap along x: u may have {float(least):g} and v {float(most):g}"
        )

    def triples(key, count):
        k_u, k_v = jax.random.split(key)
        u, v = boxes[0].points(k_u, count), boxes[1].points(k_v, count)
        return jnp.broadcast_to(jnp.asarray(x), (count, len(x))), u, v

    def points(key, count):  # of both boxes
        keys = jax.random.split(key)
        pair = jnp.stack([b.points(k, count) for b, k in zip(boxes, keys, strict=True)], axis=1)
        return pair.reshape(-1, len(x))[:count]

    def step(points, g, rate):  # each point stays in its box
        inside = ((points >= u_low[None]) & (points <= u_high[None])).all(axis=-1, keepdims=True)
        return jnp.where(inside, *(part.step(points, g, rate) for part in boxes))

    def contains(p):
        return (p == x).all(axis=-1) | boxes[0].contains(p) | boxes[1].contains(p)

    return Separated(
        name=f"one x of R^{len(x)}, u in one box and v in another, separated along x",
        dimension=len(x), triples=triples, points=points, step=step, contains=contains,
        x=x, u=(u_low, u_high), v=(v_low, v_high),
    )  # fmt: skip


def binary(n: int, *, density: float = 0.5) -> Domain:
    """Return the domain of binary vectors; a coordinate is one with probability `density`."""
    n = whole(n, "n")
    draw = _binary_points(n, density)
    return _binary(f"binary vectors of {n} items, density {density:g}", n, _independent(draw), draw)


def swaps(n: int, *, density: float = 0.5) -> Domain:
    """Return the domain of binary triples in which v is u with one item swapped for another."""
    n = whole(n, "n")
    if n < 2:
        raise ValueError("n is at least 2, so that there is an item to swap for")
    draw = _binary_points(n, density)

    def triples(key, count):
        k_x, k_u, k_out, k_in = jax.random.split(key, 4)
        x, u = draw(k_x, count), draw(k_u, count)
        out = jnp.argmax(jax.random.uniform(k_out, (count, n)) * u, axis=1)
        into = jnp.argmax(jax.random.uniform(k_in, (count, n)) * (1 - u), axis=1)
        rows = jnp.arange(count)
        swappable = (u.sum(axis=1) > 0) & (u.sum(axis=1) < n)
        v = u.at[rows, out].set(0.0).at[rows, into].set(1.0)
        return x, u, jnp.where(swappable[:, None], v, u)

    return _binary(f"single swaps of {n} binary items, density {density:g}", n, triples, draw)


def ratings(n: int, *, scale: tuple[float, ...] = (1, 2, 3, 4, 5), density: float = 0.05) -> Domain:
    """Return the domain of sparse ratings.

    A coordinate is listed with probability `density`, with a value uniform on `scale`. Unlisted
    coordinates are 0.
    """
    n, density, steps = whole(n, "n"), positive(density, "density", below=1), vector(scale, "scale")
    values, allowed = jnp.asarray(steps), np.append(np.float32(0), steps)

    def draw(key, count):
        k_listed, k_value = jax.random.split(key)
        listed = jax.random.bernoulli(k_listed, density, (count, n))
        return listed * jax.random.choice(k_value, values, (count, n))

    def step(points, g, rate):
        target = points + rate * g + jnp.where(g == jnp.max(g, axis=-1, keepdims=True), 1.0, 0.0)
        levels = jnp.asarray(allowed, points.dtype)
        nearest = jnp.argmin(jnp.abs(target[..., None] - levels[None, None]), axis=-1)
        return levels[nearest]

    return Domain(
        name=f"sparse ratings of {n} items, scale {steps.min():g}..{steps.max():g},"
        f" density {density:g}",
        dimension=n, triples=_independent(draw), points=draw, step=step,
        contains=lambda p: np.isin(p, allowed).all(axis=-1), continuous=False,
    )  # fmt: skip


def hull(points: Any) -> Domain:
    """Return the convex hull of data rows [R, n]; points are random mixtures of three rows."""
    given = matrix(points, "points")
    rows = jnp.asarray(given.toarray() if scipy.sparse.issparse(given) else given)
    count_rows, n = rows.shape
    if not rows.size:
        raise ValueError(f"points {rows.shape}: a hull needs at least one row and one column")

    def draw(key, count):
        k_rows, k_weights = jax.random.split(key)
        picked = jax.random.randint(k_rows, (count, 3), 0, count_rows)
        weights = jax.random.dirichlet(k_weights, jnp.ones(3), (count,))
        return jnp.einsum("ck,ckn->cn", weights, rows[picked])

    def step(points, g, rate):  # Frank-Wolfe: towards the row farthest along the direction
        best = jnp.argmax(g @ rows.T.astype(g.dtype), axis=-1)
        share = jnp.clip(rate, 0.0, 1.0)
        return (1 - share) * points + share * rows[best]

    scale = float(abs(np.asarray(rows)).max()) or 1.0
    system = np.vstack([np.asarray(rows, np.float64).T / scale, np.ones(count_rows)])

    def inside(p):  # non-negative weights of sum 1 that give the point, by least squares
        ends = np.column_stack([np.asarray(p, np.float64) / scale, np.ones(len(p))])
        return np.array([scipy.optimize.nnls(system, end)[1] <= 1e-5 for end in ends])

    return Domain(
        name=f"convex hull of {count_rows} data rows in R^{n}", dimension=n,
        triples=_independent(draw), points=draw, step=step, contains=inside,
    )  # fmt: skip


def empirical(
    users: Any, items: Any = None, *, truth: Any = None, seen: Any = None, training: Any = None
) -> Data:
    """Return the domain of data rows: x is a user row, u and v are two different item rows.

    All triples are equally likely. With `truth`, held-out items say what a user prefers. With
    `seen`, the pairs are those of the items that a user has not seen.

    Args:
      users: [U, n], an array or a SciPy sparse matrix.
      items: [I, n] likewise; None: the standard basis, so that a true score is the user's rating.
      truth: [U, I] likewise, true scores in place of dot products.
      seen: [U, I] likewise, not zero where the user has seen the item.
      training: [T, n] likewise, rows that baselines are fitted to; None: the users.

    Raises:
      ValueError: the shapes do not go together, there are fewer than two items, or a number is not
        finite.
    """
    users = matrix(users, "users")
    optional = {"items": items, "truth": truth, "seen": seen, "training": training}
    items, truth, seen, training = (
        part if part is None else matrix(part, name) for name, part in optional.items()
    )
    num_users, n = users.shape
    num_items = n if items is None else items.shape[0]
    if num_items < 2 or num_users < 1 or (items is not None and items.shape[1] != n):
        others = f"{num_items} items" if items is None else f"items {items.shape}"
        raise ValueError(f"users {users.shape} and {others} do not make triples")
    if training is not None and training.shape[1] != n:
        raise ValueError(f"training is {training.shape}: not rows of R^{n}")
    for name, part in (("truth", truth), ("seen", seen)):
        if part is not None and part.shape != (num_users, num_items):
            wanted = f"{num_users} users x {num_items} items"
            raise ValueError(f"{name} is {part.shape}: not {wanted}")
    if seen is not None and (seen != 0).sum(axis=1).min() > num_items - 2:
        raise ValueError("seen: no user has two unseen items, and so a triple")

    def triples(key, count):
        k_x, k_u, k_v = jax.random.split(key, 3)
        x = jax.random.randint(k_x, (count,), 0, num_users)
        u = jax.random.randint(k_u, (count,), 0, num_items)
        v = (u + jax.random.randint(k_v, (count,), 1, num_items)) % num_items
        rows = [found.item_rows(np.asarray(index)) for index in (u, v)]
        return found.user_rows(np.asarray(x)), *rows

    def points(key, count):
        return found.user_rows(np.asarray(jax.random.randint(key, (count,), 0, num_users)))

    found = Data(
        name=f"{num_users} users x {num_items} items in R^{n}"
        + (", unseen items only" if seen is not None else "")
        + (", other scores as the truth" if truth is not None else ""),
        dimension=n, triples=triples, points=points, step=lambda rows, g, rate: rows,
        contains=lambda p: np.ones(len(p), bool), continuous=False, users=users, items=items,
        truth=truth, seen=seen, training=training,
    )  # fmt: skip
    return found


def stratified(n: int, *, decades: float = 5.0) -> Domain:
    """Return Gaussian triples whose relative true margin is log-uniform over `decades`."""
    n, decades = whole(n, "n"), positive(decades, "decades")

    def triples(key, count):
        k_base, k_size, k_sign = jax.random.split(key, 3)
        x, u, w = jax.random.normal(k_base, (3, count, n))
        size = 10.0 ** -jax.random.uniform(k_size, (count, 1), maxval=decades)
        size = size * jax.random.rademacher(k_sign, (count, 1), jnp.float32)
        along = size * jnp.linalg.norm(u, axis=1, keepdims=True)
        return x, u, _on_level(x, u, w) - along * _unit(x)

    draw = lambda key, count: jax.random.normal(key, (count, n))  # noqa: E731
    return _space(f"Gaussian triples on R^{n} stratified by margin", n, triples, draw)


def ties(n: int) -> Domain:
    """Return Gaussian triples with `<x, u> = <x, v>` (up to rounding)."""
    n = whole(n, "n")

    def triples(key, count):
        x, u, w = jax.random.normal(key, (3, count, n))
        return x, u, _on_level(x, u, w)

    draw = lambda key, count: jax.random.normal(key, (count, n))  # noqa: E731
    return _space(f"tied Gaussian triples on R^{n}", n, triples, draw)


def orthogonal(n: int) -> Domain:
    """Return orthogonal pairs and zero: `<x, u> = 0 = <x, 0>`, ties of the proof of theorem A."""
    n = whole(n, "n")

    def triples(key, count):
        x, w = jax.random.normal(key, (2, count, n))
        zero = jnp.zeros_like(x)
        return x, _on_level(x, zero, w), zero

    draw = lambda key, count: jax.random.normal(key, (count, n))  # noqa: E731
    return _space(f"orthogonal Gaussian pairs on R^{n}", n, triples, draw)


def _independent(draw: Points) -> Callable:
    def triples(key, count):
        x, u, v = jnp.split(draw(key, 3 * count), 3)  # one draw compiles faster than three
        return x, u, v

    return triples


def _space(name: str, n: int, triples: Callable, draw: Points) -> Space:
    """Build a domain of all of R^n; a step is scaled by the norm of the point."""

    def step(points, g, rate):
        size = jnp.linalg.norm(points, axis=-1, keepdims=True)
        return points + rate * jnp.where(size > 0, size, 1.0) * _unit(g)

    inside = lambda p: np.isfinite(p).all(axis=-1)  # noqa: E731
    return Space(
        name=name, dimension=n, triples=triples, points=draw, step=step, contains=inside
    )


def _binary(name: str, n: int, triples: Callable, draw: Points) -> Domain:
    """Build a binary domain; a step flips the coordinate with the largest first-order gain."""

    def step(points, g, rate):
        best = jnp.argmax(g * (1 - 2 * points), axis=-1)
        rows = jnp.arange(len(points))
        return points.at[rows, best].set(1 - points[rows, best])

    inside = lambda p: ((p == 0) | (p == 1)).all(axis=-1)  # noqa: E731
    return Domain(
        name=name, dimension=n, triples=triples, points=draw, step=step, contains=inside,
        continuous=False,
    )  # fmt: skip


def _binary_points(n: int, density: float) -> Points:
    density = positive(density, "density", below=1)
    return lambda key, count: jax.random.bernoulli(key, density, (count, n)).astype(jnp.float32)


def _on_sphere(n: int) -> Points:
    return lambda key, count: _unit(jax.random.normal(key, (count, n)))


def _on_level(x, u, w):
    """Move w along x until `<x, w> = <x, u>`."""
    gap = jnp.sum(x * (u - w), axis=-1, keepdims=True)
    return w + gap / jnp.sum(x * x, axis=-1, keepdims=True) * x


def _unit(points):
    size = jnp.linalg.norm(points, axis=-1, keepdims=True)
    return points / jnp.where(size > 0, size, math.inf)
