"""Hold out items and users of a data set: what cold items are, and who is to find them."""

from typing import NamedTuple

import numpy as np
import scipy.sparse

from aerec.core import Table
from aerec.data import divide, protocols
from aerec.data.ratings import Ratings
from aerec.data.splits import Split

SHARE = 0.2  # of the items, held out


class Draw(NamedTuple):
    """Cold items, C of them, and the test users, R, who are to find them.

    Attributes:
      split: of the clicks on the N warm items.
      rest: the ratings of the warm items without the test users.
      ids: [C] raw ids of the cold items.
      genres: [C], '|' between them.
      clicks: [C] clicks of the training users.
      histories: [R, N + C] the users' clicks on warm items, which come first.
      target: [R, C] their clicks on cold ones.
    """

    split: Split
    rest: Ratings
    ids: np.ndarray
    genres: np.ndarray
    clicks: np.ndarray
    histories: scipy.sparse.csr_array
    target: Table


def drawn(ratings: Ratings, seed: int) -> Draw:
    """Hold out items and users."""
    threshold = divide.effective(_strong(0), ratings).threshold
    clicked = ratings.value >= (-np.inf if threshold == "all" else threshold)
    items = np.random.default_rng(seed).permutation(divide.present(ratings.item[clicked]))
    cold = np.sort(items[: int(divide.floor(SHARE, len(items)))])
    column = np.full(len(ratings.item_ids), -1)
    column[cold] = np.arange(len(cold))
    warm = column[ratings.item] < 0
    split = _strong(seed).split(divide.select(ratings, warm))
    assert split.test_ids is not None and ratings.genres is not None
    tested = np.isin(ratings.user_ids, split.test_ids)[ratings.user]
    trained = np.isin(ratings.user_ids, split.user_ids)[ratings.user]
    hidden = divide.select(ratings, clicked & ~warm & trained)
    wanted = divide.select(ratings, clicked & ~warm & tested)
    count, rows = split.train.num_columns, len(split.test_ids)
    row, folded = (np.concatenate(own) for own in zip(
        *(table.entries()[:2] for table in split.test[:2]), strict=True))  # fmt: skip
    matrix = scipy.sparse.csr_array((np.ones(len(row), np.float32), (row, folded)),
                                    shape=(rows, count + len(cold)))  # fmt: skip
    row = np.searchsorted(split.test_ids, ratings.user_ids[wanted.user])
    return Draw(
        split=split,
        rest=divide.select(ratings, warm & ~tested),
        ids=ratings.item_ids[cold],
        genres=ratings.genres[cold],
        clicks=np.bincount(column[hidden.item], minlength=len(cold)),
        histories=matrix,
        target=Table.from_entries(row, column[wanted.item], np.ones(len(row)), num_rows=rows,
                                  num_columns=len(cold)),
    )  # fmt: skip


def _strong(seed: int) -> protocols.Strong:
    return protocols.Strong(split_seed=seed)
