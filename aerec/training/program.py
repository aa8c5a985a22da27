"""The compiled program of a run: an epoch of all replicas, on one device or several."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from aerec import memory
from aerec.core import Model, Table
from aerec.errors import BadInput
from aerec.host_table import AnyTable, HostTable, on_device
from aerec.training import batches, streamed
from aerec.training.optimisers import optimiser
from aerec.training.settings import Settings
from aerec.training.step import State, make_epoch, start


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
    log: Callable[[str], object] = lambda text: None,
) -> Program:
    """Compile an epoch of one replica per seed; arguments and errors as of `fit`."""
    sizes = {(t.lengths().sum(), t.num_rows, t.num_columns) for t in tables}
    if len(sizes) > 1:
        raise ValueError("replicas under one vmap need training tables of one shape")
    devices = settings.devices
    if devices > jax.device_count():
        raise BadInput(
            f"devices={devices}: there are {jax.device_count()}. A CPU counts as as many as the "
            "environment variable JAX_NUM_CPU_DEVICES says."
        )
    on_host = [table for table in tables if isinstance(table, HostTable)]
    shared = len(tables) == 1 and not on_host
    lengths = [t.lengths() for t in tables] * (len(seeds) // len(tables))
    plan = batches.plan(np.stack(lengths), settings.batch_size, settings.buckets, devices)
    room = devices * max(bucket.capacity for bucket in plan)
    read = partial(streamed.window, on_host, room)
    table: Any = tables[0]
    if on_host:
        rows = devices * max(bucket.batch for bucket in plan)
        table = read(np.full((len(seeds), rows), table.num_rows))
    elif not shared:
        table = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tables)
    each = 1 + model.traits.refeeds  # updates per batch
    updates = each * sum(bucket.steps for bucket in plan)
    steps = settings.epochs * updates
    fixed = _fixed(model, tables, len(seeds))
    unscaled = optimiser(settings, steps=steps, frozen=fixed)
    needed = memory_needed(model, unscaled, plan, table, len(seeds))
    memory.require(needed, "Training", "use a smaller `batch_size`, model, or fewer `seeds`")
    free = memory.available()
    traits, decay = model.traits, 0.0
    if traits.l2:
        decay = traits.l2 / total_weight(model, tables[0], max(bucket.batch for bucket in plan))
    chain = optimiser(
        settings, steps=steps, decay=decay, decay_after=traits.l2_after, frozen=fixed
    )
    log(f"Training needs about {needed / 2**30:.2f} GiB; {free / 2**30:.1f} GiB are free.")

    @jax.jit
    @jax.vmap
    def begin(init_key, fixed):
        params = model.init(init_key)
        return start(model, chain, {**params, **fixed} if fixed else params)

    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    init_keys, step_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    state = begin(init_keys, fixed)
    run = make_epoch(model, chain, plan, "data" if devices > 1 else None)
    run = _replicated(run, len(seeds), shared)
    if devices > 1:
        auto = (jax.sharding.AxisType.Auto,)
        mesh = jax.make_mesh((devices,), ("data",), auto, devices=jax.devices()[:devices])
        state, table, step_keys = jax.device_put(
            (state, table, step_keys), jax.NamedSharding(mesh, jax.P())
        )
        run = _divided(run, mesh)

    def drawn(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        pairs = zip(lengths, seeds, strict=True)
        orders = [batches.order(rows, plan, seed, epoch, devices) for rows, seed in pairs]
        shapes = batches.shapes(plan, epoch)
        if model.turns:
            turn = model.turns[epoch % len(model.turns)]
            shapes += len(plan) * list(dict.fromkeys(model.turns)).index(turn)
        return shapes, np.stack(orders)

    shapes, order = drawn(0)
    if on_host:
        shapes, order = shapes[:1], order[:, :1]
    lowered = jax.jit(run, donate_argnums=0).lower(state, table, shapes, order, step_keys)
    executable = lowered.compile()

    def epoch(state, number: int):
        return executable(state, table, *drawn(number), step_keys)

    return Program(
        start=state,
        epoch=streamed.epoch(executable, on_host, read, drawn, step_keys) if on_host else epoch,
        losses_at=range(0, updates, each),
        updates=updates,
    )


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
) -> int:
    """Estimate the bytes of a training run.

    They are of the parameters, their gradient, the best parameters, the optimiser's state, the
    table, and some eight dense [batch, N] blocks of one step.
    """
    params = jax.eval_shape(model.init, jax.random.key(0))
    state = jax.eval_shape(chain.init, params)
    per_replica = 3 * memory.size(params) + memory.size(state)
    per_replica += 8 * 4 * max(bucket.batch for bucket in plan) * table.num_columns
    return replicas * per_replica + memory.size(table)


def total_weight(model: Model, table: AnyTable, batch_size: int) -> float:
    """Sum the loss weights over a table: its ratings or its rows, as the loss counts them."""
    batch_loss = model.loss
    assert batch_loss is not None
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    index, capacity = table.blocks(batch_size)

    @jax.jit  # the compiler drops all of the loss but its weights
    def add(total, params, table, block):
        x = table.gather(block, capacity)
        return total + batch_loss(params, x, jax.random.key(0), jnp.int32(0))[1].sum()

    @jax.jit
    def scan(params, table, index):
        def each(total, block):
            return add(total, params, table, block), None

        return jax.lax.scan(each, jnp.zeros(()), index)[0]

    if isinstance(table, HostTable):
        total = jnp.zeros(())
        for window in streamed.windows(table, capacity, np.asarray(index)):
            total = add(total, zeros, window, jnp.arange(index.shape[1], dtype=jnp.int32))
        return float(total)
    return float(scan(zeros, table, index))


def _replicated(epoch: Callable, count: int, shared: bool) -> Callable:
    """Map `epoch` over a leading axis of replicas; with `shared` they read the same table.

    A single replica is not batched: XLA's products with a batch axis of one are slower on CPUs.
    """
    if count > 1:
        return jax.vmap(epoch, (0, None if shared else 0, None, 0, 0))

    def single(state, table, shapes, order, key):
        out = epoch(*jax.tree.map(lambda leaf: leaf[0], (state,)), table, shapes, order[0], key[0])
        return jax.tree.map(lambda leaf: leaf[None], out)

    return single


def _divided(epoch: Callable, mesh: jax.sharding.Mesh) -> Callable:
    """Divide `order` among the devices and run `epoch` on each part; all else is replicated."""
    everywhere, divided = jax.P(), jax.P(None, None, "data")
    return jax.shard_map(
        epoch,
        mesh=mesh,
        in_specs=(everywhere, everywhere, everywhere, divided, everywhere),
        out_specs=everywhere,
        check_vma=False,  # what is summed over all devices is the same on each
    )
