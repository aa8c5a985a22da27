"""Callables of every kind as encoders."""

import jax.numpy as jnp
import numpy as np
import pytest

from aerec.properties import encoder


def test_encoders_of_every_kind_are_wrapped():
    weight = np.random.default_rng(0).normal(size=(3, 5))
    x = np.random.default_rng(1).normal(size=(7, 5))
    ways = {
        "jax": encoder.wrap(lambda z: jnp.asarray(weight, z.dtype) @ z, 5),
        "rows": encoder.wrap(lambda z: z @ jnp.asarray(weight, z.dtype).T, 5, batched=True),
        "numpy": encoder.wrap(lambda z: weight @ np.asarray(z), 5),
        "numpy rows": encoder.wrap(lambda z: np.asarray(z) @ weight.T, 5, batched=True),
        "pytree": encoder.wrap(
            lambda t: {"z": jnp.asarray(weight) @ jnp.concatenate([t["a"], t["b"]])},
            {"a": np.zeros(2), "b": np.zeros(3)},
        ),
    }  # fmt: skip
    for name, wrapped in ways.items():
        assert (wrapped.n, wrapped.m) == (5, 3)
        assert wrapped.traceable == (not name.startswith("numpy"))
        np.testing.assert_allclose(
            wrapped.native(x.astype(np.float32)), x @ weight.T, rtol=1e-4, atol=1e-5
        )
        tight = 1e-6 if name == "pytree" else 1e-12
        np.testing.assert_allclose(wrapped.exact(x), x @ weight.T, rtol=tight, atol=tight)


def test_an_encoder_that_draws_random_numbers_is_refused():
    draw = np.random.default_rng(0)
    with pytest.raises(ValueError, match="not a function"):
        encoder.wrap(lambda z: np.asarray(z) + draw.normal(size=4), 4)
