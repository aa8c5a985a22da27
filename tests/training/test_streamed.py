"""Training on a table that stays on the host: the bits of training on the same table in memory."""

import jax
import numpy as np
import polars as pl
import pytest

from aerec import models
from aerec.core import Facts
from aerec.data import convert, protocols
from aerec.data.synthetic import synthesize
from aerec.errors import BadInput
from aerec.host_table import HostTable
from aerec.memory import TooLarge
from aerec.runs import fitting, spec
from aerec.training import batches, loop, streamed
from aerec.training.settings import Settings


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A converted file of random ratings, of which many have equal times."""
    path = tmp_path_factory.mktemp("mapped")
    ratings = synthesize(users=150, items=40, ratings=2500)[0]
    pl.DataFrame(
        {"user": ratings.user, "item": ratings.item, "rating": ratings.value,
         "time": 1_000_000_000 + ratings.time // 50_000}
    ).write_csv(path / "x.csv")  # fmt: skip
    return convert.convert([path / "x.csv"], path / "folder", log=quiet)


@pytest.fixture(scope="module")
def both(folder):
    """The split of the ratings on the disk, and in memory."""
    protocol = protocols.parse("strong:threshold=3,min_user=8")
    return protocol.split(folder, seed=0), protocol.split(folder.ratings(), seed=0)


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("parameters", ["threshold=3,min_user=8", "threshold=all,min_user=0"])
def test_the_split_is_the_same(folder, parameters):
    protocol = protocols.parse(f"strong:{parameters},fold_in=0.6,split_seed=3")
    mapped, memory = protocol.split(folder, seed=0), protocol.split(folder.ratings(), seed=0)
    assert isinstance(mapped.train, HostTable)
    equal(mapped.train.table(), memory.train)
    equal((mapped.valid, mapped.test), (memory.valid, memory.test))
    for name in ("user_ids", "item_ids", "valid_ids", "test_ids"):
        np.testing.assert_array_equal(getattr(mapped, name), getattr(memory, name))
    assert mapped.notes == memory.notes and mapped.protocol == memory.protocol
    assert spec.data_hash(mapped) == spec.data_hash(memory)
    facts = Facts.of(mapped.train), Facts.of(memory.train)
    np.testing.assert_array_equal(facts[0].counts, facts[1].counts)


def test_passes_of_any_size(folder, both, monkeypatch):
    for module in ("aerec.host_table", "aerec.data.mapped_split"):
        monkeypatch.setattr(f"{module}.ENTRIES", 7)
    split = protocols.parse("strong:threshold=3,min_user=8").split(folder, seed=0)
    equal(split.train.table(), both[1].train)
    monkeypatch.setattr("aerec.memory.on_host", lambda: 0)  # rows are read without pages ahead
    split.train.advise(scattered=True)
    equal(split.train.read(np.arange(split.train.num_rows)), both[1].train.columns)


CASES = [  # several shapes of batches and replicas; a penalty that weighs the whole table; draws
    ("multvae", {"hidden": (8,), "latent": 4}, {"batch_size": 20, "buckets": 2}, (0, 1)),
    ("autorec", {"hidden": (8,), "l2": 0.1}, {"batch_size": 50}, (0,)),
    ("cdae", {"latent": 4}, {"batch_size": 40}, (0,)),  # reads the numbers of the rows
    ("multdae", {"latent": 4}, {"batch_size": 60, "softmax": "sampled", "candidates": 3}, (0,)),
    pytest.param(  # phases
        "recvae", {"hidden": (8,), "latent": 4}, {"batch_size": 60, "epochs": 4}, (0,),
        marks=pytest.mark.slow,
    ),
]  # fmt: skip


@pytest.mark.parametrize("name, given, settings, seeds", CASES)
def test_training_gives_the_same_bits(both, name, given, settings, seeds, monkeypatch):
    """The windows have two batches, and the last one of an epoch one or two."""
    plan = batches.plan(both[0].train.lengths(), settings["batch_size"], settings.get("buckets", 1))
    room = max(bucket.capacity for bucket in plan)
    monkeypatch.setattr("aerec.training.streamed.ENTRIES", 3 * room - 1)
    fitted = []
    for split in both:
        model = models.build(name, given, Facts.of(split.train, split.scale))
        plan = Settings(**{"epochs": 2, **settings})
        losses = []
        found = loop.fit(
            model, [split.train], plan, seeds=seeds, evaluate=None,
            trace=lambda record, each, losses=losses: losses.append(each),
        )  # fmt: skip
        fitted.append((found.last, losses))
    equal(*fitted)


def test_an_interrupted_run_resumes_with_the_same_bits(both, tmp_path):
    """It was started in memory, and is ended on the disk."""
    made = spec.Spec(
        model="multvae", set={"hidden": (8,), "latent": 4}, dataset="x", seeds=(0,),
        settings=Settings(epochs=3, batch_size=20),
    )  # fmt: skip
    whole = fitting.run(made, [both[1]])

    class Stop(Exception):
        pass

    def stop(record, figures):
        if record.epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        fitting.run(made, [both[1]], tmp_path / "run", checkpoint_seconds=0, progress=stop)
    notes = []
    resumed = fitting.run(made, [both[0]], tmp_path / "run", log=notes.append)
    assert any(note.startswith("Going on after epoch") for note in notes)
    equal(resumed.params, whole.params)
    assert resumed.config == whole.config
    assert resumed.results["test"] == whole.results["test"]


@pytest.mark.parametrize("own", [range(0, 9), range(9, 18), range(18, 27), range(27, 36)])
def test_a_process_reads_the_part_of_a_batch_that_its_devices_hold(both, own, monkeypatch):
    train, numbers = both[0].train, np.array([[3, 150, 7, 11, 0]])
    entries = int(train.sizes[[3, 7, 11, 0]].sum())
    whole = streamed.window([train], entries + 20, range(entries + 20), numbers)
    read = []
    of_rows = HostTable.read
    monkeypatch.setattr(
        HostTable, "read", lambda table, index: read.extend(index) or of_rows(table, index)
    )
    part = streamed.window([train], entries + 20, own, numbers)
    np.testing.assert_array_equal(part.columns[own], whole.columns[own])
    equal((part.indptr, part.values, part.numbers), (whole.indptr, whole.values, whole.numbers))
    row = np.repeat(numbers[0], np.diff(whole.indptr))
    assert set(read) == set(row[own.start : own.stop])


def test_a_batch_that_cannot_be_read_ends_the_epoch():
    def read(rows):
        if rows == 2:
            raise OSError("gone")
        return rows

    found = streamed.ahead(read, range(5))
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(found)


@pytest.mark.parametrize("name", ["popularity", "ease"])
def test_a_closed_form_reads_the_table_if_it_fits(both, name, monkeypatch):
    built = [models.build(name, {}, Facts.of(split.train)) for split in both]
    equal(*(loop.solve(model, split.train) for model, split in zip(built, both, strict=True)))
    monkeypatch.setattr("aerec.memory.available", lambda: 1000)
    with pytest.raises(TooLarge, match=r"The training table needs.*batch by batch"):
        loop.solve(built[0], both[0].train)


@pytest.mark.parametrize("name", ["random_ratings", "leave_last", "all_clicks", "strong_by_time"])
def test_other_protocols_need_memory(folder, name):
    with pytest.raises(BadInput, match="give `table=memory`"):
        protocols.parse(name).split(folder, seed=0)


def test_models_of_sequences_need_memory(both):
    made = spec.Spec(model="svae", set={}, dataset="x", seeds=(0,), settings=Settings())
    with pytest.raises(BadInput, match=r"reads sequences.*table=memory"):
        fitting.run(made, [both[0]])
