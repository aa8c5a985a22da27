"""Whole columns of a delimited text file: ids as they are spelled, numbers, times.

read_columns("train.csv", ",", {"user": "id", "item": "id", "rating": "number"})
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aerec.data import fields
from aerec.data.fields import Block, Lines, Policy
from aerec.errors import BadInput

Column = str | int  # a name in the header, or a position from 0 where there is none
Log = Callable[[str], object]


def read_columns(
    path: str | Path,
    separator: str,
    names: Mapping[str, str] | Mapping[int, str],
    *,
    header: bool = True,
    bounds: Mapping[Any, tuple[float, float]] | None = None,
    on_bad_line: str = "error",
    log: Log = print,
) -> dict[Any, np.ndarray]:
    """Columns of a delimited text file, all of one length R, in file order; others are not kept.

    `names` maps a column to its kind: `"id"` (int64, or str where an id is not a whole number),
    `"number"` (float32, finite, within `bounds`), `"time"` (int64). Errors as in `read`:

        read_columns("train.csv", ",", {"user": "id", "item": "id", "rating": "number"})"""
    policy = Policy(on_bad_line)
    found = scan(Path(path), separator, names, header=header, bounds=bounds or {}, policy=policy)
    policy.report(log)
    return {
        column: value[1][value[0]] if isinstance(value, tuple) else value
        for column, value in found.items()
    }


def scan(path, separator, kinds, *, header, bounds, policy, width=None) -> dict:
    """column -> `(code [R] int32, ids [V])` of ids, float32 or int64 [R] of numbers and times."""
    if not separator or "\n" in separator:
        raise BadInput(f"{separator!r} cannot separate fields. Give for example ',' or '\\t'.")
    if wrong := set(kinds.values()) - {"id", "number", "time"}:
        raise ValueError(f"a column's kind is id, number or time, not {wrong}")
    head = fields.header_of(path, separator)
    names: list = head if header else list(range(width or len(head)))
    for column in kinds:
        if names.count(column) != 1 or (not header and len(head) <= column):
            has = (
                f"the header has {', '.join(names)}" if header else f"line 1 has {len(head)} fields"
            )
            raise BadInput(
                f"{path}, line 1: no single column {column!r}; {has} (separator {separator!r}). "
                "Correct the column mapping, the separator, or whether there is a header."
            )
    stores: dict = {column: Ids() if kind == "id" else [] for column, kind in kinds.items()}
    ahead = header
    for lines in fields.lines(path):
        if ahead and len(lines.start):
            lines, ahead = Lines(lines.text, *(part[1:] for part in lines[1:])), False
        block, values = Block(lines), {}
        starts, ends = fields.cut(block, separator, len(names))
        for column, kind in kinds.items():
            field = starts[:, names.index(column)], ends[:, names.index(column)]
            label = repr(column) if header else f"column {column}"
            if kind == "id":
                stores[column].parse(block, label, *field, header)
            elif kind == "time":
                values[column] = fields.times(block, label, *field)
            else:
                values[column] = fields.numbers(block, label, *field)
                fields.check_scale(block, values[column], bounds.get(column))
        block.settle(path, policy)
        for column, store in stores.items():
            if isinstance(store, Ids):
                store.keep(block.good)
            else:
                store.append(values[column][block.good])
    found: dict = {}
    for column in kinds:  # one at a time, or all parts and all results would lie side by side
        store = stores.pop(column)
        found[column] = store.finish() if isinstance(store, Ids) else np.concatenate(store)
        del store
    return found


class Ids:
    """Raw ids of one column: whole numbers, or all of them text from the first that is not one."""

    def __init__(self, encoding: str = "utf-8"):
        self.encoding = encoding
        self.parts: list[np.ndarray] = []  # int32/int64 ids, or int32 codes once `codes` is there
        self.codes: dict[bytes, int] | None = None

    def parse(self, block: Block, name: str, start: np.ndarray, end: np.ndarray, header=True):
        """Reads the ids of a block; `keep` adds them once every column has had its say."""
        value, whole = fields.integers(block.lines.text, start, end)
        if not header and len(whole) > 1 and block.lines.number[0] == 1 and whole[1:].all():
            block.require(  # one word above whole numbers would turn the whole column into text
                whole | (np.arange(len(whole)) > 0),
                lambda i: fields.not_a_number(block, name, start, end, i),
            )
        text = value
        if not whole[block.good].all():
            text = fields.texts(block, name, start, end, self.encoding)
        self.pending = value, whole, text

    def keep(self, good: np.ndarray) -> None:
        """Adds the ids of the block read last, of its `good` lines only."""
        value, whole, text = self.pending
        self.add((value if whole[good].all() else text)[good])

    def add(self, values: np.ndarray) -> None:
        """`values` [L]: int64, or bytes."""
        if values.dtype.kind == "i" and self.codes is None:
            small = np.abs(values).max(initial=0) < 2**31
            self.parts.append(values.astype(np.int32) if small else values)
            return
        if self.codes is None:
            self.codes = {}
            self.parts = [self._intern(part) for part in self.parts]
        self.parts.append(self._intern(values))

    def _intern(self, values: np.ndarray) -> np.ndarray:
        assert self.codes is not None
        unique, inverse = np.unique(values.astype("S"), return_inverse=True)
        codes = [self.codes.setdefault(text, len(self.codes)) for text in unique.tolist()]
        return np.asarray(codes, np.int32)[inverse]

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """`(code [R] int32, ids [V])`: the ids that occur, sorted; `ids[code]` are the raw ids."""
        values = np.concatenate([np.zeros(0, np.int32), *self.parts])
        self.parts = []
        if self.codes is None:
            return compact(values)
        ids = np.array([text.decode(self.encoding) for text in self.codes] or [""])
        order = np.argsort(ids)
        rank = np.empty(len(ids), np.int32)
        rank[order] = np.arange(len(ids), dtype=np.int32)
        return rank[values], ids[order]


def compact(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(code [R] int32, ids [V] int64 sorted)` of whole numbers; by a table if they lie close."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if high - low > 4 * len(values) + (1 << 20):
        ids, code = np.unique(values, return_inverse=True)
        return code.astype(np.int32), ids.astype(np.int64)
    seen = np.zeros(high - low + 1, bool)
    seen[values - low] = True
    rank = (np.cumsum(seen) - 1).astype(np.int32)
    return rank[values - low], np.flatnonzero(seen) + low
