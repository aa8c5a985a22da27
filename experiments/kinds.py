"""Compare models with their defaults on five kinds of data, users held out.

  python -m experiments.kinds --data_dir=DIR --output=runs/kinds --record
  python -m experiments.kinds --datasets=movielens-small --models=ease,multvae --output=DIR

A row DATA.MODEL is the mean over the splits, with half its 95% interval over test users. A row
DATA.MODEL-OTHER is a paired difference, for the `PAIRS` among the models. A user who is tested on
several splits counts as one. A finished fit is a file in --output; the same command resumes.
"""

import functools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

import aerec
from aerec.cli import command, options, show
from aerec.cross_validation import CrossValidation
from experiments import board, cells, records
from experiments.cells import Content
from experiments.records import Record

FILE, TITLE = "kinds", "Models with their defaults on five kinds of data"
MODELS = ("ease_vae", "ease", "multvae", "recvae")
PAIRS = (("ease_vae", "ease"), ("ease_vae", "multvae"), ("recvae", "multvae"))
FIGURES = ("ndcg@100", "recall@20", "recall@50")


def main(given: Mapping[str, Any]) -> None:
    """Measure what is not kept yet, show the rows, and keep them if asked to."""
    output = pathlib.Path(options.required(given, "output"))
    read = functools.cache(lambda dataset: aerec.load(dataset, data_dir=given["data_dir"]))

    splits = range(1, given["splits"] + 1)

    def measured(dataset: str, model: str, split: int) -> Content:
        return measure(read(dataset), dataset, model, split)

    planned = {
        f"{dataset}.{split}.{model}": functools.partial(measured, dataset, model, split)
        for model in given["models"] for split in splits for dataset in given["datasets"]
    }  # fmt: skip
    contents = dict(zip(planned, cells.measure(planned, output), strict=True))
    rows = []
    for dataset in given["datasets"]:
        own = {
            model: [contents[f"{dataset}.{split}.{model}"] for split in splits]
            for model in given["models"]
        }
        rows += recorded(dataset, own, line(given, dataset))
    path = records.write(FILE, TITLE, rows, records.RESULTS if given["record"] else output)
    show.CONSOLE.print(cells.table(f"{TITLE}: {len(splits)} splits", rows, FIGURES))
    done = f"Kept in {path}." if given["record"] else f"Next: {line(given)} --record"
    show.CONSOLE.print(done, markup=False, soft_wrap=True)


def measure(ratings: aerec.Ratings, dataset: str, model: str, number: int) -> Content:
    """Fit a model with its defaults and test it on one split; keep the figures of each user."""
    begun = time.perf_counter()
    split = board.divide(ratings, dataset, "strong", number)
    run = aerec.fit(model, split, show=False)
    return cells.tested(begun, run, split, FIGURES)


def recorded(dataset: str, contents: Mapping[str, Sequence[Content]], typed: str) -> list[Record]:
    """Make the records of the models on one data set, and of the `PAIRS` among them.

    Args:
      typed: the command that makes them.
    """
    validation = CrossValidation(
        {model: [cells.scored(one) for one in own] for model, own in contents.items()},
        FIGURES[0], FIGURES,
    )  # fmt: skip
    rows = []
    for model, own in contents.items():
        figures = {name: validation.mean(model, name) for name in FIGURES}
        errors = {name: validation.error(model, name) for name in FIGURES}
        fields = {**cells.joined(own, typed), "seconds": validation.seconds(model)}
        rows.append(Record(label=f"{dataset}.{model}", figures=figures, errors=errors, **fields))
    for first, second in PAIRS:
        if not {first, second} <= set(contents):
            continue
        figures = {}
        for name in FIGURES:
            figures |= cells.compared(name, validation.compare(first, second, name))
        fields = {**cells.joined(contents[first], typed), "seconds": 0.0}
        rows.append(Record(label=f"{dataset}.{first}-{second}", figures=figures, **fields))
    return rows


def line(given: Mapping[str, Any], dataset: str = "") -> str:
    """Return the command, of one data set or of those given; usual lists are left out."""
    datasets = [dataset] if dataset else given["datasets"]
    own = "" if datasets == list(board.DATASETS) else f" --datasets={','.join(datasets)}"
    own += "" if given["models"] == list(MODELS) else f" --models={','.join(given['models'])}"
    own += f" --splits={given['splits']}"
    return f"python -m experiments.kinds --data_dir=DIR --output=DIR{own}"


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("output", None, "the folder of the finished fits")
    flags.DEFINE_list("datasets", list(board.DATASETS), "names of data sets")
    flags.DEFINE_list("models", list(MODELS), "names of models of rankings")
    flags.DEFINE_integer("splits", 3, "how many, of seeds 1, 2 and so on", 1)
    flags.DEFINE_bool("record", False, f"keep the rows in experiments/results/{FILE}.json")
    command.run(main, __doc__)
