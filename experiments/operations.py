"""Single operations against their alternatives: the measurements behind `aerec.nn`.

Each prints a table; forward and backward together, the fastest of three.
"""

import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import rich.box
from rich.table import Table as Grid

from aerec.cli import show
from aerec.core import Table
from aerec.nn import layers, recurrent, softmax


def gru() -> None:
    """Time the GRU with its hand-written derivative, with JAX's, and Flax's cell."""
    grid = Grid(box=rich.box.SIMPLE_HEAD, title="A GRU of 200 over histories, milliseconds")
    for column in ("steps", "rows", "written out", "left to JAX", "Flax"):
        grid.add_column(column, justify="right")
    rng = np.random.default_rng(0)
    width, vectors, items = 200, 256, 3_500
    cell = nn.RNN(nn.GRUCell(width), time_major=True)
    for length, rows in ((50, 128), (200, 32), (800, 8)):
        kernel = jnp.asarray(rng.normal(size=(width, 3 * width)) / 15, jnp.float32)
        read = jnp.asarray(rng.integers(0, items, (length, rows)))
        embedded = jnp.asarray(rng.normal(size=(items, vectors)), jnp.float32)
        into = jnp.asarray(rng.normal(size=(vectors, 3 * width)) / 16, jnp.float32)
        params = {"items": embedded, "into": into, "kernel": kernel, "bias": jnp.zeros(width)}
        flax = {"items": embedded, "cell": cell.init(jax.random.key(0), embedded[read])}

        def ours(params, read, run):
            table = params["items"] @ params["into"]
            return run(table, read, params["kernel"], params["bias"])

        def flaxs(params, read):
            return cell.apply(params["cell"], params["items"][read])

        times = [
            gradient_seconds(lambda p, x: ours(p, x, recurrent.gru), params, read),
            gradient_seconds(lambda p, x: ours(p, x, recurrent.states), params, read),
            gradient_seconds(flaxs, flax, read),
        ]
        grid.add_row(str(length), str(rows), *(f"{1e3 * t:.0f}" for t in times))
    show.CONSOLE.print(grid)


def wide_softmax() -> None:
    """Time the sliced softmax and the plain one over the whole block, with gradients."""
    grid = Grid(box=rich.box.SIMPLE_HEAD, title="A softmax behind entries, milliseconds")
    for column in ("columns", "entries", "sliced", "plain"):
        grid.add_column(column, justify="right")
    rng = np.random.default_rng(0)
    for columns, entries in ((3_500, 2_000), (3_500, 8_000), (20_000, 2_000)):
        hidden = jnp.asarray(rng.normal(size=(entries, 150)), jnp.float32)
        kernel = jnp.asarray(rng.normal(size=(150, columns)) / 12, jnp.float32)
        targets = jnp.asarray(rng.integers(0, columns, (entries, 4)))
        params = hidden, kernel, jnp.zeros(columns)

        def sliced(params, targets):
            hidden, kernel, bias = params
            return softmax.multinomial(hidden, kernel, bias, targets).sum()

        def plain(params, targets):
            logits = params[0] @ params[1] + params[2][None]
            picked = jnp.take_along_axis(logits, targets, axis=1).sum(axis=1)
            return (targets.shape[1] * jax.nn.logsumexp(logits, axis=1) - picked).sum()

        times = (gradient_seconds(f, params, targets, square=False) for f in (sliced, plain))
        grid.add_row(f"{columns:,}", f"{entries:,}", *(f"{1e3 * t:.0f}" for t in times))
    show.CONSOLE.print(grid)


def first_layer() -> None:
    """Time scatter-and-multiply against gather, forward and backward, by number of columns."""
    grid = Grid(box=rich.box.SIMPLE_HEAD, title="First layer of 600, 500 rows, milliseconds")
    for column in ("columns", "listed", "scattered", "gathered"):
        grid.add_column(column, justify="right")
    rng = np.random.default_rng(0)
    for columns in (3_700, 20_000, 200_000):
        kernel = jnp.asarray(rng.normal(size=(columns, 600)) / 30, jnp.float32)
        for share in (0.0003, 0.001, 0.003, 0.01, 0.03):
            count = int(500 * columns * share)
            if count > 500_000 or count < 500:
                continue
            cells = rng.choice(500 * columns, count, replace=False)
            table = Table.from_entries(
                cells // columns, cells % columns, np.ones(count), num_rows=500, num_columns=columns
            )
            x = table.gather(jnp.arange(500), count)
            times = [gradient_seconds(f, kernel, x) for f in (_scattered, layers.gathered)]
            grid.add_row(f"{columns:,}", f"{share:.2%}", *(f"{1e3 * t:.1f}" for t in times))
    show.CONSOLE.print(grid)


def last_layer() -> None:
    """Time the whole block against its cells one by one: six cells for each entry."""
    grid = Grid(box=rich.box.SIMPLE_HEAD, title="Sampled cells of the output, milliseconds")
    for column in ("columns", "rows", "K", "read", "block", "cells"):
        grid.add_column(column, justify="right")
    rng = np.random.default_rng(0)
    sizes = [(3_500, 64), (3_500, 500), (20_000, 64), (20_000, 500), (200_000, 64)]
    for columns, rows in sizes:
        for features, each in ((50, 10), (50, 95), (200, 95)):
            z = jnp.asarray(rng.normal(size=(rows, features)), jnp.float32)
            kernel = jnp.asarray(rng.normal(size=(columns, features)), jnp.float32)
            at = jnp.asarray(rng.integers(0, columns, (rows * each, 6)))
            where = (jnp.zeros(columns), jnp.repeat(jnp.arange(rows), each), at)
            times = [gradient_seconds(f, (z, kernel), where) for f in (_block, _cells)]
            share = f"{6 * each / columns:.2%}"
            shown = (f"{1e3 * t:.1f}" for t in times)
            grid.add_row(f"{columns:,}", str(rows), str(features), share, *shown)
    show.CONSOLE.print(grid)


def _block(params: tuple[jax.Array, jax.Array], where: tuple) -> jax.Array:
    bias, row, columns = where
    return (params[0] @ params[1].T + bias[None])[row[:, None], columns]


def _cells(params: tuple[jax.Array, jax.Array], where: tuple) -> jax.Array:
    bias, row, columns = where
    return layers.cells(*params, bias, row=row, columns=columns)


def _scattered(kernel: jax.Array, x) -> jax.Array:
    return x.dense() @ kernel


def gradient_seconds(function: Callable, params: Any, x: Any, *, square: bool = True) -> float:
    """Time the gradient of `function(params, x)`, of its squares' sum with `square`; seconds."""

    def total(params, x):
        value = function(params, x)
        return (value**2).sum() if square else value

    grad = jax.jit(jax.grad(total))
    jax.block_until_ready(grad(params, x))
    return min(seconds(lambda: jax.block_until_ready(grad(params, x))) for _ in range(3))


def seconds(function: Callable[[], Any]) -> float:
    """Time a call, in seconds."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun
