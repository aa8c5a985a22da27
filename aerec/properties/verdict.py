"""From what was counted, searched and bounded to a verdict on each property."""

import numpy as np

from aerec.properties import baselines, bounds, intervals, lemmas, rates, report, zeros
from aerec.properties.domain import Box, Data, Separated, Space
from aerec.properties.evidence import Evidence, is_flat
from aerec.properties.problem import SINGLE, Problem
from aerec.properties.rankings import Flat
from aerec.properties.report import Finding
from aerec.properties.witness import Witness
from aerec.properties.zeros import Zero

_FINE = 1e-3  # relative margins that the counts may take for ties in data that are certified


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
    problem, rated, angles = evidence.problem, evidence.rated, evidence.angles
    domain, empty, found = problem.domain, evidence.vacuity, evidence.witness
    tally, compared = rated.tally, rated.comparison
    rate = tally.violations / tally.total if tally.total else float("nan")
    baseline = rates.projection_baseline(problem.n, problem.m)
    skill = rates.skill(tally, baseline)
    if compared is not None:  # the projection that was counted on these data, if it was
        loss = {each.name: 1.0 - each.auc for each in compared.scored}
        baseline = loss.get(baselines.PROJECTION, float("nan"))
        skill = 1.0 - loss[compared.scored[0].name] / baseline if baseline else float("nan")
    details = {
        **{k.strip("_"): v for k, v in tally._asdict().items()},
        "reversed_of_ordered": tally.reversed_ / tally.ordered if tally.ordered else None,
        "strict_rate": tally.strict_violations / tally.total if tally.total else None,
        "baseline_no_information": 0.5,
        "baseline_projection": baseline,
        "skill_over_projection": skill,
        "local_angle_rate": None if angles is None else angles["rate"],
        "flat_share": None if angles is None else angles["flat"],
        "constant_coordinates": len(problem.fixed),
        **{
            f"mean_{k}": float("nan") if np.isnan(v).all() else float(np.nanmean(v))
            for k, v in rated.per_user.items()
            if len(v)
        },
    }
    constant = (
        f"latent dot products spread by {empty.spread:.3g} of their size, within the tie"
        f" tolerance {empty.tolerance:.3g}: constant in effect, the rate is no merit"
    )
    if found is not None:
        verdict = report.REFUTED
        how = f"{found.kind}, by {found.source}" if isinstance(found, Witness) else "rows of data"
        why = f"a witness ({how}), rechecked in float64"
        if empty.collapsed:
            why += f"; elsewhere {constant}"
    elif is_flat(tally, empty):
        verdict = report.VACUOUS
        why = f"all {tally.total:,} counted triples tie in the codes: {constant}"
    elif _keeps_order(evidence):
        verdict = report.CERTIFIED
        why = "bounds of the latent score keep every u of the one box above every v of the other"
    elif rated.exhaustive and not tally.violations and rated.unseen <= _FINE:
        verdict = report.CERTIFIED
        why = f"no violation among all {tally.total:,} triples of these data, up to rounding"
        details["rate_of_new_users_at_most"] = rated.interval[1]
    else:
        verdict = report.not_refuted(rated.interval[1])
        why = f"{tally.violations:,} violations in {tally.total:,} triples, and no search found one"
        if not evidence.searched:
            why += " before the seconds of the budget ended"
        elif rated.unseen > _FINE:
            why += (
                ", but the items differ so much in size that margins of the smallest ones count as"
                f" ties up to {rated.unseen:.1g} of their size"
            )
        elif tally.violations:
            why += (
                " that float64 confirms and that outlives a change of the inputs by rounding: those"
                " counted do not, or f jumps everywhere, or is no function"
            )
    if problem.towers and problem.m < problem.n and isinstance(domain, Space | Box):
        why += (
            "; continuous towers with m < n keep the order of an open domain only if each user"
            " scores all items alike (theorem T4)"
        )
    why += _cost_of_constants(evidence)
    return Finding(
        verdict, domain.name, why, rate, rated.interval, rates.skill(tally), found, details
    )


def nonzero(evidence: Evidence) -> Finding:
    """Judge P3. A point refutes if its code is proven to vanish; a small code does not."""
    problem, zero = evidence.problem, evidence.zero
    dead, counted = evidence.zero_codes, evidence.encoded
    interval = intervals.clopper_pearson(dead, counted, confidence=evidence.confidence)
    seen = zeros.census(np.concatenate(evidence.codes))
    users, some = problem.users, evidence.probes[1][:64]
    kind = None if zero is None else zero.kind
    details = {
        **seen._asdict(),
        "zero_codes": dead,
        "smallest_zero": None if zero is None else zero.norm,
        "underflow": zero.x if zero is not None and kind in ("underflow", "undecided") else None,
        **{f"proposition_1_{k}": v for k, v in lemmas.proposition_1(users, some).items()},
        **{f"lemma_1_{k}": v for k, v in lemmas.lemma_1(users).items() if k != "gram"},
    }
    where, proof, witness = problem.domain.name, _never_zero(evidence), None
    collapsed = evidence.vacuity.collapsed
    floating = dead > 0 or (kind == "undecided" and not collapsed)
    if proof and kind == "crossing":  # which assumes that f is continuous
        kind = "near"
    if zero is not None and kind in zeros.PROVEN:
        verdict, witness = report.REFUTED, zero
        why = f"f(x) = 0 {_place(zero, problem.m)}"
    elif proof and not collapsed and (not floating or kind == "underflow"):
        verdict, (where, why) = report.CERTIFIED, proof
        if kind == "underflow":
            why += f"; in floating point it underflows to 0, for {dead:,} of {counted:,} codes"
    elif floating:
        verdict = report.FLOATING
        why = f"codes are 0 in floating point, {dead:,} of {counted:,} counted: {_CAUSES[kind]}"
    elif collapsed:
        verdict, why = report.VACUOUS, "no zero, because the items' codes are constant in effect"
    elif zero is not None and kind in zeros.SMALL:
        verdict, witness = report.near_zero(zero.norm), zero
        why = f"a code has {zero.norm:.1g} of the usual size ({zero.source}): no proof of a zero"
        if kind == "root":
            why += ", but each coordinate changes its sign around x"
            if evidence.network is None:
                why += "; the proof needs the layers of f, or a float that hits the zero"
    else:
        verdict = report.not_refuted(interval[1])
        why = f"no zero codes among {counted:,}, and no search found one"
        if zero is not None:
            why += f" but underflows, at an x of norm {np.linalg.norm(zero.x):.3g}"
    return Finding(verdict, where, why, dead / counted, interval, None, witness, details)


