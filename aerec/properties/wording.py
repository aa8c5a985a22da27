"""The words and tables of a report: Markdown, and the parts that it shares with the HTML page."""

from typing import Any

import numpy as np

from aerec.properties.comparison import Comparison, Pair
from aerec.properties.rankings import Flat
from aerec.properties.report import NAMES, REFUTED, Audit
from aerec.properties.witness import Witness
from aerec.properties.zeros import Zero

LEGEND = (
    "AUC: of all pairs of items with different true scores, the share that is ranked the right way"
    " round; a tie is half. 2 AUC - 1 is Somers' D, the skill. Intervals are over users."
    " precision: the share of listed items among the best; places that tie are shared. flat users:"
    " those whose items all tie, of the users with any true order. Popularity does not know the"
    " user. Random projection and truncated SVD have as many dimensions as the codes."
)


def markdown(audit: Audit) -> str:
    """Format an audit as Markdown."""
    lines = [
        f"# Audit of {audit.encoder}",
        "",
        f"`R^{audit.n} -> R^{audit.m}` on {audit.domain}; {audit.triples:,} triples;"
        f" seed {audit.seed}.",
        "",
        *(line for note in audit.notes for line in (note, "")),
        *([] if audit.comparison is None else _compared(audit.comparison)),
        "| property | verdict | domain | rate | interval | skill |",
        "|---|---|---|---|---|---|",
    ]
    for name, finding in audit.properties.items():
        between = finding.interval and " to ".join(figure(end) for end in finding.interval)
        lines.append(
            f"| {NAMES[name]} | **{finding.verdict}** | {finding.domain} |"
            f" {figure(finding.rate)} | {between or '-'} | {figure(finding.skill)} |"
        )
    lines += ["", *(f"- {NAMES[k]}: {v.why}" for k, v in audit.properties.items()), ""]
    for name, finding in audit.properties.items():
        if finding.witness is not None and name != "dimension":
            against = "against" if finding.verdict == REFUTED else "nearest to refuting"
            lines += [f"## Witness {against} {NAMES[name]}", "", *shown(finding.witness), ""]
    if audit.geometry:
        lines += ["## Geometry of the item codes", "", "| figure | value |", "|---|---|"]
        lines += [f"| {k} | {figure(v)} |" for k, v in audit.geometry.items()] + [""]
    lines += ["## Has the code collapsed?", "", "| figure | value |", "|---|---|"]
    figures = audit.vacuity._asdict()
    figures.pop("spectrum")
    lines += [f"| {k.replace('_', ' ')} | {figure(v)} |" for k, v in figures.items()]
    for name, finding in audit.properties.items():
        if finding.details:
            lines += ["", f"## More on {NAMES[name]}", "", "| figure | value |", "|---|---|"]
            lines += [
                f"| {k.replace('_', ' ')} | {figure(v)} |"
                for k, v in finding.details.items() if not isinstance(v, dict | np.ndarray)
            ]  # fmt: skip
    return "\n".join(lines) + "\n"


def in_words(witness: Witness | Zero | Flat | Pair) -> str:
    """Describe a witness in one or two sentences."""
    if isinstance(witness, Pair):
        return (
            f"The true scores of user {witness.user} have item {witness.u} at or above item"
            f" {witness.v}, by row number: the margin is {witness.true_margin:.4g}. The codes rank"
            f" item {witness.v} above item {witness.u}, by"
            f" {abs(witness.latent_margin):.3g} of |f(x)| max(|g(u)|, |g(v)|)."
        )
    if isinstance(witness, Zero | Flat):
        size = "exactly zero" if witness.norm == 0 else f"{witness.norm:.1g} of its usual size"
        what = "its code" if isinstance(witness, Zero) else "the part of its code that ranks"
        return f"The vector x has norm {np.linalg.norm(witness.x):.4g}, and {what} is {size}."
    true = (
        "u and v tie in their true score with x"
        if witness.kind == "tie" else
        f"x prefers u to v: the true margin is {witness.true_margin:.4g},"
        f" {witness.true_relative:.3g} of |x| max(|u|, |v|)"
    )  # fmt: skip
    wrong = abs(witness.latent_relative)
    return (
        f"By the true scores, {true}. The codes rank v above u, by {wrong:.3g} of"
        f" |f(x)| max(|f(u)|, |f(v)|), which is {wrong / witness.tolerance:,.0f} times the tie"
        " tolerance."
    )


