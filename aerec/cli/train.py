"""Train one model on one split, select on validation, score the test part once.

By default: Mult-VAE on the embedded MovieLens ratings, compared with popularity and EASE.

  python -m experiments.train
  python -m experiments.train --model=autorec --dataset=ml-1m --data_dir=DIR --seeds=5
  python -m experiments.train --config=multvae_ml1m --data_dir=DIR --set dropout=0.6
  python -m experiments.train --protocol=files --split_dir=DIR --model=ease

The same command resumes an interrupted run.
"""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from absl import flags

from aerec import configuration, hosts, mesh, models, plots
from aerec.cli import options, show
from aerec.data import datasets, readers
from aerec.errors import BadInput
from aerec.runs import artefact, directory, fitting, preparation, progress, scoring
from aerec.runs.recommend import Recommender
from aerec.runs.spec import Spec, default_workdir, sized
from aerec.training.settings import Settings

DEFAULT: dict[str, Any] = {  # defaults: under a minute on two cores, no download
    "model": "multvae",
    "dataset": "movielens-small",
    "protocol": "strong",
    "epochs": 30,
    "batch_size": 25,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "evaluate_every": 3,
    "set": {"hidden": (600,), "latent": 200, "dropout": 0.5, "beta": 0.2, "anneal_steps": 2000},
}
EXAMPLE = pathlib.Path(__file__).parent / "example_history.csv"


def define_flags() -> None:
    options.define_run_flags()
    flags.DEFINE_string(
        "mesh", None, "how devices share the run, like data:4,model:2 (default: all on data)"
    )
    flags.DEFINE_string(
        "coordinator", None,
        "HOST:PORT of the first of several processes; auto: found by JAX, as on SLURM"
        " (default $JAX_COORDINATOR_ADDRESS)",
    )  # fmt: skip
    flags.DEFINE_integer("processes", None, "with --coordinator: how many processes", 1)
    flags.DEFINE_integer("process", None, "with --coordinator: which of them this is, from 0", 0)


def main(given: Mapping[str, Any]) -> None:
    chosen, task, spec = planned(given)
    hosts.join(given["coordinator"], given["processes"], given["process"])
    over = mesh.chosen(given["mesh"])
    if not hosts.first():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    splits = options.load_splits(given, chosen["dataset"], chosen["protocol"], chosen["seeds"])
    spec = sized(spec, splits[0], prolong=not chosen["epochs_given"])
    for note in splits[0].notes:
        show.CONSOLE.print(options.dashed(note), style="dim", markup=False)
    workdir = pathlib.Path(given["workdir"] or default_workdir(spec, splits))
    others = chosen.get("baselines", scoring.DEFAULTS[task].baselines)
    baselines = [name for name in others if name != spec.model]
    epochs = None if preparation.solved(spec, splits[0]) else spec.settings.epochs
    with progress.bar(epochs, spec.settings.metric, show.CONSOLE) as update:
        finished = fitting.run(
            spec,
            splits,
            workdir,
            baselines=baselines,
            checkpoint_seconds=given["checkpoint_seconds"],
            over=over,
            progress=update,
            log=lambda text: show.CONSOLE.print(text, style="dim", markup=False),
        )
    if hosts.first():
        report(workdir, task, spec, splits, finished)


def planned(given: Mapping[str, Any]) -> tuple[dict[str, Any], str, Spec]:
    """Return the choices of the flags, the task and the run's Spec, without reading data."""
    chosen = choose(given)
    task = options.protocol(given, chosen["protocol"]).task
    spec = specify(chosen, task, source={name: given[name] for name in options.DATA_FLAGS})
    scoring.require_metric(spec.settings.metric, task)
    return chosen, task, spec


def choose(given: Mapping[str, Any]) -> dict[str, Any]:
    """Choose what to run: given flags, then the recipe, then the model's own defaults."""
    given_flags = {name: value for name, value in given.items() if value is not None}
    what = ("config", "model", "dataset", "data_file", "protocol", "split_dir")
    nothing_given = all(given[name] is None for name in what)
    recipe = DEFAULT if nothing_given else options.recipe(given["config"])
    name = given_flags.get("model", recipe.get("model", "multvae"))
    if name != recipe.get("model", name):
        raise BadInput(f"--config={given['config']} is for {recipe['model']}, not {name}")
    traits = models.traits(name, {})
    usual = scoring.DEFAULTS[traits.task].protocol
    chosen = {"protocol": usual, **traits.training, **recipe, **given_flags, "model": name}
    chosen["epochs_given"] = "epochs" in {**recipe, **given_flags}
    plan = {name: chosen[name] for name in configuration.kinds(options.Plan) if name in chosen}
    chosen |= vars(configuration.fill(options.Plan, plan, of="the run"))
    chosen["set"] = {**recipe.get("set", {}), **configuration.assignments(given["set"], of="--set")}
    models.configure(name, chosen["set"])  # a typing error is reported before the data are read
    if "momentum" in given_flags and chosen.get("optimiser", "adam") != "sgd":
        raise BadInput("--momentum belongs to sgd: give --optimiser=sgd as well")
    chosen["seeds"] = tuple(range(chosen["seed"], chosen["seed"] + chosen["seeds"]))
    if given["split_dir"]:
        chosen["protocol"] = given_flags.get("protocol", "files")
        if chosen["protocol"].partition(":")[0] != "files":
            raise BadInput("--split_dir goes with --protocol=files")
        if given["data_file"]:
            raise BadInput("--split_dir replaces --data_file; give one of them")
        folder = pathlib.Path(given["split_dir"]).resolve()  # --dataset only names the data
        chosen["dataset"] = given_flags.get("dataset", folder.name)
    elif given["data_file"]:
        if "dataset" in given_flags:
            raise BadInput("--data_file replaces --dataset; give one of them")
        chosen["dataset"] = pathlib.Path(given["data_file"]).name
    elif chosen["protocol"].partition(":")[0] == "files":
        raise BadInput("--protocol=files needs --split_dir, the folder of the ready splits")
    refuse_unread(given)
    return chosen


