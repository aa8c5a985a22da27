"""`Split`, the result of every protocol, and the leak check that each passes before it is used."""

import dataclasses
import hashlib
import json
from typing import Any, NamedTuple

import numpy as np

from aerec.core import Array, Table
from aerec.errors import BadInput
from aerec.host_table import AnyTable, on_device

# Parameters that are left out at these values, so that hashes of earlier versions hold.
LATER = {"order": "time", "fold_valid": False, "valid_share": 0.1}


class LeakError(BadInput):
    """The targets of a split can be read off its inputs, or a user is on two sides."""


class Heldout(NamedTuple):
    """The held-out part of a split: R rows with input and target.

    Attributes:
      input: [R, N], what is folded in; in weak protocols the training table itself.
      target: [R, N], aligned with `input`: what is to be predicted; a row may be empty.
      rows: [R] int32, the number of each row in `Split.train`; `train.num_rows` if not trained on.
    """

    input: Table
    target: Table
    rows: Array


class Split(NamedTuple):
    """Ratings divided by a protocol: U training rows, N columns. All rows are in time order.

    Attributes:
      train: [U, N]; of ratings that stay on the disk, a `HostTable`.
      valid: the part on which models are selected.
      test: the part on which results are reported; scored once.
      user_ids: [U] raw ids of train's rows.
      item_ids: [N] raw ids of the columns.
      titles: [N] titles of the columns, or None.
      scale: lowest and highest rating; None for implicit feedback, whose values are 1.
      protocol: name, task ("rating" or "ranking"), every parameter, and a hash of them.
      notes: what was dropped, with counts, one line each.
      mask_seen: whether a ranking leaves out the columns of the input.
      valid_ids, test_ids: [R] raw ids of the rows of valid and test; None: the rows of train.
      dataset: the name of the ratings.
      genres: genres of the items, '|' between them, or None.
      times: [nnz] days of the entries of `train`, since the first rating of the data, or None.
    """

    train: AnyTable
    valid: Heldout
    test: Heldout
    user_ids: np.ndarray
    item_ids: np.ndarray
    titles: np.ndarray | None
    scale: tuple[float, float] | None
    protocol: dict
    notes: tuple[str, ...]
    mask_seen: bool = True
    valid_ids: np.ndarray | None = None
    test_ids: np.ndarray | None = None
    dataset: str = ""
    genres: np.ndarray | None = None
    times: np.ndarray | None = None

    def __repr__(self) -> str:
        """Describe the split in a line, without its arrays."""
        rows, columns = self.train.num_rows, self.train.num_columns
        entries = int(self.train.lengths().sum())
        held = ", ".join(
            f"{int((part.target.lengths() > 0).sum()):,} {name}"
            for part, name in ((self.valid, "validation"), (self.test, "test"))
        )
        return (
            f"Split {self.protocol['name']!r} of {self.dataset!r}: {rows:,} rows x {columns:,}"
            f" columns with {entries:,} entries in training; rows with targets: {held}"
        )

    def transpose(self) -> "Split":
        """Return the split whose rows are the items and whose columns are the users (no titles).

        Raises:
          BadInput: the split is for ranking, or folds in users who were not trained on.
        """
        name = self.protocol["name"]
        if self.protocol["task"] != "rating":
            raise BadInput(
                f"Protocol {name!r} ranks the items of each user, and the rows of an item-based "
                "model are items: it would rank users. Use a rating protocol (random_ratings, "
                "global_time, per_user_time) or a user-based model."
            )
        if self.valid_ids is not None or self.test_ids is not None:
            raise BadInput(
                f"Protocol {name!r} folds in users who were not trained on, and an "
                "item-based model has no weights for them as columns. Use a protocol that scores "
                "the training users (random_ratings) or a user-based model."
            )
        train = on_device(self.train).transpose()

        def transposed(held: Heldout) -> Heldout:
            input = train if held.input is self.train else held.input.transpose()
            return weak(input, held.target.transpose())

        return self._replace(
            train=train,
            valid=transposed(self.valid),
            test=transposed(self.test),
            user_ids=self.item_ids,
            item_ids=self.user_ids,
            titles=None,
            times=None,
        )


