"""The report of an audit as one HTML page: self-contained, readable on a phone, made to be sent.

Plots are inline SVG images. Tables are sorted by a click on a column's header. Nothing is loaded
from elsewhere.
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from aerec.properties import plots, report, wording
from aerec.properties.comparison import Pair
from aerec.properties.rankings import Flat
from aerec.properties.report import Audit
from aerec.properties.witness import Witness
from aerec.properties.zeros import Zero

_COLOURS = {"REFUTED": "#b3261e", "CERTIFIED": "#1b6e3c", "VACUOUS": "#8a5a00"}
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; margin: 0 auto;
  max-width: 62rem; padding: 1rem; }
h1 { font-size: 1.5rem; margin: .5rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.subject, .note { color: #555; margin: .25rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem; }
.card { border: 1px solid #ddd; border-left: 6px solid var(--mark); border-radius: 6px;
  padding: .6rem .9rem; }
.card b { color: var(--mark); } .card p { margin: .3rem 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4; }
th:first-child, td:first-child { text-align: left; }
th { cursor: pointer; vertical-align: bottom; }
th[aria-sort=ascending]::after { content: " \\2191"; }
th[aria-sort=descending]::after { content: " \\2193"; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 1rem; }
code { background: #f3f3f3; padding: .1rem .3rem; overflow-wrap: anywhere; }
details { margin: .5rem 0; } summary { cursor: pointer; font-weight: 600; }
"""
_SCRIPT = """
document.querySelectorAll("th").forEach(head => head.addEventListener("click", () => {
  const table = head.closest("table"), body = table.tBodies[0], place = head.cellIndex;
  const up = head.getAttribute("aria-sort") !== "ascending";
  table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = row => row.cells[place].dataset.value ?? row.cells[place].textContent;
  const order = (a, b) => {
    const [x, y] = [value(a), value(b)], [p, q] = [parseFloat(x), parseFloat(y)];
    return isNaN(p) || isNaN(q) ? x.localeCompare(y) : p - q;
  };
  [...body.rows].sort((a, b) => up ? order(a, b) : order(b, a)).forEach(row => body.append(row));
}));
"""


def page(audit: Audit, *, command: str = "") -> str:
    """Format an audit as one HTML page.

    Args:
      command: how the audit was made, shown at the end.
    """
    title = f"Audit of {audit.encoder}"
    parts = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="subject">R<sup>{audit.n}</sup> &rarr; R<sup>{audit.m}</sup> on'
        f" {_text(audit.domain)}; {audit.triples:,} triples</p>",
        *(f'<p class="note">{_text(note)}</p>' for note in audit.notes),
        *_compared(audit),
        '<div class="cards">',
        *(_card(name, finding) for name, finding in audit.properties.items()),
        "</div>",
        *_geometry(audit),
        *_witnesses(audit),
        '<h2>Plots</h2><div class="plots">',
        *(_image(name, figure) for name, figure in plots.drawn(audit).items()),
        "</div><h2>All figures</h2>",
        *_details(audit),
        "<h2>How it was made</h2>",
        f"<p>Command: <code>{_text(command)}</code></p>" if command else "",
        f"<p>Seed {_text(audit.seed)}; "
        + ", ".join(f"{_text(k)} {_text(v)}" for k, v in audit.versions.items())
        + ". The same command and versions give the same counts, but for budgets in seconds.</p>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<script>{_SCRIPT}</script></body></html>\n"
    )


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a sortable table; the numbers behind formatted figures are what it is sorted by."""
    head = "".join(f"<th>{_text(name)}</th>" for name in headers)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    content = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table>{content}</table></div>'


def _text(value: Any) -> str:
    return html.escape(str(value))


def _cell(value: Any) -> str:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    data = f' data-value="{float(value)}"' if number else ""
    return f"<td{data}>{_text(wording.figure(value))}</td>"


def _card(name: str, finding) -> str:
    colour = _COLOURS.get(finding.verdict, "#33557a")
    return (
        f'<div class="card" style="--mark: {colour}"><b>{_text(finding.verdict)}</b>'
        f"<p>{_text(report.NAMES[name])}</p><p>{_text(finding.why)}</p></div>"
    )


def _compared(audit: Audit) -> list[str]:
    if audit.comparison is None:
        return []
    tables = [table(header, rows) for header, *rows in wording.tables(audit.comparison)]
    return ["<h2>Against baselines</h2>", *tables, f'<p class="note">{_text(wording.LEGEND)}</p>',
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
            parts.append(f"<h2>Witness {against} {_text(report.NAMES[name])}</h2>")
            parts.append(f"<p>{_text(wording.in_words(found))}</p>")
            lines = "".join(f"<li>{_text(line)}</li>" for line in wording.shown(found))
            parts.append(f"<details><summary>The vectors</summary><ul>{lines}</ul></details>")
    return parts


def _image(name: str, figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    data = base64.b64encode(file.getvalue()).decode()
    shown = name.replace("_", " ")
    return f'<figure><img alt="{_text(shown)}" src="data:image/svg+xml;base64,{data}"></figure>'


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
        content = table(["figure", "value"], rows)
        parts.append(f"<details><summary>{_text(title)}</summary>{content}</details>")
    return parts
