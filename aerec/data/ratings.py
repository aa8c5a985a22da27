"""`Ratings`: one dataset in memory, as arrays, independent of its source."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from aerec.data import columns
from aerec.errors import BadInput

Log = Callable[[str], object]
Click = float | Literal["all"]  # the lowest rating that is a click; "all": every rating is


class Ratings(NamedTuple):
    """One dataset in memory, on the host: R ratings in file order, U users, N items.

    The vocabularies are sorted by raw id and hold exactly the ids that occur in the ratings.

    Attributes:
      user: [R] int32, index into user_ids.
      item: [R] int32, index into item_ids.
      value: [R] float32; 1 for clicks.
      time: [R] int64, seconds since 1970, or positions per user; None if missing.
      user_ids: [U] int64, or fixed-width str if an id is not a whole number.
      item_ids: [N] likewise.
      titles: [N] str, '' if unknown; or None.
      genres: [N] str, '|' between genres, '' if unknown; or None. Of Anime the type is one of them.
      scale: lowest and highest rating; None for clicks.
      name: what the dataset is called.
      click: what a click is in this dataset, where its scale needs another threshold than 4.
      ordered: whether the ratings are sorted by user, then by time, with equal times in an
        arbitrary order.
    """

    user: np.ndarray
    item: np.ndarray
    value: np.ndarray
    time: np.ndarray | None
    user_ids: np.ndarray
    item_ids: np.ndarray
    titles: np.ndarray | None
    genres: np.ndarray | None
    scale: tuple[float, float] | None
    name: str
    click: Click | None = None
    ordered: bool = False

    def __repr__(self) -> str:
        """Describe the ratings in a line, without their arrays."""
        what = "clicks" if self.scale is None else "ratings from {:g} to {:g}".format(*self.scale)
        users, items = f"{len(self.user_ids):,} users", f"{len(self.item_ids):,} items"
        return f"Ratings {self.name!r}: {users}, {items}, {len(self.user):,} {what}"


def require_scale(scale: tuple[float, ...] | None) -> None:
    """Raise `BadInput` unless a scale is None, or the lowest and the highest rating."""
    if scale is None:
        return
    try:
        low, high = map(float, scale)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if isinstance(scale, str) or not -np.inf < low < high < np.inf:
        raise BadInput(f"scale takes the lowest and highest rating, like (1, 5), not {scale!r}.")


def assemble(
    *,
    user: tuple[np.ndarray, np.ndarray],
    item: tuple[np.ndarray, np.ndarray],
    value: np.ndarray | None,
    time: np.ndarray | None,
    titles: tuple[np.ndarray, np.ndarray | None] | None,
    scale: tuple[float, float] | None,
    name: str,
    source: str,
    click: Click | None = None,
    log: Log = print,
) -> Ratings:
    """Assemble `Ratings` from encoded columns.

    Of a repeated (user, item) pair the rating with the latest time is kept; where times tie or are
    missing, the last one. Times in a finer unit are converted to seconds.

    Args:
      user: (code [R] int32, ids [U]); every id occurs.
      item: (code [R] int32, ids [N]), likewise.
      value: [R] float32; None: implicit data, all 1.
      time: [R] int64, or None.
      titles: (titles [N], genres [N] or None), or None.
      scale: lowest and highest rating; None: those of `value`.
      name: of the dataset.
      source: the name of the data in messages.
      click: as in `Ratings`.
      log: called with notes.

    Raises:
      BadInput: there is no rating.
    """
    (users, user_ids), (items, item_ids) = user, item
    if not len(users):
        raise BadInput(f"{source}: no ratings found. Is it the right file, and complete?")
    kept = last_of_pairs(users, items, len(item_ids), time)
    if kept is not None:
        count = int((~kept).sum())
        last = "last" if time is None else "last by time"
        log(f"{source}: {count:,} repeated (user, item) ratings; the {last} is kept.")
        users, items = users[kept], items[kept]
        value, time = (None if part is None else part[kept] for part in (value, time))
    if value is None:
        value, scale = np.ones(len(users), np.float32), None
    elif scale is None:
        scale = (float(value.min()), float(value.max()))
    else:
        scale = (float(scale[0]), float(scale[1]))
    title, genres = titles or (None, None)
    time = None if time is None else columns.seconds(time, log)
    return Ratings(users, items, value, time, user_ids, item_ids, title, genres, scale, name, click)


def last_of_pairs(
    users: np.ndarray, items: np.ndarray, num_items: int, time: np.ndarray | None
) -> np.ndarray | None:
    """Mark the ratings to keep: [R] bool, false where a later rating of the same pair replaces one.

    Returns None if no pair is repeated.
    """
    pair = users.astype(np.int64) * num_items + items
    ordered = np.sort(pair)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(repeated):
        return None
    place = np.searchsorted(repeated, pair)
    rows = np.flatnonzero(repeated[np.minimum(place, len(repeated) - 1)] == pair)
    moment = rows if time is None else time[rows]
    order = np.lexsort((rows, moment, pair[rows]))
    last = np.append(np.diff(pair[rows][order]) != 0, True)
    kept = np.ones(len(pair), bool)
    kept[rows[order[~last]]] = False
    return kept
