"""Compare models with and without the genres of the items, on items with few ratings in training.

  python -m experiments.hybrid --data_dir=DIR --output=runs/hybrid --record

- `autorec`: I-AutoRec on a random tenth of the ratings. The figures are the RMSE, and that over the
  cold items, which have one to four ratings in training.
- `multvae`: Mult-VAE on held-out users. The figures are NDCG@100, and `cold_ndcg@100` of the cold
  items alone, those with fewer than five clicks in training: they are ranked among each other, and
  the target is a user's held-out clicks on them.

Rows `.content` have features=content, and rows `.gain` the paired difference to the model without,
with its interval: over items for the RMSE, over users for NDCG. An item or a user that is tested on
several splits counts as one. Both fits have the same settings, those of `SETTINGS`, which were
chosen for neither. A finished split is a file in --output; the same command resumes.
"""

import functools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

import aerec
from aerec import models
from aerec.cli import command, options, show
from aerec.core import Table
from aerec.data.ratings import Ratings
from aerec.data.splits import Split
from aerec.evaluation import statistics
from aerec.runs import scoring
from aerec.runs.run import Run
from experiments import cells, cold, records
from experiments.cells import Content
from experiments.records import Record

FILE, TITLE = "hybrid", "Genres of the items in models of ratings and of clicks"
DATASETS, SEEDS = ("anime", "ml-1m"), (1, 2, 3)
FEW = 5  # ratings of an item in training, below which it is cold
WAYS: dict[str, dict[str, Any]] = {"": {}, ".content": {"features": "content"}}
SETTINGS: dict[str, dict[str, Any]] = {
    "autorec": {},
    "multvae": {"epochs": 60, "batch_size": 100, "learning_rate": 2e-3},
}


def main(given: Mapping[str, Any]) -> None:
    output = pathlib.Path(options.required(given, "output"))
    read = functools.cache(lambda dataset: aerec.load(dataset, data_dir=given["data_dir"]))

    def measured(dataset: str, model: str, seed: int) -> Content:
        return measure(read(dataset), model, seed)

    planned = {
        f"{dataset}.{model}.{seed}": functools.partial(measured, dataset, model, seed)
        for dataset in given["datasets"] for model in given["models"] for seed in SEEDS
    }  # fmt: skip
    contents = dict(zip(planned, cells.measure(planned, output), strict=True))
    line = "python -m experiments.hybrid --data_dir=DIR --output=DIR"
    rows = []
    for dataset in given["datasets"]:
        for model in given["models"]:
            own = [contents[f"{dataset}.{model}.{seed}"] for seed in SEEDS]
            rows += recorded(f"{dataset}.{model}", own, f"{line} --datasets={dataset}")
    path = records.write(FILE, TITLE, rows, records.RESULTS if given["record"] else output)
    figures = list(dict.fromkeys(name for row in rows for name in row.errors))
    show.CONSOLE.print(cells.table(f"{TITLE}: {len(SEEDS)} splits", rows, figures))
    done = f"Kept in {path}." if given["record"] else f"Next: {line} --record"
    show.CONSOLE.print(done, markup=False, soft_wrap=True)


def measure(ratings: Ratings, model: str, seed: int) -> Content:
    """Fit and test a model in each of the `WAYS` on one split.

    Returns:
      `sums` of each way and `counts`, of each figure, by row; `ids` of the rows: items of AutoRec,
      users of Mult-VAE; and what `cells.made` returns.
    """
    begun = time.perf_counter()
    task = models.traits(model, {}).task
    split = aerec.split(ratings, scoring.DEFAULTS[task].protocol, seed=seed, log=_silent)
    figures = {"rating": _errors, "ranking": _gains}[task]
    sums: Content = {}
    for way, setting in WAYS.items():
        run = aerec.fit(model, split, seed=seed, show=False, log=_silent,
                        **SETTINGS[model], **setting)  # fmt: skip
        ids, sums[way], counts = figures(run, split)  # of all ways alike, but the sums
    return {"ids": ids.astype(str).tolist(), "sums": sums, "counts": counts,
            "made": cells.made(begun, split, (seed,))}  # fmt: skip


