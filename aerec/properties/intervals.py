"""Confidence intervals of rates: of independent triples, and of means over independent users."""

from typing import Any

import numpy as np
import scipy  # whose packages are imported where they are first used


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


def over_users(
    values: Any, weights: Any = None, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Compute the interval of a mean over independent users of values in [0, 1].

    The bound of Gaffke (2005; Learned-Miller & Thomas 2019): one more user is added, the worst
    possible, whose value is 1 for the upper end and 0 for the lower. The users get independent
    exponential weights. The upper end is the `(1 + confidence) / 2` quantile of the weighted mean,
    and the lower end mirrors it. For values of 0 and 1 it is the interval of Clopper and Pearson:
    without any violation of U users the upper end is `1 - (alpha / 2)^(1 / U)`. So rare violations
    do not make it too narrow, as they do a bootstrap. That each end has its nominal coverage for
    any values in [0, 1] is conjectured, not proven; `tests/properties/test_intervals.py` simulates
    it. The quantile is a saddlepoint approximation without random numbers: for values of 0 and 1
    of 5 users or more the upper end is within 0.7% of the exact one.

    With weights the mean is pooled, `sum(w values) / sum(w)`, and the added user weighs as much as
    the heaviest one: it assumes that no user weighs more than the heaviest of those drawn.

    Args:
      values: [U], one value per user; a user whose value is NaN is left out.
      weights: [U], non-negative, such as the number of triples of each user; None: equal weights.
      confidence: of both ends together, in [0.5, 1); each end alone has `(1 + confidence) / 2`.

    Returns:
      (lower, upper end), in [0, 1]: 0 and 1 if no user has a value and a weight.

    Raises:
      ValueError: a value outside [0, 1]; a weight that is negative or not finite; a confidence
        outside [0.5, 1); other shapes.
    """
    values = np.asarray(values, float)
    weights = np.ones_like(values) if weights is None else np.asarray(weights, float)
    if values.ndim != 1 or weights.shape != values.shape:
        raise ValueError(f"values {values.shape} and weights {weights.shape} are not [U] each")
    if np.any((values < 0) | (values > 1)):
        raise ValueError("a value outside [0, 1]: divide each user's count by that of its triples")
    if not np.all((weights >= 0) & (weights < np.inf)):
        raise ValueError("a weight is negative or not finite")
    if not 0.5 <= confidence < 1:
        raise ValueError(f"a confidence of {confidence:g} is not in [0.5, 1)")
    known = (weights > 0) & ~np.isnan(values)
    if not known.any():
        return 0.0, 1.0
    values, weights = values[known], weights[known] / weights[known].max()
    deviate = float(scipy.special.ndtri((1.0 + confidence) / 2))
    return 1.0 - _upper(1.0 - values, weights, deviate), _upper(values, weights, deviate)


def _upper(values: np.ndarray, weights: np.ndarray, deviate: float) -> float:
    """Find the upper end by bisection. Within 1e-12 of 1, it is 1."""
    low, high = float(np.append(values, 1.0) @ np.append(weights, 1.0) / (weights.sum() + 1.0)), 1.0
    if low > 1.0 - 1e-12:
        return 1.0
    while low < (middle := (low + high) / 2) < high:
        if _deviate(values, weights, middle) < deviate:
            low = middle
        else:
            high = middle
    return high


def _deviate(values: np.ndarray, weights: np.ndarray, mean: float) -> float:
    """Compute how unlikely the weighted mean, the added user's included, is to pass `mean`.

    The probability is that of `sum_i a_i E_i > 0`, E_i exponential, a_i = w_i (value_i - mean),
    with `sum_i a_i < 0`. It is given as a normal deviate, by the saddlepoint approximation of
    Barndorff-Nielsen (1986; r* = r + log(u / r) / r). The saddlepoint lies between 0 and
    `(1 - 1 / (U + 2)) / max a`.
    """
    terms = np.append(weights * (values - mean), 1.0 - mean)
    terms = terms / terms.max()
    slope = lambda s: np.sum(terms / (1.0 - s * terms))  # noqa: E731
    s = scipy.optimize.brentq(slope, 0.0, 1.0 - 1.0 / (len(terms) + 1))
    r = np.sqrt(2.0 * np.sum(np.log1p(-s * terms)))
    u = s * np.sqrt(np.sum((terms / (1.0 - s * terms)) ** 2))
    return float(r + np.log(u / r) / r)
