"""Text files: decompression, decoding, division into records, and layout from the first lines."""

import bz2
import codecs
import contextlib
import csv
import gzip
import io
import json
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from aerec import files
from aerec.data import columns, foreign, roles
from aerec.errors import BadInput

_ZST = b"(\xb5/\xfd"
_PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zX", lzma.open))
_MARKS = (  # byte order marks; the mark of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError,
           pl.exceptions.PolarsError)  # fmt: skip
_ZST_LIMITS = "Of a zst file only text in utf-8 with \\n between lines is read: unpack any other."
_SAMPLE = 50  # lines from which the separator and the header are inferred
OBJECTS = 200_000  # lines of JSON from which the keys are collected

Record = tuple[int, list | None, str | None]  # (line number, fields, error)


@dataclass(frozen=True)
class Source:
    """A file and its layout."""

    path: Path
    layout: str  # "text", "json", "parquet" or "netflix"
    names: Sequence[str] = ()  # of the columns; without a header, the fields of line 1
    header: bool = True
    separator: str = ","
    encoding: str | None = None
    rows: Sequence[Sequence[str]] = ()  # the first rows of a text file

    @property
    def quoting(self) -> bool:
        """Whether double quotes may enclose separators and line breaks."""
        return self.layout == "text" and self.separator in (",", ";")


def recognise(
    path: Path, *, separator: str | None, header: bool | None, encoding: str | None
) -> Source:
    """Infer the layout of a file from its first bytes and lines.

    Args:
      separator, header, encoding: taken as given; None: inferred.

    Raises:
      BadInput: the file cannot be read, or its layout cannot be inferred; names the setting to
        give.
    """
    if separator is not None and (not isinstance(separator, str) or separator in ("", "\n")):
        raise BadInput(f"{separator!r} cannot separate fields. Give for example ',' or '\\t'.")
    if header is not None and not isinstance(header, bool):
        raise BadInput(f"header takes True, False or None, not {header!r}.")
    start = _head(path, 32)
    if start.startswith(b"PAR1"):
        try:
            return Source(path, "parquet", pl.scan_parquet(path).collect_schema().names())
        except pl.exceptions.PolarsError as error:
            raise BadInput(f"{path}: the parquet file is damaged ({error}).") from error
    foreign.refuse(path, start)
    some = [line for line in islice(lines(path, encoding), _SAMPLE) if line.strip()]
    if not some:
        raise BadInput(f"{path}: the file holds only blank lines.")
    if re.search("[\0\x02-\x08\x0e-\x1a]", some[0]):
        raise BadInput(
            f"{path}, line 1: this is not text. Unpack the file if it is packed or an archive; "
            "give `encoding` if it is text that is not in utf-8, or save it as utf-8."
        )
    if separator is None and some[0].lstrip().startswith("{"):
        objects = map(parsed, islice(lines(path, encoding), OBJECTS))
        keys = list(dict.fromkeys(key for each in objects for key in each or ()))
        if not keys:
            raise BadInput(f"{path}, line 1: no JSON object with keys. Write one on each line.")
        return Source(path, "json", keys, encoding=encoding)
    if separator is None and re.match(r"\s*\[\s*(\{|$)", some[0]):
        raise BadInput(f"{path}: the file is a JSON array. Write JSON lines: one object per line.")
    if separator is None and header is None:
        foreign.refuse_lists(path, some)
    separator = separator or _separator(path, some)
    rows = [[field.strip(" ") for field in row] for row in _cut(some, separator)]
    header = roles.is_header(rows) if header is None else header
    if header is None:
        raise BadInput(
            f"{path}: does line 1, {some[0][:60].strip()!r}, name the columns? Give `header=true` "
            "or `header=false`."
        )
    return Source(path, "text", rows[0], header, separator, encoding, rows)


def located(path: str | Path) -> Path:
    """Return the path of an existing file or folder, `~` expanded.

    Raises:
      BadInput: nothing is there, or it can be read only once.
    """
    try:
        found = files.located(path)
        kind = found.stat().st_mode
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise BadInput(
            f"{path}: a pipe or a device can be read once only, if it ends. Write it to a file, "
            "and give that."
        )
    return found


