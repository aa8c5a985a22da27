"""Reproduce a table or a figure of the sources: all its runs, one command.

  python -m experiments.reproduce                                   # list the studies
  python -m experiments.reproduce --study=article_ml1m --data_dir=DIR
  python -m experiments.reproduce --study=strong_ml1m --data_dir=DIR --output=runs/strong
  python -m experiments.reproduce --study=strong_ml1m --data_dir=DIR --record --jobs=4

Flags of `experiments.train` are given to every run. After an interruption, the same command
resumes. `--record` keeps the figures in experiments/results/<study>.json.
"""

import importlib
import pathlib
import pkgutil
from collections.abc import Mapping
from typing import Any

import rich.box
from absl import flags
from rich.table import Table

import experiments.studies
from aerec.cli import command, options, show
from aerec.errors import BadInput, nearest
from experiments import tables


def main(given: Mapping[str, Any]) -> None:
    known = {module.name for module in pkgutil.iter_modules(experiments.studies.__path__)}
    if given["study"] is None:
        options.refuse([flag.name for flag in command.own_flags()], "without --study")
        show.CONSOLE.print(catalogue(sorted(known)))
        show.CONSOLE.print("Next: python -m experiments.reproduce --study=NAME --data_dir=DIR")
        return
    if given["workdir"]:
        raise BadInput("--workdir is of one run: the folder of a study is --output")
    if given["study"] not in known:
        raise BadInput(f"No study is called {given['study']!r}. {nearest(given['study'], known)}")
    tables.show_run(
        importlib.import_module(f"experiments.studies.{given['study']}").STUDY,
        pathlib.Path(given["output"] or f"runs/{given['study']}"),
        options.command_flags("study", "output", "record", "jobs"),
        jobs=given["jobs"],
        record_as=given["study"] if given["record"] else None,
    )


def catalogue(names: list[str]) -> Table:
    """List the studies by name, each with the first line of its docstring."""
    table = Table(box=rich.box.SIMPLE_HEAD)
    table.add_column("study")
    table.add_column("")
    for name in names:
        module = importlib.import_module(f"experiments.studies.{name}")
        table.add_row(name, (module.__doc__ or "").splitlines()[0])
    return table


if __name__ == "__main__":
    options.define_run_flags()
    flags.DEFINE_string("study", None, "a module in experiments/studies; none: lists them")
    flags.DEFINE_string("output", None, "the folder of its runs (default runs/<study>)")
    flags.DEFINE_bool("record", False, "keep the figures in experiments/results/<study>.json")
    flags.DEFINE_integer("jobs", 1, "runs at the same time", 1)
    command.run(main, __doc__)
