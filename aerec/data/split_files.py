"""The protocol `files`: a folder of ready-made splits, in one of several layouts."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from aerec.configuration import settings
from aerec.core import Table
from aerec.data import divide, foreign_splits, parts, readers, texts
from aerec.data.columns import compact
from aerec.data.divide import TEST, TRAIN, VALID, floor
from aerec.data.ratings import Ratings, last_of_pairs, require_scale
from aerec.data.splits import Heldout, LeakError, Split, check, describe, weak
from aerec.data.summary import suspicious
from aerec.errors import BadInput

RANKING = ("train", "validation_tr", "validation_te", "test_tr", "test_te")
RATING = ("train", "valid", "test")
ENDINGS = (".csv", ".tsv", ".txt", ".jsonl", ".json", ".parquet")  # or compressed: .csv.gz


@settings
class Files:
    """Read a ready-made split from the files in `split_dir`.

    Each file has a header, and its ids are whole numbers or text. A file may also be
    `train.parquet`, `train.jsonl` or compressed. Of repeated entries the last is kept.

    Ranking: `train.csv, validation_tr.csv, validation_te.csv, test_tr.csv, test_te.csv` with the
    columns `uid,sid`, as written by the code of Liang et al. 2018: `_tr` is folded in, `_te` is
    predicted. The columns of the table are the items of train.csv; others are dropped. Of the users
    of a pair `_tr, _te`, either none are in train.csv (strong generalisation) or all are (weak).

    Rating: `train.csv, valid.csv, test.csv` with the columns `user,item,rating`. Users and items
    without a training rating are kept. By default the scale is the lowest and highest rating of
    train.csv, and a note counts the ratings off it. With `scale` given, such ratings are refused.

    Clicks of known users: the files of RecBole (`*.train.inter, *.valid.inter, *.test.inter`; every
    line is a click) or LightGCN (`train.txt, test.txt`, a user and its items on each line). Without
    a file of validation, `valid_share` of each user's n training items are drawn for it, so that
    max(1, floor((1 - valid_share) n)) stay in training. At test time, training and validation items
    are folded in and masked. The columns are the items of all files.

    Rows are sorted by id. The hash is of the files' bytes.
    """

    split_dir: str = ""
    scale: tuple[float, ...] = ()  # lowest and highest rating
    valid_share: float = 0.1  # of training, where no file holds validation; 0: no validation
    split_seed: int = 0  # of that draw; nothing else is random
    name, per_seed = "files", False

    def __post_init__(self):
        divide.require_shares(self, "valid_share")

    @property
    def task(self) -> str:
        return "rating" if self._files()[0] == "rating" else "ranking"

    def split(self, ratings: Any = None, *, seed: int = 0) -> Split:
        """Read the split; `ratings` and `seed` are ignored.

        Raises:
          BadInput: a file, a column or an entry is missing or malformed.
          LeakError: a pair or a user is on both sides.
        """
        require_scale(self.scale or None)
        layout, paths = self._files()
        if self.valid_share != Files.valid_share and not (layout == "known" and len(paths) == 2):
            raise BadInput(f"{self.split_dir}: valid_share has no effect: validation is in a file.")
        protocol = describe(self, _digest(paths))
        if layout == "ranking":
            split = _ranking(paths, protocol)
        elif layout == "rating":
            split = _rating(paths, protocol, self.scale)
        else:
            split = _known(self, paths)._replace(protocol=protocol)
        check(split)
        return split._replace(dataset=Path(self.split_dir).resolve().name)

    def _files(self) -> tuple[str, list[Path]]:
        """Find the layout of the folder, "ranking", "rating" or "known", and its files in order."""
        folder = Path(self.split_dir).expanduser()
        if not self.split_dir or not folder.is_dir():
            raise BadInput(f"Protocol 'files': split_dir={self.split_dir!r} is not a folder.")
        found = {stem: _named(folder, stem) for stem in dict.fromkeys((*RANKING, *RATING))}
        if known := foreign_splits.find(folder):
            if others := [path.name for path in found.values() if path and path not in known]:
                both = f"{others[0]} and {known[0].name}"
                raise BadInput(f"{folder}: {both} are of different layouts. Keep only one.")
            return "known", known
        there = [[stem for stem in layout[1:] if found[stem]] for layout in (RANKING, RATING)]
        wanted = [", ".join(f"{stem}.csv" for stem in layout) for layout in (RANKING, RATING)]
        if there[0] and there[1]:
            raise BadInput(
                f"{folder}: files of both layouts, {wanted[0]} and {wanted[1]}. Keep only one."
            )
        paths = [found[stem] for stem in (RATING if there[1] else RANKING)]
        missing = [s for s in (RATING if there[1] else RANKING) if not found[s]]
        if missing:
            raise BadInput(
                f"{folder}: no {', '.join(f'{stem}.csv' for stem in missing)}. A folder of splits "
                f"holds {wanted[0]} (columns uid,sid) or {wanted[1]} (columns user,item,rating)."
            )
        return "rating" if there[1] else "ranking", [path for path in paths if path]


def _named(folder: Path, stem: str) -> Path | None:
    """Find the file of that name, in any format."""
    names = (f"{stem}{ending}" for ending in ENDINGS)
    found = sorted(
        path for name in names for path in (*folder.glob(name), *folder.glob(f"{name}.*"))
    )
    if len(found) > 1:
        several = " and ".join(path.name for path in found)
        raise BadInput(f"{folder}: {several}: keep only one of them.")
    return found[0] if found else None


def _digest(paths: list[Path]) -> str:
    digests = []
    for path in paths:
        with texts.opened(path) as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _ranking(paths: list[Path], protocol: dict) -> Split:
    user_ids, users, item_ids, items, _, notes = _read(paths, {"uid": "id", "sid": "id"})
    trained, columns = np.unique(users[0]), np.unique(items[0])
    row_of, column_of = _places(trained, user_ids), _places(columns, item_ids)
    sizes = {"num_columns": len(columns)}

    def table(file: int, rows: np.ndarray) -> Table:
        row, column = _places(rows, user_ids)[users[file]], column_of[items[file]]
        known = column >= 0
        row, column = row[known], column[known]
        return Table.from_entries(row, column, np.ones(len(row)), num_rows=len(rows), **sizes)

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
                "needs none of them there, weak generalisation all."
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
        alone = int(((fold_in.lengths() == 0) & (target.lengths() > 0)).sum())
        if alone:
            notes.append(f"{names}: {alone:,} users have nothing to fold in, only targets")
        if not len(target.columns):
            raise BadInput(f"{paths[te]}: none of its items is in {paths[0].name}. Same ids?")
        index = np.where(row_of[rows] >= 0, row_of[rows], len(trained))
        held.append(Heldout(fold_in, target, np.asarray(index, np.int32)))
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
    user_ids, users, item_ids, items, values, notes = _read(paths, kinds, given)
    train, valid, test = (
        Table.from_entries(*entries, num_rows=len(user_ids), num_columns=len(item_ids))
        for entries in zip(users, items, values, strict=True)
    )
    low, high = given or (float(values[0].min()), float(values[0].max()))
    if low == high:
        raise BadInput(f"{paths[0]}: every rating is {low:g}: a rating model has nothing to learn.")
    if not given:
        notes.append(f"the scale {low:g}..{high:g} is that of {paths[0].name}")
    for path, user, item in zip(paths[1:], users[1:], items[1:], strict=True):
        cold = ~np.isin(user, users[0]) | ~np.isin(item, items[0])
        if cold.any():
            notes.append(
                f"{path.name}: {cold.sum():,} of {len(cold):,} ratings are of users or items "
                f"without a rating in {paths[0].name}"
            )
    for path, rating in zip(paths, values, strict=True):
        off = rating[(rating < low) | (rating > high)]
        if off.size:
            notes.append(
                f"{path.name}: {off.size:,} ratings, like {off[0]:g}, are off the scale "
                f"{low:g}..{high:g}; give `scale` to refuse such ratings"
            )
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


def _known(protocol: Files, paths: list[Path]) -> Split:
    """Build a split of files of training, of validation if there is one, and of test."""
    read = [foreign_splits.read(path) for path in paths]
    user_ids, users, item_ids, items, _, notes = _merged(paths, read, ("user", "item"))
    numbers = (TRAIN, VALID, TEST) if len(paths) == 3 else (TRAIN, TEST)
    part = np.repeat(numbers, [len(own) for own in users])
    user, item = np.concatenate(users), np.concatenate(items)
    order = np.argsort(user, kind="stable")
    user, item, part = user[order], item[order], part[order]
    for what, ids, index in (("users", user_ids, user), ("items", item_ids, item)):
        new = np.bincount(index[part != TEST], minlength=len(ids)) == 0
        if new.any():
            lost = int(new[index].sum())
            notes.append(
                f"{paths[-1].name}: {lost:,} clicks of {new.sum():,} {what} without training"
            )
    if len(paths) == 2 and protocol.valid_share:
        trained = np.flatnonzero(part == TRAIN)
        draw = divide.generator(protocol).permutation(len(trained))
        rank, count = divide.places(user[trained], draw)
        kept = np.maximum(floor(1 - protocol.valid_share, count), 1)
        part[trained[rank >= kept]] = VALID
        notes.append(
            f"validation is a random {(part == VALID).sum():,} clicks of {paths[0].name} "
            f"(`valid_share={protocol.valid_share:g}`), which are folded in at test time"
        )
    clicks = Ratings(
        user=np.asarray(user, np.int32), item=np.asarray(item, np.int32),
        value=np.ones(len(user), np.float32), time=None, user_ids=user_ids, item_ids=item_ids,
        titles=None, genres=None, scale=None, name=protocol.split_dir,
    )  # fmt: skip
    return parts.weak_split(
        protocol, clicks, part, tuple(notes), valid=protocol.valid_share, fold_valid=True
    )


def _read(paths: list[Path], kinds: dict, scale: tuple[float, ...] = ()):
    """Read the files; return the same as `_merged`."""
    bounds = {"rating": (scale[0], scale[1])} if scale else None
    found = [readers.read_columns(path, kinds, bounds=bounds) for path in paths]
    return _merged(paths, found, tuple(kinds))


def _merged(paths: list[Path], found: list[dict[str, np.ndarray]], names: tuple[str, ...]):
    """Return (user ids, users per file, item ids, items per file, values per file, notes).

    Args:
      found: the columns of each file.
      names: of the columns of users, of items and, if there are any, of values.
    """
    user, item, *value = names
    user_ids, users = _codes([columns[user] for columns in found])
    item_ids, items = _codes([columns[item] for columns in found])
    values = [columns[value[0]] for columns in found if value]
    notes = suspicious({"user": user_ids, "item": item_ids})
    for number, path in enumerate(paths):
        if not len(users[number]):
            raise BadInput(f"{path}: no entries. Was it written completely?")
        kept = last_of_pairs(users[number], items[number], len(item_ids), None)
        if kept is not None:
            notes.append(f"{path.name}: {(~kept).sum():,} repeated entries; the last is kept")
            for part in (users, items, *([values] if values else [])):
                part[number] = part[number][kept]
    return user_ids, users, item_ids, items, values, notes


def _codes(columns: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the distinct ids of all files, sorted, and each file's ids as indices into them."""
    every = np.concatenate(columns)
    if every.dtype.kind == "i":
        code, ids = compact(every)
    else:
        ids, code = np.unique(every, return_inverse=True)
    return ids, np.split(code, np.cumsum([len(column) for column in columns])[:-1])


def _places(chosen: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return the position of each code among `chosen`, [len(ids)]; -1 for the others."""
    place = np.full(len(ids), -1)
    place[chosen] = np.arange(len(chosen))
    return place
