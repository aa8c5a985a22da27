"""Blend: a weighted sum of the scores of several models, each standardised within a row.

Breiman: *Stacked regressions*, Machine Learning 1996, of rankings. A row's scores of a model are
brought to mean 0 and standard deviation 1 over the columns, because models score in different
units; the blend is y = sum_k w_k z_k with weights of sum 1. `aerec.blend` chooses the weights of
fitted runs on validation. Fitted by itself, a blend solves its members, which must be models in
closed form, and weighs them alike.

Departures: scores are standardised, and weights are chosen by the ranking's own figure, not by
least squares.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from aerec import models  # the registry imports this file: used in functions alone
from aerec.configuration import settings
from aerec.core import Batch, Facts, Model, Params, Table, Traits
from aerec.errors import BadInput
from aerec.space import Space


@settings
class Config:
    members: str = '[["popularity", {}], ["ease", {}]]'  # JSON: name and settings of each model

    def __post_init__(self) -> None:
        try:
            known = [(str(name), dict(own)) for name, own in json.loads(self.members)]
        except (TypeError, ValueError):
            known = []
        if len(known) < 2:
            raise BadInput(
                f"members={self.members!r}: give at least two models as JSON, like "
                '[["ease", {"l2": 300}], ["multvae", {}]]'
            )
        for name, own in known:
            facts = models.traits(name, own)
            if facts.task != "ranking" or facts.reads == "columns":
                raise BadInput(f"members: {name} is no model of users' rankings")


SPACE: Space = {}  # its members have theirs


def parts(config: Config) -> list[tuple[str, dict[str, Any]]]:
    """Return name and settings of each member."""
    return [(name, own) for name, own in json.loads(config.members)]


def traits(config: Config) -> Traits:
    """Return the traits of a model of clicks, or of histories if one member reads them in order."""
    reads = [models.traits(name, own).reads for name, own in parts(config)]
    return Traits(task="ranking", reads="sequence" if "sequence" in reads else "rows")


def make(config: Config, facts: Facts) -> Model:
    """Build the blend; params {"members": one entry each, "weights": [M]}; codes side by side."""
    members = [models.build(name, own, facts) for name, own in parts(config)]
    count = len(members)

    def encode(params, x: Batch) -> jax.Array:
        pairs = zip(members, params["members"], strict=True)
        return jnp.concatenate([member.encode(own, x) for member, own in pairs], axis=1)

    def init(key):
        keys = jax.random.split(key, count)
        own = [member.init(k) for member, k in zip(members, keys, strict=True)]
        return {"members": own, "weights": jnp.full(count, 1 / count)}

    def solve(table: Table):
        own = []
        for member, (name, _) in zip(members, parts(config), strict=True):
            if member.solve is None:
                raise BadInput(f"{name} has to be trained: fit each model, then `aerec.blend` them")
            own.append(member.solve(table))
        return {"members": own, "weights": jnp.full(count, 1 / count)}

    def read(params):
        return params["members"], params["weights"]

    return Model(
        traits=traits(config),
        init=init,
        encode=encode,
        solve=solve,
        **ranking(members, read, facts.num_columns),
    )


def ranking(
    members: Sequence[Model],
    read: Callable[[Params], tuple[Sequence[Params], jax.Array]],
    num_columns: int,
) -> dict[str, Any]:
    """Return the entries of `Model` by which a weighted sum of standardised scores ranks.

    They are `score` and, if all members have them, `queries`, `item_codes` and `item_bias`.

    Args:
      read: params -> (those of each member, the weights [M]).
    """

    def each(params):
        own, weights = read(params)
        return list(zip(members, own, weights, strict=True))

    def score(params, x: Batch) -> jax.Array:
        scores = [standardised(member.score(own, x)) for member, own, _ in each(params)]
        return jnp.tensordot(read(params)[1], jnp.stack(scores), axes=1)

    def queries(params, x: Batch) -> jax.Array:
        """Return (q_k / s_k, 1 / s_k) of each member and the sum of -mean_k / s_k, weighted."""
        parts, constant = [], 0.0
        for member, own, weight in each(params):
            assert member.queries is not None
            mean, size = _moments(member.score(own, x))
            scale = weight / size
            parts += [scale * member.queries(own, x), scale]
            constant += scale * -mean
        return jnp.concatenate([*parts, constant], axis=1)

    def item_codes(params) -> jax.Array:
        columns = []
        for member, own, _ in each(params):
            assert member.item_codes is not None and member.item_bias is not None
            columns += [member.item_codes(own), member.item_bias(own)[:, None]]
        return jnp.concatenate([*columns, jnp.ones((num_columns, 1))], axis=1)

    if any(member.queries is None for member in members):
        return {"score": score}
    return {
        "score": score,
        "queries": queries,
        "item_codes": item_codes,
        "item_bias": lambda params: jnp.zeros(num_columns),
    }


def standardised(y: jax.Array) -> jax.Array:
    """Bring each row of scores [B, N] to mean 0 and deviation 1; a constant row to zeros."""
    mean, size = _moments(y)
    return (y - mean) / size


def _moments(y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return each row's mean and deviation, [B, 1] each; infinity for that of a constant row."""
    mean = jnp.mean(y, axis=1, keepdims=True)
    size = jnp.std(y, axis=1, keepdims=True)
    return mean, jnp.where(size > 0, size, jnp.inf)
