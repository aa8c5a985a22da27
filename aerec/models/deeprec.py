"""DeepRec: a deep autoencoder of users' ratings, with dense re-feeding.

Kuchaiev, Ginsburg: *Training Deep AutoEncoders for Collaborative Filtering*, 2017. A user's row x
[N], zero where a rating is missing, passes L layers h_j = a(W_j h_{j-1} + b_j), L of the encoder
and L of its mirror image; the loss is the masked squared error (eq. 1),

    MMSE = sum_i m_i (r_i - y_i)^2 / sum_i m_i,

summed over a batch before it is divided: ratings weigh alike, not users. Dropout is of the code.
Missing ratings enter as zero although y = f(x) has none; after each step on x, `refeeds` steps
train f on its own dense output as well (`aerec.training.refeed`), every entry counting.

`hidden=(128, 256, 256)` with dropout .65 is the paper's n,128,256,256,dp(.65),256,128,n. The last
layer is activated like the others, or linear where the activation cannot reach every rating.

Departures:
  - the f(x) that is re-fed is `score`, without dropout and input noise; the paper takes it from
    the forward pass on x, which in training has dropout;
  - `corruption` (input noise), `tied` and `dropout_everywhere` are options, off by default.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aerec.core import Batch, Model
from aerec.errors import BadInput
from aerec.nn import activations, layers, losses

TASK = "rating"
TRAINING = {
    "epochs": 100, "batch_size": 128, "optimiser": "sgd", "momentum": 0.9, "learning_rate": 5e-3,
    "evaluate_every": 5,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    hidden: tuple[int, ...] = (128, 256, 256)  # widths of the encoder, the last of the code
    activation: str = "selu"  # a, of every layer
    latent_activation: str = ""  # of the code; empty: the same as `activation`
    output_activation: str = ""  # empty: `activation` where its range holds the scale, or identity
    tied: bool = False  # the decoder's kernels are the encoder's transposed, its biases its own
    dropout: float = 0.65  # of the code
    dropout_everywhere: bool = False  # the same dropout after every other layer but the last
    corruption: float = 0.0  # share of the input that is dropped in training
    refeeds: int = 1  # dense re-feeds after each step
    l2: float = 0.0  # lambda of lambda / 2 |kernels|^2 beside the sum of squared errors
    scale: tuple[float, float] = (1.0, 5.0)  # the lowest and highest rating


class AutoEncoder(nn.Module):
    """Layer j of the encoder and layer -1-j of the decoder are mirror images."""

    config: Config
    num_columns: int

    def setup(self) -> None:
        c = self.config
        after = (*c.hidden[:-1][::-1], self.num_columns)
        self.encoder = [layers.Layer(width) for width in c.hidden]
        if c.tied:
            zeros = nn.initializers.zeros
            self.biases = [self.param(f"bias_{j}", zeros, (n,)) for j, n in enumerate(after)]
        else:
            self.decoder = [layers.Layer(width) for width in after]
        self.activation = activations.get(c.activation)
        self.latent_activation = activations.get(c.latent_activation or c.activation)
        self.output_activation = activations.get(output_activation(c))

    def encode(self, x: Batch, keys: jax.Array | None = None) -> jax.Array:
        """The code [B, K]; with keys as in training."""
        for j, layer in enumerate(self.encoder, 1):
            last = j == len(self.encoder)
            x = (self.latent_activation if last else self.activation)(layer(x))
            x = self._dropout(keys, x, after=j)
        return layers.dense(x)

    def decode(self, z: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """Ratings [B, N] of codes z [B, K]."""
        depth = len(self.encoder)
        for j in range(depth - 1):
            z = self._dropout(keys, self.activation(self._affine(j, z)), after=depth + 1 + j)
        return self.output_activation(self._affine(depth - 1, z))

    def __call__(self, x: Batch, key: jax.Array | None = None) -> jax.Array:
        """f(x) [B, N]; with a key as in training."""
        if key is None:
            return self.decode(self.encode(x))
        # One key for the input, one for the output of each layer but the last.
        keys = jax.random.split(key, 2 * len(self.encoder))
        x = layers.dropout(keys[0], x, self.config.corruption)
        return self.decode(self.encode(x, keys), keys)

    def _affine(self, j: int, z: jax.Array) -> jax.Array:
        if not self.config.tied:
            return self.decoder[j](z)
        return z @ self.encoder[-1 - j].variables["params"]["kernel"].T + self.biases[j][None, :]

    def _dropout(self, keys: jax.Array | None, h: jax.Array, *, after: int) -> jax.Array:
        """h, the output of layer `after` of 1 to 2 L."""
        dropped = self.config.dropout_everywhere or after == len(self.encoder)
        return (
            h
            if keys is None or not dropped
            else layers.dropout(keys[after], h, self.config.dropout)
        )


def output_activation(config: Config) -> str:
    """The last layer's: the one asked for, or `activation` if every rating is in its range."""
    a, (low, high) = activations.describe(config.activation), config.scale
    holds = a.low <= low and high <= a.high and not a.extra
    return config.output_activation or (config.activation if holds else "identity")


def make(config: Config, num_rows: int, num_columns: int) -> Model:
    """The model over rows of `num_columns` ratings; scores are ratings, not clipped.

    Raises:
      BadInput: no hidden layer; an activation that adds a coordinate (`lift:`) where the shape is
        given: of the last layer, or of any layer of a tied model.
    """
    del num_rows
    if not config.hidden:
        raise BadInput("deeprec: hidden is empty; give a width for each layer of the encoder")
    shaped = [output_activation(config)]
    if config.tied:
        shaped += [config.activation, config.latent_activation or config.activation]
    for name in shaped:
        if activations.describe(name).extra:
            where = "a layer of a tied model" if config.tied else "the last layer"
            raise BadInput(f"deeprec: {name} adds a coordinate, which {where} has no room for")
    net = AutoEncoder(config, num_columns)
    apply: Callable[..., Any] = net.apply

    def loss(params, x, key, step):
        """Equation 1, its two sums by row."""
        del step
        return losses.squared_error(apply(params, x, key), x)

    return Model(
        init=lambda key: net.init(key, jnp.zeros((1, num_columns))),
        encode=lambda params, x: apply(params, x, method="encode"),
        score=lambda params, x: apply(params, x),
        loss=loss,
    )
