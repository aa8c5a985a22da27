"""A trained model in a run directory: all it takes to use it, without the dataset."""

import os
import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from aerec import files, models
from aerec.core import Facts, Model, Params
from aerec.errors import BadInput
from aerec.runs import directory
from aerec.runs.spec import model_settings, require_float32


class Artefact(NamedTuple):
    """A trained model ready to use.

    Attributes:
      model, params: the pure functions and one replica's parameters.
      config: the run's config.json.
      item_ids, titles: [N] raw ids of the items, and their titles or None.
      user_ids: [U] raw ids of the users trained on.
    """

    model: Model
    params: Params
    config: dict[str, Any]
    item_ids: np.ndarray
    titles: np.ndarray | None
    user_ids: np.ndarray


def save(workdir: pathlib.Path, params: Params, **vocabulary: Any) -> None:
    """Write the parameters [S, ...] of a run that is not finished, and its vocabulary."""
    save_vocabulary(workdir, **vocabulary)
    path = workdir / directory.MODEL
    if path.exists():  # the run was killed before it was scored; no rename replaces a directory
        old = path.with_name(f"{path.name}{files.TEMPORARY}.old")
        os.replace(path, old)
        shutil.rmtree(old)
    with files.replacing(path) as temporary, ocp.StandardCheckpointer() as saver:
        saver.save(temporary.absolute(), params)


def save_vocabulary(
    workdir: pathlib.Path,
    *,
    item_ids: np.ndarray,
    titles: np.ndarray | None,
    user_ids: np.ndarray,
) -> None:
    """Write the raw ids and titles of the columns [N] and the raw ids of the training rows [U]."""
    titles = np.array([], str) if titles is None else titles
    vocabulary = {"item_ids": item_ids, "titles": titles, "user_ids": user_ids}
    files.write_arrays(workdir / directory.VOCABULARY, vocabulary)


def load(workdir: str | pathlib.Path, *, replica: int = 0) -> Artefact:
    """Load the trained model in a run directory.

    Raises:
      BadInput: no trained model there, a damaged one, or no such replica.
    """
    workdir = pathlib.Path(workdir)
    require_float32()
    directory.require(workdir, directory.CONFIG, directory.VOCABULARY, directory.MODEL)
    config = directory.read_config(workdir)
    seeds = config["seeds"]
    if not 0 <= replica < len(seeds):
        raise BadInput(f"{workdir} holds {len(seeds)} replicas (0 to {len(seeds) - 1})")
    scale = config.get("scale")
    rows, columns = config["shape"]
    facts = Facts(rows, columns, scale=tuple(scale) if scale else None)
    model = models.build(config["model"], model_settings(config), facts)
    params = parameters(workdir, model, len(seeds))
    path = workdir / directory.VOCABULARY
    vocabulary = files.read_arrays(path, advice=directory.AGAIN)
    with files.reading(path, directory.AGAIN):
        titles = vocabulary["titles"]
        return Artefact(
            model=model,
            params=jax.tree.map(lambda leaf: leaf[replica], params),
            config=config,
            item_ids=vocabulary["item_ids"],
            titles=titles if titles.size else None,
            user_ids=vocabulary["user_ids"],
        )


def parameters(workdir: pathlib.Path, model: Model, replicas: int) -> Params:
    """Read the parameters of a run, leaves [S, ...]. Raises BadInput for a damaged one."""
    keys = jax.random.split(jax.random.key(0), replicas)
    like, path = jax.eval_shape(jax.vmap(model.init), keys), workdir / directory.MODEL
    with files.reading(path, directory.AGAIN), ocp.StandardCheckpointer() as loader:
        return loader.restore(path.absolute(), like)
