"""A domain: a set of vectors with a distribution of triples (x, u, v) on it.

A verdict holds on a named domain and nowhere else, so a domain is one value that the counters,
the searches and the certificates share: how to draw from it, how to move inside it, and what
belongs to it. `samplers` makes them.
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.sparse

Points = Callable[[jax.Array, int], jax.Array]


class Crossing(NamedTuple):
    """Users x items: every pair of a user row and two item rows is a triple.

    `users [U, n]`: dense array or SciPy CSR matrix. `items [I, n]` likewise, or None for the
    standard basis, so that `<x, e_i>` is x's own rating of item i.
    """

    users: Any
    items: Any

    @property
    def shape(self) -> tuple[int, int]:
        return self.users.shape[0], (self.users if self.items is None else self.items.T).shape[1]

    def user_rows(self, index: np.ndarray) -> np.ndarray:
        return _dense(self.users, index)

    def item_rows(self, index: np.ndarray) -> np.ndarray:
        if self.items is not None:
            return _dense(self.items, index)
        rows = np.zeros((len(index), self.users.shape[1]), np.float32)
        rows[np.arange(len(index)), index] = 1.0
        return rows


class Sides(NamedTuple):
    """One x `[n]` and the boxes, (low, high) each, that it tells apart: `<x, u> > <x, v>`."""

    x: np.ndarray
    u: tuple[np.ndarray, np.ndarray]
    v: tuple[np.ndarray, np.ndarray]

    def hold(self, x: np.ndarray, u: np.ndarray, v: np.ndarray) -> bool:
        """Whether x is the one and u and v are each in its box."""
        within = [((p >= low) & (p <= high)).all() for p, (low, high) in ((u, self.u), (v, self.v))]
        return np.array_equal(x, self.x) and all(within)


class Domain(NamedTuple):
    """A set of vectors of R^n with a distribution of triples on it.

    `triples(key, count)` -> x, u, v. `points(key, count)` -> points for any role. `step(points,
    direction, rate)` moves along a direction (one `[count, n]` gradient) without leaving the
    domain. `contains(points)` -> which float64 rows belong to it. `continuous`: whether small
    perturbations stay inside. `whole`: whether all of R^n belongs. `crossing`: the data, where
    the domain is made of rows. `box`: its ends, where it is one. `sides`: the part that each
    vector of a triple has, where they have different ones.
    """

    name: str
    dimension: int
    triples: Callable[[jax.Array, int], tuple[Any, Any, Any]]
    points: Points
    step: Callable[[jax.Array, jax.Array, float], jax.Array]
    contains: Callable[[np.ndarray], Any]
    continuous: bool = True
    whole: bool = False
    crossing: Crossing | None = None
    box: tuple[np.ndarray, np.ndarray] | None = None
    sides: Sides | None = None


def whole(value: Any, name: str) -> int:
    """`value` as an int. Raises ValueError, with the name, unless it is whole and at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is a whole number, not {value!r}") from None
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"{name} is at least 1, not {value!r}")
    return number


def _dense(rows: Any, index: np.ndarray) -> np.ndarray:
    part = rows[index]
    return np.asarray(part.todense() if scipy.sparse.issparse(part) else part, np.float32)
