"""A study: several runs of `experiments.train`, each in a process of its own.

So the seconds and memory of a run are those of its command alone. An interrupted study resumes: a
finished run is not trained again, only scored.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import aerec
from aerec import files
from aerec.cli import show
from aerec.errors import BadInput
from aerec.runs import directory
from experiments import cells, records

SETTINGS = ("protocol", "epochs")  # facts that are chosen, not measured


class Row(NamedTuple):
    """One run: its label, the flags of `experiments.train`, the published figures.

    `comparable` says why the published figures of this row are not comparable with ours; empty: the
    reason of the study, if it has one.
    """

    label: str
    flags: tuple[str, ...]
    published: Mapping[str, float] = {}
    comparable: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Runs that belong together.

    Attributes:
      sources: what it reproduces, "<source>, <table or figure>" each.
      assumed: what the source does not say, or is not known of it.
      figures: names in `test` of results.json, one column each; empty: those of the first run's
        task.
      facts: names elsewhere in results.json (protocol, epochs, parameters, train_entries), one
        column each.
      rounding: of the published figures, half a unit of their last decimal.
      comparable: why no published figure is comparable with ours; empty if they are.
      curves: what the plot shows: "validation" (the figure by epoch), "epochs" (the training loss
        next to it), "steps" (the training loss of each mini-batch), or "figures" (test figures with
        intervals).
      pairs: labels of rows whose first figure is compared, paired over test rows, when the study is
        recorded; their test rows are the same, in the same order.
      program: a module of `experiments` with its own flags, which runs the study in place of rows.
      measure: (the record of a run, its directory) -> the records to keep in place of that one.
    """

    title: str
    rows: Sequence[Row]
    sources: tuple[str, ...] = ()
    assumed: str = ""
    figures: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    rounding: float = 0.0005
    comparable: str = ""
    curves: str = "validation"
    pairs: Sequence[tuple[str, str]] = ()
    program: str = ""
    measure: Callable[[records.Record, pathlib.Path], list[records.Record]] | None = None


class Outcome(NamedTuple):
    """A finished run: its row, its run directory, its results.json, the command that made it."""

    row: Row
    workdir: pathlib.Path
    results: dict[str, Any]
    command: str


def run(
    study: Study, output: pathlib.Path, flags: Sequence[str] = (), jobs: int = 1
) -> list[Outcome]:
    """Run every row in `<output>/<label>`.

    Args:
      flags: given to every run, after its own.
      jobs: runs at the same time. They share the cores, and the memory of an accelerator.

    Raises:
      BadInput: two labels with the same folder, or a run that failed (its message, its log).
    """
    names = [workdir(row) for row in study.rows]
    if len(set(names)) < len(names):
        raise BadInput(f"{study.title}: two rows are called alike")
    with files.writing(output):
        output.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if jobs > 1:
        environment.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / jobs:.3f}")
    columns = (TextColumn("{task.completed:.0f}/{task.total}"), BarColumn(),
               TextColumn("{task.description}"), TimeElapsedColumn())  # fmt: skip
    with (
        Progress(*columns, console=show.CONSOLE) as bar,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        task = bar.add_task("", total=len(names))

        def outcome(name: str, row: Row) -> Outcome:
            bar.update(task, description=row.label)
            given, own = (*row.flags, *flags), output / name
            _train((*given, f"--workdir={own}"), output / f"{name}.log", environment)
            return Outcome(row, own, directory.read_results(own), typed(given))

        waiting = [pool.submit(outcome, *named) for named in zip(names, study.rows, strict=True)]
        try:
            for done in concurrent.futures.as_completed(waiting):
                done.result()
                bar.advance(task)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [done.result() for done in waiting]


def record(
    study: Study, outcomes: Sequence[Outcome], name: str, folder: pathlib.Path = records.RESULTS
) -> pathlib.Path:
    """Keep the figures of the study in `<folder>/<name>.json`, a row per run and per pair.

    `study.measure` runs on one run after another, so that its seconds are its own.
    The row of a pair is labelled `<first>-<second>`: the difference of the first figure, its 95%
    bootstrap interval (`_low`, `_high`) and its p-value (`_p`).
    """
    rows = [kept(study, outcome) for outcome in outcomes]
    if study.measure is not None:
        runs = zip(rows, outcomes, strict=True)
        rows = [made for row, o in runs for made in study.measure(row, o.workdir)]
    of = {outcome.row.label: outcome for outcome in outcomes}
    command = f"python -m experiments.reproduce --study={name} --data_dir=DIR --record"
    for first, second in study.pairs:
        rows.append(_compared(of[first], of[second], study.figures[0], command))
    return records.write(name, study.title, rows, folder)


def kept(study: Study, outcome: Outcome) -> records.Record:
    """Make the record of a finished run: figures of the study, counted facts, seconds an epoch."""
    counted = [name for name in study.facts if name != "protocol"]
    return records.record(
        label(outcome.row),
        {**outcome.results, "split_hash": _config(outcome)["data_hash"]},
        figures=(*study.figures, *counted, "epoch_seconds"),
        command=outcome.command,
        published=outcome.row.published,
    )


def label(row: Row) -> str:
    """Return the label of a run's record: `_` in place of what is no letter, digit, `.` or `-`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", row.label).strip("_")


def workdir(row: Row) -> str:
    """Return the name of a run's directory in the folder of the study."""
    return re.sub(r"[^\w.=,-]+", "_", row.label)


def _config(outcome: Outcome) -> dict[str, Any]:
    return directory.read_config(outcome.workdir)


def _compared(first: Outcome, second: Outcome, figure: str, command: str) -> records.Record:
    """Make the record of a difference between two runs on the same test rows."""
    # Not `aerec.compare`, which refuses different protocols: the study knows that the rows pair.
    found = aerec.open(first.workdir).test.compare(aerec.open(second.workdir).test, figure)
    row = records.record(
        f"{label(first.row)}-{label(second.row)}",
        {
            **first.results,
            "protocol": {"name": "paired differences"},
            "split_hash": _config(first)["data_hash"],
            "fit_seconds": 0.0,
        },
        figures=(),
        command=command,
    )
    return dataclasses.replace(row, figures=cells.compared(figure, found))


def typed(flags: Sequence[str]) -> str:
    """Spell the command of a run from a checkout, whatever the folder of its data."""
    places = [re.sub(r"^--data_dir=.*", "--data_dir=DIR", flag) for flag in flags]
    return shlex.join(["python", "-m", "experiments.train", *places])


def _train(flags: Sequence[str], log: pathlib.Path, environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "experiments.train", *flags]
    with log.open("w", encoding="utf-8") as file:
        print("$ python", *command[1:], file=file, flush=True)
        failed = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment
        ).returncode
    if failed:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
        raise BadInput(f"{last.removeprefix('error: ')} (all of it: {log})")
