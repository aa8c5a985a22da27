"""ELSA: a linear item-to-item autoencoder of low rank, its memory linear in the items.

Vancura, Alves, Kasalicky, Kordik: *Scalable Linear Shallow Autoencoder for Collaborative
Filtering*, RecSys 2022. A user's scores are x (A A' - I), A [N, K] with rows of length 1, so that
the diagonal of the weights is zero as in EASE; the objective is the squared distance of x and its
scores, each scaled to length 1.

Departures: the optimiser is Adam; the authors train with NAdam. The default rank suits thousands
of items; a smaller `latent` saves memory, and costs accuracy where items are many.
"""

import jax
import jax.numpy as jnp

from aerec.configuration import Count, settings
from aerec.core import Batch, Facts, Model, Traits
from aerec.nn import activations, layers, losses
from aerec.space import TRAINING, Choice, Log, LogIntegers, Space


@settings
class Config:
    latent: Count = 1024  # K, the rank


SPACE: Space = {
    **TRAINING,
    "latent": Choice((64, 128, 256, 512, 1024)),
    "learning_rate": Log(1e-4, 0.1),
    "epochs": LogIntegers(5, 80),
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks."""
    del config
    return Traits(
        task="ranking",
        linear=True,
        training={
            "epochs": 30, "batch_size": 100, "learning_rate": 2e-3, "schedule": "cosine",
            "evaluate_every": 3,
        },
    )  # fmt: skip


def make(config: Config, facts: Facts) -> Model:
    """Build the model over N items; params {"kernel": [N, K]}; the code is x A [B, K].

    The kernel's rows are of any length; A has them at length 1.
    """

    def init(key):
        shape = (facts.num_columns, config.latent)
        return {"kernel": jax.random.normal(key, shape) / jnp.sqrt(config.latent)}

    def encode(params, x: Batch) -> jax.Array:
        return layers.product(x, layers.normalise(params["kernel"]))

    def score(params, x: Batch) -> jax.Array:
        return encode(params, x) @ layers.normalise(params["kernel"]).T - layers.dense(x)

    def loss(params, x: Batch, key, step):
        """Compute |x / |x| - y / |y||^2 per row, y its scores; weights count non-empty rows."""
        del key, step
        apart = layers.dense(layers.normalise(x)) - layers.normalise(score(params, x))
        return losses.by_row(jnp.sum(apart**2, axis=1), x)

    def affine(params):
        kernel = layers.normalise(params["kernel"])
        return [(kernel.T, jnp.zeros(config.latent), activations.describe("identity"))]

    return Model(
        traits=traits(config), init=init, encode=encode, score=score, loss=loss, layers=affine
    )
