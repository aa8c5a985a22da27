"""Items that a model was not trained on, known by their vectors alone."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aerec.errors import BadInput
from aerec.runs import artefact
from aerec.runs.artefact import Artefact, Vocabulary
from aerec.runs.histories import listed, spelled


def added(
    loaded: Artefact, ids: Sequence[Any], vectors: Any, titles: Sequence[str] | None = None
) -> Artefact:
    """Append items to a model; arguments and errors as of `Run.with_items`.

    Args:
      loaded: the parameters with leaves [S, ...].
    """
    model, params, config, vocabulary = loaded
    if model.with_items is None:
        raise BadInput(
            f"{config['model']} of these settings knows no vectors of new items: train factor_ae "
            "with features=content or features=file"
        )
    new = _ids(listed(ids, "`ids`"), vocabulary)
    values = _values(vectors, len(new), config["features"]["names"])
    rows, columns = config["shape"]
    config = {**config, "shape": [rows, columns + len(new)]}
    names = vocabulary.titles
    if titles is not None or names is not None:
        own = [""] * len(new) if titles is None else [str(title) for title in titles]
        if len(own) != len(new):
            raise BadInput(f"{len(own)} titles for {len(new)} items")
        known = np.full(columns, "") if names is None else names
        names = np.concatenate([known, np.array(own, str)])
    counts = vocabulary.counts
    vocabulary = vocabulary._replace(
        item_ids=np.concatenate([vocabulary.item_ids, new]),
        titles=names,
        counts=None if counts is None else np.append(counts, np.zeros(len(new), counts.dtype)),
    )
    extend = jax.vmap(model.with_items, in_axes=(0, None))
    params = extend(params, jnp.asarray(values))
    return Artefact(artefact.build(config), params, config, vocabulary)


def _ids(ids: list[Any], vocabulary: Vocabulary) -> np.ndarray:
    """Return new raw ids in the type of the known ones, text where they are no whole numbers."""
    new = [spelled(item) for item in ids]
    known = set(vocabulary.item_ids.astype(str).tolist())
    if old := [item for item in new if item in known]:
        raise BadInput(f"the model knows item {old[0]} already: give new ids only")
    if len(set(new)) < len(new):
        twice = next(item for place, item in enumerate(new) if item in new[:place])
        raise BadInput(f"item {twice} is given twice")
    whole = vocabulary.item_ids.dtype.kind == "i" and all(
        item.removeprefix("-").isdecimal() for item in new
    )
    return np.array(new, np.int64 if whole else str)


def _values(vectors: Any, count: int, names: Sequence[str]) -> np.ndarray:
    """Return the vectors as [M, F] float32. Raises BadInput for another shape, and for NaN."""
    try:
        values = np.asarray(vectors, np.float32)
    except (TypeError, ValueError):
        raise BadInput("`vectors` holds what is no number, or rows of several lengths") from None
    if values.shape != (count, len(names)):
        raise BadInput(
            f"`vectors` has the shape {values.shape}, and {count} items of {len(names)} "
            f"coordinates ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}) need "
            f"{(count, len(names))}"
        )
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise BadInput(f"`vectors`: {names[column]} of row {row + 1} is no finite number")
    return values