def _errors(run: Run, split: Split) -> tuple[np.ndarray, Content, Content]:
    """Return (ids of the items, sums of squared errors, numbers of ratings)."""
    per_row = run.test.reports[0].per_row
    squared, entries = (np.nan_to_num(per_row[name]) for name in ("squared_error", "entries"))
    known = split.train.column_counts()
    few = (known > 0) & (known < FEW)
    parts = {"rmse": np.ones(len(few)), "cold_rmse": few.astype(float)}
    sums = {name: (squared * own).tolist() for name, own in parts.items()}
    return split.item_ids, sums, {name: (entries * own).tolist() for name, own in parts.items()}


def _gains(run: Run, split: Split) -> tuple[np.ndarray, Content, Content]:
    """Return (ids of the users, figures, 1 where a user has one)."""
    assert split.test_ids is not None
    known = split.train.column_counts()
    column = np.where(known < FEW, np.cumsum(known < FEW) - 1, -1)
    row, target, value = split.test.target.entries()
    kept = column[target] >= 0
    rows, listed = split.test.input.num_rows, split.test.input.columns.size
    wanted = Table.from_entries(row[kept], column[target[kept]], value[kept],
                                num_rows=rows, num_columns=int((known < FEW).sum()))  # fmt: skip
    x = split.test.input.gather(jnp.arange(rows), listed)
    scores = np.asarray(jax.jit(run.model.score)(run.params, x))[:, known < FEW]
    alone = cold.evaluated(wanted, scores)
    found = {"ndcg@100": run.test.reports[0].per_row["ndcg@100"],
             "cold_ndcg@100": alone.per_row["ndcg@100"]}  # fmt: skip
    sums = {name: np.nan_to_num(own).tolist() for name, own in found.items()}
    counts = {name: np.isfinite(own).astype(float).tolist() for name, own in found.items()}
    return split.test_ids, sums, counts


def recorded(label: str, contents: Sequence[Content], line: str) -> list[Record]:
    """Make the records of a model on a data set: one of each way, and the gain of the features."""
    made = [own["made"] for own in contents]
    fields = {
        **made[0],
        "command": line,
        "split_hash": [digest for own in made for digest in own["split_hash"]],
        "seeds": [seed for own in made for seed in own["seeds"]],
        "seconds": sum(own["seconds"] for own in made),
    }
    names, rows, gains = list(contents[0]["counts"]), [], []
    for way in WAYS:
        figures, errors = {}, {}
        for name in names:
            sums, counts = pooled(contents, way, name)
            root = name.endswith("rmse")
            figures[name] = statistics.estimate(sums, counts, root=root)
            errors[name] = 1.96 * statistics.standard_error(sums, counts, root=root)
        rows.append(Record(label=label + way, figures=figures, errors=errors, **fields))
    for name in names:
        (first, counts), (second, _) = (pooled(contents, way, name) for way in (".content", ""))
        gains.append(cells.difference(f"{label}.gain", name, first, second, counts,
                                      root=name.endswith("rmse"), **fields))  # fmt: skip
    figures = {name: value for own in gains for name, value in own.figures.items()}
    return [*rows, Record(label=f"{label}.gain", figures=figures, **{**fields, "seconds": 0.0})]


def pooled(contents: Sequence[Content], way: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Add the sums and the counts of a figure over the splits, for each row that has any."""
    _, number = np.unique(np.concatenate([own["ids"] for own in contents]), return_inverse=True)
    sums = np.bincount(number, np.concatenate([own["sums"][way][name] for own in contents]))
    counts = np.bincount(number, np.concatenate([own["counts"][name] for own in contents]))
    return sums[counts > 0], counts[counts > 0]


def _silent(text: str) -> None:
    """Print no notes, which would be the same for each fit."""


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("output", None, "the folder of the finished splits")
    flags.DEFINE_list("datasets", list(DATASETS), "names of data sets with genres")
    flags.DEFINE_list("models", list(SETTINGS), "autorec, multvae")
    flags.DEFINE_bool("record", False, f"keep the rows in experiments/results/{FILE}.json")
    command.run(main, __doc__)
