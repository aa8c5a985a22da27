"""Retrieval: what is timed finds the best items; ratios are to m = 256 of the same items."""

import numpy as np
import pytest

import aerec
from experiments import records, retrieval

DATA = "synthetic:users=160,items=40,ratings=2600,seed=3"


def test_what_is_timed_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(retrieval, "DIMENSIONS", (2, 4))
    monkeypatch.setattr(retrieval, "K", 5)
    monkeypatch.setattr(retrieval, "BATCH", 8)
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    monkeypatch.setattr(records.write, "__defaults__", (tmp_path,))
    given = {"dataset": DATA, "data_dir": None, "items": 100, "rounds": 3, "batches": 2,
             "record": True}  # fmt: skip
    retrieval.main(given)
    rows = {row.label: row.figures for row in records.read(retrieval.FILE, tmp_path)[1]}
    assert list(rows) == ["data.2", "data.4", "data.ease", "made_up.2", "made_up.4"]
    assert rows["data.4"]["over_256"] == rows["made_up.4"]["batch_over_256"] == 1
    assert rows["made_up.2"]["codes_mb"] == pytest.approx(100 * 2 * 4 / 2**20)
    for own in rows.values():
        assert 0 < own["median"] <= own["p99"] and own["users_per_second"] > 0


def test_the_best_items_of_ease_and_of_codes(monkeypatch):
    monkeypatch.setattr(retrieval, "DIMENSIONS", (2, 4))
    monkeypatch.setattr(retrieval, "K", 5)
    monkeypatch.setattr(retrieval, "BATCH", 8)
    split = aerec.split(aerec.load(DATA), "strong", valid_users=25, test_users=25)
    two, *_, ease = retrieval.of_data(split)
    users = np.arange(8, dtype=np.int32)
    for contender, given in ((ease, users), (ease, users[2:3]), (two, users)):
        scores, items = map(np.asarray, contender.best(given))
        assert scores.shape == items.shape == (len(given), 5) and (np.diff(scores) <= 0).all()
    run = aerec.fit("ease", split, show=False)
    table = split.test.input
    held = np.split(np.asarray(table.columns), np.asarray(table.indptr)[1:-1])[2]
    wanted = np.asarray(run.params["weights"])[held].sum(0)
    np.testing.assert_allclose(np.asarray(ease.best(users[2:3])[0])[0], np.sort(wanted)[:-6:-1],
                               rtol=1e-4)  # fmt: skip
    rng = np.random.default_rng(0)
    codes, queries = (rng.normal(size=(own, 4)) for own in (50, 1024))
    (made, _) = retrieval.made_up(50)
    best = np.argsort(-(queries[:8, :2] @ codes[:, :2].T), axis=1)[:, :5]
    np.testing.assert_array_equal(made.best(users)[1], best)
