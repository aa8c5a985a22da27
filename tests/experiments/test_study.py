"""Studies: every row is a command that could be typed; a table holds the figures of its runs."""

import importlib
import json
import pkgutil

import pytest

import experiments.studies
from aerec import configuration, models
from aerec.cli import options
from aerec.data import protocols

NAMES = [module.name for module in pkgutil.iter_modules(experiments.studies.__path__)]
DATA = "--dataset=synthetic:users=150,items=60,ratings=4000"


@pytest.mark.parametrize("name", NAMES)
def test_a_study_states_its_command_and_its_runs_are_known(name):
    module = importlib.import_module(f"experiments.studies.{name}")
    assert f"--study={name}" in module.__doc__
    labels = [row.label for row in module.STUDY.rows]
    assert len(set(labels)) == len(labels)
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


def test_a_sweep_and_the_same_command_again(here, tmp_path):
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
    again = here(*command)
    assert again.status == 0
    assert [row["test"] for row in json.loads((output / "table.json").read_text())] == [
        row["test"] for row in rows
    ]


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
