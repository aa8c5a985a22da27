"""What a board keeps of each model on each split, and the tables made of it.

<output>/<dataset>_<protocol>/<model>/seed<N>.json has the test figures of one split, by row too.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aerec import files
from aerec.cross_validation import CrossValidation, Scored
from aerec.data.splits import Split
from aerec.evaluation import statistics
from aerec.evaluation.report import Report
from aerec.runs.run import Run
from experiments import records
from experiments.records import Record

AGAIN = "delete it, and run the board again"
WHOLE = "python -m experiments.board --data_dir=DIR --output=DIR"  # of all rows


def kept(folder: pathlib.Path, seed: int, setting: Mapping[str, Any]) -> bool:
    """Return whether the test of a split is kept, and is of this setting."""
    path = _path(folder, seed)
    return path.exists() and _read(path)["record"]["tuning"]["setting"] == _plain(setting)


def renew(folder: pathlib.Path, seed: int, winner: Mapping[str, Any], command: str) -> None:
    """Note in a kept test that a longer search, by this command, found the same winner."""
    path = _path(folder, seed)
    content = _read(path)
    content["record"] |= {"tuning": _plain(winner), "command": command}
    files.write_json(path, content)


def recorded(dataset: str, protocol: str, model: str) -> Record | None:
    """Return the row of a model in experiments/results; None without one."""
    name = _file(f"{dataset}_{protocol}")
    if not (records.RESULTS / f"{name}.json").exists():
        return None
    rows = {row.label: row for row in records.read(name, records.RESULTS)[1]}
    return rows.get(model)


def keep(
    folder: pathlib.Path,
    seed: int,
    winner: Mapping[str, Any],
    run: Run,
    split: Split,
    *,
    figures: Sequence[str],
    command: str,
    row: Record | None = None,
) -> None:
    """Keep the test of a split. A later winner replaces an earlier one, and the tests are counted.

    Args:
      folder: of the model, whose name is its label.
      winner: `Search.summary`, whose setting the run has.
      figures: names of those to keep.
      command: what makes the row.
      row: of the model in experiments/results; it says how often the split was tested before, if
        the folder does not.
    """
    path, scored, before = _path(folder, seed), Scored.of(run, split), 0
    if path.exists():
        before = _read(path)["record"]["test_scored"]
    elif row and set(run.results["split_hash"]) <= set(row.split_hash):
        before = row.test_scored // len(row.seeds)
    results = {**run.results, "test_scored": before + run.results["test_scored"]}
    record = records.record(
        folder.name, results, figures=figures, command=command, tuning=_plain(winner)
    )
    content = {
        "record": dataclasses.asdict(record),
        "ids": scored.ids.tolist(),
        "per_row": {n: v.tolist() for n, v in scored.report.per_row.items() if n in figures},
    }
    with files.writing(path):
        folder.mkdir(parents=True, exist_ok=True)
    files.write_json(path, content)


def write(output: pathlib.Path, folder: pathlib.Path, *, seeds: Sequence[int]) -> str:
    """Write a results file for each data set and protocol, and `board.json`; return the tables.

    A model has a row once the splits of all seeds are tested. A file is left as it is where models
    of it would be missing. The ranks are over all files of boards in the folder.
    """
    parts: list[str] = []
    for group in sorted(path for path in output.glob("*/") if path.is_dir()):
        paths = {own.name: [_path(own, seed) for seed in seeds] for own in sorted(group.glob("*/"))}
        found = {
            model: [_read(path) for path in each]
            for model, each in paths.items()
            if all(path.exists() for path in each)
        }
        if not found:
            continue
        name = _file(group.name)
        there = records.read(name, folder)[1] if (folder / f"{name}.json").exists() else []
        if missing := [row.label for row in there if row.label not in found]:
            parts.append(
                f"{name}.json was not written: {', '.join(missing)} would be missing. With --kept, "
                "the winners of their searches are tested again."
            )
            continue
        table, rows = _table(group.name, found)
        parts.append(repr(table))
        title = f"Ranking models on {group.name}, searched and tested alike"
        records.write(name, title, rows, folder)
    boards = [records.read(path.stem, folder)[1] for path in sorted(folder.glob("board_*.json"))]
    if ranked := _ranks(boards):
        records.write("board", "Average ranks over the data sets", ranked, folder)
    lines = [
        f"{row.label:12} " + ", ".join(f"{name} {value:g}" for name, value in row.figures.items())
        for row in ranked
    ]
    return "\n\n".join([*parts, "\n".join(lines)])


def _table(
    name: str, found: Mapping[str, Sequence[dict[str, Any]]]
) -> tuple[CrossValidation, list[Record]]:
    """Return the table of a data set and protocol, and its rows, best first."""
    each = {model: [Record(**one["record"]) for one in own] for model, own in found.items()}
    figures = tuple(next(iter(each.values()))[0].figures)
    scored = {
        model: [
            Scored(
                Report(
                    dict(row.figures),
                    {n: np.array(v, np.float32) for n, v in one["per_row"].items()},
                ),
                np.array(one["ids"]),
                row.seconds,
            )
            for row, one in zip(each[model], own, strict=True)
        ]
        for model, own in found.items()
    }
    table = CrossValidation(scored, figures[0], figures, title=name)
    rows = []
    for line in table.frame().iter_rows(named=True):
        own = each[line["model"]]
        errors = {n: line[f"{n}_error"] for n in figures if line[f"{n}_error"] is not None}
        extra = {"rank": line["rank"], **({} if line["p"] is None else {"p": line["p"]})}
        row = dataclasses.replace(
            own[-1],
            figures={**{n: line[n] for n in figures}, **extra},
            errors=errors,
            error_kind="interval",
            split_hash=[digest for one in own for digest in one.split_hash],
            seeds=[seed for one in own for seed in one.seeds],
            seconds=line["seconds"],
            peak_rss_mb=max(one.peak_rss_mb for one in own),
            test_scored=sum(one.test_scored for one in own),
        )
        rows.append(row)
    return table, rows


def _ranks(boards: Sequence[Sequence[Record]]) -> list[Record]:
    """Return a row for each model that has one on every data set: average ranks, best first, hours.

    The hours are of its searches and the fits of their winners.

    Args:
      boards: the rows of each data set and protocol, best first.
    """
    by_protocol: dict[str, list[dict[str, Record]]] = {}
    for rows in boards:
        own = {row.label: row for row in rows}
        by_protocol.setdefault(str(rows[0].protocol["name"]), []).append(own)
    figures: dict[str, dict[str, float]] = {}
    for protocol, each in by_protocol.items():
        common = [model for model in each[0] if all(model in own for own in each)]
        if not common:
            continue
        metric = next(iter(each[0][common[0]].figures))
        means = [[own[model].figures[metric] for model in common] for own in each]
        for model, rank in zip(common, statistics.average_rank(means), strict=True):
            figures.setdefault(model, {}).update(
                {
                    f"rank_{protocol}": float(rank),
                    f"datasets_{protocol}": float(len(each)),
                    f"hours_{protocol}": sum(_seconds(own[model]) for own in each) / 3600,
                }
            )
    first = {row.label: row for rows in boards for row in rows}
    return [
        Record(
            label=model,
            figures=ranks,
            command=WHOLE,
            date=first[model].date,
            machine=first[model].machine,
            versions=first[model].versions,
            data=", ".join(dict.fromkeys(rows[0].data for rows in boards)),
        )
        for model, ranks in sorted(figures.items(), key=lambda own: next(iter(own[1].values())))
    ]


def _seconds(row: Record) -> float:
    """Sum the seconds of the search and the fits of a row."""
    assert row.tuning is not None
    return row.tuning["seconds"] + len(row.seeds) * row.seconds


def _file(group: str) -> str:
    """Return the name of the results file of <dataset>_<protocol>."""
    return f"board_{group}".replace("-", "_")


def _path(folder: pathlib.Path, seed: int) -> pathlib.Path:
    return folder / f"seed{seed}.json"


def _read(path: pathlib.Path) -> dict[str, Any]:
    return files.read_json(path, "record", "ids", "per_row", advice=AGAIN)


def _plain(content: Mapping[str, Any]) -> Any:
    """Return `content` as JSON reads it again: with lists for tuples."""
    return json.loads(files.to_json(content))
