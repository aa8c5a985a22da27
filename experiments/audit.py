"""Audits encoders: dimension, order of similarity, non-zero vectors; verdicts with witnesses.

  python -m experiments.audit --workdir=RUN
  python -m experiments.audit --workdir=RUN --workdir=OTHER --domain=gaussian --budget=1e7
  python -m experiments.audit --model=autorec --set latent_activation=tanh --input_dim=200
  python -m experiments.audit --encoder=mypackage.mymodule:encode --input_dim=50 --domain=sphere

A trained run is audited on its own data, `--domain=data`: x is a row that the model reads, u and v
are single columns, the true score <x, u> is what the row lists, and every triple is counted. Any
encoder can be audited on gaussian, sphere, ball, box (0 to 1), binary, swaps, ratings, stratified,
ties or orthogonal. Writes audit.json, audit.md, the witnesses and pictures; with --state a run
that was cut off goes on from there. Theory: aerec/properties/THEORY.md.
"""

import importlib
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import rich.box
import scipy.sparse
from absl import flags
from rich.progress import Progress
from rich.table import Table

from aerec import activations, artefact, models, rescore, runs, typed
from aerec.errors import BadInput, nearest
from aerec.properties import Audit, audit, plots, samplers
from experiments import cli, show

DOMAINS: dict[str, Callable[[int], samplers.Domain]] = {
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


class Subject(NamedTuple):
    """An encoder to audit: rows [B, n] -> codes, what its last activation is, where to write."""

    name: str
    encode: Callable
    dimension: int
    batched: bool
    activation: activations.Activation | None
    folder: pathlib.Path
    data: Callable[[], samplers.Domain] | None


def define_flags() -> None:
    flags.DEFINE_multi_string("workdir", [], "a finished run to audit; repeat to compare")
    flags.DEFINE_string("model", None, "a model at its initialisation, with --input_dim")
    flags.DEFINE_multi_string("set", [], "a setting of that model, NAME=VALUE; may be repeated")
    flags.DEFINE_string("encoder", None, "MODULE:FUNCTION, one vector [n] -> code")
    flags.DEFINE_bool("batched", False, "the --encoder takes rows [B, n]")
    flags.DEFINE_integer("input_dim", None, "n, with --model and --encoder", 1)
    flags.DEFINE_string("domain", None, f"data (of a run) or {', '.join(DOMAINS)}")
    flags.DEFINE_string("budget", "1e6", "sampled triples, or seconds like 30s")
    flags.DEFINE_enum("truth", "dot", ["dot", "cosine"], "the true similarity")
    flags.DEFINE_enum("latent", "dot", ["dot", "cosine"], "the similarity of codes")
    flags.DEFINE_integer("seed", 0, "of everything random", 0)
    flags.DEFINE_string("state", None, "a file to resume the sampling from")
    flags.DEFINE_string("output", None, "folder of the report (default: audit/ in the run)")
    for name in ("data_dir", "data_file", "split_dir"):
        flags.DEFINE_string(name, None, "where the run's data are now, if they moved")


def main(given: Mapping[str, Any]) -> None:
    found = subjects(given)
    audits = {subject.name: examine(subject, given) for subject in found}
    show.CONSOLE.print(table(audits))
    folders = [str(subject.folder) for subject in found]
    if len(audits) > 1:
        folder = pathlib.Path(given["output"] or "runs/audit")
        folder.mkdir(parents=True, exist_ok=True)
        plots.comparison(audits, folder)
        folders.append(str(folder))
    show.CONSOLE.print(
        f"Reports and pictures: {', '.join(folders)}.\nNext: less {found[0].folder}/audit.md",
        markup=False,
        soft_wrap=True,
    )


def subjects(given: Mapping[str, Any]) -> list[Subject]:
    """What the flags name: finished runs, a model at its initialisation, or a callable."""
    ways = [bool(given["workdir"]), given["model"] is not None, given["encoder"] is not None]
    if sum(ways) != 1:
        raise BadInput("name what to audit by one of --workdir, --model and --encoder")
    if given["workdir"]:
        return [_trained(pathlib.Path(workdir), given) for workdir in given["workdir"]]
    if given["input_dim"] is None:
        raise BadInput("--input_dim is needed: the dimension n of the vectors that are encoded")
    if given["model"]:
        return [_initial(given)]
    return [_callable(given)]


def examine(subject: Subject, given: Mapping[str, Any]) -> Audit:
    """Audits one encoder and writes its report."""
    name = given["domain"] or ("data" if subject.data else "gaussian")
    if name == "data":
        if subject.data is None:
            raise BadInput("--domain=data is of a finished run: --workdir")
        domain = subject.data()
    elif name in DOMAINS:
        domain = DOMAINS[name](subject.dimension)
    else:
        raise BadInput(f"No domain is called {name!r}. {nearest(name, [*DOMAINS, 'data'])}")
    begun = time.perf_counter()
    with Progress(console=show.CONSOLE, transient=True) as bar:
        task = bar.add_task(f"auditing {subject.name}", total=None)
        try:
            found = audit(
                subject.encode,
                domain,
                jax.random.key(given["seed"]),
                budget=_budget(given["budget"]),
                batched=subject.batched,
                name=subject.name,
                truth=given["truth"],
                latent=given["latent"],
                activation=subject.activation,
                state=given["state"],
                progress=lambda done, of: bar.update(task, completed=done, total=of),
            )
        except ValueError as error:
            raise BadInput(f"{subject.name}: {error}") from error
    found.save(subject.folder)
    plots.figures(found, subject.folder)
    seconds = time.perf_counter() - begun
    show.CONSOLE.print(f"{subject.name}: {found.triples:,} triples, {seconds:.1f} s", style="dim")
    return found


def table(audits: Mapping[str, Audit]) -> Table:
    """Verdicts, rates and intervals, a line per encoder and property."""
    shown = Table(title="Audit", box=rich.box.SIMPLE_HEAD, title_justify="left")
    for name in ("encoder", "property", "verdict", "domain", "rate", "95% interval"):
        shown.add_column(name, justify="right" if name == "rate" else "left")
    shown.add_column("reversed of ordered", justify="right")
    shown.add_column("skill", justify="right")
    for encoder, found in audits.items():
        for name, finding in found.properties.items():
            rate = "" if finding.rate is None else f"{finding.rate:.3g}"
            ends = "" if finding.interval is None else "{:.3g} to {:.3g}".format(*finding.interval)
            skill = "" if finding.skill is None else f"{finding.skill:.3f}"
            reversed_ = finding.details.get("reversed_of_ordered")
            wrong = "" if reversed_ is None else f"{reversed_:.3g}"
            shown.add_row(
                encoder, name, finding.verdict, finding.domain, rate, ends, wrong, skill
            )
    return shown


def _trained(workdir: pathlib.Path, given: Mapping[str, Any]) -> Subject:
    loaded = artefact.load(workdir)
    config = loaded.config

    def data() -> samplers.Domain:
        moved = ("data_dir", "data_file", "split_dir")
        source = {**config["source"], **{name: given[name] for name in moved if given[name]}}
        text = rescore.protocol_text(config)
        own = cli.load_splits(source, config["dataset"], text, config["seeds"])
        _, (split, *_) = runs.oriented(config["model"], config["set"], own)
        tables = [split.train]
        if split.test_ids is not None:  # rows that were not trained on
            tables += [split.valid.input, split.test.input]
        rows = []
        for part in tables:
            row, column, value = part.entries()
            shape = (part.num_rows, part.num_columns)
            rows.append(scipy.sparse.csr_matrix((value, (row, column)), shape))
        return samplers.empirical(scipy.sparse.vstack(rows, "csr"))

    return Subject(
        name=workdir.name,
        encode=lambda x: loaded.model.encode(loaded.params, x),
        dimension=config["shape"][1],
        batched=True,
        activation=_last_activation(config["set"]),
        folder=pathlib.Path(given["output"] or workdir) / "audit",
        data=data,
    )


def _initial(given: Mapping[str, Any]) -> Subject:
    config = models.configure(given["model"], typed.assignments(given["set"], of="--set"))
    model = models.find(given["model"]).make(config, 1, given["input_dim"])
    params = model.init(jax.random.key(given["seed"]))
    return Subject(
        name=f"{given['model']} at initialisation",
        encode=lambda x: model.encode(params, x),
        dimension=given["input_dim"],
        batched=True,
        activation=_last_activation(vars(config)),
        folder=pathlib.Path(given["output"] or f"runs/audit-{given['model']}-initial"),
        data=None,
    )


def _callable(given: Mapping[str, Any]) -> Subject:
    module, _, function = given["encoder"].partition(":")
    try:
        encode = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"--encoder={given['encoder']}: {error}; write MODULE:FUNCTION") from error
    return Subject(
        name=given["encoder"],
        encode=encode,
        dimension=given["input_dim"],
        batched=given["batched"],
        activation=None,
        folder=pathlib.Path(given["output"] or f"runs/audit-{function}"),
        data=None,
    )


def _last_activation(settings: Mapping[str, Any]) -> activations.Activation | None:
    """The activation of the code, where the model's settings have one."""
    if "latent_activation" not in settings:
        return None
    return activations.describe(settings["latent_activation"] or settings["activation"])


def _budget(text: str) -> int | str:
    if text.endswith("s"):
        return text
    try:
        return int(float(text))
    except ValueError:
        raise BadInput(f"--budget={text}: triples like 1e7, or seconds like 30s") from None


if __name__ == "__main__":
    define_flags()
    cli.run(main, __doc__)
