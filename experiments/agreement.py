"""Whether the figures of a study agree with the published ones.

The rule, for a published figure p and ours with its standard error se:

  agrees   if |ours - p| <= 1.96 se + rounding
  differs  otherwise

`rounding` is `Study.rounding`, half a unit of the last published decimal, or more if the figures
were read off a picture. se is over test rows or, with several seeds, sd / sqrt(seeds). Numbers that
are counted (parameters, ratings) have no error. A row with a reason in `comparable` is not judged.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import rich.box
from rich.markup import escape
from rich.table import Table

from experiments.records import Record
from experiments.study import SETTINGS, Study, label

HEADER = ("", "figure", "published", "here", "95% interval", "")


class Line(NamedTuple):
    """One published figure beside ours; `verdict` is "agrees", "differs" or why neither."""

    label: str
    figure: str
    published: float  # an int if it is counted
    ours: float
    half: float  # of the 95% interval
    verdict: str

    def cells(self) -> list[str]:
        """Return the line as the cells of a table with `HEADER`."""
        if isinstance(self.published, int):
            numbers = [f"{self.published:,.0f}", f"{self.ours:,.0f}", ""]
        else:
            ends = f"{self.ours - self.half:.4f} to {self.ours + self.half:.4f}"
            numbers = [f"{self.published:.4f}", f"{self.ours:.4f}", ends]
        return [self.label, self.figure, *numbers, self.verdict]


def line(
    name: str, figure: str, published: float, of: Record, *, rounding: float, comparable: str = ""
) -> Line:
    """Compare one figure of a record with the published one.

    Args:
      name: of the row.
      rounding: of the published figure.
      comparable: why the two cannot be compared; empty if they can.
    """
    ours, spread = of.figures[figure], of.errors.get(figure, 0.0)
    half = spread if of.error_kind == "interval" else 1.96 * spread / math.sqrt(len(of.seeds))
    agrees = abs(ours - published) <= half + rounding
    verdict = f"not comparable: {comparable}" if comparable else "agrees" if agrees else "differs"
    return Line(name, figure, published, ours, half, verdict)


def of(study: Study, records: Sequence[Record]) -> list[Line]:
    """Compare all figures of a study that are published and, in these records, measured."""
    known = {record.label: record for record in records}
    return [
        line(row.label, figure, published, known[label(row)], rounding=study.rounding,
             comparable=row.comparable or study.comparable)
        for row in study.rows
        if label(row) in known
        for figure, published in row.published.items()
        if figure in known[label(row)].figures and figure not in SETTINGS
    ]  # fmt: skip


def table(lines: Sequence[Line]) -> Table:
    """Tabulate the lines for the console."""
    shown = Table(title="Beside the published figures", box=rich.box.SIMPLE_HEAD)
    shown.title_justify = "left"
    for number, name in enumerate(HEADER):
        shown.add_column(name, justify="right" if 2 <= number <= 4 else "left")
    for each in lines:
        shown.add_row(*map(escape, each.cells()))
    return shown


def counted(found: Sequence[Line]) -> str:
    """Say how many of the comparable figures agree; empty if none is comparable."""
    judged = [each.verdict for each in found if each.verdict in ("agrees", "differs")]
    return f"{judged.count('agrees')} of {len(judged)}" if judged else ""
