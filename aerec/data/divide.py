"""Steps that protocols share: filters, positions within a user, and assembly of a `Split`.

R ratings; `part` [R] assigns each to DROPPED, TRAIN, VALID or TEST. Counts are rounded down with
`floor`.
"""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jax.numpy as jnp
import numpy as np

from aerec.core import Table
from aerec.data.ratings import Ratings
from aerec.data.splits import Heldout, Split, check, describe, weak
from aerec.errors import BadInput

DROPPED, TRAIN, VALID, TEST = -1, 0, 1, 2
Notes = tuple[str, ...]


def require(protocol: Any, fine: Any, message: str) -> None:
    """Raise BadInput with the protocol's name unless `fine` holds."""
    if not fine:
        raise BadInput(f"Protocol {protocol.name!r}: {message}")


def require_shares(protocol: Any, *fields: str) -> None:
    """Raise BadInput unless each of the given fields of the protocol is in [0, 1)."""
    for field in fields:
        share = getattr(protocol, field)
        require(protocol, 0 <= share < 1, f"{field}={share} is not a share in [0, 1).")


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


def times(protocol: Any, ratings: Ratings) -> np.ndarray:
    """Return the times [R]; raise BadInput where there are none."""
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
        message = f"Protocol {protocol.name!r}: {field}={text!r} is not a date like 2005-12-01."
        raise BadInput(message) from None


def select(ratings: Ratings, which: np.ndarray) -> Ratings:
    """Select ratings by a mask or by positions; keep the vocabularies."""
    time = None if ratings.time is None else ratings.time[which]
    user, item, value = (a[which] for a in (ratings.user, ratings.item, ratings.value))
    return ratings._replace(user=user, item=item, value=value, time=time)


def by_user_and_time(protocol: Any, ratings: Ratings, seed: int = 0) -> Ratings:
    """Sort the ratings by user, then by time; without times, in the order of the file.

    Ratings of one user at the same time are in random order, seeded by `split_seed`. In the order
    of the file, a model could learn how the file was sorted.
    """
    require(protocol, len(ratings.user), f"no rating of {ratings.name} is left to split.")
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


def effective(protocol: Any, ratings: Ratings) -> Any:
    """Return the protocol as it applies to these ratings: of implicit data, every rating counts."""
    if ratings.scale or protocol.threshold == 0:
        return protocol
    return dataclasses.replace(protocol, threshold="all")


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
    threshold, min_user = protocol.threshold, protocol.min_user
    every = by_user_and_time(protocol, ratings)
    lowest = -np.inf if threshold == "all" else threshold
    enough = every.value >= lowest
    labels = np.isin(every.value, (0, 1)).all()
    way_out = "Lower it; threshold=all takes every rating."
    if labels:
        way_out = "Labels of 0 and 1: give threshold=1."
    require(
        protocol,
        enough.any(),
        f"no rating reaches threshold={lowest:g}, the highest is {every.value.max():g}. {way_out}",
    )
    notes = _click_notes(threshold, enough, ratings.scale)
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
        lost = len(present(was)) - len(present(now))
        if lost:
            few = f"fewer than {minimum} clicks" if minimum > 1 else "no click"
            notes.append(f"{lost:,} {what} have {few} left")
    if not keep_values:
        kept = kept._replace(value=np.ones_like(kept.value), scale=None)
    return kept, tuple(notes)


def _click_notes(threshold: Any, enough: np.ndarray, scale: tuple | None) -> list[str]:
    """Describe which ratings become clicks; add a note where that may not be intended."""
    if threshold == "all":
        return ["every rating is a click, whatever its value (`threshold=all`)"] if scale else []
    notes = [f"{of(~enough)} ratings are below {threshold:g}"] if not enough.all() else []
    if scale and (scale not in ((1, 5), (0.5, 5)) or enough.mean() > 0.95):
        notes.append(
            f"{enough.mean():.1%} of the ratings, which range from {scale[0]:g} to {scale[1]:g}, "
            f"are clicks by `threshold={threshold:g}`; another threshold may suit this scale"
        )
    return notes


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


def table(ratings: Ratings, which: np.ndarray, users: np.ndarray, items: np.ndarray) -> Table:
    """Build the table of the ratings `which` [R], with these users as rows, items as columns."""
    row = np.full(len(ratings.user_ids), -1, np.int32)
    column = np.full(len(ratings.item_ids), -1, np.int32)
    row[users], column[items] = np.arange(len(users)), np.arange(len(items))
    return Table.from_entries(
        row[ratings.user[which]],
        column[ratings.item[which]],
        ratings.value[which],
        num_rows=len(users),
        num_columns=len(items),
    )


def weak_split(protocol: Any, ratings: Ratings, part: np.ndarray, notes: Notes) -> Split:
    """Build a split of weak generalisation, in which every row is a training row.

    The rows and columns are the users and items of the ratings that are not dropped.

    Raises:
      BadInput: a part is empty, or there are no ratings to predict.
      LeakError: the split fails the leak check.
    """
    require_rated(protocol, ratings)
    for number, use in ((TRAIN, "train on"), (VALID, "validate on"), (TEST, "test on")):
        needed = number != VALID or getattr(protocol, "valid", True)
        require(
            protocol,
            not needed or (part == number).any(),
            f"none of {len(part):,} ratings is left to {use}. Give more, or change the parameters.",
        )
    users, items = present(ratings.user[part >= 0]), present(ratings.item[part >= 0])
    train, valid, test = (table(ratings, part == n, users, items) for n in (TRAIN, VALID, TEST))
    return _split(
        protocol, ratings, users, items, train, weak(train, valid), weak(train, test), notes
    )


