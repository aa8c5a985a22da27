"""Searches: reproducible, resumable, blind to the test part; their winner is a recipe that runs."""

import json
import math
import pathlib
import signal
import statistics
import subprocess
import sys

import pytest

import aerec
from aerec import api, models
from aerec.data.datasets import synthesize
from aerec.errors import BadInput
from aerec.runs import fitting, variants
from aerec.training import loop
from experiments import tuning
from experiments.trials import Trials

ROOT = pathlib.Path(__file__).parents[2]
DATA = "--dataset=synthetic:users=150,items=60,ratings=4000"


@pytest.fixture(scope="module")
def split():
    ratings = synthesize(users=120, items=40, ratings=1800)[0]
    parts = {"valid_users": 30, "test_users": 30, "threshold": 3}
    return aerec.split(ratings, "strong", **parts, log=lambda text: None)


def quick(model, split, trials, store, **given):
    return tuning.search(model, split, trials, store=store, show=False, **given)


@pytest.fixture
def formula(monkeypatch):
    """Instead of a training: a figure with its peak at learning_rate .003, reached linearly."""

    def validate(spec, split, *, progress):
        s = spec.settings
        figure = 1 / (1 + math.log(s.learning_rate / 3e-3) ** 2)
        for epoch in range(1, s.epochs + 1):
            if epoch % s.evaluate_every and epoch < s.epochs:
                continue
            record = loop.Record(epoch, [], [], [], 0.0, [], 0.0)
            progress(record, {"loss": 1.0, s.metric: figure * epoch / s.epochs})
        return figure

    monkeypatch.setattr(fitting, "validate", validate)


def without_seconds(found):
    return [{**trial, "seconds": 0} for trial in found.trials]


def test_a_search_that_was_cut_off_ends_like_one_that_was_not(split, tmp_path, formula):
    whole = quick("elsa", split, 16, tmp_path / "whole")
    assert [trial["number"] for trial in whole.trials] == list(range(16))
    assert whole.trials[0]["setting"] == {
        "learning_rate": 2e-3, "batch_size": 100, "epochs": 30, "latent": 1024, "evaluate_every": 3,
    }  # fmt: skip
    quick("elsa", split, 12, tmp_path / "cut")
    (path,) = (tmp_path / "cut").iterdir()
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:8]) + lines[8][:40])  # a header, trials 0 to 6, half of trial 7
    resumed = quick("elsa", split, 16, tmp_path / "cut")
    assert without_seconds(resumed) == without_seconds(whole)
    kept = path.read_text()
    assert kept.startswith("".join(lines[:8]))
    assert quick("elsa", split, 16, tmp_path / "cut") == resumed
    assert path.read_text() == kept


def test_the_space_reaches_to_the_epochs_that_few_rows_ask_for(split, tmp_path, formula):
    asked = api.specify("multvae", split, {}).settings.epochs
    usual = models.find("multvae").SPACE["epochs"]
    assert asked > usual.high
    found = quick("multvae", split, 12, tmp_path)
    assert found.trials[0]["setting"]["epochs"] == asked
    assert found.space["epochs"] == f"LogIntegers(low={usual.low}, high={asked})"
    assert any(trial["setting"]["epochs"] > usual.high for trial in found.trials[1:])
    assert quick("multvae", split, 1, tmp_path / "fixed", epochs=7).fixed == {"epochs": 7}


def test_trials_below_the_median_are_pruned(split, tmp_path, formula):
    found = quick("elsa", split, 20, tmp_path)
    pruned = [trial for trial in found.trials if trial["state"] == "pruned"]
    assert pruned and found.count("pruned") + found.count("complete") == 20
    for trial in found.trials:
        others = [dict(t["curve"]) for t in found.trials[: trial["number"]]
                  if t["state"] == "complete"]  # fmt: skip
        steps = [step for step, _ in trial["curve"]]
        assert steps == sorted(set(steps))
        for step, figure in trial["curve"]:
            same = [curve[step] for curve in others if step in curve]
            below = len(others) >= 5 and step >= 3 and figure < statistics.median(same or [0])
            stopped = step == steps[-1] and trial["state"] == "pruned"
            assert (below and step < 10) == stopped
    assert found.best["learning_rate"] == found.ranked()[0]["setting"]["learning_rate"]
    best = max(t["validation"] for t in found.trials if t["state"] == "complete")
    assert found.summary()["validation"] == best
    assert not quick("elsa", split, 20, tmp_path / "all", prune=False).count("pruned")


@pytest.fixture
def formula_at_once(formula, monkeypatch):
    """Instead of a training of several: that of each."""
    trained = []

    def validate(specs, split, *, progress):
        if any(spec.settings.learning_rate > 9e-3 for spec in specs):
            raise loop.Diverged("the loss is nan at step 3")
        trained.append(len(specs))
        return [fitting.validate(s, split, progress=lambda record, figures: None) for s in specs]

    monkeypatch.setattr(variants, "validate", validate)
    return trained


def test_trials_at_once_draw_their_numbers_each(split, tmp_path, formula_at_once):
    found = quick("elsa", split, 30, tmp_path / "whole", together=4)
    assert formula_at_once and set(formula_at_once) <= {2, 4}  # 30 = 7 * 4 + 2
    assert len(found.trials) == 30
    for at in range(0, 30, 4):
        group = [trial["setting"] for trial in found.trials[at : at + 4]]
        assert len({(s["batch_size"], s["epochs"], s["latent"]) for s in group}) == 1
        assert len({s["learning_rate"] for s in group}) == len(group)
    assert len({trial["setting"]["latent"] for trial in found.trials}) > 1
    quick("elsa", split, 8, tmp_path / "cut", together=4)
    resumed = quick("elsa", split, 30, tmp_path / "cut", together=4)
    assert without_seconds(resumed) == without_seconds(found)
    count = len(formula_at_once)
    quick("ease_vae", split, 2, tmp_path, together=4, epochs=1)  # has parameters of its data
    assert len(formula_at_once) == count


