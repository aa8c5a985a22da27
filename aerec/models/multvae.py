"""Mult-VAE: a variational autoencoder with a multinomial likelihood over clicks.

Liang, Krishnan, Hoffman, Jebara: *Variational Autoencoders for Collaborative Filtering*, WWW
2018. z ~ N(0, I), pi(z) = softmax(f(z)), x ~ Mult(n, pi(z)) (eq. 1-2); q(z | x) is Gaussian with
diagonal covariance (eq. 6); the objective is E_q[log p(x | z)] - beta KL(q | p) (eq. 8), beta
annealed linearly. The encoder reads the L2-normalised row with dropout; items are ranked by the
decoder's logits at the mean of q. Gaussian and logistic likelihoods (eq. 3, 4) are options.

The noise of z has standard deviation 1.

Departures: the paper's `anneal_steps` is 200,000 (updates of 500 users over 200 epochs of
ML-20M); the default here is for the shorter runs of `traits`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from aerec.configuration import Count, Natural, Positive, Probability, Weight, Widths, settings
from aerec.core import Batch, Facts, Model, Traits
from aerec.nn import activations, autoencoders, layers, losses
from aerec.space import TRAINING, Choice, LogIntegers, Space, Uniform


@settings
class Config:
    hidden: Widths = (600,)  # widths between the items and the code, mirrored after it
    latent: Count = 200  # K
    activation: activations.Name = "tanh"  # of the hidden layers
    latent_activation: activations.Name = "identity"  # of the code, after the noise
    dropout: Probability = 0.5  # of the listed entries of the normalised input
    beta: Weight = 0.2  # largest weight of the KL term
    anneal_steps: Natural = 10_000  # the KL term weighs min(beta, step / anneal_steps); 0: beta
    likelihood: losses.Likelihood = "multinomial"  # multinomial, gaussian or logistic
    confidence: Positive = 1.0  # of a click under the Gaussian likelihood (c_1, with c_0 = 1)
    l2: Weight = 0.0  # lambda of lambda / 2 |kernels|^2, added to the sum over users


SPACE: Space = {
    "hidden": Choice(((), (600,))),
    "latent": Choice((64, 128, 200, 400)),
    "dropout": Uniform(0.1, 0.8),
    "beta": Uniform(0, 1),
    "anneal_steps": LogIntegers(100, 50_000),
    **TRAINING,
}


def traits(config) -> Traits:
    """Return the traits of a model of clicks."""
    return Traits(
        task="ranking",
        l2=config.l2,
        training={"epochs": 40, "batch_size": 50, "schedule": "cosine", "evaluate_every": 4},
    )


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N clicks; scores are the decoder's logits [B, N]."""
    likelihood = losses.likelihood(config.likelihood, confidence=config.confidence)

    def beta(step):
        return losses.annealed(step, config.beta, config.anneal_steps)

    return variational(config, facts, likelihood, beta, read=layers.normalise)


def variational(
    config,
    facts: Facts,
    likelihood: Callable[[jax.Array, Batch], jax.Array],
    beta: Callable[[jax.Array], jax.Array | float],
    read: Callable[[Batch], Batch] | None = None,
) -> Model:
    """Build an autoencoder with a Gaussian code, of which each update samples one per row.

    Args:
      config: with the encoder's settings of `Config`.
      likelihood: (y [B, N], x) -> the negative log-likelihood [B].
      beta: step -> the KL's weight.
      read: turns a batch into the input of the encoder, before dropout; default: the batch itself.
    """
    net = autoencoders.Pair(
        config.hidden, config.latent, config.activation, config.latent_activation,
        facts.num_columns, gaussian=True,
    )  # fmt: skip
    apply: Callable[..., Any] = net.apply
    given = read or (lambda x: x)

    def loss(params, x, key, step):
        """Compute the negative bound (Liang 2018, eq. 8); weights count non-empty rows."""
        dropout_key, noise_key = jax.random.split(key)
        corrupted = layers.dropout(dropout_key, given(x), config.dropout)
        mean, log_variance = apply(params, corrupted, method="posterior")
        noise = jax.random.normal(noise_key, mean.shape)
        y = apply(params, mean + jnp.exp(log_variance / 2) * noise, method="decode")
        total = likelihood(y, x) + beta(step) * losses.gaussian_kl(mean, log_variance)
        return losses.by_row(total, x)

    return autoencoders.model(net, facts, traits(config), loss, read=given, mlp=read is None)
