"""Compare activations of a latent code: figure 1 of Susman trained at many settings, cell by cell.

  python -m experiments.latent --data_dir=DIR --output=runs/latent
  python -m experiments.latent --data_dir=DIR --output=runs/latent --activations=tanh,sigmoid
  python -m experiments.latent --data_dir=DIR --output=runs/latent --latents=32 --tied=both
  python -m experiments.latent --data_dir=DIR --output=runs/latent --latents=32 --splits=0,1,2,3

A cell is a data set, the source of its vectors, a dimension m, tied or separate weights, and an
activation. Its learning rate, weight decay and number of epochs are chosen for each similarity of
codes by validation NDCG@100, on split 0 and one seed; the chosen settings are trained with further
seeds, and tested. On other splits they are those of split 0. Each finished cell is a file in
--output; after an interruption the same command resumes. docs/studies/latent-activation.md has the
plan.
"""

import functools
import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

from absl import flags

import aerec
from aerec import files
from aerec.cli import command, options, show
from aerec.errors import BadInput
from aerec.nn import activations
from experiments import board, cells, latent_cells
from experiments.cells import Content
from experiments.latent_cells import Cell, Chosen, Data


def main(given: Mapping[str, Any]) -> None:
    output = pathlib.Path(options.required(given, "output"))
    data = functools.lru_cache(1)(functools.partial(prepare, output, given["data_dir"]))

    def measured(cell: Cell) -> Content:
        chosen = searched(cell, output) if cell.split else None
        own = data(cell.dataset, cell.features, cell.split)
        return latent_cells.measure(cell, own, chosen)

    wanted = {cell.name: functools.partial(measured, cell) for cell in planned(given)}
    cells.measure(wanted, output)
    show.CONSOLE.print(
        f"Finished cells are in {output}.\nNext: python -m experiments.latent_results "
        f"--output={output}",
        markup=False,
    )  # fmt: skip


def planned(given: Mapping[str, Any]) -> list[Cell]:
    """List the cells that the flags ask for, split 0 first; shifts only where they exist."""
    names = given["activations"]
    if not names:
        both = [name for plain in latent_cells.PLAIN for name in (plain, f"shift:{plain}")]
        names = [name for name in both if name in activations.names()]
    names = [n if n in latent_cells.LINEAR else activations.describe(n).name for n in names]
    tied = {"no": (False,), "yes": (True,), "both": (False, True)}[given["tied"]]
    latents = [int(latent) for latent in given["latents"]]
    return [
        Cell(*parts, split, given["epochs"])
        for split in sorted(int(split) for split in given["splits"])
        for parts in itertools.product(given["datasets"], given["features"], latents, tied, names)
    ]


def prepare(
    output: pathlib.Path, data_dir: str | None, dataset: str, features: str, seed: int
) -> Data:
    """Split the ratings of a data set, and compute the vectors of the training part.

    The settings of the source are searched on split 0, by validation without compression, and kept
    in `output`.
    """
    ratings = aerec.load(dataset, data_dir=data_dir)
    split = board.divide(ratings, dataset, "strong", seed)
    path = output / f"{dataset}-{features}.json"
    if not path.exists():
        first = split if seed == 0 else board.divide(ratings, dataset, "strong", 0)
        files.write_json(path, {"trials": latent_cells.trials(first, features)})
    found = files.read_json(path, "trials", advice=cells.AGAIN)["trials"]
    best = max(found, key=lambda own: own[latent_cells.METRIC])
    return latent_cells.vectors_of(split, best["setting"])


def searched(cell: Cell, output: pathlib.Path) -> dict[str, Chosen]:
    """Read what was chosen for each similarity on split 0."""
    path = output / f"{cell._replace(split=0).name}.json"
    if not path.exists():
        raise BadInput(f"{path} is missing: run the same command with --splits=0 first")
    rows = files.read_json(path, "rows", advice=cells.AGAIN)["rows"]
    return {row["similarity"]: Chosen(*(row[name] for name in Chosen._fields)) for row in rows}


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("output", None, "the folder of the cells")
    flags.DEFINE_list("datasets", ["ml-1m", "anime"], "names of data sets")
    flags.DEFINE_list("features", ["spectral"], "sources of the vectors")
    flags.DEFINE_list("latents", ["32", "8", "128"], "dimensions m of the code")
    flags.DEFINE_integer("epochs", latent_cells.EPOCHS, "at most, of which some may be chosen", 10)
    flags.DEFINE_list("splits", ["0"], "seeds of the split; others take the settings of split 0")
    flags.DEFINE_enum("tied", "both", ["no", "yes", "both"], "whether kernels are tied")
    flags.DEFINE_list("activations", [], "of the code, or of none, pca, pca_uncentred, random, "
                      "lifted_pca; not given: those of the plan, plain and shifted")  # fmt: skip
    command.run(main, __doc__)
