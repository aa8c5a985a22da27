"""RVAE: a Mult-VAE whose encoder is a GRU; SVAE without the chain of codes over the steps.

The relative of SVAE (Sachdeva et al., WSDM 2019) in which a history x_1 ... x_T has one code and
not one for each step: q(z | x_1..T) = N(mean(h_T), diag(exp(log_variance(h_T)))) of the GRU's last
state, and the decoder's softmax pi(z) is, as in Mult-VAE, the distribution of the items of the
history themselves, whatever their order:

  loss = -sum_{t=1..T} log pi(z)[x_t] + beta KL(q(z | x) | N(0, I)),

one draw of z with noise of deviation 1, the mean over users. The order is read, but not predicted.
Items are ranked by the decoder's logits at the mean of the code. Network, sizes and settings are
SVAE's (`svae`).

Departures: the definition is our reading of the name; the paper has no figures for it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from aerec.configuration import Count, Natural, Probability, Weight, Widths, settings
from aerec.core import Facts, Model, Traits
from aerec.models import svae
from aerec.nn import activations, autoencoders, layers, losses
from aerec.space import Choice, Log, LogIntegers, Space, Uniform


@settings
class Config:
    embedding: Count = 256  # width of an item's vector
    recurrent: Count = 200  # width of the GRU's state
    hidden: Widths = (150,)  # widths between state and code, mirrored after the code
    latent: Count = 64  # K
    activation: activations.Name = "tanh"  # of the hidden layers
    latent_activation: activations.Name = "identity"  # of the code, after the noise
    max_length: Count = 1000  # only so many of the last items are read
    dropout: Probability = 0.0  # of the states, where the encoder reads them
    beta: Weight = 0.2  # largest weight of the KL term
    anneal_steps: Natural = 2000  # the KL term weighs min(beta, step / anneal_steps); 0: beta
    l2: Weight = 1.0  # lambda of lambda / 2 |kernels|^2, added to the sum over users


SPACE: Space = {
    "embedding": Choice((64, 128, 256)),
    "recurrent": Choice((100, 200, 400)),
    "latent": Choice((32, 64, 128)),
    "dropout": Uniform(0, 0.6),
    "beta": Log(1e-3, 1),
    "l2": Log(0.01, 100),
    "learning_rate": Log(3e-4, 1e-2),
    "batch_size": LogIntegers(16, 64),
    "epochs": LogIntegers(10, 80),
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of histories, as `svae`."""
    base = svae.traits(config)
    return base._replace(training={**base.training, "epochs": 30, "evaluate_every": 5})


def make(config: Config, facts: Facts) -> Model:
    """Build the model over histories of N items; scores are the decoder's logits [B, N]."""
    net = svae.Network(config, facts.num_columns)
    apply: Callable[..., Any] = net.apply

    def loss(params, x, key, step):
        """Compute the loss of one code per user; weights count non-empty rows."""
        x = layers.rows(x)
        dropout_key, noise_key = jax.random.split(key)
        states = apply(params, x, method="states")
        end = jnp.where(x.counts() > 0, jnp.cumsum(x.counts()) - 1, len(states))
        last = states.at[end].get(mode="fill", fill_value=0)
        last = layers.dropout(dropout_key, last, config.dropout)
        mean, log_variance = apply(params, last, method="posterior")
        noise = jax.random.normal(noise_key, mean.shape, mean.dtype)
        hidden = apply(params, mean + jnp.exp(log_variance / 2) * noise, method="hidden")
        total = losses.multinomial(apply(params, hidden, method="logits"), x)
        total += losses.annealed(step, config.beta, config.anneal_steps) * losses.gaussian_kl(
            mean, log_variance
        )
        return losses.by_row(total, x)

    return autoencoders.model(net, facts, traits(config), loss)
