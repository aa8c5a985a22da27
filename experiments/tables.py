"""What is shown of a study: its tables, its picture."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import rich.box
from matplotlib.figure import Figure
from rich.table import Table

from aerec import files, plots
from aerec.cli import show
from aerec.runs import directory
from experiments import agreement
from experiments.study import Outcome, Study, kept, record, run


def show_run(
    study: Study,
    output: pathlib.Path,
    flags: Sequence[str],
    *,
    jobs: int = 1,
    record_as: str | None = None,
) -> None:
    """Run the study; write its table and plot; print the table and the next command.

    Args:
      record_as: the name of the results file to write; None writes none.
    """
    outcomes = run(study, output, flags, jobs)
    if not study.figures:
        task = outcomes[0].results["protocol"]["task"]
        study = dataclasses.replace(study, figures=show.COLUMNS[task])
    write(study, outcomes, output)
    if record_as is not None:
        path = record(study, outcomes, record_as)
        show.CONSOLE.print(f"Kept in {path}.", markup=False, soft_wrap=True)
    show.CONSOLE.print(table(study, outcomes))
    if compared := agreement.of(study, [kept(study, outcome) for outcome in outcomes]):
        show.CONSOLE.print(agreement.table(compared))
    show.CONSOLE.print(
        f"Table, pictures of trained models and runs are in {output}.\n"
        f"Next: python -m experiments.evaluate --workdir={outcomes[0].workdir} --intervals",
        markup=False,
        soft_wrap=True,
    )


def table(study: Study, outcomes: Sequence[Outcome]) -> Table:
    """Tabulate label, figures (± sd over seeds, or half a 95% interval), published, seconds, MB."""
    shown = Table(title=study.title, box=rich.box.SIMPLE_HEAD, title_justify="left")
    for column in _header(study):
        shown.add_column(column, justify="right" if column else "left")
    for outcome in outcomes:
        shown.add_row(*_cells(study, outcome))
    return shown


def _header(study: Study) -> list[str]:
    header = [""]
    for name in (*study.figures, *study.facts):
        header.append(name)
        if any(name in row.published for row in study.rows):
            header.append("published")
    return [*header, "fit s", "MB"]


def _cells(study: Study, outcome: Outcome) -> list[str]:
    cells = [outcome.row.label]
    for name in (*study.figures, *study.facts):
        cells.append(_figure(outcome.results["test"], name) if name in study.figures
                     else _text(_fact(outcome.results, name)))  # fmt: skip
        if any(name in row.published for row in study.rows):
            published = outcome.row.published.get(name, "")
            cells.append(_text(published) if name in study.facts or not published
                         else f"{published:.4f}")  # fmt: skip
    return [
        *cells,
        f"{outcome.results['fit_seconds']:.1f}",
        f"{outcome.results['peak_rss_mb']:.0f}",
    ]


def _figure(test: Mapping[str, float], name: str) -> str:
    return f"{test[name]:.4f} ± {_spread(test, name):.4f}" if name in test else ""


def _spread(test: Mapping[str, float], name: str) -> float:
    return test.get(f"{name}_sd", 1.96 * test.get(f"{name}_se", float("nan")))


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _fact(results: Mapping[str, Any], name: str) -> Any:
    return results["protocol"]["name"] if name == "protocol" else results[name]


def write(study: Study, outcomes: Sequence[Outcome], output: pathlib.Path) -> None:
    """Write table.md, table.json and curves.png."""
    text = f"{study.title}\n\n" + _markdown(_header(study), [_cells(study, o) for o in outcomes])
    if compared := agreement.of(study, [kept(study, o) for o in outcomes]):
        text += f"\n{_markdown(list(agreement.HEADER), [line.cells() for line in compared])}"
    files.write_text(output / "table.md", text)
    files.write_json(
        output / "table.json",
        [{"label": o.row.label, "published": dict(o.row.published), **o.results} for o in outcomes],
    )
    if picture := _picture(study, outcomes):
        plots.save(picture, output / "curves.png")


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _picture(study: Study, outcomes: Sequence[Outcome]) -> Figure | None:
    """Draw what `study.curves` says; None if no run was trained by epochs, and for ""."""
    if study.curves == "figures":
        return _points(study, outcomes)
    trained = [o for o in outcomes if (o.workdir / directory.METRICS).exists()]
    if not trained or not study.curves:
        return None
    file = directory.LOSSES if study.curves == "steps" else directory.METRICS
    logs = {o.row.label: directory.read_log(o.workdir / file) for o in trained}
    metric = trained[0].results["validation"]["metric"]
    rmse = trained[0].results["protocol"]["task"] == "rating"
    if study.curves == "steps":
        return plots.step_curves(logs, rmse=rmse)
    if study.curves == "epochs":
        return plots.epoch_curves(logs, metric, rmse=rmse)
    return plots.validation_curves(logs, metric)


def _points(study: Study, outcomes: Sequence[Outcome]) -> Figure:
    panels, published = {}, {}
    for name in study.figures:
        having = [o for o in outcomes if name in o.results["test"]]
        if having:
            panels[name] = {o.row.label: (o.results["test"][name], _spread(o.results["test"], name))
                            for o in having}  # fmt: skip
            published[name] = {
                o.row.label: o.row.published[name] for o in having if name in o.row.published
            }
    return plots.row_figures(panels, published)
