"""Full ranking of the items of held-out rows: one jitted scan over blocks of rows.

Only figures per row leave the device. The evaluator is a function of (params, heldout) that
compiles once per shape of held-out data. Parameters and tables are arguments, so it may be called
after every epoch.
"""

from collections.abc import Sequence
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np

from aerec import mesh
from aerec.core import Counted, Model, Params, sharded
from aerec.evaluation import blocks, metrics, statistics
from aerec.evaluation.blocks import Evaluator, Heldout
from aerec.evaluation.report import Report

ALL = (*metrics.PER_ROW, "novelty", "tail_ndcg", "coverage", "gini")
BY_POPULARITY = ("novelty", "tail_ndcg")


def evaluator(
    model: Model,
    *,
    ks: Sequence[int] = (10, 20, 50, 100),
    names: Sequence[str] | None = None,
    train: Counted | None = None,
    mask_seen: bool = True,
    batch_size: int | None = None,
    tie_seed: int = 0,
) -> Evaluator:
    """Return an evaluator of full rankings over N columns: the metrics of `ALL` at each k.

    Denominators: those of `evaluation.metrics`; k may exceed the number of columns. Rows without a
    target are left out of every figure, 'coverage' and 'gini' included, and are counted as
    'rows_skipped'. An item scored -inf, by the mask or by the model, is never recommended: a list
    may be shorter than k. Ties are broken by one random order of the columns, the same for every
    row, model and epoch; 'tied@k' is the share of rows whose cut at k separates a tie: such a list
    (and figure) depends on `tie_seed`. Every other mean over rows has a standard error, '_se'.

    Args:
      ks: the cuts.
      names: of metrics, from `ALL`; None: all that can be computed.
      train: the training table, whose column counts are the popularity that 'novelty' and
        'tail_ndcg' need.
      mask_seen: whether the items of the input are masked.
      batch_size: rows per block; None: from `blocks.BYTES`.
      tie_seed: of the order of the columns.

    Raises:
      ValueError: an unknown metric, a k below one, no `train` for 'novelty'; in the returned
        function NaN scores, which cannot be ranked, or what `blocks.plan` refuses.
    """
    cuts = tuple(sorted(set(ks)))
    if not cuts or cuts[0] < 1:
        raise ValueError(f"ks={tuple(ks)}: give at least one cut, each 1 or more")
    chosen = ALL if names is None else tuple(names)
    if unknown := sorted(set(chosen) - set(ALL)):
        raise ValueError(f"unknown metrics {unknown}; there are {', '.join(ALL)}")
    if train is None:
        if asked := [name for name in BY_POPULARITY if names is not None and name in chosen]:
            raise ValueError(f"{asked[0]!r} needs the popularity of the columns: give train=")
        chosen = tuple(name for name in chosen if name not in BY_POPULARITY)
    popularity: tuple[np.ndarray, np.ndarray] = np.zeros(0), np.zeros(0)
    if train is not None:
        counts = train.column_counts()
        bits = metrics.self_information(counts, train.num_rows)
        popularity = bits.astype(np.float32), metrics.tail(counts)
    band = np.searchsorted(cuts, np.arange(cuts[-1]), side="right")  # rank -> the first cut past it

    @partial(jax.jit, static_argnames="capacity")
    def scan(params, tables, index, order, popularity, capacity):
        information, rare = popularity

        def block(counts, index):
            x, held_out = blocks.gather(tables, index, capacity)
            y = sharded(model.score(params, x), "data", "model")
            chex.assert_shape(y, x.shape)
            out = {"bad": jnp.isnan(y).any(1)}
            if mask_seen:
                y = y.at[x.row, x.columns].set(-jnp.inf, mode="drop")
            scores, items = top(y, order, cuts[-1] + 1)
            held = held_out.sum(jnp.ones_like(held_out.values))
            recommended = (scores[:, :-1] > -jnp.inf).astype(jnp.float32)
            items = items[:, :-1]
            hits = recommended * jnp.take_along_axis(
                held_out.listed(), items, axis=1, mode="fill", fill_value=0
            )
            if "tail_ndcg" in chosen:
                of_tail = rare.at[held_out.columns].get(mode="fill", fill_value=0)
                rare_held = held_out.sum(of_tail)
                rare_hits = hits * rare.at[items].get(mode="fill", fill_value=0)
            out["entries"] = held
            at = {"tied": metrics.tied(scores, cuts)}
            for name in chosen:
                if name in metrics.PER_ROW:
                    at[name] = metrics.PER_ROW[name](hits, held, cuts)
                elif name == "novelty":
                    bits = information.at[items].get(mode="fill", fill_value=0)
                    at[name] = metrics.novelty(bits, recommended, cuts)
                elif name == "tail_ndcg":
                    at[name] = metrics.ndcg(rare_hits, rare_held, cuts)
            if {"coverage", "gini"} & set(chosen):
                evaluated = (recommended * (held > 0)[:, None]).astype(jnp.int32)
                bands = jnp.broadcast_to(jnp.asarray(band), items.shape)
                counts = counts.at[bands, items].add(evaluated, mode="drop")
            return counts, (out, at)

        counts = jnp.zeros((len(cuts), tables[0].num_columns), jnp.int32)
        return jax.tree.map(sharded, jax.lax.scan(block, counts, index))

    def evaluate(params: Params, heldout: Heldout) -> Report:
        index, capacity = blocks.plan(heldout, batch_size, train)
        order = tie_order(heldout.input.num_columns, tie_seed)
        tables = (heldout.input, heldout.target, heldout.rows)
        counts, (out, at) = jax.device_get(
            scan(params, tables, index, order, popularity, capacity)
        )
        for name, values in at.items():
            out |= {f"{name}@{k}": values[..., place] for place, k in enumerate(cuts)}
        figures, per_row = blocks.on_host(model, out, heldout.input.num_rows)
        del per_row["entries"]
        for name, value in per_row.items():
            figures[name] = statistics.estimate(value)
            if not name.startswith("tied"):
                figures[f"{name}_se"] = statistics.standard_error(value)
        for name, formula in (("coverage", metrics.coverage), ("gini", metrics.gini)):
            if name in chosen:
                for k, count in zip(cuts, np.cumsum(counts, axis=0), strict=True):
                    figures[f"{name}@{k}"] = formula(count)
        return Report(figures, per_row)

    return evaluate


