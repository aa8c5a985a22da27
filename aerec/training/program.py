"""The compiled program of a run: an epoch of all replicas, on one device or divided over a mesh."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from aerec import memory, mesh
from aerec.core import Model, Table, sharded
from aerec.host_table import AnyTable, HostTable, on_device
from aerec.training import batches, sampled, streamed
from aerec.training.optimisers import optimiser
from aerec.training.settings import Settings
from aerec.training.step import State, make_epoch, start
from aerec.training.variants import Variants

PROGRAM = 256 * 2**20  # bytes of a process that compiles and runs an epoch, whatever its sizes


class Program(NamedTuple):
    """A compiled epoch of all replicas.

    Attributes:
      start: the state before the first update, leaves [S, ...].
      epoch: (state, number of the epoch) -> (state, loss [S, steps], finite [S]); it donates its
        argument `state`.
      losses_at: the number of updates before each loss within an epoch.
      updates: the number of updates in an epoch.
    """

    start: State
    epoch: Callable[[State, int], tuple[State, jax.Array, jax.Array]]
    losses_at: range
    updates: int


def compiled(
    model: Model,
    tables: Sequence[AnyTable],
    settings: Settings,
    *,
    seeds: Sequence[int],
    variants: Variants | None = None,
    log: Callable[[str], object] = lambda text: None,
) -> Program:
    """Compile an epoch of one replica per seed, for the mesh in use; all else as of `fit`."""
    data = _laid_out(tables, settings, len(seeds))
    plan, windows, table = data.plan, data.windows, data.table
    each = 1 + model.traits.refeeds  # updates per batch
    updates = each * sum(bucket.steps for bucket in plan)
    steps = settings.epochs * updates
    if model.traits.l2_after >= steps:
        log(f"All {steps:,} updates are pre-training: raise `epochs` or lower `pretrain_steps`.")
    fixed = _fixed(model, tables, len(seeds))
    unscaled = optimiser(settings, steps=steps, frozen=fixed)
    candidates = 0
    if sampled.chosen(model, settings, plan, tables[0].num_columns):
        candidates = settings.candidates
        log(
            f"Each update sees the columns of its rows and {candidates:,} drawn ones of "
            f"{tables[0].num_columns:,}: a sampled softmax (`softmax=full`: all of them)."
        )
    needed = memory_needed(model, unscaled, plan, table, len(seeds), candidates)
    memory.require(needed, "Training", "use a smaller `batch_size`, model, or fewer `seeds`")
    free = memory.available()
    table = mesh.divided(table)
    weight = math.inf
    if model.traits.l2 or (variants and "l2" in variants.values):
        first = table if data.shared else tables[0]
        first = first if isinstance(first, HostTable) else mesh.divided(first)
        weight = total_weight(model, first, max(bucket.batch for bucket in plan))
    log(f"Training needs about {needed / 2**30:.2f} GiB; {free / 2**30:.1f} GiB are free.")

    def trained(own: tuple) -> tuple[Model, optax.GradientTransformation]:
        """Return the model and the optimiser of a replica with these values of `variants`."""
        built = variants.make(own[0]) if variants else model
        chain = optimiser(
            settings,
            steps=steps,
            decay=built.traits.l2 / weight,
            decay_after=built.traits.l2_after,
            frozen=fixed,
        )
        return built, optax.chain(chain, optax.scale(own[1])) if variants else chain

    @jax.jit
    @jax.vmap
    def begin(init_key, fixed, own):
        built, chain = trained(own)
        params = built.init(init_key)
        state = start(built, chain, {**params, **fixed} if fixed else params)
        return mesh.at_rest(state, table.num_columns)

    def run(state, table, shapes, order, given):
        key, own = given
        if candidates:
            whole = tables[0] if windows else table
            epoch_of = sampled.make_epoch(*trained(own), plan, candidates, whole)
        else:
            epoch_of = make_epoch(*trained(own), plan)
        return epoch_of(state, table, shapes, order, key)

    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    init_keys, step_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    own = jax.tree.map(jnp.float32, (dict(variants.values), variants.rates) if variants else ())
    state = begin(init_keys, fixed, own)
    given = step_keys, own

    def drawn(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        pairs = zip(data.lengths, seeds, strict=True)
        orders = [batches.order(rows, plan, seed, epoch) for rows, seed in pairs]
        shapes = batches.shapes(plan, epoch)
        if model.phases:
            phase = model.phases[epoch % len(model.phases)]
            shapes += len(plan) * list(dict.fromkeys(model.phases)).index(phase)
        return shapes, np.stack(orders)

    again = _replicated(run, len(seeds), data.shared)
    again = jax.jit(again, donate_argnums=0, out_shardings=(mesh.shardings(state), None, None))

    def executable(table, shapes, order) -> Callable:
        own = again.lower(state, table, *mesh.placed((shapes, order)), given).compile()
        return lambda state, table, *rows: own(state, table, *mesh.placed(rows), given)

    if windows:
        epoch = streamed.epoch(executable, windows, drawn)
    else:
        epoch = _epoch(executable, table, drawn)
    return Program(
        start=state,
        epoch=epoch,
        losses_at=range(0, updates, each),
        updates=updates,
    )


class _Data(NamedTuple):
    """Training tables as an epoch reads them.

    Attributes:
      table: what the epoch is called with: the table that all replicas share, or one each, leaves
        [S, ...]; of tables on the host, a window.
      shared: whether all replicas read the same table.
      windows: of tables that stay on the host; None: the tables do not.
      lengths: entries of each row, of each replica.
      plan: the shapes of batches.
    """

    table: Any
    shared: bool
    windows: streamed.Windows | None
    lengths: list[np.ndarray]
    plan: Sequence[batches.Bucket]


def _laid_out(tables: Sequence[AnyTable], settings: Settings, replicas: int) -> _Data:
    """Plan the batches, and put the tables of all replicas together."""
    sizes = {(t.lengths().sum(), t.num_rows, t.num_columns) for t in tables}
    if len(sizes) > 1:
        raise ValueError("replicas under one vmap need training tables of one shape")
    on_host = [table for table in tables if isinstance(table, HostTable)]
    shared = len(tables) == 1 and not on_host
    lengths = [t.lengths() for t in tables] * (replicas // len(tables))
    plan = batches.plan(np.stack(lengths), settings.batch_size, settings.buckets)
    table: Any = tables[0]
    windows = streamed.Windows(on_host, plan, replicas) if on_host else None
    if windows:
        table = windows.empty(windows.most)
    elif not shared:
        table = jax.tree.map(lambda *leaves: np.stack(leaves), *tables)
    return _Data(table, shared, windows, lengths, plan)


def _epoch(compiled: Callable, table: Any, drawn: Callable) -> Callable:
    """Make the epoch over a table on the device; arguments as of `streamed.epoch`."""
    run = compiled(table, *drawn(0))
    return lambda state, number: run(state, table, *drawn(number))


def _fixed(model: Model, tables: Sequence[AnyTable], replicas: int) -> dict[str, Any]:
    """Compute the entries of the parameters that data determine, leaves [S, ...]; {} for none."""
    if model.frozen is None:
        return {}
    with jax.default_matmul_precision("highest"):
        each = [model.frozen(on_device(table)) for table in tables]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each * (replicas // len(tables)))


def memory_needed(
    model: Model,
    chain: optax.GradientTransformation,
    plan: Sequence[batches.Bucket],
    table: Table,
    replicas: int,
    candidates: int = 0,
) -> int:
    """Estimate the bytes of a training run on one device; on a CPU, on all that it counts as.

    They are of the parameters, their gradient, the best parameters, the optimiser's state, the
    table, and at most four dense [batch, N] blocks of a step, as many of each re-feed. With
    `candidates`, the blocks are of the columns of a sampled softmax, and there are copies of
    kernels instead of the gradient. On a CPU, `PROGRAM` comes on top.
    """
    params = jax.eval_shape(model.init, jax.random.key(0))
    state = jax.eval_shape(chain.init, params)
    rows, parts = mesh.size("data"), mesh.size("model")
    columns, gradient = table.num_columns, mesh.part(params, table.num_columns)
    if candidates:
        gradient = sampled.copied(model, chain, columns) // parts
        columns = max(sampled.size(bucket, candidates, columns) for bucket in plan)
    batch = max(bucket.batch for bucket in plan)
    per_replica = 2 * mesh.part(params, table.num_columns) + gradient
    per_replica += mesh.part(state, table.num_columns)
    blocks = 4 * (1 + model.traits.refeeds)
    per_replica += blocks * 4 * math.ceil(batch / rows) * math.ceil(columns / parts)
    on_device = replicas * per_replica + memory.size(table) // rows
    if jax.default_backend() != "cpu":
        return on_device
    return PROGRAM + rows * parts // jax.process_count() * on_device


def total_weight(model: Model, table: AnyTable, batch_size: int) -> float:
    """Sum the loss weights over a table: its ratings or its rows, as the loss counts them."""
    batch_loss = model.loss
    assert batch_loss is not None
    index, capacity = table.blocks(batch_size)

    def add(total, params, table, block):
        x = table.gather(block, capacity)
        return total + batch_loss(params, x, jax.random.key(0), jnp.int32(0))[1].sum()

    @jax.jit  # the compiler drops all of the loss but its weights
    def scan(params, table, index):
        def each(total, block):
            return add(total, params, table, block), None

        return sharded(jax.lax.scan(each, jnp.zeros(()), index)[0])

    @jax.jit
    def zeros():
        shapes = jax.eval_shape(model.init, jax.random.key(0))
        params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return mesh.at_rest(params, table.num_columns)

    if isinstance(table, HostTable):
        total, params, added = jnp.zeros(()), zeros(), jax.jit(add)
        for window in streamed.blocks(table, capacity, index):
            total = added(total, params, window, jnp.arange(index.shape[1], dtype=jnp.int32))
        return float(total)
    return float(scan(zeros(), table, index))


def _replicated(epoch: Callable, count: int, shared: bool) -> Callable:
    """Map `epoch` over a leading axis of replicas; with `shared` they read the same table.

    A single replica is not batched: XLA's products with a batch axis of one are slower on CPUs.
    """
    if count > 1:
        return jax.vmap(epoch, (0, None if shared else 0, None, 0, 0))

    def single(state, table, shapes, order, given):
        state, order, given = jax.tree.map(lambda leaf: leaf[0], (state, order, given))
        out = epoch(state, table, shapes, order, given)
        return jax.tree.map(lambda leaf: leaf[None], out)

    return single
