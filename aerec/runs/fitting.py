"""One run, from a split to results in a folder: fit, select on validation, score the test once.

config.json    what the run is; a folder belongs to one run
metrics.jsonl  a line per evaluation        checkpoints/  to resume from
losses.jsonl   a line per epoch: the loss of each step, a list per seed
results.json   written last: a run that has it is finished
test_rows.npz  figures per test row, for intervals and paired tests between runs
"""

import dataclasses
import hashlib
import json
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import jax
import numpy as np

import aerec
from aerec import configuration, files, memory, models
from aerec.evaluation import blocks, ranking, rating
from aerec.evaluation.report import POOLED, Report
from aerec.runs import artefact, directory
from aerec.training import loop
from aerec.runs.checkpoints import Checkpoints
from aerec.core import Facts, Model, Table, Traits
from aerec.data.splits import Split
from aerec.errors import BadInput, nearest
from aerec.training.order_penalty import with_order_penalty

RATING = (*POOLED, "rmse_by_row")
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "orbax-checkpoint")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """What a run is. `set` holds the model's settings that were given; the rest are defaults.

    `source` is how the dataset was read, kept for reading it again; it is no part of what a run
    is, whose data are known by a hash.
    """

    model: str
    set: Mapping[str, Any]
    dataset: str
    settings: loop.Settings
    seeds: tuple[int, ...]
    order_penalty: float = 0.0  # weight of `penalty.with_order_penalty`
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Finished(NamedTuple):
    """A finished run: results.json, and the test reports of its replicas and baselines."""

    results: dict[str, Any]
    reports: list[Report]
    baselines: dict[str, Report]


def oriented(traits: Traits, splits: Sequence[Split]) -> list[Split]:
    """The splits with the rows that a model of these traits reads."""
    return [split.transpose() for split in splits] if traits.reads == "columns" else list(splits)


def evaluator(model: Model, split: Split, metric: str | None = None) -> blocks.Evaluator:
    """All figures of the split's task, or only the one that training selects by."""
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


def require_metric(metric: str, task: str) -> None:
    """Raises BadInput where the task has no figure of that name."""
    if task == "rating":
        if metric not in RATING:
            raise BadInput(f"No rating figure is called {metric!r}. {nearest(metric, RATING)}")
        return
    name, _, k = metric.partition("@")
    if name not in ranking.ALL:
        raise BadInput(f"No ranking figure is called {metric!r}. {nearest(name, ranking.ALL)}")
    if not k.isdecimal() or int(k) < 1:
        raise BadInput(f"The figure {metric!r} needs its cut, like {name}@100")


def require_task(name: str, traits: Traits, split: Split) -> None:
    """Raises BadInput where a model of preferences would be scored as one of ratings."""
    task = split.protocol["task"]
    if task == "rating" and traits.task != "rating":
        raise BadInput(
            f"{name} scores preferences, not ratings, and protocol {split.protocol['name']!r} "
            "asks for ratings. Use a ranking protocol (strong, per_user_holdout, leave_last), or "
            "a model of ratings (autorec, bias)."
        )


def require_targets(split: Split, *, select: bool) -> None:
    """Raises BadInput where a split has nothing to predict in test, or nothing to select by."""
    parts = [("validation", split.valid)] if select else []
    for part, held in (*parts, ("test", split.test)):
        if not held.target.columns.size:
            raise BadInput(
                f"Protocol {split.protocol['name']!r} leaves nothing to predict in the {part} part "
                f"({held.input.num_rows} rows): too few ratings for it, or too small a share."
            )


def describe(spec: Spec, splits: Sequence[Split]) -> dict[str, Any]:
    """config.json: everything the results depend on, and what `artefact.load` needs."""
    table, config = splits[0].train, models.configure(spec.model, spec.set)
    return {
        "model": spec.model,
        "set": configuration.plain(config),
        "item_based": models.traits(spec.model, spec.set).reads == "columns",
        "shape": [table.num_rows, table.num_columns],
        "dataset": spec.dataset,
        "protocol": splits[0].protocol,
        "data_hash": [data_hash(split) for split in splits],
        "scale": None if splits[0].scale is None else list(map(float, splits[0].scale)),
        "settings": configuration.plain(spec.settings),
        "order_penalty": spec.order_penalty,
        "seeds": list(spec.seeds),
        "source": dict(spec.source),
    }


