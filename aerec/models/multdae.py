"""Mult-DAE: a denoising autoencoder with a multinomial likelihood over clicks.

Liang, Krishnan, Hoffman, Jebara: *Variational Autoencoders for Collaborative Filtering*, WWW
2018, section 2.3: the maximum-likelihood relative of Mult-VAE. The code z = g(x) is a point, not
a distribution; the objective is log p(x | z) (eq. 2), with weight decay. The encoder reads the
L2-normalised row with dropout; items are ranked by the decoder's logits. Gaussian and logistic
likelihoods (eq. 3, 4) are options. The paper's network is I-200-I with tanh.

The decay: the paper's code adds lambda |W|^2 (twice lambda / 2) to the mean over users, with
lambda = .01 / 500; here `l2` / 2 |W|^2 stands beside the sum, so `l2` = 2 lambda * users: 4.7 for
the 116,677 training users of ML-20M, .18 for the 4,534 of ML-1M.

Departures: none.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aerec.core import Batch, Model
from aerec.nn import activations, layers, losses

TASK = "ranking"
TRAINING = {"epochs": 40, "batch_size": 50, "schedule": "cosine", "evaluate_every": 4}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    hidden: tuple[int, ...] = ()  # widths between the items and the code, mirrored after it
    latent: int = 200  # K
    activation: str = "tanh"  # of the hidden layers
    latent_activation: str = "tanh"  # of the code
    dropout: float = 0.5  # of the listed entries of the normalised input
    likelihood: str = "multinomial"  # or gaussian, logistic
    confidence: float = 1.0  # of a click under the Gaussian likelihood (c_1, with c_0 = 1)
    l2: float = 0.2  # lambda of lambda / 2 |kernels|^2 beside the sum over users


class DAE(nn.Module):
    """Encoder and decoder, mirror images."""

    config: Config
    num_columns: int

    def setup(self) -> None:
        c = self.config
        activation, linear = activations.get(c.activation), activations.get("identity")
        last = activations.get(c.latent_activation)
        self.encoder = layers.MLP((*c.hidden, c.latent), activation, last)
        self.decoder = layers.MLP((*c.hidden[::-1], self.num_columns), activation, linear)

    def encode(self, x: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        x = layers.normalise(x)
        if dropout_key is not None:
            x = layers.dropout(dropout_key, x, self.config.dropout)
        return self.encoder(x)

    def __call__(self, x: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        return self.decoder(self.encode(x, dropout_key))


def make(config: Config, num_rows: int, num_columns: int) -> Model:
    """The model over rows of `num_columns` clicks; scores are the decoder's logits [B, N].

    Raises:
      BadInput: an unknown likelihood.
    """
    del num_rows
    net = DAE(config, num_columns)
    apply: Callable[..., Any] = net.apply
    likelihood = losses.likelihood(config.likelihood, confidence=config.confidence)

    def loss(params, x, key, step):
        """Equation 2 with its sign turned; weights count non-empty rows."""
        del step
        weight = losses.nonempty(x)
        return likelihood(apply(params, x, key), x) * weight, weight

    return Model(
        init=lambda key: net.init(key, jnp.zeros((1, num_columns))),
        encode=lambda params, x: apply(params, x, method="encode"),
        score=lambda params, x: apply(params, x),
        loss=loss,
    )
