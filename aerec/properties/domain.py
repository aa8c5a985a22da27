"""Domains: a set of vectors with a distribution of triples (x, u, v) on it.

A verdict holds on a named domain and nowhere else. A domain is therefore one value that counters,
searches and certificates share: how to draw from it, how to move inside it, and what belongs to it.
The kinds differ in what can be done on them. `samplers` builds the domains.
"""

import dataclasses
import math
import operator
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy.sparse

Points = Callable[[jax.Array, int], jax.Array]
Sides = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Domain:
    """A set of vectors of R^n with a distribution of triples on it.

    Attributes:
      name: in verdicts and reports.
      dimension: n.
      triples: (key, count) -> x, u, v, each [count, n].
      points: (key, count) -> [count, n], points for any role.
      step: (points, direction, rate) -> points, moved along a direction [count, n] without leaving
        the domain.
      contains: float64 rows -> [count] bool, which of them belong to the domain.
      continuous: whether small perturbations stay inside.
    """

    name: str
    dimension: int
    triples: Callable[[jax.Array, int], tuple[Any, Any, Any]]
    points: Points
    step: Callable[[jax.Array, jax.Array, float], jax.Array]
    contains: Callable[[np.ndarray], Any]
    continuous: bool = True

    def admits(self, x: np.ndarray, u: np.ndarray, v: np.ndarray) -> bool:
        """Return whether x, u and v, [n] each, form a triple of the domain."""
        return bool(self.contains(np.stack([x, u, v])).all())


class Space(Domain):
    """All of R^n: vectors of any scale belong to it."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Box(Domain):
    """All x with `low <= x <= high`, [n] each."""

    low: np.ndarray
    high: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Separated(Domain):
    """One x [n] and two boxes, (low, high) each, that it separates: `<x, u> > <x, v>`."""

    x: np.ndarray
    u: Sides
    v: Sides

    def admits(self, x: np.ndarray, u: np.ndarray, v: np.ndarray) -> bool:
        """Return whether x is this x, u is in the first box, and v is in the second."""
        within = [((p >= low) & (p <= high)).all() for p, (low, high) in ((u, self.u), (v, self.v))]
        return np.array_equal(x, self.x) and all(within)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Data(Domain):
    """Users x items: a user row and two item rows form a triple.

    Attributes:
      users: [U, n], a dense array or a SciPy CSR matrix.
      items: [I, n] likewise; None for the standard basis, so that `<x, e_i>` is x's own rating of
        item i.
      truth: [U, I] likewise, relevances that take the place of `<x, u>`, such as held-out ratings;
        None: there are none.
      seen: [U, I] likewise; a user's triples leave out items that are not zero here.
      training: [T, n] likewise, rows that baselines are fitted to; None: the users.
    """

    users: Any
    items: Any = None
    truth: Any = None
    seen: Any = None
    training: Any = None

    @property
    def listing(self) -> bool:
        """Whether a true score says what a user lists: zero for items that are not listed."""
        return self.items is None or self.truth is not None

    @property
    def shape(self) -> tuple[int, int]:
        """(U, I)."""
        return self.users.shape[0], (self.users if self.items is None else self.items.T).shape[1]

    def lengths(self) -> np.ndarray:
        """Count the entries of each user that are not zero, [U]."""
        return np.asarray((self.users != 0).sum(axis=1)).ravel()

    def ranking_users(self) -> np.ndarray:
        """Return the numbers of the users with at least two unseen items, and so with triples."""
        users, items = self.shape
        if self.seen is None:
            return np.arange(users)
        return np.flatnonzero(np.asarray((self.seen != 0).sum(axis=1)).ravel() <= items - 2)

    def user_rows(self, index: np.ndarray) -> np.ndarray:
        """Return users by number, [B, n] float32."""
        return dense(self.users, index)

    def relevance(self, index: np.ndarray) -> np.ndarray:
        """Return the rows of `truth` by user number, [B, I] float32."""
        return dense(self.truth, index)

    def item_rows(self, index: np.ndarray) -> np.ndarray:
        """Return items by number, [B, n] float32."""
        if self.items is not None:
            return dense(self.items, index)
        rows = np.zeros((len(index), self.users.shape[1]), np.float32)
        rows[np.arange(len(index)), index] = 1.0
        return rows


def whole(value: Any, name: str) -> int:
    """Return `value` as an int; raise ValueError unless it is a whole number of at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is a whole number, not {value!r}") from None
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"{name} is at least 1, not {value!r}")
    return number


def positive(value: Any, name: str, *, below: float = math.inf) -> float:
    """Return `value` as a float; raise ValueError unless 0 < value < below."""
    try:
        number = math.nan if isinstance(value, str | bytes | bool | np.bool_) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < below:
        raise ValueError(f"{name} is a number above 0 and below {below:g}, not {value!r}")
    return number


def vector(given: Any, name: str) -> np.ndarray:
    """Return numbers as float32 [n]; raise ValueError unless they are a finite vector."""
    found = _floats(given, name)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise ValueError(f"{name} is a vector of finite numbers, not {given!r}")
    return found


def matrix(given: Any, name: str) -> Any:
    """Return rows as a SciPy CSR matrix or an array, float32; raise ValueError unless finite."""
    sparse = scipy.sparse.issparse(given)
    rows = given.tocsr().astype(np.float32) if sparse else _floats(given, name)
    if rows.ndim != 2 or not np.isfinite(rows.data if sparse else rows).all():
        raise ValueError(f"{name}: not a matrix of finite numbers")
    return rows


def _floats(given: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(given, np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: not an array of numbers") from None


def dense(rows: Any, index: np.ndarray) -> np.ndarray:
    """Return rows by number of a dense array or a SciPy CSR matrix, [B, n] float32."""
    part = rows[index]
    return np.asarray(part.todense() if scipy.sparse.issparse(part) else part, np.float32)
