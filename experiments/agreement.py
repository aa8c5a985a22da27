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
    """A published figure and ours; `verdict` is "agrees", "differs" or why neither."""

    label: str
    figure: str
    published: float | None  # an int if it is counted; None: nothing is published of this row
    ours: float
    half: float  # of the 95% interval
    verdict: str

    def cells(self) -> list[str]:
        """Return the line as the cells of a table with `HEADER`."""
        if isinstance(self.published, int):
            return [self.label, self.figure, f"{self.published:,}", f"{self.ours:,}", "",
                    self.verdict]  # fmt: skip
        published = "" if self.published is None else f"{self.published:.4f}"
        ends = f"{self.ours - self.half:.4f} to {self.ours + self.half:.4f}"
        return [self.label, self.figure, published, f"{self.ours:.4f}", ends, self.verdict]


def line(
    name: str,
    figure: str,
    published: float | None,
    of: Record,
    *,
    rounding: float,
    comparable: str = "",
) -> Line:
    """Compare one figure of a record with the published one.

    Args:
      name: of the row.
      published: None if there is none.
      rounding: of the published figure.
      comparable: why the two cannot be compared; empty if they can.
    """
    ours, spread = of.figures[figure], of.errors.get(figure, 0.0)
    half = spread if of.error_kind == "interval" else 1.96 * spread / math.sqrt(len(of.seeds))
    if published is None:
        verdict = "nothing published"
    elif comparable:
        verdict = f"not comparable: {comparable}"
    else:
        verdict = "agrees" if abs(ours - published) <= half + rounding else "differs"
    return Line(name, figure, published, ours, half, verdict)


def of(study: Study, records: Sequence[Record]) -> list[Line]:
    """Compare the published figures of a study with these records of its rows.

    A row of which nothing is published has one line, with the first figure that it has. A sweep,
    which has no source, has none.
    """
    if not study.sources and not any(row.published for row in study.rows):
        return []
    known, lines = {record.label: record for record in records}, []
    for row in study.rows:
        if (record := known.get(label(row))) is None:
            continue
        why = row.comparable or study.comparable
        published = {n: p for n, p in row.published.items() if n not in SETTINGS}
        for name in published or [n for n in study.figures if n in record.figures][:1]:
            if name in record.figures:
                lines.append(line(row.label, name, published.get(name), record,
                                  rounding=study.rounding, comparable=why))  # fmt: skip
    return lines


def table(lines: Sequence[Line]) -> Table:
    """Tabulate the lines for the console."""
    shown = Table(title="Ours and the published figures", box=rich.box.SIMPLE_HEAD)
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
