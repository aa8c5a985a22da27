"""Which columns are users, items, ratings and times: as given, or by their usual names."""

from collections.abc import Mapping, Sequence

from aerec.errors import BadInput

ROLES = ("user", "item", "rating", "time")
Column = str | int  # a name in the header, or a position from 0 where there is none
Given = Mapping[str, Column | None]  # role -> column; None: by name; "": there is none
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


def find(where: str, names: Sequence[str], given: Given, *, header: bool = True) -> dict:
    """role -> column, of user, item and, where there are such, rating and time.

    Args:
      where: the beginning of a message: the file, or what else has these columns.
      names: of the columns, or their texts on line 1 where there is no header.
      given: what each role's column is, as far as it is known.

    Raises:
      BadInput: no or several columns for a role, or one for two.
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
                raise BadInput(
                    f"{where}: no single column {column!r}; {has}. Correct the name of the {role}, "
                    "the `separator`, or whether there is a `header`."
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
            "from 0 of user and item, and of rating and time where there are such, like "
            "`user=0,item=1,rating=2`."
        )
    if len(set(roles.values())) < len(roles):
        raise BadInput(f"{where}: one column cannot play two roles: {roles}.")
    return roles


def plain(name: str) -> str:
    """A column's name without case, blanks, `_`, `-` and a RecBole type."""
    return "".join(letter for letter in name.partition(":")[0].lower() if letter.isalnum())


def is_header(rows: Sequence[Sequence[str]]) -> bool | None:
    """Whether the first of some rows names the columns; None: not clear."""
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
    """Whether rows without a header read user, item, rating, seconds since 1970."""
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
