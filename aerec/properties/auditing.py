"""The audit: one call gives four verdicts on one named domain."""

import functools
import hashlib
import json
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from aerec.properties import (
    angle,
    bounds,
    comparison,
    counting,
    declared,
    intervals,
    order,
    rankings,
    rates,
    sampling,
    search,
    vacuity,
    verdict,
    witness,
    zero_search,
    zeros,
)
from aerec.properties.budget import Budget
from aerec.properties.domain import Data, Domain, Separated, Space, whole
from aerec.properties.encoder import check_finite, require_same, wrap
from aerec.properties.journal import Journal
from aerec.properties.modules import as_function
from aerec.properties.problem import Problem, pose
from aerec.properties.report import Audit
from aerec.properties.verdict import Evidence
from aerec.properties.witness import Witness
from aerec.properties.zeros import Zero

BUDGET = 2**20  # triples, by default
_COUNTED, _SEARCHED = 0.3, 0.6  # of the seconds left; the search for zeros has the rest
_SEARCH = "the search for a violation"
_NEAR = 4.0  # times the usual norm: how far from where it is constant a code is searched
_CALLS = 2**17  # of an encoder in the other searches, at most
_PROBES = 512  # points whose codes are examined for collapse, angles and zeros
_WHOLE = 10**11  # data with at most this many triples is counted exhaustively by default
_FEW = 256  # users whose triples are all counted where those of all users are too many


