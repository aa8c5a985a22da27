"""Synthetic settings: their sizes and truth; a run that is resumed, and its summary."""

import numpy as np
import pytest

import aerec
from aerec.errors import BadInput
from experiments import records, synthetic_defaults

GIVEN = {"models": ["ease"], "settings": ["tiny"], "trials": 1, "trials_closed": 2,
         "record": False}  # fmt: skip
TINY = (60, 40, 8, 4, 0.5, 2.0, 0.1, 3)


@pytest.fixture
def tiny(monkeypatch):
    """One small setting in place of the ten."""
    setting = dict(zip(synthetic_defaults.NAMES, TINY, strict=True))
    monkeypatch.setattr(synthetic_defaults, "SETTINGS", {"tiny": setting})
    monkeypatch.setattr(synthetic_defaults, "HELD", {"valid_users": 40, "test_users": 80})
    synthetic_defaults.drawn.cache_clear()
    yield
    synthetic_defaults.drawn.cache_clear()


def test_ten_settings_of_the_sizes_that_they_state():
    assert len(synthetic_defaults.SETTINGS) == 10
    for own in synthetic_defaults.SETTINGS.values():
        assert 300 <= own["users"] <= 3000 and 150 <= own["items"] <= 2000
        assert 0.005 <= own["clicks"] / own["items"] <= 0.1 and 2 <= own["rank"] <= 64


def test_a_setting_is_drawn_as_described(tiny):
    split, weights = synthetic_defaults.drawn("tiny")
    train, (valid, test) = split.train, synthetic_defaults.HELD.values()
    assert train.num_rows == 60 and split.test.input.num_rows == test == len(weights)
    tables = [train, *split.valid[:2], *split.test[:2]]
    clicks = sum(np.asarray(table.columns).size for table in tables)
    dropped = (60 + valid + test) * 8 - clicks  # of held-out users, on items unseen in training
    assert 0 <= dropped < 40 and weights.shape == (test, train.num_columns)
    again = aerec.split(
        aerec.load(split.dataset, log=synthetic_defaults.silent), "strong", min_user=1,
        log=synthetic_defaults.silent, **synthetic_defaults.HELD,
    )  # fmt: skip
    for mine, other in ((train, again.train), (split.test.target, again.test.target)):
        np.testing.assert_array_equal(mine.columns, other.columns)


def test_the_oracle_against_a_loop(tiny):
    split, weights = synthetic_defaults.drawn("tiny")
    found = []
    rows = [[np.asarray(row) for row in np.split(np.asarray(table.columns), table.indptr[1:-1])]
            for table in split.test[:2]]  # fmt: skip
    for seen, held, weight in zip(*rows, weights, strict=True):
        if len(held):
            left = [item for item in np.argsort(-weight) if item not in seen]
            gains = [1 / np.log2(left.index(item) + 2) for item in held]
            found.append(sum(gains) / sum(1 / np.log2(n + 2) for n in range(len(held))))
    assert synthetic_defaults.oracle(split, weights).figures["ndcg@100"] == pytest.approx(
        np.mean(found), rel=1e-5
    )


def test_a_finished_row_is_not_measured_again(tiny, tmp_path, monkeypatch, capsys):
    given = {**GIVEN, "output": str(tmp_path)}
    synthetic_defaults.main(given)
    rows = {row.label: row for row in records.read("synthetic", tmp_path)[1]}
    assert set(rows) == {"tiny", "ease.tiny", "ease"}
    cell, summary, data = rows["ease.tiny"].figures, rows["ease"].figures, rows["tiny"].figures
    assert rows["ease.tiny"].tuning["trials"] == 2 and rows["ease.tiny"].test_scored in (1, 2)
    assert max(cell["default"], cell["tuned"]) < data["oracle"]
    assert cell["validation_loss"] >= 0 and cell["loss"] == cell["tuned"] - cell["default"]
    assert summary["loss"] == summary["worst"] == data["loss.ease"] == cell["loss"]
    assert data["best"] == max(cell["default"], cell["tuned"])
    assert summary["default_of_oracle"] == pytest.approx(cell["default"] / data["oracle"])
    assert data["density"] == pytest.approx(8 / 40, rel=0.1)

    asked = []
    measured = synthetic_defaults.measured
    counted = lambda *of: asked.append(of[0]) or measured(*of)  # noqa: E731
    monkeypatch.setattr(synthetic_defaults, "measured", counted)
    synthetic_defaults.main(given)
    assert not asked
    assert {row.label: row for row in records.read("synthetic", tmp_path)[1]} == rows
    synthetic_defaults.main({**given, "trials_closed": 3})
    assert asked == ["ease"]
    rows = {row.label: row for row in records.read("synthetic", tmp_path)[1]}
    assert rows["ease.tiny"].tuning["trials"] == 3 and len(rows) == 3
    with pytest.raises(BadInput, match=r"no 'eas'\. Did you mean ease"):
        synthetic_defaults.main({**given, "models": ["eas"]})
    capsys.readouterr()


def test_losses_are_counted_by_size(tiny):
    def row(label, trials=9, **figures):
        made = {"command": "-", "date": "-", "machine": "-"}
        return records.Record(label=label, figures=figures, tuning={"trials": trials}, **made)

    names = ("s1", "s2", "s3")
    synthetic_defaults.SETTINGS.update({name: {} for name in names})
    losses = (0.0, 0.015, 0.031)
    rows = [row(name, oracle=0.5) for name in names]
    rows += [row(f"m.{n}", 5 + i, default=0.4, tuned=0.4 + x, loss=x)
             for i, (n, x) in enumerate(zip(names, losses, strict=True))]  # fmt: skip
    rows.append(row("other.s3", default=0.8, tuned=0.7, loss=-0.1))
    figures = {own.label: own for own in synthetic_defaults.summarised(rows)}["m"].figures
    assert [figures[n] for n in ("settings", "trials", "near", "far")] == [3, 5, 2, 1]
    assert figures["worst"] == 0.031 and figures["loss"] == pytest.approx(np.mean(losses))
    assert figures["default_of_oracle"] == pytest.approx(0.8)
    assert figures["default_of_best"] == pytest.approx((1 + 0.4 / 0.415 + 0.4 / 0.8) / 3)
