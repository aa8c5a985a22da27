"""Speed against a peer, in one process: time per epoch, share of the matrix-product rate.

  python -m experiments.benchmark --config=multvae_ml1m --data_dir=DIR --against=torch
  python -m experiments.benchmark --what=evaluate --config=multvae_ml1m --against=torch
  python -m experiments.benchmark --what=ease --dataset=ml-1m --data_dir=DIR
  python -m experiments.benchmark --what=recommend --model=ease --dataset=ml-1m --data_dir=DIR
  python -m experiments.benchmark --what=read --file=csv --record=reading:csv
  python -m experiments.benchmark --what=first_layer
  python -m experiments.benchmark --what=last_layer     # or gru, softmax

`epoch` times --repeats epochs of the same model at the same batch size, alternating, after one of
each, and counts the dense operations of encoder and decoder: a product forward and two backward for
each kernel. `solve` times a model in closed form, `evaluate` the scoring of the test part, `audit`
an audit of all triples of the data, each compiled before. The peer's evaluation is of NDCG@100
alone, and ours with a peer too.
`read` writes a file of random ratings and reads it in a process of its own.
`--mesh=data:2` divides an epoch, a solution or an evaluation over devices; a CPU counts as as many
as JAX_NUM_CPU_DEVICES says. `--profile=FOLDER` traces one more call, and shows its operations.
`--record=FILE:ROW` keeps the figures as that row of experiments/results/FILE.json.
The peer, a plain PyTorch loop, needs `pip install "aerec[torch]"`; `experiments.quality` measures
the time to its best figure.
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
from aerec import mesh, models
from aerec.cli import command, options, show
from aerec.cli.train import choose, planned
from aerec.core import Facts
from aerec.data.splits import Split
from aerec.errors import BadInput, nearest
from aerec.models import ease
from aerec.runs.spec import Spec, oriented
from aerec.training import batches, program
from experiments import latency, operations, phases, profiling, reading, records

REPEATS = 8  # of short measurements


def main(given: Mapping[str, Any]) -> None:
    kinds: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "epoch": epoch,
        "ease": cholesky,
        "recommend": recommend,
        "solve": lambda given: phases.solve(*ready(given), given["against"], given["profile"]),
        "evaluate": lambda given: phases.evaluate(
            *ready(given), given["against"], given["profile"]
        ),
        "audit": lambda given: phases.audit(*ready(given), given["profile"]),
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
    measured = {"mesh", "profile"}
    used = {
        "epoch": own | measured
        | {"split_dir", "batch_size", "buckets", "against", "optimiser", "seed", "repeats"},
        "ease": own - {"config", "model", "set"},
        **{name: own | measured | {"split_dir", "against"} for name in ("solve", "evaluate")},
        "recommend": own | {"split_dir"},
        "audit": own | {"split_dir", "profile"},
        "read": {"what", "file", "ratings", "record", "json"},
        **{name: {"what"} for name in ("first_layer", "last_layer", "gru", "softmax")},
    }
    unused = {flag.name for flag in command.own_flags()} - used[given["what"]]
    options.refuse(sorted(unused), f"with --what={given['what']}")
    if given["record"] and not records.PLACE.fullmatch(given["record"]):
        raise BadInput(f"--record={given['record']}: write FILE:ROW")
    with mesh.use(mesh.chosen(given["mesh"]) if "mesh" in used[given["what"]] else None):
        figures = kinds[given["what"]](given)
    if given["json"]:
        print(json.dumps(figures))
    if given["record"]:
        keep(given["record"], figures, given["dataset"] or "", given["against"])


def keep(place: str, figures: Mapping[str, float], data: str, peer: str | None) -> None:
    """Keep the figures of a benchmark as a row, `place` = "FILE:ROW", of a results file."""
    name, _, label = place.partition(":")
    command = shlex.join(options.command_flags("record"))
    row = records.Record(
        label=label,
        figures=figures,
        command="python -m experiments.benchmark "
        + re.sub(r"--(data_dir|profile)=\S+", r"--\1=DIR", command),
        versions={
            "aerec": aerec.__version__,
            "python": platform.python_version(),
            "jax": jax.__version__,
            **phases.version(peer),
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


def epoch(given: Mapping[str, Any]) -> dict[str, float]:
    """Time our epochs, the peer's and the product rate, alternating; report the best of each."""
    spec, split, model = prepare(given)
    table, settings, refeeds = split.train, spec.settings, model.traits.refeeds
    run = program.compiled(model, [table], settings, seeds=(0,))
    state, params = run.start, jax.eval_shape(model.init, jax.random.key(0))
    peer_epochs, threads = None, 0
    if given["against"]:
        nets, peer = phases.torch_peer(given["against"])
        threads = peer.use_all_cores()
        net = nets.build(spec.model, model.traits, table, settings.batch_size)
        peer_epochs = peer.epochs(net, peer.matrix(table), settings.batch_size, 1e-3, spec.seeds[0])
    kernels = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    plan = batches.plan(table.lengths(), settings.batch_size, settings.buckets)
    product = max(b.batch for b in plan), table.num_columns, max(min(k) for k in kernels)
    ours, theirs, rates = [], [], []
    for turn in range(given["repeats"] + 1):  # the first of each warms up
        rates.append(product_rate(*product))
        begun = time.perf_counter()
        state = jax.block_until_ready(run.epoch(state, turn)[0])
        ours.append(time.perf_counter() - begun)
        if peer_epochs is not None:
            theirs.append(next(peer_epochs))
            time.sleep(phases.PAUSE)
    forward = sum(2 * table.num_rows * a * b for a, b in kernels)
    read = [shape for shape in kernels if shape[0] == table.num_columns]
    update = 3 * forward - sum(
        2 * table.num_rows * a * b for a, b in read[:1]
    )  # input: no gradient
    operations = (1 + refeeds) * (update + (forward if refeeds else 0))  # f(x) is computed again
    rate = max(rates)
    title = f"{spec.model}: seconds an epoch, best of {given['repeats']}"
    grid = Grid(box=rich.box.SIMPLE_HEAD, title=title)
    for column in ("", "seconds", "Gflop/s", "of the product rate"):
        grid.add_column(column, justify="left" if not column else "right")
    figures: dict[str, float] = phases.size(table)
    for whose, name, times in (("aerec", "aerec", ours), ("peer", given["against"], theirs)):
        if times:
            best = min(times[1:])
            achieved = operations / best
            figures |= {f"{whose}_seconds": best, f"{whose}_share": achieved / rate}
            grid.add_row(name, f"{best:.3f}", f"{achieved / 1e9:.0f}", f"{achieved / rate:.0%}")
    show.CONSOLE.print(grid)
    show.CONSOLE.print(f"Float32 matrix products in this run: {rate / 1e9:.0f} Gflop/s.")
    figures |= profiling.profile(
        lambda: run.epoch(state, given["repeats"] + 1), given["profile"]
    )
    if theirs:
        show.CONSOLE.print(f"{min(theirs[1:]) / min(ours[1:]):.2f} times faster than the peer.")
        figures |= {"share": min(ours[1:]) / min(theirs[1:]), "threads": float(threads)}
    return figures


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


if __name__ == "__main__":
    options.define_run_flags()
    flags.DEFINE_string(
        "what",
        "epoch",
        "epoch, solve, evaluate, audit, ease, recommend, read, first_layer, last_layer, gru or "
        "softmax",
    )
    flags.DEFINE_string("against", None, "the peer: torch; with --what=solve irspack or implicit")
    flags.DEFINE_integer("repeats", REPEATS, "with --what=epoch: epochs of each, after a first", 1)
    flags.DEFINE_string("file", "csv", f"with --what=read: {', '.join(reading.FILES)}")
    flags.DEFINE_integer("ratings", 20_000_000, "with --what=read: lines of the file", 1)
    flags.DEFINE_string(
        "mesh", None, "how devices share the work, like data:4,model:2 (default: all on data)"
    )
    flags.DEFINE_string("profile", None, "a folder for a trace of one more call")
    flags.DEFINE_bool("json", False, "print the figures as a line of JSON too")
    flags.DEFINE_string("record", None, "FILE:ROW, where to keep the figures")
    command.run(main, __doc__)
