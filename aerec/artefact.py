"""The trained model as a folder of its own: parameters, settings and vocabulary, no dataset.

    config.json       model, its settings, the protocol, the dataset's name
    vocabulary.npz    raw ids and titles of the columns, raw ids of the training rows
    model/            the parameters (Orbax), leaves [S, ...], one entry per replica
"""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from aerec import models
from aerec.core import Model, Params
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


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes beside and renames, so that a reader never meets half a file."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(beside, path)


def write_arrays(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """The same for arrays by name, as .npz."""
    beside = path.with_name(f"{path.stem}.tmp.npz")
    np.savez_compressed(beside, **arrays)  # type: ignore[arg-type]
    os.replace(beside, path)


@contextlib.contextmanager
def reading(path: pathlib.Path, advice: str) -> Iterator[None]:
    """Whatever goes wrong while a run's own file is read: BadInput, the file is damaged."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        why = (str(error).splitlines() or [""])[0][:200]
        raise BadInput(
            f"{path} is damaged or unreadable ({type(error).__name__}: {why}); {advice}"
        ) from error


def read_json(path: pathlib.Path, *entries: str, advice: str) -> dict[str, Any]:
    """An object with at least these entries. Raises BadInput, with the `advice`, for others."""
    with reading(path, advice):
        content = json.loads(path.read_text())
        if missing := [entry for entry in entries if entry not in content]:
            raise ValueError(f"it has no {', '.join(missing)}")
        return {**content}


def read_config(workdir: pathlib.Path) -> dict[str, Any]:
    """The workdir's config.json. Raises BadInput where it is not one."""
    entries = ("model", "set", "shape", "seeds")
    advice = f"delete {workdir}, or name another"
    return read_json(workdir / "config.json", *entries, advice=advice)


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
    write_arrays(workdir / "vocabulary.npz", vocabulary)
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
    config = read_config(workdir)
    seeds = config["seeds"]
    if not 0 <= replica < len(seeds):
        raise BadInput(f"{workdir} holds {len(seeds)} replicas (0 to {len(seeds) - 1})")
    model = models.build(config["model"], config["set"], *config["shape"])
    like = jax.eval_shape(jax.vmap(model.init), jax.random.split(jax.random.key(0), len(seeds)))
    again = "train it again, with the command it was trained with"
    with reading(workdir / "model", again), ocp.StandardCheckpointer() as loader:
        params = loader.restore((workdir / "model").absolute(), like)
    with reading(workdir / "vocabulary.npz", again):
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
