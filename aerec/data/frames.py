"""Ratings from memory: data frames, Arrow tables, sparse and dense matrices, arrays.

    ratings(frame, user="customer", item="product")
    ratings((users, items, stars))
    ratings(scipy.sparse.csr_matrix(...))
"""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from aerec.data import columns, roles
from aerec.data.ratings import Log, Ratings, assemble, require_scale
from aerec.data.summary import summary
from aerec.errors import BadInput


def ratings(
    source: Any,
    *,
    user: Any = None,
    item: Any = None,
    rating: str | None = None,
    time: str | None = None,
    scale: tuple[float, float] | None = None,
    titles: Any = None,
    log: Log = print,
) -> Ratings:
    """Convert ratings in memory to `Ratings`.

    Repeated pairs, ids and times are treated as in `readers.read`.

    Args:
      source: one of
        - a pandas or polars frame (eager or lazy) or an Arrow table;
        - a tuple of arrays (user, item[, rating[, time]]), each [R];
        - a SciPy sparse matrix [U, N]: duplicates are summed, as SciPy does, and stored zeros are
          left out;
        - a dense array [U, N], in which 0, NaN and what is masked are missing;
        - `Ratings`, which are returned as they are.
        The ids of a matrix are the numbers of its non-empty rows and columns, unless they are
        given. If all its values are 1, they are clicks.
      user, item, rating, time: names of columns; None: found by their usual names; "": there is
        none. Without a rating column each row is a click. Of a matrix, `user` are the raw ids of
        its rows [U] and `item` those of its columns [N].
      scale: lowest and highest rating; None: those of the data.
      titles: item -> title, as a mapping or a frame of two columns, or None.
      log: called with a summary of the ratings, and with notes.

    Returns:
      The ratings, in the order of the source.

    Raises:
      BadInput: an id or a rating that is missing or malformed (with its row, from 0), a column that
        cannot be found, or a `source` of another type.
    """
    named = {"user": user, "item": item, "rating": rating, "time": time}
    unused = [name for name, column in named.items() if column is not None]
    if isinstance(source, Ratings):
        if unused or scale is not None or titles is not None:
            raise BadInput("these are ratings already: no option applies to them")
        return source
    require_scale(scale)
    is_matrix = sparse.issparse(source) or (isinstance(source, np.ndarray) and source.ndim == 2)
    if set(unused) - ({"user", "item"} if is_matrix else set()) and _frame(source) is None:
        raise BadInput(f"{', '.join(unused)}: only a frame has columns with names")
    if is_matrix:
        part = _of_matrix(source, log)
        for role, given, size in (("user", user, 0), ("item", item, 1)):
            if given is not None:
                part[role] = _ids(given, role, source.shape[size]).gather(part[role])
    elif type(source) is tuple:
        part = _of_arrays(source)
    else:
        part = _of_frame(source, named, log)
    found: dict[str, Any] = {}
    for role, values in part.items():
        kind = roles.KINDS[role]
        parsed = columns.parse(values, kind)
        bad = parsed.is_null()
        if role == "rating" and scale is not None:
            bad |= ~parsed.is_between(*scale).fill_null(True)
        if bad.any():
            at = int(bad.arg_max())  # type: ignore[arg-type]
            wrong = columns.why(values[at], kind)
            if parsed[at] is not None and scale is not None:
                wrong = f"{parsed[at]:g} is off the scale {scale[0]:g}..{scale[1]:g}"
            raise BadInput(f"row {at}: the {role} {wrong}; {bad.sum():,} such rows. Correct them.")
        text = pl.Categorical(pl.Categories.random())
        found[role] = columns.coded([parsed], text) if kind == "id" else parsed.to_numpy()
    result = assemble(
        user=found["user"], item=found["item"], value=found.get("rating"), time=found.get("time"),
        titles=None if titles is None else (_titles(titles, found["item"][1]), None),
        scale=scale, name="ratings", source="the ratings", log=log,
    )  # fmt: skip
    log(summary(result))
    return result


def _of_matrix(matrix: Any, log: Log) -> dict[str, pl.Series]:
    """Return the entries of a sparse or dense matrix as columns, row by row."""
    if isinstance(matrix, np.ndarray):
        if matrix.dtype.kind not in "biuf":
            raise BadInput(f"a matrix of {matrix.dtype} holds no ratings; give numbers.")
        if isinstance(matrix, np.ma.MaskedArray):
            matrix = matrix.filled(0)
        matrix = sparse.csr_array(np.nan_to_num(matrix, nan=0.0, posinf=np.inf, neginf=-np.inf))
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise BadInput(
            f"a sparse matrix of {matrix.dtype} with {matrix.ndim} dimensions holds no ratings: "
            "give real numbers [U, N]."
        )
    kind = bool if matrix.dtype.kind == "b" else np.float64  # small integers overflow in a sum
    try:
        entries = sparse.coo_array(sparse.csr_array(matrix.astype(kind)))
        entries.sum_duplicates()
    except ValueError as error:
        raise BadInput(f"the sparse matrix is not valid ({error}). Build it again.") from error
    zero = entries.data == 0
    if zero.any():
        log(f"{zero.sum():,} stored zeros are left out: in a matrix 0 means no rating.")
    row, column, value = entries.row[~zero], entries.col[~zero], entries.data[~zero]
    order = np.lexsort((column, row))
    part = {"user": pl.Series(row[order]), "item": pl.Series(column[order])}
    if (value != 1).any():
        part["rating"] = pl.Series(value[order].astype(np.float64))
    for what, size, own in (("rows", 0, row), ("columns", 1, column)):
        empty = entries.shape[size] - len(np.unique(own))
        if empty:
            log(f"{empty:,} of {entries.shape[size]:,} {what} are empty and are left out.")
    return part


