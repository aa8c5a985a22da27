"""Several models on several splits: one table, paired tests over the test users of all splits."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from aerec import api, configuration
from aerec.configuration import Count, Natural
from aerec.data import frames
from aerec.data.splits import Split
from aerec.errors import BadInput, nearest
from aerec.evaluation import statistics
from aerec.evaluation.report import Report, sample
from aerec.evaluation.statistics import Comparison
from aerec.runs import scoring
from aerec.runs.run import Run
from aerec.runs.spec import oriented
from aerec.training import loop

FIGURES = {  # of the table, by task
    "ranking": ("ndcg@100", "recall@20", "recall@50", "tail_ndcg@100", "coverage@100"),
    "rating": ("rmse", "mae"),
}


class Scored(NamedTuple):
    """One model on one split: its test report, the raw ids of the test rows [R], fit seconds."""

    report: Report
    ids: np.ndarray
    seconds: float

    @classmethod
    def of(cls, run: Run, split: Split) -> "Scored":
        """Take what is kept of a run with one seed. Raises BadInput if nothing is held out."""
        if not run.finished.reports:
            raise BadInput(f"Protocol {split.protocol['name']!r} holds nothing out to score.")
        (read,) = oriented(run.model.traits, [split])
        ids = read.user_ids if read.test_ids is None else read.test_ids
        return cls(run.finished.reports[0], ids, run.results["fit_seconds"])


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """The test figures of several models on the same splits.

    Rows are users, and for an item-based model items. A row that was tested in several splits
    counts as one independent unit, a cluster: intervals and tests are over rows, for the models as
    trained on these splits.

    Attributes:
      scored: model -> its result on each of S splits.
      metric: the figure by which models are ordered and tested.
      figures: names of the columns of the table.
      baseline: the model that the others are tested against; None: the best by `metric`.
      title: what the splits are of.
    """

    scored: Mapping[str, Sequence[Scored]]
    metric: str
    figures: Sequence[str]
    baseline: str | None = None
    title: str = ""

    def each(self, model: str, figure: str | None = None) -> np.ndarray:
        """Return a figure of each split, [S]."""
        figure = figure or self.metric
        reports = [own.report.figures for own in self._of(model)]
        if figure not in reports[0]:
            raise BadInput(f"No figure is called {figure!r}. {nearest(figure, reports[0])}")
        return np.array([own[figure] for own in reports])

    def mean(self, model: str, figure: str | None = None) -> float:
        """Average a figure over the splits."""
        return float(self.each(model, figure).mean())

    def error(self, model: str, figure: str | None = None) -> float:
        """Return half the 95% interval of a mean over the rows of all splits, 1.96 standard errors.

        NaN for a figure of all rows at once (coverage).
        """
        figure = figure or self.metric
        self.each(model, figure)
        try:
            _, values, counts, root = self._rows(model, figure)
        except ValueError:
            return float("nan")
        return 1.96 * statistics.standard_error(values, counts, root=root)

    def seconds(self, model: str) -> float:
        """Average the seconds of a fit."""
        return float(np.mean([own.seconds for own in self._of(model)]))

    def compare(self, first: str, second: str, figure: str | None = None) -> Comparison:
        """Test the difference of two models by paired randomisation over the rows of all splits.

        A row that was tested in several splits is exchanged in all of them.

        Returns:
          (first minus second, its 95% bootstrap interval, two-sided p).

        Raises:
          BadInput: an unknown model or figure, or models scored on different rows.
        """
        figure = figure or self.metric
        for model in (first, second):
            self.each(model, figure)
        try:
            (rows, a, counts, root), (others, b, also, _) = (
                self._rows(model, figure) for model in (first, second)
            )
        except ValueError as error:
            raise BadInput(f"there is nothing to pair: {error}") from None
        if not (np.array_equal(rows, others) and np.array_equal(counts, also)):
            raise BadInput(f"{first} and {second} were scored on different rows of {figure}")
        return statistics.paired_randomisation_test(a, b, counts, root=root)

    def tests(
        self, figure: str | None = None, *, all_pairs: bool = False
    ) -> dict[tuple[str, str], Comparison]:
        """Test models against the baseline, or all pairs; p is adjusted by Holm's method.

        Where no baseline was given it is the best model of these same figures, a choice for which p
        is not adjusted.
        """
        order = self.ranking(figure)
        first = self.baseline or order[0]
        pairs = [(first, other) for other in order if other != first]
        if all_pairs:
            pairs = [(a, b) for place, a in enumerate(order) for b in order[place + 1 :]]
        found = [self.compare(*pair, figure) for pair in pairs]
        adjusted = statistics.holm([each.p for each in found])
        return {
            pair: each._replace(p=float(p))
            for pair, each, p in zip(pairs, found, adjusted, strict=True)
        }

    def ranking(self, figure: str | None = None) -> list[str]:
        """Order the models by a figure's mean, best first."""
        sign = 1 if lower(figure or self.metric) else -1
        return sorted(self.scored, key=lambda model: sign * self.mean(model, figure))

    def ranks(self, figure: str | None = None) -> dict[str, float]:
        """Average each model's rank over the splits; 1 is the best."""
        table = np.transpose([self.each(model, figure) for model in self.scored])
        found = statistics.average_rank(table, lowest=lower(figure or self.metric))
        return dict(zip(self.scored, found.tolist(), strict=True))

    def frame(self) -> pl.DataFrame:
        """Tabulate the models, best first.

        Returns:
          A polars frame of model, the mean of each figure with half its 95% interval `<name>_error`
          and its value on each split `<name>_splits`, seconds, rank, and p against the baseline.
          The error is null for a figure of all rows at once, and p for the baseline itself.
        """
        ranks, rows = self.ranks(), []
        for model in self.ranking():
            row: dict[str, Any] = {"model": model}
            for name in self.figures:
                row[name] = self.mean(model, name)
                row[f"{name}_error"] = self.error(model, name)
                row[f"{name}_splits"] = self.each(model, name).tolist()
            p = self._p.get(model)
            rows.append({**row, "seconds": self.seconds(model), "rank": ranks[model], "p": p})
        return pl.DataFrame(rows, infer_schema_length=None).with_columns(
            pl.col(f"{name}_error").fill_nan(None) for name in self.figures
        )

    @functools.cached_property
    def _p(self) -> dict[str, float]:
        return {other: test.p for (_, other), test in self.tests().items()}

    def _of(self, model: str) -> Sequence[Scored]:
        if model not in self.scored:
            raise BadInput(f"No model here is called {model!r}. {nearest(model, self.scored)}")
        return self.scored[model]

    def _rows(self, model: str, figure: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """Return (ids [V], sums of a figure [V], counts [V], root), a row for each id.

        The figure is sum(sums) / sum(counts), or its square root. Raises ValueError for a figure
        that has no value per row.
        """
        parts, root = [], False
        for own in self._of(model):
            values, counts, root = sample(own.report.per_row, figure)
            counts = np.ones_like(values) if counts is None else counts
            there = ~np.isnan(values)
            parts.append((own.ids[there], values[there], counts[there]))
        ids, sums, counts = (np.concatenate(part) for part in zip(*parts, strict=True))
        distinct, code = np.unique(ids, return_inverse=True)
        return distinct, np.bincount(code, sums), np.bincount(code, counts), root

    def __repr__(self) -> str:
        first = self.baseline or self.ranking()[0]
        header = ["model", *self.figures, "seconds", "rank", "p"]
        lines = [header]
        for row in self.frame().iter_rows(named=True):
            cells = [_shown(row[name], row[f"{name}_error"]) for name in self.figures]
            p = "" if row["p"] is None else f"{row['p']:.4f}"
            lines.append([row["model"], *cells, f"{row['seconds']:.1f}", f"{row['rank']:.2f}", p])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
            for line in lines
        )
        size = len(next(iter(self.scored.values())))
        return (
            f"{self.title}: mean of {size} splits, ± half a 95% interval over test rows.\n{table}\n"
            f"p: {self.metric} against {first}, paired randomisation test, Holm's correction."
        )

    def _repr_html_(self) -> str:
        return self.frame().drop(f"{name}_splits" for name in self.figures)._repr_html_()


