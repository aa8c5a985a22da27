"""Fields of delimited text, in NumPy: a block of bytes is cut into fields and its digits turned
into numbers for all lines at once, so that 20 million lines take seconds and memory follows the
result.

Only ids that are not whole numbers, quoted fields and malformed lines leave the vectorised path.
"""

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aerec.errors import BadInput

BLOCK = 1 << 20  # bytes read at a time; the temporaries of one block still fit a cache
LONGEST_ID = 256  # bytes; one runaway line must not widen the text array of a whole block


class Lines(NamedTuple):
    """The lines of one block that are not blank; L of them."""

    text: np.ndarray  # [bytes] uint8, zero padded past its end
    start: np.ndarray  # [L] int64, first byte
    end: np.ndarray  # [L] int64, one past the last byte, line break not counted
    number: np.ndarray  # [L] int64, from 1, as an editor counts


class Policy:
    """What becomes of malformed lines: `error` raises at the first, `skip` counts them."""

    def __init__(self, on_bad_line: str):
        if on_bad_line not in ("error", "skip"):
            raise BadInput(f"on_bad_line is 'error' or 'skip', not {on_bad_line!r}.")
        self.skip, self.skipped, self.first = on_bad_line == "skip", 0, ""

    def report(self, log: Callable[[str], object]) -> None:
        if self.skipped:
            log(f"Skipped {self.skipped:,} malformed lines; the first: {self.first}")


class Block:
    """Which lines of one block are good, and what is wrong with the first that is not."""

    def __init__(self, lines: Lines):
        self.lines, self.good = lines, np.ones(len(lines.start), bool)
        self.problem, self.quoted = (0, ""), False

    def require(self, good: np.ndarray, why: Callable[[int], str]) -> None:
        """Rejects the lines where `good` [L] is false; `why` explains line `i` of the block."""
        bad = self.good & ~good
        if bad.any():
            i = int(bad.argmax())
            number = int(self.lines.number[i])
            if not self.problem[0] or number < self.problem[0]:
                self.problem = (number, why(i))
            self.good &= good

    def settle(self, path: Path, policy: Policy) -> None:
        """Raises `BadInput` for the first bad line of the block, or counts the bad lines."""
        number, why = self.problem
        if number and not policy.skip:
            raise BadInput(
                f"{path}, line {number}: {why}. Correct or remove the line, or pass "
                "on_bad_line='skip'."
            )
        policy.skipped += int((~self.good).sum())
        policy.first = policy.first or (f"{path}, line {number}: {why}" if number else "")

    def show(self, start: np.ndarray, end: np.ndarray, i: int) -> str:
        """The text of a field, for a message."""
        field = self.lines.text[start[i] : end[i]][:60].tobytes()
        return repr(field.decode("utf-8", "backslashreplace"))


def lines(path: Path) -> Iterator[Lines]:
    """The lines of a text file, a block at a time; any line ending, a byte order mark is dropped.

    Raises `BadInput` if the file cannot be opened, is empty, or is not text."""
    try:
        file = open(path, "rb")  # noqa: SIM115 (only the opening may fail as "cannot be read")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
    with file:
        head = file.read(4)
        if not head:
            raise BadInput(f"{path}: the file is empty. Was it downloaded or written completely?")
        if head[:2] in (b"PK", b"\x1f\x8b", b"BZ") or head == b"\xfd7zX":
            raise BadInput(f"{path}: the file is compressed. Unpack it and give the text file.")
        file.seek(3 if head[:3] == b"\xef\xbb\xbf" else 0)
        rest, number, more = b"", 1, True
        while more:
            data = file.read(BLOCK)
            more = bool(data)
            cut = data.rfind(b"\n") + 1
            if more and not cut:
                rest += data
                if len(rest) > 16 * BLOCK:
                    raise BadInput(
                        f"{path}, line {number}: no line break in {len(rest)} bytes: not text?"
                    )
                continue
            whole, rest = (rest + data[:cut], data[cut:]) if more else (rest + b"\n", b"")
            text = np.frombuffer(whole + bytes(64), np.uint8)
            breaks = np.flatnonzero(text[: len(whole)] == ord("\n"))
            start = np.concatenate([[0], breaks[:-1] + 1])
            end = breaks - (text[breaks - 1] == ord("\r"))
            full = end > start  # blank lines hold nothing to misread
            yield Lines(text, start[full], end[full], number + np.flatnonzero(full))
            number += len(breaks)


