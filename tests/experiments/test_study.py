"""Studies: every row is a command that could be typed; a table holds the figures of its runs."""

import importlib
import json
import pkgutil

import pytest

import experiments.studies
from aerec import configuration, models
from aerec.cli import options
from aerec.data import protocols
from experiments import records, study

NAMES = [module.name for module in pkgutil.iter_modules(experiments.studies.__path__)]
DATA = "--dataset=synthetic:users=150,items=60,ratings=4000"


@pytest.mark.parametrize("name", NAMES)
def test_a_study_states_its_command_and_its_runs_are_known(name):
    module = importlib.import_module(f"experiments.studies.{name}")
    assert f"--study={name}" in module.__doc__
    labels = [row.label for row in module.STUDY.rows]
    assert len({study.label(row) for row in module.STUDY.rows}) == len(labels)
    assert {label for pair in module.STUDY.pairs for label in pair} <= set(labels)
    for row in module.STUDY.rows:
        given = configuration.assignments(
            [flag.removeprefix("--") for flag in row.flags if not flag.startswith("--set=")], of=""
        )
        recipe = options.recipe(given.get("config"))
        settings = [flag.removeprefix("--set=") for flag in row.flags if flag.startswith("--set=")]
        set_ = {**recipe.get("set", {}), **configuration.assignments(settings, of="--set")}
        models.configure(recipe.get("model", given.get("model")), set_)
        if "protocol" in given:
            protocols.parse(given["protocol"])
        assert set(row.published) <= set(module.STUDY.figures)


def test_a_sweep_its_runs_again_and_its_record(here, tmp_path):
    output = tmp_path / "out"
    command = (
        "sweep", "--model=ease", "--over=l2=10/500", DATA, "--baselines=", f"--output={output}"
    )  # fmt: skip
    swept = here(*command)
    assert swept.status == 0, swept.err
    rows = json.loads((output / "table.json").read_text())
    assert [row["label"] for row in rows] == ["l2=10", "l2=500"]
    assert rows[0]["test"]["ndcg@100"] != rows[1]["test"]["ndcg@100"]
    for row in rows:
        assert f"{row['test']['ndcg@100']:.4f}" in swept.out
        assert f"{row['test']['ndcg@100']:.4f}" in (output / "table.md").read_text()
        config = json.loads((output / row["label"] / "config.json").read_text())
        assert f"l2={config['set']['l2']:g}" == row["label"]

    typed = ("--model=ease", DATA, "--baselines=", "--data_dir=/of/this/machine")
    both = study.Study(
        title="A sweep",
        rows=[study.Row(f"l2={l2}", (f"--set=l2={l2}",), {"ndcg@100": 0.4}) for l2 in (10, 500)],
        figures=("ndcg@100", "rmse"),
        pairs=[("l2=10", "l2=500")],
    )
    again = study.run(both, output, typed, jobs=2)
    assert [outcome.results["test"] for outcome in again] == [row["test"] for row in rows]

    study.record(both, again, "kept", tmp_path)
    title, kept = records.read("kept", tmp_path)
    assert (title, [row.label for row in kept]) == ("A sweep", ["l2_10", "l2_500", "l2_10-l2_500"])
    for record, row in zip(kept[:2], rows, strict=True):
        test = row["test"]
        assert record.figures == {name: row["test"].get(name, row.get(name)) for name in
                                  ("ndcg@100", "epoch_seconds")}  # fmt: skip
        assert record.errors == {"ndcg@100": pytest.approx(1.96 * test["ndcg@100_se"])}
        assert record.published == {"ndcg@100": 0.4}
        assert (record.seconds, record.split_hash) == (row["fit_seconds"], row["split_hash"])
    assert kept[0].command == (
        f"python -m experiments.train --set=l2=10 --model=ease {DATA} --baselines= --data_dir=DIR"
    )
    difference = rows[0]["test"]["ndcg@100"] - rows[1]["test"]["ndcg@100"]
    assert kept[2].figures["ndcg@100"] == pytest.approx(difference, abs=1e-6)
    assert kept[2].figures["ndcg@100_low"] <= difference <= kept[2].figures["ndcg@100_high"]


@pytest.mark.parametrize(
    ("flags_given", "said"),
    [
        (("sweep",), "--over is missing"),
        (("sweep", "--over=l2"), "write NAME=VALUE"),
        (("sweep", "--over=l2=1/1", DATA, "--model=ease"), "two rows are called alike"),
        (("sweep", "--over=lambda=1/2", DATA, "--model=ease"), "no setting 'lambda'"),
        (("sweep", "--over=l2=1/2", "--set=l2=3", DATA, "--model=ease"), "l2: swept by --over"),
        (("sweep", "--over=epochs=1/2", "--epochs=3", DATA), "epochs: swept by --over"),
        (("sweep", "--over=l2=1/x", DATA, "--model=ease"), "l2 is a number, not 'x'"),
        (("sweep", "--over=epochs=1/0", DATA), "epochs is at least 1, not 0"),
        (("sweep", "--over=metric=ndcg@10/ndcg", DATA), "needs its cut"),
        (("reproduce", "--study=articel"), "article"),
    ],
)
def test_bad_input(flags_given, said, here, tmp_path):
    refused = here(*flags_given, f"--output={tmp_path / 'out'}")
    assert refused.status == 2
    assert said in refused.err
    assert not list(tmp_path.glob("out/*"))


def test_without_a_study_the_catalogue_is_shown(here):
    shown = here("reproduce")
    assert shown.status == 0
    assert all(name in shown.out for name in NAMES)
