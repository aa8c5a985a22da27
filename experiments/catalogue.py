"""The catalogue of studies: what each reproduces, how much of it is done, how much agrees."""

import importlib
import pathlib
import pkgutil
from collections.abc import Mapping

import rich.box
from rich.markup import escape
from rich.table import Table

import experiments.studies
from aerec.runs import directory
from experiments import agreement, records, study


def studies() -> dict[str, study.Study]:
    """Return all studies by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(experiments.studies.__path__))
    return {n: importlib.import_module(f"experiments.studies.{n}").STUDY for n in names}


def table(known: Mapping[str, study.Study]) -> Table:
    """List the studies: what each reproduces, how much of it is done, how much agrees."""
    shown = Table(box=rich.box.SIMPLE_HEAD)
    for column in ("study", "what, and its source", "state", "agrees"):
        shown.add_column(column, overflow="fold")
    for name, own in known.items():
        lines = [own.title, *own.sources, *([f"Assumed: {own.assumed}"] if own.assumed else [])]
        shown.add_row(name, escape("\n".join(lines)), *state(name, own))
    return shown


def state(
    name: str,
    own: study.Study,
    output: pathlib.Path | None = None,
    folder: pathlib.Path = records.RESULTS,
) -> tuple[str, str]:
    """Say how many rows of a study are done and kept, and how many figures agree.

    Args:
      output: the folder of its runs; None: runs/<name>.
      folder: of the results that are kept. They are compared if not all rows are done.
    """
    if own.program:
        return f"python -m experiments.{own.program}", ""
    output = output or pathlib.Path("runs") / name
    done = [(row, output / study.workdir(row)) for row in own.rows]
    done = [(row, workdir) for row, workdir in done if directory.finished(workdir)]
    texts = ["done" if len(done) == len(own.rows) else f"{len(done)} of {len(own.rows)} rows done"]
    rows = [study.kept(own, study.Outcome(row, workdir, directory.read_results(workdir), "-"))
            for row, workdir in done]  # fmt: skip
    if (folder / f"{name}.json").exists():
        kept = records.read(name, folder)[1]
        texts.append(f"kept of {max((row.date for row in kept), default='no row')}")
        rows = rows if len(done) == len(own.rows) else kept
    text = "not run" if not done and len(texts) == 1 else ", ".join(texts[not done :])
    return text, agreement.counted(agreement.of(own, rows))
