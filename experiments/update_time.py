"""Predict the seconds of an update of Mult-VAE: its work, divided by the rates of the machine.

docs/scale.md has the formula. `work` counts operations and bytes of the compiled program by size,
`measured` times the machine at each kind of work, and `predicted` divides one by the other.
`experiments.growth` compares the prediction with the measured time, and `experiments.plan` applies
the formula to sizes that are too large to try.
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from aerec.nn import layers

CALLS, STEPS = 5, 5  # timed calls, after a first one; updates in a call
ADAM = optax.adam(0.001)


class Work(NamedTuple):
    """The operations of an update, and the bytes that it moves, by how they are accessed.

    Attributes:
      operations: of matrix products.
      logits: bytes of the softmax and its gradient.
      streamed: bytes read or written in order.
      adam: bytes of Adam's update, also in order, but with a square root and divisions.
      rows: bytes of rows anywhere in [N, H], gathered, updated by Adam and scattered.
      transposed: bytes of copies between [H, N] and [N, H], the share of one update.
    """

    operations: float
    logits: float
    streamed: float
    adam: float
    rows: float
    transposed: float


class Rates(NamedTuple):
    """The rates of a machine: operations, or bytes, a second; each for the field of `Work`.

    Those without work are infinite: `rows` and `transposed`, or `adam` with a sampled softmax.
    """

    operations: float
    logits: float
    streamed: float
    adam: float = math.inf
    rows: float = math.inf
    transposed: float = math.inf


def work(batch: int, columns: int, seen: int, each: int, width: int, *, updates: int = 1) -> Work:
    """Count the work of one update of Mult-VAE, each amount as docs/scale.md lists it.

    The first layer is a product unless its rows are gathered (`layers.product`).

    Args:
      batch, columns, seen, each, width, updates: B, N, R (N if not sampled), e, H; of an epoch.
    """
    kernel = seen * width
    gathered = each < layers.GATHER_BELOW * seen
    operations = (6 if gathered else 10) * batch * kernel
    streamed = 12 * batch * each * width + 4 * kernel if gathered else 0
    logits = 36 * batch * seen
    if seen == columns:
        return Work(operations, logits, streamed + 8 * kernel, 56 * kernel, 0, 0)
    transposed = 72 * columns * width / updates
    return Work(operations, logits, streamed + 16 * kernel, 0, 152 * kernel, transposed)


def predicted(work: Work, rates: Rates, fixed: float = 0.0) -> float:
    """Return the seconds of an update whose parts do not overlap; `fixed` is one of them."""
    return fixed + sum(amount / rate for amount, rate in zip(work, rates, strict=True))


def measured(batch: int, columns: int, seen: int, width: int, distinct: int) -> Rates:
    """Measure the rates of this machine for an update of B, N, R, H; `distinct` of `rows_rate`."""
    sampled = seen < columns
    return Rates(
        product_rate(batch, seen, width, columns_first=sampled),
        logits_rate(batch, seen),
        stream_rate(),
        math.inf if sampled else adam_rate(seen, width),
        rows_rate(columns, seen, width, distinct) if sampled else math.inf,
        transpose_rate(columns, width) if sampled else math.inf,
    )


def product_rate(batch: int, seen: int, width: int, *, columns_first: bool = False) -> float:
    """Measure the rate of the three products of a last layer [H, R] or [R, H], operations a second.

    They are the logits [B, R], and the gradients by the layer's input and by its kernel.
    """

    def products(_, own):
        hidden, kernel, _ = own
        wide = kernel.T if columns_first else kernel
        logits = hidden @ wide
        return logits @ wide.T, kernel, hidden.T @ logits

    kernel = jnp.zeros((seen, width) if columns_first else (width, seen))
    own = jnp.zeros((batch, width)), kernel, jnp.zeros((width, seen))
    return 6 * batch * seen * width / seconds(looped(products), own) * STEPS


def logits_rate(batch: int, seen: int) -> float:
    """Measure the rate of a softmax of logits and biases and its gradient, bytes a second."""

    def loss(logits, bias):
        return jnp.sum(jax.nn.logsumexp(logits + bias[None], axis=1))

    gradient, own = jax.grad(loss, argnums=(0, 1)), (jnp.zeros((batch, seen)), jnp.zeros(seen))
    return 36 * batch * seen / seconds(looped(lambda _, own: gradient(*own)), own) * STEPS


def adam_rate(seen: int, width: int) -> float:
    """Measure the rate of Adam's update of two kernels, bytes a second."""

    def update(own, gradients):
        updates, state = ADAM.update(gradients, own[1])
        return optax.apply_updates(own[0], updates), state

    params = [jnp.zeros((seen, width)) for _ in range(2)]
    gradients, own = [params[0] + 1, params[1] + 1], (params, ADAM.init(params))
    return 56 * seen * width / seconds(jax.jit(update, donate_argnums=0), own, gradients)


