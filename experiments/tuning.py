"""Search for the settings of a model on the validation part of a split; the test part is not read.

The first trial has the model's defaults. The next ones are points of a Sobol sequence in the
model's `SPACE`: all of them for a model in closed form, the first eight for one that is trained.
Those are followed by the tree-structured Parzen estimator (Bergstra, Bardenet, Bengio, Kegl:
*Algorithms for Hyper-Parameter Optimization*, NeurIPS 2011) of Optuna. Where few rows raise the
default number of epochs above the space, the space reaches up to it. After three tenths of its
epochs, a training is stopped where its best figure is below the median of the earlier ones at the
same tenth.

What a trial draws is a function of the seed, its number and the trials that were finished when it
began. So in one process an interrupted search resumes with the trials it would have had anyway.

On an accelerator, several trials are trained at once, as replicas (`runs.variants`). They draw
their numbers each; what decides the shapes of a program, like widths, batches and epochs, all have
as the first of them. None of them is stopped early, which would save nothing.
"""

import contextlib
import math
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from aerec import api, configuration, files, models
from aerec.cli import show as console
from aerec.data.splits import Split
from aerec.errors import BadInput, NotNumbers
from aerec.runs import fitting, preparation, variants
from aerec.runs.spec import Spec, data_hash
from aerec.space import Log, LogIntegers, Space, Uniform
from aerec.training import loop
from experiments import drawing
from experiments.trials import Trials

DRAWN = 9  # trials of a trained model before the estimator: the defaults and 2^3 points
EVALUATIONS = 10  # of a training, at most
TOGETHER = 8  # trials at once on an accelerator
STATES = ("complete", "pruned", "failed")
FAILURES = (BadInput, NotNumbers, loop.Diverged, jax.errors.JaxRuntimeError)


class Search(NamedTuple):
    """The trials of a search.

    Attributes:
      metric: the validation figure by which the best is selected.
      space: the searched settings, each with its distribution as text.
      fixed: settings that all trials have.
      trials: number, state ("complete", "pruned" or "failed"), setting, validation (the best figure
        of the training; None if it failed), curve (evaluations as [tenth of the epochs, figure]),
        reason (of a failure), seconds, seed, split_hash; by number.
    """

    metric: str
    space: dict[str, str]
    fixed: dict[str, Any]
    trials: list[dict[str, Any]]

    def ranked(self) -> list[dict[str, Any]]:
        """Return the complete trials, best first."""
        sign = 1 if self.metric.startswith(loop.LOWER) else -1
        complete = [trial for trial in self.trials if trial["state"] == "complete"]
        return sorted(complete, key=lambda trial: sign * trial["validation"])

    @property
    def best(self) -> dict[str, Any]:
        """The best setting, for `aerec.fit(model, split, seed=seed, **best)`.

        Raises:
          BadInput: no trial is complete; the message has the reason of the first failure.
        """
        return {**self.fixed, **self._winner()["setting"]}

    def count(self, state: str) -> int:
        """Count the trials of a state."""
        return sum(trial["state"] == state for trial in self.trials)

    def summary(self) -> dict[str, Any]:
        """Summarise the search for a record: space, trials by state, winner."""
        return {
            "space": self.space,
            "trials": len(self.trials),
            "seconds": round(sum(trial["seconds"] for trial in self.trials), 1),
            "validation": self._winner()["validation"],
            "metric": self.metric,
            "setting": self.best,
            **{state: self.count(state) for state in STATES},
        }

    def _winner(self) -> dict[str, Any]:
        if ranked := self.ranked():
            return ranked[0]
        reasons = [trial["reason"] for trial in self.trials if trial["state"] == "failed"]
        raise BadInput(f"no trial is complete: {(reasons or ['none was started'])[0]}")


class _Pruned(Exception):
    """A training that is stopped because its figures are too low."""


