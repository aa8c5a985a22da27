"""A converted folder as a dataset: in memory where it fits, and otherwise on the disk."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

import aerec
from aerec import memory
from aerec.data import convert, divide, mapped, protocols
from aerec.errors import BadInput


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mapped")
    draw = np.random.default_rng(0)
    pl.DataFrame(
        {"user": draw.integers(0, 50, 900), "item": draw.integers(0, 40, 900),
         "rating": draw.integers(1, 6, 900), "time": draw.integers(1, 9, 900)}
    ).write_csv(path / "x.csv")  # fmt: skip
    convert.convert([path / "x.csv"], path / "out", log=quiet)
    return path / "out"


@pytest.mark.parametrize("of", ["on_host", "available"])
def test_it_is_read_where_it_fits(folder, monkeypatch, of):
    assert isinstance(aerec.load(str(folder), log=quiet), aerec.Ratings)
    monkeypatch.setattr(memory, of, lambda: 1000)
    assert isinstance(aerec.load(str(folder), log=quiet), mapped.Mapped)
    assert isinstance(aerec.load(folder, table="memory", log=quiet), aerec.Ratings)
    with pytest.raises(BadInput, match="auto, memory or mapped"):
        aerec.load(folder, table="disk", log=quiet)


def test_its_ratings_stay_in_their_order(folder):
    """Equal times are already in an arbitrary order, the same for every protocol and seed."""
    ratings = aerec.load(folder, log=quiet)
    protocol = protocols.parse("strong")
    assert divide.by_user_and_time(protocol, ratings, seed=3) is ratings
    some = divide.select(ratings, ratings.value > 2)
    assert some.ordered and len(some.user) < len(ratings.user)
    assert not divide.select(ratings, np.arange(5)[::-1]).ordered


def test_it_is_split_from_python(folder):
    found = aerec.load(folder, table="mapped", log=quiet)
    notes = []
    split = aerec.split(found, "strong", threshold=2, seed=4, log=notes.append)
    same = aerec.split(found.ratings(), "strong", threshold=2, seed=4, log=quiet)
    assert split.protocol == same.protocol and notes == list(same.notes)
    np.testing.assert_array_equal(split.train.lengths(), same.train.lengths())


@pytest.mark.parametrize(
    "parameters", ["threshold=9", "min_user=900", "test_users=0.001", "test_users=49"]
)
def test_what_leaves_nothing_is_the_same_error(folder, parameters):
    protocol = protocols.parse(f"strong:{parameters}")
    found = mapped.opened(folder)
    with pytest.raises(BadInput) as expected:
        protocol.split(found.ratings(), seed=0)
    with pytest.raises(BadInput) as error:
        protocol.split(found, seed=0)
    assert str(error.value) == str(expected.value)


def entry(name, value):
    """Replace an entry of the description of a folder."""

    def change(folder):
        meta = json.loads((folder / mapped.META).read_text())
        (folder / mapped.META).write_text(json.dumps({**meta, name: value}))

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (entry("scale", 5), r"meta.json is damaged"),
        (entry("bounds", [1]), r"meta.json is damaged"),
        (lambda folder: pl.DataFrame({"x": [1]}).write_parquet(folder / mapped.USERS),
         r"users.parquet is damaged .*it has no id"),
        (lambda folder: turned(folder / "offsets.npy"), r"offsets.npy is damaged: .* not ascend"),
        (lambda folder: raised(folder / "columns.npy"), r"columns.npy is damaged: .*without ids"),
    ],
)  # fmt: skip
def test_damage_that_still_parses_is_found(folder, tmp_path, change, says):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    change(copy)
    with pytest.raises(BadInput, match=says):
        aerec.load(copy, table="memory", log=quiet)


def turned(path):
    offsets = np.load(path)
    np.save(path, np.append(offsets[-2::-1], offsets[-1]))


def raised(path):
    np.save(path, np.load(path) + np.int32(10**6))
