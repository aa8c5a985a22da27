"""Evaluation: one jitted scan over blocks of rows; only figures per row leave the device.

`ranking` and `rating` return a function of (params, heldout) that compiles once for each shape of
held-out data: parameters and tables are its arguments, so it may be called after every epoch.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np

from aerec.core import Model, Params, Rows, Table
from aerec.errors import NotNumbers
from aerec.evaluation import metrics as formulas

ALL = (*formulas.PER_ROW, "novelty", "coverage", "gini")
# Where no batch size is given: bytes of a dense [B, N] float32 block (one that a processor's cache
# nearly holds was measured the fastest), and the fewest rows worth reading a model's weights for.
BLOCK_BYTES, BLOCK_ROWS = 2**24, 64
POOLED = {  # figure -> (the sums per row it pools over the entries, whether it is their root)
    "rmse": ("squared_error", True),
    "mae": ("absolute_error", False),
    "rmse_unclipped": ("squared_error_unclipped", True),
    "mae_unclipped": ("absolute_error_unclipped", False),
}


class Heldout(Protocol):
    """What is folded in, what is to be predicted (row-aligned), and the rows' training numbers."""

    @property
    def input(self) -> Table: ...
    @property
    def target(self) -> Table: ...
    @property
    def rows(self) -> jax.Array: ...


class Report(NamedTuple):
    """An evaluation.

    Attributes:
      figures: name -> float: 'ndcg@100', 'ndcg@100_se', ..., 'rows', 'rows_skipped'.
      per_row: name -> [R] float32, NaN where the row has no target; what `interval` and `compare`
        read. The pooled figures of rating prediction keep their sums and 'entries' here.
    """

    figures: dict[str, float]
    per_row: dict[str, np.ndarray]


Evaluator = Callable[[Params, Heldout], Report]


