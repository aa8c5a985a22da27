"""One battery for every model of the registry: a new line in `MODELS` is covered untouched."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from aerec import models
from aerec.core import Facts, Table
from aerec.models import MODELS
from aerec.runs import artefact

U, N = 12, 23  # N is like no other size in a model, so that its axes can be told
NAMES = sorted(MODELS)
SMALL = {"hidden": (8,), "latent": 4}  # where a model has such settings; the rest are its defaults


def build(name):
    fields = {field.name for field in dataclasses.fields(MODELS[name].Config)}
    small = {setting: value for setting, value in SMALL.items() if setting in fields}
    return models.build(name, small, Facts(U, N)), small


TRAINED = [name for name in NAMES if build(name)[0].loss is not None]


def table(seed=0, *, rows=U, ratings=False):
    """Random rows; the first is empty, the second lists every column."""
    rng = np.random.default_rng(seed)
    listed = rng.random((rows, N)) < 0.3
    listed[0], listed[1] = False, True
    row, column = np.nonzero(listed)
    values = rng.integers(1, 6, len(row)) if ratings else np.ones(len(row))
    return Table.from_entries(row, column, values, num_rows=rows, num_columns=N)


def prepared(name, seed=0):
    """(model, params, table): solved, or at a random point with every leaf away from zero."""
    model, _ = build(name)
    train = table(seed, ratings=models.traits(name, {}).task == "rating")
    if model.solve is not None:
        return model, model.solve(train), train
    params = model.init(jax.random.key(seed))
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    pairs = zip(leaves, keys, strict=True)
    moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in pairs]
    return model, jax.tree.unflatten(treedef, moved), train


def batch(train, *, extra=0, padding_rows=0):
    index = jnp.concatenate([jnp.arange(U), jnp.full(padding_rows, U)]).astype(jnp.int32)
    return train.gather(index, len(train.columns) + extra)


@pytest.mark.parametrize("name", NAMES)
def test_is_trained_or_solved_and_says_its_task(name):
    model, _ = build(name)
    assert (model.loss is None) != (model.solve is None)
    assert models.traits(name, {}).task in ("rating", "ranking")
    assert dataclasses.is_dataclass(MODELS[name].Config)
    assert "Departures" in MODELS[name].__doc__ or name in ("popularity", "bias")


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_finite_on_empty_and_full_rows(name):
    model, params, train = prepared(name)
    x = batch(train)
    z, y = model.encode(params, x), model.score(params, x)
    assert z.ndim == 2 and z.shape[0] == U
    chex.assert_shape(y, (U, N))
    chex.assert_tree_all_finite((z, y))
    if model.loss is not None:
        total, weight = model.loss(params, x, jax.random.key(2), jnp.int32(0))
        chex.assert_shape([total, weight], (U,))
        chex.assert_tree_all_finite((total, weight))
        assert total[0] == 0 and weight[0] == 0, "an empty row adds nothing to the objective"


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_queries_times_item_codes_where_it_says_so(name):
    model, params, train = prepared(name)
    given = {model.queries is None, model.item_codes is None, model.item_bias is None}
    assert len(given) == 1, "all three or none"
    if model.queries is None:
        return
    x, codes, bias = batch(train), model.item_codes(params), model.item_bias(params)
    chex.assert_shape([codes, bias], [(N, codes.shape[1]), (N,)])
    products = np.asarray(model.queries(params, x), float) @ np.asarray(codes, float).T
    chex.assert_trees_all_close(
        np.asarray(model.score(params, x), float), products + np.asarray(bias, float),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


def test_most_models_rank_by_a_dot_product():
    assert {name for name in NAMES if build(name)[0].queries is None} == {
        "cdae",
        "dae",
        "elsa",
        "deeprec",
    }


@pytest.mark.parametrize("name", NAMES)
def test_solve_fills_the_shapes_of_init(name):
    model, params, _ = prepared(name)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, model.init(jax.random.key(0)))


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name):
    model, params, train = prepared(name)
    plain, padded = batch(train), batch(train, extra=17, padding_rows=3)
    for read in (model.encode, model.score):
        chex.assert_trees_all_close(read(params, padded)[:U], read(params, plain), atol=1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_padded_entries_change_no_loss_and_padded_rows_weigh_nothing(name):
    model, params, train = prepared(name)
    want = model.loss(params, batch(train), jax.random.key(3), jnp.int32(5))
    got = model.loss(params, batch(train, extra=17), jax.random.key(3), jnp.int32(5))
    chex.assert_trees_all_close(got, want, rtol=1e-5)
    total, weight = model.loss(
        params, batch(train, padding_rows=3), jax.random.key(3), jnp.int32(5)
    )
    assert not total[U:].any() and not weight[U:].any()


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_their_dense_block_score_alike(name):
    model, params, train = prepared(name)
    x = train.gather(jnp.array([1]), N)  # the row that lists every column
    x = dataclasses.replace(x, index=jnp.array([-1]))  # like a block's, of no row trained on
    for read in (model.encode, model.score):
        chex.assert_trees_all_close(read(params, x.dense()), read(params, x), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_jit_equals_eager(name):
    model, params, train = prepared(name)
    x = batch(train)
    chex.assert_trees_all_close(
        jax.jit(model.score)(params, x), model.score(params, x), atol=1e-5, rtol=1e-5
    )
    if model.loss is not None:
        eager = model.loss(params, x, jax.random.key(4), jnp.int32(1))
        jitted = jax.jit(model.loss)(params, x, jax.random.key(4), jnp.int32(1))
        chex.assert_trees_all_close(jitted, eager, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_renaming_the_columns_renames_the_scores(name):
    model, params, train = prepared(name)
    renamed = np.random.default_rng(5).permutation(N)  # column c becomes renamed[c]
    row, column, value = train.entries()
    other = Table.from_entries(row, renamed[column], value, num_rows=U, num_columns=N)

    def rename(leaf):
        for axis in [axis for axis, size in enumerate(leaf.shape) if size == N]:
            leaf = jnp.take(leaf, np.argsort(renamed), axis=axis)
        return leaf

    moved = model.solve(other) if model.solve is not None else jax.tree.map(rename, params)
    got = model.score(moved, batch(other))
    chex.assert_trees_all_close(got[:, renamed], model.score(params, batch(train)), atol=1e-4)


@pytest.mark.parametrize("name", TRAINED)
def test_loss_falls(name):
    model, _, train = prepared(name)
    params = model.init(jax.random.key(6))
    x, optimiser = batch(train), optax.adam(1e-2)

    def objective(params, key):
        total, weight = model.loss(params, x, key, jnp.int32(0))
        return total.sum() / weight.sum()

    @jax.jit
    def step(params, state, key):
        updates, state = optimiser.update(jax.grad(objective)(params, key), state)
        return optax.apply_updates(params, updates), state

    def mean_loss(params):
        keys = jax.random.split(jax.random.key(7), 20)
        return jax.vmap(objective, (None, 0))(params, keys).mean()

    before, state = mean_loss(params), optimiser.init(params)
    for i in range(60):
        params, state = step(params, state, jax.random.key(100 + i))
    assert mean_loss(params) < 0.97 * before


@pytest.mark.parametrize("name", TRAINED)
def test_gradient_equals_finite_differences(name):
    model, params, train = prepared(name)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), params)
        x = jax.tree.map(
            lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf,
            batch(train),
        )

        def objective(params):
            total, weight = model.loss(params, x, jax.random.key(8), jnp.int32(3))
            return total.sum() / weight.sum()

        check_grads(objective, (params,), order=1, modes=["rev"], atol=1e-5, rtol=1e-5, eps=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_restored_scores_alike(name, tmp_path):
    model, params, train = prepared(name)
    config = {"model": name, "set": build(name)[1], "shape": [U, N], "seeds": [0]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    stacked = jax.tree.map(lambda leaf: leaf[None], params)
    artefact.save(
        tmp_path, stacked, item_ids=np.arange(N), titles=None, user_ids=np.arange(U).astype(str)
    )
    loaded = artefact.load(tmp_path)
    x = batch(train)
    chex.assert_trees_all_equal(loaded.model.score(loaded.params, x), model.score(params, x))
    assert loaded.titles is None and loaded.item_ids.tolist() == list(range(N))
