"""Vectors of items from genres and from files."""

import types

import numpy as np
import polars as pl
import pytest

from aerec.data import vectors
from aerec.errors import BadInput

IDS = np.array([10, 7, 300])
VALUES = np.array([[1.0, 2.0], [3.0, 4.5], [5.0, 6.0]], np.float32)


def quiet(text):
    pass


def test_genres_are_columns_of_zeros_and_ones():
    split = types.SimpleNamespace(genres=np.array(["Drama|War", "", "Comedy|Drama"]), dataset="x")
    found = vectors.of("content", split)
    assert found.names == ["Comedy", "Drama", "War"]
    assert found.values.tolist() == [[0, 1, 1], [0, 0, 0], [1, 1, 0]]
    for genres in (None, np.array(["", ""])):
        with pytest.raises(BadInput, match="x has no genres"):
            vectors.of("content", types.SimpleNamespace(genres=genres, dataset="x"))
    assert vectors.of("", split) is None


def written(folder, kind, ids, values):
    path = folder / f"items.{kind}"
    if kind == "parquet":
        columns = {f"f{i}": column for i, column in enumerate(values.T)}
        pl.DataFrame({"item": ids, **columns}).write_parquet(path)
    elif kind == "npz":
        np.savez(path, item=np.array(ids), vectors=values)
    else:
        np.save(path, np.column_stack([ids, values]))
    return path


@pytest.mark.parametrize("kind", ["parquet", "npz", "npy"])
def test_a_file_is_matched_by_id_and_what_is_missing_is_zero(tmp_path, kind):
    path, notes = written(tmp_path, kind, [7, 10, 99], VALUES), []
    found = vectors.read(path, IDS, notes.append)
    assert found.values.tolist() == [[3, 4.5], [1, 2], [0, 0]]
    assert found.values.dtype == np.float32 and len(found.names) == 2
    assert notes == [f"{path}: 1 of 3 items are not in it; their vectors are zero."]
    texts = vectors.read(path, IDS.astype(str), quiet)
    np.testing.assert_array_equal(texts.values, found.values)


def test_a_column_of_lists(tmp_path):
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item": ["10", "7"], "vector": VALUES[:2].tolist()}).write_parquet(path)
    found = vectors.read(path, IDS, quiet)
    assert found.values.tolist() == [[1, 2], [3, 4.5], [0, 0]]
    assert found.names == ["vector[0]", "vector[1]"]
    pl.DataFrame({"item": [1, 2], "vector": [[1.0], [1.0, 2.0]]}).write_parquet(path)
    with pytest.raises(BadInput, match="lists have different lengths"):
        vectors.read(path, IDS, quiet)


def test_a_hash_of_all_values():
    first = vectors.Vectors(VALUES, ["a", "b"]).describe()
    assert first == vectors.Vectors(VALUES.copy(), ["a", "b"]).describe()
    moved = VALUES.copy()
    moved[2, 1] += 1e-3
    others = (VALUES, moved, VALUES.reshape(2, 3))
    hashes = {vectors.Vectors(v, ["a"]).describe()["hash"] for v in others}
    assert len(hashes | {first["hash"]}) == 3


@pytest.mark.parametrize(
    ("kind", "ids", "values", "message"),
    [
        ("npz", [7, 10, 7], VALUES, "lists item 7 twice"),
        ("npz", [7, 10, 300], np.where(VALUES == 4.5, np.nan, VALUES), "1 of item 10 is no finite"),
        ("npz", [1, 2, 3], VALUES, "none of the 3 items: its ids are like 1, 2, 3"),
        ("npz", [1, 2], VALUES, r"vectors of the shape \(3, 2\) for 2 ids"),
        ("npz", [7, 10, 300], VALUES[:, 0], r"vectors of the shape \(3,\)"),
        ("npz", [7, 10, 300], VALUES.astype(str), "not of numbers"),
        ("npy", [7.5, 10, 300], VALUES, "the id 7.5 is no whole number"),
        ("parquet", [None, 10, 300], VALUES, "row 1: the id of the item is missing"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, kind, ids, values, message):
    with pytest.raises(BadInput, match=message):
        vectors.read(written(tmp_path, kind, ids, values), IDS, quiet)


def test_files_that_are_no_vectors(tmp_path):
    with pytest.raises(BadInput, match="is no file"):
        vectors.read(tmp_path / "none.npy", IDS, quiet)
    for name in ("items.txt", "items.parquet", "items.npz", "items.npy"):
        (tmp_path / name).write_text("item,x\n7,1\n")
        with pytest.raises(BadInput, match=r"unknown kind|damaged or unreadable"):
            vectors.read(tmp_path / name, IDS, quiet)
    np.savez(tmp_path / "items.npz", ids=IDS)
    with pytest.raises(BadInput, match="has no array item and vectors"):
        vectors.read(tmp_path / "items.npz", IDS, quiet)
    np.save(tmp_path / "items.npy", IDS)
    with pytest.raises(BadInput, match=r"has the shape \(3,\)"):
        vectors.read(tmp_path / "items.npy", IDS, quiet)
    pl.DataFrame({"id": IDS}).write_parquet(tmp_path / "items.parquet")
    with pytest.raises(BadInput, match="has the columns id"):
        vectors.read(tmp_path / "items.parquet", IDS, quiet)
