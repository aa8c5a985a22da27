"""A summary of ratings in a line or two: counts, scale, period, and what looks suspicious."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from aerec.data.columns import YEAR
from aerec.data.ratings import Ratings

# What databases and programs write for a missing value, in lower case.
MISSING = ("null", "nan", "na", "n/a", "<na>", "none", "\\n", "undefined", "missing")


def summary(ratings: Ratings) -> str:
    """Describe ratings: users, items, density, scale, times; on a second line, what is suspicious.

    Suspicious are a rating far from all others, ids in quotes, ids that mark a missing value, and
    ids that differ in spelling alone.
    """
    users, items, count = len(ratings.user_ids), len(ratings.item_ids), len(ratings.user)
    what = "ratings" if ratings.scale else "clicks"
    parts = [
        f"{users:,} users, {items:,} items, {count:,} {what} "
        f"({count / (users * items):.2%} of all pairs)"
    ]
    if ratings.scale:
        parts.append(f"from {ratings.value.min():g} to {ratings.value.max():g}")
    if ratings.time is None:
        parts.append("no times")
    elif ratings.time.max() < YEAR:
        parts.append("times are positions, not dates")
    else:
        first, last = (_date(ratings.time.min()), _date(ratings.time.max()))
        parts.append(f"{first} to {last}")
    ids = {"user": ratings.user_ids, "item": ratings.item_ids}
    odd = [_apart(ratings), *suspicious(ids)]
    return "\n".join([", ".join(parts) + ".", " ".join(filter(None, odd))]).rstrip("\n")


def _date(seconds: int) -> str:
    try:
        return str(np.datetime64(int(seconds), "s").astype("M8[D]"))
    except (OverflowError, ValueError):
        return f"{seconds} seconds"


def _apart(ratings: Ratings) -> str:
    """Describe a lowest or highest rating that is far from the others; '' if there is none."""
    if not ratings.scale:
        return ""
    found = pl.Series("value", ratings.value).value_counts().sort("value")
    value, count = found["value"].to_numpy(), found["count"].to_numpy()
    if len(value) < 4:
        return ""
    low, high = value[1] - value[0], value[-1] - value[-2]
    alone_below_zero = value[0] < 0 < value[2] and value[1] >= 0
    if low > value[-1] - value[1] or alone_below_zero:
        at = 0
    elif high > value[-2] - value[0]:
        at = -1
    else:
        return ""
    return (
        f"{value[at]:g} stands apart: {count[at]:,} ratings; if it means 'not rated', leave "
        "those lines out."
    )


def suspicious(ids: Mapping[str, np.ndarray]) -> list[str]:
    """Note what is suspicious in the `ids` of users and items, one sentence each."""
    notes = [note(*own) for note in (_quoted, _missing, _spelled_twice) for own in ids.items()]
    return [note for note in notes if note]


def _quoted(what: str, ids: np.ndarray) -> str:
    """Note that all ids are in quotes, which are then part of them; '' otherwise."""
    if ids.dtype.kind == "i" or not pl.Series(ids).str.contains("""^(".*"|'.*')$""").all():
        return ""
    return f"All {what} ids stand in quotes, like {ids[0]}, which are kept. Remove them if unmeant."


def _missing(what: str, ids: np.ndarray) -> str:
    """Name ids like NULL, which programs write where a value is missing; '' if there are none."""
    if ids.dtype.kind == "i":
        return ""
    text = pl.Series(ids)
    found = text.filter(text.str.to_lowercase().is_in(MISSING))
    if found.is_empty():
        return ""
    those = ", ".join(repr(each) for each in found)
    return f"A {what} id may mark a missing value: {those}. If so, leave those lines out."


def _spelled_twice(what: str, ids: np.ndarray) -> str:
    """Describe ids that differ only in case, blanks, invisible characters, the composition of
    accents or the spelling of a number; '' if none do.
    """
    if ids.dtype.kind == "i":
        return ""
    text = pl.Series(ids)
    number = text.set(text.str.len_chars() > 15, "").cast(pl.Float64, strict=False)
    plain = text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"[\s\p{Cf}]", "")
    key = number.cast(pl.String).fill_null(plain)
    double = key.is_duplicated()
    if not double.any():
        return ""
    pair = text.filter(key == key.filter(double)[0])[:2]
    return (
        f"{double.sum():,} {what} ids may be two spellings of the same, like {pair[0]!r} and "
        f"{pair[1]!r}."
    )
