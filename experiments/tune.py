"""Search for the settings of models on the validation part of a split, then test each winner once.

  python -m experiments.tune --model=ease,multvae --trials=40 --output=runs/tuned
  python -m experiments.tune --model=ease --dataset=ml-1m --data_dir=DIR --output=runs/tuned
  python -m experiments.tune --model=elsa --jobs=8 --output=runs/tuned

Flags of training, and settings of the model by --set, are fixed: all trials have them. The winner
is fitted again, its test part is scored, and it is written as a recipe. After an interruption, the
same command resumes; with more --trials it continues.
"""

import contextlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import rich.box
from absl import flags
from rich.markup import escape
from rich.table import Table

import aerec
from aerec import configuration, files
from aerec.cli import command, options, show, train
from aerec.data.splits import Split
from aerec.runs import directory
from aerec.runs.run import Run, opened
from aerec.training.settings import Settings
from experiments import tuning

UNUSED = ("config", "workdir", "seeds", "baselines", "order_penalty", "checkpoint_seconds")
SHOWN = 5  # trials in the table


def main(given: Mapping[str, Any]) -> None:
    options.refuse(UNUSED, "in a search")
    output = pathlib.Path(options.required(given, "output"))
    names = list(dict.fromkeys(options.required(given, "model").split(",")))
    fixed = {name: given[name] for name in configuration.kinds(Settings)}
    fixed = {name: value for name, value in fixed.items() if value is not None}
    fixed |= configuration.assignments(given["set"], of="--set")
    chosen = {name: train.choose({**given, "model": name}) for name in names}
    for own in chosen.values():
        options.protocol(given, own["protocol"])  # errors before the data are read
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        # Trials have some programs in common, and the winner has all of those of its trial.
        jax.config.update("jax_compilation_cache_dir", str(output / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    with workers(given["jobs"], output):
        splits = _splits(given, chosen)

        def searched(name: str, seconds: float | None, shown: bool) -> tuning.Search:
            split = splits[chosen[name]["protocol"]]
            return tuning.search(
                name, split, given["trials"], chosen[name]["seed"],
                store=output, seconds=seconds, prune=given["prune"], together=given["together"],
                show=shown, **fixed,
            )  # fmt: skip

        for name in names:
            searched(name, given["seconds"], True)
    if given["search_only"]:
        return
    for name in names:  # with the trials of all workers, and those of one that was killed
        found = searched(name, None if given["seconds"] is None else 0, False)
        show.CONSOLE.print(f"{name}, {described(found)}; the best on validation:")
        show.CONSOLE.print(table(found))
        conclude(name, found, splits[chosen[name]["protocol"]], chosen[name], output)


@contextlib.contextmanager
def workers(jobs: int, output: pathlib.Path) -> Iterator[None]:
    """Start the other `jobs` - 1 processes of the same command; wait for them in the end."""
    if jobs == 1:
        yield
        return
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / jobs:.3f}")  # of a GPU, each
    with files.writing(output):
        output.mkdir(parents=True, exist_ok=True)
    same = options.command_flags("jobs", "search_only")
    line = [sys.executable, "-m", "experiments.tune", *same, "--search_only"]
    started = []
    try:
        for number in range(1, jobs):
            with (output / f"worker{number}.log").open("w", encoding="utf-8") as log:
                started.append(subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT))
        yield
        for number, worker in enumerate(started, 1):
            if worker.wait():
                show.CONSOLE.print(f"A process failed: see {output}/worker{number}.log")
    finally:
        for worker in started:
            worker.terminate()


def _splits(given: Mapping[str, Any], chosen: Mapping[str, dict[str, Any]]) -> dict[str, Split]:
    """Return the split of each protocol that the models are searched on."""
    splits: dict[str, Split] = {}
    for own in chosen.values():
        text = own["protocol"]
        if text not in splits:
            (splits[text],) = options.load_splits(given, own["dataset"], text, own["seeds"])
            for note in splits[text].notes:
                show.CONSOLE.print(options.dashed(note), style="dim", markup=False)
    return splits


