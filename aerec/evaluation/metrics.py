"""What a ranking or a set of predictions is worth: one pure function per idea.

The first half runs on the device, on the hits of ranked lists. Everywhere `hits [..., k]` is one
where the item at that rank (best first) is a held-out one and zero elsewhere, and `held [...]` is
the number of held-out items of the row. A row with `held == 0` has no value: NaN, never zero.
Relevance is binary. A list shorter than k (fewer than k items left to recommend) is filled with
misses: its denominators do not shrink.

The second half is statistics on the host, in float64: rows (users) are the sampling unit. There
`per_row [R]` holds a value per row and a row that is NaN is left out.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

# ---------------------------------------------------------------- ranked lists, on the device


def precision(hits: jax.Array, held: jax.Array) -> jax.Array:
    """P@k [...]: hits / k, whatever `held` (trec_eval's `P`)."""
    return _defined(hits.sum(-1) / hits.shape[-1], held)


def recall(hits: jax.Array, held: jax.Array) -> jax.Array:
    """R@k [...]: hits / min(k, held), so that a perfect list scores one (Liang et al. 2018, eq. 9).

    This is "R/min"; `recall_all` is the other recall of the literature.
    """
    return _defined(hits.sum(-1) / jnp.minimum(held, hits.shape[-1]), held)


def recall_all(hits: jax.Array, held: jax.Array) -> jax.Array:
    """R@k [...]: hits / held, "R/all" (trec_eval's `recall`; Sachdeva et al. 2019)."""
    return _defined(hits.sum(-1) / held, held)


def ndcg(hits: jax.Array, held: jax.Array) -> jax.Array:
    """Truncated NDCG@k [...] with binary gain (Liang et al. 2018; trec_eval's `ndcg_cut`).

    DCG = sum_r hits_r / log2(r + 1), r = 1..k, over its value for a list that begins with
    min(k, held) hits.
    """
    chex.assert_equal_shape_prefix([hits, held], hits.ndim - 1)
    discount = 1 / np.log2(np.arange(hits.shape[-1]) + 2)
    ideal = jnp.asarray(np.concatenate([[0], np.cumsum(discount)]), jnp.float32)
    gain = jnp.dot(hits, jnp.asarray(discount, jnp.float32), precision="highest")
    return _defined(gain / ideal[jnp.minimum(held, hits.shape[-1]).astype(jnp.int32)], held)


def average_precision(hits: jax.Array, held: jax.Array) -> jax.Array:
    """AP@k [...]: the precision at each hit, summed, / held (trec_eval's `map_cut`).

    The denominator is all held-out items; other code divides by min(k, held).
    """
    at_rank = jnp.cumsum(hits, -1) * jnp.broadcast_to(_reciprocal_ranks(hits), hits.shape)
    return _defined((hits * at_rank).sum(-1) / held, held)


def reciprocal_rank(hits: jax.Array, held: jax.Array) -> jax.Array:
    """RR@k [...]: 1 / rank of the first hit, zero without one (`recip_rank`, lists cut at k)."""
    return _defined((hits * jnp.broadcast_to(_reciprocal_ranks(hits), hits.shape)).max(-1), held)


def hit(hits: jax.Array, held: jax.Array) -> jax.Array:
    """Hit rate@k [...]: one where the list holds a hit at all (trec_eval's `success`)."""
    return _defined(hits.max(-1), held)


PER_ROW = {
    "precision": precision,
    "recall": recall,
    "recall_all": recall_all,
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit": hit,
}


def novelty(information: jax.Array, recommended: jax.Array) -> jax.Array:
    """Mean self-information in bits of the recommended items, [...] (Zhou et al. 2010).

    Args:
      information: [..., k] -log2 popularity of each listed item (`self_information`).
      recommended: [..., k] one where the list holds an item; the mean is over those, and NaN
        where there is none.
    """
    chex.assert_equal_shape([information, recommended])
    return (information * recommended).sum(-1) / recommended.sum(-1)


def tied(scores: jax.Array) -> jax.Array:
    """One where the cut at k parts equal scores, [...]: the list there was chosen by lot.

    Args:
      scores: [..., k + 1] best first; -inf where there is no item to recommend.
    """
    return ((scores[..., -2] == scores[..., -1]) & (scores[..., -1] > -jnp.inf)).astype(jnp.float32)


def _reciprocal_ranks(hits: jax.Array) -> jax.Array:
    return jnp.asarray(1 / (np.arange(hits.shape[-1]) + 1), jnp.float32)


def _defined(value: jax.Array, held: jax.Array) -> jax.Array:
    chex.assert_equal_shape([value, held])
    return jnp.where(held > 0, value, jnp.nan)


# ------------------------------------------------------------------ whole lists, on the host


def self_information(counts: np.ndarray, num_rows: int) -> np.ndarray:
    """-log2 of the share of training rows that list a column, [N] float32, in bits.

    A column of no training row is counted as if one listed it: the most that can be said of it.
    """
    return (np.log2(num_rows) - np.log2(np.maximum(counts, 1))).astype(np.float32)


def coverage(counts: np.ndarray) -> float:
    """The share of the columns recommended to at least one row; `counts [N]` of recommendations."""
    return float(np.mean(counts > 0))


def gini(counts: np.ndarray) -> float:
    """Gini index of the recommendations over the columns: 0 all alike, 1 one column takes all.

    G = sum_j (2 j - N - 1) p_j / (N - 1), p ascending (Shani & Gunawardana 2011, sec. 8.3.3). NaN
    where nothing was recommended.
    """
    total, size = int(counts.sum()), len(counts)
    if not total:
        return float("nan")
    share = np.sort(counts).astype(np.float64) / total
    return float((2 * np.arange(1, size + 1) - size - 1) @ share / max(size - 1, 1))


# ------------------------------------------------------------------- statistics, on the host


class Comparison(NamedTuple):
    """Two runs on the same rows: a's figure less b's, its bootstrap interval, two-sided p."""

    difference: float
    interval: tuple[float, float]
    p: float


def estimate(per_row, counts=None, *, root: bool = False) -> float:
    """The pooled figure sum(per_row) / sum(counts) in float64; its square root with `root`.

    With `counts=None` each row counts one and this is the mean over rows. The pooled RMSE is
    (sums of squared errors [R], numbers of ratings [R], root=True). NaN where no row is left.
    """
    ((total,), counts) = _kept([per_row], counts)
    return float(_pooled(total, counts, root)) if len(total) else float("nan")


def standard_error(per_row, counts=None, *, root: bool = False) -> float:
    """The standard error of `estimate`, rows being the independent units (clusters of ratings).

    The delta method on the ratio m = S / C (Cochran 1977, sec. 6.4): with e_r = s_r - m c_r,
    var(m) = n / (n - 1) sum_r e_r^2 / C^2, and se(sqrt m) = se(m) / (2 sqrt m). With
    `counts=None` this is sd / sqrt(n). NaN with fewer than two rows.
    """
    ((total,), counts) = _kept([per_row], counts)
    if len(total) < 2:
        return float("nan")
    mean, n = _pooled(total, counts, False), len(total)
    error = np.sqrt(n / (n - 1) * np.sum((total - mean * counts) ** 2)) / counts.sum()
    return float(error / (2 * np.sqrt(mean))) if root and mean > 0 else float(error)


def bootstrap_interval(
    per_row, counts=None, *, root: bool = False, level: float = 0.95, samples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:  # fmt: skip
    """The percentile bootstrap interval of `estimate`: rows are drawn again, with their counts.

    Raises:
      ValueError: fewer than two rows have a value.
    """
    ((total,), counts) = _kept([per_row], counts)

    def statistic(total, counts, axis=-1):
        return _pooled(total, counts, root)

    return _bootstrap(statistic, [total, counts], level, samples, seed)


def paired_randomisation_test(
    a, b, counts=None, *, root: bool = False, level: float = 0.95, samples: int = 10_000,
    seed: int = 0,
) -> Comparison:  # fmt: skip
    """Fisher's paired randomisation test of `estimate(a) - estimate(b)` (Smucker et al. 2007).

    Under the null the two runs may be exchanged within any row. p is two-sided, from `samples`
    random exchanges: (1 + as extreme) / (1 + samples), never zero (Phipson & Smyth 2010).

    Args:
      a, b: [R] values on the same rows, in the same order.
      counts: [R] the numbers of ratings behind the values, the same for both runs.

    Raises:
      ValueError: the two have a value on different rows, or fewer than two rows have one.
    """
    (a, b), counts = _kept([a, b], counts)

    def statistic(a, b, counts, axis=-1):
        return _pooled(a, counts, root) - _pooled(b, counts, root)

    difference = float(statistic(a, b, counts))
    interval = _bootstrap(statistic, [a, b, counts], level, samples, seed)
    rng, extreme = np.random.default_rng(seed), 0
    both, size = (a + b).sum(), -(-len(a) // 8)
    for chunk in _chunks(samples, len(a)):
        bits = np.frombuffer(rng.bytes(chunk * size), np.uint8).reshape(chunk, size)
        swap = np.unpackbits(bits, axis=1, count=len(a)).astype(np.float64)
        first = a.sum() + swap @ (b - a)  # the sum of a where the swapped rows are b's
        drawn = statistic(first[:, None], (both - first)[:, None], counts.sum(keepdims=True))
        extreme += int(np.sum(np.abs(drawn) >= abs(difference) - 1e-12 * (1 + abs(difference))))
    return Comparison(difference, interval, (1 + extreme) / (1 + samples))


def _pooled(total: np.ndarray, counts: np.ndarray, root: bool) -> np.ndarray:
    ratio = total.sum(-1) / counts.sum(-1)
    return np.sqrt(np.maximum(ratio, 0)) if root else ratio  # a sum less its parts may be -1e-17


def _kept(values: list, counts) -> tuple[list[np.ndarray], np.ndarray]:
    """The values and counts of the rows that have one, in float64."""
    columns = [np.asarray(value, np.float64) for value in values]
    counts = np.ones(columns[0].shape) if counts is None else np.asarray(counts, np.float64)
    chex.assert_equal_shape([*columns, counts])
    kept = ~np.isnan(columns[0])
    if any((np.isnan(column) == kept).any() for column in columns):
        raise ValueError("the two runs have a value on different rows: not a paired comparison")
    return [column[kept] for column in columns], counts[kept]


def _chunks(samples: int, rows: int) -> list[int]:
    """`samples` in parts of at most 1M draws (8 MB in float64)."""
    size = max(1, 2**20 // rows)
    return [min(size, samples - start) for start in range(0, samples, size)]


def _bootstrap(statistic, data, level: float, samples: int, seed: int) -> tuple[float, float]:
    if len(data[0]) < 2:
        raise ValueError(f"an interval needs two rows with a value, found {len(data[0])}")
    import scipy.stats  # half a second, which commands that ask for no interval need not wait for

    result = scipy.stats.bootstrap(
        data, statistic, paired=True, vectorized=True, method="percentile", n_resamples=samples,
        confidence_level=level, batch=_chunks(samples, len(data[0]))[0],
        random_state=np.random.default_rng(seed),
    )  # fmt: skip
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
