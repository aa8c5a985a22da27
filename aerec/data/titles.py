"""Titles and genres of items, from a file in the folder of the ratings."""

import csv
import html
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aerec.errors import BadInput

# The order of the 19 flags in u.item (MovieLens 100K, u.genre).
_GENRES_100K = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
]  # fmt: skip
# Tab separated, with a header: id, title; of Anime also the genres and the type.
_TABBED = ("anime_info.dat", "item_info.dat", "artists.dat")


def find(ratings: Path, names: tuple[str, ...]) -> Path | None:
    """Find the first of `names` in the folder of the file `ratings`; `{stem}` is its stem."""
    files = (ratings.parent / name.format(stem=ratings.stem) for name in names)
    return next((file for file in files if file.is_file()), None)


def read(file: Path, item_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read the titles and genres of items.

    Args:
      file: `u.item`, `movies.dat`, `movies.csv`, `movie_titles.txt/csv`, RecBole's `.item`, or the
        titles of Anime, Steam or Last.fm (`_TABBED`).
      item_ids: [N] raw ids.

    Returns:
      (titles [N] str, genres [N] str), aligned with `item_ids`; '' where an item is not listed.

    Raises:
      BadInput: a line with too few fields, with its number.
    """
    known: dict[str, tuple[str, str]] = {}
    for number, row in _rows(file):
        try:
            known[row[0]] = _title(file, row)
        except IndexError:
            raise BadInput(
                f"{file}, line {number}: {len(row)} fields are too few for a title. Correct the "
                "line, or move the file elsewhere to do without titles."
            ) from None
    pairs = [known.get(str(item), ("", "")) for item in item_ids.tolist()]
    return np.array([title for title, _ in pairs]), np.array([genres for _, genres in pairs])


def _title(file: Path, row: list[str]) -> tuple[str, str]:
    if file.name == "u.item":
        flags = zip(_GENRES_100K, row[5:], strict=False)
        return row[1], "|".join(genre for genre, flag in flags if flag == "1")
    if file.name.startswith("movie_titles"):  # id, year or NULL, title
        return row[2] + (f" ({row[1]})" if row[1].isdigit() else ""), ""
    if file.name == "anime_info.dat":
        kinds = [*row[2].split(", "), row[3]]  # genres, and the type: TV, Movie, ...
        return html.unescape(row[1]), "|".join(filter(None, kinds))
    if file.name in _TABBED:
        return row[1], ""
    genres = row[2] if len(row) > 2 else ""
    return row[1], "" if genres == "(no genres listed)" else genres


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields).

    GroupLens moved from Latin-1 to UTF-8 with the 10M dataset. Bytes that are not valid UTF-8 are
    read as Latin-1, in which every byte is a character.
    """
    data = file.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    rows = text.rstrip("\n").split("\n")
    if file.name == "movies.csv":
        yield from enumerate(csv.reader(rows[1:]), 2)
    elif file.name in _TABBED:
        yield from ((n, line.rstrip("\r").split("\t")) for n, line in enumerate(rows[1:], 2))
    elif file.suffix == ".item" and file.name != "u.item":
        names = [name.split(":")[0] for name in rows[0].split("\t")]
        columns = [
            next((i for i, name in enumerate(names) if any(word in name for word in words)), None)
            for words in (("item_id",), ("title", "name"), ("genre", "class", "categor"))
        ]
        for number, line in enumerate(rows[1:], 2):
            row = line.split("\t")
            # RecBole's token sequences are words separated by blanks.
            field = ["" if i is None else row[i] if i < len(row) else "" for i in columns]
            yield number, [field[0], field[1], field[2].replace(" ", "|")]
    else:
        separator, most = ("::", 2) if file.suffix == ".dat" else ("|", -1)
        if file.name.startswith("movie_titles"):
            separator, most = ",", 2  # a title may contain commas
        yield from ((n, line.rstrip("\r").split(separator, most)) for n, line in enumerate(rows, 1))
