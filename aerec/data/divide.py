"""The steps that protocols share: filters, places within a user, and parts of ratings to a `Split`.

R ratings; `part` [R] says what becomes of each. Shares are cut with `floor`.
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
    """Raises `BadInput` with the protocol's name unless `fine`."""
    if not fine:
        raise BadInput(f"Protocol {protocol.name!r}: {message}")


def require_shares(protocol: Any, *fields: str) -> None:
    """Raises `BadInput` unless each of the protocol's fields is in [0, 1)."""
    for field in fields:
        share = getattr(protocol, field)
        require(protocol, 0 <= share < 1, f"{field}={share} is not a share in [0, 1).")


def floor(share: float, count: Any) -> Any:
    """floor(share * count) of the share as it is written: .29 of 100 is 29, 1 - .8 of 5 is 1."""
    return np.floor(share * count + 1e-9).astype(np.int64)


def generator(protocol: Any, seed: int = 0, *, stream: int = 0) -> np.random.Generator:
    """The protocol's random numbers; raises `BadInput` where the seed would be negative.

    Args:
      stream: other numbers of the same seed.
    """
    seed += protocol.split_seed
    require(protocol, seed >= 0, f"split_seed={protocol.split_seed} is negative.")
    return np.random.default_rng([seed, stream] if stream else seed)


def of(what: np.ndarray) -> str:
    """'3 of 10', for notes."""
    return f"{what.sum():,} of {len(what):,}"


def present(index: np.ndarray) -> np.ndarray:
    """The distinct values, ascending, of small whole numbers."""
    return np.flatnonzero(np.bincount(index))


def times(protocol: Any, ratings: Ratings) -> np.ndarray:
    """The times [R]; `BadInput` where there are none."""
    if ratings.time is None:
        raise BadInput(
            f"Protocol {protocol.name!r}: {ratings.name} has no times. Use a protocol that needs "
            "none: random_ratings, per_user_holdout, strong."
        )
    return ratings.time


def epoch(protocol: Any, field: str) -> int | None:
    """Seconds since 1970 of a date (UTC unless it says otherwise), None where there is none."""
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
    """The ratings at a mask or at places; the vocabularies stay."""
    time = None if ratings.time is None else ratings.time[which]
    user, item, value = (a[which] for a in (ratings.user, ratings.item, ratings.value))
    return ratings._replace(user=user, item=item, value=value, time=time)


def by_user_and_time(protocol: Any, ratings: Ratings, seed: int = 0) -> Ratings:
    """The ratings user by user, each user's in time order; without times, in that of the file.

    Ratings of one user and time are in random order, by `split_seed`: in the order of the file a
    model could learn how the file was sorted."""
    require(protocol, len(ratings.user), f"no rating of {ratings.name} is left to divide.")
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
    """Notes how many users are cut between two ratings of the same time.

    Args:
      ratings: R, user by user in time order.
      part: [R], what differs between neighbours that a cut separates.
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
    """The protocol as it is on these ratings: where they are clicks already, all count."""
    if ratings.scale or protocol.threshold == 0:
        return protocol
    return dataclasses.replace(protocol, threshold="all")


def clicks(
    protocol: Any, ratings: Ratings, *, min_item: int = 0, keep_values: bool = False
) -> tuple[Ratings, Notes]:
    """The ratings that reach `protocol.threshold` ("all": every one), of users and items
    with enough of them, user by user in time order; `min_user` and `min_item` are applied until
    both hold."""
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
    while True:  # ends: every round but the last drops something
        of_user, of_item = np.bincount(kept.user), np.bincount(kept.item)
        stay = (of_user[kept.user] >= min_user) & (of_item[kept.item] >= min_item)
        if stay.all():
            break
        kept = select(kept, stay)
        require(
            protocol,
            len(kept.user),
            f"of {enough.sum():,} clicks none is left when users need min_user={min_user} and "
            f"items min_item={min_item} of them. Lower these or give more ratings.",
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
    """What the threshold makes clicks of, in words where that may not be what is meant."""
    if threshold == "all":
        return ["every rating is a click, whatever its value (`threshold=all`)"] if scale else []
    notes = [f"{of(~enough)} ratings are below {threshold:g}"] if not enough.all() else []
    if scale and (scale not in ((1, 5), (0.5, 5)) or enough.mean() > 0.95):
        notes.append(
            f"{enough.mean():.1%} of the ratings, which go from {scale[0]:g} to {scale[1]:g}, are "
            f"clicks by `threshold={threshold:g}`; another may suit this scale"
        )
    return notes


def places(user: np.ndarray, order: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Each rating's place among its user's ratings, and how many those are, both [R].

    Args:
      user: [R], ascending.
      order: [R], the places follow these keys, distinct so that the sort has one outcome on every
        machine; default: as the ratings stand.
    """
    count = np.bincount(user)
    place = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    if order is not None:
        shuffled = np.empty_like(place)
        shuffled[np.argsort(user.astype(np.int64) << 32 | order)] = place
        place = shuffled
    return place, count[user]


