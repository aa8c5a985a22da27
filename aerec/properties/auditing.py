"""The audit: one call gives four verdicts on one named domain."""

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
    counting,
    declared,
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
from aerec.properties.domain import Data, Domain, Separated, whole
from aerec.properties.encoder import check_finite, wrap
from aerec.properties.journal import Journal
from aerec.properties.order import Tally
from aerec.properties.problem import Problem, pose
from aerec.properties.report import Audit
from aerec.properties.verdict import Evidence
from aerec.properties.witness import Witness
from aerec.properties.zeros import Zero

BUDGET = 2**20  # triples, by default
_PROBES = 512  # points whose codes are examined for collapse, angles and zeros
_WHOLE = 10**11  # data with at most this many triples is counted exhaustively by default


def audit(
    encode: Callable[[Any], Any],
    domain: Domain,
    key: jax.Array,
    *,
    items: Callable[[Any], Any] | None = None,
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
      encode: one vector [n] -> its code; rows [B, n] if `batched`; pytrees like `example`.
      domain: the vectors and triples that the verdicts are about, from `samplers`.
      items: the encoder of u and v, if it is not that of x.
      budget: sampled triples (rounded up to blocks), or seconds as "30s".
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
      ValueError: codes that are not finite, an error that the encoder raises, a malformed budget,
        the state file of another audit, cosines on a domain that dot products separate, or a
        network or an activation that is not the encoder's.
    """
    chunk, search_points = whole(chunk, "chunk"), whole(search_points, "search_points")
    k_count, k_probe, k_search, k_zero, k_boot = jax.random.split(key, 5)
    k_zero, k_rank = jax.random.split(k_zero)
    seed = [int(part) for part in np.asarray(jax.random.key_data(key)).ravel()]
    example = domain.dimension if example is None else example
    f = wrap(encode, example, batched=batched)
    g = None if items is None else wrap(items, example, batched=batched)
    problem = pose(f, domain, items=g, truth=truth, latent=latent)

    probes = _probes(domain, k_probe)
    codes = _encoded(problem, probes)
    declared.check(f, probes[0], network=network, activation=activation)
    sized = [order.unit(code) if latent == "cosine" else code for code in codes]
    empty = vacuity.measure(*sized, tolerance=problem.latent_ties)
    kept = Journal(None if state is None else Path(state), _mark(problem, probes, codes, seed))

    scores = counting.score_rows(problem) if isinstance(domain, Data) else None
    totals = sampling.count(
        problem, scores, k_count, budget=budget, chunk=chunk, state=kept,
        progress=functools.partial(progress, "sampling"),
    )  # fmt: skip
    tally, interval, per_user = _rates(
        problem, totals, scores, k_boot, kept, exhaustive=exhaustive, confidence=confidence,
        progress=functools.partial(progress, "counting"),
    )  # fmt: skip

    found = None
    if not empty.collapsed:
        report_search = functools.partial(progress, "searching")
        fields = kept.once(
            f"witness among {search_points} points",
            lambda: _search(problem, k_search, points=search_points, progress=report_search),
        )
        found = None if fields is None else Witness.from_dict(fields, problem.n)
    angles = None
    if problem.traceable:
        angles = angle.distribution(
            problem.users.single, *map(jnp.asarray, probes), kind=latent,
            items=problem.items.single, block=max(1, min(256, 2**24 // (problem.n + problem.m))),
        )  # fmt: skip
    if isinstance(domain, Data):  # finite: every row is checked
        assert scores is not None
        dead, encoded, smallest, zero = zero_search.rows(problem)
        counted = kept.parts.get("counted") if exhaustive is not False else None
        ranked = rankings.of_data(problem, scores, counted and Tally(*np.array(counted)), k_rank)
    else:
        zero = _zero(kept.once("zero", lambda: _searched(problem, k_zero, totals.zero)))
        dead, encoded, smallest = totals.zeros, int(totals.counts.sum()), None
        ranked = rankings.of_domain(problem, k_rank, zero)
    evidence = Evidence(
        problem, tally, interval, per_user, empty, probes, codes, found, angles, dead, encoded,
        smallest, zero, ranked, activation, network, confidence,
    )  # fmt: skip
    findings = {
        "dimension": verdict.dimension(problem),
        "order": verdict.order(evidence),
        "nonzero": verdict.nonzero(evidence),
        "ranking": verdict.ranking(evidence),
    }
    return Audit(
        encoder=name, n=problem.n, m=problem.m, domain=domain.name, seed=seed,
        triples=tally.total, properties=findings, vacuity=empty, curve=order.curve(totals.counts),
        counts=totals.counts, angles=None if angles is None else angles["angles"],
        per_user=per_user,
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
    parts.append(json.dumps([problem.domain.name, seed, problem.truth, problem.latent, 2]).encode())
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _search(problem: Problem, key, *, points, progress) -> dict | None:
    free = not isinstance(problem.domain, Data | Separated)
    found = witness.finite(problem) if free else None
    found = found or search.find(problem, key, points=points, progress=progress)
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


def _rates(problem, totals, scores, key, kept, *, exhaustive, confidence, progress):
    """Return tally, interval and arrays per user.

    Data is counted exhaustively if `exhaustive` is true.
    """
    if scores is None:
        tally = order.summary(totals.counts)
        interval = rates.clopper_pearson(tally.violations, tally.total, confidence=confidence)
        return tally, interval, {}
    users, items = problem.domain.shape
    if exhaustive is None:
        exhaustive = users * items * (items - 1) // 2 <= _WHOLE
    if not exhaustive:
        tally = order.summary(totals.counts)
        wrong, of = np.array(totals.users).T
        per_user = {"rate": wrong / of}
    else:
        counts = counting.exhaustive(
            scores.rows, users, true_tolerance=problem.true_ties,
            latent_tolerance=problem.latent_ties, state=kept, progress=progress,
        )  # fmt: skip
        tally = order.Tally(*(int(part.sum()) for part in counts))
        wrong, of = counts.violations, counts.total
        some = np.linspace(0, users - 1, min(users, 256)).astype(int)
        true, latent = scores.rows(some)
        top = min(10, items)
        per_user = {
            "rate": wrong / of,
            "tau_b": rates.tau_b(counts),
            f"overlap_at_{top}": rates.overlap(true, latent, k=top),
        }
    interval = rates.bootstrap(wrong, of, key, confidence=confidence)
    return tally, interval, per_user


def _probes(domain: Domain, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    count = max(32, min(_PROBES, 2**22 // domain.dimension))
    x, u, v = domain.triples(key, count)
    half = count // 2
    return np.asarray(x), np.concatenate([np.asarray(u)[:half], np.asarray(v)[half:]])
