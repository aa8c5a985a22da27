"""Recommendations, predictions, similar items and explanations of a trained model."""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import scipy.sparse
from jax.sharding import Mesh

from aerec import mesh, models
from aerec.core import Model, Params, Rows, sharded
from aerec.errors import BadInput, NotNumbers
from aerec.evaluation import ranking
from aerec.runs import padding
from aerec.runs.artefact import Artefact
from aerec.runs.histories import (
    Histories,
    Reader,
    Source,
    first,
    frame_columns,
    is_frame,
    listed,
    spelled,
)


class Recommender:
    """Recommend to users who were not in training, by folding in their history.

    Rows, entries and k are padded to a few sizes, so that programs are compiled once per shape and
    not once per call. With a mesh, its devices share the parameters and the scores.
    """

    def __init__(self, artefact: Artefact, over: Mesh | None = None):
        model, params, self.config, self.vocabulary = artefact
        self.reader = Reader(self.config, self.vocabulary)
        self.num_columns = len(self.vocabulary.item_ids)
        self.over = over
        with mesh.use(over):
            self.model = mesh.adapted(model, self.num_columns)
            self.params = mesh.parameters(params, self.num_columns)
        self._score = self._program(self.model.score)
        self._best = self._program(functools.partial(_best, self.model), static_argnames="k")

    def _program(self, function: Callable, **options: Any) -> Callable:
        """Compile a function for the mesh, with a result that is whole on every device."""

        @functools.wraps(function)
        def whole(*given, **more):
            return jax.tree.map(sharded, function(*given, **more))

        compiled = jax.jit(whole, **options)

        def call(*given, **more):
            with mesh.use(self.over):
                return compiled(*given, **more)

        return call

    def recommend(
        self,
        histories: Histories,
        *,
        k: int = 10,
        among: Sequence[Any] | None = None,
        exclude: Sequence[Any] = (),
        keep_seen: bool = False,
    ) -> tuple[pl.DataFrame, list[str]]:
        """Rank the k best items of each user, best first; fewer where fewer are left.

        The ranking is the evaluator's, its order of ties included.

        Args:
          among: raw ids of the only items to recommend; None allows all.
          exclude: raw ids of items never to recommend.
          keep_seen: whether what a user has listed may be recommended.

        Returns:
          A frame of user, rank, item, title, score; and notes on what has no answer and why.

        Raises:
          BadInput: k is below 1, or no item of `among` is known.
          NotNumbers: a score is NaN.
        """
        k = _count(k)
        allowed, notes = self._allowed(among, exclude)
        notes = histories.notes(self.reader.threshold) + notes
        k = min(k, self.num_columns)
        most = min(padding.padded_size(k), self.num_columns)
        seen = self._none_of(histories.seen) if keep_seen else histories.seen
        columns = np.empty((len(histories.users), k), np.int32)
        scores = np.empty((len(histories.users), k), np.float32)
        for part, x, hidden in padding.batches(histories.read, seen, self.num_columns):
            best = self._best(self.params, x, hidden, allowed, k=most)
            score, column, bad = jax.device_get(best)
            if bad.any():
                raise NotNumbers(
                    f"{self.config['model']} scores NaN for user {histories.users[part.start]} or "
                    "another of the batch: nothing can be ranked. Train it again."
                )
            size = part.stop - part.start
            columns[part], scores[part] = column[:size, :k], score[:size, :k]
        there = scores > -np.inf
        if len(empty := np.flatnonzero(~there.any(1))):
            users = [histories.users[i] for i in empty]
            who = "this history" if histories.single else f"users {', '.join(map(str, users[:5]))}"
            notes.append(f"No item is left to recommend for {who}: all are seen or excluded.")
        row, place = np.nonzero(there)
        chosen = columns[row, place]
        answer = {
            "rank": place.astype(np.int32) + 1,
            **self._named(chosen),
            "score": scores[row, place],
        }
        if not histories.single:
            answer = {"user": _labels([histories.users[i] for i in row]), **answer}
        return pl.DataFrame(answer), notes

    def predict(self, source: Source, items: Any) -> tuple[pl.DataFrame, list[str]]:
        """Score given items for users; for a rating model, ratings clipped to the scale.

        As in the evaluation, a rating model predicts the middle of the scale for an item without a
        training rating.

        Args:
          source: the histories.
          items: raw ids [P], scored for every user; or a frame of pairs `user`, `item`.

        Returns:
          A frame of user, item, title, score in the order asked; pairs of users without a history
          and of unknown items have a null score, and with an unknown item all ids are text. And
          notes on what has no answer and why.
        """
        histories = self.reader(source)
        notes = histories.notes(self.reader.threshold)
        if is_frame(items):
            asked = frame_columns(items)
            if missing := {"user", "item"} - set(asked):
                raise BadInput(f"`items` has no column {' and '.join(sorted(missing))}")
            labels, wanted = asked["user"].tolist(), asked["item"].tolist()
        else:
            items = listed(items, "`items`")
            wanted = items * len(histories.everyone)
            labels = [label for label in histories.everyone for _ in items]
        number = {spelled(label): place for place, label in enumerate(histories.users)}
        row = np.array([number.get(spelled(label), -1) for label in labels], np.int64)
        column = self.reader.columns(wanted)
        notes += _unmatched(labels, row, wanted, column, histories)
        score = np.full(len(row), np.nan, np.float32)
        nothing = self._none_of(histories.read)
        for part, x, _ in padding.batches(histories.read, nothing, self.num_columns):
            own = np.flatnonzero((row >= part.start) & (row < part.stop) & (column >= 0))
            if len(own):
                y = np.asarray(self._score(self.params, x))
                score[own] = y[row[own] - part.start, column[own]]
        answered = (row >= 0) & (column >= 0)
        if np.isnan(score[answered]).any():
            raise NotNumbers(f"{self.config['model']} scores NaN. Train it again.")
        if self.config["scale"] is not None:
            low, high = self.config["scale"]
            if self.vocabulary.counts is not None:
                score[answered & (self.vocabulary.counts[column] == 0)] = (low + high) / 2
            score = np.clip(score, low, high)
        answer = self._named(np.maximum(column, 0))
        if (column < 0).any():
            answer["item"] = pl.Series([spelled(item) for item in wanted], dtype=pl.String)
            answer["title"] = answer["title"].set(pl.Series(column < 0), None)
        answer["score"] = pl.Series(score).fill_nan(None)
        if not histories.single:
            answer = {"user": _labels(labels), **answer}
        return pl.DataFrame(answer), notes

    def explain(self, source: Source, item: Any) -> tuple[pl.DataFrame, list[str]]:
        """Split an item's score for one history into what each listed item contributes to it.

        For a model that is linear in its input, score = x W + b, entry i contributes x_i W[i,
        item].

        Returns:
          A frame of item, title, contribution, the largest first; they sum to the score. If the
          constant b is not 0, it is the last row, without an item. And notes on what was left out.

        Raises:
          BadInput: the model is not linear, the item is not known, or the history has no answer.
        """
        if not self.model.traits.linear:
            linear = [name for name in models.MODELS if models.traits(name, {}).linear]
            raise BadInput(
                f"{self.config['model']} is not linear in its input, so its scores do not split "
                f"into contributions. Linear models are {', '.join(linear)}."
            )
        histories = self.reader(source)
        notes = histories.notes(self.reader.threshold)
        if len(histories.everyone) != 1:
            raise BadInput("explain one history at a time")
        if not histories.users:
            raise BadInput(" ".join(notes))
        column = self._column(item)
        data, columns = histories.read.data, histories.read.indices
        alone = scipy.sparse.csr_array(
            (data, columns, np.arange(len(columns) + 1)), shape=(len(columns), self.num_columns)
        )
        contribution, constant = self._linear(alone, [column])
        order = np.argsort(-contribution[:, 0], kind="stable")
        frame = pl.DataFrame(
            {**self._named(columns[order]), "contribution": contribution[order, 0]}
        )
        if constant[0]:
            last = {"item": None, "title": "(constant)", "contribution": constant}
            frame = pl.concat([frame, pl.DataFrame(last, schema=frame.schema)])
        return frame, notes

    def similar(self, item: Any, *, k: int = 10) -> pl.DataFrame:
        """Rank the items most like one.

        For a model that is linear in its input, by the item-item weights W[item, j]; for others, by
        the cosine of the item codes g in score = <q, g> + b.

        Returns:
          A frame of rank, item, title, similarity.

        Raises:
          BadInput: the item is not known, or the model has neither weights nor item codes.
        """
        k = _count(k)
        column = self._column(item)
        if self.model.traits.linear:
            alone = scipy.sparse.csr_array(([1.0], ([0], [column])), shape=(1, self.num_columns))
            similarity = self._linear(alone, slice(None))[0][0]
        elif self.model.item_codes is not None:
            codes = np.asarray(self._program(self.model.item_codes)(self.params))
            length = np.linalg.norm(codes, axis=1)
            similarity = codes @ codes[column] / np.maximum(length * length[column], 1e-30)
        else:
            raise BadInput(
                f"{self.config['model']} has no item codes: its scores are no dot products. "
                "Linear models and multvae, for example, have them."
            )
        order = ranking.tie_order(self.num_columns)
        order = order[np.argsort(-similarity[order], kind="stable")]
        order = order[order != column][:k]
        rank = np.arange(1, len(order) + 1, dtype=np.int32)
        return pl.DataFrame({"rank": rank, **self._named(order), "similarity": similarity[order]})

    def _linear(self, rows: scipy.sparse.csr_array, columns: Any) -> tuple[np.ndarray, np.ndarray]:
        """Compute x W of rows [H, N] at some columns, and the constant b there, on the host."""
        nothing = scipy.sparse.csr_array((1, self.num_columns))
        ((_, empty, _),) = padding.batches(nothing, nothing, self.num_columns)
        constant = np.asarray(self._score(self.params, empty))[0, columns]
        found = [
            np.asarray(self._score(self.params, x))[: part.stop - part.start, columns] - constant
            for part, x, _ in padding.batches(rows, self._none_of(rows), self.num_columns)
        ]
        return np.concatenate(found), constant

    def _none_of(self, rows: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
        """Return as many rows without entries."""
        return scipy.sparse.csr_array(rows.shape)

    def _column(self, item: Any) -> int:
        column = int(self.reader.columns([item])[0])
        if column < 0:
            examples = ", ".join(self.reader.item_ids[:3])
            raise BadInput(f"The model knows no item {item!r}. Items are raw ids: {examples}, ...")
        return column

    def _allowed(self, among, exclude) -> tuple[np.ndarray, list[str]]:
        """Return the columns that may be recommended, [N] bool, and notes on unknown ids."""
        notes, allowed = [], np.ones(self.num_columns, bool)
        for name, given in (("among", among), ("exclude", exclude)):
            if given is None:
                continue
            items = listed(given.keys() if isinstance(given, Mapping) else given, f"`{name}`")
            columns = self.reader.columns(items)
            if name == "among":
                if not (columns >= 0).any():
                    raise BadInput("`among`: none of its items is known to the model")
                allowed[:] = False
            allowed[columns[columns >= 0]] = name == "among"
            if unknown := [items[at] for at in np.flatnonzero(columns < 0)]:
                notes.append(f"Items of `{name}` unknown to the model: {first(unknown)}.")
        return allowed, notes

    def _named(self, columns: np.ndarray) -> dict[str, pl.Series]:
        """Name columns [R] by raw id and title; titles are null where there are none."""
        ids, titles = self.vocabulary.item_ids, self.vocabulary.titles
        text = ids.dtype.kind == "U"
        named = [None] * len(columns) if titles is None else titles[columns].tolist()
        return {
            "item": pl.Series(ids[columns].tolist(), dtype=pl.String if text else pl.Int64),
            "title": pl.Series(named, dtype=pl.String),
        }


def _labels(labels: Sequence[Any]) -> pl.Series:
    """Return the users of an answer as a column of whole numbers or text."""
    whole = all(isinstance(label, int | np.integer) for label in labels) and len(labels) > 0
    return pl.Series(labels if whole else list(map(str, labels)),
                     dtype=pl.Int64 if whole else pl.String)  # fmt: skip


def _unmatched(
    labels: Sequence[Any], row: np.ndarray, wanted: Sequence[Any], column: np.ndarray,
    histories: Histories,
) -> list[str]:  # fmt: skip
    """Describe which pairs have no score because their item or user is unknown."""
    notes = []
    items = [spelled(wanted[i]) for i in np.flatnonzero(column < 0).tolist()]
    if items := list(dict.fromkeys(items)):
        notes.append(f"Unknown items have no score: {first(items)}.")
    known = {spelled(label) for label in histories.everyone}
    strange = [spelled(labels[i]) for i in np.flatnonzero(row < 0).tolist()]
    if strange := [label for label in dict.fromkeys(strange) if label not in known]:
        notes.append(f"No history, hence no score, for users {first(strange)}.")
    return notes


def _count(k: Any) -> int:
    """Return k as an integer. Raises BadInput if it is not whole, or below 1."""
    if isinstance(k, bool | np.bool_) or not hasattr(k, "__index__") or operator.index(k) < 1:
        raise BadInput(f"k={k!r}: ask for at least one item, by a whole number")
    return operator.index(k)


def _best(model: Model, params: Params, x: Rows, seen: Rows, allowed: jax.Array, *, k: int):
    """Return (scores [B, k], columns [B, k], bad [B]): the k best columns; whether one is NaN."""
    y = model.score(params, x)
    bad = jnp.isnan(y).any(1)
    y = jnp.where(allowed[None], y, -jnp.inf)
    y = y.at[seen.row, seen.columns].set(-jnp.inf, mode="drop")
    scores, columns = ranking.top(y, jnp.asarray(ranking.tie_order(y.shape[1])), k)
    return scores, columns, bad
