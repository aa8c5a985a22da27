"""Mult-VAE: a variational autoencoder with a multinomial likelihood over clicks.

Liang, Krishnan, Hoffman, Jebara: *Variational Autoencoders for Collaborative Filtering*, WWW
2018. z ~ N(0, I), pi(z) = softmax(f(z)), x ~ Mult(n, pi(z)) (eq. 1-2); q(z | x) is Gaussian with
diagonal covariance (eq. 6); the objective is E_q[log p(x | z)] - beta KL(q | p) (eq. 8), beta
annealed linearly. The encoder reads the L2-normalised row with dropout; items are ranked by the
decoder's logits at the mean of q. Gaussian and logistic likelihoods (eq. 3, 4) are options.

The noise of z has standard deviation 1.

Departures: the paper's `anneal_steps` is 200,000 (updates of 500 users over 200 epochs of
ML-20M); the default here is for the shorter runs of `TRAINING`.
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
    dropout: float = 0.5  # of the listed entries of the normalised input
    beta: float = 0.2  # the KL's largest weight
    anneal_steps: int = 10_000  # the KL's weight is min(beta, step / anneal_steps); 0: beta
    likelihood: str = "multinomial"  # or gaussian, logistic
    confidence: float = 1.0  # of a click under the Gaussian likelihood (c_1, with c_0 = 1)
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

    def posterior(self, x: Batch, dropout_key: jax.Array | None = None):
        """Mean and log-variance of q(z | x), each [B, K]."""
        x = layers.normalise(x)
        if dropout_key is not None:
            x = layers.dropout(dropout_key, x, self.config.dropout)
        mean, log_variance = jnp.split(self.encoder(x), 2, axis=1)
        return mean, log_variance

    def encode(self, x: Batch) -> jax.Array:
        return self.latent_activation(self.posterior(x)[0])

    def decode(self, z: jax.Array) -> jax.Array:
        """z [B, K] before its activation -> logits [B, N]."""
        return self.decoder(self.latent_activation(z))

    def __call__(self, x: Batch) -> jax.Array:
        return self.decode(self.posterior(x)[0])


def make(config: Config, num_rows: int, num_columns: int) -> Model:
    """The model over rows of `num_columns` clicks; scores are the decoder's logits [B, N].

    Raises:
      BadInput: an unknown likelihood.
    """
    del num_rows
    net = VAE(config, num_columns)
    apply: Callable[..., Any] = net.apply
    likelihood = losses.likelihood(config.likelihood, confidence=config.confidence)

    def loss(params, x, key, step):
        """Equation 8 with its sign turned, one sample of z; weights count non-empty rows."""
        dropout_key, noise_key = jax.random.split(key)
        mean, log_variance = apply(params, x, dropout_key, method="posterior")
        noise = jax.random.normal(noise_key, mean.shape)
        y = apply(params, mean + jnp.exp(log_variance / 2) * noise, method="decode")
        weight = losses.nonempty(x)
        total = likelihood(y, x)
        total += beta(step) * losses.gaussian_kl(mean, log_variance)
        return total * weight, weight

    def beta(step):
        if not config.anneal_steps:
            return config.beta
        return jnp.minimum(config.beta, step / config.anneal_steps)

    return Model(
        init=lambda key: net.init(key, jnp.zeros((1, num_columns))),
        encode=lambda params, x: apply(params, x, method="encode"),
        score=lambda params, x: apply(params, x),
        loss=loss,
    )
