"""Time to quality: seconds until a recipe is as good as a plain PyTorch loop at its best.

  python -m experiments.quality --data_dir=DIR --output=runs/quality --record
  python -m experiments.quality --models=multdae --dataset=movielens-small --epochs=3

For each model, in turn: the peer (`experiments.torch_nets`) trains for --epochs epochs at a
constant rate, and is evaluated on the validation part after each. Then this project trains by its
recipe, or by a fast one (`*_fast_ml1m`), evaluated as often as that says. The seconds are those of
training and evaluation by the clock. Reading the data is not among them, and compilation is a
figure of its own. Both have a thread for each core of the process. The settings of the peer
(`PEERS`) are published ones:

- `multvae`, `multdae`: Liang et al. 2018: Adam at .001, batches of 500; beta rises to .2 over
  200,000 updates; the decay of the weights is that of their code.
- `autorec`: Sedhain et al. 2015: 500 sigmoid units and the recipe's lambda. The paper names no
  size of batches, and Rprop as the optimiser: here Adam at .001, batches of 500 items.
- `deeprec`: Kuchaiev and Ginsburg 2017: momentum of .9 at .005 with one re-feed, batches of 128,
  dropout of the code; the widths are the recipe's.
- `cdae`: Wu et al. 2016: logistic loss and a corruption of one half, the recipe's 200 units; all
  items count instead of sampled ones, with Adam at .001, batches of 500.
- `svae`: Sachdeva et al. 2019 and their code: one user an update, Adam at .001 with a decay of
  .005, the next four items. At most 12 epochs: one takes two minutes.

With another --dataset the protocol is that of the recipe with its usual parameters. A measured
model is a file in --output, with the curves of both; the same command resumes.
"""

import functools
import itertools
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from absl import flags

import aerec
from aerec import models
from aerec.cli import command, options, show, train
from aerec.core import Facts, Params
from aerec.data import protocols
from aerec.data.splits import Split
from aerec.errors import BadInput, nearest
from aerec.runs import scoring
from aerec.runs.spec import Spec, oriented, sized
from aerec.training import loop
from experiments import cells, phases, records
from experiments.records import Record

FILE, TITLE = "quality", "Time to the best validation figure of a plain PyTorch loop"
DATA = "ml-1m"  # of the recipes


class Peer(NamedTuple):
    """A training in PyTorch, and what it is compared with.

    Attributes:
      recipe: the recipe whose widths, penalty and dropout it has, where no other is published.
      batch_size, learning_rate: of its training.
      epochs: at most.
      fast: the recipe of this project that is measured; empty: `recipe`.
    """

    recipe: str
    batch_size: int = 500
    learning_rate: float = 1e-3
    epochs: int = 1000
    fast: str = ""


PEERS = {
    "multvae": Peer("multvae_ml1m", fast="multvae_fast_ml1m"),
    "multdae": Peer("multdae_ml1m"),
    "autorec": Peer("autorec_ml1m", fast="autorec_fast_ml1m"),
    "deeprec": Peer(
        "deeprec_ml1m", batch_size=128, learning_rate=5e-3, fast="deeprec_fast_ml1m"
    ),
    "cdae": Peer("cdae_ml1m"),
    "svae": Peer("svae_ml1m", batch_size=1, epochs=12, fast="svae_fast_ml1m"),
}
USUAL = ("multvae", "multdae", "autorec", "deeprec", "cdae")
SHOWN = ("peer_best", "peer_epoch", "peer_seconds", "aerec_seconds", "aerec_compile_seconds",
         "aerec_best", "share")  # fmt: skip
Point = tuple[float, float, float]  # seconds so far, those of training alone, the figure


def main(given: Mapping[str, Any]) -> None:
    """Measure the models, show them, and keep them if asked to."""
    for name in given["models"]:
        if name not in PEERS:
            raise BadInput(f"--models: the peer has no {name!r}. {nearest(name, PEERS)}")
    phases.torch_peer()
    contents = cells.measure(
        {name: functools.partial(measured, name, given) for name in given["models"]},
        pathlib.Path(given["output"]),
    )
    rows = [
        Record(label=name, figures=own["figures"], command=line(name, given), test_scored=0,
               **own["made"])
        for name, own in zip(given["models"], contents, strict=True)
    ]  # fmt: skip
    show.CONSOLE.print(cells.table(TITLE, rows, SHOWN))
    for row in rows if given["record"] else ():
        path = records.add(FILE, TITLE, row)
        show.CONSOLE.print(f"{row.label} is kept in {path}.", markup=False, soft_wrap=True)


def line(name: str, given: Mapping[str, Any]) -> str:
    """Return the command that measures one model."""
    own = "" if given["dataset"] == DATA else f" --dataset={given['dataset']}"
    return (
        f"python -m experiments.quality --models={name}{own} --epochs={given['epochs']} "
        "--data_dir=DIR"
    )


