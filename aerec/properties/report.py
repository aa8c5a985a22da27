"""The result of an audit: data, and its export as JSON and Markdown."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from aerec import files
from aerec.properties.comparison import Comparison, Pair
from aerec.properties.rankings import Flat
from aerec.properties.vacuity import Vacuity
from aerec.properties.witness import Witness
from aerec.properties.zeros import Zero

LEGEND = (
    "AUC: of all pairs of items with different true scores, the share that is ranked the right way"
    " round; a tie is half. 2 AUC - 1 is Somers' D, the skill. Intervals are over users."
    " precision: the share of listed items among the best; places that tie are shared. flat users:"
    " those whose items all tie, of the users with any true order. Popularity does not know the"
    " user. Random projection and truncated SVD have as many dimensions as the codes."
)
REFUTED, CERTIFIED, VACUOUS = "REFUTED", "CERTIFIED", "VACUOUS"
FLOATING = "ZERO IN FLOATING POINT"  # whose cause is undecided
NAMES = {
    "dimension": "P1, dimension reduction",
    "order": "P2, order preservation",
    "nonzero": "P3, non-zero preservation",
    "ranking": "P3', non-constant rankings",
}


def not_refuted(upper: float) -> str:
    """Format the fourth verdict with its bound."""
    return f"NOT REFUTED, rate <= {upper:.3g}"


def near_zero(ratio: float) -> str:
    """Format the verdict on a small code that is not proven to vanish anywhere near."""
    return f"NEAR ZERO, ratio {ratio:.1e}"


@dataclasses.dataclass(frozen=True)
class Finding:
    """The verdict on one property on one domain.

    Attributes:
      verdict: REFUTED, CERTIFIED, VACUOUS, or `NOT REFUTED, rate <= U`. On P3 and P3' also
        `NEAR ZERO, ratio r` (a code of that share of the usual size) or ZERO IN FLOATING POINT (a
        zero or an underflow).
      domain: the name of the domain.
      why: the reason in one sentence.
      rate: of violations.
      interval: the confidence interval of the rate.
      skill: against no information: 1 is perfect, 0 a coin or a constant.
      witness: where refuted.
      details: further figures by name.
    """

    verdict: str
    domain: str
    why: str
    rate: float | None = None
    interval: tuple[float, float] | None = None
    skill: float | None = None
    witness: Any = None
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Audit:
    """The findings of an audit by property, with its figures.

    The properties are "dimension", "order", "nonzero" and "ranking".

    Attributes:
      encoder, domain: their names.
      n, m: dimensions of input and code.
      seed: the data of the key.
      triples: how many were counted.
      properties: a finding per property.
      vacuity: whether the code has collapsed.
      curve: violations by true margin, from `order.curve`.
      counts: [BINS, 3, 3], as from `order.tally`.
      angles: [N] local angles in radians, or None.
      per_user: arrays by user (tau-b, overlap, rate), if the domain is data.
      versions: of Python and the packages.
      comparison: the codes beside baselines, if the domain is data.
      geometry: figures of the item codes by name, where they were examined.
      notes: on how the encoder was called.
    """

    encoder: str
    n: int
    m: int
    domain: str
    seed: list[int]
    triples: int
    properties: dict[str, Finding]
    vacuity: Vacuity
    curve: dict[str, list]
    counts: np.ndarray
    angles: np.ndarray | None
    per_user: dict[str, np.ndarray]
    versions: dict[str, str]
    comparison: Comparison | None = None
    geometry: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def dimension(self) -> Finding:
        """P1: the code has no more dimensions than the vector."""
        return self.properties["dimension"]

    @property
    def order(self) -> Finding:
        """P2: the code keeps the order of similarities."""
        return self.properties["order"]

    @property
    def nonzero(self) -> Finding:
        """P3: only the zero vector has a zero code."""
        return self.properties["nonzero"]

    @property
    def ranking(self) -> Finding:
        """P3': a user with a ranking does not get constant scores."""
        return self.properties["ranking"]

    def to_dict(self) -> dict[str, Any]:
        """Convert to types of JSON; arrays are summarised by their quantiles."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["angles"] = None if self.angles is None else _quantiles(self.angles)
        fields["per_user"] = {k: _quantiles(v) for k, v in self.per_user.items()}
        return _plain(fields)

    def to_markdown(self) -> str:
        """Format the report as Markdown."""
        lines = [
            f"# Audit of {self.encoder}",
            "",
            f"`R^{self.n} -> R^{self.m}` on {self.domain}; {self.triples:,} triples;"
            f" seed {self.seed}.",
            "",
            *(line for note in self.notes for line in (note, "")),
            *([] if self.comparison is None else _compared(self.comparison)),
            "| property | verdict | domain | rate | interval | skill |",
            "|---|---|---|---|---|---|",
        ]
        for name, finding in self.properties.items():
            between = finding.interval and " to ".join(figure(end) for end in finding.interval)
            lines.append(
                f"| {NAMES[name]} | **{finding.verdict}** | {finding.domain} |"
                f" {figure(finding.rate)} | {between or '-'} | {figure(finding.skill)} |"
            )
        lines += ["", *(f"- {NAMES[k]}: {v.why}" for k, v in self.properties.items()), ""]
        for name, finding in self.properties.items():
            if finding.witness is not None and name != "dimension":
                against = "against" if finding.verdict == REFUTED else "nearest to refuting"
                lines += [f"## Witness {against} {NAMES[name]}", "", *shown(finding.witness), ""]
        if self.geometry:
            lines += ["## Geometry of the item codes", "", "| figure | value |", "|---|---|"]
            lines += [f"| {k} | {figure(v)} |" for k, v in self.geometry.items()] + [""]
        lines += ["## Has the code collapsed?", "", "| figure | value |", "|---|---|"]
        figures = self.vacuity._asdict()
        figures.pop("spectrum")
        lines += [f"| {k.replace('_', ' ')} | {figure(v)} |" for k, v in figures.items()]
        for name, finding in self.properties.items():
            if finding.details:
                lines += ["", f"## More on {NAMES[name]}", "", "| figure | value |", "|---|---|"]
                lines += [
                    f"| {k.replace('_', ' ')} | {figure(v)} |"
                    for k, v in finding.details.items() if not isinstance(v, dict | np.ndarray)
                ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def save(self, folder: Path | str, *, command: str = "") -> Path:
        """Write `audit.json`, `audit.md`, `audit.html` and the witnesses, each atomically.

        Args:
          command: how the audit was made, for the page.

        Returns:
          The path of `audit.json`.
        """
        from aerec.properties import page  # here, as Matplotlib takes half a second to import

        folder = Path(folder)
        with files.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for name, finding in self.properties.items():
            if isinstance(finding.witness, Witness):
                finding.witness.save(folder / f"witness_{name}")
            elif isinstance(finding.witness, Zero | Flat):
                files.write_arrays(folder / f"witness_{name}.npz", {"x": finding.witness.x})
        files.write_text(folder / "audit.md", self.to_markdown())
        files.write_text(folder / "audit.html", page.page(self, command=command))
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        files.write_text(folder / "audit.json", text)
        return folder / "audit.json"


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
                f"`f(x)` is 0 but for rounding, {witness.norm:.1g} of the codes' usual size, and"
                " every coordinate of f changes sign around x"
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
    text = str(value)
    return text if len(text) < 60 else text[:57] + "..."


def _quantiles(values: np.ndarray) -> dict[str, float]:
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return {"count": 0}
    at = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
    marks = {f"q{int(q * 100)}": float(v) for q, v in zip(at, np.quantile(values, at), strict=True)}
    return {"count": len(values), "mean": float(values.mean()), **marks}


def _plain(value: Any) -> Any:
    """Convert values to types of JSON; NaN and infinities become None."""
    if isinstance(value, Witness):
        return _plain(value.to_dict())
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if dataclasses.is_dataclass(value):
        return _plain(vars(value))
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
