"""The same run at several values of its settings: one table, one plot.

  python -m experiments.sweep --over=dropout=0.3/0.5/0.7
  python -m experiments.sweep --config=autorec_ml1m --data_dir=DIR --over=hidden=20/100/500
  python -m experiments.sweep --config=ease_ml1m --data_dir=DIR --over=l2=100/300/500 --over=...

Values are separated by slashes; with several `--over`, every combination is run. A name is a flag
of `experiments.train` or, if there is none, a setting of the model. All other flags are given to
every run. After an interruption, the same command resumes.
"""

import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

from absl import flags

from aerec import configuration
from aerec.cli import command, options, train
from aerec.errors import BadInput
from experiments import study, tables


def main(given: Mapping[str, Any]) -> None:
    if not given["over"]:
        raise BadInput("--over is missing: --over=NAME=VALUE/VALUE/...")
    over = {
        name: values.split("/")
        for name, values in configuration.assignments(given["over"], of="--over").items()
    }
    if given["workdir"]:
        raise BadInput("--workdir is of one run: the folder of a sweep is --output")
    if not all(value for values in over.values() for value in values):
        raise BadInput(f"--over={','.join(given['over'])}: a value is empty")
    if twice := [name for name in over if given_elsewhere(given, name)]:
        raise BadInput(f"{', '.join(twice)}: swept by --over and set by a flag; leave one out")
    rows = []
    for values in itertools.product(*over.values()):
        settings = dict(zip(over, values, strict=True))
        label = " ".join(f"{name}={value}" for name, value in settings.items())
        check(given, settings)
        rows.append(study.Row(label, tuple(flag(*setting) for setting in settings.items())))
    what = given["config"] or given["model"] or "default"
    tables.show_run(
        study.Study(
            title=f"Test figures by {', '.join(over)}",
            rows=rows,
            curves=given["curves"],
        ),
        pathlib.Path(given["output"] or f"runs/sweep-{what}-{'-'.join(over)}"),
        options.command_flags("over", "output", "curves"),
    )


def flag(name: str, value: str) -> str:
    """Spell the setting as a flag of `experiments.train`."""
    return f"--{name}={value}" if name in flags.FLAGS else f"--set={name}={value}"


def given_elsewhere(given: Mapping[str, Any], name: str) -> bool:
    """Return whether a setting was given by a flag of its own or by --set."""
    if name in flags.FLAGS:
        return bool(flags.FLAGS[name].present)
    return name in configuration.assignments(given["set"], of="--set")


def check(given: Mapping[str, Any], settings: Mapping[str, str]) -> None:
    """Raise BadInput for invalid values before the first run starts."""
    flags_given = {**given, "set": list(given["set"])}
    for name, value in settings.items():
        if name not in flags.FLAGS:
            flags_given["set"].append(f"{name}={value}")
            continue
        try:
            flags_given[name] = flags.FLAGS[name].parser.parse(value)
        except ValueError as error:
            raise BadInput(f"--over={name}={value}: {error}") from None
    train.planned(flags_given)


if __name__ == "__main__":
    options.define_run_flags()
    flags.DEFINE_multi_string("over", [], "a setting and its values, NAME=VALUE/VALUE/...")
    flags.DEFINE_string(
        "output", None, "the folder of its runs (default runs/sweep-<recipe or model>-<names>)"
    )
    flags.DEFINE_enum(
        "curves", "validation", ["validation", "epochs", "steps", "figures"],
        "the picture: the validation figure by epoch, the training loss next to it, the training "
        "loss of each mini-batch, or the test figures with intervals",
    )  # fmt: skip
    command.run(main, __doc__)
