"""Flags and recipes that the commands share."""

import dataclasses
import io
import math
import pathlib
import re
import runpy
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from absl import flags

import aerec
from aerec import configuration, files
from aerec.configuration import Natural, Replicas, Weight
from aerec.data import datasets, formats, protocols, readers
from aerec.data.roles import ROLES
from aerec.data.splits import Split
from aerec.errors import BadInput, nearest
from aerec.runs import rescore
from aerec.training.settings import Settings

# Flags that `load_splits` reads besides the dataset's name; a run stores them.
DATA_PLACES = ("data_dir", "data_file", "split_dir")  # which may differ for a finished run
DATA_FLAGS = (
    "data_dir", "data_file", "format", "separator", "header", "columns", "scale", "encoding",
    "on_bad_line", "split_dir", "table",
)  # fmt: skip
FILE_FLAGS = ("format", "separator", "header", "columns", "scale", "encoding")  # of a user's file
EARLIER = ["user=user", "item=item", "rating=rating"]  # in config.json, if none were given


@configuration.settings
class Plan:
    """Model, data and seeds of a run; with the settings of training and model, a whole recipe."""

    model: str = "multvae"  # name of a model (default multvae)
    dataset: str = "movielens-small"  # name of a dataset (default movielens-small)
    protocol: str = ""  # how to split: NAME or NAME:PARAMETER=VALUE,... (default by the model)
    seed: Natural = 0  # of all random numbers of the model (default 0)
    seeds: Replicas = 1  # replicas, trained under one vmap (default 1)
    order_penalty: Weight = 0.0  # weight of the order penalty in the loss


RECIPE = (*configuration.kinds(Settings), *configuration.kinds(Plan), "set", "baselines")


def define_run_flags() -> None:
    """Define the flags of a training run; None means not given."""
    flags.DEFINE_string(
        "config",
        None,
        "a recipe: a file's path, or its name in experiments/configs; flags override it",
    )
    flags.DEFINE_multi_string("set", [], "a setting of the model, NAME=VALUE; may be repeated")
    define_data_flags()
    flags.DEFINE_string("split_dir", None, "the folder of ready splits, with --protocol=files")
    for of in (Plan, Settings):
        helps = configuration.comments(of)
        for name, kind in configuration.kinds(of).items():
            define(name, kind, helps[name])
    define_workdir_flag("the run directory (default runs/<model>-<dataset>-<hash>)")
    flags.DEFINE_float("checkpoint_seconds", 15.0, "shortest time between two checkpoints", 0.0)
    flags.DEFINE_list("baselines", None, "models for comparison in the table (default by the task)")


def define(name: str, kind: Any, help: str) -> None:
    """Define the flag of a setting; None means not given. Its rule is checked later."""
    kind, _ = configuration.bare(kind)
    if typing.get_origin(kind) is Literal:
        flags.DEFINE_enum(name, None, typing.get_args(kind), help)
    elif kind is int:
        flags.DEFINE_integer(name, None, help)
    elif kind is float:
        flags.DEFINE_float(name, None, help)
    else:
        flags.DEFINE_string(name, None, help)


def define_data_flags() -> None:
    """Define the flags that say which ratings to read."""
    flags.DEFINE_string("data_dir", None, "where the dataset's files are (default $AEREC_DATA)")
    flags.DEFINE_string("data_file", None, "a file of ratings of your own, instead of --dataset")
    define_layout_flags("--data_file")
    flags.DEFINE_enum(
        "table", None, ["auto", "memory", "mapped"],
        "of a folder of `aerec convert`: in memory, on the disk, or where it fits (default auto)",
    )  # fmt: skip


