"""The page of an audit: whole, self-contained, sortable, and readable in a narrow window."""

import html.parser

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec.properties import audit, page, samplers


@pytest.fixture(scope="module")
def found():
    weight = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    return audit(
        lambda x: jnp.tanh(weight @ x), samplers.gaussian(6), jax.random.key(0), budget=2**12,
        search_points=2**10, name="<tanh> & co",
    )  # fmt: skip


class Elements(html.parser.HTMLParser):
    """What the page contains, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_loads_nothing(found):
    shown = Elements(page.page(found, command="aerec audit --name='<x>'"))
    text = "".join(shown.text)
    assert "Audit of <tanh> & co" in text and "aerec audit --name='<x>'" in text
    for finding in found.properties.values():
        assert finding.verdict in text and finding.why in text
    sources = [a["src"] for _, a in shown.seen if "src" in a]
    assert len(sources) == 3 and all(s.startswith("data:image/svg+xml;base64,") for s in sources)
    assert not [a for _, a in shown.seen if "href" in a]
    names = [a.get("name") for tag, a in shown.seen if tag == "meta"]
    assert "viewport" in names


def test_a_table_is_sorted_by_numbers_not_by_their_text():
    rows = Elements(page.table(["name", "auc"], [("a", 0.123456), ("b", 12), ("c", None)])).seen
    assert [a.get("data-value") for tag, a in rows if tag == "td"] == [
        None, "0.123456", None, "12.0", None, None,
    ]  # fmt: skip
    assert "<td>(0.1235, 7, -)</td>" in page.table(["interval"], [((0.123456, 7, None),)])


def test_a_browser_sorts_the_tables_and_nothing_is_wider_than_a_phone(found, browser):
    text = page.page(found)
    script = """
      document.querySelectorAll("details").forEach(part => part.open = true);
      const table = document.querySelectorAll("table")[2], head = table.querySelectorAll("th")[1];
      head.click();
      const shown = [...table.tBodies[0].rows].map(row => parseFloat(row.cells[1].dataset.value));
      const numbers = shown.filter(value => !isNaN(value));
      const sorted = numbers.every((value, at) => !at || numbers[at - 1] <= value);
      document.title = [sorted, numbers.length > 5,
        document.documentElement.scrollWidth <= window.innerWidth].join(" ");
    """
    assert browser(text, script) == "true true true"