def search(
    model: str,
    split: Split,
    trials: int,
    seed: int = 0,
    *,
    store: str | pathlib.Path,
    seconds: float | None = None,
    prune: bool = True,
    together: int | None = None,
    show: bool = True,
    space: Space | None = None,
    **fixed: Any,
) -> Search:
    """Search for the settings of a model by their figure on the validation part.

    Several processes may search at once in the same store; each takes trials that no other has.

    Args:
      trials: their number, with those in the store.
      seed: of what is drawn, and of each training.
      store: a folder, in which the trials are kept in <model>-<hash of the split>.jsonl.
      seconds: after which this call begins no further trial; None: no limit.
      prune: whether trainings are stopped early.
      together: trials that are trained at once; None: 8 on an accelerator, 1 on a CPU. A model that
        is not trained by gradients alone has one.
      show: whether to show a progress bar.
      space: the searched settings; None: those of the model's `SPACE`.
      fixed: settings of the model and of training that all trials have, like `metric="ndcg@10"`.

    Raises:
      BadInput: an unknown model or setting, data that do not suit the model, or a store of another
        search.
    """
    space = models.find(model).SPACE if space is None else space
    spec = api.specify(model, split, fixed, seeds=(seed,))
    space = _reaching(spec.settings.epochs, space)
    space = {name: each for name, each in space.items() if name not in fixed}
    config = models.configure(model, spec.set)
    known = {**configuration.plain(spec.settings), **configuration.plain(config)}
    fixed, defaults = ({name: known[name] for name in names} for names in (fixed, space))
    metric, digest = spec.settings.metric, data_hash(split)
    described = {name: str(values) for name, values in space.items()}
    identity = {
        "model": model, "split_hash": digest, "seed": seed, "metric": metric, "prune": prune,
        "space": described, "fixed": fixed,
    }  # fmt: skip
    kept = Trials(files.located(store) / f"{model}-{digest}.jsonl", identity)
    count = trials if space else 1  # there is nothing to search
    solved = preparation.solved(spec, split)
    drawn = count if solved else DRAWN
    together = together or (1 if jax.default_backend() == "cpu" else TOGETHER)
    together = together if variants.possible(spec, split) else 1
    numeric = _numeric(space, {"learning_rate", *configuration.plain(config)})
    begun = time.perf_counter()
    with contextlib.closing(kept), _bar(model, count, show) as update:
        update(found := Search(metric, described, fixed, kept.read()))
        while seconds is None or time.perf_counter() - begun < seconds:
            if not (numbers := kept.claim(count, together)):
                break
            found = found._replace(trials=kept.read())
            asked, settings = [], []
            shapes: dict[str, Any] = {}
            for number in numbers:
                given = drawing.point(space, seed, number) if 0 < number < drawn else defaults
                given = {**given, **shapes} if number < drawn else shapes
                asked.append(drawing.asked(metric, found.trials, space, seed, number, given))
                setting = drawing.decoded(space, asked[-1].params)
                shapes = {name: v for name, v in setting.items() if name not in numeric}
                epochs = api.specify(model, split, {**setting, **fixed}).settings.epochs
                if not solved and "evaluate_every" not in fixed:
                    setting["evaluate_every"] = math.ceil(epochs / EVALUATIONS)
                settings.append(setting)
            specs = [api.specify(model, split, {**s, **fixed}, seeds=(seed,)) for s in settings]
            results = _tried_at_once(specs, split) if len(specs) > 1 else []
            results = results or [
                _tried(*each, split, prune) for each in zip(specs, asked, strict=True)
            ]
            lines = [
                {"number": number, "seed": seed, "split_hash": digest, "setting": setting, **result}
                for number, setting, result in zip(numbers, settings, results, strict=True)
            ]
            kept.append(*lines)
            update(found := found._replace(trials=kept.read()))
    return found


def _reaching(epochs: int, space: Space) -> Space:
    """Return the space, in which a range of epochs reaches up to those of the defaults."""
    match space.get("epochs"):
        case LogIntegers(low, high) if high < epochs:
            return {**space, "epochs": LogIntegers(low, epochs)}
    return space


def _numeric(space: Space, among: set[str]) -> set[str]:
    """Return the searched settings, `among` these, that decide no shape of a program."""
    return {name for name in among & space.keys() if isinstance(space[name], Uniform | Log)}


def _tried(spec: Spec, trial: Any, split: Split, prune: bool) -> dict[str, Any]:
    """Train and validate. Return state, validation, curve, reason and seconds."""
    metric, epochs = spec.settings.metric, spec.settings.epochs
    curve: list[list[float]] = []

    def watch(record: loop.Record, figures: dict[str, float]) -> None:
        step = EVALUATIONS * record.epoch // epochs
        if metric not in figures or (curve and curve[-1][0] == step):
            return
        curve.append([step, figures[metric]])
        trial.report(figures[metric], step)
        if prune and record.epoch < epochs and trial.should_prune():
            raise _Pruned

    state, validation, reason, begun = "complete", None, "", time.perf_counter()
    try:
        validation = fitting.validate(spec, split, progress=watch)
        if not math.isfinite(validation):
            state, reason = "failed", f"{metric} is {validation}"
    except _Pruned:
        best = min if metric.startswith(loop.LOWER) else max
        state, validation = "pruned", best(figure for _, figure in curve)
    except FAILURES as error:
        state, reason = "failed", (str(error).splitlines() or [type(error).__name__])[0]
    seconds = round(time.perf_counter() - begun, 3)
    line = {"state": state, "validation": validation, "curve": curve, "seconds": seconds}
    return line | ({"reason": reason} if reason else {})


def _tried_at_once(specs: Sequence[Spec], split: Split) -> list[dict[str, Any]]:
    """Train at once. Return what `_tried` does of each, with its share of the seconds.

    Nothing is returned if a training failed: each is then tried by itself.
    """
    curves: list[list[list[float]]] = [[] for _ in specs]

    def watch(epoch: int, figures: Sequence[float]) -> None:
        step = EVALUATIONS * epoch // specs[0].settings.epochs
        for curve, figure in zip(curves, figures, strict=True):
            if not curve or curve[-1][0] != step:
                curve.append([step, figure])

    begun = time.perf_counter()
    try:
        figures = variants.validate(specs, split, progress=watch)
    except FAILURES:
        return []
    seconds = round((time.perf_counter() - begun) / len(specs), 3)
    return [
        {"state": "complete", "validation": figure, "curve": curve, "seconds": seconds}
        for figure, curve in zip(figures, curves, strict=True)
    ]


@contextlib.contextmanager
def _bar(model: str, count: int, show: bool) -> Iterator[Callable[[Search], None]]:
    """Show the progress of a search; yield what updates it."""
    columns = (TextColumn("{task.description}"), BarColumn(),
               TextColumn("{task.completed:.0f}/{task.total} trials"),
               TextColumn("{task.fields[best]}"), TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console.CONSOLE, disable=not show) as bar:
        task = bar.add_task(model, total=count, best="")

        def update(found: Search) -> None:
            ranked = found.ranked()
            best = f"best {found.metric} {ranked[0]['validation']:.4f}" if ranked else ""
            bar.update(task, completed=len(found.trials), best=best)

        yield update
