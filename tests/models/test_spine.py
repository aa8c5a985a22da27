"""AutoRec, Mult-VAE, EASE and the baselines against their papers' formulas in NumPy float64."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from aerec import memory, models
from aerec.core import Facts, Table
from aerec.errors import BadInput
from aerec.models import ease

U, N = 9, 14


def ratings(low=1, high=6, seed=0):
    rng = np.random.default_rng(seed)
    listed = rng.random((U, N)) < 0.5
    r = np.where(listed, rng.integers(low, high, (U, N)), 0).astype(float)
    row, column = np.nonzero(listed)
    table = Table.from_entries(row, column, r[row, column], num_rows=U, num_columns=N)
    return r, listed, table


def rows(table):
    gather = jax.jit(Table.gather, static_argnums=2)
    return gather(table, jnp.arange(U), len(table.columns) + 2)


def build(name, given, num_rows=U, num_columns=N):
    """The model, its functions compiled whole: one by one their operations take far longer."""
    model = models.build(name, given, Facts(num_rows, num_columns))
    functions = {"init": model.init, "encode": model.encode, "score": model.score}
    functions |= {"loss": model.loss} if model.loss else {}
    return model._replace(**{part: jax.jit(function) for part, function in functions.items()})


def moved(params, seed=1):
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)
    leaves = [np.asarray(leaf) + rng.normal(size=leaf.shape) / 5 for leaf in leaves]
    return jax.tree.unflatten(treedef, [jnp.asarray(leaf, jnp.float32) for leaf in leaves])


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("g", ["sigmoid", "identity"])
@pytest.mark.parametrize("f", ["sigmoid", "identity"])
def test_autorec_is_equation_1_and_its_loss_equation_2(f, g, centre):
    r, listed, table = ratings()
    given = {"hidden": (6,), "activation": g, "output_activation": f, "centre": centre}
    model = build("autorec", given, U, N)
    params = moved(model.init(jax.random.key(0)))
    (v, mu), (w, b) = (
        (np.asarray(layer["kernel"], float), np.asarray(layer["bias"], float))
        for layer in (params["params"]["encoder_0"], params["params"]["decoder_0"])
    )
    middle = 3 * centre
    inner = np.where(listed, r - middle, 0) @ v + mu
    y = (sigmoid(inner) if g == "sigmoid" else inner) @ w + b
    y = 1 + 4 * sigmoid(y) if f == "sigmoid" else y + middle
    chex.assert_trees_all_close(np.asarray(model.score(params, rows(table))), y, atol=1e-4)
    total, weight = model.loss(params, rows(table), jax.random.key(1), jnp.int32(0))
    chex.assert_trees_all_close(np.asarray(total), (listed * (r - y) ** 2).sum(1), rtol=1e-4)
    chex.assert_trees_all_close(np.asarray(weight), listed.sum(1).astype(np.float32))


def test_deep_autorec_pretrains_layer_by_layer():
    table = ratings()[2]
    given = {"hidden": (6, 3, 6), "pretrain_steps": 20, "activation": "sigmoid"}
    model = build("autorec", given, U, N)
    params, x = moved(model.init(jax.random.key(0))), rows(table)

    @jax.jit
    @jax.grad
    def gradient(params, step):
        return model.loss(params, x, jax.random.key(1), step)[0].sum()

    def read(step):
        """The layers whose gradient is not zero at `step`."""
        grads = gradient(params, jnp.int32(step))["params"]
        return {name for name, layer in grads.items() if np.any(layer["kernel"])}

    outer, inner = {"encoder_0", "decoder_1"}, {"encoder_1", "decoder_0"}
    assert read(0) == read(9) == outer
    assert read(10) == read(19) == inner
    assert read(20) == read(99) == outer | inner
    with pytest.raises(BadInput, match="odd number of layers"):
        build("autorec", {"hidden": (6, 3)}, U, N)


def test_multvae_is_equation_8():
    """Without dropout, and with the noise taken out by a posterior of almost no variance."""
    x, _, table = ratings(1, 2)
    given = {"hidden": (6,), "latent": 3, "dropout": 0.0, "beta": 0.3, "anneal_steps": 10}
    model = build("multvae", given, U, N)
    params = moved(model.init(jax.random.key(0)))
    last = params["params"]["encoder"]["Layer_1"]
    kernel, bias = np.array(last["kernel"]), np.array(last["bias"])
    kernel[:, 3:], bias[3:] = 0, -40
    last["kernel"], last["bias"] = jnp.asarray(kernel), jnp.asarray(bias)
    p = jax.tree.map(lambda leaf: np.asarray(leaf, float), params["params"])

    def affine(of, h):
        return h @ of["kernel"] + of["bias"]

    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    hidden = np.tanh(affine(p["encoder"]["Layer_0"], x / np.maximum(lengths, 1e-12)))
    mean, log_variance = np.split(affine(p["encoder"]["Layer_1"], hidden), 2, axis=1)
    logits = affine(p["decoder"]["Layer_1"], np.tanh(affine(p["decoder"]["Layer_0"], mean)))
    log_softmax = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    kl = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1)
    chex.assert_trees_all_close(
        np.asarray(model.score(params, rows(table))), logits, atol=1e-4, rtol=1e-4
    )
    for step, beta in ((0, 0.0), (2, 0.2), (3, 0.3), (50, 0.3)):
        total, weight = model.loss(params, rows(table), jax.random.key(1), jnp.int32(step))
        want = (-(x * log_softmax).sum(1) + beta * kl) * (x.sum(1) > 0)
        chex.assert_trees_all_close(np.asarray(total), want, rtol=1e-3)
        chex.assert_trees_all_close(np.asarray(weight), (x.sum(1) > 0).astype(np.float32))


def test_the_noise_of_multvae_has_deviation_one():
    """A linear decoder shows z - mean; over many keys its deviation is exp(log_variance / 2)."""
    table = Table.from_entries([0], [0], [1.0], num_rows=1, num_columns=2)
    given = {"hidden": (), "latent": 1, "dropout": 0.0, "beta": 0.0, "likelihood": "gaussian"}
    model = build("multvae", given, 1, 2)
    params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    params["params"]["decoder"]["Layer_0"]["kernel"] = jnp.array([[1.0, 0.0]])
    params["params"]["encoder"]["Layer_0"]["bias"] = jnp.array([0.0, 2 * np.log(1.7)])
    x = table.gather(jnp.arange(1), 1)

    def total(key):
        return model.loss(params, x, key, jnp.int32(0))[0][0]

    losses = jax.jit(jax.vmap(total))(jax.random.split(jax.random.key(2), 4000))
    # (1 - z)^2 / 2 with z ~ N(0, 1.7^2) has mean (1 + 1.7^2) / 2
    error = np.std(losses) / np.sqrt(4000)
    assert abs(losses.mean() - (1 + 1.7**2) / 2) < 4 * error


def test_ease_solves_its_constrained_least_squares():
    x, _, table = ratings(1, 2)
    model = build("ease", {"l2": 3.0, "dropout": 0.0}, U, N)
    weights = np.asarray(model.solve(table)["weights"], float)
    chex.assert_trees_all_close(np.diag(weights), np.zeros(N), atol=1e-7)
    for j in range(N):  # column j: min |x_j - X b|^2 + lambda |b|^2 over b with b_j = 0
        others = np.arange(N) != j
        stacked = np.vstack([x[:, others], np.sqrt(3.0) * np.eye(N - 1)])
        want = scipy.optimize.lsq_linear(stacked, np.append(x[:, j], np.zeros(N - 1))).x
        chex.assert_trees_all_close(weights[others, j], want, atol=1e-4)
    chex.assert_trees_all_close(
        np.asarray(model.score({"weights": jnp.asarray(weights)}, rows(table))),
        (x @ weights).astype(np.float32),
        atol=1e-4,
    )


def test_ease_refuses_what_does_not_fit_and_a_lambda_of_zero(monkeypatch):
    table = ratings()[2]
    with pytest.raises(BadInput, match="l2 is a number above 0"):
        build("ease", {"l2": 0.0}, U, N)
    monkeypatch.setattr(memory, "available", lambda: 100)
    with pytest.raises(memory.TooLarge, match=r"over 14 items needs .* GiB .* fewer items"):
        build("ease", {}, U, N).solve(table)


def test_gram_of_several_blocks():
    x, _, table = ratings(1, 2)
    chex.assert_trees_all_close(
        np.asarray(ease.gram(table, batch_size=4)), (x.T @ x).astype(np.float32)
    )


def test_popularity_counts():
    _, listed, table = ratings()
    model = build("popularity", {}, U, N)
    score = model.score(model.solve(table), rows(table))
    chex.assert_trees_all_equal(
        np.asarray(score), np.broadcast_to(listed.sum(0), (U, N)).astype(np.float32)
    )


def test_bias_is_a_loop():
    r, listed, table = ratings()
    model = build("bias", {"column_shrinkage": 2.0, "row_shrinkage": 3.0}, U, N)
    mean = r[listed].mean()
    column = [(r[listed[:, j], j] - mean).sum() / (2 + listed[:, j].sum()) for j in range(N)]
    want = np.zeros((U, N))
    for u in range(U):
        left = sum(r[u, j] - mean - column[j] for j in range(N) if listed[u, j])
        want[u] = mean + np.array(column) + left / (3 + listed[u].sum())
    got = model.score(model.solve(table), rows(table))
    chex.assert_trees_all_close(np.asarray(got), want, atol=1e-5)


def test_codes_of_sequences_alone_are_no_function_of_a_vector():
    reads = {name: models.traits(name, {}).reads for name in models.MODELS}
    assert {name for name in reads if reads[name] == "sequence"} == {
        "rrn", "svae", "rvae", "timesvdpp",
    }  # fmt: skip
    assert {name for name in reads if reads[name] == "columns"} == {"autorec", "rbm"}


def test_a_dense_row_is_centred_as_the_row_that_lists_its_non_zero_cells():
    table = ratings()[2]
    model = build("autorec", {"hidden": (6,), "centre": True})
    params, x = model.init(jax.random.key(0)), rows(table)
    chex.assert_trees_all_close(
        model.encode(params, x), model.encode(params, x.dense()), rtol=1e-4, atol=1e-5
    )
