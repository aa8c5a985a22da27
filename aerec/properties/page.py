"""The report of an audit as one HTML page."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from aerec.properties import document, plots, report, wording
from aerec.properties.comparison import Pair
from aerec.properties.document import Cell, details, escaped, image
from aerec.properties.rankings import Flat
from aerec.properties.report import Audit
from aerec.properties.witness import Witness
from aerec.properties.zeros import Zero

_COLOURS = {"REFUTED": "#b3261e", "CERTIFIED": "#1b6e3c", "VACUOUS": "#8a5a00"}


def page(audit: Audit, *, command: str = "") -> str:
    """Format an audit as one HTML page.

    Args:
      command: how the audit was made, shown at the end.
    """
    title = f"Audit of {audit.encoder}"
    parts = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="subject">R<sup>{audit.n}</sup> &rarr; R<sup>{audit.m}</sup> on'
        f" {escaped(audit.domain)}; {audit.triples:,} triples</p>",
        *(f'<p class="note">{escaped(note)}</p>' for note in audit.notes),
        *_compared(audit),
        '<div class="cards">',
        *(_card(name, finding) for name, finding in audit.properties.items()),
        "</div>",
        *_geometry(audit),
        *_witnesses(audit),
        '<h2>Plots</h2><div class="plots">',
        *(image(name.replace("_", " "), figure) for name, figure in plots.drawn(audit).items()),
        "</div><h2>All figures</h2>",
        *_details(audit),
        "<h2>How it was made</h2>",
        f"<p>Command: <code>{escaped(command)}</code></p>" if command else "",
        f"<p>Seed {escaped(audit.seed)}; "
        + ", ".join(f"{escaped(k)} {escaped(v)}" for k, v in audit.versions.items())
        + ". The same command and versions give the same counts, but for budgets in seconds.</p>",
    ]
    return document.document(title, parts)


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a sortable table; the numbers behind formatted figures are what it is sorted by."""
    return document.table(headers, [[_cell(value) for value in row] for row in rows])


def _cell(value: Any) -> Cell:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return Cell(wording.figure(value), float(value) if number else None)


def _card(name: str, finding) -> str:
    colour = _COLOURS.get(finding.verdict, "#33557a")
    return (
        f'<div class="card" style="--mark: {colour}"><b>{escaped(finding.verdict)}</b>'
        f"<p>{escaped(report.NAMES[name])}</p><p>{escaped(finding.why)}</p></div>"
    )


def _compared(audit: Audit) -> list[str]:
    if audit.comparison is None:
        return []
    tables = [table(header, rows) for header, *rows in wording.tables(audit.comparison)]
    return ["<h2>Against baselines</h2>", *tables, f'<p class="note">{escaped(wording.LEGEND)}</p>',
            "<h2>Verdicts</h2>"]  # fmt: skip


def _geometry(audit: Audit) -> list[str]:
    if not audit.geometry:
        return []
    figures = table(["figure", "value"], audit.geometry.items())
    return ["<h2>Geometry of the item codes</h2>", figures]


def _witnesses(audit: Audit) -> list[str]:
    parts = []
    for name, finding in audit.properties.items():
        found = finding.witness
        if isinstance(found, Witness | Zero | Flat | Pair):
            against = "against" if finding.verdict == report.REFUTED else "nearest to refuting"
            parts.append(f"<h2>Witness {against} {escaped(report.NAMES[name])}</h2>")
            parts.append(f"<p>{escaped(wording.in_words(found))}</p>")
            lines = "".join(f"<li>{escaped(line)}</li>" for line in wording.shown(found))
            parts.append(details("The vectors", f"<ul>{lines}</ul>"))
    return parts


def _details(audit: Audit) -> list[str]:
    tables = {"Has the code collapsed?": audit.vacuity._asdict()}
    for name, finding in audit.properties.items():
        tables[report.NAMES[name]] = {
            "rate": finding.rate, "interval": finding.interval, "skill": finding.skill,
            **finding.details,
        }  # fmt: skip
    parts = []
    for title, figures in tables.items():
        rows = [
            (key.replace("_", " "), value)
            for key, value in figures.items()
            if not isinstance(value, dict | np.ndarray) and key != "spectrum" and value is not None
        ]
        parts.append(details(title, table(["figure", "value"], rows)))
    return parts
