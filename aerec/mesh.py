"""The mesh of devices that a run is divided over, and how arrays are placed on it.

The axis `data` divides the entries of tables and the rows of batches; the axis `model` divides the
N columns of batches, scores and parameters. Programs are written for one device: with some of their
arrays placed on a mesh, XLA divides the rest and inserts the communication (Xu et al.: *GSPMD*,
2021). Random numbers are drawn by their position in the whole array. So a mesh changes no result by
more than the rounding of sums.

`with use(mesh):` is the context in which programs are divided. The parameters of columns are padded
to a multiple of `model` (`spread`), because XLA stores an array in equal parts.
"""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding

from aerec import configuration, memory
from aerec.core import Model, Params, Phase, Table, sharded
from aerec.errors import BadInput, nearest

AXES = ("data", "model")


def chosen(text: str | None = None) -> Mesh | None:
    """Return the mesh of a text like "data:4,model:2"; None for one device.

    An axis that is not named has size 1. Without a text, all accelerators, or the devices of all
    processes, are on `data`; a single process on a CPU has no mesh.

    Raises:
      BadInput: no text, an unknown axis, a size that is no number, more devices than there are, or
        with several processes, fewer.
    """
    several = jax.process_count() > 1
    if not isinstance(text, str | None):
        raise BadInput(f"mesh is a text like 'data:4,model:2', not {text!r}")
    if not text:
        text = f"data:{jax.device_count() if several or jax.default_backend() != 'cpu' else 1}"
    given: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = part.partition(":")
        if name not in AXES:
            raise BadInput(f"mesh={text}: no axis {name!r}. {nearest(name, AXES)}")
        if name in given:
            raise BadInput(f"mesh={text}: {name} is given twice")
        given[name] = configuration.value_of(configuration.Count, size, f"mesh={text}: {name}")
    sizes = [given.get(name, 1) for name in AXES]
    count, there = math.prod(sizes), jax.device_count()
    if count > there or (several and count < there):
        raise BadInput(
            f"mesh={text} has {count} devices: there are {there}. A CPU counts as as many as the "
            "environment variable JAX_NUM_CPU_DEVICES says."
        )
    if count == 1:
        return None
    types = (AxisType.Auto,) * len(AXES)
    return jax.make_mesh(sizes, AXES, types, devices=jax.devices()[:count])


def use(mesh: Mesh | None) -> contextlib.AbstractContextManager:
    """Return the context in which programs are divided over a mesh; of None, one without effect."""
    return contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh)


def size(axis: str | None) -> int:
    """Return the number of parts of an axis of the mesh in use; 1 without a mesh or an axis."""
    return jax.sharding.get_abstract_mesh().shape.get(axis, 1)


def in_use() -> Mesh | None:
    """Return the mesh in use, or None."""
    mesh = jax.sharding.get_mesh()
    return None if mesh.empty else mesh


def placed(tree: Any, *axes: str | None) -> Any:
    """Place arrays of the host, each dimension divided over an axis of the mesh in use.

    Every process gives the whole arrays, and each device receives its part. A dimension is padded
    with zeros to a multiple of its axis. Without a mesh, arrays go to the default device.
    """
    mesh = in_use()
    if mesh is None:
        return jax.device_put(tree)
    sharding = NamedSharding(mesh, jax.P(*axes))

    def place(array) -> jax.Array:
        whole = np.asarray(array)
        over = (*axes, *[None] * (whole.ndim - len(axes)))
        shape = tuple(n + -n % size(axis) for n, axis in zip(whole.shape, over, strict=True))

        def own(at: Any) -> np.ndarray:
            found = whole[at]
            wanted = [len(range(*s.indices(n))) for s, n in zip(at, shape, strict=True)]
            return np.pad(found, [(0, n - m) for n, m in zip(wanted, found.shape, strict=True)])

        return jax.make_array_from_callback(shape, sharding, own)

    return jax.tree.map(place, tree)


def divided(table: Table) -> Any:
    """Place a table: its entries divided over `data`, the offsets of its rows on every device.

    So is a stack [T, ...] of tables. Programs read no entry of the padding.
    """
    lead = [None] * (table.indptr.ndim - 1)

    def place(path, leaf):
        entries = path[-1].name in ("columns", "values", "times")
        return placed(leaf, *lead, "data") if entries else placed(leaf)

    return jax.tree_util.tree_map_with_path(place, table)


