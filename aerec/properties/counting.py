"""Exact counts of all triples of users x items.

Two score rows `[I]` of a user, true and latent, hold all `I (I - 1) / 2` pairs (u, v). Sorting
separates concordant, reversed and tied pairs without visiting them one by one (Kendall's tau;
Knight 1966, `scipy.stats.kendalltau`, with exact ties). Counts are int64.

Two scores of a row are tied if their float32 difference is at most `tolerance * max|row|`, and with
tolerance 0 if they are equal. Being within a tolerance is not transitive, so scores are not rounded
to classes: for each entry the first position beyond the tolerance is looked up.
"""

import functools
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from aerec.properties import order
from aerec.properties.journal import Journal
from aerec.properties.order import Tally
from aerec.properties.scores import Scores

_BITS = 4  # per digit in `_before`


def sample(
    scores: Scores,
    among: np.ndarray,
    key: jax.Array,
    *,
    true_ties: float,
    latent_ties: float,
    users: int = 64,
    shifts: int = 16,
) -> np.ndarray:
    """Count random triples clustered by user; consumes `key`.

    Users are drawn with replacement. For each user, every item u is paired with the item `shift`
    positions further, for a few distinct random shifts. All ordered pairs are equally likely, and a
    pair needs no random number of its own. Triples of one user are dependent: use
    `intervals.over_users`.

    Args:
      among: the numbers of the users to draw from, each with two items that count.
      true_ties, latent_ties: tolerances of the relative margins.
      users: users drawn.
      shifts: per user, at most I - 1.

    Returns:
      [users, BINS, 3, 3] int64, as from `order.tally`.
    """
    draw = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    true, latent = scores.rows(among[draw.integers(0, len(among), users)])
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
            both = [margins[~np.isnan(both[0])] for margins in both]
            out[user] += order.tally(*both, true_ties=true_ties, latent_ties=latent_ties)
    return out


def counter(
    true_ties: float, latent_ties: float, *, on_device: bool | None = None
) -> Callable[[np.ndarray, np.ndarray], Tally]:
    """Return the function that counts the pairs of two score blocks [B, I].

    Args:
      true_ties, latent_ties: tolerances, relative to the largest score of a row.
      on_device: whether pairs are compared on the device, not the host; default: if JAX has an
        accelerator.
    """
    if on_device is None:
        on_device = jax.default_backend() != "cpu"
    count = count_on_device if on_device else count_rows
    return functools.partial(count, true_ties=true_ties, latent_ties=latent_ties)


