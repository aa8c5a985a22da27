"""Measure what fewer dimensions cost: a spectral model of m, without an autoencoder, against EASE.

  python -m experiments.dimensions --data_dir=DIR --output=runs/dimensions --record
  python -m experiments.dimensions --dataset=anime --data_dir=DIR --output=runs/dimensions --record

The data are split by `strong`, with seed 0. `spectral.M` has M singular vectors, their damping and
power chosen for each M by validation NDCG@100. One decomposition serves all M: the vectors of M are
the first M coordinates of those of more. `pca.M` is M principal components of the vectors of 256,
compared by codes or by reconstructions, and `ease` is EASE of 2019, its lambda tuned; both are
chosen likewise. Rows like `spectral.8-spectral.256` are paired differences over test users.

Figures on test users: `ndcg@100`; `coverage@100`; `auc`, of held-out clicks; `reachable`, the share
of items that some query ranks first, and `reached`, that a training user's does; `ceiling@10`, the
share of 100 users for whom some query makes no mistake on ten places; `rank`, the effective rank of
the item codes. The geometry is computed for m of at most 128: what some query ranks first among M
vectors, one does among more vectors of the same damping. EASE, with a dimension for each item, has
the first three figures alone. A finished model is a file in --output; the same command resumes.
"""

import functools
import itertools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

import aerec
from aerec import models, plots
from aerec.cli import command, options, show
from aerec.core import Facts, Model, Params, Table
from aerec.data.splits import Heldout, Split
from aerec.errors import BadInput
from aerec.evaluation import ranking
from aerec.evaluation.report import Report
from aerec.host_table import on_device
from aerec.properties import reachability
from aerec.runs import scoring
from aerec.training import loop
from experiments import board, cells, measures, records
from experiments.cells import Content
from experiments.records import Record

TITLE = "What fewer dimensions cost"
METRIC = "ndcg@100"
GRID = {"damping": (0.0, 0.25, 0.5), "power": (0.0, 0.25, 0.5)}
SIMILARITIES = ("dot", "decoder")
LAMBDAS = (100.0, 200.0, 500.0, 1000.0, 2000.0)
FULL = 256  # n, whose vectors the principal components compress
LARGEST = 128  # m of the geometry
USERS = 100  # test users of the ceiling
PARTS = ("train", "valid", "test")
Setting = dict[str, Any]


class Codes(NamedTuple):
    """What a model ranks by: `<query, item>`.

    Attributes:
      queries: of the rows of the parts that were asked for, [R, m] each.
      items: [N, m].
    """

    queries: Mapping[str, np.ndarray]
    items: np.ndarray

    def truncated(self, m: int) -> "Codes":
        """Return the first m coordinates."""
        return Codes({part: own[:, :m] for part, own in self.queries.items()}, self.items[:, :m])


def main(given: Mapping[str, Any]) -> None:
    dataset, dimensions = given["dataset"], _dimensions(given["dimensions"])
    output = pathlib.Path(options.required(given, "output")) / dataset
    folder = records.RESULTS if given["record"] else output.parent
    split = functools.cache(lambda: divided(dataset, given["data_dir"]))  # read when it is needed
    known = sorted({*dimensions, FULL})
    name = f"search-{'-'.join(map(str, known))}"
    (searched,) = cells.measure({name: lambda: search(split(), known)}, output)
    names = {f"spectral.{m}": ("spectral", m) for m in dimensions}
    names |= {f"pca.{m}": ("pca", m) for m in dimensions if m < FULL} | {"ease": ("ease", 0)}
    one = {name: lambda own=own: measure(split(), searched["trials"], *own)
           for name, own in names.items()}  # fmt: skip
    contents = dict(zip(names, cells.measure(one, output), strict=True))
    line = f"python -m experiments.dimensions --dataset={dataset} --data_dir=DIR --output=DIR"
    rows = recorded(contents, line)
    path = records.write(f"dimensions_{_file(dataset)}", TITLE, rows, folder)
    shown = ("ndcg@100", "auc", "coverage@100", "reachable", "ceiling@10", "rank")
    show.CONSOLE.print(cells.table(f"{TITLE}: {dataset}", rows, shown))
    if given["picture"]:
        picture(pathlib.Path(given["picture"]), folder)
    done = f"Kept in {path}." if given["record"] else f"Next: {line} --record"
    show.CONSOLE.print(done, markup=False, soft_wrap=True)


