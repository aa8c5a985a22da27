"""The board on a small synthetic data set: its tables, what it repeats and what it does not."""

import json
import sys
import types

import numpy as np
import pytest

import aerec
from aerec.errors import BadInput
from experiments import board, board_results, records

DATA = "synthetic:users=100,items=30,ratings=1200"
GIVEN = {"datasets": ["movielens-small"], "protocols": ["strong"], "models": ["popularity", "ease"],
         "data_dir": None, "trials": 2, "trials_closed": 2, "cell": "", "record": False,
         "kept": False, "jobs": 1, "seconds": None}  # fmt: skip


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Load the synthetic data set under the name of any other, without kept rows; count fits."""
    load, fit, fits = aerec.load, aerec.fit, []

    def counted(model, split, **options):
        fits.append(model)
        return fit(model, split, **options)

    monkeypatch.setattr(aerec, "load", lambda name, data_dir: load(DATA, log=lambda text: None))
    monkeypatch.setattr(aerec, "fit", counted)
    monkeypatch.setattr(board, "SEEDS", (1, 2))
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(board, "typed", lambda cell: "the command")
    return fits


def test_a_cell_is_searched_tested_and_not_repeated(small, tmp_path, capsys):
    cells = board.planned(GIVEN)
    assert [cell.name for cell in cells] == [f"movielens-small_strong/{m}" for m in GIVEN["models"]]
    for cell in cells:
        board.measure(cell, GIVEN, tmp_path)
        assert board.finished(cell, GIVEN, tmp_path)
        assert not board.finished(cell, {**GIVEN, "trials": 3}, tmp_path)
    assert small == ["popularity", "popularity", "ease", "ease"]
    gone = tmp_path / cells[1].name / "seed2.json"
    before = json.loads(gone.read_text())
    gone.unlink()
    board.measure(cells[1], GIVEN, tmp_path)
    assert small[4:] == ["ease"]  # the missing one alone
    again = json.loads(gone.read_text())
    assert again["per_row"] == before["per_row"] and again["ids"] == before["ids"]

    text = board_results.write(tmp_path, tmp_path, seeds=board.SEEDS)
    title, rows = records.read("board_movielens_small_strong", tmp_path)
    assert "movielens-small_strong" in title
    assert {row.label for row in rows} == {"popularity", "ease"}
    for row in rows:
        own = [
            json.loads((tmp_path / f"movielens-small_strong/{row.label}/seed{s}.json").read_text())
            for s in board.SEEDS
        ]
        each = [one["record"]["figures"]["ndcg@100"] for one in own]
        assert row.figures["ndcg@100"] == pytest.approx(np.mean(each))
        assert row.seeds == list(board.SEEDS) and len(set(row.split_hash)) == 2
        assert row.test_scored == 2 and row.tuning["metric"] == "ndcg@100"
        assert row.command == "the command" and row.label in text
    assert [row.tuning["trials"] for row in rows if row.label == "ease"] == [2]
    assert "p" in rows[1].figures and "p" not in rows[0].figures
    board_rows = records.read("board", tmp_path)[1]
    assert {row.command for row in board_rows} == {board_results.WHOLE}
    ranked = [(row.label, row.figures) for row in board_rows]
    assert [(label, own["rank_strong"]) for label, own in ranked] == [
        (rows[0].label, 1), (rows[1].label, 2),
    ]  # fmt: skip
    for label, own in ranked:
        folder = tmp_path / f"movielens-small_strong/{label}"
        (store,) = folder.glob("*.jsonl")
        trials = [json.loads(line)["seconds"] for line in store.read_text().splitlines()[1:]]
        fits = [json.loads((folder / f"seed{s}.json").read_text())["record"] for s in board.SEEDS]
        spent = sum(trials) + sum(fit["seconds"] for fit in fits)
        assert own["hours_strong"] * 3600 == pytest.approx(spent, abs=0.1)  # a search's is rounded

    path = tmp_path / cells[0].name / "seed1.json"
    content = json.loads(path.read_text())
    content["record"]["tuning"]["setting"]["metric"] = "ndcg@10"  # of an earlier winner
    path.write_text(json.dumps(content))
    board.measure(cells[0], GIVEN, tmp_path)
    assert small[5:] == ["popularity"]  # tested again, which is counted
    assert json.loads(path.read_text())["record"]["test_scored"] == 2
    capsys.readouterr()


def test_a_longer_search_with_the_same_winner_is_recorded(small, monkeypatch, tmp_path, capsys):
    *_, cell = board.planned(GIVEN)

    def search(model, split, trials, **options):
        summary = {"setting": {"l2": 50.0}, "trials": trials}
        return types.SimpleNamespace(summary=lambda: summary)

    monkeypatch.setattr(board.tuning, "search", search)
    board.measure(cell, GIVEN, tmp_path)
    kept = [json.loads(path.read_text()) for path in sorted(tmp_path.rglob("seed*.json"))]
    monkeypatch.setattr(board, "typed", lambda cell: "the longer command")
    board.measure(cell, {**GIVEN, "trials_closed": 5}, tmp_path)
    assert small == ["ease", "ease"]  # not tested again
    for old, path in zip(kept, sorted(tmp_path.rglob("seed*.json")), strict=True):
        new = json.loads(path.read_text())
        assert (old["record"]["tuning"]["trials"], new["record"]["tuning"]["trials"]) == (2, 5)
        assert new["record"].pop("command") == "the longer command"
        for content in (old, new):
            content["record"].pop("tuning")
        old["record"].pop("command")
        assert new == old
    capsys.readouterr()


def test_a_kept_winner_is_tested_without_a_search(small, monkeypatch, tmp_path, capsys):
    *_, cell = board.planned(GIVEN)
    board.measure(cell, GIVEN, tmp_path / "first")
    again = {**GIVEN, "kept": True}
    assert board_results.recorded(*cell) is None  # nothing is kept
    board_results.write(tmp_path / "first", records.RESULTS, seeds=board.SEEDS)
    before = board_results.recorded(*cell)
    board.measure(cell, again, tmp_path / "again")
    assert not list((tmp_path / "again").rglob("*.jsonl"))  # no trial
    board_results.write(tmp_path / "again", records.RESULTS, seeds=board.SEEDS)
    after = board_results.recorded(*cell)
    assert (after.figures, after.tuning) == (before.figures, before.tuning)
    assert (before.test_scored, after.test_scored) == (2, 4)
    board.measure(cell, {**again, "trials_closed": 3}, tmp_path / "more")
    (trials,) = (tmp_path / "more").rglob("*.jsonl")  # the kept search was smaller
    assert len(trials.read_text().splitlines()) == 1 + 3
    for path in (tmp_path / "more").rglob("seed*.json"):  # a new search; earlier tests still count
        assert json.loads(path.read_text())["record"]["test_scored"] == 3
    capsys.readouterr()


def test_recorded_rows_are_not_lost(small, tmp_path, capsys):
    """A file that would lose models is left; ranks are over the recorded boards of all data."""
    one, two = board.planned(GIVEN)
    other = two._replace(dataset="steam")
    for cell, output in ((one, "a"), (two, "a"), (other, "b"), (two, "c")):
        board.measure(cell, GIVEN, tmp_path / output)
    folder = tmp_path / "results"
    board_results.write(tmp_path / "a", folder, seeds=board.SEEDS)
    before = {path: path.read_bytes() for path in folder.glob("board_*.json")}
    text = board_results.write(tmp_path / "c", folder, seeds=board.SEEDS)
    assert "board_movielens_small_strong.json was not written: popularity would be missing" in text
    assert before == {path: path.read_bytes() for path in folder.glob("board_*.json")}
    board_results.write(tmp_path / "b", folder, seeds=board.SEEDS)
    assert len(list(folder.glob("board_*.json"))) == 2
    (row,) = records.read("board", folder)[1]  # the one on both
    assert (row.label, row.figures["datasets_strong"]) == ("ease", 2)
    capsys.readouterr()


def test_sequences_need_times(small, monkeypatch, tmp_path, capsys):
    (cell,) = board.planned({**GIVEN, "models": ["svae"]})
    timeless = aerec.load("", None)._replace(time=None)
    monkeypatch.setattr(aerec, "load", lambda name, data_dir: timeless)
    board.measure(cell, GIVEN, tmp_path)
    assert "has no times" in capsys.readouterr().out and not small


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("datasets", "stean", "there is no 'stean'. Did you mean steam"),
        ("protocols", "strog", "there is no 'strog'. Did you mean strong"),
        ("models", "eas", "there is no 'eas'. Did you mean ease"),
        ("models", "bias", "bias predicts ratings"),
    ],
)
def test_names_that_cannot_be(flag, value, says):
    with pytest.raises(BadInput, match=says):
        board.planned({**GIVEN, flag: [value]})


def test_every_ranking_model_is_on_the_board():
    known = aerec.models.MODELS
    ranking = {name for name in known if aerec.models.traits(name, {}).task == "ranking"}
    assert set(board.MODELS) == ranking - {"blend"}  # which is of fitted runs


def test_cells_are_processes_until_the_time_is_over(monkeypatch, tmp_path, capsys):
    cells = board.planned(GIVEN)
    monkeypatch.setattr(board.options, "command_flags", lambda *but: [])
    assert board.run(cells, {**GIVEN, "seconds": 0.0}, tmp_path) == []
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(sys, "executable", "false")
    failed = board.run(cells, {**GIVEN, "jobs": 2}, tmp_path)
    assert failed == [cell.name for cell in cells]
    (tmp_path / cells[0].name).mkdir()
    (tmp_path / cells[0].name / board.FINISHED).write_text('{"trials": 2, "trials_closed": 2}')
    assert board.run(cells, GIVEN, tmp_path) == [cells[1].name]  # the other is not begun
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    assert board.run(cells, {**GIVEN, "jobs": 2, "seconds": 0.2}, tmp_path) == []
    capsys.readouterr()
