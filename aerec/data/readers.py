"""Ratings from files: delimited text, JSON lines or parquet, compressed or not.

    read("ratings.parquet")                                      # columns by their usual names
    read("log.csv", user="uid", item="sid", time="ts", rating="")  # implicit
    read("ml-1m/ratings.dat", "ml-1m")

No line is dropped and no value is altered silently: see `read`. `formats.FORMATS` has the formats.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from aerec.data import columns, formats, texts
from aerec.data import titles as titles_of
from aerec.data.ratings import Log, Ratings, assemble
from aerec.data.roles import Column
from aerec.data.scan import Policy, scan
from aerec.data.summary import summary
from aerec.errors import BadInput


def read(
    path: str | Path,
    format: str | None = None,
    *,
    user: Column | None = None,
    item: Column | None = None,
    rating: Column | None = None,
    time: Column | None = None,
    separator: str | None = None,
    header: bool | None = None,
    scale: tuple[float, float] | None = None,
    encoding: str | None = None,
    on_bad_line: str = "error",
    log: Log = print,
) -> Ratings:
    """Read a file of ratings, or the folder that holds it.

    Files may be compressed (gz, bz2, xz, zst, or a zip of one file). Ids keep their spelling,
    without surrounding blanks. A column of whole numbers is read as int64, any other as text, in
    which `07` is not `7`. Times are seconds since 1970 (milli-, micro- and nanoseconds are
    recognised) or ISO dates, in UTC unless they have an offset. If a (user, item) pair is repeated,
    the rating with the latest time is kept, and the count is logged. Blank lines are ignored.

    Args:
      path: a file, or a folder that holds a file of the format.
      format: one of `formats.FORMATS`; None: recognised by name and content.
      user, item, rating, time: names of columns, or positions from 0 if there is no header; None:
        found by their usual names; "": there is none. Without a rating column each line is a click.
      separator: between fields; None: inferred from the first lines.
      header: whether the first line names the columns; None: inferred from the first lines.
      scale: lowest and highest rating; a rating outside is malformed. None: those of the format or
        the file.
      encoding: of a text file; None: by its byte order mark, UTF-8 without one.
      on_bad_line: "error", or "skip": malformed lines are left out, and counted in the log.
      log: called with a summary of the ratings, and with notes.

    Returns:
      The ratings, in file order.

    Raises:
      BadInput: a malformed line (number of fields, not a number, NaN, infinite, off the scale, an
        empty id), with file and line; or a layout that cannot be inferred, with the setting to
        give.
    """
    layout = formats.lay_out(
        path, format, user=user, item=item, rating=rating, time=time, separator=separator,
        header=header, scale=scale, encoding=encoding, log=log,
    )  # fmt: skip
    policy, which, spec = Policy(on_bad_line), layout.columns, layout.format
    by_column = scan(layout.sources, layout.kinds, bounds=layout.bounds, policy=policy)
    part = {role: by_column[column] for role, column in which.items()}
    policy.report(log)
    titles = titles_of.find(layout.sources[0].path, spec.titles)
    ratings = assemble(
        user=part["user"], item=part["item"], value=part.get("rating"), time=part.get("time"),
        titles=titles_of.read(titles, part["item"][1]) if titles else None,
        scale=spec.scale, name=layout.name, source=str(path), click=spec.click, log=log,
    )  # fmt: skip
    log(summary(ratings))
    return ratings


def read_columns(
    path: str | Path,
    kinds: Mapping[str, str],
    *,
    optional: Collection[str] = (),
    bounds: Mapping[str, tuple[float, float]] | None = None,
    encoding: str | None = None,
    on_bad_line: str | None = None,
    log: Log = print,
) -> dict[str, np.ndarray]:
    """Read columns of text with a header, JSON lines or parquet.

        read_columns("train.csv", {"user": "id", "item": "id", "rating": "number"})

    Args:
      path: the file.
      kinds: name of a column -> "id", "number" or "time".
      optional: names of columns that the file may lack.
      bounds: column -> lowest and highest number; a number outside is malformed.
      encoding, log: as in `read`.
      on_bad_line: likewise; None: an error that offers no choice.

    Returns:
      column -> [R], in file order: ids int64, or str if one is not a whole number; numbers float32,
      finite; times int64, seconds.

    Raises:
      BadInput: as in `read`; or a column that is missing.
    """
    if wrong := set(kinds.values()) - set(columns.KINDS):
        raise ValueError(f"a column's kind is one of {columns.KINDS}, not {wrong}")
    policy = Policy(on_bad_line)
    source = texts.recognise(texts.located(path), separator=None, header=True, encoding=encoding)
    there = {c: kind for c, kind in kinds.items() if c not in optional or c in source.names}
    for column in there:
        if list(source.names).count(column) != 1:
            raise BadInput(
                f"{path}, line 1: no single column {column!r}; there are {', '.join(source.names)}."
            )
    found = scan([source], there, bounds=bounds or {}, policy=policy)
    policy.report(log)
    for column, kind in there.items():
        if kind == "id":
            found[column] = found[column][1][found[column][0]]
        elif kind == "time":
            found[column] = columns.seconds(found[column], log)
    return found
