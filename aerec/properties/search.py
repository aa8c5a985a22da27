"""Adversarial search for a violation of order preservation inside a domain.

There are three methods. *Pools*: a few hundred points give two score tables, whose tens of millions
of triples are ranked rather than drawn. This finds a fault that only one point in ten thousand
shows. *Ascent*: projected gradient ascent on the local angle of theorem D, then its
counter-example. *Climbing*: small moves inside the domain that improve the violation, for any
callable and for discrete domains. On separated boxes the only method is *descent* on the latent
margin. Each candidate is verified by `witness.recheck`.
"""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from aerec.properties import angle, order, witness
from aerec.properties.domain import Data, Domain, Separated, Space
from aerec.properties.encoder import check_finite, finite_codes
from aerec.properties.problem import Problem
from aerec.properties.witness import Witness

POINTS = 2**18  # points drawn for pools by default
_POOL = 256
_AT_ONCE = 16  # pools drawn and encoded in one call
_SCALES = (0, 0, 1, 0, -1, 3, 0, -3, 6, 0, -6, 10, 0, -10, 0, 16)  # powers of 2, on all of R^n
_LARGE = 16.0  # times the median: codes that are also left out
_KEEP = 64  # candidates that climb or ascend

Candidates = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


def find(
    problem: Problem,
    key: jax.Array,
    *,
    points: int = POINTS,
    quick: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Witness | None:
    """Find the first candidate that the recheck confirms; None if all methods fail.

    The search is reproducible from `key`, which is consumed. Memory: one pool and its tables.

    Args:
      points: a bound on the rows that the pools encode; the other methods add about as many, and
        at most a few tens of thousands.
      quick: whether one or two pools of the domain's own scale are all.
      progress: called with the pools drawn, and with all.

    Returns:
      The witness, made strict if the true similarity is the dot product.
    """
    k_pool, k_climb, k_ascend = jax.random.split(key, 3)
    domain = problem.domain
    if isinstance(domain, Separated):
        ways = [("descent in the boxes", descend(problem, k_ascend))]
    else:
        drawn = min(points, 2 * _POOL) if quick else points
        ways = [("pools", pools(problem, k_pool, points=drawn, progress=progress))]
        if not quick and problem.truth == "dot" and problem.traceable and domain.continuous:
            ways.append(("gradient ascent", ascend(problem, k_ascend)))
        if not quick and not isinstance(domain, Data):
            ways.append(("climbing", climb(problem, k_climb, points=points)))
    for source, candidates in ways:
        for x, u, v in candidates:
            found = witness.recheck(problem, x, u, v, source=source)
            if found is not None:
                return witness.make_strict(problem, found)
    return None


def pools(
    problem: Problem,
    key: jax.Array,
    *,
    points: int = POINTS,
    progress: Callable[[int, int], None] | None = None,
) -> Candidates:
    """Draw pools of points; yield the strongest apparent violations among all triples of each.

    A pool of P points holds `P^2 (P - 1) / 2` triples. Sorted by true score, a row of latent scores
    must not fall; its largest fall is a candidate. On all of R^n some pools are scaled by powers of
    two, and zero is among the points.
    """
    size = max(32, min(_POOL, 2**24 // problem.n))
    count = max(1, (points if problem.traceable else points // 4) // size)
    at_once = max(1, min(_AT_ONCE, 2**21 // (size * problem.n)))
    for first in range(0, count, at_once):
        k_draw = jax.random.fold_in(key, first)
        numbers = np.arange(first, min(first + at_once, count))
        if isinstance(problem.domain, Data):
            keys = jax.random.split(k_draw, len(numbers))
            batch = (_data_pool(problem, problem.domain, k, size) for k in keys)
        else:
            batch = _free_pools(problem, k_draw, numbers, size)
        for users, items, users_code, items_code in batch:
            if problem.latent == "dot":  # constant coordinates only cost precision
                moves = (items_code != items_code[:1]).any(axis=0)
                users_code, items_code = users_code * moves, items_code * moves
            for rows in _alike(items_code):
                true = np.asarray(_table(users, items[rows], kind=problem.truth))
                seen = np.asarray(_table(users_code, items_code[rows], kind=problem.latent))
                for row, high, low in _falls(true, seen, problem.resolved):
                    yield users[row], items[rows][high], items[rows][low]
        if progress:
            progress(int(numbers[-1]) + 1, count)


def climb(
    problem: Problem, key: jax.Array, *, points: int = POINTS, rounds: int = 60
) -> Candidates:
    """Climb from the triples nearest to a violation; accept moves in the domain that improve them.

    A move follows a random direction by `domain.step` (on binary vectors, a flip). The objective is
    `min(true margin, -latent margin)`, which is positive exactly at a strict violation.
    """
    domain = problem.domain
    size = max(4, min(_KEEP, 2**20 // domain.dimension, points // 256))

    def value(x, u, v):
        triples = [np.asarray(a, float) for a in (x, u, v)]
        true = order.relative_margin(*triples, kind=problem.truth)
        swap = np.where(true < 0, -1.0, 1.0)
        seen = problem.margin(*_codes(problem, *triples))
        return np.minimum(abs(true), -swap * seen)

    k_start, k_moves = jax.random.split(key)
    starts = [np.array(a) for a in domain.triples(k_start, 16 * size)]
    keep = np.argsort(-value(*starts))[:size]
    best = [a[keep] for a in starts]
    score = value(*best)
    for number in range(rounds):
        k_way, k_who = jax.random.split(jax.random.fold_in(k_moves, number))
        now = np.concatenate(best).astype(np.float32)
        ways = jax.random.normal(k_way, now.shape)
        stepped = domain.step(jnp.asarray(now), ways, 0.5 * 0.93**number)
        still = np.asarray(jax.random.bernoulli(k_who, 0.5, (len(now), 1)))
        moved = np.split(np.where(still, now, np.asarray(stepped)), 3)
        new = value(*moved)
        better = (new > score)[:, None]
        best = [np.where(better, b, a) for a, b in zip(best, moved, strict=True)]
        score = np.maximum(score, new)
    for row in np.argsort(-score)[:8]:
        if score[row] > 0:
            yield best[0][row], best[1][row], best[2][row]


def ascend(
    problem: Problem, key: jax.Array, *, screened: int = 4096, rounds: int = 40
) -> Candidates:
    """Ascend the local angle from the pairs (x, u) where it is largest, by projected gradients.

    The objective is `log(1 - cos(x, p))`, in float64: even thirty orders of magnitude below its
    peak, a smooth fault still has a slope. Yields `v = u + step (x/|x| - p/|p|)` for a ladder of
    steps.
    """
    domain, f, g = problem.domain, problem.users.single, problem.items.single
    size = max(4, min(_KEEP, 2**20 // domain.dimension))
    screened = max(size, min(screened, 2**22 // domain.dimension))
    k_x, k_u = jax.random.split(key)

    def badness(x, u):
        theta, flat = angle.local_angle(f, x, u, kind=problem.latent, items=g)
        half = jnp.sin(jnp.where(flat, 0.0, theta) / 2)
        return jnp.log(half * half + 1e-32)

    def climb_once(number, carry):
        x, u, best_x, best_u, top = carry
        value, ways = jax.vmap(jax.value_and_grad(badness, argnums=(0, 1)))(x, u)
        better = (value > top)[:, None]
        best_x, best_u = jnp.where(better, x, best_x), jnp.where(better, u, best_u)
        x, u = (
            domain.step(a, jnp.nan_to_num(order.unit(g)), 0.3 * 0.9**number)
            for a, g in zip((x, u), ways, strict=True)
        )
        return x, u, best_x, best_u, jnp.maximum(value, top)

    @jax.jit
    def run(x, u):
        ranked = jax.lax.map(lambda pair: badness(*pair), (x, u), batch_size=64)
        keep = jnp.argsort(-ranked)[:size]
        x, u, top = x[keep], u[keep], ranked[keep]
        carry = jax.lax.fori_loop(0, rounds, climb_once, (x, u, x, u, top))
        best = jnp.argsort(-carry[4])
        ends = [(x, u), (carry[2][best], carry[3][best])]
        pull = jax.vmap(lambda a, b: angle.pullback(f, a, b, kind=problem.latent, items=g))
        return [(x[:8], u[:8], pull(x[:8], u[:8])) for x, u in ends]

    pairs = (domain.points(k_x, screened), domain.points(k_u, screened))
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        ends = run(*(jnp.asarray(np.asarray(a, np.float64)) for a in pairs))
    for x, u, p in ends:
        yield from _ladder(domain, np.asarray(x), np.asarray(u), np.asarray(p))


def descend(
    problem: Problem, key: jax.Array, *, screened: int = 4096, rounds: int = 60
) -> Candidates:
    """Yield triples of separated boxes with the smallest latent margins.

    If JAX can differentiate the encoder, u and v first descend on the margin inside their boxes, in
    float64.
    """
    domain = problem.domain
    assert isinstance(domain, Separated)
    screened = max(64, min(screened, 2**22 // domain.dimension))
    x, u, v = (np.asarray(part) for part in domain.triples(key, screened))
    worst = np.argsort(problem.margin(*_codes(problem, x, u, v)))[:8]
    x, u, v = (np.asarray(part[worst], np.float64) for part in (x, u, v))
    if problem.traceable:
        widths = [jnp.asarray(high - low)[None] for low, high in (domain.u, domain.v)]
        f, g = problem.users.single, problem.items.single

        def margin(u, v, x):
            return problem.margin(f(x), g(u), g(v))

        def down(number, pair):
            slopes = jax.vmap(jax.grad(margin, argnums=(0, 1)))(*pair, jnp.asarray(x))
            ways = [-width * jnp.sign(slope) for width, slope in zip(widths, slopes, strict=True)]
            steps = zip(pair, ways, strict=True)
            return [domain.step(points, way, 0.3 * 0.93**number) for points, way in steps]

        with jax.enable_x64(True), jax.default_matmul_precision("highest"):
            ends = jax.jit(lambda pair: jax.lax.fori_loop(0, rounds, down, pair))([u, v])
        yield from zip(x, *map(np.asarray, ends), strict=True)
    yield from zip(x, u, v, strict=True)


def _ladder(domain: Domain, users: np.ndarray, items: np.ndarray, pulls: np.ndarray) -> Candidates:
    for x, u, p in zip(users, items, pulls, strict=True):
        size = float(np.linalg.norm(u)) or 1.0
        for power in (1, 4, 8, 12, 18):
            v = angle.counterexample(x, u, p, step=size * 2.0**-power)
            yield x, v, u
            if not isinstance(domain, Space):  # the same direction, without leaving the domain
                at, way = jnp.float32(u)[None], jnp.float32(v - u)[None]
                yield x, np.asarray(domain.step(at, way, 1.0))[0], u


def _free_pools(problem, key, numbers, size):
    """Draw and encode pools together; in each, the points are both users and items."""
    domain, everywhere = problem.domain, isinstance(problem.domain, Space)
    drawn = np.array(domain.points(key, len(numbers) * size), np.float32)
    drawn = drawn.reshape(len(numbers), size, -1)
    if everywhere:
        drawn *= np.float32(2.0) ** np.take(_SCALES, numbers % len(_SCALES))[:, None, None]
        drawn[:, 0] = 0.0
    flat = drawn.reshape(-1, drawn.shape[2])
    encoders = [problem.users, problem.items][: 1 + problem.towers]
    codes = [np.asarray(e.native(flat)).reshape(*drawn.shape[:2], -1) for e in encoders]
    for place, (number, points) in enumerate(zip(numbers, drawn, strict=True)):
        pair = [code[place] for code in codes]
        if not everywhere or _SCALES[number % len(_SCALES)] == 0:
            added = int(everywhere)  # zero, at which an encoder that normalises gives NaN
            for code in pair:
                check_finite(code[added:], points[added:], domain.name)
        # overflow at large scales is no fault
        fine = np.all([np.isfinite(code).all(axis=1) for code in pair], axis=0)
        if fine.any():
            rows = np.where(fine, np.arange(size), int(np.argmax(fine)))
            yield points[rows], points[rows], pair[0][rows], pair[-1][rows]


def _data_pool(problem, data, key, size):
    draw = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    users = data.user_rows(draw.integers(0, data.shape[0], size // 4))
    items = data.item_rows(draw.permutation(data.shape[1])[: 4 * size])
    codes = finite_codes(problem.users, users, "a user")
    return users, items, codes, finite_codes(problem.items, items, "an item")


def _alike(codes: np.ndarray) -> list[np.ndarray]:
    """Return selections of codes [P, m]: all, and with ordinary ones in place of much larger ones.

    Next to a code of 10^9 times the usual size, the margins of all others are rounding errors.
    """
    sizes = np.linalg.norm(codes.astype(np.float64), axis=1)
    large = sizes > _LARGE * np.median(sizes[sizes > 0]) if sizes.any() else sizes > 0
    every = np.arange(len(codes))
    return [every, np.where(large, np.argmin(large), every)] if large.any() else [every]


def _falls(true, seen, ties):
    """Yield up to 4 index triples (user, preferred item, other) whose latent order falls.

    The other item has a lower true score if such a fall exists. Otherwise all strict orders are
    preserved, and its true score ties.
    """
    where = np.argsort(true, axis=1)
    true, ordered = (np.take_along_axis(a, where, axis=1) for a in (true, seen))
    fresh = np.pad(true[:, 1:] != true[:, :-1], ((0, 0), (1, 0)))
    first = np.maximum.accumulate(fresh * np.arange(true.shape[1]), axis=1)  # of equal true scores
    top = np.maximum.accumulate(ordered, axis=1)
    lower = np.take_along_axis(top, np.maximum(first - 1, 0), axis=1)
    fall = np.where(first > 0, lower - ordered, 0.0)
    if not (fall > ties).any():
        fall, first = top - ordered, np.broadcast_to(np.arange(1, true.shape[1] + 1), fall.shape)
    at = np.argmax(fall, axis=1)
    depth = fall[np.arange(len(at)), at]
    for row in np.argsort(-depth)[:4]:
        if depth[row] > ties:
            before = int(np.argmax(ordered[row, : first[row, at[row]]]))
            yield int(row), int(where[row, at[row]]), int(where[row, before])


@functools.partial(jax.jit, static_argnames="kind")
def _table(rows: jax.Array, columns: jax.Array, *, kind: str) -> jax.Array:
    """Compute scores of unit rows with columns over their largest norm: relative, at any scale."""
    columns = columns / order.safe(jnp.max(jnp.abs(columns)))
    norm = jnp.linalg.norm(columns, axis=1, keepdims=True)
    columns = columns / order.safe(norm if kind == "cosine" else jnp.max(norm))
    return jnp.matmul(order.unit(rows), columns.T, precision="highest")


def _codes(problem: Problem, *triples: np.ndarray) -> list[np.ndarray]:
    """Encode x, u, v [B, n] as float64; raise ValueError unless all codes are finite."""
    encoders, name = (problem.users, problem.items, problem.items), problem.domain.name
    pairs = zip(encoders, triples, strict=True)
    return [finite_codes(encoder, part, name).astype(float) for encoder, part in pairs]
