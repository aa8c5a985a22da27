"""A trained model with its vocabulary: all that its use requires, without the dataset."""

import os
import pathlib
import shutil
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from aerec import files, models
from aerec.core import Counted, Facts, Model, Params
from aerec.data.splits import Split
from aerec.errors import BadInput
from aerec.runs import directory
from aerec.runs.spec import model_settings, require_float32
from aerec.training import loop


class Vocabulary(NamedTuple):
    """Raw ids and titles of the rows and columns of a model.

    Attributes:
      item_ids: [N] raw ids of the items, int64 or str.
      titles: [N] str, or None.
      user_ids: [U] raw ids of the users trained on.
      counts: training entries of each column of the model's table; None if unknown.
    """

    item_ids: np.ndarray
    titles: np.ndarray | None
    user_ids: np.ndarray
    counts: np.ndarray | None = None

    @classmethod
    def of(cls, split: Split, trained: Counted) -> "Vocabulary":
        """Take the vocabulary of a split; `trained` is its training table as the model reads it."""
        return cls(split.item_ids, split.titles, split.user_ids, trained.column_counts())


class Artefact(NamedTuple):
    """A trained model ready to use: its functions, one replica's parameters, its config.json."""

    model: Model
    params: Params
    config: dict[str, Any]
    vocabulary: Vocabulary


def save(workdir: pathlib.Path, params: Params, vocabulary: Vocabulary) -> None:
    """Write the parameters [S, ...] and the vocabulary of an unfinished run."""
    save_vocabulary(workdir, vocabulary)
    path = workdir / directory.MODEL
    if path.exists():  # the run was killed before it was scored; no rename replaces a directory
        old = path.with_name(f"{path.name}{files.TEMPORARY}.old")
        os.replace(path, old)
        shutil.rmtree(old)
    with files.replacing(path) as temporary, _checkpointer() as saver:
        saver.save(temporary.absolute(), params)


def save_vocabulary(workdir: pathlib.Path, vocabulary: Vocabulary) -> None:
    """Write the vocabulary."""
    arrays = {name: part for name, part in vocabulary._asdict().items() if part is not None}
    files.write_arrays(workdir / directory.VOCABULARY, arrays)


def load(workdir: str | pathlib.Path, *, replica: int = 0) -> Artefact:
    """Load one replica of the trained model in a run directory.

    Raises:
      BadInput: no trained model there, a damaged one, or no such replica.
    """
    model, params, config, vocabulary = load_replicas(workdir)
    return Artefact(model, one(params, config, replica, str(workdir)), config, vocabulary)


def one(params: Params, config: Mapping[str, Any], replica: int, where: str) -> Params:
    """Select one replica of parameters, leaves [S, ...]. Raises BadInput if there is none."""
    count = len(config["seeds"])
    if not hasattr(replica, "__index__") or not 0 <= replica < count:
        number = "one replica, 0" if count == 1 else f"{count} replicas, 0 to {count - 1}"
        raise BadInput(f"replica={replica!r}: {where} has {number}")
    return loop.replica(params, replica)


def load_replicas(workdir: str | pathlib.Path) -> Artefact:
    """Load the trained model in a run directory, its parameters with leaves [S, ...].

    Raises:
      BadInput: no trained model there, or a damaged one.
    """
    workdir = pathlib.Path(workdir)
    require_float32()
    directory.require(workdir, directory.CONFIG, directory.VOCABULARY, directory.MODEL)
    config = directory.read_config(workdir)
    with files.reading(workdir / directory.CONFIG, directory.AGAIN):
        if "scale" not in config:
            raise ValueError("it has no scale")
    model = build(config)
    params = parameters(workdir, model, len(config["seeds"]))
    path = workdir / directory.VOCABULARY
    arrays = files.read_arrays(path, advice=directory.AGAIN)
    with files.reading(path, directory.AGAIN):
        titles = arrays.get("titles", np.array([]))
        vocabulary = Vocabulary(
            item_ids=arrays["item_ids"],
            titles=titles if titles.size else None,  # empty where an earlier version wrote none
            user_ids=arrays["user_ids"],
            counts=arrays.get("counts"),
        )
        _require_sizes(vocabulary, config)
    return Artefact(model, params, config, vocabulary)


def _require_sizes(vocabulary: Vocabulary, config: Mapping[str, Any]) -> None:
    """Raise ValueError unless a vocabulary has the size of the model of a config.json."""
    rows, columns = config["shape"]
    items, users = (rows, columns) if config.get("item_based") else (columns, rows)
    sizes = {"item_ids": items, "titles": items, "user_ids": users, "counts": columns}
    for name, size in sizes.items():
        found = getattr(vocabulary, name)
        if found is not None and found.shape != (size,):
            raise ValueError(f"{name} of shape {found.shape}, and the model has {size}")


def build(config: Mapping[str, Any]) -> Model:
    """Build the model of a config.json for use, not for training."""
    scale = config.get("scale")
    rows, columns = config["shape"]
    facts = Facts(rows, columns, scale=tuple(scale) if scale else None)
    return models.build(config["model"], model_settings(config), facts)


def parameters(workdir: pathlib.Path, model: Model, replicas: int) -> Params:
    """Read the parameters of a run, leaves [S, ...]. Raises BadInput if they are damaged."""
    keys = jax.random.split(jax.random.key(0), replicas)
    like, path = jax.eval_shape(jax.vmap(model.init), keys), workdir / directory.MODEL
    with files.reading(path, directory.AGAIN), _checkpointer() as loader:
        params = loader.restore(path.absolute(), like)
    if (workdir / directory.RESULTS).exists():
        recorded = directory.read_results(workdir).get("model_checksum")
        if recorded not in (None, checksum(params)):
            raise BadInput(f"{path} is damaged: its numbers changed; {directory.AGAIN}")
    return params


def _checkpointer() -> ocp.StandardCheckpointer:
    """Return a checkpointer of this process, which waits for no other."""
    own = jax.process_index()
    return ocp.StandardCheckpointer(
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process-{own}"
        )
        if jax.process_count() > 1
        else ocp.options.MultiprocessingOptions()
    )


def checksum(params: Params) -> int:
    """Compute the CRC-32 of all parameters, which reveals a damaged byte on a disk."""
    total = 0
    for leaf in jax.tree.leaves(params):
        total = zlib.crc32(np.asarray(leaf).tobytes(), total)
    return total
