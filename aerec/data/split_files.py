"""The protocol `files`: a folder of splits made elsewhere, in one of two layouts."""

import hashlib
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from aerec.configuration import settings
from aerec.core import Table
from aerec.data.columns import compact
from aerec.data.readers import read_columns
from aerec.data.splits import Heldout, LeakError, Split, check, describe, weak
from aerec.errors import BadInput

RANKING = ("train.csv", "validation_tr.csv", "validation_te.csv", "test_tr.csv", "test_te.csv")
RATING = ("train.csv", "valid.csv", "test.csv")


@settings
class Files:
    """Ready splits in `split_dir`, comma-separated with a header; ids are whole numbers or text.

    Ranking: `train.csv, validation_tr.csv, validation_te.csv, test_tr.csv, test_te.csv` with the
    columns `uid,sid`, as the code of Liang et al. 2018 writes them: `_tr` is folded in, `_te`
    predicted. The table's columns are the items of train.csv, others are dropped. The users of a
    pair `_tr, _te` are none of train.csv's (strong generalisation) or all among them (weak).

    Rating: `train.csv, valid.csv, test.csv` with columns `user,item,rating`. Users and items
    without a training rating stay. The scale is train.csv's lowest and highest rating, and ratings
    off it are noted; unless `scale` is given: then they are refused.

    Rows are sorted by id. The hash is of the files' bytes.
    """

    split_dir: str = ""
    scale: tuple[float, ...] = ()  # lowest and highest rating
    split_seed: int = 0  # nothing here is random
    name, per_seed = "files", False

    @property
    def task(self) -> str:
        return "rating" if self._files() == RATING else "ranking"

    def split(self, ratings: Any = None, *, seed: int = 0) -> Split:
        """The split; `ratings` are not looked at.

        Raises:
          BadInput: a file, a column, or an entry is missing, doubled or malformed.
          LeakError: a pair or a user stands on both sides.
        """
        names = self._files()
        paths = [Path(self.split_dir) / name for name in names]
        protocol = describe(self, _digest(paths))
        if names == RANKING:
            split = _ranking(paths, protocol)
        else:
            split = _rating(paths, protocol, self.scale)
        check(split)
        return split._replace(dataset=Path(self.split_dir).resolve().name)

    def _files(self) -> tuple[str, ...]:
        """The layout of the folder."""
        folder = Path(self.split_dir)
        if not self.split_dir or not folder.is_dir():
            raise BadInput(f"Protocol 'files': split_dir={self.split_dir!r} is not a folder.")
        found = [[(folder / name).exists() for name in names] for names in (RANKING, RATING)]
        if any(found[0][1:]) and any(found[1][1:]):
            raise BadInput(
                f"{folder}: files of both layouts, {', '.join(RANKING)} and {', '.join(RATING)}. "
                "Leave one of them."
            )
        layout, there = (RATING, found[1]) if any(found[1][1:]) else (RANKING, found[0])
        if not all(there):
            missing = [name for name, exists in zip(layout, there, strict=True) if not exists]
            raise BadInput(
                f"{folder}: no {', '.join(missing)}. A folder of splits holds {', '.join(RANKING)} "
                f"(columns uid,sid) or {', '.join(RATING)} (columns user,item,rating)."
            )
        return layout


