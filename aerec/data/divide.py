"""Steps that protocols share: filters, clicks, order in time, positions within a user.

R ratings; `part` [R] assigns each to DROPPED, TRAIN, VALID or TEST. Counts are rounded down with
`floor`.
"""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import numpy as np

from aerec.data.ratings import Ratings
from aerec.errors import BadInput

DROPPED, TRAIN, VALID, TEST = -1, 0, 1, 2
CLICK = 4.0  # the lowest rating that is a click, unless the dataset states another
Notes = tuple[str, ...]


def require(protocol: Any, fine: Any, message: str) -> None:
    """Raise BadInput with the protocol's name unless `fine` holds."""
    if not fine:
        raise BadInput(f"Protocol {protocol.name!r}: {message}")


def require_shares(protocol: Any, *fields: str) -> None:
    """Raise BadInput unless each of the given fields of the protocol is in [0, 1)."""
    for field in fields:
        share = getattr(protocol, field)
        if not 0 <= share < 1:
            raise BadInput(f"{field}={share} is not a share in [0, 1).")


def floor(share: float, count: Any) -> Any:
    """Compute floor(share * count) of the decimal share: .29 of 100 is 29, 1 - .8 of 5 is 1."""
    return np.floor(share * count + 1e-9).astype(np.int64)


def generator(protocol: Any, seed: int = 0, *, stream: int = 0) -> np.random.Generator:
    """Return the protocol's random number generator, seeded by `split_seed + seed`.

    Args:
      stream: the number of an independent stream of the same seed.

    Raises:
      BadInput: `split_seed + seed` is negative.
    """
    seed += protocol.split_seed
    require(protocol, seed >= 0, f"split_seed={protocol.split_seed} is negative.")
    return np.random.default_rng([seed, stream] if stream else seed)


def of(what: np.ndarray) -> str:
    """Format a mask [R] for notes, like '3 of 10'."""
    return f"{what.sum():,} of {len(what):,}"


def present(index: np.ndarray) -> np.ndarray:
    """Return the distinct values of small non-negative integers, in ascending order."""
    return np.flatnonzero(np.bincount(index))


def require_in_memory(protocol: Any, ratings: Any) -> None:
    """Raise BadInput for ratings that stay on the disk."""
    require(
        protocol,
        isinstance(ratings, Ratings),
        f"the ratings of {ratings.name} do not fit in memory, or are not to be read into it. Use "
        "the protocol strong, or give `table=memory`.",
    )


def times(protocol: Any, ratings: Ratings) -> np.ndarray:
    """Return the times [R]; raise BadInput where there are none."""
    require_in_memory(protocol, ratings)
    if ratings.time is None:
        raise BadInput(
            f"Protocol {protocol.name!r}: {ratings.name} has no times. Use a protocol that needs "
            "none: random_ratings, per_user_holdout, strong."
        )
    return ratings.time


def epoch(protocol: Any, field: str) -> int | None:
    """Parse a field as seconds since 1970; None where it is empty.

    The field is a date, in UTC unless it has an offset, or a number of seconds.

    Raises:
      BadInput: the field is neither.
    """
    text = getattr(protocol, field)
    try:
        if not text or text.lstrip("-").isdigit():
            return int(text) if text else None
        date = datetime.fromisoformat(text)
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except ValueError:
        raise BadInput(f"{field}={text!r} is not a date like 2005-12-01.") from None


def select(ratings: Ratings, which: np.ndarray) -> Ratings:
    """Select ratings by a mask or by positions; keep the vocabularies."""
    time = None if ratings.time is None else ratings.time[which]
    user, item, value = (a[which] for a in (ratings.user, ratings.item, ratings.value))
    ordered = ratings.ordered and which.dtype == bool  # positions may be in any order
    return ratings._replace(user=user, item=item, value=value, time=time, ordered=ordered)


def by_user_and_time(protocol: Any, ratings: Ratings, seed: int = 0) -> Ratings:
    """Sort the ratings by user, then by time; without times, in the order of the file.

    Ratings of one user at the same time are in random order, seeded by `split_seed`. In the order
    of the file, a model could learn how the file was sorted.
    """
    require_in_memory(protocol, ratings)
    require(protocol, len(ratings.user), f"no rating of {ratings.name} is left to split.")
    if ratings.ordered:
        return ratings
    if ratings.time is None:
        return select(ratings, np.argsort(ratings.user, kind="stable"))
    order = generator(protocol, seed, stream=1).permutation(len(ratings.user))
    user, time = ratings.user[order].astype(np.int64), ratings.time[order]
    first, span = int(time.min()), int(time.max()) - int(time.min()) + 1
    if span * len(ratings.user_ids) >= 2**63:
        return select(ratings, order[np.lexsort((time, user))])
    key = user * span + (time - first)  # one sort instead of two
    return select(ratings, order[np.argsort(key, kind="stable")])


def tied_cuts(ratings: Ratings, part: np.ndarray) -> Notes:
    """Count the users whose history is cut between two ratings of the same time, as a note.

    Args:
      ratings: R, sorted by user, then by time.
      part: [R], the side of the cut on which each rating falls.
    """
    user, time = ratings.user, ratings.time
    assert time is not None
    cut = (user[1:] == user[:-1]) & (part[1:] != part[:-1])
    users, tied = (present(user[1:][at]) for at in (cut, cut & (time[1:] == time[:-1])))
    if not len(tied):
        return ()
    return (
        f"{len(tied):,} of {len(users):,} users ({len(tied) / len(users):.0%}) are cut between "
        "ratings of the same time, whose order is random (`split_seed`)",
    )


