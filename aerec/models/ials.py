"""iALS: matrix factorisation of clicks by alternating least squares.

Hu, Koren, Volinsky: *Collaborative Filtering for Implicit Feedback Datasets*, ICDM 2008, with the
objective of Rendle, Krichene, Zhang, Koren: *Revisiting the Performance of iALS on Item
Recommendation Benchmarks*, RecSys 2022 (section 2). For U users, N items and the weight w_ui of a
click, which is its value, 1 by most protocols, the objective is

    sum_clicks w_ui (<x_u, y_i> - 1)^2 + alpha0 sum_all <x_u, y_i>^2
        + lambda (sum_u (n_u + alpha0 N)^nu |x_u|^2 + sum_i (n_i + alpha0 U)^nu |y_i|^2)

where n_u and n_i sum the weights of a row and of a column. Given the items, x_u solves

    (sum_i w_ui y_i y_i' + alpha0 Y'Y + lambda (n_u + alpha0 N)^nu I) x_u = sum_i w_ui y_i

and the items likewise. A sweep takes a few steps of conjugate gradients from the factors of the one
before (see `nn.conjugate`). A user's factor is always solved from the row, to convergence, so that
users who were not trained on are scored like the others; a user's scores are <x_u, y_i>.

Unless they are given, `alpha0` and `l2` follow from the data (`by_size`). Where all n_u are alike,
and all n_i, the two penalties are at least 2 T times the nuclear norm of X Y', with
T = lambda ((n_u + alpha0 N) (n_i + alpha0 U))^(nu / 2). If a share rho of the cells is clicked at
random, the singular values of the clicks but the first are up to R = sqrt(rho) (sqrt(U) + sqrt(N)),
and with T >= R hardly any of them is fitted. The default is T = .45 R, with alpha0 = 3 sqrt(rho):
the fewer the users and items, the larger is lambda.

Departures:
  - Sweeps take conjugate gradients; the paper solves the systems, or blocks of them alternately
    (Rendle et al.: *iALS++*, 2021). With `steps` of 2 K and more the difference is rounding.
  - The users start at random and the items at zero, so the items are solved first.
  - n sums weights instead of counting clicks, which differs only where clicks have values.
  - The paper recommends 16 sweeps; the default is what suits several data sets.
"""

import dataclasses
import functools
from collections.abc import Collection

import jax
import jax.numpy as jnp

from aerec.configuration import Count, Positive, Weight, settings
from aerec.core import Batch, Facts, Model, Rows, Table, Traits
from aerec.nn import alternating, conjugate, layers
from aerec.space import Choice, Log, LogIntegers, Space, rounded

LIMIT = 200  # steps that solve for a user's factor; about 15 are needed on MovieLens-1M


@settings
class Config:
    latent: Count = 256  # K
    l2: Positive = 0.005  # lambda; if it is not given, it follows from the data
    alpha0: Positive = 0.25  # weight of every cell, clicked or not; if not given, from the data
    power: Weight = 1.0  # nu, of the frequency that scales lambda; 0: one lambda for all
    sweeps: Count = 8  # number of times that the items are solved
    steps: Count = 3  # of conjugate gradients, on each side of a sweep
    deviation: Positive = 0.1  # standard deviation of the start, times sqrt(K)


SPACE: Space = {
    "latent": Choice((64, 128, 256, 512)),
    "l2": Log(0.002, 0.1),
    "alpha0": Log(0.05, 1),
    "sweeps": LogIntegers(4, 16),
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks."""
    return Traits(task="ranking", sized=functools.partial(by_size, config))


def by_size(config: Config, given: Collection[str], facts: Facts) -> dict[str, float]:
    """Choose lambda and alpha0, as far as they are not `given`, for a training table of clicks."""
    users, items = facts.num_rows, facts.num_columns
    assert facts.counts is not None
    share = max(1, facts.counts.sum()) / (users * items)
    alpha0 = config.alpha0 if "alpha0" in given else 3 * share**0.5
    weights = (share + alpha0) ** 2 * users * items
    l2 = 0.45 * share**0.5 * (users**0.5 + items**0.5) / weights ** (config.power / 2)
    return {
        "l2": config.l2 if "l2" in given else rounded(l2),
        "alpha0": config.alpha0 if "alpha0" in given else rounded(alpha0),
    }


def make(config: Config, facts: Facts) -> Model:
    """Build the model over N items; params {"items": [N, K]}; the code is x_u [B, K].

    Raises:
      memory.TooLarge: from `solve`, as `alternating.fit`.
    """
    num_columns = facts.num_columns

    def penalty(weight: jax.Array, others: int) -> jax.Array:
        """Compute lambda (n + alpha0 M)^nu of rows of the sums n [B], given M others: [B, 1]."""
        return config.l2 * (weight[:, None] + config.alpha0 * others) ** config.power

    def side(table: Table) -> alternating.Side:
        tiles, (row, _, value) = conjugate.Tiles.of(table), table.entries()
        ridge = penalty(jnp.zeros(table.num_rows).at[row].add(value), table.num_columns)
        return lambda fixed, now: _half(tiles, ridge, fixed, now, config.alpha0, config.steps)

    def solve(table: Table):
        items = alternating.fit(
            table,
            side,
            width=config.latent,
            sweeps=config.sweeps,
            deviation=config.deviation / config.latent**0.5,
            copies=8,
        )
        return {"items": items}

    def encode(params, x: Batch) -> jax.Array:
        items = params["items"]
        w = layers.apply(x, lambda r: jnp.maximum(r, 0))
        weight = w.sum(w.values) if isinstance(w, Rows) else jnp.sum(w, axis=1)
        gram, ridge = config.alpha0 * items.T @ items, penalty(weight, num_columns)

        def apply(z):
            return _weighted(w, z, items) + z @ gram + ridge * z

        def converge(apply, right):
            start, small = jnp.zeros_like(right), 8 * float(jnp.finfo(right.dtype).eps)
            return conjugate.solve(apply, right, start, steps=LIMIT, tolerance=small)

        right = layers.product(w, items)
        return jax.lax.custom_linear_solve(apply, right, converge, symmetric=True)

    return Model(
        traits=traits(config),
        init=lambda key: {"items": jnp.zeros((num_columns, config.latent))},
        encode=encode,
        score=lambda params, x: encode(params, x) @ params["items"].T,
        solve=solve,
        queries=encode,
        item_codes=lambda params: params["items"],
        item_bias=lambda params: jnp.zeros(num_columns),
    )


@jax.jit
def _half(
    tiles: conjugate.Tiles,
    ridge: jax.Array,
    fixed: jax.Array,
    now: jax.Array,
    alpha0: float,
    steps: int,
) -> jax.Array:
    """Improve the factors `now` [U, K] of a table's rows in `steps`, given the `fixed` [N, K]."""
    gram = alpha0 * fixed.T @ fixed

    def apply(z):
        return tiles.sum(fixed, z) + z @ gram + ridge * z

    missing = tiles.sum(fixed, now, lambda w, product: w * (1 - product))
    return conjugate.solve(apply, missing - now @ gram - ridge * now, now, steps=steps)


def _weighted(w: Batch, z: jax.Array, items: jax.Array) -> jax.Array:
    """Compute sum_i w_ui <z_u, y_i> y_i of every row, [B, K]."""
    if not isinstance(w, Rows):
        return (w * (z @ items.T)) @ items
    bias = jnp.zeros(len(items), items.dtype)
    products = layers.affine_at(z, items, bias, row=w.row, columns=w.columns[:, None])[:, 0]
    return layers.product(dataclasses.replace(w, values=w.values * products), items)