class Unreadable:
    """A test part of which nothing may be read."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} of the test part was read")


@pytest.mark.parametrize(("model", "given"), [("ease", {}), ("elsa", {"latent": 4, "epochs": 2})])
def test_the_test_part_is_not_read(model, given, split, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "data_hash", lambda split: "hash")
    hidden = split._replace(test=Unreadable(), test_ids=Unreadable())
    found = quick(model, hidden, 2, tmp_path, metric="ndcg@10", **given)
    assert found.count("complete") == 2
    run = aerec.fit(model, split, show=False, log=lambda text: None, **found.best)
    best = found.ranked()[0]["validation"]
    if run.model.loss is not None:
        assert run.results["validation"]["best"] == [best]
    else:  # scored on validation as if that were the test
        swapped = split._replace(test=split.valid, test_ids=split.valid_ids)
        run = aerec.fit(model, swapped, show=False, log=lambda text: None, **found.best)
        assert float(run.test["ndcg@10"]) == pytest.approx(best, rel=1e-6)  # beside other figures


def test_what_fails_is_a_trial(split, tmp_path, monkeypatch):
    def validate(spec, split, *, progress):
        if spec.set["l2"] != 100:
            raise loop.Diverged("the loss is nan at step 3")
        return 0.25

    monkeypatch.setattr(fitting, "validate", validate)
    found = quick("ease", split, 3, tmp_path)
    assert [trial["state"] for trial in found.trials] == ["complete", "failed", "failed"]
    assert found.best == {"l2": 100.0, "dropout": 0.3}
    monkeypatch.setattr(fitting, "validate", lambda *args, **given: math.nan)
    with pytest.raises(BadInput, match="no trial is complete: ndcg@100 is nan"):
        _ = quick("ease", split, 2, tmp_path / "other").best


def test_the_store_of_another_search_is_refused(split, tmp_path, formula):
    quick("elsa", split, 1, tmp_path)
    with pytest.raises(BadInput, match="another search: seed 0 there, 1 now"):
        quick("elsa", split, 1, tmp_path, seed=1)
    with pytest.raises(BadInput, match="another search: space"):
        quick("elsa", split, 1, tmp_path, latent=8)
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text() + "no trial\n")
    with pytest.raises(BadInput, match="is damaged"):
        quick("elsa", split, 2, tmp_path)
    with pytest.raises(BadInput, match="Neither elsa nor training has a setting 'width'"):
        quick("elsa", split, 1, tmp_path, width=8)


def test_optuna_is_asked_for(split, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(BadInput, match=r"aerec\[tune\]"):
        quick("ease", split, 1, tmp_path)


def test_no_trial_begins_after_the_seconds(split, tmp_path, formula):
    assert not quick("elsa", split, 5, tmp_path, seconds=0).trials


CLAIM = """
import pathlib, sys
from experiments.trials import Trials
print(Trials(pathlib.Path(sys.argv[1]), {}).claim(2), flush=True)
sys.stdin.read()
"""


def test_processes_share_trials_and_the_kill_of_one_frees_its_own(tmp_path):
    path = tmp_path / "trials.jsonl"
    child = subprocess.Popen(
        [sys.executable, "-c", CLAIM, path],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout.readline() == "[0]\n"
    own = Trials(path, {})
    assert own.claim(2, most=2) == [1]
    own.append({"number": 1})
    assert own.claim(2) == []
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert own.claim(2) == [0]
    own.close()


def test_the_command_and_the_recipe_that_it_writes(here, tmp_path):
    command = "tune", "--model=ease", DATA, "--trials=3", f"--output={tmp_path}"
    ran = here(*command)
    assert ran.status == 0, ran.err
    (store,) = tmp_path.glob("*.jsonl")
    trials = [json.loads(line) for line in store.read_text().splitlines()[1:]]
    best = max(trials, key=lambda trial: trial["validation"])
    run = aerec.open(tmp_path / f"ease_synthetic-trial{best['number']}")
    assert run.results["test_scored"] == 1
    text = (tmp_path / "ease_synthetic.py").read_text()
    for part in (ran.out, text):
        assert f"{best['validation']:.4f} on validation, {run.test['ndcg@100']:.4f}" in part
        assert "3 trials (3 complete, 0 pruned, 0 failed)" in part
        assert "scored 1 time." in part
    kept = store.read_text()
    again = here(*command)
    assert "scored 1 time." in again.out and store.read_text() == kept
    trained = here(
        "train", f"--config={tmp_path}/ease_synthetic.py", "--baselines=",
        f"--workdir={tmp_path}/run",
    )  # fmt: skip
    assert trained.status == 0, trained.err
    assert aerec.open(tmp_path / "run").test["ndcg@100"] == run.test["ndcg@100"]


@pytest.mark.parametrize(
    ("flags_given", "said"),
    [
        (("--model=ease",), "--output is missing"),
        (("--model=eese", "--output=out"), "No model is called 'eese'"),
        (("--model=ease", "--output=out", "--seeds=2"), "--seeds: no effect in a search"),
        (("--model=ease", "--output=out", "--set=latent=3"), "no setting 'latent'"),
        (("--model=ease", "--output=out", "--metric=ndcg"), "needs its cut"),
    ],
)
def test_bad_input(flags_given, said, here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = here("tune", *flags_given, DATA)
    assert refused.status == 2
    assert said in refused.err
    assert not list(tmp_path.glob("out/*.jsonl"))
