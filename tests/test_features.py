"""Vectors of users and items: formulas, fold-in, no leak, computed once."""

import jax.numpy as jnp
import numpy as np
import pytest

from aerec import features, models
from aerec.core import Facts, Table
from aerec.data import protocols
from aerec.data.datasets import synthesize
from aerec.errors import BadInput

U, N, SIZE = 14, 9, 4


@pytest.fixture(scope="module")
def clicks():
    x = np.random.default_rng(0).random((U, N)) < 0.4
    x[0], x[:, 2] = False, False  # an empty row, and an item without a click
    return x.astype(np.float32)


def table(x):
    row, column = np.nonzero(x)
    shape = {"num_rows": x.shape[0], "num_columns": x.shape[1]}
    return Table.from_entries(row, column, x[row, column], **shape)


def source(name, size=SIZE, *, columns=None, damping=0.3, power=0.25):
    facts = Facts(U, N, column_features=columns)
    return features.source(name, facts, size=size, damping=damping, power=power)


def users_of(source, found, x):
    blocks = features.over_users(lambda x: source.users(found, x), table(x), lambda v: v, 6)
    return np.concatenate(blocks)[:U]


def damped(x, by=0.3):
    return np.diag(np.maximum(x.sum(0), 1.0) ** -by)


def test_spectral_vectors_are_those_of_the_damped_table(clicks):
    found = features.compute(source("spectral"), table(clicks))
    weights = damped(clicks)
    _, values, right = np.linalg.svd(clicks @ weights)
    expected = right[:SIZE].T * values[:SIZE] ** 0.25
    items = np.asarray(found["items"], float)
    np.testing.assert_allclose(items @ items.T, expected @ expected.T, atol=1e-5)
    users = users_of(source("spectral"), found, clicks)
    np.testing.assert_allclose(users, clicks @ weights @ items, atol=1e-5)
    np.testing.assert_allclose(users @ items.T,
                               clicks @ weights @ expected @ expected.T, atol=1e-5)  # fmt: skip
    assert (items[np.abs(items).argmax(0), np.arange(SIZE)] > 0).all(), "signs are fixed"


def test_without_damping_and_power_all_coordinates_give_the_row_back(clicks):
    full = source("spectral", 12, damping=0.0, power=0.0)
    found = features.compute(full, table(clicks))
    users = users_of(full, found, clicks)
    items = np.asarray(found["items"])
    np.testing.assert_allclose(users @ items.T, clicks, atol=1e-5)
    assert items.shape == (N, 12) and not items[:, 8:].any(), "its rank is 8, the rest is padding"


def test_a_sparse_decomposition_equals_the_dense_one(monkeypatch):
    x = (np.random.default_rng(1).random((40, 30)) < 0.3).astype(np.float32)
    dense = features.compute(source("spectral", 5), table(x))
    monkeypatch.setattr(features, "DENSE", 0)
    monkeypatch.setattr(features, "_CACHE", {})
    sparse = features.compute(source("spectral", 5), table(x))
    np.testing.assert_allclose(sparse["items"], dense["items"], atol=1e-4)


def test_cooccurrence_counts_the_users_of_two_items(clicks):
    found = features.compute(source("cooccurrence"), table(clicks))
    weights = damped(clicks)
    pairs = weights @ clicks.T @ clicks @ weights
    context = np.argsort(-clicks.sum(0), kind="stable")[:SIZE]
    np.testing.assert_allclose(found["items"], pairs[:, context], atol=1e-5)
    np.testing.assert_allclose(found["weights"], np.diag(weights), rtol=1e-6)


def test_users_of_ials_are_solved(clicks):
    found = features.compute(source("ials"), table(clicks))
    model = models.build("ials", {"latent": SIZE}, Facts(U, N))
    params, x = model.solve(table(clicks)), table(clicks).gather(jnp.arange(U), U * N)
    scores = users_of(source("ials"), found, clicks) @ np.asarray(found["items"]).T
    np.testing.assert_allclose(scores, model.score(params, x), atol=1e-4)


def test_a_user_is_the_mean_of_given_vectors(clicks):
    columns = np.random.default_rng(2).normal(size=(N, 3)).astype(np.float32)
    given = source("content", columns=columns)
    found = features.compute(given, table(clicks))
    np.testing.assert_array_equal(found["items"], np.pad(columns, ((0, 0), (0, 1))))
    users = users_of(given, found, clicks)
    for x, user in zip(clicks, users, strict=True):
        expected = columns[x > 0].mean(0) if x.any() else np.zeros(3)
        np.testing.assert_allclose(user[:3], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["spectral", "ials", "content", "cooccurrence"])
def test_rows_of_any_form_and_the_lengths(name, clicks):
    given = source(name, columns=np.eye(N, SIZE, dtype=np.float32))
    found, x = features.compute(given, table(clicks)), table(clicks).gather(jnp.arange(U), U * N)
    users = np.asarray(given.users(found, x), float)
    np.testing.assert_allclose(given.users(found, x.dense()), users, atol=1e-5)
    items = np.asarray(found["items"], float)
    for vectors, length in zip((users, items), found["lengths"], strict=True):
        squares = (vectors**2).sum(1)
        np.testing.assert_allclose(length, np.sqrt(squares[squares > 0].mean()), rtol=1e-5)


def test_vectors_that_are_missing_or_too_wide(clicks):
    with pytest.raises(BadInput, match="features=content needs vectors of the items"):
        features.compute(source("content"), table(clicks))
    wide = source("file", columns=np.ones((N, SIZE + 1), np.float32))
    with pytest.raises(BadInput, match="have 5 coordinates: set size=5, not 4"):
        features.compute(wide, table(clicks))


def test_a_table_is_decomposed_once(clicks, monkeypatch):
    decomposed = []
    svd = np.linalg.svd
    monkeypatch.setattr(np.linalg, "svd", lambda *a, **k: decomposed.append(1) or svd(*a, **k))
    monkeypatch.setattr(features, "_CACHE", {})
    for power in (0.0, 0.5):
        features.compute(source("spectral", power=power), table(clicks))
    assert len(decomposed) == 1
    features.compute(source("spectral", damping=0.4), table(clicks))
    features.compute(source("spectral"), table(clicks[::-1]))
    assert len(decomposed) == 3
    for damping in np.arange(features.KEPT):
        features.compute(source("spectral", damping=float(damping)), table(clicks))
    assert len(features._CACHE) == features.KEPT


@pytest.mark.parametrize("name", ["spectral", "ials", "cooccurrence"])
def test_only_the_training_part_is_read(name, monkeypatch):
    """Other held-out clicks give the same bits, other clicks in training do not."""
    ratings = synthesize(users=60, items=20, ratings=500)[0]
    split = protocols.parse("strong:threshold=3").split(ratings, seed=0)

    def less(part):
        row, column, value = part.entries()
        return Table.from_entries(row[::2], column[::2], value[::2], num_rows=part.num_rows,
                                  num_columns=part.num_columns)  # fmt: skip

    def held(part):
        return part._replace(input=less(part.input), target=less(part.target))

    def frozen(split):
        monkeypatch.setattr(features, "_CACHE", {})
        given = {"features": name, "size": SIZE, "latent": 2}
        model = models.build("factor_ae", given, Facts.of(split.train))
        return model.frozen(split.train)["features"]

    once = frozen(split)
    again = frozen(split._replace(valid=held(split.valid), test=held(split.test)))
    for part in once:
        np.testing.assert_array_equal(once[part], again[part])
    other = frozen(split._replace(train=less(split.train)))
    assert not np.allclose(once["items"], other["items"])
