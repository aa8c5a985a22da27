"""The same ratings from every kind of table in memory."""

import datetime
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from aerec.data import frames
from aerec.errors import BadInput

USER, ITEM = ["b", "a", "b", "c"], [7, 7, 5, 9]
STARS, TIME = [4.0, 3.5, 1.0, 5.0], [1_500_000_000, 1_500_000_500, 1_400_000_000, 1_600_000_000]
COLUMNS = {"user": USER, "item": ITEM, "rating": STARS, "time": TIME}


def quiet(_):
    pass


def read(source, **options):
    return frames.ratings(source, log=quiet, **options)


def check(found, stars=STARS, time=TIME):
    assert found.user_ids[found.user].tolist() == USER
    assert found.item_ids[found.item].tolist() == ITEM
    assert found.value.tolist() == stars
    assert (found.time is None) if time is None else (found.time.tolist() == time)
    assert found.user.dtype == found.item.dtype == np.int32 and found.value.dtype == np.float32
    assert found.scale == (1, 5)


def of_pandas():
    return pd.DataFrame(COLUMNS)


def off_the_matrix():
    matrix = sparse.csr_matrix(np.eye(2))
    matrix.indices[0] = 9
    return matrix


KINDS = {
    "pandas": of_pandas,
    "pandas nullable": lambda: of_pandas().astype({"item": "Int64", "rating": "Float64"}),
    "pandas float ids": lambda: of_pandas().astype({"item": float}),
    "pandas categories": lambda: of_pandas().astype({"user": "category", "item": "category"}),
    "pandas objects": lambda: of_pandas().astype(object),
    "pandas dates": lambda: of_pandas().assign(time=pd.to_datetime(TIME, unit="s")),
    "pandas zones": lambda: of_pandas().assign(
        time=pd.to_datetime(TIME, unit="s", utc=True).tz_convert("Asia/Tokyo")
    ),
    "pandas texts": lambda: of_pandas().astype(str),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "polars lazy": lambda: pl.LazyFrame(COLUMNS),
    "polars categories": lambda: pl.DataFrame(COLUMNS, schema_overrides={"user": pl.Categorical}),
    "polars dates": lambda: pl.DataFrame(COLUMNS).with_columns(pl.from_epoch("time")),
    "milliseconds": lambda: pl.DataFrame(COLUMNS).with_columns(pl.col("time") * 1000),
    "arrow": lambda: pl.DataFrame(COLUMNS).to_arrow(),
    "arrays": lambda: tuple(map(np.array, COLUMNS.values())),
    "lists": lambda: tuple(COLUMNS.values()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_tables_of_any_library(kind):
    if kind == "arrow":
        pytest.importorskip("pyarrow")
    check(read(KINDS[kind]()))


def test_pandas_does_without_pyarrow(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    check(read(of_pandas()))


def test_columns_by_their_names():
    renamed = of_pandas().rename(columns={"user": "who", "item": "what", "rating": "stars"})
    check(read(renamed, user="who", item="what"))
    clicks = read(renamed, user="who", item="what", rating="", time="")
    assert clicks.scale is None and clicks.time is None and set(clicks.value) == {1}
    with pytest.raises(BadInput, match=r"the frame: no column 'user'; there are who, what"):
        read(renamed)
    assert read((USER, ITEM)).scale is None


def test_ratings_pass():
    found = read(of_pandas())
    assert frames.ratings(found) is found


# Matrices.

DENSE = np.array([[0, 4, 0], [0, 0, 0], [3.5, 0, 1]])


@pytest.mark.parametrize(
    "matrix",
    [
        DENSE,
        np.where(DENSE == 0, np.nan, DENSE),
        sparse.csr_matrix(DENSE),
        sparse.csc_array(DENSE),
        sparse.coo_matrix(DENSE),
        sparse.dok_matrix(DENSE),
    ],
    ids=["dense", "NaN", "csr", "csc", "coo", "dok"],
)
def test_matrices(matrix):
    said = []
    found = frames.ratings(matrix, log=said.append)
    assert found.user_ids.tolist() == [0, 2] and found.item_ids.tolist() == [0, 1, 2]
    assert found.user.tolist() == [0, 1, 1] and found.item.tolist() == [1, 0, 2]
    assert found.value.tolist() == [4, 3.5, 1]
    assert said[0] == "1 of 3 rows are empty and are left out."


def test_matrices_of_ones_are_clicks():
    assert read(sparse.csr_matrix(DENSE > 0)).scale is None
    assert read((DENSE > 0).astype(int)).scale is None


def test_what_a_sparse_matrix_stores_twice_or_as_zero():
    """Duplicates are summed, as `toarray` does; a stored zero is no rating."""
    row, column, value = [0, 0, 1, 1], [2, 2, 0, 1], [1.5, 2.0, 0.0, 3.0]
    matrix, said = sparse.coo_matrix((value, (row, column)), (2, 3)), []
    found = frames.ratings(matrix, log=said.append)
    assert found.value.tolist() == matrix.toarray()[[0, 1], [2, 1]].tolist()
    assert said[0].startswith("1 stored zeros are left out")
    assert matrix.nnz == 4, "the argument stays"


def test_sums_of_small_integers_do_not_overflow():
    whole = sparse.coo_matrix((np.array([200, 100], np.uint8), ([0, 0], [1, 1])))
    assert frames.ratings(whole, log=lambda text: None).value.tolist() == [300]
    flags = sparse.coo_matrix((np.array([True, True]), ([0, 0], [1, 1])))
    assert frames.ratings(flags, log=lambda text: None).scale is None  # true or true is true


@pytest.mark.parametrize(
    "large",
    [
        np.array([2**63, 7], np.uint64),
        pl.Series([2**63, 7], dtype=pl.UInt64),
        pl.Series([2**63, 7], dtype=pl.Int128),
        [2**63, 7],
        [str(2**63), "7"],
    ],
    ids=["numpy", "UInt64", "Int128", "integers", "text"],
)
def test_ids_beyond_64_bits_are_text(large):
    found = read((large, [1, 2]))
    assert found.user_ids[found.user].tolist() == ["9223372036854775808", "7"]


def test_moments_of_several_time_zones():
    noon = datetime.datetime(2020, 1, 31, 12)
    tokyo = noon.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=9)))
    for own in ([noon, tokyo], [pd.Timestamp(noon), pd.Timestamp(tokyo)]):
        found = read(([1, 2], [1, 2], [3, 4], np.array(own, object)))
        assert found.time.tolist() == [1580472000, 1580472000 - 9 * 3600]