def drop_unseen(ratings: Ratings, part: np.ndarray) -> tuple[np.ndarray, Notes]:
    """Drops held-out ratings of users and items without a training rating."""
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
    """The held-out ratings dealt at random, half to validation and half to test."""
    held = rng.permutation(np.flatnonzero(part > TRAIN))
    part = part.copy()
    part[held] = TEST
    part[held[: len(held) // 2]] = VALID
    return part


def table(ratings: Ratings, which: np.ndarray, users: np.ndarray, items: np.ndarray) -> Table:
    """The ratings `which` [R] as a table whose rows and columns are these users and items."""
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
    """All rows are training rows; rows and columns are those of the ratings not dropped."""
    require_rated(protocol, ratings)
    for number, use in ((TRAIN, "train on"), (VALID, "validate on"), (TEST, "test on")):
        needed = number != VALID or getattr(protocol, "valid", True)
        require(
            protocol,
            not needed or (part == number).any(),
            f"of {len(part):,} ratings none is left to {use}. Give more, or change its parameters.",
        )
    users, items = present(ratings.user[part >= 0]), present(ratings.item[part >= 0])
    train, valid, test = (table(ratings, part == n, users, items) for n in (TRAIN, VALID, TEST))
    return _split(
        protocol, ratings, users, items, train, weak(train, valid), weak(train, test), notes
    )


def whole_split(protocol: Any, ratings: Ratings, notes: Notes) -> Split:
    """All ratings are trained on; validation and test have no rows."""
    require_rated(protocol, ratings)
    users, items = present(ratings.user), present(ratings.item)
    everything, nothing = np.ones(len(ratings.user), bool), np.zeros(len(ratings.user), bool)
    empty = table(ratings, nothing, users[:0], items)
    train = table(ratings, everything, users, items)
    none = weak(empty, empty)
    return _split(protocol, ratings, users, items, train, none, none, notes)


def require_rated(protocol: Any, ratings: Ratings) -> None:
    """Raise BadInput where ratings are to be predicted and there are none, or all are equal."""
    require(
        protocol,
        protocol.task != "rating" or ratings.scale,
        f"{ratings.name} has no ratings to predict, only clicks. Use a ranking protocol.",
    )
    require(
        protocol,
        protocol.task != "rating" or ratings.value.min() < ratings.value.max(),
        f"every rating of {ratings.name} is {ratings.value[0]:g}: a rating model has nothing to "
        "learn. Take them as clicks: a ranking model (multvae, ease) with strong:threshold=all.",
    )


def strong_split(
    protocol: Any, ratings: Ratings, predicted: Callable, *, by_time: bool = False
) -> Split:
    """Users are held out whole; see `Strong`.

    Args:
      predicted: (user [R], rng) -> [R] bool, which of a user's clicks would be the target.
      by_time: whether those are the latest, so that a tie in time at the cut is noted.
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
        f"{protocol.min_user} clicks is nobody to test on. Give a number of users, like "
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
            f"none of {count:,} {name} users has the 5 clicks on training items that it takes to "
            "predict one. Hold out more users or give more ratings.",
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
    """A share of the users below 1, from 1 on their number."""
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
