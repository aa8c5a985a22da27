"""Vectors of the items that do not depend on the ratings: genres, or a file of the user's own."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from aerec import files
from aerec.data.splits import Split
from aerec.errors import BadInput

ADVICE = "write it again"
LAYOUTS = (
    "a parquet file with a column `item` and further columns of numbers, or one of lists; a .npz "
    "file of `item` [M] and `vectors` [M, n]; or a .npy file of [M, 1 + n], ids first"
)


class Vectors(NamedTuple):
    """Vectors of N items.

    Attributes:
      values: [N, F] float32.
      names: of the F coordinates.
    """

    values: np.ndarray
    names: list[str]

    def describe(self) -> dict[str, Any]:
        """Return what config.json has of the vectors: the names, and a hash of all values."""
        digest = hashlib.sha256(repr(self.values.shape).encode() + self.values.tobytes())
        return {"names": self.names, "hash": digest.hexdigest()[:10]}


def of(
    wanted: str,
    split: Split,
    log: Callable[[str], object] = lambda text: None,
    *,
    rows: bool = False,
) -> Vectors | None:
    """Return the vectors that `Traits.features` asks for: "content", or a path; '' for none.

    Args:
      rows: whether the items are the split's rows, as of `Split.transpose`.

    Raises:
      BadInput: as `of_genres` and `read`.
    """
    if not wanted:
        return None
    if wanted == "content":
        return of_genres(split)
    return read(files.located(wanted), split.user_ids if rows else split.item_ids, log)


def of_genres(split: Split) -> Vectors:
    """Return 1 for each genre of an item and 0 for the others, genres in alphabetical order.

    Raises:
      BadInput: the data have no genres.
    """
    texts = [] if split.genres is None else split.genres.tolist()
    each = [set(filter(None, text.split("|"))) for text in texts]
    names = sorted(set().union(*each))
    if not names:
        raise BadInput(f"{split.dataset or 'the split'} has no genres: features=content needs some")
    values = np.array([[name in own for name in names] for own in each], np.float32)
    return Vectors(values, names)


def read(
    path: Path, item_ids: np.ndarray, log: Callable[[str], object] = lambda text: None
) -> Vectors:
    """Read vectors by item id; an item that is not in the file gets zeros, and is counted.

    Args:
      path: in one of `LAYOUTS`.
      item_ids: [N] raw ids.
      log: called with the notice of the items without a vector.

    Raises:
      BadInput: no such file, another layout, an id twice or missing, a value that is not finite, or
        no item that is known.
    """
    if not path.is_file():
        raise BadInput(f"{path} is no file. Vectors of items are {LAYOUTS}.")
    with files.reading(path, ADVICE):
        ids, values, names = _columns(path)
    if len(set(ids)) < len(ids):
        twice = next(own for place, own in enumerate(ids) if own in ids[:place])
        raise BadInput(f"{path} lists item {twice} twice; {ADVICE}")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise BadInput(f"{path}: {names[column]} of item {ids[row]} is no finite number")
    row_of = {own: row for row, own in enumerate(ids)}
    rows = np.array([row_of.get(str(own), -1) for own in item_ids.tolist()])
    if not (rows >= 0).any():
        raise BadInput(
            f"{path} has none of the {len(rows):,} items: its ids are like {', '.join(ids[:3])}, "
            f"those of the ratings like {', '.join(map(str, item_ids[:3]))}"
        )
    if missing := int((rows < 0).sum()):
        log(f"{path}: {missing:,} of {len(rows):,} items are not in it; their vectors are zero.")
    return Vectors(np.where(rows[:, None] >= 0, values[rows], 0).astype(np.float32), names)


def _columns(path: Path) -> tuple[list[str], np.ndarray, list[str]]:
    """Return (ids [M], values [M, F] float64, names [F])."""
    if path.suffix == ".parquet":
        frame = pl.read_parquet(path)
        if "item" not in frame.columns or frame.width < 2:
            raise BadInput(f"{path} has the columns {', '.join(frame.columns)}: it takes {LAYOUTS}")
        own, rest = frame["item"], frame.drop("item")
        if rest.width == 1 and isinstance(rest.dtypes[0], pl.List | pl.Array):
            values = _stacked(path, rest.to_series().to_list())
            names = [f"{rest.columns[0]}[{place}]" for place in range(values.shape[1])]
        else:
            values, names = rest.to_numpy(), rest.columns
        ids: list = own.to_list()
    elif path.suffix == ".npz":
        arrays = files.read_arrays(path, advice=ADVICE)
        if missing := " and ".join(sorted({"item", "vectors"} - set(arrays))):
            raise BadInput(f"{path} has no array {missing}: it takes {LAYOUTS}")
        ids, values = arrays["item"].tolist(), arrays["vectors"]
        names = [str(place) for place in range(values.shape[-1])]
    elif path.suffix == ".npy":
        whole = np.load(path, allow_pickle=False)
        if whole.ndim != 2 or whole.shape[1] < 2:
            raise BadInput(f"{path} has the shape {whole.shape}: it takes {LAYOUTS}")
        ids, values = [_whole(path, own) for own in whole[:, 0].tolist()], whole[:, 1:]
        names = [str(place) for place in range(values.shape[1])]
    else:
        raise BadInput(f"{path} is of an unknown kind: it takes {LAYOUTS}")
    if values.ndim != 2 or len(values) != len(ids) or not values.size:
        raise BadInput(f"{path}: vectors of the shape {values.shape} for {len(ids)} ids")
    if values.dtype.kind not in "biuf":
        raise BadInput(f"{path}: vectors of {values.dtype}, not of numbers")
    if any(own is None for own in ids):
        raise BadInput(f"{path}, row {ids.index(None) + 1}: the id of the item is missing")
    return [str(own) for own in ids], values.astype(np.float64), list(names)


def _stacked(path: Path, lists: list) -> np.ndarray:
    lengths = {-1 if own is None else len(own) for own in lists}
    if len(lengths) != 1 or lengths == {-1}:
        raise BadInput(f"{path}: its lists have different lengths, or some are missing")
    return np.array(lists, np.float64)  # a missing number becomes NaN


def _whole(path: Path, value: float) -> int:
    if not float(value).is_integer():
        raise BadInput(f"{path}: the id {value} is no whole number; ids are the first column")
    return int(value)