def blocks(
    heldout: Heldout, batch_size: int | None = None, train: Table | None = None
) -> tuple[np.ndarray, tuple[int, int]]:
    """Plans the scan on the host, in blocks of one static shape.

    Returns:
      index: [S, B] int32 row numbers of the held-out tables, num_rows for padding; B is at most
        `batch_size` (from `BLOCK_BYTES` where None), evened out over the blocks.
      capacity: the most entries a block holds, of the input and of the target.

    Raises:
      ValueError: nothing to predict, or tables of different rows or columns.
    """
    source, target = heldout.input, heldout.target
    num_rows, num_columns = source.num_rows, source.num_columns
    if not num_rows == target.num_rows == len(heldout.rows):
        raise ValueError(
            f"{num_rows} input rows, {target.num_rows} target rows and {len(heldout.rows)} row "
            "numbers are not aligned"
        )
    if any(t.num_columns != num_columns for t in (target, train) if t is not None):
        raise ValueError("the input, target and training tables differ in their columns")
    if not target.columns.size:
        raise ValueError(f"nothing to predict: the target lists no entry in {num_rows} rows")
    size = batch_size or max(BLOCK_ROWS, BLOCK_BYTES // (4 * num_columns))
    steps = -(-num_rows // size)
    flat = np.arange(steps * -(-num_rows // steps), dtype=np.int32)
    index = np.minimum(flat, num_rows).reshape(steps, -1)

    def capacity(table: Table) -> int:
        return max(1, int(np.append(table.lengths(), 0)[index].sum(axis=1).max()))

    return index, (capacity(source), capacity(target))


def ranking(
    model: Model,
    *,
    ks: Sequence[int] = (10, 20, 50, 100),
    metrics: Sequence[str] | None = None,
    train: Table | None = None,
    mask_seen: bool = True,
    batch_size: int | None = None,
    tie_seed: int = 0,
) -> Evaluator:
    """Full ranking over all N columns, the row's input masked: the metrics of `ALL` at each k.

    Denominators: those of `evaluation.metrics`; k may exceed the number of columns. Rows without a
    target are left out of every figure, 'coverage' and 'gini' included, and are counted as
    'rows_skipped'. An item scored -inf, by the mask or by the model, is never recommended: a list
    may be shorter than k. Ties are broken by one random order of the columns, the same for every
    row, model and epoch; 'tied@k' is the share of rows whose cut at k parts a tie, for such a list
    (and figure) depends on `tie_seed`. A standard error '_se' stands beside every mean over rows.

    Args:
      ks: the cuts.
      metrics: names out of `ALL`; all that can be computed where None.
      train: the training table, whose column counts are the popularity 'novelty' needs.
      mask_seen: whether input items are kept out of the lists.
      batch_size: rows to a block; from `BLOCK_BYTES` where None.
      tie_seed: of the order of the columns.

    Raises:
      ValueError: an unknown metric, a k below one, 'novelty' without `train`; in the returned
        function NaN scores, which no ranking can be made of, or what `blocks` refuses.
    """
    cuts = tuple(sorted(set(ks)))
    if not cuts or cuts[0] < 1:
        raise ValueError(f"ks={tuple(ks)}: give at least one cut, each 1 or more")
    chosen = ALL if metrics is None else tuple(metrics)
    if unknown := sorted(set(chosen) - set(ALL)):
        raise ValueError(f"unknown metrics {unknown}; there are {', '.join(ALL)}")
    if train is None:
        if metrics is not None and "novelty" in chosen:
            raise ValueError("'novelty' needs the popularity of the columns: give train=")
        chosen = tuple(name for name in chosen if name != "novelty")
    information = None
    if train is not None:
        popularity = np.bincount(np.asarray(train.columns), minlength=train.num_columns)
        information = jnp.asarray(formulas.self_information(popularity, train.num_rows))
    band = np.searchsorted(cuts, np.arange(cuts[-1]), side="right")  # rank -> the first cut past it

    @partial(jax.jit, static_argnames="capacity")
    def scan(params, tables, index, order, information, capacity):
        def block(counts, index):
            x, held_out = _gather(tables, index, capacity)
            y = model.score(params, x)
            chex.assert_shape(y, x.shape)
            out = {"bad": jnp.isnan(y).any(1)}
            if mask_seen:
                y = y.at[x.row, x.columns].set(-jnp.inf, mode="drop")
            scores, items = _top(y, order, cuts[-1] + 1)
            held = held_out.sum(jnp.ones_like(held_out.values))
            recommended = (scores[:, :-1] > -jnp.inf).astype(jnp.float32)
            items = items[:, :-1]
            hits = recommended * jnp.take_along_axis(
                held_out.listed(), items, axis=1, mode="fill", fill_value=0
            )
            out["entries"] = held
            for k in cuts:
                out[f"tied@{k}"] = formulas.tied(scores[:, : k + 1])
                for name in chosen:
                    if name in formulas.PER_ROW:
                        out[f"{name}@{k}"] = formulas.PER_ROW[name](hits[:, :k], held)
                    elif name == "novelty":
                        bits = information.at[items[:, :k]].get(mode="fill", fill_value=0)
                        out[f"{name}@{k}"] = formulas.novelty(bits, recommended[:, :k])
            if {"coverage", "gini"} & set(chosen):
                evaluated = (recommended * (held > 0)[:, None]).astype(jnp.int32)
                bands = jnp.broadcast_to(jnp.asarray(band), items.shape)
                counts = counts.at[bands, items].add(evaluated, mode="drop")
            return counts, out

        counts = jnp.zeros((len(cuts), tables[0].num_columns), jnp.int32)
        return jax.lax.scan(block, counts, index)

    def evaluate(params: Params, heldout: Heldout) -> Report:
        index, capacity = blocks(heldout, batch_size, train)
        order = np.random.default_rng(tie_seed).permutation(heldout.input.num_columns)
        tables = (heldout.input, heldout.target, heldout.rows)
        counts, out = scan(params, tables, index, order.astype(np.int32), information, capacity)
        figures, per_row = _on_host(model, out, heldout.input.num_rows)
        del per_row["entries"]
        for name, value in per_row.items():
            figures[name] = formulas.estimate(value)
            if not name.startswith("tied"):
                figures[f"{name}_se"] = formulas.standard_error(value)
        for name, formula in (("coverage", formulas.coverage), ("gini", formulas.gini)):
            if name in chosen:
                for k, count in zip(cuts, np.cumsum(jax.device_get(counts), axis=0), strict=True):
                    figures[f"{name}@{k}"] = formula(count)
        return Report(figures, per_row)

    return evaluate


def rating(
    model: Model, *, scale: tuple[float, float], train: Table, batch_size: int | None = None
) -> Evaluator:
    """Rating prediction: errors of `score` at the target entries, clipped to `scale` and not.

    'rmse' and 'mae' are pooled over all entries; 'rmse_by_row' is the mean over rows of the RMSE
    within the row (the lower figure some code reports). The middle of the scale is predicted where
    the row's input is empty or the column has no training rating (AutoRec, Sedhain et al. 2015),
    'fallback_share' of the entries. Standard errors take rows as units: `metrics.standard_error`.
    Errors are summed in float32 within a row only; rows are added in float64.

    Args:
      scale: the lowest and the highest rating there is.
      train: the training table, in the orientation of the held-out ones.
      batch_size: rows to a block; from `BLOCK_BYTES` where None.

    Raises:
      ValueError: in the returned function, a prediction that is NaN or infinite, or what `blocks`
        refuses.
    """
    low, high = scale
    middle = (low + high) / 2
    known = np.bincount(np.asarray(train.columns), minlength=train.num_columns) > 0

    @partial(jax.jit, static_argnames="capacity")
    def scan(params, tables, index, known, capacity):
        def block(_, index):
            x, target = _gather(tables, index, capacity)
            y = model.score(params, x)
            chex.assert_shape(y, x.shape)
            filled = x.sum(jnp.ones_like(x.values)) > 0
            informed = known.at[target.columns].get(mode="fill", fill_value=False)
            informed &= filled.at[target.row].get(mode="fill", fill_value=False)
            free = jnp.where(informed, target.pick(y), middle)
            error, clipped = free - target.values, jnp.clip(free, low, high) - target.values
            sums = {
                "squared_error": clipped**2,
                "absolute_error": jnp.abs(clipped),
                "squared_error_unclipped": error**2,
                "absolute_error_unclipped": jnp.abs(error),
                "entries": jnp.ones_like(error),
                "fallback": (~informed).astype(jnp.float32),
                "bad": (~jnp.isfinite(free)).astype(jnp.float32),  # how many, a row
            }
            return None, jax.tree.map(target.sum, sums)

        return jax.lax.scan(block, None, index)[1]

    def evaluate(params: Params, heldout: Heldout) -> Report:
        index, capacity = blocks(heldout, batch_size, train)
        tables = (heldout.input, heldout.target, heldout.rows)
        out = scan(params, tables, index, known, capacity)
        figures, per_row = _on_host(model, out, heldout.input.num_rows)
        per_row["rmse_by_row"] = np.sqrt(per_row["squared_error"] / per_row["entries"])
        figures["entries"] = float(np.nansum(per_row["entries"], dtype=np.float64))
        figures["fallback_share"] = formulas.estimate(per_row["fallback"], per_row["entries"])
        for name in (*POOLED, "rmse_by_row"):
            values, counts, root = _sample(per_row, name)
            figures[name] = formulas.estimate(values, counts, root=root)
            figures[f"{name}_se"] = formulas.standard_error(values, counts, root=root)
        return Report(figures, per_row)

    return evaluate


def interval(report: Report, name: str, **options) -> tuple[float, float]:
    """The bootstrap interval over rows of a figure; options of `metrics.bootstrap_interval`."""
    values, counts, root = _sample(report.per_row, name)
    return formulas.bootstrap_interval(values, counts, root=root, **options)


def compare(a: Report, b: Report, name: str, **options) -> formulas.Comparison:
    """The paired randomisation test of a figure of two reports on the same held-out rows.

    Options of `metrics.paired_randomisation_test`.

    Raises:
      ValueError: the reports are of different rows or different numbers of targets.
    """
    (first, counts, root), (second, other, _) = (_sample(r.per_row, name) for r in (a, b))
    same = np.array_equal(counts, other, equal_nan=True) if counts is not None else True
    if first.shape != second.shape or not same:
        raise ValueError(f"{name}: the two reports are of different held-out ratings")
    return formulas.paired_randomisation_test(first, second, counts, root=root, **options)


def _sample(per_row: dict[str, np.ndarray], name: str):
    """What a figure is estimated from: (values [R], counts [R] or None, root)."""
    sums, root = POOLED.get(name, (name, False))
    if sums not in per_row:
        raise ValueError(f"{name!r} is no figure over rows; there are {', '.join(per_row)}")
    return per_row[sums], per_row["entries"] if name in POOLED else None, root


def _gather(tables, index: jax.Array, capacity: tuple[int, int]) -> tuple[Rows, Rows]:
    """A block's input, numbered as in training, and its target."""
    source, target, numbers = tables
    x = source.gather(index, capacity[0])
    unseen = np.iinfo(np.int32).max  # padding: not a training row (a negative one would wrap)
    x = x.replace(index=numbers.at[index].get(mode="fill", fill_value=unseen))
    return x, target.gather(index, capacity[1])


def _top(y: jax.Array, order: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """The `size` best columns of y [B, N]: (scores, columns), both [B, size], best first.

    Columns stand in `order` before a top-k that keeps the first of equals, so ties fall by it.
    Past the N-th, scores are -inf and columns N.
    """
    y = jnp.where(y == 0, 0, y)  # -0 is below +0 to top_k, and no less to us
    # Without the barrier XLA merges our slices into the top-k and sorts every column instead: on a
    # CPU ten times slower.
    best = jax.lax.top_k(y[:, order], min(size, y.shape[1]))
    scores, place = jax.lax.optimization_barrier(best)
    past = ((0, 0), (0, size - scores.shape[1]))
    items = jnp.pad(order[place], past, constant_values=y.shape[1])
    return jnp.pad(scores, past, constant_values=-jnp.inf), items


def _on_host(model: Model, out: dict[str, jax.Array], num_rows: int):
    """The scan's output as (figures so far, per_row): padding cut off, NaN where no target."""
    rows = {name: value.reshape(-1)[:num_rows] for name, value in jax.device_get(out).items()}
    if bad := int((rows.pop("bad") > 0).sum()):
        name = ".".join(getattr(model.score, a, "?") for a in ("__module__", "__qualname__"))
        raise NotNumbers(
            f"{name} gave scores that are not numbers for {bad} of {num_rows} rows: training "
            "diverged, or the model divides by the size of an empty row"
        )
    held = rows["entries"] > 0
    figures = {"rows": float(held.sum()), "rows_skipped": float((~held).sum())}
    return figures, {n: np.where(held, v, np.nan).astype(np.float32) for n, v in rows.items()}
