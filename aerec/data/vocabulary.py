"""The distinct ids of a column that is read in batches, and the codes of its ids."""

from collections.abc import Callable, Iterator, Sequence
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
            return Codes(numbers, _places(numbers, np.arange(len(numbers), dtype=np.int32)), None)
        texts = np.array([*words.cast(pl.String).to_list(), *map(str, numbers.tolist())])
        ids, place = np.unique(texts, return_inverse=True)
        known = words.to_physical().to_numpy()
        of_word = np.zeros(int(known.max()) + 1, np.int32)
        of_word[known] = place[: len(words)]
        of_number = _places(numbers, place[len(words) :].astype(np.int32))
        return Codes(ids, of_number, of_word.__getitem__)


Encoder = Callable[[np.ndarray], np.ndarray]  # raw [B], as `Ids.plus` returned it -> int32 [B]


class Codes(NamedTuple):
    """The distinct ids of a column in ascending order, and how to find their places.

    Attributes:
      ids: [V] int64 or str.
      of_number: encodes a batch of whole numbers.
      of_word: encodes a batch of text; None if there was none.
    """

    ids: np.ndarray
    of_number: Encoder
    of_word: Encoder | None

    def encode(self, raw: np.ndarray, words: bool) -> np.ndarray:
        """Encode a batch [B]; `words` if it was of text."""
        of = self.of_word if words else self.of_number
        assert of is not None
        return of(raw)


def _places(numbers: np.ndarray, place: np.ndarray) -> Encoder:
    """Encode ascending numbers by their places; by a table where they span a short range."""
    low, high = (int(numbers[0]), int(numbers[-1])) if len(numbers) else (0, 0)
    if high - low > 8 * len(numbers) + (1 << 20):
        return lambda raw: place[np.searchsorted(numbers, raw)]
    table = np.zeros(high - low + 1, np.int32)
    table[numbers - low] = place
    return lambda raw: table[raw - low]


def _distinct(parts: Sequence[pl.Series]) -> Iterator[pl.Series]:
    for kind in dict.fromkeys(part.dtype for part in parts):
        yield pl.concat([part for part in parts if part.dtype == kind]).unique()
