"""AutoRec: ratings through one narrow layer and back.

Sedhain, Menon, Sanner, Xie: *AutoRec: Autoencoders Meet Collaborative Filtering*, WWW 2015.
A row r of ratings (an item's, or a user's) is reconstructed by `h(r) = f(W g(V r + mu) + b)`
(eq. 1), fitted to the observed ratings alone with an L2 penalty on W and V (eq. 2, 3). Missing
ratings enter as zero. The deep variant stacks layers (500-250-500) with greedy pre-training.

Departures:
  - the optimiser is the caller's (Adam in the recipes). The paper's RProp is `optimiser="rprop"`,
    which needs all rows in one batch: the sign of a gradient over a few rows is mostly noise;
  - a batch's gradient is of the mean over its ratings, where the paper sums over all ratings: a
    rating weighs more in a batch with few of them. `l2` has the scale of the paper's sum;
  - an output activation of finite range (sigmoid) is stretched over the rating scale, which the
    paper does not mention; without it a sigmoid could not express a rating above 1;
  - `centre` (off by default) subtracts the middle of the scale from the observed ratings and adds
    it to the output. The paper feeds raw ratings. For identity units the two are different models:
    the uncentred one trains far more slowly by Adam;
  - `features` (off by default) are a further input, of the item or of the items that a user rated:
    see `nn.content`;
  - greedy pre-training is the first `pretrain_steps` steps of one training run, without L2.
"""

from collections.abc import Callable
from typing import Any

import jax

from aerec.configuration import Count, Natural, Probability, Weight, settings
from aerec.core import Facts, Model, Traits
from aerec.errors import BadInput
from aerec.nn import activations, autoencoders, content, layers, losses
from aerec.space import TRAINING, Choice, Log, Space, Uniform


@settings
class Config:
    hidden: tuple[Count, ...] = (500,)  # widths of the hidden layers; the middle one is the code
    activation: activations.Name = "sigmoid"  # g, of the hidden layers
    latent_activation: activations.Name = ""  # of the code; empty: the same as `activation`
    output_activation: activations.Plain = "identity"  # f
    item_based: bool = True  # rows are items (I-AutoRec); users otherwise (U-AutoRec)
    l2: Weight = 200.0  # lambda: the objective is sum of squared errors + lambda / 2 |W|^2 + ...
    centre: bool = False  # subtract the middle of the scale, so that unrated is neutral
    dropout: Probability = 0.0  # of the code
    pretrain_steps: Natural = 0  # steps of greedy pre-training, evenly for each layer
    features: str = ""  # of items, appended to a row: content (genres), or a file of vectors
    size: Count = 64  # coordinates of these features, at least their number

    def __post_init__(self) -> None:
        if len(self.hidden) % 2 == 0:
            raise BadInput(
                f"hidden={self.hidden}: give an odd number of layers, the middle is the code"
            )
        if self.pretrain_steps and self.hidden != self.hidden[::-1]:
            raise BadInput(
                f"hidden={self.hidden}: pre-training wants widths that read alike from both ends, "
                "like 500,250,500"
            )


SPACE: Space = {
    "hidden": Choice(((100,), (200,), (500,))),
    "activation": Choice(("sigmoid", "identity")),
    "l2": Log(0.1, 1000),
    "dropout": Uniform(0, 0.8),
    **TRAINING,
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of ratings, by items or by users."""
    return Traits(
        task="rating",
        reads="columns" if config.item_based else "rows",
        l2=config.l2,
        features=config.features,
        l2_after=config.pretrain_steps if len(config.hidden) > 1 else 0,
        training={"epochs": 40, "batch_size": 64, "schedule": "cosine", "evaluate_every": 4},
    )


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N ratings; scores are ratings, not clipped."""
    low, high = facts.scale or (1.0, 5.0)
    middle = (low + high) / 2 if config.centre else 0.0
    f = activations.describe(config.output_activation)
    stretched = f.high - f.low < float("inf")

    def output(y):
        if stretched:
            return low + (f.function(y) - f.low) * ((high - low) / (f.high - f.low))
        return middle + f.function(y)

    def read(x):
        return layers.shift(x, -middle)

    code = len(config.hidden) // 2 + 1  # layers up to the code
    beside = content.module(config.features, facts, size=config.size, own=config.item_based)
    net = autoencoders.Stack(
        config.hidden[:code],
        (*config.hidden[code:], facts.num_columns),
        config.activation,
        config.latent_activation,
        output,
        content=beside,
    )
    apply: Callable[..., Any] = net.apply

    def whole(params, x, key):
        def after(layer, h):
            return layers.dropout(key, h, config.dropout) if layer == code - 1 else h

        return losses.squared_error(apply(params, read(x), after), x)

    def stage(level):
        """Make the loss of greedy pre-training of layer `level`."""

        def loss(params, x, key):
            if level == 0:
                y = apply(params, 0, read(x), method="mirror")
                return losses.squared_error(y, x)
            below = apply(params, read(x), level, method="encode")
            below = jax.lax.stop_gradient(below)
            y = apply(params, level, below, method="mirror")
            return losses.by_row(((y - below) ** 2).mean(axis=1), x)

        return loss

    loss = losses.greedy([*map(stage, range(code)), whole], pretrain_steps=config.pretrain_steps)
    linear = config.output_activation == "identity" and not middle
    model = autoencoders.model(
        net, facts, traits(config), loss, read=read, linear=linear,
        mlp=not middle and not config.features,
    )  # fmt: skip
    return model._replace(frozen=content.frozen(beside, config.features, facts))
