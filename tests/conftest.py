"""Strict JAX for every test: implicit rank promotion raises, a random key is used once."""

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def key_reuse_is_an_error():
    """A key that is consumed twice raises `KeyReuseError`."""
    with jax.debug_key_reuse(True):
        yield
