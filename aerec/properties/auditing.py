"""The audit: one call gives four verdicts on one named domain."""

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
import scipy.sparse

from aerec.properties import (
    angle,
    bounds,
    declared,
    evidence,
    order,
    search,
    vacuity,
    verdict,
)
from aerec.properties.budget import Budget
from aerec.properties.domain import Data, Domain, whole
from aerec.properties.encoder import check_finite, require_alike, wrap
from aerec.properties.evidence import Evidence, Shared
from aerec.properties.journal import Journal
from aerec.properties.modules import as_function
from aerec.properties.problem import Problem, pose
from aerec.properties.report import Audit

BUDGET = 2**20  # triples, by default
_CALLS = 2**17  # of an encoder in the other searches, at most
_PROBES = 512  # points whose codes are examined for collapse, angles and zeros
_FEW = 16  # of them that are encoded without the others as well


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
        [B, n]. On data whose items are the columns, they are compared with the codes.
      budget: sampled triples (rounded up to blocks), or seconds as "30s". Seconds cover the counts
        and the searches; a compilation is not interrupted.
      example: the dimension n or a pytree; default: the dimension of the domain.
      batched: whether the encoders take rows.
      name: of the encoder, for the report.
      truth, latent: the similarities, "dot" or "cosine".
      activation: a catalogue entry, which the caller asserts is applied last; allows certificates.
      network: the layers, if the encoder is an `aerec.properties.bounds.Network`; allows
        certificates, and proofs of zeros. Both are compared with the encoder on drawn points.
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
    for similarity in (truth, latent):
        order.require_similarity(similarity)
    if not 0.5 <= confidence < 1:
        raise ValueError(f"a confidence of {confidence:g} is not in [0.5, 1)")
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
    codes = _encoded(problem, probes, batched)
    problem = problem.informed(codes)
    declared.check(problem.users, probes[0], network=network, activation=activation)
    sized = [order.unit(code) if latent == "cosine" else code for code in codes]
    empty = vacuity.measure(*sized, tolerance=problem.latent_ties)
    kept = Journal(None if state is None else Path(state), _mark(problem, probes, codes, seed))
    shared = Shared(
        problem, again, probes, codes, empty, spending, kept, network, progress, confidence
    )
    if problem.users.traceable or problem.items.traceable:
        evidence.require_function(shared, "native", probes)
    _foresee(shared, search_points)

    totals, scores, rated = evidence.counted(
        shared, k_count, k_data, chunk=chunk, exhaustive=exhaustive, own=own
    )
    found = evidence.violation(shared, rated, k_search, points=search_points)
    angles = None
    if problem.traceable and getattr(domain, "truth", None) is None:
        angles = angle.distribution(
            problem.users.single, *map(jnp.asarray, probes), kind=latent,
            items=problem.items.single, block=max(1, min(256, 2**24 // (problem.n + problem.m))),
        )  # fmt: skip
    rows = evidence.zero_codes(shared, totals, k_zero)
    ranked = evidence.constant_rankings(shared, scores, rated, rows.example, k_rank)
    seen = Evidence(
        problem, rated, empty, probes, codes, found, angles, *rows, ranked, activation, network,
        confidence, evidence.SEARCH not in spending.cut,
    )  # fmt: skip
    findings = {
        "dimension": verdict.dimension(problem),
        "order": verdict.order(seen),
        "nonzero": verdict.nonzero(seen),
        "ranking": verdict.ranking(seen),
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


def _foresee(shared: Shared, points: int) -> None:
    """Reserve seconds for the last figures; show how many calls of a host callable are foreseen."""
    problem, spending = shared.problem, shared.spending
    spending.reserve(min(problem.n, 512) + 64)  # for the figures on zeros
    if not problem.traceable:
        calls = min(3 * spending.triples + points + _CALLS, spending.rows(1.0))
        shared.progress(f"at most {calls:,} calls, {calls * spending.cost:,.0f} s", 0, 0)


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


def _encoded(problem: Problem, probes, batched: bool) -> tuple[np.ndarray, np.ndarray]:
    codes = []
    for encoder, points in zip((problem.users, problem.items), probes, strict=True):
        codes.append(np.asarray(encoder.native(points)))
        check_finite(codes[-1], points, problem.domain.name)
        if batched:  # many rows at once, and the last few of them
            few = np.asarray(encoder.native(points[-_FEW:]))
            require_alike(codes[-1][-_FEW:], few, encoder.eps)
    return codes[0], codes[1]


def _mark(problem: Problem, probes, codes, seed: list[int]) -> str:
    """Identify the encoders, the domain and the key, for the state file."""
    arrays = (codes[1], probes[1], *(codes[:1] if problem.towers else ()))
    parts = [np.asarray(array, np.float32).tobytes() for array in arrays]
    parts.append(json.dumps([problem.domain.name, seed, problem.truth, problem.latent, 5]).encode())
    if isinstance(problem.domain, Data):
        given = (problem.domain.truth, problem.domain.seen, problem.domain.training)
        for rows in map(scipy.sparse.csr_matrix, (one for one in given if one is not None)):
            parts += [part.tobytes() for part in (rows.data, rows.indices, rows.indptr)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _probes(domain: Domain, key: jax.Array, *, most: int) -> tuple[np.ndarray, np.ndarray]:
    count = max(32, min(most, 2**22 // domain.dimension))
    x, u, v = domain.triples(key, count)
    half = count // 2
    return np.asarray(x), np.concatenate([np.asarray(u)[:half], np.asarray(v)[half:]])
