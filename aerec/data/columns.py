"""Polars columns parsed as ids, numbers or times, and the error in a field that does not parse.

A field that does not parse becomes null. No value is guessed, and no row is dropped.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from aerec.errors import BadInput

LONGEST_ID = 256  # bytes
YEAR = 365 * 86400  # seconds
KINDS = ("id", "number", "time")
_DATE = (
    r"^(\d{4}-\d\d-\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?)?"  # date, time
    r" ?(?:Z|UTC|([+-]\d\d):?(\d\d)?)?$"  # offset from UTC
)


def parse(values: pl.Series, kind: str) -> pl.Series:
    """Parse a column [R] as ids, numbers or times; a field that does not parse becomes null.

    Args:
      values: [R], of any scalar type.
      kind: "id", "number" or "time".

    Returns:
      [R]. Ids are Int64 if every one is a whole number in its usual spelling, and otherwise String
      in the spelling of the file. Numbers are finite Float32. Times are Int64, in a unit that
      `seconds` infers.

    Raises:
      BadInput: a column of a type that cannot hold this kind, such as lists or binary data.
    """
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        values = values.str.strip_chars(" ")
    elif values.dtype.is_nested() or values.dtype in (pl.Object, pl.Binary):
        raise BadInput(
            f"column {values.name!r} has type {values.dtype}: neither text nor numbers. Convert it."
        )
    return {"id": _ids, "number": _numbers, "time": _times}[kind](values)


def _only(values: pl.Series, fine: pl.Series) -> pl.Series:
    """Return the values where `fine` holds, and null elsewhere."""
    return pl.select(pl.when(fine).then(values)).to_series()


def _ids(values: pl.Series) -> pl.Series:
    if values.dtype.is_float():
        values = values.fill_nan(None)
        whole = values.cast(pl.Int64, strict=False)
        texts = whole.cast(pl.String).zip_with(whole == values, values.cast(pl.String))
        values = whole if (whole == values).all() else texts
    if values.dtype.is_integer():
        whole = values.cast(pl.Int64, strict=False)
        return values.cast(pl.String) if whole.null_count() > values.null_count() else whole
    text = values.cast(pl.String)
    whole = text.cast(pl.Int64, strict=False)
    if not whole.null_count():  # 007, +7 and -0 are not 7 and 0: an id is its spelling
        padded = text.str.starts_with("0") & (text.str.len_bytes() > 1)
        if not (padded | text.str.starts_with("+") | text.str.starts_with("-0")).any():
            return whole
    size = text.str.len_bytes()
    fine = (size > 0) & (size <= LONGEST_ID) & ~text.str.contains("\0", literal=True)
    return _only(text, fine)


def _numbers(values: pl.Series) -> pl.Series:
    if values.dtype.is_temporal():
        raise BadInput(f"column {values.name!r} holds {values.dtype}, not numbers. Convert it.")
    rounded = values.cast(pl.Float64, strict=False).cast(pl.Float32)
    return _only(rounded, rounded.is_finite())


def _times(values: pl.Series) -> pl.Series:
    if values.dtype in (pl.Date, pl.Datetime):
        return values.cast(pl.Datetime("us")).dt.epoch("us") // 1_000_000
    if values.dtype.is_temporal():
        raise BadInput(
            f"column {values.name!r} holds {values.dtype}, not points in time. Convert it."
        )
    whole = values.cast(pl.Int64, strict=False) if not values.dtype.is_float() else None
    if whole is None or whole.null_count() > values.null_count():
        number = values.cast(pl.Float64, strict=False)
        number = _only(number, number.is_finite())
        floored = number.floor().cast(pl.Int64, strict=False)
        fraction = (number != number.floor()) & (number.abs() < YEAR)
        if fraction.any() and number.n_unique() >= 2 * floored.n_unique():  # .2 and .7 would tie
            floored = _only(floored, ~fraction)
        whole = floored if whole is None else whole.fill_null(floored)
    if values.dtype == pl.String and 2 * whole.null_count() > len(whole):
        return _dates(values)
    return whole


def _dates(values: pl.Series) -> pl.Series:
    """Convert ISO dates to seconds since 1970; a date without an offset is in UTC."""
    part = values.str.extract_groups(_DATE).struct.unnest()
    day, *clock = part.get_columns()
    hour, minute, second, hours, minutes = (text.cast(pl.Int64, strict=False) for text in clock)
    fine = (hour.fill_null(0) < 24) & (minute.fill_null(0) < 60) & (second.fill_null(0) < 60)
    fine &= (hours.fill_null(0).abs() < 24) & (minutes.fill_null(0) < 60)
    east = hours.fill_null(0) * 60
    west = clock[3].str.starts_with("-").fill_null(False)
    offset = east + minutes.fill_null(0) * (1 - 2 * west.cast(pl.Int64))
    date = day.str.to_date("%Y-%m-%d", strict=False).cast(pl.Int32).cast(pl.Int64)
    time = (hour.fill_null(0) * 60 + minute.fill_null(0) - offset) * 60 + second.fill_null(0)
    return _only(date * 86400 + time, fine)


def why(text: Any, kind: str) -> str:
    """Describe why `parse` makes a field null, in words that follow the column's name."""
    if isinstance(text, list | dict):
        return "is a list or an object, not one value"
    text = text.strip(" ") if isinstance(text, str) else text
    shown = repr(text if text is not None else "")[:60]
    if isinstance(text, str) and not is_text(text):
        raw = "".join(map(_shown, text))[:60]
        return f"'{raw}' is not utf-8 text; if the file has another encoding, give `encoding`"
    if kind == "id":
        if text is None or not len(str(text)) or text != text:
            return "is empty"
        if "\0" in str(text):
            return f"{shown} holds a zero byte; if the file is not in utf-8, give `encoding`"
        return f"is longer than {LONGEST_ID} bytes"
    if kind == "number":
        point = ": write a point, not a comma" if re.fullmatch(r"[+-]?\d+,\d+", str(text)) else ""
        return f"{shown} is not a finite number{point}"
    number = parse(pl.Series([text]), "number")[0]
    if number is not None and not number.is_integer() and abs(number) < YEAR:
        return f"{shown} is a fraction; give whole numbers, in which no two times become one"
    if parse(pl.Series([text]), kind)[0] is not None:
        return f"{shown} is written in another way than most times: a number, or an ISO date"
    return f"{shown} is neither a finite number nor an ISO date like 2020-01-31 or 2020-01-31T12:00"


