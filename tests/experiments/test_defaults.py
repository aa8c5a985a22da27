"""Defaults beside the trials of a search: measured anew, or taken from the trial near to them."""

import pytest

import aerec
from aerec.errors import BadInput
from experiments import board, defaults, tuning

DATA = "synthetic:users=100,items=30,ratings=1200"
GIVEN = {"measure": False, "machine": "-", "board": "DIR"}
CELL = board.Cell("movielens-small", "strong", "ease")


@pytest.fixture(scope="module")
def split():
    ratings = aerec.load(DATA, log=lambda text: None)
    return board.divide(ratings, CELL.dataset, CELL.protocol, 0)


def test_the_first_trial_has_the_defaults_and_their_figure(split, tmp_path):
    tuning.search("ease", split, 3, store=tmp_path, show=False)
    (path,) = tmp_path.glob("*.jsonl")
    found = defaults.kept(path)
    assert [trial["number"] for trial in found.trials] == [0, 1, 2]
    figures = [
        defaults.compared(CELL, found, split, {**GIVEN, "measure": m}).figures
        for m in (False, True)
    ]
    trial = figures[0].pop("trial")
    assert trial == 0 and figures[0] == figures[1]
    best = max(trial["validation"] for trial in found.trials)
    assert figures[0]["tuned"] == best
    assert figures[0]["loss"] == best - found.trials[0]["validation"]

    l2 = found.trials[0]["setting"]["l2"]
    near = {**found.trials[0]["setting"], "l2": 1.1 * l2}
    better = {**found.trials[0], "number": 3, "setting": near, "validation": best + 0.1}
    more = found._replace(trials=[*found.trials, better])  # the default's own trial is preferred
    figures = defaults.compared(CELL, more, split, GIVEN).figures
    assert figures["trial"] == 0
    figures = defaults.compared(CELL, found._replace(trials=[better]), split, GIVEN).figures
    assert figures["trial"] == 3 and figures["loss"] == 0

    others = found._replace(trials=found.trials[1:])
    assert defaults.compared(CELL, others, split, GIVEN) is None
    found.trials[0]["split_hash"] = "another"
    with pytest.raises(BadInput, match="of another split"):
        defaults.compared(CELL, found, split, GIVEN)


def test_without_trials_a_default_is_compared_with_the_recorded_search(split, here):
    (row,) = defaults.searches(CELL, None)
    assert row["trials"] >= 40 and row["setting"].keys() == {"l2", "dropout"}
    given = {**GIVEN, "measure": True, "board": None}
    found = defaults.compared(CELL._replace(protocol="per_user_holdout"), row, split, given)
    assert found.figures["loss"] == row["validation"] - found.figures["default"]
    assert found.label == "ease.movielens-small.per_user_holdout" and "--board" not in found.command
    assert not defaults.searches(CELL._replace(model="bias"), None)
    ran = here("defaults")
    assert ran.status == 2 and "--board is not given" in ran.err


@pytest.mark.parametrize(
    ("setting", "near"),
    [
        ({"l2": 115.0, "hidden": []}, True),
        ({"l2": 116.0, "hidden": []}, False),
        ({"l2": 86, "hidden": [], "evaluate_every": 99}, True),
        ({"l2": 100.0, "hidden": [600]}, False),
    ],
)
def test_a_default_is_rounded_from_a_trial_within_15_percent(setting, near):
    assert defaults.rounds(setting, {"l2": 100.0, "hidden": [], "evaluate_every": 1}) == near
