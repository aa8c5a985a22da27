"""Adapters for the audit: the encoder of a run, and its data as a domain."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

from aerec.data.splits import Split
from aerec.nn import activations
from aerec.properties import bounds, samplers
from aerec.properties.domain import Domain
from aerec.runs.artefact import Artefact
from aerec.runs.spec import oriented


def encoder(artefact: Artefact) -> Callable[[Any], Any]:
    """Return the encoder of a trained model: rows [B, N] to codes [B, K]."""
    return lambda x: artefact.model.encode(artefact.params, x)


def network(artefact: Artefact) -> bounds.Network | None:
    """Return the layers of a trained encoder, for certificates; None if it is no MLP of its row."""
    if artefact.model.layers is None:
        return None
    exact = lambda leaf: np.asarray(leaf, np.float64)  # noqa: E731
    layers = artefact.model.layers(artefact.params)
    return [bounds.Affine(exact(weight), exact(bias), a) for weight, bias, a in layers]


def domain(artefact: Artefact, split: Split) -> Domain:
    """Build the domain of the rows that were trained on or folded in, crossed with all columns.

    Args:
      split: the run's own.
    """
    (split,) = oriented(artefact.model.traits, [split])
    tables = [split.train]
    if split.test_ids is not None:  # rows that were not trained on
        tables += [split.valid.input, split.test.input]
    rows = []
    for part in tables:
        row, column, value = part.entries()
        shape = (part.num_rows, part.num_columns)
        rows.append(scipy.sparse.csr_matrix((value, (row, column)), shape))
    found = samplers.empirical(scipy.sparse.vstack(rows, "csr"))
    if artefact.config["item_based"]:  # the rows are items
        users, items = found.crossing.shape[::-1]  # type: ignore[union-attr]
        found = found._replace(name=f"{items} items x {users} users in R^{users}")
    return found


def order_note(artefact: Artefact) -> str:
    """Say how a model of sequences is audited; '' for others."""
    if artefact.model.traits.reads != "sequence":
        return ""
    return (
        f"{artefact.config['model']} reads sequences; the items of a vector are read in the order "
        "of its columns, not in that of a history"
    )


def last_activation(settings: Any) -> activations.Activation | None:
    """Return the activation of the code; None if the model's settings name none."""
    if "latent_activation" not in settings:
        return None
    return activations.describe(settings["latent_activation"] or settings["activation"])
