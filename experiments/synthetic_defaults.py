"""Compare the defaults of models with tuned settings and with the truth, on synthetic clicks.

  python -m experiments.synthetic_defaults --output=runs/synthetic --record
  python -m experiments.synthetic_defaults --output=runs/synthetic --models=ease --settings=s1,s2

No default was chosen on these data. Their ten settings are a Latin hypercube over sizes and laws,
rounded, with at least ten clicks a user, and were fixed before a default was compared on them. The
figures are NDCG@100 of 1,000 test users:

- default: the model as `aerec.fit` makes it.
- tuned: the best of the default and of a search, by 500 validation users. The seed is not that of
  the searches behind the defaults, whose points include them.
- oracle: the ranking by the weights that the clicks were drawn with, the best there is. It knows
  the test users' own vectors, and a model has their clicks alone.

After an interruption the same command resumes; a finished row is not measured again.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from rich.progress import track

import aerec
from aerec import api
from aerec.cli import command, options, show
from aerec.core import Model, Traits
from aerec.data.synthetic import synthesize
from aerec.errors import BadInput, nearest
from aerec.evaluation.report import Report
from aerec.evaluation.statistics import standard_error
from aerec.runs import preparation, scoring
from aerec.runs.run import Run
from aerec.runs.spec import data_hash
from experiments import records, tuning
from experiments.records import Record

FILE, TITLE = "synthetic", "Defaults beside tuned settings and the truth, on synthetic clicks"
MODELS = ("popularity", "itemknn", "ease", "mdae", "multdae", "elsa", "multvae", "ials")
SEED = 1  # of the searches and trainings
METRIC, NEAR, FAR = "ndcg@100", 0.015, 0.03  # losses of a default that are small, or large
HELD: dict[str, Any] = {"valid_users": 500, "test_users": 1000}
NAMES = ("users", "items", "clicks", "rank", "zipf", "taste", "chance", "clusters")
SETTINGS = {  # users in training, items, clicks a user, and the laws of `aerec.data.synthetic`
    name: dict(zip(NAMES, values, strict=True))
    for name, values in {
        "s1": (600, 1100, 33, 16, 0.6, 2.4, 0.0, 0),
        "s2": (300, 700, 14, 24, 0.9, 1.2, 0.1, 0),
        "s3": (1000, 300, 15, 4, 1.1, 1.4, 0.25, 6),
        "s4": (800, 1800, 54, 64, 0.15, 2.0, 0.15, 24),
        "s5": (2300, 150, 15, 10, 0.5, 1.5, 0.35, 8),
        "s6": (1700, 230, 14, 5, 0.0, 1.2, 0.45, 0),
        "s7": (1500, 350, 14, 42, 0.25, 1.7, 0.35, 16),
        "s8": (3000, 450, 41, 32, 0.8, 1.9, 0.6, 0),
        "s9": (550, 1300, 65, 2, 0.45, 2.3, 0.2, 12),
        "s10": (1500, 2000, 10, 6, 1.1, 2.0, 0.1, 0),
    }.items()
}


def silent(text: str) -> None:
    """Print no notes, which would be the same for each model."""


def main(given: Mapping[str, Any]) -> None:
    output = pathlib.Path(options.required(given, "output"))
    folder = records.RESULTS if given["record"] else output
    for flag, known in (("settings", SETTINGS), ("models", aerec.models.MODELS)):
        for name in given[flag]:
            if name not in known:
                raise BadInput(f"--{flag}: there is no {name!r}. {nearest(name, known)}")
    cells = [(model, name) for model in ("", *given["models"]) for name in given["settings"]]
    for model, name in track(cells, "models on data", console=show.CONSOLE):
        line = f"python -m experiments.synthetic_defaults --output=DIR --settings={name}"
        if model:
            asked = " ".join(f"--{flag}={given[flag]}" for flag in ("trials_closed", "trials"))
            line = f"{line} --models={model} {asked}"
        label = f"{model}.{name}" if model else name
        if any((row.label, row.command) == (label, line) for row in kept(folder)):
            continue
        row = measured(model, name, given, output, line) if model else described(name, line)
        records.add(FILE, TITLE, row, folder)
        show.CONSOLE.print(f"{label}: {dict(row.figures)}", markup=False, soft_wrap=True)
    records.write(FILE, TITLE, summarised(kept(folder)), folder)


def kept(folder: pathlib.Path) -> list[Record]:
    """Read the rows that are finished."""
    return records.read(FILE, folder)[1] if (folder / f"{FILE}.json").exists() else []


@functools.cache
def drawn(name: str) -> tuple[aerec.Split, np.ndarray]:
    """Draw the clicks of a setting; return their split and the true log weights [R, N] of its test.

    The seed of the draws is the place of the setting.
    """
    given = dict(SETTINGS[name])
    users = given.pop("users") + sum(HELD.values())
    given |= {"users": users, "ratings": users * given.pop("clicks"), "activity": 0.7}
    given |= {"implicit": 1, "seed": list(SETTINGS).index(name)}
    ratings, truth = synthesize(**given)
    title = "synthetic:" + ",".join(f"{key}={value}" for key, value in given.items())
    split = aerec.split(ratings._replace(name=title), "strong", min_user=1, log=silent, **HELD)
    columns = np.searchsorted(ratings.item_ids, split.item_ids)
    assert split.test_ids is not None  # users who are held out
    return split, truth.world.log_weight(split.test_ids)[:, columns]


def oracle(split: aerec.Split, weights: np.ndarray) -> Report:
    """Score the ranking by the true weights [R, N] on the test users, like that of any model."""
    model = Model(
        traits=Traits(task="ranking"),
        init=lambda key: jnp.zeros_like(weights),
        encode=lambda weights, x: weights.at[x.index].get(mode="fill", fill_value=0),
        score=lambda weights, x: weights.at[x.index].get(mode="fill", fill_value=0),
    )
    numbered = split.test._replace(rows=jnp.arange(len(weights)))
    return scoring.evaluator(model, split, METRIC)(jnp.asarray(weights, jnp.float32), numbered)


def described(name: str, line: str) -> Record:
    """Return the row of a setting: its sizes, its laws and the oracle's figure."""
    begun = time.perf_counter()
    split, weights = drawn(name)
    report = oracle(split, weights)
    users, items = split.train.num_rows, split.train.num_columns
    density = split.train.lengths().sum() / (users * items)
    sizes = {"users": users, "items": items, "density": density}
    return Record(
        label=name,
        figures={**SETTINGS[name], **sizes, "oracle": report.figures[METRIC]},
        errors={"oracle": 1.96 * report.figures[f"{METRIC}_se"]},
        command=line,
        versions={"aerec": aerec.__version__, "jax": jax.__version__, "numpy": np.__version__},
        date=time.strftime("%Y-%m-%d"),
        machine=records.machine(),
        data=split.dataset,
        protocol=split.protocol,
        split_hash=[data_hash(split)],
        seeds=[0],
        seconds=time.perf_counter() - begun,
    )