def measured(name: str, given: Mapping[str, Any]) -> cells.Content:
    """Measure one model: the figures, and the curves of the peer and of this project."""
    begun = time.perf_counter()
    of = PEERS[name]
    spec, split = prepared(of.recipe, given["dataset"], given["data_dir"])
    epochs = min(given["epochs"], of.epochs)
    theirs, threads = peer_curve(name, spec, split, epochs)
    if of.fast:
        spec, split = prepared(of.fast, given["dataset"], given["data_dir"])
    time.sleep(phases.PAUSE)
    ours, compilation = own_curve(spec, split)
    figures = compared(theirs, ours, higher=split.protocol["task"] == "ranking")
    own = {
        "aerec_compile_seconds": compilation,
        "threads": float(threads),
        "peer_epochs": float(epochs),
        "peer_batch_size": float(of.batch_size),
    }
    made = cells.made(begun, split, spec.seeds)
    made["versions"] |= phases.version("torch")
    return {"figures": {**figures, **own}, "peer": theirs, "aerec": ours, "made": made}


def prepared(name: str, dataset: str, data_dir: str | None) -> tuple[Spec, Split]:
    """Return the spec of a recipe, and the split as its model reads it."""
    recipe = options.recipe(name)
    traits = models.traits(recipe["model"], recipe.get("set", {}))
    text = recipe["protocol"]
    protocol = protocols.parse(text if dataset == DATA else text.partition(":")[0])
    chosen = {"set": {}, "order_penalty": 0.0, **traits.training, **recipe}
    chosen |= {"seeds": (0,), "dataset": dataset}
    spec = train.specify(chosen, protocol.task, source={})
    (split,) = oriented(traits, [protocol.split(aerec.load(dataset, data_dir=data_dir), seed=0)])
    return sized(spec, split, prolong="epochs" not in recipe), split


def peer_curve(name: str, spec: Spec, split: Split, epochs: int) -> tuple[list[Point], int]:
    """Train the peer; return its curve, a point for each epoch, and its threads."""
    nets, peer = phases.torch_peer()
    threads, of = peer.use_all_cores(), PEERS[name]
    traits = models.traits(spec.model, spec.set)
    net = nets.build(name, traits, split.train, of.batch_size)
    score = peer.scorer(net, split, split.valid)
    matrix = peer.matrix(split.train)
    curve: list[Point] = []
    training = evaluation = 0.0
    steps = peer.epochs(net, matrix, of.batch_size, of.learning_rate, spec.seeds[0])
    for seconds in itertools.islice(steps, epochs):
        begun = time.perf_counter()
        figure = score()
        training, evaluation = training + seconds, evaluation + time.perf_counter() - begun
        curve.append((training + evaluation, training, figure))
    return curve, threads


def own_curve(spec: Spec, split: Split) -> tuple[list[Point], float]:
    """Train by the recipe; return a point for each evaluation, and the seconds of compilation."""
    model = models.build(spec.model, spec.set, Facts.of(split.train, split.scale))
    select = scoring.evaluator(model, split, spec.settings.metric)

    def evaluate(params: Params, _: int) -> dict[str, float]:
        return select(params, split.valid).figures

    untrained = jax.block_until_ready(model.init(jax.random.key(0)))
    begun = time.perf_counter()
    evaluate(untrained, 0)
    compilation = time.perf_counter() - begun
    curve: list[Point] = []

    def watch(record: loop.Record, figures: Mapping[str, float]) -> None:
        if spec.settings.metric in figures:
            figure = float(figures[spec.settings.metric])
            curve.append((record.seconds, sum(record.epoch_seconds), figure))

    fitted = loop.fit(
        model, [split.train], spec.settings, seeds=spec.seeds, evaluate=evaluate, progress=watch
    )
    return curve, compilation + fitted.record.compile_seconds


def compared(theirs: list[Point], ours: list[Point], *, higher: bool) -> dict[str, float]:
    """Compare two curves: the seconds of each until the best figure of the first.

    Args:
      theirs, ours: points by time.
      higher: whether a higher figure is better.

    Returns:
      The figures; without `aerec_seconds` and `share` if our curve does not reach that figure.
    """
    sign = 1 if higher else -1
    best = max(theirs, key=lambda point: sign * point[2])  # the first of equals
    reached = next((point for point in ours if sign * point[2] >= sign * best[2]), None)
    figures = {
        "peer_best": best[2],
        "peer_epoch": float(theirs.index(best) + 1),
        "peer_seconds": best[0],
        "peer_training_seconds": best[1],
        "peer_all_seconds": theirs[-1][0],
        "aerec_best": sign * max(sign * point[2] for point in ours),
        "aerec_all_seconds": ours[-1][0],
    }
    if reached is None:
        return figures
    own = {"aerec_seconds": reached[0], "aerec_training_seconds": reached[1]}
    return {**figures, **own, "share": reached[0] / best[0]}


if __name__ == "__main__":
    flags.DEFINE_list("models", list(USUAL), f"which of {', '.join(PEERS)}")
    flags.DEFINE_string("dataset", DATA, "the name of a data set")
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_integer("epochs", 120, "of the peer", 1)
    flags.DEFINE_string("output", os.path.join("runs", "quality"), "a folder for the models")
    flags.DEFINE_bool("record", False, f"keep the rows in experiments/results/{FILE}.json")
    command.run(main, __doc__)
