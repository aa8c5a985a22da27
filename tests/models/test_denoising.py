"""CDAE, DAE, Mult-DAE and the Gaussian VAE against their formulas in NumPy float64.

A gradient is compared with central differences of the NumPy transcription of the loss.
"""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec import models
from aerec.core import Facts, Table
from aerec.errors import BadInput
from aerec.models import cdae

U, N = 7, 11
PAIRS = {  # of table M1 to M4: h, f, loss
    "M1": ("identity", "identity", "square"),
    "M2": ("identity", "sigmoid", "logistic"),
    "M3": ("sigmoid", "identity", "square"),
    "M4": ("sigmoid", "sigmoid", "logistic"),
}
UNITS = {"identity": lambda t: t, "sigmoid": lambda t: 1 / (1 + np.exp(-t))}
LOSSES = {
    "square": lambda y, x: (x - y) ** 2 / 2,
    "logistic": lambda y, x: -x * np.log(y) - (1 - x) * np.log(1 - y),
}


@functools.cache
def clicks():
    """(x [U, N], the batch): the first row is empty, the second lists every column."""
    x = (np.random.default_rng(0).random((U, N)) < 0.4).astype(float)
    x[0], x[1] = 0, 1
    row, column = np.nonzero(x)
    return x, rows(Table.from_entries(row, column, x[row, column], num_rows=U, num_columns=N))


def rows(table):
    """Every row as a batch, with two entries of padding."""
    return jax.jit(Table.gather, static_argnums=2)(
        table, jnp.arange(table.num_rows), len(table.columns) + 2
    )


def build(name, given, num_rows=U, num_columns=N):
    """The model, its functions compiled whole: one by one their operations take far longer."""
    model = models.build(name, given, Facts(num_rows, num_columns))
    return model._replace(
        encode=jax.jit(model.encode), score=jax.jit(model.score), loss=jax.jit(model.loss)
    )


def point(model):
    """Parameters of the shapes of `init`, each leaf away from zero."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) / 2, jnp.float32), shapes
    )


def wide(params):
    return jax.tree.map(lambda leaf: np.array(leaf, np.float64), params)


def check(model, params, x, want):
    """Loss and gradient of the sum over rows; `want(params)` is the same in NumPy, [B]."""
    p = wide(params)

    @jax.jit
    def both(params, key):
        total, pull, weight = jax.vjp(
            lambda params: model.loss(params, x, key, jnp.int32(0)), params, has_aux=True
        )
        return total, weight, pull(jnp.ones_like(total))[0]

    total, weight, got = both(params, jax.random.key(1))
    chex.assert_trees_all_close(np.asarray(total), want(p).astype(np.float32), rtol=1e-4)
    for leaf, gradient in zip(jax.tree.leaves(p), jax.tree.leaves(got), strict=True):
        differences = np.zeros_like(leaf)
        for place in np.ndindex(leaf.shape):
            kept = leaf[place]
            ends = []
            for value in (kept + 1e-5, kept - 1e-5):
                leaf[place] = value
                ends.append(want(p).sum())
            leaf[place] = kept
            differences[place] = (ends[0] - ends[1]) / 2e-5
        chex.assert_trees_all_close(
            np.asarray(gradient, np.float64), differences, atol=2e-4, rtol=2e-4
        )
    return weight


def affine(of, h):
    return h @ of["kernel"] + of["bias"]


def settings(pair, **more):
    h, f, loss = PAIRS[pair]
    named = {"latent_activation": h, "output_activation": f, "loss": loss}
    return {"latent": 3, "corruption": 0.0, **named, **more}


def equation_9(p, x, index, pair):
    """y [B, N] of NumPy parameters; a user without a node has index -1."""
    h, f, _ = PAIRS[pair]
    nodes = np.array([p["nodes"][i] if i >= 0 else np.zeros(3) for i in index])
    z = UNITS[h](x @ p["encoder"] + nodes + p["latent_bias"])
    return UNITS[f](z @ p.get("decoder", p["encoder"]).T + p["output_bias"])


@pytest.mark.parametrize(
    ("pair", "tied"), [("M1", False), ("M2", False), ("M3", False), ("M4", False), ("M4", True)]
)
def test_cdae_is_equation_9_and_its_loss_reads_every_column(pair, tied):
    x, batch = clicks()
    model = build("cdae", settings(pair, tied=tied, negatives=0))
    params = point(model)
    assert ("decoder" in params) != tied
    y = equation_9(wide(params), x, range(U), pair)
    chex.assert_trees_all_close(np.asarray(model.score(params, batch)), y, atol=1e-4)

    def want(p):
        cells = LOSSES[PAIRS[pair][2]](equation_9(p, x, range(U), pair), x)
        return cells.sum(1) * (x.sum(1) > 0)

    weight = check(model, params, batch, want)
    chex.assert_trees_all_close(np.asarray(weight), (x.sum(1) > 0).astype(np.float32))


@pytest.mark.parametrize("pair", ["M1", "M4"])
def test_the_sampled_loss_reads_clicks_and_drawn_columns_alone(pair, monkeypatch):
    """Every entry draws every column: a row's own clicks are left out of the draws."""
    x, batch = clicks()
    drawn = np.broadcast_to(np.arange(N), (len(batch.row), N))
    monkeypatch.setattr(jax.random, "randint", lambda *args: jnp.asarray(drawn, jnp.int32))
    model = build("cdae", settings(pair, negatives=N))
    params = point(model)

    def want(p):
        cells = LOSSES[PAIRS[pair][2]](equation_9(p, x, range(U), pair), x)
        return (cells * x).sum(1) + x.sum(1) * (cells * (1 - x)).sum(1)

    check(model, params, batch, want)


