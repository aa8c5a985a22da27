"""Blends of fitted runs: weights chosen on validation, the test part scored once."""

import itertools
import json
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from aerec import memory
from aerec.data.splits import Split
from aerec.errors import BadInput
from aerec.evaluation import blocks
from aerec.models import blend as blended
from aerec.runs import artefact, fitting, scoring
from aerec.runs.run import Run
from aerec.runs.spec import Spec, data_hash
from aerec.training.settings import Settings

STEPS = (0.2, 0.1, 0.05)  # by which weights are moved


def blend(runs: Sequence[Run], split: Split, *, metric: str = "ndcg@100") -> Run:
    """Blend fitted runs: a run whose scores are the weighted sum of their standardised scores.

    The weights are non-negative and sum to 1. They maximise the validation figure, by a search with
    steps of .2, .1 and .05. For a run with several replicas, the first one is used.

    Args:
      runs: at least two, of user-based ranking models, fitted on `split`.
      metric: the validation figure that selects the weights.

    Returns:
      A run of the model `blend`, its weights in `run.params["weights"]`, in the order of `runs`.

    Raises:
      BadInput: runs of another split, of ratings or of an item-based model; or no validation part.
      memory.TooLarge: the scores of all validation users do not fit.
    """
    begun = time.perf_counter()
    _require(runs, split)
    scoring.require_metric(metric, "ranking")
    scoring.require_targets(split, select=True)
    members = [[run.config["model"], run.config["set"]] for run in runs]
    spec = Spec(
        model="blend",
        set={"members": json.dumps(members)},
        dataset=split.dataset,
        settings=Settings(metric=metric),
        seeds=(0,),
    )
    weights, best = search(_figure_of(runs, split, metric), len(runs))
    params = {"members": [run.params for run in runs], "weights": jnp.asarray(weights, jnp.float32)}
    replicas = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], params)
    finished = fitting.assembled(
        spec, split, replicas, validation=best, seconds=time.perf_counter() - begun
    )
    vocabulary = artefact.Vocabulary.of(split, split.train)
    return Run(artefact.build(finished.config), replicas, vocabulary, finished, [split])


def search(
    figure: Callable[[np.ndarray], float], count: int, steps: Sequence[float] = STEPS
) -> tuple[np.ndarray, float]:
    """Maximise a figure over weights [count] >= 0 of sum 1, by steps between pairs of them.

    It starts from the best of equal weights and each single one. Each step size is tried on all
    pairs until none gains.

    Returns:
      (the weights, their figure).
    """
    starts = [np.full(count, 1 / count), *np.eye(count)]
    found = [(figure(weights), -i, weights) for i, weights in enumerate(starts)]
    best, _, weights = max(found, key=lambda own: own[:2])
    for step in steps:
        improved = True
        while improved:
            improved = False
            for gains, loses in itertools.permutations(range(count), 2):
                moved = min(step, weights[loses])
                if moved <= 1e-9:
                    continue
                other = weights.copy()
                other[gains] += moved
                other[loses] -= moved
                if (value := figure(other)) > best:
                    weights, best, improved = other, value, True
    return weights, best


def _require(runs: Sequence[Run], split: Split) -> None:
    if not isinstance(split, Split):
        raise BadInput(f"{type(split).__name__} is no split: give that of the runs")
    if not isinstance(runs, list | tuple) or len(runs) < 2:
        raise BadInput("give a list of at least two runs to blend")
    for number, run in enumerate(runs):
        if not isinstance(run, Run):
            raise BadInput(f"{type(run).__name__} is no run: give what `aerec.fit` returned")
        if run.config["data_hash"] != [data_hash(split)]:
            raise BadInput(
                f"run {number} ({run.config['model']}) was fitted on another split: its validation "
                "users may have been in its training"
            )


def _figure_of(runs: Sequence[Run], split: Split, metric: str) -> Callable[[np.ndarray], float]:
    """Return weights -> validation figure; the members' scores are computed once."""
    rows, columns = split.valid.input.num_rows, split.train.num_columns
    memory.require(
        4 * len(runs) * rows * columns,
        f"The scores of {rows:,} validation users by {len(runs)} models",
        "blend on a split with fewer validation users",
    )
    scores = jnp.stack([_scores(run, split) for run in runs])

    def score(params, row: jax.Array) -> jax.Array:
        of_rows = params["scores"].at[:, row].get(mode="fill", fill_value=0)
        return jnp.tensordot(params["weights"], of_rows, axes=1)

    evaluate = scoring.evaluator(scoring.by_number(score), split, metric)
    numbered = scoring.numbered(split.valid)

    def figure(weights: np.ndarray) -> float:
        params = {"scores": scores, "weights": jnp.asarray(weights, jnp.float32)}
        return evaluate(params, numbered).figures[metric]

    return figure


def _scores(run: Run, split: Split) -> jax.Array:
    """Compute the standardised scores of the validation users, [R, N]."""
    index, capacity = blocks.plan(split.valid)

    @jax.jit
    def block(params, tables, rows):
        x, _ = blocks.gather(tables, rows, capacity)
        return blended.standardised(run.model.score(params, x))

    tables = split.valid.input, split.valid.target, jnp.asarray(split.valid.rows)
    found = [block(run.params, tables, jnp.asarray(rows)) for rows in index]
    return jnp.concatenate(found)[: split.valid.input.num_rows]
