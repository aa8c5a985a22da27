"""Formats of files of ratings: where the columns of a dataset are.

Formats differ in a few facts only, which `FORMATS` lists.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from aerec.data import roles, texts
from aerec.data.ratings import Click, Log, require_scale
from aerec.data.roles import Column
from aerec.data.texts import Source
from aerec.errors import BadInput, nearest


@dataclass(frozen=True)
class Format:
    """The facts of one format."""

    about: str
    files: tuple[str, ...]  # patterns of file names in a folder
    columns: Mapping[str, Column]  # role -> column; roles not listed: by usual names
    separator: str | None = "\t"  # None: inferred from the first lines
    header: bool | None = False  # None: inferred from the first lines
    width: int | None = None  # fields per line; None: as on the first line
    optional: frozenset[str] = frozenset()  # roles that a file may lack
    scale: tuple[float, float] | None = None  # None: lowest and highest rating of the file
    titles: tuple[str, ...] = ()  # names of title files in the folder of the ratings
    click: Click | None = None  # as in `Ratings`
    typed: bool = False  # header fields have the form name:type
    many: bool = False  # all files of a folder are one dataset


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
    "anime": Format(
        "MyAnimeList, anime_ratings.dat", ("anime_ratings.dat",),
        {"user": "User_ID", "item": "Anime_ID", "rating": "Feedback", "time": ""}, header=True,
        scale=(1, 10), titles=("anime_info.dat",), click=8.0),
    "steam": Format(
        "Steam, game_purchase.dat", ("game_purchase.dat",),
        {"user": "User_ID", "item": "Game_ID", "rating": "", "time": ""}, header=True,
        titles=("item_info.dat",)),
    "lastfm": Format(
        "Last.fm of HetRec 2011, user_artists.dat", ("user_artists.dat",),
        {"user": "userID", "item": "artistID", "rating": "weight", "time": ""}, header=True,
        titles=("artists.dat",), click="all"),
    "recbole": Format(
        "RecBole atomic file, .inter", ("*.inter",),
        {"user": "user_id", "item": "item_id", "rating": "rating", "time": "timestamp"},
        header=True, optional=frozenset({"rating", "time"}), titles=("{stem}.item",), typed=True),
    "deeprec": Format("NVIDIA DeepRecommender, user, item, rating between tabs", ("*.txt",),
                      {"user": 0, "item": 1, "rating": 2, "time": ""}, width=3),
    "delimited": Format("any text, JSON lines or parquet, columns as given or by usual names",
                        ("*.csv", "*.tsv", "*.txt", "*.parquet", "*.jsonl"), {}, None, None),
}  # fmt: skip


class Layout(NamedTuple):
    """The files of a dataset, and where its columns are.

    Attributes:
      sources: the files, all with these columns.
      columns: role -> column.
      format: the facts of their format.
      name: of the dataset.
    """

    sources: list[Source]
    columns: dict[str, Any]
    format: Format
    name: str

    @property
    def kinds(self) -> dict[Any, str]:
        """Column -> "id", "number" or "time"."""
        return {column: roles.KINDS[role] for role, column in self.columns.items()}

    @property
    def bounds(self) -> dict[Any, tuple[float, float] | None]:
        """The column of ratings -> the scale."""
        return {self.columns.get("rating"): self.format.scale}


def lay_out(
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
    log: Log = print,
) -> Layout:
    """Find the files of a dataset and their columns; arguments and errors as of `readers.read`."""
    path = texts.located(path)
    require_scale(scale)
    given = {"user": user, "item": item, "rating": rating, "time": time}
    named = {role: column for role, column in given.items() if column is not None}
    fixed = bool(named) or separator is not None or header is not None
    found = format or ("delimited" if fixed else _recognised(path))
    if found not in FORMATS:
        raise BadInput(f"No format is called {found!r}. {nearest(found, FORMATS)}")
    spec = replace(
        FORMATS[found],
        columns={**FORMATS[found].columns, **named},
        optional=FORMATS[found].optional - set(named),
        separator=FORMATS[found].separator if separator is None else separator,
        header=FORMATS[found].header if header is None else header,
        scale=FORMATS[found].scale if scale is None else scale,
    )
    files = _find(path, spec)
    if found == "netflix":
        if fixed:
            raise BadInput("The netflix format is fixed: leave out columns, separator and header.")
        several = [Source(file, "netflix", roles.ROLES, encoding=encoding) for file in files]
        which: dict[str, Any] = {role: role for role in roles.ROLES}
    else:
        source = _laid_out(files[0], spec, encoding)
        which = _roles(source, spec)
        several = [source]
        if rating is not None or "rating" in which or FORMATS[found].columns.get("rating") == "":
            pass
        elif source.layout == "json":
            log(
                f"{path}: no key of ratings in its first {texts.OBJECTS:,} lines, so each line is "
                "a click. If there is one, name it: `rating=`."
            )
        elif source.header and (note := roles.unread(source.names, which)):
            log(f"{path}: {note}")
    return Layout(several, which, spec, format or path.name)


def _laid_out(path: Path, spec: Format, encoding: str | None) -> Source:
    """Lay out a file as its format states; infer what the format leaves open."""
    given, header = [str(column) for column in spec.columns.values() if column != ""], spec.header
    if header is None and given:
        header = not all(column.isdecimal() for column in given)
    source = texts.recognise(path, separator=spec.separator, header=header, encoding=encoding)
    if spec.width and source.layout == "text":
        source = replace(source, names=tuple(map(str, range(spec.width))))
    return source


def _roles(source: Source, spec: Format) -> dict[str, Any]:
    """Return role -> column in the file's spelling; optional roles only if the file has them."""
    given: dict[str, Any] = dict(spec.columns)
    text = source.layout == "text"
    where = f"{source.path}, line 1" if text else str(source.path)
    if spec.typed:
        typed = dict(name.partition(":")[::2] for name in source.names)
        for role, name in spec.columns.items():
            kind, right = typed.get(str(name), ""), "token" if role in ("user", "item") else "float"
            if str(name) not in typed and role in spec.optional:
                given[role] = ""
            elif kind != right:
                raise BadInput(
                    f"{where}: the header of a RecBole file must hold {name}:{right} for the "
                    f"{role}; it reads {', '.join(source.names)}."
                )
            else:
                given[role] = f"{name}:{kind}"
    if not source.header and not given and roles.movielens(source.rows):
        given = _BY_POSITION
    return roles.find(where, source.names, given, header=source.header, text=text)


