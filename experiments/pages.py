"""Measured figures in pages of Markdown: written from results files, and checked against them.

A figure in a text or a table is followed by a comment, which no reader of the page sees:

    NDCG@100 .4102 ± .0107<!-- strong_ml1m:ease_ml1m:ndcg@100 -->

The comment names the results file, the row and the figure: a test figure, `seconds`,
`peak_rss_mb`, `error.<figure>` or `published.<figure>`. How the figure is written stays as it
stands: its decimals, its sign, an error behind `±`, and a unit (s, ms, min, h, MB, GB, %). After
the name may stand `percent` (times 100, without a sign), `less ROW` (the difference from another
row of the file) or `over ROW` (the ratio to it).

A whole table is generated between two comments:

    <!-- table strong_ml1m
    columns: recipe = label | N@100 = ndcg@100 ± | fit s = seconds .0
    rows: ease_ml1m | the same, five seeds = multvae_ml1m.seeds5
    -->

    <!-- end -->

A column is a header and a figure (or FILE:FIGURE, of the row of that label in another file, empty
where that has none), with
`±` (its error), `interval` (its ends, the figures `_low` and `_high`), `percent` and `.2`
(decimals; 4 by default, none for seconds). A row is a label, or a text and a label. Without `rows`,
all rows of the file that have one of the figures are shown.

Every other number that looks measured is refused: one with two decimals or more, with `±`, or
with one of the units above. Not refused: code, versions, the 95% of intervals, and what a comment
exempts, `<!-- published -->` or `<!-- fixed -->`, right behind a figure, in the header of a
table's column, or, after a space, at the end of a line. A figure whose file does not exist yet is
`<!-- todo FILE:ROW:FIGURE -->`, a table `<!-- todo table FILE ...`.
"""

import functools
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from aerec import files
from aerec.errors import BadInput, nearest
from experiments import records
from experiments.records import Record

NUMBER = r"[+-]?(?:\d[\d,]*)?\.?\d+"
UNITS = {"s": 1, "ms": 1e3, "min": 1 / 60, "h": 1 / 3600, "MB": 1, "GB": 1 / 1024, "%": 100}
FIGURE = (
    rf"(?P<value>{NUMBER})(?: ± (?P<error>{NUMBER}))?(?P<unit> (?:s|ms|min|h|MB|GB)\b| ?%)?"
)
MARKED = re.compile(
    rf"(?:(?<![\w.,]){FIGURE})?<!-- (?P<todo>todo )?(?P<file>\w+):(?P<row>[\w.-]+):"
    r"(?P<figure>[^\s:]+)(?P<options>(?: (?!-->)[^\s:]+)*) -->"
)
TABLE = re.compile(
    r"<!-- (?P<todo>todo )?table (?P<file>\w+)\n(?P<spec>.*?)-->\n(?P<body>[^<]*)(?=<!-- end -->)",
    re.DOTALL,
)
EXEMPT = r"<!-- (?:fixed|published) -->"
VERSION = r"(?:Python|JAX|arXiv|version) [\d.]+(?: (?:and|or) [\d.]+)?|\d+\.\d+\.\d[\d.]*|\b95%"
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LOOSE = re.compile(rf"(?<![\w.,/:^@-])(?:± )?{FIGURE}(?![\w/]|,\d|\.\d)")

Rows = Callable[[str], Mapping[str, Record]]  # the rows of a results file by label; BadInput


class Finding(NamedTuple):
    """A disagreement: its line, what stands there, and what should."""

    line: int
    stands: str
    should: str


class Page(NamedTuple):
    """A page as it should be, where it is not, and what it has yet to measure."""

    text: str
    wrong: list[Finding]
    todo: list[Finding]


