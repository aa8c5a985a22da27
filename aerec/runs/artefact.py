"""The trained model's part of a run's folder: all it takes to use it, without the dataset.

    config.json       model, its settings, the protocol, the dataset's name
    vocabulary.npz    raw ids and titles of the columns, raw ids of the training rows
    model/            the parameters (Orbax), leaves [S, ...], one entry per replica
"""

import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from aerec import files, models
from aerec.runs import directory
from aerec.core import Facts, Model, Params
from aerec.errors import BadInput


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


def save(
    workdir: pathlib.Path,
    params: Params,
    *,
    item_ids: np.ndarray,
    titles: np.ndarray | None,
    user_ids: np.ndarray,
) -> None:
    """Writes the parameters [S, ...] and the vocabulary; `config.json` stands already."""
    titles = np.array([], str) if titles is None else titles
    vocabulary = {"item_ids": item_ids, "titles": titles, "user_ids": user_ids}
    files.write_arrays(workdir / "vocabulary.npz", vocabulary)
    shutil.rmtree(workdir / "model", ignore_errors=True)
    with ocp.StandardCheckpointer() as saver:
        saver.save((workdir / "model").absolute(), params)


def load(workdir: str | pathlib.Path, *, replica: int = 0) -> Artefact:
    """The artefact in a run's workdir.

    Raises:
      BadInput: no finished run there, a damaged one, or no such replica.
    """
    workdir = pathlib.Path(workdir)
    for part in ("config.json", "vocabulary.npz", "model"):
        if not (workdir / part).exists():
            raise BadInput(
                f"{workdir} has no {part}: no finished run is there. Train one first: "
                f"python -m experiments.train --workdir={workdir}"
            )
    config = directory.read_config(workdir)
    seeds = config["seeds"]
    if not 0 <= replica < len(seeds):
        raise BadInput(f"{workdir} holds {len(seeds)} replicas (0 to {len(seeds) - 1})")
    scale = config["scale"] and tuple(config["scale"])
    rows, columns = config["shape"]
    facts = Facts(rows, columns, scale=scale)
    model = models.build(config["model"], config["set"], facts)
    like = jax.eval_shape(jax.vmap(model.init), jax.random.split(jax.random.key(0), len(seeds)))
    again = "train it again, with the command it was trained with"
    with files.reading(workdir / "model", again), ocp.StandardCheckpointer() as loader:
        params = loader.restore((workdir / "model").absolute(), like)
    with files.reading(workdir / "vocabulary.npz", again):
        stored = np.load(workdir / "vocabulary.npz", allow_pickle=False)
        vocabulary = {name: stored[name] for name in ("item_ids", "titles", "user_ids")}
    return Artefact(
        model=model,
        params=jax.tree.map(lambda leaf: leaf[replica], params),
        config=config,
        item_ids=vocabulary["item_ids"],
        titles=vocabulary["titles"] if vocabulary["titles"].size else None,
        user_ids=vocabulary["user_ids"],
    )
