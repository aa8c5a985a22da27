"""DeepRec: a deep autoencoder of users' ratings, with dense re-feeding.

Kuchaiev, Ginsburg: *Training Deep AutoEncoders for Collaborative Filtering*, 2017. A user's row x
[N], zero where a rating is missing, passes L layers h_j = a(W_j h_{j-1} + b_j), L of the encoder
and L of its mirror image; the loss is the masked squared error (eq. 1),

    MMSE = sum_i m_i (r_i - y_i)^2 / sum_i m_i,

with both sums over the whole batch: each rating has the same weight, not each user. Dropout is of
the code. Missing ratings enter as zero, but the output y = f(x) is dense. So after each step on x,
`refeeds` steps train f on its own output (`aerec.training.refeed`), of which every entry counts.

`hidden=(128, 256, 256)` with dropout .65 is the paper's n,128,256,256,dp(.65),256,128,n. The last
layer is activated like the others, or linear where the activation cannot reach every rating.

Departures:
  - the f(x) that is re-fed is `score`, without dropout and input noise; the paper takes it from the
    forward pass on x, which has dropout in training;
  - `corruption` (input noise), `tied` and `dropout_everywhere` are options, off by default.
"""

from collections.abc import Callable
from typing import Any

import jax

from aerec.configuration import Count, Natural, Probability, Weight, settings
from aerec.core import Facts, Model, Traits
from aerec.errors import BadInput
from aerec.nn import activations, autoencoders, layers, losses
from aerec.space import Choice, Log, LogIntegers, Space, Uniform


@settings
class Config:
    hidden: tuple[Count, ...] = (128, 256, 256)  # widths of the encoder, the last of the code
    activation: activations.Name = "selu"  # a, of every layer
    latent_activation: activations.Name = ""  # of the code; empty: the same as `activation`
    output_activation: activations.Plain = ""  # empty: `activation` if it reaches every rating
    tied: bool = False  # the decoder's kernels are the encoder's transposed, its biases its own
    dropout: Probability = 0.65  # of the code
    dropout_everywhere: bool = False  # the same dropout after every other layer but the last
    corruption: Probability = 0.0  # share of the input that is dropped in training
    refeeds: Natural = 1  # dense re-feeds after each step
    l2: Weight = 0.0  # lambda of lambda / 2 |kernels|^2, added to the squared errors

    def __post_init__(self) -> None:
        if not self.hidden:
            raise BadInput("hidden is empty; give a width for each layer of the encoder")
        for name in (self.activation, self.latent_activation):
            if self.tied and name and activations.describe(name).extra:
                raise BadInput(
                    f"{name} adds a coordinate, which a layer of a tied model has no room for"
                )


SPACE: Space = {
    "hidden": Choice(((128,), (128, 128), (128, 256, 256), (256, 256, 512))),
    "dropout": Uniform(0, 0.8),
    "refeeds": Choice((0, 1)),
    "learning_rate": Log(5e-4, 5e-2),
    "batch_size": LogIntegers(32, 512),
    "epochs": LogIntegers(40, 200),
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of ratings with dense re-feeding."""
    return Traits(
        task="rating",
        l2=config.l2,
        refeeds=config.refeeds,
        training={
            "epochs": 100, "batch_size": 128, "optimiser": "sgd", "momentum": 0.9,
            "learning_rate": 5e-3, "evaluate_every": 5,
        },
    )  # fmt: skip


def output_activation(config: Config, scale: tuple[float, float]) -> str:
    """Choose the last activation: as given, or `activation` if its range has every rating."""
    a, (low, high) = activations.describe(config.activation), scale
    holds = a.low <= low and high <= a.high and not a.extra
    return config.output_activation or (config.activation if holds else "identity")


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N ratings; scores are ratings, not clipped."""
    last, depth = output_activation(config, facts.scale or (1.0, 5.0)), len(config.hidden)
    net = autoencoders.Stack(
        config.hidden,
        (*config.hidden[:-1][::-1], facts.num_columns),
        config.activation,
        config.latent_activation,
        activations.get(last),
        config.tied,
    )
    apply: Callable[..., Any] = net.apply

    def loss(params, x, key, step):
        """Compute the two sums of equation 1 per row."""
        del step
        keys = jax.random.split(key, 2 * depth)  # for the input, and each layer but the last

        def after(layer, h):
            if layer != depth - 1 and not config.dropout_everywhere:
                return h
            return layers.dropout(keys[1 + layer], h, config.dropout)

        corrupted = layers.dropout(keys[0], x, config.corruption)
        return losses.squared_error(apply(params, corrupted, after), x)

    linear = last == "identity"
    return autoencoders.model(net, facts, traits(config), loss, linear=linear, mlp=True)