def test_the_sampled_loss_of_all_columns_is_the_loss_of_all_columns(monkeypatch):
    """Rows of one click, so that each column is drawn once."""
    table = Table.from_entries(np.arange(U), np.arange(U), np.ones(U), num_rows=U, num_columns=N)
    drawn = np.broadcast_to(np.arange(N), (U + 2, N))
    monkeypatch.setattr(jax.random, "randint", lambda *args: jnp.asarray(drawn, jnp.int32))
    whole, sampled = (build("cdae", settings("M4", negatives=n)) for n in (0, N))
    params = point(whole)
    one, other = (
        model.loss(params, rows(table), jax.random.key(1), jnp.int32(0))
        for model in (sampled, whole)
    )
    chex.assert_trees_all_close(one, other, rtol=1e-5)


def test_the_sample_is_uniform_over_the_columns_that_a_row_does_not_list():
    x, batch = clicks()
    columns, target, counted = cdae.sample(jax.random.key(2), batch, 500)
    entries, ends = len(batch.row) - 2, (len(batch.row), 501)
    chex.assert_shape([columns, target, counted], ends)
    chex.assert_trees_all_equal(columns[:, 0], batch.columns)
    assert counted[:entries, 0].all() and not counted[entries:].any(), "padding is not counted"
    assert (target[:entries, 0] == 1).all() and not target[:, 1:].any()
    row, drawn = np.asarray(batch.row), np.asarray(columns)[:, 1:]
    listed = x[row[:entries, None], drawn[:entries]] > 0
    chex.assert_trees_all_equal(np.asarray(counted)[:entries, 1:], ~listed)
    share = np.bincount(drawn[:entries].ravel(), minlength=N) / drawn[:entries].size
    error = np.sqrt(1 / N / drawn[:entries].size)
    assert abs(share - 1 / N).max() < 5 * error


def test_a_user_has_a_node_only_among_the_trained_rows():
    x, batch = clicks()
    model = build("cdae", settings("M3"))
    params = point(model)
    index = np.array([3, 0, U - 1, U, U + 5, -1, -U])
    named = dataclasses.replace(batch, index=jnp.asarray(index))
    known = np.where((index >= 0) & (index < U), index, -1)
    y = equation_9(wide(params), x, known, "M3")
    chex.assert_trees_all_close(np.asarray(model.score(params, named)), y, atol=1e-4)
    nobody = equation_9(wide(params), x, [-1] * U, "M3")
    dense = model.score(params, jnp.asarray(x, jnp.float32))
    chex.assert_trees_all_close(np.asarray(dense), nobody, atol=1e-4)
    key = jax.random.key(1)
    grads = jax.grad(lambda p: model.loss(p, named, key, jnp.int32(0))[0].sum())(params)
    assert set(np.flatnonzero(np.any(grads["nodes"], axis=1))) == {0, U - 1}  # row 3 is empty here


