"""RRN: matrix factorisation of ratings with states of users and items by recurrent networks.

Wu, Ahmed, Beutel, Smola, Jing: *Recurrent Recommender Networks*, WSDM 2017. The time of all ratings
is divided into `bins` equal parts. With h_u,t and h_j,t the states of two LSTMs (`recurrent.lstm`)
after the parts before t, one of the user and one of the item, the rating of item j in part t is

    r_uj|t = mu + b_u + b_j + p_u' q_j + a_u,t + a_j,t + m_u,t' m_j,t,
    (m_u,t, a_u,t) = A h_u,t + c,    (m_j,t, a_j,t) = B h_j,t + d

(eq. 4, with biases). In each part the user's LSTM reads a projection of

    sum_j (r_uj - mu - b_j) (1, q_j) / sqrt(n),   log(1 + n),   whether n = 0 in all parts before,

n the user's ratings in this part, and the time t / bins (eq. 3); the item's LSTM reads the same of
its ratings, with b_u and p_u. So a state reads only ratings of earlier parts; the factors that it
reads them by are of all training ratings. The objective is the squared error over the ratings plus
l2 / 2 times the squares of the weights of the networks.

The factors are those of `pmf` with biases, solved first. With `past`, those in the objective are of
the past: (b_u, p_u) is solved from the user's ratings before t, given items solved without the
user's own fold of `folds`. Without it they are fitted to all ratings of training, as in the paper.
The states then learn what is left of a rating given others of the same session, which is another
thing than what is left in a later one.

Where times are not known, the time of a rating is its place in the row.

Departures:
  - a score is of the end of the training time: `score` is not given another;
  - the factors are kept as alternating least squares solves them; the paper starts from PMF, and
    for the networks from AutoRec, and trains both on;
  - with `newcomers` below 1, a user's ratings without earlier ones weigh less in the objective;
  - the inputs are projected factors of the rated, in place of vectors of one weight for each pair
    of a user and an item, and (1, q_j) is not trained;
  - users and items are updated together, and by all parts at once, not in turn;
  - a user who was not trained on rated in the last part, and as the only one.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aerec import memory
from aerec.configuration import Count, Positive, Probability, Share, Weight, settings
from aerec.core import Batch, Facts, Model, Rows, Table, Traits
from aerec.models import pmf
from aerec.nn import alternating, layers, moments, recurrent
from aerec.space import Choice, Log, LogIntegers, Space, Uniform


@settings
class Config:
    latent: Count = 20  # K, the dimension of p_u and q_j
    factors_l2: Positive = 4.0  # lambda of `pmf`
    power: Share = 0.4  # of `pmf`
    recurrent: Count = 16  # width of the states
    dynamic: Count = 8  # dimension of m_u and m_j
    bins: Count = 30  # equal parts of the time of all ratings
    past: bool = True  # whether training is with the factors of the past
    folds: Count = 4  # of users; the items of a user's past are solved without its fold
    newcomers: Share = 1.0  # weight of the ratings of a user without earlier ones
    users: bool = True  # whether users have states
    items: bool = True  # whether items have states
    dropout: Probability = 0.3  # of the states
    l2: Weight = 100.0  # lambda of lambda / 2 |weights|^2 of the networks, added to the sum


SPACE: Space = {
    "recurrent": LogIntegers(4, 32),
    "dynamic": LogIntegers(2, 16),
    "bins": Choice((10, 30, 100)),
    "dropout": Uniform(0, 0.6),
    "l2": Log(1, 1000),
    "learning_rate": Log(3e-4, 1e-2),
    "batch_size": LogIntegers(32, 256),
    "epochs": LogIntegers(5, 50),
}


def traits(config: Config) -> Traits:
    """Return the traits of a model of ratings with times."""
    return Traits(
        task="rating",
        reads="sequence",
        l2=config.l2,
        training={
            "epochs": 16, "batch_size": 128, "learning_rate": 3e-3, "schedule": "cosine",
            "evaluate_every": 2,
        },
    )  # fmt: skip


def make(config: Config, facts: Facts) -> Model:
    """Build the model over rows of N ratings; scores are ratings [B, N], not clipped.

    Params {"clock": the T parts of the time, "factors": {"mean": mu [1], "items": (b_j, q_j)
    [N, 1 + K], "folds": those without each fold [F, N, 1 + K], "past": (b_u, p_u) before each part
    [U, T, 1 + K]}, "read": what the networks read, {"users": [U, T, W], "items": [N, T, W]},
    "users" and "items": the networks}.

    Raises:
      memory.TooLarge: from `frozen`, if what the networks read does not fit.
    """
    num_rows, num_columns, parts = facts.num_rows, facts.num_columns, config.bins
    width, dynamic = 1 + config.latent, config.dynamic
    base = pmf.make(
        pmf.Config(latent=config.latent, l2=config.factors_l2, power=config.power), facts
    )

    def init(key: jax.Array):
        own, other = jax.random.split(key)
        none = {"mean": jnp.zeros(1), "items": jnp.zeros((num_columns, width))}
        return {
            "clock": {"first": jnp.zeros(1), "rate": jnp.zeros(1)},
            "factors": none | {
                "folds": jnp.zeros((config.folds, num_columns, width)),
                "past": jnp.zeros((num_rows, parts, width)),
            },
            "read": {
                "users": jnp.zeros((num_rows, parts, width + 2)),
                "items": jnp.zeros((num_columns, parts, width + 2)),
            },
            "users": _network(own, width + 3, config),
            "items": _network(other, width + 3, config),
        }  # fmt: skip

    def solved(params) -> Any:
        """Return the parameters of `pmf`."""
        return {"mean": params["factors"]["mean"][0], "items": params["factors"]["items"]}

    def frozen(table: Table) -> dict[str, Any]:
        """Solve the factors, and sum what the networks read."""
        largest = max(num_rows, num_columns)
        memory.require(
            12 * largest * parts * (width + 2),
            f"What networks read of {largest} rows in {parts} parts",
            "lower bins or latent",
        )
        row, column, value = table.entries()
        _, times = moments.of_table(table)
        clock = moments.parts(times, parts)
        bins = np.asarray(moments.part(clock, times, parts))
        assert base.solve is not None
        found = base.solve(table)
        mean, items = found["mean"], found["items"]
        every = table.gather(jnp.arange(num_rows), max(len(row), 1))
        users = jax.jit(base.encode)(found, every)
        read = {}
        for name, size, at, other, factors in (
            ("users", num_rows, row, column, items), ("items", num_columns, column, row, users),
        ):  # fmt: skip
            sides = np.asarray(factors)
            left = (value - float(mean) - sides[other, 0])[:, None]
            vectors = np.concatenate([np.ones((len(other), 1)), sides[other, 1:]], axis=1) * left
            total = np.zeros((size, parts, width), np.float32)
            counts = np.zeros((size, parts), np.float32)
            np.add.at(total, (at, bins), vectors)
            np.add.at(counts, (at, bins), 1)
            read[name] = _features(jnp.asarray(total), jnp.asarray(counts))
        if config.past:
            folds, past = _past(base, table, found, bins, config)
        else:
            folds = jnp.broadcast_to(items, (config.folds, *items.shape))
            past = jnp.broadcast_to(users[:, None], (num_rows, parts, width))
        kept = {"mean": mean[None], "items": items, "folds": folds, "past": past}
        return {"clock": clock, "factors": kept, "read": read}

    def states(network, read: jax.Array) -> jax.Array:
        """Return the states before each part and at the end, [T + 1, M, H], of [M, T, W]."""
        time = jnp.broadcast_to(jnp.arange(parts)[:, None, None] / parts, (parts, len(read), 1))
        given = jnp.concatenate([jnp.swapaxes(read, 0, 1), time], axis=2)
        return recurrent.lstm(
            given @ network["input"] + network["bias"][None, None], network["kernel"]
        )

    def mapped(network, state: jax.Array, used: bool) -> jax.Array:
        """Return (m, a), [., D + 1]; without states, of the state zero."""
        own = state if used else jnp.zeros_like(state)
        return own @ network["map"] + network["offset"][None]

    def together(own: jax.Array, other: jax.Array) -> jax.Array:
        """Return a_u + a_j + m_u' m_j."""
        dot = jnp.sum(own[..., :dynamic] * other[..., :dynamic], axis=-1)
        return own[..., dynamic] + other[..., dynamic] + dot

    def loss(params, x: Batch, key: jax.Array, step: jax.Array):
        """Compute the squared error of each row, weighed; weights count all ratings."""
        del step
        x = layers.rows(x)
        factors, keys = params["factors"], jax.random.split(key)
        index = jnp.where(x.index < 0, num_rows, x.index)
        row = index.at[x.row].get(mode="fill", fill_value=num_rows)
        bins = moments.part(params["clock"], moments.of_entries(x), parts)
        past = moments.at(factors["past"], row, bins)
        item = moments.at(factors["folds"], row % config.folds, x.columns)
        y = factors["mean"] + past[:, 0] + item[:, 0] + jnp.sum(past[:, 1:] * item[:, 1:], axis=1)
        read = jnp.take(params["read"]["users"], index, axis=0, mode="fill", fill_value=0)
        of_users = moments.at(states(params["users"], read), bins, x.row)
        of_items = moments.at(states(params["items"], params["read"]["items"]), bins, x.columns)
        own, other = (
            mapped(params[name], layers.dropout(key, state, config.dropout), used)
            for name, key, state, used in (
                ("users", keys[0], of_users, config.users),
                ("items", keys[1], of_items, config.items),
            )
        )
        y += together(own, other)
        new = moments.at(read[:, :, -1], x.row, bins)
        weight = 1 - (1 - config.newcomers) * new
        error = jnp.where(x.row < x.shape[0], x.values - y, 0)
        return x.sum(weight * error**2), x.counts().astype(error.dtype)

    def queries(params, x: Batch) -> jax.Array:
        """Return what multiplies the codes of items at the end of the time, [B, 1 + K + D]."""
        x = layers.rows(x)
        code = base.encode(solved(params), x)
        known = (x.index >= 0) & (x.index < num_rows)
        own = params["read"]["users"].at[jnp.where(known, x.index, 0)].get(mode="clip")
        read = jnp.where(known[:, None, None], own, alone(params, x))
        m = mapped(params["users"], states(params["users"], read)[-1], config.users)
        offset = code[:, :1] + m[:, dynamic:]
        return jnp.concatenate([offset, code[:, 1:], m[:, :dynamic]], axis=1)

    def alone(params, x: Rows) -> jax.Array:
        """Return what a network reads of rows that are rated in the last part, [B, T, W]."""
        items = params["factors"]["items"]
        around = params["factors"]["mean"] + moments.at(items[:, 0], x.columns)
        listed = x.row < x.shape[0]
        left = dataclasses.replace(x, values=jnp.where(listed, x.values - around, 0))
        total = layers.product(left, items.at[:, 0].set(1))
        before = ((0, 0), (parts - 1, 0))
        counts = jnp.pad(x.counts().astype(total.dtype)[:, None], before)
        return _features(jnp.pad(total[:, None], (*before, (0, 0))), counts)

    def of_items(params) -> jax.Array:
        state = states(params["items"], params["read"]["items"])[-1]
        return mapped(params["items"], state, config.items)

    def item_codes(params) -> jax.Array:
        items = params["factors"]["items"].at[:, 0].set(1)
        return jnp.concatenate([items, of_items(params)[:, :dynamic]], axis=1)

    def item_bias(params) -> jax.Array:
        factors = params["factors"]
        return factors["mean"] + factors["items"][:, 0] + of_items(params)[:, dynamic]

    return Model(
        traits=traits(config),
        init=init,
        encode=queries,
        score=lambda params, x: queries(params, x) @ item_codes(params).T + item_bias(params)[None],
        loss=loss,
        frozen=frozen,
        queries=queries,
        item_codes=item_codes,
        item_bias=item_bias,
    )


