"""A run from splits to results, in memory or in a directory: fit, select, score the test part."""

import contextlib
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

import aerec
from aerec import hosts, memory, mesh
from aerec.core import Params
from aerec.data.splits import Split
from aerec.evaluation.report import Report
from aerec.runs import artefact, directory, scoring
from aerec.runs.checkpoints import Checkpoints
from aerec.runs.preparation import Job, has_targets, prepared
from aerec.runs.spec import Spec, require_float32
from aerec.training import loop

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "orbax-checkpoint")


class Finished(NamedTuple):
    """A finished run.

    Attributes:
      config: config.json, the identity of the run.
      results: results.json.
      reports: the test report of each replica; none if nothing is held out.
      baselines: the test report of each baseline.
      params: the selected parameters, leaves [S, ...], one entry per replica.
      metrics, losses: the lines of the two logs; empty if they are in a directory.
    """

    config: dict[str, Any]
    results: dict[str, Any]
    reports: list[Report]
    baselines: dict[str, Report]
    params: Params
    metrics: list[dict[str, Any]]
    losses: list[dict[str, Any]]


def run(
    spec: Spec,
    splits: Sequence[Split],
    workdir: pathlib.Path | None = None,
    *,
    baselines: Sequence[str] = (),
    checkpoint_seconds: float = 15.0,
    over: Mesh | None = None,
    progress: Callable[[loop.Record, dict[str, float]], None] = lambda record, figures: None,
    log: Callable[[str], object] = lambda text: None,
) -> Finished:
    """Train, select and score.

    With a directory, the run is saved there, an interrupted run resumes, and a finished one is
    scored again. If the splits hold nothing out, nothing is selected or scored.

    Args:
      splits: one for all replicas, or one per seed.
      workdir: the run directory; None keeps the run in memory.
      baselines: models at their default settings, fitted to the first split and scored too.
      over: the mesh that the run is divided over (`aerec.mesh.chosen`); None: one device.

    Raises:
      BadInput: anything that the user can correct; nothing of a new run stays on disk.
      loop.Diverged: the workdir keeps its last good checkpoint.
    """
    with mesh.use(over):
        return _run(spec, splits, workdir, baselines, checkpoint_seconds, progress, log)


def _run(spec: Spec, splits, workdir, baselines, checkpoint_seconds, progress, log) -> Finished:
    """Run as `run`, divided over the mesh in use."""
    require_float32()
    job = prepared(spec, splits, baselines, progress, log)
    if workdir is None:
        logs = directory.EpochLog(None), directory.EpochLog(None)
        fitted = _fit(job, None, logs)
        finished = _scored(job, fitted.best, _trained(spec, job.config, fitted.record))
        return finished._replace(metrics=logs[0].lines, losses=logs[1].lines)

    vocabulary = artefact.Vocabulary.of(splits[0], job.as_read[0].train)
    writes = hosts.first()
    with directory.claimed(workdir, job.config) if writes else contextlib.nullcontext():
        hosts.wait("claimed")
        if directory.finished(workdir):
            log(f"The run in {workdir} is finished: its model is scored again.")
            best = artefact.parameters(workdir, job.model, len(spec.seeds))
            results = directory.read_results(workdir)
            if writes:
                artefact.save_vocabulary(workdir, vocabulary)
        else:
            checkpoints = None
            if job.model.loss is not None:
                folder = workdir / directory.CHECKPOINTS
                checkpoints = Checkpoints(folder, seconds=checkpoint_seconds)
            names = directory.METRICS, directory.LOSSES
            metrics, losses = (directory.EpochLog(workdir / n if writes else None) for n in names)
            fitted = _fit(job, checkpoints, (metrics, losses))
            best, results = fitted.best, _trained(spec, job.config, fitted.record)
            if writes:
                artefact.save(workdir, best, vocabulary)
        finished = _scored(job, best, results)
        rows = [report.per_row for report in finished.reports]
        if writes:
            directory.write_results(workdir, finished.results, rows)
        hosts.wait("written")
        return finished


def validate(
    spec: Spec,
    split: Split,
    *,
    progress: Callable[[loop.Record, dict[str, float]], None] = lambda record, figures: None,
) -> float:
    """Train a model and score it on the validation part alone, as a trial of a search.

    The test part is not read.

    Args:
      progress: as of `loop.fit`; an exception that it raises ends the training.

    Returns:
      The figure `spec.settings.metric`: of the best epoch, or of the solution in closed form.

    Raises:
      BadInput: as `run`; or nothing is held out for validation.
      loop.Diverged: as `run`.
    """
    require_float32()
    blind = split._replace(test=split.valid, test_ids=split.valid_ids)
    scoring.require_targets(blind, select=True)
    job = prepared(spec, [blind], (), progress, lambda text: None)
    fitted = _fit(job, None, (directory.EpochLog(None), directory.EpochLog(None)))
    if fitted.record.best:
        return fitted.record.best[0]
    metric, valid = spec.settings.metric, job.as_read[0].valid
    score = scoring.evaluator(job.model, job.as_read[0], metric)
    return score(loop.replica(fitted.best, 0), valid).figures[metric]


def assembled(
    spec: Spec, split: Split, params: Params, *, validation: float, seconds: float
) -> Finished:
    """Score a model that was put together from others, as a finished run.

    Args:
      params: leaves [1, ...].
      validation: its figure `spec.settings.metric` on the validation part.
      seconds: what it took.
    """
    job = prepared(spec, [split], (), lambda record, figures: None, lambda text: None)
    record = loop.Record(1, [validation], [1], [], seconds, [seconds], 0.0)
    return _scored(job, params, _trained(spec, job.config, record))


