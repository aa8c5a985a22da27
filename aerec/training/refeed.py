"""Dense re-feeding: after a step on a batch, steps on the model's own output for it.

Kuchaiev, Ginsburg: *Training Deep AutoEncoders for Collaborative Filtering*, 2017: f should map its
own output to itself, y = f(y). Each iteration (1) computes f(x) and the loss on x, (2) updates,
(3) takes f(x) for a new example and computes f(f(x)) and its loss with target f(x), where all
entries are given, (4) updates. Steps 3 and 4 may be repeated, on f(f(x)) next.
"""

from collections.abc import Callable

import jax

from aerec.core import Batch, Params
from aerec.nn import losses


def with_refeeds(step: Callable, score: Callable[[Params, Batch], jax.Array], times: int):
    """Follow `step` by `times` steps on dense re-fed batches; the loss is that of the first.

    Args:
      step: (state, x, key, counted [B]) -> (state, loss); one update, `counted` weighs the rows.
      score: (params, x) -> f(x) [B, N], taken at the parameters before the update on x.
    """

    def refed(state, x: Batch, key: jax.Array, counted):
        counted = counted * losses.nonempty(x)  # f(x) of an empty row is not an example
        output = score(state.params, x)
        state, loss = step(state, x, key, counted)
        for _ in range(times):
            x, output = output, score(state.params, output)
            state, _ = step(state, x, key, counted)
        return state, loss

    return refed
