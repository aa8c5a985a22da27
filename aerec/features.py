"""Vectors of users and items in one R^n, computed from training data alone.

A user's vector follows from its row, so that users who were not trained on have one too. There are
five sources. X [U, N] is the training table, D its diagonal of clicks per item, a the `damping` and
p the `power`.

spectral: X D^-a = U S V', truncated to n singular values; the items are V S^p, and a user is the
  sum of its items, each weighted by D^-a. With a = p = 0 and no compression it is PureSVD
  (Cremonesi, Koren, Turrin: *Performance of recommender algorithms on top-n recommendation tasks*,
  RecSys 2010).
cooccurrence: the items are the columns of D^-a X'X D^-a at the n items with the most clicks; a user
  is the sum of its items, each weighted by D^-a.
ials: the factors of iALS with l2=.005 and alpha0=.25; a user is solved (`models.ials`).
content: 0 and 1 for each genre; a user is the mean of its items.
file: vectors that were read; a user is the mean of its items.

Vectors of fewer than n coordinates are padded with zeros.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from aerec.core import Batch, Facts, Table
from aerec.models import ials
from aerec.nn import content, layers

Origin = Literal["spectral", "ials", "content", "cooccurrence", "file"]
READ = ("content", "file")  # sources of items' vectors that do not depend on the ratings
DENSE = 400  # rows or columns of a table that is decomposed as a dense matrix
KEPT = 8  # decompositions that a process keeps

Parts = Mapping[str, jax.Array]  # {"items": [N, n], "weights": [N], "lengths": [2]}


class Source(NamedTuple):
    """Where vectors come from.

    Attributes:
      items: table -> (vectors of the items [N, n], their weights in a user's sum [N]).
      users: (parts, x) -> the users' vectors [B, n].
    """

    items: Callable[[Table], tuple[np.ndarray, np.ndarray]]
    users: Callable[[Parts, Batch], jax.Array]


def source(name: Origin, facts: Facts, *, size: int, damping: float, power: float) -> Source:
    """Return a source of vectors by its name.

    Args:
      facts: `column_features` [N, F] are the items' vectors of "content" and "file".
      size: n.
      damping, power: a and p of "spectral"; a also of "cooccurrence".
    """
    if name == "spectral":
        return Source(lambda table: _spectral(table, size, damping, power), _sums)
    if name == "cooccurrence":
        return Source(lambda table: _cooccurrence(table, size, damping), _sums)
    if name == "ials":
        model = ials.make(ials.Config(latent=size, l2=0.005, alpha0=0.25), facts)
        solve = model.solve
        assert solve is not None

        def solved(table: Table) -> tuple[np.ndarray, np.ndarray]:
            params = _kept(f"ials {size}", table, solve)
            return np.asarray(params["items"]), np.ones(table.num_columns)

        return Source(solved, lambda parts, x: model.encode({"items": parts["items"]}, x))
    return Source(lambda table: _given(name, table, facts, size), _means)


def compute(source: Source, table: Table) -> dict[str, jax.Array]:
    """Compute the vectors of a training table.

    Returns:
      {"items": [N, n], "weights": [N], "lengths": [2], the root mean squares of the lengths of all
      users' vectors and of all items'}, float32; vectors of zeros do not count.
    """
    items, weights = (jnp.asarray(part, jnp.float32) for part in source.items(table))
    parts = {"items": items, "weights": weights}
    squared = lambda v: np.sum(v**2, axis=1)  # noqa: E731
    users = over_users(lambda x: source.users(parts, x), table, squared)
    squares = np.concatenate(users), np.sum(np.asarray(items, np.float64) ** 2, axis=1)
    means = [np.mean(own[own > 0]) if own.any() else 1.0 for own in squares]
    return {**parts, "lengths": jnp.sqrt(jnp.asarray(means, jnp.float32))}


def extended(parts: Parts, vectors: jax.Array) -> dict[str, jax.Array]:
    """Append the vectors [M, F], F <= n, of new items of a source in `READ`."""
    new = jnp.pad(vectors, ((0, 0), (0, parts["items"].shape[1] - vectors.shape[1])))
    return {
        **parts,
        "items": jnp.concatenate([parts["items"], new]),
        "weights": jnp.append(parts["weights"], jnp.ones(len(new))),
    }


def over_users(
    users: Callable[[Batch], jax.Array],
    table: Table,
    function: Callable[[np.ndarray], Any],
    batch_size: int = 1024,
) -> list[Any]:
    """List `function` of the users' vectors [B, n] float64, block by block, on the host."""
    index, capacity = table.blocks(batch_size)
    vectors = jax.jit(lambda table, rows: users(table.gather(rows, capacity)))
    return [function(np.asarray(vectors(table, rows), np.float64)) for rows in index]


def signed(vectors: np.ndarray) -> np.ndarray:
    """Give each column [., n] the sign that makes its largest entry positive."""
    largest = np.argmax(np.abs(vectors), axis=0)
    return vectors * np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


def _sums(parts: Parts, x: Batch) -> jax.Array:
    return layers.product(x, parts["weights"][:, None] * parts["items"])


def _means(parts: Parts, x: Batch) -> jax.Array:
    ones = parts["weights"][:, None]
    return layers.product(x, parts["items"]) / jnp.maximum(layers.product(x, ones), 1e-30)


def _spectral(
    table: Table, size: int, damping: float, power: float
) -> tuple[np.ndarray, np.ndarray]:
    weights = _weights(table, damping)

    def decomposed(table: Table):
        matrix = _matrix(table) @ scipy.sparse.diags(weights)
        rank = min(size, *matrix.shape)
        if min(matrix.shape) <= max(DENSE, 2 * rank):
            _, values, right = np.linalg.svd(matrix.toarray(), full_matrices=False)
        else:
            _, values, right = scipy.sparse.linalg.svds(
                matrix, k=rank, solver="propack", return_singular_vectors="vh", random_state=0
            )
        order = np.argsort(-values, kind="stable")[:rank]
        return values[order], signed(right[order].T)

    values, right = _kept(f"spectral {size} {damping}", table, decomposed)
    inside = values > 1e-6 * values.max(initial=0.0)  # of a smaller rank, the rest are zero
    return _padded(right * np.where(inside, np.where(inside, values, 1) ** power, 0), size), weights


def _cooccurrence(table: Table, size: int, damping: float) -> tuple[np.ndarray, np.ndarray]:
    weights, matrix = _weights(table, damping), _matrix(table)
    context = np.argsort(-np.bincount(np.asarray(table.columns), minlength=len(weights)),
                         kind="stable")[:size]  # fmt: skip
    counts = (matrix.T @ matrix[:, context]).toarray()
    return _padded(weights[:, None] * counts * weights[context][None], size), weights


def _given(name: str, table: Table, facts: Facts, size: int) -> tuple[np.ndarray, np.ndarray]:
    return content.padded(name, facts.column_features, size), np.ones(table.num_columns)


def _weights(table: Table, damping: float) -> np.ndarray:
    """Compute D^-a [N] float64; an item without a click counts as one with one."""
    clicks = np.bincount(np.asarray(table.columns), minlength=table.num_columns)
    return np.maximum(clicks, 1.0) ** -damping


def _matrix(table: Table) -> scipy.sparse.csr_matrix:
    row, column, value = table.entries()
    shape = (table.num_rows, table.num_columns)
    return scipy.sparse.csr_matrix((value.astype(np.float64), (row, column)), shape)


def _padded(vectors: np.ndarray, size: int) -> np.ndarray:
    return np.pad(vectors, ((0, 0), (0, size - vectors.shape[1])))


_CACHE: dict[str, Any] = {}


def _kept(settings: str, table: Table, function: Callable[[Table], Any]) -> Any:
    """Return function(table), from this process's cache if it was computed there before."""
    arrays = (table.indptr, table.columns, table.values)
    digest = hashlib.sha256(f"{settings} {table.num_columns}".encode())
    for array in arrays:
        digest.update(np.asarray(array).tobytes())
    key = digest.hexdigest()
    if key not in _CACHE:
        while len(_CACHE) >= KEPT:
            _CACHE.pop(next(iter(_CACHE)))
        _CACHE[key] = function(table)
    return _CACHE[key]
