"""Figures of a run with their uncertainty, and comparisons between runs."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from aerec.errors import BadInput, nearest
from aerec.evaluation.report import Report, sample
from aerec.evaluation.statistics import Comparison, standard_error
from aerec.runs import scoring


class Unknown(BadInput, KeyError):
    """No figure has that name."""

    __str__ = Exception.__str__  # a KeyError would show the message in quotes


class Figure(float):
    """A test figure: a float, the mean over the replicas of a run.

    Attributes:
      se: standard error over rows; NaN for a figure of all rows at once.
      sd: standard deviation over replicas; NaN for one replica.
    """

    se: float
    sd: float

    def __new__(cls, name: str, value: float, se: float, sd: float, report: Report) -> "Figure":
        """Make the float with its errors; intervals are drawn from `report`."""
        figure = super().__new__(cls, value)
        figure.se, figure.sd, figure._of = se, sd, (name, report)
        return figure

    _of: tuple[str, Report]

    def __getnewargs__(self):
        """Return the arguments that a copy is made from."""
        name, report = self._of
        return name, float(self), self.se, self.sd, report

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Bootstrap an interval over rows, each row's figure averaged over the replicas.

        Raises:
          BadInput: a figure of all rows at once (coverage) has no values per row.
        """
        name, report = self._of
        if not isinstance(confidence, float) or not 0 < confidence < 1:
            raise BadInput(f"confidence={confidence!r} is a share between 0 and 1, like 0.95")
        try:
            return report.interval(name, level=confidence)
        except ValueError as error:
            raise BadInput(str(error)) from None

    def __repr__(self) -> str:
        return f"{float(self):.4f}" + ("" if np.isnan(self.se) else f" ± {1.96 * self.se:.4f}")


class Figures(Mapping[str, Figure]):
    """The test figures of a run by name, like `ndcg@100`.

    Args:
      reports: one report per replica.
    """

    def __init__(self, reports: Sequence[Report]):
        self.reports = list(reports)
        self._means = scoring.mean_figures(self.reports)
        self._merged = merged(self.reports) if self.reports else Report({}, {})

    def __getitem__(self, name: str) -> Figure:
        if name not in self:
            raise Unknown(f"No figure is called {name!r}. {nearest(name, self)}")
        error = _standard_error(self._merged, name)
        spread = self._means.get(f"{name}_sd", float("nan"))
        return Figure(name, self._means[name], error, spread, self._merged)

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._means if not name.endswith(("_se", "_sd")))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{name:{width}}  {self[name]!r}" for name in self) or "no figures"

    def rows(self, name: str) -> np.ndarray:
        """Return a figure by test row [R], averaged over replicas; NaN where there is no target."""
        if name not in self._merged.per_row:
            raise BadInput(f"{name!r} is no figure of rows. {nearest(name, self._merged.per_row)}")
        return self._merged.per_row[name]

    def compare(self, other: "Figures", name: str) -> Comparison:
        """Test the difference of one figure by paired randomisation; see `aerec.compare`."""
        for figures in (self, other):
            figures[name]
        try:
            return self._merged.compare(other._merged, name)
        except ValueError as error:
            raise BadInput(f"there is nothing to pair: {error}") from None


def merged(reports: Sequence[Report]) -> Report:
    """Merge the reports of several replicas: average each row's figures.

    Raises:
      BadInput: the replicas were scored on different rows.
    """
    per_row = {}
    for name, first in reports[0].per_row.items():
        each = [report.per_row[name] for report in reports]
        if any(rows.shape != first.shape for rows in each):
            raise BadInput("the replicas were scored on different rows")
        there = np.sum([~np.isnan(rows) for rows in each], axis=0)
        total = np.nansum(each, axis=0)
        per_row[name] = np.where(there > 0, total / np.maximum(there, 1), np.nan)
    return Report({}, per_row)


def _standard_error(report: Report, name: str) -> float:
    try:
        values, counts, root = sample(report.per_row, name)
    except ValueError:  # a figure of all rows at once
        return float("nan")
    return standard_error(values, counts, root=root)
