"""Kept results as one HTML page: comparable rows in one table, best first.

A results file in the folder is all that it takes to add rows. The page loads nothing from
elsewhere.
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from aerec.properties.document import Cell, details, document, escaped, image, table
from experiments.records import Record

LOWER_IS_BETTER = ("rmse", "mae")  # the first part of a figure's name


def page(results: Mapping[str, Sequence[Record]]) -> str:
    """Format results files, by name, as one HTML page."""
    title = f"Results: {', '.join(results)}" if len(results) < 4 else "Results"
    groups: dict[tuple[str, str, str], list[tuple[str, Record]]] = {}
    for name, rows in results.items():
        for row in rows:
            key = (row.data, str(row.protocol.get("hash")), next(iter(row.figures), ""))
            groups.setdefault(key, []).append((name, row))
    parts = [
        f"<h1>{escaped(title)}</h1>",
        '<p class="note">± is half a 95% interval over test rows, or, with (sd), the standard'
        " deviation over seeds. Rows of one table have the same data, protocol and figures.</p>",
    ]
    for rows_of in groups.values():
        parts += _group(rows_of)
    return document(title, parts)


def _group(rows: list[tuple[str, Record]]) -> list[str]:
    figures = list(dict.fromkeys(name for _, row in rows for name in row.figures))
    first = next((f for f in figures if any(f in row.errors for _, row in rows)), figures[0])
    sign = 1 if first.startswith(LOWER_IS_BETTER) else -1
    rows = sorted(rows, key=lambda own: sign * own[1].figures.get(first, float("inf") * sign))
    published = [name for name in figures if any(name in row.published for _, row in rows)]
    header = ["row", *figures, *(f"{name}, published" for name in published),
              "fit s", "MB", "tests", "trials", "file"]  # fmt: skip
    lines = [
        [
            Cell(row.label),
            *(_figure(row, name) for name in figures),
            *(_number(row.published.get(name), 4) for name in published),
            _number(row.seconds, 1),
            _number(row.peak_rss_mb or None, 0),
            _number(row.test_scored, 0),
            _number(None if row.tuning is None else row.tuning.get("trials"), 0),
            Cell(name),
        ]
        for name, row in rows
    ]
    made = [_made(row) for _, row in rows]
    row = rows[0][1]
    settings = {k: v for k, v in row.protocol.items() if k not in ("name", "task", "hash")}
    return [
        f"<h2>{escaped(row.data)}, {escaped(row.protocol.get('name', ''))}</h2>",
        f'<p class="note">{escaped(", ".join(f"{k} {v}" for k, v in settings.items()))}</p>',
        table(header, lines),
        image(first, _picture([row for _, row in rows], first)),
        details("How each row was made", table(list(made[0]), [list(m.values()) for m in made])),
    ]


def _figure(row: Record, name: str) -> Cell:
    if name not in row.figures:
        return Cell("")
    value = row.figures[name]
    text = f"{value:,.0f}" if value > 1 and float(value).is_integer() else f"{value:.4f}"
    if name in row.errors:
        text += f" ± {row.errors[name]:.4f}" + (" (sd)" if row.error_kind == "sd" else "")
    return Cell(text, value)


def _number(value: float | None, decimals: int) -> Cell:
    return Cell("") if value is None else Cell(f"{value:,.{decimals}f}", value)


def _made(row: Record) -> dict[str, Cell]:
    """Tabulate what it takes to make the row again."""
    texts = {
        "row": row.label,
        "command": row.command,
        "date": row.date,
        "machine": row.machine,
        "seeds": ", ".join(map(str, row.seeds)),
        "splits": ", ".join(row.split_hash),
        "versions": ", ".join(f"{name} {version}" for name, version in row.versions.items()),
        "tuning": "" if row.tuning is None else str(dict(row.tuning)),
    }
    return {name: Cell(text) for name, text in texts.items()}


def _picture(rows: Sequence[Record], figure: str) -> Figure:
    """Draw a figure with its intervals, best on top."""
    rows = [row for row in rows if figure in row.figures][::-1]
    drawn = Figure(figsize=(7, 0.8 + 0.3 * len(rows)), layout="constrained")
    axes = drawn.subplots()
    axes.errorbar(
        [row.figures[figure] for row in rows],
        range(len(rows)),
        xerr=[row.errors.get(figure, 0.0) for row in rows],
        fmt="o",
        capsize=3,
    )
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_xlabel(figure)
    axes.grid(axis="x", alpha=0.3)
    return drawn
