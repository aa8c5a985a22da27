"""The public functions: from ratings to a model that is fitted, evaluated and used, in memory.

    ratings = aerec.load("movielens-small")
    split = aerec.split(ratings, "strong", valid_users=100, test_users=100)
    run = aerec.fit("multvae", split, learning_rate=0.003, epochs=40)
    run.test["ndcg@100"]
    run.recommend(["260", "1196"], k=10)
"""

import contextlib
import dataclasses
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax

from aerec import configuration, files, models, properties
from aerec import mesh as meshes
from aerec.configuration import Natural, Replicas, Weight
from aerec.data import frames, protocols
from aerec.data.mapped import Mapped
from aerec.data.ratings import Ratings
from aerec.data.splits import Split
from aerec.errors import BadInput, nearest
from aerec.evaluation.statistics import Comparison
from aerec.properties.domain import Domain
from aerec.runs import artefact, directory, encoding, fitting, progress, rescore, scoring
from aerec.runs.artefact import Artefact, Vocabulary
from aerec.runs.figures import Figures
from aerec.runs.preparation import solved
from aerec.runs.run import Run, opened
from aerec.runs.spec import Spec, oriented, sized
from aerec.training.settings import Settings

Log = Callable[[str], object]


@configuration.settings
class _Draws:
    """Seeds, replicas, and the weight of the order penalty."""

    seed: Natural = 0
    seeds: Replicas = 1
    order_penalty: Weight = 0.0


def split(
    ratings: Any = None,
    protocol: str = "strong",
    *,
    seed: int = 0,
    log: Log = print,
    **parameters: Any,
) -> Split:
    """Divide ratings into training, validation and test by a named protocol.

    Args:
      ratings: as `aerec.ratings` takes them, or as `aerec.load` leaves them on disk; None for
        "files", a ready-made split in `split_dir`.
      protocol: a name in `aerec.data.protocols.PROTOCOLS`, like "strong" or "random_ratings".
      seed: of the random draws.
      log: called with a note on everything that was dropped.
      parameters: of the protocol, like `test_users=100`.

    Raises:
      BadInput: an unknown protocol or parameter, or too few ratings.
      LeakError: a target is also in an input or in training.
    """
    kind = protocols.find(protocol)
    if "split_seed" in parameters:
        raise BadInput("the seed of a split is `seed`, not split_seed")
    of, known = f"Protocol {protocol!r}", set(configuration.kinds(kind)) - {"split_seed"}
    for name in set(parameters) - known:
        raise BadInput(f"{of} has no setting {name!r}. {nearest(name, known)}")
    drawn = configuration.value_of(Natural, seed, "seed")
    parsed = configuration.fill(kind, {"split_seed": drawn, **parameters}, of=of)
    ready = kind is protocols.Files
    if ready != (ratings is None):
        raise BadInput("`files` takes no ratings, and every other protocol takes some")
    if not ready and not isinstance(ratings, Mapped):
        ratings = frames.ratings(ratings, log=log)
    found = parsed.split(ratings, seed=0)
    for note in found.notes:
        log(note)
    return found


def fit(
    model: str,
    data: Any,
    *,
    seeds: int = 1,
    seed: int = 0,
    workdir: str | pathlib.Path | None = None,
    order_penalty: float = 0.0,
    mesh: str | None = None,
    show: bool = True,
    log: Log = print,
    **settings: Any,
) -> Run:
    """Fit a model, select the best epoch on validation, and score the test part once.

    Args:
      model: a name in `aerec.models.catalogue()`.
      data: a split, or a list of splits, one per seed. Or ratings, as `aerec.ratings` takes them:
        the model is then trained on all of them, for deployment, and nothing is scored.
      seeds: number of replicas, trained under one vmap.
      seed: of the first replica.
      workdir: a run directory, where the run is saved. An interrupted run resumes, and a finished
        one is scored again. None: the run is in memory only.
      order_penalty: weight of the order penalty in the loss.
      mesh: how devices share the run, like "data:4,model:2": rows on 4, columns on 2. Default: one
        device; if there are several accelerators or processes, all of them on `data`.
      show: whether to show a progress bar.
      log: called with notes during the run.
      settings: of the model, like `latent=200`, and of training, like `epochs=40`
        (`aerec.training.settings.Settings`).

    Raises:
      BadInput: an unknown model or setting, a value that is out of range, or data that do not suit
        the model.
      Diverged: a loss or parameter became NaN or infinite.
    """
    given = {"seed": seed, "seeds": seeds, "order_penalty": order_penalty}
    draws = configuration.fill(_Draws, given, of="fit")
    over = meshes.chosen(mesh)
    folder = None if workdir is None else files.located(workdir)
    splits = _splits(data, models.traits(model, {}).task, log)
    seeds_of = tuple(range(draws.seed, draws.seed + draws.seeds))
    spec = specify(model, splits[0], settings, seeds=seeds_of, order_penalty=draws.order_penalty)
    closed = solved(spec, splits[0])
    unused = [n for n in settings if n not in spec.set and n not in ("metric", "batch_size")]
    if closed and unused:
        log(f"{model} is solved, not trained: no effect of {', '.join(unused)}")
    bar: Any = contextlib.nullcontext(lambda record, figures: None)
    if show:
        epochs = None if closed else spec.settings.epochs
        bar = progress.bar(epochs, spec.settings.metric)
    with bar as update:
        finished = fitting.run(spec, splits, folder, over=over, progress=update, log=log)
    if folder is not None:
        return dataclasses.replace(opened(folder), splits=splits, over=over)
    (as_read,) = oriented(models.traits(model, spec.set), splits[:1])
    vocabulary = Vocabulary.of(splits[0], as_read.train)
    return Run(artefact.build(finished.config), finished.params, vocabulary, finished, splits, over)