def measured(
    model: str, name: str, given: Mapping[str, Any], output: pathlib.Path, line: str
) -> Record:
    """Return the row of a model on a setting: its default and the best of a search."""
    split, _ = drawn(name)
    begun = time.perf_counter()
    closed = preparation.solved(api.specify(model, split, {}), split)
    trials = given["trials_closed"] if closed else given["trials"]
    found = tuning.search(model, split, trials, SEED, store=output / name, show=False)
    default = tuned = aerec.fit(model, split, seed=SEED, show=False, log=silent)
    first, best = validation(default, split), found.summary()["validation"]
    if best > first:
        tuned = aerec.fit(model, split, seed=SEED, show=False, log=silent, **found.best)
    rows = [run.finished.reports[0].per_row[METRIC] for run in (default, tuned)]
    figures = {
        "default": float(default.test[METRIC]),
        "tuned": float(tuned.test[METRIC]),
        "loss": float(tuned.test[METRIC] - default.test[METRIC]),
        "validation_default": first,
        "validation_tuned": max(first, best),
        "validation_loss": max(0.0, best - first),
    }
    row = records.record(
        f"{model}.{name}", tuned.results, figures=(), command=line, tuning=found.summary()
    )
    return dataclasses.replace(
        row,
        figures=figures,
        errors={"loss": 1.96 * standard_error(rows[1] - rows[0])},
        seconds=time.perf_counter() - begun,
        test_scored=1 if tuned is default else 2,
    )