def compare(
    root: pathlib.Path, folder: pathlib.Path, *, write: bool = False
) -> tuple[list[str], list[str]]:
    """Compare README.md and docs/ with the results.

    Args:
      root: of the checkout.
      folder: of the results files.
      write: write what disagrees and can be written.

    Returns:
      What is wrong and what is still to be measured, each "file:line: what stands there: why".
    """

    @functools.cache
    def rows(name: str) -> dict[str, Record]:
        if not (folder / f"{name}.json").exists():
            raise BadInput(f"there is no {folder.name}/{name}.json")
        return {row.label: row for row in records.read(name, folder)[1]}

    wrong, todo = [], []
    for path in (root / "README.md", *sorted((root / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        page = rewrite(text, rows)
        if write and page.text != text:
            files.write_text(path, page.text)
            page = rewrite(page.text, rows)
        name = path.relative_to(root)
        wrong += [f"{name}:{f.line}: {f.stands}: {f.should}" for f in page.wrong]
        todo += [f"{name}:{f.line}: {f.stands.splitlines()[0]}: {f.should}" for f in page.todo]
    return wrong, todo


def rewrite(text: str, rows: Rows) -> Page:
    """Write every marked figure and table of a page as its results file has it.

    Args:
      rows: reads a results file.
    """
    wrong: list[Finding] = []
    todo: list[Finding] = []

    def replaced(write: Callable[[re.Match], str], pattern: re.Pattern, page: str) -> str:
        def one(found: re.Match) -> str:
            line = page.count("\n", 0, found.start()) + 1
            try:
                new = write(found)
            except BadInput as error:
                (todo if found["todo"] else wrong).append(Finding(line, found[0], str(error)))
                return found[0]
            if found["todo"]:
                todo.append(Finding(line, found[0], "its results are there: write the page"))
            else:
                wrong.extend(_differences(line, found[0], new))
            return new

        return pattern.sub(one, page)

    shown = {found.start() for found in MARKED.finditer(_blank(CODE, text))}
    figures = replaced(
        lambda found: _figure(found, rows) if found.start() in shown else found[0], MARKED, text
    )  # first, because it changes no line's number
    whole = replaced(lambda found: _table(found, rows), TABLE, figures)
    return Page(whole, [*wrong, *_unmarked(text)], todo)


def _differences(line: int, old: str, new: str) -> list[Finding]:
    before, after = old.splitlines(), new.splitlines()
    after += [""] * (len(before) - len(after))
    before += [""] * (len(after) - len(before))
    pairs = enumerate(zip(before, after, strict=True))
    return [Finding(line + place, a, b) for place, (a, b) in pairs if a != b]


def value(row: Record, figure: str) -> float:
    """Look a figure up. Raises BadInput if the row has none of that name."""
    kind, _, rest = figure.partition(".")
    if figure in ("seconds", "peak_rss_mb"):
        return getattr(row, figure)
    of = {"error": row.errors, "published": row.published}.get(kind)
    found, name = (row.figures, figure) if of is None else (of, rest)
    if name not in found:
        raise BadInput(f"{row.label} has no {figure}; there are: {', '.join(found) or 'none'}")
    return found[name]


def number(amount: float, like: str) -> str:
    """Format a number as another one is written: decimals, sign, and a zero before the point."""
    decimals = len(like.partition(".")[2])
    text = f"{amount:{'+' if like[0] == '+' else ''},.{decimals}f}"
    return text if re.match(r"[+-]?0", like) else re.sub(r"^([+-]?)0\.", r"\1.", text)


def _row(rows: Mapping[str, Record], label: str) -> Record:
    if label not in rows:
        raise BadInput(f"there is no row {label}. {nearest(label, rows)}")
    return rows[label]


def _figure(found: re.Match, rows: Rows) -> str:
    own, options = rows(found["file"]), found["options"].split()
    row, figure = _row(own, found["row"]), found["figure"]
    if not found["value"]:
        raise BadInput("no figure stands before the comment")
    unit = (found["unit"] or "").strip()
    factor = UNITS[unit] if unit else 100 if "percent" in options else 1
    amount = value(row, figure)
    if len(options) == 2 and options[0] in ("less", "over"):
        other = value(_row(own, options[1]), figure)
        amount = amount - other if options[0] == "less" else amount / other
    elif options not in ([], ["percent"]):
        raise BadInput("after the figure may stand: percent, less ROW, over ROW")
    text = number(factor * amount, found["value"])
    if found["error"]:
        text += f" ± {number(factor * value(row, f'error.{figure}'), found['error'])}"
    comment = found[0][found[0].index("<!--") :].replace("<!-- todo ", "<!-- ")
    return f"{text}{found['unit'] or ''}{comment}"


def _table(found: re.Match, rows: Rows) -> str:
    own = rows(found["file"])
    spec = dict(
        [part.strip() for part in line.partition(":")[::2]]
        for line in found["spec"].strip().splitlines()
    )
    if set(spec) - {"rows"} != {"columns"}:
        raise BadInput(f"a table has columns: and rows:, not {', '.join(spec)}")
    columns = [_named(column) for column in spec["columns"].split("|")]
    shown = [_named(label) for label in spec.get("rows", "|".join(own)).split("|")]
    lines = [[header for header, _ in columns], ["---"] * len(columns)]
    kinds = {_row(own, label).error_kind for _, label in shown if _row(own, label).errors}
    for text, label in shown:
        row = _row(own, label)
        name = f"`{label}`" if text == label else text
        line = []
        for _, wanted in columns:
            other, _, figure = wanted.rpartition(":")
            of = rows(other).get(label) if other else row
            cell = "" if of is None else _cell(of, figure.split(), name, several=len(kinds) > 1)
            line.append(cell)
        if "rows" in spec or set(line) - {"", name}:
            lines.append(line)
    body = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"<!-- table {found['file']}\n{found['spec']}-->\n\n{body}\n"


def _named(text: str) -> tuple[str, str]:
    """Split `header = figure` or `text = label` into (what is shown, what is looked up)."""
    left, equal, right = (part.strip() for part in text.rpartition("="))
    return (left, right) if equal else (right, right)


def _cell(row: Record, wanted: list[str], name: str, *, several: bool) -> str:
    """Format a cell; `several` kinds of errors are in the table, so that an sd says so."""
    figure, options = wanted[0], wanted[1:]
    if figure == "label":
        return name
    if figure in ("command", "date", "machine"):
        return getattr(row, figure)
    try:
        amount = value(row, figure)
    except BadInput:
        return ""
    plain = figure in ("seconds", "peak_rss_mb")
    decimals = next((int(o[1:]) for o in options if re.fullmatch(r"\.\d", o)), 0 if plain else 4)
    factor, like = 100 if "percent" in options else 1, f".{'0' * decimals}" if decimals else "1"
    text = number(factor * amount, like)
    if "±" in options and figure in row.errors:
        text += f" ± {number(factor * row.errors[figure], like)}"
        text += " (sd)" if several and row.error_kind == "sd" else ""
    if "interval" in options:
        ends = [number(factor * value(row, f"{figure}_{end}"), like) for end in ("low", "high")]
        text += f" [{', '.join(ends)}]"
    return text


def _blank(pattern: re.Pattern, text: str) -> str:
    """Put spaces in place of what matches; lines stay."""
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def _unmarked(text: str) -> list[Finding]:
    """Find the figures that look measured and have no comment."""
    lines = text.splitlines()
    bare = _blank(TABLE, text)
    bare = _blank(CODE, bare)
    unknown = re.compile(rf"<!--(?! end -->|{EXEMPT[4:]}).*?-->", re.DOTALL)
    found = [
        Finding(bare.count("\n", 0, f.start()) + 1, f[0], "is no comment that is known here")
        for f in unknown.finditer(_blank(MARKED, bare))
    ]
    bare = _blank(re.compile(rf"^.* {EXEMPT}$", re.MULTILINE), bare)
    bare = _without_columns(bare)
    bare = _blank(MARKED, bare)
    bare = _blank(re.compile(rf"(?:{FIGURE}){EXEMPT}"), bare)
    bare = _blank(re.compile(rf"<!--.*?-->|\]\([^)]*\)|{VERSION}", re.DOTALL), bare)
    return found + [
        Finding(at, f[0], f"has no comment that says where it is from: {lines[at - 1]}")
        for at, line in enumerate(bare.splitlines(), 1)
        for f in LOOSE.finditer(line)
        if f["unit"] or "±" in f[0] or re.search(r"\.\d\d", f[0])
    ]


def _without_columns(text: str) -> str:
    """Blank the columns of tables whose header is exempt."""
    lines, exempt = [], None
    for line in text.splitlines():
        cells = line.split("|")
        if not line.startswith("|"):
            exempt = None
        elif exempt is None:
            exempt = {place for place, cell in enumerate(cells) if re.search(EXEMPT, cell)}
        if exempt:
            cells = [" " * len(c) if place in exempt else c for place, c in enumerate(cells)]
        lines.append("|".join(cells))
    return "\n".join(lines)
