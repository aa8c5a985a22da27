"""Train one autoencoder of fixed vectors at many settings at once: replicas under one `vmap`."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from aerec.core import Params
from aerec.models import factor_ae
from aerec.models.factor_ae import System


class Settings(NamedTuple):
    """What one replica is trained with: its learning rate, weight decay and seed."""

    rate: float
    decay: float
    seed: int


def train(
    system: System,
    features: Params,
    vectors: jax.Array,
    replicas: Sequence[Settings],
    *,
    epochs: int,
    checkpoints: Sequence[int],
    batch_size: int = 256,
) -> dict[int, Params]:
    """Train by Adam on the mean of |v - g(f(v))|^2, the learning rate falling on a cosine to zero.

    A replica's decay is the weight of half the squared norm of its kernels. Its start and its order
    of the vectors follow from its seed alone, so that replicas may be trained together or apart.

    Args:
      features: the entry "features" of the system's params.
      vectors: [M, n], of users and items, scaled as the system scales them.
      checkpoints: epochs after which the networks are kept, ascending.

    Returns:
      For each checkpoint the entry "network", leaves [S, ...].
    """
    rates, decays, seeds = (jnp.asarray(part) for part in zip(*replicas, strict=True))
    keys = jax.vmap(jax.random.key)(seeds.astype(jnp.uint32))
    steps = -(-len(vectors) // batch_size)
    networks = jax.jit(jax.vmap(lambda key: system.init(key)["network"]))(keys)
    state = networks, jax.vmap(optax.scale_by_adam().init)(networks)
    run = functools.partial(_epoch, system, steps, epochs * steps)
    kept = {}
    for epoch in range(max(checkpoints)):
        state = run(state, features, vectors, rates, decays, keys, jnp.int32(epoch))
        if epoch + 1 in checkpoints:
            kept[epoch + 1] = jax.tree.map(np.asarray, state[0])
    return kept


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def _epoch(system, steps, total, state, features, vectors, rates, decays, keys, epoch):
    def replica(state, rate, decay, key):
        order_key, noise_key = jax.random.split(jax.random.fold_in(jax.random.clone(key), epoch))
        order = jax.random.permutation(order_key, len(vectors))
        order = jnp.resize(order, (steps, -(-len(vectors) // steps)))

        def objective(network, v, key):
            params = {"features": features, "network": network}
            error = jnp.mean(factor_ae.errors(system, params, v, key, 0.0))
            squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(network) if leaf.ndim > 1]
            return error + decay / 2 * sum(squares)

        def update(state, drawn):
            number, rows = drawn
            network, moments = state
            key = jax.random.fold_in(noise_key, number)
            gradient = jax.grad(objective)(network, vectors[rows], key)
            steps_made = epoch * steps + number
            falling = 0.5 * (1 + jnp.cos(jnp.pi * steps_made / total))
            change, moments = optax.scale_by_adam().update(gradient, moments)
            change = jax.tree.map(lambda leaf: -rate * falling * leaf, change)
            return (optax.apply_updates(network, change), moments), None

        return jax.lax.scan(update, state, (jnp.arange(steps), order))[0]

    return jax.vmap(replica)(state, rates, decays, keys)
