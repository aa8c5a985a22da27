"""Measure how time and memory of training grow with the columns, the rows and the entries.

  python -m experiments.growth --output=runs/growth --record
  python -m experiments.growth --picture=growth.png

Mult-VAE with a hidden layer of 128 and a code of 64, on synthetic clicks. Each size is trained in a
process of its own, `--repeats` epochs after a first one, and as many after the rates of the machine
are measured, which change within minutes. Rows `columns.full.N` and `columns.sampled.N` have 500
rows of 100 clicks in N columns, by the whole and by the sampled softmax; `entries.N` has N clicks,
50 a row, in 20,000 columns, and `length.N` has 4,000 rows, N clicks altogether. With --devices
there are rows `devices.N`: 4,000 rows of 50 clicks in 20,000 columns, on a mesh of N devices; a CPU
counts as so many. Figures: `seconds` of an epoch, the median; `update`, of an update; `fixed`, of
an update in few columns; `predicted`, of an update on one device by `experiments.update_time`:
`fixed`, and its work by the rates of the machine, `gflops` of matrix products of its shape,
`logits_gb_per_second` of a softmax, `gb_per_second` of memory, and `adam_gb_per_second` of Adam or,
with a sampled softmax, `rows_gb_per_second` of rows that Adam updates and
`transpose_gb_per_second` of copies; `peak_mb`, of the process before the rates, MB of 2^20 bytes,
less those before the data; `needed_mb`, by the estimate before training. A row without a size, like
`entries`, has the exponent b of seconds ~ size^b, fitted to all epochs of its sizes, with its 95%
interval. A finished size is a file in --output; the same command resumes. `growth.png` in --output
shows seconds and memory by size, with the exponents; with --picture the kept rows are drawn, and
nothing is measured.
"""

import functools
import itertools
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import scipy.stats
from absl import flags
from matplotlib.figure import Figure

from aerec import memory, mesh, models, plots
from aerec.cli import command, show
from aerec.core import Facts, Table
from aerec.errors import BadInput
from aerec.training import program, sampled
from aerec.training.settings import Settings
from experiments import cells, records, update_time
from experiments.records import Record

FILE, TITLE = "growth", "Time and memory of training by the size of the data"
WIDTH = 128
NETWORK = {"hidden": (WIDTH,), "latent": 64}
MEASURED = ("fixed", "predicted", "peak_mb", "needed_mb")
# field of `update_time.Rates` -> figure
RATES = {"operations": "gflops", "logits": "logits_gb_per_second", "streamed": "gb_per_second",
         "adam": "adam_gb_per_second", "rows": "rows_gb_per_second",
         "transposed": "transpose_gb_per_second"}  # fmt: skip
