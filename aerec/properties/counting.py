"""Every triple of users x items, counted exactly.

For one user two score rows `[I]`, true and latent, hold all `I (I - 1) / 2` pairs (u, v), and
Kendall's counting sorts them into concordant, reversed and tied without visiting them one by one
(Knight 1966; `scipy.stats.kendalltau` does the same for one row). Counts are int64.

Ties: two scores of a row are tied when they differ by at most `tolerance * max|row|`; with
tolerance 0, when they are equal. Being within a tolerance is not transitive, so nothing is rounded
to classes: pairs are counted by exact order first, then the few that differ by less than the
tolerance, neighbours in sorted order, are moved to the tied ones.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg

from aerec.properties import order
from aerec.properties.encoder import Encoder, check_finite
from aerec.properties.order import Tally
from aerec.properties.samplers import Crossing

Rows = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
_SHIFT = 6
_WIDTH = 1 << _SHIFT  # a block of the inversion count: so many columns, compared pairwise


class Scores(NamedTuple):
    """Score rows of data. `rows`: user numbers `[B]` -> true and latent scores `[B, I]` of unit
    users. The norms `[I]` are the items' on either side (1 for cosines): a score difference over
    the larger of a pair's two norms is a relative margin."""

    rows: Rows
    true_norms: np.ndarray
    latent_norms: np.ndarray


