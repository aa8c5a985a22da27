"""Feature AE: users and items through one encoder, ranked by how alike their codes are.

Susman: *Theoretically informed selection of latent activation in autoencoder based recommender
systems*, 2024, figure 1. An autoencoder is trained to reconstruct feature vectors in R^N; its
encoder f takes the vectors of a user x and of the items u_i to codes in R^K, and items are ranked
by <f(x), f(u_i)>, or by the cosine, in place of <x, u_i>. This is the setting whose properties the
audit examines.

There are no features here besides the clicks: a user's vector is its row, an item's is the unit
vector e_i, the row of somebody who clicked that item alone; both have length 1. A linear
encoder V ranks by x V V', its bias aside.

Departures:
  - the paper leaves the autoencoder open: here it denoises (dropout of the listed entries) under a
    multinomial likelihood, and is trained on the users' vectors alone;
  - `tied` is not in the paper: the items' codes are the decoder, y_i = <f(x), f(e_i)>, so that what
    is trained is what ranks.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aerec.core import Batch, Model, Rows
from aerec.errors import BadInput, nearest
from aerec.nn import activations, layers, losses

TASK = "ranking"
TRAINING = {"epochs": 40, "batch_size": 50, "schedule": "cosine", "evaluate_every": 4}

SIMILARITIES = ("dot", "cosine")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    hidden: tuple[int, ...] = ()  # widths between the vectors and the code, mirrored after it
    latent: int = 200  # K
    activation: str = "tanh"  # of the hidden layers
    latent_activation: str = "sigmoid"  # of the code
    dropout: float = 0.5  # of the listed entries of the input
    similarity: str = "dot"  # of codes: dot, or cosine
    tied: bool = False  # the items' codes are the decoder
    l2: float = 0.0  # lambda of lambda / 2 |kernels|^2 beside the sum over users


class AutoEncoder(nn.Module):
    """The encoder, and a decoder that mirrors it or is the items' codes."""

    config: Config
    num_columns: int

    def setup(self) -> None:
        c = self.config
        activation = activations.get(c.activation)
        latent_activation = activations.get(c.latent_activation)
        self.encoder = layers.MLP((*c.hidden, c.latent), activation, latent_activation)
        if not c.tied:
            after = (*c.hidden[::-1], self.num_columns)
            self.decoder = layers.MLP(after, activation, lambda y: y)

    def encode(self, x: Batch) -> jax.Array:
        return self.encoder(layers.normalise(x))

    def items(self) -> jax.Array:
        """The codes of the unit vectors [N, K]."""
        number = jnp.arange(self.num_columns, dtype=jnp.int32)
        ones = jnp.ones(self.num_columns)
        return self.encoder(Rows(number, ones, number, number, self.num_columns, longest=1))

    def __call__(self, x: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Logits [B, N] of the reconstruction; consumes the key where there is one."""
        x = layers.normalise(x)
        if dropout_key is not None:
            x = layers.dropout(dropout_key, x, self.config.dropout)
        z = self.encoder(x)
        return z @ self.items().T if self.config.tied else self.decoder(z)


def make(config: Config, num_rows: int, num_columns: int) -> Model:
    """The model over vectors of N = `num_columns` clicks; scores are similarities of codes [B, N].

    Raises:
      BadInput: an unknown similarity.
    """
    del num_rows
    if config.similarity not in SIMILARITIES:
        wrong = config.similarity
        raise BadInput(
            f"feature_ae: similarity={wrong!r} is unknown. {nearest(wrong, SIMILARITIES)}"
        )
    net = AutoEncoder(config, num_columns)
    apply: Callable[..., Any] = net.apply

    def score(params, x: Batch) -> jax.Array:
        users, items = apply(params, x, method="encode"), apply(params, method="items")
        if config.similarity == "cosine":
            users, items = layers.normalise(users), layers.normalise(items)
        return users @ items.T

    def loss(params, x: Batch, key, step):
        """Negative likelihood of a row given its corruption; weights count non-empty rows."""
        del step
        weight = losses.nonempty(x)
        return losses.multinomial(apply(params, x, key), x) * weight, weight

    return Model(
        init=lambda key: net.init(key, jnp.zeros((1, num_columns))),
        encode=lambda params, x: apply(params, x, method="encode"),
        score=score,
        loss=loss,
    )
