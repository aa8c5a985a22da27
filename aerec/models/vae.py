"""VAE: a variational autoencoder with a Gaussian code and squared error.

Kingma, Welling: *Auto-Encoding Variational Bayes*, ICLR 2014, as the article's primer (Susman
2024) has it for recommenders. x -> (mean, log variance) of q(z | x) = N(mean, diag), z is drawn
from q with noise of standard deviation 1, y = decoder(z). The objective to be maximised is

    -1/2 |x - y|^2 - beta KL(q || N(0, I))

with beta = 1: the evidence lower bound of x ~ N(y, I), but for a constant. The article's formula
has the KL with a plus; maximised so it would drive q away from the prior without bound, and the
sign here is the correct one. Another beta is the bound of x ~ N(y, beta I), times beta: the
squared error of a click is at most about 1, far below a variance of 1, and with beta = 1 most
coordinates of the code fall back to the prior. Squared error is over every column; items are
ranked by y at the mean of q.

Departures: `dropout` of the listed entries (off by default, as the primer has none).
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
    hidden: tuple[int, ...] = (600,)  # widths between the items and the code, mirrored after it
    latent: int = 200  # K
    activation: str = "tanh"  # of the hidden layers
    latent_activation: str = "identity"  # of the code, after the noise
    dropout: float = 0.0  # of the listed entries of the input
    beta: float = 1.0  # the KL's weight: the variance of x given z
    l2: float = 0.0  # lambda of lambda / 2 |kernels|^2 beside the sum over users


class VAE(nn.Module):
    """Encoder and decoder, mirror images, with a Gaussian code between them."""

    config: Config
    num_columns: int

    def setup(self) -> None:
        c = self.config
        activation, linear = activations.get(c.activation), activations.get("identity")
        self.encoder = layers.MLP((*c.hidden, 2 * c.latent), activation, linear)
        self.decoder = layers.MLP((*c.hidden[::-1], self.num_columns), activation, linear)
        self.latent_activation = activations.get(c.latent_activation)

    def posterior(self, x: Batch) -> tuple[jax.Array, jax.Array]:
        """Mean and log-variance of q(z | x), each [B, K]."""
        mean, log_variance = jnp.split(self.encoder(x), 2, axis=1)
        return mean, log_variance

    def encode(self, x: Batch) -> jax.Array:
        return self.latent_activation(self.posterior(x)[0])

    def decode(self, z: jax.Array) -> jax.Array:
        """z [B, K] before its activation -> y [B, N]."""
        return self.decoder(self.latent_activation(z))

    def __call__(self, x: Batch) -> jax.Array:
        return self.decode(self.posterior(x)[0])


def make(config: Config, num_rows: int, num_columns: int) -> Model:
    """The model over rows of `num_columns` clicks; scores are y [B, N] at the mean of q."""
    del num_rows
    net = VAE(config, num_columns)
    apply: Callable[..., Any] = net.apply

    def loss(params, x, key, step):
        """The bound with its sign turned, one sample of z; weights count non-empty rows."""
        del step
        dropout_key, noise_key = jax.random.split(key)
        corrupted = layers.dropout(dropout_key, x, config.dropout)
        mean, log_variance = apply(params, corrupted, method="posterior")
        noise = jax.random.normal(noise_key, mean.shape)
        y = apply(params, mean + jnp.exp(log_variance / 2) * noise, method="decode")
        weight = losses.nonempty(x)
        total = losses.gaussian(y, x) + config.beta * losses.gaussian_kl(mean, log_variance)
        return total * weight, weight

    return Model(
        init=lambda key: net.init(key, jnp.zeros((1, num_columns))),
        encode=lambda params, x: apply(params, x, method="encode"),
        score=lambda params, x: apply(params, x),
        loss=loss,
    )
