"""Compare ranking models over data sets and protocols: search, then test the winners, one table.

  python -m experiments.board --data_dir=DIR --output=runs/board
  python -m experiments.board --data_dir=DIR --output=runs/board --jobs=8 --seconds=480
  python -m experiments.board --datasets=movielens-small --models=popularity,ease --output=DIR
  python -m experiments.board --data_dir=DIR --output=runs/board --kept --record

The settings of a model are searched on the validation part of the split with seed 0. The winner is
fitted and tested on the splits with seeds 1, 2 and 3, whose test users may have been in the search.
Each pair of a data set and a protocol is a results file; `board.json` has the average ranks. After
an interruption, of any kind, the same command resumes. With `--kept`, a winner that is in
experiments/results is tested again, without another search, if its search had as many trials. The
tests of a split that are recorded there count with or without it. A file with models that this
board lacks is not replaced.
"""

import concurrent.futures
import os
import pathlib
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from absl import flags

import aerec
from aerec import api, files, models
from aerec.cli import command, options, show
from aerec.cross_validation import FIGURES
from aerec.data import datasets, protocols
from aerec.data.ratings import Ratings
from aerec.errors import BadInput, nearest
from aerec.runs import preparation
from experiments import board_results, records, tuning

DATASETS = ("movielens-small", "ml-1m", "anime", "steam", "lastfm")
PROTOCOLS = ("strong", "per_user_holdout")
MODELS = (  # the cheap ones first
    "popularity", "ease", "sparse_ease", "itemknn", "ials", "elsa", "mdae", "multvae", "multdae",
    "ease_vae", "recvae", "cdae", "factor_ae", "feature_ae", "vae", "dae", "sdae", "svae", "rvae",
)  # fmt: skip
SIZES = {("ml-1m", "strong"): {"valid_users": 500, "test_users": 1000}}  # others: a tenth each
SEEDS = (1, 2, 3)  # of the splits that are tested
FINISHED = "finished.json"  # in the folder of a cell


class Cell(NamedTuple):
    """One model on one data set by one protocol."""

    dataset: str
    protocol: str
    model: str

    @property
    def name(self) -> str:
        """The name of its folder, and of its log."""
        return f"{self.dataset}_{self.protocol}/{self.model}"


def main(given: Mapping[str, Any]) -> None:
    output = pathlib.Path(options.required(given, "output"))
    cells = planned(given)
    if given["cell"]:
        (cell,) = [own for own in cells if own.name == given["cell"]]
        measure(cell, given, output)
        return
    failed = run(cells, given, output)
    folder = records.RESULTS if given["record"] else output
    text = board_results.write(output, folder, seeds=SEEDS)
    show.CONSOLE.print(text, markup=False, soft_wrap=True)
    for name in failed:
        show.CONSOLE.print(f"{name} failed: see {output / name}.log", markup=False)


def planned(given: Mapping[str, Any]) -> list[Cell]:
    """List the cells in the order in which they are begun; those that cannot be are left out."""
    names = {}
    for flag, known in (("datasets", datasets.DATASETS),
                        ("protocols", protocols.PROTOCOLS), ("models", models.MODELS)):  # fmt: skip
        names[flag] = list(dict.fromkeys(given[flag]))
        for name in names[flag]:
            if name not in known:
                raise BadInput(f"--{flag}: there is no {name!r}. {nearest(name, known)}")
    for name in names["models"]:
        if models.traits(name, {}).task != "ranking":
            raise BadInput(f"--models: {name} predicts ratings, and the board is of rankings")
    return [
        Cell(dataset, protocol, model)
        for model in names["models"]
        for dataset in names["datasets"]
        for protocol in names["protocols"]
    ]


def run(cells: list[Cell], given: Mapping[str, Any], output: pathlib.Path) -> list[str]:
    """Run each cell in a process of its own, several at once, until the time is over.

    Returns:
      The names of cells that failed; the reason is in the log of each.
    """
    until = None if given["seconds"] is None else time.monotonic() + given["seconds"]
    environment = dict(os.environ)
    if given["jobs"] > 1:  # on an accelerator, each process takes what it needs
        environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    same = options.command_flags("jobs", "seconds", "record")
    printing = threading.Lock()

    def one(cell: Cell) -> bool:
        left = None if until is None else until - time.monotonic()
        if finished(cell, given, output) or (left is not None and left <= 0):
            return True
        path = output / f"{cell.name}.log"
        with files.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        line = [sys.executable, "-m", "experiments.board", *same, f"--cell={cell.name}"]
        begun = time.monotonic()
        with path.open("w", encoding="utf-8") as log:
            try:
                done = subprocess.run(
                    line, stdout=log, stderr=subprocess.STDOUT, env=environment, timeout=left
                ).returncode
            except subprocess.TimeoutExpired:  # its trials and finished fits are kept
                return True
        with printing:
            seconds = time.monotonic() - begun
            show.CONSOLE.print(f"{cell.name}: {seconds:.0f} s", style="dim", markup=False)
        return done == 0

    with concurrent.futures.ThreadPoolExecutor(given["jobs"]) as pool:
        try:
            fine = list(pool.map(one, cells))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [cell.name for cell, own in zip(cells, fine, strict=True) if not own]


