"""What item codes allow: the items, and the sets of items, that some query ranks first.

A query q scores item v by `<q, g_v> + b_v`. Whether one exists that ranks given items above others
is decided by `aerec.properties.separation`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy  # whose packages are imported where they are first used

from aerec.properties import inputs, intervals, separation
from aerec.properties.separation import Space

Progress = Callable[[int, int], object]  # called with what is done, and of how many

_BLOCK = 1024  # queries scored at once
_TRIES = 40  # of k held-out items


class Reachability(NamedTuple):
    """Which of I items some query ranks strictly first.

    Items of equal code and bias form one group, which is first if all other items score less.

    Attributes:
      by: the share of items that some query ranks first.
      by_users: the share that one of the given queries ranks first; None without queries.
      groups: [I] the number of each item's group.
      reached: [I] bool; `query` proves it.
      unreachable: [I] bool; `weights` prove it.
      undecided: the number of items that are neither, like two whose codes differ by a rounding
        error.
      query: [I, d] a query that ranks the item first; NaN where none was found.
      weights: [I, I] sparse. For an unreachable item: weights of sum 1 on others, whose mean code
        is its own, and whose mean bias is no less. With a bound, the codes may differ by what the
        bias makes up for at any such query.
      residual: [I] by how much that fails, at most `separation.TOLERANCE`; NaN for other items.
    """

    by: float
    by_users: float | None
    groups: np.ndarray
    reached: np.ndarray
    unreachable: np.ndarray
    undecided: int
    query: np.ndarray
    weights: Any
    residual: np.ndarray


class Ceiling(NamedTuple):
    """For which of U users some query makes no mistake on the k first places.

    Attributes:
      share: of users for whom one does; an undecided user counts as one of the others.
      interval: of that share (Clopper-Pearson); undecided users count as the others for its lower
        end, and as users for whom one does for its upper end.
      by_users: the share of users whose own query does; None without queries.
      possible: [U] bool; `query` proves it.
      impossible: [U] bool, proven by certificates.
      undecided: the number of users who are neither.
      query: [U, d] a query that makes no mistake; NaN where none was found.
      residual: [U] the largest of the certificates' residuals; NaN for other users.
    """

    share: float
    interval: tuple[float, float]
    by_users: float | None
    possible: np.ndarray
    impossible: np.ndarray
    undecided: int
    query: np.ndarray
    residual: np.ndarray


def reachable(
    item_codes: Any,
    item_bias: Any = None,
    queries: Any = None,
    *,
    bound: float | None = None,
    progress: Progress | None = None,
) -> Reachability:
    """Find the items that some query ranks strictly first.

    Dean, Rich & Recht (2019). Without a bias, these are the vertices of the convex hull of the
    codes. The given queries are tried first, then each item's own whitened code.

    Args:
      item_codes: [I, d].
      item_bias: [I], or None.
      queries: [U, d] of users, or None.
      bound: the largest size of a coordinate of a query; None: any real query. Without a bias,
        the length of a query changes no ranking, and a bound is ignored.
      progress: called with the number of groups that are decided and the number of all groups.

    Raises:
      ValueError: shapes do not go together, a value is not finite, there are fewer than 2 items, or
        the bound is not positive.
    """
    codes, bias = inputs.items(item_codes, item_bias, bound)
    lifted = (codes if bias is None else np.column_stack([codes, bias])) + 0.0  # no -0
    _, first, groups = np.unique(lifted, axis=0, return_index=True, return_inverse=True)
    groups = groups.reshape(-1)
    space = separation.space(codes[first], None if bias is None else bias[first], bound)
    count = len(first)
    reached, query = np.zeros(count, bool), np.full((count, codes.shape[1]), np.nan)
    weights, residual = scipy.sparse.lil_array((count, len(codes))), np.full(count, np.nan)
    by_users = None
    if queries is not None:
        asked = inputs.queries(queries, codes)
        ranked, user = _firsts(space, asked)
        query[ranked], by_users = asked[user], float(np.isin(groups, ranked).mean())
    for v in range(count):
        own, rivals = np.array([v]), np.delete(np.arange(count), v)
        reached[v] = separation.holds(space, query[v], own, rivals)
        if not reached[v]:
            found, proof = separation.separate(space, own, rivals)
            reached[v], query[v] = found is not None, np.nan if found is None else found
            if proof is not None:
                some = np.flatnonzero(proof.rivals)
                weights[v, first[rivals[some]]], residual[v] = proof.rivals[some], proof.residual
        if progress is not None:
            progress(v + 1, count)
    return Reachability(
        by=float(reached[groups].mean()),
        by_users=by_users,
        groups=groups,
        reached=reached[groups],
        unreachable=np.isfinite(residual)[groups],
        undecided=int((~reached & np.isnan(residual))[groups].sum()),
        query=query[groups],
        weights=weights.tocsr()[groups],
        residual=residual[groups],
    )


def ceiling(
    item_codes: Any,
    item_bias: Any,
    targets: Sequence[Any],
    seen: Sequence[Any],
    queries: Any = None,
    *,
    k: int,
    bound: float | None = None,
    confidence: float = 0.95,
    progress: Progress | None = None,
) -> Ceiling:
    """Find the users for whom some query would make no mistake on the k first places.

    Seen items are not ranked. With at most k held-out items, the query must rank all of them
    strictly above the other items. With more, it must rank k of them so, no matter which. Each
    certificate names items of which one must be left out; an integer programme finds the k items to
    try next (Parker & Ryan 1996), or that there are none. After too many tries the user is
    undecided.

    Where no query can, the item codes are at fault. Where one can, but the user's own query does
    not, the encoder is.

    Args:
      item_codes: [I, d].
      item_bias: [I], or None.
      targets: each user's held-out items, at least one.
      seen: each user's items that are not ranked.
      queries: [U, d] the users' own, or None.
      k: places.
      bound: the largest size of a coordinate of a query; None: any real query.
      confidence: of the interval.
      progress: called with the number of users who are decided and the number of all users.

    Raises:
      ValueError: shapes do not go together, a value is not finite, k < 1, the bound is not
        positive, or a user's items are unknown, repeated, none, or both held-out and seen.
    """
    codes, bias = inputs.items(item_codes, item_bias, bound)
    if k < 1:
        raise ValueError(f"k = {k}: give at least 1 place")
    users = inputs.users(targets, seen, len(codes))
    asked = None if queries is None else inputs.queries(queries, codes)
    if asked is not None and len(asked) != len(users):
        raise ValueError(f"queries of {len(asked)} users, but targets of {len(users)}")
    space = separation.space(codes, bias, bound)
    query, residual = np.full((len(users), codes.shape[1]), np.nan), np.full(len(users), np.nan)
    right, possible = np.zeros((2, len(users)), bool)
    for u, (held_out, rivals) in enumerate(users):
        if asked is not None:
            score = separation.scores(space, asked[u])[held_out]
            best = held_out[np.argsort(-score, kind="stable")[:k]]
            right[u] = separation.holds(space, asked[u], best, rivals)
        found, residual[u] = _top(space, held_out, rivals, k)
        possible[u], query[u] = found is not None, np.nan if found is None else found
        if progress is not None:
            progress(u + 1, len(users))
    sure, undecided = int(possible.sum()), int((~possible & np.isnan(residual)).sum())
    low, _ = intervals.clopper_pearson(sure, len(users), confidence=confidence)
    _, high = intervals.clopper_pearson(sure + undecided, len(users), confidence=confidence)
    return Ceiling(
        share=sure / len(users),
        interval=(low, high),
        by_users=None if asked is None else float(right.mean()),
        possible=possible,
        impossible=np.isfinite(residual),
        undecided=undecided,
        query=query,
        residual=residual,
    )


def _top(
    space: Space, held_out: np.ndarray, rivals: np.ndarray, k: int
) -> tuple[np.ndarray | None, float]:
    """A query that ranks k held-out items above the rivals, or the residual of a proof, or NaN."""
    chosen, weights, residual = np.arange(len(held_out)), np.zeros((0, len(held_out))), 0.0
    for _ in range(_TRIES):
        query, proof = separation.separate(space, held_out[chosen], rivals)
        if query is not None:
            return query, np.nan
        if proof is None:
            break
        residual = max(residual, proof.residual)
        if len(held_out) <= k:
            return None, residual
        weights = np.vstack([weights, np.zeros(len(held_out))])
        weights[-1, chosen] = proof.chosen
        choice = _choice(weights, k)
        if choice.status == 2:  # infeasible
            return None, residual
        if choice.x is None:
            break
        chosen = np.flatnonzero(choice.x > 0.5)
    return None, np.nan


def _choice(weights: np.ndarray, k: int) -> Any:
    """Choose k items that include no certificate's whole support, those of least total weight."""
    support = (weights > 0).astype(float)
    return scipy.optimize.milp(
        weights.sum(axis=0),
        integrality=np.ones(weights.shape[1]),
        bounds=scipy.optimize.Bounds(0, 1),
        constraints=[
            scipy.optimize.LinearConstraint(support, ub=support.sum(axis=1) - 1),
            scipy.optimize.LinearConstraint(np.ones((1, weights.shape[1])), lb=k, ub=k),
        ],
    )


def _firsts(space: Space, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The items that some query ranks strictly first, and for each the first such query."""
    best, strict = [], []
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        score = separation.scores(space, block)
        first = score.argmax(axis=1)
        lead = np.take_along_axis(score, first[:, None], 1)[:, 0].copy()
        score[np.arange(len(score)), first] = -np.inf
        best.append(first)
        strict.append(lead - score.max(axis=1) > separation.slack(space, block))
    users = np.flatnonzero(np.concatenate(strict))
    items, index = np.unique(np.concatenate(best)[users], return_index=True)
    return items, users[index]
