"""The cells of the latent study as they were kept: by similarity, and in groups to compare."""

import pathlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from aerec import files
from aerec.errors import BadInput
from experiments.latent_cells import EPOCHS, METRIC, Cell

KEPT = ("validation", "epochs", "rate", "decay", "order", "order_top", "auc", "auc_top", "flat",
        "gap", "rank")  # fmt: skip
AGAIN = "delete it, and run the command of its cells again"


class Finished(NamedTuple):
    """A cell with what its file has."""

    cell: Cell
    content: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The label of its row."""
        return plain(self.cell.name)


class Outcome(NamedTuple):
    """A cell by one similarity.

    Attributes:
      per_row: N@100 of each test user, the mean over seeds.
      measures: what else its file has.
      search_seconds, seconds: of the whole cell.
    """

    cell: Cell
    similarity: str
    per_row: np.ndarray
    measures: Mapping[str, Any]
    search_seconds: float
    seconds: float

    @property
    def name(self) -> str:
        """The activation."""
        return self.cell.activation

    @property
    def figure(self) -> float:
        """Its mean N@100."""
        return float(self.per_row.mean())


Group = Mapping[str, Outcome]  # by activation


class Key(NamedTuple):
    """What the outcomes of a group have in common."""

    cell: Cell  # without its activation
    similarity: str

    @property
    def label(self) -> str:
        """Its part of a label."""
        return f"{self.cell.name}-{self.similarity}".replace("--", "-")

    @property
    def what(self) -> str:
        """The group in words."""
        cell, tied = self.cell, ", tied" if self.cell.tied else ""
        longer = "" if cell.epochs == EPOCHS else f", {cell.epochs} epochs"
        return (
            f"{cell.dataset}, {cell.features}, m = {cell.latent}{tied}, {self.similarity}, "
            f"split {cell.split}{longer}"
        )


Groups = Mapping[Key, Group]


def read(output: pathlib.Path) -> list[Finished]:
    """Read all cells of a folder. Raises BadInput if there are none, or one is damaged."""
    found = []
    for path in sorted(output.glob("*-*-*-*tied-*.json")):
        content = files.read_json(path, *Cell._fields, "rows", "made", advice=AGAIN)
        found.append(Finished(Cell(*(content[name] for name in Cell._fields)), content))
    if not found:
        raise BadInput(f"{output} has no cells: run experiments.latent --output={output} first")
    return found


def outcomes(finished: Finished) -> list[Outcome]:
    """List the outcome of each similarity of a cell."""
    cost = finished.content["search_seconds"], finished.content["made"]["seconds"]
    return [
        Outcome(
            finished.cell,
            row["similarity"],
            np.asarray(row["per_row"], np.float64),
            {name: row[name] for name in (*KEPT, "early", "zero", METRIC)},
            *cost,
        )
        for row in finished.content["rows"]
    ]


def grouped(found: Sequence[Outcome]) -> dict[Key, dict[str, Outcome]]:
    """Group outcomes of equal data, dimension, weights, split, epochs and similarity."""
    groups: dict[Key, dict[str, Outcome]] = defaultdict(dict)
    for own in found:
        groups[Key(own.cell._replace(activation=""), own.similarity)][own.name] = own
    return groups


def plain(label: str) -> str:
    """Put an underscore for what no label may have."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", label)
