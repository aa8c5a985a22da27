"""The plots of an audit, as PNG files; the only part of the audit that needs matplotlib."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from aerec import files
from aerec.properties import intervals, order, rates
from aerec.properties.comparison import Comparison
from aerec.properties.report import Audit

_WIDTH, _HEIGHT = 4.8, 3.2  # inches


def drawn(audit: Audit) -> dict[str, Figure]:
    """Draw the plots of one audit.

    Errors by true margin, local angles, spectrum of the codes; on data, errors by history length.
    """
    found = {}
    if audit.comparison is not None and len(audit.comparison.lengths) > 1:
        found["loss_by_length"] = _loss_by_length(audit.comparison)
    found |= {"rate_by_margin": _rate_by_margin({audit.encoder: audit})}
    if audit.angles is not None and np.isfinite(audit.angles).any():
        found["local_angle"] = _angles(audit)
    return {**found, "spectrum": _spectrum(audit)}


def figures(audit: Audit, folder: Path | str) -> list[Path]:
    """Write the plots of one audit to a folder, `rate_by_margin.png` and others."""
    return [_save(figure, Path(folder), name) for name, figure in drawn(audit).items()]


def comparison(audits: Mapping[str, Audit], folder: Path | str) -> list[Path]:
    """Write `compared_margins.png` and `compared_rates.png`: several encoders on one domain."""
    fig, axes = _subplots(0.3 * len(audits) + 1.4)
    for row, audit in enumerate(audits.values()):
        finding = audit.properties["order"]
        reversed_ = finding.details["reversed_of_ordered"] or 0.0
        axes.barh(row, reversed_, color="0.7" if finding.verdict == "VACUOUS" else "C0")
    axes.set_yticks(range(len(audits)), list(audits))
    axes.axvline(0.5, color="k", linestyle=":", linewidth=1)
    axes.set_xlabel("reversed, of the triples with a true order\n(grey: vacuous; dotted: a coin)")
    axes.invert_yaxis()
    made = {"compared_margins": _rate_by_margin(audits), "compared_rates": fig}
    return [_save(figure, Path(folder), name) for name, figure in made.items()]


def _subplots(height: float = _HEIGHT):
    fig = Figure(figsize=(_WIDTH, height), layout="constrained")
    return fig, fig.subplots()


def _rate_by_margin(audits: Mapping[str, Audit]) -> Figure:
    fig, axes = _subplots()
    for name, audit in audits.items():
        tallies = [order.summary(counts) for counts in audit.counts]
        full = [i for i, tally in enumerate(tallies) if tally.ordered >= 30]
        middle = np.append(order.EDGES, order.EDGES[-1])[full] / 2**0.25
        wrong = [tallies[i].reversed_ for i in full]
        of = [tallies[i].ordered for i in full]
        ends = np.array([intervals.clopper_pearson(k, n) for k, n in zip(wrong, of, strict=True)])
        (line,) = axes.plot(middle, np.divide(wrong, of), marker=".", linewidth=1, label=name)
        if len(ends):
            axes.fill_between(middle, *ends.T, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xscale="log", ylim=(0, None))
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 50 * low else (1.0,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")  # minor labels would overlap
    axes.axhline(0.5, color="k", linestyle=":", linewidth=1)
    axes.set_xlabel("true margin over $|x| \\max(|u|, |v|)$")
    axes.set_ylabel("share ranked the wrong way")
    axes.legend(frameon=False, fontsize="small")
    return fig


def _loss_by_length(comparison: Comparison) -> Figure:
    fig, axes = _subplots()
    middle = [np.sqrt(max(low, 1) * max(high, 1)) for low, high, _ in comparison.lengths]
    for number, scored in enumerate(comparison.scored):
        style = "-" if number == 0 else "--"
        axes.plot(middle, scored.by_length, style, marker=".", linewidth=1, label=scored.name)
    if comparison.expected is not None:
        label = "random projection, by theorem T6"
        axes.plot(middle, comparison.expected, "k:", linewidth=1, label=label)
    axes.set(xscale="log", ylim=(0, None))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("items in the history")
    axes.set_ylabel("1 - AUC")
    axes.legend(frameon=False, fontsize="small")
    return fig


def _angles(audit: Audit) -> Figure:
    fig, axes = _subplots()
    assert audit.angles is not None
    angles = np.degrees(audit.angles[np.isfinite(audit.angles)])
    axes.hist(angles, bins=np.linspace(0, 180, 61).tolist(), color="C0")
    if audit.m < audit.n:
        null = 180 * rates.projection_baseline(audit.n, audit.m)
        axes.axvline(null, color="k", linestyle="--", linewidth=1, label="random projection")
        axes.legend(frameon=False, fontsize="small")
    axes.set_xlabel("angle between $x$ and $J_f(u)^T f(x)$, degrees")
    axes.set_ylabel("pairs")
    return fig


def _spectrum(audit: Audit) -> Figure:
    fig, axes = _subplots()
    values = np.array(audit.vacuity.spectrum)
    axes.semilogy(1 + np.arange(len(values)), np.where(values > 1e-12, values, np.nan), marker=".")
    axes.set_xlim(0, len(values) + 1)
    axes.set_title(f"effective rank {audit.vacuity.effective_rank:.1f}", fontsize="medium")
    axes.set_xlabel("direction of the code")
    axes.set_ylabel("singular value over the largest")
    return fig


def _save(fig: Figure, folder: Path, name: str) -> Path:
    path = folder / f"{name}.png"
    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        fig.savefig(temporary, format="png", dpi=160)
    return path
