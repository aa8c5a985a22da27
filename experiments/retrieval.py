"""Time the search of the best 100 items by the dimension m of the codes, against EASE.

  python -m experiments.retrieval --data_dir=DIR --record

Every item is scored: from the query of a user with m coordinates, or, by EASE, from his history.
The items are those of a data set (rows `data.M` and `data.ease`), whose codes are singular vectors,
and a synthetic catalogue with random codes (`made_up.M`). All contenders take turns within one run,
so that a busy machine slows all of them. Figures: `median` and `p99` of the seconds of one user;
`users_per_second` in batches of 256; `codes_mb`, the memory of the item codes, or of EASE's
weights, in MB of 2^20 bytes; `over_256` and `batch_over_256`, the ratio of the median seconds to
those of m = 256 on the same items.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from rich.progress import track

from aerec import models
from aerec.cli import command, show
from aerec.core import Facts
from aerec.data.splits import Split
from aerec.training import loop
from experiments import cells, dimensions, operations, records
from experiments.records import Record

FILE, TITLE = "retrieval_ml1m", "Time and memory of the best 100 items, by dimension"
DIMENSIONS = (8, 32, 128, 256)
K, BATCH = 100, 256
SETTING = {"damping": 0.25, "power": 0.25}


class Contender(NamedTuple):
    """A way to find the best items of a user.

    Attributes:
      label: of its row, `<items>.<m>`.
      items: how many are scored.
      size: of the codes, in bytes.
      best: numbers of users [B] -> the scores and the numbers of their best items, [B, K] each.
    """

    label: str
    items: int
    size: int
    best: Callable[[np.ndarray], Any]


def main(given: Mapping[str, Any]) -> None:
    begun = time.perf_counter()
    split = dimensions.divided(given["dataset"], given["data_dir"])
    contenders = of_data(split) + made_up(given["items"])
    users = split.test.input.num_rows
    seconds = timed(contenders, users, given["rounds"], given["batches"])
    line = f"python -m experiments.retrieval --dataset={given['dataset']} --data_dir=DIR"
    line += "".join(f" --{flag}={given[flag]}" for flag in ("items", "rounds", "batches"))
    fields = {**cells.made(begun, split), "command": line}
    rows = recorded(contenders, seconds, fields)
    shown = tuple(name for name in rows[0].figures if name not in ("items", "m"))
    show.CONSOLE.print(cells.table(TITLE, rows, shown))
    done = f"Next: {line} --record"
    if given["record"]:
        done = f"Kept in {records.write(FILE, TITLE, rows)}."
    show.CONSOLE.print(done, markup=False, soft_wrap=True)


def of_data(split: Split) -> list[Contender]:
    """Prepare singular vectors of each m, and EASE, on the items of a split."""
    whole = dimensions.spectral(split, SETTING, max(DIMENSIONS))
    found = []
    for m in DIMENSIONS:
        own = whole.truncated(m)
        found.append(_by_codes(f"data.{m}", own.items, own.queries["test"]))
    model, table = models.build("ease", {}, Facts.of(split.train)), split.test.input
    params, capacity = loop.solve(model, split.train), int(np.sort(table.lengths())[-BATCH:].sum())
    alone = int(table.lengths().max())

    @jax.jit
    def best(params, table, users):
        x = table.gather(users, alone if len(users) == 1 else capacity)
        return jax.lax.top_k(model.score(params, x), min(K, table.num_columns))

    size = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    return [*found, Contender("data.ease", table.num_columns, size,
                              lambda users: best(params, table, users))]  # fmt: skip


def made_up(items: int, users: int = 1024) -> list[Contender]:
    """Prepare random codes of each m."""
    rng = np.random.default_rng(0)
    codes, queries = (rng.normal(size=(own, max(DIMENSIONS))) for own in (items, users))
    return [_by_codes(f"made_up.{m}", codes[:, :m], queries[:, :m]) for m in DIMENSIONS]


def _by_codes(label: str, items: np.ndarray, queries: np.ndarray) -> Contender:
    codes, asked = jnp.asarray(items, jnp.float32), np.asarray(queries, np.float32)
    best = jax.jit(lambda codes, query: jax.lax.top_k(query @ codes.T, min(K, len(codes))))
    return Contender(label, len(codes), codes.nbytes,
                     lambda users: best(codes, asked[users % len(asked)]))  # fmt: skip


def timed(
    contenders: Sequence[Contender], users: int, rounds: int, batches: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Time single users, then batches, the contenders in turns.

    Returns:
      label -> (seconds of a user [rounds], seconds of a batch [batches]).
    """
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    parts = []
    for size, count in ((1, rounds), (BATCH, batches)):
        times = np.zeros((len(contenders), count + 1))  # the first of each compiles
        for turn in track(range(count + 1), f"{size} at once", console=show.CONSOLE):
            asked = np.arange(turn * size, (turn + 1) * size, dtype=np.int32) % users
            for place, own in enumerate(contenders):
                times[place, turn] = operations.seconds(
                    lambda: jax.block_until_ready(own.best(asked))  # noqa: B023
                )
        parts.append(times[:, 1:])
    for place, own in enumerate(contenders):
        found[own.label] = parts[0][place], parts[1][place]
    return found


def recorded(
    contenders: Sequence[Contender],
    seconds: Mapping[str, tuple[np.ndarray, np.ndarray]],
    fields: Mapping[str, Any],
) -> list[Record]:
    """Make the record of each contender."""
    median = {label: [float(np.median(own)) for own in both] for label, both in seconds.items()}
    rows = []
    for own in contenders:
        where, _, m = own.label.partition(".")
        one, many = median[own.label]
        first, batch = median[f"{where}.{max(DIMENSIONS)}"]
        figures = {
            "items": own.items,
            **({"m": int(m)} if m.isdecimal() else {}),
            "median": one,
            "p99": float(np.quantile(seconds[own.label][0], 0.99)),
            "users_per_second": BATCH / many,
            "codes_mb": own.size / 2**20,
            "over_256": one / first,
            "batch_over_256": many / batch,
        }
        rows.append(Record(label=own.label, figures=figures, **fields))
    return rows


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("dataset", "ml-1m", "the name of a data set")
    flags.DEFINE_integer("items", 200_000, "in the synthetic catalogue", 100)
    flags.DEFINE_integer("rounds", 300, "queries of single users, for each contender", 1)
    flags.DEFINE_integer("batches", 15, "batches of 256 users, for each contender", 1)
    flags.DEFINE_bool("record", False, f"keep the rows in experiments/results/{FILE}.json")
    command.run(main, __doc__)
