"""A run from a split to a folder."""

import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aerec import models
from aerec.core import Table
from aerec.data import protocols
from aerec.data.datasets import synthesize
from aerec.errors import BadInput
from aerec.models import autorec
from aerec.runs import artefact, directory, fitting, rescore, scoring
from aerec.runs.spec import Spec, data_hash, default_workdir, describe, oriented
from aerec.training import loop
from aerec.training.settings import Settings


@pytest.fixture(scope="module")
def ratings():
    return synthesize(users=120, items=40, ratings=1800)[0]


def split(ratings, protocol="strong:threshold=3", seed=0):
    return protocols.parse(protocol).split(ratings, seed=seed)


def spec(model="ease", *, seeds=(0,), given=None, dataset="synthetic", **settings):
    return Spec(
        model=model,
        set=given or {},
        dataset=dataset,
        settings=Settings(**settings),
        seeds=seeds,
    )


def test_the_default_workdir_depends_on_all_that_a_run_is(ratings):
    one = [split(ratings)]
    first = default_workdir(spec(), one)
    assert first == default_workdir(spec(), [split(ratings)])
    assert first.parts[0] == "runs"
    assert first.name.startswith("ease-synthetic-")
    others = [
        default_workdir(spec(given={"l2": "3"}), one),
        default_workdir(spec(epochs=7), one),
        default_workdir(spec(seeds=(1,)), one),
        default_workdir(spec(), [split(ratings, "strong:threshold=4")]),
        default_workdir(spec(), [split(synthesize(users=120, items=40, ratings=1801)[0])]),
    ]
    assert len({first, *others}) == 6


def test_where_the_data_were_read_is_no_part_of_what_a_run_is(ratings, tmp_path):
    config = describe(spec(), [split(ratings)])
    for place in ("here", "there"):
        with directory.claimed(tmp_path / "w", {**config, "source": {"data_dir": place}}):
            (tmp_path / "w" / "model").mkdir(exist_ok=True)
    with (
        pytest.raises(BadInput, match=r"set.l2 100.0 there, 3.0 now"),
        directory.claimed(tmp_path / "w", {**config, "set": {"l2": 3.0}}),
    ):
        pass


def test_the_data_hash_sees_all_that_a_split_is(ratings):
    whole = split(ratings)
    table = whole.test.target
    changed = table.replace(values=table.values + (np.arange(len(table.values)) == 0))
    other = whole._replace(test=whole.test._replace(target=changed))
    assert data_hash(whole) == data_hash(split(ratings))
    assert data_hash(whole) != data_hash(other)
    changes = [
        {"user_ids": whole.user_ids[::-1]},
        {"item_ids": whole.item_ids[::-1]},
        {"test_ids": whole.test_ids[::-1]},
        {"valid_ids": None},
        {"test": whole.test._replace(rows=whole.test.rows - 1)},
        {"train": whole.train.replace(num_columns=41)},
    ]
    hashes = [data_hash(whole._replace(**change)) for change in changes]
    assert len({data_hash(whole), *hashes}) == 7
    assert data_hash(whole) == data_hash(whole._replace(user_ids=whole.user_ids.astype(str)))


def test_the_data_hash_tells_where_an_array_ends(ratings):
    """The same bytes one after the other: one entry in two rows, two entries in one row."""
    values = jnp.zeros(1)
    two_rows = Table(jnp.array([0, 1, 1]), jnp.array([3]), values, num_columns=9)
    one_row = Table(jnp.array([0, 1]), jnp.array([1, 3]), values, num_columns=9)
    first, second = (split(ratings)._replace(train=train) for train in (two_rows, one_row))
    assert data_hash(first) != data_hash(second)
    assert data_hash(first, format=1) == data_hash(second, format=1)


def test_the_model_knows_the_scale_and_the_counts_of_its_columns(ratings, monkeypatch, tmp_path):
    halves = split(ratings, "random_ratings")._replace(scale=(0.5, 5.0))
    (faced,) = oriented(models.traits("autorec", {"item_based": "false"}), [halves])
    assert faced is halves
    (faced,) = oriented(models.traits("autorec", {}), [halves])
    assert faced.train.num_rows == halves.train.num_columns
    seen = []
    make = lambda config, facts: seen.append(facts) or autorec.make(config, facts)  # noqa: E731
    monkeypatch.setitem(models.MODELS, "autorec", types.SimpleNamespace(**vars(autorec)))
    monkeypatch.setattr(models.MODELS["autorec"], "make", make)
    fitting.run(spec("autorec", epochs=1, metric="rmse"), [halves], tmp_path / "run")
    assert seen[0].scale == (0.5, 5.0)
    np.testing.assert_array_equal(seen[0].counts, faced.train.transpose().lengths())


