"""CDAE: a denoising autoencoder of clicks with a node for each user.

Wu, DuBois, Zheng, Ester: *Collaborative Denoising Auto-Encoders for Top-N Recommender Systems*,
WSDM 2016. A row x of clicks, its corrupted copy x~ and the user's own vector V_u give the code
z = h(W^T x~ + V_u + b) and the scores y = f(W' z + b') (eq. 9). The objective is the mean over
users of the loss of y against x, with an L2 penalty. W is `encoder` and W' `decoder`, each
[N, K], V is `nodes` [U, K]; `tied` makes W' the same as W.

Corruption, in training only: `mask` drops a click with probability q = `corruption` and
multiplies the others by 1 / (1 - q); `gaussian` adds N(0, `corruption`^2) to every cell.

The paper's four pairs of units and losses, and their settings here:

  name  latent_activation (h)  output_activation (f)  loss
  M1    identity               identity               square: (x - y)^2 / 2
  M2    identity               sigmoid                logistic: -x log y - (1 - x) log(1 - y)
  M3    sigmoid                identity               square
  M4    sigmoid                sigmoid                logistic

Negative sampling: the loss of a row reads its clicks and `negatives` columns for each of them,
drawn uniformly from all N with replacement; a draw that hits a click of the row is left out, and
one drawn twice counts twice. With `negatives=0` it reads every column.

A user has a node if `Rows.index` is one of the `num_rows` rows that are trained on. All others are
encoded with V_u = 0: held-out users, users of later recommendations, and dense batches, which
name no user.

Departures:
  - the draws that hit a click are dropped, where the paper draws from the other columns only: a
    row with m clicks keeps about a share 1 - m / N of them, and none if it lists every column;
  - biases are not penalised; `l2` is added to the sum over users, the paper's lambda to their mean:
    `l2` = lambda * number of users;
  - updates are of batches of users, of the mean loss over them; the paper's are of one user. SGD
    and AdaGrad are `optimiser="sgd"` and `optimiser="adagrad"`. AdaGrad's sums of squares start at
    1e-4, as in the authors' code, but of gradients that a batch of B users makes B times smaller;
  - by default `latent` is 400, where the paper mostly has 50, and the loss reads every column,
    where the paper draws five for each click.

Weights start uniform in +-4 sqrt(6 / (fan in + fan out)), the width for sigmoid units.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from aerec.configuration import Count, Natural, Weight, settings
from aerec.core import Batch, Facts, Model, Rows, Traits
from aerec.errors import BadInput
from aerec.nn import activations, layers, losses
from aerec.space import TRAINING, Choice, LogIntegers, Space, Uniform


@settings
class Config:
    latent: Count = 400  # K
    latent_activation: activations.Name = "sigmoid"  # h
    output_activation: activations.Plain = "sigmoid"  # f
    loss: Literal["logistic", "square"] = "logistic"  # or square
    noise: Literal["mask", "gaussian"] = "mask"  # the kind of corruption: mask or gaussian
    corruption: Weight = 0.5  # the probability that a click is masked, or the noise's deviation
    negatives: Natural = 0  # sampled columns for each click; 0: the loss reads every column
    tied: bool = False  # the decoder is the encoder's transpose
    l2: Weight = 1.0  # lambda of lambda / 2 (|W|^2 + |W'|^2 + |V|^2), added to the sum over users

    def __post_init__(self) -> None:
        if self.noise == "mask" and self.corruption >= 1:
            raise BadInput(f"corruption={self.corruption}: a mask's probability is below 1")
        if self.loss == "logistic" and self.output_activation != "sigmoid":
            wrong = self.output_activation
            raise BadInput(f"loss=logistic goes with output_activation=sigmoid, not {wrong!r}")
        if self.tied and activations.describe(self.latent_activation).extra:
            wrong = self.latent_activation
            raise BadInput(f"latent_activation={wrong!r} adds a coordinate: it needs tied=false")


SPACE: Space = {
    "latent": LogIntegers(20, 500),
    "latent_activation": Choice(("sigmoid", "identity")),
    "loss": Choice(("logistic", "square")),
    "corruption": Uniform(0.1, 0.9),
    "negatives": Choice((0, 5, 20)),
    "l2": Choice((0.0, 0.01, 0.1, 1.0, 10.0)),
    **TRAINING,
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks."""
    return Traits(
        task="ranking",
        l2=config.l2,
        training={
            "epochs": 70, "batch_size": 200, "learning_rate": 5e-3, "schedule": "cosine",
            "evaluate_every": 7,
        },
        updates=1_600,
    )  # fmt: skip