def rows_rate(columns: int, seen: int, width: int, distinct: int) -> float:
    """Measure the rate at which R rows of two kernels are updated by Adam, bytes a second.

    With their moments they are gathered and scattered, others in each step; a gradient is [H, R].
    `distinct` of the R are columns, and the others padding.
    """
    at, rng = np.full((STEPS, seen), columns, np.int32), np.random.default_rng(0)
    for own in at:
        own[:distinct] = np.sort(rng.choice(columns, distinct, replace=False))
    gradients = jnp.zeros((STEPS, seen, width)), jnp.zeros((STEPS, width, seen))

    def step(number, given):
        own, rows, gradients = given

        def read(leaf):
            return leaf.at[rows[number]].get(mode="fill", fill_value=0) if leaf.ndim else leaf

        def write(leaf, new):
            return leaf.at[rows[number]].set(new, mode="drop") if leaf.ndim else new

        params, state = jax.tree.map(read, own)
        updates, state = ADAM.update([gradients[0][number], gradients[1][number].T], state)
        new = optax.apply_updates(params, updates), state
        return jax.tree.map(write, own, new), rows, gradients

    params = [jnp.zeros((columns, width)) for _ in range(2)]
    given = (params, ADAM.init(params)), jnp.asarray(at), gradients
    return 152 * seen * width / seconds(looped(step), given) * STEPS


def stream_rate() -> float:
    """Measure the memory's rate, bytes a second: x <- a x + y over 400 MB, read twice, written."""
    x, y = jnp.ones(50_000_000), jnp.ones(50_000_000)
    return 3 * y.nbytes / seconds(jax.jit(lambda x, y: 0.5 * x + y, donate_argnums=0), x, y)


def transpose_rate(columns: int, width: int) -> float:
    """Measure the rate of copies of a kernel [H, N] and its moments to [N, H] and back, bytes/s."""

    def there_and_back(kernels):
        def step(_, own):
            return [kernel.at[0].add(1.0) for kernel in own]

        there = [kernel[0].T for kernel in kernels]
        return [own.T[None] for own in jax.lax.fori_loop(0, STEPS, step, there)]

    kernels = [jnp.zeros((1, width, columns)) for _ in range(3)]
    return 72 * columns * width / seconds(jax.jit(there_and_back, donate_argnums=0), kernels)


def looped(step: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """Compile `STEPS` steps (number, x) -> x, like the updates of an epoch, as one program."""
    return jax.jit(lambda x: jax.lax.fori_loop(0, STEPS, step, x), donate_argnums=0)


def seconds(step: Callable[..., Any], x: Any, *others: Any) -> float:
    """Time x <- step(x, *others) after a first call; return the median seconds."""
    x = jax.block_until_ready(step(x, *others))
    times = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        x = jax.block_until_ready(step(x, *others))
        times.append(time.perf_counter() - begun)
    return statistics.median(times)
