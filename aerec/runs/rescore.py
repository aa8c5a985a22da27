"""Score a finished run again: under its own protocol, another one, or against another run."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from aerec import models
from aerec.core import Table
from aerec.data.splits import Heldout, Split, weak
from aerec.errors import BadInput
from aerec.evaluation import statistics
from aerec.evaluation.report import Report
from aerec.runs import directory, scoring
from aerec.runs.artefact import Artefact
from aerec.runs.spec import data_hash, model_settings, oriented
from aerec.training import loop


def read(workdir: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any], list[Report]]:
    """Read a finished run's config.json, results.json and the test reports of its replicas.

    Raises:
      BadInput: no finished run is there, or a damaged one.
    """
    directory.require(workdir, directory.CONFIG, directory.RESULTS, directory.TEST_ROWS)
    results = directory.read_results(workdir)
    return directory.read_config(workdir), results, directory.read_reports(workdir, results)


def protocol_text(config: Mapping[str, Any]) -> str:
    """Spell the protocol of a config.json as `protocols.parse` reads it."""
    given = dict(config["protocol"])
    name = given.pop("name")
    apart = {"task", "hash"}
    if name == "files":  # whose folder may have moved; these are given beside
        apart |= {"split_dir", "scale"}
    parameters = {k: v for k, v in given.items() if k not in apart}
    return f"{name}:{','.join(f'{k}={v}' for k, v in parameters.items())}"


def score(loaded: Artefact, own: Sequence[Split]) -> list[Report]:
    """Score each replica of a run on its own test part.

    Args:
      loaded: the run, its parameters with leaves [S, ...].
      own: the run's splits, rebuilt from its data.

    Raises:
      BadInput: the splits are not those of the run.
    """
    as_read = _own(loaded.config, own)
    reports = []
    for replica in range(len(loaded.config["seeds"])):
        split = as_read[replica % len(as_read)]
        params = loop.replica(loaded.params, replica)
        reports.append(scoring.evaluator(loaded.model, split)(params, split.test))
    return reports


def score_other(loaded: Artefact, own: Sequence[Split], other: Sequence[Split]) -> list[Report]:
    """Score each replica of a run on the test part of another protocol's split.

    Users and items are matched by raw id; items that the model does not know are left out.
    Popularity and items without a training rating are those of the training data.

    Args:
      loaded: the run, its parameters with leaves [S, ...].
      own: the run's splits, rebuilt from its data.
      other: one split of another protocol, or one per replica.

    Raises:
      BadInput: `own` are not the run's splits, the protocols are of different tasks, or a target of
        the other was in training or in validation.
    """
    config = loaded.config
    as_read = _own(config, own)
    tasks = [splits[0].protocol["task"] for splits in (own, other)]
    if tasks[0] != tasks[1]:
        raise BadInput(
            f"The run is of a {tasks[0]} protocol ({own[0].protocol['name']}), and "
            f"{other[0].protocol['name']} is of a {tasks[1]} one: its figures would be others."
        )
    reports = []
    for replica in range(len(config["seeds"])):
        params = loop.replica(loaded.params, replica)
        trained, split = own[replica % len(own)], other[replica % len(other)]
        heldout = matched(loaded, split)
        _require_untrained(trained, heldout, split, loaded)
        _require_unselected(trained, split)
        seen = as_read[replica % len(as_read)]._replace(mask_seen=split.mask_seen)
        if config["item_based"]:
            heldout = weak(heldout.input.transpose(), heldout.target.transpose())
        reports.append(scoring.evaluator(loaded.model, seen)(params, heldout))
    return reports


def matched(loaded: Artefact, split: Split) -> Heldout:
    """Map the test part of a split to the columns of a model, by raw ids.

    Where the model is item-based the rows are its training users, all and in order.
    """
    item_based = loaded.config["item_based"]
    users = split.user_ids if split.test_ids is None else split.test_ids
    known_users, known_items = loaded.vocabulary.user_ids, loaded.vocabulary.item_ids
    row_of, column_of = _places(users, known_users), _places(split.item_ids, known_items)
    known = len(known_users)
    rows = row_of if item_based else np.arange(len(users))
    size = {"num_rows": known if item_based else len(users), "num_columns": len(known_items)}

    def renumbered(table: Table) -> Table:
        row, column, value = table.entries()
        row, column = rows[row], column_of[column]
        kept = (row >= 0) & (column >= 0)
        return Table.from_entries(row[kept], column[kept], value[kept], **size)

    numbers = np.arange(known) if item_based else np.where(row_of < 0, known, row_of)
    source, target = renumbered(split.test.input), renumbered(split.test.target)
    if not target.columns.size:
        raise BadInput("The model knows none of the items that are to be predicted.")
    return Heldout(source, target, jnp.asarray(numbers, jnp.int32))


class Paired(NamedTuple):
    """A comparison of one replica of run a with one of run b."""

    seeds: tuple[int, int]
    figures: dict[str, tuple[float, float]]  # name -> (of a, of b)
    tests: dict[str, statistics.Comparison]  # name -> the test of a minus b


def against(a: pathlib.Path, b: pathlib.Path, names: Sequence[str]) -> list[Paired]:
    """Test the replicas of two finished runs by paired randomisation, first with first.

    Raises:
      BadInput: a run is not finished, the two are of different protocols or data, their rows are
        not the same, or a figure is missing.
    """
    both = [read(workdir) for workdir in (a, b)]
    configs = [config for config, _, _ in both]
    require_pairs(*configs, names=(str(a), str(b)))
    pairs = []
    seeds = [config["seeds"] for config in configs]
    for i, (seed, other) in enumerate(zip(*seeds, strict=False)):
        one, two = (reports[i] for _, _, reports in both)
        for name in names:
            if name not in one.figures or name not in two.figures:
                raise BadInput(f"No figure is called {name!r} in both runs.")
        try:
            tests = {n: one.compare(two, n) for n in names}
        except ValueError as error:  # a figure of all rows at once, as coverage
            raise BadInput(f"there is nothing to pair: {error}") from None
        figures = {n: (one.figures[n], two.figures[n]) for n in names}
        pairs.append(Paired((seed, other), figures, tests))
    return pairs


def require_pairs(first: Mapping, second: Mapping, *, names: tuple[str, str]) -> None:
    """Raise BadInput unless two runs, by their config.json, were scored on the same test rows.

    Args:
      names: what to call the runs.
    """
    a, b = names
    protocols = first["protocol"], second["protocol"]
    if protocols[0]["hash"] != protocols[1]["hash"]:
        raise BadInput(
            f"{a} and {b} are of different protocols, {protocols[0]['name']} "
            f"{protocols[0]['hash']} and {protocols[1]['name']} {protocols[1]['hash']}: their test "
            f"rows do not pair. They differ in {', '.join(_differ(*protocols))}."
        )
    if first["item_based"] != second["item_based"]:
        raise BadInput(f"The test rows of one of {a}, {b} are items, of the other users.")
    if (first["format"] == 1) != (second["format"] == 1):
        raise BadInput(
            f"{a} is of format {first['format']}, {b} of format {second['format']}: their "
            "hashes of the data do not compare. Train the older again, in another workdir."
        )
    hashes = first["data_hash"], second["data_hash"]
    for i, (seed, other) in enumerate(zip(first["seeds"], second["seeds"], strict=False)):
        if hashes[0][i % len(hashes[0])] != hashes[1][i % len(hashes[1])]:
            raise BadInput(
                f"{a} and {b} are of one protocol but of different ratings, or of other draws of "
                f"it (seeds {seed} and {other}): their test rows do not pair."
            )


def _differ(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return [n for n in {**first, **second} if n != "hash" and first.get(n) != second.get(n)]


def _own(config: Mapping[str, Any], own: Sequence[Split]) -> list[Split]:
    """Check that the splits are the run's; return them as its model reads them."""
    as_read = oriented(models.traits(config["model"], model_settings(config)), own)
    if own[0].protocol["hash"] != config["protocol"]["hash"]:
        raise BadInput("The files of the split are not those that the run was trained on.")
    if [data_hash(split, config["format"]) for split in as_read] != config["data_hash"]:
        raise BadInput(
            f"The ratings read as {config['dataset']} are not those that the run was trained on, "
            "so its test part cannot be made again."
        )
    return as_read