def tie_order(num_columns: int, seed: int = 0) -> np.ndarray:
    """Return the order [N] int32 in which columns of equal score are ranked."""
    return np.random.default_rng(seed).permutation(num_columns).astype(np.int32)


def top(y: jax.Array, order: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Return the `size` best columns of y [B, N]: (scores, columns), both [B, size], best first.

    Columns are permuted by `order` before a top-k that keeps the first of equals, which breaks
    ties. Past the N-th, scores are -inf and columns N. Where the mesh in use divides y, each device
    ranks its own columns, and the best of all are merged.
    """
    y = jnp.where(y == 0, 0, y)  # -0 is below +0 to top_k, and no less to us
    divided = mesh.size("data") * mesh.size("model") > 1
    scores, items = (_merged if divided else _best)(y, order, size)
    past = ((0, 0), (0, size - scores.shape[1]))
    items = jnp.pad(items, past, constant_values=y.shape[1])
    return jnp.pad(scores, past, constant_values=-jnp.inf), items


def _best(y: jax.Array, order: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    # Without the barrier XLA merges our slices into the top-k and sorts every column instead: on a
    # CPU ten times slower.
    best = jax.lax.top_k(y[:, order], min(size, y.shape[1]))
    scores, place = jax.lax.optimization_barrier(best)
    return scores, order[place]


def _merged(y: jax.Array, order: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Rank the columns of each device by themselves, then the best of each by (score, order)."""
    (rows, columns), parts = y.shape, mesh.size("model")
    y = jnp.pad(
        y, ((0, -rows % mesh.size("data")), (0, -columns % parts)), constant_values=-jnp.inf
    )
    width = y.shape[1] // parts
    rank = jnp.arange(y.shape[1]).at[order].set(jnp.arange(columns))  # of a column, among equals
    rank = sharded(rank.reshape(parts, width), "model")

    def local(y, rank):
        own = jnp.argsort(rank[0])
        scores, place = jax.lax.top_k(y[:, own], min(size, width))
        at = own[place]
        return scores, rank[0][at], at + width * jax.lax.axis_index("model")

    over = jax.P("data", "model")
    divide = jax.shard_map(local, in_specs=(over, jax.P("model")), out_specs=over)
    found = [sharded(part, "data") for part in divide(sharded(y, "data", "model"), rank)]
    scores, rank, items = jax.lax.sort((-found[0], *found[1:]), num_keys=2)
    kept = slice(0, rows), slice(0, min(size, columns))
    return -scores[kept], items[kept]
