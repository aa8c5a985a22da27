"""Histories of users, from raw ids to the rows that a model reads."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import scipy.sparse

from aerec.data import columns, frames
from aerec.errors import BadInput
from aerec.runs.artefact import Vocabulary

# One history: raw ids of items, or a mapping of them to ratings. Several: a list of such; a
# frame with a column `item` and optionally `user`, `rating`, `time`; a sparse matrix in the model's
# columns and units: of a model of clicks every entry is one.
Source = Any


class Histories(NamedTuple):
    """Histories of H users in compressed rows, on the host, and what was left out.

    Attributes:
      users: [H] labels of the users, in the order of the source.
      single: the source was one history without a user.
      read: [H, N] what the model reads: clicks where it was trained on clicks.
      seen: [H, N] all that is listed, also below the threshold of a click.
      unknown: raw ids of items that the model does not know, each once.
      without: users without a known item; not among `users`.
      below: users whose ratings are all below the threshold of a click; not among `users`.
      dropped: number of the other users' ratings below it.
      everyone: labels of all, also of those without an answer, in the order of the source.
    """

    users: list[Any]
    single: bool
    read: scipy.sparse.csr_array
    seen: scipy.sparse.csr_array
    unknown: list[str]
    without: list[Any]
    below: list[Any]
    dropped: int
    everyone: list[Any]

    def notes(self, threshold: Any = None) -> list[str]:
        """Describe what was left out and which users get no answer, one sentence each."""
        notes = []
        if self.unknown:
            notes.append(f"Items unknown to the model are left out: {first(self.unknown)}.")
        if self.without:
            notes.append(f"No known item, hence no answer, for {self._who(self.without)}.")
        if self.below:
            notes.append(
                f"No rating reaches the threshold of a click ({threshold}), hence no answer, for "
                f"{self._who(self.below)}."
            )
        if self.dropped:
            notes.append(
                f"Ratings below the threshold of a click ({threshold}): {self.dropped:,}. Their "
                "items are neither read nor recommended."
            )
        return notes

    def _who(self, users: Sequence[Any]) -> str:
        return "this history" if self.single else f"users {first(users)}"


class Reader:
    """Read histories for one model.

    Args:
      config: of the run.
      vocabulary: of the run.
    """

    def __init__(self, config: Mapping[str, Any], vocabulary: Vocabulary):
        self.config = config
        self.clicks = config["scale"] is None
        self.threshold = config["protocol"].get("threshold")  # None: every entry is a click
        self.item_ids = vocabulary.item_ids.astype(str)
        self.column_of = {raw: column for column, raw in enumerate(self.item_ids.tolist())}

    def columns(self, items: Any) -> np.ndarray:
        """Look up the column of each raw id, [R] int32; -1 if the model does not know it."""
        known = self.column_of
        return np.array([known.get(spelled(item), -1) for item in items], np.int32)

    def __call__(self, source: Source, *, name: str = "the history") -> Histories:
        """Read the histories in `source`; of an item listed twice the last entry counts.

        Args:
          name: what to call the source in messages.

        Raises:
          BadInput: no item is known, a model of ratings got none, a value is missing or not finite,
            or a matrix has other columns than the model.
        """
        if self.config["item_based"]:
            raise BadInput(
                f"The model of this run ({self.config['model']}, item-based) reads an item's "
                "ratings by its training users: a new user would be a new column of its weights, "
                "so it cannot fold one in. Train autorec with item_based=false, multvae or ease "
                "instead."
            )
        users, row, items, column, rating, single = self._entries(source, name)
        if rating is None and not self.clicks:
            raise BadInput(
                f"{name} has no ratings, and {self.config['model']} was trained on ratings: give "
                "them in a column `rating`, or as a mapping of items to ratings."
            )
        if rating is not None and not self.clicks:
            _require_scale(rating, self.config["scale"], name)
        known = column >= 0
        if len(column) and not known.any():
            raise BadInput(
                f"{name}: none of its {len(column)} items is known to the model. Items are raw ids "
                f"of {self.config['dataset']}, for example {', '.join(self.item_ids[:3])}."
            )
        unknown = list(dict.fromkeys(spelled(items[i]) for i in np.flatnonzero(~known)))
        row, column = row[known], column[known]
        value = np.ones(len(row), np.float32) if rating is None else rating[known]
        width = len(self.item_ids)
        pair = row.astype(np.int64) * width + column
        _, last = np.unique(pair[::-1], return_index=True)  # the last entry of each pair
        kept = np.sort(len(pair) - 1 - last)
        row, column, value = row[kept], column[kept], value[kept]
        click = np.ones(len(row), bool)
        if rating is not None and self.threshold not in (None, "all"):
            click = value >= self.threshold
        count = len(users)
        lists, likes = np.bincount(row, minlength=count), np.bincount(row[click], minlength=count)
        answered = np.flatnonzero(likes)
        place = np.full(count, -1)
        place[answered] = np.arange(len(answered))
        inside = place[row] >= 0

        def matrix(chosen: np.ndarray, values: np.ndarray) -> scipy.sparse.csr_array:
            own = place[row[chosen]]
            order = np.argsort(own, kind="stable")
            indptr = np.append(0, np.cumsum(np.bincount(own, minlength=len(answered))))
            data = (values[chosen][order], column[chosen][order], indptr)
            return scipy.sparse.csr_array(data, shape=(len(answered), width))

        as_read = np.ones(len(row)) if self.clicks else value
        return Histories(
            users=[users[i] for i in answered],
            single=single,
            read=matrix(inside & click, as_read),
            seen=matrix(inside, value),
            unknown=unknown,
            without=[users[i] for i in np.flatnonzero(lists == 0)],
            below=[users[i] for i in np.flatnonzero((lists > 0) & (likes == 0))],
            dropped=int((inside & ~click).sum()),
            everyone=users,
        )

    def _entries(self, source: Source, name: str):
        """Return (labels [H], row [R], items [R], column [R], rating [R] or None, single)."""
        if scipy.sparse.issparse(source):
            if source.shape[1] != len(self.item_ids):
                raise BadInput(
                    f"{name}: a matrix of {source.shape[1]} columns, and the model has "
                    f"{len(self.item_ids)} items. Its columns are those of `Run.item_ids`."
                )
            if source.dtype.kind not in "biuf":
                raise BadInput(f"{name}: a matrix of {source.dtype} holds no ratings")
            matrix = scipy.sparse.csr_array(source, copy=True)
            matrix.sum_duplicates()
            matrix.eliminate_zeros()  # as in `aerec.ratings`: a stored zero is no entry
            entries = _finite(matrix.data, name)
            row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
            items, column = self.item_ids[matrix.indices], matrix.indices.astype(np.int32)
            rating = None if self.clicks else entries
            return list(range(matrix.shape[0])), row, items, column, rating, False
        if is_frame(source):
            frame = frame_columns(source)
            if "item" not in frame:
                raise BadInput(f"{name} has no column `item`; it has {', '.join(frame)}")
            if not len(frame["item"]):
                raise BadInput(f"{name} has no entry")
            if "time" in frame:
                order = np.argsort(_times(frame["time"], name), kind="stable")
                frame = {column: values[order] for column, values in frame.items()}
            single = "user" not in frame
            items = frame["item"]
            labels = [None] * len(items) if single else frame["user"].tolist()
            if not single and (missing := [at for at, own in enumerate(labels) if _missing(own)]):
                raise BadInput(f"{name}, entry {missing[0] + 1}: the user is missing")
            rating = _finite(frame["rating"], name) if "rating" in frame else None
        elif isinstance(source, Mapping):
            items, rating = list(source), _finite(list(source.values()), name)
            if rating.ndim != 1:
                raise BadInput(
                    f"{name}: a mapping is one history, of items to ratings. For several users "
                    "give a frame with columns `user`, `item` and `rating`."
                )
            labels, single = [None] * len(items), True
        else:
            lists = listed(source, name)
            if lists and all(isinstance(own, Mapping) for own in lists):
                items = [item for own in lists for item in own]
                rating = _finite([value for own in lists for value in own.values()], name)
                row = np.repeat(np.arange(len(lists)), [len(own) for own in lists])
                return list(range(len(lists))), row, items, self.columns(items), rating, False
            nested = [isinstance(own, list | tuple | np.ndarray) for own in lists]
            if any(nested) and not all(nested):
                raise BadInput(f"{name}: give ids, or lists of ids alone, one list for each user")
            single = not any(nested)
            lists = [lists] if single else lists
            items = [item for own in lists for item in own]
            row = np.repeat(np.arange(len(lists)), [len(own) for own in lists])
            return list(range(len(lists))), row, items, self.columns(items), None, single
        users = list(dict.fromkeys(labels)) or [None]
        number = {label: place for place, label in enumerate(users)}
        row = np.array([number[label] for label in labels], np.int64)
        return users, row, items, self.columns(items), rating, single


def listed(source: Any, name: str) -> list[Any]:
    """List raw ids. Raises BadInput for one text or number, and for a dense matrix."""
    whole = isinstance(source, str | bytes | Mapping) or not hasattr(source, "__iter__")
    if whole or getattr(source, "ndim", 1) != 1:
        what = type(source).__name__
        raise BadInput(f"{name}: {what} is no list of ids. Give a list, like [260, 1196].")
    return list(source)


def is_frame(source: Any) -> bool:
    """Return whether `source` has named columns: a pandas, polars or Arrow table."""
    if isinstance(source, pl.LazyFrame):
        return True
    named = hasattr(source, "columns") or hasattr(source, "column_names")
    return named and hasattr(source, "__getitem__") and not isinstance(source, Mapping)


def frame_columns(frame: Any) -> dict[str, np.ndarray]:
    """Return the columns of a frame by name, each [R]."""
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    names = getattr(frame, "column_names", None) or list(frame.columns)
    if twice := [str(name) for name in dict.fromkeys(names) if list(names).count(name) > 1]:
        raise BadInput(f"a frame has several columns {', '.join(twice)}. Rename them.")
    return {str(name): np.asarray(frame[name]) for name in names}


def spelled(item: Any) -> str:
    """Spell a raw id; a whole number that a frame holds as a float has no decimal point."""
    if isinstance(item, float | np.floating) and float(item).is_integer():
        return str(int(item))
    return str(item)


def _finite(values: Any, name: str) -> np.ndarray:
    """Return ratings as float32, as training reads them."""
    try:
        found = np.asarray(values, np.float64).astype(np.float32)
    except (TypeError, ValueError):
        raise BadInput(f"{name}: a rating is not a number") from None
    if not np.isfinite(found).all():
        at = int(np.flatnonzero(~np.isfinite(found))[0])
        raise BadInput(f"{name}, entry {at + 1}: the rating {found[at]} is not a finite number")
    return found


def _require_scale(rating: np.ndarray, scale: Sequence[float], name: str) -> None:
    """Raise BadInput for the first rating off the scale that the model was trained on."""
    low, high = scale
    off = np.flatnonzero((rating < low) | (rating > high))
    if len(off):
        raise BadInput(
            f"{name}, entry {off[0] + 1}: the rating {rating[off[0]]:g} is off the scale of the "
            f"model, {low:g} to {high:g}"
        )


def _times(values: np.ndarray, name: str) -> np.ndarray:
    """Return times as whole numbers. Raises BadInput for the first that is missing or none."""
    given = frames.series(values)
    parsed = columns.parse(given, "time")
    if parsed.null_count():
        at = int(parsed.is_null().arg_max())  # type: ignore[arg-type]
        raise BadInput(f"{name}, entry {at + 1}: the time {columns.why(given[at], 'time')}")
    return parsed.to_numpy()


def _missing(label: Any) -> bool:
    return label is None or label != label


def first(labels: Sequence[Any], most: int = 5) -> str:
    """List the first few labels, and how many more there are."""
    shown = ", ".join(map(str, labels[:most]))
    return shown if len(labels) <= most else f"{shown} and {len(labels) - most:,} more"