def _network(key: jax.Array, width: int, config: Config) -> dict[str, jax.Array]:
    """Draw the parameters of an LSTM and of the map of its states."""
    first, second, third = jax.random.split(key, 3)
    gates, glorot = 4 * config.recurrent, jax.nn.initializers.glorot_uniform()
    return {
        "input": glorot(first, (width, gates)),
        "kernel": glorot(second, (config.recurrent, gates)),
        "bias": jnp.zeros(gates),
        "map": 0.1 * jax.random.normal(third, (config.recurrent, config.dynamic + 1)),
        "offset": jnp.zeros(config.dynamic + 1),
    }


def _features(total: jax.Array, counts: jax.Array) -> jax.Array:
    """Return sums [M, T, 1 + K] over sqrt(n), log(1 + n), and whether n = 0 before, [M, T, W]."""
    before = jnp.cumsum(counts, axis=1) - counts
    rest = jnp.stack([jnp.log1p(counts), (before == 0).astype(total.dtype)], axis=2)
    scaled = total * jax.lax.rsqrt(jnp.maximum(counts, 1))[:, :, None]
    return jnp.concatenate([scaled, rest], axis=2)


def _past(
    base: Model, table: Table, found: Any, bins: np.ndarray, config: Config
) -> tuple[jax.Array, jax.Array]:
    """Solve the items without each fold of rows, and each row from its ratings before each part.

    Returns:
      (items [F, N, 1 + K], with biases around the same mean; rows [U, T, 1 + K]).
    """
    assert base.solve is not None
    row, column, value = table.entries()
    lengths, fold = table.lengths(), np.arange(table.num_rows) % config.folds
    rows = -(-table.num_rows // config.folds)
    capacity = max(1, *(int(lengths[fold == k].sum()) for k in range(config.folds)))
    timed = dataclasses.replace(table, times=jnp.asarray(bins, jnp.float32))

    @jax.jit
    def solve(params, index):
        x = timed.gather(index, capacity)
        around = params["mean"] + moments.at(params["items"][:, 0], x.columns)
        factors = params["items"].at[:, 0].set(1)

        def before(number):
            kept = ((x.times < number) & (x.row < x.shape[0])).astype(x.values.dtype)
            penalty = config.factors_l2 * jnp.maximum(x.sum(kept), 1) ** config.power
            left = dataclasses.replace(x, values=(x.values - around) * kept)
            ridge = penalty[:, None, None] * jnp.eye(1 + config.latent)[None]
            return alternating.ridge(dataclasses.replace(x, values=kept), left, factors, ridge)

        return jax.lax.map(before, jnp.arange(config.bins, dtype=jnp.float32))

    folds, past = [], np.zeros((table.num_rows, config.bins, 1 + config.latent), np.float32)
    for k in range(config.folds):
        kept = fold[row] != k
        rest = Table.from_entries(
            row[kept], column[kept], value[kept],
            num_rows=table.num_rows, num_columns=table.num_columns,
        )  # fmt: skip
        own = base.solve(rest)
        items = own["items"].at[:, 0].add(own["mean"] - found["mean"])
        index = np.full(rows, table.num_rows, np.int32)
        mine = np.flatnonzero(fold == k)
        index[: len(mine)] = mine
        solved = solve({"mean": found["mean"], "items": items}, jnp.asarray(index))
        past[mine] = np.swapaxes(np.asarray(solved), 0, 1)[: len(mine)]
        folds.append(items)
    return jnp.stack(folds), jnp.asarray(past)