def _shown(letter: str) -> str:
    """Return a letter in printable form; a byte that was not decoded is shown as such."""
    code = ord(letter)
    if not 0xD800 <= code < 0xE000:
        return letter
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def is_text(field: str) -> bool:
    """Return whether every byte of a field could be decoded."""
    return field.isascii() or not any("\ud800" <= letter < "\ue000" for letter in field)


DATES = "Times are read as dates, like 20200131 for 2020-01-31."
UNITS = (  # least magnitude, units per second, name
    (0, 1, "seconds"), (10**11, 10**3, "milliseconds"), (10**14, 10**6, "microseconds"),
    (10**17, 10**9, "nanoseconds"),
)  # fmt: skip


def seconds(time: np.ndarray, log: Callable[[str], object]) -> np.ndarray:
    """Convert times [R] int64 to seconds; log their unit where it is not the second.

    The unit is inferred from the magnitude of the median of the non-zero times. Seconds reach 10^11
    in the year 5138, milliseconds in 1973. Times of another magnitude are counted in the log.
    Numbers that spell dates are converted by `dates`.
    """
    spelled = dates(time)
    if spelled is not None:
        log(DATES)
        return spelled
    fits = magnitudes(time)
    number = median_unit(np.bincount(fits, minlength=9))
    others = (fits != 4) & (units(fits) != number)
    example = f", like {time[others.argmax()]}" if others.any() else ""
    note_unit(number, int(others.sum()), len(time), log, example)
    return time // UNITS[number][1] if number else time


