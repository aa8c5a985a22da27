"""Audit encoders: dimension, order of similarity, zeros, rankings; verdicts with witnesses.

  python -m experiments.audit --workdir=RUN --geometry
  python -m experiments.audit --workdir=RUN --workdir=OTHER --domain=gaussian --budget=1e7
  python -m experiments.audit --model=autorec --set latent_activation=tanh --input_dim=200
  python -m experiments.audit --encoder=mypackage.mymodule:encode --input_dim=50 --domain=sphere

A trained run (of several seeds, the first) is audited on its own data, `--domain=data`: x is a row
that the model reads, u and v are single columns, the true score <x, u> is what the row lists, and
every triple is counted. The codes are what the model ranks by: where its score is <q, g> + b, the
query of x, and the code of an item with its bias. `--alone` audits the encoder, for items as for
users. `--items=FILE` does so with features of items, in place of columns. `--relevance=heldout`
ranks the items that a test row has not seen; the held-out ones are the truth.

Any encoder can be audited on gaussian, sphere, ball, box (0 to 1, or box:LOW,HIGH), binary, swaps,
ratings, stratified, ties or orthogonal, and that of a run on hull, the convex hull of some of its
rows. Writes audit.html, audit.md, audit.json, the witnesses and plots. With --state an interrupted
audit resumes. Guide: docs/guide/audit.md. Theory: docs/theory.md.
"""

import dataclasses
import math
import pathlib
import shlex
import time
from collections.abc import Mapping
from typing import Any

import jax
from absl import flags
from rich import progress as bars

from aerec import memory
from aerec.cli import options, show, subjects
from aerec.cli.subjects import DOMAINS, Subject
from aerec.errors import BadInput, nearest
from aerec.properties import Audit, audit, plots, search
from aerec.properties.domain import Domain
from aerec.runs import geometry

WAYS = ("workdir", "model", "encoder")
BELONGS = {  # flags that apply to some of the ways to name an encoder only
    "input_dim": ("model", "encoder"), "set": ("model",), "batched": ("encoder",),
    **dict.fromkeys(("alone", "items", "geometry"), ("workdir",)),
    **dict.fromkeys(("data_dir", "data_file", "split_dir"), ("workdir",)),
}  # fmt: skip


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
    found = subjects.named(given)
    # all domains are built before work begins
    domains = [subjects.domain_of(subject, given) for subject in found]
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
    if name is not None and name not in known and not subjects.sides(name):
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