def test_replicas_are_scored_by_their_own_training_part(ratings, tmp_path):
    """Of a protocol that draws again for each seed, replica 1 is the run of seed 1 alone."""
    parts = [split(ratings, "random_ratings", seed) for seed in (0, 1)]
    both = fitting.run(spec("bias", seeds=(0, 1), metric="rmse"), parts, tmp_path / "both")
    for i, part in enumerate(parts):
        one = fitting.run(spec("bias", seeds=(i,), metric="rmse"), [part], tmp_path / f"{i}")
        assert both.reports[i].figures == pytest.approx(one.reports[0].figures, rel=1e-6)
    assert both.reports[0].figures["rmse"] != both.reports[1].figures["rmse"]


def test_a_finished_run_is_read_as_it_was_written(ratings, tmp_path):
    finished = fitting.run(spec(), [split(ratings)], tmp_path / "w", baselines=["popularity"])
    config, results, reports = rescore.read(tmp_path / "w")
    assert config["model"] == "ease"
    assert results == json.loads(json.dumps(finished.results))
    chex.assert_trees_all_equal(reports[0].per_row, finished.reports[0].per_row)
    (pair,) = rescore.against(tmp_path / "w", tmp_path / "w", ["ndcg@20"])
    assert pair.tests["ndcg@20"].difference == 0
    with pytest.raises(BadInput, match=r"has no config.json: no finished run"):
        rescore.read(tmp_path / "elsewhere")


def test_the_losses_of_each_step_are_kept_through_a_cut(ratings, tmp_path):
    class Cut(Exception):
        pass

    def stop(record, figures):
        if record.epoch == 4:
            raise Cut

    kind = spec("deeprec", given={"hidden": "4"}, seeds=(0, 1), epochs=5, evaluate_every=2,
                batch_size=32, optimiser="sgd", metric="rmse")  # fmt: skip
    parts, workdir = [split(ratings, "random_ratings")], tmp_path / "w"
    with pytest.raises(Cut):
        fitting.run(kind, parts, workdir, progress=stop, checkpoint_seconds=0)
    before = (workdir / "losses.jsonl").read_text().splitlines()  # the last is made again
    fitting.run(kind, parts, workdir)
    after = (workdir / "losses.jsonl").read_text().splitlines()
    assert after[:4] == before
    lines = [json.loads(line) for line in after]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert np.shape([line["losses"] for line in lines]) == (5, 2, 4)
    evaluated = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in evaluated] == [2, 4, 5]
    for line in evaluated:
        mean = np.mean(lines[line["epoch"] - 1]["losses"])
        assert mean == pytest.approx(line["loss"], rel=1e-5)


@pytest.mark.parametrize(("rate", "what"), [(3.0, "scores that are not"), (30.0, "the loss is")])
def test_divergence_is_told_with_model_and_step_and_keeps_the_checkpoint(
    ratings, tmp_path, rate, what
):
    """A rate that rises to the absurd: the first epochs are fine, and stay."""
    linear = {"hidden": "8", "latent": "2", "likelihood": "gaussian", "activation": "identity"}
    rising = spec(
        "multvae",
        given=linear,
        epochs=40,
        batch_size=32,
        optimiser="sgd",
        learning_rate=rate,
        warmup=1.0,
    )
    with pytest.raises(loop.Diverged, match=rf"multvae, .*w: .*{what} .* at step [1-9]"):
        fitting.run(rising, [split(ratings)], tmp_path / "w", checkpoint_seconds=0)
    lines = (tmp_path / "w" / "metrics.jsonl").read_text().splitlines()
    assert lines
    assert (tmp_path / "w" / "checkpoints" / str(len(lines))).is_dir()
    assert not (tmp_path / "w" / "results.json").exists()


def test_nothing_to_predict_is_told_before_anything_is_written(ratings, tmp_path):
    whole = split(ratings)
    empty = whole.test.target.replace(
        indptr=jnp.zeros_like(whole.test.target.indptr),
        columns=whole.test.target.columns[:0],
        values=whole.test.target.values[:0],
    )
    bare = whole._replace(test=whole.test._replace(target=empty))
    with pytest.raises(BadInput, match=r"'strong' leaves nothing to predict in the test part"):
        fitting.run(spec(), [bare], tmp_path / "w")
    assert not list(pathlib.Path(tmp_path).iterdir())


