"""Cells of studies: measured once, kept with their missing values, compared in pairs."""

import time

import numpy as np
import pytest

from aerec.errors import BadInput
from experiments import cells, records

FIELDS = {"command": "-", "date": "2026-01-01", "machine": "-"}


def test_a_finished_cell_is_not_measured_again(tmp_path):
    count = []

    def cell():
        count.append(1)
        return {"values": [0.5, float("nan")], "made": cells.made(time.perf_counter())}

    first = cells.measure({"one": cell}, tmp_path)
    assert cells.measure({"one": cell}, tmp_path) == first and len(count) == 1
    np.testing.assert_array_equal(np.array(first[0]["values"], float), [0.5, np.nan])
    records.Record(label="a", figures={}, command="-", **first[0]["made"])
    (tmp_path / "one.json").write_text("{}")
    with pytest.raises(BadInput, match="run the same command again"):
        cells.measure({"one": cell}, tmp_path)


def test_a_difference_and_its_interval():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 40))
    first[3] = second[3] = np.nan
    row = cells.difference("a-b", "ndcg@100", first, second, **FIELDS)
    d = (first - second)[~np.isnan(first)]
    assert row.figures["ndcg@100"] == pytest.approx(d.mean())
    half = 1.96 * d.std(ddof=1) / np.sqrt(len(d))
    assert row.figures["ndcg@100_low"] == pytest.approx(d.mean() - half, abs=0.02)
    assert row.figures["ndcg@100_high"] == pytest.approx(d.mean() + half, abs=0.02)
    assert 0 < row.figures["ndcg@100_p"] <= 1
    rows = [row, records.Record(label="b", figures={"x": 2.0}, errors={"x": 0.5}, **FIELDS)]
    grid = cells.table("title", rows, ("ndcg@100", "x"))
    assert [list(column.cells)[1] for column in grid.columns] == ["b", "", "2 ± 0.5"]