def whole_split(protocol: Any, ratings: Ratings, notes: Notes) -> Split:
    """Build a split that trains on all ratings; validation and test have no rows."""
    require_rated(protocol, ratings)
    users, items = present(ratings.user), present(ratings.item)
    everything, nothing = np.ones(len(ratings.user), bool), np.zeros(len(ratings.user), bool)
    empty = table(ratings, nothing, users[:0], items)
    train = table(ratings, everything, users, items)
    none = weak(empty, empty)
    return _split(protocol, ratings, users, items, train, none, none, notes)


def require_rated(protocol: Any, ratings: Ratings) -> None:
    """Raise BadInput for a rating protocol on data without ratings, or with only equal ones."""
    require(
        protocol,
        protocol.task != "rating" or ratings.scale,
        f"{ratings.name} has no ratings to predict, only clicks. Use a ranking protocol.",
    )
    require(
        protocol,
        protocol.task != "rating" or ratings.value.min() < ratings.value.max(),
        f"every rating of {ratings.name} is {ratings.value[0]:g}: a rating model has nothing to "
        "learn. Use a ranking model (multvae, ease) with strong:threshold=all.",
    )


def strong_split(
    protocol: Any, ratings: Ratings, predicted: Callable, *, by_time: bool = False
) -> Split:
    """Build a split of strong generalisation, which holds out whole users; see `Strong`.

    Args:
      predicted: (user [R], rng) -> [R] bool, which clicks are targets if their user is held out.
      by_time: whether the targets are the latest clicks; if so, ties in time at the cut are noted.

    Raises:
      BadInput: no user is left to train on, to test on, or with a target.
      LeakError: the split fails the leak check.
    """
    protocol, rng = effective(protocol, ratings), generator(protocol)
    ratings, notes = clicks(protocol, ratings)
    users = present(ratings.user)
    valids = _users(protocol, "valid_users", len(users))
    tests = _users(protocol, "test_users", len(users))
    require(
        protocol,
        tests,
        f"test_users={protocol.test_users:g} of {len(users):,} users with min_user="
        f"{protocol.min_user} clicks leaves nobody to test on. Give a number of users, like "
        "test_users=1, or more ratings.",
    )
    require(
        protocol,
        valids + tests < len(users),
        f"{valids:,} validation and {tests:,} test users leave none of {len(users):,} to train on.",
    )
    order = rng.permutation(users)
    part_of = np.full(len(ratings.user_ids), TRAIN)
    part_of[order[:valids]] = VALID
    part_of[order[valids : valids + tests]] = TEST
    part = part_of[ratings.user]
    known = np.zeros(len(ratings.item_ids), bool)
    known[ratings.item[part == TRAIN]] = True
    known = known[ratings.item]
    if not known.all():
        lost = len(known) - known.sum()
        notes += (f"{lost:,} clicks of held-out users are on items unseen in training",)
    ratings, part = select(ratings, known), part[known]
    is_target = predicted(ratings.user, rng)
    if by_time:
        held_out = part != TRAIN
        notes += tied_cuts(select(ratings, held_out), is_target[held_out])
    trained, items = present(ratings.user[part == TRAIN]), present(ratings.item)
    held: list[Heldout] = []
    ids: list[np.ndarray] = []
    for number, name, count in ((VALID, "validation", valids), (TEST, "test", tests)):
        own = part == number
        rows = present(ratings.user[own])
        asked = len(present(ratings.user[own & is_target]))
        require(
            protocol,
            asked or (number == VALID and not count),
            f"none of {count:,} {name} users has the 5 clicks on training items needed to "
            "predict one. Hold out more users, or give more ratings.",
        )
        if asked < count:
            notes += (f"{count - asked:,} of {count:,} {name} users have nothing to predict",)
        held.append(
            Heldout(
                table(ratings, own & ~is_target, rows, items),
                table(ratings, own & is_target, rows, items),
                jnp.full(len(rows), len(trained), jnp.int32),
            )
        )
        ids.append(ratings.user_ids[rows])
    train = table(ratings, part == TRAIN, trained, items)
    valid, test = held
    return _split(protocol, ratings, trained, items, train, valid, test, notes, *ids)


def _users(protocol: Any, field: str, total: int) -> int:
    """Return a number of users, given as a share below 1 or as a count."""
    number = getattr(protocol, field)
    fine = number >= 0 and (number < 1 or number % 1 == 0)
    require(protocol, fine, f"{field}={number:g} is neither a share in [0, 1) nor a count.")
    return int(floor(number, total)) if number < 1 else int(number)


def _split(
    protocol, ratings, users, items, train, valid, test, notes, valid_ids=None, test_ids=None
) -> Split:
    split = Split(
        train=train,
        valid=valid,
        test=test,
        user_ids=ratings.user_ids[users],
        item_ids=ratings.item_ids[items],
        titles=None if ratings.titles is None else ratings.titles[items],
        scale=ratings.scale,
        protocol=describe(protocol),
        dataset=ratings.name,
        notes=notes,
        valid_ids=valid_ids,
        test_ids=test_ids,
    )
    check(split)
    return split