def define_layout_flags(of: str) -> None:
    """Define the flags that say how to read a file."""
    flags.DEFINE_enum("on_bad_line", "error", ["error", "skip"], "what to do with a malformed line")
    flags.DEFINE_string(
        "format", None, f"of {of}: {', '.join(formats.FORMATS)} (default: recognised)"
    )
    flags.DEFINE_string("separator", None, "between fields (default: recognised)")
    flags.DEFINE_bool("header", None, "the first line names the columns (default: recognised)")
    flags.DEFINE_list(
        "columns",
        None,
        "ROLE=COLUMN for user, item, rating, time; a column is its name, or its number from 0 where"
        " there is no header (default: by their usual names)",
    )
    flags.DEFINE_string("encoding", None, "of a text file, like latin-1 (default utf-8)")
    flags.DEFINE_list("scale", None, "lowest and highest rating of your data, like 1,5")


def define_workdir_flag(help: str) -> None:
    """Define the flag of the run directory."""
    flags.DEFINE_string("workdir", None, help)


def command_flags(*but: str) -> list[str]:
    """Return the flags of the command line, to be typed again, without those named."""
    given = [flags.FLAGS[name] for name in flags.FLAGS if flags.FLAGS[name].present]
    return [line for flag in given if flag.name not in but for line in flag.serialize().split("\n")]


def refuse(names: Iterable[str], why: str) -> None:
    """Raise BadInput for flags of the command line that have no effect."""
    if given := [f"--{name}" for name in names if flags.FLAGS[name].present]:
        raise BadInput(f"{', '.join(given)}: no effect {why}; leave it out")


def typed(text: str) -> str:
    """Spell the commands in a text like the current one: as `aerec`, or from a checkout."""
    installed = pathlib.Path(sys.argv[0]).name.startswith("aerec ")
    return text.replace("python -m experiments.", "aerec ") if installed else text


def dashed(message: str) -> str:
    """Turn settings in backticks into flags, in a message of the library."""

    def flag(found: re.Match) -> str:
        return f"--{found[1]}" if found[2] in flags.FLAGS else found[0]

    message = re.sub(rf"`((?:{'|'.join(ROLES)})=[^`]*)`", r"--columns=\1", message)
    return re.sub(r"`((\w+)(?:=[^`\s]*)?)`", flag, message)


def required(given: Mapping[str, Any], name: str) -> str:
    """Return the value of a flag without a default. Raises BadInput if it was not given."""
    if not given[name]:
        raise BadInput(f"--{name} is missing; --help describes it")
    return given[name]


def write(text: str, output: str | None, *, data: bool = True) -> None:
    """Write to a file, atomically, or to standard output.

    Args:
      data: whether the text is for programs: then it is UTF-8 on standard output too.
    """
    if output is None:
        if data and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        sys.stdout.write(text)
        return
    files.write_text(pathlib.Path(output), text)


def recipe(name: str | None) -> dict[str, Any]:
    """Read the `RECIPE` of a file: run flags by name, and `set`.

    Args:
      name: the path of a Python file, or in a checkout the name of one in experiments/configs.

    Raises:
      BadInput: no such recipe, or a file without one.
    """
    if name is None:
        return {}
    path = pathlib.Path(name).expanduser()
    if path.suffix != ".py":
        known = {found.stem: found for found in recipes()}
        if name not in known:
            where = "" if known else " Recipes have names in a checkout only: give a path, x.py."
            raise BadInput(f"No recipe is called {name!r}. {nearest(name, known)}{where}")
        path = known[name]
    if not path.is_file():
        raise BadInput(f"--config={name}: no such file")
    try:
        found = runpy.run_path(str(path)).get("RECIPE")
    except (Exception, SystemExit) as error:  # whatever the user's file does
        raise BadInput(f"{path} cannot be run ({type(error).__name__}: {error})") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path} has no RECIPE, a dict of settings by name")
    for key in found:
        if key not in RECIPE:
            raise BadInput(f"{path}: a recipe has no entry {key!r}. {nearest(key, RECIPE)}")
    if not isinstance(found.get("set", {}), dict):
        raise BadInput(f"{path}: set is a dict of the model's settings, not {found['set']!r}")
    names = found.get("baselines", [])
    if not isinstance(names, list | tuple) or not all(isinstance(own, str) for own in names):
        raise BadInput(f"{path}: baselines is a list of names, not {names!r}")
    return dict(found)


