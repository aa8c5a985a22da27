"""Recommend items to users by their history, whether or not they were in training.

  python -m experiments.recommend --workdir=RUN --history=my.csv --k=10
  python -m experiments.recommend --workdir=RUN --history=my.csv --format=jsonl --output=top.jsonl

The history is text with a header, JSON lines or parquet, compressed or not: a column `item` of raw
ids, and optionally `user`, `rating` and `time`; other columns are ignored. Only the run directory
is needed, not the data it was trained on.
"""

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from absl import flags

from aerec.cli import options, show
from aerec.data import readers
from aerec.runs import artefact
from aerec.runs.recommend import Recommender


def define_flags() -> None:
    options.define_workdir_flag("the folder of a finished run")
    flags.DEFINE_string("history", None, "a file with a column item, and optionally user, rating")
    flags.DEFINE_string("encoding", None, "of --history (default by its byte-order mark, or UTF-8)")
    flags.DEFINE_integer("k", 10, "how many items for each user", lower_bound=1)
    flags.DEFINE_enum("format", "table", ["table", "csv", "jsonl"], "of the answer")
    flags.DEFINE_string("output", None, "a file for the answer (default: standard output)")
    flags.DEFINE_integer("replica", 0, "which, of a run with several seeds", lower_bound=0)


def main(given: Mapping[str, Any]) -> None:
    workdir = options.required(given, "workdir")
    history = pathlib.Path(options.required(given, "history"))
    loaded = artefact.load(workdir, replica=given["replica"])
    recommender = Recommender(loaded)
    columns = read_history(history, loaded.config["scale"], given["encoding"])
    histories = recommender.reader(pl.DataFrame(columns), name=str(history))
    answer, notes = recommender.recommend(histories, k=given["k"])
    for note in notes:
        print(note, file=sys.stderr)
    if histories.single:
        answer = answer.insert_column(0, pl.Series("user", ["1"] * len(answer), pl.String))
    text = TEXT[given["format"]](answer)
    options.write(text, given["output"], data=given["format"] != "table")


def read_history(
    path: pathlib.Path, scale: Sequence[float] | None, encoding: str | None
) -> dict[str, Any]:
    """Read the columns `item`, `user`, `rating`, `time` of a file, if it has them.

    Raises:
      BadInput: no column `item`, or a line that is malformed or rated off the `scale`.
    """
    kinds = {"item": "id", "user": "id", "rating": "number", "time": "time"}
    bounds = {"rating": (scale[0], scale[1])} if scale else None
    return readers.read_columns(
        path, kinds, optional=("user", "rating", "time"), bounds=bounds, encoding=encoding,
        log=lambda text: print(text, file=sys.stderr),
    )  # fmt: skip


def as_table(answer: pl.DataFrame) -> str:
    """Format a table per user."""
    people = answer.partition_by("user", maintain_order=True)
    tables = [show.recommendations_table(f"For user {own['user'][0]}", own) for own in people]
    return show.text(*tables)


TEXT = {
    "csv": lambda answer: answer.write_csv(),
    "jsonl": lambda answer: answer.write_ndjson(),
    "table": as_table,
}
