"""Parts of ratings assembled to a `Split`: weak, strong, or with nothing held out.

R ratings; `part` [R] assigns each to a part (`divide.TRAIN`, ...).
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from aerec.core import Table
from aerec.data import divide
from aerec.data.divide import TEST, TRAIN, VALID, Notes
from aerec.data.ratings import Ratings
from aerec.data.splits import Heldout, Split, check, describe, weak
from aerec.host_table import AnyTable


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


def weak_split(
    protocol: Any,
    ratings: Ratings,
    part: np.ndarray,
    notes: Notes,
    *,
    valid: float = 1.0,
    fold_valid: bool = False,
) -> Split:
    """Build a split of weak generalisation, in which every row is a training row.

    The rows and columns are the users and items of the ratings that are not dropped.

    Args:
      valid: the requested share of validation; 0 allows it to be empty.
      fold_valid: whether the test input is training and validation together, not training alone.

    Raises:
      BadInput: a part is empty, or there are no ratings to predict.
      LeakError: the split fails the leak check.
    """
    require_rated(protocol, ratings)
    for number, use in ((TRAIN, "train on"), (VALID, "validate on"), (TEST, "test on")):
        needed = number != VALID or valid
        divide.require(
            protocol,
            not needed or (part == number).any(),
            f"none of {len(part):,} ratings is left to {use}. Give more, or change the parameters.",
        )
    users, items = divide.present(ratings.user[part >= 0]), divide.present(ratings.item[part >= 0])
    train, *targets = (table(ratings, part == n, users, items) for n in (TRAIN, VALID, TEST))
    validation, test = (weak(train, target) for target in targets)
    if fold_valid:
        earlier = (part == TRAIN) | (part == VALID)
        test = test._replace(input=table(ratings, earlier, users, items))
    return _split(protocol, ratings, part == TRAIN, users, items, train, validation, test, notes)


def whole_split(protocol: Any, ratings: Ratings, notes: Notes) -> Split:
    """Build a split that trains on all ratings; validation and test have no rows."""
    require_rated(protocol, ratings)
    users, items = divide.present(ratings.user), divide.present(ratings.item)
    everything, nothing = np.ones(len(ratings.user), bool), np.zeros(len(ratings.user), bool)
    empty = table(ratings, nothing, users[:0], items)
    train = table(ratings, everything, users, items)
    none = weak(empty, empty)
    return _split(protocol, ratings, everything, users, items, train, none, none, notes)


def require_rated(protocol: Any, ratings: Ratings) -> None:
    """Raise BadInput for a rating protocol on data without ratings, or with only equal ones."""
    divide.require(
        protocol,
        protocol.task != "rating" or ratings.scale,
        f"{ratings.name} has no ratings to predict, only clicks. Use a ranking protocol.",
    )
    divide.require(
        protocol,
        protocol.task != "rating" or ratings.value.min() < ratings.value.max(),
        f"every rating of {ratings.name} is {ratings.value[0]:g}: a rating model has nothing to "
        "learn. Use a ranking model (multvae, ease) with strong:threshold=all.",
    )


def strong_split(
    protocol: Any,
    ratings: Ratings,
    predicted: Callable,
    *,
    by_time: bool = False,
    shuffled: bool = False,
) -> Split:
    """Build a split of strong generalisation, which holds out whole users; see `Strong`.

    Args:
      predicted: (user [R], draw) -> [R] bool, which clicks are targets if their user is held out;
        `draw()` is a random order of the clicks.
      by_time: whether the targets are the latest clicks; if so, ties in time at the cut are noted.
      shuffled: whether the rows of the tables are in random order, once they are divided.

    Raises:
      BadInput: no user is left to train on, to test on, or with a target.
      LeakError: the split fails the leak check.
    """
    protocol, rng = divide.effective(protocol, ratings), divide.generator(protocol)
    ratings, notes = divide.clicks(protocol, ratings)
    part_of, counts = drawn_users(protocol, divide.present(ratings.user), ratings, rng)
    part = part_of[ratings.user]
    known = np.zeros(len(ratings.item_ids), bool)
    known[ratings.item[part == TRAIN]] = True
    known = known[ratings.item]
    notes += unseen(len(known) - int(known.sum()))
    ratings, part = divide.select(ratings, known), part[known]
    is_target = predicted(ratings.user, lambda: rng.permutation(len(ratings.user)))
    if by_time:
        held_out = part != TRAIN
        notes += divide.tied_cuts(divide.select(ratings, held_out), is_target[held_out])
    if shuffled:
        order = divide.generator(protocol, stream=2).permutation(len(part))
        order = order[np.argsort(ratings.user[order], kind="stable")]
        ratings, part, is_target = divide.select(ratings, order), part[order], is_target[order]
        notes += ("each user's clicks are in random order, after the split by time",)
    trained, items = divide.present(ratings.user[part == TRAIN]), divide.present(ratings.item)
    train = table(ratings, part == TRAIN, trained, items)
    return with_held_out(protocol, ratings, part, is_target, train, trained, items, counts, notes)


def drawn_users(
    protocol: Any, users: np.ndarray, ratings: Any, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[int, int]]:
    """Draw the users that are held out.

    Returns:
      (the part of each user of the vocabulary, the numbers of validation and of test users).

    Raises:
      BadInput: no user is left to train or to test on.
    """
    valids = _users(protocol, "valid_users", len(users))
    tests = _users(protocol, "test_users", len(users))
    divide.require(
        protocol,
        tests,
        f"test_users={protocol.test_users:g} of {len(users):,} users with min_user="
        f"{protocol.min_user} clicks leaves nobody to test on. Give a number of users, like "
        "test_users=1, or more ratings.",
    )
    divide.require(
        protocol,
        valids + tests < len(users),
        f"{valids:,} validation and {tests:,} test users leave none of {len(users):,} to train on.",
    )
    order = rng.permutation(users)
    part_of = np.full(len(ratings.user_ids), TRAIN)
    part_of[order[:valids]] = VALID
    part_of[order[valids : valids + tests]] = TEST
    return part_of, (valids, tests)


def unseen(lost: int) -> Notes:
    """Count the clicks that are left out, as a note."""
    return (f"{lost:,} clicks of held-out users are on items unseen in training",) if lost else ()


def with_held_out(
    protocol: Any, ratings: Ratings, part: np.ndarray, is_target: np.ndarray,
    train: AnyTable, trained: np.ndarray, items: np.ndarray,
    counts: tuple[int, int], notes: Notes,
) -> Split:  # fmt: skip
    """Build a split of a training table and of held-out users, whose clicks are among `ratings`.

    Args:
      is_target: [R], which clicks of held-out users are their targets.
      trained, items: [U] and [N], the users and items of the training table.
      counts: the users drawn for validation and for test.

    Raises:
      BadInput: no held-out user has a target.
      LeakError: the split fails the leak check.
    """
    held: list[Heldout] = []
    ids: list[np.ndarray] = []
    for number, name, count in ((VALID, "validation", counts[0]), (TEST, "test", counts[1])):
        own = part == number
        rows = divide.present(ratings.user[own])
        asked = len(divide.present(ratings.user[own & is_target]))
        divide.require(
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
    valid, test = held
    held_in = part == TRAIN
    return _split(protocol, ratings, held_in, trained, items, train, valid, test, notes, *ids)


def _users(protocol: Any, field: str, total: int) -> int:
    """Return a number of users, given as a share below 1 or as a count."""
    number = getattr(protocol, field)
    fine = number >= 0 and (number < 1 or number % 1 == 0)
    divide.require(protocol, fine, f"{field}={number:g} is neither a share in [0, 1) nor a count.")
    return int(divide.floor(number, total)) if number < 1 else int(number)


def _split(
    protocol, ratings, own, users, items, train, valid, test, notes, valid_ids=None, test_ids=None
) -> Split:
    """Assemble the parts; `own` [R] bool are the ratings of `train`, which is in their order."""
    times = None
    if ratings.time is not None:
        times = ((ratings.time - ratings.time.min())[own] / 86400).astype(np.float32)
    split = Split(
        train=train,
        valid=valid,
        test=test,
        user_ids=ratings.user_ids[users],
        item_ids=ratings.item_ids[items],
        titles=None if ratings.titles is None else ratings.titles[items],
        genres=None if ratings.genres is None else ratings.genres[items],
        scale=ratings.scale,
        protocol=describe(protocol),
        dataset=ratings.name,
        notes=notes,
        valid_ids=valid_ids,
        test_ids=test_ids,
        times=times,
    )
    check(split)
    return split