def weak(input: Table, target: Table) -> Heldout:
    """Build a `Heldout` whose rows are all the training rows, in order."""
    return Heldout(input, target, np.arange(input.num_rows, dtype=np.int32))


def describe(protocol: Any, digest: str = "") -> dict:
    """Return a protocol's name, task and parameters, with a hash that is equal on every machine.

    Files are identified by the `digest` of their bytes, not by their path.
    """
    fields = dataclasses.asdict(protocol).items()
    given = {name: value for name, value in fields if (name, value) not in LATER.items()}
    known = {**given, "split_dir": digest} if digest else given
    text = json.dumps([protocol.name, known], sort_keys=True)
    short = hashlib.sha256(text.encode()).hexdigest()[:10]
    return {"name": protocol.name, "task": protocol.task, **given, "hash": short}


def check(split: Split) -> None:
    """Check a split for leaks.

    The rules: a target is neither in the input of its row nor in the training row of its user.
    Validation and test have no target in common. A user held out whole is not a training user,
    and is not in both validation and test. Only protocols named `leaky_...` are exempt.

    Raises:
      LeakError: a rule is broken; names the protocol, the rule and an example by raw ids.
    """
    if split.protocol["name"].startswith("leaky_"):
        return
    names = ("validation", "test")
    held = (split.valid, split.test)
    ids = [split.user_ids if own is None else own for own in (split.valid_ids, split.test_ids)]
    trained = [np.asarray(h.rows) < split.train.num_rows for h in held]
    new = [own[~was] for own, was in zip(ids, trained, strict=True)]
    for name, own in zip(names, new, strict=True):
        _no_common_user(split, own, split.user_ids, f"a held-out {name} user is a training user")
    _no_common_user(split, new[0], new[1], "a user is held out in both validation and test")
    targets = [_pairs(h.target) for h in held]
    of_train = [
        _pairs(h.target, np.asarray(h.rows))[np.repeat(was, h.target.lengths())]
        for h, was in zip(held, trained, strict=True)
    ]
    for name, own, h, target, also in zip(names, ids, held, targets, of_train, strict=True):
        if h.input is not split.train:
            _no_common_pair(split, target, _pairs(h.input), own, f"a {name} target is in its input")
        if len(also):
            rule = f"a {name} target is in training"
            _no_common_pair(split, also, _pairs(split.train), split.user_ids, rule)
    both = "a rating is a target of both validation and test"
    _no_common_pair(split, of_train[0], of_train[1], split.user_ids, both)


def _pairs(table: AnyTable, rows: np.ndarray | None = None) -> np.ndarray:
    """Return row * N + column of each entry, [nnz] int64; `rows` [U] renumbers the rows."""
    row, column, _ = table.entries()
    return (row if rows is None else rows[row]).astype(np.int64) * table.num_columns + column


def _no_common_pair(split: Split, a: np.ndarray, b: np.ndarray, ids: np.ndarray, rule: str):
    common = np.intersect1d(a, b, assume_unique=True)
    if len(common):
        row, column = divmod(int(common[0]), len(split.item_ids))
        _raise(split, rule, len(common), f"user {ids[row]}, item {split.item_ids[column]}")


def _no_common_user(split: Split, a: np.ndarray, b: np.ndarray, rule: str):
    common = np.intersect1d(a, b)
    if len(common):
        _raise(split, rule, len(common), f"user {common[0]}")


def _raise(split: Split, rule: str, count: int, example: str):
    name = split.protocol["name"]
    where = f" ({split.protocol['split_dir']})" if "split_dir" in split.protocol else ""
    raise LeakError(
        f"Protocol {name!r}{where} leaks: {rule}, {count:,} times; for example {example}. "
        "Remove it from one of the two sides."
    )
