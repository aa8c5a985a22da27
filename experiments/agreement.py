"""Whether the figures of a study agree with the published ones.

The rule, for a published figure p and ours with its standard error se:

  agrees   if |ours - p| <= 1.96 se + rounding
  differs  otherwise

`rounding` is `Study.rounding`, half a unit of the last published decimal, or more if the figures
were read off a picture. se is over test rows or, with several seeds, sd / sqrt(seeds). Numbers that
are counted (parameters, ratings) have no error. A row with a reason in `comparable` is not judged.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.records import Record

HEADER = ("", "figure", "published", "here", "95% interval", "")


class Line(NamedTuple):
    """One published figure beside ours; `verdict` is "agrees", "differs" or why neither."""

    label: str
    figure: str
    published: float
    ours: float
    half: float  # of the 95% interval
    verdict: str

    def cells(self) -> list[str]:
        """Return the line as the cells of a table with `HEADER`."""
        if self.published.is_integer():
            numbers = [f"{self.published:,.0f}", f"{self.ours:,.0f}", ""]
        else:
            ends = f"{self.ours - self.half:.4f} to {self.ours + self.half:.4f}"
            numbers = [f"{self.published:.4f}", f"{self.ours:.4f}", ends]
        return [self.label, self.figure, *numbers, self.verdict]


def line(
    label: str, figure: str, published: float, of: Record, *, rounding: float, comparable: str = ""
) -> Line:
    """Compare one figure of a record with the published one.

    Args:
      rounding: of the published figure.
      comparable: why the two cannot be compared; empty if they can.
    """
    ours, spread = of.figures[figure], of.errors.get(figure, 0.0)
    half = spread if of.error_kind == "interval" else 1.96 * spread / math.sqrt(len(of.seeds))
    agrees = abs(ours - published) <= half + rounding
    verdict = f"not comparable: {comparable}" if comparable else "agrees" if agrees else "differs"
    return Line(label, figure, published, ours, half, verdict)


def of(study: Any, records: Mapping[str, Record]) -> list[Line]:
    """Compare all figures of a study that are both published and measured.

    Args:
      records: of the finished rows, by label.
    """
    return [
        line(row.label, figure, published, records[row.label], rounding=study.rounding,
             comparable=row.comparable or study.comparable)
        for row in study.rows
        if row.label in records
        for figure, published in row.published.items()
        if figure in records[row.label].figures
    ]  # fmt: skip


def counted(found: Sequence[Line]) -> str:
    """Say how many of the comparable figures agree; empty if none is comparable."""
    judged = [each.verdict for each in found if each.verdict in ("agrees", "differs")]
    return f"{judged.count('agrees')} of {len(judged)}" if judged else ""