def test_dae_is_cdae_without_the_node():
    batch = clicks()[1]
    given = settings("M2", corruption=0.3)
    one, other = (build(name, given) for name in ("cdae", "dae"))
    params = point(one)
    shared = {name: leaf for name, leaf in params.items() if name != "nodes"}
    chex.assert_trees_all_equal_shapes(other.init(jax.random.key(0)), shared)
    nobody = dataclasses.replace(batch, index=jnp.full(U, -1))
    chex.assert_trees_all_equal(other.score(shared, batch), one.score(params, nobody))
    lost = one.loss(params, nobody, jax.random.key(1), jnp.int32(0))
    chex.assert_trees_all_close(other.loss(shared, batch, jax.random.key(1), jnp.int32(0)), lost)


def test_masking_keeps_the_mean():
    """One click through weights of 1: y is x~, 1 / (1 - q) = 4 with probability 1/4, or else 0."""
    table = Table.from_entries([0], [0], [1.0], num_rows=1, num_columns=1)
    model = build("dae", {**settings("M1", corruption=0.75, negatives=0), "latent": 1}, 1, 1)
    params = {"encoder": [[1.0]], "decoder": [[1.0]], "latent_bias": [0.0], "output_bias": [0.0]}
    params = {name: jnp.array(leaf) for name, leaf in params.items()}
    x = table.gather(jnp.arange(1), 1)
    keys = jax.random.split(jax.random.key(3), 2000)
    total = jax.vmap(lambda key: model.loss(params, x, key, jnp.int32(0))[0][0])(keys)
    kept = np.isclose(total, (1 - 4) ** 2 / 2)
    assert (kept | np.isclose(total, 1 / 2)).all()
    assert abs(kept.mean() - 1 / 4) < 4 * np.sqrt(3 / 16 / 2000)


def test_gaussian_noise_is_added_to_every_cell():
    """The code reads the column that is not listed, whose x~ is the noise alone."""
    table = Table.from_entries([0], [0], [1.0], num_rows=1, num_columns=2)
    given = {**settings("M1", corruption=1.7, noise="gaussian", negatives=0), "latent": 1}
    model = build("dae", given, 1, 2)
    params = {"encoder": jnp.array([[0.0], [1.0]]), "decoder": jnp.array([[1.0], [0.0]])}
    params |= {"latent_bias": jnp.zeros(1), "output_bias": jnp.zeros(2)}
    x = table.gather(jnp.arange(1), 1)
    keys = jax.random.split(jax.random.key(4), 4000)
    total = jax.vmap(lambda key: model.loss(params, x, key, jnp.int32(0))[0][0])(keys)
    # (1 - noise)^2 / 2 has mean (1 + 1.7^2) / 2
    assert abs(total.mean() - (1 + 1.7**2) / 2) < 4 * np.std(total) / np.sqrt(4000)
    chex.assert_trees_all_close(model.encode(params, x), jnp.zeros((1, 1)))  # none when it is used


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"loss": "sqare"}, "loss='sqare' is unknown. .*square"),
        ({"noise": "maks"}, "noise='maks' is unknown. .*mask"),
        ({"corruption": 1.0}, "a mask's probability is below 1"),
        ({"corruption": -0.1}, "corruption is a number, at least 0"),
        ({"negatives": -1}, "negatives is at least 0"),
        ({"output_activation": "identity"}, "goes with output_activation=sigmoid, not 'identity'"),
        ({"loss": "square", "output_activation": "lift:tanh"}, "adds a coordinate"),
        ({"latent_activation": "lift:tanh", "tied": True}, "needs tied=false"),
    ],
)
@pytest.mark.parametrize("name", ["cdae", "dae"])
def test_settings_that_are_refused(name, given, words):
    with pytest.raises(BadInput, match=words):
        models.build(name, given, Facts(U, N))


def test_a_lifted_code_is_decoded():
    batch = clicks()[1]
    given = {"latent": 3, "latent_activation": "lift:sigmoid", "tied": False}
    model = build("cdae", given)
    params = model.init(jax.random.key(0))
    chex.assert_shape(model.encode(params, batch), (U, 4))
    chex.assert_shape(model.score(params, batch), (U, N))


