"""Sparse EASE: each item is predicted from its most similar items alone, in closed form.

EASE's weights of item i are a ridge regression of its column on all others (Steck: *Embarrassingly
Shallow Autoencoders for Sparse Data*, WWW 2019, eq. 4). Here the regression is on the k items D of
the largest cosine with i, a sparse graph as in Steck: *Markov Random Fields for Collaborative
Filtering*, NeurIPS 2019 (section 3.2): with G = X'X,

    w_i = (G_DD + Lambda_D)^-1 G_Di

and a user's score of i is sum_{j in D} x_j w_ij. Lambda is that of `ease`: l2, and with `dropout` a
penalty that grows with an item's clicks. Items that nobody clicked together are no neighbours; if
all are, k = N - 1 is EASE. G is kept sparse, and the weights are N k numbers and as many items.

Departures: the paper inverts one submatrix for several items at once and averages what overlaps;
here each item has its own system, so that its weights are the exact minimum on its neighbours.
Neighbours are by cosine and not by a threshold of the correlation.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from aerec import memory
from aerec.configuration import Count, Positive, Probability, settings
from aerec.core import Batch, Facts, Model, Table, Traits
from aerec.nn import layers
from aerec.space import Log, LogIntegers, Space, Uniform

BLOCK = 1024  # items whose scores are computed at once
SYSTEMS = 1 << 26  # cells of the systems that are solved at once


@settings
class Config:
    neighbours: Count = 100  # k, the items that predict an item
    l2: Positive = 100.0  # lambda
    dropout: Probability = 0.3  # p of the penalty that grows with an item's clicks


SPACE: Space = {
    "neighbours": LogIntegers(10, 500),
    "l2": Log(1, 1e4),
    "dropout": Uniform(0, 0.9),
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks."""
    del config
    return Traits(task="ranking", linear=True)


def make(config: Config, facts: Facts) -> Model:
    """Build the model over N items; params {"items", "weights"}: [N, k]; the code is the score.

    Raises:
      memory.TooLarge: from `solve`, if the items that are clicked together do not fit.
    """
    num_columns = facts.num_columns
    width = max(1, min(config.neighbours, num_columns - 1))

    def init(key: jax.Array):
        del key
        return {
            "items": jnp.full((num_columns, width), num_columns, jnp.int32),
            "weights": jnp.zeros((num_columns, width)),
        }

    def score(params, x: Batch) -> jax.Array:
        return _scores(layers.dense(x), params["items"], params["weights"])

    def solve(table: Table):
        return solved(table, width, config.l2, config.dropout)

    return Model(traits(config), init=init, encode=score, score=score, solve=solve)


def _scores(x: jax.Array, items: jax.Array, weights: jax.Array) -> jax.Array:
    """Compute sum_t x[:, items[i, t]] weights[i, t] of each item i, [B, N], block by block."""
    columns = jnp.asarray(x).T

    def block(given):
        items, weights = given
        read = columns.at[items].get(mode="fill", fill_value=0)  # [k, B]
        return weights @ read

    return jax.lax.map(block, (items, weights), batch_size=min(BLOCK, len(items))).T


def solved(table: Table, width: int, l2: float, dropout: float) -> dict[str, jax.Array]:
    """Find the neighbours of each item and their weights, on the host.

    Args:
      width: k.
    """
    num_columns = table.num_columns
    pairs = float(np.sum(table.lengths().astype(float) ** 2))
    cells = min(pairs, float(num_columns) ** 2)
    memory.require(
        int(20 * cells),
        f"Sparse EASE's products of items that {table.num_rows:,} users clicked together",
        "train on fewer users, or a model that needs no products of items (elsa, multvae)",
    )
    row, column, value = table.entries()
    shape = (table.num_rows, num_columns)
    matrix = scipy.sparse.csr_array((value, (row, column)), shape)
    gram = (matrix.T @ matrix).tocsr()
    counts = gram.diagonal()
    penalty = np.append(l2 + dropout / (1 - dropout) * counts, 1)
    items = np.full((num_columns, width), num_columns, np.int32)
    weights = np.zeros((num_columns, width), np.float32)
    size = max(1, SYSTEMS // width**2)
    for first in range(0, num_columns, size):
        own = slice(first, min(first + size, num_columns))
        items[own] = _nearest(gram, counts, own, width)
        weights[own] = _regressed(gram, penalty, items[own], own)
    return {"items": jnp.asarray(items), "weights": jnp.asarray(weights)}


def _nearest(gram, counts: np.ndarray, own: slice, width: int) -> np.ndarray:
    """Return the `width` items of the largest cosine with each item, [n, k]; N fills up.

    Ties go to the item with the lower number.
    """
    num_columns = len(counts)
    found = np.full((own.stop - own.start, width), num_columns, np.int32)
    for place, item in enumerate(range(own.start, own.stop)):
        at = slice(gram.indptr[item], gram.indptr[item + 1])
        others, products = gram.indices[at], gram.data[at]
        cosine = np.where(others == item, -np.inf, products / np.sqrt(counts[others]))
        best = np.lexsort((others, -cosine))[: min(width, len(others) - 1)]
        found[place, : len(best)] = np.sort(others[best])
    return found


def _regressed(gram, penalty: np.ndarray, items: np.ndarray, own: slice) -> np.ndarray:
    """Solve the ridge regressions of a block of items on their neighbours, [n, k].

    A row of G is spread out once, and read for all systems in which its item is a neighbour.
    """
    num_columns, (count, width) = len(penalty) - 1, items.shape
    systems = np.zeros((count, width, width), np.float32)
    products = np.zeros((count, width, 1), np.float32)
    spread = np.zeros(num_columns + 1, np.float32)
    order = np.argsort(items, axis=None, kind="stable")
    neighbours, firsts = np.unique(items.ravel()[order], return_index=True)
    for item, places in zip(neighbours, np.split(order, firsts[1:]), strict=True):
        if item == num_columns:
            continue
        at = slice(gram.indptr[item], gram.indptr[item + 1])
        spread[gram.indices[at]] = gram.data[at]
        of, place = np.divmod(places, width)
        systems[of, place] = spread[items[of]]
        products[of, place, 0] = spread[own.start + of]
        spread[gram.indices[at]] = 0
    diagonal = np.arange(width)
    systems[:, diagonal, diagonal] += penalty[items]
    return np.linalg.solve(systems, products)[:, :, 0]