def data_hash(split: Split) -> str:
    """The same for the same entries in training, validation and test, wherever they came from."""
    digest = hashlib.sha256()
    tables = (split.train, *(part for held in (split.valid, split.test) for part in held[:2]))
    for leaf in jax.tree.leaves(tables):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:10]


def default_workdir(spec: Spec, splits: Sequence[Split]) -> pathlib.Path:
    """runs/<model>-<dataset>-<hash of all that config.json says of the run>."""
    faced = oriented(models.traits(spec.model, spec.set), splits)
    config = {k: v for k, v in describe(spec, faced).items() if k != "source"}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]
    dataset = str(config["dataset"]).partition(":")[0]
    return pathlib.Path("runs") / f"{config['model']}-{dataset}-{digest}"


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
    faced = oriented(models.traits(spec.model, spec.set), splits)
    described = describe(spec, faced)
    model = _trainable(spec, faced[0])
    # One evaluator per split: what is popular, and known, is read off its training table.
    select = [evaluator(model, split, spec.settings.metric) for split in faced]
    score = [evaluator(model, split) for split in faced]
    for split in faced:
        require_targets(split, select=model.loss is not None)
    for name in baselines:
        baseline_model(name, splits[0])
    jax.eval_shape(model.init, jax.random.key(0))  # settings that no network can be built from

    def validate(params, replica: int) -> dict[str, float]:
        i = replica % len(faced)
        return select[i](params, faced[i].valid).figures

    with directory.claimed(workdir, described):
        tables = [split.train for split in faced]
        fitted = _fit(
            spec, model, tables, workdir, validate, checkpoint_seconds, progress, log
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
                beside[name] = baseline(name, splits[0])
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
            "test": mean_figures(reports),
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


def _trainable(spec: Spec, split: Split) -> Model:
    """The model as it is trained. Raises BadInput where it does not go with task or penalty."""
    model = models.build(spec.model, spec.set, Facts.of(split.train, split.scale))
    require_task(spec.model, model.traits, split)
    if not spec.order_penalty:
        return model
    if model.loss is None:
        raise BadInput(f"{spec.model} is solved, not trained: it takes no `order_penalty`")
    if model.traits.reads == "sequence":
        raise BadInput(f"{spec.model} reads a sequence, not a vector: it takes no `order_penalty`")
    return with_order_penalty(model, spec.order_penalty)


def _fit(
    spec: Spec,
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


def read(workdir: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any], list[Report]]:
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
            reports.append(Report(figures, per_row))
    return directory.read_config(workdir), results, reports


def baseline(name: str, split: Split) -> Report:
    """A closed-form model at its default settings, scored on the split's test rows."""
    model, faced = baseline_model(name, split)
    assert model.solve is not None
    return evaluator(model, faced)(model.solve(faced.train), faced.test)


def baseline_model(name: str, split: Split) -> tuple[Model, Split]:
    """The closed-form model of that name, and the split with the rows that it reads.

    Raises:
      BadInput: no model is called that, or it has to be trained.
    """
    (faced,) = oriented(models.traits(name, {}), [split])
    model = models.build(name, {}, Facts.of(faced.train, faced.scale))
    if model.solve is None:
        raise BadInput(f"baseline {name!r} has to be trained; run it by itself with --model={name}")
    return model, faced


def mean_figures(reports: Sequence[Report]) -> dict[str, float]:
    """Each figure's mean over replicas and, of several, its standard deviation `<name>_sd`."""
    each = {name: [r.figures[name] for r in reports] for name in reports[0].figures}
    figures = {name: float(np.mean(values)) for name, values in each.items()}
    if len(reports) > 1:
        figures |= {
            f"{name}_sd": float(np.std(values, ddof=1))
            for name, values in each.items()
            if not name.endswith("_se")
        }
    return figures
