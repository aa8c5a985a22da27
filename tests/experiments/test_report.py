"""The pages against the kept results: a changed digit is found, wherever a figure stands."""

import pathlib
import re
import shutil

import pytest

from aerec.errors import BadInput
from experiments import pages, records

ROOT = pathlib.Path(__file__).parents[2]


def row(label, **figures):
    return records.Record(
        label=label,
        figures={"ndcg@100": 0.4102, "triples": 36_610_607_124, "share": 0.756, **figures},
        errors={"ndcg@100": 0.0107},
        published={"ndcg@100": 0.42},
        command="python -m experiments.train",
        date="2026-11-27",
        machine="a machine",
        seconds=26.93,
        peak_rss_mb=1198.1,
    )


ROWS = {"a": row("a"), "b": row("b", **{"ndcg@100": 0.3999}), "a.x": row("a.x")}


def rows(name):
    if name != "f":
        raise BadInput(f"there is no {name}.json")
    return ROWS


@pytest.mark.parametrize(
    ("stands", "marker"),
    [
        (".4102", "f:a:ndcg@100"),
        ("0.41", "f:a:ndcg@100"),
        ("+.410", "f:a:ndcg@100"),
        (".4102 ± .0107", "f:a:ndcg@100"),
        ("41.02 ± 1.1", "f:a:ndcg@100 percent"),
        (".0107", "f:a:error.ndcg@100"),
        (".42", "f:a:published.ndcg@100"),
        ("26.9 s", "f:a:seconds"),
        ("26,930 ms", "f:a:seconds"),
        (".45 min", "f:a:seconds"),
        ("1.17 GB", "f:a:peak_rss_mb"),
        ("1,198 MB", "f:a:peak_rss_mb"),
        ("76%", "f:a:share"),
        ("36,610,607,124", "f:a:triples"),
        ("-.0103", "f:b:ndcg@100 less a"),
        ("1.026", "f:a:ndcg@100 over b"),
    ],
)
def test_a_figure_is_written_as_it_stands_and_a_changed_digit_is_found(stands, marker):
    text = f"It is {stands}<!-- {marker} -->, see there.\n"
    assert pages.rewrite(text, rows) == (text, [], [])
    for place, digit in enumerate(stands):
        if digit.isdigit():
            other = f"{stands[:place]}{(int(digit) + 1) % 10}{stands[place + 1 :]}"
            page = pages.rewrite(text.replace(stands, other), rows)
            assert page.text.replace("is .", "is 0.") == text.replace("is .", "is 0.")
            assert [f.line for f in page.wrong] == [1]


TABLE = """Before.

<!-- table f
columns: model = label | N@100 = ndcg@100 ± percent .1 | paper = published.ndcg@100 .2 | s = seconds
rows: a | the other one = b
-->

| model | N@100 | paper | s |
| --- | --- | --- | --- |
| `a` | 41.0 ± 1.1 | .42 | 27 |
| the other one | 40.0 ± 1.1 | .42 | 27 |

<!-- end -->
"""


def test_a_table_is_generated():
    assert pages.rewrite(TABLE, rows) == (TABLE, [], [])
    emptied = re.sub(r"-->\n\n.*?\n\n<!-- end", "-->\n\n<!-- end", TABLE, flags=re.DOTALL)
    assert pages.rewrite(emptied, rows).text == TABLE
    page = pages.rewrite(TABLE.replace("40.0 ±", "40.1 ±"), rows)
    assert page.text == TABLE
    line = "| the other one | {} ± 1.1 | .42 | 27 |"
    assert page.wrong == [(11, line.format("40.1"), line.format("40.0"))]


def test_a_table_without_rows_shows_those_that_have_a_figure():
    text = "<!-- table f\ncolumns: model = label | E = only_b\n-->\n\n<!-- end -->\n"
    two = {"a": row("a"), "b": row("b", only_b=0.5)}
    page = pages.rewrite(text, lambda name: two)
    assert "| `b` | .5000 |" in page.text and "`a`" not in page.text
    named = text.replace("only_b\n", "only_b\nrows: a\n")
    assert "| `a` |  |" in pages.rewrite(named, lambda name: two).text


def test_what_is_still_to_measure_is_written_once_it_is():
    text = ".5<!-- todo f:a:ndcg@100 --> and .5<!-- todo g:a:ndcg@100 -->\n"
    page = pages.rewrite(text, rows)
    assert page.text == ".4<!-- f:a:ndcg@100 --> and .5<!-- todo g:a:ndcg@100 -->\n"
    assert page.wrong == [] and len(page.todo) == 2
    later = TABLE.replace("<!-- table", "<!-- todo table")
    assert pages.rewrite(later, rows).text == TABLE
    assert pages.rewrite(later.replace("table f", "table g"), rows).wrong == []