def effective(protocol: Any, ratings: Any) -> Any:
    """Return the protocol as it applies to these ratings: of implicit data, every rating counts.

    The threshold "auto" becomes that of the dataset, or else `CLICK`.
    """
    threshold = protocol.threshold
    if not ratings.scale and threshold != 0:
        threshold = "all"
    elif threshold == "auto":
        threshold = CLICK if ratings.click is None else ratings.click
    return dataclasses.replace(protocol, threshold=threshold)


def clicks(
    protocol: Any, ratings: Ratings, *, min_item: int = 0, keep_values: bool = False
) -> tuple[Ratings, Notes]:
    """Select the clicks: ratings of at least `protocol.threshold`, or every one if it is "all".

    Users with fewer than `protocol.min_user` clicks and items with fewer than `min_item` are
    dropped, repeatedly, until both minima hold.

    Args:
      keep_values: whether the clicks keep their ratings as values, instead of 1.

    Returns:
      (the clicks, sorted by user, then by time; notes on what was dropped).

    Raises:
      BadInput: no rating reaches the threshold, or no click is left.
    """
    min_user = protocol.min_user
    every = by_user_and_time(protocol, ratings)
    enough = every.value >= lowest(protocol)
    labels = bool(np.isin(every.value, (0, 1)).all())
    notes = click_notes(
        protocol, ratings, int(enough.sum()), len(enough), float(every.value.max()), labels
    )
    kept = select(every, enough)
    while True:  # terminates: every round but the last drops a click
        of_user, of_item = np.bincount(kept.user), np.bincount(kept.item)
        stay = (of_user[kept.user] >= min_user) & (of_item[kept.item] >= min_item)
        if stay.all():
            break
        kept = select(kept, stay)
        require(
            protocol,
            len(kept.user),
            f"none of {enough.sum():,} clicks is left with at least min_user={min_user} per user "
            f"and min_item={min_item} per item. Lower these, or give more ratings.",
        )
    for what, minimum, was, now in (
        ("users", min_user, every.user, kept.user),
        ("items", min_item, every.item, kept.item),
    ):
        notes += few_left(what, minimum, len(present(was)) - len(present(now)))
    if not keep_values:
        kept = kept._replace(value=np.ones_like(kept.value), scale=None)
    return kept, notes


def lowest(protocol: Any) -> float:
    """Return the lowest rating that is a click."""
    return -np.inf if protocol.threshold == "all" else protocol.threshold


def click_notes(
    protocol: Any, ratings: Any, clicks: int, total: int, highest: float, labels: bool
) -> Notes:
    """Describe which ratings become clicks; add a note where that may not be intended.

    Args:
      ratings: whose `scale` and `click` are read.
      clicks: how many ratings reach the threshold, of `total`.
      highest: the highest rating.
      labels: whether every rating is 0 or 1.

    Raises:
      BadInput: no rating reaches the threshold.
    """
    scale, threshold = ratings.scale, protocol.threshold
    way_out = "Lower it; threshold=all takes every rating."
    if labels:
        way_out = "Labels of 0 and 1: give threshold=1."
    require(
        protocol,
        clicks,
        f"no rating reaches threshold={lowest(protocol):g}, the highest is {highest:g}. {way_out}",
    )
    if threshold == "all":
        return ("every rating is a click, whatever its value (`threshold=all`)",) if scale else ()
    notes: Notes = ()
    if clicks < total:
        notes += (f"{total - clicks:,} of {total:,} ratings are below {threshold:g}",)
    share = clicks / total
    known = scale in ((1, 5), (0.5, 5)) and share <= 0.95
    if scale and not known and threshold != ratings.click:
        notes += (
            f"{share:.1%} of the ratings, which range from {scale[0]:g} to {scale[1]:g}, "
            f"are clicks by `threshold={threshold:g}`; another threshold may suit this scale",
        )
    return notes


def few_left(what: str, minimum: int, lost: int) -> Notes:
    """Count the users or items that have fewer clicks than the minimum, as a note."""
    few = f"fewer than {minimum} clicks" if minimum > 1 else "no click"
    return (f"{lost:,} {what} have {few} left",) if lost else ()


def places(user: np.ndarray, order: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return each rating's position in its user's history, and the length of that history.

    Args:
      user: [R], ascending.
      order: [R], distinct keys by which positions are assigned. They are distinct so that the sort
        has the same result on every machine. Default: the given order of the ratings.

    Returns:
      (position [R], length [R]).
    """
    count = np.bincount(user)
    place = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    if order is not None:
        shuffled = np.empty_like(place)
        shuffled[np.argsort(user.astype(np.int64) << 32 | order)] = place
        place = shuffled
    return place, count[user]


def drop_unseen(ratings: Ratings, part: np.ndarray) -> tuple[np.ndarray, Notes]:
    """Drop the held-out ratings of users and items without a training rating."""
    notes: Notes = ()
    for what, index in (("users", ratings.user), ("items", ratings.item)):
        seen = np.bincount(index[part == TRAIN], minlength=index.max() + 1) > 0
        lost = (part > TRAIN) & ~seen[index]
        if lost.any():
            count = len(present(index[lost]))
            notes += (f"{lost.sum():,} held-out ratings of {count:,} {what} unseen in training",)
        part = np.where(lost, DROPPED, part)
    return part, notes


def halved(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Assign a random half of the held-out ratings to validation, and the rest to test."""
    held = rng.permutation(np.flatnonzero(part > TRAIN))
    part = part.copy()
    part[held] = TEST
    part[held[: len(held) // 2]] = VALID
    return part
