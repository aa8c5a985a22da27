"""One update, and an epoch of them as one compiled scan.

Everything random is a function of a key and of the number of updates made, so that an
interrupted run makes the same updates when it resumes.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from aerec.core import Batch, Model, Params, Phase, Table, even, sharded
from aerec.training import batches
from aerec.training.refeed import with_refeeds


class State(NamedTuple):
    """The state that an update changes; leaves have a leading axis S, one entry per replica."""

    params: Params
    opt_state: Any
    step: jax.Array  # updates made


def start(model: Model, optimiser: optax.GradientTransformation, params: Params) -> State:
    """Return the state of one replica before the first update."""
    parts = {phase.part for phase in model.phases}
    state: Any = {part: optimiser.init(params[part]) for part in sorted(parts)}
    return State(params, state if parts else optimiser.init(params), jnp.int32(0))


def make_step(
    model: Model, optimiser: optax.GradientTransformation, phase: Phase | None = None
) -> Callable:
    """Make an update (state, x, key, counted [B] or 1) -> (state, loss); `counted` weighs the rows.

    `key` is folded with the step, never consumed. With a `phase`, the update is of its part alone.
    """
    batch_loss = model.loss if phase is None else phase.loss
    assert batch_loss is not None

    def objective(trained, params, x, key, step, counted):
        params = trained if phase is None else {**params, phase.part: trained}
        total, weight = batch_loss(params, x, key, step)
        return jnp.sum(total * counted) / jnp.maximum(jnp.sum(weight * counted), 1)

    def step(state: State, x: Batch, key: jax.Array, counted: jax.Array | float):
        step_key = jax.random.fold_in(key, state.step)
        params, opt_state = state.params, state.opt_state
        if phase is not None:
            params, opt_state = params[phase.part], opt_state[phase.part]
        gradient = jax.value_and_grad(objective)
        loss, grads = gradient(params, state.params, x, step_key, state.step, counted)
        updates, opt_state = optimiser.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        if phase is not None:
            params = phase.after({**state.params, phase.part: params})
            opt_state = {**state.opt_state, phase.part: opt_state}
        return State(params, opt_state, state.step + 1), loss

    return step


def make_epoch(
    model: Model, optimiser: optax.GradientTransformation, plan: Sequence[batches.Bucket]
) -> Callable:
    """Make the epoch of one replica.

    (state, table, shapes [steps], order [steps, B], key) -> (state, loss [steps], finite): a
    `lax.scan` over the batches of `order`, each in the shape of its bucket (over a mesh, of an
    `even` number of rows) and gathered on the device. `shapes` are the buckets' numbers, plus
    `len(plan)` times the number of the phase among the different ones.
    """

    def of(bucket: batches.Bucket, phase: Phase | None) -> Callable:
        step = make_step(model, optimiser, phase)
        if model.traits.refeeds:
            step = with_refeeds(step, model.score, model.traits.refeeds)

        def bucket_step(state: State, table: Table, index: jax.Array, key: jax.Array):
            return step(state, batch_of(table, index, bucket), key, 1.0)

        return bucket_step

    phases = dict.fromkeys(model.phases) or (None,)
    return over([of(bucket, phase) for phase in phases for bucket in plan])


def batch_of(table: Table, index: jax.Array, bucket: batches.Bucket) -> Batch:
    """Gather the batch of a step in the shape of its bucket, with an `even` number of rows."""
    padding = (0, even(bucket.batch) - bucket.batch)
    drawn = jnp.pad(index[: bucket.batch], padding, constant_values=table.num_rows)
    return table.gather(drawn, bucket.capacity, bucket.longest)


def over(steps: Sequence[Callable]) -> Callable:
    """Make the epoch of `make_epoch` from its steps, each (state, table, index, key) -> as a step.

    `shapes` has the place of each step.
    """

    def epoch(state: State, table: Table, shapes: jax.Array, order: jax.Array, key: jax.Array):
        def train_step(state: State, drawn):
            shape, index = drawn
            return jax.lax.switch(shape, steps, state, table, index, key)

        state, losses = jax.lax.scan(train_step, state, (shapes, order))
        finite = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(state.params)]
        return state, sharded(losses), sharded(jnp.all(jnp.stack(finite)))

    return epoch
