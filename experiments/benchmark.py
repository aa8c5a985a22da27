"""Speed against a peer, in one process: time per epoch, share of the matrix-product rate, quality.

  python -m experiments.benchmark --config=multvae_ml1m --data_dir=DIR --against=torch
  python -m experiments.benchmark --what=quality --config=autorec_ml1m --against=torch
  python -m experiments.benchmark --what=ease --dataset=ml-1m --data_dir=DIR
  python -m experiments.benchmark --what=recommend --model=ease --dataset=ml-1m --data_dir=DIR
  python -m experiments.benchmark --what=read --file=csv --record=reading:csv
  python -m experiments.benchmark --what=first_layer
  python -m experiments.benchmark --what=last_layer     # or gru, softmax

`epoch` times epochs of the same model at the same batch size, alternating, and counts the dense
operations of encoder and decoder: a product forward and two backward for each kernel.
`quality` trains the peer for --peer_epochs at its constant rate, then this project by its recipe,
and compares the wall time, compilation included, at which each first reaches the peer's best.
`solve` times a model in closed form, `evaluate` the scoring of the test part, `audit` an audit of
all triples of the data, each compiled before.
`read` writes a file of random ratings and reads it in a process of its own.
`--record=FILE:ROW` keeps the figures as that row of experiments/results/FILE.json.
The peer, a plain PyTorch loop, needs `pip install "aerec[torch]"`.
"""

import datetime
import json
import platform
import re
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rich.box
import scipy.linalg
from absl import flags
from rich.table import Table as Grid

import aerec
from aerec import models
from aerec.cli import command, options, show
from aerec.cli.train import choose, planned
from aerec.core import Facts, Traits
from aerec.data.splits import Split
from aerec.errors import BadInput, nearest
from aerec.models import ease
from aerec.runs import scoring
from aerec.runs.spec import Spec, oriented
from aerec.training import batches, loop, program
from experiments import latency, operations, phases, reading, records

REPEATS = 8  # timed epochs of each, alternating


def main(given: Mapping[str, Any]) -> None:
    kinds: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "epoch": epoch,
        "quality": quality,
        "ease": cholesky,
        "recommend": recommend,
        "solve": lambda given: phases.solve(*ready(given), given["against"]),
        "evaluate": lambda given: phases.evaluate(*ready(given)),
        "audit": lambda given: phases.audit(*ready(given)),
        "read": lambda given: reading.read(given["file"], given["ratings"]),
        "first_layer": lambda given: operations.first_layer(),
        "last_layer": lambda given: operations.last_layer(),
        "gru": lambda given: operations.gru(),
        "softmax": lambda given: operations.wide_softmax(),
    }
    if given["what"] not in kinds:
        raise BadInput(f"--what={given['what']!r}: {nearest(given['what'], kinds)}")
    own = {"what", "config", "model", "set", "data_dir", "data_file", "dataset", "protocol"}
    own |= {"record", "json"}
    used = {
        "epoch": own | {"split_dir", "batch_size", "buckets", "against", "optimiser", "seed"},
        "ease": own - {"config", "model", "set"},
        "solve": own | {"split_dir", "against"},
        **{name: own | {"split_dir"} for name in ("recommend", "evaluate", "audit")},
        "read": {"what", "file", "ratings", "record", "json"},
        **{name: {"what"} for name in ("first_layer", "last_layer", "gru", "softmax")},
    }
    if given["what"] in used:
        unused = {flag.name for flag in command.own_flags()} - used[given["what"]]
        options.refuse(sorted(unused), f"with --what={given['what']}")
    if given["record"] and not records.PLACE.fullmatch(given["record"]):
        raise BadInput(f"--record={given['record']}: write FILE:ROW")
    figures = kinds[given["what"]](given)
    if given["json"]:
        print(json.dumps(figures))
    if given["record"]:
        keep(given["record"], figures, given["dataset"] or "")


def keep(place: str, figures: Mapping[str, float], data: str) -> None:
    """Keep the figures of a benchmark as a row, `place` = "FILE:ROW", of a results file."""
    name, _, label = place.partition(":")
    command = shlex.join(options.command_flags("record"))
    row = records.Record(
        label=label,
        figures=figures,
        command="python -m experiments.benchmark "
        + re.sub(r"--data_dir=\S+", "--data_dir=DIR", command),
        versions={
            "aerec": aerec.__version__,
            "python": platform.python_version(),
            "jax": jax.__version__,
        },
        date=datetime.date.today().isoformat(),
        machine=records.machine(),
        data=data,
    )
    show.CONSOLE.print(f"Kept in {records.add(name, 'Benchmarks', row)}.", markup=False)