def make(config: Config, facts: Facts) -> Model:
    """Build the model with a node for each of the U users; see `autoencoder`."""
    return autoencoder(config, facts.num_rows, facts.num_columns)


def autoencoder(config: Config, num_nodes: int, num_columns: int) -> Model:
    """Build equation 9 over rows of `num_columns` clicks; rows 0 to `num_nodes` - 1 have a node."""
    latent = activations.describe(config.latent_activation)
    h, f = latent.function, activations.get(config.output_activation)
    pointwise = {  # of a score before f, and of what it should be
        "square": lambda logit, x: (x - f(logit)) ** 2 / 2,
        "logistic": lambda logit, x: jax.nn.softplus(logit) - x * logit,
    }
    cell_loss = pointwise[config.loss]

    def init(key):
        encoder_key, decoder_key, node_key = jax.random.split(key, 3)
        start = jax.nn.initializers.variance_scaling(16, "fan_avg", "uniform")
        params = {
            "encoder": start(encoder_key, (num_columns, config.latent)),
            "latent_bias": jnp.zeros(config.latent),
            "output_bias": jnp.zeros(num_columns),
        }
        if not config.tied:
            params["decoder"] = start(decoder_key, (num_columns, config.latent + latent.extra))
        if num_nodes:
            params["nodes"] = start(node_key, (num_nodes, config.latent))
        return params

    def hidden(params, x, nodes):
        """Return the code [B, K] of a corrupted row and its user's vector."""
        return h(layers.product(x, params["encoder"]) + nodes + params["latent_bias"][None])

    def nodes(params, x: Batch):
        """Return V_u [B, K], zero for a user without a node."""
        if not num_nodes or not isinstance(x, Rows):
            return jnp.zeros((x.shape[0], config.latent))
        index = jnp.where(x.index < 0, num_nodes, x.index)  # a gather reads -1 from the end
        return jnp.take(params["nodes"], index, axis=0, mode="fill", fill_value=0)

    def decoder(params):
        return params["encoder" if config.tied else "decoder"], params["output_bias"]

    def logits(params, z):
        kernel, bias = decoder(params)
        return z @ kernel.T + bias[None]

    def loss(params, x, key, step):
        del step
        noise_key, sample_key = jax.random.split(key)
        z = hidden(params, _corrupt(config, noise_key, x), nodes(params, x))
        if not config.negatives or not isinstance(x, Rows):
            return losses.by_row(jnp.sum(cell_loss(logits(params, z), layers.dense(x)), axis=1), x)
        columns, target, counted = sample(sample_key, x, config.negatives)
        logit = layers.affine_at(z, *decoder(params), row=x.row, columns=columns)
        cells = jnp.where(counted, cell_loss(logit, target), 0)
        return x.sum(jnp.sum(cells, axis=1)), losses.nonempty(x)

    def encode(params, x):
        return hidden(params, x, nodes(params, x))

    linear = config.output_activation == "identity"
    return Model(
        traits=traits(config),
        init=init,
        encode=encode,
        score=lambda params, x: f(logits(params, encode(params, x))),
        loss=loss,
        queries=encode if linear else None,
        item_codes=(lambda params: decoder(params)[0]) if linear else None,
        item_bias=(lambda params: decoder(params)[1]) if linear else None,
        layers=lambda params: [(params["encoder"].T, params["latent_bias"], latent)],  # no node
    )


def sample(key: jax.Array, x: Rows, count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draw the cells that a sampled loss reads: each entry of x, and `count` others of its row.

    Returns:
      columns: [C, 1 + count] int32, first the entry's own, then uniform draws from all columns.
      target: [C, 1 + count], the entry's value, then zeros.
      counted: [C, 1 + count] bool, false for a draw that the row lists, and for padding.

    Consumes `key`.
    """
    drawn = jax.random.randint(key, (len(x.row), count), 0, x.num_columns, jnp.int32)
    listed = x.listed().at[x.row[:, None], drawn].get(mode="fill", fill_value=1)
    columns = jnp.concatenate([x.columns[:, None], drawn], axis=1)
    target = jnp.pad(x.values[:, None], ((0, 0), (0, count)))
    counted = jnp.concatenate([(x.row < x.shape[0])[:, None], listed == 0], axis=1)
    return columns, target, counted


def _corrupt(config: Config, key: jax.Array, x: Batch) -> Batch:
    if config.noise == "mask":
        return layers.dropout(key, x, config.corruption)
    block = layers.dense(x)
    return block + config.corruption * jax.random.normal(key, block.shape, block.dtype)
