"""HTML documents: self-contained, readable on a phone, made to be sent.

Plots are inline SVG images. Tables are sorted by a click on a column's header. Nothing is loaded
from elsewhere.
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

STYLE = """
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
SCRIPT = """
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


class Cell(NamedTuple):
    """A cell of a table: what is shown, and the number that it is sorted by, if any."""

    text: str
    value: float | None = None


def document(title: str, parts: Iterable[str]) -> str:
    """Format a whole document.

    Args:
      parts: HTML; empty ones are left out.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<script>{SCRIPT}</script></body></html>\n"
    )


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Format a sortable table."""
    head = "".join(f"<th>{escaped(name)}</th>" for name in headers)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    content = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table>{content}</table></div>'


def image(name: str, figure: Any) -> str:
    """Format a matplotlib figure as an inline image."""
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<figure><img alt="{escaped(name)}" src="data:image/svg+xml;base64,{data}"></figure>'


def details(title: str, content: str) -> str:
    """Format a part that a click opens."""
    return f"<details><summary>{escaped(title)}</summary>{content}</details>"


def escaped(value: Any) -> str:
    """Return the text of a value as HTML."""
    return html.escape(str(value))


def _cell(cell: Cell) -> str:
    data = "" if cell.value is None else f' data-value="{cell.value}"'
    return f"<td{data}>{escaped(cell.text)}</td>"