def prepare(given: Mapping[str, Any]):
    """Return (spec, split, model) as given by the flags."""
    chosen, _, spec = planned({**given, "seeds": 1})
    splits = options.load_splits(given, chosen["dataset"], chosen["protocol"], chosen["seeds"])
    (split,) = oriented(models.traits(spec.model, spec.set), splits)
    model = models.build(spec.model, spec.set, Facts.of(split.train, split.scale))
    return spec, split, model


def peer(given: Mapping[str, Any], spec: Spec, traits: Traits, split) -> tuple[Any, Any]:
    """Build the torch module for the model and its generator of epochs."""
    if given["against"] != "torch":
        raise BadInput("--against=torch is the only peer")
    torch_loop = _torch_loop()
    rows, columns = split.train.num_rows, split.train.num_columns
    batch_size = spec.settings.batch_size if given["what"] == "epoch" else given["peer_batch_size"]
    nets: dict[str, Callable] = {
        "multvae": lambda: torch_loop.MultVAE(columns),
        "multdae": lambda: torch_loop.MultDAE(columns, rows),
        "cdae": lambda: torch_loop.CDAE(columns, rows),
        "deeprec": lambda: torch_loop.DeepRec(columns, traits.refeeds),
        "autorec": lambda: torch_loop.AutoRec(columns, traits.l2, -(-rows // batch_size)),
    }
    if spec.model not in nets:
        raise BadInput(f"the peer has no {spec.model!r}. {nearest(spec.model, nets)}")
    net = nets[spec.model]()
    ratings = torch_loop.matrix(split.train)
    return net, torch_loop.epochs(net, ratings, batch_size, 1e-3, spec.seeds[0])


def epoch(given: Mapping[str, Any]) -> dict[str, float]:
    """Time our epochs, the peer's and the product rate, alternating; report the best of each."""
    spec, split, model = prepare(given)
    table, settings, refeeds = split.train, spec.settings, model.traits.refeeds
    run = program.compiled(model, [table], settings, seeds=(0,))
    state, params = run.start, jax.eval_shape(model.init, jax.random.key(0))
    peer_epochs = peer(given, spec, model.traits, split)[1] if given["against"] else None
    kernels = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    plan = batches.plan(table.lengths(), settings.batch_size, settings.buckets)
    product = max(b.batch for b in plan), table.num_columns, max(min(k) for k in kernels)
    ours, theirs, rates = [], [], []
    for turn in range(REPEATS + 1):  # the first of each warms up
        rates.append(product_rate(*product))
        begun = time.perf_counter()
        state = jax.block_until_ready(run.epoch(state, turn)[0])
        ours.append(time.perf_counter() - begun)
        if peer_epochs is not None:
            theirs.append(next(peer_epochs))
            time.sleep(0.3)  # the peer's threads spin for a while after their last product
    forward = sum(2 * table.num_rows * a * b for a, b in kernels)
    read = [shape for shape in kernels if shape[0] == table.num_columns]
    update = 3 * forward - sum(
        2 * table.num_rows * a * b for a, b in read[:1]
    )  # input: no gradient
    operations = (1 + refeeds) * (update + (forward if refeeds else 0))  # f(x) is computed again
    rate = max(rates)
    title = f"{spec.model}: seconds an epoch, best of {REPEATS}"
    grid = Grid(box=rich.box.SIMPLE_HEAD, title=title)
    for column in ("", "seconds", "Gflop/s", "of the product rate"):
        grid.add_column(column, justify="left" if not column else "right")
    figures: dict[str, float] = {}
    for whose, name, times in (("aerec", "aerec", ours), ("peer", given["against"], theirs)):
        if times:
            best = min(times[1:])
            achieved = operations / best
            figures |= {f"{whose}_seconds": best, f"{whose}_share": achieved / rate}
            grid.add_row(name, f"{best:.3f}", f"{achieved / 1e9:.0f}", f"{achieved / rate:.0%}")
    show.CONSOLE.print(grid)
    show.CONSOLE.print(f"Float32 matrix products in this run: {rate / 1e9:.0f} Gflop/s.")
    if theirs:
        show.CONSOLE.print(f"{min(theirs[1:]) / min(ours[1:]):.2f} times faster than the peer.")
    return figures


def quality(given: Mapping[str, Any]) -> dict[str, float]:
    """Measure the wall time to the peer's best validation figure."""
    spec, split, model = prepare(given)
    net, peer_epochs = peer(given, spec, model.traits, split)
    score = _torch_loop().scorer(net, split)
    ranking = split.protocol["task"] == "ranking"
    curve: list[tuple[float, float]] = []
    seconds = 0.0
    for _ in range(given["peer_epochs"]):
        seconds += next(peer_epochs)
        begun = time.perf_counter()
        figure = score()
        seconds += time.perf_counter() - begun
        curve.append((seconds, figure))
    best = max(curve, key=lambda point: point[1] if ranking else -point[1])
    show.CONSOLE.print(
        f"The peer: {spec.settings.metric} {best[1]:.4f} after {best[0]:.1f} s "
        f"({curve.index(best) + 1} of {len(curve)} epochs, {seconds:.1f} s in all)."
    )
    begun = time.perf_counter()
    select = scoring.evaluator(model, split, spec.settings.metric)
    reached: list[float] = []

    def watch(record: loop.Record, figures: Mapping[str, float]) -> None:
        value = figures.get(spec.settings.metric)
        if value is not None and (value >= best[1] if ranking else value <= best[1]):
            reached.append(time.perf_counter() - begun)

    fitted = loop.fit(
        model,
        [split.train],
        spec.settings,
        seeds=spec.seeds,
        evaluate=lambda params, replica: select(params, split.valid).figures,
        progress=watch,
    )
    show.CONSOLE.print(
        f"aerec: {spec.settings.metric} {fitted.record.best[0]:.4f} in "
        f"{time.perf_counter() - begun:.1f} s; the peer's best "
        + (f"after {reached[0]:.1f} s, {reached[0] / best[0]:.0%} of its time." if reached else
           "was not reached.")
    )  # fmt: skip
    own = {"aerec_seconds": reached[0]} if reached else {}
    return {**own, "peer_seconds": best[0], spec.settings.metric: best[1]}


def recommend(given: Mapping[str, Any]) -> dict[str, float]:
    """Time recommendations, from raw ids to ids, titles and scores."""
    return latency.recommend(*ready(given))


def ready(given: Mapping[str, Any]) -> tuple[Spec, Split]:
    """Return the spec and the split that the flags say."""
    chosen, _, spec = planned({**given, "seeds": 1})
    (split,) = options.load_splits(given, chosen["dataset"], chosen["protocol"], chosen["seeds"])
    return spec, split


def product_rate(rows: int, columns: int, features: int) -> float:
    """Measure the best float32 matrix-product rate of the machine, operations a second."""
    a, b = jnp.ones((rows, columns)), jnp.ones((columns, features))
    multiply = jax.jit(jnp.matmul)
    jax.block_until_ready(multiply(a, b))
    best = min(operations.seconds(lambda: jax.block_until_ready(multiply(a, b))) for _ in range(20))
    return 2 * rows * columns * features / best


def cholesky(given: Mapping[str, Any]) -> dict[str, float]:
    """Time EASE's inverse against SciPy's Cholesky on the same Gram matrix."""
    chosen = choose({**given, "model": "ease", "config": None, "set": [], "seeds": 1})
    (split,) = options.load_splits(given, chosen["dataset"], chosen["protocol"], chosen["seeds"])
    gram = jax.block_until_ready(ease.gram(split.train))
    dense = np.asarray(gram) + 500 * np.eye(len(gram), dtype=np.float32)

    def by_scipy():
        return scipy.linalg.cho_solve(
            scipy.linalg.cho_factor(dense), np.eye(len(dense), dtype=np.float32)
        )

    ours, theirs = [], []
    for _ in range(REPEATS):
        ours.append(operations.seconds(lambda: jax.block_until_ready(ease.inverse(gram, 500.0))))
        theirs.append(operations.seconds(by_scipy))
    whole = min(
        operations.seconds(lambda: jax.block_until_ready(ease.gram(split.train))) for _ in range(3)
    )
    difference = np.abs(by_scipy() - np.asarray(ease.inverse(gram, 500.0))).max()
    show.CONSOLE.print(
        f"{len(gram)} items: aerec {min(ours):.3f} s, SciPy's cho_factor and cho_solve "
        f"{min(theirs):.3f} s, largest difference {difference:.1e}; "
        f"the Gram matrix itself {whole:.3f} s."
    )
    return {"aerec_seconds": min(ours), "peer_seconds": min(theirs), "gram_seconds": whole}


def _torch_loop():
    try:
        from experiments import torch_loop
    except ImportError:
        raise BadInput('--against=torch needs torch: pip install "aerec[torch]"') from None
    return torch_loop


if __name__ == "__main__":
    options.define_run_flags()
    flags.DEFINE_string(
        "what",
        "epoch",
        "epoch, quality, solve, evaluate, audit, ease, recommend, read, first_layer, last_layer, "
        "gru or softmax",
    )
    flags.DEFINE_string("against", None, "the peer: torch; with --what=solve irspack or implicit")
    flags.DEFINE_integer("peer_epochs", 100, "with --what=quality: epochs of the peer", 1)
    flags.DEFINE_integer("peer_batch_size", 500, "with --what=quality: rows in its batches", 1)
    flags.DEFINE_string("file", "csv", f"with --what=read: {', '.join(reading.FILES)}")
    flags.DEFINE_integer("ratings", 20_000_000, "with --what=read: lines of the file", 1)
    flags.DEFINE_bool("json", False, "print the figures as a line of JSON too")
    flags.DEFINE_string("record", None, "FILE:ROW, where to keep the figures")
    command.run(main, __doc__)
