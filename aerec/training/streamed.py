"""An epoch over tables that stay on the host: batches are read while earlier ones are trained on.

The program is that of an epoch of a few steps, on a window: a table of the rows of their batches.
The batches are those of the whole table on the device, and so are the numbers. Over a mesh, each
process reads the part of a window that its own devices hold.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from aerec import mesh
from aerec.core import Rows, Table
from aerec.host_table import ENTRIES, HostTable
from aerec.training.batches import Bucket

AHEAD = 2  # windows that are read before they are needed


@struct.dataclass
class Window(Table):
    """Rows of a table, of which `numbers` [R] int32 are the rows of the whole table."""

    numbers: Any = None

    def gather(self, index: jax.Array, capacity: int, longest: int | None = None) -> Rows:
        """Gather rows by their places in the window, as `Table.gather` does by their numbers."""
        x = super().gather(index, capacity, longest)
        numbers = self.numbers.at[index].get(mode="fill", fill_value=-1)
        return dataclasses.replace(x, index=numbers)


def window(
    tables: Sequence[HostTable], capacity: int, own: range, numbers: np.ndarray
) -> Window:
    """Read the rows of a window, of each replica.

    Args:
      tables: one for all replicas, or one per replica.
      capacity: entries for which a window has room.
      own: the entries of a window that are read (`mesh.own`); the others are zero.
      numbers: [S, R] the rows of each replica's window; U for padding.

    Returns:
      NumPy leaves [S, ...]; of a single replica, without S.
    """
    read = [_one(tables[i % len(tables)], capacity, own, each) for i, each in enumerate(numbers)]
    return read[0] if len(read) == 1 else jax.tree.map(lambda *leaves: np.stack(leaves), *read)


def _one(table: HostTable, capacity: int, own: range, numbers: np.ndarray) -> Window:
    inside = numbers < table.num_rows
    sizes = np.where(inside, table.sizes[np.where(inside, numbers, 0)], 0)
    ends = np.append(0, np.cumsum(sizes))
    within = inside & (ends[1:] > own.start) & (ends[:-1] < own.stop)
    listed = table.read(numbers[within])
    columns = np.zeros(capacity, np.int32)
    first = ends[np.argmax(within)]
    columns[first : first + len(listed)] = listed
    return Window(
        indptr=ends.astype(np.int32),
        columns=columns,
        values=np.ones(capacity, np.float32),
        num_columns=table.num_columns,
        numbers=numbers.astype(np.int32),
    )


class Windows:
    """The windows of an epoch, each of as many batches as `ENTRIES` allows, at least one.

    Attributes:
      most: batches in a window; the last one of an epoch may have fewer.
    """

    def __init__(self, tables: Sequence[HostTable], plan: Sequence[Bucket], replicas: int):
        self.tables, self.replicas = tables, replicas
        self.rows = max(bucket.batch for bucket in plan)
        self.room = max(bucket.capacity for bucket in plan)
        self.steps = sum(bucket.steps for bucket in plan)
        self.most = min(self.steps, max(1, ENTRIES // self.room))
        self.own = {n: mesh.own(n * self.room) for n in self.sizes}

    @property
    def sizes(self) -> set[int]:
        """The numbers of batches that windows have."""
        return {self.most, self.steps % self.most or self.most}

    def read(self, order: np.ndarray) -> Window:
        """Read the window of batches [S, n, B], on the host."""
        n = order.shape[1]
        numbers = order.reshape(len(order), -1)
        return window(self.tables, n * self.room, self.own[n], numbers)

    def places(self, n: int) -> np.ndarray:
        """Return where the rows of n batches are in their window, [S, n, B] int32."""
        each = np.arange(n * self.rows, dtype=np.int32).reshape(n, self.rows)
        return np.broadcast_to(each, (self.replicas, *each.shape))

    def empty(self, n: int) -> Window:
        """Make a window of n batches of padding."""
        return self.read(np.full((self.replicas, n, self.rows), self.tables[0].num_rows))


def epoch(
    compiled: Callable, windows: Windows, drawn: Callable
) -> Callable[[Any, int], tuple[Any, jax.Array, jax.Array]]:
    """Make the epoch (state, its number) -> (state, loss [S, steps], finite [S]).

    Args:
      compiled: (table, shapes [n], order [S, n, B]) -> the compiled epoch of n steps (state, table,
        shapes, order) -> as this epoch, for all replicas.
      drawn: the number of an epoch -> (shapes [steps], order [S, steps, B]), as for a table on the
        device.
    """
    shapes, _ = drawn(0)
    run_of = {
        n: compiled(mesh.divided(windows.empty(n)), shapes[:n], windows.places(n))
        for n in windows.sizes
    }

    def run(state, number: int):
        shapes, order = drawn(number)
        for table in windows.tables:
            table.advise(scattered=True)
        cuts = range(windows.most, windows.steps, windows.most)
        read = ahead(windows.read, np.split(order, cuts, axis=1))
        losses: list[jax.Array] = []
        for own, window in zip(np.split(shapes, cuts), read, strict=True):
            n = len(own)
            state, loss, finite = run_of[n](state, mesh.divided(window), own, windows.places(n))
            losses.append(loss)
            jax.block_until_ready(losses[max(0, len(losses) - 2)])  # or windows pile up
        return state, jnp.concatenate(losses, axis=1), finite

    return run


def ahead(read: Callable[[Any], Any], of: Iterable[Any]) -> Iterator[Any]:
    """Yield `read` of each, made in a thread, `AHEAD` of them before they are asked for."""
    with ThreadPoolExecutor(1) as thread:
        waiting: deque = deque()
        for each in of:
            waiting.append(thread.submit(read, each))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def blocks(table: HostTable, capacity: int, index: np.ndarray) -> Iterator[Window]:
    """Yield the window of each block of rows, `index` [steps, B], as a program reads it."""
    read = partial(_one, table, capacity, mesh.own(capacity))
    yield from map(mesh.divided, ahead(read, index))
