"""Growth: synthetic clicks, sizes in processes of their own, the exponent of a power law."""

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
           "fixed": 0.1, "predicted": 1.0, "gflops": 1.0, "gb_per_second": 1.0}  # fmt: skip
    asked = []

    def process(name, repeats):
        asked.append(name)
        return {**one, "made": {"date": "2026-01-01", "machine": "a machine", "seconds": 1.0}}

    monkeypatch.setattr(growth, "in_process", process)
    given = {"size": None, "output": str(tmp_path / "cells"), "repeats": 3, "record": True,
             "devices": ["2", "1"], "picture": None}  # fmt: skip
    growth.main(given)
    growth.main(given)
    assert asked == ["columns.full.60", "columns.full.120", "devices.1", "devices.2"]
    _, kept = records.read(growth.FILE, tmp_path)
    rows = {row.label: row.figures for row in kept}
    assert rows["columns.full.60"]["update"] == 1 and abs(rows["columns.full"]["exponent"]) < 1e-9
    assert kept[0].command == "python -m experiments.growth --repeats=3 --devices=2,1"
    assert (tmp_path / "cells" / "growth.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(records.read, "__defaults__", (tmp_path,))
    growth.main({**given, "picture": str(tmp_path / "again.png")})
    assert (tmp_path / "again.png").exists() and len(asked) == 4


def test_the_picture_has_points_and_the_fitted_law():
    made = {"command": "a", "date": "2026-01-01", "machine": "b"}
    sizes = {"entries.100": 1.0, "entries.200": 2.0, "entries.400": 4.0}
    rows = [records.Record(label=label, figures={"seconds": own, "peak_mb": 10 * own}, **made)
            for label, own in sizes.items()]  # fmt: skip
    ends = {"exponent": 1.0, "exponent_low": 0.9, "exponent_high": 1.1}
    figure = growth.picture([*rows, records.Record(label="entries", figures=ends, **made)])
    above, below = figure.axes
    points, law = above.lines
    np.testing.assert_allclose(points.get_xydata(), [[2, 1], [4, 2], [8, 4]])
    np.testing.assert_allclose(law.get_xydata(), [[2, 1], [4, 2], [8, 4]])
    assert law.get_label() == "full softmax: size^1.00 [0.90, 1.10]"
    np.testing.assert_allclose(below.lines[0].get_ydata(), [10, 20, 40])


def test_distinct_columns_of_an_update():
    """Beside a simulation: the columns of 5 rows of 40, and 30 drawn ones by their entries."""
    table, rng, counts = growth.clicks(40, 200, 6), np.random.default_rng(0), []
    entries = np.asarray(table.columns).reshape(40, 6)
    weights = 1 + np.bincount(entries.ravel(), minlength=200)
    for _ in range(2000):
        drawn = rng.choice(200, 30, p=weights / weights.sum())
        counts.append(len(np.union1d(drawn, entries[rng.choice(40, 5, replace=False)])))
    assert growth.distinct(table, 5, 30) == pytest.approx(np.mean(counts), abs=1)


def test_numbers_of_devices():
    assert growth.devices([]) == () and growth.devices(["4", "1"]) == (1, 4)
    assert growth.environment("devices.4")["JAX_NUM_CPU_DEVICES"] == "4"
    for wrong in (["2"], ["0", "1"], ["two", "1"]):
        with pytest.raises(growth.BadInput, match="two numbers or more"):
            growth.devices(wrong)
