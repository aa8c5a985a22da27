"""Kinds of data: means and paired differences over splits, those of `cross_validate`."""

import pytest

import aerec
from experiments import board, kinds, records

DATA = "synthetic:users=100,items=30,ratings=1200"
QUIET = {"log": lambda text: None}


def test_a_study(tmp_path, monkeypatch, capsys):
    ratings = aerec.load(DATA, **QUIET)
    loads = []
    monkeypatch.setattr(aerec, "load", lambda name, data_dir: loads.append(name) or ratings)
    monkeypatch.setattr(kinds, "PAIRS", (("ease", "popularity"), ("recvae", "multvae")))
    given = {"datasets": ["steam"], "models": ["popularity", "ease"], "data_dir": None,
             "output": str(tmp_path), "record": False, "splits": 2}  # fmt: skip
    kinds.main(given)
    kinds.main(given)
    assert loads == ["steam"]  # the second time, all is kept
    rows = {row.label: row for row in records.read(kinds.FILE, tmp_path)[1]}
    assert set(rows) == {"steam.popularity", "steam.ease", "steam.ease-popularity"}
    found = aerec.cross_validate(
        ["popularity", "ease"], ratings, splits=2, seed=1, show=False, **QUIET
    )
    for model in given["models"]:
        row = rows[f"steam.{model}"]
        assert row.figures["ndcg@100"] == pytest.approx(found.mean(model))
        assert row.errors["ndcg@100"] == pytest.approx(found.error(model))
        assert len(set(row.split_hash)) == 2
    gain, compared = rows["steam.ease-popularity"].figures, found.compare("ease", "popularity")
    assert gain["ndcg@100"] == pytest.approx(compared.difference)
    assert gain["ndcg@100_low"] == pytest.approx(compared.interval[0])
    assert set(board.DATASETS) == {"movielens-small", "ml-1m", "anime", "steam", "lastfm"}
    capsys.readouterr()


def test_the_command_has_what_is_not_usual():
    usual = {"datasets": list(board.DATASETS), "models": list(kinds.MODELS), "splits": 3}
    start = "python -m experiments.kinds --data_dir=DIR --output=DIR"
    assert kinds.line(usual) == f"{start} --splits=3"
    few = {**usual, "datasets": ["steam", "anime"], "models": ["ease", "vae"]}
    assert kinds.line(few) == f"{start} --datasets=steam,anime --models=ease,vae --splits=3"
    assert kinds.line(few, "anime") == f"{start} --datasets=anime --models=ease,vae --splits=3"
