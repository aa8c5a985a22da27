"""Mult-VAE: a variational autoencoder with a multinomial likelihood over clicks.

Liang, Krishnan, Hoffman, Jebara: *Variational Autoencoders for Collaborative Filtering*, WWW
2018. z ~ N(0, I), pi(z) = softmax(f(z)), x ~ Mult(n, pi(z)) (eq. 1-2); q(z | x) is Gaussian with
diagonal covariance (eq. 6); the objective is E_q[log p(x | z)] - beta KL(q | p) (eq. 8), beta
annealed linearly. The encoder reads the L2-normalised row with dropout; items are ranked by the
decoder's logits at the mean of q. Gaussian and logistic likelihoods (eq. 3, 4) are options, and so
are features of the items as a further input (`nn.content`).

The noise of z has standard deviation 1.

Departures: the paper's settings are for the 116,677 training users of ML-20M: `hidden` 600,
`dropout` .5, `beta` .2, `anneal_steps` 200,000, and 200 epochs in batches of 500. The defaults
here are for thousands of users: no hidden layer, little dropout and KL, and at least 6,000
updates. These belong together. On 3,216 users of anime, validation NDCG@100 is .413 with them,
.373 if `hidden` is 600, .382 with 2,600 updates instead of some 12,000, and .385 with both and the
paper's `dropout` and `beta`. On 529 users of MovieLens it is .337 with 2,100 updates and .366 with
6,000.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from aerec.configuration import Count, Natural, Positive, Probability, Weight, Widths, settings
from aerec.core import Batch, Facts, Model, Traits
from aerec.nn import activations, autoencoders, content, layers, losses
from aerec.space import TRAINING, Choice, LogIntegers, Space, Uniform


@settings
class Config:
    hidden: Widths = ()  # widths between the items and the code, mirrored after it
    latent: Count = 200  # K
    activation: activations.Name = "tanh"  # of the hidden layers
    latent_activation: activations.Name = "identity"  # of the code, after the noise
    dropout: Probability = 0.2  # of the listed entries of the normalised input
    beta: Weight = 0.03  # largest weight of the KL term
    anneal_steps: Natural = 5_000  # the KL term weighs min(beta, step / anneal_steps); 0: beta
    likelihood: losses.Likelihood = "multinomial"  # multinomial, gaussian or logistic
    confidence: Positive = 1.0  # of a click under the Gaussian likelihood (c_1, with c_0 = 1)
    l2: Weight = 0.0  # lambda of lambda / 2 |kernels|^2, added to the sum over users
    features: str = ""  # of items, read as their mean: content (genres), or a file of vectors
    size: Count = 64  # coordinates of these features, at least their number


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
        features=config.features,
        training={
            "epochs": 90, "batch_size": 25, "learning_rate": 6e-4, "schedule": "cosine",
            "evaluate_every": 10,
        },
        updates=6_000,
    )  # fmt: skip


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N clicks; scores are the decoder's logits [B, N]."""
    likelihood = losses.likelihood(config.likelihood, confidence=config.confidence)

    def beta(step):
        return losses.annealed(step, config.beta, config.anneal_steps)

    beside = content.module(config.features, facts, size=config.size)
    model = variational(
        config, facts, traits(config), likelihood, beta, read=layers.normalise, beside=beside
    )
    model = model._replace(frozen=content.frozen(beside, config.features, facts))

    def narrowed(columns: int) -> Model:
        return make(config, facts._replace(num_columns=columns))

    sampled = config.likelihood == "multinomial" and not config.features
    return model._replace(narrowed=narrowed if sampled else None)


def variational(
    config,
    facts: Facts,
    traits: Traits,
    likelihood: Callable[[jax.Array, Batch], jax.Array],
    beta: Callable[[jax.Array], jax.Array | float],
    read: Callable[[Batch], Batch] | None = None,
    beside: content.Content | None = None,
) -> Model:
    """Build an autoencoder with a Gaussian code, of which each update samples one per row.

    Args:
      config: with the encoder's settings of `Config`.
      likelihood: (y [B, N], x) -> the negative log-likelihood [B].
      beta: step -> the KL's weight.
      read: turns a batch into the input of the encoder, before dropout; default: the batch itself.
      beside: what the first layer reads besides.
    """
    net = autoencoders.Pair(
        config.hidden, config.latent, config.activation, config.latent_activation,
        facts.num_columns, gaussian=True, content=beside,
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

    return autoencoders.model(net, facts, traits, loss, read=given, mlp=read is None)
