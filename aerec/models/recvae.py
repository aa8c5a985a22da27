"""RecVAE: a variational autoencoder with a composite prior, encoder and decoder trained in turn.

Shenbin, Alekseev, Tutubalina, Malykh, Nikolenko: *RecVAE: a New Variational Autoencoder for Top-N
Recommendations with Implicit Feedback*, WSDM 2020. The row x / |x|, with dropout, is read by dense
layers of one width (of several: the sum is of those of the layer's own), each on all before it:

    h_k = LayerNorm(swish(W_k h_(k-1) + b_k + h_1 + ... + h_(k-1)))

Mean and log-variance of q(z | x) are affine in the last; the decoder is affine, with a multinomial
likelihood. The negative bound of a row of n clicks is

    -sum_i x_i log softmax(y)_i + gamma n (log q(z | x) - log p(z | x))

at one z drawn from q. The prior p mixes N(0, I), the posterior of an earlier encoder, which reads x
without dropout, and the wide N(0, e^10 I), with weights 3/20, 3/4 and 1/10. Three passes over the
rows train the encoder; then it is copied into the prior, and one pass trains the decoder, without
dropout.

Departures: an epoch here is one pass, so that the authors' 50 epochs are 200; the default is 120.
The mixture is taken in each coordinate of z, as in the authors' code; the paper mixes densities of
z. Kernels start by Glorot's rule, not by that of torch. The default batch is smaller.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aerec.configuration import Count, Positive, Probability, Widths, settings
from aerec.core import Batch, Facts, Model, Phase, Rows, Traits
from aerec.nn import activations, layers, losses
from aerec.space import Choice, Log, LogIntegers, Space, Uniform

SHARES = (0.15, 0.75, 0.1)  # of N(0, I), of the earlier posterior, of the wide normal
WIDE = 10.0  # log-variance of the wide normal
PHASES = 4  # three passes on the encoder, one on the decoder


@settings
class Config:
    hidden: Widths = (600,) * 5  # widths of the encoder's layers
    latent: Count = 200  # K
    latent_activation: activations.Name = "identity"  # of the code, after the noise
    dropout: Probability = 0.5  # of the listed entries of the normalised input, on the encoder
    beta: Positive = 0.005  # gamma, the KL term's weight for each click


SPACE: Space = {
    "hidden": Choice(((), (600,) * 5)),
    "latent": Choice((200, 400)),
    "dropout": Uniform(0.1, 0.6),
    "beta": Log(1e-3, 1e-2),
    "learning_rate": Log(3e-4, 3e-3),
    "batch_size": LogIntegers(20, 120),
    "epochs": LogIntegers(40, 120),
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks."""
    del config
    return Traits(
        task="ranking",
        training={
            "epochs": 120, "batch_size": 100, "learning_rate": 5e-4, "evaluate_every": PHASES,
        },
    )  # fmt: skip


class Encoder(nn.Module):
    """x [B, N] -> mean and log-variance of q(z | x), each [B, K]."""

    config: Config

    @nn.compact
    def __call__(self, x: Batch) -> tuple[jax.Array, jax.Array]:
        c, h = self.config, x
        before = dict.fromkeys(c.hidden, 0.0)  # the sum of the earlier layers of each width
        for width in c.hidden:
            h = nn.LayerNorm(epsilon=0.1)(jax.nn.swish(layers.Layer(width)(h) + before[width]))
            before[width] += h
        return layers.Layer(c.latent)(h), layers.Layer(c.latent)(h)


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N clicks; scores are the decoder's logits [B, N].

    Params are {"encoder", "prior": an earlier encoder, "decoder": {"kernel": [K, N], "bias": [N]}}.
    """
    net, num_columns = Encoder(config), facts.num_columns
    posterior: Callable[..., Any] = net.apply
    latent = activations.describe(config.latent_activation)

    def init(key):
        encoder_key, decoder_key = jax.random.split(key)
        encoder = net.init(encoder_key, jnp.zeros((1, num_columns)))
        glorot = nn.initializers.glorot_uniform()
        decoder = {
            "kernel": glorot(decoder_key, (config.latent + latent.extra, num_columns)),
            "bias": jnp.zeros(num_columns),
        }
        return {"encoder": encoder, "prior": jax.tree.map(jnp.copy, encoder), "decoder": decoder}

    def encode(params, x: Batch) -> jax.Array:
        return latent.function(posterior(params["encoder"], layers.normalise(x))[0])

    def decode(params, code: jax.Array) -> jax.Array:
        return code @ params["decoder"]["kernel"] + params["decoder"]["bias"][None]

    def loss(rate: float):
        def of(params, x, key, step):
            """Compute the negative bound; weights count non-empty rows."""
            del step
            dropout_key, noise_key = jax.random.split(key)
            given = layers.normalise(x)
            corrupted = layers.dropout(dropout_key, given, rate)
            mean, log_variance = posterior(params["encoder"], corrupted)
            z = mean + jnp.exp(log_variance / 2) * jax.random.normal(noise_key, mean.shape)
            apart = log_density(z, mean, log_variance)
            apart -= log_prior(z, *posterior(params["prior"], given))
            clicks = x.sum(x.values) if isinstance(x, Rows) else jnp.sum(x, axis=1)
            total = losses.multinomial(decode(params, latent.function(z)), x)
            return losses.by_row(total + config.beta * clicks * apart.sum(axis=1), x)

        return of

    def copied(params):
        return {**params, "prior": params["encoder"]}

    encoder = Phase("encoder", loss(config.dropout))
    return Model(
        traits=traits(config),
        init=init,
        encode=encode,
        score=lambda params, x: decode(params, encode(params, x)),
        loss=encoder.loss,
        phases=(encoder,) * (PHASES - 1) + (Phase("decoder", loss(0.0), copied),),
        queries=encode,
        item_codes=lambda params: params["decoder"]["kernel"].T,
        item_bias=lambda params: params["decoder"]["bias"],
    )


def log_density(z: jax.Array, mean: jax.Array, log_variance: jax.Array | float) -> jax.Array:
    """Return the log density of a normal distribution in each coordinate of z [B, K]."""
    apart = (z - mean) ** 2 / jnp.exp(log_variance)
    return -0.5 * (log_variance + math.log(2 * math.pi) + apart)


def log_prior(z: jax.Array, mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """Return the log density of the composite prior in each coordinate of z [B, K].

    Args:
      mean, log_variance: of the earlier posterior, [B, K] each.
    """
    zero = jnp.zeros(())
    narrow, wide = log_density(z, zero, 0), log_density(z, zero, WIDE)
    densities = narrow, log_density(z, mean, log_variance), wide
    parts = [math.log(share) + own for share, own in zip(SHARES, densities, strict=True)]
    return jax.nn.logsumexp(jnp.stack(parts), axis=0)
