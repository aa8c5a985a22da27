"""SDAE: a stack of denoising autoencoders, trained layer by layer and then as a whole.

Vincent, Larochelle, Lajoie, Bengio, Manzagol: *Stacked Denoising Autoencoders*, JMLR 2010. Layer
l reads h_l (the row for l = 0), of which each entry is set to zero with probability p, and is
trained with a decoder of its own to give back the uncorrupted h_l = s(h_{l-1} V_l + b_l): greedy
pre-training. The decoders in reverse order then complete the stack to one deep autoencoder
(Hinton & Salakhutdinov, Science 2006), which is fine-tuned to denoise the row. Rows are clicks,
which enter scaled to length 1; items are ranked by the last layer's output before any squashing.

Layer 0 and the whole net are fitted by the `likelihood` (logistic is the paper's cross-entropy),
the layers above by squared error.

Departures:
  - what is not set to zero is divided by 1 - p, so that a corrupted input has the mean of the clean
    one;
  - the paper fine-tunes a classifier; there are no classes here;
  - the paper has the cross-entropy for all sigmoid layers, not only for the first;
  - pre-training is the first `pretrain_steps` steps of one training run, without L2.
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
    activation: str = "sigmoid"  # s, of the hidden layers
    latent_activation: str = ""  # of the code; empty: the same as `activation`
    corruption: float = 0.5  # p, of the entries of each layer's input
    likelihood: str = "logistic"  # or multinomial, gaussian
    pretrain_steps: int = 1000  # steps of greedy pre-training, shared out evenly to the layers
    l2: float = 0.0  # lambda of lambda / 2 |kernels|^2, only after pre-training

    @property
    def l2_after(self) -> int:
        """Steps before the penalty sets in: those of pre-training, where there is any."""
        return self.pretrain_steps if self.hidden else 0


class AutoEncoder(nn.Module):
    """Layer l of the encoder and layer -1-l of the decoder are mirror images."""

    config: Config
    num_columns: int

    def setup(self) -> None:
        c = self.config
        self.encoder = [layers.Layer(width) for width in (*c.hidden, c.latent)]
        self.decoder = [layers.Layer(width) for width in (*c.hidden[::-1], self.num_columns)]
        self.activation = activations.get(c.activation)
        self.latent_activation = activations.get(c.latent_activation or c.activation)

    def encode(self, x: Batch, depth: int | None = None) -> Batch:
        """The code [B, K], or the output of the first `depth` layers."""
        x = layers.normalise(x)
        for level in range(len(self.encoder))[:depth]:
            x = self._up(level, x)
        return x

    def denoise(self, level: int, h: Batch, key: jax.Array) -> jax.Array:
        """h, corrupted, up through layer `level` and straight back down; consumes `key`."""
        return self._down(level, self._up(level, self._corrupted(h, key)))

    def __call__(self, x: Batch, key: jax.Array | None = None) -> jax.Array:
        """Logits [B, N] of the row, corrupted where a key is given."""
        h = layers.normalise(x)
        h = h if key is None else self._corrupted(h, key)
        for level in range(len(self.encoder)):
            h = self._up(level, h)
        for level in reversed(range(len(self.encoder))):
            h = self._down(level, h)
        return h

    def _up(self, level: int, h: Batch) -> jax.Array:
        last = level == len(self.encoder) - 1
        return (self.latent_activation if last else self.activation)(self.encoder[level](h))

    def _down(self, level: int, h: jax.Array) -> jax.Array:
        y = self.decoder[-1 - level](h)
        return self.activation(y) if level else y

    def _corrupted(self, h: Batch, key: jax.Array) -> Batch:
        return layers.dropout(key, h, self.config.corruption)


def make(config: Config, num_rows: int, num_columns: int) -> Model:
    """The model over rows of `num_columns` clicks; scores are logits [B, N].

    Raises:
      BadInput: an unknown likelihood.
    """
    del num_rows
    likelihood = losses.likelihood(config.likelihood)
    net = AutoEncoder(config, num_columns)
    apply: Callable[..., Any] = net.apply

    def stage(level: int):
        """The loss of pre-training layer `level`, its input corrupted but not its target."""

        def loss(params, x, key):
            below = jax.lax.stop_gradient(apply(params, x, level, method="encode"))
            y = apply(params, level, below, key, method="denoise")
            total = jnp.sum((y - below) ** 2, axis=1) if level else likelihood(y, x)
            weight = losses.nonempty(x)
            return total * weight, weight

        return loss

    def whole(params, x, key):
        weight = losses.nonempty(x)
        return likelihood(apply(params, x, key), x) * weight, weight

    stages = [*map(stage, range(len(config.hidden) + 1)), whole]
    return Model(
        init=lambda key: net.init(key, jnp.zeros((1, num_columns))),
        encode=lambda params, x: apply(params, x, method="encode"),
        score=lambda params, x: apply(params, x),
        loss=losses.greedy(stages, pretrain_steps=config.pretrain_steps),
    )
