"""Rank items that no user clicked in training: by their genres, and by what such an item lacks.

  python -m experiments.cold --data_dir=DIR --output=runs/cold --record

A draw holds out 20% of the items with clicks, and whole users as `strong` does. Models are trained
on the clicks of the other users on the other items. The clicks of a test user on these warm items
are folded in, and the cold items alone are ranked; the target is his clicks on them.

- `content`: `factor_ae` with features=content and no compression; cold items by `Run.with_items`.
- `content_32`: its autoencoder with a code of 32.
- `random`: a random order for each user.
- `popularity`: ridge regression of log(1 + clicks) of the warm items on their genres.
- `content_popularity`: scores of `content`, standardised for each user, and w times those of
  `popularity`, standardised.
- `members`: a column of the metadata of Anime, how many people have an item in their list.
- `content_members`: as `content_popularity`, with log(1 + members).
- `clicks`: the clicks of the training users on the cold items, which were left out.

Similarity, w and the penalty of the ridge are chosen by NDCG@100 on a draw of the same kind among
the warm items and without the test users. Rows without a draw in their label are of all draws; a
user who is tested in several counts as one in their errors. Intervals are over users, for these
draws of items. A finished draw is a file in --output; the same command resumes.
"""

import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from absl import flags

import aerec
from aerec import files
from aerec.cli import command, options, show
from aerec.core import Table
from aerec.data import vectors
from aerec.data.ratings import Ratings
from aerec.data.splits import Heldout
from aerec.errors import BadInput
from aerec.evaluation import ranking, statistics
from aerec.evaluation.report import Report
from aerec.runs import scoring
from experiments import cells, records
from experiments.cells import Content
from experiments.cold_items import Draw, drawn
from experiments.records import Record

FILE, TITLE = "cold_items_anime", "Items that no user clicked in training"
DRAWS = (1, 2, 3)
METRIC, FIGURES = "ndcg@100", ("ndcg@100", "recall@20")
SIMILARITIES = ("dot", "cosine", "centred", "decoder")
WEIGHTS = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # w
PENALTIES = (0.1, 1.0, 10.0, 100.0)
CODE = 32
PAIRS = (("content", "random"), ("content", "popularity"), ("content_32", "random"),
         ("content_32", "popularity"), ("content_32", "content"), ("content_popularity", "content"),
         ("content_members", "members"), ("content_members", "content"))  # fmt: skip


def main(given: Mapping[str, Any]) -> None:
    output = pathlib.Path(options.required(given, "output"))
    folder = records.RESULTS if given["record"] else output
    read = functools.cache(lambda: aerec.load(given["dataset"], data_dir=given["data_dir"]))
    known = members(given["dataset"], given["data_dir"])

    def measured(seed: int) -> Content:
        return measure(read(), known, seed)

    draws = {f"draw{seed}": functools.partial(measured, seed) for seed in DRAWS}
    contents = dict(zip(draws, cells.measure(draws, output), strict=True))
    line = "python -m experiments.cold --data_dir=DIR --output=DIR"
    rows = recorded(contents, line)
    path = records.write(FILE, TITLE, rows, folder)
    whole = [row for row in rows if "draw" not in row.label]
    show.CONSOLE.print(cells.table(f"{TITLE}: {len(DRAWS)} draws", whole, FIGURES))
    done = f"Kept in {path}." if given["record"] else f"Next: {line} --record"
    show.CONSOLE.print(done, markup=False, soft_wrap=True)


def members(dataset: str, data_dir: str | None) -> dict[str, float] | None:
    """Read the members of each item of Anime, by raw id; None for other data."""
    if dataset != "anime":
        return None
    base = pathlib.Path(data_dir or os.environ.get("AEREC_DATA", "."))
    places = [base / dataset / "anime_info.dat", base / "anime_info.dat"]
    path = next((own for own in places if own.exists()), None)
    if path is None:
        raise BadInput(f"{places[0]} is missing: it has the genres and members of the items")
    with files.reading(path, "read the data again"):
        frame = pl.read_csv(path, separator="\t", quote_char=None,
                            columns=["anime_ids", "members"])  # fmt: skip
    return dict(zip(frame["anime_ids"].cast(pl.String), frame["members"].cast(pl.Float64),
                    strict=True))  # fmt: skip