def decimals(text: np.ndarray, start: np.ndarray, end: np.ndarray, longest: int):
    """Plain decimals `-12.5` read digit by digit over all lines at once.

    Returns `(mantissa [L] int64, places [L] int64, plain [L] bool)`. Where `plain` the value is
    `mantissa / 10**max(places, 0)`, and `places` is -1 if there is no point; other lines (empty,
    too long, an exponent, letters) are for the caller."""
    minus = text[start] == ord("-")
    start = start + minus
    length = end - start
    mantissa, places = np.zeros(len(start), np.int64), np.zeros(len(start), np.int64)
    plain, dotted = (length > 0) & (length <= longest), np.zeros(len(start), bool)
    for j in range(min(int(length.max(initial=0)), longest)):
        byte = text[start + j]
        digit = byte - np.uint8(ord("0"))  # wraps, so that anything but a digit is above 9
        inside = length > j
        is_digit = (digit < 10) & inside
        mantissa = np.where(is_digit, mantissa * 10 + digit, mantissa)
        if (is_digit != inside).any():
            dot = (byte == ord(".")) & inside
            plain &= is_digit | ~inside | (dot & ~dotted)
            dotted |= dot
        if dotted.any():
            places += is_digit & dotted
    plain &= length > dotted
    return np.where(minus, -mantissa, mantissa), np.where(dotted, places, -1), plain


def integers(text: np.ndarray, start: np.ndarray, end: np.ndarray):
    """`(value [L] int64, canonical [L] bool)`; `007`, `+7` and `-0` are not canonical: as ids they
    are texts that differ from `7`."""
    value, places, plain = decimals(text, start, end, 18)
    first = text[start + (text[start] == ord("-"))]
    return value, plain & (places < 0) & ((first != ord("0")) | (end - start == 1))