def test_validation_is_asked_for_where_something_is_selected(ratings, tmp_path):
    bare = [split(ratings, "per_user_holdout:threshold=3,valid=0")]
    assert fitting.run(spec("ease"), bare, tmp_path / "ease").results["test"]["ndcg@100"] > 0
    with pytest.raises(BadInput, match=r"nothing to predict in the validation part"):
        fitting.run(spec("multdae"), bare, tmp_path / "w")


@pytest.mark.parametrize("name", ["strong", "per_user_holdout", "leave_last"])
def test_what_counts_as_a_click_is_remembered(ratings, name):
    """Of clicks everything does, whatever threshold was said; a history is read accordingly."""
    rated, clicked = split(ratings, name), split(ratings._replace(scale=None), name)
    assert rated.protocol["threshold"] == 4 and clicked.protocol["threshold"] == "all"


def test_another_split_in_the_columns_of_a_model(ratings):
    """Raw ids decide; what the model does not know is left out, training users are recognised."""
    train_table = Table.from_entries([0, 1], [0, 1], [1.0, 1.0], num_rows=2, num_columns=2)
    other = split(ratings)._replace(
        test=protocols.Heldout(
            Table.from_entries([0, 0, 1], [0, 1, 2], [1.0, 2.0, 3.0], num_rows=2, num_columns=3),
            Table.from_entries([0, 1], [2, 0], [4.0, 5.0], num_rows=2, num_columns=3),
            jnp.array([9, 9]),
        ),
        item_ids=np.array([30, 10, 20]),
        test_ids=np.array([8, 7]),
    )
    config = {"item_based": False}
    names = artefact.Vocabulary(np.array([10, 20]), None, np.array([5, 7]))
    loaded = artefact.Artefact(model=None, params=None, config=config, vocabulary=names)
    found = rescore.matched(loaded, other)
    np.testing.assert_array_equal(found.rows, [2, 1])  # 8 is nobody of the two; 7 is the second
    for table, expected in (
        (found.input, [(0, 0, 2.0), (1, 1, 3.0)]),
        (found.target, [(0, 1, 4.0)]),
    ):
        assert list(zip(*(part.tolist() for part in table.entries()), strict=True)) == expected
        assert table.num_columns == train_table.num_columns


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("strong", "valid_users=0"),
        ("strong", "valid_users=0,test_users=40,fold_in=.5"),
        ("per_user_holdout", "valid=0,test=.25"),
        ("strong", "fold_in=.5"),
        ("per_user_holdout", "valid=.2"),
    ],
)
def test_what_selected_a_run_does_not_score_it(ratings, name, changes):
    """The number of ratings and of users, by loops over raw ids."""
    own, other = (protocols.parse(f"{name}:{c}").split(ratings) for c in ("", changes))

    def targets(held, split, ids):
        row, column, _ = held.target.entries()
        users = split.user_ids if ids is None else ids
        return [(users[u], split.item_ids[i]) for u, i in zip(row, column, strict=True)]

    validated = set(targets(own.valid, own, own.valid_ids))
    whole = set() if own.valid_ids is None else set(own.valid_ids)
    tested = targets(other.test, other, other.test_ids)
    common = [pair for pair in tested if pair in validated or pair[0] in whole]
    if changes in ("fold_in=.5", "valid=.2"):
        assert not common
        rescore._require_unselected(own, other)
        return
    words = f"predicts {len(common):,} ratings of {len({user for user, _ in common}):,} users by"
    assert common
    with pytest.raises(BadInput, match=words):
        rescore._require_unselected(own, other)


def test_a_finished_run_is_not_trained_again(ratings, tmp_path):
    """It needs no checkpoints, its model stays as it is, and so does what the training cost."""

    def run(workdir):
        return fitting.run(kind, [split(ratings)], workdir).results

    kind, workdir = spec("elsa", epochs=2, batch_size=32), tmp_path / "w"
    first, whole = run(workdir), outcome(workdir)
    shutil.rmtree(workdir / "checkpoints")
    (workdir / "vocabulary.npz").unlink()
    model = [(path, path.stat().st_mtime_ns) for path in sorted((workdir / "model").rglob("*"))]
    again = run(workdir)
    assert [(p, p.stat().st_mtime_ns) for p in sorted((workdir / "model").rglob("*"))] == model
    assert not (workdir / "checkpoints").exists()
    chex.assert_trees_all_equal(outcome(workdir), whole)
    for name in ("fit_seconds", "epoch_seconds", "compile_seconds", "peak_rss_mb", "versions"):
        assert again[name] == first[name]
    assert (first["test_scored"], again["test_scored"]) == (1, 2)
    (workdir / "results.json").unlink()  # and without results it is trained again
    run(workdir)
    assert (workdir / "checkpoints").exists()
    chex.assert_trees_all_equal(outcome(workdir), whole)