def cross_validate(
    models: Sequence[str],
    ratings: Any,
    protocol: str = "strong",
    *,
    splits: int = 3,
    seed: int = 0,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    baseline: str | None = None,
    metric: str | None = None,
    show: bool = True,
    log: Callable[[str], object] = print,
    **parameters: Any,
) -> CrossValidation:
    """Fit and score models on several random splits of the same ratings.

    Split i has the seed `seed + i`, which is also the seed of the models fitted on it. Only the
    scores are kept, not the models.

    Args:
      models: names of `aerec.models.catalogue()`.
      ratings: as `aerec.ratings` takes them.
      protocol: how they are split, as in `aerec.split`.
      splits: number of splits, S.
      seed: of the first split.
      settings: model -> settings of the model and of its training, as `aerec.fit` takes them.
      baseline: the model that the others are tested against; None: the best.
      metric: the figure by which models are ordered and tested; None: the task's, "ndcg@100" or
        "rmse". Each model is selected on validation by its own setting `metric`.
      show: whether to show a progress bar for each fit.
      log: called with notes during the runs.
      parameters: of the protocol, like `test_users=100`.

    Raises:
      BadInput: an unknown model, setting or figure, or what `split` and `fit` raise.
      Diverged: a loss or parameter became NaN or infinite.
    """
    one = isinstance(models, str) or not isinstance(models, Iterable)
    names: list[str] = [models] if one else list(models)  # type: ignore[list-item]
    words = all(isinstance(name, str) for name in names)
    if not names or not words or len(set(names)) < len(names):
        raise BadInput(f"models={models!r}: give one or more different names")
    given = {} if settings is None else settings
    if not (isinstance(given, Mapping) and all(isinstance(own, Mapping) for own in given.values())):
        raise BadInput("`settings` maps models to their settings, like {'ease': {'l2': 300}}")
    for name in [*given, *([] if baseline is None else [baseline])]:
        if name not in names:
            raise BadInput(f"{name!r} is not among the models. {nearest(name, names)}")
    count = configuration.value_of(Count, splits, "splits")
    seed = configuration.value_of(Natural, seed, "seed")
    ratings = frames.ratings(ratings, log=log)
    scored: dict[str, list[Scored]] = {name: [] for name in names}
    for own in range(seed, seed + count):
        split = api.split(ratings, protocol, seed=own, log=log, **parameters)
        task = split.protocol["task"]
        chosen = metric or scoring.DEFAULTS[task].metric
        scoring.require_metric(chosen, task)
        for name in names:  # a wrong setting of the last model is found before the first fit
            api.specify(name, split, given.get(name, {}))
        for name in names:
            run = api.fit(name, split, seed=own, show=show, log=log, **given.get(name, {}))
            scored[name].append(Scored.of(run, split))
    figures = tuple(dict.fromkeys((chosen, *FIGURES[task])))
    title = f"{split.dataset}, {split.protocol['name']}"
    return CrossValidation(scored, chosen, figures, baseline, title)


def lower(figure: str) -> bool:
    """Return whether a lower value of a figure is better."""
    return figure.startswith(loop.LOWER)


def _shown(value: float, error: float | None) -> str:
    return f"{value:.4f}" + ("" if error is None else f" ± {error:.4f}")
