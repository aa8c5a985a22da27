"""The columns of users, items, ratings and times: as given, or found by their usual names."""

from collections.abc import Mapping, Sequence

from aerec.errors import BadInput

ROLES = ("user", "item", "rating", "time")
Column = str | int  # a name in the header, or a position from 0 without a header
Given = Mapping[str, Column | None]  # role -> column; None: by usual name; "": there is none
KINDS = {"user": "id", "item": "id", "rating": "number", "time": "time"}
USUAL = {  # names without case, blanks, _ and -
    "user": "user uid userid customer customerid reviewer reviewerid member memberid person "
            "personid visitor visitorid account accountid",
    "item": "item iid sid itemid movie movieid film filmid product productid asin parentasin book "
            "bookid isbn anime animeid song songid track trackid artist artistid game gameid "
            "article articleid business businessid gmapid recipe recipeid",
    "rating": "rating ratings score stars star overall value feedback ratingscore starrating",
    "time": "time timestamp ts date datetime unixreviewtime reviewtime unixtime createdat",
}  # fmt: skip


def find(
    where: str, names: Sequence[str], given: Given, *, header: bool = True, text: bool = False
) -> dict:
    """Find the columns of user and item and, if there are any, of rating and time.

    Args:
      where: the start of an error message: the file, or another source of the columns.
      names: of the columns; without a header, the fields of line 1.
      given: role -> column, as far as it is known.
      header: whether `names` are names.
      text: whether they are of a text file, whose layout may have been inferred wrongly.

    Returns:
      role -> column; a position from 0 if there is no header.

    Raises:
      BadInput: a role without a column or with several, or a column with two roles.
    """
    has = f"there are {', '.join(names)}" if header else f"line 1 has {len(names)} fields"
    roles: dict[str, Column] = {}
    for role in ROLES:
        column = given.get(role)
        if column is None and header:
            usual = [name for name in names if plain(name) in USUAL[role].split()]
            if len(usual) > 1 or (not usual and role in ("user", "item")):
                found = f"several columns could be the {role}" if usual else f"no column {role!r}"
                raise BadInput(f"{where}: {found}; {has}. Name it: `{role}=`.")
            column = usual[0] if usual else ""
        if column == "" or column is None:
            continue
        roles[role] = column
        if header:
            if list(names).count(str(column)) != 1:
                layout = ", the `separator`, or whether there is a `header`" if text else ""
                raise BadInput(
                    f"{where}: no single column {column!r}; {has}. Correct the name of the {role}"
                    f"{layout}."
                )
        elif not str(column).isdecimal():
            raise BadInput(f"Without a header a column is a number from 0; {role} is {column!r}.")
        elif int(column) >= len(names):
            raise BadInput(f"{where}: no single column {column}; {has}. Correct the {role}.")
        else:
            roles[role] = int(column)
    if header and not {"user", "item"} <= set(roles):
        raise BadInput(f"{where}: the user and the item cannot be left out; {has}.")
    if not {"user", "item"} <= set(roles):
        raise BadInput(
            f"{where}: a file without a header; {has}: {', '.join(names)}. Give the positions "
            "(from 0) of user and item, and of rating and time if there are any, like "
            "`user=0,item=1,rating=2`."
        )
    if len(set(roles.values())) < len(roles):
        raise BadInput(f"{where}: one column cannot play two roles: {roles}.")
    return roles


def unread(names: Sequence[str], found: Mapping[str, Column]) -> str:
    """Note the columns that are not read where none was recognised as ratings; '' otherwise."""
    left = [name for name in names if name not in found.values()]
    if "rating" in found or not left:
        return ""
    return (
        f"no column of ratings by its usual name, so each line is a click. Not read: "
        f"{', '.join(left[:8])}{', …' * (len(left) > 8)}. If one holds ratings, name it: `rating=`."
    )


def plain(name: str) -> str:
    """Normalise a column's name: drop case, blanks, punctuation and a RecBole type."""
    return "".join(letter for letter in name.partition(":")[0].lower() if letter.isalnum())


def is_header(rows: Sequence[Sequence[str]]) -> bool | None:
    """Return whether the first of some rows names the columns; None if that is unclear."""
    first, *rest = rows
    if any(_number(field) for field in first):
        return False
    known = " ".join(USUAL.values()).split()
    usual = [name for name in first if plain(name) in known]
    numeric = any(
        rest and 2 * sum(_number(field) for field in column) > len(rest)
        for column in zip(*(row for row in rest if len(row) == len(first)), strict=True)
    )
    return True if usual or numeric else None


def movielens(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether rows without a header hold user, item, rating, seconds since 1970."""
    return all(
        len(row) == 4 and all(map(_number, row)) and float(row[2]) < 1000 < 1e8 < float(row[3])
        for row in rows
    )


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