# Titles, and what is refused.


@pytest.mark.parametrize(
    "titles",
    [
        {7: "Seven", 5: "Five"},
        {"7": "Seven", "5": "Five", "8": "Eight", "9": np.nan},
        pd.DataFrame({"item": [5, 7], "title": ["Five", "Seven"]}),
        pl.LazyFrame({"id": ["5", "7", "9"], "name": ["Five", "Seven", None]}),
    ],
    ids=["ids", "texts", "pandas", "polars"],
)
def test_titles(titles):
    assert read(of_pandas(), titles=titles).titles.tolist() == ["Five", "Seven", ""]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (of_pandas().assign(user=["b", None, "b", "c"]), "row 1: the user is empty"),
        (of_pandas().assign(item=[7, np.nan, 5, 9]), "row 1: the item is empty"),
        (of_pandas().assign(rating=[4, 3, np.nan, 5]), "row 2: the rating .* is not a finite"),
        (of_pandas().assign(rating=[4, 3, np.inf, 5]), "row 2: the rating inf is not a finite"),
        (of_pandas().assign(rating=list("123x")), "row 3: the rating 'x' is not a finite"),
        (of_pandas().assign(time=["2020-01-01"] * 3 + ["x"]), "row 3: the time 'x' is neither"),
        (of_pandas().assign(rating=pd.to_datetime(TIME)), "not numbers"),
        (pl.DataFrame({"user": [[1], [2]], "item": [1, 2]}), "neither text nor numbers"),
        (of_pandas().head(0), "no ratings found"),
        ((USER, ITEM, STARS[:3]), "arrays differ in length"),
        ((USER,), "1 arrays: give"),
        ((np.array(USER), np.ones((4, 2))), r"shape \(4, 2\) is not a column"),
        (np.array([["a", "b"]]), "holds no ratings"),
        (np.array([[1.0, np.inf]]), "row 1: the rating inf"),
        ("ratings.csv", "str is not a table of ratings"),
        ([(1, 2, 3.0), (2, 2, 4.0)], "list is not a table of ratings"),
        (pd.Series(STARS), "Series is not a table of ratings"),
        (pl.Series(STARS), "Series is not a table of ratings"),
        ((USER, None), "2 arrays: give"),
        (of_pandas().assign(item=[b"a", b"b", b"c", b"d"]), "a column holds bytes"),
        (of_pandas().assign(item=[[1], [2], [3], [4]]), "a column holds list"),
        (of_pandas().assign(time=[5, 6, 7, "2020-01-01"]), "row 3: .* written in another way"),
        (pl.LazyFrame({"user": [1]}).select("nothing"), "cannot be collected"),
        (pa.Table.from_arrays([pa.array([1])] * 2, ["user"] * 2), "cannot be read"),
        (sparse.csr_matrix(np.array([[1 + 1j]])), "give real numbers"),
        (sparse.coo_array(np.array([1, 2])), "1 dimensions"),
        (off_the_matrix(), "not valid"),
    ],
)
def test_what_is_refused(source, says):
    with pytest.raises(BadInput, match=says):
        read(source)