def specify(
    model: str,
    split: Split,
    settings: Mapping[str, Any],
    *,
    seeds: tuple[int, ...] = (0,),
    order_penalty: float = 0.0,
) -> Spec:
    """Return the specification of a run: a model on a split, with model and training settings.

    Some defaults follow from the sizes of the split: settings of `ials`, and the epochs of several
    models, which are more where rows are few.

    Raises:
      BadInput: an unknown model, setting or metric, or a value that is out of range.
    """
    own, training = _divide(model, settings)
    task = split.protocol["task"]
    usual = {"metric": scoring.DEFAULTS[task].metric, **models.traits(model, own).training}
    spec = Spec(
        model=model,
        set=own,
        dataset=split.dataset,
        settings=configuration.fill(Settings, {**usual, **training}, of="training"),
        seeds=seeds,
        order_penalty=order_penalty,
    )
    scoring.require_metric(spec.settings.metric, task)
    return sized(spec, split, prolong="epochs" not in training)


def evaluate(
    run: Run, split: Split | Sequence[Split], *, own: Split | Sequence[Split] | None = None
) -> Figures:
    """Score a run on the test part of a split: its own, or one of another protocol.

    The scoring is counted in `run.results["test_scored"]`.

    Args:
      split: the split to score, or one per replica.
      own: the split, or splits, that the run was fitted on. Needed if the run was opened from a
        directory, because ratings in training must not be scored.

    Raises:
      BadInput: the splits are not those of the run, or a test rating was in training or validation.
    """
    _require_runs(run)
    asked = _several(split, "split")
    fitted = run.splits if own is None else _several(own, "own")
    loaded = Artefact(run.model, run.replicas, run.config, run.vocabulary)
    if asked[0].protocol["hash"] == run.config["protocol"]["hash"]:
        reports = rescore.score(loaded, asked)
    elif fitted is None:
        raise BadInput("the run was opened: give `own`, the split that it was fitted on")
    else:
        reports = rescore.score_other(loaded, fitted, asked)
    directory.count_scoring(run.results)
    return Figures(reports)


def compare(first: Run, second: Run, figure: str) -> Comparison:
    """Test the difference of a figure between two runs on the same test rows.

    This is a paired randomisation test over rows. If a run has several replicas, the figure of a
    row is their mean.

    Returns:
      (first minus second, its 95% bootstrap interval, two-sided p).

    Raises:
      BadInput: the runs were scored on different rows, or have no such figure.
    """
    _require_runs(first, second)
    names = "the first run", "the second run"
    rescore.require_pairs(first.config, second.config, names=names)
    if len(first.config["data_hash"]) != len(second.config["data_hash"]):
        raise BadInput("the runs were scored on different numbers of splits")
    return first.test.compare(second.test, figure)


