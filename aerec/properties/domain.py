"""A domain: a set of vectors with a distribution of triples (x, u, v) on it.

A verdict holds on a named domain and nowhere else. A domain is therefore one value that counters,
searches and certificates share: how to draw from it, how to move inside it, and what belongs to it.
`samplers` defines the domains.
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.sparse

Points = Callable[[jax.Array, int], jax.Array]


class Crossing(NamedTuple):
    """Users x items: a user row and two item rows form a triple.

    Attributes:
      users: [U, n], a dense array or a SciPy CSR matrix.
      items: [I, n] likewise; None for the standard basis, so that `<x, e_i>` is x's own rating of
        item i.
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
    """One x [n] and two boxes, (low, high) each, that it separates: `<x, u> > <x, v>`."""

    x: np.ndarray
    u: tuple[np.ndarray, np.ndarray]
    v: tuple[np.ndarray, np.ndarray]

    def hold(self, x: np.ndarray, u: np.ndarray, v: np.ndarray) -> bool:
        """Return whether x is this x, u is in the first box, and v is in the second."""
        within = [((p >= low) & (p <= high)).all() for p, (low, high) in ((u, self.u), (v, self.v))]
        return np.array_equal(x, self.x) and all(within)


class Domain(NamedTuple):
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
      whole: whether the domain is all of R^n.
      crossing: the data, if the domain consists of rows.
      box: (low, high), if the domain is a box.
      sides: the sets of x, u and v, if they differ.
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
    """Return `value` as an int; raise ValueError unless it is a whole number of at least 1."""
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
