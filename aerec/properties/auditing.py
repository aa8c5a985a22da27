"""The audit: one call gives three verdicts on one named domain."""

import functools
import hashlib
import json
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
    intervals,
    order,
    rates,
    sampling,
    search,
    vacuity,
    verdict,
    witness,
    zeros,
)
from aerec.properties.domain import Data, Domain, Separated, whole
from aerec.properties.encoder import check_finite, wrap
from aerec.properties.journal import Journal
from aerec.properties.modules import as_function
from aerec.properties.problem import Problem, pose
from aerec.properties.report import Audit
from aerec.properties.verdict import Evidence
from aerec.properties.witness import Witness
from aerec.properties.zeros import Zero

BUDGET = 2**20  # triples, by default
_PROBES = 512  # points whose codes are examined for collapse, angles and zeros
_WHOLE = 10**11  # data with at most this many triples is counted exhaustively by default
_FEW = 256  # users whose triples are all counted where those of all users are too many


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
    """Audit an encoder: dimension (P1), order of similarities (P2), non-zero vectors (P3).

    Consumes `key`. The counts depend on the key and the budget alone, not on `chunk` or the number
    of devices.

    Args:
      encode: one vector [n] -> its code; rows [B, n] if `batched`; pytrees like `example`. Modules
        of flax.nnx and torch are put in evaluation mode.
      domain: the vectors and triples that the verdicts are about, from `samplers`.
      items: the encoder of u and v, if it is not that of x.
      own: what the model ranks by, if it is not these codes: rows [B, n] -> scores of the columns
        [B, n]. They stand beside the codes on data whose items are the columns.
      budget: sampled triples (rounded up to blocks), or seconds as "30s".
      example: the dimension n or a pytree; default: the dimension of the domain.
      batched: whether the encoders take rows.
      name: of the encoder, for the report.
      truth, latent: the similarities, "dot" or "cosine".
      activation: a catalogue entry, which the caller asserts is applied last; allows certificates.
      network: the layers, if the encoder is an `aerec.properties.bounds.Network`; allows
        certificates.
      exhaustive: whether every triple of a data domain is counted; default: up to 1e11 triples.
      search_points: points among which a witness is searched.
      confidence: of the intervals.
      chunk: blocks of triples per compiled call.
      state: a file that stores what is counted and searched. An interrupted audit resumes from it,
        with the same result. It belongs to one encoder, domain and key.
      progress: called as progress(stage, done, of); `of` is 0 where it is not known.

    Returns:
      The findings `.dimension`, `.order` and `.nonzero`, each with verdict, rate, skill and
      witness, and the figures behind them.

    Raises:
      ValueError: codes that are not finite, an error that the encoder raises, a malformed budget,
        the state file of another audit, or cosines on a domain that dot products separate.
    """
    chunk, search_points = whole(chunk, "chunk"), whole(search_points, "search_points")
    k_count, k_probe, k_search, k_zero, k_data = jax.random.split(key, 5)
    seed = [int(part) for part in np.asarray(jax.random.key_data(key)).ravel()]
    example = domain.dimension if example is None else example
    f = wrap(as_function(encode), example, batched=batched)
    g = None if items is None else wrap(as_function(items), example, batched=batched)
    problem = pose(f, domain, items=g, truth=truth, latent=latent)

    probes = _probes(domain, k_probe)
    codes = _encoded(problem, probes)
    sized = [order.unit(code) if latent == "cosine" else code for code in codes]
    empty = vacuity.measure(*sized, tolerance=problem.latent_ties)
    kept = Journal(None if state is None else Path(state), _mark(problem, probes, codes, seed))

    scores = counting.score_rows(problem) if isinstance(domain, Data) else None
    totals = sampling.count(
        problem, scores, k_count, budget=budget, chunk=chunk, state=kept,
        progress=functools.partial(progress, "sampling"),
    )  # fmt: skip
    rated = _rates(
        problem, totals, scores, k_data, kept, own=own, exhaustive=exhaustive,
        confidence=confidence, progress=functools.partial(progress, "counting"),
    )  # fmt: skip

    found: Witness | comparison.Pair | None = None
    if isinstance(domain, Data) and domain.truth is not None:
        found = rated.pair
    elif not empty.collapsed:
        report_search = functools.partial(progress, "searching")
        fields = kept.once(
            f"witness among {search_points} points",
            lambda: _search(problem, k_search, points=search_points, progress=report_search),
        )
        found = None if fields is None else Witness.from_dict(fields, problem.n)
    angles = None
    if problem.traceable and getattr(domain, "truth", None) is None:
        angles = angle.distribution(
            problem.users.single, *map(jnp.asarray, probes), kind=latent,
            items=problem.items.single, block=max(1, min(256, 2**24 // (problem.n + problem.m))),
        )  # fmt: skip
    if isinstance(domain, Data):  # finite: every row is checked
        dead, encoded, zero = zeros.rows(problem)
    else:
        fields = kept.once("zero", lambda: _zero(problem, k_zero))
        zero = fields and Zero(**{**fields, "x": np.array(fields["x"])})
        dead, encoded = totals.zeros, int(totals.counts.sum())
    evidence = Evidence(
        problem, rated, empty, probes, codes, found, angles, dead, encoded, zero, activation,
        network, confidence,
    )  # fmt: skip
    findings = {
        "dimension": verdict.dimension(problem),
        "order": verdict.order(evidence),
        "nonzero": verdict.nonzero(evidence),
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
        notes=[
            "JAX cannot trace this encoder, so that it is called with NumPy arrays, which is slower"
            f" and searches less: {encoder.untraced}"
            for encoder in (problem.users, problem.items)[: 1 + problem.towers]
            if not encoder.traceable
        ],
    )  # fmt: skip


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


def _search(problem: Problem, key, *, points, progress) -> dict | None:
    free = not isinstance(problem.domain, Data | Separated)
    found = witness.finite(problem) if free else None
    found = found or search.find(problem, key, points=points, progress=progress)
    return None if found is None else witness.shrink(problem, found).to_dict()


def _zero(problem: Problem, key) -> dict | None:
    found = zeros.search(problem.users, problem.domain, key)
    return None if found is None else {**found._asdict(), "x": found.x.tolist()}


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
    return verdict.Rated(tally, interval, per_user, compared, exhaustive, pair)


def _probes(domain: Domain, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    count = max(32, min(_PROBES, 2**22 // domain.dimension))
    x, u, v = domain.triples(key, count)
    half = count // 2
    return np.asarray(x), np.concatenate([np.asarray(u)[:half], np.asarray(v)[half:]])
