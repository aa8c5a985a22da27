"""Held-out rows in blocks of one static shape, which the evaluators scan on the device."""

from collections.abc import Callable
from typing import Protocol

import jax
import numpy as np

from aerec.core import Array, Counted, Model, Params, Rows, Table, even
from aerec.errors import NotNumbers
from aerec.evaluation.report import Report

# Default batch size: bytes of a dense [B, N] float32 block (the fastest measured nearly fits in a
# processor's cache), and the fewest rows for which reading a model's weights pays.
BYTES, ROWS = 2**24, 64


class Heldout(Protocol):
    """Input and target of held-out rows, aligned, and the numbers of the rows in training."""

    @property
    def input(self) -> Table: ...
    @property
    def target(self) -> Table: ...
    @property
    def rows(self) -> Array: ...


Evaluator = Callable[[Params, Heldout], Report]


def plan(
    heldout: Heldout, batch_size: int | None = None, train: Counted | None = None
) -> tuple[np.ndarray, tuple[int, int]]:
    """Plan the scan on the host, in blocks of one static shape.

    Returns:
      index: [S, B] int32 row numbers of the held-out tables, num_rows for padding; B is at most
        `batch_size` (from `BYTES` where None), evened out over the blocks and the devices.
      capacity: the most entries a block holds, of the input and of the target.

    Raises:
      ValueError: nothing to predict, or tables of different rows or columns.
    """
    source, target = heldout.input, heldout.target
    num_rows, num_columns = source.num_rows, source.num_columns
    if not num_rows == target.num_rows == len(heldout.rows):
        raise ValueError(
            f"{num_rows} input rows, {target.num_rows} target rows and {len(heldout.rows)} row "
            "numbers are not aligned"
        )
    if any(t.num_columns != num_columns for t in (target, train) if t is not None):
        raise ValueError("the input, target and training tables differ in their columns")
    if not target.columns.size:
        raise ValueError(f"nothing to predict: the target lists no entry in {num_rows} rows")
    size = batch_size or max(ROWS, BYTES // (4 * num_columns))
    steps = -(-num_rows // size)
    flat = np.arange(steps * even(-(-num_rows // steps)), dtype=np.int32)
    index = np.minimum(flat, num_rows).reshape(steps, -1)

    def capacity(table: Table) -> int:
        return max(1, int(np.append(table.lengths(), 0)[index].sum(axis=1).max()))

    return index, (capacity(source), capacity(target))


def gather(tables, index: jax.Array, capacity: tuple[int, int]) -> tuple[Rows, Rows]:
    """Gather a block's input, numbered as in training, and its target."""
    source, target, numbers = tables
    x = source.gather(index, capacity[0])
    unseen = np.iinfo(np.int32).max  # padding: not a training row (a negative one would wrap)
    x = x.replace(index=numbers.at[index].get(mode="fill", fill_value=unseen))
    return x, target.gather(index, capacity[1])


def on_host(model: Model, out: dict[str, jax.Array], num_rows: int):
    """Return the scan's output as (row counts, per_row), without padding; NaN without a target."""
    rows = {name: value.reshape(-1)[:num_rows] for name, value in jax.device_get(out).items()}
    if bad := int((rows.pop("bad") > 0).sum()):
        name = ".".join(getattr(model.score, a, "?") for a in ("__module__", "__qualname__"))
        raise NotNumbers(
            f"{name} gave scores that are not numbers for {bad} of {num_rows} rows: training "
            "diverged, or the model divides by the size of an empty row"
        )
    held = rows["entries"] > 0
    figures = {"rows": float(held.sum()), "rows_skipped": float((~held).sum())}
    return figures, {n: np.where(held, v, np.nan).astype(np.float32) for n, v in rows.items()}
