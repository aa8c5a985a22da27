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
from matplotlib.figure import Figure
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from aerec import files, plots
from aerec.cli import show
from aerec.errors import BadInput
from aerec.runs import directory
from experiments import agreement, records


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
      facts: names elsewhere in results.json (protocol, epochs, parameters, those of `sizes`), one
        column each.
      rounding: of the published figures, half a unit of their last decimal.
      comparable: why no published figure is comparable with ours; empty if they are.
      curves: what the plot shows: "validation" (the figure by epoch), "epochs" (the training loss
        beside it), "steps" (the training loss of each mini-batch), or "figures" (test figures with
        intervals).
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
    for name in (*study.figures, *study.facts):
        header.append(name)
        if any(name in row.published for row in study.rows):
            header.append("published")
    return [*header, "fit s", "MB"]


def _cells(study: Study, outcome: Outcome) -> list[str]:
    cells = [outcome.row.label]
    for name in (*study.figures, *study.facts):
        cells.append(_figure(outcome.results["test"], name) if name in study.figures
                     else _text(fact(outcome.results, name)))  # fmt: skip
        if any(name in row.published for row in study.rows):
            published = outcome.row.published.get(name, "")
            cells.append(_text(published) if name in study.facts or not published
                         else f"{published:.4f}")  # fmt: skip
    return [
        *cells,
        f"{outcome.results['fit_seconds']:.1f}",
        f"{outcome.results['peak_rss_mb']:.0f}",
    ]


def _figure(test: Mapping[str, float], name: str) -> str:
    return f"{test[name]:.4f} ± {_spread(test, name):.4f}" if name in test else ""


def _spread(test: Mapping[str, float], name: str) -> float:
    return test.get(f"{name}_sd", 1.96 * test.get(f"{name}_se", float("nan")))


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def fact(results: Mapping[str, Any], name: str) -> Any:
    """Return a fact of a run: the name of its protocol, one of its sizes, or another entry."""
    if name == "protocol":
        return results["protocol"]["name"]
    return results["sizes"][name] if name in results["sizes"] else results[name]


def kept(study: Study, outcome: Outcome) -> records.Record:
    """Make the record of a finished run: its figures, and those of its facts that are counted."""
    counted = {name: fact(outcome.results, name) for name in study.facts if name != "protocol"}
    results = {**outcome.results, "test": {**outcome.results["test"], **counted}}
    return records.record(
        outcome.row.label, results, figures=(*study.figures, *counted), command="-",
        published=outcome.row.published,
    )  # fmt: skip


def write(study: Study, outcomes: Sequence[Outcome], output: pathlib.Path) -> None:
    """Write table.md, table.json and curves.png."""
    text = f"{study.title}\n\n" + _markdown(_header(study), [_cells(study, o) for o in outcomes])
    if compared := agreement.of(study, {o.row.label: kept(study, o) for o in outcomes}):
        text += f"\n{_markdown(list(agreement.HEADER), [line.cells() for line in compared])}"
    files.write_text(output / "table.md", text)
    files.write_json(
        output / "table.json",
        [{"label": o.row.label, "published": dict(o.row.published), **o.results} for o in outcomes],
    )
    if picture := _picture(study, outcomes):
        plots.save(picture, output / "curves.png")


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _picture(study: Study, outcomes: Sequence[Outcome]) -> Figure | None:
    """Draw what `study.curves` says; None if no run was trained by epochs, and for ""."""
    if study.curves == "figures":
        return _points(study, outcomes)
    trained = [o for o in outcomes if (o.workdir / directory.METRICS).exists()]
    if not trained or not study.curves:
        return None
    file = directory.LOSSES if study.curves == "steps" else directory.METRICS
    logs = {o.row.label: directory.read_log(o.workdir / file) for o in trained}
    metric = trained[0].results["validation"]["metric"]
    rmse = trained[0].results["protocol"]["task"] == "rating"
    if study.curves == "steps":
        return plots.step_curves(logs, rmse=rmse)
    if study.curves == "epochs":
        return plots.epoch_curves(logs, metric, rmse=rmse)
    return plots.validation_curves(logs, metric)


def _points(study: Study, outcomes: Sequence[Outcome]) -> Figure:
    panels, published = {}, {}
    for name in study.figures:
        having = [o for o in outcomes if name in o.results["test"]]
        if having:
            panels[name] = {o.row.label: (o.results["test"][name], _spread(o.results["test"], name))
                            for o in having}  # fmt: skip
            published[name] = {
                o.row.label: o.row.published[name] for o in having if name in o.row.published
            }
    return plots.row_figures(panels, published)
