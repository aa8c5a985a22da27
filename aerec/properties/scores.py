"""The scores of users x items: the true ones, and those of the codes."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg

from aerec.properties import order
from aerec.properties.domain import dense
from aerec.properties.encoder import check_finite, finite_codes
from aerec.properties.problem import Problem

ScoreRows = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Scores(NamedTuple):
    """The score rows of data.

    A score difference over the larger norm of the two items is a relative margin.

    Attributes:
      rows: user numbers [B] -> true and latent scores, each [B, I], of users scaled to unit norm.
        The true score of an item that is not counted is NaN.
      true_norms, latent_norms: [I], norms of the items and of their codes; 1 for cosines.
    """

    rows: ScoreRows
    true_norms: np.ndarray
    latent_norms: np.ndarray

    def unseen(self, true_ties: float, latent_ties: float) -> float:
        """Return the relative margin of two small items up to which they may count as tied.

        Counts compare the scores of a row with the largest of them. The tolerances, which are
        relative, grow by the ratio of the largest norm of an item to the smallest one above 0.
        """
        pairs = ((true_ties, self.true_norms), (latent_ties, self.latent_norms))
        positive = [(ties, norms[norms > 0]) for ties, norms in pairs]
        return max(
            (float(ties * norms.max() / norms.min()) for ties, norms in positive if len(norms)),
            default=0.0,
        )


def true_rows(problem: Problem) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Return the true scores of a data domain, and the norms of the items, as in `Scores`."""
    data = problem.data
    vectors = data.items
    if vectors is None or data.truth is not None:
        norms = np.ones(data.shape[1])
    elif scipy.sparse.issparse(vectors):
        norms = scipy.sparse.linalg.norm(vectors, axis=1)
    else:
        norms = np.linalg.norm(vectors, axis=1)

    def rows(index):
        unit = order.unit(data.user_rows(index))
        if data.truth is not None:
            true = data.relevance(index)
        elif vectors is None:
            true = unit
        elif scipy.sparse.issparse(vectors):
            true = np.asarray((vectors @ unit.T).T)
        else:
            true = np.asarray(_product(unit, vectors))
        if problem.truth == "cosine":
            true = true / order.safe(norms).astype(np.float32)
        check_finite(true, true, "true scores")
        if data.seen is not None:
            true = np.where(dense(data.seen, index) == 0, true, np.float32(np.nan))
        return true

    return rows, np.ones_like(norms) if problem.truth == "cosine" else norms


def score_rows(problem: Problem) -> Scores:
    """Return the scores of a data domain; items are encoded once, and only codes are kept."""
    data, f, g = problem.data, problem.users, problem.items
    count = data.shape[1]
    truths, true_norms = true_rows(problem)
    pieces = np.array_split(np.arange(count), max(1, count // 512))
    codes = np.concatenate([finite_codes(g, data.item_rows(p), "an item") for p in pieces])
    # a constant adds the same to all scores of a user, at the cost of their precision (theorem B)
    moves = (codes != codes[:1]).any(axis=0) | (problem.latent == "cosine")
    codes = codes * moves
    codes = (codes / order.safe(abs(codes).max())).astype(np.float32)
    latent_norms = np.linalg.norm(codes, axis=1)
    if problem.latent == "cosine":
        codes, latent_norms = order.unit(codes), np.ones(count)

    def rows(index):
        queries = order.unit(finite_codes(f, data.user_rows(index), "a user") * moves)
        return truths(index), np.asarray(_product(queries, codes))

    return Scores(rows, true_norms, latent_norms)


@jax.jit
def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b.T, precision="highest")
