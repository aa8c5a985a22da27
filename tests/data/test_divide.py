"""The steps that protocols share, written out on a few ratings."""

import hashlib
import json
import types

import numpy as np
import pytest

from aerec.data import divide, parts
from aerec.data.divide import DROPPED, TEST, TRAIN, VALID
from aerec.data.protocols import parse
from aerec.data.ratings import Ratings
from aerec.errors import BadInput


def rated(user, item, value=None, time=None, scale=(1.0, 5.0)):
    """Ratings of users 10, 11, ... and items 20, 21, ..., in file order."""
    value = np.ones(len(user)) if value is None else value
    return Ratings(
        user=np.array(user, np.int32),
        item=np.array(item, np.int32),
        value=np.array(value, np.float32),
        time=None if time is None else np.array(time, np.int64),
        user_ids=10 + np.arange(max(user, default=0) + 1),
        item_ids=20 + np.arange(max(item, default=0) + 1),
        titles=None,
        genres=None,
        scale=scale,
        name="made",
    )


def protocol(**fields):
    return types.SimpleNamespace(
        **{"name": "planned", "task": "ranking", "split_seed": 0, **fields}
    )


def test_a_share_is_cut_as_it_is_written():
    assert divide.floor(0.29, 100) == 29  # .29 * 100 = 28.999999999999996
    assert divide.floor(1 - 0.8, 5) == 1  # (1 - .8) * 5 = .9999999999999998
    assert divide.floor(0.5, np.array([0, 1, 2, 5])).tolist() == [0, 0, 1, 2]


def test_a_share_may_be_zero_and_not_one():
    divide.require_shares(protocol(a=0.0, b=0.99), "a", "b")
    for share in (1.0, -0.01, float("nan")):
        with pytest.raises(BadInput, match=f"^b={share} is not a share"):
            divide.require_shares(protocol(a=0.5, b=share), "a", "b")


def test_random_numbers_are_of_both_seeds():
    want = np.random.default_rng(7).random()
    assert divide.generator(protocol(split_seed=7)).random() == want
    assert divide.generator(protocol(split_seed=3), 4).random() == want
    assert divide.generator(protocol(split_seed=0)).random() != want
    with pytest.raises(BadInput, match="split_seed=-1 is negative"):
        divide.generator(protocol(split_seed=-1))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("0", 0),
        ("-5", -5),
        ("1970-01-02", 86_400),
        ("1970-01-01T01:00:01", 3601),
        ("1970-01-02T00:00+02:00", 79_200),
    ],
)
def test_dates_are_of_utc_unless_they_say_otherwise(text, seconds):
    assert divide.epoch(protocol(cut=text), "cut") == seconds


FAR = 2**62


@pytest.mark.parametrize(
    ("user", "time"),
    [
        ([1, 0, 1, 0, 0], [3, 9, 1, 1, 1]),
        ([1, 0], [0, 1]),  # the last time of one user, the first of the next
        ([1, 0], [-5, 5]),
        ([0, 0, 1, 0], [FAR + 1, FAR - 1, FAR, FAR]),
        # Spans whose product with the users is 2^63: one key for both would not fit.
        ([1, 0, 1, 0], [FAR - 1, FAR - 1, -FAR, -FAR]),
        ([0, 0, 0], [FAR - 1, -FAR, 0]),
    ],
)
def test_ratings_user_by_user_in_time_order(user, time):
    ratings = rated(user, range(len(user)), time=time)
    found = divide.by_user_and_time(protocol(), ratings)
    entries = list(zip(user, time, range(len(user)), strict=True))
    assert sorted(zip(found.user, found.time, found.item, strict=True)) == sorted(entries)
    order = list(zip(found.user, found.time, strict=True))
    assert order == sorted(order)


@pytest.mark.parametrize("far", [0, FAR])
def test_ties_in_time_are_in_random_order_by_the_seed(far):
    """Of 40 ratings at one time, and two whose time is known, whatever the order of the file."""
    item = np.arange(42)
    time = np.full(42, far)
    time[[20, 30]] = far - 1, far + 1
    ratings = rated(np.zeros(42, int), item, time=time)
    orders = [
        divide.by_user_and_time(protocol(split_seed=seed), ratings).item.tolist()
        for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]
    for order in orders:
        assert (order[0], order[-1]) == (20, 30) and sorted(order) == item.tolist()
        assert 0.3 < (np.diff(order) > 0).mean() < 0.7  # that of the file is gone


