"""Adapters for the audit: the encoders of a run, and its data as a domain."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from aerec.core import Model, Params
from aerec.data.splits import Split
from aerec.errors import BadInput
from aerec.host_table import AnyTable
from aerec.nn import activations
from aerec.properties import bounds, samplers
from aerec.properties.domain import Data
from aerec.runs.artefact import Artefact
from aerec.runs.spec import oriented


def encoder(artefact: Artefact) -> Callable[[Any], Any]:
    """Return the encoder of a trained model: rows [B, N] to codes [B, K]."""
    return lambda x: artefact.model.encode(artefact.params, x)


def towers(artefact: Artefact) -> tuple[Callable[[Any], Any], Callable[[Any], Any]] | None:
    """Return f and g, rows [B, N] to codes [B, D], such that the model ranks by `<f(x), g(u)>`.

    Of a score `<q, g> + b`, f(x) is the query and g(e_i) the item code, with a 1 and the bias
    appended; a bias that is equal for all items ranks none and is left out. g is linear: a vector
    u stands for a sum of items. None for a model without a dot product at its end.
    """
    model, params = artefact.model, artefact.params
    if model.queries is None or model.item_codes is None or model.item_bias is None:
        return None
    query = functools.partial(model.queries, params)
    with jax.default_matmul_precision("highest"):
        codes, bias = model.item_codes(params), model.item_bias(params)
    if codes.shape[1] and jnp.ptp(bias) == 0:
        return query, lambda u: u @ codes
    codes = jnp.concatenate([codes, bias[:, None]], axis=1)

    def users(x):
        queries = query(x)
        return jnp.concatenate([queries, jnp.ones_like(queries, shape=(len(x), 1))], axis=1)

    return users, lambda u: u @ codes


def subject(artefact: Artefact, *, alone: bool = False) -> dict[str, Any]:
    """Return the encoders of a model, as arguments of `properties.audit`.

    They are the two towers that the model ranks by. For a model without any, they are its encoder,
    with its own scores for comparison.

    Args:
      alone: whether the encoder of the model is taken instead, for users and for items.
    """
    pair = None if alone else towers(artefact)
    if pair is not None:
        return {"encode": pair[0], "items": pair[1], "batched": True}
    return {
        "encode": encoder(artefact),
        "own": functools.partial(artefact.model.score, artefact.params),
        "activation": last_activation(artefact.config["set"]),
        "network": network(artefact.model, artefact.params),
        "batched": True,
    }


def network(model: Model, params: Params) -> bounds.Network | None:
    """Return the layers of an encoder, for certificates; None if they are not known."""
    layers = [] if model.layers is None else model.layers(params)
    if not layers or not all(activation.known for *_, activation in layers):
        return None
    exact = lambda leaf: np.asarray(leaf, np.float64)  # noqa: E731
    return [bounds.Affine(exact(weight), exact(bias), a) for weight, bias, a in layers]


def domain(
    artefact: Artefact, split: Split, *, relevance: str = "listed", items: Any = None
) -> Data:
    """Build the domain of the rows that the model reads, crossed with all columns.

    Args:
      split: the run's own.
      relevance: "listed": the true score <x, u> of the rows that were trained on or folded in.
        "heldout": the test rows are x, what they hold out is the truth, and items that they list
        are left out where the protocol masks them.
      items: [I, N] features of items in the space of the rows, in place of single columns.

    Raises:
      BadInput: nothing is held out, or the items have another width.
    """
    (split,) = oriented(artefact.model.traits, [split])
    if relevance == "heldout":
        parts = _heldout(split)
    else:
        tables: list[AnyTable] = [split.train]
        if split.test_ids is not None:  # rows that were not trained on
            tables += [split.valid.input, split.test.input]
        rows = scipy.sparse.vstack([_matrix(table) for table in tables], "csr")
        parts = {"users": rows, "items": items}
    try:
        found = samplers.empirical(**parts)
    except ValueError as error:
        raise BadInput(f"The data of the run make no domain: {error}") from error
    if artefact.config["item_based"] and items is None:  # the rows are items
        rows, columns = found.shape
        name = found.name.replace(
            f"{rows} users x {columns} items", f"{rows} items x {columns} users"
        )
        found = dataclasses.replace(found, name=name)
    return found


def _heldout(split: Split) -> dict[str, Any]:
    """Return the test rows and what they hold out, as arguments of `samplers.empirical`."""
    held = split.test
    if not held.target.columns.size:
        protocol = split.protocol["name"]
        raise BadInput(f"Protocol {protocol!r} holds nothing out: relevance=heldout needs a test")
    listed = _matrix(held.input)
    seen = listed if split.mask_seen else None
    parts = {"users": listed, "truth": _matrix(held.target), "seen": seen}
    return {**parts, "training": _matrix(split.train)}


def _matrix(table: AnyTable) -> scipy.sparse.csr_matrix:
    row, column, value = table.entries()
    return scipy.sparse.csr_matrix((value, (row, column)), (table.num_rows, table.num_columns))


def order_note(artefact: Artefact) -> str:
    """Describe how a model of sequences is audited; '' for others."""
    if artefact.model.traits.reads != "sequence":
        return ""
    return (
        f"{artefact.config['model']} reads sequences; the items of a vector are read in the order "
        "of its columns, not in that of a history"
    )


def last_activation(settings: Any) -> activations.Activation | None:
    """Return the activation of the code; None if the settings name none, or one of the user's."""
    if "latent_activation" not in settings:
        return None
    found = activations.describe(settings["latent_activation"] or settings["activation"])
    return found if found.known else None