def measure(cell: Cell, given: Mapping[str, Any], output: pathlib.Path) -> None:
    """Search on the first split, fit and test the winner on the others; keep each as it is made."""
    folder = output / cell.name
    ratings = aerec.load(cell.dataset, data_dir=given["data_dir"])
    if models.traits(cell.model, {}).reads == "sequence" and ratings.time is None:
        print(f"{cell.dataset} has no times, and {cell.model} reads sequences: left out.")
        return
    split = divide(ratings, cell.dataset, cell.protocol, 0)
    closed = preparation.solved(api.specify(cell.model, split, {}), split)
    trials = given["trials_closed"] if closed else given["trials"]
    row = board_results.recorded(*cell)
    if given["kept"] and row and row.tuning and row.tuning["trials"] >= trials:
        winner = row.tuning
    else:
        winner = tuning.search(cell.model, split, trials, store=folder, show=False).summary()
    print(f"{cell.name}: {winner}", flush=True)
    for seed in SEEDS:
        if board_results.kept(folder, seed, winner["setting"]):
            board_results.renew(folder, seed, winner, typed(cell))
            continue
        split = divide(ratings, cell.dataset, cell.protocol, seed)
        run = aerec.fit(cell.model, split, seed=seed, show=False, **winner["setting"])
        board_results.keep(
            folder, seed, winner, run, split, figures=FIGURES["ranking"], command=typed(cell),
            row=row,
        )  # fmt: skip
        print(f"seed {seed}:\n{run.test!r}", flush=True)
    files.write_json(folder / FINISHED, _asked(given))


def finished(cell: Cell, given: Mapping[str, Any], output: pathlib.Path) -> bool:
    """Return whether a cell is finished with the same numbers of trials."""
    path = output / cell.name / FINISHED
    return path.exists() and files.read_json(path, advice=board_results.AGAIN) == _asked(given)


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in ("trials", "trials_closed")}


def typed(cell: Cell) -> str:
    """Return the command that makes one row of the board."""
    own = [f"--datasets={cell.dataset}", f"--protocols={cell.protocol}", f"--models={cell.model}"]
    rest = options.command_flags(
        "jobs", "seconds", "record", "kept", "cell", "data_dir", "output",
        "datasets", "protocols", "models",
    )  # fmt: skip
    return f"{board_results.WHOLE} {shlex.join([*own, *rest])}"


def divide(ratings: Ratings, dataset: str, protocol: str, seed: int) -> aerec.Split:
    """Split the ratings of a data set; seed 0 is of the split that is searched on."""
    sizes: dict[str, Any] = SIZES.get((dataset, protocol), {})
    return aerec.split(ratings, protocol, seed=seed, **sizes)


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("output", None, "the folder of trials, test figures and tables")
    flags.DEFINE_list("datasets", list(DATASETS), "names of data sets")
    flags.DEFINE_list("protocols", list(PROTOCOLS), "names of protocols of ranking")
    flags.DEFINE_list("models", list(MODELS), "names of models, the first is begun first")
    flags.DEFINE_integer("trials_closed", 40, "trials of each model in closed form", 1)
    flags.DEFINE_integer("trials", 20, "trials of each model that is trained", 1)
    flags.DEFINE_integer("jobs", 1, "processes at once, each with one model on one data set", 1)
    flags.DEFINE_float("seconds", None, "after which everything stops; what is finished is kept", 0)
    flags.DEFINE_bool("record", False, "keep the tables in experiments/results")
    flags.DEFINE_bool("kept", False, "take the winners of searches that experiments/results keeps")
    flags.DEFINE_string("cell", "", "only this one, DATASET_PROTOCOL/MODEL, without tables")
    command.run(main, __doc__)
