"""Cells of a study that is a program: each is measured once and kept, and made into records.

A cell is a JSON object. Its entry `made` has the fields of a record that say how it was measured.
"""

import datetime
import pathlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import rich.box
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import aerec
from aerec import files
from aerec.cli import show
from aerec.cross_validation import CrossValidation, Scored
from aerec.data.splits import Split
from aerec.evaluation import statistics
from aerec.evaluation.report import Report
from aerec.runs.run import Run
from aerec.runs.spec import data_hash
from experiments import records
from experiments.records import Record

Content = dict[str, Any]
AGAIN = "delete it, and run the same command again"


def measure(cells: Mapping[str, Callable[[], Content]], output: pathlib.Path) -> list[Content]:
    """Return the content of each cell, from `<output>/<name>.json` if it was measured before."""
    with files.writing(output):
        output.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.completed:.0f}/{task.total} cells"), BarColumn(),
               TextColumn("{task.description}"), TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=show.CONSOLE) as bar:
        task = bar.add_task("", total=len(cells))
        for name, cell in cells.items():
            bar.update(task, description=name)
            path = output / f"{name}.json"
            if not path.exists():
                files.write_json(path, cell())
            bar.advance(task)
    return [files.read_json(output / f"{name}.json", "made", advice=AGAIN) for name in cells]


def made(begun: float, split: Split | None = None, seeds: Sequence[int] = ()) -> dict[str, Any]:
    """Return how a cell was measured, by the names of a record's fields.

    Args:
      begun: when, by `time.perf_counter`.
      split: the data that it was measured on.
      seeds: of its training.
    """
    data: dict[str, Any] = {}
    if split is not None:
        hashes = [data_hash(split)]
        data = {"data": split.dataset, "protocol": split.protocol, "split_hash": hashes}
    return {
        "versions": {"aerec": aerec.__version__, "python": platform.python_version(),
                     "jax": jax.__version__, "numpy": np.__version__},
        "date": datetime.date.today().isoformat(),
        "machine": records.machine(),
        "seeds": list(seeds),
        "seconds": time.perf_counter() - begun,
        **data,
    }  # fmt: skip


def tested(begun: float, run: Run, split: Split, figures: Sequence[str]) -> Content:
    """Test a run with one seed; return the content of its cell, with the figures of each user.

    Args:
      begun: when the fit was begun, by `time.perf_counter`.
    """
    own = Scored.of(run, split)
    per_row = own.report.per_row
    return {
        "ids": own.ids.astype(str).tolist(),
        "figures": {name: own.report.figures[name] for name in figures},
        "per_row": {name: per_row[name].tolist() for name in figures if name in per_row},
        "fit_seconds": own.seconds,
        "made": made(begun, split, (0,)),
    }


def scored(content: Content) -> Scored:
    """Read the content of a cell that `tested` made."""
    per_row = {name: np.array(values, np.float32) for name, values in content["per_row"].items()}
    return Scored(Report(content["figures"], per_row), np.array(content["ids"]),
                  content["fit_seconds"])  # fmt: skip


def joined(contents: Sequence[Content], command: str) -> dict[str, Any]:
    """Return the fields of a record of several cells of one model, a split each."""
    each = [content["made"] for content in contents]
    hashes = [digest for one in each for digest in one["split_hash"]]
    return {**each[0], "split_hash": hashes, "command": command}


def compared(figure: str, found: statistics.Comparison, p: str = "p") -> dict[str, float]:
    """Name the difference of a figure, its interval (`_low`, `_high`) and its p-value (`_p`)."""
    ends = dict(zip(("low", "high", p), (*found.interval, found.p), strict=True))
    return {figure: found.difference, **{f"{figure}_{end}": own for end, own in ends.items()}}


def differences(table: CrossValidation, fields: Mapping[str, Any]) -> list[Record]:
    """Make the records of the baseline less each model, with p by Holm's method (`_p_holm`)."""
    rows = []
    for (first, second), found in table.tests().items():
        figures = compared(table.metric, found, "p_holm")
        rows.append(Record(label=f"{first}-{second}", figures=figures, **fields))
    return rows


def difference(
    label: str, figure: str, first: Any, second: Any, counts: Any = None, *, root: bool = False,
    **fields: Any,
) -> Record:
    """Make the record of a paired difference.

    Args:
      figure: its name.
      first, second, counts, root: as `statistics.paired_randomisation_test` takes them.
      fields: further fields of the record.
    """
    found = statistics.paired_randomisation_test(first, second, counts, root=root)
    return Record(label=label, figures=compared(figure, found), **fields)


def table(title: str, rows: Sequence[Record], figures: Sequence[str]) -> Table:
    """Tabulate figures of records, with their errors or the interval of a difference."""
    shown = Table(box=rich.box.SIMPLE_HEAD, title=title, title_justify="left")
    for header in ("", *figures):
        shown.add_column(header, justify="right" if header else "left")
    for row in rows:
        shown.add_row(row.label, *(_cell(row, figure) for figure in figures))
    return shown


def _cell(row: Record, figure: str) -> str:
    if figure not in row.figures:
        return ""
    text = f"{row.figures[figure]:.4g}"
    if figure in row.errors:
        return f"{text} ± {row.errors[figure]:.2g}"
    if f"{figure}_low" in row.figures:
        low, high = (row.figures[f"{figure}_{end}"] for end in ("low", "high"))
        sign = "+" if f"{figure}_p" in row.figures else ""  # of a difference
        shown = [format(own, f"{sign}.4f") for own in (row.figures[figure], low, high)]
        return f"{shown[0]} \\[{shown[1]}, {shown[2]}]"
    return text
