"""AutoRec: ratings through one narrow layer and back.

Sedhain, Menon, Sanner, Xie: *AutoRec: Autoencoders Meet Collaborative Filtering*, WWW 2015.
A row r of ratings (an item's, or a user's) is reconstructed by `h(r) = f(W g(V r + mu) + b)`
(eq. 1), fitted to the observed ratings alone with an L2 penalty on W and V (eq. 2, 3). Missing
ratings enter as zero. The deep variant stacks layers (500-250-500) with greedy pre-training.

Departures:
  - the optimiser is the caller's (Adam in the recipes); the paper's RProp is `--optimiser=rprop`;
  - an output activation of finite range (sigmoid) is stretched over the rating scale, which the
    paper leaves unsaid; without it a sigmoid could not express a rating above 1;
  - `centre` (off by default) subtracts the middle of the scale from what is observed and adds it to
    the output: with identity units everywhere zero-filled raw ratings reach no better than 1.04
    on MovieLens-1M, centred ones the paper's figure;
  - greedy pre-training is the first `pretrain_steps` steps of one training run, without L2.
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
TRAINING = {"epochs": 40, "batch_size": 64, "schedule": "cosine", "evaluate_every": 4}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    hidden: tuple[int, ...] = (500,)  # widths of the hidden layers; the middle one is the code
    activation: str = "sigmoid"  # g, of the hidden layers
    latent_activation: str = ""  # of the code; empty: the same as `activation`
    output_activation: str = "identity"  # f
    item_based: bool = True  # rows are items (I-AutoRec); users otherwise (U-AutoRec)
    l2: float = 200.0  # lambda: the objective is sum of squared errors + lambda / 2 |W|^2 + ...
    centre: bool = False  # ratings enter less the middle of the scale: unrated is then neutral
    dropout: float = 0.0  # of the code
    pretrain_steps: int = 0  # steps of greedy pre-training, shared out evenly to the layers
    scale: tuple[float, float] = (1.0, 5.0)  # the lowest and highest rating

    @property
    def l2_after(self) -> int:
        """Steps before the penalty sets in: those of pre-training, where there is any."""
        return self.pretrain_steps if len(self.hidden) > 1 else 0


class AutoEncoder(nn.Module):
    """For pre-training, layer j of the encoder and -1-j of the decoder are mirror images."""

    config: Config
    num_columns: int

    def setup(self) -> None:
        c = self.config
        middle = len(c.hidden) // 2
        self.encoder = [layers.Layer(width) for width in c.hidden[: middle + 1]]
        after = (*c.hidden[middle + 1 :], self.num_columns)
        self.decoder = [layers.Layer(width) for width in after]
        self.activation = activations.get(c.activation)
        self.latent_activation = activations.get(c.latent_activation or c.activation)

    def encode(self, x: Batch, depth: int | None = None) -> jax.Array:
        """The code [B, K], or the output of the first `depth` layers."""
        x = layers.shift(x, -self._middle())
        for layer in self.encoder[:depth]:
            last = layer is self.encoder[-1]
            x = (self.latent_activation if last else self.activation)(layer(x))
        return layers.dense(x)

    def decode(self, z: jax.Array) -> jax.Array:
        for layer in self.decoder[:-1]:
            z = self.activation(layer(z))
        return self._output(self.decoder[-1](z))

    def mirror(self, x: Batch, depth: int) -> jax.Array:
        """x [B, .] through encoder layer `depth` and straight back through its mirror image."""
        layer = self.encoder[depth]
        last = layer is self.encoder[-1]
        if depth == 0:
            x = layers.shift(x, -self._middle())
        z = (self.latent_activation if last else self.activation)(layer(x))
        y = self.decoder[-1 - depth](z)
        return self._output(y) if depth == 0 else self.activation(y)

    def __call__(self, x: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        z = self.encode(x)
        if dropout_key is not None:
            z = layers.dropout(dropout_key, z, self.config.dropout)
        return self.decode(z)

    def _middle(self) -> float:
        return sum(self.config.scale) / 2 if self.config.centre else 0.0

    def _output(self, y: jax.Array) -> jax.Array:
        f = activations.describe(self.config.output_activation)
        low, high = self.config.scale
        if f.high - f.low == float("inf"):
            return self._middle() + f.function(y)
        return low + (f.function(y) - f.low) * ((high - low) / (f.high - f.low))


def make(config: Config, num_rows: int, num_columns: int) -> Model:
    """The model over rows of `num_columns` ratings; scores are ratings, not clipped.

    Raises:
      BadInput: an even number of hidden layers (no middle one to be the code), or pre-training of
        widths that are no mirror images.
    """
    del num_rows
    if len(config.hidden) % 2 == 0:
        raise BadInput(
            f"autorec: hidden={config.hidden}: give an odd number of layers, the middle is the code"
        )
    if config.pretrain_steps and config.hidden != config.hidden[::-1]:
        raise BadInput(
            f"autorec: hidden={config.hidden}: pre-training wants widths that read alike from both "
            "ends, like 500,250,500"
        )
    net = AutoEncoder(config, num_columns)
    apply: Callable[..., Any] = net.apply
    depth = len(config.hidden) // 2 + 1

    def stage(level):
        """The loss of one level: greedy pre-training of layer `level`, or of the whole net."""

        def loss(params, x, key):
            if level == depth:
                return losses.squared_error(apply(params, x, key), x)
            if level == 0:
                return losses.squared_error(apply(params, x, 0, method="mirror"), x)
            below = jax.lax.stop_gradient(apply(params, x, level, method="encode"))
            y = apply(params, below, level, method="mirror")
            weight = losses.nonempty(x)
            return jnp.mean((y - below) ** 2, axis=1) * weight, weight

        return loss

    return Model(
        init=lambda key: net.init(key, jnp.zeros((1, num_columns))),
        encode=lambda params, x: apply(params, x, method="encode"),
        score=lambda params, x: apply(params, x),
        loss=losses.greedy(
            [stage(level) for level in range(depth + 1)], pretrain_steps=config.pretrain_steps
        ),
    )