@contextlib.contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """Open the bytes of a file. Raises BadInput if they cannot be read."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}). Check the path.") from error


def _head(path: Path, size: int = 4) -> bytes:
    with opened(path) as file:
        return file.read(size)


def lines(path: Path, encoding: str | None = None) -> Iterator[str]:
    """Yield the lines of a text file, each with its `\\n`, for any compression and line break.

    Bytes that are not UTF-8 become surrogates, so that an error can name their line.

    Args:
      encoding: None: by the byte order mark, UTF-8 without one.

    Raises:
      BadInput: the file cannot be opened, decompressed or decoded, or is empty.
    """
    if encoding is not None and not isinstance(encoding, str):
        raise BadInput(f"encoding takes a name, like utf-8 or latin-1, not {encoding!r}.")
    if _head(path) == _ZST:  # polars decompresses it
        if encoding not in (None, "utf-8"):
            raise BadInput(f"{path}: {_ZST_LIMITS}")
        try:
            for batch in pl.scan_lines(path, name="line").collect_batches(maintain_order=True):
                if batch["line"].str.contains("\r.").any():
                    raise BadInput(f"{path}: {_ZST_LIMITS}")
                yield from (line + "\n" for line in batch["line"])
        except _DAMAGE as error:
            raise BadInput(f"{path}: cannot be unpacked ({error}). {_ZST_LIMITS}") from error
        return
    try:
        with _opened(path) as file:
            start = file.read(4)
        if not start:
            raise BadInput(f"{path}: the file is empty. Was it downloaded or written completely?")
        chosen = encoding or next((n for mark, n in _MARKS if start.startswith(mark)), "utf-8")
        "".encode(chosen)  # LookupError, before a file is open
        errors = "surrogateescape" if chosen.startswith("utf-8") else "strict"
        with io.TextIOWrapper(_opened(path), chosen, errors) as text:
            yield from text
    except LookupError:
        raise BadInput(f"No encoding is called {encoding!r}; give utf-8 or latin-1.") from None
    except UnicodeError as error:
        raise BadInput(
            f"{path}: cannot be decoded ({error}). Give another `encoding`, or save it as utf-8."
        ) from error
    except _DAMAGE as error:
        raise BadInput(f"{path}: cannot be unpacked ({error}). Is it complete?") from error


def _opened(path: Path) -> Any:
    """Open the decompressed bytes of a file: plain, gz, bz2, xz, or the only member of a zip."""
    start = _head(path)
    if start != b"PK\x03\x04":
        opener = next((o for mark, o in _PACKED if start.startswith(mark)), open)
        return opener(path, "rb")
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if not re.search(r"/$|^__MACOSX/", n)]
        foreign.refuse(path, b"", names)
        if len(names) != 1:
            some = ", ".join(names[:5]) + ", …" * (len(names) > 5)
            raise BadInput(f"{path}: {len(names)} files in it ({some}). Unpack it and give one.")
        return archive.open(names[0])


def plain(source: Source) -> bool:
    """Return whether polars can read a file as it is.

    It can if the text is UTF-8, its lines end in `\\n`, one byte separates its fields, and it
    is plain or compressed as gz or zst.
    """
    start = _head(source.path)
    if len(source.separator.encode()) > 1 or source.encoding not in (None, "utf-8"):
        return False
    if start == _ZST or start.startswith((b"BZh", b"\xfd7zX", b"PK\x03\x04")):
        return start == _ZST
    try:
        with _opened(source.path) as file:
            start = file.read(1 << 16)
    except _DAMAGE:
        return False  # `lines` says what is wrong
    utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return not utf16 and (b"\n" in start or b"\r" not in start)


def records(source: Source) -> Iterator[Record]:
    """Yield the non-blank lines of a text, or the objects of JSON lines; fields are text.

    Raises:
      BadInput: a quote that is not closed.
    """
    if source.layout == "json":
        for number, line in enumerate(lines(source.path, source.encoding), 1):
            if line.strip():
                found = parsed(line)
                values = None if found is None else [found.get(name) for name in source.names]
                yield number, values and list(map(_spelled, values)), None if values else "not JSON"
        return
    text, mark = lines(source.path, source.encoding), source.separator
    if source.quoting:
        reader: Any = csv.reader(text, delimiter=mark, skipinitialspace=True, strict=True)
    else:
        reader = (_split(line, mark) for line in text)
    number, ahead, width = 0, source.header, len(source.names)
    while True:
        first, fault, row = number + 1, None, None
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error):
                raise BadInput(
                    f"{source.path}, line {first}: a double quote is not closed, so nothing "
                    "after it can be read. Close or remove it."
                ) from error
            fault = f"a double quote inside a field is not doubled ({error})"
        number = reader.line_num if source.quoting else first
        if row == [] or ahead:
            ahead = ahead and row == []
            continue
        if row and len(row) != width:
            fault = f"{len(row)} fields where {width} are expected (separator {mark!r})"
        yield first, None if fault else row, fault


def _split(line: str, mark: str) -> list[str]:
    line = line.rstrip("\n")
    return line.split(mark) if line else []


def parsed(line: str) -> dict | None:
    """Parse a line of JSON lines; None if it is not an object."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _spelled(value: Any) -> Any:
    """Return a value of JSON as text, whole numbers without a point; lists and objects as is."""
    if value is None or isinstance(value, str | list | dict):
        return value
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value)


def unfit(fields: Sequence[Any]) -> list[int]:
    """Find the fields that are not decoded text: undecoded bytes, lists and objects of JSON."""
    nested = any(isinstance(field, list | dict) for field in fields)
    if not nested and columns.is_text("".join(filter(None, fields))):
        return []
    return [
        at
        for at, field in enumerate(fields)
        if field is not None and (not isinstance(field, str) or not columns.is_text(field))
    ]


def _cut(some: Sequence[str], separator: str) -> list[list[str]]:
    """Divide lines of text into fields."""
    if separator in (",", ";"):
        try:
            return [row for row in csv.reader(some, delimiter=separator) if row]
        except csv.Error:
            pass
    return [_split(line, separator) for line in some]


def _separator(path: Path, some: Sequence[str]) -> str:
    """Infer the separator: it gives most lines as many fields as the first, at least two."""
    share: dict[str, float] = {}
    for mark in ("::", "\t", ",", ";", "|", " "):
        counts = [len(row) for row in _cut(some, mark)]
        fits = sum(count == counts[0] for count in counts) / len(counts)
        if counts[0] > 1 and fits >= 0.5:
            share[mark] = fits
    if len(share) > 1:
        share.pop(" ", None)
    best = [mark for mark in share if share[mark] == max(share.values())]
    if "::" in best or len(best) == 1:
        return best[0]
    if not best and not re.search(r"[,;|\t]", some[0]):
        return ","  # one column
    raise BadInput(
        f"{path}, line 1: {some[0].rstrip()[:60]!r} does not show what separates its fields"
        f"{': ' + ' or '.join(map(repr, best)) if best else ''}. Give `separator`."
    )
