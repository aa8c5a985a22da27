"""Scores that need no encoder, for comparison on the same data."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy.linalg
import scipy.sparse.linalg

from aerec.properties.domain import Data

Scorer = Callable[[np.ndarray], np.ndarray]  # user numbers [B] -> scores [B, I]
PROJECTION = "random projection"
_GRAM = 5000  # rows or columns up to which a Gram matrix is dense


def baselines(data: Data, m: int, key: jax.Array) -> dict[str, Scorer]:
    """Return scores of the items of data by name.

    They are a truncated singular value decomposition of the training rows and a random projection,
    both of rank m, which take the place of the encoder; and popularity, which knows no user. The
    decomposition is computed when it is first called. Consumes `key`.
    """
    seed = np.asarray(jax.random.key_data(key)).tolist()
    weights = np.random.default_rng(seed).standard_normal((data.dimension, m), np.float32)
    training = data.users if data.training is None else data.training
    decomposed = functools.cache(lambda: _projected(data, principal(training, m)))
    return {
        "truncated SVD": lambda index: decomposed()(index),
        PROJECTION: _projected(data, weights),
        "popularity": popularity(data, training),
    }


def popularity(data: Data, training: Any) -> Scorer:
    """Return the same scores for every user: how many list an item, or the mean true score."""
    if data.items is None:
        scores = np.asarray((training != 0).sum(axis=0), np.float32).ravel()
    else:
        scores = np.asarray(data.items @ np.asarray(training.mean(axis=0)).ravel(), np.float32)
    return lambda index: np.broadcast_to(scores, (len(index), len(scores)))


def principal(users: Any, m: int) -> np.ndarray | None:
    """Return the leading m right singular vectors of users [U, n], [n, m] float32.

    None where they would lose nothing of any user: m is the least of the shape, or no user lists
    anything. Lanczos iterations (ARPACK) are faster than the eigenvectors of the smaller Gram
    matrix for a small share of them: at 3,706 columns 12 s of a core to 23 for 200 of them, 68 s to
    19 for 601.
    """
    least = min(users.shape)
    if m >= least or not (users != 0).sum():
        return None
    if least <= _GRAM and 15 * m > least:
        top = {"subset_by_index": (least - m, least - 1)}
        if least == users.shape[1]:
            return scipy.linalg.eigh(_dense(users.T @ users), **top)[1]
        power, left = scipy.linalg.eigh(_dense(users @ users.T), **top)
        kept = power > power[-1] * least * np.finfo(power.dtype).eps
        return users.T @ (left[:, kept] / np.sqrt(power[kept]))
    start = np.random.default_rng(0).standard_normal(least, np.float32)
    return scipy.sparse.linalg.svds(users, k=m, v0=start, return_singular_vectors="vh")[2].T


def _projected(data: Data, weights: np.ndarray | None) -> Scorer:
    """Return the scores `<x W, u W>`, of W [n, m]; `<x, u>` for None."""
    users, items = data.users, data.items
    if weights is None:
        codes = items if items is not None else scipy.sparse.eye_array(data.dimension, format="csr")
        return lambda index: _dense(users[index] @ codes.T)
    codes = weights if items is None else items @ weights
    return lambda index: (users[index] @ weights) @ codes.T


def _dense(scores: Any) -> np.ndarray:
    return scores.toarray() if scipy.sparse.issparse(scores) else np.asarray(scores)