def table(found: tuning.Search) -> Table:
    """Tabulate the best trials."""
    shown = Table(box=rich.box.SIMPLE_HEAD)
    for column in ("trial", found.metric, "seconds", "setting"):
        shown.add_column(column, justify="left" if column == "setting" else "right")
    for trial in found.ranked()[:SHOWN]:
        setting = " ".join(f"{n}={_text(value)}" for n, value in trial["setting"].items())
        figures = f"{trial['validation']:.4f}", f"{trial['seconds']:.1f}"
        shown.add_row(str(trial["number"]), *figures, escape(setting))
    return shown


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def described(found: tuning.Search) -> str:
    """Count the trials in words."""
    counts = ", ".join(f"{found.count(state)} {state}" for state in tuning.STATES)
    return f"{len(found.trials)} trial{'s' * (len(found.trials) != 1)} ({counts})"


def conclude(
    name: str, found: tuning.Search, split: Split, chosen: Mapping[str, Any], output: pathlib.Path
) -> None:
    """Fit the winner, score its test part, write its recipe, print the next command.

    A winner that was fitted before is not scored again.
    """
    label = f"{name}_{chosen['dataset'].partition(':')[0]}"
    workdir = output / f"{label}-trial{found.ranked()[0]['number'] if found.ranked() else 0}"
    if directory.finished(workdir):
        run = opened(workdir)
    else:
        run = aerec.fit(
            name, split, seed=chosen["seed"], workdir=workdir, show=False,
            log=lambda text: None, **found.best,
        )  # fmt: skip
    test, se = run.test[found.metric], run.test[found.metric].se
    scored = sum(
        directory.read_results(other)["test_scored"]
        for other in output.glob(f"{label}-trial*")
        if directory.finished(other)
    )
    figures = (
        f"{found.metric}: {found.summary()['validation']:.4f} on validation, {test:.4f} ± "
        f"{1.96 * se:.4f} on test; the test part was scored {scored} time{'s' * (scored != 1)}."
    )
    path = output / f"{label}.py"
    other = [flag.name for flag in command.own_flags() if flag.name not in options.DATA_FLAGS]
    data = options.command_flags(*other)
    line = ["python", "-m", "experiments.train", f"--config={path}", *data]
    files.write_text(path, recipe(name, found, run, chosen, figures, shlex.join(line)))
    show.CONSOLE.print(
        figures, f"Next: {shlex.join(line)}", sep="\n", markup=False, soft_wrap=True
    )


def recipe(
    name: str, found: tuning.Search, run: Run, chosen: Mapping[str, Any], figures: str, line: str
) -> str:
    """Return the recipe of the winner as Python code, which states how it was found."""
    own = run.config["set"]
    content = {
        "model": name,
        "dataset": chosen["dataset"],
        "protocol": chosen["protocol"],
        **({"seed": chosen["seed"]} if chosen["seed"] else {}),
        **{n: value for n, value in found.best.items() if n not in own},
        "set": {n: own[n] for n in found.best if n in own},
    }
    searched = "".join(f"    {n}: {values}\n" for n, values in found.space.items())
    return (
        f'"""{name} on {chosen["dataset"]}, tuned on validation.\n\n    {line}\n\n{figures}\n'
        f"Selected from {described(found)}, seed {chosen['seed']}, in "
        f"{found.summary()['seconds']:.0f} s:\n\n{searched}"
        f'"""\n\nRECIPE = {{\n{_entries(content)}}}\n'
    )


def _entries(content: Mapping[str, Any], indent: str = "    ") -> str:
    """Spell a dict as lines of Python."""
    lines = []
    for name, value in content.items():
        text = json.dumps(value) if isinstance(value, str) else repr(value)
        if isinstance(value, dict):
            text = f"{{\n{_entries(value, indent + '    ')}{indent}}}"
        lines.append(f'{indent}"{name}": {text},\n')
    return "".join(lines)


if __name__ == "__main__":
    options.define_run_flags()
    flags.DEFINE_integer("trials", 40, "trials of each model, those already finished included", 1)
    flags.DEFINE_float("seconds", None, "after which no further trial of a model begins", 0.0)
    flags.DEFINE_bool("prune", True, "stop trainings early that are below the median")
    flags.DEFINE_integer(
        "together", None, "trials that are trained at once: default 8, on a CPU 1", 1
    )
    flags.DEFINE_integer("jobs", 1, "processes that search side by side", 1)
    flags.DEFINE_bool("search_only", False, "do not fit and test the winners")
    flags.DEFINE_string("output", None, "the folder of trials, winners and recipes")
    command.run(main, __doc__)
