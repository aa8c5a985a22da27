"""A study: several runs of `experiments.train`, one table and one plot.

Each run is a process of its own, so its seconds and memory are those of its command alone. An
interrupted study resumes: a finished run is not trained again, only scored.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import rich.box
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import aerec
from aerec import files, plots
from aerec.cli import show
from aerec.errors import BadInput
from aerec.runs import directory
from experiments import audited, records


class Row(NamedTuple):
    """One run: its label, the flags of `experiments.train`, the published figures."""

    label: str
    flags: tuple[str, ...]
    published: Mapping[str, float] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Runs that belong together.

    Attributes:
      figures: names in `test` of results.json, one column each; empty: those of the first run's
        task.
      curves: what the plot shows of each run: "validation" by epoch, "steps" (the training loss of
        each mini-batch), or "" for no plot.
      pairs: labels of rows whose first figure is compared, paired over test rows, when the study is
        recorded.
      audit: flags of `experiments.audit`; if given, the records are those of audits of the runs.
    """

    title: str
    rows: Sequence[Row]
    figures: tuple[str, ...] = ()
    curves: str = "validation"
    pairs: Sequence[tuple[str, str]] = ()
    audit: Sequence[str] | None = None


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
    names = [re.sub(r"[^\w.=,-]+", "_", row.label) for row in study.rows]
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
            given, workdir = (*row.flags, *flags), output / name
            _train((*given, f"--workdir={workdir}"), output / f"{name}.log", environment)
            return Outcome(row, workdir, directory.read_results(workdir), _typed(given))

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

    Audits run one after another, so that their seconds are their own.
    The row of a pair is labelled `<first>-<second>`: the difference of the first figure, its 95%
    bootstrap interval (`_low`, `_high`) and its p-value (`_p`).
    """
    rows = [
        records.record(
            label(outcome.row),
            {**outcome.results, "split_hash": _config(outcome)["data_hash"]},
            figures=(*study.figures, "epoch_seconds"),
            command=outcome.command,
            published=outcome.row.published,
        )
        for outcome in outcomes
    ]
    if study.audit is not None:
        audits = zip(rows, outcomes, strict=True)
        rows = [r for row, o in audits for r in audited.audit(row, o.workdir, study.audit)]
    of = {outcome.row.label: outcome for outcome in outcomes}
    rows += [_compared(of[first], of[second], study.figures[0]) for first, second in study.pairs]
    return records.write(name, study.title, rows, folder)


def label(row: Row) -> str:
    """Return the label of a run's record: `_` in place of what is no letter, digit, `.` or `-`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", row.label).strip("_")


def _config(outcome: Outcome) -> dict[str, Any]:
    return directory.read_config(outcome.workdir)


def _compared(first: Outcome, second: Outcome, figure: str) -> records.Record:
    """Make the record of a difference between two runs on the same test rows."""
    found = aerec.compare(aerec.open(first.workdir), aerec.open(second.workdir), figure)
    row = records.record(
        f"{label(first.row)}-{label(second.row)}",
        {
            **first.results,
            "protocol": {"name": "paired differences"},
            "split_hash": _config(first)["data_hash"],
            "fit_seconds": 0.0,
        },
        figures=(),
        command="python -m experiments.evaluate"
        f" --workdir={first.workdir} --against={second.workdir} --metrics={figure}",
    )
    low, high = found.interval
    ends = {f"{figure}_low": low, f"{figure}_high": high, f"{figure}_p": found.p}
    return dataclasses.replace(row, figures={figure: found.difference, **ends})


def show_run(
    study: Study,
    output: pathlib.Path,
    flags: Sequence[str],
    *,
    jobs: int = 1,
    record_as: str | None = None,
) -> None:
    """Run the study; write its table and plot; print the table and the next command.

    Args:
      record_as: the name of the results file to write; None writes none.
    """
    outcomes = run(study, output, flags, jobs)
    if not study.figures:
        task = outcomes[0].results["protocol"]["task"]
        study = dataclasses.replace(study, figures=show.COLUMNS[task])
    write(study, outcomes, output)
    if record_as is not None:
        kept = record(study, outcomes, record_as)
        show.CONSOLE.print(f"Kept in {kept}.", markup=False, soft_wrap=True)
    show.CONSOLE.print(table(study, outcomes))
    show.CONSOLE.print(
        f"Table, pictures of trained models and runs are in {output}.\n"
        f"Next: python -m experiments.evaluate --workdir={outcomes[0].workdir} --intervals",
        markup=False,
        soft_wrap=True,
    )


def table(study: Study, outcomes: Sequence[Outcome]) -> Table:
    """Tabulate label, figures (± sd over seeds, or half a 95% interval), published, seconds, MB."""
    shown = Table(title=study.title, box=rich.box.SIMPLE_HEAD, title_justify="left")
    for column in _header(study):
        shown.add_column(column, justify="right" if column else "left")
    for outcome in outcomes:
        shown.add_row(*_cells(study, outcome))
    return shown


def _typed(flags: Sequence[str]) -> str:
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


def _header(study: Study) -> list[str]:
    header = [""]
    for figure in study.figures:
        header.append(figure)
        if any(figure in row.published for row in study.rows):
            header.append("published")
    return [*header, "fit s", "MB"]


def _cells(study: Study, outcome: Outcome) -> list[str]:
    test, cells = outcome.results["test"], [outcome.row.label]
    for figure in study.figures:
        spread = test.get(f"{figure}_sd", 1.96 * test.get(f"{figure}_se", float("nan")))
        cells.append(f"{test[figure]:.4f} ± {spread:.4f}" if figure in test else "")
        if any(figure in row.published for row in study.rows):
            published = outcome.row.published.get(figure)
            cells.append("" if published is None else f"{published:.4f}")
    return [
        *cells,
        f"{outcome.results['fit_seconds']:.1f}",
        f"{outcome.results['peak_rss_mb']:.0f}",
    ]


def write(study: Study, outcomes: Sequence[Outcome], output: pathlib.Path) -> None:
    """Write table.md, table.json and curves.png."""
    lines = [_header(study), ["---"] * len(_header(study))]
    lines += [_cells(study, outcome) for outcome in outcomes]
    picture = output / "curves.png"
    text = f"{study.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    files.write_text(output / "table.md", text)
    files.write_json(
        output / "table.json",
        [{"label": o.row.label, "published": dict(o.row.published), **o.results} for o in outcomes],
    )
    trained = [o for o in outcomes if (o.workdir / directory.METRICS).exists()]
    workdirs = {o.row.label: o.workdir for o in trained}
    if workdirs and study.curves == "validation":
        logs = {name: directory.read_log(own / directory.METRICS) for name, own in workdirs.items()}
        metric = outcomes[0].results["validation"]["metric"]
        plots.save(plots.validation_curves(logs, metric), picture)
    elif workdirs and study.curves == "steps":
        task = outcomes[0].results["protocol"]["task"]
        logs = {name: directory.read_log(own / directory.LOSSES) for name, own in workdirs.items()}
        plots.save(plots.step_curves(logs, rmse=task == "rating"), picture)
