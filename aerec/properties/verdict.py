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
    counting,
    order,
    rates,
    report,
    sampling,
    search,
    vacuity,
    witness,
    zeros,
)
from aerec.properties.domain import Domain, whole
from aerec.properties.encoder import Encoder, check_finite, wrap
from aerec.properties.journal import Journal
from aerec.properties.report import Audit, Finding
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
      encode: one vector [n] -> its code; rows [B, n] if `batched`; pytrees like `example`.
      domain: the vectors and triples that the verdicts are about, from `samplers`.
      budget: sampled triples (rounded up to blocks), or seconds as "30s".
      example: the dimension n or a pytree; default: the dimension of the domain.
      batched: whether `encode` takes rows.
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
    if domain.sides is not None and truth != "dot":
        raise ValueError(f"{domain.name}: it separates dot products, not cosines")
    k_count, k_probe, k_search, k_zero, k_boot = jax.random.split(key, 5)
    seed = [int(part) for part in np.asarray(jax.random.key_data(key)).ravel()]
    encoder = wrap(encode, domain.dimension if example is None else example, batched=batched)
    if encoder.n != domain.dimension:
        raise ValueError(f"the encoder takes R^{encoder.n}, the domain is in R^{domain.dimension}")
    true_ties = order.tolerance(float(np.finfo(np.float32).eps), encoder.n)
    eps = max(encoder.eps, float(np.finfo(np.float32).eps))
    # twice, so that rounding near the threshold of a true tie does not count as a broken tie
    latent_ties = 2 * order.code_tolerance(eps, encoder.n, encoder.m)
    ties = {"true_ties": true_ties, "latent_ties": latent_ties}
    kinds: dict[str, Any] = {"truth": truth, "latent": latent}

    x, u = _probes(domain, k_probe)
    z_x, z_u = (np.asarray(encoder.native(points)) for points in (x, u))
    check_finite(z_x, x, domain.name)
    check_finite(z_u, u, domain.name)
    empty = vacuity.measure(
        order.unit(z_x) if latent == "cosine" else z_x,
        order.unit(z_u) if latent == "cosine" else z_u,
        tolerance=latent_ties,
    )
    mark = hashlib.sha256(
        np.asarray(z_u, np.float32).tobytes() + np.asarray(u, np.float32).tobytes()
        + json.dumps([domain.name, seed, truth, latent, 2]).encode()
    ).hexdigest()  # fmt: skip

    kept = Journal(None if state is None else Path(state), mark)

    scores = None
    if domain.crossing is not None:
        scores = counting.score_rows(encoder, domain.crossing, **kinds)
    totals = sampling.count(
        encoder, domain, scores, k_count, budget=budget, chunk=chunk, state=kept,
        progress=functools.partial(progress, "sampling"), **ties, **kinds,
    )  # fmt: skip
    tally, interval, triples, per_user = _rates(
        totals, scores, domain, k_boot, kept, exhaustive=exhaustive, confidence=confidence,
        progress=functools.partial(progress, "counting"), **ties,
    )  # fmt: skip

    found = None
    if not empty.collapsed:
        fields = kept.once(
            f"witness among {search_points} points",
            lambda: _search(
                encoder, domain, k_search, points=search_points,
                progress=functools.partial(progress, "searching"), **kinds,
            ),
        )  # fmt: skip
        found = None if fields is None else Witness.from_dict(fields, encoder.n)
    angles = None
    if encoder.traceable:
        angles = angle.distribution(
            encoder.single, jnp.asarray(x), jnp.asarray(u), kind=latent,
            block=max(1, min(256, 2**24 // (encoder.n + encoder.m))),
        )  # fmt: skip
    findings = {
        "dimension": _dimension(encoder),
        "order": _order(
            encoder, domain, tally, interval, triples, empty, found, angles, per_user,
            network if latent == "dot" else None,
        ),
        "nonzero": _nonzero(
            encoder, domain, k_zero, totals, np.concatenate([z_x, z_u]), u, empty, kept,
            activation, network, confidence,
        ),
    }  # fmt: skip
    return Audit(
        encoder=name, n=encoder.n, m=encoder.m, domain=domain.name, seed=seed, triples=triples,
        properties=findings, vacuity=empty, curve=order.curve(totals.counts),
        counts=totals.counts, angles=None if angles is None else angles["angles"],
        per_user=per_user,
        versions={
            "python": platform.python_version(), "jax": jax.__version__,
            "numpy": np.__version__, "scipy": scipy.__version__,
        },
        notes=[] if encoder.traceable else [
            "JAX cannot trace this encoder, so that it is called with NumPy arrays, which is slower"
            f" and searches less: {encoder.untraced}"
        ],
    )  # fmt: skip


def _dimension(encoder: Encoder) -> Finding:
    n, m = encoder.n, encoder.m
    fits = m <= n
    return Finding(
        report.CERTIFIED if fits else report.REFUTED, f"R^{n} -> R^{m}, by shape",
        f"{m} {'<' if m < n else '=' if m == n else '>'} {n} coordinates",
        witness=None if fits else {"n": n, "m": m}, details={"n": n, "m": m, "strict": m < n},
    )  # fmt: skip


def _order(
    encoder, domain, tally, interval, triples, empty, found, angles, per_user, network
) -> Finding:
    rate = tally.violations / triples
    baseline = rates.projection_baseline(encoder.n, encoder.m)
    details = {
        **{k.strip("_"): v for k, v in tally._asdict().items()},
        "reversed_of_ordered": tally.reversed_ / tally.ordered if tally.ordered else None,
        "strict_rate": tally.strict_violations / triples,
        "baseline_no_information": 0.5,
        "baseline_projection": baseline,
        "skill_over_projection": rates.skill(tally, baseline),
        "local_angle_rate": None if angles is None else angles["rate"],
        "flat_share": None if angles is None else angles["flat"],
        **{
            f"mean_{k}": float("nan") if np.isnan(v).all() else float(np.nanmean(v))
            for k, v in per_user.items()
            if len(v)
        },
    }
    if empty.collapsed:
        verdict = report.VACUOUS
        why = (
            f"latent dot products spread by {empty.spread:.3g} of their size, within the tie"
            f" tolerance {empty.tolerance:.3g}: constant in effect, the rate is no merit"
        )
    elif found is not None:
        verdict = report.REFUTED
        why = f"a witness ({found.kind}, by {found.source}), rechecked in float64"
    elif network is not None and domain.sides is not None and (
        bounds.margin_order(network, *domain.sides).proven
    ):  # fmt: skip
        verdict = report.CERTIFIED
        why = "bounds of the latent score keep every u of the one box above every v of the other"
    else:
        verdict = report.not_refuted(interval[1])
        why = f"{tally.violations:,} violations in {triples:,} triples, and no search found one"
        if tally.violations:
            why += (
                " that float64 confirms and that outlives a change of the inputs by rounding: those"
                " counted do not, or f jumps everywhere, or is no function"
            )
    return Finding(verdict, domain.name, why, rate, interval, rates.skill(tally), found, details)


def _search(encoder, domain, key, *, points, progress, truth, latent) -> dict | None:
    kinds = {"truth": truth, "latent": latent}
    free = domain.crossing is None and domain.sides is None
    found = witness.finite(encoder, domain, **kinds) if free else None
    found = found or search.find(encoder, domain, key, points=points, progress=progress, **kinds)
    return None if found is None else witness.shrink(encoder, domain, found, **kinds).to_dict()


def _zero(encoder, domain, key) -> dict | None:
    found = zeros.search(encoder, domain, key)
    return None if found is None else {**found._asdict(), "x": found.x.tolist()}


def _nonzero(
    encoder, domain, key, totals, codes, points, empty, kept, activation, network, confidence
) -> Finding:
    data = domain.crossing
    if data is None:
        fields = kept.once("zero", lambda: _zero(encoder, domain, key))
        zero = fields and Zero(**{**fields, "x": np.array(fields["x"])})
        dead, counted = totals.zeros, int(totals.counts.sum())
    else:  # finite: every row is checked
        dead, counted, zero = zeros.rows(encoder, data)
    rate = dead / counted
    interval = rates.clopper_pearson(dead, counted, confidence=confidence)
    seen = zeros.census(codes)
    details = {
        **seen._asdict(),
        "underflow": None if zero is None or zero.kind != "underflow" else zero.x,
        **{f"proposition_1_{k}": v for k, v in zeros.proposition_1(encoder, points[:64]).items()},
        **{f"lemma_1_{k}": v for k, v in zeros.lemma_1(encoder).items() if k != "gram"},
    }
    if activation is None and network is not None:
        activation = network[-1].activation
    corner = domain.contains(np.zeros((1, encoder.n)))[0]
    where = domain.name
    if zero is not None and zero.kind != "underflow":
        verdict = report.REFUTED
        why = f"f(x) = 0 at an x of norm {np.linalg.norm(zero.x):.3g} ({zero.kind}, {zero.source})"
    elif empty.collapsed:
        verdict, why = report.VACUOUS, "no zero, because the code is constant in effect"
        if dead:
            why = f"{dead:,} of {counted:,} codes underflow to 0: the code is constant in effect"
    elif activation is not None and not activation.vanishes:
        verdict, where = report.CERTIFIED, f"R^{encoder.n}"
        why = f"zero is not in the range of {activation.name} in exact arithmetic"
        if seen.zero or (zero is not None and zero.kind == "underflow"):
            why += "; in floating point it underflows to 0"
    elif data is not None and not dead:
        verdict, why = report.CERTIFIED, f"every one of the {counted:,} rows has a non-zero code"
    elif network is not None and domain.box is not None and not corner and (
        bounds.nonzero(network, *domain.box).proven
    ):  # fmt: skip
        verdict, why = report.CERTIFIED, "bounds of the code exclude 0 on every part of the box"
    else:
        verdict = report.not_refuted(interval[1])
        why = f"{dead:,} zero codes of {counted:,}, and no search found one"
    refuted = verdict == report.REFUTED
    return Finding(verdict, where, why, rate, interval, None, zero if refuted else None, details)


def _rates(
    totals, scores, domain, key, kept, *, exhaustive, confidence, progress, true_ties, latent_ties
):
    """Return tally, interval, number of triples and arrays per user.

    Data is counted exhaustively if `exhaustive` is true.
    """
    if scores is None:
        tally = order.summary(totals.counts)
        interval = rates.clopper_pearson(tally.violations, tally.total, confidence=confidence)
        return tally, interval, tally.total, {}
    users, items = domain.crossing.shape
    if exhaustive is None:
        exhaustive = users * items * (items - 1) // 2 <= _WHOLE
    if not exhaustive:
        tally = order.summary(totals.counts)
        wrong, of = np.array(totals.users).T
        per_user = {"rate": wrong / of}
    else:
        counts = counting.exhaustive(
            scores.rows, users, true_tolerance=true_ties, latent_tolerance=latent_ties, state=kept,
            progress=progress,
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
    return tally, interval, tally.total, per_user


def _probes(domain: Domain, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    count = max(32, min(_PROBES, 2**22 // domain.dimension))
    x, u, v = domain.triples(key, count)
    half = count // 2
    return np.asarray(x), np.concatenate([np.asarray(u)[:half], np.asarray(v)[half:]])
