"""How well the scores of an encoder rank the items of data, compared with baselines.

All are counted on the same triples. `rate` is high for every encoder where most pairs of items are
true ties. The figures here are of the pairs with a true order.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.sparse

from aerec.properties import baselines, counting, intervals, order, rates, witness
from aerec.properties.budget import Budget
from aerec.properties.domain import Data
from aerec.properties.encoder import wrap
from aerec.properties.journal import Journal
from aerec.properties.modules import as_function
from aerec.properties.order import Tally
from aerec.properties.problem import Problem
from aerec.properties.rankings import flat_users
from aerec.properties.scores import ScoreRows, Scores, true_rows
from aerec.properties.witness import Witness

TOP = 10  # items, of the precision
_SHARE = 0.2  # of the seconds left, for each baseline
Interval = tuple[float, float]


class Counts(NamedTuple):
    """What was counted per user: the outcomes of its triples, [U] each, and precision@k [U]."""

    tally: Tally
    precision: np.ndarray


class Pair(NamedTuple):
    """A user and two items, by number, whose codes rank u below v against the true scores.

    Attributes:
      user, u, v: row numbers.
      true_margin: positive, or 0 for a tie.
      latent_margin: relative, of the codes in float64; negative.
    """

    user: int
    u: int
    v: int
    true_margin: float
    latent_margin: float


@dataclasses.dataclass(frozen=True)
class Scored:
    """The figures of one scorer.

    Attributes:
      name: "codes" for those of the audited encoder.
      auc: of all pairs with a true order, pooled: the share ranked the right way round, where a tie
        is half. Skill is `2 AUC - 1`, Somers' D.
      auc_users: the mean of the AUC of each user.
      precision: the mean share of listed items among the k best; None where items are not listed.
      auc_interval, auc_users_interval, precision_interval: over users.
      flat: the share of users whose items all tie, of those whose true scores do not.
      reversed_: the share of pairs with a true order that are ranked the wrong way round.
      by_length: `1 - AUC`, pooled, of each range of history lengths.
    """

    name: str
    auc: float
    auc_interval: Interval
    auc_users: float
    auc_users_interval: Interval
    precision: float | None
    precision_interval: Interval | None
    flat: float
    reversed_: float
    by_length: list[float]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The audited codes compared with other scores on the same data.

    Attributes:
      users: how many were counted.
      k: of the precision.
      lengths: (shortest, longest, number of users) of each range of history lengths.
      scored: the audited codes first.
      expected: what theorem T6 expects of a random projection, by history length; None where it
        does not apply: users are not binary, or items are not single columns.
    """

    users: int
    k: int
    lengths: list[tuple[int, int, int]]
    scored: list[Scored]
    expected: list[float] | None


def count(
    problem: Problem,
    rows: ScoreRows,
    users: np.ndarray,
    *,
    state: Journal,
    part: str = "counted",
    progress: Callable[[int, int], None] | None = None,
) -> Counts:
    """Count all pairs of the scores of each of the users, and the precision at 10."""
    pairs = counting.counter(problem.true_ties, problem.latent_ties)
    k = min(TOP, problem.data.shape[1])

    def judge(true, latent):
        unseen = ~np.isnan(true)  # the others come last
        last = np.where(unseen, latent, np.finfo(np.float32).min / 2)
        precision = rates.precision_at(np.where(unseen, true, 0.0), last, k=k)
        return np.array([*pairs(true, latent), precision])

    part = f"{part}, users {zlib.crc32(np.asarray(users, np.int64).tobytes()):08x}"
    found = counting.each_user(judge, rows, users, state=state, part=part, progress=progress)
    return Counts(Tally(*found[:-1].astype(np.int64)), found[-1])