def _compared(comparison: Comparison) -> list[str]:
    """Format the figures on data: a line per scorer, then the loss by length of history."""
    lines = []
    for header, *rows in tables(comparison):
        lines += ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return [*lines, LEGEND, ""]


def tables(comparison: Comparison) -> list[list[list[str]]]:
    """Return the figures on data as tables of text, each with its header."""
    scored, listing = comparison.scored, bool(comparison.lengths)
    header = ["scores", "AUC", "AUC, mean of users", *[f"precision@{comparison.k}"] * listing,
              "flat users", "reversed of ordered"]  # fmt: skip
    rows = [
        [
            each.name,
            _between(each.auc, each.auc_interval),
            _between(each.auc_users, each.auc_users_interval),
            *[_between(each.precision, each.precision_interval)] * listing,
            f"{each.flat:.1%}",
            figure(each.reversed_),
        ]
        for each in scored
    ]
    if not listing:
        return [[header, *rows]]
    columns = [(each.name, each.by_length) for each in scored]
    if comparison.expected is not None:
        columns.append(("random projection, by theorem T6", comparison.expected))
    by_length = [["1 - AUC, by length of history", *(name for name, _ in columns)]]
    for place, (low, high, users) in enumerate(comparison.lengths):
        between = f"{low} to {high}" if low < high else str(low)
        losses = (figure(values[place]) for _, values in columns)
        by_length.append([f"{between} ({users:,} users)", *losses])
    return [[header, *rows], by_length]


def _between(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return "-"
    return f"{value:.4f} [{interval[0]:.4f}, {interval[1]:.4f}]"


def shown(witness: Witness | Zero | Flat | Pair) -> list[str]:
    """List a witness: its vectors and margins, as lines of Markdown."""
    if isinstance(witness, Pair):
        return [
            f"- user {witness.user}, items u = {witness.u} and v = {witness.v}, by row number",
            f"- true margin {witness.true_margin:.6g}; relative latent margin"
            f" {witness.latent_margin:.3g}",
        ]
    if isinstance(witness, Zero | Flat):
        if isinstance(witness, Flat):
            seen = f"the scores of x spread by {witness.spread:.1g} of their size"
        elif witness.norm == 0:
            seen = "`f(x)` is exactly 0 in float64"
        elif witness.kind == "crossing":
            seen = (
                f"`f(x)` has {witness.norm:.1g} of the codes' usual size, and f vanishes where no"
                f" coordinate differs from x by more than {witness.reach:.2g}"
            )
        else:
            seen = f"`f(x)` has {witness.norm:.1g} of the codes' usual size"
        return [
            f"- `x = {_vector(witness.x)}`",
            f"- `|x| = {np.linalg.norm(witness.x):.4g}`; {seen} ({witness.kind}, {witness.source})",
        ]
    return [
        *(f"- `{name} = {_vector(getattr(witness, name))}`" for name in "xuv"),
        f"- true margin `<x, u> - <x, v> = {witness.true_margin:.6g}`",
        f"- latent margin `<f(x), f(u)> - <f(x), f(v)> = {witness.latent_margin:.6g}`",
        f"- {witness.kind}, by {witness.source}; relative margins {witness.true_relative:.3g} and"
        f" {witness.latent_relative:.3g}, in the encoder's own precision"
        f" {witness.native_margin:.3g}",
    ]


def _vector(x: np.ndarray) -> str:
    listed = np.flatnonzero(x)
    if 2 * len(listed) <= len(x) > 12:
        more = f", and {len(listed) - 12} more" if len(listed) > 12 else ""
        return "{" + ", ".join(f"{i}: {x[i]:.6g}" for i in listed[:12]) + more + "}"
    return np.array2string(x, precision=4, threshold=12).replace("\n", "")


def figure(value: Any) -> str:
    """Format a figure of a table."""
    if value is None:
        return "-"
    if isinstance(value, bool | int | str):
        return f"{value:,}" if type(value) is int else str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        value = f"({', '.join(map(figure, value))})"
    text = str(value)
    return text if len(text) < 60 else text[:57] + "..."