def audit(
    subject: Run | Callable[[Any], Any] | None = None,
    domain: Domain | None = None,
    *,
    users: Callable[[Any], Any] | None = None,
    items: Callable[[Any], Any] | None = None,
    alone: bool = False,
    relevance: Literal["listed", "heldout"] = "listed",
    seed: int = 0,
    replica: int = 0,
    **options: Any,
) -> properties.Audit:
    """Audit an encoder, or two: dimension, order of similarities, non-zero vectors, rankings.

    A run is audited on its own rows, unless a domain is given. The audit examines what the run
    ranks by: where its score is `<q, g> + b`, x is encoded by the query, and an item by its code
    with the bias.

    Args:
      subject: a run; or any function of one vector [n] (of rows [B, n] with `batched=True`), or a
        module of flax.nnx or torch.
      domain: where vectors come from, built by a function of `aerec.properties.samplers`.
      users, items: two encoders instead of a subject: of x, and of u and v.
      alone: whether the encoder of a run is audited alone, for items as for users.
      relevance: which items of a row are relevant: "listed", those in the row, or "heldout", those
        held out for the test.
      seed: of everything random.
      replica: of a run with several seeds.
      options: arguments of `aerec.properties.audit`, like `budget="30s"`.

    Returns:
      The findings `.dimension`, `.order`, `.nonzero` and `.ranking`: verdict, rate, skill,
      witness.

    Raises:
      BadInput: a callable without a domain, or a run that was opened and has no rows at hand.
    """
    key = jax.random.key(configuration.value_of(Natural, seed, "seed"))
    if relevance not in ("listed", "heldout"):
        raise BadInput(f"relevance is 'listed' or 'heldout', not {relevance!r}")
    if domain is not None and not isinstance(domain, Domain):
        kind = type(domain).__name__
        raise BadInput(f"{kind} is no domain: give one of `aerec.properties.samplers`")
    if (subject is None) == (users is None and items is None):
        raise BadInput("give a run, a function, or two functions, `users` and `items`")
    if not isinstance(subject, Run):
        if replica or alone or relevance != "listed":
            raise BadInput("`replica`, `alone` and `relevance` are for runs: leave them out")
        first: Any = users if subject is None else subject
        for function in (first, items) if subject is None else (first,):
            if not callable(function):
                raise BadInput(f"{type(function).__name__} is no run and no function to audit")
        if domain is None:
            raise BadInput("give a domain, like aerec.properties.samplers.gaussian(50)")
        return properties.audit(first, domain, key, items=items, **options)
    loaded = subject.artefact(replica)
    domain = _domain(subject, loaded, domain, relevance)
    if note := encoding.order_note(loaded):
        warnings.warn(note, stacklevel=2)
    given = {"name": subject.config["model"], **encoding.subject(loaded, alone=alone), **options}
    return properties.audit(domain=domain, key=key, **given)


def _domain(run: Run, loaded: Artefact, given: Domain | None, relevance: Any) -> Domain:
    """Return the domain on which a run is audited: a given one that suits it, or its own rows."""
    if given is None:
        if run.splits is None:
            raise BadInput(
                "the run was opened and its ratings are not at hand: give a `domain`, or use the "
                "command `aerec audit`, which reads them again"
            )
        return encoding.domain(loaded, run.splits[0], relevance=relevance)
    if loaded.model.traits.reads != "columns" and given.dimension != len(run.item_ids):
        width = f"the run reads rows of {len(run.item_ids):,} items"
        raise BadInput(f"the domain is in R^{given.dimension}, and {width}: give one of these")
    if relevance != "listed":
        raise BadInput("`relevance` is for a run's own data: leave out the domain")
    return given


def open(path: str | pathlib.Path) -> Run:
    """Open a finished run in its directory, from `Run.save`, `fit(workdir=...)` or `aerec train`.

    Raises:
      BadInput: there is no finished run in the directory, or it is damaged.
    """
    return opened(path)


def _require_runs(*runs: Any) -> None:
    for run in runs:
        if not isinstance(run, Run):
            raise BadInput(f"{type(run).__name__} is no run: give what `aerec.fit` returned")


def _several(given: Any, name: str) -> list[Split]:
    """Return one split, or one per replica, as a list. Raises BadInput for anything else."""
    splits = [given] if isinstance(given, Split) else given
    if not isinstance(splits, list | tuple) or isinstance(splits, Ratings) or not splits:
        raise BadInput(f"`{name}` is a split, or a list of one per replica")
    if wrong := [part for part in splits if not isinstance(part, Split)]:
        raise BadInput(f"{type(wrong[0]).__name__} is no split: make one with `aerec.split`")
    return list(splits)


def _splits(data: Any, task: str, log: Log) -> list[Split]:
    """Return the given splits; for ratings, the split that holds nothing out."""
    if isinstance(data, Split):
        return [data]
    if data is None:
        raise BadInput("NoneType is no split and no ratings: give what `aerec.split` returned")
    if isinstance(data, list | tuple) and any(isinstance(part, Split) for part in data):
        if not all(isinstance(part, Split) for part in data):
            raise BadInput("give a split, or a list of splits alone, one per seed")
        if len(names := {part.protocol["name"] for part in data}) > 1:
            raise BadInput(f"the splits are of several protocols: {', '.join(sorted(names))}")
        return list(data)
    return [split(data, {"ranking": "all_clicks", "rating": "all_ratings"}[task], log=log)]


def _divide(model: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide settings into those of the model and those of training."""
    own, training = configuration.kinds(models.find(model).Config), configuration.kinds(Settings)
    for name in given:
        if name not in own and name not in training:
            message = f"Neither {model} nor training has a setting {name!r}. "
            raise BadInput(message + nearest(name, [*own, *training]))
    return (
        {name: value for name, value in given.items() if name in own},
        {name: value for name, value in given.items() if name not in own},
    )