def test_users_cut_between_ratings_of_one_time_are_counted():
    user, item = [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 1, 0, 1, 2]
    ratings = rated(user, item, time=[1, 2, 2, 3, 4, 5, 5, 5])
    tied = divide.tied_cuts(ratings, np.array([0, 0, 1, 0, 1, 0, 1, 2]))
    assert tied[0].startswith("2 of 3 users (67%) are cut between ratings of the same time")
    assert divide.tied_cuts(ratings, np.array([0, 1, 1, 0, 1, 0, 0, 0])) == ()


def test_without_times_the_order_is_that_of_the_file():
    found = divide.by_user_and_time(protocol(), rated([1, 0, 1, 0], [3, 2, 1, 0]))
    assert found.user.tolist() == [0, 0, 1, 1] and found.item.tolist() == [2, 0, 3, 1]
    with pytest.raises(BadInput, match="no rating of made is left"):
        divide.by_user_and_time(protocol(), rated([], []))


#         item 0  1  2  3
# user 0       5  4  3  .
# user 1       4  4  .  2
# user 2       .  3  .  .
# user 3       4  .  5  .
FEW = rated([0, 0, 0, 1, 1, 1, 2, 3, 3], [0, 1, 2, 0, 1, 3, 1, 0, 2], [5, 4, 3, 4, 4, 2, 3, 4, 5])


EVERY = "every rating is a click, whatever its value (`threshold=all`)"
WHOLE = (
    "100.0% of the ratings, which range from 1 to 5, are clicks by `threshold=2`; another "
    "threshold may suit this scale"
)


