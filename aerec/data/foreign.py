"""Files that are not read, recognised so that an error can name them and say what to do."""

import re
from collections.abc import Sequence
from pathlib import Path

from aerec.errors import BadInput

_MATRIX = "Load it, and give `aerec.ratings` the matrix or a tuple of arrays."
_FRAME = "Load it as a data frame, and give that to `aerec.ratings`, or save it as csv or parquet."
_UNPACK = "Unpack it, and give one file."
_STARTS = {  # first bytes -> what it is, what to do
    b"\x93NUMPY": ("a NumPy array", _MATRIX),
    b"%%MatrixMarket": ("a Matrix Market file", _MATRIX),
    b"\x89HDF": ("an HDF5 file", _FRAME),
    b"SQLite format 3\0": ("an SQLite database", _FRAME),
    b"ARROW1\0\0": ("an Arrow or Feather file", _FRAME),
    b"@relation": ("an ARFF file", _FRAME),
    **{bytes([0x80, version]): ("a pickle of Python", _FRAME) for version in range(2, 6)},
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", _FRAME),
    b"7z\xbc\xaf": ("a 7z archive", _UNPACK),
    b"Rar!\x1a": ("a rar archive", _UNPACK),
    b"<!DOCTYPE": ("a web page", "Was the download refused? Download the file again."),
    b"<html": ("a web page", "Was the download refused? Download the file again."),
    b"version https://git-lfs": ("a pointer of Git LFS", "Get its content by `git lfs pull`."),
}
_MEMBERS = {"[Content_Types].xml": ("an Excel workbook", _FRAME), "shape.npy": ("an npz", _MATRIX)}
_LISTS = "a user and then its items on each line, as in the files of LightGCN"
_PAIRS = """awk '{for (i = 2; i <= NF; i++) print $1 "," $i}'"""


def refuse(path: Path, start: bytes, members: Sequence[str] = ()) -> None:
    """Raise BadInput if the first bytes of a file, or the members of a zip, are of no text."""
    found = [what for head, what in _STARTS.items() if start.startswith(head)]
    found += [_MEMBERS[name] for name in members if name in _MEMBERS]
    if found:
        name, advice = found[0]
        raise BadInput(f"{path}: this is {name}, which is not read. {advice}")


def is_lists(rows: Sequence[str]) -> bool:
    """Return whether lines are lists of whole numbers of several lengths, between blanks."""
    widths = {len(row.split()) for row in rows if row.strip()}
    numbers = all(re.fullmatch(r"\d+( \d+)*\s*", row) for row in rows if row.strip())
    return numbers and len(widths) > 1


def refuse_lists(path: Path, rows: Sequence[str]) -> None:
    """Raise BadInput if each line of a file lists a user and its items."""
    if is_lists(rows):
        raise BadInput(
            f"{path}: {_LISTS}. Write a pair on each line: `{_PAIRS} {path.name} > pairs.csv`, and "
            "read that with `user=0`, `item=1` and no header. A folder of train.txt and test.txt "
            "is read by the protocol `files`."
        )
