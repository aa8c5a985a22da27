"""Pictures of a run; each function writes one PNG."""

import pathlib
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from aerec import files
from aerec.runs import directory

SIZE = (6.4, 4.0)  # inches


def learning_curve(metrics: pathlib.Path, metric: str, path: pathlib.Path) -> None:
    """Training loss and the validation figure by epoch, from a run's metrics.jsonl."""
    lines = directory.read_log(metrics)
    epochs = [line["epoch"] for line in lines]
    figure, axes = _figure(xlabel="epoch", ylabel=f"validation {metric}")
    axes.plot(epochs, [line[metric] for line in lines], color="C0", marker=".", label=metric)
    loss = axes.twinx()
    loss.plot(epochs, [line["loss"] for line in lines], color="C1", linestyle="--", label="loss")
    loss.set_ylabel("training loss", color="C1")
    loss.spines["top"].set_visible(False)
    axes.yaxis.label.set_color("C0")
    _save(figure, path)


def validation_curves(
    workdirs: Mapping[str, pathlib.Path], metric: str, path: pathlib.Path
) -> None:
    """The validation figure by epoch of several runs, from their metrics.jsonl.

    Args:
      workdirs: what each run is called -> its folder.
    """
    figure, axes = _figure(xlabel="epoch", ylabel=f"validation {metric}")
    for name, workdir in workdirs.items():
        lines = directory.read_log(workdir / directory.METRICS)
        axes.plot([line["epoch"] for line in lines], [line[metric] for line in lines], label=name)
    figure.legend(frameon=False, fontsize="small", loc="outside right upper")
    _save(figure, path)


def step_curves(
    workdirs: Mapping[str, pathlib.Path], path: pathlib.Path, *, rmse: bool = False
) -> None:
    """The training loss of each step of several runs, from their losses.jsonl (first seed).

    Args:
      workdirs: what each run is called -> its folder.
      rmse: the loss is a mean squared error, and its root is shown.
    """
    shown = "training RMSE" if rmse else "training loss"
    figure, axes = _figure(xlabel="step", ylabel=f"{shown} of the mini-batch")
    for name, workdir in workdirs.items():
        lines = directory.read_log(workdir / directory.LOSSES)
        losses = [loss for line in lines for loss in line["losses"][0]]
        values = np.sqrt(losses) if rmse else np.asarray(losses)
        axes.plot(np.arange(1, len(losses) + 1), values, label=name, linewidth=0.8)
    axes.set_yscale("log")
    legend = figure.legend(frameon=False, fontsize="small", loc="outside right upper")
    for line in legend.get_lines():
        line.set_linewidth(2)
    _save(figure, path)


def by_activity(
    activity: np.ndarray, per_row: Mapping[str, np.ndarray], metric: str, path: pathlib.Path
) -> None:
    """A figure per row against the number of entries it was folded in with.

    Args:
      activity: [R] entries per row.
      per_row: model name -> [R] values of `metric`, NaN where a row has none. Rows go by eighths
        of the activity; points are means, bars 95% intervals.
    """
    figure, axes = _figure(xlabel="entries folded in", ylabel=metric)
    for name, values in per_row.items():
        kept = ~np.isnan(values)
        groups = np.array_split(np.flatnonzero(kept)[np.argsort(activity[kept], kind="stable")], 8)
        groups = [group for group in groups if len(group) > 1]
        means = [values[group].mean() for group in groups]
        bars = [1.96 * values[group].std(ddof=1) / np.sqrt(len(group)) for group in groups]
        middle = [np.median(activity[group]) for group in groups]
        axes.errorbar(middle, means, yerr=bars, marker="o", capsize=2, label=name)
    axes.set_xscale("log")
    axes.legend(frameon=False)
    _save(figure, path)


def _figure(*, xlabel: str, ylabel: str) -> tuple[Figure, matplotlib.axes.Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Figure, path: pathlib.Path) -> None:
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
