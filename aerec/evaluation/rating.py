"""Rating prediction on held-out entries: one jitted scan over blocks of rows."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np

from aerec.core import Counted, Model, Params, sharded
from aerec.evaluation import blocks, statistics
from aerec.evaluation.blocks import Evaluator, Heldout
from aerec.evaluation.report import POOLED, Report, sample


def evaluator(
    model: Model, *, scale: tuple[float, float], train: Counted, batch_size: int | None = None
) -> Evaluator:
    """Return an evaluator of rating prediction: errors of `score` at the target entries.

    'rmse' and 'mae' are of scores clipped to `scale`, 'rmse_unclipped' and 'mae_unclipped' are not.
    All four are pooled over the entries. 'rmse_by_row' is the mean over rows of the RMSE within the
    row, a lower figure that some code reports. The middle of the scale is predicted where the row's
    input is empty or the column has no training rating (AutoRec, Sedhain et al. 2015):
    'fallback_share' of the entries. Standard errors take rows as units (`statistics`). Errors are
    summed in float32 within a row, and in float64 over rows.

    Args:
      scale: the lowest and the highest possible rating.
      train: the training table, in the orientation of the held-out ones.
      batch_size: rows per block; None: from `blocks.BYTES`.

    Raises:
      ValueError: in the returned function, a prediction that is NaN or infinite, or what `blocks`
        refuses.
    """
    low, high = scale
    middle = (low + high) / 2
    known = train.column_counts() > 0

    @partial(jax.jit, static_argnames="capacity")
    def scan(params, tables, index, known, capacity):
        def block(_, index):
            x, target = blocks.gather(tables, index, capacity)
            y = sharded(model.score(params, x), "data", "model")
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

        return jax.tree.map(sharded, jax.lax.scan(block, None, index)[1])

    def evaluate(params: Params, heldout: Heldout) -> Report:
        index, capacity = blocks.plan(heldout, batch_size, train)
        tables = (heldout.input, heldout.target, heldout.rows)
        out = scan(params, tables, index, known, capacity)
        figures, per_row = blocks.on_host(model, out, heldout.input.num_rows)
        per_row["rmse_by_row"] = np.sqrt(per_row["squared_error"] / per_row["entries"])
        figures["entries"] = float(np.nansum(per_row["entries"], dtype=np.float64))
        figures["fallback_share"] = statistics.estimate(per_row["fallback"], per_row["entries"])
        for name in (*POOLED, "rmse_by_row"):
            values, counts, root = sample(per_row, name)
            figures[name] = statistics.estimate(values, counts, root=root)
            figures[f"{name}_se"] = statistics.standard_error(values, counts, root=root)
        return Report(figures, per_row)

    return evaluate
