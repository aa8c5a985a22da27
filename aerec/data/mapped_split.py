"""The protocol `strong` on ratings that stay on the disk: only the held-out users are read.

The split is the very one of the same ratings in memory. Its random order of all clicks, of which
those of held-out users count, takes 4 bytes for each click while it is drawn.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from aerec.data import divide, parts
from aerec.data.divide import TRAIN
from aerec.data.mapped import Mapped
from aerec.data.ratings import Ratings
from aerec.data.splits import Split
from aerec.host_table import ENTRIES, HostTable


def strong_split(protocol: Any, mapped: Mapped, predicted: Callable) -> Split:
    """Build a split of strong generalisation; arguments and errors as of `parts.strong_split`."""
    protocol, rng = divide.effective(protocol, mapped), divide.generator(protocol)
    lowest = divide.lowest(protocol)
    clicks = _clicks(mapped, lowest)
    low, high = mapped.bounds
    labels = {low, high} <= {0.0, 1.0}
    total = len(mapped.columns)
    notes = divide.click_notes(protocol, mapped, int(clicks.sum()), total, high, labels)
    stay = (clicks >= protocol.min_user) & (clicks > 0)
    users = np.flatnonzero(stay)
    divide.require(
        protocol,
        len(users),
        f"none of {clicks.sum():,} clicks is left with at least min_user={protocol.min_user} per "
        "user and min_item=0 per item. Lower these, or give more ratings.",
    )
    part_of, counts = parts.drawn_users(protocol, users, mapped, rng)
    trained = users[part_of[users] == TRAIN]
    held = users[part_of[users] != TRAIN]
    every = np.arange(len(mapped.item_ids), dtype=np.int32)

    def rows(of: np.ndarray, column: np.ndarray, own: np.ndarray) -> HostTable:
        sizes = clicks[of].astype(np.int32)
        arrays = mapped.offsets, mapped.columns, mapped.values
        return HostTable(*arrays, of, column, own, sizes, lowest)

    own = np.zeros(len(every), np.int64)
    for items in rows(trained, every, own).passes():
        own += np.bincount(items, minlength=len(every))
    known = own > 0
    item = rows(held, every, own).read(np.arange(len(held)))
    seen = own + np.bincount(item, minlength=len(own))
    notes += divide.few_left("users", protocol.min_user, len(mapped.user_ids) - len(users))
    notes += divide.few_left("items", 0, int((seen == 0).sum()))
    user = np.repeat(held, clicks[held])[known[item]]
    notes += parts.unseen(len(item) - len(user))
    item = item[known[item]]
    left = np.where(part_of == TRAIN, np.where(stay, clicks, 0), 0)
    left += np.bincount(user, minlength=len(left))
    # Where each held-out click stands among all clicks, sorted by user.
    place, _ = divide.places(user)
    place += (np.cumsum(left) - left)[user]
    ratings = Ratings(
        user, item, np.ones(len(user), np.float32), None, mapped.user_ids, mapped.item_ids,
        mapped.titles, mapped.genres, None, mapped.name,
    )  # fmt: skip
    is_target = predicted(user, lambda: _permutation(rng, int(left.sum()))[place].astype(np.int64))
    items = np.flatnonzero(known)
    column = np.zeros(len(every), np.int32)
    column[items] = np.arange(len(items))
    train = rows(trained, column, own[items])
    part = part_of[user]
    return parts.with_held_out(
        protocol, ratings, part, is_target, train, trained, items, counts, notes
    )


def _clicks(mapped: Mapped, lowest: float) -> np.ndarray:
    """Count the ratings of each user that are at least `lowest`, [U]."""
    if lowest == -np.inf:
        return np.diff(mapped.offsets)
    counts = np.empty(len(mapped.offsets) - 1, np.int64)
    for first, last in _ranges(mapped.offsets):
        ends = mapped.offsets[first : last + 1]
        enough = mapped.values[ends[0] : ends[-1]] >= lowest
        counts[first:last] = np.diff(np.append(0, np.cumsum(enough))[ends - ends[0]])
    return counts


def _ranges(offsets: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows, of some `ENTRIES` each."""
    cuts = np.searchsorted(offsets, np.arange(ENTRIES, offsets[-1], ENTRIES))
    bounds = np.unique([0, *cuts, len(offsets) - 1]).tolist()
    yield from pairwise(bounds)


def _permutation(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw `rng.permutation(size)` in half of its memory."""
    order = np.arange(size, dtype=np.uint32 if size < 2**32 else np.uint64)
    rng.shuffle(order)
    return order