def _digest(paths: list[Path]) -> str:
    digests = []
    for path in paths:
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _ranking(paths: list[Path], protocol: dict) -> Split:
    user_ids, users, item_ids, items, _ = _read(paths, {"uid": "id", "sid": "id"})
    trained, columns = np.unique(users[0]), np.unique(items[0])
    row_of, column_of = _places(trained, user_ids), _places(columns, item_ids)
    sizes = {"num_columns": len(columns)}

    def table(file: int, rows: np.ndarray) -> Table:
        row, column = _places(rows, user_ids)[users[file]], column_of[items[file]]
        known = column >= 0
        row, column = row[known], column[known]
        return Table.from_entries(row, column, np.ones(len(row)), num_rows=len(rows), **sizes)

    notes: list[str] = []
    held: list[Heldout] = []
    ids: list[np.ndarray] = []
    for tr, te in ((1, 2), (3, 4)):
        names = f"{paths[tr].name}, {paths[te].name}"
        who, what = np.concatenate([users[tr], users[te]]), np.concatenate([items[tr], items[te]])
        everyone = np.unique(who)
        both = everyone[row_of[everyone] >= 0]
        if 0 < len(both) < len(everyone):
            raise LeakError(
                f"{paths[0].parent}: {len(both):,} of {len(everyone):,} users of {names} are in "
                f"{paths[0].name}, for example user {user_ids[both[0]]}. Strong generalisation "
                "wants none of them there, weak generalisation all."
            )
        known = column_of[what] >= 0
        rows = np.unique(who[known])
        if not known.all():
            count = len(np.unique(what[~known]))
            notes.append(
                f"{names}: {(~known).sum():,} entries of {count:,} items that are not in "
                f"{paths[0].name}, and with them {len(everyone) - len(rows):,} users"
            )
        fold_in, target = table(tr, rows), table(te, rows)
        if not len(target.columns):
            raise BadInput(f"{paths[te]}: none of its items is in {paths[0].name}. Same ids?")
        index = np.where(row_of[rows] >= 0, row_of[rows], len(trained))
        held.append(Heldout(fold_in, target, jnp.asarray(index, jnp.int32)))
        ids.append(user_ids[rows])
    return Split(
        train=table(0, trained),
        valid=held[0],
        test=held[1],
        user_ids=user_ids[trained],
        item_ids=item_ids[columns],
        titles=None,
        scale=None,
        protocol=protocol,
        notes=tuple(notes),
        valid_ids=ids[0],
        test_ids=ids[1],
    )


def _rating(paths: list[Path], protocol: dict, given: tuple[float, ...]) -> Split:
    kinds = {"user": "id", "item": "id", "rating": "number"}
    user_ids, users, item_ids, items, values = _read(paths, kinds)
    train, valid, test = (
        Table.from_entries(*entries, num_rows=len(user_ids), num_columns=len(item_ids))
        for entries in zip(users, items, values, strict=True)
    )
    low, high = given or (float(values[0].min()), float(values[0].max()))
    notes = [] if given else [f"the scale {low:g}..{high:g} is that of {paths[0].name}"]
    for path, rating in zip(paths, values, strict=True):
        off = np.flatnonzero((rating < low) | (rating > high))
        if not off.size:
            continue
        found = (
            f"{path}, entry {off[0] + 1} (line {off[0] + 2} with the header): rating "
            f"{rating[off[0]]:g} is off the scale {low:g}..{high:g}; {off.size:,} such entries"
        )
        if given:
            raise BadInput(f"{found}. Correct them, or give another `scale`.")
        notes.append(f"{found}; with a `scale` such are refused")
    return Split(
        train=train,
        valid=weak(train, valid),
        test=weak(train, test),
        user_ids=user_ids,
        item_ids=item_ids,
        titles=None,
        scale=(low, high),
        protocol=protocol,
        notes=tuple(notes),
    )


def _read(paths: list[Path], kinds: dict):
    """(user ids, users per file, item ids, items per file, values per file) of all the files."""
    user, item, *value = kinds
    found = [read_columns(path, ",", kinds) for path in paths]
    user_ids, users = _codes([columns[user] for columns in found])
    item_ids, items = _codes([columns[item] for columns in found])
    for path, row, column in zip(paths, users, items, strict=True):
        if not len(row):
            raise BadInput(f"{path}: a header and no entry. Was it written completely?")
        pair = row.astype(np.int64) * len(item_ids) + column
        order = np.argsort(pair, kind="stable")
        again = order[1:][pair[order[1:]] == pair[order[:-1]]]
        if len(again):
            line = int(again.min())
            raise BadInput(
                f"{path}, entry {line + 1} (line {line + 2} with the header): user "
                f"{user_ids[row[line]]}, item {item_ids[column[line]]} stood above already; "
                f"{len(again):,} such entries. Remove them."
            )
    return user_ids, users, item_ids, items, [columns[value[0]] for columns in found if value]


def _codes(columns: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The distinct ids of all files, sorted, and each file's ids as places among them."""
    every = np.concatenate(columns)
    if every.dtype.kind == "i":
        code, ids = compact(every)
    else:
        ids, code = np.unique(every, return_inverse=True)
    return ids, np.split(code, np.cumsum([len(column) for column in columns])[:-1])


def _places(chosen: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """[len(ids)]: each code's place among the codes `chosen`, -1 for the others."""
    place = np.full(len(ids), -1)
    place[chosen] = np.arange(len(chosen))
    return place