@np.errstate(all="ignore")  # codes that are not finite are errors; all else may round
def audit(
    encode: Callable[[Any], Any],
    domain: Domain,
    key: jax.Array,
    *,
    items: Callable[[Any], Any] | None = None,
    own: Callable[[Any], Any] | None = None,
    budget: int | str = BUDGET,
    example: Any = None,
    batched: bool = False,
    name: str = "encoder",
    truth: str = "dot",
    latent: str = "dot",
    activation: Any = None,
    network: bounds.Network | None = None,
    exhaustive: bool | None = None,
    search_points: int = search.POINTS,
    confidence: float = 0.95,
    chunk: int = 8,
    state: Path | str | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, of: None,
) -> Audit:
    """Audit an encoder: dimension (P1), order (P2), non-zero vectors (P3), rankings (P3').

    Consumes `key`. The counts depend on the key and the budget alone, not on `chunk` or the number
    of devices.

    Args:
      encode: one vector [n] -> its code; rows [B, n] if `batched`; pytrees like `example`. Modules
        of flax.nnx and torch are put in evaluation mode.
      domain: the vectors and triples that the verdicts are about, from `samplers`.
      items: the encoder of u and v, if it is not that of x.
      own: what the model ranks by, if it is not these codes: rows [B, n] -> scores of the columns
        [B, n]. They stand beside the codes on data whose items are the columns.
      budget: sampled triples (rounded up to blocks), or seconds as "30s". Seconds cover the counts
        and the searches, but not one more program to compile.
      example: the dimension n or a pytree; default: the dimension of the domain.
      batched: whether the encoders take rows.
      name: of the encoder, for the report.
      truth, latent: the similarities, "dot" or "cosine".
      activation: a catalogue entry, which the caller asserts is applied last; allows certificates.
      network: the layers, if the encoder is an `aerec.properties.bounds.Network`; allows
        certificates. Both are compared with the encoder on drawn points.
      exhaustive: whether every triple of a data domain is counted; default: up to 1e11 triples.
      search_points: points among which a witness is searched.
      confidence: of the intervals.
      chunk: blocks of triples per compiled call.
      state: a file that stores what is counted and searched. An interrupted audit resumes from it,
        with the same result. It belongs to one encoder, domain and key.
      progress: called as progress(stage, done, of); `of` is 0 where it is not known.

    Returns:
      The findings `.dimension`, `.order`, `.nonzero` and `.ranking`, each with verdict, rate,
      skill and witness, and the figures behind them.

    Raises:
      ValueError: codes that are not finite, an error that the encoder raises, an encoder that is
        no function, a malformed budget, the state file of another audit, cosines on a domain that
        dot products separate, or a network or an activation that is not the encoder's.
    """
    chunk, search_points = whole(chunk, "chunk"), whole(search_points, "search_points")
    spending = Budget(budget)
    k_count, k_probe, k_search, k_zero, k_data = jax.random.split(key, 5)
    k_zero, k_rank = jax.random.split(k_zero)
    seed = [int(part) for part in np.asarray(jax.random.key_data(key)).ravel()]
    example = domain.dimension if example is None else example
    problem, again = (
        _posed((encode, items), domain, example, batched, truth, latent, spending)
        for _ in range(2)
    )
    timed = not problem.traceable and spending.seconds < np.inf
    probes = _probes(domain, k_probe, most=32 if timed else _PROBES)
    codes = _encoded(problem, probes)
    if problem.users.traceable or problem.items.traceable:
        _require_function(problem, again, "native", probes)
    problem = problem.informed(codes)
    spending.reserve(min(problem.n, 512) + 64)  # for the figures on zeros
    calls = 3 * spending.triples + search_points + _CALLS
    if not problem.traceable:
        calls = min(calls, spending.rows(1.0))
        progress(f"at most {calls:,} calls, {calls * spending.cost:,.0f} s", 0, 0)
    declared.check(problem.users, probes[0], network=network, activation=activation)
    sized = [order.unit(code) if latent == "cosine" else code for code in codes]
    empty = vacuity.measure(*sized, tolerance=problem.latent_ties)
    kept = Journal(None if state is None else Path(state), _mark(problem, probes, codes, seed))

    scores = counting.score_rows(problem) if isinstance(domain, Data) else None
    totals = sampling.count(
        problem, scores, k_count, budget=spending, chunk=chunk, state=kept,
        progress=functools.partial(progress, "sampling"),
    )  # fmt: skip
    count = functools.partial(
        _rates, problem, totals, scores, k_data, kept, own=own, confidence=confidence,
        progress=functools.partial(progress, "counting"),
    )  # fmt: skip
    rated = spending.part(
        "the count of every triple", _COUNTED, lambda: count(exhaustive=exhaustive)
    ) or count(exhaustive=False)

    found: Witness | comparison.Pair | None = None
    if isinstance(domain, Data) and domain.truth is not None:
        found = rated.pair
    else:
        flat = verdict.is_flat(rated.tally, empty)
        fields = spending.part(_SEARCH, _SEARCHED, lambda: kept.once(
            f"witness among {search_points} points",
            lambda: _search(
                problem, k_search, points=min(search_points, spending.rows(0.4)),
                reach=_reach(problem, probes) if flat else None,
                progress=functools.partial(progress, "searching"),
            ),
        ))  # fmt: skip
        if fields is not None:
            found = Witness.from_dict(fields, problem.n)
            vectors = found.x[None], np.stack([found.u, found.v])
            _require_function(problem, again, "exact", vectors)
    angles = None
    if problem.traceable and getattr(domain, "truth", None) is None:
        angles = angle.distribution(
            problem.users.single, *map(jnp.asarray, probes), kind=latent,
            items=problem.items.single, block=max(1, min(256, 2**24 // (problem.n + problem.m))),
        )  # fmt: skip
    if isinstance(domain, Data):  # finite: every row is checked
        assert scores is not None
        nonzero = [points.any(axis=1) for points in probes]
        dead, encoded, smallest, zero = spending.part(
            "the count of zero codes", 1.0, lambda: zero_search.rows(problem),
            zero_search.Rows(
                sum(int((some & ~code.any(axis=1)).sum())
                    for code, some in zip(codes, nonzero, strict=True)),
                sum(int(some.sum()) for some in nonzero), math.nan, None,
            ),
        )  # fmt: skip
        ranked = spending.part(
            "the count of constant rankings", 1.0,
            lambda: rankings.of_data(problem, scores, rated.by_user, k_rank), rankings.UNKNOWN,
        )  # fmt: skip
    else:
        zero = _zero(spending.part(
            "the search for zeros", 1.0,
            lambda: kept.once("zero", lambda: _searched(problem, k_zero, totals.zero)),
        ))  # fmt: skip
        dead, encoded, smallest = totals.zeros, int(totals.counts.sum()), None
        ranked = spending.part(
            "the search for a constant ranking", 1.0,
            lambda: rankings.of_domain(problem, k_rank, zero), rankings.UNKNOWN,
        )  # fmt: skip
    evidence = Evidence(
        problem, rated, empty, probes, codes, found, angles, dead, encoded, smallest, zero, ranked,
        activation, network, confidence, _SEARCH not in spending.cut,
    )  # fmt: skip
    findings = {
        "dimension": verdict.dimension(problem),
        "order": verdict.order(evidence),
        "nonzero": verdict.nonzero(evidence),
        "ranking": verdict.ranking(evidence),
    }
    return Audit(
        encoder=name, n=problem.n, m=problem.m, domain=domain.name, seed=seed,
        triples=rated.tally.total, properties=findings, vacuity=empty,
        curve=order.curve(totals.counts), counts=totals.counts,
        angles=None if angles is None else angles["angles"],
        per_user=rated.per_user, comparison=rated.comparison,
        versions={
            "python": platform.python_version(), "jax": jax.__version__,
            "numpy": np.__version__, "scipy": scipy.__version__,
        },
        notes=_notes(problem, spending),
    )  # fmt: skip


def _posed(
    encoders, domain, example, batched: bool, truth: str, latent: str, spending: Budget
) -> Problem:
    """Wrap the encoders, so that each of their calls checks the budget, and pose the problem."""

    def wrapped(encode):
        encoder = wrap(spending.guard(as_function(encode)), example, batched=batched)
        spending.measure(encoder)
        return encoder._replace(
            native=spending.guard(encoder.native), exact=spending.guard(encoder.exact)
        )

    users, items = encoders
    g = None if items is None else wrapped(items)
    return pose(wrapped(users), domain, items=g, truth=truth, latent=latent)


def _require_function(problem: Problem, again: Problem, way: str, points) -> None:
    """Raise ValueError unless the same encoders, traced again, give the same codes."""
    for name, rows in zip(("users", "items"), points, strict=True):
        first, second = (getattr(getattr(one, name), way)(rows) for one in (problem, again))
        require_same(first, second, problem.eps)


def _notes(problem: Problem, spending: Budget) -> list[str]:
    return [
        *(
            "JAX cannot trace this encoder, so that it is called with NumPy arrays, which is slower"
            f" and searches less: {encoder.untraced}"
            for encoder in (problem.users, problem.items)[: 1 + problem.towers]
            if not encoder.traceable
        ),
        *(f"The seconds of the budget ended before {part} was complete." for part in spending.cut),
    ]


def _encoded(problem: Problem, probes) -> tuple[np.ndarray, np.ndarray]:
    pairs = zip((problem.users, problem.items), probes, strict=True)
    codes = [np.asarray(encoder.native(points)) for encoder, points in pairs]
    for code, points in zip(codes, probes, strict=True):
        check_finite(code, points, problem.domain.name)
    return codes[0], codes[1]


def _mark(problem: Problem, probes, codes, seed: list[int]) -> str:
    """Identify the encoders, the domain and the key, for the state file."""
    arrays = (codes[1], probes[1], *(codes[:1] if problem.towers else ()))
    parts = [np.asarray(array, np.float32).tobytes() for array in arrays]
    parts.append(json.dumps([problem.domain.name, seed, problem.truth, problem.latent, 3]).encode())
    return hashlib.sha256(b"".join(parts)).hexdigest()


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


def _searched(problem: Problem, key, seen: list[float] | None) -> dict | None:
    """Search for a zero of either tower; as types of JSON."""
    found = []
    sides = (problem.users, problem.items)[: 1 + problem.towers]
    for encoder, k in zip(sides, jax.random.split(key, len(sides)), strict=True):
        point = None if seen is None or encoder is not problem.users else np.array(seen)
        zero = zero_search.search(encoder, problem.domain, k, seen=point)
        found += [] if zero is None else [zero]
    found.sort(key=lambda zero: zeros.KINDS.index(zero.kind))
    return {**found[0]._asdict(), "x": found[0].x.tolist()} if found else None


def _zero(fields: dict | None) -> Zero | None:
    return None if fields is None else Zero(**{**fields, "x": np.array(fields["x"])})


def _rates(
    problem, totals, scores, key, kept, *, own, exhaustive, confidence, progress
) -> verdict.Rated:
    """Summarise what was sampled; count data, exhaustively if `exhaustive` is true."""
    sampled = order.summary(totals.counts)
    if scores is None:
        interval = intervals.clopper_pearson(
            sampled.violations, sampled.total, confidence=confidence
        )
        return verdict.Rated(sampled, interval, {})
    users, items = problem.data.shape
    if exhaustive is None:
        exhaustive = users * items * (items - 1) // 2 <= _WHOLE
    k_users, k_others = jax.random.split(key)
    chosen = np.arange(users)
    if not exhaustive:
        few = min(users, _FEW)
        chosen = np.sort(np.asarray(jax.random.choice(k_users, users, (few,), replace=False)))
    counts = comparison.count(problem, scores.rows, chosen, state=kept, progress=progress)
    compared = comparison.compare(
        problem, counts, chosen, k_others, own=own, state=kept, confidence=confidence,
        progress=progress,
    )  # fmt: skip
    per_user = {
        "tau_b": rates.tau_b(counts.tally),
        f"precision_at_{compared.k}": counts.precision,
    }
    if exhaustive:
        tally = order.Tally(*(int(part.sum()) for part in counts.tally))
        wrong, of = counts.tally.violations, counts.tally.total
    else:
        tally, (wrong, of) = sampled, np.array(totals.users).T
    with np.errstate(invalid="ignore"):  # a user who has seen everything has no triples
        rate = wrong / of
    interval = intervals.over_users(rate, of, confidence=confidence)
    pair = None
    if problem.data.truth is not None:
        pair = comparison.worst_pair(problem, scores, counts, chosen)
    per_user = {"rate": rate, **per_user}
    by_user = counts.tally if exhaustive else None
    return verdict.Rated(tally, interval, per_user, compared, exhaustive, pair, by_user)


def _probes(domain: Domain, key: jax.Array, *, most: int) -> tuple[np.ndarray, np.ndarray]:
    count = max(32, min(most, 2**22 // domain.dimension))
    x, u, v = domain.triples(key, count)
    half = count // 2
    return np.asarray(x), np.concatenate([np.asarray(u)[:half], np.asarray(v)[half:]])
