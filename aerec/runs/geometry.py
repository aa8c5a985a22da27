"""The geometry of a run's item codes: what they allow for any query, and for the run's users."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aerec.core import Table
from aerec.data.splits import Split
from aerec.errors import BadInput
from aerec.host_table import on_device
from aerec.properties import geometry, reachability
from aerec.properties.geometry import Margin
from aerec.properties.reachability import Ceiling, Reachability
from aerec.runs.artefact import Artefact
from aerec.runs.spec import oriented

Progress = Callable[[str, int, int], object]  # called as progress(stage, done, of)
BLOCK = 256  # rows whose queries are computed at once


class Geometry(NamedTuple):
    """What the item codes of a run allow.

    Attributes:
      items, dimension: I and d.
      reachability: which items some query ranks first, and which the training users' queries do.
      ceiling: for which of a sample of test users some query makes no mistake on the first k
        places; None if nothing is held out.
      capacity: log2 of the orders that d dimensions express, and of all orders.
      margin: of the sampled users' held-out items; None if nothing is held out.
      k: places.
    """

    items: int
    dimension: int
    reachability: Reachability
    ceiling: Ceiling | None
    capacity: tuple[float, float]
    margin: Margin | None
    k: int


def examine(
    artefact: Artefact,
    split: Split,
    *,
    k: int = 10,
    users: int = 200,
    seed: int = 0,
    progress: Progress = lambda stage, done, of: None,
) -> Geometry:
    """Examine the item codes of a model whose scores are `<q, g> + b`.

    Theorem T8 of docs/theory.md.

    Args:
      split: the run's own.
      k: places of a ranking.
      users: test users drawn for ceiling and margin.
      seed: of that draw.
      progress: called as progress(stage, done, of).

    Raises:
      BadInput: the model does not rank by a dot product.
    """
    require_codes(artefact)
    model, params = artefact.model, artefact.params
    assert model.item_codes is not None and model.item_bias is not None
    (split,) = oriented(model.traits, [split])
    with jax.default_matmul_precision("highest"):
        codes = np.asarray(model.item_codes(params), np.float64)
        offsets = np.asarray(model.item_bias(params), np.float64)
        bias = offsets if np.ptp(offsets) else None  # equal ones rank no item above another
        own = _queries(artefact, on_device(split.train), np.arange(split.train.num_rows))
        tested = np.flatnonzero(split.test.target.lengths())
        tested = np.sort(np.random.default_rng(seed).permutation(tested)[:users])
        asked = _queries(artefact, split.test.input, np.asarray(split.test.rows), tested)
    ceiling = margin = None
    if len(tested):
        targets, seen = (
            [np.asarray(part.columns)[slice(*np.asarray(part.indptr)[r : r + 2])] for r in tested]
            for part in (split.test.target, split.test.input)
        )
        ceiling = reachability.ceiling(
            codes, bias, targets, seen if split.mask_seen else [()] * len(targets), asked, k=k,
            progress=functools.partial(progress, "ceiling"),
        )  # fmt: skip
        margin = geometry.margin(asked, codes, bias, targets, k=k)
    reached = reachability.reachable(
        codes, bias, own, progress=functools.partial(progress, "reachability")
    )
    items, dimension = codes.shape
    capacity = geometry.capacity(items, dimension)
    return Geometry(items, dimension, reached, ceiling, capacity, margin, k)


def require_codes(artefact: Artefact) -> None:
    """Raise BadInput unless the model ranks items by a dot product of queries and item codes."""
    codes = artefact.model.item_codes
    if codes is None or not jax.eval_shape(codes, artefact.params).shape[1]:
        name = artefact.config["model"]
        raise BadInput(f"{name} ranks by no dot product of queries and item codes: no geometry")
    if artefact.config["item_based"]:
        raise BadInput("the columns of an item-based model are users: it has no codes of items")


def figures(found: Geometry) -> dict[str, float | int | None]:
    """Tabulate the figures of a geometry by name."""
    ceiling, margin = found.ceiling, found.margin
    return {
        "items": found.items,
        "dimension": found.dimension,
        "reachable": found.reachability.by,
        "reachable by the users": found.reachability.by_users,
        "unreachable, proven": float(found.reachability.unreachable.mean()),
        "undecided items": found.reachability.undecided,
        f"ceiling at {found.k}": None if ceiling is None else ceiling.share,
        "ceiling, low": None if ceiling is None else ceiling.interval[0],
        "ceiling, high": None if ceiling is None else ceiling.interval[1],
        "users without a mistake": None if ceiling is None else ceiling.by_users,
        "log2 of orders expressed": found.capacity[0],
        "log2 of all orders": found.capacity[1],
        "margin, median": None if margin is None else float(np.median(margin.observed)),
        "margin, best possible for all sets": None if margin is None else margin.best,
        "margin that a random projection keeps": None if margin is None else margin.safe,
    }


def _queries(artefact: Artefact, table: Table, numbers: np.ndarray, which=None) -> np.ndarray:
    """Compute queries [U, d] of the rows `which` of a table, or of all.

    `numbers` [R] are those of the rows in training.
    """
    which = np.arange(table.num_rows) if which is None else which
    query = jax.jit(artefact.model.queries)  # type: ignore[arg-type]
    capacity = int(max(1, np.sort(table.lengths())[-BLOCK:].sum()))
    numbers = np.append(numbers, np.iinfo(np.int32).max)  # the last one of padding
    parts = [np.zeros((0, 0))] * (not len(which))
    for first in range(0, len(which), BLOCK):
        rows = np.full(BLOCK, table.num_rows, np.int32)  # the others are padding
        rows[: len(which[first : first + BLOCK])] = which[first : first + BLOCK]
        x: Any = table.gather(jnp.asarray(rows), capacity)
        x = x.replace(index=jnp.asarray(numbers[rows], jnp.int32))
        parts.append(np.asarray(query(artefact.params, x), np.float64))
    return np.concatenate(parts)[: len(which)]
