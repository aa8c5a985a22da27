"""Train several settings of a model at once, as replicas, where they differ in numbers alone."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from aerec import models
from aerec.core import Facts
from aerec.data.splits import Split
from aerec.errors import BadInput
from aerec.runs import preparation, scoring
from aerec.runs.spec import Spec, require_float32
from aerec.training import loop
from aerec.training.variants import Variants

Watch = Callable[[int, Sequence[float]], None]  # called with an epoch, and a figure of each spec


def possible(spec: Spec, split: Split) -> bool:
    """Return whether settings of this model can be trained at once.

    It is trained, has no parameters that its data determine, and its updates are proportional to
    the learning rate.
    """
    model = models.build(spec.model, spec.set, Facts.of(split.train, split.scale))
    trained = model.loss is not None and model.frozen is None
    return trained and spec.settings.optimiser != "rprop"


def validate(
    specs: Sequence[Spec], split: Split, *, progress: Watch = lambda epoch, figures: None
) -> list[float]:
    """Train models at once and score them on the validation part, as `fitting.validate` does one.

    Args:
      specs: of one model, with one seed each. They differ in `learning_rate`, and in settings of
        the model that are numbers and decide no shape.
      progress: called after each evaluation.

    Returns:
      The figure `settings.metric` of the best epoch of each.

    Raises:
      BadInput: as `fitting.validate`; or it is not `possible`.
      loop.Diverged: one of the trainings diverged.
    """
    require_float32()
    first, blind = specs[0], split._replace(test=split.valid, test_ids=split.valid_ids)
    scoring.require_targets(blind, select=True)
    jobs = [_prepared(spec, blind) for spec in specs]
    if not possible(first, split):
        raise BadInput(f"{first.model}: settings of this model are trained one by one")
    read, metric = jobs[0].as_read[0], first.settings.metric
    names = [name for name in first.set if any(s.set[name] != first.set[name] for s in specs)]
    base = first.settings.learning_rate
    variants = Variants(
        make=partial(_made, first, preparation.facts(first, read)),
        values={name: np.array([spec.set[name] for spec in specs]) for name in names},
        rates=np.array([spec.settings.learning_rate / base for spec in specs]),
    )
    score = [scoring.evaluator(job.model, read, metric) for job in jobs]
    figures = [np.nan] * len(specs)

    def evaluate(params, replica: int) -> dict[str, float]:
        found = score[replica](params, read.valid).figures
        figures[replica] = found[metric]
        return found

    def watch(record: loop.Record, means: Mapping[str, float]) -> None:
        if metric in means:
            progress(record.epoch, tuple(figures))

    fitted = loop.fit(
        jobs[0].model,
        [read.train],
        first.settings,
        seeds=[spec.seeds[0] for spec in specs],
        variants=variants,
        evaluate=evaluate,
        progress=watch,
    )
    return fitted.record.best


def _prepared(spec: Spec, split: Split) -> preparation.Job:
    return preparation.prepared(spec, [split], (), lambda record, figures: None, lambda text: None)


def _made(spec: Spec, facts, values):
    return models.build(spec.model, spec.set, facts, values)
