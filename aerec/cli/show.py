"""Tables for the console."""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import rich.box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aerec.evaluation import statistics
from aerec.evaluation.report import Report
from aerec.properties import Audit
from aerec.properties.wording import LEGEND as COMPARED
from aerec.properties.wording import figure, tables

CONSOLE = Console(highlight=False, width=None if sys.stdout.isatty() else 112)
COLUMNS = {  # of the results table, by task; runs are compared by the first
    "ranking": ("ndcg@100", "recall@20", "recall@50"),
    "rating": ("rmse", "mae"),
}
LEGEND = (
    "rate: share of all triples (order), of all vectors (nonzero), or of the vectors x whose true"
    " scores differ (ranking), that break the property, including ties of the true scores that the"
    " codes rank. A ranking breaks it if its scores all tie. reversed of ordered: share of the"
    " triples with different true scores that the codes rank the wrong way round. skill: of those,"
    " 1 is perfect, 0 is the level of a coin or a constant. A witness refutes even where the rate"
    " is 0: it was constructed or searched for, not drawn."
)


def text(*tables: Table) -> str:
    """Render tables as the console would show them."""
    with CONSOLE.capture() as captured:
        for table in tables:
            CONSOLE.print(table)
    return captured.get()


def results_table(
    task: str,
    name: str,
    results: Mapping[str, Any],
    reports: Sequence[Report],
    baselines: Mapping[str, Report],
) -> Table:
    """Tabulate the model and its baselines: test figures with 95% intervals, paired differences.

    A model whose rows are items has no paired difference with one whose rows are users.
    """
    columns = COLUMNS[task]
    several = len(reports) > 1
    spread = f", mean ± sd of {len(reports)} seeds; others " if several else ", "
    spread += "± 95% interval"
    table = Table(title=f"Test figures{spread}", box=rich.box.SIMPLE_HEAD, title_justify="left")
    table.add_column("model")
    for column in columns:
        table.add_column(column, justify="right")
    own = f"{name}'s first seed" if several else f"{name}'s"
    table.add_column(f"{columns[0]} less {own}", justify="right", no_wrap=True)

    def cells(figures: Mapping[str, float], sd: bool) -> list[str]:
        return [
            f"{figures[c]:.4f} ± "
            + (f"{figures[f'{c}_sd']:.4f}" if sd else f"{1.96 * figures[f'{c}_se']:.4f}")
            for c in columns
        ]

    table.add_row(f"[bold]{name}", *cells(results["test"], several), "")
    for other, report in baselines.items():
        try:
            text = difference(report.compare(reports[0], columns[0]))
        except ValueError:  # other rows, or too few
            text = "-"
        table.add_row(other, *cells(report.figures, False), text)
    return table


def difference(found: statistics.Comparison) -> str:
    """Format a paired difference with its 95% interval and p, as rich markup."""
    low, high = found.interval
    return f"{found.difference:+.4f} \\[{low:+.4f}, {high:+.4f}] p={found.p:.2g}"


def recommendations_table(title: str, answer: pl.DataFrame) -> Table:
    """Tabulate the recommendations for one user, best first."""
    table = Table(title=escape(title), box=rich.box.SIMPLE_HEAD, title_justify="left")
    table.add_column("", justify="right")
    table.add_column("item")
    table.add_column("title")
    table.add_column("score", justify="right")
    for line in answer.iter_rows(named=True):
        item, name = escape(str(line["item"])), escape(line["title"] or "")
        table.add_row(str(line["rank"]), item, name, f"{line['score']:.3f}")
    return table


def comparisons(found: Mapping[str, Audit]) -> list[Table]:
    """Tabulate, for each encoder audited on data, its figures beside those of baselines."""
    shown = []
    for encoder, audit in found.items():
        if audit.comparison is None:
            continue
        for number, (header, *rows) in enumerate(tables(audit.comparison)):
            title = None if number else escape(f"{encoder} on {audit.domain}")
            table = Table(title=title, box=rich.box.SIMPLE_HEAD, title_justify="left")
            for place, name in enumerate(header):
                table.add_column(name, justify="right" if place else "left")
            for row in rows:
                table.add_row(*map(escape, row))
            shown.append(table)
    if shown:
        shown[-1].caption, shown[-1].caption_justify = COMPARED, "left"
    return shown


def geometries(found: Mapping[str, Audit]) -> list[Table]:
    """Tabulate the geometry of item codes, a column for each encoder; none if none was examined."""
    examined = {name: audit.geometry for name, audit in found.items() if audit.geometry}
    if not examined:
        return []
    table = Table(title="Item codes", box=rich.box.SIMPLE_HEAD, title_justify="left")
    table.add_column("")
    for name in examined:
        table.add_column(escape(name), justify="right")
    for row in dict.fromkeys(row for figures in examined.values() for row in figures):
        table.add_row(row, *(figure(figures.get(row)) for figures in examined.values()))
    return [table]


def audits(found: Mapping[str, Audit]) -> Table:
    """Tabulate verdicts, rates and intervals, a line per encoder and property."""
    shown = Table(title="Audit", caption=LEGEND, box=rich.box.SIMPLE_HEAD)
    shown.title_justify = shown.caption_justify = "left"
    for name in ("encoder", "property", "verdict", "domain"):
        shown.add_column(name)
    for name in ("rate", "95% interval", "reversed of ordered", "skill"):
        shown.add_column(name, justify="right")
    for encoder, audit in found.items():
        for number, (name, finding) in enumerate(audit.properties.items()):
            shown.add_row(
                "" if number else escape(encoder), name, finding.verdict, escape(finding.domain),
                _figure(finding.rate), " to ".join(map(_figure, finding.interval or ())),
                _figure(finding.details.get("reversed_of_ordered")), _figure(finding.skill),
            )  # fmt: skip
    return shown


def _figure(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3g}"
