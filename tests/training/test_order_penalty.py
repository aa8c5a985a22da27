"""The order penalty as a training term."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec import models
from aerec.core import Facts, Model, Table, Traits
from aerec.training import loop
from aerec.training.order_penalty import with_order_penalty
from aerec.training.settings import Settings

U, N = 30, 12


def table():
    rng = np.random.default_rng(0)
    listed = rng.random((U, N)) < 0.4
    listed[:, 0] = True  # no row is empty: its penalty would be 1 by definition
    row, column = np.nonzero(listed)
    return Table.from_entries(row, column, np.ones(len(row)), num_rows=U, num_columns=N)


def test_a_linear_encoder_is_penalised_by_the_angle_of_reconstruction():
    """p = W W' x for z = x W: the penalty is 1 - cos(x, W W' x) whatever u is."""
    t = table()
    x = t.gather(jnp.arange(U), len(t.columns))
    w = np.random.default_rng(1).normal(size=(N, 4)).astype(np.float32)
    model = Model(
        traits=Traits("ranking"),
        init=lambda key: {"w": jnp.asarray(w)},
        encode=lambda params, x: x @ params["w"],
        score=lambda params, x: x.dense(),
        loss=lambda params, x, key, step: (jnp.zeros(U), jnp.full(U, 2.0)),
    )
    penalised = with_order_penalty(model, 3.0)
    total, weight = penalised.loss({"w": jnp.asarray(w)}, x, jax.random.key(0), jnp.int32(0))
    rows = np.asarray(x.dense())
    p = rows @ w @ w.T
    cosine = (rows * p).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(p, axis=1)
    chex.assert_trees_all_close(np.asarray(total), 3.0 * 2.0 * (1 - cosine), atol=1e-5)
    chex.assert_trees_all_close(np.asarray(weight), np.full(U, 2.0, np.float32))


def test_training_with_it_lowers_it_and_a_solved_model_has_none():
    model = models.build("multvae", {"hidden": (8,), "latent": 4, "dropout": 0.0}, Facts(U, N))
    t = table()
    x = t.gather(jnp.arange(U), len(t.columns))
    alone = model._replace(loss=lambda *given: (jnp.zeros(U), jnp.ones(U)))
    loss = jax.jit(with_order_penalty(alone, 1.0).loss)

    def penalty(fitted):
        return loss(loop.replica(fitted.last, 0), x, jax.random.key(0), 0)[0].mean()

    settings = Settings(epochs=40, batch_size=U, learning_rate=1e-2, metric="none")
    plain, penalised = (
        loop.fit(of, [t], settings, seeds=[0], evaluate=lambda params, i: {"none": 0.0})
        for of in (model, with_order_penalty(model, 20.0))
    )
    assert penalty(penalised) < 0.8 * penalty(plain)
    with pytest.raises(ValueError, match="this model is solved"):
        with_order_penalty(models.build("ease", {}, Facts(U, N)), 1.0)
