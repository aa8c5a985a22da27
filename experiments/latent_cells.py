"""One cell of the study of latent activations: search, train with several seeds, and test."""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aerec import features as origins
from aerec.core import Facts, Params, Table
from aerec.data import vectors
from aerec.data.splits import Split
from aerec.evaluation import ranking
from aerec.evaluation.report import Report
from aerec.host_table import on_device
from aerec.models import factor_ae
from aerec.models.factor_ae import Config, System
from aerec.runs import scoring
from experiments import cells, measures, replicas
from experiments.measures import Pairs

SIMILARITIES = ("dot", "cosine", "centred", "decoder")
PLAIN = ("sigmoid", "tanh", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "swish",
         "softplus", "exp", "softsign", "identity")  # fmt: skip
RATES, DECAYS = (0.001, 0.003, 0.01, 0.03), (0.0, 3e-4)
EPOCHS = 40  # of which a tenth, a half and all are checkpoints
SEEDS = (1, 2, 3, 4, 5)
METRIC = "ndcg@100"
SIZE = 256  # n
GRIDS: Mapping[str, Mapping[str, Sequence[float]]] = {  # of a source, without compression
    "spectral": {"damping": (0.0, 0.25, 0.5), "power": (0.0, 0.25, 0.5, 1.0)},
    "cooccurrence": {"damping": (0.25, 0.5, 0.75)},
}
LINEAR = ("none", "pca", "pca_uncentred", "random", "lifted_pca")  # in place of an activation
EARLY = 200  # validation users of the audit after the first checkpoint


