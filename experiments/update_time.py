"""Predict the seconds of an update of Mult-VAE: its work, divided by the rates of the machine.

docs/scale.md has the formula. `work` counts operations and bytes by size, `measured` times the
machine, and `predicted` divides one by the other. `experiments.growth` compares the prediction with
the measured time, and `experiments.plan` applies the formula to sizes that are too large to try.
"""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import benchmark


class Work(NamedTuple):
    """The operations of an update, and the bytes that it moves, by how they are accessed.

    Attributes:
      operations: of matrix products.
      streamed: bytes read or written in order.
      adam: bytes of Adam's update, also in order, but with a square root and a division.
      scattered: bytes of rows of H numbers, read or written anywhere in a kernel [N, H].
      transposed: bytes of copies between [H, N] and [N, H], the share of one update.
    """

    operations: float
    streamed: float
    adam: float
    scattered: float
    transposed: float


class Rates(NamedTuple):
    """The rates of a machine: operations, or bytes, a second; each for the field of `Work`.

    The last two are infinite for the full softmax, which has no such work.
    """

    operations: float
    streamed: float
    adam: float
    scattered: float = math.inf
    transposed: float = math.inf


def work(batch: int, columns: int, seen: int, each: int, width: int, *, updates: int = 1) -> Work:
    """Count the work of one update of Mult-VAE in batches of B rows.

    H is the hidden layer, R the columns that the softmax sees, E the clicks of a row. The last
    layer is three products, 6 B H R operations. Streamed: some ten passes over the block of logits,
    40 B R; three of the E B rows of the first kernel, 12 B E H; and the gradient of each parameter
    of R columns, which is set to zero and added to, 8. Adam reads parameter, gradient and two
    moments and writes all but the gradient, 28 for each of these parameters. With a sampled
    softmax, running sums of N weights, 12 N; parameter and two moments of R columns of two kernels
    are gathered and scattered, 96 R H; and those of the last kernel are transposed before an epoch
    and after it, 48 N H for all its updates.

    Args:
      batch, columns, seen, each, width: B, N, R, E, H.
      updates: in an epoch.
    """
    parameters = 2 * seen * width
    operations = 6 * batch * width * seen
    streamed = 40 * batch * seen + 12 * batch * each * width + 8 * parameters
    adam = 28 * parameters
    if seen == columns:
        return Work(operations, streamed, adam, 0, 0)
    transposed = 48 * columns * width / updates
    return Work(operations, streamed + 12 * columns, adam, 96 * seen * width, transposed)


def predicted(work: Work, rates: Rates) -> float:
    """Return the seconds of an update if none of its parts overlap."""
    return sum(amount / rate for amount, rate in zip(work, rates, strict=True))


def measured(batch: int, columns: int, seen: int, width: int) -> Rates:
    """Measure the rates of this machine for an update of that size.

    Args:
      batch, columns, seen, width: B, N, R, H of `work`.
    """
    full = Rates(
        benchmark.product_rate(batch, width, seen), stream_rate(), adam_rate(2 * seen * width)
    )
    if seen == columns:
        return full
    return full._replace(
        scattered=scatter_rate(columns, seen, width), transposed=transpose_rate(columns, width)
    )


def stream_rate() -> float:
    """Measure the memory's rate, bytes a second: x <- a x + y over 400 MB, read twice, written."""
    x, y = jnp.ones(50_000_000), jnp.ones(50_000_000)
    seconds = fastest(jax.jit(lambda x, y: 0.5 * x + y, donate_argnums=0), x, y)
    return 3 * y.nbytes / seconds


def adam_rate(parameters: int) -> float:
    """Measure the rate of Adam's update, bytes a second.

    Parameter and two moments are read and written, and the gradient is read.
    """

    def update(own, gradient):
        x, mean, square = own
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        return x - 0.001 * mean / (jnp.sqrt(square) + 1e-8), mean, square

    own = tuple(jnp.zeros(parameters) for _ in range(3))
    gradient = jnp.ones(parameters)
    return 7 * gradient.nbytes / fastest(jax.jit(update, donate_argnums=0), own, gradient)


def scatter_rate(columns: int, seen: int, width: int) -> float:
    """Measure the rate at which `seen` rows of a kernel are gathered and scattered, bytes a second.

    The rows are ascending, as those of a sampled softmax.
    """
    at = np.sort(np.random.default_rng(0).choice(columns, seen, replace=False))
    move = jax.jit(lambda x, at: x.at[at].set(x.at[at].get() + 1.0), donate_argnums=0)
    seconds = fastest(move, jnp.zeros((columns, width)), jnp.asarray(at))
    return 4 * 4 * seen * width / seconds


def transpose_rate(columns: int, width: int) -> float:
    """Measure the rate at which a kernel [H, N] is copied to [N, H], bytes a second."""

    def turn(x):
        return jax.lax.optimization_barrier(x.T).reshape(x.shape)

    x = jnp.zeros((width, columns))
    return 2 * x.nbytes / fastest(jax.jit(turn), x)


def fastest(step: Callable[..., Any], x: Any, *others: jax.Array) -> float:
    """Time x <- step(x, *others), six times; return the seconds of the fastest."""
    best = float("inf")
    for _ in range(6):
        begun = time.perf_counter()
        x = jax.block_until_ready(step(x, *others))
        best = min(best, time.perf_counter() - begun)
    return best
