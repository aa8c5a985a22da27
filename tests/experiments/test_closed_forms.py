"""The closed forms: each is searched and tested, and what is kept is compared with EDLAE."""

import pytest

import aerec
from aerec.errors import BadInput
from aerec.space import Uniform
from experiments import board, closed_forms, records, tuning

DATA = "synthetic:users=100,items=30,ratings=1200"


@pytest.fixture
def given(tmp_path, monkeypatch):
    ratings = aerec.load(DATA, log=lambda text: None)
    monkeypatch.setattr(aerec, "load", lambda name, data_dir: ratings)
    monkeypatch.setattr(board, "SEEDS", (1, 2))
    return {"dataset": "steam", "data_dir": None, "output": str(tmp_path), "trials": 3,
            "forms": ["edlae", "dan", "slim"], "record": False}  # fmt: skip


def test_a_study(given, tmp_path, monkeypatch):
    closed_forms.main(given)
    monkeypatch.setattr(aerec, "fit", None)  # the second time, all is kept
    closed_forms.main(given)
    rows = {row.label: row for row in records.read("closed_forms_steam", tmp_path)[1]}
    assert set(rows) == {"edlae", "dan", "slim", "edlae-dan", "edlae-slim"}
    assert rows["dan"].tuning["trials"] == 3
    assert set(rows["dan"].tuning["space"]) == {"l2", "dropout", "user_power"}
    assert rows["slim"].tuning["setting"]["nonnegative"] is True
    assert rows["slim"].tuning["setting"]["dropout"] == 0
    lost = rows["edlae"].figures["ndcg@100"] - rows["dan"].figures["ndcg@100"]
    assert rows["edlae-dan"].figures["ndcg@100"] == pytest.approx(lost, abs=1e-6)
    assert len(set(rows["dan"].split_hash)) == 2


def test_an_unknown_form_is_refused(given):
    with pytest.raises(BadInput, match="there is no 'dann'"):
        closed_forms.main({**given, "forms": ["dann"]})


def test_a_space_in_place_of_the_models_own(tmp_path):
    split = aerec.split(aerec.load(DATA, log=lambda text: None), "strong")
    found = tuning.search(
        "ease", split, 3, store=tmp_path, show=False, space={"user_power": Uniform(0, 1)}, l2=5.0
    )
    assert [list(trial["setting"]) for trial in found.trials] == 3 * [["user_power"]]
    assert found.best["l2"] == 5