def each_user(
    judge: Callable[..., np.ndarray],
    rows: Callable[[np.ndarray], tuple[np.ndarray, ...]],
    users: np.ndarray,
    *,
    block: int = 64,
    workers: int = 2,
    state: Journal | None = None,
    part: str = "counted",
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Judge the scores of each user, in blocks.

    Memory: a few blocks of `block` rows. Neither the block size nor resuming from `state` changes
    any figure.

    Args:
      judge: the scores of B users -> figures [K, B].
      rows: user numbers [B] -> those scores.
      users: [U] user numbers.
      block: users scored at once.
      workers: threads that judge on the host while the next block is scored.
      state: the journal that stores the figures, to resume from.
      part: their name in the journal.
      progress: called with the number of users judged, and of all.

    Returns:
      The figures, [K, U].
    """
    state = state or Journal(None, "")
    parts = [np.array(state.parts[part])] if part in state.parts else []
    done = parts[0].shape[1] if parts else 0
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        for first in range(done, len(users), block):
            waiting.append(pool.submit(judge, *rows(users[first : first + block])))
            if len(waiting) > workers + 1:
                parts.append(waiting.popleft().result())
                if progress:
                    progress(sum(found.shape[1] for found in parts), len(users))
                if state.due():
                    state.keep(part, np.concatenate(parts, axis=1).tolist())
        parts.extend(task.result() for task in waiting)
    figures = np.concatenate(parts, axis=1)
    if figures.shape[1] > done:
        state.keep(part, figures.tolist())
    return figures


def count_rows(
    true: np.ndarray, latent: np.ndarray, *, true_ties: float = 0.0, latent_ties: float = 0.0
) -> Tally:
    """Count the pairs of two score blocks [B, I] on the host, row by row: a tally of [B] int64.

    An item whose true score is NaN is left out. The time per row is O(I log I) for I distinct true
    scores and any tolerance, and O(I) after sorting if only a few are distinct.
    """
    rows = zip(np.asarray(true, np.float32), np.asarray(latent, np.float32), strict=True)
    counts = [_count_row(a, b, true_ties, latent_ties) for a, b in rows]
    return Tally(*np.array(counts, np.int64).T)


def count_on_device(
    true: np.ndarray, latent: np.ndarray, *, true_ties: float = 0.0, latent_ties: float = 0.0
) -> Tally:
    """Compute the counts of `count_rows` by comparing all pairs on the device.

    Sums are int32, which limits I to 46340. Rows with a larger I are counted on the host.
    """
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
        left_out = jnp.isnan(row[0])
        reach = [
            tie * jnp.max(jnp.where(left_out, 0, jnp.abs(a)))
            for tie, a in zip(ties, row, strict=True)
        ]
        rise, level = t > reach[0], jnp.abs(t) <= reach[0]
        climb, fall = z > reach[1], z < -reach[1]  # NaN is neither above, below nor level
        count = lambda mask: jnp.sum(mask, dtype=jnp.int32)  # noqa: E731
        same = (count(level & ~climb & ~fall) - count(~left_out)) // 2
        return jnp.stack([
            count(rise & climb), count(rise & fall), count(level & climb),
            count(rise & ~climb & ~fall), same,
        ])  # fmt: skip

    return jax.lax.map(one, (true, latent))


def _count_row(true, latent, true_ties, latent_ties) -> tuple[int, ...]:
    """Count the pairs of one row: for each entry as the lower of a pair, count the upper entries.

    In the order of latent scores, the entries above entry i by more than a tie begin at one
    position, `climb[i]`. Equal true scores form one kind. In the order of kinds, those above it
    begin at `rise`, and those below it end at `sink`.
    """
    if np.isnan(true).any():
        kept = ~np.isnan(true)
        true, latent = true[kept], latent[kept]
    size = len(true)
    if size < 2:
        return 0, 0, 0, 0, 0
    where = np.argsort(latent)
    climb = _above(latent[where], latent_ties * abs(latent).max())
    ordered = np.sort(true)
    fresh = np.append(True, ordered[1:] != ordered[:-1])
    kinds, under = ordered[fresh], np.append(np.flatnonzero(fresh), size)  # entries below a kind
    reach = true_ties * abs(true).max()
    rise, sink = _above(kinds, reach), len(kinds) - _above(-kinds[::-1], reach)[::-1]
    kind = np.searchsorted(kinds, true[where])
    limits = np.stack([rise[kind], sink[kind]])
    not_risen, sunk = under[limits].sum(axis=1) - _before(kind, climb, limits, len(kinds))
    climbed = size * size - climb.sum()
    risen = size * size - under[limits[0]].sum()
    concordant = climbed - not_risen
    broken, flattened = not_risen - sunk, risen - concordant - sunk
    tied = size * (size - 1) // 2 - climbed - flattened
    return concordant, sunk, broken, flattened, tied


def _above(ordered: np.ndarray, reach: np.float32) -> np.ndarray:
    """Find, for each sorted float32 value, the first position with a value over `reach` above it.

    The difference is that of float32, which is rounded. It exceeds `reach` if the exact difference
    passes the midpoint to the next float32, or equals it and the last bit of `reach` is odd. The
    sum of a value and the midpoint is exact in float64; where the midpoint is too small to change
    the value, the smallest step that does is used.
    """
    middle = (np.float64(reach) + np.nextafter(reach, np.float32(np.inf))) / 2
    odd = int(np.float32(reach).view(np.int32)) % 2
    wide = ordered.astype(np.float64)
    step = np.maximum(middle, 2.0**-52 * abs(wide))
    return np.searchsorted(wide, wide + step, side="left" if odd else "right")


def _before(kind: np.ndarray, place: np.ndarray, limits: np.ndarray, kinds: int) -> np.ndarray:
    """Count pairs (i, j) with `j < place[i]` and `kind[j] < limit[i]`, per row of `limits [L, I]`.

    The kinds are processed by digits of `_BITS` bits. A table of running counts gives the entries
    with a lower digit. Those with the same digit are adjacent once the entries are sorted by it,
    and are left to the next digit (a wavelet matrix; Claude & Navarro 2012).
    """
    size = len(kind)
    start, end = np.zeros_like(limits), np.broadcast_to(place, limits.shape)
    total = np.zeros(len(limits), np.int64)
    for level in reversed(range(-(-kinds.bit_length() // _BITS))):
        low, top = level * _BITS, min(kinds >> (level * _BITS), 2**_BITS - 1) + 1
        digit = (kind >> low & 2**_BITS - 1).astype(np.uint8)
        table = np.zeros((top + 1, size + 1), np.int32)  # [c, p]: digits < c before place p
        digits = np.arange(1, top + 1, dtype=np.uint8)[:, None]
        np.cumsum(digit < digits, axis=1, dtype=np.int32, out=table[1:, 1:])
        row = (limits >> low & 2**_BITS - 1) * (size + 1)
        flat = table.ravel()
        lower = flat[row + start], flat[row + end]
        total += (lower[1] - lower[0]).sum(axis=1, dtype=np.int64)
        if level:
            first, row = flat[row + size], row + size + 1
            start = first + flat[row + start] - lower[0]
            end = first + flat[row + end] - lower[1]
            kind = kind[np.argsort(digit, kind="stable")]
    return total