def compare(
    problem: Problem,
    audited: Counts,
    users: np.ndarray,
    key: jax.Array,
    *,
    own: Callable[[Any], Any] | None,
    spending: Budget,
    state: Journal,
    confidence: float,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Count baselines on the triples of the audited codes, as far as the seconds go.

    Consumes `key`.

    Args:
      audited: of the codes.
      users: [U] the numbers of the users that were counted.
      own: the scores of the model itself, rows [B, n] -> [B, n], if the codes are not what it ranks
        by; for data whose items are the columns.
    """
    data, (truths, _) = problem.data, true_rows(problem)
    others: dict[str, baselines.Scorer] = {}
    if own is not None and data.items is None:
        score = wrap(as_function(own), problem.n, batched=True).native
        others["the model's own score"] = lambda index: np.asarray(score(data.user_rows(index)))
    others |= baselines.baselines(data, problem.m, key)
    counts = {"codes": audited}
    for name, latent in others.items():
        latent = spending.guard(latent)
        rows = lambda index, latent=latent: (truths(index), latent(index))  # noqa: E731
        work = functools.partial(
            count, problem, rows, users, state=state, part=name, progress=progress
        )
        found = spending.part(f"the count of {name}", _SHARE, work)
        if found is not None:
            counts[name] = found
    return summarise(data, counts, users, problem.m, confidence=confidence)


def worst_pair(
    problem: Problem, scores: Scores, audited: Counts, users: np.ndarray
) -> Pair | None:
    """Find a violation among the counted triples that float64 confirms.

    Where the truth is no dot product, three vectors are no witness, and these rows are. Of the
    users with the most reversed pairs (else, broken ties), the pair with the largest latent margin
    is tried.
    """
    data, tally = problem.data, audited.tally
    strict = bool(tally.reversed_.sum())
    wrong = tally.reversed_ if strict else tally.broken
    for place in np.argsort(-wrong)[:16]:
        if not wrong[place]:
            return None
        (true,), (latent,) = scores.rows(users[place : place + 1])
        items = np.flatnonzero(~np.isnan(true))
        items = items[np.argsort(true[items], kind="stable")]
        level, below = true[items], np.maximum.accumulate(latent[items])
        last = np.searchsorted(level, level, side="left" if strict else "right") - 1
        gap = np.where(last >= 0, below[last] - latent[items], -np.inf)
        above = int(np.argmax(gap))
        u, v = items[above], items[np.argmax(latent[items[: last[above] + 1]])]
        x, pair = data.user_rows(users[place : place + 1]), data.item_rows(np.array([u, v]))
        z_x, z_u, z_v = problem.exact(x, pair[:1], pair[1:])
        margin = float(order.relative_margin(z_x, z_u, z_v, kind=problem.latent)[0])
        if margin < -problem.latent_ties:
            true_margin = float(true[u]) - float(true[v])
            return Pair(int(users[place]), int(u), int(v), true_margin, margin)
    return None


def rows_of(problem: Problem, pair: Pair) -> Witness | None:
    """Return the rows of a violation as a witness, if the recheck confirms it."""
    data = problem.data
    x, (u, v) = data.user_rows(np.array([pair.user]))[0], data.item_rows(np.array([pair.u, pair.v]))
    return witness.recheck(problem, x, u, v, source="count of the triples")


def summarise(
    data: Data, counts: Mapping[str, Counts], users: np.ndarray, m: int, *, confidence: float
) -> Comparison:
    """Compute the figures of each scorer from its counts."""
    lengths, place, expected = [], np.zeros(len(users), int), None
    if data.listing:
        length = data.lengths()[users]
        places, place = np.unique(np.log2(np.maximum(length, 1)).astype(int), return_inverse=True)
        for i in range(len(places)):
            among = length[place == i]
            lengths.append((int(among.min()), int(among.max()), len(among)))
        ordered = next(iter(counts.values())).tally.ordered
        if data.truth is None and _binary(data.users):
            rate = rates.random_projection_rate(m, np.maximum(length, 1))
            expected = _by_place(rate * ordered, ordered, place, len(lengths))
    scored = [
        _figures(name, each, place, len(lengths), data.listing, confidence)
        for name, each in counts.items()
    ]
    return Comparison(len(users), min(TOP, data.shape[1]), lengths, scored, expected)


def _figures(name, counts: Counts, place, places: int, listing: bool, confidence: float) -> Scored:
    tally, precision = counts
    ordered, auc = tally.ordered, rates.auc(tally)
    flat, some = flat_users(tally)
    pooled = Tally(*(int(part.sum()) for part in tally))
    over = lambda *values: intervals.over_users(*values, confidence=confidence)  # noqa: E731
    loss = np.where(some, 1.0 - auc, 0.0)
    return Scored(
        name=name,
        auc=float(rates.auc(pooled)),
        auc_interval=over(auc, ordered),
        auc_users=_mean(auc),
        auc_users_interval=over(auc),
        precision=_mean(precision) if listing else None,
        precision_interval=over(precision) if listing else None,
        flat=float(flat.sum() / some.sum()) if some.any() else float("nan"),
        reversed_=pooled.reversed_ / pooled.ordered if pooled.ordered else float("nan"),
        by_length=_by_place(loss * ordered, ordered, place, places),
    )


def _by_place(wrong, of, place, places: int) -> list[float]:
    totals = [np.bincount(place, part, places)[:places] for part in (wrong, of)]
    with np.errstate(invalid="ignore"):
        return (totals[0] / totals[1]).tolist()


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _binary(rows: Any) -> bool:
    values = rows.data if scipy.sparse.issparse(rows) else rows
    return bool(((values == 0) | (values == 1)).all())
