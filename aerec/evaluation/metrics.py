"""Ranking metrics, a pure function each.

The first half runs on the device, on the hits of ranked lists. `hits [..., K]` is one where the
item at that rank (best first) is held out and zero elsewhere, and `held [...]` is the number of
held-out items of the row. A metric is computed at all `cuts`, C numbers k from 1 to K, at once:
[..., C]. A row with `held == 0` is NaN, never zero. Relevance is binary. A list shorter than k
(fewer than k items left to recommend) is filled with misses: its denominators do not shrink.

The second half runs on the host, on the recommendations of all lists together.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

Cuts = Sequence[int]

# ---------------------------------------------------------------- ranked lists, on the device


def precision(hits: jax.Array, held: jax.Array, cuts: Cuts) -> jax.Array:
    """Compute P@k [..., C]: hits / k, whatever `held` (trec_eval's `P`)."""
    _require_rows(hits, held)
    return _defined(_summed(hits, cuts) / _sizes(cuts, hits), held)


def recall(hits: jax.Array, held: jax.Array, cuts: Cuts) -> jax.Array:
    """Compute R@k [..., C]: hits / min(k, held) (Liang et al. 2018, eq. 9).

    A perfect list scores one. This is "R/min"; `recall_all` is the other recall of the literature.
    """
    _require_rows(hits, held)
    return _defined(_summed(hits, cuts) / jnp.minimum(held[..., None], _sizes(cuts, hits)), held)


def recall_all(hits: jax.Array, held: jax.Array, cuts: Cuts) -> jax.Array:
    """Compute R@k [..., C]: hits / held, "R/all" (trec_eval's `recall`; Sachdeva et al. 2019)."""
    _require_rows(hits, held)
    return _defined(_summed(hits, cuts) / held[..., None], held)


def ndcg(hits: jax.Array, held: jax.Array, cuts: Cuts) -> jax.Array:
    """Compute truncated NDCG@k [..., C], binary gain (Liang et al. 2018; trec_eval's `ndcg_cut`).

    DCG = sum_r hits_r / log2(r + 1), r = 1..k, over its value for a list that begins with
    min(k, held) hits.
    """
    _require_rows(hits, held)
    discount = 1 / np.log2(np.arange(hits.shape[-1]) + 2)
    ideal = jnp.asarray(np.concatenate([[0], np.cumsum(discount)]), jnp.float32)
    most = jnp.minimum(held[..., None], _sizes(cuts, hits)).astype(jnp.int32)
    return _defined(_summed(hits, cuts, discount) / ideal[most], held)


def average_precision(hits: jax.Array, held: jax.Array, cuts: Cuts) -> jax.Array:
    """Compute AP@k [..., C]: the precision at each hit, summed, / held (trec_eval's `map_cut`).

    The denominator is all held-out items; other code divides by min(k, held).
    """
    _require_rows(hits, held)
    reciprocal = 1 / (np.arange(hits.shape[-1]) + 1)
    so_far = _summed(hits, range(1, hits.shape[-1] + 1))
    at_hits = _summed(hits * so_far, cuts, reciprocal)
    return _defined(at_hits / held[..., None], held)


def reciprocal_rank(hits: jax.Array, held: jax.Array, cuts: Cuts) -> jax.Array:
    """Compute RR@k [..., C]: 1 / rank of the first hit, else zero (trec_eval's `recip_rank`)."""
    _require_rows(hits, held)
    first = jnp.argmax(hits, -1, keepdims=True)
    return _defined(jnp.where(_summed(hits, cuts) > 0, 1 / (first + 1), 0), held)


def hit(hits: jax.Array, held: jax.Array, cuts: Cuts) -> jax.Array:
    """Compute the hit rate@k [..., C]: one where the list holds a hit (trec_eval's `success`)."""
    _require_rows(hits, held)
    return _defined((_summed(hits, cuts) > 0).astype(jnp.float32), held)


PER_ROW = {
    "precision": precision,
    "recall": recall,
    "recall_all": recall_all,
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit": hit,
}


def novelty(information: jax.Array, recommended: jax.Array, cuts: Cuts) -> jax.Array:
    """Compute the mean self-information of the recommended items, bits (Zhou et al. 2010).

    Args:
      information: [..., K] -log2 popularity of each listed item (`self_information`).
      recommended: [..., K] one where the list has an item; the mean, [..., C], is over those, and
        NaN if there is none.
    """
    chex.assert_equal_shape([information, recommended])
    return _summed(information * recommended, cuts) / _summed(recommended, cuts)


def tied(scores: jax.Array, cuts: Cuts) -> jax.Array:
    """Return one where a cut separates equal scores, [..., C]: the tie is broken at random.

    Args:
      scores: [..., K + 1] best first; -inf where there is no item to recommend.
    """
    last, next_ = scores[..., np.asarray(cuts) - 1], scores[..., np.asarray(cuts)]
    return ((last == next_) & (next_ > -jnp.inf)).astype(jnp.float32)


def _summed(values: jax.Array, cuts: Cuts, weights: np.ndarray | float = 1.0) -> jax.Array:
    """Sum values [..., K] times weights [K] up to each cut, [..., C]."""
    ranks = np.arange(values.shape[-1])
    within = np.where(ranks < np.asarray(cuts)[:, None], weights, 0).T
    return jnp.dot(values, jnp.asarray(within, jnp.float32), precision="highest")


def _sizes(cuts: Cuts, hits: jax.Array) -> jax.Array:
    """Return the cuts, [1, ..., C], as many axes as the hits have."""
    return jnp.asarray(cuts, jnp.float32).reshape((1,) * (hits.ndim - 1) + (-1,))


def _require_rows(hits: jax.Array, held: jax.Array) -> None:
    """Raise AssertionError unless there is one number of held-out items to each row of hits."""
    chex.assert_shape(held, hits.shape[:-1])


def _defined(value: jax.Array, held: jax.Array) -> jax.Array:
    return jnp.where(held[..., None] > 0, value, jnp.nan)


# ------------------------------------------------------------------ whole lists, on the host


def self_information(counts: np.ndarray, num_rows: int) -> np.ndarray:
    """Compute -log2 of the share of training rows that list a column, [N] float32, in bits.

    A column that no training row lists is counted as if one listed it, which bounds the value.
    """
    return (np.log2(num_rows) - np.log2(np.maximum(counts, 1))).astype(np.float32)


def tail(counts: np.ndarray) -> np.ndarray:
    """Mark the tail, [N] float32: one for all columns but the most popular 20%, floor(N / 5).

    `counts [N]` are the training rows that list a column. Equal counts are in order of the columns.
    The NDCG of the tail, 'tail_ndcg', is `ndcg` of the same lists where only the held-out columns
    of the tail are relevant; a row that holds out none is NaN.
    """
    rare = np.ones(len(counts), np.float32)
    rare[np.argsort(-counts, kind="stable")[: len(counts) // 5]] = 0
    return rare


def coverage(counts: np.ndarray) -> float:
    """Compute the share of columns recommended to at least one row, from their `counts [N]`."""
    return float(np.mean(counts > 0))


def gini(counts: np.ndarray) -> float:
    """Compute the Gini index of recommendations over columns: 0 is uniform, 1 a single column.

    G = sum_j (2 j - N - 1) p_j / (N - 1), p ascending (Shani & Gunawardana 2011, sec. 8.3.3). NaN
    where nothing was recommended.
    """
    total, size = int(counts.sum()), len(counts)
    if not total:
        return float("nan")
    share = np.sort(counts).astype(np.float64) / total
    return float((2 * np.arange(1, size + 1) - size - 1) @ share / max(size - 1, 1))
