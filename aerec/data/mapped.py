"""Ratings larger than memory: a folder of rows on disk, memory-mapped.

`aerec.data.convert` writes it. A row is a user's ratings in the order of their times; of equal
times the order is arbitrary, and without times it is that of the files. The files:

    offsets.npy    int64 [U + 1]; row r is entries `offsets[r]:offsets[r + 1]`
    columns.npy    int32 [E], the item of each entry
    values.npy     float32 [E]
    times.npy      int64 [E], seconds since 1970; only if the ratings have times
    users.parquet  `id` of each row
    items.parquet  `id` of each column, and `title` and `genres` if they are known
    meta.json      name, sizes, scale; written last
"""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from aerec import files, memory
from aerec.data.ratings import Click, Ratings
from aerec.errors import BadInput

FORMAT = 1
META, USERS, ITEMS = "meta.json", "users.parquet", "items.parquet"
SPOOL = "spool"  # only while the folder is written
ARRAYS = {"offsets": np.int64, "columns": np.int32, "values": np.float32, "times": np.int64}
ON_HOST, ON_DEVICE = 110, 16  # bytes for each rating to read and split it, and of its table
AGAIN = "remove the folder and convert the files again"


class Mapped(NamedTuple):
    """One dataset in a folder: E ratings of U users and N items, sorted by user and time.

    Attributes:
      folder: where it is.
      offsets: [U + 1] int64; user u has entries `offsets[u]:offsets[u + 1]`.
      columns: [E] int32, a map of the file.
      values: [E] float32, a map of the file.
      times: [E] int64, a map of the file, or None.
      bounds: the lowest and the highest value.
      user_ids, item_ids, titles, genres, scale, name, click: as of `Ratings`.
    """

    folder: pathlib.Path
    offsets: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    times: np.ndarray | None
    bounds: tuple[float, float]
    user_ids: np.ndarray
    item_ids: np.ndarray
    titles: np.ndarray | None
    genres: np.ndarray | None
    scale: tuple[float, float] | None
    name: str
    click: Click | None

    def ratings(self) -> Ratings:
        """Read all ratings into memory. Raises BadInput if one is of no item: a damaged file."""
        if len(self.columns) and not 0 <= self.columns.min() <= self.columns.max() < len(
            self.item_ids
        ):
            raise BadInput(f"{self.folder}/columns.npy is damaged: items without ids; {AGAIN}.")
        user = np.repeat(np.arange(len(self.user_ids), dtype=np.int32), np.diff(self.offsets))
        return Ratings(
            user=user,
            item=np.array(self.columns),
            value=np.array(self.values),
            time=None if self.times is None else np.array(self.times),
            user_ids=self.user_ids,
            item_ids=self.item_ids,
            titles=self.titles,
            genres=self.genres,
            scale=self.scale,
            name=self.name,
            click=self.click,
            ordered=True,
        )


def is_folder(path: pathlib.Path) -> bool:
    """Return whether a path is such a folder, finished or not."""
    return any((path / name).exists() for name in (META, "columns.npy", SPOOL))


def opened(path: str | pathlib.Path) -> Mapped:
    """Open a folder.

    Raises:
      BadInput: the folder is unfinished or damaged.
    """
    folder = files.located(path)
    if not (folder / META).exists():
        raise BadInput(f"{folder} has no {META}: its conversion did not finish; {AGAIN}.")
    meta = files.read_json(
        folder / META, "format", "name", "ratings", "scale", "click", "bounds", advice=AGAIN
    )
    if meta["format"] != FORMAT:
        raise BadInput(f"{folder} has format {meta['format']}, not {FORMAT}: {AGAIN}.")
    arrays = {
        name: _mapped(folder / f"{name}.npy", kind)
        for name, kind in ARRAYS.items()
        if name != "times" or meta["times"]
    }
    users, items = (_read(folder / name) for name in (USERS, ITEMS))
    offsets = np.array(arrays["offsets"])
    right = [len(users["id"]) + 1, *[meta["ratings"]] * (len(arrays) - 1)]
    if [len(array) for array in arrays.values()] != right or offsets[-1] != meta["ratings"]:
        raise BadInput(f"{folder} is damaged: its files are of different sizes; {AGAIN}.")
    if offsets[0] or (np.diff(offsets) < 0).any():
        raise BadInput(f"{folder}/offsets.npy is damaged: it does not ascend from 0; {AGAIN}.")
    with files.reading(folder / META, AGAIN):
        low, high = map(float, meta["bounds"])
        least, most = map(float, meta["scale"] or meta["bounds"])
    return Mapped(
        folder, offsets, arrays["columns"], arrays["values"], arrays.get("times"),
        (low, high), users["id"], items["id"], items.get("title"), items.get("genres"),
        (least, most) if meta["scale"] else None, meta["name"], meta["click"],
    )  # fmt: skip


def load(
    path: str | pathlib.Path, table: str = "auto", log: Callable[[str], object] = print
) -> Ratings | Mapped:
    """Open a folder, and read its ratings into memory if they fit there.

    Args:
      table: "memory", "mapped", or "auto": by the free memory of the host and of the device.
    """
    if table not in ("auto", "memory", "mapped"):
        raise BadInput(f"`table` is auto, memory or mapped, not {table!r}.")
    found = opened(path)
    size = len(found.columns)
    fits = ON_HOST * size < memory.on_host() and ON_DEVICE * size < memory.available()
    inside = table == "memory" or (table == "auto" and fits)
    log(
        f"{len(found.user_ids):,} users, {len(found.item_ids):,} items, {size:,} ratings, "
        + ("read into memory." if inside else f"which stay on the disk, in {found.folder}.")
    )
    return found.ratings() if inside else found


def _mapped(path: pathlib.Path, kind: Any) -> np.ndarray:
    with files.reading(path, AGAIN):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.dtype != kind or array.ndim != 1:
            raise ValueError(f"its entries are {array.dtype}")
        return array


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    with files.reading(path, AGAIN):
        columns = pl.read_parquet(path).get_columns()
        if "id" not in [column.name for column in columns]:
            raise ValueError("it has no id")
        return {c.name: np.array(c.to_list()) if c.dtype == pl.String else c.to_numpy()
                for c in columns}  # fmt: skip
