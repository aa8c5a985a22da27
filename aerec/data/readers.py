"""Text formats of ratings -> `Ratings`: indices, values, times, and the vocabularies of raw ids.

    read("ml-1m/ratings.dat", "ml-1m")
    read("log.csv", "delimited", columns={"user": "uid", "item": "sid", "time": "ts"})   # implicit

Formats differ only in a few facts, which stand in `FORMATS`; the Netflix Prize alone needs a loop
of its own. No line is dropped and no value is altered without a word: see `read`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aerec.data import columns as columns_of
from aerec.data import fields
from aerec.data import titles as titles_of
from aerec.data.columns import Column, Ids, Log, read_columns
from aerec.data.fields import Block, Lines, Policy
from aerec.errors import BadInput, nearest

__all__ = ["FORMATS", "BadInput", "Format", "Ratings", "assemble", "read", "read_columns"]


class Ratings(NamedTuple):
    """One dataset in memory, on the host: R ratings in file order, U users, N items.

    The vocabularies are sorted by raw id and hold exactly the ids that occur in the ratings."""

    user: np.ndarray  # [R] int32, index into user_ids
    item: np.ndarray  # [R] int32, index into item_ids
    value: np.ndarray  # [R] float32; 1 for implicit data
    time: np.ndarray | None  # [R] int64, seconds or an order per user; None if there is none
    user_ids: np.ndarray  # [U] int64, or fixed-width str if an id is not a whole number
    item_ids: np.ndarray  # [N] likewise
    titles: np.ndarray | None  # [N] str, '' unknown
    genres: np.ndarray | None  # [N] str, '|' between genres, '' unknown
    scale: tuple[float, float] | None  # lowest and highest rating; None for implicit data
    name: str


@dataclass(frozen=True)
class Format:
    """The facts of one text format."""

    about: str
    files: tuple[str, ...]  # looked for when the path is a folder
    columns: Mapping[str, Column]  # user, item, rating, time -> column
    separator: str = "\t"
    header: bool = False
    width: int | None = None  # per line; None: as many as on the first
    optional: frozenset[str] = frozenset()  # roles that a file may lack
    scale: tuple[float, float] | None = None  # None: the lowest and highest rating of the file
    titles: tuple[str, ...] = ()  # files beside the ratings
    typed: bool = False  # header fields read name:type
    many: bool = False  # a folder of files makes one dataset


_BY_POSITION = {"user": 0, "item": 1, "rating": 2, "time": 3}
FORMATS: dict[str, Format] = {
    "ml-100k": Format("MovieLens 100K, u.data", ("u.data",), _BY_POSITION, width=4,
                      scale=(1, 5), titles=("u.item",)),
    "ml-1m": Format("MovieLens 1M, ratings.dat", ("ratings.dat",), _BY_POSITION, "::", width=4,
                    scale=(1, 5), titles=("movies.dat",)),
    "ml-10m": Format("MovieLens 10M, ratings.dat", ("ratings.dat",), _BY_POSITION, "::", width=4,
                     scale=(0.5, 5), titles=("movies.dat",)),
    "movielens-csv": Format(
        "MovieLens 20M, 25M, 32M and latest, ratings.csv", ("ratings.csv",),
        {"user": "userId", "item": "movieId", "rating": "rating", "time": "timestamp"}, ",", True,
        scale=(0.5, 5), titles=("movies.csv",)),
    "netflix": Format(
        "Netflix Prize, mv_*.txt or combined_data_*.txt",
        ("mv_*.txt", "training_set/mv_*.txt", "combined_data_*.txt"), {}, ",", scale=(1, 5),
        titles=("movie_titles.txt", "../movie_titles.txt", "movie_titles.csv"), many=True),
    "recbole": Format(
        "RecBole atomic file, .inter", ("*.inter",),
        {"user": "user_id", "item": "item_id", "rating": "rating", "time": "timestamp"},
        header=True, optional=frozenset({"rating", "time"}), titles=("{stem}.item",), typed=True),
    "deeprec": Format("NVIDIA DeepRecommender, user, item, rating between tabs", ("*.txt",),
                      {"user": 0, "item": 1, "rating": 2}, width=3),
    "delimited": Format("any delimited text, columns as given", ("*.csv", "*.tsv", "*.txt"), {},
                        ",", True),
}  # fmt: skip


def read(
    path: str | Path,
    format: str,
    *,
    columns: Mapping[str, Column] | None = None,
    separator: str | None = None,
    header: bool | None = None,
    scale: tuple[float, float] | None = None,
    on_bad_line: str = "error",
    log: Log = print,
) -> Ratings:
    """Reads a file, or the folder that holds it, in one of `FORMATS`.

    `columns` maps the roles `user`, `item`, `rating`, `time` to header names, or to positions from
    0 where `header` is false; without a rating the data are implicit. `columns`, `separator` and
    `header` say what `delimited` must know (default: a comma, a header) and override the other
    formats; `scale` bounds the ratings. Ids stay as they are spelled: a column of whole numbers is
    int64, any other is text, in which `07` is not `7`.

    Where a (user, item) pair occurs more than once the last by time stays (in file order where
    times tie or are missing) and the count is logged. A malformed line (field count, not a number,
    NaN, infinite, off the scale, empty id) raises `BadInput` with file and line; with
    `on_bad_line="skip"` such lines are left out and counted in the log. Blank lines are ignored."""
    spec = FORMATS.get(format)
    if spec is None:
        raise BadInput(f"No format {format!r}. {nearest(format, FORMATS)}")
    spec = replace(
        spec,
        columns=spec.columns if columns is None else columns,
        optional=spec.optional if columns is None else frozenset(),
        separator=spec.separator if separator is None else separator,
        header=spec.header if header is None else header,
        scale=spec.scale if scale is None else scale,
    )
    policy, files = Policy(on_bad_line), _find(Path(path), spec)
    if format == "netflix":
        if columns is not None or separator is not None or header is not None:
            raise BadInput("The netflix format is fixed: leave out columns, separator and header.")
        found = _netflix(files, spec.scale, policy)
    else:
        roles = _roles(files[0], spec)
        kinds: dict[Column, str] = {
            column: {"rating": "number", "time": "time"}.get(role, "id")
            for role, column in roles.items()
        }
        bounds = {roles["rating"]: spec.scale} if spec.scale and "rating" in roles else {}
        by_column = columns_of.scan(
            files[0], spec.separator, kinds, header=spec.header, width=spec.width, bounds=bounds,
            policy=policy,
        )  # fmt: skip
        found = {role: by_column[column] for role, column in roles.items()}
    policy.report(log)
    titles = titles_of.find(files[0], spec.titles)
    return assemble(
        user=found["user"], item=found["item"], value=found.get("rating"), time=found.get("time"),
        titles=titles_of.read(titles, found["item"][1]) if titles else None,
        scale=spec.scale, name=format, source=str(path), log=log,
    )  # fmt: skip


def assemble(
    *,
    user: tuple[np.ndarray, np.ndarray],
    item: tuple[np.ndarray, np.ndarray],
    value: np.ndarray | None,
    time: np.ndarray | None,
    titles: tuple[np.ndarray, np.ndarray] | None,
    scale: tuple[float, float] | None,
    name: str,
    source: str,
    log: Log = print,
) -> Ratings:
    """`Ratings` from `(code [R], ids)` of users and items; repeated pairs dropped as `read` says.

    `value` None: implicit data, all 1. `titles`: (titles [N], genres [N]). Each id must occur."""
    (users, user_ids), (items, item_ids) = user, item
    if not len(users):
        raise BadInput(f"{source}: no rating in it. Is it the right file, complete and unpacked?")
    kept = _last_of_pairs(users, items, len(item_ids), time)
    if kept is not None:
        count = int((~kept).sum())
        log(f"{source}: {count:,} repeated (user, item) ratings; the last by time stays.")
        users, items = users[kept], items[kept]
        value, time = (None if part is None else part[kept] for part in (value, time))
    if value is None:
        value, scale = np.ones(len(users), np.float32), None
    elif scale is None:
        scale = (float(value.min()), float(value.max()))
    else:
        scale = (float(scale[0]), float(scale[1]))
    title, genres = titles or (None, None)
    return Ratings(users, items, value, time, user_ids, item_ids, title, genres, scale, name)


def _last_of_pairs(users, items, num_items: int, time) -> np.ndarray | None:
    """[R] bool, false where a later rating of the same pair replaces one; None: no pair repeats."""
    pair = users.astype(np.int64) * num_items + items
    ordered = np.sort(pair)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(repeated):
        return None
    place = np.searchsorted(repeated, pair)
    rows = np.flatnonzero(repeated[np.minimum(place, len(repeated) - 1)] == pair)
    moment = rows if time is None else time[rows]
    order = np.lexsort((rows, moment, pair[rows]))
    last = np.append(np.diff(pair[rows][order]) != 0, True)
    kept = np.ones(len(pair), bool)
    kept[rows[order[~last]]] = False
    return kept


def _netflix(files: list[Path], scale, policy: Policy) -> dict:
    """`movie:` lines, each above its `user,rating,YYYY-MM-DD` lines; one file or thousands."""
    users, items, values, times = Ids(), Ids(), [], []
    for path in files:
        movie = -1  # none yet: a file never goes on with the movie of another
        for text, start, end, number in fields.lines(path):
            is_head = text[end - 1] == ord(":")
            heads = Block(Lines(text, start[is_head], end[is_head], number[is_head]))
            ids, whole = fields.integers(text, heads.lines.start, heads.lines.end - 1)
            heads.require(whole & (ids >= 0), lambda i: "a movie's line must read 'number:'")
            heads.settle(path, policy)
            above = np.cumsum(is_head)[~is_head]  # how many heads stand above a rating
            item = np.append(movie, np.where(heads.good, ids, -1))[above]
            movie = ids[-1] if len(ids) and heads.good[-1] else -1 if len(ids) else movie

            block = Block(Lines(text, start[~is_head], end[~is_head], number[~is_head]))
            block.require(item >= 0, lambda i: "a rating below no 'number:' line of a movie")
            starts, ends = fields.cut(block, ",", 3)
            users.parse(block, "user", starts[:, 0], ends[:, 0])
            value = fields.numbers(block, "rating", starts[:, 1], ends[:, 1])
            fields.check_scale(block, value, scale)
            time = fields.dates(block, "date", starts[:, 2], ends[:, 2])
            block.settle(path, policy)
            users.keep(block.good)
            items.add(item[block.good])
            values.append(value[block.good])
            times.append(time[block.good])
    return {
        "user": users.finish(), "item": items.finish(),
        "rating": np.concatenate(values), "time": np.concatenate(times),
    }  # fmt: skip


def _roles(path: Path, spec: Format) -> dict[str, Column]:
    """role -> column as the file spells it; optional roles only where the file has them."""
    unknown = set(spec.columns) - {"user", "item", "rating", "time"}
    if unknown or not {"user", "item"} <= set(spec.columns):
        raise BadInput(
            "columns must map user and item, may map rating and time, and nothing else; got "
            f"{', '.join(map(str, spec.columns)) or 'nothing'}."
        )
    roles: dict[str, Column] = dict(spec.columns)
    if not spec.header:
        for role, column in roles.items():
            if not str(column).isdecimal():
                raise BadInput(
                    f"Without a header a column is a number from 0; {role} is {column!r}."
                )
            roles[role] = int(column)
    elif spec.typed:
        roles = {}
        typed = dict(name.partition(":")[::2] for name in fields.header_of(path, spec.separator))
        for role, name in spec.columns.items():
            kind, right = typed.get(str(name), ""), "token" if role in ("user", "item") else "float"
            if str(name) not in typed and role in spec.optional:
                continue
            if kind != right:
                raise BadInput(
                    f"{path}, line 1: the header of a RecBole file must hold {name}:{right} for "
                    f"the {role}; it reads {', '.join(':'.join(pair) for pair in typed.items())}."
                )
            roles[role] = f"{name}:{kind}"
    if len(set(roles.values())) < len(roles):
        raise BadInput(f"One column cannot play two roles: {roles}.")
    return roles


def _find(path: Path, spec: Format) -> list[Path]:
    """The files at `path`: itself, or what the format looks for in the folder (Netflix: many)."""
    if not path.is_dir():
        return [path]
    for pattern in spec.files:
        files = sorted(path.glob(pattern))
        if len(files) > 1 and not spec.many:
            raise BadInput(
                f"{path}: {len(files)} files match {pattern}. Give the path of one file."
            )
        if files:
            return files
    raise BadInput(f"{path}: no {' or '.join(spec.files)} in this folder. Give the file's path.")
