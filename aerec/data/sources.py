"""Columns of a file, block by block: delimited text, JSON lines, parquet, and Netflix's own layout.

Polars reads a block whose fields are all there and good. Any other block is read again line by
line, which finds the number of the malformed line and what is wrong with it.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from aerec.data import columns, lines, roles
from aerec.data.columns import Ids
from aerec.data.lines import Block
from aerec.errors import BadInput

Bounds = Mapping[Any, tuple[float, float] | None]
LINE, FAULT = "\0line", "\0fault"  # columns beside those of the file
_ROWS = 1 << 20  # of a parquet file at a time
_SAMPLE = 50  # lines that say what the separator is, and whether there is a header
_STRAY = re.compile(rb'[^,;\n"]"[^,;\n"]')  # a quote inside a field


@dataclass(frozen=True)
class Source:
    """A file and how it is laid out."""

    path: Path
    layout: str  # "text", "json", "parquet" or "netflix"
    names: Sequence[str] = ()  # of the columns; what stands on line 1 where there is no header
    header: bool = True
    separator: str = ","
    encoding: str | None = None
    rows: Sequence[Sequence[str]] = ()  # the first of a text

    @property
    def quoting(self) -> bool:
        return self.layout == "text" and self.separator in (",", ";")


class Policy:
    """What becomes of malformed lines: `error` raises at the first, `skip` counts them."""

    def __init__(self, on_bad_line: str):
        if on_bad_line not in ("error", "skip"):
            raise BadInput(f"on_bad_line is 'error' or 'skip', not {on_bad_line!r}.")
        self.skip, self.skipped, self.first = on_bad_line == "skip", 0, ""

    def note(self, count: int, first: str) -> None:
        """Raises `BadInput` for the first of `count` malformed lines, or counts them."""
        if not self.skip:
            raise BadInput(f"{first}. Correct or remove the line, or give `on_bad_line=skip`.")
        self.skipped, self.first = self.skipped + count, self.first or first

    def report(self, log: Callable[[str], object]) -> None:
        if self.skipped:
            log(f"Skipped {self.skipped:,} malformed lines; the first: {self.first}")


def recognise(
    path: Path, *, separator: str | None, header: bool | None, encoding: str | None
) -> Source:
    """How a file is laid out, by its first bytes and lines; what is given is taken as it is.

    Raises:
      BadInput: the file cannot be read, or what it is cannot be told: what to give.
    """
    if separator is not None and (not separator or "\n" in separator):
        raise BadInput(f"{separator!r} cannot separate fields. Give for example ',' or '\\t'.")
    if lines.magic(path) == b"PAR1":
        try:
            return Source(path, "parquet", pl.scan_parquet(path).collect_schema().names())
        except pl.exceptions.PolarsError as error:
            raise BadInput(f"{path}: the parquet file is damaged ({error}).") from error
    block = next(lines.blocks(path, encoding, quote=separator in (None, ",", ";")))
    text = block.data[: 1 << 20].decode("utf-8", "surrogateescape")
    some = [line for line in text.split("\n") if line.strip()][:_SAMPLE]
    if not some:
        raise BadInput(f"{path}: the file holds only blank lines.")
    if separator is None and some[0].lstrip().startswith("{"):
        return Source(path, "json", _keys(path, block), encoding=encoding)
    if separator is None and re.match(r"\s*\[\s*(\{|$)", some[0]):
        raise BadInput(f"{path}: one JSON array. Write JSON lines: an object on each line.")
    separator = separator or _separator(path, some)
    rows = [[field.strip(" ") for field in row] for row in _cut(some, separator)]
    header = roles.is_header(rows) if header is None else header
    if header is None:
        raise BadInput(
            f"{path}: does line 1, {some[0][:60]!r}, name the columns? Give `header=true` or "
            "`header=false`."
        )
    return Source(path, "text", rows[0], header, separator, encoding, rows)


def _keys(path: Path, block: Block) -> list[str]:
    """The keys of the objects in a block of JSON lines, also of those that come late."""
    try:
        return pl.read_ndjson(block.data, infer_schema_length=None).columns
    except pl.exceptions.PolarsError:
        objects = [_json(line) for line in block.data.split(b"\n")]
        return list(dict.fromkeys(key for each in objects for key in each or ()))


def _json(line: bytes) -> dict | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _cut(some: Sequence[str], separator: str) -> list[list[str]]:
    """Lines of text as fields, without the last if it is cut off within quotes."""
    if separator not in (",", ";"):
        return [line.split(separator) for line in some]
    try:
        return list(csv.reader([line + "\n" for line in some], delimiter=separator))
    except csv.Error:
        return [line.split(separator) for line in some]


def _separator(path: Path, some: Sequence[str]) -> str:
    """What cuts most lines into as many fields as the first, two or more."""
    share: dict[str, float] = {}
    for mark in ("::", "\t", ",", ";", "|", " "):
        counts = [len(row) for row in _cut(some, mark)]
        fits = sum(count == counts[0] for count in counts) / len(counts)
        if counts[0] > 1 and fits > 0.5:
            share[mark] = fits
    if len(share) > 1:
        share.pop(" ", None)
    best = [mark for mark in share if share[mark] == max(share.values())]
    if "::" in best or len(best) == 1:
        return best[0]
    if not best and len(some) > 0 and not re.search(r"[,;|\t]", some[0]):
        return ","  # one column
    raise BadInput(
        f"{path}, line 1: {some[0][:60]!r} does not show what separates its fields"
        f"{': ' + ' or '.join(map(repr, best)) if best else ''}. Give `separator`."
    )


def scan(
    sources: Sequence[Source], kinds: Mapping[Any, str], *, bounds: Bounds, policy: Policy
) -> dict[Any, Any]:
    """The columns of a file, or of several as one, all of one length R, in file order.

    Args:
      kinds: column -> "id", "number" or "time"; columns are names, or positions without a header.
      bounds: column -> lowest and highest number.

    Returns:
      column -> `(code [R] int32, ids [V])` of ids, float32 [R] of numbers, int64 [R] of times,
      whose unit `columns.seconds` finds out.
    """
    stores: dict[Any, Any] = {column: Ids() if kinds[column] == "id" else [] for column in kinds}
    for source, block, first in _blocks(sources):
        frame = _whole(source, block, kinds)
        parsed = None if frame is None else _parsed(frame, kinds)
        if parsed is None or any(_bad(parsed[c], bounds.get(c)).any() for c in kinds):
            frame = _by_line(source, block, kinds)
            good = _judged(source, frame, kinds, bounds, policy)
            frame = frame.filter(good)
            parsed = _parsed(frame, kinds)
        if first and frame is not None and not source.header:
            _no_header_after_all(source, frame, kinds)
        for column, values in parsed.items():
            if isinstance(stores[column], Ids):
                stores[column].add(values)
            else:
                stores[column].append(values.to_numpy())
    found: dict[Any, Any] = {}
    for column in kinds:  # one at a time, or all parts and all results would lie side by side
        store = stores.pop(column)
        if isinstance(store, Ids):
            found[column] = store.finish()
        else:
            empty = np.zeros(0, np.float32 if kinds[column] == "number" else np.int64)
            found[column] = np.concatenate([empty, *store])
        del store
    return found


def _blocks(sources: Sequence[Source]) -> Iterator[tuple[Source, Any, bool]]:
    """Each source with its blocks, and whether a block is the first."""
    for source in sources:
        first = True
        for block in _blocks_of(source):
            yield source, block, first
            first = False


def _blocks_of(source: Source) -> Iterator[Any]:
    """Blocks of lines without the header, or `(number of the first row, frame)` of parquet."""
    if source.layout == "parquet":
        number = 1
        rows = pl.scan_parquet(source.path)
        for frame in rows.collect_batches(chunk_size=_ROWS, maintain_order=True):
            yield number, frame
            number += frame.height
        return
    skip = source.layout == "text" and source.header
    movie = b""
    for block in lines.blocks(source.path, source.encoding, source.quoting):
        if source.layout == "netflix":  # a movie's ratings go on in the next block
            block = Block(movie + block.data, block.line - bool(movie))
            movie = (re.findall(rb"(?m)^.*: *$", block.data)[-1:] or [b""])[0] + b"\n"
        if skip:
            lead = re.match(rb"[ \n]*", block.data)[0].count(b"\n")  # type: ignore[index]
            text = block.data.decode("utf-8", "surrogateescape").split("\n")[lead:]
            reader = csv.reader((line + "\n" for line in text), delimiter=",")
            if source.quoting:
                next(reader, None)
            count = lead + (reader.line_num if source.quoting else 1)
            data = block.data.split(b"\n", count)[count]
            block, skip = Block(data, block.line + count), False
        if block.data:
            yield block


def _parsed(frame: pl.DataFrame, kinds: Mapping[Any, str]) -> dict[Any, pl.Series]:
    return {column: columns.parse(frame[str(column)], kind) for column, kind in kinds.items()}


def _bad(values: pl.Series, bounds: tuple[float, float] | None) -> pl.Series:
    bad = values.is_null()
    if bounds is not None:
        bad |= ~values.is_between(*bounds).fill_null(True)
    return bad


def _whole(source: Source, block: Any, kinds: Mapping[Any, str]) -> pl.DataFrame | None:
    """The columns of a block by name; None where a line may be malformed."""
    if source.layout == "parquet":
        return block[1].select(map(str, kinds))
    data = block.data
    if source.layout == "netflix":
        return None
    try:
        if source.layout == "json":
            return pl.read_ndjson(data, schema=dict.fromkeys(map(str, kinds), pl.String))
        quoted = source.quoting and b'"' in data
        if b"\n\n" in data or data[:1] == b"\n":
            if quoted:
                return None
            data = re.sub(rb"\n\n+", b"\n", data).lstrip(b"\n")
        mark = source.separator
        if len(mark.encode()) > 1:
            data, mark = data.replace(mark.encode(), b"\x1f"), "\x1f"
            if b"\x1f" in block.data:
                return None
        if quoted and _STRAY.search(data):
            return None
        width, places = len(source.names), {column: _place(source, column) for column in kinds}
        frame = pl.read_csv(
            data, has_header=False, separator=mark, quote_char='"' if quoted else None,
            schema={str(place): pl.String for place in range(width)},
            columns=sorted({*places.values(), width - 1}), infer_schema=False,
        )  # fmt: skip
    except pl.exceptions.PolarsError:
        return None
    if not quoted and frame.height != data.count(b"\n"):
        return None
    if frame[str(width - 1)].null_count():  # a line with too few fields ends in nulls
        return None
    return frame.select(pl.col(str(place)).alias(str(c)) for c, place in places.items())


def _place(source: Source, column: Any) -> int:
    return list(source.names).index(column) if source.header else int(column)


def _by_line(source: Source, block: Any, kinds: Mapping[Any, str]) -> pl.DataFrame:
    """The columns of a block, with `line` (its number) and `fault` (what is wrong, or null)."""
    if source.layout == "parquet":
        number, frame = block
        fine = pl.lit(None, pl.String).alias(FAULT)
        return frame.select(map(str, kinds)).with_row_index(LINE, number).with_columns(fine)
    if source.layout == "netflix":
        return _netflix(block)
    if source.layout == "json":
        records = _objects(block, kinds)
    else:
        records = _records(source, block, [_place(source, column) for column in kinds])
    found: dict[str, list] = {str(name): [] for name in (*kinds, LINE, FAULT)}
    for line, fields, fault in records:
        for (column, kind), field in zip(kinds.items(), fields or [None] * len(kinds), strict=True):
            if field is not None and not field.isascii() and not _is_text(field):
                fault = fault or f"{_label(source, column)} {columns.why(field, kind)}"
                field = None
            found[str(column)].append(field)
        found[LINE].append(line)
        found[FAULT].append(fault)
    types = {name: pl.Int64 if name == LINE else pl.String for name in found}
    return pl.DataFrame(found, schema=types)


def _is_text(field: str) -> bool:
    try:
        field.encode()
    except UnicodeEncodeError:
        return False
    return True


Records = Iterator[tuple[int, list | None, str | None]]  # (line, fields, what is wrong)


def _records(source: Source, block: Block, places: Sequence[int]) -> Records:
    text = block.data.decode("utf-8", "surrogateescape").split("\n")[:-1]
    width, mark = len(source.names), source.separator
    if source.quoting:
        reader = csv.reader(
            (line + "\n" for line in text), delimiter=mark, skipinitialspace=True, strict=True
        )
    else:
        reader = None
    number = 0
    while number < len(text):
        line = block.line + number
        try:
            row = next(reader) if reader else text[number].split(mark)
            fault = None
        except csv.Error as error:
            row, fault = [], f"a double quote stands inside a field, or is not doubled ({error})"
            if "end of data" in str(error):
                raise BadInput(
                    f"{source.path}, line {line}: a double quote is not closed, so that nothing "
                    "after it can be read. Close or remove it."
                ) from error
        blank = not fault and (not row or (not text[number].strip(" \r") and width > 1))
        number = reader.line_num if reader else number + 1
        if blank:
            continue
        if not fault and len(row) != width:
            fault = f"{len(row)} fields where {width} are expected (separator {mark!r})"
        yield line, None if fault else [row[place] for place in places], fault


def _objects(block: Block, kinds: Mapping[Any, str]) -> Records:
    for number, line in enumerate(block.data.split(b"\n")[:-1], block.line):
        if not line.strip():
            continue
        found = _json(line)
        if found is None:
            yield number, None, "no JSON object"
            continue
        values = (found.get(column) for column in kinds)
        texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
        yield number, texts, None


def _netflix(block: Block) -> pl.DataFrame:
    """`movie:` lines, each above its `user,rating,YYYY-MM-DD` lines."""
    line, field = pl.col("text"), pl.col("text").str.splitn(",", 3).struct
    head = line.str.ends_with(":")
    movie = line.str.extract(r"^(0|[1-9]\d{0,8}):$")
    fields, count = pl.col("text").str.count_matches(",") + 1, 3
    return (
        _texts(block.data)
        .with_row_index(LINE, block.line)
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
            .then(pl.lit("a rating below no 'number:' line of a movie"))
            .when(fields != count)
            .then(pl.format("{} fields where 3 are expected (separator ',')", fields))
            .when(~pl.col("time").str.contains(r"^\d{4}-\d\d-\d\d$"))
            .then(pl.format("date '{}' is not a date YYYY-MM-DD", pl.col("time")))
            .alias(FAULT)
        )
    )  # fmt: skip


def _texts(data: bytes) -> pl.DataFrame:
    """Lines of text as one column."""
    try:
        return pl.read_csv(
            data, has_header=False, separator="\x1f", quote_char=None, schema={"text": pl.String},
            infer_schema=False,
        )  # fmt: skip
    except pl.exceptions.PolarsError:
        text = data.decode("utf-8", "backslashreplace").split("\n")[:-1]
        return pl.DataFrame({"text": text}, schema={"text": pl.String})


def _judged(
    source: Source, frame: pl.DataFrame, kinds: Mapping[Any, str], bounds: Bounds, policy: Policy
) -> pl.Series:
    """Which rows of a block are good, [L] bool; raises or counts the others."""
    whole = frame[FAULT].is_null()
    bad = {c: _bad(v, bounds.get(c)) & whole for c, v in _parsed(frame, kinds).items()}
    good = whole
    for each in bad.values():
        good = good & ~each
    if good.all():
        return good
    at = int((~good).arg_max())  # type: ignore[arg-type]
    fault = frame[FAULT][at]
    if fault is None:
        column = next(column for column in kinds if bad[column][at])
        fault = _wrong(source, column, kinds[column], frame[str(column)][at], bounds.get(column))
        if frame[LINE][at] == 1 and not source.header and kinds[column] != "id":
            fault += " (a header? then say so: `header=true`)"
    place = f"{'row' if source.layout == 'parquet' else 'line'} {frame[LINE][at]}"
    policy.note(int((~good).sum()), f"{source.path}, {place}: {fault}")
    return good


def _label(source: Source, column: Any) -> str:
    if source.layout == "netflix":
        return "date" if column == "time" else str(column)
    return repr(column) if source.header else f"column {column}"


def _wrong(source: Source, column: Any, kind: str, text: Any, bounds: Any) -> str:
    """What is wrong with the text of a field."""
    value = columns.parse(pl.Series([text]), kind)[0]
    if value is not None and bounds is not None:
        return f"rating {value:g} is off the scale {bounds[0]:g}..{bounds[1]:g}"
    return f"{_label(source, column)} {columns.why(text, kind)}"


def _no_header_after_all(source: Source, frame: pl.DataFrame, kinds: Mapping[Any, str]) -> None:
    """Raises `BadInput` for one word above whole numbers, which would make all of them text."""
    for column in [column for column in kinds if kinds[column] == "id"]:
        ids = frame[str(column)]
        top, rest = (columns.parse(part, "id").dtype for part in (ids[:1], ids[1:]))
        if len(ids) > 1 and top == pl.String and rest == pl.Int64:
            raise BadInput(
                f"{source.path}, line 1: {_label(source, column)} {ids[0]!r} is not a finite "
                "number (a header? then say so: `header=true`)."
            )
