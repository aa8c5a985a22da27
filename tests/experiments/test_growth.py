"""Growth: made-up clicks, sizes in processes of their own, the exponent of a power law."""

import numpy as np
import pytest

from experiments import growth, records


def test_clicks_are_distinct_and_popular_first():
    table = growth.clicks(40, 30, 5)
    np.testing.assert_array_equal(table.lengths(), 5)
    counts = np.bincount(np.asarray(table.columns), minlength=30)
    assert counts[:10].sum() > counts[20:].sum()


def test_the_exponent_of_a_power_law():
    found = growth.exponent((10, 100, 1000), [[0.3 * n**0.8] * 3 for n in (10, 100, 1000)])
    assert found["exponent"] == pytest.approx(0.8)
    noisy = growth.exponent((10, 100, 1000), [[n, 1.3 * n] for n in (10, 100, 1000)])
    assert noisy["exponent_low"] < 1 < noisy["exponent_high"]


def test_sizes_are_measured_once_and_kept(tmp_path, monkeypatch):
    small = (60, 120)
    monkeypatch.setattr(growth, "GROWTHS", {"columns.full": (small, None)})
    monkeypatch.setattr(records.write, "__defaults__", (tmp_path,))
    one = {"seconds": [1.0, 2.0, 4.0], "updates": 2, "peak_mb": 9.0, "needed_mb": 1.0,
           "predicted": 1.0, "gflops": 1.0, "gb_per_second": 1.0}  # fmt: skip
    asked = []

    def process(name, repeats):
        asked.append(name)
        return {**one, "made": {"date": "2026-01-01", "machine": "a machine", "seconds": 1.0}}

    monkeypatch.setattr(growth, "in_process", process)
    given = {"size": None, "output": str(tmp_path / "cells"), "repeats": 3, "record": True}
    growth.main(given)
    growth.main(given)
    assert asked == ["columns.full.60", "columns.full.120"]
    rows = {row.label: row.figures for row in records.read(growth.FILE, tmp_path)[1]}
    assert rows["columns.full.60"]["update"] == 1 and abs(rows["columns.full"]["exponent"]) < 1e-9


def test_the_work_of_an_update():
    """Of 2 rows of 3 clicks in 10 columns, all seen: by hand."""
    operations, traffic = growth.work(2, 10, 10, 3)
    assert operations == 3 * 2 * (2 * 128 * 10)
    assert traffic == 10 * 4 * 20 + 3 * 4 * 6 * 128 + 9 * 4 * (2 * 10 * 128)
    assert growth.work(2, 50, 10, 3)[1] == traffic + 600


def test_one_size(monkeypatch):
    of = {"entries": ((60,), lambda n: (n // 5, 40, 5, {"batch_size": 4}))}
    monkeypatch.setattr(growth, "GROWTHS", of)
    monkeypatch.setattr(growth, "stream_rate", lambda: 1e9)
    found = growth.trained("entries.60", 2)
    assert len(found["seconds"]) == 2 and found["updates"] == 3
    with pytest.raises(growth.BadInput, match="write one of entries"):
        growth.trained("else.60", 2)
