"""A run before it is trained: spec, splits and baselines are checked, and the model is built."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from aerec import models
from aerec.core import Facts, Model
from aerec.data import vectors
from aerec.data.splits import Split
from aerec.errors import BadInput
from aerec.runs import scoring
from aerec.runs.spec import Spec, describe, oriented
from aerec.training import loop
from aerec.training.order_penalty import with_order_penalty


class Job(NamedTuple):
    """A checked run.

    Attributes:
      spec, model: what is fitted.
      config: config.json, the identity of the run.
      splits, as_read: one for all replicas, or one per seed; and in the orientation that the model
        reads.
      baselines: models at their default settings, scored too.
      progress, log: as of `fitting.run`.
    """

    spec: Spec
    model: Model
    config: dict[str, Any]
    splits: Sequence[Split]
    as_read: list[Split]
    baselines: Sequence[str]
    progress: Callable[[loop.Record, dict[str, float]], None]
    log: Callable[[str], object]


def prepared(spec: Spec, splits: Sequence[Split], baselines, progress, log) -> Job:
    """Check that spec, splits and baselines are compatible, and build the model.

    Args:
      spec, splits, baselines, progress, log: the fields of `Job`.

    Raises:
      BadInput: they are not, or the model cannot be built with these settings.
    """
    _require_alike(splits, len(spec.seeds))
    as_read = oriented(models.traits(spec.model, spec.set), splits)
    model = _trainable(spec, as_read[0], log)
    if has_targets(splits[0]):
        for split in as_read:
            scoring.require_targets(split, select=model.loss is not None)
        for name in baselines:
            scoring.baseline_model(name, splits[0])
    jax.eval_shape(model.init, jax.random.key(0))  # settings that no network can be built from
    return Job(spec, model, describe(spec, as_read), splits, as_read, baselines, progress, log)


def solved(spec: Spec, split: Split) -> bool:
    """Return whether the model is solved in closed form, without epochs."""
    return models.build(spec.model, spec.set, Facts.of(split.train)).solve is not None


def has_targets(split: Split) -> bool:
    """Return whether the split holds anything out; splits for deployment have no test rows."""
    return split.test.input.num_rows > 0


def _require_alike(splits: Sequence[Split], seeds: int) -> None:
    """Raise BadInput unless there is one split, or one per seed, of the same rows and columns."""
    if len(splits) not in (1, seeds):
        raise BadInput(f"{len(splits)} splits and {seeds} seeds: give one split, or one per seed")
    first = splits[0]
    for other in splits[1:]:
        pairs = [
            (getattr(first, name), getattr(other, name))
            for name in ("user_ids", "item_ids", "valid_ids", "test_ids", "scale")
        ]
        if first.protocol["name"] != other.protocol["name"] or any(
            not np.array_equal(a, b) if isinstance(a, np.ndarray) else a != b for a, b in pairs
        ):
            raise BadInput(
                "the splits differ in their protocol, users, items or scale: replicas share one "
                "vocabulary. Fit a run on each."
            )


def facts(spec: Spec, split: Split, log: Callable[[str], object] = lambda text: None) -> Facts:
    """Return what the model may know of the data before it is built, with features of the items.

    Args:
      split: in the orientation that the model reads.
    """
    found, traits = Facts.of(split.train, split.scale), models.traits(spec.model, spec.set)
    rows = traits.reads == "columns"  # whether they are the items
    features = vectors.of(traits.features, split, log, rows=rows)
    if features is None:
        return found
    if rows:
        return found._replace(row_features=features.values)
    return found._replace(column_features=features.values)


def _trainable(spec: Spec, split: Split, log: Callable[[str], object]) -> Model:
    """Build the model for training. Raises BadInput if task or order penalty do not suit it."""
    model = models.build(spec.model, spec.set, facts(spec, split, log))
    scoring.require_task(spec.model, model.traits, split)
    if not spec.order_penalty:
        return model
    if model.loss is None:
        raise BadInput(f"{spec.model} is solved, not trained: it takes no `order_penalty`")
    if model.traits.reads == "sequence":
        raise BadInput(f"{spec.model} reads a sequence, not a vector: it takes no `order_penalty`")
    if model.phases:
        raise BadInput(f"{spec.model} trains its parts in turn: it takes no `order_penalty`")
    return with_order_penalty(model, spec.order_penalty)
