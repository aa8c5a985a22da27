"""Compare activations of a latent code: figure 1 of Susman trained at many settings, cell by cell.

  python -m experiments.latent --data_dir=DIR --output=runs/latent
  python -m experiments.latent --data_dir=DIR --output=runs/latent --activations=tanh,sigmoid
  python -m experiments.latent --data_dir=DIR --output=runs/latent --latents=32 --tied=both

A cell is a data set, a dimension m, tied or separate weights, and an activation. Its learning rate,
weight decay and number of epochs are chosen for each similarity of codes by validation NDCG@100, on
one seed; the chosen settings are trained with further seeds, and tested. Each finished cell is a
file in --output; after an interruption the same command resumes. docs/studies/latent-activation.md
has the plan.
"""

import dataclasses
import functools
import itertools
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import aerec
from aerec import features as origins
from aerec import files
from aerec.cli import command, options, show
from aerec.core import Facts, Params, Table
from aerec.data.splits import Split
from aerec.evaluation import ranking
from aerec.models import factor_ae
from aerec.models.factor_ae import Config, System
from aerec.nn import activations
from aerec.runs import scoring
from aerec.runs.spec import data_hash
from experiments import board, measures, records, replicas

SIMILARITIES = ("dot", "cosine", "centred", "decoder")
PLAIN = ("sigmoid", "tanh", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "swish",
         "softplus", "exp", "softsign", "identity")  # fmt: skip
RATES, DECAYS = (0.001, 0.003, 0.01, 0.03), (0.0, 3e-4)
EPOCHS, CHECKPOINTS = 40, (4, 20, 40)
SEEDS = (1, 2, 3, 4, 5)
METRIC = "ndcg@100"
FEATURES = {  # damping and power of the spectral features, chosen on validation without compression
    "ml-1m": {"damping": 0.25, "power": 0.25},
}
AGAIN = "delete it, and run the same command again"


class Cell(NamedTuple):
    """One autoencoder of one data set."""

    dataset: str
    latent: int
    tied: bool
    activation: str

    @property
    def name(self) -> str:
        """The name of its file."""
        tied = "tied" if self.tied else "untied"
        return f"{self.dataset}-{self.latent}-{tied}-{self.activation.replace(':', '_')}"


class Data(NamedTuple):
    """A split with its vectors, computed once for all its cells.

    Attributes:
      vectors: [M, n] of all training users and items, scaled.
      users: of the rows of validation and of test, [R, n] each, scaled.
      items: [N, n], scaled.
    """

    split: Split
    config: Config
    features: Params
    vectors: jax.Array
    users: Mapping[str, jax.Array]
    items: jax.Array


def main(given: Mapping[str, Any]) -> None:
    output = pathlib.Path(options.required(given, "output"))
    cells = planned(given)
    prepared: dict[str, Data] = {}
    columns = (TextColumn("{task.completed:.0f}/{task.total} cells"), BarColumn(),
               TextColumn("{task.description}"), TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=show.CONSOLE) as bar:
        task = bar.add_task("", total=len(cells))
        for cell in cells:
            path = output / f"{cell.name}.json"
            bar.update(task, description=cell.name)
            if not path.exists():
                if cell.dataset not in prepared:
                    prepared[cell.dataset] = prepare(cell.dataset, given)
                with files.writing(path):
                    output.mkdir(parents=True, exist_ok=True)
                files.write_json(path, measure(cell, prepared[cell.dataset]))
            bar.advance(task)
    show.CONSOLE.print(f"Finished cells are in {output}.", markup=False)


def planned(given: Mapping[str, Any]) -> list[Cell]:
    """List the cells that the flags ask for; shifts only where they exist."""
    names = given["activations"]
    if not names:
        both = [name for plain in PLAIN for name in (plain, f"shift:{plain}")]
        names = [name for name in both if name in activations.names()]
    names = [activations.describe(name).name for name in names]
    tied = {"no": (False,), "yes": (True,), "both": (False, True)}[given["tied"]]
    latents = [int(latent) for latent in given["latents"]]
    return [
        Cell(*parts) for parts in itertools.product(given["datasets"], latents, tied, names)
    ]


def prepare(dataset: str, given: Mapping[str, Any]) -> Data:
    """Split the ratings of a data set, and compute the vectors of the training part."""
    ratings = aerec.load(dataset, data_dir=given["data_dir"])
    return vectors_of(board.divide(ratings, dataset, "strong", 0), FEATURES.get(dataset, {}))


def vectors_of(split: Split, settings: Mapping[str, Any]) -> Data:
    """Compute the vectors of a split."""
    config = Config(**settings)
    system = factor_ae.system(config, Facts.of(split.train))
    features = {"features": origins.compute(system.source, split.train)}

    def users(table: Table) -> jax.Array:
        blocks = origins.over_users(lambda x: system.users(features, x), table, lambda v: v)
        return jnp.asarray(np.concatenate(blocks)[: table.num_rows], jnp.float32)

    items = system.items(features)
    held = {name: users(getattr(split, name).input) for name in ("valid", "test")}
    vectors = jnp.concatenate([users(split.train), items])
    return Data(split, config, features["features"], vectors, held, items)


