"""What an audit gathers: counts, a violation, zero codes, constant rankings."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from aerec.properties import (
    bounds,
    comparison,
    intervals,
    order,
    rankings,
    rates,
    sampling,
    search,
    witness,
    zero_search,
    zeros,
)
from aerec.properties.budget import Budget
from aerec.properties.comparison import Comparison, Pair
from aerec.properties.domain import Data, Separated, Space
from aerec.properties.encoder import require_same
from aerec.properties.journal import Journal
from aerec.properties.order import Tally
from aerec.properties.problem import Problem
from aerec.properties.rankings import Rankings
from aerec.properties.sampling import Sampled
from aerec.properties.scores import Scores, score_rows
from aerec.properties.vacuity import Vacuity
from aerec.properties.witness import Witness
from aerec.properties.zero_search import Rows
from aerec.properties.zeros import Zero

SEARCH = "the search for a violation"
_COUNTED, _SEARCHED = 0.3, 0.6  # of the seconds left; the search for zeros has the rest
_NEAR = 4.0  # times the usual norm: how far from where it is constant a code is searched
_WHOLE = 10**11  # data with at most this many triples is counted exhaustively by default
_FEW = 256  # users whose triples are all counted where those of all users are too many

Progress = Callable[[str, int, int], None]


class Rated(NamedTuple):
    """What an audit counted.

    Attributes:
      tally: the outcomes of all counted triples.
      interval: of the rate of violations.
      per_user: arrays by figure, of the counted or drawn users; empty unless the domain is data.
      comparison: with baselines; None unless the domain is data.
      exhaustive: whether these are all triples of the domain.
      pair: a violation among those of data.
      by_user: the outcomes of each user, [U], if these are all triples of data.
      unseen: the relative margin below which the counts may take two items for a tie. It exceeds
        the tolerance as far as the largest item exceeds the smallest one.
    """

    tally: Tally
    interval: tuple[float, float]
    per_user: dict[str, np.ndarray]
    comparison: Comparison | None = None
    exhaustive: bool = False
    pair: Pair | None = None
    by_user: Tally | None = None
    unseen: float = 0.0


def is_flat(tally: Tally, vacuity: Vacuity) -> bool:
    """Return whether the codes rank nothing: neither of the counted triples nor of the probes."""
    return vacuity.collapsed and tally.total == tally.flattened + tally.tied


class Evidence(NamedTuple):
    """What an audit gathered about a problem.

    Attributes:
      problem: what was examined.
      rated: what was counted.
      vacuity: of the codes of the probes.
      probes: x and u, [A, n] and [B, n]: points of the domain.
      codes: f(x) and g(u), [A, m] and [B, m].
      witness: against P2, or None.
      angles: of the probes, from `angle.distribution`, or None.
      zero_codes, encoded: non-zero x with a zero code, of how many.
      smallest: norm of a code of data that is not 0, relative to the median; None elsewhere.
      zero: a point where the code is 0, or nearly; or None.
      rankings: how many are constant.
      activation: of the last layer, as far as the caller declares it.
      network: the layers, as far as the caller gives them.
      confidence: of the intervals.
      searched: whether the search for a witness had the time it needed.
    """

    problem: Problem
    rated: Rated
    vacuity: Vacuity
    probes: tuple[np.ndarray, np.ndarray]
    codes: tuple[np.ndarray, np.ndarray]
    witness: Witness | Pair | None
    angles: dict[str, Any] | None
    zero_codes: int
    encoded: int
    smallest: float | None
    zero: Zero | None
    rankings: Rankings
    activation: Any
    network: bounds.Network | None
    confidence: float
    searched: bool = True


class Shared(NamedTuple):
    """What all parts of an audit share.

    Attributes:
      problem: what is examined.
      again: the same, traced a second time.
      probes, codes, vacuity: as of `Evidence`.
      spending: what the parts may spend.
      kept: the finished parts.
      network: the layers of the users' encoder, as far as the caller gives them.
      progress: called as progress(stage, done, of).
      confidence: of the intervals.
    """

    problem: Problem
    again: Problem
    probes: tuple[np.ndarray, np.ndarray]
    codes: tuple[np.ndarray, np.ndarray]
    vacuity: Vacuity
    spending: Budget
    kept: Journal
    network: bounds.Network | None
    progress: Progress
    confidence: float


def counted(
    shared: Shared, k_sample: jax.Array, k_data: jax.Array, *, chunk: int, exhaustive: bool | None,
    own: Callable[[Any], Any] | None,
) -> tuple[Sampled, Scores | None, Rated]:
    """Count sampled triples and, on data, those of each user; consumes the keys."""
    problem, spending = shared.problem, shared.spending
    scores = score_rows(problem) if isinstance(problem.domain, Data) else None
    totals = sampling.count(
        problem, scores, k_sample, budget=spending, chunk=chunk, state=shared.kept,
        progress=functools.partial(shared.progress, "sampling"),
    )  # fmt: skip
    if scores is None:
        tally = order.summary(totals.counts)
        interval = intervals.clopper_pearson(
            tally.violations, tally.total, confidence=shared.confidence
        )
        return totals, None, Rated(tally, interval, {})
    return totals, scores, _of_data(shared, totals, scores, k_data, exhaustive, own)


def violation(
    shared: Shared, rated: Rated, key: jax.Array, *, points: int
) -> Witness | Pair | None:
    """Search for a violation of P2 that the recheck confirms; consumes `key`."""
    problem, spending = shared.problem, shared.spending
    if isinstance(problem.domain, Data) and problem.domain.truth is not None:
        return rated.pair
    flat = is_flat(rated.tally, shared.vacuity)
    fields = spending.part(SEARCH, _SEARCHED, lambda: shared.kept.once(
        f"witness among {points} points",
        lambda: _search(
            problem, key, points=min(points, spending.rows(0.4)),
            reach=_reach(problem, shared.probes) if flat else None,
            progress=functools.partial(shared.progress, "searching"),
        ),
    ))  # fmt: skip
    if fields is None:
        return None if rated.pair is None else comparison.rows_of(problem, rated.pair)
    found = Witness.from_dict(fields, problem.n)
    require_function(shared, "exact", (found.x[None], np.stack([found.u, found.v])))
    return found


def zero_codes(shared: Shared, totals: Sampled, key: jax.Array) -> Rows:
    """Count the zero codes, and search for one; consumes `key`."""
    problem, spending = shared.problem, shared.spending
    if isinstance(problem.domain, Data):  # finite: every row is checked
        nonzero = [points.any(axis=1) for points in shared.probes]
        pairs = zip(shared.codes, nonzero, strict=True)
        zero = sum(int((some & ~code.any(axis=1)).sum()) for code, some in pairs)
        known = Rows(zero, sum(int(some.sum()) for some in nonzero), math.nan, None)
        name = "the count of zero codes"
        return spending.part(name, 1.0, lambda: zero_search.rows(problem), known)
    fields = spending.part("the search for zeros", 1.0, lambda: shared.kept.once(
        "zero" if shared.network is None else "zero of known layers",
        lambda: _searched(problem, key, totals.zero, shared.network),
    ))  # fmt: skip
    example = fields and Zero(**{**fields, "x": np.array(fields["x"])})
    return Rows(totals.zeros, int(totals.counts.sum()), math.nan, example)


def constant_rankings(
    shared: Shared, scores: Scores | None, rated: Rated, zero: Zero | None, key: jax.Array
) -> Rankings:
    """Count the constant rankings, and search for one; consumes `key`."""
    problem = shared.problem
    if scores is not None:
        work = functools.partial(rankings.of_data, problem, scores, rated.by_user, key)
        return shared.spending.part("the count of constant rankings", 1.0, work, rankings.UNKNOWN)
    work = functools.partial(rankings.of_domain, problem, key, zero, shared.network)
    return shared.spending.part("the search for a constant ranking", 1.0, work, rankings.UNKNOWN)


def require_function(shared: Shared, way: str, points: tuple[np.ndarray, np.ndarray]) -> None:
    """Raise ValueError unless the encoders, traced again, give the same codes.

    Args:
      way: "native" or "exact".
      points: of users and of items, rows [., n].
    """
    for side, rows in zip(("users", "items"), points, strict=True):
        one, other = getattr(shared.problem, side), getattr(shared.again, side)
        require_same(getattr(one, way)(rows), getattr(other, way)(rows), shared.problem.eps)


def _reach(problem: Problem, probes) -> float:
    """Return the norm up to which a code that is constant on the probes is searched."""
    norms = np.linalg.norm(np.concatenate(probes), axis=1)
    near = _NEAR * float(np.median(norms[norms > 0])) if norms.any() else 0.0
    return near if isinstance(problem.domain, Space) else np.inf


def _search(problem: Problem, key, *, points, reach: float | None, progress) -> dict | None:
    """Search for a witness; of a code that seems constant, in less than all ways, up to `reach`.

    On all of R^n even a saturated code varies somewhere, far from where the domain draws.
    """
    flat, free = reach is not None, not isinstance(problem.domain, Data | Separated)
    found = witness.finite(problem, reach=np.inf if reach is None else reach) if free else None
    found = found or search.find(problem, key, points=points, quick=flat, progress=progress)
    return None if found is None else witness.shrink(problem, found).to_dict()


def _searched(problem: Problem, key, seen: list[float] | None, network) -> dict | None:
    """Search for a zero of either tower; as types of JSON."""
    found = []
    sides = (problem.users, problem.items)[: 1 + problem.towers]
    for encoder, k in zip(sides, jax.random.split(key, len(sides)), strict=True):
        user = encoder is problem.users
        point = None if seen is None or not user else np.array(seen)
        layers = network if user else None
        zero = zero_search.search(encoder, problem.domain, k, seen=point, network=layers)
        found += [] if zero is None else [zero]
    found.sort(key=lambda zero: zeros.KINDS.index(zero.kind))
    return {**found[0]._asdict(), "x": found[0].x.tolist()} if found else None


def _of_data(shared, totals, scores, key, exhaustive, own) -> Rated:
    """Summarise the counts of data: all triples, or those that were sampled."""
    problem, spending, progress = shared.problem, shared.spending, shared.progress
    k_users, k_others = jax.random.split(key)
    counts, chosen, complete = _of_users(shared, scores, k_users, exhaustive)
    compared = comparison.compare(
        problem, counts, chosen, k_others, own=own, spending=spending, state=shared.kept,
        confidence=shared.confidence, progress=functools.partial(progress, "comparing"),
    )  # fmt: skip
    tally, (wrong, of) = order.summary(totals.counts), np.array(totals.users).T
    if complete:
        tally = order.Tally(*(int(part.sum()) for part in counts.tally))
        wrong, of = counts.tally.violations, counts.tally.total
    with np.errstate(invalid="ignore"):  # a user who has seen everything has no triples
        rate = wrong / of
    return Rated(
        tally=tally,
        interval=intervals.over_users(rate, of, confidence=shared.confidence),
        per_user={
            "rate": rate,
            "tau_b": rates.tau_b(counts.tally),
            f"precision_at_{compared.k}": counts.precision,
        },
        comparison=compared,
        exhaustive=complete,
        pair=comparison.worst_pair(problem, scores, counts, chosen),
        by_user=counts.tally if complete else None,
        unseen=scores.unseen(problem.true_ties, problem.latent_ties),
    )  # fmt: skip


def _of_users(shared, scores, key, exhaustive) -> tuple[comparison.Counts, np.ndarray, bool]:
    """Count the triples of all users, or of a few; return these users, and whether they are all.

    All are counted if `exhaustive` is true, or None and there are at most `_WHOLE` triples, and if
    the seconds suffice.
    """
    problem, spending = shared.problem, shared.spending
    users, items = problem.data.shape
    count = functools.partial(
        comparison.count, problem, scores.rows, state=shared.kept,
        progress=functools.partial(shared.progress, "counting"),
    )  # fmt: skip
    everyone = np.arange(users)
    if exhaustive is None:
        exhaustive = users * items * (items - 1) // 2 <= _WHOLE
    if exhaustive:
        counts = spending.part("the count of every triple", _COUNTED, lambda: count(everyone))
        if counts is not None:
            return counts, everyone, True
    few = max(1, min(users, _FEW, spending.rows(0.1)))
    chosen = np.sort(np.asarray(jax.random.choice(key, users, (few,), replace=False)))
    return count(chosen), chosen, False