@pytest.mark.parametrize(
    "text",
    [
        "NDCG is .4102.",
        "an epoch of 26.9 s",
        "1.2 GB and more",
        "about 7 min",
        "75% of it",
        "± .01",
        "in 3 ms",
        "| a | .679 |",
        ".4102<!-- f:c:ndcg@100 -->",
        ".4102<!-- f:a:rmse -->",
        ".4102<!-- g:a:ndcg@100 -->",
        "26.9 s<!-- f:a:seconds of it -->",
        "4<!-- f:a -->",
        "none<!-- f:a:ndcg@100 -->",
        "-.0103<!-- f:b:ndcg@100 less -->",
        "<!-- table f\ncolumns: x = label\n-->\n\nnever closed",
        "<!-- table f\nrows: a\n-->\n\n\n<!-- end -->",
        "<!-- table f\ncolumns: x = label\nrows: c\n-->\n\n\n<!-- end -->",
        "text <!-- note -->",
        "| paper<!-- published --> | here |\n|---|---|\n| .42 | .41 |",
        ".42<!-- published --> and .41",
    ],
)
def test_a_figure_of_unknown_origin_is_found(text):
    assert len(pages.rewrite(f"{text}\n", rows).wrong) == 1


@pytest.mark.parametrize(
    "text",
    [
        "`learning_rate=.005` and\n```\n26.9 s, .4102\n```",
        "JAX 0.10 and 0.12, Python 3.11, version 1.2.3, arXiv 2601.20844",
        "a 95% interval, 90/10, 1,000 users, T8, seed 3, threshold 3.5",
        "[a link](page-1.25.md)",
        ".42<!-- published --> and 80%<!-- fixed -->",
        ".4102<!-- f:a:ndcg@100 --> here, .42<!-- published --> there",
        "The paper has .42 and .43. <!-- published -->",
        "| paper<!-- published --> | n |\n|---|---|\n| .42 | 7 |",
    ],
)
def test_settings_versions_and_published_figures_need_no_results(text):
    assert pages.rewrite(f"{text}\n", rows).wrong == []


def test_the_pages_agree_with_the_kept_results():
    assert pages.compare(ROOT, records.RESULTS) == ([], [])


@pytest.fixture
def checkout(tmp_path):
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("*.png"))
    return tmp_path


def shown(text):
    """The spans of figures that the results files give: marked ones, and those of tables."""
    spans = [f.span("value") for f in pages.MARKED.finditer(text) if not f["todo"]]
    for table in pages.TABLE.finditer(text):
        if not table["todo"]:
            cells = re.finditer(r"(?<=[ \[])[\d,]*\.\d+", table["body"])
            at = table.start("body")
            spans += [(at + c.start(), at + c.end()) for c in cells]
    return spans


@pytest.mark.parametrize("name", ["README.md", "docs/results.md"])
def test_changing_one_digit_of_a_page_fails_and_writing_mends_it(name, checkout):
    path = checkout / name
    text = path.read_text(encoding="utf-8")
    spans = shown(text)
    assert len(spans) >= 3
    for start, end in spans[:: max(1, len(spans) // 6)]:
        place = next(at for at in range(end - 1, start - 1, -1) if text[at].isdigit())
        broken = f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}"
        path.write_text(broken, encoding="utf-8")
        line = text.count("\n", 0, place) + 1
        (wrong,) = pages.compare(checkout, records.RESULTS)[0]
        assert wrong.startswith(f"{name}:{line}: ")
    assert pages.compare(checkout, records.RESULTS, write=True)[0] == []
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (("--check",), 0, "agree with"),
        (("--check", "--folder=/nowhere"), 2, "figures are wrong or unknown"),
        (("--page=x.html", "--check"), 2, "leave --check"),
        (("--results=strong_ml1m",), 2, "belongs to --page"),
        (("--page=x.html", "--results=strong"), 2, "Did you mean strong_ml1m"),
    ],
)
def test_the_command(flags, status, said, here):
    ran = here("report", *flags)
    assert ran.status == status
    assert said in ran.out + ran.err


def test_recipes_state_the_scores_that_were_kept():
    """A recipe's docstring may name a score: a kept one of its row, or a published one."""
    kept = [
        row
        for path in records.RESULTS.glob("*.json")
        for row in records.read(path.stem)[1]
        if row.figures.keys() & {"ndcg@100", "rmse"}
    ]
    checked = 0
    for path in (ROOT / "experiments/configs").glob("*.py"):
        text = path.read_text(encoding="utf-8").split('"""')[1]
        for name, score in re.findall(r"(NDCG@100|RMSE) (\.\d+)", text):
            known = [
                pages.number(figures[name.lower()], score)
                for row in kept
                if row.label == path.stem
                for figures in (row.figures, row.published)
                if name.lower() in figures
            ]
            assert not known or score in known, f"{path.name}: {name} {score}, and kept {known}"
            checked += bool(known)
    assert checked >= 2