def _dimensions(given: Sequence[str]) -> list[int]:
    if not given or not all(own.isdecimal() and int(own) for own in given):
        raise BadInput(f"--dimensions={','.join(given)}: give whole numbers, like 8,64,256")
    return sorted({int(own) for own in given})


def _file(dataset: str) -> str:
    return dataset.partition(":")[0].replace("-", "")


def divided(dataset: str, data_dir: str | None) -> Split:
    """Split a data set; the validation part chooses, and the test part is scored."""
    return board.divide(aerec.load(dataset, data_dir=data_dir), dataset, "strong", 0)


def search(split: Split, dimensions: Sequence[int]) -> Content:
    """Score each damping and power at each m on validation, all m from one decomposition."""
    begun, trials = time.perf_counter(), []
    for values in itertools.product(*GRID.values()):
        setting = dict(zip(GRID, values, strict=True))
        whole = spectral(split, setting, max(dimensions), ("valid",))
        for m in dimensions:
            figure = evaluated(split, "valid", whole.truncated(m)).figures[METRIC]
            trials.append({"m": m, "setting": setting, METRIC: figure})
    return {"trials": trials, "made": cells.made(begun, split)}


def measure(split: Split, searched: Sequence[Content], kind: str, m: int) -> Content:
    """Choose the settings of a model by validation, and compute its figures on test."""
    begun = time.perf_counter()
    if kind == "spectral":
        trials = [own for own in searched if own["m"] == m]
        size = max(own["m"] for own in searched)
        codes = spectral(split, _best(trials)["setting"], size).truncated(m)
    else:
        fixed: Setting = {"dropout": 0.0}
        grid: tuple[str, Sequence] = ("l2", LAMBDAS)
        if kind == "pca":
            fixed = {"compression": "pca", "size": FULL, "latent": m}
            fixed |= _best([own for own in searched if own["m"] == FULL])["setting"]
            grid = ("similarity", SIMILARITIES)
        settings = [{**fixed, grid[0]: value} for value in grid[1]]
        name, trials = {"pca": "factor_ae"}.get(kind, kind), []
        for setting in settings:
            codes = ranked_by(name, setting, split, ("valid",))
            figure = evaluated(split, "valid", codes).figures[METRIC]
            trials.append({"setting": setting, METRIC: figure})
        codes = ranked_by(name, _best(trials)["setting"], split)
    best = _best(trials)
    report = evaluated(split, "test", codes)
    figures = {**report.figures, **of_scores(split, codes, rank=bool(m))}
    return {
        "figures": figures | (geometry(split, codes) if 0 < m <= LARGEST else {}),
        "per_row": report.per_row[METRIC].astype(float).tolist(),
        "tuning": {"trials": len(trials), "metric": METRIC, "validation": best[METRIC],
                   "setting": best["setting"]},
        "made": cells.made(begun, split),
    }  # fmt: skip


def spectral(
    split: Split, setting: Setting, size: int, parts: Sequence[str] = PARTS
) -> Codes:
    """Return the vectors of `size` singular values, without compression."""
    fixed = {"compression": "none", "similarity": "dot", "size": size}
    return ranked_by("factor_ae", {**fixed, **setting}, split, parts)


def ranked_by(
    name: str, setting: Setting, split: Split, parts: Sequence[str] = PARTS
) -> Codes:
    """Solve a model in closed form, and return what it ranks by."""
    model = models.build(name, setting, Facts.of(split.train))
    assert model.item_codes is not None
    params = loop.solve(model, split.train)
    tables = {"train": on_device(split.train), "valid": split.valid.input, "test": split.test.input}
    queries = {part: _queries(model, params, tables[part]) for part in parts}
    return Codes(queries, np.asarray(model.item_codes(params), np.float64))


def _queries(model: Model, params: Params, table: Table) -> np.ndarray:
    index, capacity = table.blocks(1024)
    query = model.queries
    assert query is not None
    run = jax.jit(lambda params, table, rows: query(params, table.gather(rows, capacity)))
    parts = [np.asarray(run(params, table, rows), np.float64) for rows in index]
    return np.concatenate(parts)[: table.num_rows]


def of_scores(split: Split, codes: Codes, *, rank: bool) -> dict[str, float]:
    """Compute the AUC of the test users' held-out clicks, and the effective rank of the codes."""
    scores = codes.queries["test"] @ codes.items.T
    judged = measures.pairs(scores, scoring.numbered(split.test))
    found = {"auc": measures.shares(scores, {"auc": judged["auc"]})["auc"]}
    if rank:
        found["rank"] = measures.of_codes(scores, codes.items, codes.items)["rank"]
    return found