# growth: sizes, (size -> rows, columns, clicks a row, settings)
GROWTHS: dict[str, tuple[tuple[int, ...], Callable[[int], tuple[int, int, int, dict[str, Any]]]]]
GROWTHS = {
    "columns.full": ((100_000, 300_000, 1_000_000),
                     lambda n: (500, n, 100, {"batch_size": 25, "softmax": "full"})),
    "columns.sampled": ((100_000, 300_000, 1_000_000),
                        lambda n: (500, n, 100, {"batch_size": 25, "softmax": "sampled"})),
    "entries": ((200_000, 600_000, 1_800_000), lambda n: (n // 50, 20_000, 50, {})),
    "length": ((200_000, 600_000, 1_800_000), lambda n: (4_000, 20_000, n // 4_000, {})),
    "devices": ((), lambda n: (4_000, 20_000, 50, {})),  # sizes: those of --devices
}  # fmt: skip
# of the picture: a size -> where it is drawn, and the growths in it with their names
PANELS: dict[str, tuple[Callable[[int], int], dict[str, str]]]
PANELS = {
    "columns": (lambda n: n, {"columns.full": "full softmax", "columns.sampled": "sampled"}),
    "rows of 50 clicks": (lambda n: n // 50, {"entries": "full softmax"}),
    "clicks of 4,000 rows": (lambda n: n, {"length": "full softmax"}),
    "devices": (lambda n: n, {"devices": "full softmax"}),
}


def main(given: Mapping[str, Any]) -> None:
    """Measure all sizes, or with --size one of them in this process."""
    if given["size"]:
        print(json.dumps(trained(given["size"], given["repeats"])))
        return
    if given["picture"]:
        plots.save(picture(records.read(FILE)[1]), pathlib.Path(given["picture"]))
        return
    sizes = {growth: own for growth, (own, _) in GROWTHS.items()}
    sizes["devices"] = devices(given["devices"])
    output = pathlib.Path(given["output"])
    names = [f"{growth}.{size}" for growth, own in sizes.items() for size in own]
    contents = cells.measure(
        {name: functools.partial(in_process, name, given["repeats"]) for name in names}, output
    )
    own = f" --devices={','.join(given['devices'])}" if given["devices"] else ""
    fields = {"command": f"python -m experiments.growth --repeats={given['repeats']}{own}"}
    rows = recorded(dict(zip(names, contents, strict=True)), fields)
    show.CONSOLE.print(cells.table(TITLE, rows, ("seconds", "update", *MEASURED, "exponent")))
    plots.save(picture(rows), output / "growth.png")
    done = f"Next: {fields['command']} --output={output} --record"
    if given["record"]:
        done = f"Kept in {records.write(FILE, TITLE, rows)}."
    show.CONSOLE.print(done, markup=False, soft_wrap=True)


def devices(given: Sequence[str]) -> tuple[int, ...]:
    """Check numbers of devices: none, or several. Raises BadInput."""
    if not all(own.isdecimal() and int(own) for own in given) or len(set(given)) == 1:
        raise BadInput(f"--devices={','.join(given)}: write two numbers or more, like 1,2,4")
    return tuple(sorted(map(int, set(given))))


def in_process(name: str, repeats: int) -> dict[str, Any]:
    """Train one size in a process of its own.

    Raises:
      BadInput: the process failed.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.growth", f"--size={name}", f"--repeats={repeats}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(name),
    )  # fmt: skip
    out, err = process.communicate()
    if process.returncode:
        last = (err.strip().splitlines() or [""])[-1]
        raise BadInput(f"{name} was not measured; its process ended with: {last}")
    return {**json.loads(out.splitlines()[-1]), "made": cells.made(begun)}


def environment(name: str) -> dict[str, str]:
    """Return the variables of the process of a size: a CPU counts as the devices that it needs."""
    growth, _, size = name.rpartition(".")
    return {**os.environ, **({"JAX_NUM_CPU_DEVICES": size} if growth == "devices" else {})}


def trained(name: str, repeats: int) -> dict[str, Any]:
    """Train a size; return the seconds of each epoch but the first, its updates, and the memory."""
    growth, _, size = name.rpartition(".")
    if growth not in GROWTHS or not size.isdecimal():
        raise BadInput(f"--size={name!r}: write one of {', '.join(GROWTHS)}, a dot and a number")
    rows, columns, each, own = GROWTHS[growth][1](int(size))
    before = memory.peak_rss_mb()
    table = clicks(rows, columns, each)
    said: list[str] = []
    on = mesh.chosen(f"data:{size}") if growth == "devices" else None
    with mesh.use(on):
        run = compiled(table, own, 2 * repeats + 1, said.append)
        best = jax.tree.map(jax.numpy.copy, run.start.params)  # as a run keeps them
        state, seconds = epochs(run, run.start, range(repeats + 1))
    peak = memory.peak_rss_mb() - before
    del best
    needed = re.search(r"needs about ([\d.]+) GiB", " ".join(said))
    batch, drawn = -(-rows // run.updates), "sampled" in " ".join(said)
    seen = min(columns, batch * each + Settings().candidates) if drawn else columns
    fixed = in_few_columns(batch * min(run.updates, 20), each, own, repeats)
    work = update_time.work(batch, columns, seen, each, WIDTH, updates=run.updates)
    several = distinct(table, batch, Settings().candidates) if seen < columns else seen
    rates = update_time.measured(batch, columns, seen, WIDTH, several)
    with mesh.use(on):
        _, later = epochs(run, state, range(repeats + 1, 2 * repeats + 1))
    return {
        "seconds": seconds[1:] + later,
        "updates": run.updates,
        "peak_mb": peak,
        "needed_mb": 1024 * float(needed[1]) if needed else 0.0,
        "fixed": fixed,
        "predicted": update_time.predicted(work, rates, fixed),
        **{RATES[name]: rate / 1e9 for name, rate in rates._asdict().items() if rate < math.inf},
    }


def compiled(
    table: Table, own: Mapping[str, Any], number: int, log: Callable[[str], object]
) -> program.Program:
    """Compile the training of Mult-VAE in so many epochs; `own` are its settings."""
    model = models.build("multvae", NETWORK, Facts.of(table))
    return program.compiled(model, [table], Settings(epochs=number, **own), seeds=(0,), log=log)


def epochs(run: program.Program, state: Any, numbers: range) -> tuple[Any, list[float]]:
    """Train the epochs of these numbers; return the state and the seconds of each.

    Raises:
      BadInput: the parameters are not finite.
    """
    seconds = []
    for epoch in numbers:
        begun = time.perf_counter()
        state, _, finite = jax.block_until_ready(run.epoch(state, epoch))
        seconds.append(time.perf_counter() - begun)
        if not np.all(finite):
            raise BadInput(f"the parameters are not finite after epoch {epoch}")
    return state, seconds


def distinct(table: Table, batch: int, draws: int) -> int:
    """Count the columns that an update by a sampled softmax is expected to see."""
    weights = sampled.weigh(table)
    columns = jax.numpy.arange(table.num_columns)
    chance = sampled.log_chance(weights, columns, table.num_rows, batch + 1, draws)
    return round(float(np.exp(chance).sum()))


def in_few_columns(rows: int, each: int, own: Mapping[str, Any], repeats: int) -> float:
    """Measure the median seconds of an update in 2 `each` columns, where little depends on them."""
    run = compiled(clicks(rows, 2 * each, each), own, repeats + 1, lambda text: None)
    seconds = epochs(run, run.start, range(repeats + 1))[1][1:]
    return float(np.median(seconds)) / run.updates


def clicks(rows: int, columns: int, each: int) -> Table:
    """Draw `each` distinct columns for each row; a column's chance falls as 1 / (its rank + 10)."""
    rng = np.random.default_rng(0)
    ends = np.cumsum(1 / (np.arange(columns) + 10.0))
    found = np.empty((rows, each), np.int64)
    for place in range(rows):
        drawn: np.ndarray = np.empty(0, np.int64)
        while len(drawn) < each:
            more = np.searchsorted(ends, rng.random(2 * each) * ends[-1])
            drawn = np.unique(np.append(drawn, np.minimum(more, columns - 1)))
        found[place] = rng.permutation(drawn)[:each]
    row = np.repeat(np.arange(rows), each)
    ones = np.ones(rows * each, np.float32)
    return Table.from_entries(row, found.ravel(), ones, num_rows=rows, num_columns=columns)


def recorded(contents: Mapping[str, Any], fields: Mapping[str, Any]) -> list[Record]:
    """Make the record of each size, and of the exponent of each growth."""
    rows = []
    for name, own in contents.items():
        median = float(np.median(own["seconds"]))
        figures = {
            "seconds": median,
            "update": median / own["updates"],
            **{name: own[name] for name in (*MEASURED, *RATES.values()) if name in own},
        }
        rows.append(Record(label=name, figures=figures, **own["made"], **fields))
    for growth, own in itertools.groupby(contents, lambda name: name.rpartition(".")[0]):
        names = list(own)
        sizes = [int(name.rpartition(".")[2]) for name in names]
        figures = exponent(sizes, [contents[name]["seconds"] for name in names])
        last = contents[names[-1]]["made"]
        rows.append(Record(label=growth, figures=figures, **last, **fields))
    return rows


def exponent(sizes: Sequence[int], seconds: Sequence[Sequence[float]]) -> dict[str, float]:
    """Fit b of seconds ~ size^b by least squares of the logarithms, with its 95% interval."""
    x = np.repeat(np.log(sizes), [len(own) for own in seconds])
    fit = scipy.stats.linregress(x, np.log(np.concatenate(seconds)))
    half = scipy.stats.t.ppf(0.975, len(x) - 2) * fit.stderr
    ends = {"exponent_low": fit.slope - half, "exponent_high": fit.slope + half}
    return {name: float(own) for name, own in {"exponent": fit.slope, **ends}.items()}


def picture(rows: Sequence[Record]) -> Figure:
    """Plot seconds of an epoch with the fitted power law, and memory, by the size of the data.

    Args:
      rows: of sizes, and of the exponent of each growth.
    """
    known = {row.label: row.figures for row in rows}
    panels = {of: own for of, own in PANELS.items() if set(own[1]) & set(known)}
    width, height = plots.SIZE
    figure = Figure(figsize=(len(panels) * width, 2 * height), layout="constrained")
    grid = figure.subplots(2, len(panels), squeeze=False, sharey="row")
    for (above, below), (of, (place, growths)) in zip(grid.T, panels.items(), strict=True):
        plots.style(above, xlabel=of, ylabel="seconds of an epoch")
        plots.style(below, xlabel=of, ylabel="memory, MB")
        for growth, name in growths.items():
            if growth not in known:
                continue
            sizes = sorted(int(label.rpartition(".")[2]) for label in known
                           if re.fullmatch(rf"{re.escape(growth)}\.\d+", label))  # fmt: skip
            x = np.array([place(size) for size in sizes], float)
            seconds, peak = (np.array([known[f"{growth}.{size}"][figure] for size in sizes])
                             for figure in ("seconds", "peak_mb"))  # fmt: skip
            b, low, high = (known[growth][f"exponent{end}"] for end in ("", "_low", "_high"))
            text = f"{name}: size^{b:.2f} [{low:.2f}, {high:.2f}]"
            points = above.plot(x, seconds, "o")[0]
            law = np.exp(np.log(seconds).mean() + b * (np.log(x) - np.log(x).mean()))
            above.plot(x, law, color=points.get_color(), label=text)
            below.plot(x, peak, "o-", label=name)
        for axes in (above, below):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    flags.DEFINE_string("output", os.path.join("runs", "growth"), "a folder for the sizes")
    flags.DEFINE_integer("repeats", 3, "epochs that are timed before the rates, and after", 2)
    flags.DEFINE_list("devices", [], "numbers of devices, like 1,2,4, to measure as well")
    flags.DEFINE_string("picture", None, "draw the kept rows to this PNG file; nothing is measured")
    flags.DEFINE_string("size", None, "measure this one size, in this process, and print it")
    flags.DEFINE_bool("record", False, f"keep the rows in experiments/results/{FILE}.json")
    command.run(main, __doc__)
