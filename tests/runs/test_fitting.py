"""A run from a split to a folder."""

import json
import pathlib

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from aerec.core import Table
from aerec.data import protocols
from aerec.data.datasets import synthesize
from aerec.errors import BadInput
from aerec.runs import artefact, directory, fitting, rescore
from aerec.runs.spec import Spec, data_hash, default_workdir, describe, oriented
from aerec.training import loop


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
        settings=loop.Settings(**settings),
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
    config = describe(spec(), *oriented("ease", {}, [split(ratings)]))
    for place in ("here", "there"):
        with directory.claimed(tmp_path / "w", {**config, "source": {"data_dir": place}}):
            (tmp_path / "w" / "model").mkdir(exist_ok=True)
    with (
        pytest.raises(BadInput, match=r"set.l2 500.0 there, 3.0 now"),
        directory.claimed(tmp_path / "w", {**config, "set": {"l2": 3.0}}),
    ):
        pass


def test_the_data_hash_sees_one_changed_rating(ratings):
    whole = split(ratings)
    table = whole.test.target
    changed = table.replace(values=table.values.at[0].add(1))
    other = whole._replace(test=whole.test._replace(target=changed))
    assert data_hash(whole) == data_hash(split(ratings))
    assert data_hash(whole) != data_hash(other)


def test_the_model_is_told_the_scale(ratings):
    halves = split(ratings, "random_ratings")._replace(scale=(0.5, 5.0))
    config, (faced,) = oriented("autorec", {"item_based": "false"}, [halves])
    assert config.scale == (0.5, 5.0)
    assert faced is halves
    config, (faced,) = oriented("autorec", {"scale": "1,3"}, [halves])
    assert config.scale == (1.0, 3.0)
    assert faced.train.num_rows == halves.train.num_columns


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
    assert rated.protocol["threshold"] == 4 and clicked.protocol["threshold"] == 0


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
    known = {"item_ids": np.array([10, 20]), "user_ids": np.array([5, 7]), "titles": None}
    loaded = artefact.Artefact(model=None, params=None, config=config, **known)
    found = rescore.matched(loaded, other)
    np.testing.assert_array_equal(found.rows, [2, 1])  # 8 is nobody of the two; 7 is the second
    for table, expected in (
        (found.input, [(0, 0, 2.0), (1, 1, 3.0)]),
        (found.target, [(0, 1, 4.0)]),
    ):
        assert list(zip(*(part.tolist() for part in table.entries()), strict=True)) == expected
        assert table.num_columns == train_table.num_columns
