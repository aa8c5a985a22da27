"""SDAE: a stack of denoising autoencoders, trained layer by layer and then as a whole.

Vincent, Larochelle, Lajoie, Bengio, Manzagol: *Stacked Denoising Autoencoders*, JMLR 2010. Layer
l reads h_l (the row for l = 0), of which each entry is set to zero with probability p, and is
trained with its own decoder to reconstruct the uncorrupted h_l = s(h_{l-1} V_l + b_l): greedy
pre-training. The decoders in reverse order then turn the stack into one deep autoencoder (Hinton &
Salakhutdinov, Science 2006), which is fine-tuned to denoise the row. Rows are clicks, which enter
scaled to length 1; items are ranked by the last layer's output before any squashing.

Layer 0 and the whole net are fitted by the `likelihood` (logistic is the paper's cross-entropy),
the layers above by squared error.

Departures:
  - entries that are not set to zero are divided by 1 - p, so that a corrupted input has the mean of
    the clean one;
  - the paper fine-tunes a classifier; there are no classes here;
  - the paper has sigmoid layers and the cross-entropy, for all layers; the defaults here are tanh
    and a multinomial likelihood. Validation NDCG@100 on 529 users of MovieLens is .245 with the
    paper's, and .364 with these, after as many updates;
  - pre-training is the first `pretrain_steps` steps of one training run, without L2.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from aerec.configuration import Count, Natural, Probability, Weight, Widths, settings
from aerec.core import Facts, Model, Traits
from aerec.nn import activations, autoencoders, layers, losses
from aerec.space import TRAINING, Choice, Space, Uniform


@settings
class Config:
    hidden: Widths = (600,)  # widths between the items and the code, mirrored after it
    latent: Count = 200  # K
    activation: activations.Name = "tanh"  # s, of the hidden layers
    latent_activation: activations.Name = ""  # of the code; empty: the same as `activation`
    corruption: Probability = 0.5  # p, of the entries of each layer's input
    likelihood: losses.Likelihood = "multinomial"  # logistic, multinomial or gaussian
    pretrain_steps: Natural = 1000  # steps of greedy pre-training, evenly for each layer
    l2: Weight = 0.0  # lambda of lambda / 2 |kernels|^2, only after pre-training


SPACE: Space = {
    "hidden": Choice(((), (600,))),
    "latent": Choice((64, 128, 200, 400)),
    "activation": Choice(("sigmoid", "tanh")),
    "corruption": Uniform(0.1, 0.8),
    "likelihood": Choice(("logistic", "multinomial")),
    "pretrain_steps": Choice((0, 1000, 3000)),
    **TRAINING,
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks; any penalty sets in after pre-training."""
    return Traits(
        task="ranking",
        l2=config.l2,
        l2_after=config.pretrain_steps if config.hidden else 0,
        training={"epochs": 40, "batch_size": 50, "schedule": "cosine", "evaluate_every": 4},
        updates=2_000,
    )


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N clicks; scores are logits [B, N]."""
    likelihood = losses.likelihood(config.likelihood)
    net = autoencoders.Stack(
        (*config.hidden, config.latent),
        (*config.hidden[::-1], facts.num_columns),
        config.activation,
        config.latent_activation,
    )
    apply: Callable[..., Any] = net.apply

    def stage(level: int):
        """Make the loss of pre-training layer `level`, its input corrupted and its target not."""

        def loss(params, x, key):
            below = apply(params, layers.normalise(x), level, method="encode")
            below = jax.lax.stop_gradient(below)
            corrupted = layers.dropout(key, below, config.corruption)
            y = apply(params, level, corrupted, method="mirror")
            total = jnp.sum((y - below) ** 2, axis=1) if level else likelihood(y, x)
            return losses.by_row(total, x)

        return loss

    def whole(params, x, key):
        corrupted = layers.dropout(key, layers.normalise(x), config.corruption)
        return losses.by_row(likelihood(apply(params, corrupted), x), x)

    stages = [*map(stage, range(len(config.hidden) + 1)), whole]
    loss = losses.greedy(stages, pretrain_steps=config.pretrain_steps)
    return autoencoders.model(net, facts, traits(config), loss, read=layers.normalise)
