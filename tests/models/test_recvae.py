"""RecVAE: its network, bound and prior by NumPy; which part of it each epoch trains."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import aerec
from aerec import models
from aerec.core import Facts, Table
from aerec.models import recvae
from aerec.training import loop
from aerec.training.settings import Settings

N = 13
SMALL = {"hidden": (6, 6, 6), "latent": 4, "beta": 0.03}


@pytest.fixture(scope="module")
def made():
    model = models.build("recvae", SMALL, Facts(9, N))
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(leaf + 0.3 * rng.standard_normal(leaf.shape), jnp.float32),
        model.init(jax.random.key(0)),
    )
    x = (rng.random((9, N)) < 0.4).astype(np.float32)
    x[0] = 0
    return model, params, x


def encoded(params, x):
    """Mean and log-variance of the rows x, layer by layer."""
    own = jax.tree.map(lambda leaf: np.asarray(leaf, float), params["params"])
    length = np.sqrt((x**2).sum(1, keepdims=True))
    h, before = x / np.where(length > 0, length, 1), 0
    for level in range(3):
        a = h @ own[f"Layer_{level}"]["kernel"] + own[f"Layer_{level}"]["bias"] + before
        a = a * scipy.special.expit(a)
        a = (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + 0.1)
        h = a * own[f"LayerNorm_{level}"]["scale"] + own[f"LayerNorm_{level}"]["bias"]
        before = before + h
    return [h @ own[f"Layer_{k}"]["kernel"] + own[f"Layer_{k}"]["bias"] for k in (3, 4)]


def test_scores_are_the_decoder_of_the_mean(made):
    model, params, x = made
    mean, _ = encoded(params["encoder"], x)
    y = mean @ np.asarray(params["decoder"]["kernel"]) + np.asarray(params["decoder"]["bias"])
    chex.assert_trees_all_close(np.asarray(jax.jit(model.score)(params, x)), y, atol=2e-4)


def test_the_loss_of_a_turn_is_the_bound_at_its_sample(made):
    model, params, x = made
    key = jax.random.key(5)
    noise = np.asarray(jax.random.normal(jax.random.split(jax.random.clone(key))[1], (9, 4)), float)
    total, weight = model.phases[-1].loss(params, jnp.asarray(x), key, 0)  # without dropout
    mean, log_variance = encoded(params["encoder"], x)
    z = mean + np.exp(log_variance / 2) * noise
    y = z @ np.asarray(params["decoder"]["kernel"]) + np.asarray(params["decoder"]["bias"])
    posterior = scipy.stats.norm(mean, np.exp(log_variance / 2)).logpdf(z)
    old, old_variance = encoded(params["prior"], x)
    mixture = (
        0.15 * scipy.stats.norm(0, 1).pdf(z)
        + 0.75 * scipy.stats.norm(old, np.exp(old_variance / 2)).pdf(z)
        + 0.1 * scipy.stats.norm(0, np.exp(5)).pdf(z)
    )
    apart = (posterior - np.log(mixture)).sum(1)
    likelihood = (x * scipy.special.log_softmax(y, axis=1)).sum(1)
    want = np.where(x.sum(1) > 0, -likelihood + 0.03 * x.sum(1) * apart, 0)
    chex.assert_trees_all_close(np.asarray(total), want, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(weight, x.sum(1) > 0)


def test_three_epochs_train_the_encoder_and_the_fourth_the_decoder(made):
    model, _, x = made
    row, column = np.nonzero(x)
    table = Table.from_entries(row, column, x[row, column], num_rows=9, num_columns=N)
    last = {}  # the parameters after each epoch

    def keep(params, _):
        last[len(last) + 1] = jax.device_get(params)
        return {"epoch": float(len(last))}

    settings = Settings(epochs=5, batch_size=3, learning_rate=0.01, metric="epoch")
    loop.fit(model, [table], settings, seeds=(0,), evaluate=keep)
    assert len(last) == 5

    def same(first, second, part):
        pairs = zip(*map(jax.tree.leaves, (first[part], second[part])), strict=True)
        return all((a == b).all() for a, b in pairs)

    for epochs in (1, 2):
        assert same(last[epochs], last[epochs + 1], "decoder")
        assert same(last[epochs], last[epochs + 1], "prior")
        assert not same(last[epochs], last[epochs + 1], "encoder")
    assert same(last[3], last[4], "encoder") and not same(last[3], last[4], "decoder")
    assert not same(last[3], last[4], "prior")
    pairs = zip(*(jax.tree.leaves(last[4][part]) for part in ("encoder", "prior")), strict=True)
    assert all((a == b).all() for a, b in pairs)
    assert same(last[4], last[5], "decoder") and not same(last[4], last[5], "encoder")


def test_recvae_learns():
    ratings = aerec.load("synthetic:users=300,items=60,ratings=9000,seed=3")
    split = aerec.split(ratings, "strong", valid_users=60, test_users=60)
    small = {"hidden": (32, 32), "latent": 16, "learning_rate": 3e-3, "batch_size": 30}
    run = aerec.fit("recvae", split, epochs=40, **small)
    popular = aerec.fit("popularity", split)
    assert float(run.test["ndcg@10"]) > 1.05 * float(popular.test["ndcg@10"])
    assert recvae.traits(recvae.Config()).training["evaluate_every"] == len(run.model.phases)
