"""The latency of a recommendation, from raw ids to ids, titles and scores."""

import itertools
import time

import numpy as np
import polars as pl
import rich.box
from rich.table import Table as Grid

import aerec
from aerec.cli import show
from aerec.data.splits import Split
from aerec.runs.spec import Spec

CALLS, USERS, K = 300, 1000, 10


def recommend(spec: Spec, split: Split) -> dict[str, float]:
    """Time single users, and a thousand at once, of a model trained for one epoch.

    Returns:
      The median seconds of each, and the 99th percentile.
    """
    run = aerec.fit(spec.model, split, show=False, epochs=1, **spec.set)
    histories = _histories(split)
    alone = [
        _seconds(lambda: run.recommend(own, k=K))  # noqa: B023
        for own in (histories[place % len(histories)] for place in range(2 * CALLS))
    ][CALLS:]  # the first calls compile, once for each padded length
    frame = pl.DataFrame(
        {
            "user": np.repeat(np.arange(USERS), [len(own) for own in _cycled(histories)]),
            "item": [item for own in _cycled(histories) for item in own],
        }
    )
    together = [_seconds(lambda: run.recommend(frame, k=K)) for _ in range(5)][1:]
    grid = Grid(box=rich.box.SIMPLE_HEAD, title=f"{spec.model}: {K} of {len(run.item_ids)} items")
    for column in ("users", "p50", "p99", "users a second"):
        grid.add_column(column, justify="right")
    for users, times in ((1, alone), (USERS, together)):
        p50, p99 = (1e3 * np.quantile(times, share) for share in (0.5, 0.99))
        grid.add_row(f"{users:,}", f"{p50:.2f} ms", f"{p99:.2f} ms", f"{1e3 * users / p50:,.0f}")
    show.CONSOLE.print(grid)
    return {
        f"{name}_{figure}": float(np.quantile(times, share))
        for name, times in (("one", alone), ("thousand", together))
        for figure, share in (("seconds", 0.5), ("p99_seconds", 0.99))
    }


def _histories(split: Split) -> list[list[str]]:
    """The test users' histories as raw ids."""
    first, columns = np.asarray(split.test.input.indptr), np.asarray(split.test.input.columns)
    ids = split.item_ids.astype(str)
    return [ids[columns[a:b]].tolist() for a, b in itertools.pairwise(first) if b > a]


def _cycled(histories: list[list[str]]) -> list[list[str]]:
    return [histories[place % len(histories)] for place in range(USERS)]


def _seconds(call) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
