"""The training loop: replicas of one model, epoch by epoch, with exact resume.

Everything random is a function of (seed, epoch, step), and the whole state is `step.State` and
`Record`, so that an interrupted run ends in the same bits as one that was never interrupted.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aerec.core import Model, Params
from aerec.errors import BadInput, NotNumbers
from aerec.host_table import AnyTable, on_device
from aerec.training.program import compiled
from aerec.training.settings import Settings
from aerec.training.variants import Variants


class Record(NamedTuple):
    """The state of the loop between epochs, in plain numbers; lists have one entry per replica."""

    epoch: int
    best: list[float]
    best_epoch: list[int]
    stale: list[int]  # evaluations without improvement
    seconds: float  # spent in epochs and evaluations, over all starts of the run
    epoch_seconds: list[float]  # of each epoch
    compile_seconds: float


class Fitted(NamedTuple):
    """The parameters best on validation, the last parameters, leaves [S, ...], and the record."""

    best: Params
    last: Params
    record: Record


class Diverged(RuntimeError):
    """A loss, a parameter or a score became NaN or infinite."""


LOWER = ("rmse", "mae", "gini")  # figures that are better when lower
ADVICE = "Lower `learning_rate`, or use `schedule=cosine` and `warmup=0.1`."
KEPT = "The last checkpoint before it is kept: use another `workdir`."


def fit(
    model: Model,
    tables: Sequence[AnyTable],
    settings: Settings,
    *,
    seeds: Sequence[int],
    variants: Variants | None = None,
    evaluate: Callable[[Params, int], dict[str, float]] | None,
    checkpoints=None,
    progress: Callable[[Record, dict[str, float]], None] = lambda record, figures: None,
    trace: Callable[[Record, np.ndarray], None] = lambda record, losses: None,
    log: Callable[[str], object] = lambda text: None,
) -> Fitted:
    """Train one replica per seed under one `vmap`, or solve a closed-form model per table.

    All of it is divided over the mesh in use, if there is one (`aerec.mesh`).

    Args:
      tables: one training table for all replicas, or one per replica, of one shape.
      variants: numbers in which the replicas differ; `model` is one of them.
      evaluate: (one replica's params, its number) -> validation figures; `settings.metric` picks.
        None: there is no validation part, and the last parameters are the best.
      checkpoints: a `runs.checkpoints.Checkpoints` to resume from and save to.
      log: called with the memory estimate, and with the epoch from which a run resumes.
      progress: called after each epoch with the record and the mean figures.
      trace: called before it with the record and the loss of each step on the table, [S, steps].

    Raises:
      memory.TooLarge: the run would not fit, before anything is allocated.
      Diverged: a loss, parameter or figure is NaN or infinite; the message has the step. The last
        checkpoint stays.
      ValueError: tables of different shapes.
    """
    if model.solve is not None:
        return _solve(model, [tables[i % len(tables)] for i in range(len(seeds))])
    started = time.perf_counter()
    program = compiled(model, tables, settings, seeds=seeds, variants=variants, log=log)
    state, best = program.start, jax.tree.map(jnp.copy, program.start.params)
    advice = ADVICE if checkpoints is None else f"{ADVICE} {KEPT}"
    direction = -1.0 if settings.metric.startswith(LOWER) else 1.0
    zeros, none = [0] * len(seeds), [-math.inf * direction] * len(seeds)
    record = Record(0, none, zeros, zeros, 0.0, [], time.perf_counter() - started)
    if checkpoints is not None and (saved := checkpoints.restore(state, best)) is not None:
        state, best, record = saved[0], saved[1], Record(**saved[2])
        log(f"Going on after epoch {record.epoch}.")

    while record.epoch < settings.epochs and not _all_stopped(record, settings):
        begun = time.perf_counter()
        state, losses, finite = program.epoch(state, record.epoch)
        first = record.epoch * program.updates
        traced = _require_finite(losses, finite, first, program.losses_at, seeds, advice)
        took = [*record.epoch_seconds, time.perf_counter() - begun]
        record = record._replace(epoch=record.epoch + 1, epoch_seconds=took)
        trace(record, traced)
        figures = {"loss": float(traced.mean())}
        due = record.epoch % settings.evaluate_every == 0 or record.epoch == settings.epochs
        if evaluate is not None and due:
            try:
                each = [evaluate(replica(state.params, i), i) for i in range(len(seeds))]
            except NotNumbers as error:  # parameters may be finite whose products are not
                raise Diverged(f"{error}; at step {first + program.updates}. {advice}") from None
            figures |= {name: float(np.mean([f[name] for f in each])) for name in each[0]}
            scores = [of_replica[settings.metric] for of_replica in each]
            record, better = _judge(record, scores, direction, settings)
            best = _choose(jnp.asarray(better), state.params, best)
        record = record._replace(seconds=record.seconds + time.perf_counter() - begun)
        progress(record, figures)
        if checkpoints is not None:
            done = record.epoch == settings.epochs or _all_stopped(record, settings)
            checkpoints.save(state, best, record._asdict(), force=done)
    return Fitted(state.params if evaluate is None else best, state.params, record)


def solve(model: Model, table: AnyTable) -> Params:
    """Solve a closed-form model for a table, with products in float32 on every device."""
    assert model.solve is not None
    with jax.default_matmul_precision("highest"):  # a GPU would round the normal equations
        return jax.block_until_ready(model.solve(on_device(table)))


def _solve(model: Model, tables: Sequence[AnyTable]) -> Fitted:
    """Solve one closed form per table; replicas that share a table share the solution."""
    begun = time.perf_counter()
    found: dict[int, Params] = {}
    for table in tables:
        if id(table) not in found:
            found[id(table)] = solve(model, table)
    solved = [found[id(table)] for table in tables]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *solved)
    seconds = time.perf_counter() - begun
    return Fitted(params, params, Record(1, [], [], [], seconds, [seconds], 0.0))


def _judge(
    record: Record, scores: Sequence[float], direction: float, settings: Settings
) -> tuple[Record, list[bool]]:
    """Update the record after an evaluation, and return which replicas improved.

    Raises:
      BadInput: a figure is NaN, which is neither better nor worse than any other.
    """
    best, best_epoch, stale = list(record.best), list(record.best_epoch), list(record.stale)
    better = [False] * len(best)
    for i, score in enumerate(scores):
        if settings.patience and stale[i] >= settings.patience:
            continue  # this replica has stopped and its best stays
        if math.isnan(score):
            raise BadInput(
                f"The validation figure {settings.metric} is NaN after epoch {record.epoch} "
                f"(replica {i}), so nothing can be selected by it. Use another metric or more "
                "validation rows, in another workdir."
            )
        better[i] = direction * score > direction * best[i]
        stale[i] = 0 if better[i] else stale[i] + 1
        if better[i]:
            best[i], best_epoch[i] = float(score), record.epoch
    return record._replace(best=best, best_epoch=best_epoch, stale=stale), better


def _all_stopped(record: Record, settings: Settings) -> bool:
    return bool(settings.patience) and min(record.stale) >= settings.patience


def _require_finite(
    losses: jax.Array, finite: jax.Array, first: int, at: range, seeds: Sequence[int], advice: str
) -> np.ndarray:
    """Return the losses [S, steps] on the host.

    Args:
      finite: [S], whether all parameters are finite.
      first: updates before the epoch.
      at: updates within the epoch before each loss.
      advice: the end of the error message.

    Raises:
      Diverged: a loss or a parameter is not finite.
    """
    found, fine = np.asarray(losses), np.asarray(finite)
    for number, seed in enumerate(seeds):
        bad = np.flatnonzero(~np.isfinite(found[number]))
        if bad.size or not fine[number]:
            step = first + at[bad[0] if bad.size else -1]
            value = found[number, bad[0]] if bad.size else None
            what = f"the loss is {value}" if bad.size else "a parameter is not finite"
            raise Diverged(f"{what} at step {step} (seed {seed}). {advice}")
    return found


def replica(params: Params, i: int) -> Params:
    """Return one replica's parameters from leaves [S, ...]."""
    return jax.tree.map(lambda leaf: leaf[i], params)


@jax.jit
def _choose(better: jax.Array, new: Params, old: Params) -> Params:
    """Take `new` where a replica is `better` [S], and `old` elsewhere."""

    def choose(a, b):
        return jnp.where(better.reshape((-1,) + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)