def _place(zero: Zero | Flat, m: int | None) -> str:
    """Describe where a proven zero of m coordinates is."""
    point = f"an x of norm {np.linalg.norm(zero.x):.3g} ({zero.kind}, {zero.source})"
    if zero.reach is None:
        return f"at {point}"
    how = "a change of its sign" if m == 1 else "bounds of the layers on the faces of a box"
    return f"within {zero.reach:.1g} of {point}, by {how}"


def _cost_of_constants(evidence: Evidence) -> str:
    """Describe the precision that constant coordinates cost float32 scores, if it is much."""
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


def ranking(evidence: Evidence) -> Finding:
    """Judge P3': no x with a ranking has constant scores."""
    seen, domain = evidence.rankings, evidence.problem.domain
    flat, of, example = seen.flat, seen.of, seen.example
    interval = intervals.clopper_pearson(flat, max(of, 1), confidence=evidence.confidence)
    kind = None if example is None else example.kind
    details = {
        "flat": flat, "ranked": of, "items": seen.items, "span": seen.span,
        "spread": None if example is None else example.spread,
    }  # fmt: skip
    share, witness = f"{flat:,} of {of:,} rankings are constant", None
    if evidence.vacuity.collapsed or seen.span == 0:
        verdict, why = report.VACUOUS, "every ranking is constant, because the code is"
    elif example is not None and kind in zeros.PROVEN:
        verdict, witness = report.REFUTED, example
        why = (
            f"u -> <f(x), g(u)> is constant on {seen.items:,} items"
            f" {_place(example, seen.span)}; {share}"
        )
    elif flat or kind == "undecided":
        verdict, why = report.FLOATING, f"{share} in floating point: {_CAUSES[kind]}"
    elif seen.complete and of:
        verdict, why = report.CERTIFIED, f"each of the {of:,} users ranks some items differently"
    elif example is not None and kind in zeros.SMALL:
        verdict, witness = report.near_zero(example.norm), example
        why = (
            f"what ranks of a code has {example.norm:.1g} of the usual size: no proof of a zero;"
            f" relative to |f(x)| its scores spread by {example.spread:.1g}"
        )
    else:
        verdict, why = report.not_refuted(interval[1]), f"{share}, and no search found one"
    return Finding(verdict, domain.name, why, flat / max(of, 1), interval, None, witness, details)


_CAUSES = {
    "underflow": "they are approached faster than by any power, as where an exponential underflows",
    "undecided": "their neighbourhood does not show whether f vanishes or is rounded to 0",
    "root": "at another x the code is 0 but for the rounding of x",
    "near": "a neighbouring code is small, and the cause is undecided",
    None: "the cause is undecided",
}


def _never_zero(evidence: Evidence) -> tuple[str, str] | None:
    """Return a proof that no code is 0: where it holds, and why; None if there is none.

    Activation and layers are those of one encoder: they prove nothing of a second one.
    """
    problem, activation = evidence.problem, evidence.activation
    domain, near = problem.domain, evidence.zero
    if activation is None and evidence.network is not None:
        activation = evidence.network[-1].activation
    if activation is not None and not activation.vanishes and not problem.towers:
        bounded = activation.low > 0 or activation.extra > 0  # such a code cannot underflow
        if not (bounded and evidence.zero_codes):
            why = f"zero is not in the range of {activation.name} in exact arithmetic"
            return f"R^{problem.n}", why
    counted = evidence.smallest is not None and not np.isnan(evidence.smallest)
    if isinstance(domain, Data) and counted and not evidence.zero_codes and near is None:
        why = f"every one of the {evidence.encoded:,} rows has a non-zero code"
        return domain.name, f"{why}; the smallest has {evidence.smallest:.2g} of the usual norm"
    if _avoids_zero(evidence):
        return domain.name, "bounds of the code exclude 0 on every part of the box"
    return None


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
    if network is None or not isinstance(domain, Box) or evidence.problem.towers:
        return False
    if domain.contains(np.zeros((1, domain.dimension)))[0]:
        return False
    return bounds.nonzero(network, domain.low, domain.high).proven
