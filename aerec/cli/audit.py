"""Audit encoders: dimension, order of similarity, non-zero vectors; verdicts with witnesses.

  python -m experiments.audit --workdir=RUN
  python -m experiments.audit --workdir=RUN --workdir=OTHER --domain=gaussian --budget=1e7
  python -m experiments.audit --model=autorec --set latent_activation=tanh --input_dim=200
  python -m experiments.audit --encoder=mypackage.mymodule:encode --input_dim=50 --domain=sphere

A trained run (of several seeds, the first) is audited on its own data, `--domain=data`: x is a row
that the model reads, u and v are single columns, the true score <x, u> is what the row lists, and
every triple is counted. The codes are what the model ranks by: where its score is <q, g> + b, the
query of x, and the code of an item with its bias. `--alone` audits the encoder, for items as for
users. `--items=FILE` does so with features of items, in place of columns. `--relevance=heldout`
ranks the items that a test row has not seen; the held-out ones are the truth.

The first table compares the codes with a truncated SVD, a random projection and popularity, on the
same triples. Most triples of data are true ties, of two columns that x lacks: `rate` counts the
ties that the codes rank, `reversed of ordered` the pairs that they rank the wrong way round.
`--domain=hull` is the convex hull of a few hundred of its rows. Any encoder can be audited on
gaussian, sphere, ball, box (0 to 1, or box:LOW,HIGH), binary, swaps, ratings, stratified, ties or
orthogonal. Writes
audit.json, audit.md, the witnesses and plots; with --state an interrupted audit resumes. Theory:
docs/theory.md.
"""

import dataclasses
import functools
import importlib
import math
import pathlib
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import polars as pl
from absl import flags
from rich import progress as bars

from aerec import configuration, files, memory, models
from aerec.cli import options, show
from aerec.core import Facts
from aerec.data.splits import Split
from aerec.errors import BadInput, nearest
from aerec.properties import Audit, audit, plots, samplers, search
from aerec.properties.domain import Data, Domain
from aerec.runs import artefact, directory, encoding, geometry, rescore
from aerec.runs.geometry import Geometry, Progress

DOMAINS: dict[str, Callable[[int], Domain]] = {
    "gaussian": samplers.gaussian,
    "sphere": samplers.sphere,
    "ball": samplers.ball,
    "box": lambda n: samplers.box([0.0] * n, [1.0] * n),
    "binary": samplers.binary,
    "swaps": samplers.swaps,
    "ratings": samplers.ratings,
    "stratified": samplers.stratified,
    "ties": samplers.ties,
    "orthogonal": samplers.orthogonal,
}
HULL = 256  # rows of a run's data that `--domain=hull` mixes
WAYS = ("workdir", "model", "encoder")
BELONGS = {  # flags that apply to some of the ways to name an encoder only
    "input_dim": ("model", "encoder"), "set": ("model",), "batched": ("encoder",),
    **dict.fromkeys(("alone", "items", "geometry"), ("workdir",)),
    **dict.fromkeys(("data_dir", "data_file", "split_dir"), ("workdir",)),
}  # fmt: skip


class Subject(NamedTuple):
    """What to audit, and where to write: encoders as arguments of `properties.audit`.

    `data` builds the domain of a run, and `codes` examines its item codes.
    """

    name: str
    encoders: dict[str, Any]
    dimension: int
    folder: pathlib.Path
    data: Callable[[], Data] | None = None
    codes: Callable[[Progress], Geometry] | None = None


def define_flags() -> None:
    flags.DEFINE_multi_string("workdir", [], "a finished run to audit; repeat to compare")
    flags.DEFINE_string("model", None, "a model at initialisation, with --input_dim")
    flags.DEFINE_multi_string("set", [], "a setting of that model, NAME=VALUE; may be repeated")
    flags.DEFINE_string("encoder", None, "MODULE:FUNCTION, one vector [n] -> code")
    flags.DEFINE_bool("batched", False, "the --encoder takes rows [B, n]")
    flags.DEFINE_bool("alone", False, "audit the encoder of a run alone, for items as for users")
    flags.DEFINE_integer("input_dim", None, "n, with --model and --encoder", 1)
    flags.DEFINE_string(
        "domain", None, f"data, hull (of a run), box:LOW,HIGH or {', '.join(DOMAINS)}"
    )
    relevant = "what a run's data say of an item: a row lists it, or it is held out for the test"
    flags.DEFINE_enum("relevance", "listed", ["listed", "heldout"], relevant)
    flags.DEFINE_string(
        "items", None, "features of items [I, n], .npy or .parquet, for the encoder of a run"
    )
    flags.DEFINE_bool("geometry", False, "examine the item codes of a run too, a few minutes more")
    flags.DEFINE_string("budget", "1e6", "triples to sample, or seconds like 30s")
    flags.DEFINE_enum("truth", "dot", ["dot", "cosine"], "the true similarity")
    flags.DEFINE_enum("latent", "dot", ["dot", "cosine"], "the similarity of codes")
    flags.DEFINE_integer("seed", 0, "of everything random", 0, 2**31)
    flags.DEFINE_string("state", None, "a file from which an interrupted audit resumes")
    flags.DEFINE_string("output", None, "folder of the report (default audit/ in a run)")
    for name in ("data_dir", "data_file", "split_dir"):
        flags.DEFINE_string(name, None, "where the run's data are now, if they moved")


