"""Training: replicas of one model, an epoch as one compiled scan, exact resume.

Everything random is a function of (seed, epoch, step), everything remembered is `State` and
`Record`: a run that is cut off and started again ends in the same bits as one that is not.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from aerec import memory
from aerec.core import Batch, Model, Params, Table
from aerec.errors import BadInput, NotNumbers
from aerec.training import batches
from aerec.training.refeed import with_refeeds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train, whatever the model."""

    epochs: int = 100
    batch_size: int = 500  # most rows in a batch; of several buckets, in one of mean length
    buckets: int = 1  # shapes of batches, by the length of rows (`batches.plan`); 1: rows mix
    optimiser: str = "adam"  # or rprop, sgd, adagrad
    learning_rate: float = 1e-3
    momentum: float = 0.9  # of sgd
    schedule: str = "constant"  # or cosine (to zero over all epochs), or step
    milestones: tuple[int, ...] = ()  # of step: epochs after which the rate falls
    gamma: float = 0.5  # of step: the factor of the rate at each milestone
    warmup: float = 0.0  # share of all steps over which the rate rises from zero
    devices: int = 1  # each batch is divided among so many; all hold table and parameters
    evaluate_every: int = 1  # epochs
    patience: int = 0  # evaluations without a better one before a replica stops; 0: never
    metric: str = "ndcg@100"  # what is best is decided by this figure on the validation rows

    def __post_init__(self) -> None:
        if (self.schedule == "step") != bool(self.milestones):
            raise BadInput("schedule=step and milestones, like 20,40, go together")
        if (
            list(self.milestones) != sorted(set(self.milestones))
            or min(self.milestones, default=1) < 1
        ):
            raise BadInput(f"milestones are epochs, from 1 on and ascending: {self.milestones}")
        if not 1 <= self.devices <= jax.device_count():
            raise BadInput(
                f"devices={self.devices}: there are {jax.device_count()}. A CPU counts as as many "
                "as the environment variable JAX_NUM_CPU_DEVICES says."
            )
        if not 0 < self.gamma <= 1:
            raise BadInput(f"gamma is above 0 and at most 1, not {self.gamma}")


class State(NamedTuple):
    """What an update changes; leaves have a leading axis S, one entry per replica."""

    params: Params
    opt_state: Any
    step: jax.Array  # updates made


class Record(NamedTuple):
    """What the loop remembers between epochs, plain numbers; lists have one entry a replica."""

    epoch: int
    best: list[float]
    best_epoch: list[int]
    stale: list[int]  # evaluations since the best
    seconds: float  # spent in epochs and evaluations, over all starts of the run
    epoch_seconds: list[float]  # of each epoch
    compile_seconds: float


class Fitted(NamedTuple):
    """The best parameters on validation and the last ones, leaves [S, ...], and the record."""

    best: Params
    last: Params
    record: Record


class Diverged(RuntimeError):
    """A loss, a parameter or a score became NaN or infinite."""


LOWER = ("rmse", "mae", "gini")  # figures of which less is better
ADVICE = (
    "The last checkpoint before it is kept. Lower --learning_rate, or use --schedule=cosine "
    "--warmup=0.1, in another --workdir."
)


def optimiser(
    settings: Settings, *, steps: int, decay: float = 0.0, decay_after: int = 0
) -> optax.GradientTransformation:
    """The chain: an L2 penalty `decay / 2 |kernels|^2`, then the optimiser on its schedule.

    Args:
      steps: updates in all epochs together.
    """
    rate: optax.ScalarOrSchedule = settings.learning_rate
    if settings.schedule != "constant" or settings.warmup:
        warm = min(int(settings.warmup * steps), steps - 1)
        end = 0.0 if settings.schedule == "cosine" else settings.learning_rate
        rate = optax.warmup_cosine_decay_schedule(
            0.0 if warm else settings.learning_rate, settings.learning_rate, warm, steps, end
        )
    if settings.milestones:
        smooth, per_epoch = rate, steps // settings.epochs
        drops = optax.piecewise_constant_schedule(
            1.0, {epoch * per_epoch: settings.gamma for epoch in settings.milestones}
        )
        rate = lambda count: smooth(count) * drops(count)  # noqa: E731
    scaled = optax.identity()  # RProp finds its own steps: the schedule is a factor of them
    if callable(rate):
        scaled = optax.scale_by_schedule(lambda n: rate(n) / max(settings.learning_rate, 1e-30))
    chains = {
        "adam": lambda: optax.adam(rate),
        "rprop": lambda: optax.chain(optax.rprop(settings.learning_rate), scaled),
        "sgd": lambda: optax.sgd(rate, momentum=settings.momentum or None),
        "adagrad": lambda: optax.adagrad(rate),
    }
    chosen = chains[settings.optimiser]()
    return optax.chain(l2_penalty(decay, after=decay_after), chosen) if decay else chosen