def refuse_unread(given: Mapping[str, Any]) -> None:
    """Raise BadInput for flags about a file of ratings that have no effect."""
    ready = bool(given["split_dir"])
    if ready or not given["data_file"]:
        unread = [name for name in options.FILE_FLAGS if not (ready and name == "scale")]
        options.refuse(unread, "without --data_file")
    elif given["format"] not in (None, "delimited"):
        delimited = ("separator", "header", "columns")
        options.refuse(delimited, f"with --format={given['format']}")
    if ready:
        options.refuse(("data_dir", "on_bad_line"), "with --split_dir")
    if ready or given["data_file"] or given["dataset"] in (None, *datasets.DATASETS):
        options.refuse(("table",), "without a folder of `aerec convert`")


def specify(chosen: Mapping[str, Any], task: str, *, source: Mapping[str, Any]) -> Spec:
    """Build the run's Spec; the metric, if not given, is the task's."""
    names = [field.name for field in dataclasses.fields(Settings)]
    settings = {name: chosen[name] for name in names if name in chosen}
    settings.setdefault("metric", scoring.DEFAULTS[task].metric)
    return Spec(
        model=chosen["model"],
        set=chosen["set"],
        dataset=chosen["dataset"],
        settings=configuration.fill(Settings, settings, of="training"),
        seeds=chosen["seeds"],
        order_penalty=chosen["order_penalty"],
        source=source,
    )


def report(
    workdir: pathlib.Path, task: str, spec: Spec, splits: list, finished: fitting.Finished
) -> None:
    """Print the table, recommendations for a user who is not in the data, and the next command."""
    results, reports, baselines = finished.results, finished.reports, finished.baselines
    if reports:
        show.CONSOLE.print(show.results_table(task, spec.model, results, reports, baselines))
    times = results.get("test_scored", 0)
    if times > 1:
        show.CONSOLE.print(f"Test data scored with this run: {times} times.", style="dim")
    for skipped, why in results["baselines_skipped"].items():
        show.CONSOLE.print(f"No {skipped}: {why}", style="dim", markup=False)
    metric = show.COLUMNS[task][0]
    log = directory.read_log(workdir / directory.METRICS)
    if log:
        curve = plots.learning_curve(log, spec.settings.metric)
        plots.save(curve, workdir / directory.LEARNING_CURVE)
    if task == "ranking" and reports:
        figures = {spec.model: reports[0], **baselines}
        per_row = {name: each.per_row[metric] for name, each in figures.items()}
        activity = plots.by_activity(splits[0].test.input.lengths(), per_row, metric)
        plots.save(activity, workdir / directory.ACTIVITY)
    seconds = results["fit_seconds"]
    command = f"evaluate --workdir={workdir} --intervals"
    if example(artefact.load(workdir)):
        command = f"recommend --workdir={workdir} --history={_relative(EXAMPLE)} --k=10"
    elif not reports:
        command = f"recommend --workdir={workdir} --history=HISTORY.csv"
    show.CONSOLE.print(
        f"Fitted in {seconds:.1f} s; results, plots and the model are in {workdir}.",
        options.typed(f"Next: python -m experiments.{command}"),
        sep="\n",
        markup=False,
        soft_wrap=True,
    )


def example(loaded: artefact.Artefact) -> bool:
    """Print ten recommendations for the user of example_history.csv, if the data have the films."""
    titles = loaded.vocabulary.titles
    if titles is None or not any("Star Wars" in title for title in titles):
        return False
    items = readers.read_columns(EXAMPLE, {"item": "id"})["item"]
    try:
        recommender = Recommender(loaded)
        liked = dict.fromkeys(items.tolist(), 5.0)
        histories = recommender.reader(liked, name=EXAMPLE.name)
    except BadInput as error:
        show.CONSOLE.print(f"No recommendations: {error}", markup=False)
        return False
    if "Star Wars" not in str(titles[histories.seen.indices]):
        return False  # the ids of that file are those of other films here
    answer, _ = recommender.recommend(histories, k=10)
    title = "Ten recommendations for a user who is not in the data (likes Star Wars, The Matrix)"
    show.CONSOLE.print(show.recommendations_table(title, answer))
    return True


def _relative(path: pathlib.Path) -> pathlib.Path:
    here = pathlib.Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
