"""One run, from a split to results in a folder: fit, select on validation, score the test once.

config.json    what the run is; a folder belongs to one run
metrics.jsonl  a line per evaluation        checkpoints/  to resume from
losses.jsonl   a line per epoch: the loss of each step, a list per seed
results.json   written last: a run that has it is finished
test_rows.npz  figures per test row, for intervals and paired tests between runs
"""

import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import jax
import numpy as np

import aerec
from aerec import files, memory, models
from aerec.core import Model, Table
from aerec.data.splits import Split
from aerec.errors import BadInput
from aerec.evaluation import evaluate
from aerec.runs import artefact, directory, scoring
from aerec.runs.checkpoints import Checkpoints
from aerec.runs.spec import Spec, describe, oriented
from aerec.training import loop
from aerec.training.order_penalty import with_order_penalty

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "orbax-checkpoint")


class Finished(NamedTuple):
    """A finished run: results.json, and the test reports of its replicas and baselines."""

    results: dict[str, Any]
    reports: list[evaluate.Report]
    baselines: dict[str, evaluate.Report]


def run(
    spec: Spec,
    splits: Sequence[Split],
    workdir: pathlib.Path,
    *,
    baselines: Sequence[str] = (),
    checkpoint_seconds: float = 15.0,
    progress: Callable[[loop.Record, dict[str, float]], None] = lambda record, figures: None,
    log: Callable[[str], object] = lambda text: None,
) -> Finished:
    """Trains, selects, scores and writes; on a workdir with a run cut off, goes on from there.

    Args:
      splits: one for all replicas, or one per seed.
      baselines: models at their default settings, fitted to the first split and scored beside.

    Raises:
      BadInput: for whatever a person can put right; of a new run nothing stays written.
      loop.Diverged: the workdir keeps its last good checkpoint.
    """
    config, faced = oriented(spec.model, spec.set, splits)
    described = describe(spec, config, faced)
    model = _trainable(spec, config, splits[0], described["shape"])
    # One evaluator per split: what is popular, and known, is read off its training table.
    select = [scoring.evaluator(model, split, spec.settings.metric) for split in faced]
    score = [scoring.evaluator(model, split) for split in faced]
    for split in faced:
        scoring.require_targets(split, select=model.loss is not None)
    for name in baselines:
        scoring.baseline_model(name, splits[0])
    jax.eval_shape(model.init, jax.random.key(0))  # settings that no network can be built from

    def validate(params, replica: int) -> dict[str, float]:
        i = replica % len(faced)
        return select[i](params, faced[i].valid).figures

    with directory.claimed(workdir, described):
        tables = [split.train for split in faced]
        fitted = _fit(
            spec, config, model, tables, workdir, validate, checkpoint_seconds, progress, log
        )
        artefact.save(
            workdir,
            fitted.best,
            item_ids=splits[0].item_ids,
            titles=splits[0].titles,
            user_ids=splits[0].user_ids,
        )
        beside_it = f", then {', '.join(baselines)}" if baselines else ""
        log(f"Scoring {faced[0].test.input.num_rows:,} test rows{beside_it}.")
        begun = time.perf_counter()
        reports = []
        for replica in range(len(spec.seeds)):
            i, params = replica % len(faced), loop.replica(fitted.best, replica)
            reports.append(score[i](params, faced[i].test))
        eval_seconds = time.perf_counter() - begun
        beside, skipped = {}, {}
        for name in baselines:
            try:
                beside[name] = scoring.baseline(name, splits[0])
            except memory.TooLarge as error:  # the trained model is not to be lost over it
                skipped[name] = str(error)
        rows: dict[str, Any] = {
            f"{i}:{name}": v for i, r in enumerate(reports) for name, v in r.per_row.items()
        }
        files.write_arrays(workdir / "test_rows.npz", rows)
        peak = memory.peak_rss_mb()
        if (workdir / "results.json").exists():  # finished before, and now only scored again
            peak = files.read_json(workdir / "results.json", advice="delete it")["peak_rss_mb"]
        results = {
            "protocol": described["protocol"],
            "model": spec.model,
            "dataset": spec.dataset,
            "seed": spec.seeds[0],
            "seeds": [{"seed": s, **r.figures} for s, r in zip(spec.seeds, reports, strict=True)],
            "test": scoring.mean_figures(reports),
            "baselines": {name: report.figures for name, report in beside.items()},
            "baselines_skipped": skipped,
            "validation": {"metric": spec.settings.metric, "best": fitted.record.best},
            **_cost(fitted.record),
            "eval_seconds": eval_seconds,
            "peak_rss_mb": peak,
            "versions": _versions(),
            "device": f"{jax.devices()[0].device_kind} x {jax.device_count()}",
        }
        files.write_json(workdir / "results.json", results)
        return Finished(results, reports, beside)


