"""Plan a training run that is too large to try: its memory and time on a mesh, by formula.

  python -m experiments.plan --users=1e8 --items=1e7 --clicks=100 --mesh=data:4,model:2 --record

Mult-VAE with a hidden layer, by the whole softmax (rows `full.WHAT`) and the sampled one
(`sampled.WHAT`); docs/scale.md has the formulas. Figures: `gb`, GB of 10^9 bytes of all devices
together, and `device_gb`, of each. Rows `full` and `sampled` have `update`, the seconds of an
update by the rates that are given (operations and memory of a device, and the links between them,
none of which overlap), and `epoch_hours`. Nothing is measured here; `experiments.growth` measures
smaller sizes.
"""

import time
from collections.abc import Mapping
from typing import Any

from absl import flags

from aerec.cli import command, show
from aerec.errors import BadInput
from aerec.training.settings import Settings
from experiments import cells, records, update_time
from experiments.records import Record

FILE, TITLE = "plan", "Memory and time by formula"
SOFTMAXES = ("full", "sampled")


def main(given: Mapping[str, Any]) -> None:
    """Show the plan, and keep it if asked to."""
    data, model = sizes(given["mesh"])
    users, items, each = (int(given[name]) for name in ("users", "items", "clicks"))
    batch, width = given["batch_size"], given["hidden"]
    names = ("users", "items", "clicks", "hidden", "batch_size", "mesh", "tflops", "memory_tb",
             "link_gb")  # fmt: skip
    shown = (f"--{name}={given[name]}".removesuffix(".0") for name in names)
    line = " ".join(["python -m experiments.plan", *shown])
    fields = {**cells.made(time.perf_counter()), "command": line}
    rows = []
    for softmax in SOFTMAXES:
        seen = items if softmax == "full" else min(items, batch * each + Settings().candidates)
        parts = memory(users, items, users * each, seen, batch, width)
        on_each = {"table": data, "offsets": 1, "parameters": model, "logits": data * model}
        figures = {
            part: {"gb": size / 1e9, "device_gb": size / on_each[part] / 1e9}
            for part, size in parts.items()
        }
        total = {name: sum(own[name] for own in figures.values()) for name in ("gb", "device_gb")}
        updates = -(-users // batch)
        work = update_time.work(batch, items, seen, each, width, updates=updates)
        traffic = sum(work) - work.operations  # bytes
        exchanged = 8 * 2 * seen * width / model + 16 * each * batch
        seconds = work.operations / (data * model) / (given["tflops"] * 1e12)
        seconds += traffic / (data * model) / (given["memory_tb"] * 1e12)
        seconds += exchanged / (given["link_gb"] * 1e9) if data * model > 1 else 0
        hours = seconds * updates / 3600
        for part, own in figures.items():
            rows.append(Record(label=f"{softmax}.{part}", figures=own, **fields))
        whole = {**total, "update": seconds, "epoch_hours": hours}
        rows.append(Record(label=softmax, figures=whole, **fields))
    show.CONSOLE.print(cells.table(TITLE, rows, ("gb", "device_gb", "update", "epoch_hours")))
    done = f"Next: {line} --record"
    if given["record"]:
        done = f"Kept in {records.write(FILE, TITLE, rows)}."
    show.CONSOLE.print(done, markup=False, soft_wrap=True)


def sizes(text: str) -> tuple[int, int]:
    """Read a mesh like "data:4,model:2"; an axis that is not named has size 1."""
    found = {"data": 1, "model": 1}
    for part in text.split(","):
        name, _, size = part.partition(":")
        if name not in found or not size.isdecimal() or not int(size):
            raise BadInput(f"--mesh={text}: write data:D,model:M, like data:4,model:2")
        found[name] = int(size)
    return found["data"], found["model"]


def memory(
    users: int, items: int, entries: int, seen: int, batch: int, width: int
) -> dict[str, int]:
    """Count the bytes of training: table, offsets, parameters and what is as large, logits.

    Args:
      seen: columns that an update sees; fewer than `items` with a sampled softmax.
    """
    weights = 2 * items * width
    rest = 4 * weights if seen == items else 12 * items * width  # the gradient, or the copies
    return {
        "table": 8 * entries,
        "offsets": 4 * users,
        "parameters": 16 * weights + rest,
        "logits": 16 * batch * seen,
    }


if __name__ == "__main__":
    flags.DEFINE_float("users", 1e8, "rows", 1)
    flags.DEFINE_float("items", 1e7, "columns", 1)
    flags.DEFINE_float("clicks", 100, "of a user, on average", 1)
    flags.DEFINE_integer("hidden", 128, "units of the layer next to the items", 1)
    flags.DEFINE_integer("batch_size", 500, "rows in a batch", 1)
    flags.DEFINE_string("mesh", "data:4,model:2", "devices on each axis")
    flags.DEFINE_float("tflops", 60, "10^12 operations a second of a device", 0)
    flags.DEFINE_float("memory_tb", 3.35, "10^12 bytes a second of a device's memory", 0)
    flags.DEFINE_float("link_gb", 450, "10^9 bytes a second between devices", 0)
    flags.DEFINE_bool("record", False, f"keep the rows in experiments/results/{FILE}.json")
    command.run(main, __doc__)