def dates(time: np.ndarray) -> np.ndarray | None:
    """Convert whole numbers that spell dates to seconds since 1970, [R] int64.

    They have the form YYYYMMDD or YYYYMMDDhhmmss, from 1950 to 2100. Zeros stay.

    Returns:
      None unless every number except zero spells a date.
    """
    known = time[time != 0]
    clock = np.where(known >= 10**13, known % 10**6, 0)
    day = np.where(known >= 10**13, known // 10**6, known)
    if not len(known) or day.min() < 19500101 or day.max() > 21001231:
        return None
    month = (day // 10**4 - 1970) * 12 + day // 100 % 100 - 1
    start, end = ((month + more).astype("M8[M]").astype("M8[D]").astype("i8") for more in (0, 1))
    hour, minute, second = clock // 10**4, clock // 100 % 100, clock % 100
    fine = (day // 100 % 100 - 1 < 12) & (day // 100 % 100 > 0) & (day % 100 > 0)
    fine &= (day % 100 <= end - start) & (hour < 24) & (minute < 60) & (second < 60)
    if not fine.all():
        return None
    found = np.zeros(len(time), np.int64)
    found[time != 0] = (start + day % 100 - 1) * 86400 + (hour * 60 + minute) * 60 + second
    return found


def magnitudes(time: np.ndarray) -> np.ndarray:
    """Return the unit of each time [R] by its magnitude, in ascending order of the times.

    0 to 3: negative, in nanoseconds to seconds; 4: zero; 5 to 8: positive, in seconds to
    nanoseconds.
    """
    unit = np.searchsorted([least for least, _, _ in UNITS[1:]], np.abs(time), side="right")
    return 4 + np.sign(time) * (unit + 1)


def units(magnitude: Any) -> Any:
    """Return the number in `UNITS` of a magnitude of `magnitudes`."""
    return np.abs(magnitude - 4) - 1


def median_unit(counts: np.ndarray) -> int:
    """Return the number in `UNITS` of the median of the non-zero times, by `magnitudes` [9]."""
    known = np.where(np.arange(9) == 4, 0, counts)
    if not known.any():
        return 0
    return int(units(np.searchsorted(np.cumsum(known), known.sum() // 2, side="right")))


def note_unit(
    number: int, others: int, total: int, log: Callable[[str], object], example: str = ""
) -> None:
    """Log the unit of times where it is not the second, and how many are of another one."""
    name = UNITS[number][2]
    if number:
        log(f"Times are read as {name} since 1970, and converted to seconds.")
    if others:
        log(
            f"{others:,} of {total:,} times are of another unit than {name}{example}. "
            "Correct them: the order of the ratings depends on it."
        )


def coded(parts: Sequence[pl.Series], text: pl.DataType) -> tuple[np.ndarray, np.ndarray]:
    """Encode ids as integers.

    Args:
      parts: consecutive parts of one column of ids, whole numbers or text. If one part is text, all
        ids are text.
      text: the categorical type that encodes text.

    Returns:
      (code [R] int32, ids [V]): the distinct ids in ascending order; `ids[code]` are the raw ids.
    """
    if all(part.dtype == pl.Int64 for part in parts):
        return compact(np.concatenate([np.zeros(0, np.int64), *(p.to_numpy() for p in parts)]))
    parts = [p if p.dtype == text else p.cast(pl.String).cast(text) for p in parts]
    names = pl.concat([part.unique() for part in parts]).unique()
    codes = np.concatenate([part.to_physical().to_numpy() for part in parts])
    ids = np.array(names.cast(pl.String).to_list())
    order = np.argsort(ids)
    rank = np.zeros(int(codes.max()) + 1, np.int32)
    rank[names.to_physical().to_numpy()[order]] = np.arange(len(ids), dtype=np.int32)
    return rank[codes], ids[order]


def compact(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encode whole numbers [R] as (code [R] int32, ids [V] int64, ascending).

    A lookup table replaces the sort where the numbers span a short range.
    """
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if high - low > 4 * len(values) + (1 << 20):
        ids, code = np.unique(values, return_inverse=True)
        return code.astype(np.int32), ids.astype(np.int64)
    seen = np.zeros(high - low + 1, bool)
    seen[values - low] = True
    rank = (np.cumsum(seen) - 1).astype(np.int32)
    return rank[values - low], np.flatnonzero(seen) + low
