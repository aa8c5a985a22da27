"""From counts to rates: intervals, null baselines, skill, rank correlation, top-k overlap."""

from typing import Any

import jax
import numpy as np
import scipy  # whose packages are imported where they are first used

from aerec.properties.order import Tally


def clopper_pearson(k: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the exact two-sided interval of a binomial rate, k of n *independent* trials.

    Clopper & Pearson (1934): the ends are Beta quantiles. For k = 0 the upper end is
    `1 - (alpha / 2)^(1 / n)`, with `alpha = 1 - confidence`.

    Returns:
      (lower, upper end), in [0, 1].

    Raises:
      ValueError: not 0 <= k <= n, or n = 0.
    """
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"{k} violations of {n} triples is not a rate")
    alpha = 1.0 - confidence
    low = scipy.special.betaincinv(k, n - k + 1, alpha / 2) if k else 0.0
    high = scipy.special.betainccinv(k + 1, n - k, alpha / 2) if k < n else 1.0
    return float(low), float(high)


def bootstrap(
    violations: np.ndarray,
    triples: np.ndarray,
    key: jax.Array,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> tuple[float, float]:
    """Compute the percentile interval of a pooled rate if users, not triples, are independent.

    Users are resampled with replacement; consumes `key`. If no triple is violated, or every one,
    the bootstrap interval would be a point. The Clopper-Pearson interval of U trials with no (or
    only) successes is returned instead.

    Args:
      violations, triples: [U], integers per drawn user.

    Returns:
      (lower, upper end), in [0, 1].
    """
    violations, triples = np.asarray(violations, float), np.asarray(triples, float)
    users = len(triples)
    if violations.sum() in (0, triples.sum()):
        return clopper_pearson(0 if violations.sum() == 0 else users, users, confidence=confidence)
    seed = np.asarray(jax.random.key_data(key)).tolist()
    draw = np.random.default_rng(seed)
    rates = np.empty(resamples)
    for i in range(resamples):
        pick = draw.integers(0, users, users)
        rates[i] = violations[pick].sum() / triples[pick].sum()
    low, high = np.quantile(rates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def projection_baseline(n: int, m: int, *, asymptotic: bool = True) -> float:
    """Compute the violation rate of a random rank-m orthogonal projection of R^n.

    On isotropic triples it is `arccos(sqrt(m / n)) / pi`, the angle between x and its projection
    (over pi) if the projection keeps m/n of |x|^2. That share has the distribution
    Beta(m/2, (n - m)/2). `asymptotic=False` averages the angle over it; the formula above differs
    from this mean by O(1/n).
    """
    if m >= n:
        return 0.0
    if asymptotic:
        return float(np.arccos(np.sqrt(m / n)) / np.pi)
    angle = lambda p: np.arccos(np.sqrt(scipy.special.betaincinv(m / 2, (n - m) / 2, p)))  # noqa: E731
    return float(scipy.integrate.quad(angle, 0.0, 1.0)[0]) / np.pi


def loss(tally: Tally) -> float:
    """Compute the share of strictly ordered triples that are reversed; a flattened one is half."""
    lost = tally.reversed_ + 0.5 * tally.flattened
    return lost / tally.ordered if tally.ordered else float("nan")


def skill(tally: Tally, baseline: float = 0.5) -> float:
    """Compute `1 - loss / baseline` over the strictly ordered triples.

    In the loss a latent tie counts as half a reversal. Without ties, it is the violation rate.
    Because ties count half, a constant encoder has skill 0, not 1, against the no-information
    baseline 0.5. The skill is NaN for a baseline of 0.
    """
    return 1.0 - loss(tally) / baseline if baseline > 0 else float("nan")


def tau_b(tally: Tally) -> Any:
    """Compute Kendall's tau-b per user from counts [U]; NaN where a ranking consists of ties."""
    c, d = np.asarray(tally.concordant, float), np.asarray(tally.reversed_, float)
    true_only = np.asarray(tally.broken, float)
    latent_only = np.asarray(tally.flattened, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (c - d) / np.sqrt((c + d + latent_only) * (c + d + true_only))


def overlap(true: np.ndarray, latent: np.ndarray, *, k: int) -> np.ndarray:
    """Compute the share of the k best items by true score among the k best by latent score.

    Scores are [U, I], and the result is [U]. Ties are broken by item number in both rankings.

    Raises:
      ValueError: not 0 < k <= I.
    """
    if not 0 < k <= true.shape[1]:
        raise ValueError(f"top {k} of {true.shape[1]} items")
    chosen = np.zeros((2, *true.shape), bool)
    for side, scores in enumerate((true, latent)):
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        np.put_along_axis(chosen[side], best, True, axis=1)
    return (chosen[0] & chosen[1]).sum(axis=1) / k
