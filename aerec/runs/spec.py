"""The identity of a run: model, settings and data; the content of config.json."""

import copy
import dataclasses
import hashlib
import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from aerec import configuration, files, models
from aerec.core import Facts, Table, Traits
from aerec.data import vectors
from aerec.data.splits import Split
from aerec.errors import BadInput
from aerec.host_table import AnyTable, HostTable
from aerec.runs import directory
from aerec.training.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """The identity of a run. `set` holds the given settings of the model; others are defaults.

    `source`: how to read the dataset again; not part of the run's identity, which has a hash of the
    data.
    """

    model: str
    set: Mapping[str, Any]
    dataset: str
    settings: Settings
    seeds: tuple[int, ...]
    order_penalty: float = 0.0  # weight of `order_penalty.with_order_penalty`
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def oriented(traits: Traits, splits: Sequence[Split]) -> list[Split]:
    """Return the splits as a model of these traits reads them: by rows or by columns, with times.

    Only the training table of a model of sequences has times.
    """
    if traits.reads == "columns":
        return [split.transpose() for split in splits]
    if traits.reads != "sequence":
        return list(splits)
    read = []
    for split in splits:
        if isinstance(split.train, HostTable):
            raise BadInput(
                f"the model reads sequences, and the ratings of {split.dataset} stay on the disk: "
                "use a model of rows, or give `table=memory`."
            )
        times = None if split.times is None else np.asarray(split.times, np.float32)
        read.append(split._replace(train=dataclasses.replace(split.train, times=times)))
    return read


def sized(spec: Spec, split: Split, *, prolong: bool) -> Spec:
    """Choose the settings whose defaults follow from the training data.

    These are the settings of the model in `traits.sized`, and the epochs.

    Args:
      prolong: whether to raise the epochs to those that `traits.updates` updates take. An epoch is
        ceil(U / batch_size) updates, U the training rows.
    """
    traits, table, settings = models.traits(spec.model, spec.set), split.train, spec.settings
    chosen = dict(spec.set)
    if traits.sized is not None:
        chosen |= traits.sized(spec.set, Facts.of(table))
    if prolong:
        rows = table.num_columns if traits.reads == "columns" else table.num_rows
        in_an_epoch = max(1, math.ceil(rows / settings.batch_size))
        epochs = max(settings.epochs, math.ceil(traits.updates / in_an_epoch))
        settings = dataclasses.replace(settings, epochs=epochs)
    return dataclasses.replace(spec, set=chosen, settings=settings)


def describe(spec: Spec, splits: Sequence[Split]) -> dict[str, Any]:
    """Return config.json: all that the results depend on and that loading requires."""
    table, config = splits[0].train, models.configure(spec.model, spec.set)
    traits = models.traits(spec.model, spec.set)
    features = vectors.of(traits.features, splits[0], rows=traits.reads == "columns")
    return {
        "format": directory.FORMAT,
        "model": spec.model,
        "set": configuration.plain(config),
        "item_based": traits.reads == "columns",
        "shape": [table.num_rows, table.num_columns],
        "dataset": spec.dataset,
        "protocol": copy.deepcopy(splits[0].protocol),
        "data_hash": [data_hash(split) for split in splits],
        "scale": None if splits[0].scale is None else list(map(float, splits[0].scale)),
        "settings": configuration.plain(spec.settings),
        "order_penalty": spec.order_penalty,
        "seeds": list(spec.seeds),
        "precision": "float32",
        "matmul_precision": jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
        or "default",
        "source": dict(spec.source),
        **({} if features is None else {"features": features.describe()}),
    }


def data_hash(split: Split, format: int = directory.FORMAT) -> str:
    """Return the hash of a split's entries, raw ids and shapes, whatever their source.

    Args:
      format: of the run directory that the hash is compared with; in format 1 it was of the bytes
        of the tables alone.
    """
    held = (split.valid, split.test)
    tables = (split.train, *(table for part in held for table in (part.input, part.target)))
    arrays = [array for table in tables for array in _arrays(table)]
    digest = hashlib.sha256()
    if format > 1:
        arrays += [_whole(np.asarray(part.rows)) for part in held]
        ids = (split.user_ids, split.item_ids, split.valid_ids, split.test_ids)
        header = [
            [table.num_columns for table in tables],
            [[kind, *shape] for kind, shape, _ in arrays],
            [None if own is None else list(map(str, own.tolist())) for own in ids],
        ]
        digest.update(json.dumps(header).encode())
    for _, _, parts in arrays:
        for part in parts:
            digest.update(part.tobytes())
    return digest.hexdigest()[:10]


_Array = tuple[str, tuple[int, ...], Iterable[np.ndarray]]  # type, shape, consecutive parts


def _whole(array: np.ndarray) -> _Array:
    return str(array.dtype), array.shape, [array]


def _arrays(table: AnyTable) -> list[_Array]:
    """Return the offsets, columns and values of a table, read as they are needed."""
    if isinstance(table, Table):
        return [_whole(np.asarray(a)) for a in (table.indptr, table.columns, table.values)]
    shape = (table.num_entries,)
    ones = (np.ones(len(columns), np.float32) for columns in table.passes())
    return [_whole(table.indptr()), ("int32", shape, table.passes()), ("float32", shape, ones)]


def default_workdir(spec: Spec, splits: Sequence[Split]) -> pathlib.Path:
    """Return runs/<model>-<dataset>-<hash of all that config.json says of the run>."""
    config = describe(spec, oriented(models.traits(spec.model, spec.set), splits))
    config.pop("source")
    digest = hashlib.sha256(files.to_json(config, sort_keys=True).encode()).hexdigest()[:8]
    dataset = pathlib.Path(str(config["dataset"]).partition(":")[0]).name
    return pathlib.Path("runs") / f"{config['model']}-{dataset}-{digest}"


def require_float32() -> None:
    """Raise BadInput under JAX_ENABLE_X64, which would make only the random draws float64."""
    if jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise BadInput(
            "JAX_ENABLE_X64 is set, and runs are in float32: half in float64 they would draw other "
            "numbers. Unset it. (An audit checks its witnesses in float64 by itself.)"
        )


def model_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's settings of a config.json; in format 1 the scale was one of them."""
    return {
        name: value
        for name, value in config["set"].items()
        if not (name == "scale" and config["format"] == 1)
    }