def validation(run: Run, split: aerec.Split) -> float:
    """Score a run on the validation part."""
    return scoring.evaluator(run.model, split, METRIC)(run.params, split.valid).figures[METRIC]


def summarised(rows: list[Record]) -> list[Record]:
    """Add a row for each model, and to the rows of the settings the losses and the best."""
    settings = {row.label: row for row in rows if row.label in SETTINGS}
    cells = {row.label: row for row in rows if "." in row.label}
    own = {
        model: {name: cells[f"{model}.{name}"] for name in settings if f"{model}.{name}" in cells}
        for model in dict.fromkeys(label.partition(".")[0] for label in cells)
    }
    for name, row in settings.items():
        each = {model: cell[name].figures for model, cell in own.items() if name in cell}
        best = [max(figures["default"], figures["tuned"]) for figures in each.values()]
        found = {f"loss.{model}": figures["loss"] for model, figures in each.items()}
        found |= {"best": max(best)} if best else {}
        settings[name] = dataclasses.replace(row, figures={**row.figures, **found})
    return [*settings.values(), *cells.values(), *(_of(*item, settings) for item in own.items())]


def _of(model: str, cells: Mapping[str, Record], settings: Mapping[str, Record]) -> Record:
    """Return the row of a model over the settings."""
    each = {part: [cell.figures[part] for cell in cells.values()] for part in ("default", "tuned")}
    limits = {part: [settings[name].figures[part] for name in cells] for part in ("oracle", "best")}
    loss = np.array([cell.figures["loss"] for cell in cells.values()])
    share = {
        f"{part}_of_{limit}": float(np.mean(np.divide(each[part], limits[limit])))
        for part in each
        for limit in limits
    }
    last = list(cells.values())[-1]
    return Record(
        label=model,
        figures={
            "settings": len(cells),
            "trials": min(cell.tuning["trials"] for cell in cells.values() if cell.tuning),
            **{part: float(np.mean(values)) for part, values in each.items()},
            **share,
            "loss": float(loss.mean()),
            "worst": float(loss.max()),
            "near": int((loss <= NEAR).sum()),
            "far": int((loss > FAR).sum()),
        },
        command=f"python -m experiments.synthetic_defaults --output=DIR --models={model}",
        versions=last.versions,
        date=last.date,
        machine=last.machine,
        data=f"{len(cells)} synthetic data sets",
        seconds=sum(cell.seconds for cell in cells.values()),
        test_scored=sum(cell.test_scored for cell in cells.values()),
    )


if __name__ == "__main__":
    flags.DEFINE_string("output", None, "the folder of the trials, and of the rows")
    flags.DEFINE_list("settings", list(SETTINGS), "names of settings of the data")
    flags.DEFINE_list("models", list(MODELS), "names of models, the first is begun first")
    flags.DEFINE_integer("trials_closed", 12, "trials of each model in closed form", 1)
    flags.DEFINE_integer("trials", 12, "trials of each model that is trained", 1)
    flags.DEFINE_bool("record", False, "keep the rows in experiments/results/synthetic.json")
    command.run(main, __doc__)