def measure(cell: Cell, data: Data) -> dict[str, Any]:
    """Search, train the chosen settings with further seeds, and test them."""
    begun = time.perf_counter()
    system = system_of(cell, data)
    searched = [
        replicas.Settings(rate, decay, 0) for rate, decay in itertools.product(RATES, DECAYS)
    ]
    trained = train(system, data, searched)
    valid = {
        (similarity, epoch, i): figure(
            data, "valid", codes(cell, data, one(networks, i), similarity)
        )
        for similarity in SIMILARITIES
        for epoch, networks in trained.items()
        for i in range(len(searched))
    }
    searching = time.perf_counter() - begun
    chosen = {}
    for similarity in SIMILARITIES:
        own = {key: value for key, value in valid.items() if key[0] == similarity}
        chosen[similarity] = max(own, key=lambda key: own[key])
    settings = sorted({(searched[i].rate, searched[i].decay) for _, _, i in chosen.values()})
    final = [replicas.Settings(*own, seed) for own in settings for seed in SEEDS]
    networks = train(system, data, final)
    rows = []
    for similarity, key in chosen.items():
        _, epoch, i = key
        first = settings.index((searched[i].rate, searched[i].decay)) * len(SEEDS)
        nets = [one(networks[epoch], first + k) for k in range(len(SEEDS))]
        tested = [figure(data, "test", codes(cell, data, net, similarity)) for net in nets]
        rows.append(
            {
                "similarity": similarity,
                "rate": searched[i].rate,
                "decay": searched[i].decay,
                "epochs": epoch,
                "validation": valid[key],
                "tenth": max(value for k, value in valid.items()
                             if k[0] == similarity and k[1] == CHECKPOINTS[0]),
                METRIC: tested,
                **properties(cell, data, nets[0], similarity),
            }
        )  # fmt: skip
    return {
        **cell._asdict(),
        "rows": rows,
        "search_seconds": searching,
        "seconds": time.perf_counter() - begun,
        "split_hash": data_hash(data.split),
        "machine": records.machine(),
        "jax": jax.__version__,
    }


def system_of(cell: Cell, data: Data, similarity: str = "dot") -> System:
    """Build the functions of a cell; those that train do not depend on the similarity."""
    given: dict[str, Any] = {
        "latent": cell.latent,
        "tied": cell.tied,
        "latent_activation": cell.activation,
        "similarity": similarity,
    }
    config = dataclasses.replace(data.config, **given)
    return factor_ae.system(config, Facts.of(data.split.train))


def train(system: System, data: Data, settings: Sequence[replicas.Settings]) -> dict[int, Params]:
    """Train replicas on the vectors, and return their networks at each checkpoint."""
    return replicas.train(
        system, data.features, data.vectors, settings, epochs=EPOCHS, checkpoints=CHECKPOINTS
    )


def one(networks: Params, i: int) -> Params:
    """Take replica i."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), networks)


Compared = Callable[[jax.Array], tuple[jax.Array, jax.Array]]  # users -> (queries, item codes)


def codes(cell: Cell, data: Data, network: Params, similarity: str) -> Compared:
    """Return users' vectors [R, n] -> (queries [R, D], codes of the items [N, D])."""
    system, params = system_of(cell, data, similarity), {"network": network}
    return lambda users: system.compare(params, users, data.items)


def figure(data: Data, part: str, compare: Compared) -> float:
    """Compute NDCG@100 on the rows of validation or of test; -1 if a score is not finite."""
    queries, items = compare(data.users[part])
    if not (jnp.isfinite(queries).all() and jnp.isfinite(items).all()):
        return -1.0
    held = scoring.numbered(getattr(data.split, part))
    evaluate = _evaluator(data.split.mask_seen)
    return evaluate({"queries": queries, "items": items}, held).figures[METRIC]


def properties(cell: Cell, data: Data, network: Params, similarity: str) -> dict[str, float]:
    """Compute the measures of one network on the validation users."""
    users = data.users["valid"]
    queries, items = codes(cell, data, network, similarity)(users)
    everyone = jnp.concatenate([users, data.items])
    return measures.of(
        np.asarray(queries @ items.T, np.float64),
        np.asarray(users @ data.items.T, np.float64),
        data.split.valid,
        items=np.asarray(items, np.float64),
        encoded=np.asarray(system_of(cell, data).encode({"network": network}, everyone)),
    )


@functools.cache
def _evaluator(mask_seen: bool):
    """Return the evaluator of given queries and item codes, compiled once for each shape."""

    def score(params, row: jax.Array) -> jax.Array:
        queries = params["queries"].at[row].get(mode="fill", fill_value=0)
        return queries @ params["items"].T

    (name, _, k), known = METRIC.partition("@"), scoring.by_number(score)
    return ranking.evaluator(known, names=(name,), ks=(int(k),), mask_seen=mask_seen)


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("output", None, "the folder of the cells")
    flags.DEFINE_list("datasets", ["ml-1m", "anime"], "names of data sets")
    flags.DEFINE_list("latents", ["32", "8", "128"], "dimensions m of the code")
    flags.DEFINE_enum("tied", "both", ["no", "yes", "both"], "whether kernels are tied")
    flags.DEFINE_list("activations", [], "of the code; none: all of the plan, plain and shifted")
    command.run(main, __doc__)
