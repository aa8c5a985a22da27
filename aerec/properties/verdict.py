"""From what was counted, searched and bounded to a verdict on each property."""

from typing import Any, NamedTuple

import numpy as np

from aerec.properties import bounds, rates, report, zeros
from aerec.properties.domain import Box, Data, Separated
from aerec.properties.order import Tally
from aerec.properties.problem import SINGLE, Problem
from aerec.properties.report import Finding
from aerec.properties.vacuity import Vacuity
from aerec.properties.witness import Witness
from aerec.properties.zeros import Zero


def is_flat(tally: Tally, vacuity: Vacuity) -> bool:
    """Return whether the codes rank nothing: neither of the counted triples nor of the probes."""
    return vacuity.collapsed and tally.total == tally.flattened + tally.tied


class Evidence(NamedTuple):
    """What an audit gathered about a problem.

    Attributes:
      problem: what was examined.
      tally: the outcomes of all counted triples.
      interval: of the rate of violations.
      per_user: arrays [U] by figure; empty unless the domain is data.
      vacuity: of the codes of the probes.
      probes: x and u, [A, n] and [B, n]: points of the domain.
      codes: f(x) and g(u), [A, m] and [B, m].
      witness: against P2, or None.
      angles: of the probes, from `angle.distribution`, or None.
      zero_codes, encoded: non-zero x with a zero code, of how many.
      zero: a point that refutes P3, or None.
      activation: of the last layer, as far as the caller declares it.
      network: the layers, as far as the caller gives them.
      confidence: of the intervals.
      searched: whether the search for a witness had the time it needed.
    """

    problem: Problem
    tally: Tally
    interval: tuple[float, float]
    per_user: dict[str, np.ndarray]
    vacuity: Vacuity
    probes: tuple[np.ndarray, np.ndarray]
    codes: tuple[np.ndarray, np.ndarray]
    witness: Witness | None
    angles: dict[str, Any] | None
    zero_codes: int
    encoded: int
    zero: Zero | None
    activation: Any
    network: bounds.Network | None
    confidence: float
    searched: bool = True


def dimension(problem: Problem) -> Finding:
    """Judge P1 by the shapes."""
    n, m = problem.n, problem.m
    fits = m <= n
    return Finding(
        report.CERTIFIED if fits else report.REFUTED, f"R^{n} -> R^{m}, by shape",
        f"{m} {'<' if m < n else '=' if m == n else '>'} {n} coordinates",
        witness=None if fits else {"n": n, "m": m}, details={"n": n, "m": m, "strict": m < n},
    )  # fmt: skip


def order(evidence: Evidence) -> Finding:
    """Judge P2."""
    problem, tally, angles = evidence.problem, evidence.tally, evidence.angles
    domain, empty, found = problem.domain, evidence.vacuity, evidence.witness
    rate = tally.violations / tally.total
    baseline = rates.projection_baseline(problem.n, problem.m)
    details = {
        **{k.strip("_"): v for k, v in tally._asdict().items()},
        "reversed_of_ordered": tally.reversed_ / tally.ordered if tally.ordered else None,
        "strict_rate": tally.strict_violations / tally.total,
        "baseline_no_information": 0.5,
        "baseline_projection": baseline,
        "skill_over_projection": rates.skill(tally, baseline),
        "local_angle_rate": None if angles is None else angles["rate"],
        "flat_share": None if angles is None else angles["flat"],
        "constant_coordinates": len(problem.fixed),
        **{
            f"mean_{k}": float("nan") if np.isnan(v).all() else float(np.nanmean(v))
            for k, v in evidence.per_user.items()
            if len(v)
        },
    }
    constant = (
        f"latent dot products spread by {empty.spread:.3g} of their size, within the tie"
        f" tolerance {empty.tolerance:.3g}: constant in effect, the rate is no merit"
    )
    if found is not None:
        verdict = report.REFUTED
        why = f"a witness ({found.kind}, by {found.source}), rechecked in float64"
        if empty.collapsed:
            why += f"; elsewhere {constant}"
    elif is_flat(tally, empty):
        verdict = report.VACUOUS
        why = f"all {tally.total:,} counted triples tie in the codes: {constant}"
    elif _keeps_order(evidence):
        verdict = report.CERTIFIED
        why = "bounds of the latent score keep every u of the one box above every v of the other"
    else:
        verdict = report.not_refuted(evidence.interval[1])
        why = f"{tally.violations:,} violations in {tally.total:,} triples, and no search found one"
        if not evidence.searched:
            why += " before the seconds of the budget ended"
        elif tally.violations:
            why += (
                " that float64 confirms and that outlives a change of the inputs by rounding: those"
                " counted do not, or f jumps everywhere, or is no function"
            )
    why += _cost_of_constants(evidence)
    return Finding(
        verdict, domain.name, why, rate, evidence.interval, rates.skill(tally), found, details
    )


