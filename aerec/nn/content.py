"""Features of items as a further input of a network: hybrid autoencoders.

Strub, Gaudel, Mary: *Hybrid Recommender System based on Autoencoders*, DLRS 2016: side information
is appended to what the first layer reads. A row that is an item has its own features; a row that is
a user has the mean of the features of the items that it lists, so that new users have some too.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from aerec.core import Batch, Facts, Rows, Table
from aerec.errors import BadInput
from aerec.nn import layers


class Content(nn.Module):
    """Features of the rows of a batch, [B, F]; those of the items are data and are not trained.

    A row is an item of training where `Rows.index` says which; all other rows have zeros.

    Attributes:
      items: how many there are.
      size: F.
      own: whether rows are items; they are users otherwise.
    """

    items: int
    size: int
    own: bool = False

    @nn.compact
    def __call__(self, x: Batch) -> jax.Array:
        known = self.variable("content", "items", jnp.zeros, (self.items, self.size)).value
        if self.own:
            index = x.index if isinstance(x, Rows) else jnp.full(x.shape[0], self.items)
            index = jnp.where(index < 0, self.items, index)  # a gather reads -1 from the end
            return known.at[index].get(mode="fill", fill_value=0)
        listed = layers.apply(x, lambda values: (values != 0).astype(values.dtype))
        counts = layers.product(listed, jnp.ones((self.items, 1)))
        return layers.product(listed, known) / jnp.maximum(counts, 1)


def module(name: str, facts: Facts, *, size: int, own: bool = False) -> Content | None:
    """Return the module for the features `name`; None if a model reads none ('')."""
    return Content(facts.num_rows if own else facts.num_columns, size, own) if name else None


def frozen(module: Content | None, name: str, facts: Facts) -> Callable | None:
    """Return `Model.frozen` of a network whose attribute `content` is the module; None without one.

    Raises:
      BadInput: from the returned function, as `padded`.
    """
    if module is None:
        return None

    def known(table: Table) -> dict[str, Any]:
        del table
        vectors = facts.row_features if module.own else facts.column_features
        items = jnp.asarray(padded(name, vectors, module.size), jnp.float32)
        return {"content": {"content": {"items": items}}}

    return known


def padded(name: str, vectors: np.ndarray | None, size: int) -> np.ndarray:
    """Pad vectors [N, F] of items to [N, size] with zeros.

    Raises:
      BadInput: there are none, or they are wider.
    """
    if vectors is None:
        raise BadInput(f"features={name} needs vectors of the items, and none were given")
    if (width := vectors.shape[1]) > size:
        raise BadInput(f"the items' vectors have {width} coordinates: set size={width}, not {size}")
    return np.pad(vectors, ((0, 0), (0, size - width)))