def main(given: Mapping[str, Any]) -> None:
    budget = check(given)
    found = subjects(given)
    domains = [domain_of(subject, given) for subject in found]  # all of them, before work begins
    audits = {}
    for subject, domain in zip(found, domains, strict=True):
        audits[subject.name] = examine(subject, domain, budget, given)
    for table in (*show.comparisons(audits), *show.geometries(audits), show.audits(audits)):
        show.CONSOLE.print(table)
    folders = [str(subject.folder) for subject in found]
    if len(audits) > 1:
        folder = pathlib.Path(given["output"] or "runs/audit")
        plots.comparison(audits, folder)
        folders.append(str(folder))
    show.CONSOLE.print(
        f"Reports and pictures: {', '.join(folders)}.\n"
        f"Next: open {found[0].folder}/audit.html in a browser",
        markup=False,
        soft_wrap=True,
    )


def check(given: Mapping[str, Any]) -> int | str:
    """Refuse flags that do not go together; return the budget, a number of triples or "30s"."""
    ways = [name for name in WAYS if given[name]]
    if len(ways) != 1:
        raise BadInput("give exactly one of --workdir, --model and --encoder")
    for name, owners in BELONGS.items():
        if given[name] and ways[0] not in owners:
            raise BadInput(f"--{name} goes with --{' and --'.join(owners)}, not with --{ways[0]}")
    if given["input_dim"] is None and ways[0] != "workdir":
        raise BadInput("--input_dim is needed: the dimension n of the vectors that are encoded")
    memory.require(1000 * (given["input_dim"] or 0), "The audit", "use a smaller --input_dim")
    name, known = given["domain"], [*DOMAINS, "data", "hull"]
    if name is not None and name not in known and not sides(name):
        raise BadInput(f"No domain is called {name!r}. {nearest(name, known)}")
    for flag, needed in (("items", given["items"]), ("relevance", given["relevance"] == "heldout")):
        if needed and (ways[0] != "workdir" or name not in (None, "data")):
            raise BadInput(f"--{flag} needs a run's own data: give --workdir and no --domain")
    if given["items"] and given["relevance"] == "heldout":
        raise BadInput("--items are not the columns, of which some are held out: give one of both")
    if name in ("data", "hull") and ways[0] != "workdir":
        raise BadInput(f"--domain={name} needs a finished run: give --workdir")
    if given["state"] and len(given["workdir"]) > 1:
        raise BadInput("--state belongs to one audit: give one --workdir")
    try:
        text = given["budget"]
        number = float(text.removesuffix("s"))
        if number > 0 and math.isfinite(number) and (text.endswith("s") or number >= 1):
            return text if text.endswith("s") else int(number)
    except ValueError:
        pass
    raise BadInput(f"--budget={text}: a number of triples like 1e7, or seconds like 30s")


def subjects(given: Mapping[str, Any]) -> list[Subject]:
    """Collect what the flags name: finished runs, a model at initialisation, or a callable."""
    if given["model"]:
        return [_initial(given)]
    if given["encoder"]:
        return [_callable(given)]
    workdirs = [pathlib.Path(workdir) for workdir in given["workdir"]]
    names = [workdir.resolve().name for workdir in workdirs]
    if len(set(names)) < len(names):
        names = [str(workdir).replace("/", "_") for workdir in workdirs]
    if len(set(names)) < len(names):
        raise BadInput("a --workdir is given twice")
    folders = [workdir / directory.AUDIT for workdir in workdirs]
    if given["output"]:
        output = pathlib.Path(given["output"])
        folders = [output] if len(names) == 1 else [output / name for name in names]
    return [_trained(*each, given) for each in zip(workdirs, names, folders, strict=True)]


def domain_of(subject: Subject, given: Mapping[str, Any]) -> Domain:
    """Build the domain that --domain names, or the encoder's own."""
    if subject.data is not None and given["domain"] in (None, "data"):
        return subject.data()
    if subject.data is not None and given["domain"] == "hull":
        users = subject.data().users
        count = min(HULL, users.shape[0])
        rows = np.random.default_rng(given["seed"]).choice(users.shape[0], count, replace=False)
        return samplers.hull(users[np.sort(rows)].toarray())
    name = given["domain"] or "gaussian"
    if ends := sides(name):
        return samplers.box(*np.tile(np.array(ends)[:, None], subject.dimension))
    return DOMAINS[name](subject.dimension)


def sides(domain: str) -> tuple[float, float] | None:
    """Read "box:LOW,HIGH"; None for another domain. Raises BadInput for no such pair."""
    name, colon, ends = domain.partition(":")
    if name != "box" or not colon:
        return None
    try:
        low, high = map(float, ends.split(","))
    except ValueError:
        low, high = math.nan, math.nan
    if not low < high < math.inf or low == -math.inf:
        raise BadInput(f"--domain={domain}: two numbers, the lower one first, like box:-1,1")
    return low, high


