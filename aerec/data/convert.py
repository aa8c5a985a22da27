"""Convert files of ratings larger than memory to a folder of rows on disk (`aerec.data.mapped`).

An external sort. The files are read once, with raw ids, into a spool. Then the ids are encoded, and
the ratings divided by ranges of users into parts that fit in memory. Each part is sorted and
appended to the arrays. On the disk a rating takes up to 28 bytes in the spool, 20 in the parts and
16 in the folder; the spool and the parts are removed. The memory is that of the distinct ids, of a
batch of lines and of one part.
"""

import contextlib
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from aerec import configuration, files
from aerec.configuration import Positive
from aerec.data import columns, formats, mapped
from aerec.data import titles as titles_of
from aerec.data.formats import Layout
from aerec.data.ratings import Log, last_of_pairs
from aerec.data.scan import Policy, stream
from aerec.data.vocabulary import Codes, Ids
from aerec.errors import BadInput

SORTED = 100  # bytes of memory for each rating of a part that is sorted


def convert(
    paths: str | pathlib.Path | Sequence[str | pathlib.Path],
    output: str | pathlib.Path,
    format: str | None = None,
    *,
    memory_mb: float = 1000,
    on_bad_line: str = "error",
    log: Log = print,
    **layout: Any,
) -> mapped.Mapped:
    """Convert files of ratings to a folder, in memory that does not grow with their lines.

    Malformed lines, repeated (user, item) pairs and units of time are treated as by `readers.read`.

    Args:
      paths: a file, or several with the same columns, read as one; or folders, as `readers.read`
        takes them.
      output: the folder to write; it has this name once it is complete.
      memory_mb: memory for the sort; the ids and the batch of lines that is read come on top.
      format, layout: as of `formats.lay_out`.
      on_bad_line, log: as of `readers.read`.

    Returns:
      The folder, opened.

    Raises:
      BadInput: as `readers.read`; the files have different columns; or `output` exists.
    """
    output = files.located(output)
    if output.exists():
        raise BadInput(f"{output} exists: name another folder, or remove it.")
    if isinstance(paths, str) or not isinstance(paths, Iterable):
        paths = [paths]
    paths = list(paths)
    if not paths:
        raise BadInput("paths: give the path of at least one file.")
    memory_mb = configuration.value_of(Positive, memory_mb, "memory_mb")
    policy = Policy(on_bad_line)
    layouts = [formats.lay_out(path, format, log=log, **layout) for path in paths]
    first = layouts[0]
    for other, path in zip(layouts, paths, strict=True):
        if set(other.columns) != set(first.columns):
            raise BadInput(
                f"{path} has {', '.join(other.columns)}, and {paths[0]} has "
                f"{', '.join(first.columns)}: convert files with the same columns."
            )
    with _started(output) as folder:
        spool = _spooled(folder / mapped.SPOOL, layouts, policy)
        policy.report(log)
        size = sum(block.rows for block in spool.blocks)
        if not size:
            raise BadInput(f"{paths[0]}: no ratings found. Is it the right file, and complete?")
        users, items = spool.users.codes(), spool.items.codes()
        log(f"{size:,} ratings of {len(users.ids):,} users and {len(items.ids):,} items are read.")
        most = max(1, int(memory_mb * 2**20) // SORTED, size >> 15)
        parts = _divided(spool, users, items, most)
        spool.path.unlink()
        lengths, bounds = _sorted(folder, parts, spool, len(users.ids), len(items.ids))
        if lengths.sum() < size:
            repeated = size - int(lengths.sum())
            log(f"{repeated:,} repeated (user, item) ratings; the last by time is kept.")
        if spool.dates:
            log(columns.DATES)
        else:
            others = (np.arange(9) != 4) & (columns.units(np.arange(9)) != spool.unit)
            columns.note_unit(spool.unit, int(spool.magnitudes[others].sum()), size, log)
        _describe(folder, first, users.ids, items.ids, lengths, bounds)
    return mapped.opened(output)


@contextlib.contextmanager
def _started(output: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield an empty folder, which is renamed to `output`, or removed if anything fails."""
    temporary = output.with_name(output.name + files.TEMPORARY)
    shutil.rmtree(temporary, ignore_errors=True)  # of a conversion that was killed
    with files.replacing(output):
        temporary.mkdir(parents=True)
        try:
            yield temporary
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


class _Block(NamedTuple):
    """A batch of the spool: its size, and whether its ids are words."""

    rows: int
    users_are_words: bool
    items_are_words: bool


class _Spool(NamedTuple):
    """Ratings in the order of the files, with raw ids, as records in one file."""

    path: pathlib.Path
    record: np.dtype
    users: Ids
    items: Ids
    blocks: tuple[_Block, ...] = ()
    magnitudes: np.ndarray = np.zeros(9, np.int64)  # of times, as `columns.magnitudes`
    spelled: bool = True  # every time so far is zero or spells a date, as `columns.dates`

    @property
    def unit(self) -> int:
        """The number of the unit of the times in `columns.UNITS`."""
        return columns.median_unit(self.magnitudes)

    @property
    def dates(self) -> bool:
        """Whether the times spell dates."""
        return self.spelled and self.magnitudes.sum() > self.magnitudes[4]

    @property
    def roles(self) -> tuple[str, ...]:
        """The fields of a record: user, item and, if there are any, rating and time."""
        return self.record.names or ()

    @property
    def coded(self) -> np.dtype:
        """The record with codes in place of raw ids."""
        kinds = {role: self.record[role] for role in self.roles}
        return np.dtype(list({**kinds, "user": np.dtype("i4"), "item": np.dtype("i4")}.items()))

    def plus(self, part: dict[str, pl.Series]) -> tuple["_Spool", np.ndarray]:
        """Return the spool with a batch of ratings, role -> [B], and the records to write."""
        records = np.empty(len(part["user"]), self.record)
        users, records["user"] = self.users.plus(part["user"])
        items, records["item"] = self.items.plus(part["item"])
        for role in self.roles[2:]:
            records[role] = part[role].to_numpy()
        counts, spelled = self.magnitudes, self.spelled
        if "time" in part:
            time = records["time"]
            counts = counts + np.bincount(columns.magnitudes(time), minlength=9)
            spelled = spelled and (not time.any() or columns.dates(time) is not None)
        words = [part[role].dtype == pl.String for role in ("user", "item")]
        blocks = (*self.blocks, _Block(len(records), *words))
        grown = self._replace(
            users=users, items=items, blocks=blocks, magnitudes=counts, spelled=spelled
        )
        return grown, records

    def read(self) -> Iterator[tuple[_Block, np.ndarray]]:
        """Yield each batch with its records."""
        with self.path.open("rb") as file:
            for block in self.blocks:
                yield block, np.fromfile(file, self.record, block.rows)


def _spooled(path: pathlib.Path, layouts: Sequence[Layout], policy: Policy) -> _Spool:
    """Read all files into a spool."""
    kinds = {"user": np.int64, "item": np.int64, "rating": np.float32, "time": np.int64}
    record = np.dtype([(r, kind) for r, kind in kinds.items() if r in layouts[0].columns])
    spool = _Spool(path, record, Ids.none(), Ids.none())
    with path.open("wb") as file:
        for layout, source in [(each, source) for each in layouts for source in each.sources]:
            start, before = file.tell(), spool
            for parsed in stream(
                source, layout.kinds, bounds=layout.bounds, policy=policy, bounded=True
            ):
                if parsed is None:
                    spool = before
                    file.seek(start)
                    file.truncate()
                    continue
                part = {role: parsed[column] for role, column in layout.columns.items()}
                spool, records = spool.plus(part)
                file.write(records.data)
    return spool


def _divided(spool: _Spool, users: Codes, items: Codes, most: int) -> list[pathlib.Path]:
    """Divide the spool by ranges of users into files of some `most` ratings, in its order."""
    lengths = np.zeros(len(users.ids), np.int64)
    for block, found in spool.read():
        code = users.encode(found["user"], block.users_are_words)
        lengths += np.bincount(code, minlength=len(lengths))
    part_of = ((np.cumsum(lengths) - lengths) // most).astype(np.uint16)
    parts = [spool.path.with_name(f"part-{number}") for number in range(int(part_of[-1]) + 1)]
    for block, found in spool.read():
        records = np.empty(len(found), spool.coded)
        records["user"] = users.encode(found["user"], block.users_are_words)
        records["item"] = items.encode(found["item"], block.items_are_words)
        for role in spool.roles[2:]:
            records[role] = found[role]
        own = part_of[records["user"]]
        records = records[np.argsort(own, kind="stable")]
        ends = np.cumsum(np.bincount(own, minlength=len(parts)))
        for number in np.unique(own).tolist():
            with parts[number].open("ab") as file:
                file.write(records[ends[number - 1] if number else 0 : ends[number]].data)
    return [path for path in parts if path.exists()]  # a user with many ratings leaves gaps


def _sorted(
    folder: pathlib.Path, parts: Sequence[pathlib.Path], spool: _Spool,
    num_users: int, num_items: int,
) -> tuple[np.ndarray, tuple[float, float]]:  # fmt: skip
    """Sort each part by user and time, append it to the arrays of the folder, and remove it.

    Returns:
      (the entries of each user [U], the lowest and the highest value).
    """
    lengths, low, high = np.zeros(num_users, np.int64), np.inf, -np.inf
    rated, timed = ("rating" in spool.roles), ("time" in spool.roles)
    with contextlib.ExitStack() as stack:
        out = {
            name: stack.enter_context(contextlib.closing(_Growing(folder / f"{name}.npy", kind)))
            for name, kind in mapped.ARRAYS.items()
            if name != "offsets" and (timed or name != "times")
        }
        for path in parts:
            found = np.fromfile(path, spool.coded)
            path.unlink()
            user, item = found["user"].copy(), found["item"].copy()
            time = found["time"].copy() if timed else None
            kept = last_of_pairs(user, item, num_items, time)
            order = _order(user, item, time, num_items)
            order = order if kept is None else order[kept[order]]
            lengths += np.bincount(user[order], minlength=num_users)
            values = found["rating"][order] if rated else np.ones(len(order), np.float32)
            low, high = min(low, values.min()), max(high, values.max())
            out["columns"].write(item[order])
            out["values"].write(values)
            if time is not None:
                spelled = columns.dates(time[order]) if spool.dates else None
                one = columns.UNITS[spool.unit][1]
                out["times"].write(time[order] // one if spelled is None else spelled)
    return lengths, (float(low), float(high))


def _order(
    user: np.ndarray, item: np.ndarray, time: np.ndarray | None, num_items: int
) -> np.ndarray:
    """Return the order [R] by user and time; without times, of a user that of the files.

    Ratings of a user at the same time are in an arbitrary order, that of a hash of the pair. In the
    order of the files, a model could learn how these were sorted.
    """
    if time is None:
        return np.argsort(user, kind="stable")
    first, span = int(time.min()), int(time.max()) - int(time.min()) + 1
    least = int(user.min())
    if span * (int(user.max()) - least + 1) < 2**63:  # one sort instead of two
        key = (user - least).astype(np.int64) * span + (time - first)
        order = np.argsort(key, kind="stable")
    else:
        order = np.lexsort((time, user))
    same = (np.diff(user[order]) == 0) & (np.diff(time[order]) == 0)
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    own = order[tied]
    pair = user[own].astype(np.uint64) * np.uint64(num_items) + item[own].astype(np.uint64)
    order[tied] = own[np.lexsort((_mixed(pair), time[own], user[own]))]
    return order


def _mixed(x: np.ndarray) -> np.ndarray:
    """Hash numbers [R] uint64 one to one, by the finaliser of SplitMix64 (Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class _Growing:
    """A one-dimensional array in a .npy file, whose length is known once it is closed."""

    def __init__(self, path: pathlib.Path, kind: Any):
        self.file, self.kind, self.length = path.open("wb"), np.dtype(kind), 0
        self._head()

    def write(self, values: np.ndarray) -> None:
        """Append values [R]."""
        self.file.write(np.ascontiguousarray(values, self.kind).data)
        self.length += len(values)

    def close(self) -> None:
        """Write the header again; NumPy leaves room in it for the digits of any length."""
        self.file.seek(0)
        self._head()
        self.file.close()

    def _head(self) -> None:
        kind = np.lib.format.dtype_to_descr(self.kind)
        head = {"descr": kind, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self.file, head)


def _describe(
    folder: pathlib.Path, layout: Layout, users: np.ndarray, items: np.ndarray,
    lengths: np.ndarray, bounds: tuple[float, float],
) -> None:  # fmt: skip
    """Write the offsets, the ids and, last, the description of the folder."""
    np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
    pl.DataFrame({"id": users}).write_parquet(folder / mapped.USERS)
    found, known = titles_of.find(layout.sources[0].path, layout.format.titles), {"id": items}
    if found is not None:
        title, genres = titles_of.read(found, items)
        known |= {"title": title, "genres": genres}
    pl.DataFrame(known).write_parquet(folder / mapped.ITEMS)
    scale = None
    if "rating" in layout.columns:
        scale = list(map(float, layout.format.scale or bounds))
    meta = {
        "format": mapped.FORMAT, "name": layout.name, "ratings": int(lengths.sum()),
        "times": "time" in layout.columns, "scale": scale, "click": layout.format.click,
        "bounds": bounds,
    }  # fmt: skip
    files.write_json(folder / mapped.META, meta)
