"""The audit: one call, three verdicts on one named domain."""

import hashlib
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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
    search,
    vacuity,
    witness,
    zeros,
)
from aerec.properties.encoder import Encoder, check_finite, wrap
from aerec.properties.report import Audit, Finding
from aerec.properties.samplers import Domain

BUDGET = 2**20  # triples, by default
_PROBES = 512  # points whose codes are looked at closely
_WHOLE = 10**11  # data with at most so many triples is counted whole by default
_PAUSE = 5.0  # seconds between two savings of the state


class _Sampled(NamedTuple):
    """Running totals: next block, counts `[BINS, 3, 3]`, zero codes, and per drawn user
    (violations, triples)."""

    block: int
    counts: np.ndarray
    zeros: int
    users: list[tuple[int, int]]


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
    progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Audit `encode` (one vector `[n]` -> code, rows with `batched`, pytrees like `example`).

    `budget`: sampled triples (rounded up to blocks), or seconds as "30s". Data domains are counted
    whole too if `exhaustive` (by default up to 1e11 triples). `truth`, `latent`: "dot" or
    "cosine". `activation`: a catalogue entry that the caller vouches is the last thing applied;
    `network`: the layers, if the encoder is one: both allow certificates. `state`: a file to
    resume from; it belongs to one encoder, domain and key. Consumes `key`; the counts depend on it
    and the budget alone, not on `chunk` or the number of devices.

    Raises ValueError for codes that are not finite, a malformed budget, a foreign state file.
    """
    k_count, k_probe, k_search, k_zero, k_boot = jax.random.split(key, 5)
    seed = [int(part) for part in np.asarray(jax.random.key_data(key)).ravel()]
    encoder = wrap(encode, domain.dimension if example is None else example, batched=batched)
    if encoder.n != domain.dimension:
        raise ValueError(f"the encoder takes R^{encoder.n}, the domain is in R^{domain.dimension}")
    true_ties = order.tolerance(float(np.finfo(np.float32).eps), encoder.n)
    eps = max(encoder.eps, float(np.finfo(np.float32).eps))
    # twice, so that rounding about the threshold of a true tie does not pass for a broken one
    latent_ties = 2 * order.tolerance(eps, max(encoder.n, encoder.m))
    ties = {"true_ties": true_ties, "latent_ties": latent_ties}
    kinds = {"truth": truth, "latent": latent}

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
        + json.dumps([domain.name, seed, truth, latent, 1]).encode()
    ).hexdigest()  # fmt: skip

    scores = None
    if domain.crossing is not None:
        scores = counting.score_rows(encoder, domain.crossing, **kinds)
    totals = _count(
        encoder, domain, scores, k_count, budget=budget, chunk=chunk, mark=mark,
        state=None if state is None else Path(state), progress=progress, **ties, **kinds,
    )  # fmt: skip
    tally, interval, triples, per_user = _rates(
        totals, scores, domain, k_boot, exhaustive=exhaustive, confidence=confidence, **ties
    )

    found = None
    if not empty.collapsed:
        found = witness.finite(encoder, domain, **kinds) if domain.crossing is None else None
        found = found or search.find(encoder, domain, k_search, points=search_points, **kinds)
        if found is not None:
            found = witness.shrink(encoder, domain, found, **kinds)
    angles = None
    if encoder.traceable:
        angles = angle.distribution(
            encoder.single, jnp.asarray(x), jnp.asarray(u), kind=latent,
            block=max(1, min(256, 2**24 // (encoder.n + encoder.m))),
        )  # fmt: skip
    findings = {
        "dimension": _dimension(encoder),
        "order": _order(encoder, domain, tally, interval, triples, empty, found, angles, per_user),
        "nonzero": _nonzero(
            encoder, domain, k_zero, totals, np.concatenate([z_x, z_u]), u, empty,
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
    encoder, domain, tally, interval, triples, empty, found, angles, per_user
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
        **{f"mean_{k}": float(np.nanmean(v)) for k, v in per_user.items() if len(v)},
    }
    if empty.collapsed:
        verdict = report.VACUOUS
        why = (
            f"latent dot products spread by {empty.spread:.3g} of their size, within the tie"
            f" tolerance {empty.tolerance:.3g}: the code is constant in effect, its rate is no merit"
        )
    elif found is not None:
        verdict = report.REFUTED
        why = f"a witness ({found.kind}, by {found.source}), rechecked in float64"
    else:
        verdict = report.not_refuted(interval[1])
        why = f"{tally.violations:,} violations in {triples:,} triples, and no search found one"
        if tally.violations:
            why += " that float64 confirms: those counted are within rounding there"
    return Finding(
        verdict, domain.name, why, rate, interval, rates.skill(tally), found, details
    )


def _nonzero(
    encoder, domain, key, totals, codes, points, empty, activation, network, confidence
) -> Finding:
    data = domain.crossing
    zero = zeros.search(encoder, domain, key) if data is None else None
    dead, counted = totals.zeros, int(totals.counts.sum())
    if data is not None:  # finite: every row is looked at
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
        verdict, why = report.REFUTED, f"f(x) = 0 at a non-zero x ({zero.kind}, by {zero.source})"
    elif empty.collapsed:
        verdict, why = report.VACUOUS, "no zero, because the code is constant in effect"
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


def _rates(totals, scores, domain, key, *, exhaustive, confidence, true_ties, latent_ties):
    """Tally, interval, number of triples and per-user arrays; data is counted whole if asked."""
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
            scores.rows, users, true_tolerance=true_ties, latent_tolerance=latent_ties
        )
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


def _count(
    encoder, domain, scores, key, *, budget, chunk, mark, state, progress, **how
) -> _Sampled:
    """Stream blocks of triples until the budget is spent, saving and resuming the totals."""
    goal, seconds = _parse(budget)
    size = max(64, min(4096, 2 ** int(np.log2(max(1, 2**22 // domain.dimension)))))
    totals = _load(state, mark)
    if scores is None:
        step = _free_blocks(encoder, domain, key, size, **how)
    else:
        step = _data_blocks(scores, domain, key, **how)
        chunk = 1
    start = saved = time.monotonic()
    while True:
        done = int(totals.counts.sum())
        left = goal - done
        if left <= 0 or (seconds and totals.block and time.monotonic() - start > seconds):
            break
        most = -(-left // size) if scores is None and not seconds else chunk
        totals = step(totals, np.arange(totals.block, totals.block + min(chunk, max(1, most))))
        if progress:
            progress(int(totals.counts.sum()), goal if not seconds else 0)
        if state is not None and time.monotonic() - saved > _PAUSE:
            _save(state, mark, totals)
            saved = time.monotonic()
    if state is not None:
        _save(state, mark, totals)
    return totals


def _free_blocks(encoder, domain, key, size, *, true_ties, latent_ties, truth, latent):
    """Blocks of `size` independent triples. A block is computed alone, in one shape, whatever the
    chunk and whichever device it falls to: that is what makes counts reproducible."""

    def margins(x, u, v, codes):
        count = len(x)
        return (
            order.relative_margin(x, u, v, kind=truth),
            order.relative_margin(
                codes[:count], codes[count : 2 * count], codes[2 * count :], kind=latent
            ),
        )

    def one(key, number):
        x, u, v = domain.triples(jax.random.fold_in(key, number), size)
        codes = encoder.native(jnp.concatenate([x, u, v]))
        counts = order.tally(
            *margins(x, u, v, codes), true_ties=true_ties, latent_ties=latent_ties
        )
        bad = jnp.sum(~jnp.isfinite(codes).all(axis=1), dtype=jnp.int32)
        dead = (codes[:size] == 0).all(axis=1) & (x != 0).any(axis=1)
        return counts, bad, jnp.sum(dead, dtype=jnp.int32)

    if encoder.traceable:
        auto = jax.sharding.AxisType.Auto
        mesh = jax.make_mesh((jax.device_count(),), ("blocks",), axis_types=(auto,))
        spread = jax.P("blocks")
        many = jax.jit(
            jax.shard_map(
                lambda key, numbers: jax.lax.map(lambda i: one(key, i), numbers),
                mesh=mesh, in_specs=(jax.P(), spread), out_specs=spread, check_vma=False,
            )
        )  # fmt: skip

        def run(numbers):
            short = -len(numbers) % jax.device_count()
            padded = np.concatenate([numbers, np.repeat(numbers[-1:], short)]).astype(np.int32)
            with jax.default_matmul_precision("highest"):
                return [np.asarray(part)[: len(numbers)] for part in many(key, padded)]
    else:

        def run(numbers):
            results = []
            for number in numbers:
                x, u, v = domain.triples(jax.random.fold_in(key, int(number)), size)
                x, u, v = (np.asarray(a, np.float64) for a in (x, u, v))
                codes = encoder.native(np.concatenate([x, u, v]))
                bad = int((~np.isfinite(codes)).any(axis=1).sum())
                pair = margins(x, u, v, np.nan_to_num(codes))
                counts = order.tally(*pair, true_ties=true_ties, latent_ties=latent_ties)
                dead = (codes[:size] == 0).all(axis=1) & (x != 0).any(axis=1)
                results.append((counts, bad, int(dead.sum())))
            return [np.asarray(column) for column in zip(*results, strict=True)]

    def step(totals, numbers):
        counts, bad, dead = run(numbers)
        if bad.any():
            block = int(numbers[np.argmax(bad > 0)])
            points = np.concatenate(domain.triples(jax.random.fold_in(key, block), size))
            check_finite(encoder.native(points), points, domain.name)
        return totals._replace(
            block=int(numbers[-1]) + 1,
            counts=totals.counts + counts.astype(np.int64).sum(axis=0),
            zeros=totals.zeros + int(dead.sum()),
        )

    return step


def _data_blocks(scores, domain, key, *, true_ties, latent_ties, truth, latent):
    """Blocks of users drawn from the data; zeros are counted apart, over all rows."""

    def step(totals, numbers):
        for number in numbers:
            counts = counting.sample(
                scores, domain.crossing.shape[0], jax.random.fold_in(key, int(number)),
                true_ties=true_ties, latent_ties=latent_ties,
            )  # fmt: skip
            rows = [order.summary(user) for user in counts]
            totals = _Sampled(
                block=int(number) + 1,
                counts=totals.counts + counts.sum(axis=0),
                zeros=totals.zeros,
                users=totals.users + [(row.violations, row.total) for row in rows],
            )
        return totals

    return step


def _parse(budget: int | str) -> tuple[int, float]:
    """Triples and seconds; one of them is no limit."""
    try:
        if isinstance(budget, str) and budget.endswith("s"):
            seconds = float(budget[:-1])
            if seconds > 0:
                return 2**62, seconds
        elif int(float(budget)) > 0:
            return int(float(budget)), 0.0
    except ValueError:
        pass
    raise ValueError(f"budget {budget!r}: a number of triples, 1e7, or of seconds, '30s'")


def _load(state: Path | None, mark: str) -> _Sampled:
    empty = _Sampled(0, np.zeros((order.BINS, 3, 3), np.int64), 0, [])
    if state is None or not state.exists():
        return empty
    saved = json.loads(state.read_text())
    if saved["mark"] != mark:
        raise ValueError(
            f"{state} was left by another encoder, domain or seed: remove it or name another file"
        )
    return _Sampled(
        saved["block"], np.array(saved["counts"], np.int64), saved["zeros"],
        [tuple(pair) for pair in saved["users"]],
    )  # fmt: skip


def _save(state: Path, mark: str, totals: _Sampled) -> None:
    fields = totals._replace(counts=totals.counts.tolist())._asdict()  # type: ignore[arg-type]
    report.replace(state, json.dumps({"mark": mark, **fields}))