def test_every_file_is_json_to_every_reader(ratings, tmp_path):
    """One test row has no standard error: null in results.json, NaN in the report."""

    def refuse(token):
        raise AssertionError(token)

    one = split(ratings, "strong:threshold=3,test_users=1")
    finished = fitting.run(spec(), [one], tmp_path / "w", baselines=["popularity"])
    assert np.isnan(finished.reports[0].figures["ndcg@100_se"])
    for name in ("config.json", "results.json"):
        read = json.loads((tmp_path / "w" / name).read_text(), parse_constant=refuse)
    assert read["test"]["ndcg@100_se"] is None
    assert read["baselines"]["popularity"]["ndcg@100_se"] is None
    assert np.isnan(rescore.read(tmp_path / "w")[1]["test"]["ndcg@100_se"])


def test_the_precision_is_part_of_what_a_run_is(ratings, tmp_path):
    parts, workdir = [split(ratings)], tmp_path / "w"
    with jax.enable_x64(True), pytest.raises(BadInput, match="JAX_ENABLE_X64 is set"):
        fitting.run(spec(), parts, workdir)
    assert not workdir.exists()
    fitting.run(spec(), parts, workdir)
    config = json.loads((workdir / "config.json").read_text())
    assert (config["precision"], config["matmul_precision"]) == ("float32", "default")
    with (
        jax.default_matmul_precision("highest"),
        pytest.raises(BadInput, match="matmul_precision default there, highest now"),
    ):
        fitting.run(spec(), parts, workdir)
    with jax.enable_x64(True), pytest.raises(BadInput, match="JAX_ENABLE_X64 is set"):
        artefact.load(workdir)


def test_runs_of_items_pair_with_runs_of_items(ratings, tmp_path):
    parts = [split(ratings, "random_ratings")]
    items = spec("autorec", given={"hidden": (4,)}, epochs=1, batch_size=64, metric="rmse")
    fitting.run(items, parts, tmp_path / "items")
    fitting.run(spec("bias", metric="rmse"), parts, tmp_path / "users")
    (report,) = rescore.score(artefact.load_replicas(tmp_path / "items"), parts)
    assert report.figures == rescore.read(tmp_path / "items")[2][0].figures
    (pair,) = rescore.against(tmp_path / "items", tmp_path / "items", ["rmse", "rmse_by_row"])
    assert pair.tests["rmse"].difference == pair.tests["rmse_by_row"].difference == 0
    with pytest.raises(BadInput, match="are items, of the other users"):
        rescore.against(tmp_path / "items", tmp_path / "users", ["rmse"])


def test_a_run_of_format_1(ratings, tmp_path):
    """As the version before formats left it: read, not trained; not paired with one of today."""
    part, now, old = split(ratings), tmp_path / "now", tmp_path / "old"
    fitting.run(spec(), [part], now)
    shutil.copytree(now, old)
    config = json.loads((now / "config.json").read_text())
    for name in ("format", "precision", "matmul_precision"):
        del config[name]
    digest = hashlib.sha256()
    for held in (part, *part.valid[:2], *part.test[:2]):
        for array in ("indptr", "columns", "values"):
            digest.update(np.asarray(getattr(getattr(held, "train", held), array)).tobytes())
    config["data_hash"] = [digest.hexdigest()[:10]]
    (old / "config.json").write_text(json.dumps(config))
    text = (
        (old / "results.json").read_text().replace('"ndcg@10_se": ', '"x_se": NaN, "ndcg@10_se": ')
    )
    (old / "results.json").write_text(text)  # it wrote NaN

    loaded = artefact.load(old)
    chex.assert_trees_all_equal(loaded.params, artefact.load(now).params)
    (report,) = rescore.score(artefact.load_replicas(old), [part])
    assert report.figures == rescore.read(now)[2][0].figures
    other = split(ratings, "strong:threshold=3,fold_in=0.5")
    assert rescore.score_other(artefact.load_replicas(old), [part], [other])[0].figures["rows"] > 0
    with pytest.raises(BadInput, match="are not those that the run was trained on"):
        rescore.score(artefact.load_replicas(old), [part._replace(train=part.valid.input)])
    (pair,) = rescore.against(old, old, ["ndcg@20"])
    assert pair.tests["ndcg@20"].difference == 0
    with pytest.raises(BadInput, match=r"format 1, .* of format 3: .* Train the older again"):
        rescore.against(old, now, ["ndcg@20"])
    with pytest.raises(BadInput, match="earlier version"):
        fitting.run(spec(), [part], old)