@pytest.mark.parametrize(
    ("threshold", "min_user", "min_item", "left", "notes"),
    [
        (
            4.0, 1, 0, [(0, 0), (0, 1), (1, 0), (1, 1), (3, 0), (3, 2)],
            ("3 of 9 ratings are below 4", "1 users have no click left",
             "1 items have no click left"),
        ),
        # Item 2 has one click, without which user 3 has one.
        (
            4.0, 2, 2, [(0, 0), (0, 1), (1, 0), (1, 1)],
            ("3 of 9 ratings are below 4", "2 users have fewer than 2 clicks left",
             "2 items have fewer than 2 clicks left"),
        ),
        (
            "all", 1, 3, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (3, 0)],
            (EVERY, "2 items have fewer than 3 clicks left",),
        ),
        (2.0, 1, 1, list(zip(FEW.user, FEW.item, strict=True)), (WHOLE,)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("keep_values", [False, True])
def test_clicks_written_out(threshold, min_user, min_item, left, notes, keep_values):
    kept, found = divide.clicks(
        protocol(threshold=threshold, min_user=min_user),
        FEW,
        min_item=min_item,
        keep_values=keep_values,
    )
    assert list(zip(kept.user, kept.item, strict=True)) == left
    assert found == notes
    if keep_values:
        assert kept.scale == (1, 5) and kept.value[0] == 5
    else:
        assert kept.scale is None and set(kept.value) == {1}


@pytest.mark.parametrize(
    ("threshold", "min_item", "message"),
    [
        (5.5, 0, "no rating reaches threshold=5.5, the highest is 5. Lower it"),
        (4.0, 4, "none of 6 clicks is left with at least min_user=1 per user and min_item=4"),
    ],
)
def test_no_click_that_is_left(threshold, min_item, message):
    with pytest.raises(BadInput, match=f"'planned': {message}"):
        divide.clicks(protocol(threshold=threshold, min_user=1), FEW, min_item=min_item)


def test_a_threshold_on_another_scale_is_named():
    """-1 is no click at 0, and is one where every line is."""
    ratings = rated([0, 0, 0, 1], [0, 1, 2, 0], [-1, 0, 6, 10], scale=(-1.0, 10.0))
    kept, notes = divide.clicks(protocol(threshold=0.0, min_user=1), ratings)
    assert len(kept.user) == 3
    assert notes[:2] == (
        "1 of 4 ratings are below 0",
        "75.0% of the ratings, which range from -1 to 10, are clicks by `threshold=0`; another "
        "threshold may suit this scale",
    )
    kept, notes = divide.clicks(protocol(threshold="all", min_user=1), ratings)
    assert len(kept.user) == 4 and notes == (EVERY,)


def test_labels_of_0_and_1_are_told_which_threshold_they_need():
    ratings = rated([0, 0, 1], [0, 1, 0], [0, 1, 1], scale=(0.0, 1.0))
    with pytest.raises(BadInput, match=r"the highest is 1\. Labels of 0 and 1: give threshold=1"):
        divide.clicks(protocol(threshold=4.0, min_user=1), ratings)


def test_equal_ratings_are_not_for_a_rating_model():
    ratings = rated([0, 0, 1], [0, 1, 0], [5, 5, 5])
    with pytest.raises(BadInput, match=r"every rating of made is 5.*strong:threshold=all"):
        parts.weak_split(parse("random_ratings"), ratings, np.array([TRAIN, VALID, TEST]), ())


def test_of_clicks_all_count():
    strong = parse("strong:threshold=3")
    assert divide.effective(strong, rated([0], [0])).threshold == 3
    assert divide.effective(strong, rated([0], [0], scale=None)).threshold == "all"
    zero = parse("strong:threshold=0")  # takes every click as it is
    assert divide.effective(zero, rated([0], [0], scale=None)) == zero


@pytest.mark.parametrize(("click", "threshold"), [(None, 4), (8.0, 8), ("all", "all")])
def test_the_dataset_states_what_a_click_is(click, threshold):
    ratings = rated([0] * 6 + [1] * 6, [*range(6)] * 2, [3, 5, 7, 8, 9, 10] * 2, scale=(1.0, 10.0))
    ratings = ratings._replace(click=click)
    chosen = divide.effective(parse("strong:min_user=1"), ratings)
    assert chosen == parse(f"strong:min_user=1,threshold={threshold}")
    kept, notes = divide.clicks(chosen, ratings)
    lowest = 0 if threshold == "all" else threshold
    assert len(kept.user) == (ratings.value >= lowest).sum()
    assert any("another threshold may suit" in note for note in notes) == (click is None)
    given = divide.effective(parse("strong:threshold=7,min_user=1"), ratings)
    assert given.threshold == 7 and "may suit" in str(divide.clicks(given, ratings)[1])


def test_a_split_records_the_threshold_it_used():
    """Its hash is the one of a protocol that was given the number."""
    ratings = rated(np.repeat(range(20), 6), [*range(6)] * 20, [5] * 120)
    fields = {"threshold": 4.0, "min_user": 5, "valid_users": 0.1, "test_users": 0.1,
              "fold_in": 0.8, "split_seed": 0}  # fmt: skip
    text = json.dumps(["strong", fields], sort_keys=True)
    found = parse("strong").split(ratings, seed=0).protocol
    assert found["threshold"] == 4
    assert found["hash"] == hashlib.sha256(text.encode()).hexdigest()[:10]


def test_places_among_a_users_ratings():
    user = np.array([0, 0, 0, 2, 3, 3])
    place, count = divide.places(user)
    assert place.tolist() == [0, 1, 2, 0, 0, 1] and count.tolist() == [3, 3, 3, 1, 2, 2]
    place, count = divide.places(user, np.array([5, 0, 3, 4, 2, 1]))
    assert place.tolist() == [2, 0, 1, 0, 1, 0] and count.tolist() == [3, 3, 3, 1, 2, 2]


def test_held_out_ratings_of_users_and_items_unseen_in_training():
    ratings = rated([0, 0, 0, 1, 1, 2, 2, 2, 0], [0, 1, 2, 0, 1, 2, 3, 1, 4])
    part = np.array([TRAIN, TRAIN, TEST, TRAIN, VALID, TEST, VALID, TEST, DROPPED])
    # User 2 is not trained on; then item 2 has no rating in training, and one is left of it.
    want = [TRAIN, TRAIN, DROPPED, TRAIN, VALID, DROPPED, DROPPED, DROPPED, DROPPED]
    found, notes = divide.drop_unseen(ratings, part)
    assert found.tolist() == want
    assert notes == (
        "3 held-out ratings of 1 users unseen in training",
        "1 held-out ratings of 1 items unseen in training",
    )
    again, notes = divide.drop_unseen(ratings, found)
    assert again.tolist() == want and notes == ()


def test_the_smaller_half_is_for_validation():
    part = np.array([TRAIN, TEST, TEST, DROPPED, VALID, TEST, TEST, VALID, TEST, TRAIN])
    halves = divide.halved(part, np.random.default_rng(0))
    outside = [0, 3, 9]
    assert halves[outside].tolist() == [TRAIN, DROPPED, TRAIN]
    assert sorted(np.delete(halves, outside)) == [VALID] * 3 + [TEST] * 4
    assert part.tolist()[4:8] == [VALID, TEST, TEST, VALID], "the argument stays"


@pytest.mark.parametrize(
    ("text", "part", "lacking"),
    [
        ("random_ratings:valid=0", [TRAIN, TRAIN, TEST], None),
        ("random_ratings:valid=0", [VALID, VALID, TEST], "train on"),
        ("random_ratings:valid=0", [TRAIN, VALID, VALID], "test on"),
        ("random_ratings", [TRAIN, TRAIN, TEST], "validate on"),
        ("leave_last", [TRAIN, TRAIN, TEST], "validate on"),
        ("leave_last", [TRAIN, VALID, TEST], None),
    ],
)
def test_no_part_is_empty_but_a_validation_that_is_not_asked_for(text, part, lacking):
    ratings = rated([0, 0, 1], [0, 1, 0], [1, 2, 3])
    share = {"valid": 0.0} if "valid=0" in text else {}
    if lacking:
        with pytest.raises(BadInput, match=f"none of 3 ratings is left to {lacking}"):
            parts.weak_split(parse(text), ratings, np.array(part), (), **share)
    else:
        split = parts.weak_split(parse(text), ratings, np.array(part), ("a note",), **share)
        sizes = [len(table.values) for table in (split.train, split.valid[1], split.test[1])]
        assert sizes == [part.count(number) for number in (TRAIN, VALID, TEST)]
        assert split.notes == ("a note",)


def test_rows_and_columns_are_of_ratings_that_were_not_dropped():
    ratings = rated([0, 1, 2, 2], [3, 1, 0, 3], [1, 2, 3, 4])
    part = np.array([TRAIN, DROPPED, VALID, TEST])
    split = parts.weak_split(parse("random_ratings"), ratings, part, ())
    assert split.user_ids.tolist() == [10, 12] and split.item_ids.tolist() == [20, 23]


# Nine users: each clicked the items 0 to 4, and one that nobody else did.
NINE = rated(
    np.repeat(range(9), 6), [i for u in range(9) for i in (*range(5), 5 + u)], scale=None
)


def every_fifth(user, rng):
    return divide.places(user)[0] == 4


def even_fifth(user, rng):
    return every_fifth(user, rng) & (user % 2 == 0)


def nothing(user, rng):
    return np.zeros(len(user), bool)


def strong(valid_users, test_users, predicted=every_fifth):
    return parts.strong_split(
        parse(f"strong:valid_users={valid_users},test_users={test_users}"),
        NINE,
        predicted,
    )


@pytest.mark.parametrize(
    ("asked", "counts"),
    [((2, 3), (2, 3)), ((0, 1), (0, 1)), ((1, 7), (1, 7)), ((0.5, 0.25), (4, 2))],
)
def test_users_are_held_out_by_share_or_number(asked, counts):
    split = strong(*asked)
    assert (len(split.valid_ids), len(split.test_ids)) == counts
    assert len({*split.user_ids, *split.valid_ids, *split.test_ids}) == 9
    assert len(split.user_ids) == 9 - sum(counts)
    own = {20 + 5 + user - 10 for user in split.user_ids}
    assert set(split.item_ids) == {20, 21, 22, 23, 24, *own}
    # Of each held-out user the one item that nobody else clicked is lost, and one is predicted.
    lost = "clicks of held-out users are on items unseen in training"
    assert split.notes == (f"{sum(counts)} {lost}",)
    for held in split.valid, split.test:
        assert set(held.input.lengths()) <= {4} and set(held.target.lengths()) <= {1}
        assert set(held.rows.tolist()) <= {len(split.user_ids)}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((4, 5), "4 validation and 5 test users leave none of 9 to train on"),
        ((-1, 5), "valid_users=-1 is neither a share"),
        ((1, 1.5), "test_users=1.5 is neither a share"),
        ((0, 0), "test_users=0 of 9 users with min_user=5 clicks leaves nobody to test on"),
    ],
)
def test_users_that_cannot_be_held_out(asked, message):
    with pytest.raises(BadInput, match=message):
        strong(*asked)


