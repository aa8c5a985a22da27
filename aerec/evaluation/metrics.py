"""Ranking metrics, a pure function each.

The first half runs on the device, on the hits of ranked lists. `hits [..., k]` is one where the
item at that rank (best first) is held out and zero elsewhere, and `held [...]` is the number of
held-out items of the row. A row with `held == 0` is NaN, never zero. Relevance is binary. A list
shorter than k (fewer than k items left to recommend) is filled with misses: its denominators do not
shrink.

The second half runs on the host, on the recommendations of all lists together.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

# ---------------------------------------------------------------- ranked lists, on the device


def precision(hits: jax.Array, held: jax.Array) -> jax.Array:
    """Compute P@k [...]: hits / k, whatever `held` (trec_eval's `P`)."""
    _require_rows(hits, held)
    return _defined(hits.sum(-1) / hits.shape[-1], held)


def recall(hits: jax.Array, held: jax.Array) -> jax.Array:
    """Compute R@k [...]: hits / min(k, held) (Liang et al. 2018, eq. 9).

    A perfect list scores one. This is "R/min"; `recall_all` is the other recall of the literature.
    """
    _require_rows(hits, held)
    return _defined(hits.sum(-1) / jnp.minimum(held, hits.shape[-1]), held)


def recall_all(hits: jax.Array, held: jax.Array) -> jax.Array:
    """Compute R@k [...]: hits / held, "R/all" (trec_eval's `recall`; Sachdeva et al. 2019)."""
    _require_rows(hits, held)
    return _defined(hits.sum(-1) / held, held)


def ndcg(hits: jax.Array, held: jax.Array) -> jax.Array:
    """Compute truncated NDCG@k [...] with binary gain (Liang et al. 2018; trec_eval's `ndcg_cut`).

    DCG = sum_r hits_r / log2(r + 1), r = 1..k, over its value for a list that begins with
    min(k, held) hits.
    """
    _require_rows(hits, held)
    discount = 1 / np.log2(np.arange(hits.shape[-1]) + 2)
    ideal = jnp.asarray(np.concatenate([[0], np.cumsum(discount)]), jnp.float32)
    gain = jnp.dot(hits, jnp.asarray(discount, jnp.float32), precision="highest")
    return _defined(gain / ideal[jnp.minimum(held, hits.shape[-1]).astype(jnp.int32)], held)


def average_precision(hits: jax.Array, held: jax.Array) -> jax.Array:
    """Compute AP@k [...]: the precision at each hit, summed, / held (trec_eval's `map_cut`).

    The denominator is all held-out items; other code divides by min(k, held).
    """
    _require_rows(hits, held)
    at_rank = jnp.cumsum(hits, -1) * jnp.broadcast_to(_reciprocal_ranks(hits), hits.shape)
    return _defined((hits * at_rank).sum(-1) / held, held)


def reciprocal_rank(hits: jax.Array, held: jax.Array) -> jax.Array:
    """Compute RR@k [...]: 1 / rank of the first hit, else zero (trec_eval's `recip_rank`)."""
    _require_rows(hits, held)
    return _defined((hits * jnp.broadcast_to(_reciprocal_ranks(hits), hits.shape)).max(-1), held)


def hit(hits: jax.Array, held: jax.Array) -> jax.Array:
    """Compute the hit rate@k [...]: one where the list holds a hit (trec_eval's `success`)."""
    _require_rows(hits, held)
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
    """Compute the mean self-information of the recommended items, [...] bits (Zhou et al. 2010).

    Args:
      information: [..., k] -log2 popularity of each listed item (`self_information`).
      recommended: [..., k] one where the list has an item; the mean is over those, and NaN if there
        is none.
    """
    chex.assert_equal_shape([information, recommended])
    return (information * recommended).sum(-1) / recommended.sum(-1)


def tied(scores: jax.Array) -> jax.Array:
    """Return one where the cut at k separates equal scores, [...]: the tie is broken at random.

    Args:
      scores: [..., k + 1] best first; -inf where there is no item to recommend.
    """
    return ((scores[..., -2] == scores[..., -1]) & (scores[..., -1] > -jnp.inf)).astype(jnp.float32)


def _reciprocal_ranks(hits: jax.Array) -> jax.Array:
    return jnp.asarray(1 / (np.arange(hits.shape[-1]) + 1), jnp.float32)


def _require_rows(hits: jax.Array, held: jax.Array) -> None:
    """Raise AssertionError unless there is one number of held-out items to each row of hits."""
    chex.assert_shape(held, hits.shape[:-1])


def _defined(value: jax.Array, held: jax.Array) -> jax.Array:
    return jnp.where(held > 0, value, jnp.nan)


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
