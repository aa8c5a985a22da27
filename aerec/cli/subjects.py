"""What an audit is of: the encoders that the flags name, and the domains they are audited on."""

import functools
import importlib
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import polars as pl

from aerec import configuration, files, models
from aerec.cli import options, show
from aerec.core import Facts
from aerec.data.splits import Split
from aerec.errors import BadInput
from aerec.properties import samplers
from aerec.properties.domain import Data, Domain
from aerec.runs import artefact, directory, encoding, geometry
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


def named(given: Mapping[str, Any]) -> list[Subject]:
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
    if not isinstance(rows, np.ndarray):
        raise BadInput(f"{path}: several arrays; give a .npy or .parquet file with one matrix")
    if rows.ndim != 2 or rows.dtype.kind not in "fiub" or rows.shape[1] != width:
        wanted = f"not numbers [I, {width}], the width of the run's rows"
        raise BadInput(f"{path}: {rows.dtype} {rows.shape}, {wanted}")
    return rows


def _trained(
    workdir: pathlib.Path, name: str, folder: pathlib.Path, given: Mapping[str, Any]
) -> Subject:
    loaded = artefact.load(workdir)
    config = loaded.config
    if note := encoding.order_note(loaded):
        show.CONSOLE.print(f"{name}: {note}", style="yellow", markup=False)

    @functools.cache
    def split() -> Split:
        return options.splits_of(config, given, seeds=config["seeds"][:1])[0]

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
            "network": encoding.network(model, params),
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
