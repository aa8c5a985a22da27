"""What d dimensions can express: numbers of orders, margins, and the construction with d = 2k."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from aerec.properties import inputs


class Margin(NamedTuple):
    """Margins of the k best listed items, relative to the query's length times the longest code.

    Attributes:
      observed: [U] the score of the k-th best listed item less that of the best unlisted item. A
        user with fewer than k listed items: of the last listed item. Negative if one is out of
        order. With a bias, the lengths are those of (query, 1) and of (code, bias).
      best: no codes and queries give all k-sets of items a larger margin than this, about k^-1/2.
      safe: a random projection to d dimensions keeps all these comparisons with probability at
        least 1 - eta, if their margins relative to `|x| |u - v|` are at least this; not below 1
        means that no such promise can be given.
    """

    observed: np.ndarray
    best: float
    safe: float


def capacity(n: int, d: int) -> tuple[float, float]:
    """Count the orders of n items by their scores, for any query and codes in R^d.

    Cover (1967), "The number of linearly inducible orderings of points in d-space":
    `T(n + 1, d) = T(n, d) + n T(n, d - 1)`, with T(2, d) = 2 and T(n, 0) = 0. Codes in general
    position reach this number, and no codes exceed it.

    Returns:
      (log2 of T(n, d), log2 of n!), the orders that d dimensions express, and all.

    Raises:
      ValueError: n < 2 or d < 1.
    """
    if n < 2 or d < 1:
        raise ValueError(f"{n} items in {d} dimensions: give at least 2 items and 1 dimension")
    orders = np.ones(min(d, n - 1) + 1)  # log2 T(2, .)
    orders[0] = -np.inf
    for items in range(2, n):
        orders[1:] = np.logaddexp2(orders[1:], math.log2(items) + orders[:-1])
    return float(orders[-1]), math.lgamma(n + 1) / math.log(2.0)


def margin(
    queries: Any,
    item_codes: Any,
    item_bias: Any,
    listed: Sequence[Any],
    *,
    k: int,
    eta: float = 0.05,
) -> Margin:
    """Compare the margins by which users' listed items lead with the largest possible ones.

    If all k-sets S of n codes in the unit ball lead by g with queries of length 1, then g is at
    most the distance of the mean code of S from that of the rest. Its mean square over random S is
    at most `n^2 / (k (n - 1) (n - k))`, the square of `best` (Bangachev et al. 2026, arXiv
    2605.23556, for unit vectors, reached by those of a simplex). `safe` is
    `sqrt(2 ln(N / (2 eta)) / d)` for N comparisons of a listed and an unlisted item (THEORY, T6).

    Args:
      queries: [U, d].
      item_codes: [I, d].
      item_bias: [I], or None.
      listed: each user's items, at least one and not all.
      k: items that are to lead.
      eta: probability with which a random projection may fail.

    Raises:
      ValueError: shapes do not go together, a value is not finite, a user's items are unknown,
        repeated, none or all, or not 1 <= k < I or not 0 < eta < 1.
    """
    codes, bias = inputs.items(item_codes, item_bias, None)
    asked, (n, d) = inputs.queries(queries, codes), codes.shape
    if not 1 <= k < n:
        raise ValueError(f"k = {k} of {n} items: give at least 1, and fewer than all")
    if not 0 < eta < 1:
        raise ValueError(f"eta = {eta} is no probability between 0 and 1")
    users = inputs.users(listed, [()] * len(listed), n, name="listed")
    if len(users) != len(asked):
        raise ValueError(f"queries of {len(asked)} users, but listed items of {len(users)}")
    if bias is not None:
        codes = np.column_stack([codes, bias])
        asked = np.column_stack([asked, np.ones(len(asked))])
    longest, observed, pairs = np.linalg.norm(codes, axis=1).max(), np.empty(len(users)), 0
    for u, (own, others) in enumerate(users):
        if not len(others):
            raise ValueError(f"listed[{u}] are all items: none is left to compare with")
        score = codes @ asked[u]
        last = np.sort(score[own])[-min(k, len(own))]
        observed[u] = last - score[others].max()
        pairs += len(own) * len(others)
    observed /= np.maximum(np.linalg.norm(asked, axis=1) * longest, np.finfo(float).tiny)
    best = n / math.sqrt(k * (n - 1) * (n - k))
    chances = max(math.log(pairs / (2.0 * eta)), 0.0)
    return Margin(observed, best, math.sqrt(2.0 * chances / d))


def moment_curve(n: int, k: int) -> tuple[np.ndarray, Callable[[Any], np.ndarray]]:
    """Construct codes of n items in 2k dimensions in which every set of k items can rank first.

    Items lie at t_j = 2 pi j / n on the trigonometric moment curve (cos lt, sin lt), l = 1 .. k.
    The query of a set S has the coefficients of `-prod_{j in S} (1 - cos(t - t_j))`. Up to a
    constant, that is the score of an item at t: largest on S, and less elsewhere. Gale (1963);
    THEORY, T5: fewer dimensions cannot do it if n >= 3k.

    Returns:
      (codes [n, 2k], query), where `query` maps sets of item numbers [..., k] to [..., 2k].

    Raises:
      ValueError: not 1 <= k < n.
    """
    if not 1 <= k < n:
        raise ValueError(f"sets of {k} of {n} items: give at least 1, and fewer than all")
    degree = np.arange(1, k + 1)
    at = 2 * np.pi * np.arange(n) / n
    grid = 2 * np.pi * np.arange(2 * k + 1) / (2 * k + 1)  # enough to interpolate degree k

    def query(chosen: Any) -> np.ndarray:
        places = at[np.asarray(chosen)]
        values = -np.prod(1 - np.cos(grid - places[..., None]), axis=-2)
        wave = np.fft.rfft(values)[..., 1:] * (2.0 / len(grid))
        return np.concatenate([wave.real, -wave.imag], axis=-1)

    angles = at[:, None] * degree
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1), query


def radon(item_codes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Divide the first d + 2 items into two sets whose convex hulls meet (Radon 1921).

    No query ranks either set strictly above the other. The smaller has at most (d + 2) / 2 items:
    at most k if d < 2k. So a user who lists it, and none of the other set, cannot be served
    (THEORY, T5).

    Args:
      item_codes: [I, d], I >= d + 2.

    Returns:
      (smaller set, larger set), numbers of items.

    Raises:
      ValueError: there are fewer than d + 2 items, or a value is not finite.
    """
    codes, _ = inputs.items(item_codes, None, None)
    d = codes.shape[1]
    if len(codes) < d + 2:
        raise ValueError(f"{len(codes)} items in {d} dimensions: give at least {d + 2}")
    affine = np.concatenate([codes[: d + 2].T, np.ones((1, d + 2))])
    relation = np.linalg.svd(affine)[2][-1]  # sum r = 0 and sum r g = 0
    listed = abs(relation) > np.finfo(float).eps * len(affine)
    sides = np.flatnonzero(listed & (relation > 0)), np.flatnonzero(listed & (relation < 0))
    smaller, larger = sorted(sides, key=len)
    return smaller, larger