def numbers(block: Block, name: str, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[L] float32; what is not a finite number, also once rounded to float32, is rejected."""
    mantissa, places, plain = decimals(block.lines.text, start, end, 16)  # exact: below 2**53
    value = mantissa / 10.0 ** np.maximum(places, 0)
    for i in np.flatnonzero(~plain & block.good):
        value[i] = _parse(float, block.lines.text[start[i] : end[i]].tobytes())
    with np.errstate(over="ignore"):
        value = value.astype(np.float32)
    block.require(np.isfinite(value), lambda i: not_a_number(block, name, start, end, i))
    return value


def times(block: Block, name: str, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[L] int64; fractions of a second are dropped, what is not a finite number is rejected."""
    value, good = integers(block.lines.text, start, end)
    for i in np.flatnonzero(~good & block.good):
        field = block.lines.text[start[i] : end[i]].tobytes()
        whole = _parse(int, field)  # first: nanoseconds do not fit a float
        number = _parse(float, field) if whole != whole else whole
        good[i] = abs(number) < 2**63
        value[i] = math.floor(number) if good[i] else 0
    block.require(good, lambda i: not_a_number(block, name, start, end, i))
    return value


def dates(block: Block, name: str, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[L] int64, seconds from 1970 to the start of the day `YYYY-MM-DD`; other text is rejected."""
    text, good, field = block.lines.text, end - start == 10, (start, end)
    start = np.where(good, start, 0)  # any place with ten bytes after it, not to read past the end
    for at in (4, 7):
        good &= text[start + at] == ord("-")
    part = []
    for low, high in ((0, 4), (5, 7), (8, 10)):
        value, places, plain = decimals(text, start + low, start + high, 4)
        good &= plain & (places < 0)
        part.append(np.where(good, value, 1))
    year, month, day = part
    first = ((year - 1970) * 12 + np.clip(month, 1, 12) - 1).astype("M8[M]")
    date = first.astype("M8[D]").astype(np.int64) + (day - 1)  # days from 1970
    good &= (month >= 1) & (month <= 12) & (day >= 1)
    good &= date.astype("M8[D]").astype("M8[M]") == first  # 30 February is in March
    block.require(good, lambda i: f"{name} {block.show(*field, i)} is not a date YYYY-MM-DD")
    return date * 86400


def _parse(kind: Callable, field: bytes):
    try:
        return math.nan if b"_" in field else kind(field)
    except ValueError:
        return math.nan


def not_a_number(block: Block, name: str, start: np.ndarray, end: np.ndarray, i: int) -> str:
    """Says of line `i` that its field is no finite number."""
    hint = " (a header? then say so: header=True)" if block.lines.number[i] == 1 else ""
    return f"{name} {block.show(start, end, i)} is not a finite number{hint}"


def texts(block: Block, name: str, start: np.ndarray, end: np.ndarray, encoding: str) -> np.ndarray:
    """[L] bytes of a fixed width; empty, over-long or undecodable fields are rejected."""
    length = end - start
    block.require(length > 0, lambda i: f"{name} is empty")
    block.require(length <= LONGEST_ID, lambda i: f"{name} is longer than {LONGEST_ID} bytes")
    width = int(length[block.good].max(initial=1))
    field = np.zeros((len(start), width), np.uint8)
    for j in range(width):
        field[:, j] = np.where(length > j, block.lines.text[np.minimum(start + j, end)], 0)
    clean = ((field != 0) | (np.arange(width) >= length[:, None])).all(1)
    for i in np.flatnonzero((field >= 128).any(1) & block.good):
        try:
            field[i].tobytes().decode(encoding)
        except UnicodeDecodeError:
            clean[i] = False
    block.require(clean, lambda i: f"{name} {block.show(start, end, i)} is not {encoding} text")
    value = field.view(f"S{width}")[:, 0]
    return np.strings.replace(value, b'""', b'"') if block.quoted else value


def header_of(path: Path, separator: str) -> list[str]:
    """The names on the first line of a file."""
    first = next(lines(path), None)
    if first is None or not len(first.start):
        raise BadInput(f"{path}: the file holds only blank lines.")
    line = first.text[first.start[0] : first.end[0]].tobytes().decode("utf-8", "backslashreplace")
    try:
        quoting = separator in (",", ";")
        row = next(csv.reader([line], delimiter=separator)) if quoting else line.split(separator)
    except csv.Error as error:
        raise BadInput(f"{path}, line 1: {error}. Is it a text file of lines?") from error
    return [name.strip() for name in row]


def cut(block: Block, separator: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """`(start, end)` [L, count] of the fields; lines with another number of fields are rejected.

    Blanks around a field are no part of it. In files separated by `,` or `;` a field in double
    quotes may hold the separator, and blanks."""
    text, start, end, _ = block.lines
    mark = separator.encode()
    hit = text[: len(text) - 64] == mark[0]
    for j, byte in enumerate(mark[1:], 1):
        hit &= text[j : len(text) - 64 + j] == byte
    at = np.flatnonzero(hit)
    quotes = np.flatnonzero(text == ord('"')) if separator in (",", ";") else at[:0]
    block.quoted = len(quotes) > 0 and len(start) > 0
    if block.quoted:
        opened = np.searchsorted(quotes, start)
        line = np.searchsorted(start, at, "right") - 1
        at = at[(np.searchsorted(quotes, at) - opened[line]) % 2 == 0]
        closed = (np.searchsorted(quotes, end) - opened) % 2 == 0
        block.require(closed, lambda i: "a double quote is not closed on the line")
    first = np.searchsorted(at, start)
    found = np.searchsorted(at, end) - first
    block.require(
        found == count - 1,
        lambda i: f"{found[i] + 1} fields where {count} are expected (separator {separator!r})",
    )
    inner = np.append(at, 0)[np.minimum(first[:, None] + np.arange(count - 1), len(at))]
    inner[~block.good] = np.minimum(start, end)[~block.good, None]
    starts = np.concatenate([start[:, None], inner + len(mark)], 1)
    ends = np.concatenate([inner, end[:, None]], 1)
    starts, ends = _stripped(text, starts, ends)
    if block.quoted:
        wrapped = (text[starts] == ord('"')) & (text[ends - 1] == ord('"')) & (ends - starts > 1)
        starts, ends = starts + wrapped, ends - wrapped
    return starts, ends


def _stripped(text: np.ndarray, starts: np.ndarray, ends: np.ndarray):
    """The fields without the blanks around them."""
    while (blank := (text[starts] == ord(" ")) & (starts < ends)).any():
        starts = starts + blank
    while (blank := (text[ends - 1] == ord(" ")) & (starts < ends)).any():
        ends = ends - blank
    return starts, ends


def check_scale(block: Block, value: np.ndarray, scale: tuple[float, float] | None) -> None:
    """Rejects the lines whose `value` [L] lies outside the `scale`."""
    if scale is not None:
        block.require(
            (value >= scale[0]) & (value <= scale[1]),
            lambda i: f"rating {value[i]:g} is off the scale {scale[0]:g}..{scale[1]:g}",
        )
