"""Blend the winners of the board, and test the blend against each of them.

  python -m experiments.blended --data_dir=DIR --record

The settings are those of `experiments/results/board_<dataset>_strong.json`, searched on the split
with seed 0. On each of the splits with seeds 1, 2 and 3 the models are fitted and blended
(`aerec.blend`: weights chosen on validation), and each is tested once. A row is a model or the
blend, with the mean of the splits; of the blend, `weight_<model>` too. Rows like `blend-ials` are
paired differences over the test users of all splits, the blend less each model and EASE less each,
with p of each family adjusted by Holm's method.
"""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags

import aerec
from aerec import models
from aerec.cli import command, show
from aerec.cross_validation import FIGURES, CrossValidation, Scored
from aerec.errors import BadInput, nearest
from experiments import board, cells, records
from experiments.records import Record

PROTOCOL = "strong"
METRIC = "ndcg@100"


def main(given: Mapping[str, Any]) -> None:
    """Fit, blend and test; show the rows, and keep them if asked to."""
    dataset, names = given["dataset"], list(dict.fromkeys(given["models"]))
    if len(names) < 2:
        raise BadInput("--models: name at least two models, with commas between")
    settings = winners(dataset, names)
    ratings = aerec.load(dataset, data_dir=given["data_dir"])
    begun = time.perf_counter()
    scored: dict[str, list[Scored]] = {name: [] for name in (*names, "blend")}
    weights, hashes = [], []
    for seed in board.SEEDS:
        split = board.divide(ratings, dataset, PROTOCOL, seed)
        runs = []
        for name in names:
            show.CONSOLE.print(f"Split {seed}: {name}.", style="dim")
            runs.append(aerec.fit(name, split, seed=seed, show=False, **settings[name]))
        runs.append(aerec.blend(runs, split, metric=METRIC))
        for name, run in zip((*names, "blend"), runs, strict=True):
            scored[name].append(Scored.of(run, split))
        weights.append(np.asarray(runs[-1].params["weights"]).tolist())
        hashes += runs[-1].results["split_hash"]
    line = f"python -m experiments.blended --dataset={dataset} --models={','.join(names)}"
    fields = {
        **cells.made(begun, split, board.SEEDS),
        "split_hash": hashes,
        "command": f"{line} --data_dir=DIR",
    }
    title = f"Blend of {len(names)} models on {dataset}"
    table = CrossValidation(scored, METRIC, FIGURES["ranking"], title=title)
    rows = recorded(table, dict(zip(names, np.mean(weights, axis=0).tolist(), strict=True)), fields)
    show.CONSOLE.print(cells.table(title, rows, FIGURES["ranking"]))
    if given["record"]:
        name = f"blend_{dataset.replace('-', '_')}"
        show.CONSOLE.print(f"Kept in {records.write(name, title, rows)}.", markup=False)


def winners(dataset: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """Read the settings that the board's search has chosen.

    Raises:
      BadInput: the board has no such data set or model.
    """
    file = f"board_{dataset.replace('-', '_')}_{PROTOCOL}"
    rows = {row.label: row for row in records.read(file)[1]}
    found = {}
    for name in names:
        models.find(name)
        if name not in rows or rows[name].tuning is None:
            raise BadInput(f"--models: results/{file}.json has no {name!r}. {nearest(name, rows)}")
        tuning = rows[name].tuning or {}
        found[name] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in tuning["setting"].items()
        }
    return found


def recorded(
    table: CrossValidation, weights: Mapping[str, float], fields: Mapping[str, Any]
) -> list[Record]:
    """Make the record of each model, and of the differences between the blend and each."""
    rows = []
    for name in table.ranking():
        figures = {figure: table.mean(name, figure) for figure in table.figures}
        errors = {figure: table.error(name, figure) for figure in table.figures}
        if name == "blend":
            figures |= {f"weight_{model}": weight for model, weight in weights.items()}
        errors = {figure: error for figure, error in errors.items() if np.isfinite(error)}
        rows.append(Record(label=name, figures=figures, errors=errors, **fields))
    for baseline in ("blend", "ease"):
        if baseline in table.scored:
            rows += cells.differences(dataclasses.replace(table, baseline=baseline), fields)
    return rows


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("dataset", "ml-1m", "a data set of the board")
    flags.DEFINE_list("models", ["ials", "elsa", "mdae", "ease", "multdae"], "models of its board")
    flags.DEFINE_bool("record", False, "keep the rows in experiments/results/blend_<dataset>.json")
    command.run(main, __doc__)
