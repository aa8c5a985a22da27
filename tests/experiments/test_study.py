"""Studies: every row is a command that could be typed; a table holds the figures of its runs."""

import importlib
import json
import pkgutil
import threading

import jax
import pytest
from absl import flags

import experiments.studies
from aerec import core, models
from aerec.cli import options, train
from experiments import agreement, catalogue, records, study
from experiments.studies import deeprec_depth_ml1m

NAMES = [module.name for module in pkgutil.iter_modules(experiments.studies.__path__)]
DATA = "--dataset=synthetic:users=150,items=60,ratings=4000"


SOURCES = {
    "DeepRec report": (
        "figure 3.1", "table 3.2", "figure 3.3", "figure 3.4 A and B", "table 3.5", "figure 3.6",
        "figure 3.7", "table 3.8", "table 4.1",
    ),
    "Article on six autoencoders": ("its table, by honest", "its table, by its own protocol"),
    "Sedhain et al. 2015": ("tables 1a and 1c", "table 1b", "figure 2", "deep AutoRec"),
    "Wu et al. 2016": ("M1 to M4", "tied weights", "user node", "corruption level"),
    "Liang et al. 2018": ("table of likelihoods", "tables of MovieLens-20M"),
    "Sachdeva et al. 2019": ("table 3", "figure by k"),
    "Steck 2019": ("ablation of negative weights", "lambda"),
}  # fmt: skip


def test_every_table_and_figure_of_the_sources_has_a_study():
    known = [source for own in catalogue.studies().values() for source in own.sources]
    for source, parts in SOURCES.items():
        for part in parts:
            assert any(own.startswith(f"{source}, {part}") for own in known), (source, part)


def parsed(typed):
    """Parse flags as `experiments.train` does."""
    for name in list(flags.FLAGS):
        if not flags.FLAGS.find_module_defining_flag(name).startswith("absl"):
            delattr(flags.FLAGS, name)
    options.define_run_flags()
    assert flags.FLAGS(["train", *typed]) == ["train"]
    return flags.FLAGS.flag_values_dict()


@pytest.mark.parametrize("name", NAMES)
def test_a_study_states_its_command_and_its_runs_can_begin(name):
    module = importlib.import_module(f"experiments.studies.{name}")
    own = module.STUDY
    assert f"--study={name}" in module.__doc__
    assert len({study.label(row) for row in own.rows}) == len(own.rows)
    assert len({study.workdir(row) for row in own.rows}) == len(own.rows)
    assert {label for pair in own.pairs for label in pair} <= {row.label for row in own.rows}
    for row in own.rows:
        chosen, task, _ = train.planned(parsed(row.flags))
        assert chosen["baselines"] == [], row.label
        assert set(row.published) <= {*own.figures, *own.facts}
        assert task == "ranking" or any(figure.startswith("rmse") for figure in own.figures)


def test_parameters_of_the_published_table():
    """Of the network for 17,768 items, without allocating it."""
    facts = core.Facts(num_rows=1, num_columns=17_768, counts=None, scale=(1.0, 5.0))
    for layers, (_, published) in deeprec_depth_ml1m.PUBLISHED.items():
        _, settings = deeprec_depth_ml1m.hidden(layers).removeprefix("--set=").split("=")
        model = models.build("deeprec", {"hidden": tuple(map(int, settings.split(",")))}, facts)
        params = jax.eval_shape(model.init, jax.random.key(0))
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == published


def recorded(label, rmse, spread, seeds=1):
    return records.Record(
        label=label, figures={"rmse": rmse, "parameters": 7}, errors={"rmse": spread},
        error_kind="sd" if seeds > 1 else "interval", seeds=list(range(seeds)), command="-",
        date="2026-01-01", machine="-",
    )  # fmt: skip


def test_agreement():
    """Half an interval of .004 and a rounding of .0005: up to .0045 agrees."""
    rows = [
        study.Row("near", (), {"rmse": 0.8344}),
        study.Row("far", (), {"rmse": 0.8346}),
        study.Row("five seeds", (), {"rmse": 0.832}),  # 1.96 * .002 / sqrt(5) = .00175
        study.Row("five seeds, far", (), {"rmse": 0.833}),
        study.Row("other data", (), {"rmse": 0.9}, "other data"),
        study.Row("counted", (), {"parameters": 7}),
        study.Row("counted otherwise", (), {"parameters": 8}),
        study.Row("new", ()),
        study.Row("not run", (), {"rmse": 0.8}),
    ]
    own = study.Study(title="", rows=rows, figures=("rmse",), facts=("parameters",))
    kept = [
        recorded(study.label(row), 0.830, *((0.002, 5) if "seeds" in row.label else (0.004,)))
        for row in rows[:-1]
    ]
    lines = agreement.of(own, kept)
    assert [line.verdict for line in lines] == [
        "agrees", "differs", "agrees", "differs", "not comparable: other data", "agrees", "differs",
        "nothing published",
    ]  # fmt: skip
    assert agreement.counted(lines) == "3 of 6"
    assert lines[0].cells()[2:5] == ["0.8344", "0.8300", "0.8260 to 0.8340"]
    assert lines[5].cells()[2:5] == ["7", "7", ""]
    assert lines[7].cells()[2:5] == ["", "0.8300", "0.8260 to 0.8340"]
    assert agreement.counted(lines[4:5]) == ""


def test_a_sweep_its_runs_again_and_its_record(here, tmp_path, monkeypatch):
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
        assert [row["train_users"], row["train_items"]] == config["shape"]
        assert row["parameters"] == row["train_items"] ** 2

    typed = ("--model=ease", DATA, "--baselines=", "--data_dir=/of/this/machine")
    both = study.Study(
        title="A sweep",
        rows=[study.Row(f"l2={l2}", (f"--set=l2={l2}",), {"ndcg@100": 0.4}) for l2 in (10, 500)],
        figures=("ndcg@100", "rmse"),
        pairs=[("l2=10", "l2=500")],
    )

    def rerun(given, log, environment):
        with one_at_a_time:
            assert here("train", *given).status == 0

    one_at_a_time = threading.Lock()
    monkeypatch.setattr(study, "_train", rerun)  # the sweep has started processes of their own
    again = study.run(both, output, typed, jobs=2)
    assert [outcome.results["test"] for outcome in again] == [row["test"] for row in rows]

    assert catalogue.state("kept", both, tmp_path / "none", tmp_path) == ("not run", "")
    study.record(both, again, "kept", tmp_path)
    one = study.Study(title="", rows=[*both.rows, study.Row("l2=5", ())], figures=both.figures)
    assert catalogue.state("other", both, output, tmp_path)[0] == "done"
    assert catalogue.state("other", one, output, tmp_path)[0] == "2 of 3 rows done"
    text, agree = catalogue.state("kept", both, tmp_path / "none", tmp_path)
    near = sum(abs(row["test"]["ndcg@100"] - 0.4) <= 0.0005 + 1.96 * row["test"]["ndcg@100_se"]
               for row in rows)  # fmt: skip
    assert (text.startswith("kept of 20"), agree) == (True, f"{near} of 2")
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