def _fit(
    job: Job,
    checkpoints: Checkpoints | None,
    logs: tuple[directory.EpochLog, directory.EpochLog],
) -> loop.Fitted:
    """Run `loop.fit` with its checkpoints and its two logs, of figures and of losses."""
    spec, splits = job.spec, job.as_read
    metrics_log, losses_log = logs
    selects = has_targets(job.splits[0])
    metric = spec.settings.metric
    model = mesh.adapted(job.model, splits[0].train.num_columns)
    select = [scoring.evaluator(model, split, metric) for split in splits if selects]
    valid = [mesh.heldout(split.valid) for split in splits if selects]

    def validate(params, replica: int) -> dict[str, float]:
        i = replica % len(splits)
        return select[i](params, valid[i]).figures

    def trace(record: loop.Record, losses: np.ndarray) -> None:
        each = [[float(f"{loss:.6g}") for loss in of_seed] for of_seed in losses]
        losses_log(record.epoch, {"losses": each})

    def watch(record: loop.Record, figures: dict[str, float]) -> None:
        evaluated = len(figures) > 1 or not selects
        line = {**figures, "seconds": round(record.seconds, 3)}
        metrics_log(record.epoch, line if evaluated else {})
        job.progress(record, figures)

    try:
        fitted = loop.fit(
            model,
            [split.train for split in splits],
            spec.settings,
            seeds=spec.seeds,
            evaluate=validate if selects else None,
            checkpoints=checkpoints,
            progress=watch,
            trace=trace,
            log=job.log,
        )
        best, last = (mesh.gathered(params, job.model) for params in fitted[:2])
        return fitted._replace(best=best, last=last)
    except loop.Diverged as error:
        where = "" if checkpoints is None else f", {checkpoints.folder.parent}"
        raise loop.Diverged(f"{spec.model}{where}: {error}") from None
    finally:
        if checkpoints is not None:
            checkpoints.close()


def _trained(spec: Spec, described: Mapping[str, Any], record: loop.Record) -> dict[str, Any]:
    """Describe the training for results.json; `epoch_seconds` is the median without the first."""
    packages = {name: metadata.version(name) for name in PACKAGES}
    return {
        "protocol": described["protocol"],
        "model": spec.model,
        "dataset": spec.dataset,
        "split_hash": described["data_hash"],
        "seed": spec.seeds[0],
        "validation": {"metric": spec.settings.metric, "best": record.best},
        "best_epoch": record.best_epoch,
        "epochs": record.epoch,
        "test_scored": 0,
        "fit_seconds": record.seconds,
        "epoch_seconds": statistics.median(record.epoch_seconds[1:] or record.epoch_seconds),
        "compile_seconds": record.compile_seconds,
        "versions": {"aerec": aerec.__version__, "python": platform.python_version(), **packages},
        "device": f"{jax.devices()[0].device_kind} x {jax.device_count()}",
    }


def _scored(job: Job, best: Params, results: dict[str, Any]) -> Finished:
    """Score the test part, if there is one, and add the figures to the results."""
    reports: list[Report] = []
    scored: dict[str, Report] = {}
    skipped: dict[str, str] = {}
    begun = time.perf_counter()
    if has_targets(job.splits[0]):
        then = f", then {', '.join(job.baselines)}" if job.baselines else ""
        job.log(f"Scoring {job.as_read[0].test.input.num_rows:,} test rows{then}.")
        # One evaluator per split: popularity and known items are those of its training table.
        num_columns = job.as_read[0].train.num_columns
        model = mesh.adapted(job.model, num_columns)
        score = [scoring.evaluator(model, split) for split in job.as_read]
        test = [mesh.heldout(split.test) for split in job.as_read]
        for replica in range(len(job.spec.seeds)):
            i, params = replica % len(score), loop.replica(best, replica)
            reports.append(score[i](mesh.parameters(params, num_columns), test[i]))
    results["eval_seconds"] = time.perf_counter() - begun
    if reports:
        scored, skipped = _baselines(job.baselines, job.splits[0])
        directory.count_scoring(results)
    figures = [report.figures for report in reports] or [{}] * len(job.spec.seeds)
    results |= {
        **_sizes(job.splits[0]),
        "seeds": [{"seed": s, **f} for s, f in zip(job.spec.seeds, figures, strict=True)],
        "test": scoring.mean_figures(reports),
        "baselines": {name: report.figures for name, report in scored.items()},
        "baselines_skipped": skipped,
    }
    results.setdefault("model_checksum", artefact.checksum(best))
    results.setdefault("parameters", _parameters(best, len(job.spec.seeds)))
    results.setdefault("peak_rss_mb", memory.peak_rss_mb())  # of the process that trained
    return Finished(job.config, results, reports, scored, best, [], [])


def _parameters(replicas: Params, seeds: int) -> int:
    """Count the numbers that one replica has learned; leaves are [S, ...]."""
    return sum(np.size(leaf) for leaf in jax.tree.leaves(replicas)) // seeds


def _sizes(split: Split) -> dict[str, int]:
    """Count the users, items and entries in training, and the entries held out."""
    counts = split.train.column_counts()
    held = (split.valid.target, split.test.target)
    return {
        "train_users": int(np.count_nonzero(split.train.lengths())),
        "train_items": int(np.count_nonzero(counts)),
        "train_entries": int(counts.sum()),
        "heldout_entries": sum(len(np.asarray(table.columns)) for table in held),
    }


def _baselines(names: Sequence[str], split: Split) -> tuple[dict[str, Report], dict[str, str]]:
    """Score the baselines; one that fails for memory is skipped, with its reason."""
    reports, skipped = {}, {}
    for name in names:
        try:
            reports[name] = scoring.baseline(name, split)
        except memory.TooLarge as error:
            skipped[name] = str(error)
    return reports, skipped