def geometry(split: Split, codes: Codes) -> dict[str, float]:
    """Compute what the item codes allow."""
    queries = codes.queries["test"]
    targets, seen = (_lists(table) for table in (split.test.target, split.test.input))
    some = np.flatnonzero([len(own) > 0 for own in targets])
    some = np.sort(np.random.default_rng(0).permutation(some)[:USERS])
    ceiling = reachability.ceiling(
        codes.items, None, [targets[u] for u in some], [seen[u] for u in some], queries[some], k=10
    )
    reached = reachability.reachable(codes.items, None, codes.queries["train"])
    assert reached.by_users is not None
    return {
        "reachable": reached.by,
        "unreachable": float(reached.unreachable.mean()),
        "reached": reached.by_users,
        "ceiling@10": ceiling.share,
        "ceiling@10_low": ceiling.interval[0],
        "ceiling@10_high": ceiling.interval[1],
    }


def evaluated(split: Split, part: str, codes: Codes) -> Report:
    """Rank the items of the rows of "valid" or "test"."""
    held: Heldout = scoring.numbered(getattr(split, part))
    own = {"queries": codes.queries[part], "items": codes.items}
    params = {name: jnp.asarray(value, jnp.float32) for name, value in own.items()}
    return _evaluator(split.mask_seen)(params, held)


@functools.cache
def _evaluator(mask_seen: bool):
    known = scoring.by_number(scoring.by_codes)
    return ranking.evaluator(known, names=("ndcg", "coverage"), ks=(100,), mask_seen=mask_seen)


def _best(trials: Sequence[Content]) -> Content:
    return max(trials, key=lambda own: own[METRIC])


def _lists(table) -> list[np.ndarray]:
    return np.split(np.asarray(table.columns), np.asarray(table.indptr)[1:-1])


def recorded(contents: Mapping[str, Content], line: str) -> list[Record]:
    """Make the records of the models, and of the differences from m = 256 and from EASE."""
    rows = []
    for name, own in contents.items():
        figures = {n: v for n, v in own["figures"].items() if not n.endswith("_se")}
        m = {} if name == "ease" else {"m": int(name.partition(".")[2])}
        errors = {METRIC: 1.96 * own["figures"][f"{METRIC}_se"]}
        rows.append(Record(label=name, figures={**m, **figures}, errors=errors, command=line,
                           tuning=own["tuning"], **own["made"]))  # fmt: skip
    values = {name: np.array(own["per_row"], float) for name, own in contents.items()}
    base = f"spectral.{FULL}"
    pairs = [(n, base) for n in values if n != base]
    pairs += [(n, "ease") for n in values if n.startswith("spectral.")]
    for first, second in (pair for pair in pairs if set(pair) <= set(values)):
        fields = {**contents[first]["made"], "seconds": 0.0, "command": line}
        rows.append(cells.difference(f"{first}-{second}", METRIC, values[first], values[second],
                                     **fields))  # fmt: skip
    return rows


def picture(path: pathlib.Path, folder: pathlib.Path = records.RESULTS) -> None:
    """Draw NDCG@100 by m, for each data set that has results."""
    panels: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for file in sorted(folder.glob("dimensions_*.json")):
        rows = records.read(file.stem, folder)[1]
        lines: dict[str, list[tuple[float, float, float]]] = {}
        widest = max(row.figures.get("m", 0) for row in rows)
        for row in rows:
            if METRIC in row.errors:
                point = row.figures[METRIC], row.errors[METRIC]
                at = [row.figures["m"]] if "m" in row.figures else [8, widest]  # EASE: a level
                lines.setdefault(row.label.partition(".")[0], []).extend((x, *point) for x in at)
        panels[rows[0].data] = lines
    plots.save(plots.by_dimension(panels, METRIC), path)


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("output", None, "the folder of the finished models")
    flags.DEFINE_string("dataset", "ml-1m", "the name of a data set")
    flags.DEFINE_list("dimensions", ["8", "16", "32", "64", "128", "256", "512", "1000"], "each m")
    flags.DEFINE_bool("record", False, "keep the rows in experiments/results/dimensions_NAME.json")
    flags.DEFINE_string("picture", None, "draw NDCG@100 by m of all results to this PNG file")
    command.run(main, __doc__)
