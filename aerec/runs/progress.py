"""The progress bar of a run."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from aerec.training import loop


@contextlib.contextmanager
def bar(
    epochs: int | None, metric: str, console: Console | None = None
) -> Iterator[Callable[[loop.Record, Mapping[str, float]], None]]:
    """Show a progress bar with loss and validation figure; yield the callback of `fitting.run`.

    Without `epochs`, for a model in closed form, it shows only that work is in progress.
    """
    solving = TextColumn("solving"), BarColumn(), TimeElapsedColumn()
    training = (
        TextColumn("training"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total} epochs"),
        TextColumn("{task.fields[figures]}"), TimeRemainingColumn(compact=True),
    )  # fmt: skip
    columns = training if epochs else solving
    with Progress(*columns, console=console, transient=not epochs) as shown_bar:
        task = shown_bar.add_task("", total=epochs, figures="compiling")
        shown: dict[str, float] = {}

        def update(record: loop.Record, figures: Mapping[str, float]) -> None:
            shown.update(figures)
            text = f"loss {shown['loss']:.4g}"
            if metric in shown:
                text += f"  {metric} {shown[metric]:.4f}"
            shown_bar.update(task, completed=record.epoch, figures=text)

        yield update