def l2_penalty(decay: float, *, after: int = 0) -> optax.GradientTransformation:
    """Adds `decay * w` to the gradient of each kernel (rank 2 and up), from step `after` on.

    Under greedy pre-training an adaptive optimiser would otherwise drive layers that wait for
    their stage, and whose gradient is the penalty alone, to zero.
    """
    penalty = optax.add_decayed_weights(
        decay, mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)
    )
    if not after:
        return penalty
    return optax.conditionally_transform(penalty, lambda step: step >= after)


def make_step(
    model: Model, optimiser: optax.GradientTransformation, axis: str | None = None
) -> Callable:
    """One update: (state, x, key, counted [B] or 1) -> (state, loss); `counted` weighs the rows.

    `key` is folded with the step, never consumed. Under `axis`, the name of a mapped axis, x is the
    device's part of the batch: losses and gradients are those of all parts together.
    """
    batch_loss = model.loss
    assert batch_loss is not None

    def summed(tree):
        return tree if axis is None else jax.lax.psum(tree, axis)

    def objective(params, x, key, step, counted):
        total, weight = batch_loss(params, x, key, step)
        return jnp.sum(total * counted) / jnp.maximum(summed(jnp.sum(weight * counted)), 1)

    def step(state: State, x: Batch, key: jax.Array, counted: jax.Array | float):
        step_key = jax.random.fold_in(key, state.step)
        if axis is not None:
            step_key = jax.random.fold_in(step_key, jax.lax.axis_index(axis))
        loss, grads = summed(
            jax.value_and_grad(objective)(state.params, x, step_key, state.step, counted)
        )
        updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, opt_state, state.step + 1), loss

    return step


def make_epoch(
    model: Model,
    optimiser: optax.GradientTransformation,
    plan: Sequence[batches.Bucket],
    refeeds: int = 0,
    axis: str | None = None,
) -> Callable:
    """One replica's epoch, on the device's part of each batch where there is an `axis`.

    (state, table, turns [steps], order [steps, B], key) -> (state, loss [steps], finite): a
    `lax.scan` over the batches of `order`, each in the shape of its bucket and gathered on the
    device.
    """
    step = make_step(model, optimiser, axis)
    if refeeds:
        step = with_refeeds(step, model.score, refeeds)

    def of(bucket: batches.Bucket) -> Callable:
        def bucket_step(state: State, table: Table, index: jax.Array, key: jax.Array):
            x = table.gather(index[: bucket.batch], bucket.capacity, bucket.longest)
            return step(state, x, key, 1.0)

        return bucket_step

    steps = [of(bucket) for bucket in plan]

    def epoch(state: State, table: Table, turns: jax.Array, order: jax.Array, key: jax.Array):
        def train_step(state: State, drawn):
            turn, index = drawn
            return jax.lax.switch(turn, steps, state, table, index, key)

        state, losses = jax.lax.scan(train_step, state, (turns, order))
        finite = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(state.params)]
        return state, losses, jnp.all(jnp.stack(finite))

    return epoch


def memory_needed(
    model: Model,
    chain: optax.GradientTransformation,
    plan: Sequence[batches.Bucket],
    table: Table,
    replicas: int,
) -> int:
    """Bytes of a training run: parameters, their gradient, the best ones, the optimiser's state,
    the table, and some eight dense [batch, N] blocks of one step."""
    params = jax.eval_shape(model.init, jax.random.key(0))
    state = jax.eval_shape(chain.init, params)
    per_replica = 3 * memory.size(params) + memory.size(state)
    per_replica += 8 * 4 * max(bucket.batch for bucket in plan) * table.num_columns
    return replicas * per_replica + memory.size(table)


