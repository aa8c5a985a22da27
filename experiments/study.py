"""A study: several runs of `experiments.train`, one table and one plot.

Each run is a process of its own, so its seconds and memory are those of its command alone. An
interrupted study resumes: a finished run is not trained again, only scored.
"""

import dataclasses
import pathlib
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import rich.box
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from aerec import files, plots
from aerec.cli import show
from aerec.errors import BadInput
from aerec.runs import directory


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
    """

    title: str
    rows: Sequence[Row]
    figures: tuple[str, ...] = ()
    curves: str = "validation"


class Outcome(NamedTuple):
    """A finished run: its row, its run directory, its results.json."""

    row: Row
    workdir: pathlib.Path
    results: dict[str, Any]


def run(study: Study, output: pathlib.Path, flags: Sequence[str] = ()) -> list[Outcome]:
    """Run every row in `<output>/<label>`, one after another.

    Args:
      flags: given to every run, after its own.

    Raises:
      BadInput: two labels with the same folder, or a run that failed (its message, its log).
    """
    names = [re.sub(r"[^\w.=,-]+", "_", row.label) for row in study.rows]
    if len(set(names)) < len(names):
        raise BadInput(f"{study.title}: two rows are called alike")
    with files.writing(output):
        output.mkdir(parents=True, exist_ok=True)
    outcomes = []
    columns = (TextColumn("{task.completed:.0f}/{task.total}"), BarColumn(),
               TextColumn("{task.description}"), TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=show.CONSOLE) as bar:
        task = bar.add_task("", total=len(names))
        for name, row in zip(names, study.rows, strict=True):
            bar.update(task, description=row.label)
            workdir, log = output / name, output / f"{name}.log"
            _train((*row.flags, *flags, f"--workdir={workdir}"), log)
            outcomes.append(Outcome(row, workdir, directory.read_results(workdir)))
            bar.advance(task)
    return outcomes


def show_run(study: Study, output: pathlib.Path, flags: Sequence[str]) -> None:
    """Run the study; write its table and plot; print the table and the next command."""
    outcomes = run(study, output, flags)
    if not study.figures:
        task = outcomes[0].results["protocol"]["task"]
        study = dataclasses.replace(study, figures=show.COLUMNS[task])
    write(study, outcomes, output)
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


def _train(flags: Sequence[str], log: pathlib.Path) -> None:
    command = [sys.executable, "-m", "experiments.train", *flags]
    with log.open("w", encoding="utf-8") as file:
        print("$ python", *command[1:], file=file, flush=True)
        failed = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode
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
