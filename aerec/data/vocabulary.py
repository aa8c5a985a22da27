"""The distinct ids of a column that is read in batches, and the codes of its ids."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

PENDING = 1 << 22  # ids that are collected before the distinct ones are taken


class Ids(NamedTuple):
    """The ids of a column so far: whole numbers, and words by the codes that polars gives them."""

    words: pl.DataType
    parts: tuple[pl.Series, ...] = ()

    @classmethod
    def none(cls) -> "Ids":
        """Start with no ids."""
        return cls(pl.Categorical(pl.Categories.random()))

    def plus(self, ids: pl.Series) -> tuple["Ids", np.ndarray]:
        """Return the ids with further ones, and [B] int64 by which these can be encoded later."""
        if ids.dtype == pl.String:
            ids = ids.cast(self.words)
        parts = (*self.parts, ids.unique())
        if sum(map(len, parts)) > PENDING + 2 * len(parts[0]):
            parts = tuple(_distinct(parts))
        return self._replace(parts=parts), ids.to_physical().to_numpy()

    def codes(self) -> "Codes":
        """Sort the distinct ids: whole numbers if all of them are; otherwise all are text."""
        numbers, words = np.zeros(0, np.int64), pl.Series(dtype=self.words)
        for part in _distinct(self.parts):
            if part.dtype == pl.Int64:
                numbers = np.sort(part.to_numpy())
            else:
                words = part
        if not len(words):
            places = np.arange(len(numbers), dtype=np.int32)
            return Codes(numbers, numbers, places, np.zeros(0, np.int32))
        texts = np.array([*words.cast(pl.String).to_list(), *map(str, numbers.tolist())])
        ids, place = np.unique(texts, return_inverse=True)
        known = words.to_physical().to_numpy()
        of_word = np.zeros(int(known.max()) + 1, np.int32)
        of_word[known] = place[: len(words)]
        return Codes(ids, numbers, place[len(words) :].astype(np.int32), of_word)


class Codes(NamedTuple):
    """The distinct ids of a column in ascending order, and how to find their places.

    Attributes:
      ids: [V] int64 or str.
      numbers: the ids that were read as whole numbers, ascending.
      of_number: the place of each of them in `ids`, int32.
      of_word: the place of the word with each code, int32.
    """

    ids: np.ndarray
    numbers: np.ndarray
    of_number: np.ndarray
    of_word: np.ndarray

    def encode(self, raw: np.ndarray, words: bool) -> np.ndarray:
        """Encode a batch [B], as `Ids.plus` returned it, to int32; `words` if it was of text."""
        if words:
            return self.of_word[raw]
        return self.of_number[np.searchsorted(self.numbers, raw)]


def _distinct(parts: Sequence[pl.Series]) -> Iterator[pl.Series]:
    for kind in dict.fromkeys(part.dtype for part in parts):
        yield pl.concat([part for part in parts if part.dtype == kind]).unique()