@pytest.mark.parametrize("scale", [(5, 1), (1, np.nan), (1, "a"), "15", 5, (1, 2, 3)])
def test_a_scale_is_two_numbers(scale):
    with pytest.raises(BadInput, match="scale takes the lowest and highest rating"):
        read(of_pandas(), scale=scale)


def test_the_scale_is_kept_to():
    assert read(of_pandas(), scale=(0, 10)).scale == (0, 10)
    with pytest.raises(BadInput, match=r"row 2: the rating 1 is off the scale 2\.\.5; 1 such rows"):
        read(of_pandas(), scale=(2, 5))


def test_ids_of_a_matrix():
    matrix = sparse.csr_array(np.array([[0, 2.0, 0], [1, 0, 0]]))
    found = frames.ratings(matrix, user=["ana", "bo"], item=[30, 10, 20], log=lambda text: None)
    assert found.user_ids.tolist() == ["ana", "bo"] and found.item_ids.tolist() == [10, 30]
    triples = zip(found.user_ids[found.user], found.item_ids[found.item], found.value, strict=True)
    assert sorted(triples) == [("ana", 10, 2.0), ("bo", 30, 1.0)]
    for wrong in (["ana"], ["ana", "ana"], "ana"):
        with pytest.raises(BadInput, match="give 2 different ids"):
            frames.ratings(matrix, user=wrong)
    with pytest.raises(BadInput, match="only a frame"):
        frames.ratings(matrix, rating="stars")
    with pytest.raises(BadInput, match="only a frame"):
        frames.ratings((USER, ITEM), user="who")


def test_what_is_masked_is_missing():
    matrix = np.ma.masked_array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    assert read(matrix).value.tolist() == [1, 3, 4]
    stars = np.ma.masked_array([1.0, 2.0, 3.0, 4.0], mask=[0, 0, 1, 0])
    with pytest.raises(BadInput, match="row 2: the rating '' is not a finite number"):
        read((USER, ITEM, stars))
    assert read((USER, np.ma.masked_array(ITEM))).item_ids.tolist() == sorted(set(ITEM))


def test_a_column_of_ratings_that_is_not_recognised():
    said = []
    frame = pl.DataFrame({"user": [1, 2], "item": [1, 1], "label": [0, 1]})
    assert frames.ratings(frame, log=said.append).scale is None
    assert said[0].startswith("the frame: no column of ratings") and "Not read: label" in said[0]
    frames.ratings(frame, rating="", log=said.clear() or said.append)
    assert len(said) == 1
