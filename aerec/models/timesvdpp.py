"""timeSVD++: matrix factorisation of ratings with implicit feedback and drift in time.

Koren: *Collaborative Filtering with Temporal Dynamics*, KDD 2009. With dev_u(t) = sign(t - t_u)
|t - t_u|^beta, t_u the mean time of the user's ratings (eq. 7), the rating of item i at time t is

    r_ui(t) = mu + b_u + a_u dev_u(t) + b_u,s(t) + (b_i + b_i,bin(t)) c_u
              + q_i' (p_u + d_u dev_u(t) + |R_u|^-1/2 sum_{j in R_u} y_j),

R_u the items that the user rated (eq. 8, 10 to 13). The objective is the squared error over the
ratings plus lambda n^power |w|^2 for the parameters w of each user and of each item, n its ratings,
as in `pmf`: the paper's penalty of each rating is that of `power` 1.

A row's own parameters are found by `Rows.index`, and t by `Rows.times`, in days. Where times are
not known, the time of a rating is its place in the row.

Departures:
  - a score is of the time of the row's last training rating: `score` is not given another. In a
    split by time that is the latest of what the model knows;
  - b_u,s(t) has one value for each of `sessions` equal parts of the time between a user's first
    and last rating, in place of one a day; p_u has none of its own in each of them;
  - dev_u is divided by its largest absolute value within the row, so that one lambda suits all;
  - c_u does not depend on the time, is 1 plus what is fitted, and mu is the training mean;
  - a user who was not trained on has parameters of zero, but the y_j of what was rated;
  - batches of users by the caller's optimiser, in place of one rating at a time.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from aerec.configuration import Count, Positive, Share, Weight, settings
from aerec.core import Batch, Facts, Model, Rows, Table, Traits
from aerec.nn import layers, moments
from aerec.space import Choice, Log, LogIntegers, Space, Uniform


@settings
class Config:
    latent: Count = 50  # K
    beta: Positive = 0.4  # power of the time from the user's mean
    bins: Count = 30  # equal parts of the time of all ratings, with a bias of each item
    sessions: Count = 1  # equal parts of the time of a user's ratings, with a bias of the user
    l2: Weight = 2.0  # lambda
    power: Share = 0.4  # power of the number of ratings that multiplies lambda, 0 to 1


SPACE: Space = {
    "latent": LogIntegers(10, 100),
    "bins": Choice((1, 10, 30)),
    "sessions": Choice((1, 8, 30)),
    "l2": Log(0.3, 30),
    "power": Uniform(0, 1),
    "learning_rate": Log(1e-3, 1e-2),
    "batch_size": LogIntegers(16, 256),
    "epochs": LogIntegers(20, 100),
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of ratings with times."""
    del config
    return Traits(
        task="rating",
        reads="sequence",
        training={
            "epochs": 30, "batch_size": 64, "learning_rate": 3e-3, "schedule": "cosine",
            "evaluate_every": 5,
        },
    )  # fmt: skip


