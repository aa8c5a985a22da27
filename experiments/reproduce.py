"""Reproduce a table or a figure of the sources: all its runs, one command.

  python -m experiments.reproduce            # list the studies, their state, how much agrees
  python -m experiments.reproduce --study=article_ml1m --data_dir=DIR
  python -m experiments.reproduce --study=strong_ml1m --data_dir=DIR --output=runs/strong
  python -m experiments.reproduce --study=strong_ml1m --data_dir=DIR --record --jobs=4

Flags of `experiments.train` are given to every run. After an interruption, the same command
resumes. `--record` keeps the figures in experiments/results/<study>.json.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from absl import flags

from aerec.cli import command, options, show
from aerec.errors import BadInput, nearest
from experiments import catalogue, tables


def main(given: Mapping[str, Any]) -> None:
    known = catalogue.studies()
    if given["study"] is None:
        options.refuse([flag.name for flag in command.own_flags()], "without --study")
        show.CONSOLE.print(catalogue.table(known))
        show.CONSOLE.print("Next: python -m experiments.reproduce --study=NAME --data_dir=DIR")
        return
    if given["workdir"]:
        raise BadInput("--workdir is of one run: the folder of a study is --output")
    if given["study"] not in known:
        raise BadInput(f"No study is called {given['study']!r}. {nearest(given['study'], known)}")
    if program := known[given["study"]].program:
        raise BadInput(f"this study has its own program: python -m experiments.{program} --help")
    tables.show_run(
        known[given["study"]],
        pathlib.Path(given["output"] or f"runs/{given['study']}"),
        options.command_flags("study", "output", "record", "jobs"),
        jobs=given["jobs"],
        record_as=given["study"] if given["record"] else None,
    )


if __name__ == "__main__":
    options.define_run_flags()
    flags.DEFINE_string("study", None, "a module in experiments/studies; none: lists them")
    flags.DEFINE_string("output", None, "the folder of its runs (default runs/<study>)")
    flags.DEFINE_bool("record", False, "keep the figures in experiments/results/<study>.json")
    flags.DEFINE_integer("jobs", 1, "runs at the same time", 1)
    command.run(main, __doc__)
