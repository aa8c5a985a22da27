"""Pictures of the latent study, of whatever cells there are."""

from collections.abc import Callable, Sequence

import matplotlib.axes
import numpy as np
from matplotlib.figure import Figure

from aerec import plots
from experiments import latent_tests
from experiments.latent_cells import EPOCHS, LINEAR, PLAIN, SIMILARITIES
from experiments.latent_outcomes import Outcome, grouped
from experiments.latent_tests import STEPS

TEXTS = {  # of the activations of the steps
    "sigmoid": "sigmoid(z)",
    "experiments.sigmoids:centred": "sigmoid(z) - 1/2",
    "experiments.sigmoids:scaled": "2 sigmoid(z) - 1",
    "tanh": "tanh(z)",
}
LATENT = 32  # m of the pictures of one dimension
OTHERS = ("sigmoid", "tanh", "relu", "identity", "pca_uncentred", "random")  # by dimension


def all_of(found: Sequence[Outcome]) -> dict[str, Figure]:
    """Draw every picture of every data set that has its cells; a name holds picture and data."""
    drawn: dict[str, Figure] = {}
    pictures: dict[str, Callable[[list[Outcome]], Figure]] = {
        "activations": by_activation,
        "dimensions": by_dimension,
        "order": by_order,
        "steps": by_step,
        "cost": by_cost,
    }
    for dataset in dict.fromkeys(own.cell.dataset for own in found):
        wanted = dataset, "spectral", 0, EPOCHS
        own = [
            one for one in found
            if wanted == (one.cell.dataset, one.cell.features, one.cell.split, one.cell.epochs)
        ]  # fmt: skip
        for name, draw in pictures.items():
            drawn[f"{name}_{dataset.partition(':')[0].replace('-', '_')}"] = draw(own)
    return drawn


def by_activation(found: Sequence[Outcome]) -> Figure:
    """Plot N@100 of each activation with its interval over users, a panel for each similarity."""
    names = _ordered({own.name for own in found if own.cell.latent == LATENT} - set(LINEAR))
    figure = Figure(figsize=(11, 0.23 * len(names) + 1.5), layout="constrained")
    panels = figure.subplots(1, len(SIMILARITIES), sharey=True, squeeze=False)[0]
    for axes, similarity in zip(panels, SIMILARITIES, strict=True):
        plots.style(axes, xlabel="N@100", ylabel="")
        axes.set_title(similarity)
        for tied in (False, True):
            own = {o.name: o for o in found if o.cell.latent == LATENT and o.cell.tied == tied
                   and o.similarity == similarity and o.name in names}  # fmt: skip
            places = [names.index(name) for name in own]
            errors = [1.96 * o.per_row.std() / np.sqrt(len(o.per_row)) for o in own.values()]
            axes.errorbar(
                [o.figure for o in own.values()], places, xerr=errors, fmt="s" if tied else "o",
                markersize=4, linewidth=1, label="tied" if tied else "separate weights",
            )  # fmt: skip
        for line in (o for o in found if o.name == "none" and o.similarity == similarity):
            axes.axvline(line.figure, color="grey", linestyle=":", label="no compression")
    texts = [TEXTS[name] if "." in name and name in TEXTS else name for name in names]
    panels[0].set_yticks(range(len(names)), texts)
    panels[0].invert_yaxis()
    _legend(figure, panels[0])
    return figure


def by_dimension(found: Sequence[Outcome]) -> Figure:
    """Plot N@100 against m, a panel for each similarity."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, len(SIMILARITIES), sharey=True, squeeze=False)[0]
    for axes, similarity in zip(panels, SIMILARITIES, strict=True):
        plots.style(axes, xlabel="m", ylabel="")
        axes.set_title(similarity)
        axes.set_xscale("log", base=2)
        for name in OTHERS:
            own = sorted((o.cell.latent, o.figure) for o in found if o.name == name
                         and o.similarity == similarity and not o.cell.tied)  # fmt: skip
            if own:
                axes.plot(*zip(*own, strict=True), marker="o", markersize=4, label=name)
        for line in (o for o in found if o.name == "none" and o.similarity == similarity):
            axes.axhline(line.figure, color="grey", linestyle=":", label="no compression")
    panels[0].set_ylabel("N@100")
    _legend(figure, panels[0])
    return figure


def by_order(found: Sequence[Outcome]) -> Figure:
    """Plot N@100 of each encoder of one m against what it keeps of the order."""
    measures = {
        "order": "feature order kept",
        "order_top": "the same, best 200 items",
        "auc": "AUC of held-out clicks",
        "auc_top": "the same, best 200 items",
    }
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, (measure, text) in zip(panels, measures.items(), strict=True):
        plots.style(axes, xlabel=text, ylabel="")
        for similarity in SIMILARITIES:
            own = [o for o in found if o.cell.latent == LATENT and o.similarity == similarity
                   and o.name not in LINEAR]  # fmt: skip
            axes.plot([o.measures[measure] for o in own], [o.figure for o in own], "o",
                      markersize=4, alpha=0.7, label=similarity)  # fmt: skip
    panels[0].set_ylabel("N@100")
    _legend(figure, panels[0])
    return figure


def by_step(found: Sequence[Outcome]) -> Figure:
    """Plot N@100 on the way from a sigmoid to a tanh: its offset, its scale, its slope."""
    names = [STEPS[0][2], *(first for _, first, _ in STEPS)]
    figure = Figure(figsize=plots.SIZE, layout="constrained")
    axes = figure.subplots()
    plots.style(axes, xlabel="", ylabel="N@100")
    for similarity in SIMILARITIES:
        own = {o.name: o.figure for o in found if o.cell.latent == LATENT and not o.cell.tied
               and o.similarity == similarity}  # fmt: skip
        there = [place for place, name in enumerate(names) if name in own]
        axes.plot(there, [own[names[place]] for place in there], marker="o", label=similarity)
    axes.set_xticks(range(len(names)), [TEXTS[name] for name in names])
    axes.legend(frameon=False)
    return figure


def by_cost(found: Sequence[Outcome]) -> Figure:
    """Plot what is lost by a cheaper choice against its share of the cost of a full search."""
    figure = Figure(figsize=plots.SIZE, layout="constrained")
    axes = figure.subplots()
    share = "share of the seconds of a full search"
    plots.style(axes, xlabel=share, ylabel="N@100 less that of the full search")
    marks: dict[str, list[tuple[float, float]]] = {}
    for own in latent_tests.choices(grouped(found)):
        marks.setdefault(own.label.rpartition("-")[2], []).append(
            (own.further["cost"], own.difference)
        )
    for (name, places), mark in zip(marks.items(), "osv^DP", strict=False):
        axes.plot(*zip(*places, strict=True), mark, alpha=0.7, label=name.replace("_", ", "))
    axes.axhline(-latent_tests.NEAR, color="grey", linestyle=":", label=f"-{latent_tests.NEAR}")
    axes.set_xlim(left=0)
    axes.legend(frameon=False)
    return figure


def _ordered(names: set[str]) -> list[str]:
    """Order activations as the plan has them, a changed one behind its plain one."""
    known = [*PLAIN, *sorted(names - set(PLAIN))]

    def place(name: str) -> tuple[int, str]:
        prefix, _, plain = name.rpartition(":")
        return (PLAIN.index(plain) if plain in PLAIN else len(PLAIN), prefix)

    return sorted((name for name in known if name in names), key=place)


def _legend(figure: Figure, axes: matplotlib.axes.Axes) -> None:
    lines, texts = axes.get_legend_handles_labels()
    figure.legend(lines, texts, frameon=False, loc="outside lower center", ncols=len(texts))
