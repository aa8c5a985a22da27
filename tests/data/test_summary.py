"""What is said of ratings, counted by hand."""

import re

import numpy as np
import pytest

from aerec.data import frames
from aerec.data.summary import summary


def made(value=None, time=None, user=None):
    count = 12
    user = [f"u{n % 4}" for n in range(count)] if user is None else user
    arrays = (user, list(range(count)), value, time)
    return frames.ratings(arrays, log=lambda text: None)


def test_counts_scale_and_span():
    found = made([1, 2, 3, 4] * 3, [978_307_200 + 86_400 * n for n in range(12)])
    counts = "4 users, 12 items, 12 ratings (25.00% of all pairs)"
    assert summary(found) == f"{counts}, from 1 to 4, 2001-01-01 to 2001-01-12."
    assert summary(made()) == "4 users, 12 items, 12 clicks (25.00% of all pairs), no times."
    assert "times are positions, not dates" in summary(made(None, list(range(12))))


@pytest.mark.parametrize(
    ("values", "apart"),
    [
        ([-1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -1], "-1 stands apart: 2 ratings"),
        ([-1, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4], "-1 stands apart: 1 ratings"),
        ([99, 1, 2, 3, 4, 5, 1, 2, 3, 99, 99, 1], "99 stands apart: 3 ratings"),
        ([0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5, 5], None),
        ([1, 2, 3, 5] * 3, None),
        ([-1, 1] * 6, None),
        ([-3, -2, -1, 0, 1, 2] * 2, None),
        (list(np.linspace(-10, 10, 12)), None),
    ],
)
def test_a_value_apart_from_the_others(values, apart):
    text = summary(made(values))
    assert (apart in text) if apart else ("apart" not in text)


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (["1", "1.0", "2", "x"], "2 user ids may be two spellings of the same, like '1' and '1.0'"),
        (["7", "007", "2", "2.0"], "4 user ids"),
        (["Ann", "ann", "bob", "cid"], "2 user ids .* 'Ann' and 'ann'"),
        (["a b", "ab", "c", "d"], "2 user ids .* 'a b' and 'ab'"),
        (["e\u0301", "\u00e9", "c", "d"], "2 user ids"),  # composed or not
        (["\u200bbob", "bob", "c", "d"], "2 user ids .* 'bob'"),
        (["12345678901234567890", "12345678901234567891", "c", "d"], None),
        (["a", "b", "1", "2"], None),
    ],
)  # fmt: skip
def test_ids_spelled_in_two_ways(ids, says):
    text = summary(made(user=ids * 3))
    if says:
        assert re.search(says, text)
    else:
        assert "spellings" not in text


def test_ids_in_quotes():
    for mark in ("'", '"'):
        quoted = [f"{mark}{name}{mark}" for name in "abcd"]
        assert f"All user ids stand in quotes, like {quoted[0]}," in summary(made(user=quoted * 3))
        assert "quotes" not in summary(made(user=[*quoted[1:], "a"] * 3))


def test_ids_that_mark_a_missing_value():
    text = summary(made(user=["NULL", "nan", "N/A", "7"] * 3))
    assert "A user id may mark a missing value: 'N/A', 'NULL', 'nan'. If so, leave" in text
    for ids in (["null-pointer", "nana", "x", "7"], [1, 2, 3, 4]):
        assert "missing" not in summary(made(user=ids * 3))