class Cell(NamedTuple):
    """One autoencoder of one data set; or a compression in closed form, named as an activation."""

    dataset: str
    features: str
    latent: int
    tied: bool
    activation: str
    split: int = 0
    epochs: int = EPOCHS

    @property
    def checkpoints(self) -> tuple[int, int, int]:
        """The epochs after which the networks are judged."""
        return max(1, self.epochs // 10), max(1, self.epochs // 2), self.epochs

    @property
    def name(self) -> str:
        """The name of its file."""
        tied = "tied" if self.tied else "untied"
        activation = self.activation.replace(":", "_")
        longer = "" if self.epochs == EPOCHS else f"-{self.epochs}epochs"
        return (
            f"{self.dataset}-{self.features}-{self.latent}-{tied}-{activation}-{self.split}{longer}"
        )


class Data(NamedTuple):
    """A split with its vectors, computed once for all its cells.

    Attributes:
      vectors: [M, n] of all training users and items, scaled.
      users: of the rows of validation and of test, [R, n] each, scaled.
      items: [N, n], scaled.
      pairs: of items, on which the validation users are audited.
    """

    split: Split
    facts: Facts
    config: Config
    features: Params
    vectors: jax.Array
    users: Mapping[str, jax.Array]
    items: jax.Array
    pairs: Mapping[str, measures.Pairs]


class Chosen(NamedTuple):
    """What is trained for a similarity, and how it was on validation."""

    rate: float
    decay: float
    epochs: int
    validation: float
    early: Mapping[str, float]  # the best of each measure after the first checkpoint


def vectors_of(split: Split, settings: Mapping[str, Any]) -> Data:
    """Compute the vectors of a split."""
    config, facts = Config(**settings), Facts.of(split.train)
    if given := vectors.of(factor_ae.traits(config).features, split):
        facts = facts._replace(column_features=given.values)
    system = factor_ae.system(config, facts)
    features = {"features": origins.compute(system.source, on_device(split.train))}

    def users(table: Table) -> jax.Array:
        blocks = origins.over_users(lambda x: system.users(features, x), table, lambda v: v)
        return jnp.asarray(np.concatenate(blocks)[: table.num_rows], jnp.float32)

    items = system.items(features)
    held = {name: users(getattr(split, name).input) for name in ("valid", "test")}
    everyone = jnp.concatenate([users(on_device(split.train)), items])
    truth = np.asarray(held["valid"] @ items.T, np.float64)
    judged = measures.pairs(truth, scoring.numbered(split.valid))
    return Data(split, facts, config, features["features"], everyone, held, items, judged)


def trials(split: Split, features: str) -> list[dict[str, Any]]:
    """Return the validation figure of the vectors themselves at each setting of their source."""
    size = vectors.of_genres(split).values.shape[1] if features == "content" else SIZE
    grid = GRIDS.get(features, {})

    def trial(values: Sequence[float]) -> dict[str, Any]:
        setting = {"features": features, "size": size, **dict(zip(grid, values, strict=True))}
        data = vectors_of(split, setting)
        report = ranked(data, "valid", lambda users: (users, data.items))
        return {"setting": setting, METRIC: report.figures[METRIC]}

    return [trial(values) for values in itertools.product(*grid.values())]


def measure(cell: Cell, data: Data, chosen: Mapping[str, Chosen] | None = None) -> dict[str, Any]:
    """Search unless the settings are given, train them with each seed, and test them.

    A compression in closed form has nothing to search, and one network.
    """
    begun = time.perf_counter()
    closed = cell.activation in LINEAR
    if closed:
        chosen, networks = projected(cell, data)
    else:
        chosen = chosen or search(cell, data)
    searching = time.perf_counter() - begun
    if not closed:
        networks = trained(cell, data, chosen)
    rows = []
    for similarity, own in chosen.items():
        nets = networks[similarity]
        tested = [ranked(data, "test", codes(cell, data, net, similarity)) for net in nets]
        row = {
            "similarity": similarity,
            **own._asdict(),
            METRIC: [report.figures[METRIC] for report in tested],
            "per_row": np.mean([report.per_row[METRIC] for report in tested], 0).round(5).tolist(),
            **properties(cell, data, nets[0], similarity),
        }
        rows.append(row)
    return {
        **cell._asdict(),
        "rows": rows,
        "search_seconds": searching,
        "made": cells.made(begun, data.split, () if closed else SEEDS),
    }


def projected(cell: Cell, data: Data) -> tuple[dict[str, Chosen], dict[str, list[Params]]]:
    """Compute a compression in closed form: its validation by each similarity, and its network."""
    moments = factor_ae.moments(
        system_of(cell, data), {"features": data.features}, on_device(data.split.train)
    )
    network = factor_ae.projection(config_of(cell, data), *moments)

    def valid(similarity: str) -> float:
        return ranked(data, "valid", codes(cell, data, network, similarity)).figures[METRIC]

    chosen = {name: Chosen(0.0, 0.0, 0, valid(name), {}) for name in SIMILARITIES}
    return chosen, {name: [network] for name in SIMILARITIES}


def trained(
    cell: Cell, data: Data, chosen: Mapping[str, Chosen]
) -> dict[str, list[Params]]:
    """Train the chosen settings of each similarity with each seed."""
    settings = sorted({(own.rate, own.decay) for own in chosen.values()})
    wanted = [replicas.Settings(*own, seed) for own in settings for seed in SEEDS]
    networks = train(cell, data, wanted)

    def of(own: Chosen) -> list[Params]:
        first = settings.index((own.rate, own.decay)) * len(SEEDS)
        return [one(networks[own.epochs], first + k) for k in range(len(SEEDS))]

    return {similarity: of(own) for similarity, own in chosen.items()}


def search(cell: Cell, data: Data) -> dict[str, Chosen]:
    """Choose for each similarity by validation, among all settings and checkpoints."""
    grid = list(itertools.product(RATES, DECAYS))
    settings = [replicas.Settings(rate, decay, 0) for rate, decay in grid]
    by_epoch = train(cell, data, settings)
    found = {}
    for similarity in SIMILARITIES:
        valid, early = {}, []
        for (epoch, networks), (i, setting) in itertools.product(by_epoch.items(), enumerate(grid)):
            compare = codes(cell, data, one(networks, i), similarity)
            valid[*setting, epoch] = ranked(data, "valid", compare).figures[METRIC]
            if epoch == cell.checkpoints[0]:
                early.append({**audited(data, compare), METRIC: valid[*setting, epoch]})
        best = max(valid, key=lambda key: valid[key])
        highest = {name: max(own[name] for own in early) for name in early[0]}
        found[similarity] = Chosen(*best, valid[best], highest)
    return found


def config_of(cell: Cell, data: Data, similarity: str = "dot") -> Config:
    """Return the settings of a cell."""
    kind = "compression" if cell.activation in LINEAR else "latent_activation"
    given: dict[str, Any] = {
        "latent": cell.latent,
        "tied": cell.tied,
        kind: cell.activation,
        "similarity": similarity,
    }
    return dataclasses.replace(data.config, **given)


def system_of(cell: Cell, data: Data, similarity: str = "dot") -> System:
    """Build the functions of a cell; those that train do not depend on the similarity."""
    return factor_ae.system(config_of(cell, data, similarity), data.facts)


def train(cell: Cell, data: Data, settings: Sequence[replicas.Settings]) -> dict[int, Params]:
    """Train replicas on the vectors, and return their networks at each checkpoint."""
    return replicas.train(
        system_of(cell, data),
        data.features,
        data.vectors,
        settings,
        epochs=cell.epochs,
        checkpoints=cell.checkpoints,
    )


def one(networks: Params, i: int) -> Params:
    """Take replica i."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), networks)


Compared = Callable[[jax.Array], tuple[jax.Array, jax.Array]]  # users -> (queries, item codes)


def codes(cell: Cell, data: Data, network: Params, similarity: str) -> Compared:
    """Return users' vectors [R, n] -> (queries [R, D], codes of the items [N, D])."""
    system, params = system_of(cell, data, similarity), {"network": network}
    return lambda users: system.compare(params, users, data.items)


def ranked(data: Data, part: str, compare: Compared) -> Report:
    """Compute NDCG@100 on the rows of validation or of test; zero if a score is not finite."""
    queries, items = compare(data.users[part])
    held = scoring.numbered(getattr(data.split, part))
    finite = jnp.isfinite(queries).all() & jnp.isfinite(items).all()
    params = {"queries": queries, "items": items}
    if not finite:
        params = jax.tree.map(jnp.zeros_like, params)
    report = _evaluator(data.split.mask_seen)(params, held)
    if finite:
        return report
    return Report({METRIC: 0.0}, {METRIC: 0 * report.per_row[METRIC]})


def audited(data: Data, compare: Compared) -> dict[str, float]:
    """Return the shares of pairs that the codes of some validation users order rightly."""
    queries, items = compare(data.users["valid"][:EARLY])
    judged = {name: Pairs(*(part[:EARLY] for part in own)) for name, own in data.pairs.items()}
    return measures.shares(np.asarray(queries @ items.T), judged)


def properties(cell: Cell, data: Data, network: Params, similarity: str) -> dict[str, float]:
    """Compute the measures of one network on the validation users."""
    users = data.users["valid"]
    queries, items = codes(cell, data, network, similarity)(users)
    scores = np.asarray(queries @ items.T, np.float64)
    everyone = jnp.concatenate([users, data.items])
    encoded = system_of(cell, data).encode({"network": network}, everyone)
    return {
        **measures.shares(scores, data.pairs),
        **measures.of_codes(scores, np.asarray(items, np.float64), np.asarray(encoded)),
    }


@functools.cache
def _evaluator(mask_seen: bool):
    """Return the evaluator of given queries and item codes, compiled once for each shape."""
    (name, _, k), known = METRIC.partition("@"), scoring.by_number(scoring.by_codes)
    return ranking.evaluator(known, names=(name,), ks=(int(k),), mask_seen=mask_seen)
