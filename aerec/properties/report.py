"""The result of an audit: data, and its export as JSON and Markdown."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from aerec import files
from aerec.properties.comparison import Comparison
from aerec.properties.rankings import Flat
from aerec.properties.vacuity import Vacuity
from aerec.properties.witness import Witness
from aerec.properties.zeros import Zero

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


@dataclasses.dataclass(frozen=True, repr=False)
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
      witness: against the property, or the nearest to one; else None.
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

    def __repr__(self) -> str:
        """Show the verdict, the reason and the figures, without details and vectors."""
        shown = f"{self.verdict} on {self.domain}: {self.why}"
        if self.rate is None:
            return shown
        ends = "" if self.interval is None else " in [{:.4g}, {:.4g}]".format(*self.interval)
        skill = "" if self.skill is None else f", skill {self.skill:.4g}"
        return f"{shown}\nrate {self.rate:.4g}{ends}{skill}"


@dataclasses.dataclass(frozen=True, repr=False)
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
      per_user: arrays by user (rate, tau-b, precision), if the domain is data.
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

    def __repr__(self) -> str:
        """Show what was audited, and a verdict on each line, without arrays."""
        sizes = f"R^{self.n} -> R^{self.m}, {self.triples:,} triples"
        lines = [f"{self.encoder}: {sizes}, {self.domain}"]
        lines += [f"{NAMES[name]}: {found.verdict}" for name, found in self.properties.items()]
        return "\n".join(lines)

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
        from aerec.properties import wording  # which imports this file

        return wording.markdown(self)

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
            for suffix in ("npz", "json"):  # of an earlier audit
                (folder / f"witness_{name}.{suffix}").unlink(missing_ok=True)
            if isinstance(finding.witness, Witness):
                finding.witness.save(folder / f"witness_{name}")
            elif isinstance(finding.witness, Zero | Flat):
                files.write_arrays(folder / f"witness_{name}.npz", {"x": finding.witness.x})
        files.write_text(folder / "audit.md", self.to_markdown())
        files.write_text(folder / "audit.html", page.page(self, command=command))
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        files.write_text(folder / "audit.json", text)
        return folder / "audit.json"


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