def test_held_out_users_without_a_target_are_counted():
    split = strong(4, 4, even_fifth)
    sides = ((split.valid_ids, split.valid, "validation"), (split.test_ids, split.test, "test"))
    for (ids, held, name), note in zip(sides, split.notes[1:], strict=True):
        odd = [user for user in ids if user % 2]
        assert 0 < len(odd) < 4
        assert note == f"{len(odd)} of 4 {name} users have nothing to predict"
        assert held.target.lengths().tolist() == [1 - user % 2 for user in ids]
    with pytest.raises(BadInput, match="none of 2 validation users has the 5 clicks"):
        strong(2, 3, nothing)
    with pytest.raises(BadInput, match="none of 3 test users has the 5 clicks"):
        strong(0, 3, nothing)


def test_protocols_pass_on_that_no_validation_is_asked_for():
    ratings = rated([0, 0, 0, 1, 1, 1] * 4, list(range(24)), [1, 2, 3, 4, 5, 5] * 4)
    ratings = ratings._replace(time=np.arange(24) * 86400)
    for text in ("random_ratings:valid=0", "per_user_holdout:valid=0,threshold=1,min_user=1"):
        split = parse(text).split(ratings, seed=0)
        assert not len(split.valid.target.columns) and len(split.test.target.columns)
