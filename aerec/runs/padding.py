"""Histories as padded batches of a few shapes, so that programs are compiled once per shape."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse

from aerec.core import Rows

SIZES = (1, 8, 64, 256)  # rows of a batch
LEAST = 32  # entries of a batch, and length of a list; both go up by powers of two


def batches(
    read: scipy.sparse.csr_array, seen: scipy.sparse.csr_array, num_columns: int
) -> Iterator[tuple[slice, Rows, Rows]]:
    """Yield batches of few shapes: (which rows, what is read, what is masked)."""
    start, count = 0, read.shape[0]
    while start < count:
        left = count - start
        size = next((size for size in SIZES if size >= left), SIZES[-1])
        part = slice(start, min(start + size, count))
        yield part, _rows(read, part, size, num_columns), _rows(seen, part, size, num_columns)
        start = part.stop


def _rows(matrix: scipy.sparse.csr_array, part: slice, size: int, num_columns: int) -> Rows:
    """Pad a slice of a matrix to a batch, whose rows are marked as not in training."""
    first, last = matrix.indptr[part.start], matrix.indptr[part.stop]
    count = int(last - first)
    capacity = padded_size(count)
    lengths = np.diff(matrix.indptr[part.start : part.stop + 1])

    def filled(entries: np.ndarray, filling: int, kind: type) -> Any:
        out: np.ndarray = np.full(capacity, filling, kind)
        out[:count] = entries
        return out

    index: Any = np.full(size, -1, np.int32)
    return Rows(
        columns=filled(matrix.indices[first:last], num_columns, np.int32),
        values=filled(matrix.data[first:last], 0, np.float32),
        row=filled(np.repeat(np.arange(len(lengths)), lengths), size, np.int32),
        index=index,
        num_columns=num_columns,
        longest=min(capacity, num_columns),
    )


def padded_size(size: int) -> int:
    """Round a size up to a power of two, at least `LEAST`."""
    return max(LEAST, 1 << (size - 1).bit_length()) if size else LEAST