def own(entries: int) -> range:
    """Return which of so many entries of a table this process needs to place: its devices'.

    Without a mesh, these are all.
    """
    mesh = in_use()
    if mesh is None:
        return range(entries)
    padded = entries + -entries % size("data")
    parts = NamedSharding(mesh, jax.P("data")).addressable_devices_indices_map((padded,))
    bounds = [at[0].indices(padded) for at in parts.values() if at]
    return range(min(first for first, _, _ in bounds), max(past for _, past, _ in bounds))


def heldout(part: Any) -> Any:
    """Place the tables and row numbers of a held-out part; without a mesh, leave them."""
    if in_use() is None:
        return part
    tables = {"input": divided(part.input), "target": divided(part.target)}
    return part._replace(**tables, rows=placed(part.rows))


def axes(shape: tuple[int, ...], num_columns: int) -> tuple[str | None, ...]:
    """Return the axes of a parameter: `model` for its last dimension of the N columns, if any."""
    at = max((i for i, n in enumerate(shape) if n == num_columns), default=None)
    return tuple("model" if i == at else None for i in range(len(shape)))


def spread(tree: Any, num_columns: int) -> Any:
    """Divide parameters over `model`, those of columns padded with zeros to a multiple of it."""

    def pad(leaf):
        over = axes(leaf.shape, num_columns)
        room = [(0, -n % size(axis)) for n, axis in zip(leaf.shape, over, strict=True)]
        return sharded(jnp.pad(leaf, room) if room else leaf, *over)

    return jax.tree.map(pad, tree)


def parameters(params: Params, num_columns: int) -> Params:
    """Place parameters of the host, like `spread`; without a mesh, leave them."""
    if in_use() is None:
        return params
    return jax.tree.map(lambda leaf: placed(leaf, *axes(leaf.shape, num_columns)), params)


def at_rest(tree: Any, num_columns: int) -> Any:
    """Divide a state whose parameters are those of `spread`; what has no column is replicated."""
    padded = num_columns + -num_columns % size("model")
    return jax.tree.map(lambda leaf: sharded(leaf, *axes(leaf.shape, padded)), tree)


def part(tree: Any, num_columns: int) -> int:
    """Count the bytes that one device has of parameters, or of their shapes."""
    leaves = jax.tree.leaves(tree)
    padded = num_columns + -num_columns % size("model")
    divisors = [size("model") if "model" in axes(leaf.shape, padded) else 1 for leaf in leaves]
    return sum(memory.size(leaf) // divisor for leaf, divisor in zip(leaves, divisors, strict=True))


def shardings(tree: Any) -> Any:
    """Return how the arrays of a tree are divided; None without a mesh."""
    return in_use() and jax.tree.map(lambda leaf: leaf.sharding, tree)


def adapted(model: Model, num_columns: int) -> Model:
    """Return the model with parameters as `spread` divides them over the mesh in use."""
    if size("model") == 1:
        return model
    shapes = jax.eval_shape(model.init, jax.random.key(0))

    def whole(params: Params) -> Params:
        def cut(leaf, of):
            kept = leaf[tuple(slice(0, n) for n in of.shape)]
            return sharded(kept, *axes(of.shape, num_columns))

        return jax.tree.map(cut, params, shapes)

    def reading(function: Callable | None) -> Any:
        return function and (lambda params, *given: function(whole(params), *given))

    def making(function: Callable | None) -> Any:
        return function and (lambda *given: spread(function(*given), num_columns))

    def phase_of(phase: Phase) -> Phase:
        return phase._replace(loss=reading(phase.loss), after=making(reading(phase.after)))

    reads = ("encode", "score", "loss", "queries", "item_codes", "item_bias", "layers")
    makes = ("init", "solve", "frozen")
    own = model._asdict()
    return model._replace(
        phases=tuple(map(phase_of, model.phases)),
        **{name: reading(own[name]) for name in reads},
        **{name: making(own[name]) for name in makes},
    )


def gathered(params: Params, model: Model) -> Params:
    """Return parameters [S, ...] of `spread` as arrays of the host, without padding."""
    mesh = in_use()
    if mesh is None:
        return params
    everywhere = jax.jit(lambda leaf: leaf, out_shardings=NamedSharding(mesh, jax.P()))

    def gather(leaf, of):
        whole = leaf if leaf.is_fully_addressable else everywhere(leaf)
        return np.asarray(whole)[(slice(None), *(slice(0, n) for n in of.shape))]

    return jax.tree.map(gather, params, jax.eval_shape(model.init, jax.random.key(0)))
