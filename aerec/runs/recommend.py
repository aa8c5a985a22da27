"""Recommendations for people the model has never seen: their history is folded in."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aerec.core import Table
from aerec.errors import BadInput
from aerec.runs.artefact import Artefact


class Recommendation(NamedTuple):
    """One line of the answer; `title` is empty where the items have none."""

    user: str
    rank: int
    item: str
    title: str
    score: float


class Histories(NamedTuple):
    """What people have listed, as the columns of a table, and what was not understood.

    Attributes:
      users: the people, in the order of the table's rows.
      table: their histories as the model reads them (clicks where it was trained on clicks).
      seen: all they listed, liked or not: never recommended back.
      unknown: raw ids of items that the model does not know, each named once.
      without: people of whose items the model knows none; they are not among `users`.
      below: entries rated below the threshold that made clicks of the training ratings.
    """

    users: list[str]
    table: Table
    seen: Table
    unknown: list[str]
    without: list[str]
    below: int


def read_histories(
    artefact: Artefact, columns: Mapping[str, np.ndarray], *, source: str = "the history"
) -> Histories:
    """Raw histories as tables.

    Args:
      columns: "item" [R] raw ids, and optionally "user" [R] and "rating" [R].
      source: what to call them in messages.

    Raises:
      BadInput: the model cannot fold a user in, no item is known, or a rating model got no ratings.
    """
    config = artefact.config
    if config["item_based"]:
        raise BadInput(
            f"The model in this workdir ({config['model']}, item-based) reads an item's ratings by "
            "its training users: a new user would be a new column of its weights, so it cannot "
            "fold one in. Train autorec with item_based=false, multvae or ease instead."
        )
    items = columns["item"].astype(str)
    known = {raw: column for column, raw in enumerate(artefact.item_ids.astype(str))}
    column = np.array([known.get(raw, -1) for raw in items], np.int32)
    user = columns["user"].astype(str) if "user" in columns else np.full(len(items), "1")
    rating = columns.get("rating")
    clicks = config["scale"] is None
    if rating is None and not clicks:
        raise BadInput(
            f"{source} has no ratings, and {config['model']} here was trained on ratings: "
            "add a column `rating`."
        )
    if not (column >= 0).any():
        raise BadInput(
            f"{source}: none of its {len(items)} items is known to the model. Items are raw ids of "
            f"{config['dataset']}, for example {', '.join(artefact.item_ids.astype(str)[:3])}."
        )
    last = {}  # of an item listed twice, the last entry stands
    for place, pair in enumerate(zip(user, column, strict=True)):
        if pair[1] >= 0:
            last[pair] = place
    kept = np.array(sorted(last.values()))
    users = list(dict.fromkeys(user[kept].tolist()))  # in the order of the file
    numbered = {name: number for number, name in enumerate(users)}
    row = np.array([numbered[name] for name in user[kept].tolist()], np.int32)
    without = [name for name in dict.fromkeys(user.tolist()) if name not in numbered]

    threshold = config["protocol"].get("threshold")  # "all" or none: every rating is a click
    values = np.ones(len(kept)) if rating is None or clicks else rating[kept]
    liked = np.ones(len(kept), bool)
    if rating is not None and threshold not in (None, "all"):
        liked = rating[kept] >= threshold

    def table(of: np.ndarray) -> Table:
        return Table.from_entries(
            row[of], column[kept][of], values[of],
            num_rows=len(users), num_columns=len(artefact.item_ids),
        )  # fmt: skip

    unknown = list(dict.fromkeys(items[column < 0].tolist()))
    everything = np.ones(len(kept), bool)
    below = int((~liked).sum())
    return Histories(users, table(liked), table(everything), unknown, without, below)


def recommend(
    artefact: Artefact, histories: Histories, *, k: int = 10, batch_size: int = 256
) -> list[Recommendation]:
    """The k best unseen items of each person, best first; fewer where fewer are left.

    Raises:
      BadInput: k is not positive.
    """
    if k < 1:
        raise BadInput(f"k={k}: ask for at least one item")
    k = min(k, len(artefact.item_ids))
    index, capacity = histories.table.blocks(batch_size)
    seen_capacity = histories.seen.blocks(batch_size)[1]

    @jax.jit
    def top(params, table: Table, seen: Table, block: jax.Array):
        x = table.gather(block, capacity)
        x = dataclasses.replace(x, index=jnp.full_like(block, -1))  # nobody here was trained on
        scores = artefact.model.score(params, x)
        listed = seen.gather(block, seen_capacity).listed() > 0
        return jax.lax.top_k(jnp.where(listed, -jnp.inf, scores), k)

    answer = []
    for block in index:
        scores, columns = map(
            np.asarray, top(artefact.params, histories.table, histories.seen, block)
        )
        for place, row in enumerate(np.asarray(block)):
            if row < len(histories.users):
                answer += _lines(artefact, histories.users[row], columns[place], scores[place])
    return answer


def _lines(
    artefact: Artefact, user: str, columns: np.ndarray, scores: Sequence[float]
) -> list[Recommendation]:
    titles = artefact.titles
    return [
        Recommendation(
            user=user,
            rank=rank,
            item=str(artefact.item_ids[column]),
            title="" if titles is None else str(titles[column]),
            score=float(score),
        )
        for rank, (column, score) in enumerate(zip(columns, scores, strict=True), start=1)
        if np.isfinite(score)
    ]