def recipes() -> list[pathlib.Path]:
    """List the recipes of the checkout that this package is imported from; none in a wheel."""
    root = pathlib.Path(aerec.__file__).parents[1]
    if not (root / "pyproject.toml").exists():
        return []
    return sorted((root / "experiments" / "configs").glob("[!_]*.py"))


def load_ratings(given: Mapping[str, Any], dataset: str, log: Callable[[str], Any] | None = None):
    """Read the ratings that the data flags name."""
    log = log or (lambda text: print(dashed(text)))
    if not given["data_file"]:
        return datasets.load(
            dataset,
            data_dir=given["data_dir"],
            on_bad_line=given["on_bad_line"],
            table=given.get("table") or "auto",
            log=log,
        )
    return readers.read(given["data_file"], **layout(given), log=log)


def layout(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the flags say about the layout of a file, as arguments of `readers.read`."""
    separator = given["separator"]
    return {
        "format": given["format"],
        **_columns(given["columns"] or []),
        "separator": separator and separator.replace("\\t", "\t"),
        "header": given["header"],
        "scale": _scale(given),
        "encoding": given.get("encoding"),  # there was none in earlier runs
        "on_bad_line": given["on_bad_line"],
    }


def _columns(given: Sequence[str]) -> dict[str, Any]:
    """Parse --columns as role -> column; ratings and times are read only if they are given too."""
    if not any(given) or list(given) == EARLIER:
        return {}
    found = configuration.assignments(given, of="--columns")
    if len(found) < len([part for part in given if part]):
        raise BadInput(f"--columns={','.join(given)}: a role is given twice")
    for role in found:
        if role not in ROLES:
            raise BadInput(f"--columns={','.join(given)}: no role {role!r}. {nearest(role, ROLES)}")
    return {"rating": "", "time": ""} | found


def _scale(given: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the lowest and highest rating, if given."""
    try:
        low, high = map(float, given["scale"] or (0, 1))
    except ValueError:
        low, high = 1.0, 0.0
    if not -math.inf < low < high < math.inf:
        raise BadInput("--scale takes the lowest and highest rating, like --scale=1,5")
    return (low, high) if given["scale"] else None


def protocol(given: Mapping[str, Any], text: str) -> protocols.Protocol:
    """Parse a protocol; `files` takes its folder and scale from flags of their own."""
    parsed = protocols.parse(text)
    if not isinstance(parsed, protocols.Files):
        return parsed
    if parsed.split_dir or parsed.scale:
        raise BadInput("the folder of --protocol=files is --split_dir, and the scale is --scale")
    own = {"split_dir": given["split_dir"], "scale": _scale(given) or ()}
    return dataclasses.replace(parsed, **own)


def splits_of(
    config: Mapping[str, Any],
    moved: Mapping[str, Any] | None = None,
    *,
    text: str | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Split]:
    """Make the splits of a run again, from its config.json.

    Args:
      moved: flags that name where its data are now.
      text: another protocol of the same data.
      seeds: of the splits; None: all of the run's.
    """
    moved = moved or {}
    places = {name: moved[name] for name in DATA_PLACES if moved.get(name)}
    return load_splits(
        {**config["source"], **places},
        config["dataset"],
        rescore.protocol_text(config) if text is None else text,
        config["seeds"] if seeds is None else seeds,
    )


def load_splits(given: Mapping[str, Any], dataset: str, text: str, seeds: Sequence[int]):
    """Make one split for all seeds, or one per seed if the protocol repeats the split."""
    parsed = protocol(given, text)
    ratings = None if isinstance(parsed, protocols.Files) else load_ratings(given, dataset)
    draws = seeds if parsed.per_seed else seeds[:1]
    return [parsed.split(ratings, seed=seed) for seed in draws]