def nonzero(evidence: Evidence) -> Finding:
    """Judge P3."""
    problem, zero, empty = evidence.problem, evidence.zero, evidence.vacuity
    dead, counted, activation = evidence.zero_codes, evidence.encoded, evidence.activation
    interval = rates.clopper_pearson(dead, counted, confidence=evidence.confidence)
    seen = zeros.census(np.concatenate(evidence.codes))
    some = evidence.probes[1][:64]
    users = problem.users
    details = {
        **seen._asdict(),
        "underflow": None if zero is None or zero.kind != "underflow" else zero.x,
        **{f"proposition_1_{k}": v for k, v in zeros.proposition_1(users, some).items()},
        **{f"lemma_1_{k}": v for k, v in zeros.lemma_1(users).items() if k != "gram"},
    }
    if activation is None and evidence.network is not None:
        activation = evidence.network[-1].activation
    where = problem.domain.name
    if zero is not None and zero.kind != "underflow":
        verdict = report.REFUTED
        why = f"f(x) = 0 at an x of norm {np.linalg.norm(zero.x):.3g} ({zero.kind}, {zero.source})"
    elif empty.collapsed:
        verdict, why = report.VACUOUS, "no zero, because the code is constant in effect"
        if dead:
            why = f"{dead:,} of {counted:,} codes underflow to 0: the code is constant in effect"
    elif activation is not None and not activation.vanishes:
        verdict, where = report.CERTIFIED, f"R^{problem.n}"
        why = f"zero is not in the range of {activation.name} in exact arithmetic"
        if seen.zero or (zero is not None and zero.kind == "underflow"):
            why += "; in floating point it underflows to 0"
    elif isinstance(problem.domain, Data) and not dead:
        verdict, why = report.CERTIFIED, f"every one of the {counted:,} rows has a non-zero code"
    elif _avoids_zero(evidence):
        verdict, why = report.CERTIFIED, "bounds of the code exclude 0 on every part of the box"
    else:
        verdict = report.not_refuted(interval[1])
        why = f"{dead:,} zero codes of {counted:,}, and no search found one"
    witness = zero if verdict == report.REFUTED else None
    return Finding(verdict, where, why, dead / counted, interval, None, witness, details)


def _cost_of_constants(evidence: Evidence) -> str:
    """Say what constant coordinates take from the precision of float32 scores, if it is much."""
    problem, (x, u) = evidence.problem, (code.astype(np.float64) for code in evidence.codes)
    if not problem.fixed or problem.latent != "dot":
        return ""
    fixed = list(problem.fixed)
    lost = SINGLE * np.median(abs(x[:, fixed] @ u[0, fixed]))
    usual = np.median((x @ (u - u.mean(axis=0)).T).std(axis=1))
    if not 0 < 1e-3 * usual < lost:
        return ""
    return (
        f"; {len(fixed)} coordinates are constant: beside them, float32 scores lose margins below"
        f" {lost / usual:.2g} of the usual"
    )


def _keeps_order(evidence: Evidence) -> bool:
    """Return whether bounds prove P2 on separated boxes."""
    problem, network = evidence.problem, evidence.network
    domain = problem.domain
    if network is None or not isinstance(domain, Separated):
        return False
    if problem.towers or problem.latent != "dot":
        return False
    return bounds.margin_order(network, domain.x, domain.u, domain.v).proven


def _avoids_zero(evidence: Evidence) -> bool:
    """Return whether bounds prove P3 on a box; one that contains 0 is not tried."""
    domain, network = evidence.problem.domain, evidence.network
    if network is None or not isinstance(domain, Box):
        return False
    if domain.contains(np.zeros((1, domain.dimension)))[0]:
        return False
    return bounds.nonzero(network, domain.low, domain.high).proven
