"""Scoring of runs: the evaluator of a task, the names of figures, defaults, baselines."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aerec import models
from aerec.core import Facts, Model, Rows, Traits
from aerec.data.splits import Heldout, Split
from aerec.errors import BadInput, nearest
from aerec.evaluation import ranking, rating
from aerec.evaluation.blocks import Evaluator
from aerec.evaluation.report import POOLED, Report
from aerec.runs.spec import oriented
from aerec.training import loop

RATING = (*POOLED, "rmse_by_row")


class Defaults(NamedTuple):
    """The defaults of a task: how to split, what to select by, what to compare with."""

    protocol: str
    metric: str
    baselines: tuple[str, ...]


DEFAULTS = {
    "ranking": Defaults("strong", "ndcg@100", ("popularity", "ease")),
    "rating": Defaults("random_ratings", "rmse", ("bias",)),
}


def evaluator(model: Model, split: Split, metric: str | None = None) -> Evaluator:
    """Return the evaluator of the split's task, for all figures or for one."""
    task = split.protocol["task"]
    if metric is not None:
        require_metric(metric, task)
    if task == "rating":
        if split.scale is None:
            raise BadInput("rating prediction needs ratings with a scale; these are clicks")
        return rating.evaluator(model, scale=split.scale, train=split.train)
    options: dict[str, Any] = {"train": split.train, "mask_seen": split.mask_seen}
    if metric is not None:
        name, _, k = metric.partition("@")
        options |= {"names": (name,), "ks": (int(k),)}
    return ranking.evaluator(model, **options)


def by_number(score: Callable[[Any, jax.Array], jax.Array]) -> Model:
    """Make a model of scores that are known: (params, numbers of rows [B]) -> y [B, N].

    Its rows are those of `numbered`; a number of padding lies outside.
    """

    def of(params, x: Rows) -> jax.Array:
        return score(params, x.index)

    return Model(Traits(task="ranking"), init=lambda key: {}, encode=of, score=of)


def by_codes(params: Mapping[str, jax.Array], row: jax.Array) -> jax.Array:
    """Score by products, for `by_number`: params {"queries": [R, D], "items": [N, D]} -> [B, N]."""
    return params["queries"].at[row].get(mode="fill", fill_value=0) @ params["items"].T


def numbered(heldout: Heldout) -> Heldout:
    """Number the rows of a held-out part by their place in it, for `by_number`."""
    return heldout._replace(rows=jnp.arange(heldout.input.num_rows, dtype=jnp.int32))


def require_metric(metric: str, task: str) -> None:
    """Raise BadInput if the task has no figure of that name."""
    if not isinstance(metric, str):
        raise BadInput(f"A figure is a name, like 'ndcg@100', not {metric!r}.")
    if task == "rating":
        if metric not in RATING:
            raise BadInput(f"No rating figure is called {metric!r}. {nearest(metric, RATING)}")
        return
    name, _, k = metric.partition("@")
    if name not in ranking.ALL:
        raise BadInput(f"No ranking figure is called {metric!r}. {nearest(name, ranking.ALL)}")
    if not k.isdecimal() or int(k) < 1:
        raise BadInput(f"The figure {metric!r} needs its cut, at least 1, like {name}@100")


def require_task(name: str, traits: Traits, split: Split) -> None:
    """Raise BadInput if a ranking model would be scored on rating prediction."""
    task = split.protocol["task"]
    if task == "rating" and traits.task != "rating":
        raise BadInput(
            f"{name} scores preferences, not ratings, and protocol {split.protocol['name']!r} "
            "asks for ratings. Use a ranking protocol (strong, per_user_holdout, leave_last), or "
            "a model of ratings (autorec, bias)."
        )


def require_targets(split: Split, *, select: bool) -> None:
    """Raise BadInput if a split has nothing to predict in test, or nothing for selection."""
    parts = [("validation", split.valid)] if select else []
    for part, held in (*parts, ("test", split.test)):
        if not held.target.columns.size:
            raise BadInput(
                f"Protocol {split.protocol['name']!r} leaves nothing to predict in the {part} part "
                f"({held.input.num_rows} rows): too few ratings for it, or too small a share."
            )


def baseline(name: str, split: Split) -> Report:
    """Score a closed-form model with default settings on the split's test rows."""
    model, as_read = baseline_model(name, split)
    return evaluator(model, as_read)(loop.solve(model, as_read.train), as_read.test)


def baseline_model(name: str, split: Split) -> tuple[Model, Split]:
    """Build the closed-form model of that name, and the split as the model reads it.

    Raises:
      BadInput: no model is called that, or it has to be trained.
    """
    (as_read,) = oriented(models.traits(name, {}), [split])
    model = models.build(name, {}, Facts.of(as_read.train, as_read.scale))
    if model.solve is None:
        raise BadInput(f"baseline {name!r} has to be trained; train it by itself")
    return model, as_read


def mean_figures(reports: Sequence[Report]) -> dict[str, float]:
    """Average each figure over replicas; of several, add the standard deviation, `<name>_sd`."""
    if not reports:
        return {}
    each = {name: [r.figures[name] for r in reports] for name in reports[0].figures}
    figures = {name: float(np.mean(values)) for name, values in each.items()}
    if len(reports) > 1:
        figures |= {
            f"{name}_sd": float(np.std(values, ddof=1))
            for name, values in each.items()
            if not name.endswith("_se")
        }
    return figures
