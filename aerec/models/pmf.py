"""PMF: matrix factorisation of ratings, with or without biases, by alternating least squares.

Mnih & Salakhutdinov: *Probabilistic Matrix Factorization*, NIPS 2007; the biases are those of
Koren, Bell, Volinsky: *Matrix Factorization Techniques for Recommender Systems*, Computer 2009:
r_ui is about mu + b_u + b_i + p_u' q_i (eq. 4), and with `biases=false` mu + p_u' q_i. The
objective is the squared error over the observed ratings plus lambda n^power times b^2 + |p|^2 of
each user and b^2 + |q|^2 of each item, n its ratings. `power` 0 gives the Gaussian priors of PMF; 1
gives a penalty for each rating, as in Koren et al. (eq. 5) and in Zhou et al. (*Large-scale
Parallel Collaborative Filtering for the Netflix Prize*, AAIM 2008), whose alternating solutions
these are; Rendle et al. (*Revisiting the Performance of iALS on Item Recommendation Benchmarks*,
RecSys 2022) use values in between. With the items fixed (b_u, p_u) is one ridge regression on (1,
q_i), and likewise the other way round.

A row's bias and factors are always computed from the row, so that users who were not trained on
are scored like the others.

Departures: least squares in place of the papers' gradient descent; mu is the mean of the training
ratings and is not fitted; PMF of 2007 squashes predictions with a logistic function, not done here.
"""

import dataclasses

import jax
import jax.numpy as jnp

from aerec.configuration import Count, Positive, Share, settings
from aerec.core import Batch, Facts, Model, Rows, Table, Traits
from aerec.nn import alternating
from aerec.space import Log, LogIntegers, Space, Uniform


@settings
class Config:
    latent: Count = 20  # K
    biases: bool = True  # of users and items; without them the model is mu + p_u' q_i
    l2: Positive = 2.0  # lambda
    power: Share = 0.4  # power of the number of ratings that multiplies lambda, 0 to 1
    sweeps: Count = 15  # number of times that the items are solved


SPACE: Space = {"latent": LogIntegers(5, 100), "l2": Log(0.1, 30), "power": Uniform(0, 1)}


def traits(config: Config) -> Traits:
    """Return the traits of a model of ratings."""
    del config
    return Traits(task="rating")


def make(config: Config, facts: Facts) -> Model:
    """Build the model over N items; scores are ratings [B, N], not clipped.

    Params {"mean": mu, "items": [N, 1 + K], the rows (b_i, q_i)}; the code is (b_u, p_u)
    [B, 1 + K]. Without biases both have K columns, of q_i and p_u.

    Raises:
      memory.TooLarge: from `solve`, as `alternating.fit`.
    """
    num_columns = facts.num_columns
    width = config.latent + config.biases

    def offset(mean: jax.Array, side: jax.Array) -> jax.Array:
        """Return mu plus the bias of each row of one side."""
        return mean + side[:, 0] if config.biases else jnp.full(len(side), mean)

    def features(side: jax.Array) -> jax.Array:
        """Return what the code of the other side is multiplied by."""
        return side.at[:, 0].set(1) if config.biases else side

    def half(mean: jax.Array, fixed: jax.Array, x: Batch) -> jax.Array:
        """Solve for (b, p) of every row, given those of the other side."""
        base = offset(mean, fixed)
        if isinstance(x, Rows):
            observed = (x.row < x.shape[0]).astype(x.values.dtype)
            around = base.at[x.columns].get(mode="fill", fill_value=0)
            listed: Batch = dataclasses.replace(x, values=observed)
            left: Batch = dataclasses.replace(x, values=(x.values - around) * observed)
            counts = x.sum(observed)
        else:
            listed = (x != 0).astype(x.dtype)
            left, counts = (x - base[None, :]) * listed, jnp.sum(listed, axis=1)
        penalty = config.l2 * jnp.maximum(counts, 1) ** config.power  # an empty row: all zero
        ridge = penalty[:, None, None] * jnp.eye(width)[None]
        return alternating.ridge(listed, left, features(fixed), ridge)

    def solve(table: Table):
        mean = jnp.mean(table.values) if table.values.size else jnp.zeros(())
        items = alternating.fit(
            table,
            alternating.blockwise(lambda fixed, x: half(mean, fixed, x)),
            width=width,
            sweeps=config.sweeps,
            deviation=0.1,
            copies=width + 5,  # products of pairs of factors, and these again where gathered
        )
        return {"mean": mean, "items": items}

    def encode(params, x: Batch) -> jax.Array:
        return half(params["mean"], params["items"], x)

    def item_codes(params) -> jax.Array:
        return features(params["items"])

    def item_bias(params) -> jax.Array:
        return offset(params["mean"], params["items"])

    return Model(
        traits=traits(config),
        init=lambda key: {"mean": jnp.zeros(()), "items": jnp.zeros((num_columns, width))},
        encode=encode,
        score=lambda params, x: encode(params, x) @ item_codes(params).T + item_bias(params)[None],
        solve=solve,
        queries=encode,
        item_codes=item_codes,
        item_bias=item_bias,
    )