# What follows kills runs: at each of its moments a run directory is finished, or is resumed.

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate")
photographers = []  # none or one: the audit hook stays until the process ends


def watch(event, args):
    if photographers and (event in CHANGES or (event == "open" and args[2] & os.O_ACCMODE)):
        photographers[0](event, args)


@pytest.fixture(scope="module")
def moments():
    """Runs something and returns the states of a directory that a kill may leave, in order.

    A state is {path: bytes, or None for a directory}, before each change of Python's to any file:
    renames, removals and openings for writing, in threads too. Where a file was written there is
    also the state with half of it.
    """
    sys.addaudithook(watch)

    def taken(root, act):
        found, one_at_a_time = [], threading.Lock()

        def photograph(event, args):
            with one_at_a_time:
                found.append((str(args[0]) if event == "open" else "", state_of(root)))

        photographers.append(photograph)
        try:
            act()
        finally:
            photographers.clear()
        found.append(("", state_of(root)))
        states = []
        for (written, before), (_, after) in itertools.pairwise(found):
            states.append(before)
            name = os.path.relpath(written, root) if written else ""
            content, old = after.get(name) or b"", before.get(name) or b""
            if content != old:
                start = len(old) if content.startswith(old) else 0  # of an appended line
                states.append({**after, name: content[: (start + len(content)) // 2]})
        states.append(after)
        return list({frozenset(state.items()): state for state in states}.values())

    return taken


def state_of(root):
    state = {}
    for folder, _, names in os.walk(root):
        state[os.path.relpath(folder, root)] = None
        for name in names:
            path = pathlib.Path(folder, name)
            with contextlib.suppress(FileNotFoundError):  # Orbax's threads are at work
                state[str(path.relative_to(root))] = path.read_bytes()
    return state


def put_back(state, root):
    for name, content in state.items():
        if content is None:
            (root / name).mkdir(parents=True, exist_ok=True)
        else:
            (root / name).write_bytes(content)


def outcome(workdir):
    """All that a run is for, without seconds, memory and the count of scorings."""
    config, results, reports = rescore.read(workdir)
    timed = ("seconds", "fit_seconds", "epoch_seconds", "compile_seconds", "eval_seconds")
    counted = ("peak_rss_mb", "test_scored")
    logs = [directory.read_log(workdir / name) for name in (directory.METRICS, directory.LOSSES)]
    return {
        "config": config,
        "results": {n: v for n, v in results.items() if n not in (*timed, *counted)},
        "rows": [report.per_row for report in reports],
        "logs": [
            [{n: v for n, v in line.items() if n not in timed} for line in log] for log in logs
        ],
        "params": artefact.load(workdir).params,
    }


def small():
    return [split(synthesize(users=60, items=20, ratings=450)[0])]


KILLED = {
    "closed": {"model": "ease"},
    "trained": {"model": "elsa", "epochs": 3, "batch_size": 24},
}


@pytest.mark.parametrize(
    ("kind", "part"),
    [("closed", 1), ("trained", 12),
     pytest.param("trained", 1, marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_kill_at_any_moment_leaves_a_run_that_is_finished_or_resumed(
    moments, monkeypatch, tmp_path, kind, part
):
    """One in `part` of the moments is tried, others each time."""
    made, compiled = scoring.evaluator, {}  # the same functions each time: compiled once
    monkeypatch.setattr(
        scoring,
        "evaluator",
        lambda model, of, metric=None: compiled.setdefault(metric, made(model, of, metric)),
    )
    built, programs = loop.compiled, []

    def program(*args, **given):
        programs.append(programs[0] if programs else built(*args, **given))
        start = jax.tree.map(jnp.copy, programs[0].start)  # an epoch takes its state for its own
        return programs[0]._replace(start=start)

    monkeypatch.setattr(loop, "compiled", program)

    parts = small()

    def run(workdir):
        fitting.run(spec(**KILLED[kind]), parts, workdir, checkpoint_seconds=0)

    states = moments(tmp_path / "whole", lambda: run(tmp_path / "whole"))
    whole = outcome(tmp_path / "whole")
    first = random.SystemRandom().randrange(part)
    for number in range(first, len(states), part):
        print(f"moment {number} of {len(states)}")  # shown where the test fails
        workdir = tmp_path / str(number)
        put_back(states[number], workdir)
        if not directory.finished(workdir):
            run(workdir)
            assert not list(workdir.rglob("*tmp*")) and not (workdir / directory.LOCK).exists()
        chex.assert_trees_all_equal(outcome(workdir), whole)


def test_a_kill_while_a_finished_run_is_scored_again_leaves_it_finished(moments, ratings, tmp_path):
    parts, workdir = [split(ratings)], tmp_path / "w"
    fitting.run(spec(), parts, workdir)
    whole = outcome(workdir)
    states = moments(workdir, lambda: fitting.run(spec(), parts, workdir))
    assert len(states) > 6  # the lock, the vocabulary, the rows, the results
    for number, state in enumerate(states):
        put_back(state, tmp_path / str(number))
        assert directory.finished(tmp_path / str(number))
        chex.assert_trees_all_equal(outcome(tmp_path / str(number)), whole)


def test_a_kill_while_a_refused_run_is_taken_back_leaves_a_directory_to_begin_in(moments, tmp_path):
    workdir, config = tmp_path / "w", {"format": directory.FORMAT, "model": "ease", "set": {},
                                       "shape": [2, 3], "seeds": [0]}  # fmt: skip
    for existing in (False, True):

        def refused():
            with pytest.raises(BadInput), directory.claimed(workdir, config):
                (workdir / "checkpoints" / "empty").mkdir(parents=True)
                raise BadInput("raise l2")

        workdir.mkdir() if existing else None
        states = moments(workdir, refused)
        assert len(states) > 6 and workdir.exists() == existing
        for number, state in enumerate(states):
            again = tmp_path / f"{existing}{number}"
            put_back(state, again)
            with directory.claimed(again, config):
                assert (again / directory.CONFIG).exists()


CHILD = """
import os, pathlib, runpy, signal, sys
from aerec.runs import fitting

def kill(event, args):
    if event == "os.rename" and str(args[0]).endswith(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

tests = runpy.run_path(sys.argv[1])
kind, parts = tests["spec"](**tests["KILLED"]["trained"]), tests["small"]()
sys.addaudithook(kill)
fitting.run(kind, parts, pathlib.Path(sys.argv[2]), checkpoint_seconds=0)
"""


def test_kill_9(compiled, tmp_path):
    """Processes killed as they rename the second checkpoint, then the model; this one resumes."""
    workdir = tmp_path / "w"
    for at in ("checkpoints/2.orbax-checkpoint-tmp", "/model.tmp"):
        ran = subprocess.run(
            [sys.executable, "-c", CHILD, __file__, workdir, at], capture_output=True, timeout=120,
            cwd=pathlib.Path(__file__).parents[2],
            env={
                **os.environ,
                "JAX_COMPILATION_CACHE_DIR": str(compiled),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            },
        )  # fmt: skip
        assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()
        assert (workdir / directory.LOCK).exists() and not directory.finished(workdir)
    logs = [(workdir / name).read_text() for name in (directory.METRICS, directory.LOSSES)]
    fitting.run(spec(**KILLED["trained"]), small(), workdir)
    fitting.run(spec(**KILLED["trained"]), small(), tmp_path / "whole")
    chex.assert_trees_all_equal(outcome(workdir), outcome(tmp_path / "whole"))
    assert [(workdir / name).read_text() for name in (directory.METRICS, directory.LOSSES)] == logs


def test_a_model_whose_numbers_changed_on_disk_is_named(ratings, tmp_path):
    """Whatever the file's own format lets through: results.json has a checksum of the numbers."""
    workdir = tmp_path / "w"
    fitting.run(spec("popularity"), [split(ratings)], workdir)
    _, params, _, vocabulary = artefact.load_replicas(workdir)
    changed = jax.tree.map(lambda leaf: np.asarray(leaf).copy(), params)
    leaf = jax.tree.leaves(changed)[0].reshape(-1).view(np.uint8)
    leaf[3] ^= 1  # one bit
    artefact.save(workdir, changed, vocabulary)
    with pytest.raises(BadInput, match=r"model is damaged: its numbers changed; delete it"):
        artefact.load(workdir)
    artefact.save(workdir, params, vocabulary)
    chex.assert_trees_all_equal(artefact.load_replicas(workdir).params, params)