def measure(ratings: Ratings, known: Mapping[str, float] | None, seed: int) -> Content:
    """Choose the settings of each way on a draw among the warm items, then test it."""
    begun = time.perf_counter()
    draw = drawn(ratings, seed)
    chosen = choose(drawn(draw.rest, seed), known, seed)
    settings = {name: own["setting"] for name, own in chosen.items()}
    scored = ranked(draw, settings, known, seed)
    found = {name: evaluated(draw.target, scores) for name, scores in scored.items()}
    targets = draw.target.lengths()
    sizes = {"warm": draw.split.train.num_columns, "cold": len(draw.ids),
             "users": int((targets > 0).sum()), "targets": int(targets.sum())}  # fmt: skip
    assert draw.split.test_ids is not None
    return {
        "users": draw.split.test_ids.astype(str).tolist(),
        "values": {name: {figure: report.per_row[figure].astype(float).tolist()
                          for figure in FIGURES} for name, report in found.items()},
        "chosen": chosen,
        "sizes": sizes,
        "made": cells.made(begun, draw.split, (seed,)),
    }  # fmt: skip


def choose(draw: Draw, known: Mapping[str, float] | None, seed: int) -> dict[str, Content]:
    """Choose the setting of each way that has one, by NDCG@100."""
    best: dict[str, Content] = {}

    def tried(name: str, settings: Sequence[Any], score: Callable[[Any], np.ndarray]) -> np.ndarray:
        scores = [score(setting) for setting in settings]
        figures = [evaluated(draw.target, own).figures[METRIC] for own in scores]
        place = int(np.argmax(figures))
        best[name] = {"trials": len(settings), "metric": METRIC, "validation": figures[place],
                      "setting": settings[place]}  # fmt: skip
        return scores[place]

    none, code = ([{**own, "similarity": name} for name in SIMILARITIES]
                  for own in ({"compression": "none"}, {"latent": CODE}))  # fmt: skip
    personal = tried("content", none, lambda own: content(draw, own, seed))
    tried("content_32", code, lambda own: content(draw, own, seed))
    common = tried("popularity", PENALTIES, lambda own: popularity(draw, own))
    tried("content_popularity", WEIGHTS, lambda own: together(personal, common, own))
    if known is not None:
        listed = logarithms(draw, known)
        tried("content_members", WEIGHTS, lambda own: together(personal, listed, own))
    return best


def ranked(
    draw: Draw, chosen: Mapping[str, Any], known: Mapping[str, float] | None, seed: int
) -> dict[str, np.ndarray]:
    """Score the cold items in each way, with the chosen settings, [R, C] or [C]."""
    personal = content(draw, chosen["content"], seed)
    common = popularity(draw, chosen["popularity"])
    found = {
        "content": personal,
        "content_32": content(draw, chosen["content_32"], seed),
        "random": np.random.default_rng([seed, 1]).random(personal.shape),
        "popularity": common,
        "content_popularity": together(personal, common, chosen["content_popularity"]),
        "clicks": draw.clicks,
    }
    if known is not None:
        listed = logarithms(draw, known)
        both = together(personal, listed, chosen["content_members"])
        found |= {"members": listed, "content_members": both}
    return found


def content(draw: Draw, setting: Mapping[str, Any], seed: int) -> np.ndarray:
    """Score the cold items by a model of genres, [R, C]."""
    genres = vectors.of_genres(draw.split)
    run = aerec.fit("factor_ae", draw.split, seed=seed, show=False, log=_silent,
                    features="content", size=len(genres.names), **setting)  # fmt: skip
    run = run.with_items(draw.ids.tolist(), _indicators(draw.genres, genres.names))
    found = run.predict(draw.histories, draw.ids.tolist())["score"].to_numpy()
    return found.reshape(draw.histories.shape[0], len(draw.ids))


def popularity(draw: Draw, penalty: float) -> np.ndarray:
    """Predict log(1 + clicks) of the cold items from their genres, [C], by ridge regression."""
    genres = vectors.of_genres(draw.split)
    own = genres.values.astype(np.float64)
    clicks = draw.split.train.column_counts()
    wanted, mean = np.log1p(clicks), own.mean(axis=0)
    x = own - mean
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(len(mean)), x.T @ (wanted - wanted.mean()))
    return (_indicators(draw.genres, genres.names) - mean) @ weights + wanted.mean()


def logarithms(draw: Draw, known: Mapping[str, float]) -> np.ndarray:
    """Return log(1 + members) of the cold items, [C]; an item without a count has none."""
    return np.log1p([known.get(str(own), 0.0) for own in draw.ids.tolist()])