def _trainable(spec: Spec, config: Any, split: Split, shape: Sequence[int]) -> Model:
    """The model as it is trained. Raises BadInput where it does not go with task or penalty."""
    scoring.require_task(spec.model, split)
    module = models.find(spec.model)
    model = module.make(config, *shape)
    if not spec.order_penalty:
        return model
    if model.loss is None:
        raise BadInput(f"{spec.model} is solved, not trained: it takes no --order_penalty")
    if getattr(module, "ORDERED", False):
        raise BadInput(f"{spec.model} reads a sequence, not a vector: it takes no --order_penalty")
    return with_order_penalty(model, spec.order_penalty)


def _fit(
    spec: Spec,
    config: Any,
    model: Model,
    tables: Sequence[Table],
    workdir: pathlib.Path,
    validate: Callable[[Any, int], dict[str, float]],
    checkpoint_seconds: float,
    progress: Callable[[loop.Record, dict[str, float]], None],
    log: Callable[[str], object],
) -> loop.Fitted:
    """`loop.fit` with its checkpoints and logs in the workdir."""
    checkpoints = None
    if model.loss is not None:
        checkpoints = Checkpoints(workdir / "checkpoints", seconds=checkpoint_seconds)
    metrics_log = directory.EpochLog(workdir / "metrics.jsonl")
    losses_log = directory.EpochLog(workdir / "losses.jsonl")

    def trace(record: loop.Record, losses: np.ndarray) -> None:
        each = [[float(f"{loss:.6g}") for loss in of_seed] for of_seed in losses]
        losses_log(record.epoch, {"losses": each})

    def watch(record: loop.Record, figures: dict[str, float]) -> None:
        evaluated = len(figures) > 1
        line = {**figures, "seconds": round(record.seconds, 3)}
        metrics_log(record.epoch, line if evaluated else {})
        progress(record, figures)

    try:
        return loop.fit(
            model,
            tables,
            spec.settings,
            seeds=spec.seeds,
            evaluate=validate,
            l2=getattr(config, "l2", 0.0),
            l2_after=getattr(config, "l2_after", 0),
            refeeds=getattr(config, "refeeds", 0),
            checkpoints=checkpoints,
            progress=watch,
            trace=trace,
            log=log,
        )
    except loop.Diverged as error:
        raise loop.Diverged(f"{spec.model}, {workdir}: {error}") from None
    finally:
        if checkpoints is not None:
            checkpoints.close()


def _cost(record: loop.Record) -> dict[str, Any]:
    """Epochs and seconds; those of an epoch are the median but for the first."""
    return {
        "best_epoch": record.best_epoch,
        "epochs": record.epoch,
        "fit_seconds": record.seconds,
        "epoch_seconds": statistics.median(record.epoch_seconds[1:] or record.epoch_seconds),
        "compile_seconds": record.compile_seconds,
    }


def _versions() -> dict[str, str]:
    packages = {name: metadata.version(name) for name in PACKAGES}
    return {"aerec": aerec.__version__, "python": platform.python_version(), **packages}


def read(workdir: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any], list[evaluate.Report]]:
    """A finished run's config.json, results.json and the test reports of its replicas.

    Raises:
      BadInput: no finished run is there, or a damaged one.
    """
    for part in ("config.json", "results.json", "test_rows.npz"):
        if not (workdir / part).exists():
            raise BadInput(f"{workdir} has no {part}: no finished run is there.")
    advice = "train it again, with the command it was trained with"
    results = files.read_json(workdir / "results.json", "test", "seeds", advice=advice)
    reports, path = [], workdir / "test_rows.npz"
    with files.reading(path, advice), np.load(path, allow_pickle=False) as rows:
        for i, figures in enumerate(results["seeds"]):
            names = [name for name in rows.files if name.startswith(f"{i}:")]
            per_row = {name.partition(":")[2]: rows[name] for name in names}
            reports.append(evaluate.Report(figures, per_row))
    return directory.read_config(workdir), results, reports