def _recognised(path: Path) -> str:
    """Recognise the format of a file or folder by names and first lines; else "delimited"."""
    found = {}
    for name in [name for name in FORMATS if name not in ("delimited", "deeprec")]:
        for pattern in FORMATS[name].files:
            files = sorted(path.glob(pattern)) if path.is_dir() else [path]
            if files and files[0].match(pattern) and _begins(files[0], FORMATS[name]):
                found[name] = files[0]
    if {"ml-1m", "ml-10m"} <= set(found):  # alike except for half stars
        halves = any(".5::" in line for line in islice(texts.lines(found["ml-1m"]), 1 << 15))
        found.pop("ml-1m" if halves else "ml-10m")
    if len(found) > 1:
        raise BadInput(f"{path}: files of {' and '.join(found)}. Give the path of one.")
    return next(iter(found), "delimited")


def _begins(file: Path, spec: Format) -> bool:
    """Return whether the first line of a file fits this format."""
    fields = next(texts.lines(file)).strip().split(spec.separator)
    if spec.header and not spec.typed:
        return set(spec.columns.values()) - {""} <= set(fields)
    return spec.width in (None, len(fields))


def _find(path: Path, spec: Format) -> list[Path]:
    """Find the files of a format: `path` itself, or one in that folder (Netflix: many)."""
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