@pytest.mark.parametrize("likelihood", ["multinomial", "gaussian", "logistic"])
def test_multdae_is_the_likelihood_at_a_point(likelihood):
    x, batch = clicks()
    given = {"hidden": (5,), "latent": 3, "dropout": 0.0, "confidence": 2.0}
    model = build("multdae", {**given, "likelihood": likelihood})
    params = point(model)

    def logits(p):
        p = p["params"]
        h = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        for part, layer in (("encoder", 0), ("encoder", 1), ("decoder", 0)):
            h = np.tanh(affine(p[part][f"Layer_{layer}"], h))
        return affine(p["decoder"]["Layer_1"], h)

    def want(p):
        y = logits(p)
        cells = {
            "multinomial": -x * (y - np.log(np.exp(y).sum(1, keepdims=True))),
            "gaussian": np.where(x > 0, 2.0, 1.0) / 2 * (x - y) ** 2,
            "logistic": LOSSES["logistic"](UNITS["sigmoid"](y), x),
        }[likelihood]
        return cells.sum(1) * (x.sum(1) > 0)

    got = model.score(params, batch)
    chex.assert_trees_all_close(np.asarray(got), logits(wide(params)), atol=1e-4)
    weight = check(model, params, batch, want)
    chex.assert_trees_all_close(np.asarray(weight), (x.sum(1) > 0).astype(np.float32))


def test_multdae_drops_entries_of_the_input_in_training_only():
    batch = clicks()[1]
    model = build("multdae", {"latent": 3, "dropout": 0.9})
    params = point(model)
    one, other = (model.loss(params, batch, jax.random.key(i), jnp.int32(0))[0] for i in (1, 2))
    assert not np.allclose(one, other)
    still = build("multdae", {"latent": 3, "dropout": 0.0})
    chex.assert_trees_all_equal(model.score(params, batch), still.score(params, batch))


def test_vae_is_the_evidence_lower_bound():
    """With the noise taken out by a posterior of almost no variance."""
    x, batch = clicks()
    model = build("vae", {"hidden": (5,), "latent": 2, "dropout": 0.0, "beta": 0.7})
    params = point(model)
    last = params["params"]["encoder"]["Layer_1"]
    last["kernel"] = last["kernel"].at[:, 2:].set(0)
    last["bias"] = last["bias"].at[2:].set(-40.0)

    def network(p):
        p = p["params"]
        hidden = np.tanh(affine(p["encoder"]["Layer_0"], x))
        mean, log_variance = np.split(affine(p["encoder"]["Layer_1"], hidden), 2, axis=1)
        y = affine(p["decoder"]["Layer_1"], np.tanh(affine(p["decoder"]["Layer_0"], mean)))
        return mean, log_variance, y

    def want(p):
        mean, log_variance, y = network(p)
        variance = np.exp(log_variance)
        kl = 0.5 * (variance + mean**2 - 1 - log_variance).sum(1)
        return (0.5 * ((x - y) ** 2).sum(1) + 0.7 * kl) * (x.sum(1) > 0)

    mean, _, y = network(wide(params))
    chex.assert_trees_all_close(np.asarray(model.encode(params, batch)), mean, atol=1e-4)
    chex.assert_trees_all_close(np.asarray(model.score(params, batch)), y, atol=1e-4)
    weight = check(model, params, batch, want)
    chex.assert_trees_all_close(np.asarray(weight), (x.sum(1) > 0).astype(np.float32))


def test_the_noise_of_vae_has_deviation_one():
    """A linear decoder shows z: its deviation is exp(log_variance / 2), and the KL is known."""
    table = Table.from_entries([0], [0], [1.0], num_rows=1, num_columns=2)
    model = build("vae", {"hidden": (), "latent": 1, "dropout": 0.0, "beta": 1.0}, 1, 2)
    params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    params["params"]["decoder"]["Layer_0"]["kernel"] = jnp.array([[1.0, 0.0]])
    params["params"]["encoder"]["Layer_0"]["bias"] = jnp.array([0.0, 2 * np.log(1.7)])
    x = table.gather(jnp.arange(1), 1)
    keys = jax.random.split(jax.random.key(2), 4000)
    total = jax.vmap(lambda key: model.loss(params, x, key, jnp.int32(0))[0][0])(keys)
    kl = (1.7**2 - 1 - 2 * np.log(1.7)) / 2
    error = np.std(total) / np.sqrt(4000)
    assert abs(total.mean() - (1 + 1.7**2) / 2 - kl) < 4 * error
