"""Columns of a file as arrays, read a batch of rows at a time.

Polars reads a file whose fields are all present and valid. Any other file is read again line by
line, to find the number of each malformed line and its error.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from aerec.data import columns, texts
from aerec.data.texts import Source
from aerec.errors import BadInput

Bounds = Mapping[Any, tuple[float, float] | None]
Kinds = Mapping[Any, str]  # column -> "id", "number" or "time"
LINE, FAULT = "\0line", "\0fault"  # not names that a column of the file can have
BATCH = 1 << 18  # rows: memory grows with the result, not with the file


class Unclear(Exception):
    """A line may be malformed."""


class Policy:
    """The treatment of malformed lines: `error` raises at the first, `skip` counts them.

    None raises as `error` does, where the user has no such choice.
    """

    def __init__(self, on_bad_line: str | None):
        if on_bad_line not in ("error", "skip", None):
            raise BadInput(f"on_bad_line is 'error' or 'skip', not {on_bad_line!r}.")
        self.skip, self.skipped, self.first = on_bad_line == "skip", 0, ""
        self.choice = ", or give `on_bad_line=skip`" if on_bad_line else ""

    def note(self, count: int, first: str) -> None:
        """Raise BadInput for the first of `count` malformed lines, or count them."""
        if not self.skip:
            raise BadInput(f"{first}. Correct or remove the line{self.choice}.")
        self.skipped, self.first = self.skipped + count, self.first or first

    def report(self, log: Callable[[str], object]) -> None:
        if self.skipped:
            log(f"Skipped {self.skipped:,} malformed lines; the first: {self.first}")


def scan(
    sources: Sequence[Source], kinds: Kinds, *, bounds: Bounds, policy: Policy
) -> dict[Any, Any]:
    """Read columns of a file, or of several files as one, in file order.

    Args:
      sources: the files, which all have these columns.
      kinds: column (a name, or a position without a header) -> "id", "number" or "time".
      bounds: column -> lowest and highest number; a number outside is malformed.
      policy: the treatment of malformed lines.

    Returns:
      column -> (code [R] int32, ids [V]) of ids, float32 [R] of numbers, or int64 [R] of times, in
      a unit that `columns.seconds` infers. R is the number of rows in all files.

    Raises:
      BadInput: a damaged file, or a malformed line under the policy `error`.
    """
    texts_of = {c: pl.Categorical(pl.Categories.random()) for c in kinds if kinds[c] == "id"}
    parts: dict[Any, list[pl.Series]] = {column: [] for column in kinds}
    for source in sources:
        before = len(next(iter(parts.values())))
        for parsed in stream(source, kinds, bounds=bounds, policy=policy):
            if parsed is None:
                for own in parts.values():
                    del own[before:]
                continue
            for column, values in parsed.items():  # each text id is stored once
                text = values.dtype == pl.String
                parts[column].append(values.cast(texts_of[column]) if text else values)
    found: dict[Any, Any] = {}
    for column, kind in kinds.items():  # one by one: parts and results never all in memory at once
        own = parts.pop(column)
        if kind == "id":
            found[column] = columns.coded(own, texts_of[column])
        else:
            empty = np.zeros(0, np.float32 if kind == "number" else np.int64)
            found[column] = np.concatenate([empty, *(part.to_numpy() for part in own)])
        del own
    return found


def stream(
    source: Source, kinds: Kinds, *, bounds: Bounds, policy: Policy, bounded: bool = False
) -> Iterator[dict[Any, pl.Series] | None]:
    """Read columns of a file in batches of rows; arguments and errors as of `scan`.

    Args:
      bounded: whether no file may be in memory at once. Texts that polars cannot read as they are
        are then read line by line, which is slower.

    Yields:
      column -> [B] parsed by `columns.parse`; None once if a line may be malformed: the file is
      read again from its start, and what was yielded of it no longer counts.
    """
    try:
        for frame in _at_once(source, kinds, bounded):
            parsed = _parsed(source, frame, kinds)
            _require_clear(parsed, bounds)
            yield parsed
        return
    except (pl.exceptions.PolarsError, OSError, Unclear):
        yield None
    try:
        for frame in _judged(source, kinds, bounds, policy):
            yield _parsed(source, frame, kinds)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{source.path}: the file is damaged ({error}).") from error


def _parsed(source: Source, frame: pl.DataFrame, kinds: Kinds) -> dict[Any, pl.Series]:
    try:
        return {column: columns.parse(frame[str(column)], kind) for column, kind in kinds.items()}
    except BadInput as error:  # a type of parquet
        raise BadInput(f"{source.path}: {error}") from None


def _bad(values: pl.Series, bounds: tuple[float, float] | None) -> pl.Series:
    bad = values.is_null()
    if bounds is not None:
        bad |= ~values.is_between(*bounds).fill_null(True)
    return bad


def _require_clear(parsed: dict[Any, pl.Series], bounds: Bounds) -> None:
    if any(_bad(values, bounds.get(column)).any() for column, values in parsed.items()):
        raise Unclear


def _place(source: Source, column: Any) -> int:
    return list(source.names).index(column) if source.header else int(column)


def _at_once(source: Source, kinds: Kinds, bounded: bool) -> Iterator[pl.DataFrame]:
    """Read the columns of a file with polars; raise Unclear if a line may be malformed."""
    names = list(map(str, kinds))
    if source.layout == "netflix":
        raise Unclear
    if source.layout == "parquet":
        yield from _batches(pl.scan_parquet(source.path).select(names))
        return
    plain = texts.plain(source)
    if bounded and not plain:
        raise Unclear
    read: Any = source.path if plain else _normal(source)
    if source.layout == "json":
        for frame in _batches(pl.scan_ndjson(read, schema=dict.fromkeys(names, pl.String))):
            if any(column.str.contains(r"^[\[{]").any() for column in frame):
                raise Unclear  # a text, or a list or an object, which is not one value
            yield frame
        return
    width = len(source.names)
    table = pl.scan_csv(
        read, has_header=False, skip_rows=int(source.header), infer_schema=False,
        separator=source.separator if len(source.separator.encode()) == 1 else "\x1f",
        quote_char='"' if source.quoting else None,
        schema={str(place): pl.String for place in range(width)},
    )  # fmt: skip
    places = [pl.col(str(_place(source, column))).alias(str(column)) for column in kinds]
    last = pl.col(str(width - 1)).alias(FAULT)
    checked = False
    for number, frame in enumerate(_batches(table.select(*places, last))):
        if frame[FAULT].null_count() and not checked:  # a line with too few fields ends in nulls
            _require_width(source, read)
            checked = True
        if not number and not source.header:
            _require_no_header(source, frame, kinds)
        yield frame


def _require_width(source: Source, read: Any) -> None:
    """Raise Unclear unless each line has all its fields, the last of which may be empty."""
    mark = source.separator if len(source.separator.encode()) == 1 else "\x1f"
    line = pl.col("line")
    short = line.str.count_matches(mark, literal=True) != len(source.names) - 1
    quoted = line.str.contains('"', literal=True) if source.quoting else pl.lit(False)
    if isinstance(read, io.BytesIO):
        read.seek(0)
    for frame in _batches(pl.scan_lines(read, name="line").select((short | quoted).any())):
        if frame.to_series().any():
            raise Unclear


def _batches(table: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    return table.collect_batches(chunk_size=BATCH, maintain_order=True)


def _normal(source: Source) -> io.BytesIO:
    """Convert a text file for polars: UTF-8, line breaks `\\n`, one byte between fields."""
    text, mark = texts.lines(source.path, source.encoding), source.separator
    data = io.BytesIO()
    while chunk := "".join(islice(text, 1 << 14)):
        if len(mark.encode()) > 1:
            if "\x1f" in chunk:
                raise Unclear
            chunk = chunk.replace(mark, "\x1f")
        data.write(chunk.encode("utf-8", "surrogateescape"))
    data.seek(0)
    return data


def _require_no_header(source: Source, frame: pl.DataFrame, kinds: Kinds) -> None:
    """Raise BadInput for a word above whole numbers: read as an id, it would make all ids text."""
    for column in [column for column in kinds if kinds[column] == "id"]:
        ids = frame[str(column)]
        top, rest = (columns.parse(part, "id").dtype for part in (ids[:1], ids[1:]))
        if len(ids) > 1 and top == pl.String and rest == pl.Int64:
            raise BadInput(
                f"{source.path}, line 1: column {column} {ids[0]!r} is not a whole number, "
                "as the ids below it are (if this is a header, give `header=true`)."
            )


def _judged(
    source: Source, kinds: Kinds, bounds: Bounds, policy: Policy
) -> Iterator[pl.DataFrame]:
    """Read a file line by line; yield the valid rows and report the others to the policy."""
    for frame in _by_line(source, kinds):
        fine = frame[FAULT].is_null()
        bad = {c: _bad(v, bounds.get(c)) & fine for c, v in _parsed(source, frame, kinds).items()}
        good = fine
        for each in bad.values():
            good &= ~each
        if not good.all():
            at = int((~good).arg_max())  # type: ignore[arg-type]
            fault, number = frame[FAULT][at], frame[LINE][at]
            if fault is None:
                column = next(column for column in kinds if bad[column][at])
                fault = _wrong(source, column, kinds[column], frame[str(column)][at], bounds)
                if number == 1 and not source.header and kinds[column] != "id":
                    fault += " (if this is a header, give `header=true`)"
            place = f"{'row' if source.layout == 'parquet' else 'line'} {number}"
            policy.note(int((~good).sum()), f"{source.path}, {place}: {fault}")
        yield frame.filter(good)


def _wrong(source: Source, column: Any, kind: str, text: Any, bounds: Bounds) -> str:
    """Describe what is wrong with a field."""
    value = columns.parse(pl.Series([text]), kind)[0]
    limits = bounds.get(column)
    if value is not None and limits is not None:
        return f"rating {value:g} is off the scale {limits[0]:g}..{limits[1]:g}"
    return f"{_label(source, column)} {columns.why(text, kind)}"


def _label(source: Source, column: Any) -> str:
    if source.layout == "netflix":
        return "date" if column == "time" else str(column)
    return repr(column) if source.header else f"column {column}"


def _by_line(source: Source, kinds: Kinds) -> Iterator[pl.DataFrame]:
    """Read columns of a file line by line, with `LINE` (the number) and `FAULT` (error or null)."""
    if source.layout == "parquet":
        number = 1
        for frame in _batches(pl.scan_parquet(source.path).select(map(str, kinds))):
            none = pl.lit(None, pl.String).alias(FAULT)
            yield frame.with_row_index(LINE, number).with_columns(none)
            number += frame.height
        return
    if source.layout == "netflix":
        yield _netflix(source)
        return
    records, places = texts.records(source), [_place(source, column) for column in kinds]
    while some := list(islice(records, BATCH)):
        numbers, rows, faults = map(list, zip(*some, strict=True))
        found: dict[str, pl.Series] = {LINE: pl.Series(numbers)}
        for (column, kind), place in zip(kinds.items(), places, strict=True):
            fields = [row[place] if row else None for row in rows]
            for at in texts.unfit(fields):
                wrong = f"{_label(source, column)} {columns.why(fields[at], kind)}"
                faults[at], fields[at] = faults[at] or wrong, None
            found[str(column)] = pl.Series(fields, dtype=pl.String)
        yield pl.DataFrame(found | {FAULT: pl.Series(faults, dtype=pl.String)})


def _netflix(source: Source) -> pl.DataFrame:
    """Read `movie:` lines, each followed by its `user,rating,YYYY-MM-DD` lines."""
    try:
        text = pl.read_csv(
            source.path if texts.plain(source) else _normal(source), has_header=False,
            separator="\x1f", quote_char=None, infer_schema=False, schema={"text": pl.String},
        )  # fmt: skip
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{source.path}: cannot be read as text ({error}).") from error
    line, field = pl.col("text"), pl.col("text").str.splitn(",", 3).struct
    head, count = line.str.ends_with(":"), pl.col("text").str.count_matches(",") + 1
    movie = line.str.extract(r"^(0|[1-9]\d{0,8}):$")
    return (
        text.with_row_index(LINE, 1)
        .with_columns(line.str.strip_chars(" \r"))
        .filter(line != "")
        .with_columns(
            item=pl.when(head).then(movie.fill_null("")).forward_fill(),
            user=field[0], rating=field[1], time=field[2],
        )
        .filter(~head | (pl.col("item") == ""))
        .with_columns(
            pl.when(head).then(pl.lit("a movie's line must read 'number:'"))
            .when(pl.col("item").fill_null("") == "")
            .then(pl.lit("a rating without a 'number:' line of its movie"))
            .when(count != 3)
            .then(pl.format("{} fields where 3 are expected (separator ',')", count))
            .when(~pl.col("time").str.contains(r"^\d{4}-\d\d-\d\d$"))
            .then(pl.format("date '{}' does not have the form YYYY-MM-DD", pl.col("time")))
            .alias(FAULT)
        )
    )  # fmt: skip
