"""RBM: a restricted Boltzmann machine of ratings, trained by contrastive divergence.

Salakhutdinov, Mnih, Hinton: *Restricted Boltzmann Machines for Collaborative Filtering*, ICML 2007.
Each rating v_i of a row is a softmax unit over K values, each of the F hidden units is binary;
unrated columns have no unit. The energy is bilinear, and with h summed out (eq. 4)

    F(v) = -sum_i b_i[v_i] - sum_j log(1 + exp(c_j + sum_i W_i[v_i, j] + sum_i r_i D_ij)),

i over the rated columns. With `conditional` the last term is that of section 3.3: r_i says that i
is rated, whatever its value. The hidden units are independent given v, p(h_j = 1 | v) = sigmoid of
the same sum, and the ratings are independent given h, p(v_i = k | h) = softmax_k(b_i + W_i h)
(eq. 1, 2). Contrastive divergence follows the gradient of F(v) - F(v'), v' fixed: the ratings after
`gibbs_steps` rounds of drawing h given v, and v given h (eq. 6). Its expectation is zero where the
machine fits the data; the value is no measure of the fit.

The code is p(h = 1 | v) [F], and the score of a column its expected rating, the mean of the values
under the softmax at that code (mean field, eq. 9 and 10).

Departures:
  - `item_based` takes items for rows (I-RBM of Sedhain et al., WWW 2015); the paper's are users;
  - r has the ratings of the row alone; the paper also uses pairs whose rating is withheld;
  - b_i is the sum of a bias of all columns and one of its own. `l2` shrinks the latter, W and D;
  - the number of rounds does not grow in training, and the optimiser is the caller's;
  - the values are evenly spaced over the scale; a rating in between counts as the nearest.
"""

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp

from aerec.configuration import Count, Weight, settings, within
from aerec.core import Batch, Facts, Model, Rows, Traits
from aerec.nn import layers, losses
from aerec.space import Choice, Log, LogIntegers, Space


@settings
class Config:
    latent: Count = 100  # F, the hidden units
    levels: Annotated[int, within("at least 2", lambda v: v >= 2)] = 5  # K, the values of a rating
    conditional: bool = True  # the hidden units read which columns are rated, too
    item_based: bool = True  # rows are items (I-RBM); users otherwise (U-RBM)
    gibbs_steps: Count = 1  # T, rounds of contrastive divergence
    l2: Weight = 10.0  # lambda of lambda / 2 (|W|^2 + |D|^2 + |b|^2), added to the sum over rows


SPACE: Space = {
    "latent": LogIntegers(50, 500),
    "conditional": Choice((False, True)),
    "gibbs_steps": Choice((1, 3)),
    "l2": Log(0.1, 100),
    "learning_rate": Log(3e-4, 1e-2),
    "batch_size": LogIntegers(32, 512),
    "epochs": LogIntegers(20, 100),
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of ratings, by items or by users."""
    return Traits(
        task="rating",
        reads="columns" if config.item_based else "rows",
        l2=config.l2,
        training={
            "epochs": 40, "batch_size": 64, "learning_rate": 3e-3, "schedule": "cosine",
            "evaluate_every": 4,
        },
    )  # fmt: skip


def make(config: Config, facts: Facts) -> Model:
    """Build the machine over rows of N ratings; scores are ratings on the scale [B, N].

    Params {"kernel": W [N, K, F], "rated": D [N, F], "bias": [N, K], "level_bias": [K],
    "hidden_bias": c [F]}; b_i is `bias[i] + level_bias`.
    """
    low, high = facts.scale or (1.0, 5.0)
    num_columns, num_levels, width = facts.num_columns, config.levels, config.latent
    ratings = jnp.linspace(low, high, num_levels)

    def init(key: jax.Array):
        kernel = jax.random.normal(key, (num_columns, num_levels, width)) / 100
        params = {
            "kernel": kernel,
            "bias": jnp.zeros((num_columns, num_levels)),
            "level_bias": jnp.zeros(num_levels),
            "hidden_bias": jnp.zeros(width),
        }
        if config.conditional:
            params["rated"] = jnp.zeros((num_columns, width))
        return params

    def visible(params) -> tuple[jax.Array, jax.Array]:
        """Return the kernel [N K, F] and bias [N K] of the visible units."""
        bias = params["bias"] + params["level_bias"][None]
        return params["kernel"].reshape(-1, width), bias.reshape(-1)

    def units(x: Rows, levels: jax.Array) -> Rows:
        """Return which of the N K visible units are on; `levels` [C] int32 of the entries."""
        return dataclasses.replace(
            x,
            columns=num_levels * x.columns + levels,
            values=(x.row < x.shape[0]).astype(x.values.dtype),
            num_columns=num_levels * num_columns,
        )

    def observed(x: Rows) -> Rows:
        nearest = jnp.round((x.values - low) * ((num_levels - 1) / (high - low)))
        return units(x, jnp.clip(nearest, 0, num_levels - 1).astype(jnp.int32))

    def inputs(params, v: Rows) -> jax.Array:
        """Return the hidden units' inputs [B, F]."""
        kernel = params["kernel"]
        if config.conditional:
            kernel = kernel + params["rated"][:, None]
        return layers.product(v, kernel.reshape(-1, width)) + params["hidden_bias"][None]

    def energy(params, v: Rows) -> jax.Array:
        """Compute F(v), [B]."""
        bias = visible(params)[1].at[v.columns].get(mode="fill", fill_value=0)
        return -v.sum(bias) - jnp.sum(jax.nn.softplus(inputs(params, v)), axis=1)

    def resampled(params, x: Rows, v: Rows, key: jax.Array) -> Rows:
        """Draw h given v, and the ratings of x given h. Consumes key."""
        hidden_key, visible_key = jax.random.split(key)
        on = jax.random.bernoulli(hidden_key, jax.nn.sigmoid(inputs(params, v)))
        columns = num_levels * x.columns[:, None] + jnp.arange(num_levels)[None]
        logits = layers.affine_at(
            on.astype(jnp.float32), *visible(params), row=x.row, columns=columns
        )
        drawn = jnp.argmax(logits + jax.random.gumbel(visible_key, logits.shape), axis=1)
        return units(x, jnp.where(x.row < x.shape[0], drawn, 0))

    def loss(params, x: Batch, key: jax.Array, step: jax.Array):
        """Compute F(v) - F(v') per row, of which each counts one."""
        del step
        x = layers.rows(x)
        data = drawn = observed(x)
        for round_key in jax.random.split(key, config.gibbs_steps):
            drawn = resampled(params, x, drawn, round_key)
        return losses.by_row(energy(params, data) - energy(params, drawn), x)

    def encode(params, x: Batch) -> jax.Array:
        return jax.nn.sigmoid(inputs(params, observed(layers.rows(x))))

    def score(params, x: Batch) -> jax.Array:
        kernel, bias = visible(params)
        logits = encode(params, x) @ kernel.T + bias[None]
        return jax.nn.softmax(logits.reshape(-1, num_columns, num_levels)) @ ratings

    return Model(traits=traits(config), init=init, encode=encode, score=score, loss=loss)
