"""Bytes of a text file: unpacked, in UTF-8, any line break, a block of whole lines at a time."""

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import polars as pl

from aerec.errors import BadInput

BLOCK = 1 << 24  # bytes read at a time: memory follows the result, not the file
LONGEST = 1 << 28  # bytes of one block whose quotes do not close
_MARKS = (  # byte order marks; that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


class Block(NamedTuple):
    """Whole lines in UTF-8, each with a line break `\\n`."""

    data: bytes
    line: int  # number of the first, from 1


def blocks(path: Path, encoding: str | None = None, quote: bool = True) -> Iterator[Block]:
    """Read a text file in blocks of whole lines.

    Args:
      encoding: of the text; None: by its byte order mark, UTF-8 where it has none.
      quote: a line break between double quotes does not end a line.

    Raises:
      BadInput: the file cannot be opened, unpacked or decoded, is empty, or a quote never closes.
    """
    with _opened(path) as file:
        head = _read(path, file)
        if not head:
            raise BadInput(f"{path}: the file is empty. Was it downloaded or written completely?")
        mark = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")
        try:
            decoder = codecs.getincrementaldecoder(encoding or mark)()
        except LookupError:
            raise BadInput(f"No encoding is called {encoding!r}: give utf-8, latin-1.") from None
        if plain := codecs.lookup(encoding or mark).name in ("utf-8", "utf-8-sig"):
            head = head.removeprefix(codecs.BOM_UTF8)  # invalid bytes are named with their line
        rest, line, old_mac = b"", 1, None
        while head or rest:
            more = bool(head)
            data = head if plain else _decoded(path, decoder, head, line)
            head = _read(path, file) if more else b""
            if old_mac is None:
                old_mac = b"\r" in data and b"\n" not in data
            rest += data.replace(b"\r", b"\n") if old_mac else data
            if more:
                cut = _end_of_lines(rest, quote)
            else:
                rest += b"" if rest.endswith(b"\n") else b"\n"
                cut = len(rest)
            if not cut and len(rest) > LONGEST:
                raise BadInput(
                    f"{path}, line {line}: no end of a line in {len(rest):,} bytes. Is it a text "
                    "file, and is each double quote closed?"
                )
            whole, rest = rest[:cut], rest[cut:]
            if whole:
                yield Block(whole.replace(b"\r\n", b"\n") if b"\r" in whole else whole, line)
                line += whole.count(b"\n")


def _end_of_lines(data: bytes, quote: bool) -> int:
    """The place after the last line break that is not between quotes."""
    cut = data.rfind(b"\n") + 1
    inside = quote and data.count(b'"', 0, cut) % 2
    while cut and inside:
        before = data.rfind(b"\n", 0, cut - 1) + 1
        inside ^= data.count(b'"', before, cut) % 2
        cut = before
    return cut


def _read(path: Path, file: IO[bytes]) -> bytes:
    try:
        return file.read(BLOCK)
    except _DAMAGE as error:
        raise BadInput(f"{path}: cannot be unpacked ({error}). Is the file complete?") from error


def _decoded(path: Path, decoder: Any, data: bytes, line: int) -> bytes:
    try:
        return decoder.decode(data, final=not data).encode()
    except UnicodeError as error:
        raise BadInput(
            f"{path}, from line {line} on: cannot be decoded ({error}). Give another `encoding`."
        ) from error


def magic(path: Path) -> bytes:
    """The first four bytes of a file. Raises `BadInput` where it cannot be opened."""
    try:
        with open(path, "rb") as file:
            return file.read(4)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}). Check the path.") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The unpacked bytes of a file: as it is, gz, bz2, xz, zst, or the one member of a zip."""
    start = magic(path)
    with contextlib.ExitStack() as stack:
        try:
            if start == b"PK\x03\x04":
                archive = stack.enter_context(zipfile.ZipFile(path))
                file: Any = archive.open(_member(path, archive.namelist()))
            else:
                file = next((o for m, o in _PACKED if start.startswith(m)), io.FileIO)(path)
        except _DAMAGE as error:
            raise BadInput(f"{path}: cannot be unpacked ({error}). Is it complete?") from error
        yield stack.enter_context(file)


def _member(path: Path, names: list[str]) -> str:
    names = [n for n in names if not n.endswith("/") and not n.startswith("__MACOSX/")]
    if len(names) == 1:
        return names[0]
    found = f"holds {', '.join(names[:5])}{', …' * (len(names) > 5)}" if names else "is empty"
    raise BadInput(f"{path}: the archive {found}. Unpack it and give the path of one file.")


class _Zst(io.BytesIO):
    """The lines of a file packed by zstd, which polars unpacks."""

    def __init__(self, path: Path):
        super().__init__()
        self.batches = pl.scan_lines(path).collect_batches(maintain_order=True)

    def read(self, size: int | None = -1) -> bytes:
        try:
            batch = next(self.batches, None)
        except pl.exceptions.PolarsError as error:
            raise OSError(error) from error
        return b"" if batch is None else "\n".join([*batch["line"], ""]).encode()


_PACKED: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zX", lzma.open), (b"(\xb5/\xfd", _Zst),
)  # fmt: skip