def score_rows(
    encoder: Encoder, data: Crossing, *, truth: str = "dot", latent: str = "dot"
) -> Scores:
    """Scores of users x items; the items are encoded once, here, and only the codes are kept."""
    count = data.shape[1]
    pieces = np.array_split(np.arange(count), max(1, count // 512))
    codes = np.concatenate([_codes(encoder, data.item_rows(p), "an item") for p in pieces])
    codes = (codes / order.safe(abs(codes).max())).astype(np.float32)
    vectors = data.items
    if vectors is None:
        true_norms = np.ones(count)
    elif scipy.sparse.issparse(vectors):
        true_norms = scipy.sparse.linalg.norm(vectors, axis=1)
    else:
        true_norms = np.linalg.norm(vectors, axis=1)
    latent_norms = np.linalg.norm(codes, axis=1)
    if latent == "cosine":
        codes, latent_norms = order.unit(codes), np.ones(count)
    product = jax.jit(lambda a, b: jnp.matmul(a, b.T, precision="highest"))

    def rows(index):
        x = data.user_rows(index)
        unit = order.unit(x)
        if vectors is None:
            true = unit
        elif scipy.sparse.issparse(vectors):
            true = np.asarray((vectors @ unit.T).T)
        else:
            true = np.asarray(product(unit, vectors))
        if truth == "cosine":
            true = true / order.safe(true_norms).astype(np.float32)
        return true, np.asarray(product(order.unit(_codes(encoder, x, "a user")), codes))

    return Scores(rows, np.ones(count) if truth == "cosine" else true_norms, latent_norms)


def sample(
    scores: Scores,
    num_users: int,
    key: jax.Array,
    *,
    true_ties: float,
    latent_ties: float,
    users: int = 64,
    shifts: int = 16,
) -> np.ndarray:
    """Counts `[users, BINS, 3, 3]`, int64, of random triples clustered by user; consumes `key`.

    Users are drawn with replacement. For each, every item u meets v = the item `shift` places
    on, for a few distinct random shifts: all ordered pairs are equally likely, and one user's
    pairs cost no random number each. Triples of one user are dependent: use `rates.bootstrap`.
    """
    draw = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    true, latent = scores.rows(draw.integers(0, num_users, users))
    count = true.shape[1]
    ahead = np.concatenate([np.arange(count)] * 2)
    pair = [np.concatenate([a, a], axis=1) for a in (true, latent)]
    norms = [order.safe(a[ahead]).astype(true.dtype) for a in scores[1:]]
    out = np.zeros((users, order.BINS, 3, 3), np.int64)
    for user in range(users):
        for shift in draw.choice(count - 1, min(shifts, count - 1), replace=False) + 1:
            both = [
                (a[user, :count] - a[user, shift : shift + count])
                / np.maximum(norm[:count], norm[shift : shift + count])
                for a, norm in zip(pair, norms, strict=True)
            ]
            out[user] += order.tally(*both, true_ties=true_ties, latent_ties=latent_ties)
    return out


def exhaustive(
    rows: Rows,
    num_users: int,
    *,
    true_tolerance: float = 0.0,
    latent_tolerance: float = 0.0,
    block: int = 64,
    workers: int = 2,
    on_device: bool | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tally:
    """Counts per user, int64 `[U]` each, of all `I (I - 1) / 2` pairs of its two score rows.

    `rows` as from `score_rows(...).rows`, or any function from user numbers to two score blocks.
    Memory: a few blocks of `block`
    rows. `workers` threads count on the host while the next block is
    scored; on an accelerator (`on_device`, by default where JAX has one) pairs are compared there
    instead. The split does not change a single count.
    """
    if on_device is None:
        on_device = jax.default_backend() != "cpu"
    count = count_on_device if on_device else count_rows
    parts: list[Tally] = []

    def counted(true, latent):
        check_finite(true, true, "true scores")
        return count(true, latent, true_ties=true_tolerance, latent_ties=latent_tolerance)

    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        for index in _blocks(num_users, block):
            waiting.append(pool.submit(counted, *rows(index)))
            if len(waiting) > workers + 1:
                parts.append(waiting.popleft().result())
            if progress:
                progress(int(index[-1]) + 1)
        parts.extend(task.result() for task in waiting)
    return Tally(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def count_rows(
    true: np.ndarray, latent: np.ndarray, *, true_ties: float = 0.0, latent_ties: float = 0.0
) -> Tally:
    """Scores `[B, I]` twice -> counts `[B]`, on the host, O(I^1.5) and vectorised over rows."""
    true, latent = (np.asarray(a, np.float32) + np.float32(0) for a in (true, latent))
    reach = [ties * abs(a).max(axis=1, keepdims=True) for ties, a in (
        (true_ties, true), (latent_ties, latent))]  # fmt: skip
    true, latent = (
        np.where(np.ptp(a, axis=1, keepdims=True) <= r, np.float32(0), a)
        for a, r in zip((true, latent), reach, strict=True)
    )
    exact = _count_exactly(_bits(true), _bits(latent))
    moves = np.zeros((5, len(true)), np.int64)
    if true_ties > 0:
        for rise, other in _neighbours(true, latent, reach[0]):
            near = (rise > 0) & (rise <= reach[0])
            ranked = abs(other) > reach[1]
            _move(moves, near, other > 0, other < 0, (0, 1, 3), ranked, 2, 4)
    if latent_ties > 0:
        for rise, other in _neighbours(latent, true, reach[1]):
            near = (rise > 0) & (rise <= reach[1])
            near &= (other == 0) | (abs(other) > reach[0])  # the rest were moved above
            _move(moves, near, other > 0, other < 0, (0, 1, 2), other != 0, 3, 4)
    return Tally(*(part + move for part, move in zip(exact, moves, strict=True)))


def count_on_device(
    true: np.ndarray, latent: np.ndarray, *, true_ties: float = 0.0, latent_ties: float = 0.0
) -> Tally:
    """The same counts by comparing all pairs on the device; int32 sums, so I <= 46340, and a larger
    I is counted on the host."""
    if true.shape[1] > 46340:
        return count_rows(true, latent, true_ties=true_ties, latent_ties=latent_ties)
    counts = _all_pairs(
        jnp.asarray(true, jnp.float32), jnp.asarray(latent, jnp.float32),
        jnp.float32(true_ties), jnp.float32(latent_ties),
    )  # fmt: skip
    return Tally(*np.asarray(counts, np.int64).T)


@jax.jit
def _all_pairs(true: jax.Array, latent: jax.Array, *ties: jax.Array) -> jax.Array:
    def one(row):
        t, z = (a[None, :] - a[:, None] for a in row)  # of i and j: positive where j is higher
        reach = [tie * jnp.max(jnp.abs(a)) for tie, a in zip(ties, row, strict=True)]
        rise, level = t > reach[0], jnp.abs(t) <= reach[0]
        climb, fall = z > reach[1], z < -reach[1]
        count = lambda mask: jnp.sum(mask, dtype=jnp.int32)  # noqa: E731
        same = (count(level & ~climb & ~fall) - len(row[0])) // 2
        return jnp.stack([
            count(rise & climb), count(rise & fall), count(level & climb),
            count(rise & ~climb & ~fall), same,
        ])  # fmt: skip

    return jax.lax.map(one, (true, latent))


def _count_exactly(true: np.ndarray, latent: np.ndarray) -> Tally:
    """Integers `[B, I]` twice -> counts `[B]`; ties are equalities."""
    size = true.shape[1]
    both = (true.astype(np.int64) << 32) + (latent.astype(np.int64) + 2**31)
    both.sort(axis=1)
    tied_true, tied_both = _tied_pairs(both >> 32), _tied_pairs(both)
    by_latent = ((both & 0xFFFFFFFF) << 31) + np.arange(size)
    by_latent.sort(axis=1)
    tied_latent = _tied_pairs(by_latent >> 31)
    reversed_ = _inversions(by_latent & 0x7FFFFFFF)
    pairs = size * (size - 1) // 2
    concordant = pairs - reversed_ - tied_true - tied_latent + tied_both
    return Tally(concordant, reversed_, tied_true - tied_both, tied_latent - tied_both, tied_both)


def _neighbours(lead: np.ndarray, other: np.ndarray, reach: np.ndarray) -> Iterator:
    """Differences of pairs in order of `lead`, 1, 2, ... places apart, as long as some pair is
    near without being equal; no farther pair can be once none is."""
    where = np.argsort(lead, axis=1)
    lead, other = (np.take_along_axis(a, where, axis=1) for a in (lead, other))
    for lag in range(1, lead.shape[1]):
        rise = lead[:, lag:] - lead[:, :-lag]
        if not ((rise > 0) & (rise <= reach)).any():
            return
        yield rise, other[:, lag:] - other[:, :-lag]


def _move(moves, near, up, down, origin, ranked, to_ranked, to_tied) -> None:
    """Book the pairs `near` out of their exact counts and into the tolerant ones."""
    for mask, column in zip((up, down, ~up & ~down), origin, strict=True):
        moves[column] -= (near & mask).sum(axis=1)
    moves[to_ranked] += (near & ranked).sum(axis=1)
    moves[to_tied] += (near & ~ranked).sum(axis=1)


def _bits(scores: np.ndarray) -> np.ndarray:
    """Float32 as int32 of the same order (the sign-magnitude bits, unfolded)."""
    bits = np.ascontiguousarray(scores, np.float32).view(np.int32)
    return np.where(bits < 0, np.int32(-(2**31)) - bits, bits)


def _inversions(order_: np.ndarray) -> np.ndarray:
    """Inversions of permutations `[B, I]`, by square-root decomposition.

    Pairs in one block of columns and pairs in one block of values are compared directly; for
    the rest, block against block, a table of how many entries share two blocks suffices.
    """
    batch, size = order_.shape
    blocks = -(-size // _WIDTH)
    padded = blocks * _WIDTH
    kind = np.int16 if padded < 2**15 else np.int32
    values = np.empty((batch, padded), kind)
    values[:, :size], values[:, size:] = order_, np.arange(size, padded)
    columns = np.tile((np.arange(padded) // _WIDTH).astype(kind), batch)
    row = np.arange(batch)[:, None]
    place = np.empty(batch * padded, kind)  # of each value: the block of columns it stands in
    place[(values + row * padded).ravel()] = columns
    shape = (batch, blocks, _WIDTH)
    near = _falls(values.reshape(shape)) + _falls(place.reshape(shape))
    cell = ((values >> _SHIFT) + row * blocks**2).ravel() + columns * np.int64(blocks)
    table = np.bincount(cell, minlength=batch * blocks**2).reshape(batch, blocks, blocks)
    table = table.astype(np.int32)
    before = np.cumsum(table, axis=1, dtype=np.int32) - table  # earlier blocks of columns ...
    lower = np.cumsum(before, axis=2, dtype=np.int32)
    above = lower[:, :, -1:] - lower  # ... that hold higher values
    return near + np.einsum("bcv,bcv->b", table, above, dtype=np.int64)


def _falls(blocks: np.ndarray) -> np.ndarray:
    """Pairs i < j of the last axis with a strictly larger value first: `[B, M, W] -> [B]`."""
    batch, _, width = blocks.shape
    first = np.ascontiguousarray(blocks.reshape(-1, width).T)  # the compared axis leads: SIMD
    seen = np.zeros(first.shape, np.uint8)  # at most W - 1 = 63 per place
    falls = np.empty(first.shape, bool)
    for shift in range(1, width):
        np.greater(first[:-shift], first[shift:], out=falls[shift:])
        np.add(seen[shift:], falls[shift:].view(np.uint8), out=seen[shift:])
    return seen.sum(axis=0, dtype=np.int64).reshape(batch, -1).sum(axis=1)


def _tied_pairs(ordered: np.ndarray) -> np.ndarray:
    """Equal pairs in each sorted row `[B, I]` -> `[B]`."""
    place = np.arange(ordered.shape[1], dtype=np.int32)
    fresh = np.ones(ordered.shape, bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=fresh[:, 1:])
    start = np.maximum.accumulate(fresh * place, axis=1)
    return (place - start).sum(axis=1, dtype=np.int64)


def _codes(encoder: Encoder, points: np.ndarray, role: str) -> np.ndarray:
    codes = np.asarray(encoder.native(points))
    check_finite(codes, points, role)
    return codes


def _blocks(total: int, size: int) -> Iterator[np.ndarray]:
    for start in range(0, total, size):
        yield np.arange(start, min(start + size, total))