def clock(table: Table, config: Config) -> dict[str, Any]:
    """Compute what a table says of its times: `mean` t_u [U], of row u and of `all` rows.

    `scale` [U] is 1 over the largest |t - t_u|^beta, `last` [U] the last time. The part of the time
    t is the floor of `rate` (t - `first`), [U] for sessions, and of `all` [1] for the items' bins.
    """
    row, times = moments.of_table(table)
    counts, zeros = jnp.diff(table.indptr), jnp.zeros(table.num_rows)
    mean = zeros.at[row].add(times) / jnp.maximum(counts, 1)
    reach = zeros.at[row].max(jnp.abs(times - mean[row]))
    first = jnp.full_like(zeros, jnp.inf).at[row].min(times)
    last = jnp.full_like(zeros, -jnp.inf).at[row].max(times)
    first, last = (jnp.where(counts > 0, end, 0) for end in (first, last))
    return {
        "mean": mean,
        "scale": moments.inverse(reach**config.beta),
        "last": last,
        "first": first,
        "rate": config.sessions * moments.inverse(last - first),
        "all": moments.parts(times, config.bins),
    }


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N ratings; scores are ratings [B, N], not clipped.

    Params {"mean": mu [1], "clock": see `clock`, "users": of [U, .], "items": of [N, .]}. The code
    is what multiplies q_i, [B, K].
    """
    num_rows, num_columns = facts.num_rows, facts.num_columns
    users = {
        "bias": (1, 0.0), "drift": (1, 0.0), "item_scale": (1, 0.0),
        "sessions": (config.sessions, 0.0), "factors": (config.latent, 0.1),
        "factor_drift": (config.latent, 0.0),
    }  # fmt: skip
    items = {
        "bias": (1, 0.0), "bins": (config.bins, 0.0),
        "factors": (config.latent, 0.1), "implicit": (config.latent, 0.01),
    }  # fmt: skip
    counts = jnp.ones(num_columns) if facts.counts is None else jnp.maximum(facts.counts, 1.0)

    def init(key: jax.Array):
        of_users, of_items = jax.random.split(key)
        none = Table.from_entries([], [], [], num_rows=num_rows, num_columns=num_columns)
        return {
            "mean": jnp.zeros(1),
            "clock": clock(none, config),
            "users": _drawn(of_users, num_rows, users),
            "items": _drawn(of_items, num_columns, items),
        }

    def frozen(table: Table) -> dict[str, Any]:
        mean = jnp.sum(table.values, keepdims=True) / max(table.values.size, 1)
        return {"mean": mean, "clock": clock(table, config)}

    def own_clock(params, x: Rows) -> Any:
        own = {name: leaf for name, leaf in params["clock"].items() if name != "all"}
        return _of_rows(own, x, num_rows)

    def dev(own: Any, times: jax.Array) -> jax.Array:
        away = times - own["mean"]
        size = jnp.where(away == 0, 1, jnp.abs(away)) ** config.beta
        return jnp.sign(away) * size * own["scale"]

    def code(params, own: Any, x: Rows) -> jax.Array:
        """Return p_u plus the implicit feedback, [B, K]."""
        share = jax.lax.rsqrt(jnp.maximum(x.counts(), 1).astype(jnp.float32))
        rated = dataclasses.replace(x, values=(x.row < x.shape[0]).astype(x.values.dtype))
        rated = layers.scale(rated, share)
        return own["factors"] + layers.product(rated, params["items"]["implicit"])

    def loss(params, x: Batch, key: jax.Array, step: jax.Array):
        """Compute the squared error and the penalty of each row; weights count ratings."""
        del key, step
        x = layers.rows(x)
        own, i = _of_rows(params["users"], x, num_rows), params["items"]
        times = moments.of_entries(x)
        each = jax.tree.map(lambda leaf: moments.at(leaf, x.row), own_clock(params, x))
        away, first = dev(each, times), jnp.zeros_like(x.row)
        bins = moments.part(params["clock"]["all"], times, config.bins)
        session = moments.part(each, times, config.sessions)

        def of_user(name: str, place: jax.Array = first) -> jax.Array:
            return moments.at(own[name], x.row, place)

        of_item = moments.at(i["bias"], x.columns, first) + moments.at(i["bins"], x.columns, bins)
        y = params["mean"] + of_user("bias") + away * of_user("drift")
        y += of_user("sessions", session) + (1 + of_user("item_scale")) * of_item
        y += x.pick(code(params, own, x) @ i["factors"].T)
        y += away * x.pick(own["factor_drift"] @ i["factors"].T)
        error = x.sum(jnp.where(x.row < x.shape[0], x.values - y, 0) ** 2)
        penalty = _penalty(own, i, x, counts, config.power)
        return error + config.l2 * penalty, x.counts().astype(error.dtype)

    def queries(params, x: Batch) -> jax.Array:
        """Return offset, c_u at its bin, and code of a row at its last time, [B, 1 + bins + K]."""
        x = layers.rows(x)
        own, time = _of_rows(params["users"], x, num_rows), own_clock(params, x)
        away = dev(time, time["last"])[:, None]
        known = (x.index >= 0) & (x.index < num_rows)
        bins = moments.part(params["clock"]["all"], time["last"], config.bins)
        bins = jnp.where(known, bins, config.bins - 1)
        session = moments.part(time, time["last"], config.sessions)[:, None]
        offset = own["bias"] + away * own["drift"]
        offset += jnp.take_along_axis(own["sessions"], session, axis=1)
        scale = (1 + own["item_scale"]) * jax.nn.one_hot(bins, config.bins)
        return jnp.concatenate(
            [offset, scale, code(params, own, x) + away * own["factor_drift"]], axis=1
        )

    def item_codes(params) -> jax.Array:
        i = params["items"]
        ones = jnp.ones((num_columns, 1))
        return jnp.concatenate([ones, i["bias"] + i["bins"], i["factors"]], axis=1)

    return Model(
        traits=traits(config),
        init=init,
        encode=lambda params, x: queries(params, x)[:, 1 + config.bins :],
        score=lambda params, x: params["mean"][None] + queries(params, x) @ item_codes(params).T,
        loss=loss,
        frozen=frozen,
        queries=queries,
        item_codes=item_codes,
        item_bias=lambda params: jnp.full(num_columns, params["mean"][0]),
    )


def _drawn(key: jax.Array, size: int, leaves: dict[str, tuple[int, float]]) -> dict[str, jax.Array]:
    """Draw the parameters of one side, [size, width] each: name -> (width, standard deviation)."""
    keys = jax.random.split(key, len(leaves))
    return {
        name: deviation * jax.random.normal(own, (size, width))
        for own, (name, (width, deviation)) in zip(keys, leaves.items(), strict=True)
    }


def _of_rows(leaves: Any, x: Rows, num_rows: int) -> Any:
    """Read the leaves [U, ...] at the rows of a batch, [B, ...]; zero for a row not trained on."""
    index = jnp.where(x.index < 0, num_rows, x.index)  # a gather reads -1 from the end
    read = lambda leaf: jnp.take(leaf, index, axis=0, mode="fill", fill_value=0)  # noqa: E731
    return jax.tree.map(read, leaves)


def _penalty(users: Any, items: Any, x: Rows, counts: jax.Array, power: float) -> jax.Array:
    """Compute a row's share of the squares of all parameters, [B].

    Summed over all rows it is the sum of n^power |w|^2 over users and items, n their ratings.

    Args:
      users: leaves [B, M] of the rows.
      items: leaves [N, M].
      counts: [N] ratings of each item in training, at least 1.
    """
    number, of_items = x.counts(), counts ** (power - 1) * _squares(items)
    of_users = jnp.where(number > 0, number**power, 0) * _squares(users)
    return of_users + x.sum(moments.at(of_items, x.columns))


def _squares(leaves: Any) -> jax.Array:
    return sum((jnp.sum(leaf**2, axis=1) for leaf in jax.tree.leaves(leaves)), jnp.zeros(()))