def fit(
    model: Model,
    tables: Sequence[Table],
    settings: Settings,
    *,
    seeds: Sequence[int],
    evaluate: Callable[[Params, int], dict[str, float]],
    l2: float = 0.0,
    l2_after: int = 0,
    refeeds: int = 0,
    checkpoints=None,
    progress: Callable[[Record, dict[str, float]], None] = lambda record, figures: None,
    trace: Callable[[Record, np.ndarray], None] = lambda record, losses: None,
    log: Callable[[str], object] = lambda text: None,
) -> Fitted:
    """Trains one replica per seed under one `vmap`, or solves a closed-form model per table.

    Args:
      tables: one training table for all replicas, or one per replica, of one shape.
      evaluate: (one replica's params, its number) -> validation figures; `settings.metric` picks.
      l2: lambda of an objective that *sums* over the table; divided by its total weight here.
      l2_after: steps before the penalty sets in.
      refeeds: dense re-feeds after each step, of a model of squared error; see `refeed`.
      checkpoints: a `checkpoint.Checkpoints` to resume from and save to.
      log: told the memory estimate, and from where a run goes on.
      progress: called after each epoch with the record and the mean figures.
      trace: called before it with the record and the loss of each step on the table, [S, steps].

    Raises:
      memory.TooLarge: the run would not fit, before anything is allocated.
      Diverged: a NaN or infinite loss or parameter, with the step; the last checkpoint stays.
      ValueError: tables of different shapes.
    """
    if model.solve is not None:
        return _solve(model, [tables[i % len(tables)] for i in range(len(seeds))])
    if len(tables) > 1 and len({(t.columns.shape, t.num_rows, t.num_columns) for t in tables}) > 1:
        raise ValueError("replicas under one vmap need training tables of one shape")
    shared = len(tables) == 1
    table = tables[0] if shared else jax.tree.map(lambda *leaves: jnp.stack(leaves), *tables)
    lengths = [t.lengths() for t in tables] * (len(seeds) // len(tables))
    devices = settings.devices
    shapes = batches.plan(np.stack(lengths), settings.batch_size, settings.buckets, devices)
    epoch_steps = sum(bucket.steps for bucket in shapes)

    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    init_keys, step_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    updates = epoch_steps * (1 + refeeds)  # in an epoch
    largest = max(bucket.batch for bucket in shapes)
    steps = settings.epochs * updates
    needed = memory_needed(model, optimiser(settings, steps=steps), shapes, table, len(seeds))
    memory.require(needed, "Training", "use a smaller --batch_size, model, or fewer --seeds")
    free = memory.available()
    decay = l2 / total_weight(model, tables[0], largest) if l2 else 0.0
    chain = optimiser(settings, steps=steps, decay=decay, decay_after=l2_after)
    log(f"Training needs about {needed / 2**30:.2f} GiB; {free / 2**30:.1f} GiB are free.")
    started = time.perf_counter()

    @jax.jit
    def start(init_keys):
        params = jax.vmap(model.init)(init_keys)
        return State(params, jax.vmap(chain.init)(params), jnp.zeros(len(seeds), jnp.int32))

    state = start(init_keys)
    epoch_fn = make_epoch(model, chain, shapes, refeeds, "data" if devices > 1 else None)
    epoch_fn = _replicated(epoch_fn, len(seeds), shared)
    if devices > 1:
        auto = (jax.sharding.AxisType.Auto,)
        mesh = jax.make_mesh((devices,), ("data",), auto, devices=jax.devices()[:devices])
        state, table, step_keys = jax.device_put(
            (state, table, step_keys), jax.NamedSharding(mesh, jax.P())
        )
        epoch_fn = _divided(epoch_fn, mesh)
    epoch_fn = jax.jit(epoch_fn, donate_argnums=0)

    def on_one(params: Params) -> Params:  # for what is not divided: evaluation, and the result
        return params if devices == 1 else jax.device_put(params, jax.devices()[0])

    def drawn(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        pairs = zip(lengths, seeds, strict=True)
        orders = [batches.order(rows, shapes, seed, epoch, devices) for rows, seed in pairs]
        return batches.turns(shapes, epoch), np.stack(orders)

    run_epoch = epoch_fn.lower(state, table, *drawn(0), step_keys).compile()
    direction = -1.0 if settings.metric.startswith(LOWER) else 1.0
    best = jax.tree.map(jnp.copy, state.params)
    none = [-math.inf * direction] * len(seeds)
    record = Record(
        0, none, [0] * len(seeds), [0] * len(seeds), 0.0, [], time.perf_counter() - started
    )
    if checkpoints is not None and (saved := checkpoints.restore(state, best)) is not None:
        state, best, record = saved[0], saved[1], Record(**saved[2])
        log(f"Going on after epoch {record.epoch}.")

    while record.epoch < settings.epochs and not _all_stopped(record, settings):
        begun = time.perf_counter()
        state, losses, finite = run_epoch(state, table, *drawn(record.epoch), step_keys)
        losses, first = np.asarray(losses), record.epoch * updates
        _check_finite(losses, np.asarray(finite), range(first, first + updates, 1 + refeeds), seeds)
        epoch_seconds = time.perf_counter() - begun
        record = record._replace(
            epoch=record.epoch + 1, epoch_seconds=[*record.epoch_seconds, epoch_seconds]
        )
        trace(record, losses)
        figures = {"loss": float(losses.mean())}
        if record.epoch % settings.evaluate_every == 0 or record.epoch == settings.epochs:
            try:
                params = on_one(state.params)
                each = [evaluate(replica(params, i), i) for i in range(len(seeds))]
            except NotNumbers as error:  # parameters may be finite whose products are not
                raise Diverged(f"{error}; at step {record.epoch * updates}. {ADVICE}") from None
            figures |= {name: float(np.mean([f[name] for f in each])) for name in each[0]}
            scores = [figures_of[settings.metric] for figures_of in each]
            record, better = _judge(record, scores, direction, settings)
            best = _choose(jnp.asarray(better), state.params, best)
        record = record._replace(seconds=record.seconds + time.perf_counter() - begun)
        progress(record, figures)
        if checkpoints is not None:
            done = record.epoch == settings.epochs or _all_stopped(record, settings)
            checkpoints.save(state, best, record._asdict(), force=done)
    return Fitted(on_one(best), on_one(state.params), record)


def total_weight(model: Model, table: Table, batch_size: int) -> float:
    """The loss weights summed over a table: its ratings, or its rows, as the loss counts them."""
    index, capacity = table.blocks(batch_size)
    batch_loss = model.loss
    assert batch_loss is not None

    @jax.jit  # the compiler drops all of the loss but its weights
    def scan(params, table, index):
        def add(total, block):
            x = table.gather(block, capacity)
            return total + batch_loss(params, x, jax.random.key(0), jnp.int32(0))[1].sum(), None

        return jax.lax.scan(add, jnp.zeros(()), index)[0]

    shapes = jax.eval_shape(model.init, jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return float(scan(zeros, table, index))


def _replicated(epoch: Callable, count: int, shared: bool) -> Callable:
    """`epoch` over a leading axis of replicas; `shared`: they read the same table.

    A single replica is not batched: XLA's products with a batch axis of one are slower on CPUs.
    """
    if count > 1:
        return jax.vmap(epoch, (0, None if shared else 0, None, 0, 0))

    def single(state, table, turns, order, key):
        out = epoch(*jax.tree.map(lambda leaf: leaf[0], (state,)), table, turns, order[0], key[0])
        return jax.tree.map(lambda leaf: leaf[None], out)

    return single


def _divided(epoch: Callable, mesh: jax.sharding.Mesh) -> Callable:
    """`epoch` of all replicas on each device's part of `order`; all else is on every device."""
    everywhere, divided = jax.P(), jax.P(None, None, "data")
    return jax.shard_map(
        epoch,
        mesh=mesh,
        in_specs=(everywhere, everywhere, everywhere, divided, everywhere),
        out_specs=everywhere,
        check_vma=False,  # what is summed over all devices is the same on each
    )


def _solve(model: Model, tables: Sequence[Table]) -> Fitted:
    """A closed form per replica, once where replicas share a table: there is nothing random."""
    assert model.solve is not None
    begun = time.perf_counter()
    found: dict[int, Params] = {}
    with jax.default_matmul_precision("highest"):  # GPUs would round the normal equations' factors
        for table in tables:
            if id(table) not in found:
                found[id(table)] = jax.block_until_ready(model.solve(table))
    solved = [found[id(table)] for table in tables]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *solved)
    seconds = time.perf_counter() - begun
    return Fitted(params, params, Record(1, [], [], [], seconds, [seconds], 0.0))


def _judge(
    record: Record, scores: Sequence[float], direction: float, settings: Settings
) -> tuple[Record, list[bool]]:
    """The record after an evaluation, and which replicas are now at their best.

    Raises:
      BadInput: a figure is NaN, which is neither better nor worse than any other.
    """
    best, best_epoch, stale = list(record.best), list(record.best_epoch), list(record.stale)
    better = [False] * len(best)
    for i, score in enumerate(scores):
        if settings.patience and stale[i] >= settings.patience:
            continue  # this replica has stopped: its best stands
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


def _check_finite(
    losses: np.ndarray, finite: np.ndarray, steps: Sequence[int], seeds: Sequence[int]
) -> None:
    for replica, seed in enumerate(seeds):
        bad = np.flatnonzero(~np.isfinite(losses[replica]))
        if bad.size or not finite[replica]:
            at = steps[bad[0] if bad.size else -1]
            value = losses[replica, bad[0]] if bad.size else None
            what = f"the loss is {value}" if bad.size else "a parameter is not finite"
            raise Diverged(f"{what} at step {at} (seed {seed}). {ADVICE}")


def replica(params: Params, i: int) -> Params:
    """One replica's parameters out of leaves [S, ...]."""
    return jax.tree.map(lambda leaf: leaf[i], params)


@jax.jit
def _choose(better: jax.Array, new: Params, old: Params) -> Params:
    """`new` where a replica is better, [S]; `old` elsewhere."""

    def choose(a, b):
        return jnp.where(better.reshape((-1,) + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)
