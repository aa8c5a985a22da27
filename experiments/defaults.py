"""Compare the defaults of models with their tuned settings, on several data sets.

  python -m experiments.defaults --board=runs/board --record
  python -m experiments.defaults --board=runs/board --data_dir=DIR --models=elsa --measure --record
  python -m experiments.defaults --data_dir=DIR --models=ials --measure --record

The figure is that of the validation part of the board's first split, and the tuned one is the best
of the board's trials there. The default's is that of the trial with the same setting, or else of
the trial that it was rounded from; the number of the trial is shown. With `--measure`, the default
itself is trained. Without `--board`, it is compared with the best of the searches whose results are
in experiments/results. Test parts are not read.
"""

import datetime
import functools
import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
from absl import flags

import aerec
from aerec import api, configuration, files, models
from aerec.cli import command, show
from aerec.errors import BadInput
from aerec.runs import fitting
from aerec.runs.spec import data_hash
from experiments import board, board_results, records, tuning
from experiments.records import Record

TOLERANCE = 0.15  # of the numbers of a trial, relative to the default that was rounded from it
TITLE = "Defaults beside tuned settings, on validation"


def main(given: Mapping[str, Any]) -> None:
    if not (given["board"] or given["measure"]):
        raise BadInput("--board is not given: the trials are there. With --measure none is needed.")

    @functools.cache
    def split_of(dataset: str, protocol: str) -> aerec.Split:
        return board.divide(aerec.load(dataset, data_dir=given["data_dir"]), dataset, protocol, 0)

    for cell in board.planned(given):
        for found in searches(cell, given["board"]):
            row = compared(cell, found, split_of(cell.dataset, cell.protocol), given)
            if row:
                show.CONSOLE.print(f"{row.label}: {row.figures}", markup=False, soft_wrap=True)
            if row and given["record"]:
                records.add("defaults", TITLE, row)


def searches(cell: board.Cell, folder: str | None) -> list[tuning.Search | Mapping[str, Any]]:
    """Return the searches of a model on a data set, or the summary of the one in the results."""
    if folder:
        found = map(kept, (pathlib.Path(folder) / cell.name).glob("*.jsonl"))
        return [own for own in found if own.ranked()]
    row = board_results.recorded(*cell)
    return [row.tuning] if row and row.tuning else []


def kept(path: pathlib.Path) -> tuning.Search:
    """Read the trials of a search from its store."""
    with files.reading(path, board_results.AGAIN):
        header, *trials = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        return tuning.Search(header["metric"], header["space"], header["fixed"], trials)


def compared(
    cell: board.Cell,
    found: tuning.Search | Mapping[str, Any],
    split: aerec.Split,
    given: Mapping[str, Any],
) -> Record | None:
    """Return the row of a model on a data set; None: not measured, and no trial is near.

    Raises:
      BadInput: the trials are of another split.
    """
    if not isinstance(found, tuning.Search):
        tuned, trials = found, []
    elif data_hash(split) != found.trials[0]["split_hash"]:
        raise BadInput(f"{cell.name}: the trials are of another split of these ratings")
    else:
        tuned, trials = found.summary(), found.ranked()
    spec = api.specify(cell.model, split, {})
    config = configuration.plain(models.configure(cell.model, spec.set))
    default = {**configuration.plain(spec.settings), **config}
    near = [
        trial
        for tolerance in (0, TOLERANCE)
        for trial in trials
        if rounds(trial["setting"], default, tolerance)
    ]
    begun, figures, machine = time.perf_counter(), {}, given["machine"]
    if given["measure"]:
        machine = records.machine()
        figures["default"] = fitting.validate(spec, split)
        seconds = time.perf_counter() - begun
    elif near:
        figures |= {"default": near[0]["validation"], "trial": near[0]["number"]}
        seconds = near[0]["seconds"]
    else:
        return None
    loss = tuned["validation"] - figures["default"]
    return Record(
        label=".".join([cell.model, cell.dataset, *[cell.protocol] * (cell.protocol != "strong")]),
        figures={**figures, "tuned": tuned["validation"], "loss": loss},
        command=f"python -m experiments.defaults{' --board=DIR' * bool(given['board'])}"
        f" --data_dir=DIR --models={cell.model} --datasets={cell.dataset}"
        f"{f' --protocols={cell.protocol}' * (cell.protocol != 'strong')}"
        f"{' --measure' * given['measure']}",
        versions={"jax": jax.__version__} if given["measure"] else {},
        date=datetime.date.today().isoformat(),
        machine=machine,
        data=cell.dataset,
        protocol=split.protocol,
        split_hash=[data_hash(split)],
        seeds=[0],
        seconds=seconds,
        test_scored=0,
        tuning=tuned,
    )


def rounds(
    setting: Mapping[str, Any], default: Mapping[str, Any], tolerance: float = TOLERANCE
) -> bool:
    """Return whether each number of a trial is within `tolerance` of the default, relatively."""
    return all(
        abs(value - default[name]) <= tolerance * default[name]
        if isinstance(value, int | float)
        else value == default[name]
        for name, value in setting.items()
        if name != "evaluate_every"
    )


if __name__ == "__main__":
    flags.DEFINE_string("board", None, "the folder of a board, with its trials")
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_list("datasets", list(board.DATASETS), "names of data sets")
    flags.DEFINE_list("protocols", ["strong"], "names of protocols of ranking")
    flags.DEFINE_list("models", list(board.MODELS), "names of models")
    flags.DEFINE_bool("measure", False, "train the defaults themselves")
    flags.DEFINE_string("machine", "the board's", "what the trials ran on")
    flags.DEFINE_bool("record", False, "keep the rows in experiments/results/defaults.json")
    command.run(main, __doc__)
