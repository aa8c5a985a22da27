"""What the cells of the latent study say: a row for each cell, and the tests of the hypotheses.

  python -m experiments.latent_results --output=runs/latent
  python -m experiments.latent_results --output=runs/latent --record --pictures=docs/images

The cells are those of `experiments.latent --output`. A cell of your own activation is in the tables
and pictures too. `--record` writes experiments/results/latent_activation.json, a row for each cell,
and latent_tests.json, a row for each comparison.
"""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rich.box
from absl import flags
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from aerec import files, plots
from aerec.cli import command, options, show
from experiments import latent_plots, latent_tests, records
from experiments.latent_cells import METRIC
from experiments.latent_outcomes import KEPT, Finished, outcomes, read
from experiments.latent_tests import Verdict
from experiments.records import Record

COMMAND = "python -m experiments.latent_results --output=DIR --record"


def main(given: Mapping[str, Any]) -> None:
    """Print the comparisons of the cells in a folder, and write what the flags ask for."""
    output = pathlib.Path(options.required(given, "output"))
    finished = read(output)
    found = [one for each in finished for one in outcomes(each)]
    bar = functools.partial(track, description=f"{len(finished)} cells", console=show.CONSOLE)
    verdicts = latent_tests.all_of(found, bar)
    show.CONSOLE.print(table(verdicts))
    if given["pictures"]:
        folder = pathlib.Path(given["pictures"])
        with files.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for name, figure in latent_plots.all_of(found).items():
            plots.save(figure, folder / f"latent_{name}.png")
    if given["record"]:
        rows = [row_of(each) for each in finished]
        rows.append(total(rows))
        records.write(
            "latent_activation", "Activations of a latent code, cell by cell", rows, records.RESULTS
        )
        tests = [row_of_test(verdict, rows[0]) for verdict in verdicts]
        tests += counts(verdicts, rows[0])
        records.write(
            "latent_tests", "Activations of a latent code, hypotheses", tests, records.RESULTS
        )


def row_of(finished: Finished) -> Record:
    """Make the row of a cell: NDCG@100 by similarity, and further measures of each."""
    cell, content = finished
    figures: dict[str, float] = {"zero": content["rows"][0]["zero"]}
    errors: dict[str, float] = {}
    for row in content["rows"]:
        name = row["similarity"]
        figures[name] = round(float(np.mean(row[METRIC])), 5)
        if len(row[METRIC]) > 1:
            errors[name] = round(float(np.std(row[METRIC], ddof=1)), 5)
        early = {f"early_{measure}": value for measure, value in row["early"].items()}
        measured = {**{key: row[key] for key in KEPT}, **early}
        figures |= {f"{name}_{key}": round(value, 5) for key, value in measured.items()}
    figures["search_seconds"] = round(content["search_seconds"], 1)
    tied = "yes" if cell.tied else "no"
    return Record(
        label=finished.label,
        figures=figures,
        errors=errors,
        error_kind="sd",
        command=(
            f"python -m experiments.latent --data_dir=DIR --output=DIR --datasets={cell.dataset} "
            f"--features={cell.features} --latents={cell.latent} --tied={tied} "
            f"--activations={cell.activation} --splits={cell.split} --epochs={cell.epochs}"
        ),
        **content["made"],
    )


def row_of_test(verdict: Verdict, like: Record) -> Record:
    """Make the row of a comparison."""
    figures = {"difference": verdict.difference, **verdict.further}
    figures |= {"difference_low": verdict.low, "difference_high": verdict.high}
    if verdict.p is not None:
        figures |= {"p": verdict.p, "p_holm": verdict.adjusted}
    return Record(
        label=verdict.label,
        figures={name: round(value, 5) for name, value in figures.items()},
        command=COMMAND,
        versions=like.versions,
        date=like.date,
        machine=like.machine,
        tuning={"hypothesis": verdict.hypothesis, "what": verdict.what, "verdict": verdict.verdict},
    )


def total(rows: Sequence[Record]) -> Record:
    """Make the row of the time of all cells, without further seeds and with them."""
    searching = sum(row.figures["search_seconds"] for row in rows)
    return dataclasses.replace(
        rows[0],
        label="total",
        figures={"cells": len(rows), "search_seconds": searching},
        errors={},
        command="python -m experiments.latent --data_dir=DIR --output=DIR",
        data=", ".join(dict.fromkeys(row.data for row in rows)),
        split_hash=[],
        seconds=sum(row.seconds for row in rows),
    )


def counts(verdicts: Sequence[Verdict], like: Record) -> list[Record]:
    """Make a row for each hypothesis: how many comparisons support it, refute it, or do neither."""
    by_hypothesis = collections.defaultdict[str, collections.Counter[str]](collections.Counter)
    for own in verdicts:
        by_hypothesis[own.hypothesis][own.verdict] += 1
    return [
        Record(
            label=hypothesis,
            figures={"comparisons": found.total(),
                     **{name: found[name] for name in ("supported", "refuted", "open")}},
            command=COMMAND,
            date=like.date,
            machine=like.machine,
        )
        for hypothesis, found in by_hypothesis.items()
    ]  # fmt: skip


def table(verdicts: Sequence[Verdict]) -> Table:
    """Return the comparisons as a table."""
    columns = ("hypothesis", "what", "difference", "interval", "p (Holm)", "verdict")
    rows = [
        (
            own.hypothesis,
            own.what,
            f"{own.difference:+.4f}",
            f"[{own.low:+.4f}, {own.high:+.4f}]",
            "" if own.p is None else f"{own.adjusted:.4f}",
            own.verdict,
        )
        for own in verdicts
    ]
    out = Table(title="Hypotheses", box=rich.box.SIMPLE_HEAD, title_justify="left")
    for column in columns:
        out.add_column(column)
    for row in rows:
        out.add_row(*map(escape, row))
    return out


if __name__ == "__main__":
    flags.DEFINE_string("output", None, "the folder of the cells")
    flags.DEFINE_bool("record", False, "keep the rows and the comparisons in experiments/results")
    flags.DEFINE_string("pictures", None, "a folder for the pictures; none: no pictures")
    command.run(main, __doc__)
