"""Recommends items to people the model has never seen, by what they listed.

  python -m experiments.recommend --workdir=RUN --history=my.csv --k=10
  python -m experiments.recommend --workdir=RUN --history=my.csv --format=jsonl --output=top.jsonl

The history is a text with a header, JSON lines or parquet, packed or not: a column `item` of raw
ids, and optionally `user` and `rating`; other columns are ignored. Nothing but the run's folder is
needed, not the data it was trained on.
"""

import csv
import io
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from aerec.cli import options, show
from aerec.data import readers
from aerec.runs import artefact, recommend
from aerec.runs.recommend import Recommendation


def define_flags() -> None:
    options.define_workdir_flag("the folder of a finished run")
    flags.DEFINE_string("history", None, "a file with a column item, and optionally user, rating")
    flags.DEFINE_integer("k", 10, "how many items for each person", lower_bound=1)
    flags.DEFINE_enum("format", "table", ["table", "csv", "jsonl"], "of the answer")
    flags.DEFINE_string("output", None, "a file for the answer (default: standard output)")
    flags.DEFINE_integer("replica", 0, "which, of a run with several seeds", lower_bound=0)


def main(given: Mapping[str, Any]) -> None:
    workdir = options.required(given, "workdir")
    history = pathlib.Path(options.required(given, "history"))
    loaded = artefact.load(workdir, replica=given["replica"])
    histories = recommend.read_histories(
        loaded, read_history(history, loaded.config["scale"]), source=str(history)
    )
    for line in remarks(histories):
        print(line, file=sys.stderr)
    lines = recommend.recommend(loaded, histories, k=given["k"])
    options.write(TEXT[given["format"]](lines), given["output"])


def read_history(path: pathlib.Path, scale: Sequence[float] | None) -> dict[str, Any]:
    """The columns `item`, `user`, `rating` of a file, as far as it has them.

    Raises:
      BadInput: no column `item`, or a line that is malformed or rated off the `scale`.
    """
    kinds = {"item": "id", "user": "id", "rating": "number"}
    bounds = {"rating": (scale[0], scale[1])} if scale else None
    return readers.read_columns(path, kinds, optional=("user", "rating"), bounds=bounds)


def remarks(histories: recommend.Histories) -> list[str]:
    """What was not understood, or not counted, a line each."""
    lines = []
    if histories.unknown:
        lines.append(
            f"Skipped {len(histories.unknown)} items that the model does not know: "
            f"{', '.join(histories.unknown)}"
        )
    if histories.without:
        lines.append(f"No known item, hence no answer, for users {', '.join(histories.without)}")
    if histories.below:
        lines.append(
            f"{histories.below} items were rated below what counts as a click: they are neither "
            "folded in nor recommended"
        )
    return lines


def as_csv(lines: Sequence[Recommendation]) -> str:
    """A header and a line per recommendation; titles are quoted where they need it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Recommendation._fields)
    writer.writerows(lines)
    return text.getvalue()


def as_jsonl(lines: Sequence[Recommendation]) -> str:
    """An object per line and recommendation."""
    return "".join(json.dumps(line._asdict(), ensure_ascii=False) + "\n" for line in lines)


def as_table(lines: Sequence[Recommendation]) -> str:
    """A table per person."""
    people: dict[str, list[Recommendation]] = {}
    for line in lines:
        people.setdefault(line.user, []).append(line)
    tables = [show.recommendations_table(f"For user {u}", own) for u, own in people.items()]
    return show.text(*tables)


TEXT = {"csv": as_csv, "jsonl": as_jsonl, "table": as_table}