def together(personal: np.ndarray, common: np.ndarray, weight: float) -> np.ndarray:
    """Add scores of users [R, C] and w times those of all [C], standardised over the items."""
    return _standardised(personal) + weight * _standardised(common)


def evaluated(target: Table, scores: np.ndarray) -> Report:
    """Rank the C items of a target [R, C] by scores [R, C], or [C] for all users alike."""
    rows, count = target.num_rows, target.num_columns
    none = np.zeros(0, int)
    nothing = Table.from_entries(none, none, none, num_rows=rows, num_columns=count)
    held = Heldout(nothing, target, jnp.arange(rows, dtype=jnp.int32))
    params = jnp.asarray(np.broadcast_to(scores, (rows, count)), jnp.float32)
    return _evaluator()(params, held)


@functools.cache
def _evaluator():
    def score(params: jax.Array, row: jax.Array) -> jax.Array:
        return params.at[row].get(mode="fill", fill_value=0)

    known = scoring.by_number(score)
    return ranking.evaluator(known, names=("ndcg", "recall"), ks=(20, 100), mask_seen=False)


def recorded(contents: Mapping[str, Content], line: str) -> list[Record]:
    """Make the records of all draws together, then those of each."""
    parts: dict[str, dict[str, Content]] = {"": dict(contents)}
    parts |= {f".{name}": {name: own} for name, own in contents.items()}
    rows = []
    for suffix, some in parts.items():
        made = [own["made"] for own in some.values()]
        fields = {
            **made[0],
            "command": line,
            "split_hash": [digest for own in made for digest in own["split_hash"]],
            "seeds": [seed for own in made for seed in own["seeds"]],
            "seconds": sum(own["seconds"] for own in made),
        }
        sizes = {n: float(np.mean([own["sizes"][n] for own in some.values()]))
                 for n in next(iter(some.values()))["sizes"]}  # fmt: skip
        rows.append(Record(label=f"data{suffix}", figures=sizes, **fields))
        names = list(next(iter(some.values()))["values"])
        sums = {name: {figure: pooled(list(some.values()), name, figure) for figure in FIGURES}
                for name in names}  # fmt: skip
        for name, own in sums.items():
            tuning = next(iter(some.values()))["chosen"].get(name) if suffix else None
            rows.append(Record(
                label=f"{name}{suffix}", tuning=tuning, **fields,
                figures={figure: statistics.estimate(*own[figure]) for figure in FIGURES},
                errors={f: 1.96 * statistics.standard_error(*own[f]) for f in FIGURES},
            ))  # fmt: skip
        for first, second in (pair for pair in PAIRS if set(pair) <= set(names)):
            label = f"{first}-{second}{suffix}"
            pairs = [
                cells.difference(label, figure, sums[first][figure][0], *sums[second][figure],
                                 **{**fields, "seconds": 0.0})
                for figure in FIGURES
            ]  # fmt: skip
            figures = {name: value for own in pairs for name, value in own.figures.items()}
            rows.append(dataclasses.replace(pairs[0], figures=figures))
    return rows


def pooled(some: Sequence[Content], name: str, figure: str) -> tuple[np.ndarray, np.ndarray]:
    """Sum a figure over the draws in which a user is tested: (sums [U], numbers of draws [U])."""
    users = np.concatenate([own["users"] for own in some])
    values = np.concatenate([np.array(own["values"][name][figure], float) for own in some])
    known = ~np.isnan(values)
    _, number = np.unique(users[known], return_inverse=True)
    return np.bincount(number, values[known]), np.bincount(number)


def _indicators(genres: np.ndarray, names: Sequence[str]) -> np.ndarray:
    own = [set(text.split("|")) for text in genres.tolist()]
    return np.array([[name in genre for name in names] for genre in own], np.float32)


def _standardised(scores: np.ndarray) -> np.ndarray:
    spread = scores.std(axis=-1, keepdims=True)
    return (scores - scores.mean(axis=-1, keepdims=True)) / np.where(spread > 0, spread, 1.0)


def _silent(text: str) -> None:
    """Print no notes, which would be the same for each model."""


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "where the datasets' files are (default $AEREC_DATA)")
    flags.DEFINE_string("output", None, "the folder of the finished draws")
    flags.DEFINE_string("dataset", "anime", "the name of a data set with genres")
    flags.DEFINE_bool("record", False, f"keep the rows in experiments/results/{FILE}.json")
    command.run(main, __doc__)
