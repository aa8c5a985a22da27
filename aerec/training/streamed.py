"""An epoch over tables that stay on the host: each batch is read while earlier ones are trained on.

The program is that of an epoch of a single step, on a window: a table of the rows of one batch. Its
batches are those of the whole table on the device, and so are its numbers. Over a mesh, each
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
from aerec.host_table import HostTable

AHEAD = 2  # batches that are read before they are needed


@struct.dataclass
class Window(Table):
    """The rows of a batch, of which `numbers` [B] int32 are the rows of the whole table."""

    numbers: Any = None

    def gather(self, index: jax.Array, capacity: int, longest: int | None = None) -> Rows:
        """Gather rows by their places in the window, as `Table.gather` does by their numbers."""
        x = super().gather(index, capacity, longest)
        return dataclasses.replace(x, index=self.numbers[index])


def window(
    tables: Sequence[HostTable], capacity: int, own: range, numbers: np.ndarray
) -> Window:
    """Read the batch of each replica.

    Args:
      tables: one for all replicas, or one per replica.
      capacity: entries for which a window has room.
      own: the entries of a window that are read (`mesh.own`); the others are zero.
      numbers: [S, B] the rows of each replica's batch; U for padding.

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


def epoch(
    step: Callable,
    tables: Sequence[HostTable],
    read: Callable[[np.ndarray], Window],
    drawn: Callable,
    given: Any,
) -> Callable[[Any, int], tuple[Any, jax.Array, jax.Array]]:
    """Make the epoch (state, its number) -> (state, loss [S, steps], finite [S]).

    Args:
      step: the compiled epoch of a single step (`step.make_epoch`), for all replicas.
      tables: as of `window`.
      read: the rows [S, B] of a batch -> its window, on the host.
      drawn: the number of an epoch -> (shapes [steps], order [S, steps, B]), as for a table on the
        device.
      given: the last argument of `step`.
    """

    def run(state, number: int):
        shapes, order = drawn(number)
        for table in tables:
            table.advise(scattered=True)
        places = np.broadcast_to(np.arange(order.shape[2], dtype=np.int32), order[:, :1].shape)
        losses: list[jax.Array] = []
        for at, batch in enumerate(ahead(read, np.swapaxes(order, 0, 1))):
            at_step = mesh.placed((shapes[at : at + 1], places))
            state, loss, finite = step(state, mesh.divided(batch), *at_step, given)
            losses.append(loss)
            jax.block_until_ready(losses[max(0, at - 1)])  # or windows pile up in the queue
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


def windows(table: HostTable, capacity: int, index: np.ndarray) -> Iterator[Window]:
    """Yield the window of each block of rows, `index` [steps, B], as a program reads it."""
    read = partial(_one, table, capacity, mesh.own(capacity))
    yield from map(mesh.divided, ahead(read, index))
