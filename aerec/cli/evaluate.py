"""Score a finished run again, or test it against another.

  python -m experiments.evaluate --workdir=RUN --intervals
  python -m experiments.evaluate --workdir=RUN --protocol=strong:fold_in=0.5
  python -m experiments.evaluate --workdir=RUN --against=OTHER --metrics=ndcg@100,recall@20

The test part is rebuilt from the data and scored with the saved parameters of the run, which is
counted as `test_scored` in its results.json. With --against nothing is scored: two runs on the same
split are compared row by row.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import rich.box
from absl import flags
from rich.table import Table

from aerec import files
from aerec.cli import options, show
from aerec.errors import BadInput
from aerec.evaluation.report import Report
from aerec.runs import artefact, directory, rescore, scoring


def define_flags() -> None:
    options.define_workdir_flag("the folder of a finished run")
    flags.DEFINE_string("against", None, "another run's folder, for a paired randomisation test")
    flags.DEFINE_string("protocol", None, "another protocol than the run's, as for training")
    flags.DEFINE_list("metrics", None, "the figures shown, like ndcg@100 (default by the task)")
    flags.DEFINE_bool("intervals", False, "bootstrap intervals instead of ± 1.96 standard errors")
    flags.DEFINE_string("output", None, "a JSON file for all results")
    flags.DEFINE_string("data_dir", None, "where the dataset's files are now, if they moved")
    flags.DEFINE_string("data_file", None, "where the run's file of ratings is now, if it moved")
    flags.DEFINE_string("split_dir", None, "where the run's ready splits are now, if they moved")


def main(given: Mapping[str, Any]) -> None:
    workdir = pathlib.Path(options.required(given, "workdir"))
    config, results, _ = rescore.read(workdir)
    names = given["metrics"] or list(show.COLUMNS[config["protocol"]["task"]])
    if given["against"]:
        if given["protocol"] or given["intervals"]:
            raise BadInput("--against compares the runs as they are: leave out the other flags")
        options.refuse(("data_dir", "data_file", "split_dir"), "with --against")
        other = pathlib.Path(given["against"])
        found = compare(workdir, other, names)
    else:
        found = score(workdir, config, results, names, given)
    if given["output"]:
        options.write(files.to_json(found, indent=2) + "\n", given["output"])


def score(
    workdir: pathlib.Path,
    config: Mapping[str, Any],
    results: dict[str, Any],
    names: Sequence[str],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Score, count it, print the table, return the content of --output."""
    own = options.splits_of(config, given)
    protocol = own[0].protocol
    if given["protocol"] is None:
        reports = rescore.score(artefact.load_replicas(workdir), own)
    else:
        other = options.splits_of(config, given, text=given["protocol"])
        protocol = other[0].protocol
        reports = rescore.score_other(artefact.load_replicas(workdir), own, other)
    for name in names:
        if name not in reports[0].figures:
            raise BadInput(f"No figure is called {name!r}; there are {', '.join(_means(reports))}")
    intervals = [_intervals(report, names) if given["intervals"] else {} for report in reports]
    show.CONSOLE.print(table(config, protocol, names, reports, intervals))
    if given["protocol"] is None:
        furthest = max(
            abs(report.figures[name] - figures[name])
            for report, figures in zip(reports, results["seeds"], strict=True)
            for name in names
        )
        show.CONSOLE.print(f"Largest difference from results.json: {furthest:.1g}.", style="dim")
    times = directory.count_scoring(results)
    show.CONSOLE.print(f"Test data scored with this run: {times} times.", style="dim")
    try:
        files.write_json(workdir / directory.RESULTS, results)
    except BadInput as error:
        show.CONSOLE.print(f"That is not recorded: {error}", style="dim", markup=False)
    return {
        "workdir": str(workdir),
        "protocol": protocol,
        "test_scored": times,
        "test": scoring.mean_figures(reports),
        "seeds": [
            {"seed": seed, **report.figures, "intervals": interval}
            for seed, report, interval in zip(config["seeds"], reports, intervals, strict=True)
        ],
    }


def table(
    config: Mapping[str, Any],
    protocol: Mapping[str, Any],
    names: Sequence[str],
    reports: Sequence[Report],
    intervals: Sequence[Mapping[str, Sequence[float]]],
) -> Table:
    """Tabulate the replicas and, if there are several, their mean and standard deviation."""
    kind = "95% bootstrap interval" if intervals[0] else "± 1.96 standard errors"
    split = f"{config['dataset']}, {protocol['name']} {protocol['hash']}"
    title = f"{config['model']} on {split}, {kind}"
    shown = Table(title=title, box=rich.box.SIMPLE_HEAD, title_justify="left")
    shown.add_column("seed")
    for name in names:
        shown.add_column(name, justify="right")
    for seed, report, found in zip(config["seeds"], reports, intervals, strict=True):
        shown.add_row(str(seed), *(_cell(report.figures, name, found.get(name)) for name in names))
    if len(reports) > 1:
        mean = scoring.mean_figures(reports)
        cells = [f"{mean[name]:.4f} ± {mean[f'{name}_sd']:.4f}" for name in names]
        shown.add_row("mean ± sd", *cells)
    return shown


def compare(a: pathlib.Path, b: pathlib.Path, names: Sequence[str]) -> dict[str, Any]:
    """Print the paired tests between two runs; return the content of --output."""
    pairs = rescore.against(a, b, names)
    shown = Table(title=f"{a} less {b}", box=rich.box.SIMPLE_HEAD, title_justify="left")
    for name in ("seeds", "figure", a.name, b.name, "difference [95% interval]"):
        shown.add_column(name.replace("[", "\\["))
    for pair in pairs:
        for name, (first, second) in pair.figures.items():
            test = show.difference(pair.tests[name])
            seeds = "{}, {}".format(*pair.seeds)
            shown.add_row(seeds, name, f"{first:.4f}", f"{second:.4f}", test)
    show.CONSOLE.print(shown)
    return {
        "workdir": str(a),
        "against": str(b),
        "pairs": [
            {"seeds": pair.seeds, **{name: test._asdict() for name, test in pair.tests.items()}}
            for pair in pairs
        ],
    }


def _intervals(report: Report, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    try:
        return {name: report.interval(name) for name in names}
    except ValueError as error:  # a figure over all rows at once has no values per row
        raise BadInput(f"--intervals: {error}") from None


def _cell(figures: Mapping[str, float], name: str, interval: Sequence[float] | None) -> str:
    if interval:
        return f"{figures[name]:.4f} \\[{interval[0]:.4f}, {interval[1]:.4f}]"
    error = figures.get(f"{name}_se")
    return f"{figures[name]:.4f}" + ("" if error is None else f" ± {1.96 * error:.4f}")


def _means(reports: Sequence[Report]) -> list[str]:
    return [name for name in reports[0].figures if not name.endswith("_se")]
