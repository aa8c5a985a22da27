"""A table that stays on the host, some rows of a larger one, whose batches are read when due."""

import dataclasses
import mmap
from collections.abc import Iterator

import numpy as np

from aerec import memory
from aerec.core import Table, blocks

ENTRIES = 1 << 22  # that are read at once in passes over all rows


@dataclasses.dataclass(frozen=True, eq=False)
class HostTable:
    """U rows of clicks: rows of a larger table in arrays that may be maps of files.

    Its values are 1. What it has in common with a `core.Table` has the same name.

    Attributes:
      offsets: [R + 1] int64; row r of the larger table is entries `offsets[r]:offsets[r + 1]`.
      items: [E] int32, the column of each of its entries there.
      ratings: [E] float32, the value of each of its entries.
      rows: [U], the rows that this table has.
      column: [M] int32, the column here of each of the larger table's M.
      counts: [N] the entries of each column.
      sizes: [U] int32, the entries of each row.
      lowest: entries of a lower rating are left out; -inf: none are.
    """

    offsets: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    rows: np.ndarray
    column: np.ndarray
    counts: np.ndarray
    sizes: np.ndarray
    lowest: float

    @property
    def num_rows(self) -> int:
        return len(self.rows)

    @property
    def num_columns(self) -> int:
        return len(self.counts)

    def lengths(self) -> np.ndarray:
        """Return the entries of each row, [U] int32."""
        return self.sizes

    def column_counts(self) -> np.ndarray:
        """Return the entries of each column, [N]."""
        return self.counts

    def blocks(self, batch_size: int) -> tuple[np.ndarray, int]:
        """Plan blocks of all rows in order, as `core.Table.blocks`."""
        return blocks(self.lengths(), batch_size)

    def read(self, index: np.ndarray) -> np.ndarray:
        """Read the columns of the rows `index` [B], in [0, U): [C] int32, row by row."""
        row = self.rows[index]
        sizes = self.offsets[row + 1] - self.offsets[row]
        ends = np.cumsum(sizes)
        entry = np.repeat(self.offsets[row] - (ends - sizes), sizes) + np.arange(sizes.sum())
        columns = self.column[self.items[entry]]
        return columns if self.lowest == -np.inf else columns[self.ratings[entry] >= self.lowest]

    def advise(self, *, scattered: bool) -> None:
        """Advise the system how rows are read: scattered, or in order.

        Pages ahead of a scattered row are of use only if they stay in memory until they are read.
        """
        alone = scattered and self.items.nbytes + self.ratings.nbytes > memory.on_host()
        for array in (self.items, self.ratings):
            if isinstance(array.base, mmap.mmap):
                array.base.madvise(mmap.MADV_RANDOM if alone else mmap.MADV_NORMAL)

    def passes(self) -> Iterator[np.ndarray]:
        """Yield the columns of all entries, row by row, some `ENTRIES` at a time."""
        self.advise(scattered=False)
        bounds = np.searchsorted(self.offsets, np.arange(0, self.offsets[-1], ENTRIES))
        for part in np.split(np.arange(self.num_rows), np.searchsorted(self.rows, bounds)):
            if len(part):
                yield self.read(part)

    @property
    def num_entries(self) -> int:
        return int(self.sizes.sum(dtype=np.int64))

    def indptr(self) -> np.ndarray:
        """Return the offsets of a `core.Table`, [U + 1]; int64 if they do not fit in int32."""
        ends = np.cumsum(self.sizes, dtype=np.int64)
        kind = np.int32 if self.num_entries < 2**31 else np.int64
        return np.concatenate([[0], ends]).astype(kind)

    def table(self) -> Table:
        """Move the table to the device.

        Raises:
          TooLarge: it does not fit there.
        """
        way_out = "use a model that is trained by gradients, which reads it batch by batch"
        memory.require(16 * self.num_entries, "The training table", way_out)
        if self.num_entries >= 2**31:
            raise memory.TooLarge(f"The training table has {self.num_entries:,} entries; {way_out}")
        columns = np.empty(self.num_entries, np.int32)
        end = 0
        for part in self.passes():
            columns[end : end + len(part)] = part
            end += len(part)
        ones = np.ones(self.num_entries, np.float32)
        return Table(self.indptr(), columns, ones, self.num_columns)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (row, column, value) of every entry, as of `core.Table`."""
        return self.table().entries()


AnyTable = Table | HostTable


def on_device(table: AnyTable) -> Table:
    """Return a table on the device. Raises TooLarge if it does not fit there."""
    return table.table() if isinstance(table, HostTable) else table
