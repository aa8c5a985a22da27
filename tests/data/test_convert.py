"""A converted folder against the ratings that the reader makes of the same files in memory."""

import bz2
import gzip
import json
import resource

import numpy as np
import polars as pl
import pytest

from aerec.data import convert, mapped, readers
from aerec.errors import BadInput

SETTINGS = {"user": "u", "item": "i", "rating": "r", "time": "t"}
TINY = 0.02  # MB: parts of some 200 ratings


def quiet(_: str) -> None:
    pass


def frame(size=3000, users=200, items=60, seed=0, step=1):
    """Random ratings; times differ for `step=1`, pairs are repeated."""
    draw = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "u": draw.integers(-5, users, size) * 7,
            "i": draw.integers(0, items, size),
            "r": draw.integers(1, 11, size) / 2,
            "t": 1_000_000_000 + draw.permutation(size) // step,
        }
    )


def in_rows(ratings):
    """(user, item, value, time) sorted by user, then by time, as they were in the file."""
    time = np.zeros(len(ratings.user)) if ratings.time is None else ratings.time
    order = np.lexsort((time, ratings.user))
    parts = (ratings.user, ratings.item, ratings.value, ratings.time)
    return [None if part is None else part[order] for part in parts]


def check(path, output, *, several=None, memory_mb=TINY, **layout):
    """Convert and read; both give the same rows, entry for entry, and the same facts."""
    layout = {**SETTINGS, **layout}
    expected = readers.read(path, log=quiet, **layout)
    found = convert.convert(several or [path], output, memory_mb=memory_mb, log=quiet, **layout)
    got = found.ratings()
    for a, b in zip(in_rows(expected), (got.user, got.item, got.value, got.time), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a is None or a.dtype == b.dtype
    for name in ("user_ids", "item_ids", "titles", "genres"):
        np.testing.assert_array_equal(getattr(expected, name), getattr(got, name))
    assert (expected.scale, expected.click) == (got.scale, got.click)
    assert not list(output.parent.glob("*.tmp"))
    return found


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "jsonl", "csv.bz2"])
def test_files_of_each_kind(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    rows = frame()
    if kind == "parquet":
        rows.write_parquet(path)
    elif kind == "jsonl":
        rows.write_ndjson(path)
    else:
        text = rows.write_csv().encode()
        packed = {"csv": bytes, "csv.gz": gzip.compress, "csv.bz2": bz2.compress}
        path.write_bytes(packed[kind](text))
    found = check(path, tmp_path / "out")
    assert len(found.columns) < len(rows)  # pairs were repeated


@pytest.mark.parametrize("memory_mb", [1e-6, 1000])
def test_any_memory_gives_the_same_folder(tmp_path, memory_mb):
    frame(400).write_csv(tmp_path / "x.csv")
    check(tmp_path / "x.csv", tmp_path / "out", memory_mb=memory_mb)


def test_several_files_are_read_as_one(tmp_path):
    """The ids of the second are words: so are those of the first."""
    text = pl.format("user{}", pl.col("u"))
    one, two = frame(1000), frame(1000, seed=1).with_columns(text.alias("u"))
    one = one.with_columns(pl.col("u").cast(pl.String))
    both = pl.concat([one, two.with_columns(t=pl.col("t") + 5000)])
    both.write_csv(tmp_path / "both.csv")
    both[:1000].write_csv(tmp_path / "one.csv")
    both[1000:].write_parquet(tmp_path / "two.parquet")
    several = [tmp_path / "one.csv", tmp_path / "two.parquet"]
    found = check(tmp_path / "both.csv", tmp_path / "out", several=several)
    assert "-14" in found.user_ids and "user7" in found.user_ids


def test_batches_of_numbers_and_of_words(tmp_path, monkeypatch):
    monkeypatch.setattr("aerec.data.scan.BATCH", 64)
    rows = frame(500).with_columns(pl.col("i").cast(pl.String))
    words = pl.Series(["7", "a", "ä", "007"])
    rows = pl.concat([rows[:400], rows[400:404].with_columns(i=words), rows[404:]])
    rows.write_csv(tmp_path / "x.csv")
    found = check(tmp_path / "x.csv", tmp_path / "out")
    assert {"7", "007", "a", "ä"} <= set(found.item_ids.tolist())


def test_clicks_without_times(tmp_path):
    """The order of a row is that of the file."""
    frame().select("u", "i").write_csv(tmp_path / "x.csv")
    found = check(tmp_path / "x.csv", tmp_path / "out", rating="", time="")
    assert found.times is None and found.scale is None and set(found.values) == {1}


@pytest.mark.parametrize("unit", [10**3, 10**6, 10**9])  # the last: user and time in no int64
def test_times_in_a_finer_unit(tmp_path, unit):
    notes = []
    rows = frame(300).with_columns(t=(pl.col("t") * 1_000_003 % 1_600_000_000 + 10**8) * unit)
    rows.write_csv(tmp_path / "x.csv")
    check(tmp_path / "x.csv", tmp_path / "out")
    convert.convert([tmp_path / "x.csv"], tmp_path / "again", log=notes.append, **SETTINGS)
    assert any("converted to seconds" in note for note in notes)


def test_equal_times_are_in_an_order_that_is_not_the_files(tmp_path):
    """Within a user and a time the pairs are the same, and the order is that of a hash."""
    rows = frame(step=500).unique(["u", "i"], maintain_order=True)
    rows.write_csv(tmp_path / "x.csv")
    rows.reverse().write_csv(tmp_path / "y.csv")
    whole = readers.read(tmp_path / "x.csv", log=quiet, **SETTINGS)
    expected = np.stack([part.astype(float) for part in in_rows(whole)])
    options = {"memory_mb": TINY, "log": quiet, **SETTINGS}
    read = convert.convert([tmp_path / "x.csv"], tmp_path / "x", **options).ratings()
    again = convert.convert([tmp_path / "y.csv"], tmp_path / "y", **options).ratings()
    found = np.stack([p.astype(float) for p in (read.user, read.item, read.value, read.time)])
    np.testing.assert_array_equal(found[[0, 3]], expected[[0, 3]])
    assert (found[1] != expected[1]).mean() > 0.2
    np.testing.assert_array_equal(read.item, again.item)  # whatever the order of the lines
    for each in (found, expected):
        each[:] = each[:, np.lexsort((each[1], each[3], each[0]))]
    np.testing.assert_array_equal(found, expected)


def test_titles_of_a_known_format(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::10::5::978300760\n2::11::3::978302109\n")
    (tmp_path / "movies.dat").write_text("10::Up (2009)::Animation\n11::Heat (1995)::Crime\n")
    layout = dict.fromkeys(SETTINGS)
    found = check(tmp_path, tmp_path / "out", **layout)
    assert found.titles.tolist() == ["Up (2009)", "Heat (1995)"] and found.scale == (1, 5)


def test_a_malformed_line_is_the_readers_error_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("aerec.data.scan.BATCH", 64)
    path, notes = tmp_path / "x.csv", []
    lines = frame(300).write_csv().splitlines()
    lines[200] = "1,2,many,3"
    path.write_text("\n".join(lines))
    with pytest.raises(BadInput) as expected:
        readers.read(path, log=quiet, **SETTINGS)
    with pytest.raises(BadInput) as error:
        convert.convert([path], tmp_path / "out", log=quiet, **SETTINGS)
    assert str(error.value) == str(expected.value) and "line 201" in str(error.value)
    assert [found.name for found in tmp_path.iterdir()] == ["x.csv"]
    options = {"on_bad_line": "skip", "log": notes.append, **SETTINGS}
    found = convert.convert([path], tmp_path / "out", memory_mb=TINY, **options)
    assert any(note.startswith("Skipped 1 malformed") for note in notes)
    expected = in_rows(readers.read(path, **{**options, "log": quiet}))
    np.testing.assert_array_equal(found.columns, expected[1])


def test_what_a_killed_conversion_left_is_not_read_and_is_replaced(tmp_path):
    path, output = tmp_path / "x.csv", tmp_path / "out"
    frame(300).write_csv(path)
    left = tmp_path / "out.tmp"
    left.mkdir()
    (left / "columns.npy").write_bytes(b"half")
    assert mapped.is_folder(left)
    with pytest.raises(BadInput, match=r"has no meta\.json: its conversion did not finish"):
        mapped.opened(left)
    check(path, output)
    with pytest.raises(BadInput, match="exists: name another folder"):
        convert.convert([path], output, log=quiet, **SETTINGS)


@pytest.mark.parametrize("name", ["columns.npy", "users.parquet", "meta.json", "offsets.npy"])
def test_damage_is_an_error(tmp_path, name):
    frame(300).write_csv(tmp_path / "x.csv")
    convert.convert([tmp_path / "x.csv"], tmp_path / "out", log=quiet, **SETTINGS)
    damaged = tmp_path / "out" / name
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(BadInput, match="damaged"):
        mapped.opened(tmp_path / "out")
    if name != "meta.json":
        return
    damaged.write_text(json.dumps({"format": 2, **dict.fromkeys(
        ("name", "ratings", "scale", "click", "bounds"))}))  # fmt: skip
    with pytest.raises(BadInput, match="has format 2"):
        mapped.opened(tmp_path / "out")


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    frame().write_csv(tmp_path / "x.csv")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(BadInput, match=r"cannot be written.*free some space"):
            convert.convert([tmp_path / "x.csv"], tmp_path / "out", log=quiet, **SETTINGS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [found.name for found in tmp_path.iterdir()] == ["x.csv"]


def test_what_cannot_be_converted_is_refused(tmp_path):
    frame(30).rename({"r": "rating"}).write_csv(tmp_path / "x.csv")
    frame(30).select("u", "i").write_csv(tmp_path / "y.csv")
    options = {"user": "u", "item": "i", "log": quiet}
    with pytest.raises(BadInput, match="convert files with the same columns"):
        convert.convert([tmp_path / "x.csv", tmp_path / "y.csv"], tmp_path / "out", **options)
    for memory_mb in (0, "much", float("nan")):
        with pytest.raises(BadInput, match="memory_mb is a"):
            convert.convert([tmp_path / "x.csv"], tmp_path / "out", memory_mb=memory_mb, **options)
    for paths, says in (([], "at least one file"), (None, "None is no path")):
        with pytest.raises(BadInput, match=says):
            convert.convert(paths, tmp_path / "out", **options)
    with pytest.raises(BadInput, match="no ratings found"):
        (tmp_path / "z.csv").write_text("u,i\n")
        convert.convert([tmp_path / "z.csv"], tmp_path / "out", header=True, **options)
    assert not (tmp_path / "out").exists()
