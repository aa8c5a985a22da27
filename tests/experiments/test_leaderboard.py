"""The page of kept results: comparable rows in one table, best first, with what made each."""

import html
import re

import pytest

from experiments import leaderboard, records


def row(label, value, *, data="ml-1m", figure="ndcg@100", **given):
    return records.Record(
        label=label, figures={figure: value}, errors={figure: 0.01}, data=data,
        protocol={"name": "strong", "hash": data, "valid_users": 500.0},
        command=f"python -m experiments.train --config={label} --set='<x>'",
        versions={"jax": "0.10.2"}, split_hash=[f"hash{label}"], seeds=[0], date="2026-11-27",
        machine="2 cores of a machine", seconds=1234.5, peak_rss_mb=700.0, **given,
    )  # fmt: skip


FILES = {
    "one": [row("low", 0.3), row("high", 0.4, published={"ndcg@100": 0.42})],
    "other": [
        row("middle", 0.35, tuning={"trials": 40, "setting": {"l2": 3}}),
        row("worse", 0.9, data="anime", figure="rmse"), row("better", 0.8, data="anime",
            figure="rmse", error_kind="sd"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def page():
    return leaderboard.page(FILES)


def test_rows_of_one_protocol_share_a_table_and_the_best_is_first(page):
    tables = [re.findall(r"<tr><td>([\w.]+)</td>", t) for t in page.split("<table>")[1:]]
    clicks, ratings = ["high", "middle", "low"], ["better", "worse"]
    assert tables == [clicks, clicks, ratings, ratings]  # each followed by how it was made
    assert "0.4000 ± 0.0100</td>" in page and "0.8000 ± 0.0100 (sd)</td>" in page
    assert page.count("ndcg@100, published") == 1 and page.count("<td data-value=") == 5 * 4 + 2


def test_each_row_says_how_it_was_made_and_nothing_is_loaded(page):
    text = html.unescape(page)
    for own in (own for rows in FILES.values() for own in rows):
        for part in (own.command, own.split_hash[0], own.machine, own.date, "jax 0.10.2"):
            assert part in text
    assert "<x>" not in page  # but escaped
    sources = re.findall(r'(?:src|href)="([^"]*)', page)
    assert len(sources) == 2 and all(s.startswith("data:image/svg+xml;base64,") for s in sources)


def test_a_browser_sorts_by_the_figure_and_nothing_is_wider_than_a_phone(page, browser):
    script = """
      document.querySelectorAll("details").forEach(part => part.open = true);
      const table = document.querySelectorAll("table")[0], head = table.querySelectorAll("th")[1];
      head.click();
      const names = [...table.tBodies[0].rows].map(row => row.cells[0].textContent);
      document.title = [...names,
        document.documentElement.scrollWidth <= window.innerWidth].join(" ");
    """
    assert browser(page, script) == "low middle high true"