def _ids(given: Any, role: str, size: int) -> pl.Series:
    """Return the raw ids of a matrix' rows or columns. Raises BadInput unless there is one each."""
    ids = series(np.array([given]) if isinstance(given, str) else given)
    if len(ids) != size or ids.n_unique() != size:
        raise BadInput(f"{role}: give {size} different ids, one for each in the matrix.")
    return ids


def _of_arrays(arrays: Any) -> dict[str, pl.Series]:
    if not 2 <= len(arrays) <= 4 or any(array is None for array in arrays[:2]):
        raise BadInput(f"{len(arrays)} arrays: give (user, item), and optionally rating and time.")
    part = {
        role: series(array)
        for role, array in zip(roles.ROLES, arrays, strict=False)
        if array is not None
    }
    sizes = {role: len(values) for role, values in part.items()}
    if len(set(sizes.values())) > 1:
        raise BadInput(f"the arrays differ in length: {sizes}.")
    return part


def _of_frame(source: Any, named: Mapping[str, str | None], log: Log) -> dict[str, pl.Series]:
    """Return role -> column of a frame of any library."""
    frame = _frame(source)
    if frame is None:
        hint = " `aerec.read` reads a file, and `aerec.load` a dataset by its name."
        raise BadInput(
            f"{type(source).__name__} is not a table of ratings. Give a pandas or polars frame, an "
            "Arrow table, a SciPy sparse matrix, or a tuple of arrays (user, item, rating, time)."
            + hint * isinstance(source, str | Path)
        )
    if isinstance(frame, pl.LazyFrame):
        try:
            names = frame.collect_schema().names()
            which = roles.find("the frame", names, named)
            frame = frame.select(set(which.values())).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BadInput(f"the lazy frame cannot be collected ({error}).") from error
    else:
        names = [str(name) for name in frame.columns]
        which = roles.find("the frame", names, named)
    if named["rating"] is None and (note := roles.unread(names, which)):
        log(f"the frame: {note}")
    spelled = {str(name): name for name in frame.columns}
    return {role: series(frame[spelled[str(name)]]) for role, name in which.items()}


def _frame(source: Any) -> Any:
    """Return a polars or pandas frame of a table of any library; None if it is no table."""
    if isinstance(source, pl.DataFrame | pl.LazyFrame):
        return source
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return source
    if hasattr(source, "__arrow_c_stream__") and not hasattr(source, "dtype"):  # not of a series
        try:
            return pl.DataFrame(source)
        except pl.exceptions.PolarsError as error:
            raise BadInput(f"the table cannot be read ({error}).") from error
    if hasattr(source, "to_pandas") and not hasattr(source, "dtype"):
        return source.to_pandas()
    return None


def series(column: Any) -> pl.Series:
    """Convert a column of any library to polars, without pyarrow."""
    if isinstance(column, pl.Series):
        return column
    if getattr(getattr(column, "dtype", None), "tz", None) is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if isinstance(column, np.ma.MaskedArray):
        column = [None if masked else value for value, masked in zip(
            column.data, np.ma.getmaskarray(column), strict=True)]  # fmt: skip
    values = np.asarray(column)
    plain = isinstance(column, list | tuple) and all(type(value) is int for value in column)
    if values.dtype.kind == "f" and plain:  # some exceed int64
        values = np.array(column, object)
    if values.ndim != 1:
        raise BadInput(f"an array of shape {values.shape} is not a column; give one of shape [R].")
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
    if values.dtype.kind in "biufM":
        return pl.Series(values)
    known = [None if _missing(value) else value for value in values.tolist()]
    kinds: set[Any] = {type(value) for value in known if value is not None}
    if found := kinds & {bytes, list, dict, set}:
        raise BadInput(f"a column holds {found.pop().__name__}: give text, numbers or dates.")
    if kinds and all(hasattr(kind, "timestamp") for kind in kinds):  # zones may differ
        return pl.Series([None if v is None else _utc(v) for v in known], dtype=pl.Datetime("us"))
    if kinds <= {int} or kinds <= {int, float}:
        return pl.Series(known, strict=False)
    return pl.Series([None if value is None else str(value) for value in known], dtype=pl.String)


def _utc(moment: Any) -> datetime.datetime:
    """Convert dates with times to UTC; without a zone they are in UTC."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return known.astimezone(datetime.UTC).replace(tzinfo=None)


def _missing(value: Any) -> bool:
    """Return whether a value is None, NaN, or a missing value of pandas."""
    name = type(value).__name__
    return value is None or name in ("NAType", "NaTType") or (name == "float" and value != value)


def _titles(titles: Any, item_ids: np.ndarray) -> np.ndarray:
    """Return the title of each item, [N]; '' where there is none."""
    if not isinstance(titles, Mapping):
        frame = _frame(titles)
        frame = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
        if frame is None or len(frame.columns) < 2:
            raise BadInput("titles must be a mapping, or a frame of two columns: item and title.")
        ids, names = (series(frame[name]) for name in list(frame.columns)[:2])
        titles = dict(zip(columns.parse(ids, "id").to_list(), names.to_list(), strict=True))
    spelled = {str(key): title for key, title in titles.items()}
    found = [spelled.get(str(item)) for item in item_ids.tolist()]
    return np.array(["" if _missing(title) else str(title) for title in found])