def features(path: pathlib.Path, width: int) -> np.ndarray:
    """Read features of items [I, n] from .npy or .parquet.

    Raises:
      BadInput: no such file, or no matrix of finite numbers of that width.
    """
    with files.reading(path, "give a .npy or .parquet file with a row for each item"):
        if path.suffix == ".parquet":
            rows = pl.read_parquet(path).to_numpy()
        else:
            rows = np.load(path, allow_pickle=False)
    if rows.ndim != 2 or rows.dtype.kind not in "fiub" or rows.shape[1] != width:
        wanted = f"not numbers [I, {width}], the width of the run's rows"
        raise BadInput(f"{path}: {rows.dtype} {rows.shape}, {wanted}")
    return rows


def examine(subject: Subject, domain: Domain, budget: int | str, given: Mapping[str, Any]) -> Audit:
    """Audit one encoder and write its report."""
    begun = time.perf_counter()
    points = search.POINTS if isinstance(budget, str) else min(search.POINTS, budget)
    with bars.Progress(console=show.CONSOLE, transient=True) as bar:
        task = bar.add_task(f"auditing {subject.name}", total=None)

        def progress(stage: str, done: int, of: int) -> None:
            text = f"{subject.name}: {stage}"
            bar.update(task, description=text, completed=done, total=of or None)

        try:
            found = audit(
                domain=domain, key=jax.random.key(given["seed"]), budget=budget,
                name=subject.name, truth=given["truth"], latent=given["latent"],
                search_points=points, state=given["state"], **subject.encoders, progress=progress,
            )  # fmt: skip
            if given["geometry"] and subject.codes is not None:
                figures = geometry.figures(subject.codes(progress))
                found = dataclasses.replace(found, geometry=figures)
            found.save(subject.folder, command=f"aerec audit {shlex.join(options.command_flags())}")
            plots.figures(found, subject.folder)
        except ValueError as error:
            raise BadInput(f"{subject.name}: {' '.join(str(error).split())}") from error
    seconds = time.perf_counter() - begun
    show.CONSOLE.print(f"{subject.name}: {found.triples:,} triples, {seconds:.1f} s", style="dim")
    for note in found.notes:
        show.CONSOLE.print(note, style="yellow", markup=False)
    return found


def _trained(
    workdir: pathlib.Path, name: str, folder: pathlib.Path, given: Mapping[str, Any]
) -> Subject:
    loaded = artefact.load(workdir)
    config = loaded.config
    if note := encoding.order_note(loaded):
        show.CONSOLE.print(f"{name}: {note}", style="yellow", markup=False)

    @functools.cache
    def split() -> Split:
        moved = ("data_dir", "data_file", "split_dir")
        source = {**config["source"], **{name: given[name] for name in moved if given[name]}}
        text = rescore.protocol_text(config)
        return options.load_splits(source, config["dataset"], text, config["seeds"][:1])[0]

    def data() -> Data:
        items = None
        if given["items"]:
            items = features(pathlib.Path(given["items"]), config["shape"][1])
        return encoding.domain(loaded, split(), relevance=given["relevance"], items=items)

    if given["geometry"]:
        geometry.require_codes(loaded)

    return Subject(
        name=name,
        encoders=encoding.subject(loaded, alone=given["alone"] or bool(given["items"])),
        dimension=config["shape"][1],
        folder=folder,
        data=data,
        codes=lambda progress: geometry.examine(loaded, split(), progress=progress),
    )


def _initial(given: Mapping[str, Any]) -> Subject:
    config = models.configure(given["model"], configuration.assignments(given["set"], of="--set"))
    model = models.find(given["model"]).make(config, Facts(1, given["input_dim"]))
    params = model.init(jax.random.key(given["seed"]))
    return Subject(
        name=f"{given['model']} at initialisation",
        encoders={
            "encode": lambda x: model.encode(params, x),
            "batched": True,
            "activation": encoding.last_activation(vars(config)),
        },
        dimension=given["input_dim"],
        folder=pathlib.Path(given["output"] or f"runs/audit-{given['model']}-initial"),
    )


def _callable(given: Mapping[str, Any]) -> Subject:
    name = f"--encoder={given['encoder']}"
    module, _, function = given["encoder"].partition(":")
    try:
        encode = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise BadInput(f"{name}: {_said(error)}; write MODULE:FUNCTION") from error
    if not callable(encode):
        raise BadInput(f"{name} is not a function")

    def guarded(x):
        try:
            return encode(x)
        except SystemExit as error:
            raise RuntimeError("SystemExit") from error

    return Subject(
        name=given["encoder"],
        encoders={"encode": guarded, "batched": given["batched"]},
        dimension=given["input_dim"],
        folder=pathlib.Path(given["output"] or f"runs/audit-{module}-{function}"),
    )


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
