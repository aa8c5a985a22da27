"""What the codes of an autoencoder do to similarity, on users that were held out."""

import numpy as np
import scipy.stats

from aerec.data.splits import Heldout

PAIRS = 4000  # pairs of items per user


def of(
    scores: np.ndarray, truth: np.ndarray, held: Heldout, *, items: np.ndarray, encoded: np.ndarray
) -> dict[str, float]:
    """Compute all measures.

    Args:
      scores: similarities of codes [R, N].
      truth: the dot products of the feature vectors [R, N].
      held: the fold-in and the held-out items of the R users.
      items: the codes of the items [N, D], as they are compared.
      encoded: the codes of users and items [M, m], as the encoder gives them.

    Returns:
      `order`, the share of pairs of items that the scores order as the truth does, and `order_top`,
      of pairs among the user's best 200 by the truth; `auc`, of held-out items above other unseen
      ones; `zero`, the share of codes of zeros (P3); `flat`, of users whose scores are all alike
      (P3'); `gap`, the median difference of two items' scores, in standard deviations of the user's
      scores; `rank`, the effective rank of the item codes (Roy, Vetterli: *The effective rank*,
      EUSIPCO 2007).
    """
    spectrum = np.linalg.svd(items, compute_uv=False)
    shares = spectrum[spectrum > 0] / max(spectrum.sum(), 1e-300)
    spread = scores.std(axis=1)
    pairs = np.random.default_rng(0).integers(0, scores.shape[1], (2, PAIRS))
    apart = np.abs(scores[:, pairs[0]] - scores[:, pairs[1]])[spread > 0]
    return {
        "order": ordered(scores, truth, scores.shape[1]),
        "order_top": ordered(scores, truth, 200),
        "auc": heldout_auc(scores, held),
        "zero": float(np.mean(~encoded.any(axis=1))),
        "flat": float(np.mean(spread == 0)),
        "gap": float(np.median(apart / spread[spread > 0, None])) if len(apart) else 0.0,
        "rank": float(np.exp(-np.sum(shares * np.log(shares)))),
    }


def ordered(scores: np.ndarray, truth: np.ndarray, best: int) -> float:
    """Return the share of random pairs of items that scores [R, N] order as the truth does.

    Pairs are drawn among the `best` items of each row by the truth. A pair that the truth ties does
    not count; a tie of scores counts one half.
    """
    rng, shares = np.random.default_rng(1), []
    for own, true in zip(scores, truth, strict=True):
        among = np.argsort(-true, kind="stable")[:best]
        u, v = among[rng.integers(0, len(among), (2, PAIRS))]
        counts = true[u] != true[v]
        right = np.sign(own[u] - own[v]) * np.sign(true[u] - true[v])
        if counts.any():
            shares.append(np.mean((1 + right[counts]) / 2))
    return float(np.mean(shares))


def heldout_auc(scores: np.ndarray, held: Heldout) -> float:
    """Return the mean over rows of the AUC of held-out items above other unseen ones."""
    aucs = []
    for row, own in enumerate(scores):
        seen, target = (
            np.asarray(table.columns[table.indptr[row] : table.indptr[row + 1]])
            for table in (held.input, held.target)
        )
        others = np.ones(len(own), bool)
        others[np.concatenate([seen, target])] = False
        wanted, rest = own[target], own[others]
        if len(wanted) and len(rest):
            ranks = scipy.stats.rankdata(np.concatenate([wanted, rest]))
            above = ranks[: len(wanted)].sum() - len(wanted) * (len(wanted) + 1) / 2
            aucs.append(above / (len(wanted) * len(rest)))
    return float(np.mean(aucs))