def _require_untrained(own: Split, heldout: Heldout, other: Split, loaded: Artefact) -> None:
    """Raise BadInput if a target of `heldout` (in own's numbering) is a training entry."""
    row, column, _ = heldout.target.entries()
    user = np.asarray(heldout.rows)[row].astype(np.int64)
    trained_row, trained_column, _ = own.train.entries()
    width, known = len(own.item_ids), user < own.train.num_rows
    targets = (user * width + column)[known]
    common = np.intersect1d(targets, trained_row.astype(np.int64) * width + trained_column)
    if len(common):
        who, what = divmod(int(common[0]), width)
        names = loaded.vocabulary
        raise BadInput(
            f"Protocol {other.protocol['name']!r} predicts {len(common):,} ratings that the run "
            f"was trained on, for example user {names.user_ids[who]}, item {names.item_ids[what]}: "
            "memory would be scored. Train a run under that protocol."
        )


def _require_unselected(own: Split, other: Split) -> None:
    """Raise BadInput if a test target of `other` is one of the validation of `own`.

    Of a user who was held out whole for validation, every target is one.
    """
    if not own.valid.target.columns.size:
        return
    validated = own.user_ids if own.valid_ids is None else own.valid_ids
    tested = other.user_ids if other.test_ids is None else other.test_ids
    row, column, _ = other.test.target.entries()
    row = _places(tested, validated)[row]
    column = _places(other.item_ids, own.item_ids)[column]
    own_row, own_column, _ = own.valid.target.entries()
    width = len(own.item_ids)
    pairs = own_row.astype(np.int64) * width + own_column
    whole = np.asarray(own.valid.rows)[row] >= own.train.num_rows
    selected = (row >= 0) & (whole | ((column >= 0) & np.isin(row * width + column, pairs)))
    if selected.any():
        users = np.unique(row[selected])
        raise BadInput(
            f"Protocol {other.protocol['name']!r} predicts {selected.sum():,} ratings of "
            f"{len(users):,} users by whom the run was validated, for example user "
            f"{validated[users[0]]}: a run is too good on what selected it. Leave the parameters "
            "that choose the users as in the run, or train a run under that protocol."
        )


def _places(ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Look up the position of each id among the `known`; -1 if it is missing."""
    order = np.argsort(known)
    at = np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)
    return np.where(known[order[at]] == ids, order[at], -1)
