"""The blend of the board's winners: their settings, and what is kept."""

import pytest

from aerec.errors import BadInput
from experiments import blended, board, records

DATA = "synthetic:users=160,items=40,ratings=2600,implicit=1"


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    for function in (records.read, records.write):
        monkeypatch.setattr(function, "__defaults__", (tmp_path,))
    rows = [
        records.Record(
            label=name, figures={"ndcg@100": 0.4}, command="a command", date="2026-01-01",
            machine="a machine", tuning={"setting": setting},
        )
        for name, setting in (("ease", {"l2": 5.0}), ("elsa", {"latent": 4, "epochs": 1}))
    ]  # fmt: skip
    records.write("board_data_strong", "A board", rows)
    return tmp_path


def test_rows_and_differences(results, monkeypatch):
    monkeypatch.setattr(board, "SEEDS", (1,))
    ratings = blended.aerec.load(DATA)
    monkeypatch.setattr(blended.aerec, "load", lambda name, data_dir: ratings)
    given = {"dataset": "data", "models": ["ease", "elsa"], "data_dir": None, "record": True}
    blended.main(given)
    rows = {row.label: row for row in records.read("blend_data")[1]}
    assert {"blend", "ease", "elsa", "blend-ease", "blend-elsa", "ease-elsa"} <= set(rows)
    own = rows["blend"].figures
    assert own["weight_ease"] + own["weight_elsa"] == pytest.approx(1)
    difference = rows["blend-elsa"].figures["ndcg@100"]
    assert difference == pytest.approx(own["ndcg@100"] - rows["elsa"].figures["ndcg@100"], abs=1e-6)
    assert len(rows["blend"].split_hash) == 1


def test_models_without_a_search_are_refused(results):
    with pytest.raises(BadInput, match=r"board_data_strong\.json has no 'multvae'"):
        blended.winners("data", ["ease", "multvae"])
    with pytest.raises(BadInput, match="at least two models"):
        blended.main({"dataset": "data", "models": ["ease"]})
