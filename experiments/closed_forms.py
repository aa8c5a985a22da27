"""Compare EASE with its extensions in closed form, each searched with the same number of trials.

  python -m experiments.closed_forms --data_dir=DIR --output=runs/closed_forms --record

The forms are options of `ease` (`FORMS`): the penalty of 2019, EDLAE, DAN's weights of users with
EDLAE's penalty, RDLAE, the last two together, and SLIM. The settings of each are searched on the
validation part of the split with seed 0. The winner is fitted and tested on the splits with seeds
1, 2 and 3. A row is a form, with the mean of the splits; a row like `edlae-dan` is a paired
difference over the test users of all splits, with p adjusted by Holm's method. A finished search or
fit is a file in --output; the same command resumes.
"""

import functools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

import aerec
from aerec.cli import command, options, show
from aerec.cross_validation import FIGURES, CrossValidation
from aerec.errors import BadInput, nearest
from aerec.space import Log, Space, Uniform
from experiments import board, cells, records, tuning
from experiments.cells import Content
from experiments.records import Record

PROTOCOL = "strong"
BASELINE = "edlae"
SHOWN = FIGURES["ranking"]


class Form(NamedTuple):
    """What is searched, and the options that are fixed."""

    space: Space
    fixed: Mapping[str, Any] = {}


PENALTY: Space = {"l2": Log(1, 1e4)}
DROPOUT: Space = {**PENALTY, "dropout": Uniform(0, 0.9)}
FORMS = {
    "ease": Form(PENALTY, {"dropout": 0.0}),
    "edlae": Form(DROPOUT),
    "dan": Form({**DROPOUT, "user_power": Uniform(0, 1)}),
    "rdlae": Form({**DROPOUT, "self_weight": Uniform(0, 0.9)}),
    "dan_rdlae": Form(
        {**DROPOUT, "user_power": Uniform(0, 1), "self_weight": Uniform(0, 0.9)}
    ),
    "slim": Form({**PENALTY, "l1": Uniform(0, 50)}, {"dropout": 0.0, "nonnegative": True}),
}


def main(given: Mapping[str, Any]) -> None:
    """Search, fit and test what is not kept yet; show the rows, and keep them if asked to."""
    output = pathlib.Path(options.required(given, "output"))
    dataset, names = given["dataset"], list(dict.fromkeys(given["forms"]))
    for name in names:
        if name not in FORMS:
            raise BadInput(f"--forms: there is no {name!r}. {nearest(name, FORMS)}")
    read = functools.cache(lambda: aerec.load(dataset, data_dir=given["data_dir"]))

    def searched(name: str) -> Content:
        begun = time.perf_counter()
        split = board.divide(read(), dataset, PROTOCOL, 0)
        form = FORMS[name]
        found = tuning.search(
            "ease", split, given["trials"], store=output / f"{name}_trials", show=False,
            space=form.space, **form.fixed,
        )  # fmt: skip
        return {"search": found.summary(), "made": cells.made(begun, split, (0,))}

    found = cells.measure({n: functools.partial(searched, n) for n in names}, output)
    searches = {name: own["search"] for name, own in zip(names, found, strict=True)}

    def tested(name: str, seed: int) -> Content:
        begun = time.perf_counter()
        split = board.divide(read(), dataset, PROTOCOL, seed)
        run = aerec.fit("ease", split, show=False, **searches[name]["setting"])
        return cells.tested(begun, run, split, SHOWN)

    planned = {
        f"{name}.{seed}": functools.partial(tested, name, seed)
        for name in names for seed in board.SEEDS
    }  # fmt: skip
    contents = dict(zip(planned, cells.measure(planned, output), strict=True))
    fits = {name: [contents[f"{name}.{seed}"] for seed in board.SEEDS] for name in names}
    title = f"Linear models in closed form on {dataset}"
    rows = recorded(fits, searches, title, line(given))
    show.CONSOLE.print(cells.table(title, rows, SHOWN))
    folder = records.RESULTS if given["record"] else output
    path = records.write(f"closed_forms_{dataset.replace('-', '_')}", title, rows, folder)
    done = f"Kept in {path}." if given["record"] else f"Next: {line(given)} --record"
    show.CONSOLE.print(done, markup=False, soft_wrap=True)


def recorded(
    fits: Mapping[str, Sequence[Content]], searches: Mapping[str, Any], title: str, typed: str
) -> list[Record]:
    """Make the record of each form, with its search, and of its difference from EDLAE.

    Args:
      fits: form -> the content of each split.
      searches: form -> the summary of its search.
      typed: the command that makes them.
    """
    table = CrossValidation(
        {name: [cells.scored(one) for one in own] for name, own in fits.items()},
        SHOWN[0], SHOWN, baseline=BASELINE if BASELINE in fits else None, title=title,
    )  # fmt: skip
    rows = []
    for name in table.ranking():
        figures = {figure: table.mean(name, figure) for figure in SHOWN}
        errors = {figure: table.error(name, figure) for figure in SHOWN}
        errors = {figure: error for figure, error in errors.items() if np.isfinite(error)}
        fields = {**cells.joined(fits[name], typed), "seconds": table.seconds(name)}
        rows.append(
            Record(label=name, figures=figures, errors=errors, tuning=searches[name], **fields)
        )
    first = table.baseline or table.ranking()[0]
    fields = {**cells.joined(fits[first], typed), "seconds": 0.0}
    return rows + cells.differences(table, fields)


def line(given: Mapping[str, Any]) -> str:
    """Return the command of the study."""
    own = "" if tuple(given["forms"]) == tuple(FORMS) else f" --forms={','.join(given['forms'])}"
    return (
        f"python -m experiments.closed_forms --dataset={given['dataset']} "
        f"--trials={given['trials']}{own} --data_dir=DIR --output=DIR"
    )


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("output", None, "the folder of the searches and fits")
    flags.DEFINE_string("dataset", "ml-1m", "a data set of the board")
    flags.DEFINE_list("forms", list(FORMS), "names of forms")
    flags.DEFINE_integer("trials", 40, "trials of each form", 1)
    flags.DEFINE_bool("record", False, "keep the rows in experiments/results/closed_forms_*.json")
    command.run(main, __doc__)
