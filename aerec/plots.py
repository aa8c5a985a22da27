"""Plots of runs as Matplotlib figures."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from aerec import files

SIZE = (6.4, 4.0)  # inches


Log = Sequence[Mapping[str, Any]]  # the lines of a run's log, by epoch


def learning_curve(log: Log, metric: str) -> Figure:
    """Plot the training loss and, if there is a validation part, its figure by epoch."""
    epochs = [line["epoch"] for line in log]
    figure, axes = _figure(xlabel="epoch", ylabel=f"validation {metric}")
    if metric in log[0]:
        axes.plot(epochs, [line[metric] for line in log], color="C0", marker=".", label=metric)
    loss = axes.twinx()
    loss.plot(epochs, [line["loss"] for line in log], color="C1", linestyle="--", label="loss")
    loss.set_ylabel("training loss", color="C1")
    loss.spines["top"].set_visible(False)
    axes.yaxis.label.set_color("C0")
    return figure


def validation_curves(logs: Mapping[str, Log], metric: str) -> Figure:
    """Plot the validation figure of several runs by epoch.

    Args:
      logs: the name of each run -> its log of figures.
    """
    figure, axes = _figure(xlabel="epoch", ylabel=f"validation {metric}")
    for name, log in logs.items():
        axes.plot([line["epoch"] for line in log], [line[metric] for line in log], label=name)
    figure.legend(frameon=False, fontsize="small", loc="outside right upper")
    return figure


def epoch_curves(logs: Mapping[str, Log], metric: str, *, rmse: bool = False) -> Figure:
    """Plot the training loss (left) and the validation figure (right) of several runs by epoch.

    Args:
      logs: the name of each run -> its log of figures.
      rmse: whether the loss is a mean squared error, of which the root is shown.
    """
    figure = Figure(figsize=(2 * SIZE[0], SIZE[1]), layout="constrained")
    left, right = figure.subplots(1, 2)
    style(left, xlabel="epoch", ylabel="A: training RMSE" if rmse else "A: training loss")
    style(right, xlabel="epoch", ylabel=f"B: validation {metric}")
    for name, log in logs.items():
        epochs = [line["epoch"] for line in log]
        losses = np.array([line["loss"] for line in log])
        left.plot(epochs, np.sqrt(losses) if rmse else losses, label=name)
        right.plot(epochs, [line[metric] for line in log])
    figure.legend(frameon=False, fontsize="small", loc="outside right upper")
    return figure


def row_figures(
    panels: Mapping[str, Mapping[str, tuple[float, float]]],
    published: Mapping[str, Mapping[str, float]],
) -> Figure:
    """Plot figures of several runs with their intervals, a panel each, and the published figures.

    Args:
      panels: the name of each figure -> the name of a run -> its value, and half its interval.
      published: the name of a figure -> the name of a run -> the figure of the source.
    """
    height = max(SIZE[1], 0.3 * max(map(len, panels.values())))
    figure = Figure(figsize=(len(panels) * SIZE[0], height), layout="constrained")
    for axes, (name, rows) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(),
                                  strict=True):  # fmt: skip
        style(axes, xlabel=name, ylabel="")
        values, half = np.array(list(rows.values())).T
        axes.errorbar(values, range(len(rows)), xerr=half, fmt="o", capsize=2, label="here")
        if others := published.get(name):
            places = [list(rows).index(run) for run in others]
            axes.plot(list(others.values()), places, "x", color="C1", label="published")
            axes.legend(frameon=False)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
    return figure


def step_curves(logs: Mapping[str, Log], *, rmse: bool = False) -> Figure:
    """Plot the training loss of several runs by step (first seed).

    Args:
      logs: the name of each run -> its log of losses.
      rmse: whether the loss is a mean squared error, of which the root is shown.
    """
    shown = "training RMSE" if rmse else "training loss"
    figure, axes = _figure(xlabel="step", ylabel=f"{shown} of the mini-batch")
    for name, log in logs.items():
        losses = [loss for line in log for loss in line["losses"][0]]
        values = np.sqrt(losses) if rmse else np.asarray(losses)
        axes.plot(np.arange(1, len(losses) + 1), values, label=name, linewidth=0.8)
    axes.set_yscale("log")
    legend = figure.legend(frameon=False, fontsize="small", loc="outside right upper")
    for line in legend.get_lines():
        line.set_linewidth(2)
    return figure


def by_activity(
    activity: np.ndarray, per_row: Mapping[str, np.ndarray], metric: str
) -> Figure:
    """Plot a figure by the number of folded-in entries of a row.

    Rows are grouped into eighths by activity. Points are means, bars 95% intervals.

    Args:
      activity: [R] entries per row.
      per_row: model name -> [R] values of `metric`, NaN where a row has none.
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
    return figure


def by_dimension(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float, float]]]], metric: str
) -> Figure:
    """Plot a figure by the dimension of the codes, a panel for each data set.

    Args:
      panels: the name of a data set -> that of a model -> (dimension, value, half its interval).
    """
    figure = Figure(figsize=(len(panels) * SIZE[0], SIZE[1]), layout="constrained")
    for axes, (name, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0],
                                   panels.items(), strict=True):  # fmt: skip
        style(axes, xlabel="dimension m", ylabel=metric)
        for model, points in lines.items():
            at, values, half = np.array(points).T
            axes.errorbar(at, values, yerr=half, marker="o", capsize=2, label=model)
        axes.set_xscale("log", base=2)
        axes.set_title(name)
        axes.legend(frameon=False)
    return figure


def save(figure: Figure, path: pathlib.Path) -> None:
    """Write a figure as PNG, atomically."""
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def style(axes: matplotlib.axes.Axes, *, xlabel: str, ylabel: str) -> None:
    """Label the axes, with a grid and without a frame."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)


def _figure(*, xlabel: str, ylabel: str) -> tuple[Figure, matplotlib.axes.Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    style(axes, xlabel=xlabel, ylabel=ylabel)
    return figure, axes
