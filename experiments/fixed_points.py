"""How far a trained autoencoder moves its own output: f(f(x)) and f(x), for training rows x.

Kuchaiev, Ginsburg: *Training Deep AutoEncoders for Collaborative Filtering*, 2017, section 2.2, ask
for y = f(y). Figures, f^k the k-th pass: `distance_<k>`, the root mean square over the columns of
f^(k+1)(x) - f^k(x), in the units of a rating, its mean over rows; `spread`, the standard deviation
of f(x) over the columns, its mean over rows, to compare with; the test figures of f(f(x)) as
`<figure>_refed`, next to those of f(x).
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from aerec.cli import options
from aerec.core import Model, Params, Table
from aerec.data.splits import Split
from aerec.evaluation import statistics
from aerec.host_table import on_device
from aerec.runs import artefact, scoring
from aerec.runs.spec import oriented
from experiments.records import Record

PASSES = (1, 2, 4, 8)


def measure(run: Record, workdir: pathlib.Path) -> list[Record]:
    """Add the figures of fixed points to the record of a run, its first replica's."""
    loaded = artefact.load(workdir)
    score, params = loaded.model.score, loaded.params
    split = split_of(loaded)
    found = distances(loaded.model, params, on_device(split.train))
    twice = loaded.model._replace(score=lambda params, x: score(params, score(params, x)))
    refed = scoring.evaluator(twice, split)(params, split.test).figures
    figures = {name: statistics.estimate(values) for name, values in found.items()}
    errors = {name: 1.96 * statistics.standard_error(values) for name, values in found.items()}
    figures |= {f"{name}_refed": refed[name] for name in run.figures if name in refed}
    return [
        dataclasses.replace(
            run, figures={**run.figures, **figures}, errors={**run.errors, **errors}
        )
    ]


def split_of(loaded: artefact.Artefact) -> Split:
    """Rebuild the split of a run from its data, in the orientation that its model reads."""
    splits = options.splits_of(loaded.config, seeds=loaded.config["seeds"][:1])
    return oriented(loaded.model.traits, splits)[0]


def distances(
    model: Model, params: Params, table: Table, passes: Sequence[int] = PASSES, size: int = 512
) -> dict[str, np.ndarray]:
    """Compute `spread` and `distance_<k>` of each row of the table, [U] each."""
    index, capacity = table.blocks(size)
    block = functools.partial(_distances, model.score, tuple(passes), capacity)
    found = jax.lax.map(lambda rows: block(params, table, rows), index)
    return {name: np.asarray(values).ravel()[: table.num_rows] for name, values in found.items()}


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _distances(score, passes: tuple[int, ...], capacity: int, params, table: Table, index):
    y = score(params, table.gather(index, capacity))
    found = {"spread": jnp.std(y, axis=1)}
    for k in range(1, max(passes) + 1):
        y, before = score(params, y), y
        if k in passes:
            found[f"distance_{k}"] = jnp.sqrt(jnp.mean((y - before) ** 2, axis=1))
    return found
